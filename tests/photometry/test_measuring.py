"""Forced photometry gives back the flux densities that were put in, with errors that are true."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from photutils.aperture import EllipticalAperture, aperture_photometry
from photutils.psf import GaussianPSF, PSFPhotometry

from contimg_resources.imaging.model import Beam
from contimg_resources.mosaics.make import make_mosaic
from contimg_resources.mosaics.model import MosaicRequest
from contimg_resources.photometry.measuring import RawMeasurements, measure
from contimg_resources.photometry.model import Flag, SourceList
from contimg_resources.photometry.reading import read_mosaic
from contimg_resources.simulation.tiles import MadeUpTile, drifting_tiles, write_tile
from tests.photometry.skies import (
    BEAM,
    CELL_ARCSEC,
    ERROR_JY,
    MAJOR_PIXELS,
    RMS_JY,
    SIZE,
    SNR_CLASSES,
    Sky,
    fluxes,
    grid,
    places,
    sky,
)


def field(root: Path, seed: int = 0, **changed: Any) -> Sky:
    columns, rows = places(seed)
    return sky(root, columns, rows, fluxes(seed, len(columns)), seed=seed, **changed)


def only(sources: SourceList, which: Any) -> SourceList:
    return SourceList(
        sources.source_id[which],
        sources.ra_deg[which],
        sources.dec_deg[which],
        sources.flux_jy[which],
        sources.compact[which],
    )


def same(one: RawMeasurements, other: RawMeasurements) -> None:
    for name in one.__dataclass_fields__:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-9, err_msg=name
        )


def test_pulls_of_a_thousand_sources_are_normal(tmp_path: Path) -> None:
    pulls, snr, offsets, strong = [], [], [], []
    for seed in range(7):
        made = field(tmp_path / f"{seed}", seed)
        raw = made.measured()
        assert not raw.flags.any()
        pulls.append((raw.flux_jy - made.flux_jy) / raw.error_jy)
        snr.append(made.flux_jy / ERROR_JY)
        bright = np.isfinite(raw.east_arcsec)
        # Positions are told of what is bright, and of nothing else.
        np.testing.assert_array_equal(bright, raw.snr >= 10)
        strong.append(bright)
        offsets.append(raw.east_arcsec[bright] / raw.east_error_arcsec[bright])
        offsets.append(raw.north_arcsec[bright] / raw.north_error_arcsec[bright])
    pull, classes = np.concatenate(pulls), np.concatenate(snr).round(6)
    assert len(pull) > 1000
    assert abs(pull.mean()) < 0.05
    assert pull.std() == pytest.approx(1.0, abs=0.1)
    for name in SNR_CLASSES:
        mine = pull[classes == name]
        # Three errors of a mean and of a spread.
        assert abs(mine.mean()) < 3 / math.sqrt(len(mine)), name
        assert mine.std() == pytest.approx(1.0, abs=0.05 + 3 / math.sqrt(2 * len(mine))), name
    offset = np.concatenate(offsets)
    assert abs(offset.mean()) < 0.1
    assert offset.std() == pytest.approx(1.0, abs=0.1)


def test_the_error_is_that_of_noise_of_the_beams_shape(tmp_path: Path) -> None:
    raw = field(tmp_path).measured()
    assert np.median(raw.error_jy * raw.primary_beam) == pytest.approx(ERROR_JY, rel=0.05)
    assert np.median(raw.rms_jy * raw.primary_beam) == pytest.approx(RMS_JY, rel=0.03)
    # Fluxes and errors are corrected for the primary beam, so errors grow outwards.
    assert raw.primary_beam.max() > 0.95 > 0.7 > raw.primary_beam.min()
    near, far = np.argmax(raw.primary_beam), np.argmin(raw.primary_beam)
    assert raw.error_jy[far] / raw.error_jy[near] == pytest.approx(
        raw.primary_beam[near] / raw.primary_beam[far], rel=0.2
    )


@pytest.mark.parametrize("beams", [0.8, 1.0, 1.2, 1.4])
def test_pulls_of_blends_are_normal(tmp_path: Path, beams: float) -> None:
    pulls = []
    for seed in range(3):
        x, y = places(seed, spacing=36, margin=24)
        angle = np.random.default_rng([seed, 3]).uniform(0, 2 * np.pi, len(x))
        apart = beams * MAJOR_PIXELS
        x, y = np.r_[x, x + apart * np.cos(angle)], np.r_[y, y + apart * np.sin(angle)]
        made = sky(tmp_path / f"{seed}", x, y, fluxes(seed, len(x), (3, 8, 20, 60)), seed=10 + seed)
        raw = made.measured()
        assert (raw.flags == Flag.BLEND).all()
        assert not np.isfinite(raw.east_arcsec).any()
        pulls.append((raw.flux_jy - made.flux_jy) / raw.error_jy)
    pull = np.concatenate(pulls)
    assert len(pull) > 500
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.15)


def test_what_is_not_detected_keeps_its_number_and_error(tmp_path: Path) -> None:
    x, y = places(3)
    raw = sky(tmp_path, x, y, np.zeros(len(x)), seed=3).measured()
    assert not raw.flags.any()
    assert np.isfinite(raw.flux_jy).all()
    assert (raw.error_jy > 0).all()
    assert 0.35 < (raw.flux_jy < 0).mean() < 0.65


def test_a_list_that_covers_the_whole_image_is_measured(tmp_path: Path) -> None:
    """Between its sources there is too little sky: the noise is that of all pixels then."""
    nodes = np.arange(12, SIZE - 12, 8)
    x, y = (v.ravel().astype(float) for v in np.meshgrid(nodes, nodes))
    raw = sky(tmp_path, x, y, np.zeros(len(x)), seed=5).measured()
    assert len(x) > 2000
    pull = raw.flux_jy / raw.error_jy
    # Neighbours share their noise.
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_the_order_of_the_list_means_nothing(tmp_path: Path) -> None:
    x, y = places(4)
    # Neighbours, twins at one place and one over the edge among them.
    x, y = np.r_[x, x[:30] + 5, x[40], 1.0], np.r_[y, y[:30], y[40], 50.0]
    made = sky(tmp_path, x, y, fluxes(4, len(x)))
    order = np.random.default_rng(0).permutation(len(x))
    one, other = made.measured(), measure(made.image, only(made.sources, order))
    assert {0, int(Flag.BLEND), int(Flag.EDGE), int(Flag.BLEND | Flag.DEGENERATE)} <= set(one.flags)
    same(RawMeasurements(**{n: getattr(one, n)[order] for n in one.__dataclass_fields__}), other)


def test_a_part_of_the_image_gives_the_same_numbers(tmp_path: Path) -> None:
    made = field(tmp_path)
    whole = made.measured()
    part = (slice(40, 360), slice(20, 340))
    wcs = made.image.wcs.deepcopy()
    wcs.wcs.crpix -= [20, 40]
    response = made.image.primary_beam
    assert response is not None
    cut = replace(
        made.image,
        pixels=np.ascontiguousarray(made.image.pixels[part]),
        primary_beam=np.ascontiguousarray(response[part]),
        wcs=wcs,
    )
    raw = measure(cut, made.sources)
    both = np.isfinite(raw.flux_jy)
    assert both.sum() > 100
    assert (~both).any()
    assert (raw.flags[~both] != 0).all()
    # Background and noise are those of other blocks of pixels; nothing else differs.
    change = (raw.flux_jy - whole.flux_jy)[both] / whole.error_jy[both]
    assert np.abs(change).max() < 0.4
    assert np.sqrt((change**2).mean()) < 0.12
    np.testing.assert_allclose(raw.error_jy[both], whole.error_jy[both], rtol=0.15)


def mosaic(root: Path, dec_deg: float, sources: list[tuple[float, float, float]], seed: int) -> Any:
    tiles: tuple[MadeUpTile, ...] = drifting_tiles(
        4,
        size=300,
        cell_arcsec=40.0,
        beam=Beam(200.0, 120.0, 25.0),
        dec_deg=dec_deg,
        fwhm_deg=2.0,
        seed=seed,
    )
    result = make_mosaic(
        MosaicRequest(
            key=f"61041.02083{dec_deg:+05.1f}",
            directory=root / "mosaic",
            start_mjd=61_041.0,
            end_mjd=61_041.0 + 1 / 24,
            declination_deg=dec_deg,
            tiles=tuple(write_tile(t, root / t.key, sources) for t in tiles),
        )
    )
    return read_mosaic(result.files.image, result.files.sigma, epoch=result.key)


@pytest.mark.parametrize("dec_deg", [16.3, 78.0])
def test_pulls_in_a_mosaic_are_normal(tmp_path: Path, dec_deg: float) -> None:
    pulls, brightest, offsets = [], [], []
    for seed in range(4):
        rng = np.random.default_rng([seed, 4])
        nodes = np.arange(-1.2, 1.21, 0.2)
        east, north = (
            v.ravel() + rng.uniform(-0.03, 0.03, v.size) for v in np.meshgrid(nodes, nodes)
        )
        dec = dec_deg + north
        ra = (182.5 + east / np.cos(np.radians(dec))) % 360
        flux = 1e-3 * rng.choice([0.0, 5.0, 20.0, 60.0], len(ra))
        made = [s for s in zip(ra, dec, flux, strict=True) if s[2] > 0]
        image = mosaic(tmp_path / f"{seed}", dec_deg, made, 10 * seed)
        # Convolved to a common beam: Jy/beam of the common beam, so point sources keep their flux.
        raw = measure(image, SourceList.of([f"s{i}" for i in range(len(ra))], ra, dec, flux))
        whole = raw.flags == 0
        assert whole.sum() > 100
        pull = (raw.flux_jy - flux)[whole] / raw.error_jy[whole]
        pulls.append(pull)
        brightest.append(pull[flux[whole] > 0.05])
        bright = np.isfinite(raw.east_arcsec)
        offsets += [raw.east_arcsec[bright], raw.north_arcsec[bright]]
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.1)
    assert abs(np.concatenate(brightest).mean()) < 0.3
    assert np.median(np.abs(np.concatenate(offsets))) < 0.05 * 200


def test_an_offset_of_the_whole_image_is_found(tmp_path: Path) -> None:
    x, y = places(5)
    flux = np.full(len(x), 60 * ERROR_JY)
    # 8 arcsec west and 6 south: known places lie half a pixel beside the sources.
    listed = list(zip(x + 8 / CELL_ARCSEC, y - 6 / CELL_ARCSEC, strict=True))
    raw = sky(tmp_path, x, y, flux, listed=listed).measured()
    assert np.isfinite(raw.east_arcsec).mean() > 0.95
    assert np.nanmedian(raw.east_arcsec) == pytest.approx(8, abs=0.3)
    assert np.nanmedian(raw.north_arcsec) == pytest.approx(6, abs=0.3)


def test_an_extended_source_is_a_poor_fit(tmp_path: Path) -> None:
    # Five points in a row a beam long look like one source that is resolved.
    x = np.r_[np.linspace(197, 203, 5), 100.0]
    made = sky(tmp_path, x, np.full(6, 200.0), [0.03] * 5 + [0.15], listed=[(200, 200), (100, 200)])
    raw = made.measured()
    assert raw.flags.tolist() == [Flag.POOR_FIT | Flag.EXTENDED, 0]
    assert raw.chi2[1] / raw.dof[1] < 2


def test_lists_of_none_and_of_one(tmp_path: Path) -> None:
    made = sky(tmp_path, [200.3], [180.7], [0.1])
    nothing = measure(made.image, only(made.sources, slice(0, 0)))
    assert all(len(getattr(nothing, n)) == 0 for n in nothing.__dataclass_fields__)
    one = made.measured()
    assert one.flux_jy[0] == pytest.approx(0.1, abs=4 * one.error_jy[0])


def test_photutils_finds_the_same(tmp_path: Path) -> None:
    made = field(tmp_path, 6)
    raw = made.measured()
    image = made.image
    x, y = image.wcs.all_world2pix(made.sources.ra_deg, made.sources.dec_deg, 0)
    # Columns run west: the position angle east of north is the mathematical one less 90 degrees.
    model = GaussianPSF(
        x_fwhm=MAJOR_PIXELS,
        y_fwhm=BEAM.minor_arcsec / CELL_ARCSEC,
        theta=BEAM.angle_deg + 90,
    )
    model.x_0.fixed = model.y_0.fixed = True
    peak = float(model(0.0, 0.0)) / model.flux.value
    # It can't fit a flux through zero.
    chosen = np.flatnonzero(raw.snr > 6)
    assert len(chosen) > 50
    start = Table({"x": x[chosen], "y": y[chosen]})
    start["flux"] = made.flux_jy[chosen] * raw.primary_beam[chosen] / peak
    response = raw.primary_beam[chosen]
    # Their data, like ours, without the local background.
    level = raw.background_jy[chosen] * response
    told = PSFPhotometry(model, fit_shape=15)(np.asarray(image.pixels, float), init_params=start)
    theirs = (np.asarray(told["flux_fit"]) * peak - _filter_of_one() * level) / response
    assert np.abs((theirs - raw.flux_jy[chosen]) / raw.error_jy[chosen]).max() < 0.1


def _filter_of_one() -> float:
    """Return the flux that a background of 1 Jy/beam feigns."""
    y, x = np.mgrid[-7:8, -7:8] * CELL_ARCSEC
    angle = np.radians(BEAM.angle_deg)
    along = -x * np.sin(angle) + y * np.cos(angle)
    across = -x * np.cos(angle) - y * np.sin(angle)
    q = (along / BEAM.major_arcsec) ** 2 + (across / BEAM.minor_arcsec) ** 2
    kernel = np.exp(-4 * np.log(2) * q)
    return float(kernel.sum() / (kernel**2).sum())


def test_an_aperture_around_a_bright_source_agrees(tmp_path: Path) -> None:
    made = sky(tmp_path, [200.3], [180.7], [0.2], rms_jy=2e-6)
    raw = made.measured()
    angle = np.radians(BEAM.angle_deg + 90)
    minor = BEAM.minor_arcsec / CELL_ARCSEC
    aperture = EllipticalAperture((200.3, 180.7), 1.9 * MAJOR_PIXELS, 1.9 * minor, theta=angle)
    summed = float(aperture_photometry(made.image.pixels, aperture)["aperture_sum"][0])
    flux = summed / BEAM.area_pixels(CELL_ARCSEC) / raw.primary_beam[0]
    assert flux == pytest.approx(raw.flux_jy[0], rel=3e-3)
    assert raw.flux_jy[0] == pytest.approx(0.2, rel=1e-3)


def test_right_ascension_wraps(tmp_path: Path) -> None:
    x, y = places(8)
    here = sky(tmp_path / "a", x, y, fluxes(8, len(x)), on=grid(ra_deg=0.01), seed=1)
    there = sky(tmp_path / "b", x, y, fluxes(8, len(x)), on=grid(ra_deg=90.0), seed=1)
    assert here.sources.ra_deg.max() > 359 > 1 > here.sources.ra_deg.min()
    np.testing.assert_allclose(here.measured().flux_jy, there.measured().flux_jy, rtol=1e-4)
