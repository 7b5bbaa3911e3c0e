"""Sub-band files of another hand: pyuvdata writes them, and judges what is made of them."""

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import h5py
import numpy as np
from astropy.coordinates import HADec, SkyCoord
from astropy.time import Time, TimeDelta
from astropy.utils import iers
from pyuvdata import Telescope, UVData, utils

from tests.foreign.drift_scan import INTEGRATION_S, SITE, STATIONS, WINDOW_HZ

iers.conf.auto_download = False

TOP_HZ = 1498.628e6 + 0.5 * 244140.625
START = "2025-10-06T20:19:54"
#: Of both arms and the outriggers.
NAMES = ("1", "2", "9", "30", "51", "70", "102", "103", "116")


@dataclass(frozen=True)
class Written:
    """How the files of an observation differ from the correlator's usual ones."""

    start: str = START
    declination_deg: float = 30.4
    names: tuple[str, ...] = NAMES
    n_channels: int = 4
    n_integrations: int = 3
    sub_bands: tuple[int, ...] = tuple(range(16))
    polarisations: tuple[int, ...] = (-5, -6)
    autocorrelations: bool = False
    order: str = "ascending"
    seed: int = 5


def telescope(names: tuple[str, ...]) -> Telescope:
    with STATIONS.open() as stream:
        every = {s["station"]: s for s in csv.DictReader(stream)}
    enu_m = np.array([[float(every[n][f"{k}_m"]) for k in ("east", "north", "up")] for n in names])
    center = np.array([c.to_value("m") for c in SITE.geocentric])
    return Telescope.new(
        name="OVRO_MMA",
        instrument="DSA",
        location=SITE,
        antenna_positions=utils.ECEF_from_ENU(enu_m, center_loc=SITE) - center,
        antenna_names=list(names),
        antenna_numbers=np.array([int(n) - 1 for n in names]),
        antenna_diameters=np.full(len(names), 4.65),
        mount_type="fixed",
        x_orientation="east",
        feeds=["x", "y"],
    )


def drift(how: Written) -> UVData:
    """Make sub-band 0 without visibilities and without a phase centre; channels descend."""
    after = TimeDelta((np.arange(how.n_integrations) + 0.5) * INTEGRATION_S, format="sec")
    times = Time(how.start, scale="utc") + after
    width_hz = WINDOW_HZ / how.n_channels
    hz = TOP_HZ - width_hz * (np.arange(how.n_channels) + 0.5)
    numbers = np.array([int(n) - 1 for n in how.names])
    i, j = np.triu_indices(numbers.size, 0 if how.autocorrelations else 1)
    if how.order == "descending":
        i, j = j, i
    if how.order == "mixed":
        swap = (i + j) % 2 == 1
        i, j = np.where(swap, j, i), np.where(swap, i, j)
    data = UVData.new(
        freq_array=hz,
        channel_width=np.full(hz.size, width_hz),
        polarization_array=list(how.polarisations),
        telescope=telescope(how.names),
        times=times.jd,
        integration_time=INTEGRATION_S,
        antpairs=np.stack([numbers[i], numbers[j]], axis=1),
        do_blt_outer=True,
        time_axis_faster_than_bls=False,
    )
    data.extra_keywords["phase_center_dec"] = float(np.radians(how.declination_deg))
    return data


def fill(data: UVData, how: Written, number: int) -> None:
    """Make it another sub-band, of noise."""
    first_hz = TOP_HZ - WINDOW_HZ * (number + 0.5 / how.n_channels)
    data.freq_array = first_hz - WINDOW_HZ / how.n_channels * np.arange(how.n_channels)
    rng = np.random.default_rng([how.seed, number])
    shape = (data.Nblts, how.n_channels, len(how.polarisations))
    vis = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    alone = data.ant_1_array == data.ant_2_array
    vis[alone] = 6000 + vis[alone].real
    data.data_array = vis.astype(np.complex64)
    data.flag_array = rng.uniform(size=shape) < 0.05
    if how.order == "mixed":
        # Of exchanged antennas pyuvdata exchanges XY and YX in the visibilities, not in the flags.
        data.flag_array[...] = data.flag_array[:, :, :1]
    data.nsample_array = np.ones(shape, np.float32)
    data.nsample_array[::3] = 0.5
    data.nsample_array[1::5, :1] = 0.25


