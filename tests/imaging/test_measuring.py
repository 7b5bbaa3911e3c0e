"""Sources, weights, beams and pixels, each against something worked out by hand."""

import math
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.constants import speed_of_light
from scipy.ndimage import gaussian_filter

from contimg_resources.core.errors import ConfigurationError, ImagingFailed
from contimg_resources.core.statistics import LocalNoise, inner_half, mad_rms, without_slopes
from contimg_resources.imaging.beam import (
    dish_of,
    drift_beam,
    separation_rad,
    sin_of_sky,
    sky_of_sin,
)
from contimg_resources.imaging.engines.clean import highest_sidelobe
from contimg_resources.imaging.geometry import (
    beam_extent_rad,
    choose_cell_arcsec,
    choose_size,
    fft_friendly,
    fit_main_lobe,
    form_of_beam,
)
from contimg_resources.imaging.model import Beam, ImageGrid, Source
from contimg_resources.imaging.png import THUMBNAIL_BYTES, thumbnail_png, write_png
from contimg_resources.imaging.sources import find_sources
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.imaging.weighting import briggs, middle_of_psf
from contimg_resources.instrument.primary_beam import airy_power

BEAM = Beam(45.0, 25.0, 30.0)
GRID = ImageGrid(256, 7.0, 120.0, 40.0)


def blank() -> np.ndarray:
    return np.zeros((GRID.size, GRID.size))


def add_point(image: np.ndarray, ra_deg: float, dec_deg: float, peak_jy: float) -> None:
    place = np.array(ra_deg), np.array(dec_deg)
    east, north = sin_of_sky(*place, GRID.ra_deg, GRID.dec_deg)
    cell = np.deg2rad(GRID.cell_arcsec / 3600)
    y, x = np.mgrid[: GRID.size, : GRID.size]
    x0, y0 = GRID.size // 2 - east / cell, GRID.size // 2 + north / cell
    image += peak_jy * form_of_beam(BEAM, GRID.cell_arcsec)(x - x0, y - y0)


def even(rms: float) -> LocalNoise:
    return LocalNoise(np.array([[rms]]), np.ones((GRID.size, 1)), rms)


def found(image: np.ndarray, rms: float = 1e-3, min_snr: float = 6.0) -> tuple[Source, ...]:
    return find_sources(image, even(rms), np.full_like(image, 0.5), BEAM, GRID, min_snr)


def test_position_angles_have_one_range() -> None:
    angles = [Beam(40.0, 20.0, a).angle_deg for a in (-90.0, 0.1, 89.9, 90.0, 135.0, -100.0, 360.0)]
    assert angles == [-90.0, 0.1, 89.9, -90.0, -45.0, 80.0, 0.0]
    assert math.isnan(Beam(40.0, 20.0, math.nan).angle_deg)


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_source_between_pixels_loses_nothing(dx: float, dy: float) -> None:
    cell_deg = GRID.cell_arcsec / 3600
    ra = GRID.ra_deg + (20 + dx) * cell_deg / np.cos(np.deg2rad(GRID.dec_deg))
    dec = GRID.dec_deg + (10 + dy) * cell_deg
    image = blank()
    add_point(image, ra, dec, 0.1)
    (source,) = found(image)
    assert source.peak_jy == pytest.approx(0.1, rel=1e-4)
    assert source.flux_jy == pytest.approx(0.2, rel=1e-4), "divided by the primary beam"
    place = np.array(source.ra_deg), np.array(source.dec_deg)
    assert np.rad2deg(separation_rad(ra, dec, *place)) * 3600 < 0.01
    assert source.integrated_jy == pytest.approx(source.flux_jy, rel=1e-3)


def test_the_fitted_shape_of_a_point_is_the_beam() -> None:
    image = blank()
    add_point(image, 120.01, 40.02, 1.0)
    (source,) = found(image)
    assert source.major_arcsec == pytest.approx(45, rel=1e-3)
    assert source.minor_arcsec == pytest.approx(25, rel=1e-3)
    assert source.angle_deg == pytest.approx(30, abs=0.1)


