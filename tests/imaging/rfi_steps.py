"""The step that counts what flagging made of an observation with interference."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Pair:
    """Two observations that differ in their interference, as they came and calibrated."""

    clean: Path
    dirty: Path
    calibrated_clean: Path
    calibrated_dirty: Path
    noise_jy: float


@dataclass(frozen=True)
class Flagged:
    """Shares of the data that are unflagged when there is no interference."""

    injected: float
    """What holds more than its noise of interference."""
    kept_of_injected: float
    """Share of that which stays."""
    lost_of_good: float
    """Share that goes of what holds less than a tenth of its noise."""


def count_flagged(pair: Pair) -> Flagged:
    """Compare the data as they came, and the flags of what was made of them."""
    injected = np.abs(_cells(pair.dirty, "DATA") - _cells(pair.clean, "DATA"))
    usable = ~_cells(pair.calibrated_clean, "FLAG")
    flagged = _cells(pair.calibrated_dirty, "FLAG")
    hit = usable & (injected > pair.noise_jy)
    good = usable & (injected < 0.1 * pair.noise_jy)
    return Flagged(
        injected=float(hit.sum() / usable.sum()),
        kept_of_injected=float((~flagged)[hit].mean()),
        lost_of_good=float(flagged[good].mean()),
    )


def _cells(ms: Path, column: str) -> Any:
    import casatools

    table: Any = casatools.table()
    table.open(str(ms))
    order = "DATA_DESC_ID,TIME,ANTENNA1,ANTENNA2"
    rows = table.query("ANTENNA1 != ANTENNA2", sortlist=order)
    cells = rows.getcol(column)
    rows.close()
    table.close()
    return cells
