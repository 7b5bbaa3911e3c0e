"""The imaging engine that is the program WSClean.

Belongs here: WSClean's options, its output and its images as arrays. Doesn't: anything other
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
#: A major iteration ends when the peak fell by this share. The noise is measured only when one
#: begins, with the sidelobes of all that is left: with 0.8 a source of 30 Jy is left half done.
_MAJOR_GAIN = 0.7
_MAJOR_CYCLES = 15
#: Where components are already, CLEAN goes on to this share of the threshold, or so many times the
#: noise: these pixels hold sources, whose sidelobes would stay otherwise.
_DEEPER = 0.7
_DEEPER_SIGMA = 1.0
#: So many lines of its output tell why it failed.
_LAST_LINES = 5
#: Where its phase centre may lie from the grid's, pixels: it takes ICRS and J2000 for two frames,
#: 0.02 arcsec apart.
_CENTER_PIXELS = 0.1
#: A residual that exceeds the dirty image's peak by this factor diverged.
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
            report_progress(f"taking the drift of {len(bright.variation.flux_jy)} sources out", 0.4)
            ms = Path("steady.ms").resolve()
            write_steady_copy(task.ms, ms, bright.variation)
        self._run(command_line(self._program, replace(task, ms=_selected(ms, task))), task)
        return _images(task)

    def _run(self, command: list[str], task: ImagingTask) -> None:
        # It stays in the step's process group: what ends the step ends it too.
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
                f"{self._program} {_ending(process.returncode)} on {task.ms}; it said last: "
                f"{' | '.join(said) or 'nothing'}",
                path=str(task.ms),
                status=process.returncode,
            )


def command_line(program: str, task: ImagingTask) -> list[str]:
    """Return how WSClean is called; everything in the task's MS is imaged."""
    size = str(task.grid.size)
    return [
        program,
        *("-name", _PROGRAM),
        *("-j", str(n_cores())),
        # Reordered data go into scratch, not beside the MS, which is only read.
        *("-reorder", "-temp-dir", ".", "-no-update-model-required"),
        *("-field", "all", "-data-column", "DATA", "-pol", "I"),
        *("-size", size, size, "-scale", f"{task.grid.cell_arcsec}asec"),
        *("-use-wgridder", "-no-small-inversion"),
        *("-weight", "briggs", str(task.robust)),
        *("-niter", str(task.niter), "-mgain", str(_MAJOR_GAIN), "-nmiter", str(_MAJOR_CYCLES)),
        # First anywhere, then where components are; down to the threshold, or to so many times the
        # noise where that is higher.
        *("-auto-mask", str(task.threshold_sigma)),
        *("-auto-threshold", str(min(_DEEPER_SIGMA, _DEEPER * task.threshold_sigma))),
        *("-threshold", str(_DEEPER * task.threshold_jy)),
        "-make-psf",
        str(task.ms),
    ]


def _selected(ms: Path, task: ImagingTask) -> Path:
    """Return an MS with only what is selected: WSClean knows no CASA selections."""
    import casatasks

    selection = {
        "field": task.field_selection,
        "spw": task.spw_selection,
        "uvrange": task.uvrange,
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
    """One of WSClean's images.

    Parameters
    ----------
    values : ndarray of float32, shape (size, size)
        Row = declination upwards, column = right ascension falling.
    header : fits.Header
        Its header.
    """

    values: Floats
    header: fits.Header


def _images(task: ImagingTask) -> RawImages:
    """Read what WSClean made.

    Notes
    -----
    The components are restored here: WSClean fits its beam to what surrounds the main lobe too,
    which with 24 stations makes the minor axis a third too wide.
    """
    psf, dirty = _pixels("psf", task.grid), _pixels("dirty", task.grid)
    point = PointSpread.measured(psf.values, task.grid)
    if task.niter == 0:
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
    """Make sure that WSClean's pixels are the grid's."""
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
