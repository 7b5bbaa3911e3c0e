"""Run solver tasks on parts of the data in parallel processes. Runs in a CASA process.

Belongs here: calling gaincal or bandpass once for each part, and joining the tables.
Doesn't: the parameters of the calls (see `.chain`), or defining the parts (see `.working`).
"""

import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.casa.tasks import call_task
from contimg_resources.core.errors import CasaCrashed, CasaError


@dataclass(frozen=True)
class SolverCall:
    """One call of a solver task."""

    task: str  #: ``gaincal`` or ``bandpass``.
    parameters: dict[str, Any]  #: All its parameters but ``vis`` and ``caltable``.


class SolverPool:
    """Solves parts in parallel; a context manager that ends its processes.

    With one process, tasks run in this process.
    """

    def __init__(self, n_processes: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._ready: list[Future[None]] = []
        if n_processes > 1:
            # Nothing is shared with this process, whose threads would not survive a fork.
            self._pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"))
            # CASA takes a second to load: do it while the data are read.
            self._ready = [self._pool.submit(_load_casa) for _ in range(n_processes)]

    def __enter__(self) -> "SolverPool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def solve(self, call: SolverCall, parts: Sequence[Path], table: Path) -> None:
        """Solve all parts and join their solutions in one table.

        The parts are MS of different spectral windows, with the same subtables. The table doesn't
        exist afterwards when no part has a solution.

        Raises
        ------
        RuntimeError
            If the task raised; with its message.
        CasaCrashed
            If a process died.
        """
        if len(parts) == 1 or self._pool is None:
            pieces = [_solve(call, part, _piece(table, k)) for k, part in enumerate(parts)]
        else:
            try:
                jobs = [
                    self._pool.submit(_solve, call, part, _piece(table, k))
                    for k, part in enumerate(parts)
                ]
                pieces = [job.result() for job in jobs]
            except BrokenProcessPool as death:
                raise CasaCrashed(f"a process of {call.task} died: {death}") from death
        _join([piece for piece in pieces if piece.is_dir()], table)


def _piece(table: Path, number: int) -> Path:
    return table.with_name(f"{table.name}.part{number}")


def _load_casa() -> None:
    import casatasks  # noqa: F401


def _solve(call: SolverCall, part: Path, table: Path) -> Path:
    import casatasks

    try:
        # A task formats its return value for its log: ten thousand arrays took a tenth of the
        # time.
        with np.printoptions(override_repr=_shape):
            task = getattr(casatasks, call.task)
            call_task(task, vis=str(part), caltable=str(table), **call.parameters)
    except CasaError as error:
        raise RuntimeError(error.message) from None
    return table


def _shape(array: NDArray[Any]) -> str:
    return f"array of {array.shape}"


def _join(pieces: Sequence[Path], table: Path) -> None:
    import casatools

    if not pieces:
        return
    shutil.move(pieces[0], table)
    tb: Any = casatools.table()
    for piece in pieces[1:]:
        tb.open(str(piece))
        try:
            tb.copyrows(str(table))
        finally:
            tb.close()
        shutil.rmtree(piece)
