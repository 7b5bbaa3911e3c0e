"""The measured primary beam: recovered from sources, and nothing found where it is the model."""

from dataclasses import replace

import numpy as np
import pytest

from contimg_resources.calibration.beam_record import (
    WHOLE_BAND,
    BeamMeasurement,
    BeamReport,
    ObservedBeam,
)
from contimg_resources.core.arrays import Floats
from contimg_resources.core.statistics import LocalNoise
from contimg_resources.imaging.beam import DriftBeam, drift_beam, power_toward, sky_of_sin
from contimg_resources.imaging.measured_beam import (
    ApparentFluxes,
    apparent_fluxes,
    measure_beam,
)
from contimg_resources.imaging.model import Beam, ImageGrid, ReferenceSource
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape

#: Three per cent wider, a tenth of a degree off, and elliptical.
TRUE = BeamShape(1.03, 0.08, -0.06, 0.02)
DEC_DEG, HZ, NOISE_JY = 16.0, 1.4e9, 1e-3
DISH_M = (4.65, 0.4064)


def catalogue(seed: int, ra_deg: tuple[float, float] = (0.0, 50.0)) -> Floats:
    """Return RA, Dec, flux densities of the catalogue and true ones; shape (4, n)."""
    rng = np.random.default_rng(seed)
    n = int(20 * (ra_deg[1] - ra_deg[0]))
    true_jy = 0.03 * (1 - rng.random(n)) ** -1.0
    listed_jy = true_jy * rng.normal(1, 0.03, n)
    return np.stack([rng.uniform(*ra_deg, n), DEC_DEG + rng.uniform(-3, 3, n), listed_jy, true_jy])


def beam_at(ra_deg: float, shape: BeamShape = MODEL_SHAPE) -> DriftBeam:
    """Return the beam of five minutes of drift, in three steps."""
    pointings = np.column_stack([ra_deg + np.array([-0.4, 0.0, 0.4]), np.full(3, DEC_DEG)])
    hz = HZ * np.array([0.99, 1.0, 1.01])
    return drift_beam(pointings, np.ones((3, 3)), hz, *DISH_M, shape)


def observe(
    ra_deg: float, sky: Floats, shape: BeamShape, rng: np.random.Generator, used: BeamShape
) -> ApparentFluxes:
    ra, dec, listed_jy, true_jy = sky[:, np.abs(sky[0] - ra_deg) < 3.5]
    apparent_jy = true_jy * beam_at(ra_deg, shape).at(ra, dec)
    some = listed_jy * beam_at(ra_deg).at(ra, dec) > 20 * NOISE_JY
    noise = rng.normal(0, NOISE_JY, some.sum())
    return ApparentFluxes(
        WHOLE_BAND,
        HZ,
        beam_at(ra_deg, used),
        ra[some],
        dec[some],
        listed_jy[some],
        1.07 * apparent_jy[some] + noise,
        np.full(some.sum(), NOISE_JY),
    )


def night(seed: int, shape: BeamShape, sky: Floats, used: BeamShape = MODEL_SHAPE) -> BeamReport:
    """Return the report of 12 observations in 3 hours."""
    rng = np.random.default_rng(seed)
    observed = []
    for number, ra_deg in enumerate(np.arange(2.0, 44.0, 3.6)):
        found = measure_beam([observe(ra_deg, sky, shape, rng, used)])
        observed.append(ObservedBeam(str(number), "OVRO_MMA", 6e4 + number, ra_deg, DEC_DEG, found))
    return BeamReport("OVRO_MMA", tuple(observed))


def off(found: BeamShape, errors: Floats, expected: BeamShape = TRUE) -> Floats:
    return np.asarray((found.parameters - expected.parameters) / errors)


def test_one_image_shows_the_beam_within_its_errors() -> None:
    sky, rng = catalogue(1, (14.0, 26.0)), np.random.default_rng(2)
    # A flare, and a catalogue that is wrong about one source in ten.
    sky[3, 0] *= 5
    sky[2, ::10] *= rng.uniform(0.3, 3, len(sky[2, ::10]))
    (fit,) = measure_beam([observe(20.0, sky, TRUE, rng, MODEL_SHAPE)]).fits
    errors = np.sqrt(np.diag(fit.covariance))
    assert (np.abs(off(fit.shape, errors)) < 3.5).all()
    assert (errors < [0.02, 0.03, 0.03, 0.02]).all()
    assert fit.scale == pytest.approx(1.07, abs=0.03)
    assert 2 < fit.n_rejected < 0.25 * fit.n_sources


def test_the_true_beam_is_measured_whatever_beam_was_used() -> None:
    sky = catalogue(3)
    before, after = (night(4, TRUE, sky, used) for used in (MODEL_SHAPE, TRUE))
    assert before.estimate == after.estimate
    assert before.estimate is not None
    assert before.estimate.is_significant
    assert (np.abs(off(before.estimate.shape, before.estimate.errors.parameters)) < 3.5).all()
    assert before.better == before.estimate.shape
    assert "differs significantly" in before.in_words()


@pytest.mark.parametrize("seed", range(6))
def test_the_model_is_kept_where_it_is_right(seed: int) -> None:
    report = night(100 + seed, MODEL_SHAPE, catalogue(200 + seed))
    assert report.estimate is not None
    assert report.estimate.is_enough
    assert report.better is None
    pulls = off(report.estimate.shape, report.estimate.errors.parameters, MODEL_SHAPE)
    assert (np.abs(pulls) < 4).all()
    assert "does not differ significantly" in report.in_words()


