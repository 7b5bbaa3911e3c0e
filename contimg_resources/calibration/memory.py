"""Calibrate an observation in memory: read it once, write it once.

Belongs here: the order of reading, applying, turning, flagging and writing.
Doesn't: the factors (see `.jones`), the geometry (see `.rotation`), the loops (see
`.visibility_loops`), what interference is (see `.fast_flagging`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.calibration.callib import TableToApply, map_windows
from contimg_resources.calibration.fast_flagging import (
    WindowInMemory,
    flag_interference_in_memory,
)
from contimg_resources.calibration.health import channel_frequencies_hz
from contimg_resources.calibration.jones import (
    TableSolutions,
    combine,
    has_channels,
    read_table,
    same_channels,
)
from contimg_resources.calibration.large_columns import read_large, write_large
from contimg_resources.calibration.ms_layout import (
    bands_with_solutions,
    channels_of_windows_hz,
    read_bands,
)
from contimg_resources.calibration.new_ms import create_like
from contimg_resources.calibration.rfi import FlagCount
from contimg_resources.calibration.rotation import rotate_uvw
from contimg_resources.calibration.visibility_loops import (
    all_flagged,
    any_good,
    correct,
    count_flagged,
)
from contimg_resources.errors import CasaError, UnreadableObservation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Receptors of first and second antenna by CASA's code of a correlation (RR ... LL, XX ... YY).
_RECEPTORS = {5: (0, 0), 6: (0, 1), 7: (1, 0), 8: (1, 1)}
_RECEPTORS |= {code + 4: pair for code, pair in _RECEPTORS.items()}
#: Rows of a tile: a tile of 48 channels and 2 correlations is 0.8 MB.
_TILE_ROWS = 1024
#: Columns that aren't copied as they are.
_OWN = ("DATA", "FLAG", "WEIGHT", "SIGMA", "UVW", "FLAG_ROW", "FLAG_CATEGORY")


@dataclass(eq=False)
class Window:
    """The rows of one data description, in memory.

    Parameters
    ----------
    rows : ndarray of int, shape (n_rows,)
        Their numbers in the MS.
    channels_hz : ndarray of float, shape (n_channels,)
        Channel centres, Hz.
    data : ndarray of complex64, shape (n_rows, n_channels, n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        Flags.
    weight : ndarray of float32, shape (n_rows, n_correlations)
        Weights.
    """

    rows: Ints
    channels_hz: NDArray[np.float64]
    data: NDArray[np.complex64]
    flag: NDArray[np.bool_]
    weight: NDArray[np.float32]


@dataclass(eq=False)
class Observed:
    """The cross-correlations of an MS in memory.

    Parameters
    ----------
    ms : Path
        Where they came from.
    rows : ndarray of int, shape (n_rows,)
        Numbers of the rows that are kept, ascending.
    first, second, field, description : ndarray of int, shape (n_rows,)
        ANTENNA1, ANTENNA2, FIELD_ID and DATA_DESC_ID of them.
    time_s : ndarray of float, shape (n_rows,)
        TIME, MJD in seconds.
    uvw_m : ndarray of float, shape (n_rows, 3)
        UVW, metres.
    windows : dict of int to Window
        By data description id.
    """

    ms: Path
    rows: Ints
    first: Ints
    second: Ints
    field: Ints
    description: Ints
    time_s: NDArray[np.float64]
    uvw_m: NDArray[np.float64]
    windows: dict[int, Window]

    def working_antenna_ids(self) -> frozenset[int]:
        """Return the antennas with any unflagged visibility that isn't zero."""
        found: set[int] = set()
        for number, window in self.windows.items():
            rows = np.flatnonzero(self.description == number)[any_good(window.data, window.flag)]
            found.update(map(int, np.unique([self.first[rows], self.second[rows]])))
        return frozenset(found)

    def counted(self, antenna_ids: Collection[int]) -> FlagCount:
        """Count the flags on baselines between the antennas `antenna_ids`."""
        wanted = np.fromiter(antenna_ids, dtype=np.int64)
        both = np.isin(self.first, wanted) & np.isin(self.second, wanted)
        total = flagged = 0
        for number, window in self.windows.items():
            mine = np.ascontiguousarray(both[self.description == number])
            total += int(mine.sum()) * window.flag.shape[1] * window.flag.shape[2]
            flagged += count_flagged(window.flag, mine)
        return FlagCount(total, flagged)


def why_not(ms: Path, tables: Sequence[TableToApply]) -> str:
    """Say why an MS can't be calibrated in memory; empty when it can. Needs CASA."""
    import casatools

    if any(table.gain_field for table in tables):
        return "a table is applied field by field"
    tb = casatools.table()
    tb.open(str(ms))
    try:
        columns = tb.colnames()
    finally:
        tb.close()
    if "WEIGHT_SPECTRUM" in columns:
        return "its weights have a spectrum"
    ours = channels_of_windows_hz(ms)
    if not all(np.allclose(np.diff(c), np.diff(c)[:1], rtol=1e-6) for c in ours.values()):
        return "its channels aren't evenly spaced"
    return next(filter(None, (_why_not_table(ms, ours, table) for table in tables)), "")


def _why_not_table(ms: Path, ours_hz: Mapping[int, Floats], table: TableToApply) -> str:
    if not has_channels(table.path):
        return ""
    if not table.interpolation_frequency.endswith("flag"):
        return f"flagged channels of {table.path.name} are filled in"
    theirs_hz = channels_of_windows_hz(table.path)
    spwmap = map_windows(read_bands(ms), bands_with_solutions(table.path), table.path)
    if all(same_channels(theirs_hz[spwmap[w]], channels) for w, channels in ours_hz.items()):
        return ""
    return f"{table.path.name} has other channels"


def read_observed(ms: Path, field_ids: Collection[int]) -> Observed:
    """Read the cross-correlations of some fields. Runs in a CASA process."""
    import casatools

    frequencies = channel_frequencies_hz(ms)
    tb = casatools.table()
    tb.open(str(ms))
    try:
        first, second, field, description = (
            np.asarray(tb.getcol(name), np.int64)
            for name in ("ANTENNA1", "ANTENNA2", "FIELD_ID", "DATA_DESC_ID")
        )
        kept = np.flatnonzero((first != second) & np.isin(field, list(field_ids)))
        time_s = np.asarray(tb.getcol("TIME"))[kept]
        uvw_m = np.asarray(tb.getcol("UVW")).T[kept]
        flag_row = np.asarray(tb.getcol("FLAG_ROW"))
        sigma = np.asarray(tb.getcol("SIGMA")).T
        rows = {int(n): kept[description[kept] == n] for n in np.unique(description[kept])}
        data, flag = (read_large(tb, ms, name, rows) for name in ("DATA", "FLAG"))
    finally:
        tb.close()
    return Observed(
        ms=ms,
        rows=kept,
        first=first[kept],
        second=second[kept],
        field=field[kept],
        description=description[kept],
        time_s=time_s,
        uvw_m=np.ascontiguousarray(uvw_m),
        windows={
            number: Window(
                rows=mine,
                channels_hz=frequencies[number],
                data=data[number],
                flag=flag[number] | flag_row[mine][:, None, None],
                weight=_weights_of(sigma[mine]),
            )
            for number, mine in rows.items()
        },
    )


def _weights_of(sigma: NDArray[Any]) -> NDArray[np.float32]:
    """Return the weights of DATA; WEIGHT may be of corrected data that were here before."""
    weight = np.zeros(sigma.shape, np.float32)
    np.divide(1.0, sigma.astype(np.float64) ** 2, out=weight, where=sigma > 0, casting="same_kind")
    return weight


def calibrate_in_memory(
    observed: Observed,
    tables: Sequence[TableToApply],
    maps: Sequence[Sequence[int]],
    receptors: dict[int, Ints],
    directions_rad: NDArray[np.float64],
    center_rad: tuple[float, float] | None,
) -> None:
    """Apply tables and turn all fields to one phase centre, in place.

    Parameters
    ----------
    observed : Observed
        Data, flags, weights and UVW are changed.
    tables : sequence of TableToApply
        The tables.
    maps : sequence of sequence of int
        For each table the window that serves each spectral window of the MS.
    receptors : dict of int to ndarray, shape (n_correlations, 2)
        By data description id (see `read_receptors`).
    directions_rad : ndarray of float, shape (n_fields, 2)
        Phase centres of the fields, radians.
    center_rad : (float, float), optional
        The new phase centre, in the frame of the fields; None: they stay.
    """
    read = [read_table(table) for table in tables]
    n_antennas = 1 + int(max(observed.first.max(), observed.second.max()))
    n_antennas = max([n_antennas, *(int(t.solutions.antennas.max()) + 1 for t in read)])
    times_s, when = np.unique(observed.time_s, return_inverse=True)
    path_s = np.zeros(observed.rows.size)
    if center_rad is not None:
        for field in np.unique(observed.field):
            mine = observed.field == field
            old = float(directions_rad[field, 0]), float(directions_rad[field, 1])
            observed.uvw_m[mine], path_m = rotate_uvw(observed.uvw_m[mine], old, center_rad)
            path_s[mine] = path_m / speed_of_light
    windows_of = _window_ids(observed.ms)
    for number, window in observed.windows.items():
        served: list[tuple[TableSolutions, int]] = [
            (table, spwmap[windows_of[number]]) for table, spwmap in zip(read, maps, strict=True)
        ]
        jones = combine(served, n_antennas, times_s, window.channels_hz)
        mine = observed.description == number
        pairs = receptors[number]
        _check_shape(observed.ms, number, window, len(pairs))
        first, second, time = observed.first[mine], observed.second[mine], when[mine]
        correct(
            window.data,
            window.flag,
            first,
            second,
            time.astype(np.int64),
            path_s[mine],
            window.channels_hz,
            pairs,
            1 / jones.factor,
            jones.flag,
        )
        for p, (a, b) in enumerate(pairs):
            window.weight[:, p] *= jones.weight[time, first, a] * jones.weight[time, second, b]


def _check_shape(ms: Path, number: int, window: Window, n_correlations: int) -> None:
    """Refuse data of another shape than the subtables say: compiled loops don't look."""
    told = window.channels_hz.size, n_correlations
    if window.data.shape[1:] != told:
        raise UnreadableObservation(
            f"{ms}: data description {number} has {told[0]} channels and {told[1]} correlations, "
            f"its data {window.data.shape[1]} and {window.data.shape[2]}",
            path=str(ms),
        )


def flag_rfi_in_memory(observed: Observed) -> None:
    """Flag interference in calibrated data in memory, in place."""
    times, when = np.unique(observed.time_s, return_inverse=True)
    n_antennas = 1 + int(observed.second.max())
    baselines, which = np.unique(observed.first * n_antennas + observed.second, return_inverse=True)
    cells = when * baselines.size + which
    grids, places = [], []
    for number, window in observed.windows.items():
        place = cells[observed.description == number]
        shape = (times.size, baselines.size, *window.data.shape[1:])
        if np.array_equal(place, np.arange(times.size * baselines.size)):
            grid = WindowInMemory(
                window.channels_hz, window.data.reshape(shape), window.flag.reshape(shape)
            )
        else:
            data = np.zeros((times.size * baselines.size, *shape[2:]), np.complex64)
            flag = np.ones(data.shape, np.bool_)
            data[place], flag[place] = window.data, window.flag
            grid = WindowInMemory(window.channels_hz, data.reshape(shape), flag.reshape(shape))
        grids.append(grid)
        places.append(place)
    flag_interference_in_memory(grids)
    for window, grid, place in zip(observed.windows.values(), grids, places, strict=True):
        window.flag = grid.flag.reshape(-1, *window.flag.shape[1:])[place]


def write_observed(
    observed: Observed, output: Path, center_rad: tuple[float, float] | None
) -> None:
    """Write an MS of what is in memory; everything else is as in the MS it came from."""
    import casatools

    source, target = casatools.table(), casatools.table()
    source.open(str(observed.ms))
    try:
        create_like(source, output, _tiles(observed), one_shape=_one_shape(observed))
        target.open(str(output), nomodify=False)
        target.addrows(observed.rows.size)
        everything = observed.rows.size == source.nrows()
        for name in target.colnames():
            if name not in _OWN:
                column = source.getcol(name)
                target.putcol(name, column if everything else column[..., observed.rows])
        target.putcol("UVW", observed.uvw_m.T)
        parts = {n: np.flatnonzero(observed.description == n) for n in observed.windows}
        n_correlations = next(iter(observed.windows.values())).weight.shape[1]
        weight = np.zeros((observed.rows.size, n_correlations))
        flag_row = np.zeros(observed.rows.size, np.bool_)
        for number, window in observed.windows.items():
            weight[parts[number]] = window.weight
            flag_row[parts[number]] = all_flagged(window.flag)
        sigma = np.full(weight.shape, -1.0)
        np.divide(1.0, np.sqrt(weight), out=sigma, where=weight > 0)
        target.putcol("WEIGHT", weight.T)
        target.putcol("SIGMA", sigma.T)
        target.putcol("FLAG_ROW", flag_row)
        windows = observed.windows.items()
        write_large(target, output, "DATA", {n: (parts[n], w.data) for n, w in windows})
        write_large(target, output, "FLAG", {n: (parts[n], w.flag) for n, w in windows})
        target.close()
        if center_rad is not None:
            target.open(str(output / "FIELD"), nomodify=False)
            for i in range(target.nrows()):
                cell = target.getcell("PHASE_DIR", i)
                cell[:, 0] = center_rad
                target.putcell("PHASE_DIR", i, cell)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{output} can't be written: {said}", path=str(observed.ms)) from error
    finally:
        source.close()
        target.close()


def read_receptors(ms: Path) -> dict[int, Ints]:
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


def _window_ids(ms: Path) -> Ints:
    import casatools

    tb = casatools.table()
    tb.open(str(ms / "DATA_DESCRIPTION"))
    try:
        return np.asarray(tb.getcol("SPECTRAL_WINDOW_ID"), np.int64)
    finally:
        tb.close()


def _tiles(observed: Observed) -> dict[str, list[int]]:
    n_channels, n_correlations = next(iter(observed.windows.values())).data.shape[1:]
    large = [n_correlations, n_channels, _TILE_ROWS]
    small = [n_correlations, _TILE_ROWS * n_channels]
    return {"DATA": large, "FLAG": large, "WEIGHT": small, "SIGMA": small}


def _one_shape(observed: Observed) -> bool:
    return len({window.data.shape[1:] for window in observed.windows.values()}) == 1
