"""The fast engine against CASA's tclean, on the same visibilities."""

from pathlib import Path

import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.settings import ImagingSettings
from tests.imaging.imaging_steps import Sky, import_3c273
from tests.imaging.pairs import assert_beams_agree, pairs, with_settings


@pytest.fixture(scope="module")
def by_casa(casa: Casa, sky: Sky, tmp_path_factory: pytest.TempPathFactory) -> ImageResult:
    """The image by tclean with every default (about half a minute on an idle core)."""
    place = tmp_path_factory.mktemp("casa") / "image"
    request = ImageRequest(sky.ms, place, "x", ImagingSettings(engine="casa", sub_bands=0))
    return casa.run(make_image, request, label="casa")


def test_both_engines_make_the_same_image_of_a_drift_scan(
    by_casa: ImageResult, imaged: ImageResult
) -> None:
    assert (by_casa.engine, imaged.engine) == ("casa", "fast")
    assert imaged.grid == by_casa.grid
    assert_beams_agree(by_casa, imaged)
    assert imaged.statistics.residual_rms_jy == pytest.approx(
        by_casa.statistics.residual_rms_jy, rel=0.03
    )
    found = pairs(by_casa, imaged, 10.0)
    assert len(found) > 50
    assert np.median([p.flux_ratio for p in found]) == pytest.approx(1.0, abs=0.003)
    # tclean puts components on pixels and w on planes; what that leaves of the sources adds a third
    # of the noise, which differs between the two images.
    for p in found:
        assert p.flux_ratio == pytest.approx(1.0, abs=0.01 + 1.0 / p.one.snr)
    assert np.std([(p.flux_ratio - 1) * p.one.snr for p in found if p.one.snr < 40]) < 0.6
    bright = [p.offset_arcsec for p in found if p.one.snr > 40]
    assert len(bright) > 15
    assert max(bright) < by_casa.statistics.beam.major_arcsec / 50


def test_both_engines_make_the_same_image_of_3c273(casa: Casa, tmp_path: Path) -> None:
    """A tracked field, observed with the VLA in 1989: one source of 30 Jy and its jet."""
    ms = casa.run(import_3c273, tmp_path / "3c273.ms", label="import")
    settings = ImagingSettings(image_size=512, cell_arcsec=0.7, sub_bands=0)
    request = ImageRequest(ms, tmp_path / "fast", "x", settings)
    fast = casa.run(make_image, request, label="fast")
    request = with_settings(request, tmp_path / "casa", engine="casa")
    by_casa = casa.run(make_image, request, label="casa")
    assert_beams_agree(by_casa, fast)
    found = pairs(by_casa, fast, 20.0)
    assert found[0].one.peak_jy == pytest.approx(29.9, abs=0.1)
    for p in found:
        assert p.flux_ratio == pytest.approx(1.0, abs=0.01)
        assert p.offset_arcsec < by_casa.statistics.beam.minor_arcsec / 50
    # 30 Jy leave more than noise; the fast engine leaves less of them.
    assert fast.statistics.residual_rms_jy < 1.03 * by_casa.statistics.residual_rms_jy
