"""What has no flux says why; what is no image or no list is refused."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS

from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import Flag, MeasurableImage, SourceList, words
from tests.photometry.skies import (
    BEAM,
    MAJOR_PIXELS,
    RMS_JY,
    SIZE,
    sky,
)


def test_what_has_no_flux_says_why(tmp_path: Path) -> None:
    middle, half = SIZE / 2, 1.5 * MAJOR_PIXELS
    places = [middle, middle + 60, half - 0.8, half - 0.2, -9]
    listed = [(column, middle + 30 * i) for i, column in enumerate(places)]
    made = sky(tmp_path, [middle], [middle], [0.1], listed=listed, fwhm_deg=4.0)
    pixels = made.image.pixels.copy()
    pixels[SIZE // 2 + 30 + int(half), SIZE // 2 + 60] = np.nan
    raw = measure(replace(made.image, pixels=pixels), made.sources)
    assert [words(int(f)) for f in raw.flags] == [
        (),
        ("blank pixels in the stamp",),
        ("stamp over the edge of the image",),
        (),
        ("outside the observed sky",),
    ]
    told = [True, False, False, True, False]
    assert np.isfinite(raw.flux_jy).tolist() == told
    assert np.isfinite(raw.error_jy).tolist() == told
    assert raw.in_image.tolist() == [True, True, True, True, False]


def test_below_the_beam_cut_and_on_the_far_side_is_outside(tmp_path: Path) -> None:
    made = sky(tmp_path, [200], [200], [0.1], listed=[(200, 200), (200, 20)], fwhm_deg=1.2)
    raw = made.measured()
    assert raw.flags.tolist() == [0, Flag.OUTSIDE]
    assert np.isnan(raw.flux_jy[1])
    assert np.isnan(raw.primary_beam[1])
    deeper = sky(
        tmp_path, [200], [200], [0.1], listed=[(200, 200), (200, 20)], fwhm_deg=1.2, cut=0.1
    )
    assert deeper.measured().flags.tolist() == [0, 0], "the cut is that of the image"
    behind = SourceList.of(["antipode", "pole"], np.zeros(2), np.array([-54.0, -90.0]))
    assert measure(made.image, behind).flags.tolist() == [Flag.OUTSIDE] * 2


def test_twins_are_degenerate_and_a_third_one_is_not(tmp_path: Path) -> None:
    x, y = [200.0, 200.0, 205.0, 300.0], [200.0, 200.0, 200.0, 300.0]
    made = sky(tmp_path, x[1:], y[1:], [0.1, 0.05, 0.2])
    wcs = made.image.wcs
    sources = SourceList.of(["a", "twin of a", "third", "far"], *wcs.all_pix2world(x, y, 0))
    raw = measure(made.image, sources)
    twin = Flag.BLEND | Flag.DEGENERATE
    assert raw.flags.tolist() == [twin, twin, Flag.BLEND, 0]
    assert "too close to a neighbour to be separated" in words(int(twin))
    assert np.isnan(raw.flux_jy[:2]).all()
    assert raw.flux_jy[2] == pytest.approx(0.05, abs=4 * raw.error_jy[2])
    assert raw.flux_jy[3] == pytest.approx(0.2, abs=4 * raw.error_jy[3])


def test_a_neighbour_that_cannot_be_measured_is_still_subtracted(tmp_path: Path) -> None:
    # The bright one's stamp is over the edge; the faint one's is just inside.
    made = sky(tmp_path, [5.0, 11.0], [200.0, 200.0], [1.0, 0.05], fwhm_deg=5.0)
    raw = made.measured()
    assert raw.flags.tolist() == [Flag.EDGE, Flag.BLEND]
    assert raw.flux_jy[1] == pytest.approx(0.05, abs=4 * raw.error_jy[1])


def test_a_hole_in_the_map_of_noise_is_a_hole(tmp_path: Path) -> None:
    made = sky(tmp_path, [100.0, 200.0, 300.0], [200.0] * 3, [0.1] * 3)
    for hole in (np.nan, 0.0, -1.0, np.inf):
        sigma = np.full_like(made.image.pixels, RMS_JY)
        sigma[200, 101] = hole
        sigma[200, 300] = hole
        image = replace(made.image, kind="mosaic", sigma_jy=sigma, primary_beam=None)
        raw = measure(image, made.sources)
        assert raw.flags.tolist() == [Flag.NAN, 0, Flag.OUTSIDE], hole


def test_an_infinite_pixel_is_a_blank_one(tmp_path: Path) -> None:
    made = sky(tmp_path, [100.0, 200.0], [200.0] * 2, [0.1] * 2)
    pixels = made.image.pixels.copy()
    pixels[200, 102] = np.inf
    assert measure(replace(made.image, pixels=pixels), made.sources).flags.tolist() == [Flag.NAN, 0]


def test_an_image_without_sky_or_noise_is_refused(tmp_path: Path) -> None:
    made = sky(tmp_path, [200.0], [200.0], [0.1])
    blank = np.full_like(made.image.pixels, np.nan)
    with pytest.raises(PhotometryFailed, match=r"61041\.00000: .*sky"):
        measure(replace(made.image, pixels=blank), made.sources)
    with pytest.raises(PhotometryFailed, match=r"61041\.00000: .*sky"):
        measure(replace(made.image, pixels=np.zeros_like(blank)), made.sources)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"source_id": ["a", "a"]}, "'a' is in the list twice"),
        ({"source_id": ["a", ""]}, "no name"),
        ({"ra_deg": [1.0, np.nan]}, "'b' has no position"),
        ({"dec_deg": [1.0, 91.0]}, "'b' has no position"),
        ({"flux_jy": [1.0]}, "a list of 2 sources has a column of 1"),
    ],
)
def test_a_list_that_is_none_is_refused(changed: dict[str, Any], said: str) -> None:
    good = {"source_id": ["a", "b"], "ra_deg": [1.0, 2.0], "dec_deg": [1.0, 2.0]}
    with pytest.raises(PhotometryFailed, match=said):
        SourceList.of(**{**good, **changed})


def test_an_image_that_is_none_is_refused() -> None:
    wcs = WCS(naxis=2)
    pixels = np.zeros((4, 4), np.float32)
    good: dict[str, Any] = {
        "kind": "image",
        "epoch": "61041.00000",
        "pixels": pixels,
        "sigma_jy": None,
        "primary_beam": None,
        "wcs": wcs,
        "beam": BEAM,
        "frequency_hz": 1.4e9,
        "start_mjd": 1.0,
        "mid_mjd": 1.0,
        "end_mjd": 1.0,
    }
    for changed, said in (
        ({"pixels": pixels[0]}, "are not an image"),
        ({"sigma_jy": pixels[1:]}, "sigma_jy has shape"),
        ({"beam": Beam(10.0, 20.0, 0.0)}, "not a valid restoring beam"),
        ({"beam": Beam(10.0, np.nan, 0.0)}, "not a valid restoring beam"),
    ):
        with pytest.raises(PhotometryFailed, match=said):
            MeasurableImage(**{**good, **changed})


def test_every_sum_of_flags_has_its_words() -> None:
    for one, other in itertools.combinations(Flag, 2):
        assert len(words(int(one | other))) == 2
    assert words(0) == ()
    for wrong in (-1, 1 << 20):
        with pytest.raises(ValueError, match=str(wrong)):
            words(wrong)
