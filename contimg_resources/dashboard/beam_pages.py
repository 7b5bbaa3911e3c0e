"""The measured primary beam in the browser.

Belongs here: the estimate beside the model as an answer. Doesn't: rules (see
`contimg_resources.calibration.beam_record`), display.

=======================  =======================================================================
``GET primary-beam``     the primary beam that the latest days show
=======================  =======================================================================
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.calibration.beam_record import BeamReport
from contimg_resources.dashboard.answers import answering, json_answer
from contimg_resources.database import plain_json
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape, airy_power
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import PrimaryBeamSettings

#: Maximum number of observations of an answer.
_MOST = 300
_CUT_DEG = np.linspace(-3.0, 3.0, 61)


class BeamPages:
    """Answers the requests about the primary beam.

    Parameters
    ----------
    store : ProductsStore
        The products.
    settings : PrimaryBeamSettings
        Number of days that count, and whether the measured beam is used.
    """

    def __init__(self, store: ProductsStore, settings: PrimaryBeamSettings) -> None:
        self._store = store
        self._settings = settings

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        return [Route("/primary-beam", answering(self._beam), methods=["GET"])]

    def _beam(self, request: Request) -> Response:
        report = self._store.primary_beams.present(self._settings.days)
        estimate = report.estimate
        estimates = [] if estimate is None else [estimate, *report.by_frequency]
        answer = {
            "telescope": report.telescope,
            "days": self._settings.days,
            "words": report.in_words(),
            "is_significant": report.better is not None,
            "is_used": report.better is not None and self._settings.use,
            "estimates": [asdict(one) for one in estimates],
            "observations": _observations(report),
            "cuts": None if estimate is None else _cuts(estimate.shape, estimate.frequency_hz),
        }
        return json_answer(plain_json(answer))


def _observations(report: BeamReport) -> list[dict[str, Any]]:
    return [
        {
            "key": one.key,
            "mid_mjd": one.mid_mjd,
            "fit": asdict(fit),
            "errors": np.sqrt(np.diag(fit.covariance)).tolist(),
            "is_corrected": not one.measured.used.is_model,
        }
        for one in report.observed[-_MOST:]
        if (fit := one.fit()) is not None
    ]


def _cuts(shape: BeamShape, frequency_hz: float) -> dict[str, list[float]]:
    """Return the power along both axes through the pointing, of the measured beam and the model."""
    sines, zeros = np.sin(np.radians(_CUT_DEG)), np.zeros(len(_CUT_DEG))

    def power(of: BeamShape, east: Any, north: Any) -> list[float]:
        angle = np.arcsin(np.minimum(of.radius(east, north), 1.0))
        return [float(value) for value in airy_power(angle, frequency_hz)]

    return {
        "angle_deg": _CUT_DEG.tolist(),
        "model": power(MODEL_SHAPE, sines, zeros),
        "east": power(shape, sines, zeros),
        "north": power(shape, zeros, sines),
    }
