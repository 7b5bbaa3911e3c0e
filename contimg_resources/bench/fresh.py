"""A piece of work in a process of its own, without CASA.

Belongs here: starting that process, its own peak memory. Doesn't: what is done in it.
"""

import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from contimg_resources.bench.measure import Measured

A = TypeVar("A")
R = TypeVar("R")

_GB_PER_KB = 1024 / 1e9


def in_fresh_process(function: Callable[[A], R], argument: A) -> R:
    """Call a function of a module in a new interpreter, and return what it returns.

    Parameters
    ----------
    function : callable
        Found by its module and name.
    argument : object
        Its argument; pickled.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, argument).result()


def timed_alone(work: Callable[[], R]) -> tuple[R, Measured]:
    """Do a piece of work and return its result, and what it took of this process.

    Notes
    -----
    ``ru_maxrss`` begins with the peak of the process that started this one, so the peak is read
    from the kernel's account of this program alone.
    """
    began_s = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began_s
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return result, Measured(seconds, int(peak[1]) * _GB_PER_KB if peak else float("nan"))
