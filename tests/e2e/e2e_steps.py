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


def flagged_share(request: tuple[Path, tuple[str, ...]]) -> float:
    """Return the flagged share of an MS, without antennas that had no data on arrival."""
    from casatools import table

    ms, dead = request
    tb = table()
    tb.open(str(ms))
    flags, first, second = (tb.getcol(name) for name in ("FLAG", "ANTENNA1", "ANTENNA2"))
    tb.close()
    tb.open(str(ms / "ANTENNA"))
    working = np.flatnonzero(~np.isin(tb.getcol("NAME"), dead))
    tb.close()
    return float(flags[..., np.isin(first, working) & np.isin(second, working)].mean())
