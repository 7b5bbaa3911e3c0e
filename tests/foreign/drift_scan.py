"""A drift scan as the instrument's own converter delivers it, made without the project's code.

Belongs here: a sky, an array with unknown gains, and the MS and UVH5 files that pyuvdata writes
of them. Apparent
places and the meridian are astropy's; UVW, phase centres, names and columns are pyuvdata's; the
visibilities are a plain sum over point sources. Nothing of contimg is imported, so that what it
makes of such a file is judged by somebody else.
"""

import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numba
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta
from astropy.utils import iers
from numpy.typing import NDArray
from pyuvdata import Telescope, UVData, utils
from scipy.special import j1

Floats = NDArray[np.float64]

#: Where the stations stand: data, no code.
STATIONS = Path(__file__).parents[2] / "contimg_resources" / "instrument" / "stations.csv"

iers.conf.auto_download = False

OUTRIGGERS = ("103", "104", "105", "106", "108", "115", "116")
LIGHT_M_PER_S = 299_792_458.0
LATITUDE_DEG = 37.2334051
SITE = EarthLocation.from_geodetic(-118.2830 * u.deg, LATITUDE_DEG * u.deg, 1188.05 * u.m)
INTEGRATION_S = 12.884902
N_WINDOWS = 16
LOWEST_HZ = 1311.372e6 - 0.5 * 244140.625
WINDOW_HZ = 48 * 244140.625
REFERENCE_HZ = 1.4e9
SEFD_JY = 6000.0
DISH_M, BLOCKED_M = 4.65, 0.4064
#: Of what the beam leaves of a source; fainter ones are below the thermal noise.
FAINTEST_JY = 5e-4

#: 3C286, and its flux density after Perley & Butler (2017, table 6): log10 S[Jy] over log10 GHz.
CALIBRATOR = (202.7845342, 30.5091552)
CALIBRATOR_LOG = (1.2481, -0.4507, -0.1798, 0.0357)
#: Two observations half an hour apart, the first over the calibrator.
STARTS = ("2025-10-06T20:19:54", "2025-10-06T20:50:49")
DEC_DEG = 30.40
RA_DEG = (202.8, 210.6)


@dataclass(frozen=True)
class Sky:
    """Point sources: ICRS degrees, Jy at `REFERENCE_HZ`, spectral index; each of shape (n,)."""

    ra_deg: Floats
    dec_deg: Floats
    flux_jy: Floats
    index: Floats

    def surveyed(
        self, rng: np.random.Generator
    ) -> Iterator[tuple[str, float, float, float, float]]:
        """Yield what a survey lists: name, position (ICRS degrees), Jy, and at how many GHz.

        Sources above 2.5 mJy; positions are off by 0.3 arcsec, flux densities by 3 %.
        """
        yield ("calibrator", *CALIBRATOR, float(calibrator_jy(REFERENCE_HZ)), REFERENCE_HZ / 1e9)
        for k in np.flatnonzero(self.flux_jy > 2.5e-3):
            east, north = rng.normal(0, 0.3 / 3600, 2)
            yield (
                f"S{k:05d}",
                float(self.ra_deg[k] + east / np.cos(np.deg2rad(self.dec_deg[k]))),
                float(self.dec_deg[k] + north),
                float(self.flux_jy[k] * rng.normal(1, 0.03)),
                REFERENCE_HZ / 1e9,
            )


def calibrator_jy(hz: Any) -> Any:
    """Return the flux density of the calibrator at a frequency (Hz), Jy."""
    log = np.log10(np.asarray(hz) / 1e9)
    return 10 ** sum(a * log**k for k, a in enumerate(CALIBRATOR_LOG))


def draw_sky(rng: np.random.Generator, reach_deg: float = 2.6) -> Sky:
    """Draw sources of 1 mJy to 0.8 Jy with the counts of 1.4 GHz surveys, around the scans."""
    flux = np.array([1e-3, 2.5e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0])
    per_deg2 = np.array([110, 50, 19, 7.4, 2.0, 0.45, 0.08])
    stretch = 1 / np.cos(np.deg2rad(DEC_DEG + reach_deg))
    low, high = RA_DEG[0] - reach_deg * stretch, RA_DEG[1] + reach_deg * stretch
    bottom, top = np.deg2rad(DEC_DEG - reach_deg), np.deg2rad(DEC_DEG + reach_deg)
    area_deg2 = (high - low) * np.rad2deg(np.sin(top) - np.sin(bottom))
    n = int(rng.poisson(per_deg2[0] * area_deg2))
    counts = np.maximum(rng.uniform(0, per_deg2[0], n), 0.1)
    drawn = np.exp(np.interp(-np.log(counts), -np.log(per_deg2), np.log(flux)))
    return Sky(
        rng.uniform(low, high, n),
        np.rad2deg(np.arcsin(rng.uniform(np.sin(bottom), np.sin(top), n))),
        np.minimum(drawn, 0.8),
        rng.normal(-0.75, 0.25, n),
    )


