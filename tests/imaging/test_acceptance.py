"""When an image may be used."""

import pytest

from contimg_resources.imaging.acceptance import (
    check_astrometry,
    check_beam,
    check_fluxes,
    check_rms,
    confusion_jy,
)
from contimg_resources.settings import ImagingSettings

LIMITS = ImagingSettings()
NAN = float("nan")


@pytest.mark.parametrize(
    ("rms_jy", "expected_jy", "passed"),
    [
        (2e-3, 2e-3, True),
        (5.9e-3, 2e-3, True),
        (6.1e-3, 2e-3, False),
        # Less than half of the thermal noise isn't a good image but an empty one.
        (0.5e-3, 2e-3, False),
        (0.0, 2e-3, False),
        (2e-3, 0.0, False),
        (NAN, 2e-3, False),
        (2e-3, NAN, False),
    ],
)
def test_noise_is_what_the_data_predict(rms_jy: float, expected_jy: float, passed: bool) -> None:
    assert check_rms(rms_jy, expected_jy, 0.5, LIMITS).passed is passed


def test_beside_a_bright_calibrator_the_dynamic_range_sets_the_limit() -> None:
    assert check_rms(15e-3, 1e-3, 16.0, LIMITS).passed
    assert not check_rms(17e-3, 1e-3, 16.0, LIMITS).passed


def test_confusion_is_part_of_the_expected_noise() -> None:
    # facts of the instrument: 59" x 33" at 1.4 GHz are confused at about 0.6 mJy.
    confusion = confusion_jy(1.4e9, 59.0, 33.0)
    assert confusion == pytest.approx(0.6e-3, rel=0.05)
    # The equation's own example, 8" at 3.02 GHz.
    assert confusion_jy(3.02e9, 8.0, 8.0) == pytest.approx(1.2e-6)
    assert not check_rms(1.2e-3, 0.25e-3, 0.3, LIMITS).passed
    verdict = check_rms(1.2e-3, 0.25e-3, 0.3, LIMITS, confusion)
    assert verdict.passed
    assert "confusion of faint sources is 0.6" in verdict.words
    assert not check_rms(4e-3, 0.25e-3, 0.3, LIMITS, confusion).passed


@pytest.mark.parametrize(
    ("bmaj_arcsec", "bmin_arcsec", "cell_arcsec", "passed"),
    [
        (40.0, 30.0, 6.0, True),
        (200.0, 30.0, 6.0, False),
        (40.0, 30.0, 20.0, False),
        (30.0, 40.0, 6.0, False),
        (0.0, 0.0, 6.0, False),
        (NAN, NAN, 6.0, False),
    ],
)
def test_a_beam_is_an_ellipse_that_the_pixels_sample(
    bmaj_arcsec: float, bmin_arcsec: float, cell_arcsec: float, passed: bool
) -> None:
    assert check_beam(bmaj_arcsec, bmin_arcsec, cell_arcsec, LIMITS).passed is passed


def test_known_fluxes_agree_within_the_tolerance_and_say_how_well() -> None:
    good = check_fluxes(1.03, 7, 8, LIMITS)
    assert good.passed
    assert good.words.startswith("7 of 8 known sources found, median flux ratio 1.030")
    assert not check_fluxes(1.3, 7, 8, LIMITS).passed
    assert not check_fluxes(0.7, 7, 8, LIMITS).passed


def test_an_image_in_which_no_known_source_is_found_is_refused() -> None:
    assert not check_fluxes(NAN, 0, 8, LIMITS).passed
    assert not check_astrometry(NAN, 30.0, 0, 8, LIMITS).passed


def test_an_image_that_shows_only_a_few_of_the_known_sources_is_refused() -> None:
    assert check_fluxes(1.0, 4, 8, LIMITS).passed
    assert not check_fluxes(1.0, 3, 8, LIMITS).passed


def test_positions_agree_within_a_part_of_the_beam() -> None:
    assert check_astrometry(8.9, 30.0, 7, 8, LIMITS).passed
    assert not check_astrometry(9.1, 30.0, 7, 8, LIMITS).passed


def test_without_anything_known_a_check_says_that_it_was_not_made() -> None:
    for nothing in (check_fluxes(NAN, 0, 0, LIMITS), check_astrometry(NAN, 30.0, 0, 0, LIMITS)):
        assert (nothing.passed, nothing.evaluated) == (True, False)
        assert nothing.words.startswith(
            "not evaluated: no catalogue is set (CONTIMG_CATALOGUE__REFERENCE)"
        )
