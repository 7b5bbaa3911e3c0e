"""Each effect is found in the visibilities by a formula that doesn't come from the simulator."""

from dataclasses import fields, replace
from pathlib import Path

import erfa  # type: ignore[import-untyped]
import numpy as np
import pytest
from scipy.constants import speed_of_light

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.source_counts import brighter_per_deg2
from contimg_resources.instrument.dsa110 import LATITUDE_DEG
from contimg_resources.instrument.primary_beam import airy_voltage
from contimg_resources.simulation.effects import Effects, draw_effects
from contimg_resources.simulation.gains import draw_gains
from contimg_resources.simulation.predict import (
    Baselines,
    corrupted_visibilities,
    true_visibilities,
    window_visibilities,
)
from contimg_resources.simulation.sky import Source, sources_near
from contimg_resources.simulation.spec import (
    AddedSource,
    Conditions,
    EffectsSpec,
    GainSpec,
    Preset,
    SimulationSpec,
    Size,
    SkySpec,
)

BAND = np.array([1.32e9, 1.40e9, 1.49e9])
UVW = np.random.default_rng(5).normal(0, 700, (6, 3))
RA, DEC = 24.0, 33.0
MJD = 60954.4


def spec_of(**effects: float) -> SimulationSpec:
    antennas = ("1", "4", "12", "40", "70", "104")
    return SimulationSpec(MJD, DEC, antennas, 1, 3, effects=EffectsSpec(**effects))  # type: ignore[arg-type]


def drawn(**effects: float) -> Effects:
    made = draw_effects(spec_of(**effects))
    assert made is not None
    return made


def point(ra: float = RA, dec: float = DEC, flux: float = 2.0) -> tuple[Source, ...]:
    sky = SkySpec(catalogue=False, calibrators=False, added=(AddedSource("x", ra, dec, flux),))
    return sources_near(sky, 1, np.array([RA]), np.array([DEC]))


def seen(effects: Effects | None, sources: tuple[Source, ...], mjd: float = MJD) -> np.ndarray:
    return true_visibilities(sources, RA, DEC, UVW, BAND, effects, mjd)


def test_a_simulation_is_kind_unless_asked() -> None:
    assert draw_effects(SimulationSpec.of_size(Size.TINY, MJD, DEC)) is None
    assert not Conditions.of(Preset.KIND).effects.any


def test_each_antenna_sees_a_source_by_its_own_pointing() -> None:
    effects = drawn(pointing_arcmin=6.0)
    got = np.abs(seen(effects, point(RA + 0.9, DEC + 0.7)))
    ra = RA + np.degrees(effects.pointing_rad[:, 0]) / np.cos(np.radians(DEC))
    dec = DEC + np.degrees(effects.pointing_rad[:, 1])
    away = [
        erfa.seps(*np.radians([a, d, RA + 0.9, DEC + 0.7])) for a, d in zip(ra, dec, strict=True)
    ]
    each = airy_voltage(np.array(away)[None, :], BAND[:, None])
    np.testing.assert_allclose(got, 2.0 * each[:, :, None] * each[:, None, :], rtol=1e-2, atol=2e-3)
    assert np.ptp(got[1][np.triu_indices(6, 1)]) > 0.05


def test_wider_and_elliptical_beams_stretch_the_pattern() -> None:
    plain = drawn(beam_width=0.1)
    width = np.array([0.0, 0.1, -0.1, 0.0, 0.0, 0.0])
    ellipse = np.array([0.0, 0.0, 0.0, 0.1, 0.1, 0.0])
    # The fourth dish is longer to the north, the fifth to the east.
    angle = np.radians([0.0, 0.0, 0.0, 0.0, 90.0, 0.0])
    effects = replace(plain, beam_width=width, beam_ellipticity=ellipse, beam_angle_rad=angle)
    got = seen(effects, point(RA, DEC + 1.1))[1].diagonal().real
    stretched = np.radians(1.1) / np.array([1, 1.1, 0.9, 1.05, 0.95, 1])
    np.testing.assert_allclose(got, 2.0 * airy_voltage(stretched, 1.4e9) ** 2, rtol=2e-3)


