"""Reading the visibilities of a calibrated MS. Runs in a CASA process.

Belongs here: its columns. Doesn't: what becomes of them (see `gathering`).
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.errors import UnreadableObservation
from contimg_resources.imaging.gathering import Cells, Gathering, Moments
from contimg_resources.imaging.layout import Layout, Setup
from contimg_resources.imaging.visibilities import Visibilities

Integers = NDArray[np.int64]

#: Visibilities that are read at once.
_CHUNK = 16_000_000


def read_visibilities(layout: Layout, half_width_rad: float) -> Visibilities:
    """Read and average the visibilities; runs in a CASA process.

    Parameters
    ----------
    layout : Layout
        What is selected.
    half_width_rad : float
        Sources up to so far from the phase centre keep 99 % of their peak, radians.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
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
    import casatools

    table = casatools.table()
    table.open(str(layout.ms))
    try:
        found = Gathering(layout, _moments(table, layout), half_width_rad)
        # CASA reads with one core; the other one averages what was read before.
        with ThreadPoolExecutor(max_workers=1) as other:
            waiting: Future[None] | None = None
            for setups, rows in _alike(layout):
                for chosen in _chunks(rows, setups[0]):
                    cells = _cells(table, layout.rows[chosen])
                    if waiting is not None:
                        waiting.result()
                    waiting = other.submit(found.add, cells, setups[0], chosen)
            if waiting is not None:
                waiting.result()
    finally:
        table.close()
    return found.visibilities()


def _alike(layout: Layout) -> Iterator[tuple[list[Setup], Integers]]:
    """Give setups whose cells have one shape, with the places of their rows in the selection."""
    groups: dict[tuple[Any, ...], list[Setup]] = {}
    for setup in layout.setups:
        key = (setup.n_window_channels, setup.hands, tuple(setup.channels))
        groups.setdefault(key, []).append(setup)
    for setups in groups.values():
        yield setups, np.flatnonzero(np.isin(layout.setup_ids, [s.id for s in setups]))


def _chunks(rows: Integers, setup: Setup) -> list[Integers]:
    size = max(1, _CHUNK // (setup.n_window_channels * len(setup.hands)))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _moments(table: Any, layout: Layout) -> Moments:
    time_s, first, second = (
        table.getcol(name)[layout.rows] for name in ("TIME", "ANTENNA1", "ANTENNA2")
    )
    uvw_m = np.ascontiguousarray(table.getcol("UVW").T[layout.rows])
    return Moments.of(time_s, first, second, uvw_m, layout)


def _cells(table: Any, rows: Integers) -> Cells:
    contiguous = bool(rows[-1] - rows[0] + 1 == len(rows))
    part = table if contiguous else table.selectrows(rows.tolist())
    first, n = (int(rows[0]), len(rows)) if contiguous else (0, -1)

    def get(column: str) -> NDArray[Any]:
        return np.asarray(part.getcol(column, first, n).T)

    names = part.colnames()
    if "WEIGHT_SPECTRUM" in names and part.iscelldefined("WEIGHT_SPECTRUM", first):
        weight = get("WEIGHT_SPECTRUM")
    else:
        weight = get("WEIGHT")[:, None, :]
    cells = Cells(
        data=get("DATA"),
        flag=get("FLAG"),
        flag_row=get("FLAG_ROW"),
        weight=weight.astype(np.float32, copy=False),
        time_s=get("TIME"),
        interval_s=get("INTERVAL"),
    )
    if not contiguous:
        part.close()
    return cells
