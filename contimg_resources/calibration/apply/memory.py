"""An observation in memory: read once, written once.

Belongs here: the arrays in memory, reading and writing them.
Doesn't: calibrating them (see `.correcting`), detecting interference (see
`contimg_resources.calibration.flagging.in_memory`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.flagging.in_memory import (
    WindowInMemory,
    flag_interference_in_memory,
)
from contimg_resources.calibration.flagging.rfi import FlagCount
from contimg_resources.calibration.ms.health import channel_frequencies_hz
from contimg_resources.calibration.ms.large_columns import NewColumn, read_large, write_flags
from contimg_resources.calibration.ms.main_table import Weights, rows_once
from contimg_resources.calibration.ms.new import add_rows, create_like
from contimg_resources.calibration.ms.visibility_loops import (
    all_flagged,
    count_flagged,
    mean_weights,
)
from contimg_resources.casa.tables import opened
from contimg_resources.core.errors import CasaError
from contimg_resources.observations.counting import distinct, in_order
from contimg_resources.observations.meaning import raw_scale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows of a tile: a tile of 48 channels and 2 correlations is 0.8 MB.
_TILE_ROWS = 1024
#: Numeric columns that are written through a memory map.
_VAST = ("DATA", "WEIGHT_SPECTRUM")
#: Columns that aren't copied unchanged.
_OWN = ("DATA", "FLAG", "WEIGHT", "WEIGHT_SPECTRUM", "SIGMA", "FLAG_ROW", "FLAG_CATEGORY")


@dataclass(eq=False)
class Observed:
    """The cross-correlations of an MS in memory, each once, all of one shape."""

    ms: Path  #: The original MS.
    rows: Ints  #: Row numbers of the selected rows, ascending. Shape (n_rows,).
    #: `first`, `second`, `field`, `description`: ANTENNA1, ANTENNA2, FIELD_ID and DATA_DESC_ID of
    #: these rows. Shape (n_rows,).
    first: Ints
    second: Ints
    field: Ints
    description: Ints
    time_s: NDArray[np.float64]  #: TIME, MJD in seconds. Shape (n_rows,).
    interval_s: NDArray[np.float64]  #: INTERVAL, seconds. Shape (n_rows,).
    uvw_m: NDArray[np.float64]  #: UVW, metres. Shape (n_rows, 3).
    #: Channel centres of each data description, Hz. Shape (n_channels,).
    channels_hz: dict[int, Floats]
    #: Visibilities; may be mapped from a file, and must not be changed. Shape (n_rows, n_channels,
    #: n_correlations).
    data: NDArray[np.complex64]
    flag: NDArray[np.bool_]  #: Flags; visibilities without a weight are flagged. Same shape.
    #: Weights: of each channel where they vary along the channels of any row. Shape (n_rows, 1 or
    #: n_channels, n_correlations).
    weight: NDArray[np.float32]
    #: The other columns of the rows; None: those of `ms`.
    columns: Mapping[str, NDArray[Any]] | None = None

    @cached_property
    def moments(self) -> tuple[NDArray[np.float64], Ints]:
        """Return the distinct times, MJD in seconds, ascending, and each row's index among them."""
        return in_order(self.time_s)

    def rows_of(self, number: int) -> Ints:
        """Return the rows of a data description."""
        return np.flatnonzero(self.description == number)

    def counted(self, antenna_ids: Collection[int]) -> FlagCount:
        """Count the flags on baselines between the antennas `antenna_ids`."""
        return self.summed(count_flagged(self.flag), antenna_ids)

    def summed(self, flagged: Ints, antenna_ids: Collection[int]) -> FlagCount:
        """Sum flags counted for each row, shape (n_rows,), on these baselines."""
        both = np.isin(self.first, list(antenna_ids)) & np.isin(self.second, list(antenna_ids))
        n_cells = self.flag.shape[1] * self.flag.shape[2]
        return FlagCount(int(both.sum()) * n_cells, int(flagged[both].sum()))


#: Given the row indices of some visibilities, and those just read, shape (n, n_channels,
#: n_correlations): changes them in place. Called by several threads.
Change = Callable[[slice, NDArray[np.complex64]], None]


