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


def flagged_share(ms: Path) -> float:
    """Return the flagged share of the data between antennas that have any."""
    from casatools import table

    tb = table()
    tb.open(str(ms))
    flags, first, second = (tb.getcol(name) for name in ("FLAG", "ANTENNA1", "ANTENNA2"))
    tb.close()
    has_data = ~flags.all(axis=(0, 1))
    working = np.union1d(first[has_data], second[has_data])
    return float(flags[..., np.isin(first, working) & np.isin(second, working)].mean())
