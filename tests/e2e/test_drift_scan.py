"""Sub-band files that pyuvdata wrote, through the platform: their image shows their sky."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from contimg_resources.calibration.ms.layout import read_origin
from contimg_resources.casa import Casa
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.cli.platform import Platform
from contimg_resources.imaging.make import load_image_result
from contimg_resources.imaging.model import ImageResult
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from tests.e2e.conftest import ENVIRONMENT, Night
from tests.foreign import drift_scan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@dataclass(frozen=True)
class Scan:
    """A calibrator transit and a target that the platform solved, calibrated and imaged.

    Parameters
    ----------
    sky : drift_scan.Sky
        What was there.
    store : ProductsStore
        What became of them.
    keys : dict of str to str
        Key of the observation, by ``calibrator`` and ``target``.
    images : dict of str to ImageResult
        Its image.
    lineage : dict of str to set of str
        Keys that Dagster has a materialization of, by asset.
    checks : dict of str to list of dict
        Evaluations of ``matches_headers``, by key.
    """

    sky: drift_scan.Sky
    store: ProductsStore
    keys: dict[str, str]
    images: dict[str, ImageResult]
    lineage: dict[str, set[str]]
    checks: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """Let a platform find what pyuvdata wrote, the target before its calibrator."""
    state = tmp_path_factory.mktemp("scan") / "state"
    settings = Settings(state=state)
    settings.incoming_uvh5_dir.mkdir(parents=True)
    sky = drift_scan.draw_sky(np.random.default_rng(1))
    _write_survey(state / "known.csv", sky)
    CatalogueStore(settings.layout.catalogues).add("known", state / "known.csv")
    environment = {
        **ENVIRONMENT,
        "CONTIMG_CATALOGUE__REFERENCE": "known",
        "CONTIMG_UVH5__SETTLE_AGE_S": "0",
        # An image ends where hardly any source is seen.
        "CONTIMG_IMAGING__CELL_ARCSEC": "8",
        "CONTIMG_IMAGING__IMAGE_SIZE": "2000",
    }
    rng = np.random.default_rng(3)
    array = drift_scan.Array(rng)
    made = [drift_scan.observe(array, sky, start, rng, phased=False) for start in drift_scan.STARTS]
    with Platform(state, environment=environment) as platform:
        platform.wait_until_ready()
        store = ProductsStore(settings.products_address)
        night = Night(platform, store, settings.incoming_dir)
        for start, data in reversed(list(zip(drift_scan.STARTS, made, strict=True))):
            for path in drift_scan.write_sub_bands(data, start, state / start):
                path.rename(settings.incoming_uvh5_dir / path.name)
        night.wait_for("both images", lambda: _imaged(store), 1200)
        known = store.list_observations()
        lineage = {
            asset: set(night.materializations(asset))
            for asset in ("incoming_ms", "incoming_sub_bands", "measurement_set")
        }
        checks = {
            o.key: night.evaluations("measurement_set", "matches_headers", o.key) for o in known
        }
    keys = {"calibrator" if o.calibrator else "target": o.key for o in known}
    images = {kind: _image(store, key) for kind, key in keys.items()}
    return Scan(sky, store, keys, images, lineage, checks)


def _write_survey(path: Path, sky: drift_scan.Sky) -> None:
    """List the sky as a survey sees it."""
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("name", "ra_deg", "dec_deg", "flux_jy", "reference_ghz", "spectral_index"))
        rows.writerows((*row, -0.7) for row in sky.surveyed(np.random.default_rng(2)))


def _imaged(store: ProductsStore) -> bool:
    observations = store.list_observations()
    failed = [o for o in observations if o.state is ObservationState.FAILED]
    assert not failed, [store.explain(o.key) for o in failed]
    return len(observations) == len(drift_scan.STARTS) and all(
        o.state is ObservationState.IMAGED for o in observations
    )


def _image(store: ProductsStore, key: str) -> ImageResult:
    (summary,) = [a.path for a in store.artefacts(key) if a.kind == ArtefactKind.STATISTICS]
    return load_image_result(summary.parent, summary.stem)


def _true_jy(sky: drift_scan.Sky, hz: float) -> tuple[SkyCoord, NDArray[np.float64]]:
    """Return where all sources of the drift scan are, the calibrator last, and what they shine."""
    places = SkyCoord(
        np.append(sky.ra_deg, drift_scan.CALIBRATOR[0]),
        np.append(sky.dec_deg, drift_scan.CALIBRATOR[1]),
        unit="deg",
    )
    jy = sky.flux_jy * (hz / drift_scan.REFERENCE_HZ) ** sky.index
    return places, np.append(jy, drift_scan.calibrator_jy(hz))


@pytest.mark.parametrize("kind", ["calibrator", "target"])
def test_a_drift_scan_by_other_hands_shows_its_sky(scan: Scan, kind: str) -> None:
    image = scan.images[kind]
    assert image.engine == "fast"
    places, true_jy = _true_jy(scan.sky, image.frequency_hz)
    found = SkyCoord([(s.ra_deg, s.dec_deg) for s in image.sources], unit="deg")
    flux_jy = np.array([s.flux_jy for s in image.sources])
    beam = image.statistics.beam
    # A source stands alone when all others within two beams have 5 % of its flux density.
    one, other, _, _ = places.search_around_sky(places, 2 * beam.major_arcsec * u.arcsec)
    beside_jy = np.bincount(one, true_jy[other], places.size) - true_jy
    nearest, apart, _ = places.match_to_catalog_sky(found)
    seen = apart < 0.5 * beam.minor_arcsec * u.arcsec
    alone = seen & (beside_jy < 0.05 * true_jy) & (true_jy < 1)
    ratio = flux_jy[nearest] / true_jy
    bright = alone & (true_jy > 0.03)
    assert bright.sum() > 15
    assert np.median(ratio[bright]) == pytest.approx(1.0, abs=0.01)
    east, north = (
        offset.to_value(u.arcsec)
        for offset in places[alone].spherical_offsets_to(found[nearest[alone]])
    )
    assert abs(np.mean(east)) < 0.1 * beam.minor_arcsec
    assert abs(np.mean(north)) < 0.1 * beam.minor_arcsec
    # What is listed is there: some source of half its flux density within a beam.
    near, listed, _, _ = found.search_around_sky(places, beam.major_arcsec * u.arcsec)
    there_jy = np.bincount(listed, true_jy[near], found.size)
    assert np.mean(there_jy < 0.5 * flux_jy) <= 0.01


def test_the_ms_of_sub_bands_is_a_product_and_agrees_with_their_headers(scan: Scan) -> None:
    keys = set(scan.keys.values())
    assert scan.lineage == {
        "incoming_ms": set(),
        "incoming_sub_bands": keys,
        "measurement_set": keys,
    }
    made = scan.keys["calibrator"]
    assert [(c["success"], c["severity"]) for c in scan.checks[made]] == [(True, "ERROR")]
    (ms,) = [a for a in scan.store.artefacts(made) if a.kind == ArtefactKind.MEASUREMENT_SET]
    assert len(ms.parameters["inputs"]) == 16
    assert ms.run_id
    assert ms.checksum.startswith("sha256:")
    # A set was valid for the target, so that it needed no MS.
    (check,) = scan.checks[scan.keys["target"]]
    assert (check["success"], check["severity"]) == (True, "WARN")
    assert check["description"].startswith("no MS is written")
    kinds = {a.kind: a for a in scan.store.artefacts(scan.keys["target"])}
    assert ArtefactKind.MEASUREMENT_SET not in kinds
    assert len(kinds[ArtefactKind.CALIBRATED_MS].parameters["inputs"]) == 16


def test_a_drift_scan_by_other_hands_is_solved_and_calibrated_in_memory(
    casa: Casa, scan: Scan
) -> None:
    (applied,) = [
        a for a in scan.store.artefacts(scan.keys["target"]) if a.kind == ArtefactKind.CALIBRATED_MS
    ]
    assert applied.set_name == f"3C286_{scan.keys['calibrator']}"
    assert casa.run(read_origin, applied.path, label="origin")["engine"] == "fast"
