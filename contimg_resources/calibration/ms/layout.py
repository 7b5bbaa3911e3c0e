"""Properties of an MS and of caltables that are needed to apply one to the other.

Belongs here: spectral windows, antennas and directions, read from subtables; the keyword with the
origin of a calibrated MS. Needs CASA. Doesn't: visibilities, solutions.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.ms.callib import Band
from contimg_resources.casa.tables import opened
from contimg_resources.core.errors import CasaError
from contimg_resources.instrument.caltables import names_fit
from contimg_resources.observations.counting import distinct

#: Receptors of first and second antenna by CASA's code of a correlation (RR ... LL, XX ... YY).
_RECEPTORS = {5: (0, 0), 6: (0, 1), 7: (1, 0), 8: (1, 1)}
_RECEPTORS |= {code + 4: pair for code, pair in _RECEPTORS.items()}


def used_descriptions(ms: Path) -> list[int]:
    """Return the data descriptions used by any row of an MS. Needs CASA."""
    with opened(ms) as table:
        return [int(number) for number in distinct(table.getcol("DATA_DESC_ID"))]


def bands_of(ms: Path, used: Collection[int]) -> list[Band]:
    """Return the spectral windows of some data descriptions of an MS. Needs CASA."""
    with opened(ms / "DATA_DESCRIPTION") as table:
        windows = {int(table.getcell("SPECTRAL_WINDOW_ID", number)) for number in used}
    return [band for band in read_bands(ms) if band.id in windows]


def read_bands(table_path: Path) -> list[Band]:
    """Return the non-empty spectral windows of an MS or caltable by id. Needs CASA."""
    bands = []
    with opened(table_path / "SPECTRAL_WINDOW") as table:
        for i in range(table.nrows()):
            if not _has_channels(table, i):
                continue
            center = table.getcell("CHAN_FREQ", i)
            half = 0.5 * np.abs(table.getcell("CHAN_WIDTH", i))
            bands.append(Band(i, float((center - half).min()), float((center + half).max())))
    return bands


def channels_of_windows_hz(table_path: Path) -> dict[int, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the channel centres (Hz) of the spectral windows of an MS or caltable that have any.

    Raises
    ------
    CasaError
        If they can't be read.
    """
    try:
        with opened(table_path / "SPECTRAL_WINDOW") as table:
            return {
                i: np.asarray(table.getcell("CHAN_FREQ", i), np.float64)
                for i in range(table.nrows())
                if _has_channels(table, i)
            }
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{table_path} can't be read: {said}", path=str(table_path)) from error


def _has_channels(windows: Any, row: int) -> bool:
    return bool(
        windows.iscelldefined("CHAN_FREQ", row) and np.size(windows.getcell("CHAN_FREQ", row))
    )


def check_antennas(ms: Path, ours: Sequence[str], caltable: Path) -> None:
    """Refuse a caltable of other antennas than those with data in an MS.

    `ours` holds the names of the MS's antennas by id; empty for those without data.

    Raises
    ------
    CasaError
        If the antennas differ; the message names those that are not in both.
    """
    # CASA matches antennas by number, so another name there means another antenna's gains.
    theirs = antenna_names_of(caltable)
    if names_fit(theirs, list(ours)):
        return
    differing = sorted(set(filter(None, ours)) ^ set(filter(None, theirs)))
    raise CasaError(
        f"caltable {caltable} is of other antennas than {ms}: {len(theirs)} against "
        f"{len(ours)}, not in both: {', '.join(differing[:12]) or 'none, only their order'}",
        path=str(caltable),
    )


def antenna_names_of(table_path: Path) -> list[str]:
    """Return the names of the antennas of an MS or caltable by id."""
    try:
        with opened(table_path / "ANTENNA") as table:
            return [str(name).strip() for name in table.getcol("NAME")]
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{table_path} can't be read: {said}", path=str(table_path)) from error


def bands_with_solutions(caltable: Path) -> list[Band]:
    """Return the spectral windows of a caltable that have rows."""
    try:
        with opened(caltable) as table:
            used = set(distinct(table.getcol("SPECTRAL_WINDOW_ID")).tolist())
        return [band for band in read_bands(caltable) if band.id in used]
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"caltable {caltable} can't be read: {said}") from error


def count_rows(ms: Path) -> int:
    """Return the number of rows of an MS."""
    with opened(ms) as table:
        return int(table.nrows())