def test_refraction_moves_a_source_by_the_wavelength_squared_and_over_the_field() -> None:
    effects = drawn(refraction_arcsec=8.0, refraction_gradient=3.0)
    cosines = np.array([[0.0, 0.02], [0.0, 0.01], [0.0, -0.00025]])
    shifts = effects.shift_rad(cosines, MJD)
    assert np.abs(shifts[:, 1] - shifts[:, 0]).max() > np.radians(0.3 / 3600)
    later = effects.shift_rad(cosines, MJD + 120 / 86_400)
    assert np.abs(later - shifts).max() > np.radians(0.1 / 3600)
    for channel, hz in enumerate(BAND):
        east, north = np.degrees(shifts[:, 0]) * (1.4e9 / hz) ** 2
        moved = point(RA + east / np.cos(np.radians(DEC)), DEC + north)
        np.testing.assert_allclose(
            seen(effects, point())[channel], seen(None, moved)[channel], atol=2e-3
        )
    rms = [np.degrees(effects.shift_rad(cosines, MJD + t)[:, 0]) * 3600 for t in np.arange(99)]
    assert np.sqrt(np.mean(np.square(rms))) == pytest.approx(8.0, rel=0.3)


def test_a_misplaced_antenna_adds_the_path_toward_the_source() -> None:
    effects = drawn(n_misplaced=1, position_m=0.05)
    (which,) = np.flatnonzero(effects.position_m.any(axis=1))
    got = seen(effects, point(RA + 0.5, DEC + 0.8)) / seen(None, point(RA + 0.5, DEC + 0.8))
    # A source 0.5 deg east of the meridian has a negative hour angle.
    azimuth, altitude = erfa.hd2ae(*np.radians([-0.5, DEC + 0.8, LATITUDE_DEG]))
    toward = erfa.s2c(azimuth, altitude)
    # erfa's vector is north, east, up.
    path_m = effects.position_m[which] @ [toward[1], toward[0], toward[2]]
    expected = np.exp(2j * np.pi * BAND / speed_of_light * path_m)
    others = np.delete(np.arange(6), which)
    for other in others:
        np.testing.assert_allclose(got[:, which, other], expected, atol=2e-3)
    np.testing.assert_allclose(got[:, others[0], others[1]], 1.0, atol=1e-4)


def recorded(effects: Effects | None, mjd: float) -> np.ndarray:
    gains = draw_gains(GainSpec.perfect(), 1, spec_of().antennas)
    pairs = Baselines.of(6, False)
    true = np.ones((3, 6, 6), np.complex64)
    return corrupted_visibilities(true, pairs, gains, BAND, mjd, None, effects)[:, :, 0]


def test_closure_errors_belong_to_baselines() -> None:
    effects = drawn(closure=0.02)
    rows = recorded(effects, MJD)[:, 0]
    pairs = Baselines.of(6, False)
    v = np.eye(6, dtype=complex)
    v[pairs.first, pairs.second] = rows
    v[pairs.second, pairs.first] = rows.conj()
    # Any gains of antennas cancel in a triangle.
    triple = [np.angle(v[0, i] * v[i, j] * v[j, 0]) for i in range(1, 6) for j in range(i + 1, 6)]
    assert np.std(triple) == pytest.approx(0.02 * np.sqrt(3), rel=0.5)
    assert np.abs(rows - 1).std() > 0
    np.testing.assert_allclose(rows, recorded(effects, MJD + 0.1)[:, 0], atol=1e-6)


def test_a_delay_jumps_within_the_observation() -> None:
    effects = drawn(n_delay_jumps=1, delay_jump_ns=4.0)
    (which,) = np.flatnonzero(effects.jump_s)
    when = effects.jump_mjd[which]
    assert MJD < when < MJD + 309.24 / 86_400
    row = (Baselines.of(6, False).first == which).argmax() if which < 5 else 4
    np.testing.assert_allclose(recorded(effects, when - 1e-6), 1.0, atol=1e-5)
    turned = np.unwrap(np.angle(recorded(effects, when + 1e-6)[row]))
    slope = np.polyfit(BAND, turned, 1)[0] / (2 * np.pi)
    assert abs(slope) == pytest.approx(abs(effects.jump_s[which]), rel=1e-3)


