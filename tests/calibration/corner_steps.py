"""Steps that bring caltables and MS into the corners where engines may differ."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


def corner_tables(tables: list[Path]) -> None:
    """Take rows away, put zeros in, and give both bandpasses amplitudes and flags of their own."""
    import casatools

    rng = np.random.default_rng(9)
    tb = casatools.table()
    for path in tables:
        tb.open(str(path), nomodify=False)
        column = "CPARAM" if "CPARAM" in tb.colnames() else "FPARAM"
        values, flags = tb.getcol(column), tb.getcol("FLAG")
        antenna, window = tb.getcol("ANTENNA1"), tb.getcol("SPECTRAL_WINDOW_ID")
        time = tb.getcol("TIME")
        moment = np.zeros(time.size, int)
        for w in np.unique(window):
            moment[window == w] = np.unique(time[window == w], return_inverse=True)[1]
        gone = np.zeros(time.size, bool)
        kind = path.name.rsplit("_", 1)[1]
        if kind == "kcal":
            flags[0, :, antenna == 4] = True
            gone = antenna == 2
        elif kind == "bacal":
            values *= rng.uniform(0.5, 2, values.shape)
            flags[:, 1, antenna == 3] = True
            values[0, 1, antenna == 5] = 0
        elif kind == "bpcal":
            values *= rng.uniform(0.5, 2, values.shape)
            flags[:, 2, antenna == 3] = True
        elif kind == "gacal":
            values[1, :, (antenna == 6) & (window == 1)] = 0
        elif kind == "2gcal":
            gone = ((antenna == 7) & (moment != 1)) | ((antenna == 8) & (moment < 3))
            gone |= (antenna == 9) & (moment == 2)
            flags[:, :, (antenna == 10) & (moment == 2)] = True
        tb.putcol(column, values)
        tb.putcol("FLAG", flags)
        if gone.any():
            tb.removerows(np.flatnonzero(gone))
        tb.close()


def weights_of_corrected_data(ms: Path) -> None:
    """Give an MS weights that don't follow from SIGMA, as applycal leaves them."""
    import casatools

    tb = casatools.table()
    tb.open(str(ms), nomodify=False)
    weight = tb.getcol("WEIGHT")
    weight[:, ::3] *= 7
    weight[:, ::5] = 0
    tb.putcol("WEIGHT", weight)
    tb.close()


@dataclass(frozen=True)
class Shift:
    caltable: Path
    by_hz: float


def shift_channels(shift: Shift) -> None:
    """Move the channels of a caltable."""
    import casatools

    tb = casatools.table()
    tb.open(str(shift.caltable / "SPECTRAL_WINDOW"), nomodify=False)
    tb.putcol("CHAN_FREQ", tb.getcol("CHAN_FREQ") + shift.by_hz)
    tb.close()
