"""Interference goes, in whatever shape it comes; noise and the sky stay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.flagging.in_memory import (
    FlaggedInMemory,
    WindowInMemory,
    flag_interference_in_memory,
)
from contimg_resources.calibration.flagging.interference import find_interference
from contimg_resources.casa import Casa
from contimg_resources.simulation.observation import SimulationRequest, pointings_deg
from contimg_resources.simulation.spec import (
    AddedSource,
    GainSpec,
    RfiSpec,
    SimulationSpec,
    Size,
    SkySpec,
)
from tests.calibration.flagging_steps import Pair, dump_pair

N_TIMES, N_BASELINES, N_WINDOWS, N_CHANNELS = 24, 300, 8, 12
SHAPE = (N_TIMES, N_BASELINES, N_WINDOWS * N_CHANNELS, 2)
#: Scrambled, as in a real MS.
ORDER = np.array([5, 2, 7, 0, 3, 6, 1, 4])
HZ = 1.4e9 + 0.25e6 * np.arange(SHAPE[2], dtype=np.float64)
SIGMA = 1.0


def noise(seed: int = 1) -> np.ndarray:
    """Noise of the whole band, shape (times, baselines, channels, 2), 1 Jy in each part."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((*SHAPE, 2), dtype=np.float32)
    return parts.view(np.complex64)[..., 0]


def source(flux_jy: float, offset: float, seed: int = 3) -> np.ndarray:
    """A point source; `offset` 1 turns the longest baseline by 0.2 an integration."""
    rng = np.random.default_rng(seed)
    length = rng.exponential(0.15, N_BASELINES).clip(0, 1)[None, :, None, None]
    delay_s = 1.7e-7 * offset * length
    turns = 0.2 * offset * length * np.arange(N_TIMES)[:, None, None, None]
    seen: np.ndarray = np.exp(2j * np.pi * (turns + delay_s * HZ[None, None, :, None]))
    return flux_jy * seen


def emitter(strength: np.ndarray) -> np.ndarray:
    """An emitter of that strength (times, channels) that each baseline hears with its delay."""
    delay_s = np.random.default_rng(4).uniform(-3e-6, 3e-6, N_BASELINES)
    fringe = np.exp(2j * np.pi * delay_s[:, None] * HZ[None, :])
    heard: np.ndarray = strength[:, None, :] * fringe[None]
    return heard[..., None]


def windows_of(data: np.ndarray, order: np.ndarray = ORDER) -> list[WindowInMemory]:
    """Cut a band into spectral windows."""
    made = []
    for place in order:
        channels = slice(place * N_CHANNELS, (place + 1) * N_CHANNELS)
        part = np.ascontiguousarray(np.broadcast_to(data, SHAPE)[:, :, channels], np.complex64)
        made.append(WindowInMemory.of_grid(HZ[channels], part, np.zeros(part.shape, np.bool_)))
    return made


def flags(windows: list[WindowInMemory]) -> np.ndarray:
    """The flags of the whole band in ascending frequency."""
    ascending = sorted(windows, key=lambda w: w.frequencies_hz[0])
    return np.concatenate([w.flag.reshape(w.shape) for w in ascending], 2)


def found_in(data: np.ndarray, order: np.ndarray = ORDER) -> np.ndarray:
    windows = windows_of(data, order)
    counts = flag_interference_in_memory(windows)
    flagged = flags(windows)
    assert counts.flagged_fraction == pytest.approx(flagged.mean())
    return flagged


def test_noise_stays() -> None:
    assert found_in(noise()).mean() < 1e-4


@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0])
def test_a_bright_source_stays_wherever_it_is(offset: float) -> None:
    sky = source(50.0, offset) + source(20.0, -0.7 * offset, seed=5)
    assert found_in(noise() + sky).mean() < 1e-4


def strengths() -> dict[str, np.ndarray]:
    times, channels = np.arange(N_TIMES)[:, None], np.arange(SHAPE[2])[None, :]
    line = (channels == 40) | (channels == 12)
    transit = np.exp(-0.5 * ((times - 11) / 3.0) ** 2)
    sweep = abs(channels - (20 + times)) <= 3
    return {
        "a line": 2.0 * line * np.ones_like(times),
        "a full window": 2.0 * (channels >= 84) * np.ones_like(times),
        "a burst": 2.0 * (times == 6) * np.ones_like(channels),
        "a burst at the begin": 2.0 * (times == 0) * np.ones_like(channels),
        "a satellite": 30.0 * transit * sweep,
    }


