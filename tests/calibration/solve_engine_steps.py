"""Steps that compare the engines which solve caltables, and what these steps spoil for it."""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from contimg_resources.calibration.ms.layout import read_bands
from contimg_resources.calibration.ms.new import create_like
from contimg_resources.calibration.solve import solving, working_memory
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.calibration.solve.solver_pool import SolverCall, SolverPool
from tests.calibration.casa_steps import DumpRequest, dump_solutions


@dataclass(frozen=True)
class FlagWindow:
    ms: Path
    copy: Path
    window: int


def flag_window(request: FlagWindow) -> Path:
    """Copy an MS and flag one of its windows."""
    import casatools

    shutil.copytree(request.ms, request.copy)
    table: Any = casatools.table()
    table.open(str(request.copy), nomodify=False)
    rows = table.query(f"DATA_DESC_ID == {request.window}")
    rows.putcol("FLAG", np.ones_like(rows.getcol("FLAG")))
    rows.close()
    table.close()
    return request.copy


def dump_with_frequencies(request: DumpRequest) -> Path:
    """Write the solutions of tables as `dump_solutions` does, and where each row's window lies."""
    with np.load(dump_solutions(request)) as stored:
        arrays = dict(stored)
    for key, path in request.tables.items():
        centers_hz = np.array([band.center_hz for band in read_bands(path)])
        arrays[f"{key}_hz"] = centers_hz[arrays[f"{key}_windows"]]
    np.savez(request.npz, **arrays)
    return request.npz


def flagged_by_window(ms: Path) -> list[float]:
    """Return which share of each window is flagged, by data description id."""
    import casatools

    table: Any = casatools.table()
    table.open(str(ms))
    numbers, flags = table.getcol("DATA_DESC_ID"), table.getcol("FLAG")
    table.close()
    return [float(flags[..., numbers == n].mean()) for n in np.unique(numbers)]


def solve_in_many_parts(request: SolveRequest) -> SolveResult:
    """Solve in nine parts, two of them of one window (7 and 8), with two processes."""
    with (
        patch.object(working_memory, "n_cores", lambda: 9),
        patch.object(solving, "n_cores", lambda: 2),
    ):
        return solving.solve_caltables(request)


@dataclass(frozen=True)
class CrossHands:
    ms: Path
    copy: Path


def add_cross_hands(request: CrossHands) -> Path:
    """Copy an MS of XX and YY, with XY and YX that hold nothing but noise of 1 Jy."""
    import casatools

    source, target = casatools.table(), casatools.table()
    source.open(str(request.ms))
    n_channels = source.getcell("DATA", 0).shape[1]
    tile = [4, n_channels, 1024]
    create_like(source, request.copy, {"DATA": tile, "FLAG": tile})
    target.open(str(request.copy), nomodify=False)
    target.addrows(source.nrows())
    rng = np.random.default_rng(5)
    for name in target.colnames():
        if name == "FLAG_CATEGORY":
            continue
        column = source.getcol(name)
        if name in ("DATA", "FLAG", "WEIGHT", "SIGMA"):
            column = column[[0, 0, 1, 1]]
        if name == "DATA":
            noise = rng.standard_normal((2, 2, *column.shape[1:]))
            column[1:3] = noise[0] + 1j * noise[1]
        target.putcol(name, column)
    target.close()
    source.close()
    _tell_of_cross_hands(request.copy)
    return request.copy


def _tell_of_cross_hands(ms: Path) -> None:
    import casatools

    table: Any = casatools.table()
    table.open(str(ms / "POLARIZATION"), nomodify=False)
    for row in range(table.nrows()):
        table.putcell("NUM_CORR", row, 4)
        table.putcell("CORR_TYPE", row, [9, 10, 11, 12])
        table.putcell("CORR_PRODUCT", row, np.array([[0, 0, 1, 1], [0, 1, 0, 1]]))
    table.close()


def tell_of_more_hands(request: CrossHands) -> Path:
    """Copy an MS of which the subtables tell that there are four correlations."""
    shutil.copytree(request.ms, request.copy)
    _tell_of_cross_hands(request.copy)
    return request.copy


def keep_autocorrelations(request: CrossHands) -> Path:
    """Copy only the rows of antennas with themselves."""
    import casatools

    table: Any = casatools.table()
    table.open(str(request.ms))
    rows = table.query("ANTENNA1 == ANTENNA2")
    copied = rows.copy(str(request.copy), deep=True)
    copied.close()
    rows.close()
    table.close()
    return request.copy


def outstay_with_solvers(pid_file: Path) -> None:
    """Start solver processes, write their ids, and outstay."""
    with SolverPool(2) as solvers:
        _write_whole(pid_file, " ".join(map(str, _pids(solvers))))
        time.sleep(600)


def lose_a_solver(parts: list[Path]) -> None:
    """Solve with processes of which one has died."""
    with SolverPool(2) as solvers:
        os.kill(_pids(solvers)[0], signal.SIGKILL)
        time.sleep(1)
        solvers.solve(SolverCall("gaincal", {}), parts, Path("table"))


def _pids(solvers: SolverPool) -> list[int]:
    assert solvers._pool is not None
    return sorted(solvers._pool._processes)


def _write_whole(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)
