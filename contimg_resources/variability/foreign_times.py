"""Times in tables of other surveys, as MJD in UTC.

Belongs here: format and scale of a column of times, and the conversion. Doesn't: the choice of the
column (see `foreign`).

Statements are used in this order: the user, the file's time system (TIMESYS of a VOTable,
astropy's Time in ECSV, MJDREF and TIMESYS of FITS), the column's unit and name. Times without a
scale are UTC.
"""

import re
import warnings
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import TableError, in_words_of_reader
from contimg_resources.core.times import MJD_MAX_DAYS, MJD_MIN_DAYS, MJD_ZERO_JD
from contimg_resources.tables.model import Column, Table, TimeSystem
from contimg_resources.tables.units import factor_between

_UNIX_ORIGIN_JD = 2_440_587.5
#: Scales that astropy converts, by their names in files.
_SCALES = {
    **{name: name for name in ("utc", "tai", "tt", "tdb", "tcb", "tcg", "ut1")},
    **{"ut": "utc", "utc(nist)": "utc", "iat": "tai", "et": "tt", "tdt": "tt", "terrestrial": "tt"},
}
_FORMATS = ("mjd", "jd", "iso", "unix", "year")
_BARYCENTRIC = ("bjd", "hjd", "bmjd", "hmjd")
_ISO_NAMES = ("date", "datetime", "timestamp", "isot", "iso", "iso8601")
_YEAR_NAMES = ("year", "years", "yr", "jyear", "decimalyear", "decyear")
_SECONDS_UNIX = ("unix", "unixtime", "posix")
_MEANINGLESS = ("time", "t", "epoch", "obs", "obsdate", "dateobs", "utc", "mid", "mean", "start")
#: Parts of the names of columns that don't hold times of measurements.
_NO_TIME = (
    *("err", "error", "sigma", "unc", "exp", "exposure", "integration", "dur", "duration", "end"),
    *("stop", "created", "modified", "e", "bin", "width", "delta", "dt"),
)
#: Names such as obsmjd, mjdobs, bjdtdb.
_MIXED = re.compile(r"(?:obs|t|time|date|mid|mean)?([bh]?m?jd)(?:obs|mid|mean|utc|tdb|tt|tai)?")
_OFFSET = re.compile(
    r"([bh]?m?jd)\s*[-_\u2212\u2013]?\s*\(?\s*(2?4?\d{5,7}(?:\.\d+)?)\)?", re.ASCII
)


@dataclass(frozen=True)
class TimeMeaning:
    """Meaning of the numbers or texts in a column of times."""

    format: str = ""  #: ``mjd``, ``jd``, ``iso``, ``unix``, ``year``; empty if unknown.
    scale: str = ""  #: Name of the scale in astropy; empty if not stated.
    offset_days: float = 0.0  #: Days that were subtracted from the dates, such as 2450000.
    barycentric: bool = False  #: Whether they are times of arrival at the Sun or the barycentre.
    rank: int = 9  #: Of several columns, the one with the lowest rank holds the times.


@dataclass(frozen=True)
class Times:
    """Times of the rows of a table."""

    mjd: Floats  #: MJD in days, UTC; NaN where there is none. Shape (n,).
    wrong: Bools  #: Where the value in the file isn't a time. Shape (n,).
    words: str  #: Description of how the column was read.


def time_meaning(name: str) -> TimeMeaning | None:
    """Return the meaning of a column's name; None if it doesn't name a time of a measurement."""
    plain = name.strip().casefold()
    if found := _OFFSET.fullmatch(plain):
        kind, offset = found[1], float(found[2])
        # JD-2400000.5 is MJD, whichever epoch the number refers to.
        bary = kind[0] in "bh"
        form = "mjd" if "m" in kind else "jd"
        return TimeMeaning(form, "", offset, bary, 4 if bary else 1)
    words = [w for w in re.split(r"[^a-z0-9]+", plain) if w]
    if not words or any(w in _NO_TIME for w in words):
        return None
    scale = next((_SCALES[w] for w in words if w in _SCALES), "")
    kinds = [w for w in words if w not in _SCALES]
    kinds = [_MIXED.sub(r"\1", w) for w in kinds]
    if any(w in _BARYCENTRIC for w in kinds):
        form = "mjd" if any("m" in w for w in kinds if w in _BARYCENTRIC) else "jd"
        return TimeMeaning(form, scale, 0.0, True, 4)
    for form, names, rank in (
        ("mjd", ("mjd",), 0),
        ("jd", ("jd", "julian"), 1),
        ("unix", _SECONDS_UNIX, 3),
        ("iso", _ISO_NAMES, 2),
        ("year", _YEAR_NAMES, 5),
    ):
        if any(w in names for w in kinds):
            return TimeMeaning(form, scale, 0.0, False, rank)
    known = all(w in _MEANINGLESS for w in kinds)
    return TimeMeaning("", scale, 0.0, False, 3) if known else None


