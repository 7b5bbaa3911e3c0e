"""The health of antennas in the browser.

Belongs here: the state after an observation as an answer. Doesn't: rules (see
`contimg_resources.calibration.antenna_record`), display.

=======================  =======================================================================
``GET antennas``         the state after the latest observation that examined the antennas
``GET antennas/KEY``     the state after an observation
=======================  =======================================================================
"""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.dashboard.answers import answering, json_answer
from contimg_resources.database import plain_json
from contimg_resources.products.store import ProductsStore

#: Maximum number of observations of an answer.
_MOST = 300
#: A moment after an observation, days.
_AFTER_DAYS = 1e-6


class AntennaPages:
    """Answers the requests about antennas.

    Parameters
    ----------
    store : ProductsStore
        The products.
    days : float
        Number of days whose evidence counts.
    """

    def __init__(self, store: ProductsStore, days: float) -> None:
        self._store = store
        self._days = days

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        return [
            Route("/antennas", answering(self._antennas), methods=["GET"]),
            Route("/antennas/{key}", answering(self._antennas), methods=["GET"]),
        ]

    def _antennas(self, request: Request) -> Response:
        antennas = self._store.antennas
        key = request.path_params.get("key")
        if key is None:
            report = antennas.present(self._days)
        else:
            after_mjd = self._store.get(key).mid_mjd + _AFTER_DAYS
            report = antennas.before(after_mjd, self._days)
        shown = report.observed[-_MOST:]
        last = shown[-1].key if shown else None
        evidence = {} if last is None else antennas.evidence_of(last)
        return json_answer(
            plain_json(
                {
                    "telescope": report.telescope,
                    "days": self._days,
                    "observations": [asdict(one) for one in shown],
                    "last": {
                        name: {**asdict(one), "fault": one.fault, "words": one.in_words()}
                        for name, one in evidence.items()
                    },
                    "bad": report.bad,
                    "spells": [asdict(one) for one in report.spells],
                    "marks": [
                        {**asdict(m), "utc": f"{isot_from_mjd(m.from_mjd)}Z"}
                        for m in antennas.marks()
                    ],
                }
            )
        )
