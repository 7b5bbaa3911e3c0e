"""Make the times of solutions exact. Runs in a CASA process.

Belongs here: moving times by microseconds to the intended ones.
Doesn't: interpolating between solutions (see `contimg_resources.calibration.apply.jones`).

A solver averages the times of its data in each spectral window and rounds differently every time.
A solution some microseconds after its intended integration leaves that integration also to the
solution before, and to its flags.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Times closer than this are the same, seconds.
_SAME_S = 1e-3


def snapped(times_s: Floats, exact_s: Floats) -> Floats:
    """Return times, replacing those next to an exact one by it; both in seconds."""
    nearest = exact_s[np.abs(times_s[:, None] - exact_s[None, :]).argmin(axis=1)]
    return np.where(np.abs(times_s - nearest) < _SAME_S, nearest, times_s)


def snap_solutions(caltable: Path, exact_s: tuple[float, ...]) -> None:
    """Move the times of a caltable, which is changed in place, to exact ones.

    These are MJD in seconds; if there are none, nothing is moved.
    """
    from casatools import table

    if not exact_s:
        return
    tb: Any = table()
    tb.open(str(caltable), nomodify=False)
    try:
        tb.putcol("TIME", snapped(np.asarray(tb.getcol("TIME")), np.asarray(exact_s)))
    finally:
        tb.close()
