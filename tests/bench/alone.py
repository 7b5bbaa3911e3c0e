"""What tests have done in a process of its own."""

import os
import signal

import numpy as np

from benchmarks.fresh import timed_alone
from contimg_resources.core.errors import MosaicFailed


def timed_hold(n_bytes: int) -> tuple[int, float]:
    """Hold memory; return its size and the peak of the process, GB."""
    held, took = timed_alone(lambda: int(np.ones(n_bytes, np.uint8).sum()))
    return held, took.peak_gb


def end(number: signal.Signals) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), number)


def refuse(reason: str) -> None:
    """Fail as the platform does."""
    raise MosaicFailed(reason, key="k")
