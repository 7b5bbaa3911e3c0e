"""The imaging engine that uses the program WSClean.

Belongs here: WSClean's options, its output, and reading its images. Doesn't: code that other
engines share.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from contimg_resources.casa.tasks import call_task
from contimg_resources.compiling import n_cores
from contimg_resources.core.errors import ConfigurationError, ImagingFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.imaging.engines.base import Floats, ImagingTask, RawImages
from contimg_resources.imaging.engines.bright import bright_sources
from contimg_resources.imaging.engines.cycles import PointSpread, restore_model
from contimg_resources.imaging.engines.drift import write_steady_copy
from contimg_resources.imaging.model import ImageGrid

_PROGRAM = "wsclean"
#: A major iteration ends when the peak decreased by this share. The noise is measured only when one
#: begins, including the sidelobes of the residual: with 0.8 a source of 30 Jy is only half CLEANed.
_MAJOR_GAIN = 0.7
_MAJOR_CYCLES = 15
#: On existing components CLEAN continues to this share of the threshold, or this many times the
#: noise: these pixels hold sources, whose sidelobes would remain otherwise.
_DEEPER = 0.7
_DEEPER_SIGMA = 1.0
#: Number of lines of its output in an error message.
_LAST_LINES = 5
#: Tolerance of its phase centre from the grid's, pixels: it treats ICRS and J2000 as two frames,
#: 0.02 arcsec apart.
_CENTER_PIXELS = 0.1
#: A residual that exceeds the dirty image's peak by this factor has diverged.
_DIVERGED = 1.5
_CYCLE = re.compile(r"== Deconvolving \((\d+)\) ==")
_PEAK = re.compile(r"Initial peak: (\S+ \S+) at")


class WscleanEngine:
    """WSClean with its w-gridder and multi-frequency synthesis.

    Raises
    ------
    ConfigurationError
        If the program is missing.
    """

    name = "wsclean"

    def __init__(self) -> None:
        found = shutil.which(_PROGRAM)
        if found is None:
            raise ConfigurationError(
                f"the imaging engine {self.name!r} needs the program {_PROGRAM}, which is nowhere "
                "in PATH; it is the Debian package wsclean (apt-get install wsclean), not the "
                "package of that name on PyPI"
            )
        self._program = found

    def image(self, task: ImagingTask) -> RawImages:
        """Grid, CLEAN and restore; see `contimg_resources.imaging.engines.base`.

        Raises
        ------
        ImagingFailed
            If WSClean fails, or its CLEAN diverges.
        """
        bright = bright_sources(task)
        ms = task.ms
        if bright is not None:
            report_progress(f"removing the drift of {len(bright.variation.flux_jy)} sources", 0.4)
            ms = Path("steady.ms").resolve()
            write_steady_copy(task.ms, ms, bright.variation)
        self._run(command_line(self._program, replace(task, ms=_selected(ms, task))), task)
        return replace(_images(task), bright=bright)

    def _run(self, command: list[str], task: ImagingTask) -> None:
        # It stays in the step's process group: ending the step ends it too.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            said: deque[str] = deque(maxlen=_LAST_LINES)
            cycle = "?"
            for line in process.stdout:
                sys.stdout.write(line)
                if line.strip():
                    said.append(line.strip())
                if found := _CYCLE.search(line):
                    cycle = found.group(1)
                if found := _PEAK.search(line):
                    report_progress(f"major iteration {cycle}, peak {found.group(1)}/beam", 0.5)
        if process.returncode:
            raise ImagingFailed(
                f"{self._program} {_ending(process.returncode)} on {task.ms}; its last output: "
                f"{' | '.join(said) or 'nothing'}",
                path=str(task.ms),
                status=process.returncode,
            )


def command_line(program: str, task: ImagingTask) -> list[str]:
    """Return WSClean's command line; everything in the task's MS is imaged."""
    size, settings = str(task.grid.size), task.settings
    return [
        program,
        *("-name", _PROGRAM),
        *("-j", str(n_cores())),
        # Reordered data go to scratch, not beside the MS, which is only read.
        *("-reorder", "-temp-dir", ".", "-no-update-model-required"),
        *("-field", "all", "-data-column", "DATA", "-pol", "I"),
        *("-size", size, size, "-scale", f"{task.grid.cell_arcsec}asec"),
        *("-use-wgridder", "-no-small-inversion"),
        *("-weight", "briggs", str(settings.robust)),
        *("-niter", str(settings.niter), "-mgain", str(_MAJOR_GAIN)),
        *("-nmiter", str(_MAJOR_CYCLES)),
        # CLEAN anywhere first, then only at existing components; down to the threshold, or to a
        # multiple of the noise where that is higher.
        *("-auto-mask", str(settings.threshold_sigma)),
        *("-auto-threshold", str(min(_DEEPER_SIGMA, _DEEPER * settings.threshold_sigma))),
        *("-threshold", str(_DEEPER * task.threshold_jy)),
        "-make-psf",
        str(task.ms),
    ]


def _selected(ms: Path, task: ImagingTask) -> Path:
    """Return an MS with only the selected data: WSClean doesn't know CASA selections."""
    import casatasks

    selection = {
        "field": task.field_selection,
        "spw": task.spw_selection,
        "uvrange": task.settings.uvrange,
    }
    if not any(selection.values()):
        return ms
    selected = Path("selected.ms").resolve()
    call_task(
        casatasks.split,
        product=selected,
        vis=str(ms),
        outputvis=str(selected),
        datacolumn="data",
        **selection,
    )
    return selected


