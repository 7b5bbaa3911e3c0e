"""The interface behind which imaging engines stand side by side.

Belongs here: what an engine is given and gives back, and the list of engines.
Doesn't: geometry, noise, primary beam, FITS: those are the same for every engine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contimg_resources.errors import ConfigurationError
from contimg_resources.imaging.model import Beam, ImageGrid

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Deconvolution:
    """What an engine is to do, all decided.

    Parameters
    ----------
    ms : Path
        Calibrated MS, all selected fields at one phase centre; DATA is imaged.
    grid : ImageGrid
        Pixels.
    field_selection, spw_selection, uvrange : str
        CASA selections; empty: everything.
    robust : float
        Briggs robust.
    niter : int
        Most iterations.
    threshold_jy : float
        Stop here, Jy/beam.
    threshold_sigma : float
        Stop also at this many times the rms of the residual.
    w_extent_wavelengths : float
        Largest abs(w) of the data, wavelengths.
    major_cycles : int
        Most major cycles.
    """

    ms: Path
    grid: ImageGrid
    field_selection: str
    spw_selection: str
    uvrange: str
    robust: float
    niter: int
    threshold_jy: float
    threshold_sigma: float
    w_extent_wavelengths: float
    major_cycles: int = 5


@dataclass(frozen=True)
class RawImages:
    """What an engine made; not corrected for any primary beam.

    Parameters
    ----------
    image, residual, psf : ndarray of float32, shape (size, size)
        Restored image and residual in Jy/beam, and the point-spread function; row = declination
        upwards, column = right ascension falling, as FITS has them.
    beam : Beam
        Restoring beam.
    n_iterations : int
        Iterations done.
    """

    image: Floats
    residual: Floats
    psf: Floats
    beam: Beam
    n_iterations: int


class ImagingEngine(Protocol):
    """Makes images from a calibrated MS; runs inside a CASA process, in empty scratch space."""

    name: str

    def deconvolve(self, task: Deconvolution) -> RawImages:
        """Grid, CLEAN and restore."""


def _casa() -> ImagingEngine:
    from contimg_resources.imaging.tclean import TcleanEngine

    return TcleanEngine()


#: Engines by name.
ENGINES: dict[str, Callable[[], ImagingEngine]] = {"casa": _casa}


def engine_named(name: str) -> ImagingEngine:
    """Return the engine of that name.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    if name not in ENGINES:
        raise ConfigurationError(
            f"there is no imaging engine {name!r}; there are: {', '.join(sorted(ENGINES))}"
        )
    return ENGINES[name]()
