"""A small MS of visibilities divided by their model and averaged. Runs in a CASA process.

Belongs here: its rows and the contents of its subtables. Doesn't: averaging (see
`.visibility_loops`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.ms.new import create_like
from contimg_resources.core.arrays import Complexes, Floats, Ints, Singles

_TILE_ROWS = 1024


@dataclass(frozen=True)
class Averaged:
    """The averages of one spectral window."""

    channels_hz: Floats  #: Centres of the averaged channels, Hz. Shape (n_cells,).
    widths_hz: Floats  #: Widths of the averaged channels, Hz. Shape (n_cells,).
    #: Visibilities divided by their model: 1 where everything is known. Shape (n_intervals,
    #: n_baselines, n_cells, n_correlations).
    data: Complexes
    weight: Singles  #: Their weights; 0: there are no data. Same shape.
    model: Complexes | None  #: The model of `data`; None: 1 everywhere. Same shape.


@dataclass(frozen=True)
class AveragedRows:
    """Properties that the rows of all windows share."""

    first: Ints  #: First antenna ids. Shape (n_baselines,).
    second: Ints  #: Second antenna ids. Shape (n_baselines,).
    times_s: Floats  #: Middle of the intervals, MJD in seconds. Shape (n_intervals,).
    lengths_s: Floats  #: Length of the intervals, seconds. Shape (n_intervals,).


def write_averaged_ms(
    source: Path,
    output: Path,
    rows: AveragedRows,
    windows: Mapping[int, Averaged],
    chosen: Sequence[int],
    field_name: str,
    center_rad: tuple[float, float],
) -> None:
    """Write the averages as an MS of one field and one scan; without a model CASA uses 1 Jy.

    Parameters
    ----------
    source : Path
        The MS of the original data; its subtables are copied.
    output : Path
        Path of the MS to write.
    rows : AveragedRows
        Baselines and intervals.
    windows : mapping of int to Averaged
        Averages by data description id.
    chosen : sequence of int
        Data descriptions with rows; the subtables describe all of them, so that caltables of
        different parts of the windows can be joined.
    field_name : str
        Name of the one field.
    center_rad : (float, float)
        Its phase centre, in the frame of the fields.

    Notes
    -----
    UVW stays zero: no solver uses it.
    """
    import casatools

    original, target = casatools.table(), casatools.table()
    original.open(str(source))
    try:
        some = windows[chosen[0]]
        tile = [some.data.shape[3], some.data.shape[2], _TILE_ROWS]
        create_like(original, output, {"DATA": tile, "FLAG": tile})
    finally:
        original.close()
    n_intervals, n_baselines = rows.times_s.size, rows.first.size
    block = n_intervals * n_baselines
    target.open(str(output), nomodify=False)
    try:
        target.addcols(*_large_column("WEIGHT_SPECTRUM", "float", tile))
        if some.model is not None:
            target.addcols(*_large_column("MODEL_DATA", "complex", tile))
        target.addrows(block * len(chosen))
        repeated: dict[str, NDArray[Any]] = {
            "ANTENNA1": np.tile(rows.first, n_intervals),
            "ANTENNA2": np.tile(rows.second, n_intervals),
            "TIME": np.repeat(rows.times_s, n_baselines),
            "TIME_CENTROID": np.repeat(rows.times_s, n_baselines),
            "INTERVAL": np.repeat(rows.lengths_s, n_baselines),
            "EXPOSURE": np.repeat(rows.lengths_s, n_baselines),
            "SCAN_NUMBER": np.ones(block, np.int32),
            "UVW": np.zeros((3, block)),
        }
        for name, values in repeated.items():
            kind = np.float64 if values.dtype.kind == "f" else np.int32
            target.putcol(name, np.tile(values, len(chosen)).astype(kind))
        for k, number in enumerate(sorted(chosen)):
            window = windows[number]
            shape = (block, *window.data.shape[2:])
            data, weight = window.data.reshape(shape), window.weight.reshape(shape)
            known = weight > 0
            # The weight of a row is that of one channel.
            mean = np.where(
                known.any(axis=1), weight.sum(axis=1) / np.maximum(known.sum(axis=1), 1), 0
            )
            sigma = np.where(mean > 0, 1 / np.sqrt(np.where(mean > 0, mean, 1)), -1)
            columns: dict[str, Any] = {
                "DATA_DESC_ID": np.full(block, number, np.int32),
                "DATA": data.T,
                "FLAG": ~known.T,
                "WEIGHT_SPECTRUM": weight.T,
                "WEIGHT": mean.T.astype(np.float32),
                "SIGMA": sigma.T.astype(np.float32),
                "FLAG_ROW": ~known.any(axis=(1, 2)),
            }
            if window.model is not None:
                columns["MODEL_DATA"] = window.model.reshape(shape).T
            for name, values in columns.items():
                target.putcol(name, values, k * block, block)
    finally:
        target.close()
    _rewrite_windows(output, windows)
    _rewrite_field(output, field_name, center_rad)


def _large_column(name: str, kind: str, tile: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description of a column of matrices and its storage manager."""
    storage, group = "TiledShapeStMan", f"own_{name}"
    column = {
        "valueType": kind,
        "dataManagerType": storage,
        "dataManagerGroup": group,
        "option": 0,
        "maxlen": 0,
        "ndim": 2,
        "comment": "",
    }
    manager = {
        "COLUMNS": [name],
        "NAME": group,
        "TYPE": storage,
        "SEQNR": 0,
        "SPEC": {"DEFAULTTILESHAPE": tile},
    }
    return {name: column}, {"*1": manager}


def _rewrite_windows(ms: Path, windows: Mapping[int, Averaged]) -> None:
    import casatools

    tb: Any = casatools.table()
    tb.open(str(ms / "DATA_DESCRIPTION"))
    described = [int(w) for w in tb.getcol("SPECTRAL_WINDOW_ID")]
    tb.close()
    tb.open(str(ms / "SPECTRAL_WINDOW"), nomodify=False)
    try:
        for number, window in windows.items():
            row = described[number]
            if tb.getcell("NUM_CHAN", row) == window.channels_hz.size:
                continue
            tb.putcell("NUM_CHAN", row, window.channels_hz.size)
            tb.putcell("CHAN_FREQ", row, window.channels_hz)
            for name in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
                sign = np.sign(np.ravel(tb.getcell(name, row))[0])
                tb.putcell(name, row, sign * window.widths_hz)
    finally:
        tb.close()


def _rewrite_field(ms: Path, name: str, center_rad: tuple[float, float]) -> None:
    import casatools

    tb: Any = casatools.table()
    tb.open(str(ms / "FIELD"), nomodify=False)
    try:
        tb.putcell("NAME", 0, name)
        cell = np.asarray(tb.getcell("PHASE_DIR", 0))
        cell[:, 0] = center_rad
        tb.putcell("PHASE_DIR", 0, cell)
    finally:
        tb.close()