def test_the_same_sources_night_after_night_count_once() -> None:
    # The catalogue is wrong in a way that imitates a wider beam, in one hour.
    sky = catalogue(5, (0.0, 14.0))
    model, wider = (beam_at(7.0, BeamShape(width=w)).at(*sky[:2]) for w in (1.0, 1.02))
    sky[3] = sky[2] * np.where(model > 0.05, wider / np.maximum(model, 0.05), 1.0)
    one = night(6, MODEL_SHAPE, sky).observed[:4]
    nights = [
        replace(each, mid_mjd=each.mid_mjd + 100 * n, key=f"{each.key} {n}")
        for n in range(30)
        for each in one
    ]
    few, many = (BeamReport("OVRO_MMA", tuple(some)).estimate for some in (one, nights))
    assert few is not None
    assert many is not None
    assert many.n_sources == pytest.approx(few.n_sources, rel=0.01)
    assert many.errors.width == pytest.approx(few.errors.width, rel=0.05)
    assert not many.is_enough


def test_an_observation_that_disagrees_is_left_out() -> None:
    report = night(8, MODEL_SHAPE, catalogue(9))
    blown = BeamMeasurement(
        tuple(
            replace(fit, shape=BeamShape(north_deg=-0.9))
            for fit in report.observed[3].measured.fits
        )
    )
    observed = list(report.observed)
    observed[3] = replace(observed[3], measured=blown)
    estimate = BeamReport("OVRO_MMA", tuple(observed)).estimate
    assert estimate is not None
    assert estimate.n_left_out == 1
    assert estimate.shape.north_deg == pytest.approx(0, abs=4 * estimate.errors.north_deg)


def test_too_few_sources_are_no_measurement() -> None:
    sky = catalogue(1, (14.0, 26.0))[:, :30]
    found = measure_beam([observe(20.0, sky, TRUE, np.random.default_rng(1), MODEL_SHAPE)])
    assert found.fits == ()
    assert "isolated bright sources are in the image; the minimum is 15" in found.why
    assert measure_beam([]).fits == ()
    report = BeamReport("", ())
    assert (report.estimate, report.by_frequency, report.better) == (None, (), None)


def test_peaks_are_measured_between_the_pixels_of_isolated_sources() -> None:
    grid, restoring = ImageGrid(256, 40.0, 20.0, DEC_DEG), Beam(150.0, 130.0, 20.0)
    beam = drift_beam(np.array([[20.0, DEC_DEG]]), np.ones((1, 1)), np.array([HZ]), *DISH_M)
    places = np.array([[30.3, 40.4], [30.0, 200.5], [128.7, 90.1], [131.0, 92.0], [200.2, 220.9]])
    cell = np.deg2rad(grid.cell_arcsec / 3600)
    ra, dec = sky_of_sin((128 - places[:, 0]) * cell, (places[:, 1] - 128) * cell, 20.0, DEC_DEG)
    rows, columns = np.mgrid[:256, :256]
    image = np.random.default_rng(1).normal(0, 1e-4, (256, 256))
    # Gaussians of a round 140 arcsec, for a simple test.
    sigma = 140.0 / 40.0 / np.sqrt(8 * np.log(2))
    for x, y in places:
        image += 0.5 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))
    sources = [
        ReferenceSource(str(i), a, d, 0.6, 1.4, -0.7)
        for i, (a, d) in enumerate(zip(ra, dec, strict=True))
    ]
    sources.append(replace(sources[0], flux_jy=float("nan")))
    wide = replace(sources[4], major_arcsec=60.0)
    noise = LocalNoise.of(np.random.default_rng(2).normal(0, 1e-4, (256, 256)), 15.0)
    found = apparent_fluxes(
        "a", HZ, image, noise, restoring, grid, beam, [*sources[:4], wide, sources[5]]
    )
    # Neither the two neighbours nor the wide one.
    assert np.allclose(found.ra_deg, ra[:2])
    assert np.allclose(found.peak_jy, 0.5, rtol=3e-3)
    assert np.allclose(found.noise_jy, 1e-4, rtol=0.3)
    nothing = apparent_fluxes("a", HZ, image, noise, restoring, grid, beam, [])
    assert len(nothing.peak_jy) == 0


def test_the_shape_of_a_beam_keeps_the_response_toward_the_pointing() -> None:
    pointing = np.array([20.0, DEC_DEG])
    beam = drift_beam(pointing[None], np.ones((1, 1)), np.array([HZ]), *DISH_M, TRUE)
    ra = 20.0 + np.array([0.0, 1.5, -1.5, 0.0, 0.0, 180.0])
    dec = DEC_DEG + np.array([0.0, 0.0, 0.0, 1.5, -1.5, 0.0])
    power = power_toward(pointing, ra, dec, np.array([HZ, 0.9 * HZ]), DISH_M, TRUE)
    assert np.allclose(power[0], beam.at(ra, dec), atol=1e-5)
    assert np.allclose(power[:, 0], 1.0)
    # Off toward the east and the south, and wider from east to west.
    assert power[0, 1] > power[0, 2] > power[0, 3]
    assert power[0, 4] > power[0, 3]
    assert power[0, 5] < 1e-2
    here, hz = (ra[:5], dec[:5]), np.array([HZ])
    model = power_toward(pointing, *here, hz, DISH_M)
    near = power_toward(pointing, *here, hz, DISH_M, BeamShape(width=1 + 1e-9))
    assert np.allclose(near, model)