def test_a_dying_antenna_loses_its_signal_at_its_time() -> None:
    effects = drawn(n_dying=1)
    (which,) = np.flatnonzero(np.isfinite(effects.death_mjd))
    when = effects.death_mjd[which]
    pairs = Baselines.of(6, False)
    its = (pairs.first == which) | (pairs.second == which)
    assert np.abs(recorded(effects, when - 1e-6)[its]).min() == pytest.approx(1)
    assert not recorded(effects, when + 1e-6)[its].any()
    assert recorded(effects, when + 1e-6)[~its].all()


def test_a_gaussian_is_half_resolved_at_its_half_width() -> None:
    (source,) = point()
    got = seen(None, (replace(source, fwhm_arcsec=30.0),))
    q = np.hypot(*(UVW[0] - UVW[1])[:2]) * BAND / speed_of_light
    # A Gaussian of FWHM theta has a visibility of FWHM 4 ln 2 / (pi theta).
    fwhm = 4 * np.log(2) / (np.pi * np.radians(30 / 3600))
    np.testing.assert_allclose(got[:, 0, 1].real, 2.0 * 0.5 ** (2 * q / fwhm) ** 2, rtol=1e-3)


def test_faint_counts_continue_those_of_nvss() -> None:
    flux_jy = np.geomspace(1.0, 5e-5, 500)
    above = brighter_per_deg2(flux_jy)
    for limit, per_deg2 in ((0.1, 1.7), (0.01, 17.0), (2.5e-3, 53.0)):
        assert np.interp(-limit, -flux_jy, above) == pytest.approx(per_deg2, rel=0.2)


def test_the_realistic_sky_has_faint_sources_doubles_and_sizes() -> None:
    sky = replace(
        Conditions.of(Preset.REALISTIC).sky,
        calibrators=False,
        radius_deg=1.0,
        bright_radius_deg=0.0,
        curvature=0.0,
    )
    sources = sources_near(sky, 2, np.array([RA, RA + 1]), np.array([DEC, DEC]))
    flux = np.array([float(s.model.flux_jy(1.405e9)) for s in sources])
    assert np.sum(flux < 0.03) > 10 * np.sum(flux > 0.03) > 0
    lobes = [s for s in sources if s.part_of]
    assert 0.2 < len(lobes) / 2 / (len(sources) - len(lobes) / 2) < 0.4
    plain = sources_near(
        replace(sky, doubles=0.0, sizes=False), 2, np.array([RA, RA + 1]), np.array([DEC, DEC])
    )
    known = {s.name: float(s.model.flux_jy(1.4e9)) for s in plain}
    first, second = (next(s for s in lobes if s.name == lobes[0].part_of + e) for e in "AB")
    total = float(first.model.flux_jy(1.4e9) + second.model.flux_jy(1.4e9))
    assert total == pytest.approx(known[lobes[0].part_of])
    sizes = np.array([s.fwhm_arcsec for s in sources])
    assert 0.05 < np.mean(sizes > 0) < 0.6
    assert sizes.max() <= 100


def test_effects_are_in_the_file_of_the_truth(tmp_path: Path) -> None:
    made = drawn(pointing_arcmin=6.0, closure=0.005, n_dying=1, n_delay_jumps=2, n_misplaced=1)
    gains = draw_gains(GainSpec(), 1, spec_of().antennas)
    gains.save(tmp_path / "gains.npz", BAND, np.array([MJD]), made.arrays())
    read = Effects.load(tmp_path / "gains.npz")
    assert read is not None
    for f in fields(Effects):
        np.testing.assert_array_equal(getattr(read, f.name), getattr(made, f.name))


