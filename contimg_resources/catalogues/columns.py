"""Find the column for each role: given by a user, known from its dialect, or from its UCD.

Belongs here: roles, ``--column``, choosing, and the command that an error proposes.
Doesn't: names of surveys (see `dialects`), values (see `rows`).
"""

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contimg_resources.catalogues.dialects import NAMES, Dialect, described, dialect_of
from contimg_resources.core.errors import CatalogueError, TableError
from contimg_resources.tables.model import Column, Table, ucd_words
from contimg_resources.tables.units import factor_between

#: Roles of a column, with the wanted unit ("": a pure number; None: text).
ROLES: dict[str, str | None] = {
    "name": None,
    "ra": "deg",
    "dec": "deg",
    "flux": "Jy",
    "flux_error": "Jy",
    "frequency": "GHz",
    "spectral_index": "",
    "major": "arcsec",
    "minor": "arcsec",
    "angle": "deg",
    "aliases": None,
    "limit": None,
    "duplicate": "",
    "quality": "",
}
_ALIASES = {
    **{"id": "name", "source": "name", "source_name": "name", "longitude": "ra", "lon": "ra"},
    **{"ra_deg": "ra", "dec_deg": "dec", "de": "dec", "latitude": "dec", "lat": "dec"},
    **{"flux_jy": "flux", "flux_error_jy": "flux_error", "error": "flux_error"},
    **{"flux_err": "flux_error", "e_flux": "flux_error", "err": "flux_error"},
    **{"freq": "frequency", "reference_ghz": "frequency", "reference": "frequency"},
    **{"alpha": "spectral_index", "spindex": "spectral_index", "maj": "major", "min": "minor"},
    **{"pa": "angle", "position_angle": "angle"},
}
_QUANTITY = re.compile(r"\s*(?P<number>[-+]?[\d.]+(e[-+]?\d+)?)\s*:?\s*(?P<unit>[a-z/]+)\s*", re.I)
_IN_NAME = re.compile(
    r"^(s|f|flux|total_?flux|int_?flux|peak_?flux|speak|sint|stot(al)?)_?"
    r"(?P<number>\d+(\.\d+)?)_?(?P<unit>[mg]hz)?$",
    re.IGNORECASE,
)
_EPOCHS = r"([ _-]?\(?(j?2000|b?1950|icrs|fk[45]|deg|hms|dms|hours?|cont)\)?)*"
_LIKELY = {
    "ra": rf"_?ra{_EPOCHS}|right_?ascension|alpha.*|glon|l|lon(gitude)?|col_?ra.*",
    "dec": rf"_?de(c|cl|clination)?{_EPOCHS}|delta.*|glat|b|lat(itude)?|col_?dec.*",
    "flux": r"(total|int|integrated)_?flux.*|flux_?(int|total)?.*|s_?\d.*|f(int|tot).*|s(int|tot).*"
    r"|st|si|s|peak_?flux.*|flux_?peak.*|[fs]?_?peak.*",
    "frequency": r"freq.*|nu|ref(erence)?_?freq.*|reference_?(g|m)hz|frequency.*",
    "spectral_index": r"alpha|sp_?ind(ex)?|spectral_?index",
    "name": r"name|(source|object|obj|src)(_?(name|id))?|id|designation|iau_?name|component_?name",
}
_REQUIRED = ("ra", "dec", "flux", "frequency")


@dataclass(frozen=True)
class Given:
    """A user's description of a table that doesn't describe itself."""

    #: Column and unit ("": as stated) by role.
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    frequency_ghz: float | None = None  #: Frequency of all flux densities, GHz.
    frame: str = ""  #: Frame of the positions, such as ``B1950`` or ``galactic``.
    table: str = ""  #: Name of the table in a file with several.

    @classmethod
    def parse(
        cls, columns: Iterable[str], frequency: str | None = None, frame: str = "", table: str = ""
    ) -> "Given":
        """Return the description from the options of a command.

        `columns` are role, column and unit, such as ``ra=RAJ2000``, ``flux=S1400:mJy``; `frequency`
        is text with a unit, such as ``1400MHz``.

        Raises
        ------
        CatalogueError
            If an option isn't of this form or its role isn't known; the message names each of them.
        """
        chosen: dict[str, tuple[str, str]] = {}
        wrong = []
        for text in columns:
            role, equals, rest = text.partition("=")
            role = _ALIASES.get(role.strip().casefold(), role.strip().casefold())
            if not equals or not rest.strip() or role not in ROLES:
                wrong.append(repr(text))
                continue
            name, _, unit = rest.strip().rpartition(":")
            chosen[role] = (name or unit, unit if name else "")
        if wrong:
            raise CatalogueError(
                f"--column {', '.join(wrong)}: ROLE=COLUMN or ROLE=COLUMN:UNIT was expected, such "
                f"as flux=S1400:mJy, with a role of {', '.join(ROLES)}"
            )
        ghz = None
        if frequency is not None:
            ghz = frequency_ghz(frequency)
            if ghz is None:
                raise CatalogueError(
                    f"--frequency {frequency!r}: a number with a unit was expected, such as 1400MHz"
                )
        return cls(chosen, ghz, frame, table)