def test_neighbours_are_told_apart() -> None:
    image = blank()
    add_point(image, 120.0, 40.0, 0.10)
    add_point(image, 120.0, 40.0 + 55 / 3600, 0.05)
    first, second = found(image)
    assert first.peak_jy == pytest.approx(0.10, rel=0.01)
    assert second.peak_jy == pytest.approx(0.05, rel=0.01)


def test_an_extended_source_has_more_than_its_peak() -> None:
    image = blank()
    add_point(image, 120.0, 40.0, 0.1)
    (source,) = found(gaussian_filter(image, 2.0))
    assert source.integrated_jy > 1.3 * source.flux_jy


def test_nothing_is_found_beyond_the_cut_or_below_the_limit() -> None:
    image = blank()
    add_point(image, 120.0, 40.0, 0.005)
    assert found(image) == ()
    add_point(image, 120.0, 40.0, 1.0)
    beyond = np.full_like(image, np.nan)
    assert find_sources(image, even(1e-3), beyond, BEAM, GRID, 6.0) == ()


def test_the_flux_error_is_the_scatter_of_the_flux() -> None:
    """Condon 1997: with noise as correlated as an image's the peak's error is the rms."""
    rng = np.random.default_rng(1)
    form = form_of_beam(BEAM, GRID.cell_arcsec)
    y, x = np.mgrid[-16:17, -16:17]
    beam = np.pad(form(x, y), ((112, 111), (112, 111)))
    # The noise of an image is correlated like its beam: the power spectrum is that of the beam.
    kernel = np.sqrt(np.abs(np.fft.rfft2(np.fft.ifftshift(beam))))
    places = [(120 + 0.06 * i, 40 + 0.05 * j) for i in range(-3, 4) for j in range(-3, 4)]
    clean = blank()
    for ra, dec in places:
        add_point(clean, ra, dec, 0.02)
    pulls = []
    for _ in range(6):
        noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(clean.shape)) * kernel)
        noise *= 1e-3 / noise.std()
        pulls += [(s.peak_jy - 0.02) / 1e-3 for s in found(clean + noise)]
    assert len(pulls) == 6 * len(places)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.25)


@given(st.floats(10, 200), st.floats(1.0, 3.0), st.floats(-89, 89).filter(lambda a: abs(a) > 1))
def test_a_main_lobe_gives_back_its_ellipse(major: float, ratio: float, angle: float) -> None:
    beam = Beam(major, major / ratio, angle)
    grid = ImageGrid(128, beam.minor_arcsec / 4, 0.0, 0.0)
    y, x = np.mgrid[:128, :128] - 64
    fitted = fit_main_lobe(form_of_beam(beam, grid.cell_arcsec)(x, y), grid.cell_arcsec)
    assert fitted.major_arcsec == pytest.approx(major, rel=1e-3)
    assert fitted.minor_arcsec == pytest.approx(beam.minor_arcsec, rel=1e-3)
    if ratio > 1.05:
        assert fitted.angle_deg == pytest.approx(angle, abs=0.5)


@given(st.floats(2, 20_000))
def test_sizes_are_even_large_enough_and_made_of_small_primes(size: float) -> None:
    chosen = fft_friendly(size)
    assert chosen >= size
    assert chosen % 2 == 0
    assert chosen <= 1.2 * size + 4
    for prime in (2, 3, 5):
        while chosen % prime == 0:
            chosen //= prime
    assert chosen == 1


def test_the_cell_samples_beam_and_longest_baseline_in_round_steps() -> None:
    assert choose_cell_arcsec(Beam(59, 33, 0), np.deg2rad(30 / 3600)) == 10.0
    assert choose_cell_arcsec(Beam(59, 33, 0), np.deg2rad(13 / 3600)) == 5.5
    with pytest.raises(ImagingFailed, match="set image_size"):
        choose_size(0.5, 1.0)


def test_the_image_holds_the_beam_down_to_the_cut() -> None:
    beam = drift_beam(np.array([[120.0, 40.0]]), np.ones((1, 1)), np.array([1.4e9]), 4.65, 0.4064)
    half_width = beam_extent_rad(beam, 120.0, 40.0, 0.2)
    assert airy_power(half_width, 1.4e9) == pytest.approx(0.2, abs=0.01)