class Array:
    """Some stations of the instrument and their unknown, slowly drifting gains.

    Parameters
    ----------
    rng : numpy.random.Generator
        For the gains.
    n_an_arm : int
        How many of the active ones of each arm observe, at most.
    """

    def __init__(self, rng: np.random.Generator, n_an_arm: int = 17) -> None:
        with STATIONS.open() as stream:
            active = [s for s in csv.DictReader(stream) if s["active"] == "1"]
        # Both arms, thinned out, and outriggers that round the beam.
        arms = (
            [s for s in active if int(s["station"]) <= 51],
            [s for s in active if 68 <= int(s["station"]) <= 102],
        )
        spread = np.linspace(0, 1, n_an_arm) ** 1.6
        chosen = [
            arm[k] for arm in arms for k in np.unique(np.round((len(arm) - 1) * spread).astype(int))
        ]
        chosen += [s for s in active if s["station"] in OUTRIGGERS]
        self.names = [s["station"] for s in chosen]
        self.enu_m = np.array(
            [[float(s[f"{k}_m"]) for k in ("east", "north", "up")] for s in chosen]
        )
        n = len(chosen)
        self.delay_s = rng.normal(0, 8e-9, (n, 2))
        self.amplitude = 1 + rng.normal(0, 0.15, (n, 2))
        self.phase = rng.uniform(0, 2 * np.pi, (n, 2))
        self.ripple = rng.normal(0, 0.04, (n, 2, 3))
        self.drift = rng.normal(0, np.deg2rad(5), (n, 2))

    def gains(self, mjd: float, hz: Floats, p: int) -> NDArray[np.complex128]:
        """Return the gains of one polarisation, shape (n_stations, n_channels)."""
        x = (hz - 1.405e9) / 187.5e6
        shape = 1 + sum(
            self.ripple[:, p, k, None] * np.cos(np.pi * (k + 1) * (x + 0.5)) for k in range(3)
        )
        phase = self.phase[:, p] + self.drift[:, p] * np.sin(2 * np.pi * mjd / 0.7)
        turned = phase[:, None] + 2 * np.pi * self.delay_s[:, p, None] * (hz - 1.405e9)
        return np.asarray(self.amplitude[:, p, None] * shape * np.exp(1j * turned))


@numba.njit(fastmath=True, cache=True)
def _add_sources(baselines_m, toward, apparent_jy, lowest_hz, step_hz, out):  # type: ignore[no-untyped-def]
    """Add point sources of (source, channel) to visibilities of (baseline, channel)."""
    for b in range(baselines_m.shape[0]):
        for s in range(toward.shape[0]):
            delay = 2 * np.pi * (baselines_m[b] * toward[s]).sum() / 299792458.0
            step = complex(np.cos(delay * step_hz), np.sin(delay * step_hz))
            turn = complex(np.cos(delay * lowest_hz), np.sin(delay * lowest_hz))
            for c in range(out.shape[1]):
                out[b, c] += turn * apparent_jy[s, c]
                turn *= step


def _beam(off_axis_rad: Floats, hz: Floats) -> Floats:
    """Return the power pattern of a blocked aperture, shape (n_sources, n_frequencies)."""
    share = BLOCKED_M / DISH_M
    x = np.pi * DISH_M * np.sin(off_axis_rad)[:, None] * hz / LIGHT_M_PER_S
    x = np.maximum(x, 1e-9)
    voltage = (2 * j1(x) / x - share**2 * 2 * j1(share * x) / (share * x)) / (1 - share**2)
    return np.asarray(voltage**2)


