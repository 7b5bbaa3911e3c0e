"""One simulated observation: an MS or sub-bands, and their truth, from a specification.

Belongs here: combining sky, gains, noise and MeasurementSet, completely or not at all.
Doesn't: nights (see `contimg_resources.simulation.night`).
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Complexes, Floats
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.progress import report_progress
from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.core.trees import remove_tree
from contimg_resources.observations.settling import done_marker
from contimg_resources.simulation import measurement_set
from contimg_resources.simulation.effects import draw_effects
from contimg_resources.simulation.gains import draw_gains
from contimg_resources.simulation.meridian import meridian_direction_deg
from contimg_resources.simulation.outliers import FarSidelobes, above_horizon
from contimg_resources.simulation.predict import (
    Baselines,
    draw_interference,
    noise,
    window_visibilities,
)
from contimg_resources.simulation.sky import sources_near
from contimg_resources.simulation.spec import FileFormat, SimulationSpec
from contimg_resources.simulation.sub_bands import sub_band_names, write_sub_bands
from contimg_resources.simulation.truth import describe_truth, truth_paths

_NOISE_STREAM = 4


@dataclass(frozen=True)
class SimulationRequest:
    """A request to simulate an observation."""

    spec: SimulationSpec  #: The observation.
    directory: Path  #: Directory for the MS and its truth; created if missing.
    done_marker: bool = False  #: Whether an empty file ``<stem>.ms.done`` marks the complete MS.
    #: Whether an existing MS or sub-band file of that name may be replaced.
    overwrite: bool = False
    file_format: FileFormat = FileFormat.MS  #: Whether to write an MS or sub-band files.


@dataclass(frozen=True)
class SimulatedObservation:
    """The files of a simulated observation."""

    #: `ms`, `truth`, `gains`: The MS, its truth (JSON) and its gains (npz). Of sub-bands no MS is
    #: written: it is the one that the platform would make of them.
    ms: Path
    truth: Path
    gains: Path
    mid_mjd: float  #: Middle of the observation, MJD in days.
    #: Number of visibilities written, over cross-correlations and polarisations.
    n_visibilities: int
    elapsed_s: float  #: Elapsed time, seconds.
    #: The sub-band files, by number; none where an MS was written.
    sub_bands: tuple[Path, ...] = ()


def observation_name(start_mjd: float) -> str:
    """Return the stem of an observation's files, its start in UTC: ``2025-10-06T12:36:09``."""
    return datetime_from_mjd(start_mjd).strftime("%Y-%m-%dT%H:%M:%S")


def pointings_deg(spec: SimulationSpec) -> Floats:
    """Return ICRS RA and Dec of each integration's field, degrees, shape (integrations, 2)."""
    declination = spec.apparent_declination_deg
    return np.array([meridian_direction_deg(declination, float(t)) for t in spec.integration_mjd])


def simulate_observation(request: SimulationRequest) -> SimulatedObservation:
    """Simulate one observation; runs in a CASA process.

    The files are ``<stem>.ms`` or 16 ``*_sbNN.hdf5``, ``<stem>.truth.json`` and
    ``<stem>.gains.npz``.

    Raises
    ------
    ConfigurationError
        If an MS or a sub-band file of that name exists and may not be replaced.
    """
    began = time.monotonic()
    spec = request.spec
    request.directory.mkdir(parents=True, exist_ok=True)
    ms = request.directory / f"{observation_name(spec.start_mjd)}.ms"
    sub_bands = (
        tuple(request.directory / name for name in sub_band_names(spec))
        if request.file_format is FileFormat.UVH5
        else ()
    )
    there = next((path for path in sub_bands or (ms,) if path.exists()), None)
    if there is not None and not request.overwrite:
        raise ConfigurationError(f"{there} is already there; it is replaced only when asked to")
    partial = ms.with_name(f".{ms.name}.writing")
    remove_tree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _simulate_into(partial, spec, ms.name, request.file_format)
        marker = done_marker(ms)
        if not sub_bands:
            marker.unlink(missing_ok=True)
            if ms.exists():
                ms.rename(partial / "replaced.ms")
        for made, kept in zip(truth_paths(partial / ms.name), truth_paths(ms), strict=True):
            made.rename(kept)
        # The data appear last, so that their truth exists by then.
        for place in sub_bands or (ms,):
            (partial / place.name).rename(place)
        if request.done_marker and not sub_bands:
            marker.touch()
    finally:
        remove_tree(partial, ignore_errors=True)
    n_baselines = Baselines.of(len(spec.antennas), spec.autocorrelations).first.size
    truth, gains = truth_paths(ms)
    return SimulatedObservation(
        ms=ms,
        truth=truth,
        gains=gains,
        mid_mjd=spec.mid_mjd,
        n_visibilities=n_baselines * spec.n_integrations * spec.window_frequencies_hz.size * 2,
        elapsed_s=time.monotonic() - began,
        sub_bands=sub_bands,
    )