def test_the_drift_beam_is_the_mean_over_pointings_and_channels_by_their_weight() -> None:
    pointings = np.column_stack([np.linspace(359.5, 360.7, 5) % 360, np.full(5, 33.0)])
    channels = np.array([1.49e9, 1.32e9, 1.40e9])
    weight = np.random.default_rng(1).uniform(0, 1, (5, 3))
    weight[2] = 0
    beam = drift_beam(pointings, weight, channels, 4.65, 0.4064)
    ra, dec = np.array([0.1, 1.4, 358.9]), np.array([33.0, 34.0, 32.2])
    angles = [separation_rad(ra0, dec0, ra, dec) for ra0, dec0 in pointings]
    expected = sum(
        (w[:, None] * airy_power(np.asarray(angles), f)).sum(axis=0)
        for f, w in zip(channels, weight.T, strict=True)
    )
    assert beam.at(ra, dec) == pytest.approx(expected / weight.sum(), abs=1e-6)


def test_the_beam_on_a_grid_is_the_beam_in_its_directions() -> None:
    beam = drift_beam(np.array([[120.3, 40.0]]), np.ones((1, 1)), np.array([1.4e9]), 4.65, 0.4064)
    grid = ImageGrid(600, 30.0, 120.0, 40.0)
    pixels = beam.on_grid(grid)
    cell = np.deg2rad(30 / 3600)
    for row, column in ((300, 300), (17, 411), (599, 0), (123, 456)):
        there = sky_of_sin(
            np.array(-(column - 300) * cell), np.array((row - 300) * cell), 120.0, 40.0
        )
        assert pixels[row, column] == pytest.approx(float(beam.at(*there)), abs=1e-5)


@given(st.floats(0, 360), st.floats(-85, 85), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05))
def test_directions_survive_the_projection(ra: float, dec: float, l: float, m: float) -> None:  # noqa: E741
    there = sky_of_sin(np.array(l), np.array(m), ra, dec)
    back = sin_of_sky(*there, ra, dec)
    assert [float(b) for b in back] == pytest.approx([l, m], abs=1e-12)


def test_an_unknown_telescope_needs_its_dish() -> None:
    assert dish_of("OVRO_MMA", None, None) == (4.65, 0.4064)
    assert dish_of("SKA", 15.0, None) == (15.0, 0.0)
    with pytest.raises(ConfigurationError, match="'SKA' is not known"):
        dish_of("SKA", None, None)