def parse_meaning(text: str) -> TimeMeaning:
    """Return the meaning of a user's ``FORMAT`` or ``FORMAT:SCALE``, such as ``jd:tdb``.

    Raises
    ------
    TableError
        If the text is neither.
    """
    form, _, scale = text.casefold().partition(":")
    meaning = time_meaning(form)
    if form in _SCALES and not scale:
        return TimeMeaning("", _SCALES[form])
    if meaning is None or not meaning.format or (scale and scale not in _SCALES):
        raise TableError(
            f"{text!r} is not a format of times: {', '.join(_FORMATS)} or jd-2450000, optionally "
            f"with a scale ({', '.join(dict.fromkeys(_SCALES.values()))}) such as jd:tdb"
        )
    return TimeMeaning(meaning.format, _SCALES.get(scale, ""), meaning.offset_days)


def times_of(table: Table, column: Column, given: str = "") -> Times:
    """Return the times in a column as MJD, UTC.

    The table's keywords are used; `given` is the user's format and scale (see `parse_meaning`).

    Raises
    ------
    TableError
        If the format is unknown or contradicts the values, or a stated scale or reference position
        can't be converted; the message names the column.
    """
    said = parse_meaning(given) if given else TimeMeaning()
    named = time_meaning(column.name) or TimeMeaning()
    scale = _scale(table, column, said, named)
    _refuse_barycentric(table, column, said, named)
    if not column.is_text and column.data.ndim == 2 and column.data.shape[1] == 2:
        # Two numbers per row, as astropy writes times into FITS: their sum is the Julian date.
        column = replace(column, data=column.data.sum(axis=1), times=TimeSystem(scale, 0.0))
    numbers, wrong = _numbers(column)
    if numbers is None or said.format == "iso" or _are_calendar_days(numbers, said, named):
        mjd, wrong = _from_texts(column, scale)
        return Times(mjd, wrong, f"column {column.name}: dates, {scale.upper()}")
    jd1, words = _julian_dates(table, column, said, named, numbers)
    mjd = _utc_mjd(jd1, scale)
    outside = np.isfinite(numbers) & ~((mjd >= MJD_MIN_DAYS) & (mjd <= MJD_MAX_DAYS))
    mjd = np.where(outside, np.nan, mjd)
    return Times(mjd, wrong | outside, f"column {column.name}: {words}, {scale.upper()}")


def _scale(table: Table, column: Column, said: TimeMeaning, named: TimeMeaning) -> str:
    if said.scale:
        return said.scale
    stated = column.times.scale if column.times else ""
    if not stated:
        # Statements about the column take precedence over those about the whole table.
        stated = _fits_keyword(table, column, "TCTYP").casefold()
        stated = stated if stated in _SCALES else ""
    if not stated:
        stated = str(table.keywords.get("TIMESYS") or "") if not named.scale else ""
    plain = stated.strip().casefold()
    if not plain or plain == "unknown":
        return named.scale or "utc"
    if plain not in _SCALES:
        raise TableError(
            f"column {column.name} is in the time scale {stated!r}, which can't be converted into "
            f"UTC; specify it: --column 'time={column.name}:mjd:utc'",
            column=column.name,
        )
    if named.scale and named.scale != _SCALES[plain]:
        raise TableError(
            f"column {column.name} states the time scale {stated}, its name states "
            f"{named.scale.upper()}; specify which: --column 'time={column.name}:mjd:{plain}'",
            column=column.name,
        )
    return _SCALES[plain]


def is_stated(table: Table, column: Column) -> bool:
    """Return whether a file states that a column holds times, whatever its name is."""
    if "stat.error" in column.ucd:
        return False
    return column.times is not None or _fits_keyword(table, column, "TCTYP").casefold() in _SCALES


def _fits_keyword(table: Table, column: Column, name: str) -> str:
    """Return the value of a FITS keyword of a column, such as TCTYP3; empty if there is none."""
    return str(table.keywords.get(f"{name}{table.names.index(column.name) + 1}") or "")


def _refuse_barycentric(
    table: Table, column: Column, said: TimeMeaning, named: TimeMeaning
) -> None:
    position = (
        (column.times.position if column.times else "")
        or _fits_keyword(table, column, "TRPOS")
        or str(table.keywords.get("TREFPOS") or table.keywords.get("TIMEREF") or "")
    )
    centre = any(w in position.casefold() for w in ("baryc", "helioc", "solarsystem"))
    if (named.barycentric or centre) and not said.format:
        raise TableError(
            f"column {column.name} holds times at the {position or 'barycentre or the Sun'}, up to "
            "8.3 minutes from those at the telescope; to use them unchanged: "
            f"--column 'time={column.name}:{named.format or 'mjd'}:tdb'",
            column=column.name,
        )