def write(directory: Path, how: Written) -> list[Path]:
    """Write sub-bands with pyuvdata, under names in no order."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    data = drift(how)
    for number in how.sub_bands:
        fill(data, how, number)
        path = directory / f"{(number * 7) % 16:02d}-of-{how.start}_sb{number:02d}.hdf5"
        data.write_uvh5(str(path), clobber=True, run_check=False)
        paths.append(path)
    return paths


def as_the_correlator(path: Path, declination_deg: float) -> None:
    """Rewrite a file of pyuvdata's with the header and the shapes of the correlator's."""
    old = path.with_name(f".{path.name}.old")
    path.rename(old)
    with h5py.File(old) as given, h5py.File(path, "w") as made:
        header, data = made.create_group("Header"), made.create_group("Data")
        kept = (
            *("latitude", "longitude", "altitude", "telescope_name", "instrument"),
            *("Nants_data", "Nants_telescope", "Nbls", "Nblts", "Nfreqs", "Npols", "Ntimes"),
            *("antenna_names", "antenna_numbers", "antenna_positions", "antenna_diameters"),
            *("ant_1_array", "ant_2_array", "time_array", "integration_time"),
            *("polarization_array", "Nspws", "history"),
        )
        for name in kept:
            header[name] = given["Header"][name][()]
        header["object_name"] = np.bytes_("search")
        header["phase_type"] = np.bytes_("drift")
        header["phase_center_app_dec"] = np.radians(declination_deg)
        header["freq_array"] = given["Header"]["freq_array"][()][None]
        header["channel_width"] = float(given["Header"]["channel_width"][0])
        header["spw_array"] = np.array([1])
        header["uvw_array"] = given["Header"]["uvw_array"][()].astype(np.float32)
        header.create_group("extra_keywords")["ha_phase_center"] = 0.0
        for name in ("visdata", "flags", "nsamples"):
            cells = given["Data"][name][()][:, None]
            data.create_dataset(
                name, data=cells, chunks=(16, 1, 2, 1), maxshape=(None, *cells.shape[1:])
            )
    old.unlink()


def judged_ms(paths: list[Path], ms: Path, ra_rad: Any, dec_rad: Any) -> None:
    """Read, phase every integration and write an MS, all with pyuvdata."""
    parts = []
    for path in paths:
        part = UVData.from_file(str(path), file_type="uvh5", run_check=False)
        number = int(path.stem[-2:])
        part.uvw_array = part.uvw_array.astype(np.float64)
        part.reorder_freqs(channel_order="freq", run_check=False)
        part.spw_array = np.array([number])
        part.flex_spw_id_array = np.full(part.Nfreqs, number)
        parts.append(part)
    parts.sort(key=lambda p: int(p.spw_array[0]))
    whole = parts[0]
    if len(parts) > 1:
        whole = parts[0].fast_concat(parts[1:], "freq", run_check=False)
    for k, jd in enumerate(np.unique(whole.time_array)):
        whole.phase(
            lon=ra_rad[k],
            lat=dec_rad[k],
            cat_name=f"meridian_icrs_t{k}",
            cat_type="sidereal",
            phase_frame="icrs",
            select_mask=whole.time_array == jd,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.write_ms(str(ms), clobber=True, run_check=False)


def columns(ms: Path, table: str = "") -> dict[str, Any]:
    """Read a table with casacore, columns with different cells aside."""
    from casacore.tables import table as opened

    found = {}
    with opened(str(ms / table) if table else str(ms), ack=False) as t:
        for name in t.colnames():
            try:
                found[name] = np.asarray(t.getcol(name))
            except RuntimeError:
                continue
    return found


def meridian(time_mjd: Any, declination_deg: float) -> Any:
    """Return where the dishes point, in ICRS, by astropy."""
    hadec = HADec(
        ha=0 * u.rad,
        dec=declination_deg * u.deg,
        obstime=Time(time_mjd, format="mjd", scale="utc"),
        location=SITE,
    )
    return SkyCoord(hadec).icrs