@pytest.mark.parametrize("kind", strengths())
@pytest.mark.parametrize("calibrator_jy", [0.0, 16.0])
def test_what_all_baselines_hear_goes_and_nothing_else(kind: str, calibrator_jy: float) -> None:
    strength = strengths()[kind]
    flagged = found_in(noise() + source(calibrator_jy, 0.3) + emitter(strength))
    heard, silent = strength > 1.5 * SIGMA, strength < 0.1 * SIGMA
    assert flagged.transpose(0, 2, 1, 3)[heard].mean() > 0.999
    assert flagged.transpose(0, 2, 1, 3)[silent].mean() < 0.01


def test_under_a_calibrator_a_median_amplitude_sees_nothing_of_it() -> None:
    data = noise() + source(16.0, 0.3) + emitter(strengths()["a line"])
    assert not find_interference(np.median(abs(data[..., 0]), axis=1)).any()


def test_a_polarised_emitter_goes_even_where_it_varies_as_slowly_as_the_sky() -> None:
    data = noise() + source(16.0, 0.3)
    data[:, :, 30:50, 0] += 3.0
    flagged = found_in(data)
    assert flagged[:, :, 30:50].mean() > 0.999
    assert flagged.mean() < 0.01 + 20 / SHAPE[2]


def test_what_one_baseline_hears_goes_there_only() -> None:
    data = noise()
    rng = np.random.default_rng(8)

    def scattered(strength: float, shape: tuple[int, ...]) -> np.ndarray:
        phases: np.ndarray = np.exp(2j * np.pi * rng.random(shape))
        return strength * phases

    data[9, 3, 17, 0] += 30.0
    data[:, 40, 30] += scattered(8.0, (N_TIMES, 2))
    data[5, 50, 36:48] += scattered(10.0, (12, 2))
    data[:, 60, 60:72] += scattered(10.0, (N_TIMES, 12, 2))
    flagged = found_in(data)
    assert flagged[9, 3, 17].all(), "in one correlation means in both"
    assert flagged[:, 40, 30].all()
    assert flagged[5, 50, 36:48].all()
    assert flagged[:, 60, 60:72].all()
    assert flagged.sum() < 1.1 * 2 * (1 + N_TIMES + 12 + 12 * N_TIMES)


def test_the_order_of_the_windows_makes_no_difference() -> None:
    data = noise() + emitter(np.sum([*strengths().values()], axis=0))
    sorted_windows = found_in(data, np.arange(N_WINDOWS))
    np.testing.assert_array_equal(found_in(data), sorted_windows)
    assert sorted_windows.any()


def test_zeros_and_what_is_no_number_go_and_spoil_nothing() -> None:
    data = noise()
    data[:, 10] = 0
    data[3, 20:30] = np.nan
    data[4, 7, 5, 1] = np.inf
    data[4, 8, 5, 0] = 1e30
    expected = np.zeros(SHAPE, np.bool_)
    expected[:, 10] = expected[3, 20:30] = True
    expected[4, 7, 5, 1] = expected[4, 8, 5, 0] = True
    flagged = found_in(data)
    assert flagged[expected].all()
    assert flagged[~expected].mean() < 1e-4


def test_flags_that_came_stay_and_hide_what_is_under_them() -> None:
    windows = windows_of(noise() + emitter(strengths()["a line"]))
    for window in windows:
        window.flag[:, np.isin(window.frequencies_hz, HZ[[12, 40]])] = True
    counts = flag_interference_in_memory(windows)
    assert counts.n_before == 2 * N_TIMES * N_BASELINES * 2
    assert counts.flagged_fraction == pytest.approx(2 / SHAPE[2], rel=1e-3)


def test_an_observation_without_any_good_data_is_no_error() -> None:
    for data in (np.full(SHAPE, np.nan), np.zeros(SHAPE)):
        assert found_in(data).all()
    windows = windows_of(noise())
    for window in windows:
        flag = window.flag
        flag |= True
    assert flag_interference_in_memory(windows).n_before == np.prod(SHAPE)
    assert flag_interference_in_memory([]) == FlaggedInMemory(0, 0, 0, 0, 0)


@pytest.mark.parametrize("shape", [(1, 20, 1, 1), (2, 1, 2, 2), (24, 3, 1, 4), (1, 40, 16, 2)])
def test_the_smallest_observations_keep_their_noise(shape: tuple[int, ...]) -> None:
    data = noise().ravel()[: int(np.prod(shape))].reshape(shape)
    flag = np.zeros(shape, np.bool_)
    flag_interference_in_memory([WindowInMemory.of_grid(HZ[: shape[2]], data, flag)])
    assert not flag.any()


