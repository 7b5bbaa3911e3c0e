"""A smooth background changes neither flux densities nor their errors, wherever there is sky."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import Flag
from tests.photometry.hand_made import RMS_JY, HandMade

ERROR_JY = np.sqrt(2) * RMS_JY


def bump(peak: float, width: float) -> Callable[[Any, Any], Any]:
    """Return a Gaussian beside the middle, its FWHM as a share of the image."""
    return lambda x, y: (
        peak * RMS_JY * np.exp(-4 * np.log(2) * ((x - 0.1) ** 2 + (y - 0.05) ** 2) / width**2)
    )


@pytest.mark.parametrize(
    "background",
    [
        pytest.param(lambda x, y: 0.0, id="none"),
        pytest.param(lambda x, y: 5 * RMS_JY + 0 * x, id="offset"),
        pytest.param(lambda x, y: RMS_JY * 3 * x, id="faint slope"),
        pytest.param(lambda x, y: RMS_JY * (30 * x + 10 * y), id="slope"),
        pytest.param(lambda x, y: RMS_JY * 1000 * (y - x), id="steep slope"),
        pytest.param(lambda x, y: RMS_JY * 100 * (x * x - 0.5 * y * y), id="quadratic"),
        pytest.param(bump(-10, 0.6), id="bowl"),
        pytest.param(bump(-10, 0.3), id="narrow bowl"),
        pytest.param(bump(30, 0.8), id="diffuse emission"),
    ],
)
def test_pulls_are_normal_on_any_smooth_background(background: Any) -> None:
    pulls, errors = [], []
    for seed in range(4):
        made = HandMade(seed)
        raw = made.measured(background)
        assert not raw.flags.any()
        pulls.append((raw.flux_jy - made.flux_jy()) / raw.error_jy)
        errors.append(raw.error_jy)
    pull = np.concatenate(pulls)
    assert len(pull) > 400
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.1)
    # Nor are they normal because errors grew.
    assert np.median(np.concatenate(errors)) == pytest.approx(ERROR_JY, rel=0.08)


def test_positions_are_not_dragged_along_a_slope() -> None:
    made = HandMade(7, snr=(30.0,))
    flat, steep = made.measured(), made.measured(lambda x, y: 300 * RMS_JY * x)
    told = np.isfinite(flat.east_arcsec)
    assert told.sum() > 100
    moved = (steep.east_arcsec - flat.east_arcsec)[told] / flat.east_error_arcsec[told]
    assert np.abs(moved).max() < 0.2


@pytest.mark.parametrize(
    "blank",
    [
        pytest.param(lambda x, y: (np.abs(x) > 0.2) | (np.abs(y) > 0.2), id="island"),
        pytest.param(lambda x, y: np.abs(x + y) > 0.1, id="stripe"),
        pytest.param(
            lambda x, y: (np.floor(8 * x) % 3 > 0) | (np.floor(8 * y) % 2 > 0), id="patches"
        ),
    ],
)
def test_an_image_that_is_blank_in_most_of_its_area_is_measured(blank: Any) -> None:
    pulls = []
    for seed in range(4):
        made = HandMade(seed, size=400, spacing=20)
        raw = made.measured(lambda x, y: 20 * RMS_JY * x, blank)
        measured = np.isfinite(raw.flux_jy)
        assert measured.sum() > 20
        pulls.append(((raw.flux_jy - made.flux_jy()) / raw.error_jy)[measured])
    y, x = np.mgrid[:400, :400] / 400 - 0.5
    assert blank(x, y).mean() > 0.8
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 3 / np.sqrt(len(pull))
    assert pull.std() == pytest.approx(1.0, abs=3 / np.sqrt(2 * len(pull)))


def test_a_small_image_is_measured_and_one_that_is_too_small_is_refused() -> None:
    pulls = []
    for seed in range(12):
        made = HandMade(seed, size=64, spacing=20)
        pulls.append((made.measured().flux_jy - made.flux_jy()) / ERROR_JY)
    assert np.std(np.concatenate(pulls)) == pytest.approx(1.0, abs=0.2)
    made = HandMade(size=20, spacing=40)
    with pytest.raises(PhotometryFailed, match=r"beams of sky without sources are too few"):
        made.measured()


def test_a_step_in_the_noise_map_is_no_step_in_the_background() -> None:
    """Half of a mosaic has four times the noise; the offset is the same in both."""
    pulls = []
    for seed in range(3):
        made = HandMade(seed, snr=(0.0,))
        sigma = np.where(np.arange(300) < 150, 1.0, 4.0) * np.ones((300, 1)) * RMS_JY
        pixels = made.pixels_jy() * sigma / RMS_JY + 20 * RMS_JY
        raw = measure(made.image(pixels, sigma_jy=sigma.astype(np.float32)), made.sources())
        pulls.append(raw.flux_jy / raw.error_jy)
        assert np.percentile(raw.error_jy, 90) / np.percentile(raw.error_jy, 10) == pytest.approx(
            4.0, rel=0.15
        )
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    "changed",
    [
        {"cell_arcsec": 30.0, "beam": (80.0, 60.0, 10.0)},
        {"cell_arcsec": 8.0, "beam": (120.0, 80.0, -70.0), "spacing": 40, "size": 600},
        {"rotation_deg": 35.0, "beam": (120.0, 60.0, 70.0)},
    ],
    ids=["two pixels a beam", "ten pixels a beam", "rotated"],
)
def test_pulls_are_normal_whatever_the_pixels(changed: dict[str, Any]) -> None:
    pulls = []
    for seed in range(4):
        made = replace(HandMade(seed), **changed)
        raw = made.measured()
        assert set(raw.flags.tolist()) <= {0, int(Flag.EDGE)}
        pulls.append(((raw.flux_jy - made.flux_jy()) / raw.error_jy)[raw.flags == 0])
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.1)