def _simulate_into(
    directory: Path, spec: SimulationSpec, ms_name: str, file_format: FileFormat
) -> None:
    pointings = pointings_deg(spec)
    sources = sources_near(spec.sky, spec.seed, pointings[:, 0], pointings[:, 1])
    gains = draw_gains(spec.gains, spec.seed, spec.antennas)
    effects = draw_effects(spec)
    far = spec.sky.outliers
    sidelobes = None if far is None else FarSidelobes.of(far, spec.seed, spec.antennas)
    above = [() if far is None else above_horizon(far, float(t)) for t in spec.integration_mjd]
    truth = describe_truth(ms_name, spec, pointings, sources, gains, effects)
    truth.save(*truth_paths(directory / ms_name))
    report_progress(f"{ms_name}: writing subtables", 0.0)
    antenna_uvw = measurement_set.write_skeleton(directory / ms_name, spec, pointings)

    windows_hz = spec.window_frequencies_hz
    baselines = Baselines.of(len(spec.antennas), spec.autocorrelations)
    # Milliseconds of the start time vary noise and interference within a night.
    drawn_from = (spec.seed, round(spec.start_mjd * 86_400_000.0))
    ranks = np.argsort(np.argsort(windows_hz.ravel())).reshape(windows_hz.shape)
    interference = (
        draw_interference(
            spec.rfi,
            drawn_from,
            np.sort(windows_hz.ravel()),
            spec.n_integrations,
            len(spec.antennas),
        )
        if spec.rfi is not None
        else None
    )
    dead = np.isin(spec.antennas, spec.dead_antennas)
    alone = baselines.first == baselines.second
    silent = dead[baselines.first] | dead[baselines.second]

    def window_data(integration: int, window: int) -> Complexes:
        pointing = pointings[integration]
        seen = window_visibilities(
            sources,
            (float(pointing[0]), float(pointing[1])),
            antenna_uvw[integration],
            baselines,
            gains,
            windows_hz[window],
            float(spec.integration_mjd[integration]),
            None if interference is None else (interference, integration, ranks[window]),
            effects,
            None if sidelobes is None else (above[integration], sidelobes),
        )
        seen[silent] = 0
        if spec.sefd_jy > 0:
            rng = np.random.default_rng([*drawn_from, _NOISE_STREAM, integration, window])
            seen += noise(rng, seen.shape, spec.noise_jy)
            # An autocorrelation: real, and added to the power of the antenna's own system noise.
            seen[alone] = seen[alone].real + np.float32(spec.sefd_jy)
        return seen

    def done(n: int) -> None:
        report_progress(f"{ms_name}: integration {n}", n / spec.n_integrations)

    if file_format is FileFormat.UVH5:
        write_sub_bands(directory, spec, pointings, window_data, done)
    else:
        measurement_set.fill(directory / ms_name, spec, window_data, done)
