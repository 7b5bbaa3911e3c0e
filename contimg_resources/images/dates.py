"""The time of an image's observation, from its header.

Belongs here: the time keywords of the FITS standard and of common writers. Doesn't: partition keys
(see `contimg_resources.core.times`), the date on which a file was written.
"""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from contimg_resources.core.times import SECONDS_PER_DAY

_BEGIN = ("DATE-BEG", "MJD-BEG", "DATE-OBS", "MJD-OBS", "DATE_OBS")
_END = ("DATE-END", "MJD-END", "DATE_END")
_MIDDLE = ("DATE-AVG", "MJD-AVG")
#: The elapsed time comes first: an exposure time leaves out gaps.
_LENGTH = ("TELAPSE", "DURATION", "XPOSURE", "EXPOSURE", "EXPTIME", "ONTIME")
_TIME_OF_DAY = ("TIME-OBS", "UTC-OBS", "TIME_OBS")

#: Time scales (FITS paper IV, table 2) as astropy names them. UT1 differs from UTC by less than
#: the resolution of a partition key.
_SCALES = {
    **dict.fromkeys(("UTC", "GMT", "UT", "UT1", "Z"), "utc"),
    **dict.fromkeys(("TAI", "IAT", "GPS"), "tai"),
    **dict.fromkeys(("TT", "TDT", "ET"), "tt"),
    **{name: name.lower() for name in ("TDB", "TCG", "TCB")},
}
_GPS_BEHIND_TAI_S = 19.0
#: An MJD this close to the date states the same time with more digits.
_SAME_DAYS = 2e-3 / SECONDS_PER_DAY
_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hr": 3600.0, "d": SECONDS_PER_DAY}
_OLD_DATE = re.compile(r"(\d\d)/(\d\d)/(\d\d)")
_NEW_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d*)?)?)?")
_CARD_UNIT = re.compile(r"\s*\[([^\]]+)\]")


@dataclass(frozen=True)
class Observed:
    """The time of observation of an image."""

    start_mjd: float  #: MJD in days, UTC; equal when the header names one moment only.
    mid_mjd: float  #: MJD in days, UTC; equal when the header names one moment only.
    end_mjd: float  #: MJD in days, UTC; equal when the header names one moment only.
    notes: tuple[str, ...] = ()  #: Assumptions.


def observed_time(header: Any) -> Observed:
    """Return the time at which an image was observed, from its FITS header.

    Raises
    ------
    ValueError
        If a keyword is missing or can't be read; the message names it.
    """
    scale = _scale(header)
    notes: list[str] = []
    start = _first(header, _BEGIN, scale, notes)
    end, middle = (_first(header, names, scale, notes) for names in (_END, _MIDDLE))
    length = _length_days(header)
    if start is None and middle is not None:
        start = middle - 0.5 * length if end is None else 2 * middle - end
    if start is None:
        raise ValueError(
            "it has no time of observation: DATE-BEG, DATE-OBS, MJD-OBS and DATE-AVG were looked "
            "for"
        )
    if end is None:
        end = max(start, 2 * middle - start) if middle is not None else start + length
    if end < start:
        raise ValueError(f"it ends before it begins: MJD {start:.5f} to {end:.5f} UTC")
    if middle is None:
        middle = 0.5 * (start + end)
    if not start <= middle <= end:
        raise ValueError(
            f"its middle, MJD {middle:.5f}, isn't between its begin {start:.5f} and end {end:.5f}"
        )
    return Observed(start, middle, end, tuple(notes))


def card_unit(header: Any, keyword: str) -> str:
    """Return the unit in a card's comment, ``[arcsec] major axis``; empty without one."""
    found = _CARD_UNIT.match(header.comments[keyword])
    return found.group(1).strip() if found else ""


def _scale(header: Any) -> str:
    told = str(header.get("TIMESYS", "UTC") or "UTC").strip().upper()
    name = re.split(r"[(\s]", told)[0]
    if name not in _SCALES:
        raise ValueError(
            f"TIMESYS = {told!r} is no time scale that can be converted to UTC: "
            f"{', '.join(sorted(_SCALES))} can"
        )
    return name


def _first(header: Any, names: tuple[str, ...], scale: str, notes: list[str]) -> float | None:
    """Return the MJD (UTC) of the first keyword present, those with a time of day first."""
    without: tuple[str, float] | None = None
    for name in names:
        value = header.get(name)
        if value is None or value == "":
            continue
        is_mjd = name.startswith("MJD")
        mjd, has_time = _of_mjd(name, value, scale) if is_mjd else _of_date(header, name, scale)
        if has_time:
            finer = header.get(name.replace("DATE", "MJD"))
            if not is_mjd and isinstance(finer, float):
                other = _utc_mjd(finer, "mjd", scale)
                return other if abs(other - mjd) < _SAME_DAYS else mjd
            return mjd
        without = without or (name, mjd)
    if without is None:
        return None
    name, mjd = without
    notes.append(f"{name} = {header[name]!r} has no time of day: 0 h is assumed")
    return mjd


def _of_mjd(name: str, value: Any, scale: str) -> tuple[float, bool]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{name} = {value!r}: an MJD in days was expected")
    return _utc_mjd(float(value), "mjd", scale), float(value) % 1 != 0


def _of_date(header: Any, name: str, scale: str) -> tuple[float, bool]:
    text = str(header[name]).strip().removesuffix("Z")
    if old := _OLD_DATE.fullmatch(text):
        day, month, year = old.groups()
        text = f"19{year}-{month}-{day}"
    if not _NEW_DATE.fullmatch(text):
        raise ValueError(
            f"{name} = {header[name]!r}: a date such as 2025-10-06T12:36:09 was expected"
        )
    text = text.replace(" ", "T")
    if "T" not in text and name in ("DATE-OBS", "DATE_OBS"):
        for other in _TIME_OF_DAY:
            told = header.get(other)
            if isinstance(told, str) and re.fullmatch(r"\d\d:\d\d:\d\d(\.\d*)?", told.strip()):
                text = f"{text}T{told.strip()}"
                break
    try:
        return _utc_mjd(text, "fits", scale), "T" in text
    except ValueError as error:
        raise ValueError(f"{name} = {header[name]!r} is no date: {error}") from error


def _utc_mjd(value: str | float, form: str, scale: str) -> float:
    from astropy.time import Time

    with warnings.catch_warnings():
        # Leap seconds that aren't announced yet.
        warnings.simplefilter("ignore")
        found = Time(value, format=form, scale=_SCALES[scale])
        mjd = float(found.utc.mjd)
    return mjd + _GPS_BEHIND_TAI_S / SECONDS_PER_DAY if scale == "GPS" else mjd


def _length_days(header: Any) -> float:
    for name in _LENGTH:
        value = header.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        unit = card_unit(header, name).lower() or "s"
        if unit not in _SECONDS:
            raise ValueError(f"{name} is in {unit!r}: a unit of time was expected")
        if np.isfinite(value) and value > 0:
            return float(value) * _SECONDS[unit] / SECONDS_PER_DAY
    return 0.0
