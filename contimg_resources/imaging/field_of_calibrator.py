"""Solve a calibrator without a catalogue of its field: the model comes from a first image.

Belongs here: the two turns of such a solve, and which sources of the image go into its model. Runs
in a CASA process. Doesn't: solving, applying, imaging, or what a model does to the solutions (see
`contimg_resources.calibration.solve.background`).

Gains that were solved with the calibrator alone show the other sources fainter by 2/N with N
antennas, and among them ghosts of 2/N of their flux density. So a first image finds nearly all of
what is missing in the model, and what it shows in error is missed by the second solve as well: the
gains follow a model's errors by the same 2/N, which is nothing of a ghost.
"""

import math
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.solve.background import sources_about
from contimg_resources.calibration.solve.model import Pointing, SolveRequest, SolveResult
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.core.errors import CasaError, ConfigurationError, ImagingFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.imaging.handed_on import calibrate_for_imaging
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.observations.flux_model import FluxModel

_ORIGIN = "a first image of the same observation"


def solve_with_field(request: SolveRequest) -> SolveResult:
    """Solve a caltable set; call through `contimg_resources.casa.Casa.run`.

    A drift scan without any list of sources is solved twice, the second time with the sources that
    an image with the first solutions shows. Everything else is
    `contimg_resources.calibration.solve.solving.solve_caltables`, and so are the errors.

    Parameters
    ----------
    request : SolveRequest
        What to solve.

    Returns
    -------
    SolveResult
        Tables in place with their quality. A note says why there is no image, where one was tried.
    """
    unknown = request.pointing is Pointing.DRIFT and not request.background_origin
    if not unknown or not request.settings.model_from_image:
        return solve_caltables(request)
    with TemporaryDirectory(dir=Path.cwd(), prefix="first-") as place, chdir(place):
        try:
            sources = _first_look(request, Path(place))
        except (CasaError, ConfigurationError, ImagingFailed) as error:
            sources, why = (), error.message
        else:
            why = ""
    if why:
        solved = solve_caltables(request)
        told = f"no first image shows the sources about {request.calibrator.name}: {why}"
        return replace(solved, notes=(told, *solved.notes))
    return solve_caltables(replace(request, background=sources, background_origin=_ORIGIN))


def _first_look(request: SolveRequest, place: Path) -> tuple[Calibrator, ...]:
    """Return the sources that an image shows which is calibrated with the calibrator alone."""
    solved = solve_caltables(replace(request, prefix=place / "first", plots=None))
    if solved.failed:
        raise ImagingFailed("; ".join(solved.reasons))
    report_progress("applying the first solutions", 0.3)
    applied = calibrate_for_imaging(
        ApplyRequest(
            ms=request.ms,
            tables=tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables),
            output=place / "calibrated.ms",
            engine=request.settings.engine,
        )
    )
    report_progress("imaging the calibrator's field", 0.4)
    image = make_image(ImageRequest(ms=applied.ms, directory=place / "image", stem="field"))
    return sources_about(shown_sources(image, request.default_spectral_index), request.calibrator)


def shown_sources(image: ImageResult, spectral_index: float) -> tuple[Calibrator, ...]:
    """Return the sources of an image as those of a model.

    Parameters
    ----------
    image : ImageResult
        The image.
    spectral_index : float
        Taken for theirs.
    """
    return tuple(
        Calibrator(
            f"{s.ra_deg:.4f}{s.dec_deg:+.4f}",
            (),
            s.ra_deg,
            s.dec_deg,
            FluxModel.power_law(s.flux_jy, image.frequency_hz / 1e9, spectral_index, _ORIGIN),
        )
        for s in image.sources
        if math.isfinite(s.flux_jy) and s.flux_jy > 0
    )
