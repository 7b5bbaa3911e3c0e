"""NGC5921 goes the whole way of an observation and ends at the observatory's published figures."""

from pathlib import Path

import pytest
from astropy.io import fits

from contimg_resources.demo.foreign import measure_image_of_casa
from contimg_resources.demo.ngc5921 import PUBLISHED_FLUX_PT99_JY, PUBLISHED_RATIO
from contimg_resources.demo.night import DEMO_NIGHT, write_known_sources
from contimg_resources.demo.real import CHANNELS, RealDataResult, run_ngc5921
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.products.model import ObservationState
from contimg_resources.settings import CatalogueSettings, Settings
from contimg_resources.steps.in_casa import load_engines
from contimg_resources.steps.workshop import Workshop

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def _workshop(root: Path) -> Workshop:
    reference = CatalogueSettings(reference="known")
    return Workshop.from_settings(Settings(state=root / "state", catalogue=reference))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealDataResult:
    """Return what became of it as pyuvdata writes it; as CASA imports it, `make demo` compares."""
    root = tmp_path_factory.mktemp("real")
    workshop = _workshop(root)
    # As the demo: one CASA process for all steps.
    workshop.casa.open(load_engines)
    try:
        return run_ngc5921(workshop, root / "ngc5921", by_pyuvdata=True)
    finally:
        workshop.casa.close()


def test_the_flux_ratio_is_the_published_one(real: RealDataResult) -> None:
    assert real.ratio == pytest.approx(PUBLISHED_RATIO, rel=1e-4)


def test_the_registry_gives_the_set_with_flux_in_the_place_of_ga(real: RealDataResult) -> None:
    assert [t.type for t in real.active.set.tables] == [
        CaltableType.BA,
        CaltableType.BP,
        CaltableType.GP,
        CaltableType.FLUX,
    ]
    assert not real.active.borrowed


def test_the_image_shows_1445_with_the_flux_that_its_gains_gave(real: RealDataResult) -> None:
    assert real.image_peak_jy == pytest.approx(real.flux_jy, rel=5e-3)
    assert real.image_peak_pt99_jy == pytest.approx(PUBLISHED_FLUX_PT99_JY, rel=5e-3)
    assert real.image_rms_jy < 0.01 * real.image_peak_jy
    header = fits.getheader(real.image.files.pbcor)
    assert header["TELESCOP"] == "VLA"
    # 1445+099, J2000: 14:45:16.465 +09:58:36.07.
    statistics = real.image.statistics
    assert statistics.peak_ra_deg == pytest.approx(221.31860, abs=2e-3)
    assert statistics.peak_dec_deg == pytest.approx(9.97669, abs=2e-3)


def test_an_image_that_casa_exports_becomes_an_epoch_with_the_published_flux(
    real: RealDataResult, tmp_path: Path
) -> None:
    workshop = _workshop(tmp_path)
    write_known_sources(DEMO_NIGHT, tmp_path / "known.csv")
    workshop.catalogues.add("known", tmp_path / "known.csv")
    measured = measure_image_of_casa(workshop, real.calibrated, tmp_path, real.image, CHANNELS)
    assert measured.flux_jy * real.to_pt99 == pytest.approx(PUBLISHED_FLUX_PT99_JY, rel=5e-3)
    assert measured.error_jy < 0.01 * measured.flux_jy
    assert workshop.products.get(measured.key).state is ObservationState.IMAGED
    (epoch,) = workshop.products.mosaics.list_epochs()
    assert epoch.epoch == measured.key
