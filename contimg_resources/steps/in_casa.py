"""What steps have done in a CASA process, and loading what that needs.

Belongs here: the functions that are passed to `Casa.run`, each importing what it calls when it is
called, so that a step's own process starts quickly. Doesn't: doing anything.
"""

from collections.abc import Iterator

from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.imaging.model import ImageRequest, ImageResult


def solve(request: SolveRequest) -> SolveResult:
    """See `contimg_resources.imaging.field_of_calibrator.solve_with_field`."""
    from contimg_resources.imaging.field_of_calibrator import solve_with_field

    return solve_with_field(request)


def calibrate(request: ApplyRequest) -> ApplyResult:
    """See `contimg_resources.imaging.handed_on.calibrate_for_imaging`."""
    from contimg_resources.imaging.handed_on import calibrate_for_imaging

    return calibrate_for_imaging(request)


def image(request: ImageRequest) -> ImageResult:
    """See `contimg_resources.imaging.make.make_image`."""
    from contimg_resources.imaging.make import make_image

    return make_image(request)


def load_engines() -> Iterator[None]:
    """Load what calibrating and imaging an observation need, for `Casa.open`.

    Yields
    ------
    None
        After each piece.
    """
    import casatools  # noqa: F401

    yield
    import contimg_resources.imaging.handed_on

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