@dataclass(frozen=True)
class _Pixels:
    """One of WSClean's images."""

    #: Declination increases with rows, right ascension decreases with columns. Shape (size, size).
    values: Floats
    header: fits.Header  #: Its header.


def _images(task: ImagingTask) -> RawImages:
    """Read WSClean's products.

    Notes
    -----
    The components are restored here: WSClean also fits its beam to the surroundings of the main
    lobe, which with 24 stations makes the minor axis a third too wide.
    """
    psf, dirty = _pixels("psf", task.grid), _pixels("dirty", task.grid)
    point = PointSpread.measured(psf.values, task.grid)
    if task.settings.niter == 0:
        return RawImages(dirty.values, dirty.values, psf.values, point.beam, 0)
    residual, model = _pixels("residual", task.grid), _pixels("model", task.grid)
    if np.abs(residual.values).max() > _DIVERGED * np.abs(dirty.values).max():
        raise ImagingFailed(
            f"CLEAN of {task.ms} diverges: its residuals grow, so its data or their calibration "
            "are wrong",
            path=str(task.ms),
        )
    image = residual.values.copy()
    restore_model(image, model.values, point)
    n_iterations = int(residual.header.get("WSCMINOR", 0))
    return RawImages(image, residual.values, psf.values, point.beam, n_iterations)


def _pixels(kind: str, grid: ImageGrid) -> _Pixels:
    path = Path(f"{_PROGRAM}-{kind}.fits")
    try:
        with fits.open(path) as file:
            header = file[0].header
            values = np.ascontiguousarray(file[0].data.squeeze(), dtype=np.float32)
    except OSError as error:
        raise ImagingFailed(f"WSClean left no readable {path}: {error}") from error
    _check_center(header, grid, path)
    return _Pixels(values, header)


def _check_center(header: fits.Header, grid: ImageGrid, path: Path) -> None:
    """Check that WSClean's pixels are those of the grid."""
    cell_deg = grid.cell_arcsec / 3600
    east = (header["CRVAL1"] - grid.ra_deg + 180) % 360 - 180
    offset = np.hypot(east * np.cos(np.deg2rad(grid.dec_deg)), header["CRVAL2"] - grid.dec_deg)
    middle = grid.size // 2 + 1
    if (header["CRPIX1"], header["CRPIX2"]) != (middle, middle) or (
        offset > _CENTER_PIXELS * cell_deg
    ):
        raise ImagingFailed(
            f"WSClean put pixel {header['CRPIX1']:g}, {header['CRPIX2']:g} of {path} at "
            f"{header['CRVAL1']:.6f} {header['CRVAL2']:+.6f} deg, not pixel {middle}, {middle} at "
            f"{grid.ra_deg:.6f} {grid.dec_deg:+.6f} deg"
        )


def _ending(status: int) -> str:
    if status < 0:
        return f"died of {signal.Signals(-status).name}"
    return f"ended with status {status}"
