"""One observation in the browser: its record, and its images at full resolution.

Belongs here: its record as an answer, which of its products are images. Doesn't: the documents (see
`contimg_resources.export`), requests for images (see `image_pages`), display.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.calibration.antenna_health import faults
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.dashboard.answers import answering, json_answer
from contimg_resources.dashboard.image_pages import ImagePages
from contimg_resources.dashboard.pictures import Layer, Scale
from contimg_resources.database import plain_json
from contimg_resources.products.model import ArtefactKind
from contimg_resources.products.store import ProductsStore

#: Kinds of products that are images, and what the page calls them.
LAYERS = {
    ArtefactKind.IMAGE: "image",
    ArtefactKind.RESIDUAL: "residual",
    ArtefactKind.IMAGE_PBCOR: "corrected for the primary beam",
    ArtefactKind.PSF: "PSF",
    ArtefactKind.PRIMARY_BEAM: "primary beam",
}
#: Their pixels are between 0 and 1.
_RESPONSES = (ArtefactKind.PSF, ArtefactKind.PRIMARY_BEAM)
#: Mosaics whose windows contain an observation begin at most this long before it, days.
_WINDOW_DAYS = 0.25


class ObservationPages:
    """Answers the requests about observations.

    Parameters
    ----------
    store : ProductsStore
        The products.
    dagster : callable
        Returns the present address of Dagster's web interface, None if there is none.
    """

    def __init__(
        self, store: ProductsStore, dagster: Callable[[], str | None] = lambda: None
    ) -> None:
        self._store = store
        self._dagster = dagster
        self._images = ImagePages("observation", self._layers_of)

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        page = Route("/observations/{key}", answering(self._observation), methods=["GET"])
        return [page, *self._images.routes]

    def _observation(self, request: Request) -> Response:
        key = request.path_params["key"]
        record = self._store.get(key)
        files = self._store.artefacts(key)
        image = self._store.image(key)
        sets = {(a.set_name, a.set_version): a.borrowed for a in files if a.set_name}
        return json_answer(
            {
                "record": plain_json(
                    {
                        "key": record.key,
                        "path": record.path,
                        "start_mjd": record.start_mjd,
                        "mid_mjd": record.mid_mjd,
                        "end_mjd": record.end_mjd,
                        "dec_deg": record.declination_deg,
                        "calibrator": record.calibrator,
                        "state": record.state.value,
                        "step": record.step,
                        "reason": record.reason,
                    }
                ),
                "history": [
                    {
                        "utc": f"{isot_from_mjd(e.at_mjd)}Z",
                        "state": e.state.value,
                        "step": e.step,
                        "message": e.message,
                        "run_id": e.run_id,
                    }
                    for e in self._store.history(key)
                ],
                "statistics": None if image is None else plain_json(asdict(image)),
                "products": [
                    {"kind": a.kind, "path": str(a.path), "size_bytes": a.size_bytes} for a in files
                ],
                "sets": [
                    {"name": name, "version": version, "borrowed": borrowed}
                    for (name, version), borrowed in sets.items()
                ],
                "antennas": plain_json(self._antennas_of(key)),
                "mosaics": self._mosaics_of(key, record.mid_mjd),
                "dagster": self._dagster(),
                "layers": self._images.described(key),
            }
        )

    def _layers_of(self, key: str) -> dict[str, Layer]:
        image = self._store.image(key)
        rms_jy = 1e-3 * ((image.rms_mjy if image else None) or 0.0)
        files = {a.kind: a for a in self._store.artefacts(key) if a.kind in LAYERS}
        return {
            kind.value: Layer(
                name,
                files[kind].path,
                files[kind].checksum,
                Scale.RESPONSE if kind in _RESPONSES else Scale.SKY,
                rms_jy,
            )
            for kind, name in LAYERS.items()
            if kind in files and files[kind].path.is_file()
        }

    def _antennas_of(self, key: str) -> dict[str, Any] | None:
        """Return what the observation shows about its antennas, in short; None: nothing."""
        evidence = self._store.antennas.evidence_of(key)
        image = self._store.image(key)
        outcome = ((image.extra if image else {}).get("in_field")) or {}
        if not evidence:
            return None
        return {
            "n_antennas": len(evidence),
            "faults": faults(evidence),
            "left_out": outcome.get("left_out") or {},
        }

    def _mosaics_of(self, key: str, mid_mjd: float) -> list[str]:
        near = self._store.mosaics.tiles(
            start_mjd=mid_mjd - _WINDOW_DAYS, end_mjd=mid_mjd + _WINDOW_DAYS
        )
        return sorted(mosaic for mosaic, tiles in near.items() if key in tiles)
