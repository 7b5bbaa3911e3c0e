"""Steps that these tests run in CASA processes."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class WindowCut:
    """An MS, and the place of a copy without some of its windows, half an hour later."""

    ms: Path
    copy: Path


def leave_out_windows(cut: WindowCut) -> None:
    """Copy an MS without its first four spectral windows, as if it had been observed later."""
    from casatasks import split
    from casatools import table

    split(str(cut.ms), str(cut.copy), datacolumn="data", spw="4~15", keepflags=True)
    tb = table()
    tb.open(str(cut.copy), nomodify=False)
    for column in ("TIME", "TIME_CENTROID"):
        tb.putcol(column, tb.getcol(column) + 1800.0)
    tb.close()
    tb.open(str(cut.copy / "OBSERVATION"), nomodify=False)
    tb.putcol("TIME_RANGE", tb.getcol("TIME_RANGE") + 1800.0)
    tb.close()
