"""What is published as a detection is real, beside bright sources too."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from contimg_resources.core.statistics import LocalNoise
from contimg_resources.imaging.beam import sin_of_sky
from contimg_resources.imaging.geometry import form_of_beam
from contimg_resources.imaging.make import sky_of_pixel
from contimg_resources.imaging.model import Beam, ImageGrid, Source
from contimg_resources.imaging.reliability import real_sources, reliable
from contimg_resources.imaging.sources import find_sources

BEAM = Beam(40.0, 24.0, 20.0)
GRID = ImageGrid(900, 8.0, 24.4, 33.2)
NOISE_JY = 1e-3
CALIBRATOR = 450, 450


@dataclass(frozen=True)
class Field:
    """An image, what is on its sky (columns, rows), and its noise."""

    image: np.ndarray
    places: np.ndarray
    noise: LocalNoise

    def share_false(self, sources: tuple[Source, ...]) -> float:
        return float(np.mean([np.min(self._away(s)) > 4 for s in sources]))

    def share_found(self, sources: tuple[Source, ...], *, away_from_calibrator: float) -> float:
        """Of the sources so many pixels and more from the calibrator."""
        away = np.array([self._away(s) for s in sources])
        far = np.hypot(*(self.places - CALIBRATOR).T) >= away_from_calibrator
        return float((away.min(axis=0) < 3)[far].mean())

    def _away(self, source: Source) -> np.ndarray:
        place = np.array(source.ra_deg), np.array(source.dec_deg)
        east, north = sin_of_sky(*place, GRID.ra_deg, GRID.dec_deg)
        cell = np.deg2rad(GRID.cell_arcsec / 3600)
        at = GRID.size // 2 - east / cell, GRID.size // 2 + north / cell
        return np.asarray(np.linalg.norm(self.places - at, axis=1))


def field(artefacts_jy: float, seed: int) -> Field:
    """A calibrator of 16 Jy among 150 sources of 8 to 50 sigma; around it are peaks of both signs.

    These look like the beam, as what is left of sidelobes does, and become rarer and fainter with
    the distance from the calibrator.
    """
    rng = np.random.default_rng(seed)
    form = form_of_beam(BEAM, GRID.cell_arcsec)
    image = gaussian_filter(rng.normal(0, 1, (GRID.size, GRID.size)), 1.6)
    image *= NOISE_JY / image.std()
    places = rng.uniform(20, GRID.size - 20, (150, 2))
    fluxes = NOISE_JY * 8 * (50 / 8) ** rng.random(150)
    ghosts = rng.exponential(60, 80)[:, None] * _directions(rng, 80) + CALIBRATOR
    from_center = np.hypot(*(ghosts - CALIBRATOR).T)
    strengths = artefacts_jy * rng.normal(0, 1, 80) / (1 + from_center / 40)
    y, x = np.mgrid[-12:13, -12:13]
    for (column, row), jy in zip(
        [*places, *ghosts, np.array(CALIBRATOR)], [*fluxes, *strengths, 16.0], strict=True
    ):
        c, r = round(column), round(row)
        if 12 <= c < GRID.size - 12 and 12 <= r < GRID.size - 12:
            image[r - 12 : r + 13, c - 12 : c + 13] += jy * form(x - column + c, y - row + r)
    blocks = LocalNoise(np.full((1, 1), NOISE_JY), np.ones((GRID.size, 1)), NOISE_JY)
    return Field(image, np.vstack([places, CALIBRATOR]), blocks)


def _directions(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def with_and_without(made: Field) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    everywhere = np.ones((GRID.size, GRID.size))
    plain = find_sources(made.image, made.noise, everywhere, BEAM, GRID, 6.0, shapes=False)
    return plain, real_sources(made.image, made.noise, everywhere, BEAM, GRID, 6.0).sources


def test_beside_bright_calibrators_at_most_one_in_a_hundred_is_false() -> None:
    n_plain, n_real, false_plain, false_real = 0, 0, 0.0, 0.0
    for seed in (1, 2, 3):
        made = field(0.03, seed)
        plain, real = with_and_without(made)
        n_plain, n_real = n_plain + len(plain), n_real + len(real)
        false_plain += made.share_false(plain) * len(plain)
        false_real += made.share_false(real) * len(real)
        assert made.share_found(real, away_from_calibrator=250) > 0.95
        assert made.share_found(real, away_from_calibrator=0) > 0.85
    assert false_plain > 0.05 * n_plain
    assert false_real <= 0.01 * n_real


def test_without_artefacts_nothing_is_lost() -> None:
    made = field(0.0, 4)
    plain, real = with_and_without(made)
    assert made.share_false(real) == 0
    assert len(plain) - len(real) <= 1
    assert made.share_found(real, away_from_calibrator=0) > 0.97


def peak(column: float, row: float, snr: float) -> Source:
    ra_deg, dec_deg = sky_of_pixel(GRID, column, row)
    jy = snr * NOISE_JY
    return Source(ra_deg, dec_deg, jy, jy, NOISE_JY, jy, snr, NOISE_JY, 1.0, 40.0, 24.0, 20.0)


def test_a_detection_must_exceed_the_negative_peaks_around_it() -> None:
    # Fifteen beams are 58 pixels: 1.4 times 5.9 sigma is asked for up to there.
    found = [peak(450, 450, 8.1), peak(480, 450, 8.4), peak(450, 620, 6.5)]
    kept = reliable(found, [peak(450, 500, 5.9)], BEAM, GRID, 6.0)
    assert [s.snr for s in kept.sources] == [8.4, 6.5]
    assert kept.n_rejected == 1


def test_what_is_asked_of_detections_rises_with_negative_peaks_that_stand_alone() -> None:
    found = [peak(100 + 40 * k, 700, 7.0 + k / 10) for k in range(15)]
    kept = reliable(found, [peak(450, 100, 7.45)], BEAM, GRID, 6.0)
    assert min(s.snr for s in kept.sources) == 7.5
    assert kept.min_snr == pytest.approx(7.45)
    # Among a hundred, one may be false.
    many = [replace(s, snr=s.snr + n) for n in range(7) for s in found]
    assert reliable(many, [peak(450, 100, 7.45)], BEAM, GRID, 6.0).n_rejected == 0