def field_directions(ms: Path, column: str = "PHASE_DIR") -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the directions of the fields of an MS, ICRS degrees, shape (n_fields, 2).

    The column is ``PHASE_DIR``, or ``REFERENCE_DIR``, which still records the pointing direction
    after the phase centres were shifted. Needs CASA.
    """
    import casatools

    measures = casatools.measures()
    with opened(ms / "FIELD") as table:
        frame = table.getcolkeyword(column, "MEASINFO")["Ref"]
        cells = [table.getcell(column, i)[:, 0] for i in range(table.nrows())]
    found = []
    for ra, dec in ((float(a), float(d)) for a, d in cells):
        there = measures.direction(frame, f"{ra!r}rad", f"{dec!r}rad")
        icrs = measures.measure(there, "ICRS")
        found.append((np.rad2deg(icrs["m0"]["value"]) % 360, np.rad2deg(icrs["m1"]["value"])))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def middle_of_fields(ms: Path, field_ids: Collection[int] | None = None) -> tuple[float, float]:
    """Return the middle of the phase centres of an MS that have data, ICRS degrees. Needs CASA."""
    with opened(ms) as table:
        used = distinct(table.getcol("FIELD_ID"))
    if field_ids is not None:
        used = used[np.isin(used, list(field_ids))]
    ra, dec = np.deg2rad(field_directions(ms)[used]).T
    # Mean of the unit vectors: right ascension wraps.
    x, y, z = (np.cos(dec) * np.cos(ra)).mean(), (np.cos(dec) * np.sin(ra)).mean(), np.sin(dec)
    right_ascension = float(np.rad2deg(np.arctan2(y, x)) % 360)
    return right_ascension, float(np.rad2deg(np.arctan2(z.mean(), np.hypot(x, y))))


def to_frame_of_fields(ms: Path, direction_deg: tuple[float, float]) -> tuple[float, float]:
    """Return an ICRS direction (degrees) in the frame of the phase centres of an MS, radians."""
    import casatools

    measures = casatools.measures()
    with opened(ms / "FIELD") as table:
        frame = table.getcolkeyword("PHASE_DIR", "MEASINFO")["Ref"]
    ra, dec = direction_deg
    found = measures.measure(measures.direction("ICRS", f"{ra!r}deg", f"{dec!r}deg"), frame)
    return float(found["m0"]["value"]), float(found["m1"]["value"])


def phase_centers_rad(ms: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the phase centres of an MS in their own frame, radians, shape (n_fields, 2)."""
    with opened(ms / "FIELD") as table:
        cells = [table.getcell("PHASE_DIR", i)[:, 0] for i in range(table.nrows())]
    return np.array(cells, np.float64).reshape(-1, 2)


def read_receptors(
    ms: Path, used: Collection[int]
) -> dict[int, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the receptors of each correlation of some data descriptions. Needs CASA.

    Raises
    ------
    CasaError
        If a correlation isn't a pair of receptors.
    """
    with opened(ms / "DATA_DESCRIPTION") as table:
        setups = {number: int(table.getcell("POLARIZATION_ID", number)) for number in used}
    with opened(ms / "POLARIZATION") as table:
        codes = {i: np.ravel(table.getcell("CORR_TYPE", i)) for i in set(setups.values())}
    try:
        return {
            number: np.array([_RECEPTORS[int(code)] for code in codes[setup]], np.int64)
            for number, setup in setups.items()
        }
    except KeyError as code:
        raise CasaError(f"{ms} has a correlation of code {code}: no pair of receptors") from code


#: Keyword of the calibrated MS that holds its origin as JSON.
ORIGIN_KEYWORD = "CONTIMG_ORIGIN"


def write_origin(ms: Path, origin: Mapping[str, Any]) -> None:
    """Record in an MS where it came from."""
    import casatools

    table = casatools.table()
    table.open(str(ms), nomodify=False)
    try:
        table.putkeyword(ORIGIN_KEYWORD, json.dumps(origin))
    finally:
        table.close()


def read_origin(ms: Path) -> dict[str, Any]:
    """Return the record of `write_origin` in an MS; empty for any other."""
    with opened(ms) as table:
        known = ORIGIN_KEYWORD in table.keywordnames()
        return dict(json.loads(table.getkeyword(ORIGIN_KEYWORD))) if known else {}
