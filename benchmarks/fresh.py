"""Work in a separate process, without CASA.

Belongs here: starting that process, its peak memory. Doesn't: the work.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from benchmarks.measure import Measured
from contimg_resources.core.errors import BenchFailed

A = TypeVar("A")
R = TypeVar("R")

_GB_PER_KB = 1024 / 1e9


def in_fresh_process(function: Callable[[A], R], argument: A) -> R:
    """Call a function of a module in a new interpreter, and return its result.

    The function is imported by its module and name; the argument is pickled.

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
    """Do a piece of work and return its result, with its time and the memory of this process.

    Notes
    -----
    ``ru_maxrss`` starts at the peak of the parent process, so the peak is read from the kernel's
    record of this program alone.
    """
    began_s = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began_s
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return result, Measured(seconds, int(peak[1]) * _GB_PER_KB if peak else float("nan"))