def visibilities(n: int, seed: int = 1) -> Visibilities:
    """Points one metre of baseline to a wavelength."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2, (n, 1)).astype(np.float32)
    block = Block(
        uvw_m=rng.normal(0, 400, (n, 3)),
        field_ids=np.zeros(n, np.int16),
        channels_hz=np.array([speed_of_light]),
        values=np.zeros((n, 1), np.complex64),
        weight=weight,
        variance=0.5 * weight[:, 0],
        first=np.zeros(n, np.int16),
        second=np.ones(n, np.int16),
        time_s=np.zeros(n),
    )
    return Visibilities(
        blocks=(block,),
        bandwidth_hz=1e6,
        noise_scale=2.0,
        telescope="X",
        phase_center_deg=(0.0, 0.0),
        pointings_deg=np.array([[0.0, 0.0]]),
        start_mjd=6e4,
        end_mjd=6.1e4,
        origin={},
        antenna_names=("1", "2"),
    )


def test_natural_weights_give_the_radiometer_noise() -> None:
    seen = visibilities(1000)
    weight = seen.blocks[0].weight
    expected = 2.0 * np.sqrt((weight.astype(float) ** 2 * 0.5).sum()) / weight.sum()
    assert briggs(seen, 2.0, 0.05, 256).noise_jy == pytest.approx(expected, rel=0.02)


def test_lower_robust_means_more_noise_and_a_smaller_beam() -> None:
    seen = visibilities(10_000)
    results = [briggs(seen, robust, 0.05, 512) for robust in (2.0, 0.5, -2.0)]
    noise = [r.noise_jy for r in results]
    assert noise[0] < noise[1] < noise[2]
    width = [fit_main_lobe(*middle_of_psf(seen, r, 0.05, 512)).major_arcsec for r in results]
    assert width[0] > width[1] > width[2]


def test_noise_measures_ignore_sources_and_nan() -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(0, 1.0, (400, 400))
    image[200, 200] = 1e6
    image[210, 200] = np.nan
    assert mad_rms(inner_half(image)) == pytest.approx(1.0, rel=0.02)
    image[:, 300:] *= 3
    noise = LocalNoise.of(image, 20.0)
    left, right = noise.at(np.array([200, 200]), np.array([50, 380]))
    assert left == pytest.approx(1.0, rel=0.1)
    assert right == pytest.approx(3.0, rel=0.1)
    with pytest.raises(ImagingFailed, match="no finite pixel"):
        mad_rms(np.full((3, 3), np.nan))


def test_a_slope_is_no_noise() -> None:
    rng = np.random.default_rng(5)
    row, column = np.mgrid[:400, :400]
    image = rng.normal(0, 1.0, (400, 400)) + 0.2 * row - 0.1 * column
    assert mad_rms(image) > 20
    noise = LocalNoise.of(image, 20.0)
    at = np.array([30, 200, 370])
    np.testing.assert_allclose(noise.at(at, at[::-1]), 1.0, rtol=0.25)
    image[:, :100] = np.nan
    assert mad_rms(without_slopes(image, 50)) == pytest.approx(1.0, rel=0.05)


def test_a_thumbnail_of_pure_noise_stays_small() -> None:
    noise = np.random.default_rng(3).normal(0, 1, (1200, 1200))
    noise[:200] = np.nan
    assert len(thumbnail_png(noise, 1.0)) <= THUMBNAIL_BYTES


def test_beside_a_bright_calibrator_the_pictures_show_faint_sources(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    field = rng.normal(0, 1e-3, (400, 400))
    field[200:203, 200:203] += 16.0
    field[300:303, 300:303] += 15e-3
    write_png(tmp_path / "field.png", field, replace(GRID, size=400), BEAM, 1e-3, "a calibrator")
    pictures = {
        "thumbnail": Image.open(BytesIO(thumbnail_png(field, 1e-3))).convert("L"),
        "large": Image.open(tmp_path / "field.png").convert("L").crop((200, 100, 800, 750)),
    }
    for name, picture in pictures.items():
        grey = np.asarray(picture, float)
        assert grey.max() > 200, name
        assert 20 < np.median(grey) < 140, name
        # Above the middle, right.
        rows, columns = grey.shape
        quarter = grey[: 2 * rows // 5, 3 * columns // 5 :]
        assert quarter.max() > np.median(grey) + 50, name


def test_points_share_a_cell_as_they_do_in_casa() -> None:
    """u in [k, k + 1) belongs to cell k, and -u to cell -k - 1."""
    places = np.array([[10.4, 3.2, 0.0], [-10.9, -3.7, 0.0], [-20.2, 5.5, 0.0]])
    block = replace(visibilities(3).blocks[0], uvw_m=places, weight=np.ones((3, 1), np.float32))
    seen = replace(visibilities(3), blocks=(block,))
    # The second point's conjugate lies in the first one's cell, so these two count for less.
    together = briggs(seen, 0.0, 1.0, 64).weight[0][:, 0]
    assert together == pytest.approx([1 / 31, 1 / 31, 1 / 16], rel=1e-5)
    places[1, 0] = -11.1
    apart = briggs(seen, 0.0, 1.0, 64).weight[0][:, 0]
    assert apart == pytest.approx([1 / 26] * 3, rel=1e-5)


def test_an_image_within_its_own_beam_is_refused_in_words() -> None:
    psf = np.ones((64, 64), np.float32)
    with pytest.raises(ImagingFailed, match="lies within its own beam, of 100 pixels across"):
        highest_sidelobe(psf, 50.0)
    psf[10, 10] = -0.3
    assert highest_sidelobe(psf - 1, 8.0) == pytest.approx(1.3)
