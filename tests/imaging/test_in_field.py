"""In-field calibration on visibilities made here, by a plain sum over sources."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.constants import speed_of_light

from contimg_resources.casa import Casa
from contimg_resources.imaging.in_field.calibrating import calibrate_in_field
from contimg_resources.imaging.in_field.field_model import FieldModel
from contimg_resources.imaging.make import _refined, load_image_result, make_image
from contimg_resources.imaging.model import (
    ImageRequest,
    InFieldCalibration,
    InFieldSolution,
    ReferenceSource,
)
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.settings import ImagingSettings
from tests.imaging.imaging_steps import Sky

N_ANTENNAS, N_TIMES, N_CHANNELS = 20, 12, 32
HZ = np.linspace(1.315e9, 1.495e9, N_CHANNELS)
DISH_M = (4.65, 0.4064)
RA, DEC = 120.0, 33.0
#: Noise of the real part, Jy: an antenna has a phase error of a degree in an integration.
NOISE_JY = 0.3
SOURCES = (
    ReferenceSource("bright", RA + 0.5, DEC - 0.4, 1.0, 1.4, -0.7),
    ReferenceSource("second", RA - 0.8, DEC + 0.3, 0.5, 1.4, -0.7),
    ReferenceSource("third", RA + 0.1, DEC + 0.7, 0.4, 1.4, 0.0),
    *(
        ReferenceSource(f"f{k}", RA + np.cos(k) * 1.2, DEC + np.sin(2 * k), 0.1, 1.4, -0.7)
        for k in range(8)
    ),
)


RNG = np.random.default_rng(4)
#: Two arms and some antennas off them, metres.
ENU = np.concatenate(
    [
        np.stack([np.linspace(0, 400, 9), np.zeros(9)], axis=1),
        np.stack([np.zeros(7), np.linspace(40, 440, 7)], axis=1),
        RNG.normal(0, 700, (4, 2)),
    ]
)


def observe(
    sources: tuple[ReferenceSource, ...] = SOURCES,
    *,
    phase_rad: Any = 0.0,
    amplitude: Any = 1.0,
    delay_s: Any = 0.0,
    between_hands_rad: Any = None,
    refraction: Any = 0.0,
    noise_jy: float = NOISE_JY,
    seed: int = 1,
) -> Visibilities:
    first, second = np.triu_indices(N_ANTENNAS, 1)
    rows, rng = len(first), np.random.default_rng(seed)
    pointings = np.stack([RA + np.linspace(-0.6, 0.6, N_TIMES), np.full(N_TIMES, DEC)], axis=1)
    phases, amplitudes, delays_s = (
        np.broadcast_to(g, (N_TIMES, N_ANTENNAS)) for g in (phase_rad, amplitude, delay_s)
    )
    moved = np.broadcast_to(refraction, (N_TIMES, 2, 3))
    values, unlike, uvw = [], [], []
    for t in range(N_TIMES):
        turn = np.radians((t - N_TIMES / 2) * 0.05)
        u = ENU[:, 0] * np.cos(turn) - ENU[:, 1] * 0.9 * np.sin(turn)
        v = ENU[:, 0] * np.sin(turn) + ENU[:, 1] * 0.9 * np.cos(turn)
        place = np.stack([u, v, ENU[:, 1] * 0.43], axis=1)
        baseline = place[first] - place[second]
        total = np.zeros((rows, N_CHANNELS), complex)
        for s in sources:
            ra, dec, dec0 = np.radians([s.ra_deg - RA, s.dec_deg, DEC])
            east, north = (
                np.cos(dec) * np.sin(ra),
                np.sin(dec - dec0) + np.cos(dec) * np.sin(dec0) * (1 - np.cos(ra)),
            )
            shift = moved[t] @ [1.0, east, north]
            east, north = east + shift[0], north + shift[1]
            depth = np.sqrt(1 - east**2 - north**2) - 1
            to = np.radians(pointings[t])
            away = np.arccos(
                np.sin(dec) * np.sin(to[1])
                + np.cos(dec) * np.cos(to[1]) * np.cos(np.radians(s.ra_deg) - to[0])
            )
            flux = s.flux_jy * (HZ / 1.4e9) ** s.spectral_index * airy_power(away, HZ)
            turns = (baseline @ [east, north, depth])[:, None] * HZ / speed_of_light
            total += flux * np.exp(2j * np.pi * turns)
        turns = delays_s[t][:, None] * (HZ - 1.4e9)
        g = (amplitudes[t] * np.exp(1j * phases[t]))[:, None] * np.exp(2j * np.pi * turns)
        total *= g[first] * g[second].conj()
        if between_hands_rad is not None:
            half = 0.5 * (between_hands_rad[first] - between_hands_rad[second])[:, None]
            noise = rng.normal(0, noise_jy, (2, *total.shape))
            unlike.append(1j * np.sin(half) * total + noise[0] + 1j * noise[1])
            total *= np.cos(half)
        total += noise_jy * (rng.normal(size=total.shape) + 1j * rng.normal(size=total.shape))
        values.append(total)
        uvw.append(baseline)
    n = N_TIMES * rows
    weight = np.full((n, N_CHANNELS), 0.5 / noise_jy**2, np.float32)
    block = Block(
        uvw_m=np.concatenate(uvw),
        field_ids=np.repeat(np.arange(N_TIMES), rows).astype(np.int16),
        channels_hz=HZ,
        values=np.concatenate(values).astype(np.complex64),
        weight=weight,
        variance=np.full(n, 0.5, np.float32),
        first=np.tile(first, N_TIMES).astype(np.int16),
        second=np.tile(second, N_TIMES).astype(np.int16),
        time_s=np.repeat(5.2e9 + 12.9 * np.arange(N_TIMES), rows),
        unlike=np.concatenate(unlike).astype(np.complex64) if unlike else None,
    )
    return Visibilities(
        blocks=(block,),
        bandwidth_hz=188e6,
        noise_scale=1.0,
        telescope="OVRO_MMA",
        phase_center_deg=(RA, DEC),
        pointings_deg=pointings,
        start_mjd=6e4,
        end_mjd=6e4 + 0.0036,
        origin={},
        antenna_names=tuple(str(k + 1) for k in range(N_ANTENNAS)),
    )


def refined(
    seen: Visibilities, known: tuple[ReferenceSource, ...] = SOURCES
) -> tuple[Visibilities, InFieldCalibration]:
    return calibrate_in_field(seen, known, DISH_M)


def error_jy(seen: Visibilities) -> float:
    """Return the rms difference to perfect visibilities, where there are data."""
    block = seen.blocks[0]
    apart = block.values - observe(noise_jy=1e-9).blocks[0].values
    return float(np.sqrt(np.mean(np.abs(apart[block.weight > 0]) ** 2)))


def flux_ratios(seen: Visibilities, sky: tuple[ReferenceSource, ...], n: int) -> np.ndarray:
    """Return measured over true flux densities of the first sources, the others being known."""
    block, found = seen.blocks[0], []
    for k in range(n):
        its = observe((sky[k],), noise_jy=1e-9).blocks[0].values
        rest = observe(sky[:k] + sky[k + 1 :], noise_jy=1e-9).blocks[0].values
        fitted = (block.weight * ((block.values - rest) * its.conj()).real).sum()
        found.append(fitted / (block.weight * np.abs(its) ** 2).sum())
    return np.array(found)


def adopted(outcome: InFieldCalibration) -> set[str]:
    return {s.kind for s in outcome.solutions if s.adopted}


def solved(outcome: InFieldCalibration, kind: str) -> InFieldSolution:
    return next(s for s in outcome.solutions if s.kind == kind)


PHASES = np.cumsum(RNG.normal(0, 0.03, (N_TIMES, N_ANTENNAS)), 0) + RNG.normal(0, 0.3, N_ANTENNAS)
AMPLITUDES = 1 + RNG.normal(0, 0.1, N_ANTENNAS)
QUIET_JY = 0.03


def test_gains_that_move_within_the_observation_are_followed() -> None:
    seen = observe(phase_rad=PHASES, noise_jy=QUIET_JY)
    better, outcome = refined(seen)
    assert error_jy(seen) > 5 * np.sqrt(2) * QUIET_JY
    # The noise of both parts, and little else.
    assert error_jy(better) < 1.1 * np.sqrt(2) * QUIET_JY
    assert adopted(outcome) == {"phases"}
    assert solved(outcome, "phases").n_intervals == N_TIMES
    assert outcome.explained[0] < 0.9 < 0.99 < outcome.explained[1]
    assert "phases in 12 intervals" in outcome.why


def test_solution_intervals_follow_the_noise() -> None:
    still = np.broadcast_to(PHASES[0], PHASES.shape)
    few, many = (
        solved(refined(observe(phase_rad=phases, noise_jy=2.0))[1], "phases").n_intervals
        for phases in (still, PHASES + 0.3 * np.linspace(-3, 3, N_TIMES)[:, None] * np.sign(PHASES))
    )
    assert 1 <= few < many


def test_perfect_data_stay_as_they_are() -> None:
    seen = observe()
    better, outcome = refined(seen)
    assert not outcome.applied
    assert better is seen
    assert all(s.improvement <= 0 for s in outcome.solutions)


def test_no_flux_density_is_dragged_to_the_catalogue() -> None:
    flaring = (replace(SOURCES[0], flux_jy=1.5), *SOURCES[1:])
    seen = observe(flaring, phase_rad=PHASES, amplitude=AMPLITUDES, noise_jy=QUIET_JY)
    better, outcome = refined(seen)
    assert adopted(outcome) == {"phases", "amplitudes"}
    ratios = flux_ratios(better, flaring, 3)
    # The scale is that of the antennas' mean, for the flare as for its neighbours.
    first, second = np.triu_indices(N_ANTENNAS, 1)
    mean = float(np.mean(AMPLITUDES[first] * AMPLITUDES[second]))
    assert ratios == pytest.approx(mean, rel=0.01)
    assert np.ptp(flux_ratios(seen, flaring, 3)) > 0.02


def test_a_shift_of_the_field_is_corrected_where_errors_of_the_catalogue_do_not_explain_it() -> (
    None
):
    for arcsec, corrected in ((0.5, False), (6.0, True)):
        moved = tuple(replace(s, dec_deg=s.dec_deg + arcsec / 3600) for s in SOURCES)
        seen = observe(moved, noise_jy=QUIET_JY)
        better, _ = refined(seen)
        true = observe(SOURCES if corrected else moved, noise_jy=1e-9).blocks[0].values
        left_jy = better.blocks[0].values - true
        assert np.sqrt(np.mean(np.abs(left_jy) ** 2)) < 1.05 * np.sqrt(2) * QUIET_JY


def test_a_source_that_no_catalogue_has_keeps_its_flux_density() -> None:
    new = ReferenceSource("new", RA + 0.3, DEC + 0.25, 0.3, 1.4, -0.7)
    sky = (new, *SOURCES)
    better, outcome = refined(observe(sky, phase_rad=PHASES, noise_jy=QUIET_JY))
    assert outcome.applied
    # With 20 antennas a solution absorbs up to 1/20 of what its model lacks.
    assert flux_ratios(better, sky, 3) == pytest.approx(1.0, abs=0.02)


def test_delays_of_single_antennas_are_found() -> None:
    delay_s = np.zeros(N_ANTENNAS)
    delay_s[[5, 11]] = 4e-9, -9e-9
    better, outcome = refined(observe(delay_s=delay_s, noise_jy=QUIET_JY))
    assert "delays" in adopted(outcome)
    assert solved(outcome, "delays").rms == pytest.approx(np.sqrt((16 + 81) / 2), rel=0.02)
    assert error_jy(better) < 1.3 * np.sqrt(2) * QUIET_JY


def test_an_antenna_that_dies_is_left_out_from_then_on() -> None:
    alive = np.ones((N_TIMES, N_ANTENNAS))
    alive[7:, 3] = 0
    better, outcome = refined(observe(phase_rad=PHASES, amplitude=alive, noise_jy=QUIET_JY))
    assert outcome.lost == {"4": pytest.approx(5 / 12)}
    block = better.blocks[0]
    its = (block.first == 3) | (block.second == 3)
    late = block.time_s > block.time_s[0] + 6.5 * 12.9
    assert np.array_equal(block.weight[:, 0] == 0, its & late)
    assert error_jy(better) < 1.2 * np.sqrt(2) * QUIET_JY


def test_an_antenna_with_little_signal_is_kept_and_one_without_any_is_left_out() -> None:
    weak = np.ones((N_TIMES, N_ANTENNAS))
    # As one that resolves the sources: 5 % of the power of others.
    weak[:, 6] = 0.22
    assert refined(observe(amplitude=weak, noise_jy=QUIET_JY))[1].lost == {}
    weak[:, 6] = 0
    assert refined(observe(amplitude=weak, noise_jy=QUIET_JY))[1].lost == {"7": 1.0}


def test_a_catalogue_of_another_field_changes_nothing() -> None:
    other = tuple(replace(s, ra_deg=2 * RA - s.ra_deg + 0.05) for s in SOURCES)
    seen = observe(phase_rad=PHASES)
    better, outcome = refined(seen, other)
    assert better is seen
    assert "explains" in outcome.why


def test_amplitudes_do_not_imitate_what_the_model_lacks() -> None:
    # Half of the brightest source is resolved: its other half is a point beside it.
    halves = (
        replace(SOURCES[0], flux_jy=0.5, dec_deg=SOURCES[0].dec_deg + 0.01),
        replace(SOURCES[0], flux_jy=0.5, dec_deg=SOURCES[0].dec_deg - 0.01),
    )
    _, outcome = refined(observe((*halves, *SOURCES[1:]), phase_rad=PHASES, noise_jy=QUIET_JY))
    assert 0.5 < outcome.explained[1] < 0.85
    assert adopted(outcome) == {"phases"}


def test_windows_in_rows_of_their_own_count_as_those_in_one_row() -> None:
    seen = observe(phase_rad=PHASES, noise_jy=QUIET_JY)
    block = seen.blocks[0]
    half = np.arange(N_CHANNELS) < N_CHANNELS // 2
    both = [np.where(some, block.weight, 0).astype(np.float32) for some in (half, ~half)]
    twice = {
        name: np.concatenate([getattr(block, name)] * 2)
        for name in ("uvw_m", "field_ids", "values", "variance", "first", "second", "time_s")
    }
    apart = replace(block, **twice, weight=np.concatenate(both))
    one, other = refined(seen)[1], refined(replace(seen, blocks=(apart,)))[1]
    assert solved(one, "phases").improvement == pytest.approx(
        solved(other, "phases").improvement, rel=1e-3
    )
    assert one.phase_rms_deg == pytest.approx(other.phase_rms_deg, rel=1e-3)


def test_without_sources_or_antennas_the_reason_is_recorded() -> None:
    seen = observe()
    dark = (replace(SOURCES[0], flux_jy=0.0), replace(SOURCES[1], flux_jy=float("nan")))
    assert refined(seen, ())[1].why == "no known source is in the beam"
    assert refined(seen, dark)[1].why == "no known source is in the beam"
    block = seen.blocks[0]
    shaken = replace(block, uvw_m=block.uvw_m + RNG.normal(0, 1, block.uvw_m.shape))
    assert "differences of antennas" in refined(replace(seen, blocks=(shaken,)))[1].why
    narrow = replace(
        block,
        channels_hz=HZ[:4],
        values=block.values[:, :4],
        weight=block.weight[:, :4],
    )
    assert "too few channels" in refined(replace(seen, blocks=(narrow,)))[1].why


def test_phases_of_the_array_move_no_weight_and_amplitudes_move_it_as_their_square() -> None:
    better, _ = refined(observe(phase_rad=PHASES, amplitude=AMPLITUDES, noise_jy=QUIET_JY))
    ratio = better.blocks[0].weight[:, 0] * 2 * QUIET_JY**2
    block = better.blocks[0]
    expected = (AMPLITUDES[block.first] * AMPLITUDES[block.second]) ** 2
    assert np.corrcoef(ratio, expected)[0, 1] > 0.98


def test_an_image_of_perfect_data_explains_them_and_records_it(
    casa: Casa, sky: Sky, tmp_path: Path
) -> None:
    settings = ImagingSettings(in_field=True, image_size=400, sub_bands=0, niter=0)
    request = ImageRequest(sky.ms, tmp_path / "x", "x", settings)
    known = replace(request, field_model=tuple(sky.references))
    outcome = casa.run(make_image, known, label="in-field").in_field
    assert outcome is not None
    # UVW, signs, beams and fluxes of a simulated MS are those of the model.
    assert outcome.explained[0] > 0.97
    assert "delays" not in adopted(outcome)
    assert max(s.rms for s in outcome.solutions) < 1.5
    read = load_image_result(tmp_path / "x", "x")
    assert read.in_field == outcome


def test_an_engine_that_reads_the_ms_is_told_apart() -> None:
    request = ImageRequest(Path("/a.ms"), Path("/b"), "x", field_model=SOURCES)
    seen = observe()
    same, outcome = _refined(seen, request, "wsclean", DISH_M)
    assert same is seen
    assert not outcome.applied
    assert "'wsclean' reads the calibrated MS" in outcome.why


def test_hands_that_drifted_apart_are_aligned() -> None:
    apart = np.random.default_rng(7).normal(0, 0.5, N_ANTENNAS)
    seen = observe(between_hands_rad=apart, noise_jy=QUIET_JY)
    better, outcome = refined(seen)
    assert adopted(outcome) >= {"hands"}
    expected_deg = np.degrees(np.std(apart))
    assert solved(outcome, "hands").rms == pytest.approx(expected_deg, rel=0.1)
    assert error_jy(seen) > 1.5 * error_jy(better)
    assert error_jy(better) < 1.2 * np.sqrt(2) * QUIET_JY
    assert all(b.unlike is None for b in better.blocks)


def test_hands_that_agree_are_left_alone() -> None:
    seen = observe(between_hands_rad=np.zeros(N_ANTENNAS))
    better, outcome = refined(seen, ())
    assert not outcome.applied
    np.testing.assert_array_equal(better.blocks[0].values, seen.blocks[0].values)


#: Enough sources for a gradient.
MANY = (
    *SOURCES,
    *(
        ReferenceSource(f"m{k}", RA + np.cos(2.4 * k), DEC + np.sin(2.4 * k), 0.15, 1.4, 0.0)
        for k in range(8)
    ),
)


def test_a_sky_that_the_ionosphere_stretches_is_straightened() -> None:
    arcsec = np.radians(1 / 3600)
    terms = np.zeros((N_TIMES, 2, 3))
    # Shifts of 3 arcsec, and gradients in arcsec per degree that change with time.
    terms[:, :, 0] = [3 * arcsec, -2 * arcsec]
    terms[:, 0, 1] = np.linspace(1, 4, N_TIMES) / 3600
    terms[:, 1, 1] = np.linspace(-3, 2, N_TIMES) / 3600
    seen = observe(MANY, refraction=terms, noise_jy=QUIET_JY)
    better, outcome = refined(seen, MANY)
    assert adopted(outcome) >= {"phases", "refraction", "refraction in time"}
    # The products store records it as JSON.
    assert all(type(s.adopted) is bool for s in outcome.solutions)
    for t in range(N_TIMES):
        here = seen.blocks[0].field_ids == t
        before, after = (v.blocks[0].uvw_m[here, :2] for v in (seen, better))
        found = np.linalg.lstsq(before, after - before, rcond=None)[0]
        np.testing.assert_allclose(3600 * found, 3600 * terms[t, :, 1:], atol=0.3)


def test_a_source_that_a_survey_resolves_is_no_point() -> None:
    point = ReferenceSource("wide", RA, DEC, 1.0, 1.4, 0.0)
    wide = replace(point, major_arcsec=60.0, minor_arcsec=30.0, angle_deg=90.0)
    places = np.array([[0.0, 0.0, 0.0], [800.0, 0.0, 0.0], [0.0, 800.0, 0.0]])
    first, second = np.zeros(2, np.int16), np.arange(1, 3, dtype=np.int16)
    seen = [np.zeros((2, 1), np.complex64) for _ in range(2)]
    for values, s in zip(seen, (point, wide), strict=True):
        model = FieldModel.of((s,), np.ones((1, 1)), np.zeros((3, 1)), places, np.array([1.4e9]))
        model.subtract_from(values, first, second)
    widths = np.radians(np.array([60.0, 30.0]) / 3600) * 800 * 1.4e9 / speed_of_light
    expected = np.exp(-((np.pi * widths) ** 2) / (4 * np.log(2)))
    np.testing.assert_allclose(np.abs(seen[0]), 1, rtol=1e-6)
    # The major axis points east.
    np.testing.assert_allclose(np.abs(seen[1][:, 0]), expected, rtol=1e-4)
