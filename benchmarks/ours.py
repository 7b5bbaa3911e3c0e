"""The platform's steps, timed in a CASA process.

Belongs here: calling the steps as the assets do. Doesn't: the steps.

As in a run, all modules are loaded beforehand; the peers have also imported CASA's tasks.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Measured, measured
from contimg_resources.calibration.apply.memory import flag_rfi_in_memory, read_observed
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.calibration.solve.phasing import read_fields
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.correlator.model import SubBandsToCalibrate
from contimg_resources.imaging.averaged_visibilities import calibrate_for_imaging
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.steps.in_casa import calibrate_directly, load_converter, load_engines


@dataclass(frozen=True)
class Way:
    """The path from an MS that arrived to an image with its statistics."""

    apply: ApplyRequest  #: Request of the calibration.
    image: ImageRequest  #: Request of the image.


def apply_and_image(way: Way) -> Measured:
    """Time calibration and imaging, one after the other."""

    def work() -> None:
        calibrate_for_imaging(way.apply)
        make_image(way.image)

    load()
    return measured(work)


@dataclass(frozen=True)
class DirectWay:
    """The path from the correlator's files to an image.

    Parameters
    ----------
    calibrate : SubBandsToCalibrate
        Request of the calibration.
    image : ImageRequest
        Request of the image.
    """

    calibrate: SubBandsToCalibrate
    image: ImageRequest


def calibrate_directly_and_image(way: DirectWay) -> Measured:
    """Time calibration without an MS, and imaging, one after the other."""

    def work() -> None:
        calibrate_directly(way.calibrate)
        make_image(way.image)

    for _ in load_converter():
        pass
    return measured(work)


def apply_only(request: ApplyRequest) -> Measured:
    """Time only the calibration."""
    load()
    return measured(lambda: calibrate_for_imaging(request))


def image_only(request: ImageRequest) -> Measured:
    """Time only the imaging."""
    load()
    return measured(lambda: make_image(request))


def load() -> None:
    """Load the modules and the compiled loops of the steps."""
    for _ in load_engines():
        pass


def solve(request: SolveRequest) -> Measured:
    """Time the solve, from the MS that arrived to the tables and their quality."""
    return measured(lambda: solve_caltables(request))


def flag_in_memory(ms: Path) -> Measured:
    """Time the flagger on a calibrated MS without RFI flags, once its data are in memory."""
    observed = read_observed(ms, range(len(read_fields(ms).names)))
    return measured(lambda: flag_rfi_in_memory(observed))