def test_an_array_has_one_sky_and_one_set_of_dishes_through_the_night() -> None:
    spec = spec_of(pointing_arcmin=6.0, refraction_arcsec=3.0, closure=0.01, n_dying=1)
    first, later = draw_effects(spec), draw_effects(replace(spec, start_mjd=MJD + 0.01))
    assert first is not None
    assert later is not None
    np.testing.assert_array_equal(first.pointing_rad, later.pointing_rad)
    np.testing.assert_array_equal(first.closure, later.closure)
    cosines = np.zeros((3, 1))
    np.testing.assert_array_equal(first.shift_rad(cosines, MJD), later.shift_rad(cosines, MJD))


def test_squint_moves_the_beams_of_x_and_y_apart() -> None:
    effects = drawn(squint_arcmin=4.0)
    perfect = draw_gains(GainSpec.perfect(), 1, spec_of().antennas)
    pairs = Baselines.of(6, False)
    where = ((RA, DEC), UVW, pairs, perfect, BAND, MJD, None, effects)
    for flux_jy, apart in ((2.0, 4.0), (0.5, 0.0)):
        got = np.abs(window_visibilities(point(RA + 1.2, DEC, flux_jy), *where))[0, 1]
        away = np.radians(1.2 * np.cos(np.radians(DEC))) + np.radians([-0.5, 0.5]) * apart / 60
        np.testing.assert_allclose(got, flux_jy * airy_voltage(away, BAND[1]) ** 2, rtol=5e-3)


def test_an_antenna_with_exchanged_polarisations_sees_nothing_beside_the_others() -> None:
    effects = drawn(n_swapped=2)
    pairs = Baselines.of(6, False)
    gains = draw_gains(GainSpec(), 1, spec_of().antennas)
    true = np.ones((2, 3, 6, 6), np.complex64) * np.array([1.0, 2.0])[:, None, None, None]
    got = corrupted_visibilities(true, pairs, gains, BAND, MJD, None, effects)
    normal = corrupted_visibilities(true, pairs, gains, BAND, MJD, None)
    first, second = effects.swapped[pairs.first], effects.swapped[pairs.second]
    assert effects.swapped.sum() == 2
    assert not got[first != second].any()
    np.testing.assert_allclose(got[first & second], normal[first & second][..., ::-1])
    np.testing.assert_allclose(got[~(first | second)], normal[~(first | second)])


def test_cross_talk_is_between_neighbours_and_falls_with_the_square_of_their_distance() -> None:
    names = tuple(str(n) for n in range(24, 48))
    spec = replace(spec_of(crosstalk_jy=2.0), antennas=names)
    effects = draw_effects(spec)
    assert effects is not None
    pairs = Baselines.of(len(names), False)
    got = effects.added(pairs.first, pairs.second, BAND, MJD)
    steps = pairs.second - pairs.first
    rms = {k: np.sqrt(np.mean(np.abs(got[steps == k]) ** 2)) for k in range(1, 7)}
    assert rms[1] == pytest.approx(2.0, rel=0.3)
    assert rms[2] == pytest.approx(2.0 / 4, rel=0.3)
    assert rms[4] == pytest.approx(2.0 / 16, rel=0.3)
    assert rms[6] == 0
    np.testing.assert_array_equal(got, effects.added(pairs.first, pairs.second, BAND, MJD + 0.1))
    np.testing.assert_allclose(
        effects.added(pairs.second, pairs.first, BAND, MJD), got.conj(), rtol=1e-5
    )


def test_spikes_are_single_channels_of_single_integrations() -> None:
    spec = spec_of(n_spikes=3, spike_jy=500.0)
    effects = draw_effects(spec)
    assert effects is not None
    pairs = Baselines.of(6, False)
    hz = spec.window_frequencies_hz.ravel()
    seen = [effects.added(pairs.first, pairs.second, hz, t) for t in spec.integration_mjd]
    hit = np.array(seen).any(axis=1)
    assert hit.sum() == 3
    assert np.std(np.array(seen).real[np.array(seen) != 0]) == pytest.approx(500, rel=0.4)


def test_impossible_effects_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="closure"):
        EffectsSpec(closure=-0.1)
    with pytest.raises(ConfigurationError, match="more antennas with faults"):
        spec_of(n_dying=9)
