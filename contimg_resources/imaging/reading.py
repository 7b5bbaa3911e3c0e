"""Read the visibilities of a calibrated MS. Runs in a CASA process.

Belongs here: reading its columns. Doesn't: processing them (see `gathering`).
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.ms.main_table import Weights
from contimg_resources.casa.tables import opened
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.imaging.gathering import Cells, Gathering, Moments
from contimg_resources.imaging.layout import Layout, Setup
from contimg_resources.imaging.visibilities import Visibilities
from contimg_resources.observations.meaning import flux_scale

Integers = NDArray[np.int64]

#: Number of visibilities read at once.
_CHUNK = 16_000_000


def read_visibilities(layout: Layout, half_width_rad: float) -> Visibilities:
    """Read and average the visibilities; runs in a CASA process.

    Parameters
    ----------
    layout : Layout
        The selected part of the MS.
    half_width_rad : float
        Distance from the phase centre up to which sources keep 99 % of their peak, radians.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read, or its DATA aren't flux densities.
    ImagingFailed
        If everything is flagged, or unflagged values are not finite.
    """
    try:
        return _read(layout, half_width_rad)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{layout.ms} can't be read: {said}", path=str(layout.ms)
        ) from error


def _read(layout: Layout, half_width_rad: float) -> Visibilities:
    with opened(layout.ms) as table:
        scale = flux_scale(table.getcolkeywords("DATA"), layout.ms)
        found = Gathering(layout, _moments(table, layout), half_width_rad)
        # CASA reads with one core; another averages the previous chunk.
        with ThreadPoolExecutor(max_workers=1) as other:
            waiting: Future[None] | None = None
            for setups, places in _alike(layout):
                rows = layout.rows[places]
                shape = (setups[0].n_window_channels, setups[0].n_correlations)
                weights = Weights(table, layout.ms, rows, shape)
                for part in _chunks(len(rows), setups[0]):
                    cells = _cells(table, rows[part], weights.read(places=part), scale)
                    if waiting is not None:
                        waiting.result()
                    waiting = other.submit(found.add, cells, setups[0], places[part])
            if waiting is not None:
                waiting.result()
    return found.visibilities()


def _alike(layout: Layout) -> Iterator[tuple[list[Setup], Integers]]:
    """Yield setups whose cells have one shape, with their rows' positions in the selection."""
    groups: dict[tuple[Any, ...], list[Setup]] = {}
    for setup in layout.setups:
        shape = setup.n_window_channels, setup.n_correlations
        key = (*shape, setup.hands, tuple(setup.channels))
        groups.setdefault(key, []).append(setup)
    for setups in groups.values():
        yield setups, np.flatnonzero(np.isin(layout.setup_ids, [s.id for s in setups]))


def _chunks(n_rows: int, setup: Setup) -> list[Integers]:
    size = max(1, _CHUNK // (setup.n_window_channels * setup.n_correlations))
    return [np.arange(first, min(first + size, n_rows)) for first in range(0, n_rows, size)]


def _moments(table: Any, layout: Layout) -> Moments:
    time_s, first, second = (
        table.getcol(name)[layout.rows] for name in ("TIME", "ANTENNA1", "ANTENNA2")
    )
    uvw_m = np.ascontiguousarray(table.getcol("UVW").T[layout.rows])
    return Moments.of(time_s, first, second, uvw_m, layout)


def _cells(table: Any, rows: Integers, weight: NDArray[np.float32], scale: float) -> Cells:
    contiguous = bool(rows[-1] - rows[0] + 1 == len(rows))
    part = table if contiguous else table.selectrows(rows.tolist())
    first, n = (int(rows[0]), len(rows)) if contiguous else (0, -1)

    def get(column: str) -> NDArray[Any]:
        return np.asarray(part.getcol(column, first, n).T)

    data = get("DATA")
    if scale != 1:
        data, weight = data * np.float32(scale), weight / np.float32(scale**2)
    cells = Cells(
        data=data,
        flag=get("FLAG"),
        flag_row=get("FLAG_ROW"),
        weight=weight,
        time_s=get("TIME"),
        interval_s=get("INTERVAL"),
    )
    if not contiguous:
        part.close()
    return cells