def observe(
    array: Array,
    sky: Sky,
    start: str,
    rng: np.random.Generator,
    *,
    n_channels: int = 8,
    n_integrations: int = 24,
    phased: bool = True,
) -> UVData:
    """Observe what crosses the meridian at the apparent declination `DEC_DEG`.

    Returns
    -------
    UVData
        16 windows in scrambled order, XX and YY; if `phased`, each integration with its own phase
        centre ``meridian_icrs_tN``, as the instrument's converter makes it, and without a phase
        centre else, as the correlator does.
    """
    after = (np.arange(n_integrations) + 0.5) * INTEGRATION_S
    times = Time(start, scale="utc") + TimeDelta(after, format="sec")
    numbers = np.array([int(name) - 1 for name in array.names])
    center = np.array([c.to_value("m") for c in SITE.geocentric])
    telescope = Telescope.new(
        name="OVRO_MMA",
        instrument="DSA",
        location=SITE,
        antenna_positions=utils.ECEF_from_ENU(array.enu_m, center_loc=SITE) - center,
        antenna_names=array.names,
        antenna_numbers=numbers,
        antenna_diameters=np.full(numbers.size, DISH_M),
        mount_type="fixed",
        x_orientation="east",
        feeds=["x", "y"],
    )
    width_hz = WINDOW_HZ / n_channels
    # Windows follow one another on the sky's side, and come out of the correlator in any order.
    order = rng.permutation(N_WINDOWS)
    ascending_hz = LOWEST_HZ + width_hz * (0.5 + np.arange(N_WINDOWS * n_channels))
    channels_hz = ascending_hz.reshape(N_WINDOWS, n_channels)
    i, j = np.triu_indices(numbers.size, 1)
    baselines_m = array.enu_m[j] - array.enu_m[i]
    data = UVData.new(
        freq_array=channels_hz[order].ravel(),
        channel_width=np.full(channels_hz.size, width_hz),
        polarization_array=[-5, -6],
        telescope=telescope,
        times=times.jd,
        integration_time=INTEGRATION_S,
        antpairs=np.stack([numbers[i], numbers[j]], axis=1),
        do_blt_outer=True,
        time_axis_faster_than_bls=False,
        spw_array=np.arange(N_WINDOWS),
        flex_spw_id_array=np.repeat(np.arange(N_WINDOWS), n_channels),
    )
    places = SkyCoord(
        np.append(sky.ra_deg, CALIBRATOR[0]), np.append(sky.dec_deg, CALIBRATOR[1]), unit="deg"
    )
    jy = sky.flux_jy[:, None, None] * (channels_hz / REFERENCE_HZ) ** sky.index[:, None, None]
    jy = np.concatenate([jy, calibrator_jy(channels_hz)[None]])
    altitude = np.deg2rad(90 - (LATITUDE_DEG - DEC_DEG))
    pointing = np.array([0, -np.cos(altitude), np.sin(altitude)])
    noise_jy = SEFD_JY / np.sqrt(2 * width_hz * INTEGRATION_S)
    vis = np.empty((n_integrations, i.size, channels_hz.size, 2), np.complex64)
    for k, time in enumerate(times):
        above = places.transform_to(AltAz(obstime=time, location=SITE))
        alt, az = above.alt.rad, above.az.rad
        toward = np.stack([np.cos(alt) * np.sin(az), np.cos(alt) * np.cos(az), np.sin(alt)], axis=1)
        beam = _beam(np.arccos(np.clip(toward @ pointing, -1, 1)), channels_hz.mean(axis=1))
        apparent_jy = (jy * beam[:, :, None]).reshape(len(jy), -1)
        seen = apparent_jy.max(axis=1) > FAINTEST_JY
        out = np.zeros((i.size, ascending_hz.size), np.complex128)
        lowest_hz = ascending_hz[0]
        _add_sources(baselines_m, toward[seen], apparent_jy[seen], lowest_hz, width_hz, out)
        for p in range(2):
            gain = array.gains(time.mjd, np.asarray(ascending_hz, np.float64), p)
            mixed = (out * gain[i] * gain[j].conj()).reshape(i.size, N_WINDOWS, n_channels)
            vis[k, ..., p] = mixed[:, order].reshape(i.size, -1)
    vis += rng.normal(0, noise_jy, vis.shape) + 1j * rng.normal(0, noise_jy, vis.shape)
    data.data_array = vis.reshape(-1, channels_hz.size, 2)
    data.flag_array = np.zeros(data.data_array.shape, bool)
    data.nsample_array = np.ones(data.data_array.shape, np.float32)
    if not phased:
        data.extra_keywords["phase_center_dec"] = float(np.deg2rad(DEC_DEG))
        return data
    meridian = SkyCoord(
        AltAz(alt=altitude * u.rad, az=np.pi * u.rad, obstime=times, location=SITE)
    ).icrs
    for k, time in enumerate(times):
        data.phase(
            lon=meridian[k].ra.rad,
            lat=meridian[k].dec.rad,
            cat_name=f"meridian_icrs_t{k}",
            cat_type="sidereal",
            phase_frame="icrs",
            select_mask=np.isclose(data.time_array, time.jd, rtol=0, atol=1e-8),
        )
    return data


def write_ms(data: UVData, path: Path) -> Path:
    """Write an MS as pyuvdata does, its own warnings aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_ms(str(path), clobber=True)
    return path


def write_sub_bands(data: UVData, start: str, directory: Path) -> list[Path]:
    """Write a file for each window of an observation without phase centres, channels descending.

    Each node of the correlator names its file by its own clock, up to a minute off.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for window in range(N_WINDOWS):
        part = data.select(spws=[window], inplace=False)
        part.reorder_freqs(channel_order="-freq")
        part.spw_array, part.flex_spw_id_array = np.array([0]), np.zeros(part.Nfreqs, int)
        below_hz = LOWEST_HZ + N_WINDOWS * WINDOW_HZ - part.freq_array.mean()
        number = int(below_hz // WINDOW_HZ)
        late = Time(start, scale="utc") + TimeDelta(7 * number % 23, format="sec")
        path = directory / f"{late.isot[:19]}_sb{number:02d}.hdf5"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part.write_uvh5(str(path), clobber=True)
        paths.append(path)
    return paths
