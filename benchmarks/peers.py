"""The peers, called as without this platform. Runs in CASA processes.

Belongs here: plain applycal, tclean, flagdata, gaincal, bandpass and WSClean, timed.
Doesn't: the platform's steps, which are measured as they are.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, measured

#: CLEAN iterations of the peers' images.
N_ITERATIONS = 1000


@dataclass(frozen=True)
class PeerImage:
    """Request of an image from a peer."""

    ms: Path  #: The MS that arrived; a copy of it is calibrated.
    one_center: Path  #: The calibrated MS with one phase centre, for WSClean.
    tables: tuple[Path, ...]  #: Caltables in apply order.
    size: int  #: Pixels per side.
    cell_arcsec: float  #: Pixel, arcsec.
    phase_center_deg: tuple[float, float]  #: Of the image, ICRS degrees.
    noise_jy: float  #: Expected noise, Jy/beam; CLEAN stops at four times it.
    n_iterations: int = N_ITERATIONS  #: Maximum number of CLEAN iterations.


def casa_applies_and_images(task: PeerImage) -> Measured:
    """Time applycal and tclean with the standard gridder, which misplaces sources, but is fast."""
    copy = copied(task.ms)

    def work() -> None:
        applycal(copy, task.tables)
        tclean(copy, task, "corrected")

    return measured(work)


def casa_applies_and_wsclean_images(task: PeerImage) -> Measured:
    """Time applycal, and WSClean on data that were shifted to one phase centre before."""
    copy = copied(task.ms)

    def work() -> None:
        applycal(copy, task.tables)
        wsclean(task)

    return measured(work)


def casa_flags(ms: Path) -> Measured:
    """Time tfcrop and rflag on a copy of a calibrated MS without RFI flags."""
    from contimg_resources.calibration.flagging.rfi import flag_interference

    copy = copied(ms)
    return measured(lambda: flag_interference(copy, one_direction=True))


@dataclass(frozen=True)
class PeerSolve:
    """A plain solve."""

    ms: Path  #: Calibrator observation.
    calibrator: str  #: Name on the flux scale.
    ra_deg: float  #: Its position, ICRS degrees.
    dec_deg: float  #: Its position, ICRS degrees.
    refant: str  #: Reference antenna by name.
    short_interval_s: float  #: Solution interval of the short gains, seconds.


def casa_solves(task: PeerSolve) -> Measured:
    """Time gaincal and bandpass for K, B, G and 2G; the phase shift and the model are not timed."""
    import casatasks

    from contimg_resources.calibration.solve.phasing import merge_fields, phase_to, read_fields
    from contimg_resources.calibration.solve.skymodel import write_point_model
    from contimg_resources.observations.calibrators import CalibratorList

    run: Any = casatasks
    work_ms = Path("work.ms").resolve()
    fields = read_fields(task.ms)
    rows = phase_to(task.ms, work_ms, task.ra_deg, task.dec_deg)
    calibrator = CalibratorList().find(task.calibrator)
    away = fields.separations_rad(task.ra_deg, task.dec_deg)
    write_point_model(work_ms, calibrator, separations_rad=away[rows])
    merge_fields(work_ms, task.calibrator)
    common = {"vis": str(work_ms), "refant": task.refant, "minsnr": 3.0}
    short = f"{task.short_interval_s:g}s"

    def work() -> None:
        run.gaincal(**common, caltable="k", gaintype="K", solint="inf", combine="scan")
        run.gaincal(**common, caltable="p", calmode="p", solint=short, gaintable=["k"])
        run.bandpass(
            **common, caltable="b", solint="inf", combine="scan", gaintable=["k", "p"], solnorm=True
        )
        run.gaincal(**common, caltable="g", solint="inf", combine="scan", gaintable=["k", "b"])
        run.gaincal(**common, caltable="2g", solint=short, gaintable=["k", "b", "g"])

    return measured(work)


def applycal(ms: Path, tables: tuple[Path, ...]) -> None:
    """Run applycal on an MS, which is changed."""
    import casatasks

    run: Any = casatasks
    run.applycal(
        vis=str(ms),
        gaintable=[str(t) for t in tables],
        interp=["nearest"] * len(tables),
        calwt=False,
        applymode="calflag",
        flagbackup=False,
    )


def tclean(ms: Path, task: PeerImage, column: str) -> None:
    """Run tclean on a column (``data`` or ``corrected``) of an MS; it makes ``peer.image``..."""
    import casatasks

    run: Any = casatasks
    ra_deg, dec_deg = task.phase_center_deg
    run.tclean(
        vis=str(ms),
        imagename="peer",
        datacolumn=column,
        imsize=[task.size, task.size],
        cell=f"{task.cell_arcsec}arcsec",
        phasecenter=f"ICRS {ra_deg:.10f}deg {dec_deg:.10f}deg",
        specmode="mfs",
        gridder="standard",
        weighting="briggs",
        robust=0.5,
        niter=task.n_iterations,
        threshold=f"{4 * task.noise_jy}Jy",
        pblimit=-1e-6,
    )


def wsclean(task: PeerImage) -> None:
    """Run WSClean on the MS with one phase centre; it makes ``peer-image.fits``..."""
    subprocess.run(
        (
            *("wsclean", "-name", "peer", "-field", "all", "-data-column", "DATA"),
            *("-size", str(task.size), str(task.size), "-scale", f"{task.cell_arcsec}asec"),
            *("-weight", "briggs", "0.5", "-niter", str(task.n_iterations), "-mgain", "0.8"),
            *("-threshold", str(4 * task.noise_jy), "-pol", "I", "-no-update-model-required"),
            str(task.one_center),
        ),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def copied(ms: Path) -> Path:
    """Return a copy of an MS in the working directory, flushed to disk."""
    copy = Path(f"copy-of-{ms.name}").resolve()
    shutil.copytree(ms, copy)
    # Flushing the copy to disk must not count as time of the measured work.
    os.sync()
    return copy
