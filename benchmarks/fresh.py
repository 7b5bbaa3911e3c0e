"""Work in a separate process, without CASA.

Belongs here: starting that process, its peak memory. Doesn't: the work.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import TypeVar

from benchmarks.measure import Measured, peak_bytes
from contimg_resources.core.errors import BenchFailed

A = TypeVar("A")
R = TypeVar("R")


def in_fresh_process(function: Callable[[A], R], argument: A) -> R:
    """Call a function of a module in a new interpreter, and return what it returns.

    Parameters
    ----------
    function : callable
        A function that is imported by its module and name.
    argument : object
        Its argument; pickled.

    Raises
    ------
    BenchFailed
        If the process was killed; exceptions of the function are passed on.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            pid = process.submit(os.getpid).result()
            try:
                return process.submit(function, argument).result()
            except (KeyboardInterrupt, SystemExit):
                # Nobody waits for the answer any more.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                raise
        except BrokenProcessPool as error:
            raise BenchFailed(
                f"the process that ran {function.__name__} was killed: perhaps memory ran short"
            ) from error


def timed_alone(work: Callable[[], R]) -> tuple[R, Measured]:
    """Do a piece of work and return its result, with its time and the memory of this process."""
    began_s = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began_s
    return result, Measured(seconds, peak_bytes() / 1e9)
