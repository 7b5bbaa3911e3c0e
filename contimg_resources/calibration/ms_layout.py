"""What must be known of an MS and of caltables before one is applied to the other.

Belongs here: spectral windows, antennas and directions, read from subtables. Needs CASA.
Doesn't: visibilities, solutions.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.callib import Band
from contimg_resources.errors import CasaError

#: Receptors of first and second antenna by CASA's code of a correlation (RR ... LL, XX ... YY).
_RECEPTORS = {5: (0, 0), 6: (0, 1), 7: (1, 0), 8: (1, 1)}
_RECEPTORS |= {code + 4: pair for code, pair in _RECEPTORS.items()}


def read_bands(table_path: Path) -> list[Band]:
    """Return the spectral windows of an MS or caltable by id. Needs CASA."""
    import casatools

    table = casatools.table()
    table.open(str(table_path / "SPECTRAL_WINDOW"))
    bands = []
    try:
        for i in range(table.nrows()):
            center = table.getcell("CHAN_FREQ", i)
            half = 0.5 * np.abs(table.getcell("CHAN_WIDTH", i))
            bands.append(Band(i, float((center - half).min()), float((center + half).max())))
    finally:
        table.close()
    return bands


def channels_of_windows_hz(table_path: Path) -> dict[int, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the channel centres (Hz) of each spectral window of an MS or caltable."""
    import casatools

    table = casatools.table()
    try:
        table.open(str(table_path / "SPECTRAL_WINDOW"), lockoptions={"option": "usernoread"})
        return {
            i: np.asarray(table.getcell("CHAN_FREQ", i), np.float64) for i in range(table.nrows())
        }
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{table_path} can't be read: {said}", path=str(table_path)) from error
    finally:
        table.close()


def check_antennas(ms: Path, caltable: Path) -> None:
    """Refuse a caltable of other antennas than those of an MS.

    Raises
    ------
    CasaError
        Naming antennas that are not in both.
    """
    # CASA matches antennas by number, so another list of names means other antennas' gains.
    ours, theirs = antenna_names_of(ms), antenna_names_of(caltable)
    if ours != theirs:
        differing = sorted(set(ours) ^ set(theirs))
        raise CasaError(
            f"caltable {caltable} is of other antennas than {ms}: {len(theirs)} against "
            f"{len(ours)}, not in both: {', '.join(differing[:12]) or 'none, only their order'}",
            path=str(caltable),
        )


def antenna_names_of(table_path: Path) -> list[str]:
    """Return the names of the antennas of an MS or caltable by id."""
    import casatools

    table = casatools.table()
    try:
        table.open(str(table_path / "ANTENNA"))
        names = [str(name) for name in table.getcol("NAME")]
        table.close()
        return names
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{table_path} can't be read: {said}", path=str(table_path)) from error


def bands_with_solutions(caltable: Path) -> list[Band]:
    """Return the spectral windows of a caltable that have rows."""
    import casatools

    table = casatools.table()
    try:
        table.open(str(caltable))
        used = {int(i) for i in np.unique(table.getcol("SPECTRAL_WINDOW_ID"))}
        table.close()
        return [band for band in read_bands(caltable) if band.id in used]
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"caltable {caltable} can't be read: {said}") from error


def count_rows(ms: Path) -> int:
    """Return the number of rows of an MS."""
    import casatools

    table = casatools.table()
    table.open(str(ms))
    try:
        return int(table.nrows())
    finally:
        table.close()


def field_directions(ms: Path, column: str = "PHASE_DIR") -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the directions of the fields of an MS. Needs CASA.

    Parameters
    ----------
    ms : Path
        The MS.
    column : str
        ``PHASE_DIR``, or ``REFERENCE_DIR``, which still says where the telescope pointed after
        the phase centres were moved.

    Returns
    -------
    ndarray of float, shape (n_fields, 2)
        Right ascension and declination, ICRS degrees.
    """
    import casatools

    table, measures = casatools.table(), casatools.measures()
    table.open(str(ms / "FIELD"))
    try:
        frame = table.getcolkeyword(column, "MEASINFO")["Ref"]
        cells = [table.getcell(column, i)[:, 0] for i in range(table.nrows())]
    finally:
        table.close()
    found = []
    for ra, dec in ((float(a), float(d)) for a, d in cells):
        there = measures.direction(frame, f"{ra!r}rad", f"{dec!r}rad")
        icrs = measures.measure(there, "ICRS")
        found.append((np.rad2deg(icrs["m0"]["value"]) % 360, np.rad2deg(icrs["m1"]["value"])))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def middle_of_fields(ms: Path, field_ids: Collection[int] | None = None) -> tuple[float, float]:
    """Return the middle of the phase centres of an MS that have data, ICRS degrees. Needs CASA.

    Parameters
    ----------
    ms : Path
        The MS.
    field_ids : collection of int, optional
        Look at these fields only.
    """
    import casatools

    table = casatools.table()
    table.open(str(ms))
    try:
        used = np.unique(table.getcol("FIELD_ID"))
    finally:
        table.close()
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

    table, measures = casatools.table(), casatools.measures()
    table.open(str(ms / "FIELD"))
    try:
        frame = table.getcolkeyword("PHASE_DIR", "MEASINFO")["Ref"]
    finally:
        table.close()
    ra, dec = direction_deg
    found = measures.measure(measures.direction("ICRS", f"{ra!r}deg", f"{dec!r}deg"), frame)
    return float(found["m0"]["value"]), float(found["m1"]["value"])


def phase_centers_rad(ms: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the phase centres of an MS in their own frame, radians, shape (n_fields, 2)."""
    import casatools

    table = casatools.table()
    table.open(str(ms / "FIELD"))
    try:
        cells = [table.getcell("PHASE_DIR", i)[:, 0] for i in range(table.nrows())]
    finally:
        table.close()
    return np.array(cells, np.float64).reshape(-1, 2)


def read_receptors(ms: Path) -> dict[int, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return which receptors each correlation is of, by data description id. Needs CASA."""
    import casatools

    tb = casatools.table()
    tb.open(str(ms / "POLARIZATION"))
    codes = [np.ravel(tb.getcell("CORR_TYPE", i)) for i in range(tb.nrows())]
    tb.close()
    tb.open(str(ms / "DATA_DESCRIPTION"))
    setups = np.asarray(tb.getcol("POLARIZATION_ID"))
    tb.close()
    try:
        return {
            number: np.array([_RECEPTORS[int(code)] for code in codes[setup]], np.int64)
            for number, setup in enumerate(setups)
        }
    except KeyError as code:
        raise CasaError(f"{ms} has a correlation of code {code}: no pair of receptors") from code