def test_arrays_that_do_not_fit_are_refused() -> None:
    good = windows_of(noise())[0]
    with pytest.raises(ValueError, match="must be complex64"):
        flag_interference_in_memory([replace(good, data=good.data.astype(np.complex128))])
    with pytest.raises(ValueError, match="don't fit"):
        flag_interference_in_memory([replace(good, frequencies_hz=HZ)])
    turned = good.data.transpose(1, 0, 2).copy().transpose(1, 0, 2)
    with pytest.raises(ValueError, match="C-contiguous"):
        flag_interference_in_memory([replace(good, data=turned)])
    fewer = replace(good, place=good.place[:3])
    with pytest.raises(ValueError, match="window 1"):
        flag_interference_in_memory([good, fewer])
    with pytest.raises(ValueError, match="aren't rows"):
        flag_interference_in_memory([replace(good, data=good.data[:3], flag=good.flag[:3])])


def test_rows_may_lie_in_any_order_and_be_absent() -> None:
    together = windows_of(noise() + emitter(strengths()["a line"]))
    apart = []
    rng = np.random.default_rng(3)
    for window in together:
        n = len(window.data)
        moved = rng.permutation(2 * n)[:n]
        data = np.full((2 * n, *window.data.shape[1:]), np.nan, np.complex64)
        flag = np.zeros(data.shape, np.bool_)
        data[moved], flag[moved] = window.data, window.flag
        place = moved[window.place]
        # What is absent here is flagged there.
        window.flag[window.place[2, 5]] = True
        place[2, 5] = -1
        apart.append(WindowInMemory(window.frequencies_hz, data, flag, place))
    flag_interference_in_memory(together)
    counts = flag_interference_in_memory(apart)
    assert counts.n_before == 0
    for one, other in zip(together, apart, strict=True):
        there = other.place >= 0
        np.testing.assert_array_equal(one.flag[one.place[there]], other.flag[other.place[there]])
        assert other.flag.sum() == other.flag[other.place[there]].sum()


def test_a_simulated_observation_images_as_if_there_had_been_no_interference(
    casa: Casa, tmp_path: Path
) -> None:
    """With a 16 Jy source off the centre; what was injected is the difference of two MS."""
    import ducc0

    spec = SimulationSpec.of_size(Size.TINY, 60954.6, 33.0, seed=4)
    ra_deg, dec_deg = (float(x) + 0.5 for x in pointings_deg(spec)[12])
    bright = SkySpec(calibrators=False, added=(AddedSource("bright", ra_deg, dec_deg, 16.0),))
    spec = replace(spec, gains=GainSpec.perfect(), sky=bright)
    requests = Pair(
        SimulationRequest(spec, tmp_path / "clean"),
        SimulationRequest(replace(spec, rfi=RfiSpec()), tmp_path / "dirty"),
    )
    seen = [np.load(path) for path in casa.run(dump_pair, requests, label="simulate")]
    clean, dirty = (dump["data"] for dump in seen)
    frequencies_hz, uvw_m = (seen[0][name] for name in ("frequencies_hz", "uvw_m"))
    windows = [
        WindowInMemory.of_grid(hz, data, np.zeros(data.shape, np.bool_))
        for hz, data in zip(frequencies_hz, dirty.copy(), strict=True)
    ]
    flag_interference_in_memory(windows)
    good = ~np.array([w.flag.reshape(w.shape) for w in windows])
    injected = abs(dirty - clean)
    assert good[injected > spec.noise_jy].sum() == 0
    assert good[injected < 0.1 * spec.noise_jy].mean() > 0.98

    def image(data: np.ndarray, weights: np.ndarray) -> np.ndarray:
        n_channels = frequencies_hz.shape[1]
        total: np.ndarray = np.zeros((512, 512))
        for hz, values, weight in zip(frequencies_hz, data, weights, strict=True):
            stokes_i = (values * weight).mean(axis=-1).reshape(-1, n_channels)
            total += ducc0.wgridder.vis2dirty(
                uvw=uvw_m,
                freq=hz,
                vis=stokes_i.astype(np.complex64),
                npix_x=512,
                npix_y=512,
                pixsize_x=np.radians(20 / 3600),
                pixsize_y=np.radians(20 / 3600),
                epsilon=1e-4,
                do_wgridding=True,
            )
        return total / float(weights.mean(axis=-1).sum())

    left = np.std(image(dirty - clean, good))
    kept = spec.expected_rms_jy / np.sqrt(good.mean())
    assert np.hypot(kept, left) < 1.1 * kept, "the interference that stays is far below the noise"
    before, after = image(clean, np.ones_like(good)), image(dirty, good)
    peak = np.unravel_index(before.argmax(), before.shape)
    assert before[peak] > 5.0
    assert after[peak] == pytest.approx(before[peak], rel=0.01)
