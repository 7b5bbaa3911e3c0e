"""Flagging a working copy before solving. Runs in a CASA process.

Belongs here: what is flagged and how hard. Doesn't: the input MS, which is never flagged.
"""

from pathlib import Path
from typing import Any

from contimg_resources.calibration.interference import flag_interference

#: Thresholds in units of the local scatter. Noise amplitudes of a short integration are
#: Rayleigh-distributed with a long tail, so CASA's own 3-4 sigma would eat healthy data.
TFCROP_TIME_SIGMA = 5.0
TFCROP_FREQUENCY_SIGMA = 5.0
RFLAG_TIME_SIGMA = 6.0
RFLAG_FREQUENCY_SIGMA = 6.0


#: Autocorrelations; NaN and infinity (clipping without limits flags them); exact zeros.
CERTAIN = ("mode='manual' autocorr=True", "mode='clip' clipzeros=True")

#: What single baselines see.
DETECTORS = (
    "mode='tfcrop' datacolumn='DATA' ntime='scan' timefit='line' freqfit='poly' "
    f"timecutoff={TFCROP_TIME_SIGMA} freqcutoff={TFCROP_FREQUENCY_SIGMA} "
    "maxnpieces=2 usewindowstats='none' extendflags=False",
    "mode='rflag' datacolumn='DATA' ntime='scan' "
    f"timedevscale={RFLAG_TIME_SIGMA} freqdevscale={RFLAG_FREQUENCY_SIGMA} extendflags=False",
)


def flag_before_solving(ms: Path, *, rfi: bool) -> None:
    """Flag a working copy: autocorrelations, zeros, NaN and, when asked, interference.

    Parameters
    ----------
    ms : Path
        Working copy whose integrations share one field and scan, so that tfcrop and rflag see a
        time axis.
    rfi : bool
        Whether to look for interference: first what all baselines see at once, then tfcrop and
        rflag on each.
    """
    for command in CERTAIN:
        _flagdata(ms, command)
    if rfi:
        flag_interference(ms)
        # One pass a command: each detector looks at what the one before has left.
        for command in DETECTORS:
            _flagdata(ms, command)


def _flagdata(ms: Path, command: str) -> None:
    from casatasks import flagdata

    task: Any = flagdata
    task(vis=str(ms), mode="list", inpfile=[command], action="apply", flagbackup=False)
