"""Functions that steps run in a CASA process, and the modules to load for them.

Belongs here: the functions that are passed to `Casa.run`; each imports its implementation when it
is called, so that a step's own process starts quickly. Doesn't: any implementation.
"""

from collections.abc import Iterator

from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.correlator.model import (
    CalibratedSubBands,
    ComparisonRequest,
    Conversion,
    ConversionRequest,
    HeaderComparison,
    SubBandsToCalibrate,
)
from contimg_resources.imaging.model import ImageRequest, ImageResult


def convert(request: ConversionRequest) -> Conversion:
    """See `contimg_resources.correlator.convert.convert_sub_bands`."""
    from contimg_resources.correlator.convert import convert_sub_bands

    return convert_sub_bands(request)


def compare(request: ComparisonRequest) -> HeaderComparison:
    """See `contimg_resources.correlator.comparing.compare_with_headers`."""
    from contimg_resources.correlator.comparing import compare_with_headers

    return compare_with_headers(request)


def solve(request: SolveRequest) -> SolveResult:
    """See `contimg_resources.imaging.field_of_calibrator.solve_with_field`."""
    from contimg_resources.imaging.field_of_calibrator import solve_with_field

    return solve_with_field(request)


def calibrate(request: ApplyRequest) -> ApplyResult:
    """See `contimg_resources.imaging.averaged_visibilities.calibrate_for_imaging`."""
    from contimg_resources.imaging.averaged_visibilities import calibrate_for_imaging

    return calibrate_for_imaging(request)


def calibrate_directly(request: SubBandsToCalibrate) -> CalibratedSubBands:
    """See `contimg_resources.correlator.direct.calibrate_sub_bands`; averages for the image too."""
    from functools import partial

    from contimg_resources.correlator.direct import calibrate_sub_bands
    from contimg_resources.imaging.averaged_visibilities import average_for_imaging

    also = partial(average_for_imaging, beam_cut=request.apply.imaging.beam_cut)
    return calibrate_sub_bands(request, also=also)


def image(request: ImageRequest) -> ImageResult:
    """See `contimg_resources.imaging.make.make_image`."""
    from contimg_resources.imaging.make import make_image

    return make_image(request)


def load_converter() -> Iterator[None]:
    """Load the modules for converting sub-bands and then for the engines, for `Casa.open`.

    Yields
    ------
    None
        After each module.
    """
    import casatools  # noqa: F401

    yield
    import astropy.time  # noqa: F401

    import contimg_resources.correlator.plan  # noqa: F401

    yield
    yield from load_engines()


def load_solver() -> Iterator[None]:
    """Load the modules for solving a calibrator observation, for `Casa.open`.

    Yields
    ------
    None
        After each module.
    """
    import casatools  # noqa: F401

    yield
    import contimg_resources.imaging.field_of_calibrator  # noqa: F401

    yield


def load_engines() -> Iterator[None]:
    """Load the modules for calibrating and imaging an observation, for `Casa.open`.

    Yields
    ------
    None
        After each module.
    """
    import casatools  # noqa: F401

    yield
    import contimg_resources.imaging.averaged_visibilities

    yield
    import contimg_resources.imaging.engines.fast
    import contimg_resources.imaging.make  # noqa: F401

    yield
    import ducc0  # noqa: F401

    from contimg_resources.compiling import load_compiled

    yield from load_compiled()
    from contimg_resources.imaging.png import load_drawing

    load_drawing()
    yield
