"""Sources are found without a catalogue: what was put into an image comes out."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.imaging.model import Beam
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.photometry.completeness import (
    Reliability,
    expected_sources,
    measure_completeness,
    measure_reliability,
)
from contimg_resources.photometry.finding import Found, find_sources
from contimg_resources.photometry.found import FoundSources, names_of
from contimg_resources.photometry.model import Flag, MeasurableImage
from contimg_resources.settings import FindingSettings
from contimg_resources.simulation.tiles import correlated_noise
from tests.photometry.skies import BEAM, CELL_ARCSEC, RMS_JY, SIZE, grid, places

Floats = NDArray[np.float64]
FWHM = np.sqrt(8 * np.log(2))
LIMITS = FindingSettings(injections=300)
#: Column and row of what stands alone.
DOUBLE, WIDE, GHOST = (62.0, 331.0), (331.0, 62.0), (331.0, 331.0)
WIDE_JY, WIDE_SIZE = 0.08, Beam(180.0, 90.0, 120.0)
DOUBLE_JY = (0.05, 0.03)


def covariance(beam: Beam) -> Floats:
    """Return the covariance of a Gaussian, east and north, arcsec."""
    angle = np.radians(beam.angle_deg)
    axes = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    sigma = np.array([beam.major_arcsec, beam.minor_arcsec]) / FWHM
    return np.asarray(axes.T @ np.diag(sigma**2) @ axes)


def add(
    pixels: Floats, column: float, row: float, flux_jy: float, size: Beam | None = None
) -> None:
    """Add a Gaussian of an integrated flux density, seen with the beam."""
    seen = covariance(BEAM) + (0 if size is None else covariance(size))
    part = tuple(slice(max(0, round(v) - 30), round(v) + 31) for v in (row, column))
    y, x = np.mgrid[:SIZE, :SIZE][(slice(None), *part)]
    away = np.stack([-(x - column), y - row], axis=-1) * CELL_ARCSEC
    peak = flux_jy * np.sqrt(np.linalg.det(covariance(BEAM)) / np.linalg.det(seen))
    pixels[part] += peak * np.exp(-0.5 * ((away @ np.linalg.inv(seen)) * away).sum(axis=-1))


def image_of(pixels: Floats, sigma_jy: float | None = None) -> MeasurableImage:
    return MeasurableImage(
        "mosaic",
        "61041.02083+54.0",
        pixels.astype(np.float32),
        None if sigma_jy is None else np.full(pixels.shape, sigma_jy, np.float32),
        None,
        celestial_wcs(grid()),
        BEAM,
        1.4e9,
        61_041.0,
        61_041.02,
        61_041.04,
    )


@pytest.fixture(scope="module")
def noise() -> Floats:
    return RMS_JY * correlated_noise(SIZE, CELL_ARCSEC, BEAM, 5)


@pytest.fixture(scope="module")
def truth() -> Floats:
    """Columns, rows and flux densities of point sources."""
    x, y = places(3)
    special = np.array([DOUBLE, WIDE, GHOST])
    away = np.hypot(x[:, None] - special[:, 0], y[:, None] - special[:, 1]).min(axis=1)
    x, y = x[away > 40], y[away > 40]
    snr = np.random.default_rng(4).choice([8.0, 12.0, 30.0, 200.0], len(x))
    # The sidelobe hides what is faint around it.
    snr[np.hypot(x - GHOST[0], y - GHOST[1]) < 120] = 50.0
    return np.stack([x, y, snr * RMS_JY])


@pytest.fixture(scope="module")
def found(noise: Floats, truth: Floats) -> Found:
    pixels = noise.copy()
    for x, y, jy in truth.T:
        add(pixels, x, y, jy)
    # 1.6 beams apart along the major axis.
    add(pixels, *DOUBLE, DOUBLE_JY[0])
    add(pixels, DOUBLE[0] - 3.4, DOUBLE[1] + 7.3, DOUBLE_JY[1])
    add(pixels, *WIDE, WIDE_JY, WIDE_SIZE)
    # A sidelobe: negative beside positive.
    add(pixels, *GHOST, 9 * RMS_JY)
    add(pixels, GHOST[0] + 14, GHOST[1], -12 * RMS_JY)
    pixels[:20, :60] = np.nan
    return find_sources(image_of(pixels, RMS_JY), LIMITS)


def near(found: Found, column: float, row: float, pixels: float) -> FoundSources:
    x, y = found.finder.image.wcs.all_world2pix(found.sources.ra_deg, found.sources.dec_deg, 0)
    return found.sources.select(np.hypot(x - column, y - row) < pixels)


def test_point_sources_are_found_where_they_are_with_their_flux_densities(
    found: Found, truth: Floats
) -> None:
    inside = np.isfinite(found.finder.value_at(truth[1], truth[0]))
    pulls, places_off = [], []
    for x, y, jy in truth[:, inside].T:
        one = near(found, x, y, 3)
        assert len(one) == 1, (x, y, jy)
        assert not one.flags[0] & (Flag.EXTENDED | Flag.BLEND)
        assert one.integrated_jy[0] == one.peak_jy[0]
        pulls.append((one.peak_jy[0] - jy) / one.peak_error_jy[0])
        ra, dec = found.finder.image.wcs.all_pix2world(x, y, 0)
        off = 3600 * np.array(
            [(one.ra_deg[0] - ra) * np.cos(np.radians(dec)), one.dec_deg[0] - dec]
        )
        places_off.append(off / [one.east_error_arcsec[0], one.north_error_arcsec[0]])
    assert len(pulls) > 120
    assert abs(np.mean(pulls)) < 0.3
    assert 0.8 < np.std(pulls) < 1.25
    assert 0.8 < np.std(places_off) < 1.3


def test_nothing_else_is_found(found: Found, truth: Floats) -> None:
    known = np.concatenate([truth[:2].T, [DOUBLE, WIDE, GHOST]])
    x, y = found.finder.image.wcs.all_world2pix(found.sources.ra_deg, found.sources.dec_deg, 0)
    away = np.hypot(x[:, None] - known[:, 0], y[:, None] - known[:, 1]).min(axis=1)
    assert np.count_nonzero(away > 9) <= 1


def test_a_double_is_two_components_of_one_island(found: Found) -> None:
    both = near(found, *DOUBLE, 11)
    assert len(both) == 2
    assert both.n_components.tolist() == [2, 2]
    assert both.island[0] == both.island[1]
    assert (both.flags & Flag.BLEND).all()
    assert both.integrated_jy.sum() == pytest.approx(sum(DOUBLE_JY), rel=0.05)
    assert both.integrated_jy[0] == pytest.approx(DOUBLE_JY[0], abs=4 * both.integrated_error_jy[0])


def test_an_extended_source_has_its_size_without_the_beam(found: Found) -> None:
    one = near(found, *WIDE, 6)
    assert len(one) == 1
    assert one.flags[0] & Flag.EXTENDED
    assert one.integrated_jy[0] == pytest.approx(WIDE_JY, abs=3.5 * one.integrated_error_jy[0])
    assert one.integrated_error_jy[0] < 0.1 * WIDE_JY
    assert one.major_arcsec[0] == pytest.approx(180, abs=4 * one.major_error_arcsec[0])
    assert one.major_error_arcsec[0] < 20
    assert one.minor_arcsec[0] == pytest.approx(90, abs=4 * one.minor_error_arcsec[0])
    # North through east.
    assert one.angle_deg[0] == pytest.approx(120, abs=8)


def test_a_positive_sidelobe_is_rejected_beside_the_negative_one(found: Found) -> None:
    assert len(near(found, *GHOST, 6)) == 0
    assert found.n_rejected >= 1


def test_completeness_rises_to_one_and_the_same_mosaic_gives_the_same(found: Found) -> None:
    curve = measure_completeness(found, LIMITS.injections)
    again = measure_completeness(found, LIMITS.injections)
    assert curve.injected.sum() > 150
    assert curve.found.tolist() == again.found.tolist()
    assert curve.by_snr[0] < 0.5
    assert curve.by_snr[-1] > 0.97
    assert curve.flux_ratio[-1] == pytest.approx(1, abs=0.04)
    assert (np.diff(curve.at_flux[:7]) >= 0).all()
    none = measure_completeness(found, 0)
    assert none.injected.sum() == 0
    assert np.isnan(none.at_flux).all()


def test_noise_has_next_to_no_sources_and_its_tail_is_gaussian(noise: Floats) -> None:
    found = find_sources(image_of(noise), LIMITS)
    assert len(found.sources) <= 2
    reliability = measure_reliability(found)
    assert reliability.scale < 1.4
    assert 4.0 < reliability.limit(0.1) < 6.0


def test_the_limit_of_new_sources_grows_with_the_tail() -> None:
    none = np.empty(0, int)
    narrow, wide = (Reliability(none, none, none, s, 4.0, 20.0) for s in (1.0, 1.5))
    assert narrow.limit(0.1) == pytest.approx(np.sqrt(16 + 2 * np.log(200)))
    assert wide.limit(0.1) > narrow.limit(0.1) > narrow.limit(1.0) > 4.0
    assert narrow.limit(100) == 4.0


def test_counts_agree_with_the_nvss(found: Found) -> None:
    # 1.8 million sources above 2.5 mJy in 82 % of the sky (Condon et al. 1998, AJ 115, 1693).
    rms = 2.5e-3 / (found.min_snr * found.finder.point_error)
    expected = expected_sources(found, np.array([rms]), 1.0)
    assert expected == pytest.approx(1.8e6 / (0.82 * 41_253), rel=0.2)


@pytest.mark.parametrize("pixels", [np.nan, 0.0, 1.0, np.inf])
def test_an_image_without_noise_is_refused(pixels: float) -> None:
    with pytest.raises(PhotometryFailed, match=r"61041\.02083"):
        find_sources(image_of(np.full((SIZE, SIZE), pixels)), LIMITS)


def test_a_noise_map_of_zeros_and_a_missing_beam_are_refused(noise: Floats) -> None:
    with pytest.raises(PhotometryFailed, match="no value above zero"):
        find_sources(image_of(noise, 0.0), LIMITS)
    with pytest.raises(PhotometryFailed, match="not a valid restoring beam"):
        replace(image_of(noise), beam=Beam(0.0, 0.0, 0.0))


def test_a_tiny_image_is_refused(noise: Floats) -> None:
    tiny = image_of(noise)
    with pytest.raises(PhotometryFailed):
        find_sources(replace(tiny, pixels=tiny.pixels[:1, :1]), LIMITS)


def test_names_are_truncated_positions() -> None:
    ra = np.array([24.42206, 0.0, 359.9999999, 180.0])
    dec = np.array([33.16, -0.0001, 89.99999, -0.5])
    assert names_of(ra, dec).tolist() == [
        "J013741.2+330936",
        "J000000.0-000000",
        "J235959.9+895959",
        "J120000.0-003000",
    ]
