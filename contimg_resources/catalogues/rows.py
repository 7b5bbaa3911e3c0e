"""A table of sources in standard units and frame, row by row, with its problems.

Belongs here: values of the chosen columns; SUMSS and VLSSr, published as fixed-column text without
a usable header. Doesn't: choosing the columns (see `columns`), selecting rows (see `reading`,
`calibrator_lists`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.columns import ROLES, Choice, Choices, Given, choose
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import CatalogueError, TableError
from contimg_resources.imaging.model import position_angle_deg
from contimg_resources.tables.model import Table, column_of
from contimg_resources.tables.positions import directions, frame_of, with_joined_position
from contimg_resources.tables.reading import read_table
from contimg_resources.tables.units import factor_of

#: Frequencies of radio catalogues, GHz; outside this range the unit is wrong.
_GHZ = (0.01, 1000.0)
#: Source finders write -99 for an unknown spectral index.
_STEEPEST = 10.0
_LARGEST_ARCSEC = 3600.0


@dataclass(frozen=True)
class SourceRows:
    """The rows of a table of sources.

    Arrays have the shape (n,).
    """

    #: The dialect of its columns; ``columns`` where they were given or found by their UCDs.
    survey: str
    name: NDArray[np.str_]  #: Names as in the table; "" where there is none.
    aliases: NDArray[np.str_]  #: Other names; "" where there is none.
    ra_deg: Floats  #: Positions, ICRS degrees; NaN where there is none.
    dec_deg: Floats  #: Positions, ICRS degrees; NaN where there is none.
    flux_jy: Floats  #: Flux densities, Jy; NaN where there is none.
    flux_error_jy: Floats  #: Uncertainties of the flux densities, Jy; NaN where there is none.
    reference_ghz: Floats  #: Frequency of the flux density, GHz; NaN where there is none.
    spectral_index: Floats  #: ``S ~ nu^spectral_index``; NaN where unknown.
    major_arcsec: Floats  #: Major axis (FWHM); NaN where unknown or an upper limit.
    minor_arcsec: Floats  #: Minor axis (FWHM); NaN where unknown or an upper limit.
    #: Position angle, from north through east, in [-90, 90); NaN where unknown or an upper limit.
    angle_deg: Floats
    duplicate: Floats  #: Flags of the survey; NaN where it has none.
    quality: Floats  #: Flags of the survey; NaN where it has none.
    #: `absent`, `wrong`: By role (``position`` for both coordinates): rows without a value, and
    #: rows with a value of the wrong kind, shape (n,).
    absent: Mapping[str, Bools]
    wrong: Mapping[str, Bools]
    columns: Mapping[str, str]  #: Names of the columns by role, for messages.
    notes: tuple[str, ...]  #: Remarks for the user.
    table: Table  #: The original table.

    def __len__(self) -> int:
        return len(self.ra_deg)

    def value(self, role: str, row: int) -> str:
        """Return the file's text for a role in a row."""
        roles = ("ra", "dec") if role == "position" else (role,)
        names = [self.columns[r] for r in roles if r in self.columns]
        columns = [c for n in names for c in self.table.columns if c.name == n]
        return " ".join(str(c.text()[row]) for c in columns)

    def label(self, role: str) -> str:
        """Return the name of a role's column, or those of the position."""
        if role == "position":
            return f"{self.columns['ra']}, {self.columns['dec']}"
        return self.columns.get(role, role)


def read_rows(
    path: Path,
    survey: str = "auto",
    given: Given | None = None,
    command: str = "contimg catalogue add NAME FILE",
    also: tuple[str, ...] = (),
    name: str = "",
) -> SourceRows:
    """Read a table of sources, in any format of `contimg_resources.tables.reading.read_table`.

    `survey` is the name of a dialect, or ``auto``; `given` is the user's description of the
    columns. An error proposes `command` with the missing options. `also` holds the roles needed in
    addition to position, flux density and frequency. The catalogue's `name` may identify its
    survey.

    Raises
    ------
    CatalogueError
        If it can't be used; the message names the file and every problem with its columns.
    """
    given = given or Given()
    try:
        table = with_joined_position(with_columns(read_table(path, table=given.table)))
    except TableError as error:
        raise CatalogueError(error.message, **error.details) from error
    if not table.columns and table.misfit:
        raise CatalogueError(f"{path}: {table.misfit}", path=str(path))
    if not table.columns:
        raise CatalogueError(
            f"{path} has no header that can be recognised, and isn't SUMSS's or VLSSr's text: its "
            f"first line is {table.lines[0][:60] if table.lines else ''!r}. Put the names of the "
            "columns into the first line, and as many as a row has values",
            path=str(path),
        )
    try:
        choices = choose(table, survey, given, command, also, name)
    except CatalogueError as error:
        raise CatalogueError(f"{path}: {error.message}", path=str(path)) from error
    return _Values(table, choices).rows(given)


