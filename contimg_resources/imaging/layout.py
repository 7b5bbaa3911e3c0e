"""The layout of a calibrated MS, read before any of its visibilities.

Belongs here: selections, spectral windows, pointings, phase centre, telescope. Doesn't: columns
with one value per visibility (see `visibilities`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.ms.layout import field_directions, read_origin
from contimg_resources.calibration.ms.main_table import rows_once
from contimg_resources.casa.tables import opened
from contimg_resources.core.errors import ImagingFailed, UnreadableObservation
from contimg_resources.observations.counting import distinct
from contimg_resources.observations.measurement_set import CORRELATIONS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Codes of CORR_TYPE whose mean is Stokes I: XX YY, RR LL, I itself.
_PARALLEL = ((9, 12), (5, 8), (1,))


@dataclass(frozen=True)
class Setup:
    """One data description: a spectral window and its correlations.

    Arrays have the shape (n_channels,).
    """

    id: int  #: Value of DATA_DESC_ID.
    channels: Integers  #: The selected channels, ascending.
    channels_hz: Floats  #: Their centres, Hz.
    widths_hz: Floats  #: Their widths, Hz.
    n_window_channels: int  #: Number of all channels of the window.
    n_correlations: int  #: Number of all its correlations.
    hands: tuple[int, ...]  #: The correlations whose mean is Stokes I.

    @property
    def even(self) -> bool:
        """Return whether the channels are evenly spaced, so that neighbours can be averaged."""
        steps = np.diff(self.channels_hz)
        return bool(len(steps) > 0 and np.allclose(steps, steps[0], rtol=1e-3))


@dataclass(frozen=True)
class Layout:
    """The selected part of a calibrated MS."""

    ms: Path  #: The MS.
    rows: Integers  #: Selected rows of cross-correlations, ascending. Shape (n_rows,).
    #: `setup_ids`, `field_ids`: DATA_DESC_ID and FIELD_ID of those rows. Shape (n_rows,).
    setup_ids: Integers
    field_ids: Integers
    setups: tuple[Setup, ...]  #: The data descriptions of those rows.
    telescope: str  #: Telescope name.
    phase_center_deg: tuple[float, float]  #: The one phase centre, ICRS degrees.
    #: Pointing direction of the telescope in each field, ICRS degrees. Shape (n_fields, 2).
    pointings_deg: Floats
    origin: dict[str, Any]  #: Origin recorded in the calibrated MS.
    antenna_names: tuple[str, ...]  #: Names of the antennas, by row of the ANTENNA table.

    @property
    def channels_hz(self) -> Floats:
        """Return the selected channels of all setups, one after the other, Hz."""
        return np.concatenate([s.channels_hz for s in self.setups])


def read_layout(
    ms: Path, field_selection: str = "", spw_selection: str = "", uvrange: str = ""
) -> Layout:
    """Read the layout of the selected data; runs in a CASA process.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    ImagingFailed
        If the selection is empty, or its fields have several phase centres or telescopes.
    """
    if not (ms / "table.dat").is_file():
        raise UnreadableObservation(f"{ms} is no MeasurementSet", path=str(ms))
    try:
        return _read(ms, field_selection, spw_selection, uvrange)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(f"{ms} can't be read: {said}", path=str(ms)) from error


def _read(ms: Path, field: str, spw: str, uvrange: str) -> Layout:
    rows, channels = _select(ms, field, spw, uvrange)
    setup_ids, field_ids = (c[rows] for c in _column(ms, "", "DATA_DESC_ID", "FIELD_ID"))
    return layout_of(ms, rows, setup_ids, field_ids, channels)


def layout_of(
    ms: Path,
    rows: Integers,
    setup_ids: Integers,
    field_ids: Integers,
    channels: Mapping[int, Integers],
) -> Layout:
    """Return the layout of known rows; only subtables are read. Needs CASA.

    Parameters
    ----------
    ms : Path
        The MS.
    rows, setup_ids, field_ids : ndarray of int, shape (n_rows,)
        See `Layout`.
    channels : mapping of int to ndarray of int
        The selected channels of each window that isn't selected completely.

    Raises
    ------
    ImagingFailed
        If its fields have several phase centres, or it has several telescopes.
    """
    telescopes = sorted({str(t) for t in _column(ms, "OBSERVATION", "TELESCOPE_NAME")[0]})
    if len(telescopes) != 1:
        raise ImagingFailed(
            f"{ms} was observed by {', '.join(telescopes) or 'no named telescope'}: one primary "
            "beam was expected",
            path=str(ms),
        )
    return Layout(
        ms=ms,
        rows=rows,
        setup_ids=setup_ids,
        field_ids=field_ids,
        setups=_setups(ms, distinct(setup_ids), channels),
        telescope=telescopes[0],
        phase_center_deg=_one_center(ms, distinct(field_ids)),
        pointings_deg=field_directions(ms, "REFERENCE_DIR"),
        origin=read_origin(ms),
        antenna_names=tuple(map(str, _column(ms, "ANTENNA", "NAME")[0])),
    )


def _select(ms: Path, field: str, spw: str, uvrange: str) -> tuple[Integers, dict[int, Integers]]:
    """Return row numbers, and the selected channels of each partly selected window."""
    import casatools

    if not (field or spw or uvrange):
        first, second = _column(ms, "", "ANTENNA1", "ANTENNA2")
        rows = np.flatnonzero(first != second)
        if not rows.size:
            raise ImagingFailed(f"{ms} has no cross-correlations", path=str(ms))
        return _once(ms, rows), {}

    tool = casatools.ms()
    tool.open(str(ms))
    try:
        wanted = {"field": field, "spw": spw, "uvdist": uvrange, "baseline": "*&"}
        if not tool.msselect({name: text for name, text in wanted.items() if text}):
            raise RuntimeError("no data match")
        rows = _once(ms, np.sort(np.asarray(tool.range(["rows"])["rows"], dtype=np.int64)))
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise ImagingFailed(
            f"{ms}: nothing is selected by field {field!r}, spw {spw!r}, uvrange {uvrange!r}: "
            f"{said}",
            path=str(ms),
        ) from error
    finally:
        tool.close()
    channels: dict[int, list[Integers]] = {}
    if ":" in spw:
        for window, first, last, step in tool.msseltoindex(str(ms), spw=spw)["channel"]:
            channels.setdefault(int(window), []).append(np.arange(first, last + 1, step))
    return rows, {window: np.unique(np.concatenate(parts)) for window, parts in channels.items()}


def _once(ms: Path, rows: Integers) -> Integers:
    """Leave out repeated rows; an MS calibrated by contimg has none."""
    if read_origin(ms):
        return rows
    with opened(ms) as table:
        return rows[rows_once(table)[rows]]


def _setups(ms: Path, numbers: Integers, channels: Mapping[int, Integers]) -> tuple[Setup, ...]:
    windows, polarizations = _column(
        ms, "DATA_DESCRIPTION", "SPECTRAL_WINDOW_ID", "POLARIZATION_ID"
    )
    setups = []
    with opened(ms / "SPECTRAL_WINDOW") as table:
        for number in map(int, numbers):
            window = int(windows[number])
            centers_hz = np.asarray(table.getcell("CHAN_FREQ", window), dtype=np.float64)
            widths_hz = np.abs(np.asarray(table.getcell("CHAN_WIDTH", window), dtype=np.float64))
            chosen = channels.get(window, np.arange(len(centers_hz)))
            codes = _correlations(ms, int(polarizations[number]))
            setups.append(
                Setup(
                    id=number,
                    channels=chosen,
                    channels_hz=centers_hz[chosen],
                    widths_hz=widths_hz[chosen],
                    n_window_channels=len(centers_hz),
                    n_correlations=len(codes),
                    hands=_parallel_hands(ms, codes),
                )
            )
    return tuple(setups)


def _correlations(ms: Path, setup: int) -> list[int]:
    with opened(ms / "POLARIZATION") as table:
        return [int(c) for c in table.getcell("CORR_TYPE", setup)]


def _parallel_hands(ms: Path, codes: list[int]) -> tuple[int, ...]:
    for wanted in _PARALLEL:
        found = [codes.index(code) for code in wanted if code in codes]
        if found:
            return tuple(found)
    found_names = "/".join(CORRELATIONS.get(code, str(code)) for code in codes)
    raise ImagingFailed(
        f"{ms} has no parallel hands to make Stokes I of: its correlations are {found_names}",
        path=str(ms),
    )


def _column(ms: Path, subtable: str, *names: str) -> list[NDArray[Any]]:
    with opened(ms / subtable if subtable else ms) as table:
        return [table.getcol(name) for name in names]


def _one_center(ms: Path, used: Integers) -> tuple[float, float]:
    ra, dec = field_directions(ms)[used].T
    east = (ra - ra[0] + 180) % 360 - 180
    spread_arcsec = 3600 * max(np.ptp(east) * np.cos(np.deg2rad(dec[0])), np.ptp(dec))
    if spread_arcsec > 0.1:
        raise ImagingFailed(
            f"{ms}: its {len(used)} fields have phase centres {spread_arcsec / 3600:.3f} deg "
            "apart; they must be shifted to one before imaging",
            path=str(ms),
        )
    return float(ra[0]), float(dec[0])
