"""The list of found sources of a mosaic is a product like every other."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from contimg_resources.catalogues.model import nearest_sources
from contimg_resources.cli.main import run
from contimg_resources.core.errors import InvalidName, ProductsError
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.photometry.found import read_found
from contimg_resources.products.derived import DerivedKind
from contimg_resources.steps.finding import FoundInMosaic, check_found, find_in_mosaic
from contimg_resources.steps.mosaicking import mosaic_observations
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.verifying import problem_of, unrecorded_files
from tests.steps.sky import BEAM, Sky
from tests.steps.test_sub_band_photometry import KEY, whole_sky


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    return whole_sky(tmp_path_factory.mktemp("found"))


@pytest.fixture(scope="module")
def found(sky: Sky) -> FoundInMosaic:
    return find_in_mosaic(sky.workshop, KEY, run_id="r7")


def test_what_is_listed_is_on_the_sky(sky: Sky, found: FoundInMosaic) -> None:
    columns, facts = read_found(found.path)
    assert found.verdict.passed, found.verdict.words
    assert found.n_sources == len(columns["name"]) > 100
    ra, dec, jy = np.array(sky.sources).T
    away, which = nearest_sources(columns["ra_deg"], columns["dec_deg"], ra, dec)
    bright = columns["snr"] > 6
    assert (away[bright] < BEAM.major_arcsec).mean() > 0.98
    alone = bright & (columns["n_components"] == 1) & (columns["snr"] > 20)
    ratio = columns["integrated_jy"][alone] / jy[which[alone]]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    # The catalogue is the sky itself.
    assert (columns["catalogue_id"][bright] != "").mean() > 0.98
    assert facts["measured_from"] == sky.workshop.products.mosaics.get(KEY).checksum
    assert facts["completeness"]["found"][-1] > 0.9 * facts["completeness"]["injected"][-1]
    assert len(facts["depth"]["pixel"]) == len(facts["depth"]["rms_jy"]) > 50


def test_the_votable_holds_the_same(found: FoundInMosaic) -> None:
    columns, _ = read_found(found.path)
    votable = Table.read(found.product.companions[0].path)
    assert votable["peak_jy"].unit == "Jy"
    assert votable["name"].tolist() == columns["name"].tolist()
    np.testing.assert_array_equal(votable["ra_deg"], columns["ra_deg"])


def test_it_is_recorded_verified_and_stale_after_its_mosaic(sky: Sky, found: FoundInMosaic) -> None:
    store = sky.workshop.products.derived
    made = store.get(DerivedKind.FOUND_SOURCES, KEY)
    assert made is not None
    assert (made.run_id, made.path) == ("r7", found.path)
    assert not any(problem_of(file) for file in made.files)
    assert unrecorded_files(sky.workshop) == {}
    # Its images were calibrated with a set that this registry doesn't have.
    assert "was made again" not in provenance_of(sky.workshop, made.companions[0].path).why_stale
    sky.image(0, scale=1.1)
    mosaic_observations(sky.workshop, KEY)
    assert "was made again" in provenance_of(sky.workshop, made.path).why_stale
    find_in_mosaic(sky.workshop, KEY)
    assert "was made again" not in provenance_of(sky.workshop, made.path).why_stale


def test_the_command_finds_and_lists(
    sky: Sky,
    found: FoundInMosaic,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(sky.workshop.settings.state))
    assert run(["found"]) == 0
    assert KEY in capsys.readouterr().out
    assert run(["found", KEY]) == 0
    told = capsys.readouterr()
    assert read_found(found.path)[0]["name"][0] in told.out
    assert "negative peaks" in told.out + told.err


def test_a_missing_mosaic_is_named(sky: Sky) -> None:
    with pytest.raises(ProductsError, match=r"61042\.02083"):
        find_in_mosaic(sky.workshop, "61042.02083+54.0")
    with pytest.raises(InvalidName):
        find_in_mosaic(sky.workshop, "../../mosaic")


def test_too_many_sources_fail_the_check(found: FoundInMosaic) -> None:
    def judged(n: int, recovered: tuple[int, int] | None) -> Verdict:
        listed = SimpleNamespace(sources=range(n), min_snr=4.5, n_rejected=0)
        return check_found(listed, found.reliability, 100.0, recovered)  # type: ignore[arg-type]

    assert judged(200, None).passed
    assert not judged(300, None).passed
    assert judged(100, (20, 19)).passed
    assert not judged(100, (20, 15)).passed
    # Too few to compare.
    assert judged(100, (9, 0)).passed