def frequency_ghz(text: str) -> float | None:
    """Return the frequency of a text such as ``1400 MHz`` or ``1.4:GHz``, GHz, or None."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    try:
        ghz = float(found["number"]) * factor_between(found["unit"], "GHz")
    except (TableError, ValueError):
        return None
    return ghz if 0 < ghz < math.inf else None


@dataclass(frozen=True)
class Choice:
    """A column chosen for a role."""

    column: Column  #: The column.
    unstated: str | None = None  #: Its unit where the file states none; None: unknown.
    given: str = ""  #: Its unit from the user; "": not given.


@dataclass(frozen=True)
class Choices:
    """The columns of a table by role."""

    dialect: Dialect | None  #: The table's dialect; None: only given columns and UCDs.
    by_role: Mapping[str, Choice]  #: The chosen columns.
    frequency_ghz: float | None  #: Frequency of all flux densities without a frequency column, GHz.
    notes: tuple[str, ...]  #: Remarks on the choice for the user.
    problems: tuple[str, ...]  #: All errors and missing columns.

    @property
    def survey(self) -> str:
        """Return the name of the dialect; ``columns`` where there is none."""
        return self.dialect.name if self.dialect else "columns"


def choose(
    table: Table,
    survey: str,
    given: Given,
    command: str,
    also: tuple[str, ...] = (),
    name: str = "",
) -> Choices:
    """Choose the columns of a table.

    `survey` is the name of a dialect, or ``auto``; the user's description takes precedence over
    known columns. `command` is proposed by errors. `also` holds the roles needed in addition to
    position, flux density and frequency. The catalogue's name, like the file's, may identify the
    survey.

    Raises
    ------
    CatalogueError
        If no survey of this name is known.
    """
    problems: list[str] = []
    notes: list[str] = []
    dialect = None
    try:
        dialect = dialect_of(table, survey, f"{name} {table.path.name}")
    except CatalogueError as error:
        if survey != "auto":
            raise
        problems.append(error.message)
    chosen: dict[str, Choice] = {}
    unclear: set[str] = set()
    constant_ghz = given.frequency_ghz
    for role in ROLES:
        if role in given.columns:
            name, unit = given.columns[role]
            if role == "frequency" and table.find(f"{name}:{unit}" if unit else name) is None:
                fixed = frequency_ghz(f"{name}{unit}")
                if fixed is not None and table.find(name) is None:
                    constant_ghz = fixed
                    continue
        try:
            choice = _choice(table, role, dialect, given)
        except TableError as error:
            problems.append(error.message)
            unclear.add(role)
            continue
        if choice is not None:
            chosen[role] = choice
    _complete(table, chosen, given, dialect)
    if constant_ghz is not None:
        chosen.pop("frequency", None)
    elif "frequency" not in chosen:
        constant_ghz, note = _frequency(table, dialect, chosen.get("flux"), "flux" in given.columns)
        notes += [note] if note else []
    missing = [r for r in (*also, *_REQUIRED) if r not in chosen and r not in unclear]
    if constant_ghz is not None and "frequency" in missing:
        missing.remove("frequency")
    if missing:
        problems.append(_missing(table, survey, missing, chosen, constant_ghz, command))
    return Choices(dialect, chosen, constant_ghz, tuple(notes), tuple(dict.fromkeys(problems)))


def _choice(table: Table, role: str, dialect: Dialect | None, given: Given) -> Choice | None:
    if role in given.columns:
        name, unit = given.columns[role]
        # A column's name may hold a colon.
        whole = table.find(f"{name}:{unit}") if unit else None
        column = whole or table.find(name)
        if column is None:
            raise TableError(
                f"--column {role}={name}: there is no column {name}; {table.shown_names(near=name)}"
            )
        known = dialect.column(table, role) if dialect else (None, None)
        unstated = known[1] if known[0] is column else None
        return Choice(column, unstated, "" if whole else unit)
    if dialect is not None:
        column, unit_or_none = dialect.column(table, role)
        if column is not None:
            return Choice(column, unit_or_none)
        return None
    column = _by_ucd(table, role)
    return None if column is None else Choice(column)


def _complete(
    table: Table, chosen: dict[str, Choice], given: Given, dialect: Dialect | None
) -> None:
    """Add columns that match given ones by name: a declination, an uncertainty, a name."""
    if "dec" not in chosen and "ra" in chosen and (dec := _partner(table, chosen["ra"].column)):
        chosen["dec"] = Choice(dec)
    if "flux" in given.columns and "flux_error" not in given.columns:
        # The dialect's uncertainty belongs to another column.
        chosen.pop("flux_error", None)
    if (
        "flux" in chosen
        and "flux_error" not in chosen
        and (dialect is None or "flux" in given.columns)
    ):
        name = chosen["flux"].column.name
        for candidate in (f"e_{name}", f"err_{name}", f"{name}_err", f"{name}_error"):
            if (error := table.find(candidate)) is not None:
                chosen["flux_error"] = Choice(error)
                break
    if "name" not in chosen and dialect is None and (name_column := table.find("name")):
        chosen["name"] = Choice(name_column)


def _by_ucd(table: Table, role: str) -> Column | None:
    """Return the only column with the UCD of this role."""
    errors = ("stat.error",)
    candidates: list[tuple[Column, ...]] = []
    if role in ("ra", "dec"):
        other = {"ra": "lon", "dec": "lat"}[role]
        for word in (f"pos.eq.{role}", f"pos.galactic.{other}"):
            candidates += [table.with_ucd(word, "meta.main"), table.with_ucd(word, without=errors)]
    elif role == "flux":
        # Integrated ones before peaks.
        peak = ("stat.max", *errors)
        flux = [c for c in table.with_ucd("phot.flux.density", without=errors) if _is_radio(c)]
        whole = tuple(c for c in flux if not set(peak) & set(ucd_words(c.ucd)))
        candidates += [whole, tuple(flux)]
    elif role == "flux_error":
        candidates.append(table.with_ucd("stat.error", "phot.flux.density", without=("stat.max",)))
    elif role == "name":
        candidates.append(table.with_ucd("meta.id", "meta.main"))
    elif role == "frequency":
        candidates.append(table.with_ucd("em.freq", without=errors))
    elif role in ("major", "minor"):
        candidates.append(table.with_ucd(f"phys.angsize.s{role[:3]}axis", without=errors))
    elif role == "spectral_index":
        candidates.append(table.with_ucd("spect.index", without=errors))
    for found in candidates:
        if len(found) == 1:
            return found[0]
    return None


def _is_radio(column: Column) -> bool:
    bands = [w for w in ucd_words(column.ucd) if w.startswith("em.")]
    return all(w.startswith(("em.radio", "em.freq", "em.mm")) for w in bands)


def _partner(table: Table, ra: Column) -> Column | None:
    """Return the declination column that matches a right ascension by name."""
    for pattern, replacements in (
        (r"(?i)ra", ("DE", "DEC", "de", "dec", "Dec")),
        (r"(?i)lon", ("LAT", "lat")),
        (r"(?i)alpha", ("delta", "DELTA")),
    ):
        for replacement in replacements:
            name = re.sub(pattern, replacement, ra.name, count=1)
            if name != ra.name and (found := table.find(name)) is not None:
                return found
    return None


def _frequency(
    table: Table, dialect: Dialect | None, flux: Choice | None, is_given: bool
) -> tuple[float | None, str]:
    """Return the dialect's or the file's frequency, GHz, and a note when the file states it.

    A column chosen by the user may be of another band than the dialect's own.
    """
    named = None if flux is None else _IN_NAME.match(flux.column.name)
    if flux is not None and named is not None and is_given:
        return _named_ghz(named), _named_note(named, flux.column)
    if dialect is not None and dialect.reference_ghz is not None:
        return dialect.reference_ghz, ""
    if table.keywords.get("FREQ0"):
        return 1e-9 * float(table.keywords["FREQ0"]), ""
    for comment in table.comments:
        if found := re.search(r"reference frequency[^:=]*[:=]\s*([\d.e+]+)\s*hz", comment, re.I):
            return 1e-9 * float(found[1]), ""
    if flux is not None and named is not None:
        return _named_ghz(named), _named_note(named, flux.column)
    return None, ""


def _named_ghz(named: re.Match[str]) -> float:
    number, unit = float(named["number"]), named["unit"]
    return number * factor_between(unit or ("MHz" if number >= 30 else "GHz"), "GHz")


def _named_note(named: re.Match[str], column: Column) -> str:
    return f"{_named_ghz(named):g} GHz is taken from the name of column {column.name}"


def _missing(
    table: Table,
    survey: str,
    missing: list[str],
    chosen: Mapping[str, Choice],
    constant_ghz: float | None,
    command: str,
) -> str:
    """Return the missing roles, and a command that supplies them."""
    words = {
        **{"ra": "right ascension", "dec": "declination", "flux": "flux density"},
        **{"frequency": "the frequency of the flux densities", "name": "name"},
        **{"spectral_index": "spectral index"},
    }
    lacking = ", ".join(words[r] for r in missing)
    options, others = [], []
    for role in ("ra", "dec", "flux", "frequency", "name", "spectral_index"):
        if role == "spectral_index" and role not in missing:
            continue
        if role in chosen:
            if chosen[role].column.name and missing:
                options.append(_option(role, chosen[role].column, chosen[role].given))
            continue
        if role == "frequency" and constant_ghz is not None:
            continue
        likely = _likely(table, role)
        if likely:
            options.append(_option(role, likely[0], ""))
            others += [c.name for c in likely[1:4] if role in ("ra", "dec", "flux")]
        elif role == "frequency":
            named = _IN_NAME.match((_likely(table, "flux") or [_NO_COLUMN])[0].name)
            example = f"{named['number']}MHz" if named else "1400MHz"
            options.append(f"--frequency {example}")
        elif role in missing:
            options.append(f"--column {role}=COLUMN")
    what = "doesn't state" if missing == ["frequency"] else "has no known column for"
    known = described(table, survey) if survey != "auto" else table.shown_names()
    text = f"it {what} {lacking}; {known}. Name its columns: {command} {' '.join(options)}"
    if others:
        text += f" (other candidates: {', '.join(others)})"
    if survey == "auto" and missing != ["frequency"]:
        text += f"; or its survey: --survey {'|'.join(NAMES)}"
    return text


def _option(role: str, column: Column, given_unit: str) -> str:
    unit = given_unit
    if not unit and not column.unit and role in ("flux", "frequency"):
        unit = _guessed_unit(role, column)
    return f"--column {shlex.quote(f'{role}={column.name}' + (f':{unit}' if unit else ''))}"


def _guessed_unit(role: str, column: Column) -> str:
    name = column.name.casefold()
    if role == "frequency":
        return next((u for u in ("MHz", "GHz", "kHz") if u.casefold() in name), "MHz")
    if "mjy" in name:
        return "mJy"
    return "Jy" if "jy" in name else "mJy"


def _likely(table: Table, role: str) -> list[Column]:
    """Return the columns that may have a role, the likeliest first."""
    found = _by_ucd(table, role)
    pattern = re.compile(_LIKELY.get(role, "(?!)"), re.IGNORECASE)
    named = [c for c in table.columns if pattern.fullmatch(c.name)]
    error = re.compile(r"(^e_)|(^e?err)|err(or)?$|_e$|snr|^e(int|peak)", re.IGNORECASE)
    named = [c for c in named if not error.search(c.name)]
    if role == "flux":
        named.sort(key=lambda c: "peak" in c.name.casefold())
    if role != "name":
        named = [c for c in named if role in ("ra", "dec") or _may_be_numbers(c)]
    return list({c.name: c for c in ([found] if found else []) + named}.values())


def _may_be_numbers(column: Column) -> bool:
    try:
        _, wrong = column.numbers_and_wrong()
    except TableError:
        return False
    return not wrong.all()


_NO_COLUMN = Column("", None, None)  # type: ignore[arg-type]