class _Values:
    """Values by role; all problems with columns are collected and reported together."""

    def __init__(self, table: Table, choices: Choices) -> None:
        self.table, self.choices = table, choices
        self.problems = list(choices.problems)
        self.wrong: dict[str, Bools] = {}
        self.absent: dict[str, Bools] = {}

    def rows(self, given: Given) -> SourceRows:
        chosen = self.choices.by_role
        ra_deg, dec_deg = self._positions(given)
        flux_jy = self._numbers("flux")
        # Without a unit of the flux density, report that problem.
        flux_error_jy = self._numbers("flux_error", self._unit_of_flux() or "Jy")
        sizes = {r: self._numbers(r) for r in ("major", "minor", "angle")}
        self._check_sizes(sizes["major"])
        index = self._numbers("spectral_index")
        reference_ghz = self._frequencies()
        duplicate, quality = self._numbers("duplicate"), self._numbers("quality")
        if self.problems:
            problems = list(dict.fromkeys(self.problems))
            told = "; ".join(f"({i}) {p}" for i, p in enumerate(problems, 1))
            raise CatalogueError(
                f"{self.table.path}: {told if len(problems) > 1 else problems[0]}",
                path=str(self.table.path),
                problems=problems,
            )
        dialect = self.choices.dialect
        with np.errstate(invalid="ignore"):
            if dialect is not None and dialect.peak_beam_arcsec and "flux" not in given.columns:
                area = sizes["major"] * sizes["minor"] / dialect.peak_beam_arcsec**2
                flux_jy = flux_jy * np.fmax(area, 1.0)
            flux_error_jy = np.where(flux_error_jy < 0, np.nan, flux_error_jy)
            index = np.where(np.abs(index) > _STEEPEST, np.nan, index)
        if "limit" in chosen:
            limits = np.char.startswith(chosen["limit"].column.text(), "<")
            sizes = {r: np.where(limits, np.nan, v) for r, v in sizes.items()}
        return SourceRows(
            survey=self.choices.survey,
            name=self._texts("name"),
            aliases=self._texts("aliases"),
            ra_deg=ra_deg,
            dec_deg=dec_deg,
            flux_jy=flux_jy,
            flux_error_jy=flux_error_jy,
            reference_ghz=reference_ghz,
            spectral_index=index,
            major_arcsec=sizes["major"],
            minor_arcsec=sizes["minor"],
            angle_deg=position_angle_deg(sizes["angle"]),
            duplicate=duplicate,
            quality=quality,
            absent=self.absent,
            wrong=self.wrong,
            columns={r: c.column.name for r, c in chosen.items()},
            notes=self.choices.notes,
            table=self.table,
        )

    def _positions(self, given: Given) -> tuple[Floats, Floats]:
        nothing = np.full(self.table.n_rows, np.nan)
        if not {"ra", "dec"} <= set(self.choices.by_role):
            return nothing, nothing
        ra, dec = self.choices.by_role["ra"], self.choices.by_role["dec"]
        try:
            frame = frame_of(self.table, ra.column, dec.column, given.frame)
            found = directions(
                ra.column, dec.column, frame, longitude_unit=ra.given, latitude_unit=dec.given
            )
        except TableError as error:
            self.problems.append(error.message)
            return nothing, nothing
        self.absent["position"], self.wrong["position"] = found.absent, found.wrong
        return found.ra_deg, found.dec_deg

    def _numbers(self, role: str, unstated: str | None = None) -> Floats:
        """Return a role's numbers in its unit; NaN without a column, a value, or a number."""
        choice = self.choices.by_role.get(role)
        if choice is None:
            return np.full(self.table.n_rows, np.nan)
        wanted = ROLES[role] or ""
        if wanted == "":
            choice = Choice(choice.column, "")
        default = unstated if choice.unstated is None else choice.unstated
        try:
            factor = factor_of(choice.column, wanted, default, choice.given)
            values, self.wrong[role] = choice.column.numbers_and_wrong()
        except TableError as error:
            told = error.message
            if "states no unit" in told:
                name = choice.column.name
                told += f": give --column {role}={name}:mJy, or whichever unit it has"
            self.problems.append(told)
            return np.full(self.table.n_rows, np.nan)
        self.absent[role] = ~np.isfinite(values) & ~self.wrong[role]
        return factor * values

    def _check_sizes(self, major_arcsec: Floats) -> None:
        """Refuse an implausible size whose unit comes from the dialect, not from the file."""
        choice = self.choices.by_role.get("major")
        known = major_arcsec[np.isfinite(major_arcsec)]
        if choice is None or choice.given or choice.column.unit or not known.size:
            return
        if float(np.median(known)) > _LARGEST_ARCSEC:
            name, unit = choice.column.name, choice.unstated
            self.problems.append(
                f"column {name} states no unit, and is no size in {unit} (most are above a "
                f"degree): give --column major={name}:arcsec, or whichever unit it has, and "
                "that of the flux densities"
            )

    def _unit_of_flux(self) -> str | None:
        choice = self.choices.by_role.get("flux")
        return None if choice is None else choice.given or choice.column.unit or choice.unstated

    def _frequencies(self) -> Floats:
        if self.choices.frequency_ghz is not None:
            fixed = self.choices.frequency_ghz
            if not _GHZ[0] <= fixed <= _GHZ[1]:
                self.problems.append(f"{fixed:g} GHz isn't between {_GHZ[0]} and {_GHZ[1]:g} GHz")
            return np.full(self.table.n_rows, fixed)
        values = self._numbers("frequency", "GHz" if self._says_ghz() else None)
        if "frequency" in self.wrong:
            with np.errstate(invalid="ignore"):
                out = np.isfinite(values) & ~((values >= _GHZ[0]) & (values <= _GHZ[1]))
            self.wrong["frequency"] |= out
            values = np.where(out, np.nan, values)
        return values

    def _says_ghz(self) -> bool:
        choice = self.choices.by_role.get("frequency")
        return choice is not None and "ghz" in choice.column.name.casefold()

    def _texts(self, role: str) -> NDArray[np.str_]:
        choice = self.choices.by_role.get(role)
        if choice is None:
            return np.full(self.table.n_rows, "", dtype=np.str_)
        return choice.column.text()