def _numbers(column: Column) -> tuple[Floats | None, Bools]:
    """Return the values as numbers, and which are invalid; None where most of them are texts."""
    values, wrong = column.numbers_and_wrong()
    there = int((~column.absent).sum())
    return (None if 2 * int(wrong.sum()) > there else values), wrong


def _julian_dates(
    table: Table, column: Column, said: TimeMeaning, named: TimeMeaning, numbers: Floats
) -> tuple[Floats, str]:
    """Return Julian dates in the column's own scale, and a description of how they were read."""
    unit = column.unit.strip()
    origin_jd = column.times.origin_jd if column.times else None
    reference = _fits_reference_jd(table, column)
    form = said.format
    if not form and (origin_jd is not None or reference is not None):
        zero = float(origin_jd if origin_jd is not None else reference)  # type: ignore[arg-type]
        # Seconds are the default of the FITS standard (paper IV).
        default = "d" if origin_jd is not None else "s"
        stated = unit or str(table.keywords.get("TIMEUNIT") or "") or default
        return zero + _in_days(column, stated) * numbers, f"{stated} since JD {zero:.8g}"
    form = form or named.format or ("year" if unit in ("yr", "a", "year") else "")
    if form == "iso":
        form = ""
    offset = said.offset_days or named.offset_days
    form = form or _by_range(column, numbers, unit)
    if form == "unix":
        return _UNIX_ORIGIN_JD + numbers / 86_400.0, "seconds since 1970"
    if form == "year":
        known = numbers[np.isfinite(numbers)]
        if not said.format and np.all(known == np.round(known)):
            raise TableError(
                f"column {column.name} holds whole years only: combine year, month and day in one "
                f"column (2020-01-31), or use it unchanged: --column 'time={column.name}:year'",
                column=column.name,
            )
        return _of_years(numbers), "decimal years"
    days = numbers * (_in_days(column, unit) if unit else 1.0) + offset
    zero = MJD_ZERO_JD if form == "mjd" else 0.0
    _check_range(column, form, days, zero)
    words = form.upper() + (f"-{offset:.10g}" if offset else "") + (f" in {unit}" if unit else "")
    return zero + days, words


def _are_calendar_days(numbers: Floats, said: TimeMeaning, named: TimeMeaning) -> bool:
    """Return whether numbers are dates such as 20200131."""
    known = numbers[np.isfinite(numbers)]
    possible = not said.format and named.format in ("", "iso") and known.size
    return bool(possible and np.all((known >= 1.96e7) & (known < 2.1e7)))


def _fits_reference_jd(table: Table, column: Column) -> float | None:
    keywords = table.keywords
    if column.name.casefold() != "time" or not {"MJDREF", "MJDREFI", "JDREF"} & set(keywords):
        return None
    try:
        whole = float(keywords.get("MJDREF", keywords.get("MJDREFI", 0.0)))
        mjd = whole + float(keywords.get("MJDREFF", 0.0))
        unit = column.unit or str(keywords.get("TIMEUNIT") or "s")
        zero_days = float(keywords.get("TIMEZERO", 0.0)) * factor_between(unit, "d")
    except (TypeError, ValueError) as error:
        raise TableError(
            f"MJDREF, MJDREFI, MJDREFF or TIMEZERO is not a number: {error}"
        ) from error
    if "JDREF" in keywords:
        return float(keywords["JDREF"]) + zero_days
    return mjd + MJD_ZERO_JD + zero_days


def _in_days(column: Column, unit: str) -> float:
    try:
        return factor_between(unit, "d")
    except TableError as error:
        raise TableError(
            f"column {column.name} is in {unit}, which is not a unit of time", column=column.name
        ) from error


def _by_range(column: Column, numbers: Floats, unit: str) -> str:
    """Distinguish MJD from JD by the size of the numbers, where nothing states the format."""
    known = numbers[np.isfinite(numbers)] * (_in_days(column, unit) if unit else 1.0)
    if known.size:
        if _share_within(known, 0.0) > 0.5:
            return "mjd"
        if _share_within(known - MJD_ZERO_JD, 0.0) > 0.5:
            return "jd"
    example = f"{known[0]:.10g}" if known.size else "nothing"
    raise TableError(
        f"column {column.name} holds {example}, neither MJD nor JD between 1960 and 2100, and the "
        "file doesn't state a reference epoch; specify the format: "
        f"--column 'time={column.name}:FORMAT' with "
        f"{', '.join(_FORMATS)} or jd-2450000",
        column=column.name,
    )


