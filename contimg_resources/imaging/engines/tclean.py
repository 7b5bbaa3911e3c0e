"""The imaging engine that uses CASA's tclean.

Belongs here: tclean's parameters, and reading its images. Doesn't: code that other engines share.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa.tasks import call_task
from contimg_resources.core.errors import ImagingFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.imaging.engines.base import Floats, ImagingTask, RawImages
from contimg_resources.imaging.engines.bright import bright_sources
from contimg_resources.imaging.engines.drift import write_steady_copy
from contimg_resources.imaging.model import Beam

#: Maximum phase error (rad) of a w-projection plane for the largest w at the image's edge;
#: a typical w inside the primary beam has a fifth of it. Each plane costs 0.2 s.
_PHASE_ERROR_RAD = 0.6
_PLANES = (8, 256)


@dataclass(frozen=True)
class _Pace:
    """How aggressively CLEAN proceeds."""

    gain: float  #: Loop gain.
    cycle_factor: float  #: tclean's ``cyclefactor``: how early a minor cycle ends.
    cycles: int  #: Major cycles, relative to the maximum of the task.


#: Point sources alone tolerate a larger gain than tclean's 0.1, and deeper minor cycles than its
#: 1.0: this needs fewer major cycles, which take most of the time.
_BOLD = _Pace(gain=0.25, cycle_factor=0.35, cycles=1)
_MAJOR_CYCLES = 5
#: For fields where that diverges: beside a calibrator its residual can't be CLEANed away.
_CAREFUL = _Pace(gain=0.1, cycle_factor=1.5, cycles=3)
#: tclean's stop codes for a peak residual that grew to three times the last, or the lowest, one.
_DIVERGED = (5, 6)

#: The restoring beam is fitted to the main lobe above this. tclean's 0.35 includes the plateau
#: around a sparse array's main lobe; a Gaussian fitted to a source's residual after CLEAN, which
#: has the shape of the main lobe, then gives 0.76 of its flux, and faint sources are too faint.
_MAIN_LOBE = 0.5


class TcleanEngine:
    """tclean with w-projection, Hogbom's minor cycle and multi-frequency synthesis."""

    name = "casa"

    def image(self, task: ImagingTask) -> RawImages:
        """Grid, CLEAN and restore; see `contimg_resources.imaging.engines.base`.

        Raises
        ------
        ImagingFailed
            If CLEAN diverges even with cautious settings.
        """
        bright = bright_sources(task)
        if bright is None:
            return self._deconvolve(task)
        report_progress(f"removing the drift of {len(bright.variation.flux_jy)} sources", 0.4)
        copy = Path("steady.ms").resolve()
        write_steady_copy(task.ms, copy, bright.variation)
        return replace(self._deconvolve(replace(task, ms=copy)), bright=bright)

    def _deconvolve(self, task: ImagingTask) -> RawImages:
        made = self._clean(task, _BOLD)
        if made is None:
            report_progress("CLEAN diverged; restarting with a lower gain")
            made = self._clean(task, _CAREFUL)
        if made is None:
            raise ImagingFailed(
                f"CLEAN of {task.ms} diverges: its residuals grow, so its data or their "
                "calibration are wrong",
                path=str(task.ms),
            )
        return made

    def _clean(self, task: ImagingTask, pace: _Pace) -> RawImages | None:
        """Run tclean; None when it diverges."""
        import casatasks

        name = Path(tempfile.mkdtemp(dir=".")).resolve() / "clean"
        grid = task.grid
        returned = call_task(
            casatasks.tclean,
            product=name.with_suffix(".image"),
            vis=str(task.ms),
            imagename=str(name),
            datacolumn="data",
            field=task.field_selection,
            spw=task.spw_selection,
            uvrange=task.settings.uvrange,
            imsize=[grid.size, grid.size],
            cell=f"{grid.cell_arcsec}arcsec",
            phasecenter=f"ICRS {grid.ra_deg:.10f}deg {grid.dec_deg:.10f}deg",
            specmode="mfs",
            gridder="wproject",
            wprojplanes=n_planes(task),
            weighting="briggs",
            robust=task.settings.robust,
            deconvolver="hogbom",
            niter=task.settings.niter,
            gain=pace.gain,
            threshold=f"{task.threshold_jy}Jy",
            nsigma=task.settings.threshold_sigma,
            cyclefactor=pace.cycle_factor,
            # Near the threshold tclean continues endlessly, a few iterations per cycle.
            nmajor=pace.cycles * _MAJOR_CYCLES,
            psfcutoff=_MAIN_LOBE,
            # The primary beam is applied later, so tclean's own must not mask anything.
            pblimit=-1e-6,
            savemodel="none",
        )
        if isinstance(returned, dict) and returned.get("stopcode") in _DIVERGED:
            return None
        iterations = int(returned.get("iterdone", 0)) if isinstance(returned, dict) else 0
        image, beam = _array(name.with_suffix(".image"), with_beam=True)
        residual, _ = _array(name.with_suffix(".residual"))
        psf, _ = _array(name.with_suffix(".psf"))
        return RawImages(image, residual, psf, _beam(beam), iterations)


def n_planes(task: ImagingTask) -> int:
    """Return the number of w planes.

    tclean puts plane i at ``W (i / (N - 1))^2`` with W = 1 / (4 cell) regardless of the data, so at
    w they are ``2 sqrt(w W) / (N - 1)`` apart and a w half-way between is wrong by half of it; at
    angle r from the centre the phase error is ``pi r^2 sqrt(w W) / (N - 1)``.
    """
    cell_rad = np.deg2rad(task.grid.cell_arcsec / 3600)
    edge_rad = 0.5 * task.grid.size * cell_rad
    between = np.sqrt(task.seen.w_extent_wavelengths * 0.25 / cell_rad)
    planes = 1 + np.pi * edge_rad**2 * between / _PHASE_ERROR_RAD
    return int(np.clip(np.ceil(planes), *_PLANES))


def _array(path: Path, *, with_beam: bool = False) -> tuple[Floats, Any]:
    import casatools

    image = casatools.image()
    image.open(str(path))
    try:
        pixels = np.asarray(image.getchunk(dropdeg=True), dtype=np.float32)
        return np.ascontiguousarray(pixels.T), image.restoringbeam() if with_beam else None
    finally:
        image.close()


def _beam(found: Any) -> Beam:
    try:
        return Beam(
            major_arcsec=float(found["major"]["value"]),
            minor_arcsec=float(found["minor"]["value"]),
            angle_deg=float(found["positionangle"]["value"]),
        )
    except (KeyError, TypeError) as error:
        raise ImagingFailed(
            "tclean gave no restoring beam: all data are flagged or have no weight above zero"
        ) from error
