"""Take an observation into memory whose visibilities aren't in an MS.

Belongs here: the second source of the data that `.memory` reads from an MS. Doesn't: how they were
stored (see `contimg_resources.correlator.direct`), calibrating them (see `.correcting`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.apply.memory import Change, Observed, tiles_of_columns
from contimg_resources.calibration.ms.health import channel_frequencies_hz
from contimg_resources.calibration.ms.large_columns import NewColumn
from contimg_resources.calibration.ms.new import add_rows, create_like
from contimg_resources.casa.tables import opened
from contimg_resources.core.trees import remove_tree
from contimg_resources.observations.meaning import raw_scale

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """Visibilities of some rows."""

    #: Visibilities; they may be changed. Shape (n, n_channels, n_correlations).
    data: NDArray[np.complex64]
    flag: NDArray[np.bool_]  #: Flags; visibilities without a weight are flagged. Same shape.
    #: Weights: of each channel where they vary along the channels of any of the rows. Shape (n, 1
    #: or n_channels, n_correlations).
    weight: NDArray[np.float32]
    n_flagged: Ints  #: Number of flagged visibilities of each row. Shape (n,).


#: Called with the places of some rows and their cells, which are invalid after it returns. Called
#: by several threads.
Receive = Callable[[slice, Cells], None]


class WeightsVary(Exception):
    """Weights vary along the channels of a row, and no room was made for them."""


@dataclass(frozen=True, eq=False)
class Incoming:
    """An observation whose visibilities aren't in an MS."""

    #: An MS with the subtables of the observation, and a few rows: together they have every
    #: antenna, field and data description that the observation has.
    ms: Path
    #: All columns of its cross-correlations but the visibilities, flags and weights.
    columns: Mapping[str, NDArray[Any]]
    shape: tuple[int, int]  #: Numbers of channels and correlations of a row.
    #: Reads all visibilities that there are, once, and passes them on.
    read: Callable[[Receive], None]


def take_incoming(
    incoming: Incoming, prepare: Callable[[Observed], Change], output: Path
) -> tuple[Observed, Ints]:
    """Take an observation into memory, calibrated.

    Parameters
    ----------
    incoming : Incoming
        The observation.
    prepare : callable
        Called with everything but the data, flags and weights; returns the processing of each part
        of them. It may multiply the weights.
    output : Path
        A new MS that receives the data: they are then mapped from its file.

    Returns
    -------
    observed : Observed
        The observation.
    flagged : ndarray of int, shape (n_rows,)
        Number of flagged visibilities of each row before processing.

    Raises
    ------
    CasaError
        If the new MS can't be written.
    """
    try:
        return _take(incoming, prepare, output, vary=False)
    except WeightsVary:
        # Rare: mostly the first rows show it.
        remove_tree(output)
        return _take(incoming, prepare, output, vary=True)


def _take(
    incoming: Incoming, prepare: Callable[[Observed], Change], output: Path, *, vary: bool
) -> tuple[Observed, Ints]:
    columns, (n_channels, n_correlations) = dict(incoming.columns), incoming.shape
    n_rows = columns["TIME"].size
    first, second, field, description = (
        np.asarray(columns.pop(name), np.int64)
        for name in ("ANTENNA1", "ANTENNA2", "FIELD_ID", "DATA_DESC_ID")
    )
    frequencies = channel_frequencies_hz(incoming.ms)
    tiles = tiles_of_columns(incoming.shape)
    if not vary:
        del tiles["WEIGHT_SPECTRUM"]
    with opened(incoming.ms) as table:
        create_like(table, output, tiles)
        scale = np.float32(raw_scale(table.getcolkeywords("DATA")))
    large = ["DATA", "WEIGHT_SPECTRUM"] if vary else ["DATA"]
    add_rows(output, n_rows, large)
    data = NewColumn(output, "DATA")
    spectrum = NewColumn(output, "WEIGHT_SPECTRUM") if vary else None
    observed = Observed(
        ms=incoming.ms,
        rows=np.arange(n_rows),
        first=first,
        second=second,
        field=field,
        description=description,
        time_s=columns.pop("TIME"),
        interval_s=columns.pop("INTERVAL"),
        # Rotated in place to the phase centre.
        uvw_m=columns.pop("UVW").copy(),
        channels_hz={n: frequencies[n] for n in np.unique(description).tolist()},
        data=np.empty((0, n_channels, n_correlations), np.complex64),
        # What isn't read is missing.
        flag=np.ones((n_rows, n_channels, n_correlations), np.bool_),
        weight=(
            np.empty((n_rows, 1, n_correlations), np.float32)
            if spectrum is None
            else spectrum.place(slice(None))
        ),
        columns=columns,
    )
    # The factors of the weights, until these are known.
    observed.weight[...] = 1.0
    change = prepare(observed)
    flagged = np.full(n_rows, n_channels * n_correlations, np.int64)
    received = np.zeros(n_rows, np.bool_)

    def receive(rows: slice, cells: Cells) -> None:
        if cells.weight.shape[1] > 1 and not vary:
            raise WeightsVary
        received[rows] = True
        flagged[rows] = cells.n_flagged
        observed.weight[rows] *= cells.weight if scale == 1 else cells.weight / scale**2
        observed.flag[rows] = cells.flag
        if scale != 1:
            np.multiply(cells.data, scale, out=cells.data)
        change(rows, cells.data)
        data.put(rows.start, cells.data)

    incoming.read(receive)
    observed.weight[~received] = 0.0
    observed.data = data.array()
    if spectrum is not None:
        observed.weight = spectrum.array()
    return observed, flagged
