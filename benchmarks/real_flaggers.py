"""The platform's flagger and AOFlagger on the same interference.

Belongs here: the data, both flaggers, residual interference and good data lost. Doesn't: the
interference itself (see `contimg_resources.simulation`), imaging.

AOFlagger (Offringa et al. 2012, A&A 539, A95) is used where the package `aoflagger` is installed,
with its strategy for any telescope; it follows one baseline at a time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_outside import Drift
from contimg_resources.calibration.flagging.in_memory import (
    WindowInMemory,
    flag_interference_in_memory,
)
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.instrument.dsa110 import N_CHANNELS_PER_WINDOW
from contimg_resources.simulation.effects import draw_effects
from contimg_resources.simulation.predict import draw_interference, noise, true_visibilities
from contimg_resources.simulation.sky import sources_near
from contimg_resources.simulation.spec import (
    Conditions,
    EffectsSpec,
    Preset,
    RfiSpec,
    SimulationSpec,
    Size,
)

OURS, AOFLAGGER = "contimg", "AOFlagger"
#: Interference above this many times the noise of a visibility (of its real part) should be
#: flagged; below the second, data are good.
_BAD_SIGMA, _GOOD_SIGMA = 1.0, 0.1
_BRIGHTEST = 60


@dataclass(frozen=True)
class Contaminated:
    """Calibrated visibilities at one phase centre, with interference that is known."""

    frequencies_hz: Floats  #: Ascending, Hz. Shape (channels,).
    data: NDArray[np.complex64]  #: Jy. Shape (times, baselines, channels, 2).
    rfi_jy: NDArray[np.float32]  #: Its amplitude. Shape (times, baselines, channels).
    noise_jy: float  #: Noise of the real part of a visibility, Jy.


@dataclass(frozen=True)
class Flagged:
    """What a flagger did."""

    flagger: str  #: Its name.
    found: float  #: Share of the visibilities with interference that it flags.
    #: Rms of the interference that it leaves over the noise (of the complex visibility).
    left: float
    lost: float  #: Share of the good visibilities that it flags.
    cpu_s: float  #: CPU time, seconds.


def contaminated(size: Size, seed: int = 3) -> Contaminated:
    """Simulate the interference of the preset `realistic` over its brightest sources.

    Parameters
    ----------
    size : Size
        Antennas of the array; channels are the real ones.
    seed : int
        Random seed.
    """
    conditions = Conditions.of(Preset.REALISTIC)
    rfi = conditions.rfi or RfiSpec()
    spikes = EffectsSpec(n_spikes=conditions.effects.n_spikes)
    spec = replace(
        SimulationSpec.of_size(size, 60_954.4, 33.3, seed),
        channels_per_window=N_CHANNELS_PER_WINDOW,
        effects=spikes,
        sky=replace(conditions.sky, faintest_jy=0.0, outliers=None, sizes=False, doubles=0.0),
    )
    drift = Drift.of(spec)
    hz = np.sort(spec.window_frequencies_hz.ravel())
    emitters = draw_interference(rfi, (seed, 1), hz, spec.n_integrations, len(spec.antennas))
    sources = sources_near(spec.sky, seed, drift.pointings[:, 0], drift.pointings[:, 1])
    sources = tuple(sorted(sources, key=lambda s: -s.model.coefficients[0])[:_BRIGHTEST])
    effects = draw_effects(spec)
    first, second = np.triu_indices(len(spec.antennas), 1)
    data = np.empty((spec.n_integrations, first.size, hz.size, 2), np.complex64)
    rfi_jy = np.empty(data.shape[:3], np.float32)
    for t, mjd in enumerate(spec.integration_mjd):
        heard = emitters.heard(t, hz)
        seen = np.einsum("efi,efj->fij", heard, heard.conj())[:, first, second].T
        if effects is not None:
            seen += effects.added(first, second, hz, float(mjd))
        rfi_jy[t] = np.abs(seen)
        ra, dec = (float(v) for v in drift.pointings[t])
        sky = true_visibilities(sources, ra, dec, drift.pointed_m[t], hz)
        seen += sky[:, first, second].T
        seen *= drift.turning(t, hz)
        rng = np.random.default_rng([seed, 2, t])
        data[t] = seen[..., None] + noise(rng, data.shape[1:], spec.noise_jy)
    return Contaminated(hz, data, rfi_jy, spec.noise_jy)


def ours(scene: Contaminated) -> Bools:
    """Return the platform's flags, shape (times, baselines, channels, 2)."""
    n = N_CHANNELS_PER_WINDOW
    windows = [
        WindowInMemory.of_grid(
            scene.frequencies_hz[k : k + n],
            np.ascontiguousarray(scene.data[:, :, k : k + n]),
            np.zeros((*scene.data.shape[:2], n, 2), np.bool_),
        )
        for k in range(0, scene.frequencies_hz.size, n)
    ]
    flag_interference_in_memory(windows)
    return np.concatenate([w.flag.reshape(w.shape) for w in windows], axis=2)


