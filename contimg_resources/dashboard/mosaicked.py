"""One mosaic in the browser: its record, its images, and the same sky at other epochs.

Belongs here: its record as an answer, its layers, the mosaics to blink it with. Doesn't: requests
for images (see `image_pages`), display.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.core.errors import MosaicFailed, UnreadableMeasurements
from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY, isot_from_mjd
from contimg_resources.dashboard.answers import answering, json_answer
from contimg_resources.dashboard.image_pages import ImagePages
from contimg_resources.dashboard.pictures import Layer, Scale
from contimg_resources.database.values import known_values, plain_json
from contimg_resources.mosaics.make import load_mosaic
from contimg_resources.mosaics.model import MosaicFiles, MosaicResult
from contimg_resources.products.derived import DerivedKind
from contimg_resources.products.epochs import EpochKind, MosaicRecord, MosaicState
from contimg_resources.products.store import ProductsStore

#: Epochs offered for blinking: the nearest in time.
_MOST_EPOCHS = 60
#: Facts of the list of found sources that are shown.
_FOUND_FACTS = (
    *("n_sources", "n_expected", "n_rejected", "min_snr", "new_snr", "single_snr", "check"),
    *("completeness", "reliability"),
)
#: Strips whose declinations differ by less are the same.
_STRIP_DEG = 0.5


class MosaicPages:
    """Answers the requests about mosaics.

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
        self._images = ImagePages("mosaic", self._layers_of)

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        page = Route("/mosaics/{key}", answering(self._mosaic), methods=["GET"])
        return [page, *self._images.routes]

    def _mosaic(self, request: Request) -> Response:
        record = self._store.mosaics.get(request.path_params["key"])
        epoch = self._store.mosaics.find_epoch(record.key, EpochKind.MOSAIC)
        return json_answer(
            {
                "record": {
                    "key": record.key,
                    "start_mjd": record.start_mjd,
                    "mid_mjd": record.mid_mjd,
                    "end_mjd": record.end_mjd,
                    "dec_deg": record.declination_deg,
                    "state": record.state.value,
                    "reason": record.reason,
                    "directory": str(record.directory),
                    "size_bytes": record.size_bytes,
                    "run_id": record.run_id,
                    "made_utc": f"{isot_from_mjd(record.created_mjd)}Z",
                },
                "statistics": dict(known_values(record.statistics)),
                "epoch": None
                if epoch is None
                else {
                    "ok": epoch.epoch_ok,
                    "reason": epoch.reason,
                    "catalogue": epoch.catalogue,
                    "n_sources": epoch.n_sources,
                    "n_measured": epoch.n_measured,
                    "scale": epoch.scale,
                    "scale_error": epoch.scale_error,
                    "run_id": epoch.run_id,
                    **dict(known_values(epoch.statistics)),
                },
                "found": plain_json(self._found(record.key)),
                "inputs": plain_json(self._inputs(record)),
                "epochs": self._same_sky(record),
                "dagster": self._dagster(),
                "layers": self._images.described(record.key),
            }
        )

    def _found(self, key: str) -> dict[str, Any] | None:
        """Return the facts of the list of found sources; None without a list that can be read."""
        from contimg_resources.photometry.found import FORMAT

        product = self._store.derived.get(DerivedKind.FOUND_SOURCES, key)
        if product is None:
            return None
        try:
            facts = FORMAT.read_facts(product.path)
        except (UnreadableMeasurements, OSError):
            return None
        return {name: facts.get(name) for name in _FOUND_FACTS}

    def _inputs(self, record: MosaicRecord) -> list[dict[str, Any]]:
        """Return the images of a mosaic by time, also those that can't be used, and why."""
        try:
            made = load_mosaic(record.directory, record.key)
        except (MosaicFailed, OSError):
            return [{"key": key} for key in sorted(record.tiles)]
        return [*_tiles(made), *({"key": k, "refused": why} for k, why in made.refused.items())]

    def _same_sky(self, record: MosaicRecord) -> list[dict[str, Any]]:
        """Return the mosaic of each other day that shows this sky, nearest in time first."""
        half_days = 0.25 * (record.end_mjd - record.start_mjd)
        nearest: dict[int, tuple[float, MosaicRecord]] = {}
        for other in self._store.mosaics.list():
            turns = (other.mid_mjd - record.mid_mjd) * SIDEREAL_DEG_PER_DAY / 360.0
            away = abs(turns - round(turns))
            fits = (
                round(turns) != 0
                and away <= half_days
                and abs(other.declination_deg - record.declination_deg) < _STRIP_DEG
                and other.state is MosaicState.MADE
            )
            if fits and away < nearest.get(round(turns), (1.0, None))[0]:
                nearest[round(turns)] = away, other
        days = sorted(nearest, key=lambda day: (abs(day), day))[:_MOST_EPOCHS]
        return [{"key": nearest[d][1].key, "mid_mjd": nearest[d][1].mid_mjd} for d in days]

    def _layers_of(self, key: str) -> dict[str, Layer]:
        record = self._store.mosaics.get(key)
        files = MosaicFiles.in_directory(record.directory, key)
        rms_mjy = record.statistics.rms_mjy
        rms_jy = 1e-3 * rms_mjy if rms_mjy > 0 else 0.0
        sum_ = record.checksum
        layers = {
            "image": Layer("image", files.image, sum_, Scale.SKY, rms_jy),
            "sigma": Layer("expected noise", files.sigma, sum_, Scale.RANGE),
            "coverage": Layer("number of images", files.coverage, sum_, Scale.RANGE),
        }
        return {kind: layer for kind, layer in layers.items() if layer.path.is_file()}


def _tiles(made: MosaicResult) -> list[dict[str, Any]]:
    seams = {seam.key: seam for seam in made.seams}
    return [
        {
            "key": tile.key,
            "start_mjd": tile.start_mjd,
            "rms_mjy": 1e3 * tile.rms_jy,
            "beam": asdict(tile.beam),
            "seam_sigma": seams[tile.key].sigma if tile.key in seams else None,
        }
        for tile in made.tiles
    ]
