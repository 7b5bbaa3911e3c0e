"""Flagging a working copy before solving. Runs in a CASA process.

Belongs here: what is flagged before a solve, in which order. Doesn't: the detectors and how hard
they cut (see `.rfi` and `.interference`), nor the input MS, which is never flagged.
"""

from pathlib import Path

from contimg_resources.calibration.interference import flag_shared_interference
from contimg_resources.calibration.rfi import clip_nonsense, flag_interference
from contimg_resources.casa.tasks import call_task


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
    import casatasks

    call_task(casatasks.flagdata, vis=str(ms), mode="manual", autocorr=True, flagbackup=False)
    clip_nonsense(ms)
    if rfi:
        flag_shared_interference(ms)
        flag_interference(ms, one_direction=False)
