"""The primary beam around the image of an observation.

Belongs here: the shape that it is corrected for, recording what it shows. Doesn't: measuring (see
`contimg_resources.imaging.measured_beam`), rules (see
`contimg_resources.calibration.beam_record`).
"""

import math

from contimg_resources.calibration.beam_record import BeamMeasurement, BeamReport, ObservedBeam
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.imaging.model import ImageResult
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape
from contimg_resources.observations.model import Observation
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import PrimaryBeamSettings


def known_beam(
    products: ProductsStore, observation: Observation, settings: PrimaryBeamSettings
) -> BeamReport:
    """Return the primary beam that the days before the UTC day of an observation show.

    All images of a day are corrected for the same beam, in whatever order they are made.
    """
    return products.primary_beams.before(
        math.floor(observation.mid_mjd),
        settings.days,
        telescope=observation.telescope,
        declination_deg=observation.declination_deg,
    )


def beam_shape(known: BeamReport, settings: PrimaryBeamSettings) -> BeamShape:
    """Return the shape of the primary beam with which an image is corrected."""
    return (known.better if settings.use else None) or MODEL_SHAPE


def record_beam(
    products: ProductsStore, observation: Observation, result: ImageResult, run_id: str
) -> ObservedBeam:
    """Record the primary beam that an image shows, in place of an earlier record."""
    return products.primary_beams.put(
        ObservedBeam(
            observation.key,
            observation.telescope,
            observation.mid_mjd,
            result.grid.ra_deg,
            observation.declination_deg,
            result.primary_beam or BeamMeasurement(),
        ),
        run_id=run_id,
    )


def check_primary_beam(known: BeamReport, used: BeamShape) -> Verdict:
    """Check whether the measured primary beam agrees with the model."""
    estimate = known.estimate
    corrected = "model" if used.is_model else "measured beam"
    measures = {}
    if estimate is not None:
        measures = {
            "width": estimate.shape.width,
            "east_deg": estimate.shape.east_deg,
            "north_deg": estimate.shape.north_deg,
            "ellipticity": estimate.shape.ellipticity,
            "improvement": estimate.improvement,
        }
    return Verdict(
        name="primary_beam",
        passed=known.better is None,
        words=f"{known.in_words()}; the image is corrected for the {corrected}",
        evaluated=estimate is not None and estimate.is_enough,
        measures=measures,
    )
