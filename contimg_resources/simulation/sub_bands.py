"""Write a simulated observation as the correlator does: 16 UVH5 files.

Belongs here: the correlator's header and datasets, visibilities without a phase centre.
Doesn't: simulating, reading (`contimg_resources.correlator`).

The layout is that of the public writer of the instrument: rows are appended to small chunks,
channels descend, UVW are in single precision, and each node names its file by its own clock.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import erfa  # type: ignore[import-untyped]
import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.core.arrays import Bools, Complexes, Floats
from contimg_resources.core.times import MJD_ZERO_JD, SECONDS_PER_DAY, datetime_from_mjd
from contimg_resources.correlator.phasing import Sky
from contimg_resources.instrument.dsa110 import (
    CASA_TELESCOPE,
    DISH_DIAMETER_M,
    HEIGHT_M,
    INTEGRATION_S,
    LATITUDE_DEG,
    LONGITUDE_DEG,
    N_SPECTRAL_WINDOWS,
    stations,
)
from contimg_resources.simulation.predict import Baselines
from contimg_resources.simulation.spec import DeadStyle, SimulationSpec, window_order

_NAME_STREAM = 9
#: UVH5's codes of XX and YY.
_POLARISATIONS = (-5, -6)


def sub_band_names(spec: SimulationSpec) -> tuple[str, ...]:
    """Return the names of the files by sub-band number; they differ by a second."""
    rng = np.random.default_rng([spec.seed, round(spec.start_mjd * 86_400_000.0), _NAME_STREAM])
    late_s = rng.integers(0, 2, N_SPECTRAL_WINDOWS)
    return tuple(
        f"{datetime_from_mjd(spec.start_mjd + s / SECONDS_PER_DAY):%Y-%m-%dT%H:%M:%S}"
        f"_sb{number:02d}.hdf5"
        for number, s in enumerate(late_s.tolist())
    )


def write_sub_bands(
    directory: Path,
    spec: SimulationSpec,
    pointings_deg: Floats,
    window_data: Callable[[int, int], Complexes],
    done: Callable[[int], None],
) -> None:
    """Write the 16 files of an observation.

    `pointings_deg` holds ICRS RA and Dec of the phase centres of `window_data`, shape
    (integrations, 2). This returns, for an integration and a spectral window id, the visibilities
    as an MS holds them, of shape (baselines, frequencies, 2). `done` is called with the number of
    integrations written.
    """
    baselines = Baselines.of(len(spec.antennas), spec.autocorrelations)
    jd = spec.integration_mjd + MJD_ZERO_JD
    sky = Sky.at(jd, (LONGITUDE_DEG, LATITUDE_DEG, HEIGHT_M))
    numbers = np.array([int(name) - 1 for name in spec.antennas])
    positions_m = _positions_m()
    ra_rad, dec_rad = np.radians(pointings_deg).T
    antennas_m = sky.antenna_uvw_m(ra_rad, dec_rad, positions_m[numbers])
    uvw_m = antennas_m[:, baselines.second] - antennas_m[:, baselines.first]
    dead = np.isin(spec.antennas, spec.dead_antennas)
    dead_rows = dead[baselines.first] | dead[baselines.second]
    places = {N_SPECTRAL_WINDOWS - 1 - int(p): w for w, p in enumerate(window_order(spec.seed))}
    pairs = (numbers[baselines.first], numbers[baselines.second])
    with ExitStack() as stack:
        files = [
            stack.enter_context(h5py.File(directory / name, "w")) for name in sub_band_names(spec)
        ]
        for number, file in enumerate(files):
            _write_header(file, spec, positions_m, spec.window_frequencies_hz[places[number]][::-1])
        for k in range(spec.n_integrations):
            for number, file in enumerate(files):
                block = window_data(k, places[number])
                if spec.dead_style is DeadStyle.ZERO:
                    block[dead_rows] = 0
                waves = uvw_m[k, :, 2, None] * spec.window_frequencies_hz[places[number]]
                turn = np.exp(2j * np.pi / speed_of_light * waves)
                # The signs of UVH5 and of an MS are opposite.
                drifting = (np.conj(block) * turn[:, :, None]).astype(np.complex64)
                flagged = dead_rows & (spec.dead_style is DeadStyle.FLAGGED)
                _append(file, drifting[:, None, ::-1], flagged, (jd[k], uvw_m[k], pairs))
            done(k + 1)


def _write_header(
    file: h5py.File, spec: SimulationSpec, positions_m: Floats, frequencies_hz: Floats
) -> None:
    header, data = file.create_group("Header"), file.create_group("Data")
    every = stations()
    n_antennas, n_channels = len(spec.antennas), frequencies_hz.size
    n_baselines = Baselines.of(n_antennas, spec.autocorrelations).first.size
    declination_rad = np.radians(spec.apparent_declination_deg)
    stated: dict[str, Any] = {
        "latitude": LATITUDE_DEG,
        "longitude": LONGITUDE_DEG,
        "altitude": HEIGHT_M,
        "telescope_name": np.bytes_(CASA_TELESCOPE),
        "instrument": np.bytes_("DSA"),
        "object_name": np.bytes_("search"),
        "history": np.bytes_("simulated by contimg"),
        "phase_type": np.bytes_("drift"),
        "phase_center_app_dec": declination_rad,
        "Nants_data": n_antennas,
        "Nants_telescope": len(every),
        "antenna_diameters": np.full(len(every), DISH_DIAMETER_M),
        "antenna_names": np.array([s.name for s in every], "S4"),
        "antenna_numbers": np.arange(len(every)),
        "antenna_positions": positions_m,
        "Nbls": n_baselines,
        "Nblts": n_baselines * spec.n_integrations,
        "Nfreqs": n_channels,
        "Npols": len(_POLARISATIONS),
        "Ntimes": spec.n_integrations,
        "Nspws": 1,
        "freq_array": frequencies_hz[None],
        "channel_width": spec.channel_width_hz,
        "spw_array": np.array([1]),
        "polarization_array": np.array(_POLARISATIONS),
    }
    for name, value in stated.items():
        header[name] = value
    extra = header.create_group("extra_keywords")
    extra["phase_center_dec"] = declination_rad
    extra["ha_phase_center"] = 0.0
    extra["phase_center_epoch"] = 2000
    for name, dtype in (("ant_1_array", np.int64), ("ant_2_array", np.int64)):
        header.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=True)
    for name in ("time_array", "integration_time"):
        header.create_dataset(name, (0,), np.float64, maxshape=(None,), chunks=True)
    header.create_dataset("uvw_array", (0, 3), np.float32, maxshape=(None, 3), chunks=True)
    cell = (1, n_channels, len(_POLARISATIONS))
    kinds = {"visdata": np.complex64, "flags": np.bool_, "nsamples": np.float32}
    for name, kind in kinds.items():
        data.create_dataset(name, (0, *cell), kind, maxshape=(None, *cell), chunks=True)


def _append(
    file: h5py.File, visibilities: NDArray[Any], flagged: Bools, rows: tuple[Any, ...]
) -> None:
    """Append an integration."""
    jd, uvw_m, (first, second) = rows
    n, shape = flagged.size, visibilities.shape
    appended = {
        "Header/time_array": np.full(n, jd),
        "Header/integration_time": np.full(n, INTEGRATION_S),
        "Header/ant_1_array": first,
        "Header/ant_2_array": second,
        "Header/uvw_array": uvw_m,
        "Data/visdata": visibilities,
        "Data/flags": np.broadcast_to(flagged[:, None, None, None], shape),
        "Data/nsamples": np.ones(shape, np.float32),
    }
    for name, values in appended.items():
        dataset = file[name]
        dataset.resize(dataset.shape[0] + n, axis=0)
        dataset[-n:] = values


def _positions_m() -> Floats:
    """Return ITRF positions of all stations relative to the array centre, metres.

    North and up are those of CASA's simulator, which takes the *geocentric* latitude for local
    coordinates: the visibilities are predicted for the antennas that it places.
    """
    centre_m = erfa.gd2gc(1, np.radians(LONGITUDE_DEG), np.radians(LATITUDE_DEG), HEIGHT_M)
    up = centre_m / np.linalg.norm(centre_m)
    east = np.cross([0.0, 0.0, 1.0], up)
    east /= np.linalg.norm(east)
    offsets_m = np.array([(s.east_m, s.north_m, s.up_m) for s in stations()])
    return np.asarray(offsets_m @ np.stack([east, np.cross(up, east), up]), np.float64)
