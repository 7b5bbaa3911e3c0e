"""Flagging a working copy before solving. Runs in a CASA process.

Belongs here: what is flagged and how hard. Doesn't: the input MS, which is never flagged.
"""

from pathlib import Path
from typing import Any

#: Thresholds in units of the local scatter. Noise amplitudes of a short integration are
#: Rayleigh-distributed with a long tail, so CASA's own 3-4 sigma would eat healthy data.
TFCROP_TIME_SIGMA = 5.0
TFCROP_FREQUENCY_SIGMA = 5.0
RFLAG_TIME_SIGMA = 6.0
RFLAG_FREQUENCY_SIGMA = 6.0


def flag_commands(*, rfi: bool) -> list[str]:
    """Return what is flagged, as commands of ``flagdata`` in its list mode.

    Parameters
    ----------
    rfi : bool
        Run tfcrop and rflag after autocorrelations, zeros and values that are not finite.
    """
    commands = [
        "mode='manual' autocorr=True",
        # Clipping without limits flags NaN and infinity; with clipzeros exact zeros too.
        "mode='clip' clipzeros=True",
    ]
    if rfi:
        commands += [
            "mode='tfcrop' datacolumn='DATA' ntime='scan' timefit='line' freqfit='poly' "
            f"timecutoff={TFCROP_TIME_SIGMA} freqcutoff={TFCROP_FREQUENCY_SIGMA} "
            "maxnpieces=2 usewindowstats='none' extendflags=False",
            "mode='rflag' datacolumn='DATA' ntime='scan' "
            f"timedevscale={RFLAG_TIME_SIGMA} freqdevscale={RFLAG_FREQUENCY_SIGMA} "
            "extendflags=False",
        ]
    return commands


def flag_before_solving(ms: Path, *, rfi: bool) -> None:
    """Flag a working copy: autocorrelations, zeros, NaN and, when asked, interference.

    Parameters
    ----------
    ms : Path
        Working copy whose integrations share one field and scan, so that tfcrop and rflag see a
        time axis.
    rfi : bool
        Whether to look for interference.
    """
    from casatasks import flagdata

    task: Any = flagdata
    # One pass a command: each detector looks at what the one before has left.
    for command in flag_commands(rfi=rfi):
        task(vis=str(ms), mode="list", inpfile=[command], action="apply", flagbackup=False)