#: Called with an engine's data in memory and its MS, which has its data, flags and subtables and
#: receives its other columns meanwhile: starts a task on another core, and returns a function to
#: call when the MS is complete.
Also = Callable[[Observed, Path], Callable[[], None]]


def read_observed(
    ms: Path,
    field_ids: Collection[int],
    prepare: Callable[[Observed], Change] | None = None,
    output: Path | None = None,
) -> Observed:
    """Read the cross-correlations of some fields. Runs in a CASA process.

    Parameters
    ----------
    ms : Path
        The MS; all its windows have one shape.
    field_ids : collection of int
        Rows of its FIELD table to read.
    prepare : callable, optional
        Called with everything but the data; returns the processing of each part of them, which
        runs while the part is in the cache.
    output : Path, optional
        A new MS that receives the data: they are then mapped from its file.

    Raises
    ------
    UnreadableObservation
        If the shape of the data differs from the subtables.
    CasaError
        If the new MS can't be written.
    RuntimeError
        If the MS can't be read.
    """
    frequencies = channel_frequencies_hz(ms)
    with opened(ms) as tb:
        first, second, field, description = (
            np.asarray(tb.getcol(name), np.int64)
            for name in ("ANTENNA1", "ANTENNA2", "FIELD_ID", "DATA_DESC_ID")
        )
        time_s = np.asarray(tb.getcol("TIME"))
        known = {"TIME": time_s, "ANTENNA1": first, "ANTENNA2": second, "DATA_DESC_ID": description}
        wanted = (first != second) & np.isin(field, list(field_ids))
        kept = np.flatnonzero(wanted & rows_once(tb, known))
        numbers = distinct(description[kept]).tolist()
        n_correlations = np.size(tb.getcell("WEIGHT", int(kept[0]))) if kept.size else 0
        shape = (max((frequencies[n].size for n in numbers), default=0), n_correlations)
        observed = Observed(
            ms=ms,
            rows=kept,
            first=first[kept],
            second=second[kept],
            field=field[kept],
            description=description[kept],
            time_s=time_s[kept],
            interval_s=np.asarray(tb.getcol("INTERVAL"))[kept],
            uvw_m=np.ascontiguousarray(np.asarray(tb.getcol("UVW")).T[kept]),
            channels_hz={n: frequencies[n] for n in numbers},
            data=np.empty((0, *shape), np.complex64),
            flag=np.empty((kept.size, *shape), np.bool_),
            weight=np.empty((0, 1, n_correlations), np.float32),
        )
        if not kept.size:
            return observed

        def put_flags(place: int, cells: NDArray[np.bool_]) -> None:
            observed.flag[place : place + len(cells)] = cells

        read_large(tb, ms, "FLAG", kept, shape, put_flags)
        observed.flag[np.asarray(tb.getcol("FLAG_ROW"))[kept]] = True
        weights = Weights(tb, ms, kept, shape)
        if output is not None:
            tiles = tiles_of_columns(shape)
            if not weights.vary:
                del tiles["WEIGHT_SPECTRUM"]
            create_like(tb, output, tiles)
            add_rows(output, kept.size, [name for name in _VAST if name in tiles])
        spectrum = (
            None if output is None or not weights.vary else NewColumn(output, "WEIGHT_SPECTRUM")
        )
        observed.weight = weights.read(None if spectrum is None else spectrum.place(slice(None)))
        scale = raw_scale(tb.getcolkeywords("DATA"))
        if scale != 1:
            observed.weight /= np.float32(scale**2)
        _flag_unweighted(observed)
        change = None if prepare is None else prepare(observed)
        if output is None:
            observed.data = data = np.empty((kept.size, *shape), np.complex64)
            new = None
        else:
            new = NewColumn(output, "DATA")

        def put_data(place: int, cells: NDArray[np.complex64]) -> None:
            part = slice(place, place + len(cells))
            if scale != 1:
                cells = cells * np.float32(scale)
            if change is not None:
                change(part, cells)
            if new is None:
                data[part] = cells
            else:
                new.put(place, cells)

        read_large(tb, ms, "DATA", kept, shape, put_data)
        if new is not None:
            observed.data = new.array()
        if spectrum is not None:
            observed.weight = spectrum.array()
    return observed


