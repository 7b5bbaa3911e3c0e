"""Solve a calibrator without a catalogue of its field, with a model from a first image.

Belongs here: the two rounds of such a solve, and the choice of the image's sources for its model.
Runs in a CASA process. Doesn't: solving, applying, imaging, or the effect of a model on the
solutions (see `contimg_resources.calibration.solve.skymodel`).

Gains solved with the calibrator alone show the other sources fainter by 2/N with N antennas, and
ghosts of 2/N of their flux density. So a first image finds nearly all the sources missing from the
model, and errors of that image hardly affect the second solve: the gains follow a model's errors
by the same 2/N, which is negligible for a ghost.
"""

import math
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.solve.model import Pointing, SolveRequest, SolveResult
from contimg_resources.calibration.solve.skymodel import sources_about
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.core.errors import CasaError, ConfigurationError, ImagingFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.imaging.averaged_visibilities import calibrate_for_imaging
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.settings import ImagingSettings

_ORIGIN = "a first image of the same observation"


def solve_with_field(request: SolveRequest) -> SolveResult:
    """Solve a caltable set; call through `contimg_resources.casa.Casa.run`.

    A drift scan without any list of sources is solved twice, the second time with the sources from
    an image made with the first solutions. Everything else, including the errors, is as in
    `contimg_resources.calibration.solve.solving.solve_caltables`.

    Parameters
    ----------
    request : SolveRequest
        The request.

    Returns
    -------
    SolveResult
        Tables in place with their quality metrics. A note gives the reason if an image failed.
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
    """Return the sources in an image calibrated with the calibrator alone."""
    solved = solve_caltables(replace(request, prefix=place / "first", plots=None))
    if solved.failed:
        raise ImagingFailed("; ".join(solved.reasons))
    # Few data are better than none: they only have to show the sources.
    imaging = ImagingSettings(max_flagged_fraction=1.0, sub_bands=0)
    report_progress("applying the first solutions", 0.3)
    applied = calibrate_for_imaging(
        ApplyRequest(
            ms=request.ms,
            tables=tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables),
            output=place / "calibrated.ms",
            settings=request.settings,
            imaging=imaging,
        )
    )
    report_progress("imaging the calibrator's field", 0.4)
    image = make_image(ImageRequest(applied.ms, place / "image", "field", imaging))
    sources = shown_sources(image, request.catalogue.default_spectral_index)
    return sources_about(sources, request.calibrator)


def shown_sources(image: ImageResult, spectral_index: float) -> tuple[Calibrator, ...]:
    """Return the sources of an image as sources of a model.

    Parameters
    ----------
    image : ImageResult
        The image.
    spectral_index : float
        Assumed spectral index of the sources.
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