#: SUMSS: the columns after the six numbers of the position, with units.
_SUMSS = (
    *(("e_RAJ2000", "arcsec"), ("e_DEJ2000", "arcsec"), ("Sp", "mJy/beam"), ("e_Sp", "mJy/beam")),
    *(("St", "mJy"), ("e_St", "mJy"), ("MajAxis", "arcsec"), ("MinAxis", "arcsec"), ("PA", "deg")),
    *(("dMajAxis", "arcsec"), ("dMinAxis", "arcsec"), ("dPA", "deg"), ("Mosaic", "")),
    *(("NMosaic", ""), ("Xpos", ""), ("Ypos", "")),
)
_SUMSS_MOSAIC = re.compile(r"J\d{4}[MP]\d{2}[A-Z]?")
_SUMSS_MOSAIC_AT = 18
_POSITION = re.compile(r"\s*(\d\d \d\d \d\d\.\d+) ([-+ ]\d\d \d\d \d\d(\.\d*)?)(?=\s)")
#: VLSSr: columns of a line, counted from the start of the position; so in the error line below.
_VLSSR = {
    **{"Si": (30, 36), "l_MajAx": (37, 38), "MajAx": (38, 42)},
    **{"MinAx": (44, 48), "PA": (49, 54)},
}
_VLSSR_UNITS = {"Si": "Jy", "MajAx": "arcsec", "MinAx": "arcsec", "PA": "deg"}
_N_SHOWN = 200


def with_columns(table: Table) -> Table:
    """Return a headerless text table with the columns of its survey.

    A table that has columns, or belongs to no known survey, is returned unchanged.
    """
    if table.columns or not table.lines:
        return table
    return _sumss(table) or _vlssr(table) or table


def _sumss(table: Table) -> Table | None:
    rows = [line.split() for line in table.lines if line.strip()]
    n_fields = 6 + len(_SUMSS)
    if not rows or any(
        len(r) != n_fields or not _SUMSS_MOSAIC.fullmatch(r[_SUMSS_MOSAIC_AT])
        for r in rows[:_N_SHOWN]
    ):
        return None
    rows = [r for r in rows if len(r) == n_fields]
    columns = [
        column_of("RAJ2000", [" ".join(r[:3]) for r in rows], unit='"h:m:s"'),
        column_of("DEJ2000", [" ".join(r[3:6]) for r in rows], unit='"d:m:s"'),
        *(
            column_of(name, [r[6 + i] for r in rows], unit=unit)
            for i, (name, unit) in enumerate(_SUMSS)
        ),
    ]
    return replace(table, format="sumss", columns=tuple(columns), n_rows=len(rows), lines=())


def _vlssr(table: Table) -> Table | None:
    # The same program lists the NVSS, in mJy.
    head = " ".join(line for line in table.lines[:_N_SHOWN] if not _POSITION.match(line))
    if "NVSS" in head or "mJy" in head or not ("VLSS" in head or "RA(2000)" in head):
        return None
    found: dict[str, list[str]] = {n: [] for n in ("RAJ2000", "DEJ2000", *_VLSSR, "e_Si")}
    for i, line in enumerate(table.lines):
        if (position := _POSITION.match(line)) is None:
            continue
        at = position.start(1)
        found["RAJ2000"].append(position[1])
        found["DEJ2000"].append(position[2].strip())
        for name, (start, end) in _VLSSR.items():
            found[name].append(line[at + start : at + end].strip(" *"))
        below = table.lines[i + 1] if i + 1 < len(table.lines) else ""
        start, end = _VLSSR["Si"]
        errors = "" if _POSITION.match(below) else below[at + start : at + end]
        found["e_Si"].append(errors.strip())
    if not found["RAJ2000"]:
        return None
    units = {"RAJ2000": '"h:m:s"', "DEJ2000": '"d:m:s"', "e_Si": "Jy", **_VLSSR_UNITS}
    columns = tuple(column_of(n, v, unit=units.get(n, "")) for n, v in found.items())
    return replace(table, format="vlssr", columns=columns, n_rows=len(found["RAJ2000"]), lines=())