def _flag_unweighted(observed: Observed) -> None:
    """Flag visibilities without a weight."""
    if observed.weight.shape[1] > 1:
        np.logical_or(observed.flag, observed.weight <= 0, out=observed.flag)
        return
    bad = observed.weight[:, 0] <= 0
    rows = np.flatnonzero(bad.any(axis=1))
    observed.flag[rows] |= bad[rows][:, None]


def flag_rfi_in_memory(observed: Observed) -> None:
    """Flag interference in calibrated data in memory, in place."""
    times, when = observed.moments
    n_antennas = 1 + int(max(observed.first.max(), observed.second.max()))
    baselines, which = _numbered(observed.first * n_antennas + observed.second)
    windows = []
    for number, channels_hz in observed.channels_hz.items():
        rows = observed.rows_of(number)
        place = np.full((times.size, baselines.size), -1)
        place[when[rows], which[rows]] = rows
        windows.append(WindowInMemory(channels_hz, observed.data, observed.flag, place))
    flag_interference_in_memory(windows)


def _numbered(keys: Ints) -> tuple[Ints, Ints]:
    """Return the distinct keys, small integers, and each element's index among them."""
    there = np.zeros(int(keys.max()) + 1, np.bool_)
    there[keys] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[keys]


def write_center(output: Path, center_rad: tuple[float, float]) -> None:
    """Set one phase centre for all fields of an MS, in their frame, radians."""
    import casatools

    target = casatools.table()
    target.open(str(output / "FIELD"), nomodify=False)
    try:
        for i in range(target.nrows()):
            cell = target.getcell("PHASE_DIR", i)
            cell[:, 0] = center_rad
            target.putcell("PHASE_DIR", i, cell)
    finally:
        target.close()


def write_observed(observed: Observed, output: Path) -> None:
    """Write the rest of an MS that already has its data; other columns are copied from the source.

    Uses one core: the other may be processing the data.

    Parameters
    ----------
    observed : Observed
        Result of `read_observed`.
    output : Path
        The MS that was passed to it.

    Raises
    ------
    CasaError
        If it can't be written.
    """
    import casatools

    source, target = casatools.table(), casatools.table()
    source.open(str(observed.ms), lockoptions={"option": "usernoread"})
    try:
        write_flags(output, observed.flag)
        target.open(str(output), nomodify=False)
        everything = observed.rows.size == source.nrows()
        known = {
            "ANTENNA1": observed.first.astype(np.int32),
            "ANTENNA2": observed.second.astype(np.int32),
            "FIELD_ID": observed.field.astype(np.int32),
            "DATA_DESC_ID": observed.description.astype(np.int32),
            "TIME": observed.time_s,
            "INTERVAL": observed.interval_s,
            "UVW": observed.uvw_m.T,
        }
        for name in target.colnames():
            if name in known:
                target.putcol(name, known[name])
            elif observed.columns is not None and name in observed.columns:
                target.putcol(name, observed.columns[name])
            elif name not in _OWN:
                column = source.getcol(name)
                target.putcol(name, column if everything else column[..., observed.rows])
        weight = mean_weights(observed.weight).astype(np.float64)
        sigma = np.full(weight.shape, -1.0)
        np.divide(1.0, np.sqrt(weight), out=sigma, where=weight > 0)
        target.putcol("WEIGHT", weight.T)
        target.putcol("SIGMA", sigma.T)
        target.putcol("FLAG_ROW", all_flagged(observed.flag))
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{output} can't be written: {said}", path=str(observed.ms)) from error
    finally:
        source.close()
        target.close()


def tiles_of_columns(shape: tuple[int, int]) -> dict[str, list[int]]:
    """Return the tiles of a calibrated MS, for `contimg_resources.calibration.ms.new`.

    Parameters
    ----------
    shape : (int, int)
        Numbers of channels and correlations of a row.
    """
    n_channels, n_correlations = shape
    large = [n_correlations, n_channels, _TILE_ROWS]
    small = [n_correlations, _TILE_ROWS * n_channels]
    baselines = [3, _TILE_ROWS * n_channels]
    tiles = {"DATA": large, "FLAG": large, "WEIGHT_SPECTRUM": large}
    return tiles | {"WEIGHT": small, "SIGMA": small, "UVW": baselines}
