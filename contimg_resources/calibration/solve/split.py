"""Split a complex caltable into its amplitude and its phase. Runs in a CASA process.

The two tables hold one solution, so applying both applies it exactly once:
``B = |B| exp(i arg B)``.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa.tables import copy_table


def split_amplitude_phase(table_path: Path, amplitude: Path, phase: Path) -> None:
    """Write ``|g|`` and ``g / |g|`` of a caltable of complex solutions as two new caltables.

    They have the flags and SNR of the original.
    """
    copy_table(table_path, amplitude)
    copy_table(table_path, phase)
    rewrite_gains(amplitude, "amplitude")
    rewrite_gains(phase, "phase")


def rewrite_gains(path: Path, keep: str) -> None:
    """Keep only the ``amplitude`` or the ``phase`` of a caltable's solutions, in place."""
    from casatools import table

    tb: Any = table()
    tb.open(str(path), nomodify=False)
    try:
        for row in range(tb.nrows()):
            gain = np.asarray(tb.getcell("CPARAM", row))
            size = np.abs(gain)
            # Where there is no solution CASA writes 1; an exact 0 would have no phase.
            unit = np.where(size > 0, gain / np.where(size > 0, size, 1), 1)
            tb.putcell("CPARAM", row, size.astype(complex) if keep == "amplitude" else unit)
    finally:
        tb.close()
