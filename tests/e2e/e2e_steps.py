"""Steps that these tests run in CASA processes."""

from pathlib import Path

import numpy as np


def flag_most(ms: Path) -> None:
    """Flag three quarters of an MS at random."""
    from casatools import table

    tb = table()
    tb.open(str(ms), nomodify=False)
    flags = tb.getcol("FLAG")
    flags |= np.random.default_rng(1).random(flags.shape) < 0.75
    tb.putcol("FLAG", flags)
    tb.close()
