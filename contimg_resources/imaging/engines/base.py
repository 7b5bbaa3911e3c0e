"""The common interface of the imaging engines.

Belongs here: the input and output of an engine, and the list of engines.
Doesn't: geometry, noise, primary beam, FITS: those are the same for every engine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.imaging.beam import DriftBeam
from contimg_resources.imaging.model import Beam, ImageGrid
from contimg_resources.imaging.visibilities import Visibilities
from contimg_resources.imaging.weighting import Weighting
from contimg_resources.settings import ImagingSettings

if TYPE_CHECKING:
    from contimg_resources.imaging.engines.bright import BrightSources

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ImagingTask:
    """The task of an engine, with all parameters decided."""

    ms: Path  #: Calibrated MS, all selected fields at one phase centre; DATA is imaged.
    seen: Visibilities  #: The same data in memory: Stokes I, averaged.
    weighting: Weighting  #: Their imaging weights.
    grid: ImageGrid  #: Pixels of the image.
    beam: DriftBeam  #: The mean primary beam.
    dish_m: tuple[float, float]  #: Diameters of dish and blockage, metres.
    #: `field_selection`, `spw_selection`: CASA selections, already applied in `seen` (as is
    #: `settings.uvrange`); empty: everything.
    field_selection: str
    spw_selection: str
    #: Weights and CLEAN, which also stops at `threshold_sigma` times the rms of the residual.
    settings: ImagingSettings
    threshold_jy: float  #: CLEAN threshold, Jy/beam.

    @property
    def noise_jy(self) -> float:
        """Return the expected noise, Jy/beam."""
        return self.threshold_jy / self.settings.threshold_sigma


@dataclass(frozen=True)
class RawImages:
    """The images from an engine, without primary-beam correction."""

    #: `image`, `residual`, `psf`: Restored image and residual in Jy/beam, and the point-spread
    #: function; declination increases with rows, right ascension decreases with columns, as in
    #: FITS. Shape (size, size).
    image: Floats
    residual: Floats
    psf: Floats
    beam: Beam  #: Restoring beam.
    n_iterations: int  #: Number of iterations done.
    bright: "BrightSources | None" = None  #: Bright sources whose drift was removed, if any.


class ImagingEngine(Protocol):
    """Images calibrated visibilities; runs inside a CASA process, in empty scratch space.

    It accounts for the variation of bright sources during a drift; see
    `contimg_resources.imaging.engines.bright`.
    """

    name: str

    def image(self, task: ImagingTask) -> RawImages:
        """Grid, CLEAN and restore."""


def _casa() -> ImagingEngine:
    from contimg_resources.imaging.engines.tclean import TcleanEngine

    return TcleanEngine()


def _fast() -> ImagingEngine:
    from contimg_resources.imaging.engines.fast import FastEngine

    return FastEngine()


def _wsclean() -> ImagingEngine:
    from contimg_resources.imaging.engines.wsclean import WscleanEngine

    return WscleanEngine()


#: Engines by name.
ENGINES: dict[str, Callable[[], ImagingEngine]] = {
    "casa": _casa,
    "fast": _fast,
    "wsclean": _wsclean,
}


def engine_named(name: str) -> ImagingEngine:
    """Return the engine of that name.

    Raises
    ------
    ConfigurationError
        If there is none, or the program that it needs is missing.
    """
    if name not in ENGINES:
        raise ConfigurationError(
            f"there is no imaging engine {name!r}; there are: {', '.join(sorted(ENGINES))}"
        )
    return ENGINES[name]()