def aoflagger(scene: Contaminated) -> Bools:
    """Return AOFlagger's flags, shape (times, baselines, channels, 2)."""
    from importlib import import_module

    package: Any = import_module("aoflagger")
    flagger = package.AOFlagger()
    path = flagger.find_strategy_file(package.TelescopeId.Generic)
    strategy = flagger.load_strategy_file(path)
    n_times, n_baselines, n_channels, _ = scene.data.shape
    found = np.zeros(scene.data.shape, np.bool_)
    for baseline in range(n_baselines):
        images = flagger.make_image_set(n_times, n_channels, 4)
        for hand in range(2):
            values = scene.data[:, baseline, :, hand].T
            images.set_image_buffer(2 * hand, np.ascontiguousarray(values.real, np.float64))
            images.set_image_buffer(2 * hand + 1, np.ascontiguousarray(values.imag, np.float64))
        found[:, baseline] = strategy.run(images).get_buffer().T[..., None]
    return found


def compare_flaggers(
    scene: Contaminated, progress: Callable[[str], None] = print
) -> tuple[Flagged, ...]:
    """Flag the same data with each flagger that is installed.

    Parameters
    ----------
    scene : Contaminated
        The data; the first two integrations of them are flagged once before, for compilation.
    progress : callable
        Called with progress messages.
    """
    flaggers: dict[str, Callable[[Contaminated], Bools]] = {OURS: ours}
    if find_spec("aoflagger") is not None:
        flaggers[AOFLAGGER] = aoflagger
    ours(replace(scene, data=scene.data[:4, :8], rfi_jy=scene.rfi_jy[:4, :8]))
    results = []
    for name, flagger in flaggers.items():
        progress(f"flagging with {name}")
        began_s = time.process_time()
        flags = flagger(scene)
        results.append(_judged(name, scene, flags, time.process_time() - began_s))
    return tuple(results)


def _judged(name: str, scene: Contaminated, flags: Bools, cpu_s: float) -> Flagged:
    """Compare flags with the interference."""
    bad = scene.rfi_jy > _BAD_SIGMA * scene.noise_jy
    good = scene.rfi_jy < _GOOD_SIGMA * scene.noise_jy
    kept = ~flags
    power = (scene.rfi_jy.astype(np.float64) ** 2)[..., None] * kept
    left_jy = float(np.sqrt(power.sum() / max(1, kept.sum())))
    return Flagged(
        flagger=name,
        found=float(flags[bad].mean()),
        left=left_jy / (np.sqrt(2) * scene.noise_jy),
        lost=float(flags[good].mean()),
        cpu_s=cpu_s,
    )


FLAGGER_HEADINGS = ("flagger", "found", "left (noise)", "good data lost", "CPU (s)")


def flagger_rows(flagged: Sequence[Flagged]) -> list[tuple[str, ...]]:
    """Return one row for each flagger, under `FLAGGER_HEADINGS`."""
    return [
        (
            f.flagger,
            f"{100 * f.found:.2f} %",
            f"{f.left:.3f}",
            f"{100 * f.lost:.2f} %",
            f"{f.cpu_s:.1f}",
        )
        for f in flagged
    ]


if __name__ == "__main__":
    import sys

    made = contaminated(Size(sys.argv[1] if len(sys.argv) > 1 else "tiny"))
    share = float((made.rfi_jy > _BAD_SIGMA * made.noise_jy).mean())
    print(f"{made.data.size:,} visibilities, {100 * share:.1f} % with interference", flush=True)
    for row in flagger_rows(compare_flaggers(made)):
        print(" | ".join(row), flush=True)