def _check_range(column: Column, form: str, days: Floats, zero: float) -> None:
    known = days[np.isfinite(days)]
    if not known.size or _share_within(known + zero - MJD_ZERO_JD, 0.0) > 0.0:
        return
    other = "jd" if form == "mjd" else "mjd"
    other_zero = 0.0 if other == "jd" else MJD_ZERO_JD
    fits = _share_within(known + other_zero - MJD_ZERO_JD, 0.0) > 0.5
    hint = f", but not as {other.upper()}" if fits else ""
    raise TableError(
        f"column {column.name} holds {known[0]:.10g}, which as {form.upper()} is outside 1960 "
        f"to 2100{hint}; specify the format: "
        f"--column 'time={column.name}:{other if fits else 'FORMAT'}'",
        column=column.name,
    )


def _share_within(mjd: Floats, offset: float) -> float:
    inside = (mjd + offset >= MJD_MIN_DAYS) & (mjd + offset <= MJD_MAX_DAYS)
    return float(np.mean(inside))


def _of_years(years: Floats) -> Floats:
    """Return Julian dates of decimal years: the decimals are the elapsed share of the year."""
    whole = np.floor(np.where(np.isfinite(years), years, 2000.0))
    sane = np.clip(whole, 1, 9998).astype(np.int64)
    begin = np.array(sane - 1970, "datetime64[Y]").astype("datetime64[D]").astype(np.float64)
    end = np.array(sane - 1969, "datetime64[Y]").astype("datetime64[D]").astype(np.float64)
    return np.asarray(_UNIX_ORIGIN_JD + begin + (years - whole) * (end - begin))


def _utc_mjd(jd: Floats, scale: str) -> Floats:
    if scale == "utc":
        return jd - MJD_ZERO_JD
    from astropy.time import Time

    mjd = jd - MJD_ZERO_JD
    good = np.isfinite(mjd) & (mjd > MJD_MIN_DAYS - 1) & (mjd < MJD_MAX_DAYS + 1)
    found = np.full(len(mjd), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found[good] = Time(mjd[good], format="mjd", scale=scale).utc.mjd
        except Exception as error:  # UT1 needs tables, which may cover other years
            raise TableError(
                f"times in {scale.upper()} can't be converted into UTC: {in_words_of_reader(error)}"
            ) from error
    # Times far outside the range stay there, so that they are rejected.
    return np.where(good, found, mjd)


def _from_texts(column: Column, scale: str) -> tuple[Floats, Bools]:
    texts, place = np.unique(column.text(), return_inverse=True)
    values, aware = np.full(len(texts), np.nan), np.zeros(len(texts), np.bool_)
    for i, text in enumerate(texts.tolist()):
        if text:
            values[i], aware[i] = _of_text(text)
    # A time with a zone is in UTC, whatever the scale of the column.
    with_scale = np.where(aware, values, _utc_mjd(values + MJD_ZERO_JD, scale))
    inside = (with_scale >= MJD_MIN_DAYS) & (with_scale <= MJD_MAX_DAYS)
    mjd = np.where(inside, with_scale, np.nan)[place]
    return mjd, np.asarray(~np.isfinite(mjd) & ~column.absent)


def _of_text(text: str) -> tuple[float, bool]:
    """Return the MJD of an ISO date or time and whether it has a zone; NaN if it is invalid."""
    plain = re.sub(r"^(\d{4})/(\d{1,2})/(\d{1,2})", r"\1-\2-\3", text.strip())
    plain = re.sub(r"^(\d{4})-(\d)(?=-)", r"\1-0\2", plain)
    plain = re.sub(r"^(\d{4}-\d\d)-(\d)(?!\d)", r"\1-0\2", plain)
    try:
        moment = _moment(plain)
    except ValueError:
        return _of_odd_text(plain), False
    aware = moment.tzinfo is not None
    naive: Any = moment.replace(tzinfo=None) - (moment.utcoffset() or datetime.min - datetime.min)
    return (naive - datetime(1858, 11, 17)).total_seconds() / 86_400.0, aware


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # Only months in words: in 01/02/2020 the month is ambiguous.
        for form in ("%Y %b %d", "%Y-%b-%d", "%d-%b-%Y", "%d %b %Y", "%Y %b %d %H:%M:%S"):
            try:
                return datetime.strptime(text, form)
            except ValueError:
                continue
        raise


def _of_odd_text(text: str) -> float:
    from astropy.time import Time

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(Time(text, scale="utc").mjd)
        except ValueError:
            return float("nan")
