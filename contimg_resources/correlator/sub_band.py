"""Read one sub-band file: UVH5, which is HDF5 with the header of pyuvdata's memo.

Belongs here: the header that decides to which observation a file belongs, and its checks.
Doesn't: rows and antennas (`contimg_resources.correlator.layout`), comparing sub-bands with one
another (`contimg_resources.correlator.arrival`).

Two kinds of headers exist: the correlator's (``phase_type`` is ``drift``, one axis more for
spectral windows) and that of pyuvdata's writer (``phase_center_catalog``). Both hold visibilities
without a phase centre: the delay of a plane wave is still in them.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.correlator.uvh5 import (
    MOST_SAMPLES,
    Floats,
    count,
    dataset,
    mjd_from_jd,
    numbers,
    one_number,
    opened_sub_band,
    refused,
    text,
)
from contimg_resources.instrument.dsa110 import (
    CHANNEL_WIDTH_HZ,
    FREQUENCY_MAX_HZ,
    N_CHANNELS_PER_WINDOW,
    N_SPECTRAL_WINDOWS,
)

#: Width of a sub-band, and the upper edge of sub-band 0, which is the highest.
SUB_BAND_HZ = CHANNEL_WIDTH_HZ * N_CHANNELS_PER_WINDOW
TOP_HZ = FREQUENCY_MAX_HZ + 0.5 * CHANNEL_WIDTH_HZ

#: Limits of a plausible header: above them a number is damaged, and its arrays fill the memory.
MOST_ANTENNAS = 4096
_MOST_INTEGRATIONS = 100_000
_MOST_CHANNELS = 65_536

#: UVH5's codes of polarisations are AIPS's.
POLARISATIONS = {-5: "XX", -6: "YY", -7: "XY", -8: "YX", -1: "RR", -2: "LL", -3: "RL", -4: "LR"}


@dataclass(frozen=True, slots=True)
class SubBand:
    """The header of a sub-band file, as far as it decides to which observation it belongs."""

    path: Path  #: The file.
    number: int  #: Sub-band number, 0 (highest frequencies) to 15, from its frequencies.
    first_mjd: float  #: Middle of the first integration, MJD in days (UTC).
    last_mjd: float  #: Middle of the last integration, MJD in days (UTC).
    integration_s: float  #: Duration of an integration, seconds.
    #: `n_integrations`, `n_baselines`, `n_antennas`, `n_channels`: Numbers of integrations, of
    #: baselines with data, of antennas with data, of channels.
    n_integrations: int
    n_baselines: int
    n_antennas: int
    n_channels: int
    #: `low_hz`, `high_hz`: Centres of the lowest and the highest channel, Hz.
    low_hz: float
    high_hz: float
    channel_width_hz: float  #: Width of a channel, Hz.
    polarisations: tuple[str, ...]  #: Names of the polarisations, in the file's order.
    #: Apparent declination of the dishes, degrees; NaN where the header doesn't state it.
    declination_deg: float
    telescope: str  #: Telescope name.

    @property
    def begin_mjd(self) -> float:
        """Start of the first integration, MJD in days."""
        return self.first_mjd - 0.5 * self.integration_s / SECONDS_PER_DAY

    @property
    def end_mjd(self) -> float:
        """End of the last integration, MJD in days."""
        return self.last_mjd + 0.5 * self.integration_s / SECONDS_PER_DAY


def read_sub_band(path: Path) -> SubBand:
    """Read the header of a sub-band file, without its long arrays.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    UnreadableSubBand
        If it is truncated, no UVH5, phased already, or its header is implausible.
    ObservationNotSettled
        If a process has it open for writing.
    """
    with opened_sub_band(path) as file:
        return header_of(file, path)


def header_of(file: h5py.File, path: Path) -> SubBand:
    """Return the header of an open sub-band file; see `read_sub_band`."""
    if not all(
        isinstance(file.get(name), h5py.Group)
        and isinstance(file.get(name, getlink=True), h5py.HardLink)
        for name in ("Header", "Data")
    ):
        raise refused(path, "is no UVH5: it lacks the group Header or Data")
    header = file["Header"]
    n_rows, n_integrations = count(path, header, "Nblts"), count(path, header, "Ntimes")
    n_channels, n_polarisations = count(path, header, "Nfreqs"), count(path, header, "Npols")
    n_baselines = count(path, header, "Nbls")
    sizes = {
        "Ntimes": (n_integrations, _MOST_INTEGRATIONS),
        "Nfreqs": (n_channels, _MOST_CHANNELS),
        "Npols": (n_polarisations, 4),
        "Nants_telescope": (count(path, header, "Nants_telescope"), MOST_ANTENNAS),
        "Nblts": (n_rows, MOST_SAMPLES // (n_channels * n_polarisations)),
    }
    for name, (found, most) in sizes.items():
        if found > most:
            raise refused(path, f"has an implausible header: {name} is {found}")
    if n_rows != n_integrations * n_baselines:
        raise refused(
            path,
            f"has {n_rows} rows, but {n_integrations} integrations of {n_baselines} baselines",
        )
    _check_data(path, file["Data"], n_rows, n_channels, n_polarisations)
    _check_unphased(path, header)
    for name in ("ant_1_array", "ant_2_array", "time_array", "integration_time"):
        dataset(path, header, name, (n_rows,))
    frequencies_hz = frequencies(path, header, n_channels)
    width_hz = float(np.median(np.abs(numbers(path, header, "channel_width"))))
    integration_s = float(header["integration_time"][0])
    if not 1e-3 < integration_s < SECONDS_PER_DAY:
        raise refused(path, f"has an implausible integration_time of {integration_s} s")
    names = _polarisations(path, header, n_polarisations)
    return SubBand(
        path=path,
        number=_number_of(path, frequencies_hz, width_hz),
        first_mjd=mjd_from_jd(path, float(header["time_array"][0])),
        last_mjd=mjd_from_jd(path, float(header["time_array"][n_rows - 1])),
        integration_s=integration_s,
        n_integrations=n_integrations,
        n_baselines=n_baselines,
        n_antennas=count(path, header, "Nants_data"),
        n_channels=n_channels,
        low_hz=float(frequencies_hz.min()),
        high_hz=float(frequencies_hz.max()),
        channel_width_hz=width_hz,
        polarisations=names,
        declination_deg=_declination_deg(path, header),
        telescope=text(header, "telescope_name"),
    )


def _check_data(path: Path, data: h5py.Group, rows: int, channels: int, products: int) -> None:
    shapes = [(rows, channels, products), (rows, 1, channels, products)]
    for name in ("visdata", "flags", "nsamples"):
        found = dataset(path, data, name)
        if found.shape not in shapes:
            raise refused(
                path, f"has {name} of shape {found.shape}, where its header states {shapes[0]}"
            )
        integral = found.dtype.names == ("r", "i")
        if name == "visdata" and found.dtype.kind != "c" and not integral:
            raise refused(path, f"has visdata of type {found.dtype}, which isn't complex")


def _check_unphased(path: Path, header: h5py.Group) -> None:
    """Refuse visibilities that have a phase centre: another one was expected in each integration.

    Raises
    ------
    UnreadableSubBand
        If they have one.
    """
    catalogue = header.get("phase_center_catalog")
    if isinstance(catalogue, h5py.Group):
        kinds = {
            text(entry, "cat_type") for entry in catalogue.values() if isinstance(entry, h5py.Group)
        }
        phased = kinds - {"unprojected"}
    else:
        phased = {text(header, "phase_type") or "not stated"} - {"drift"}
    if phased:
        raise refused(
            path,
            f"has visibilities with a phase centre ({', '.join(sorted(phased))}); those of a drift "
            "scan were expected, without one",
        )


def frequencies(path: Path, header: h5py.Group, n_channels: int) -> Floats:
    """Return the channel centres, Hz, which ascend or descend."""
    found = numbers(path, header, "freq_array")
    if found.size != n_channels:
        raise refused(path, f"has a freq_array of shape {found.shape}, expected {n_channels}")
    steps = np.sign(np.diff(found.ravel()))
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise refused(path, "has channel frequencies that aren't in order")
    return found.ravel()


def _number_of(path: Path, frequencies_hz: Floats, width_hz: float) -> int:
    """Return the number of a sub-band from its frequencies."""
    low_hz, high_hz = float(frequencies_hz.min()), float(frequencies_hz.max())
    centre_hz = 0.5 * (low_hz + high_hz)
    place = (TOP_HZ - centre_hz) / SUB_BAND_HZ - 0.5
    number = round(place)
    of_one = abs((high_hz - low_hz + width_hz) / SUB_BAND_HZ - 1) < 0.1
    if not (0 <= number < N_SPECTRAL_WINDOWS and abs(place - number) < 0.25 and of_one):
        raise refused(
            path,
            f"covers {low_hz / 1e6:.3f}-{high_hz / 1e6:.3f} MHz, which is none of the "
            f"{N_SPECTRAL_WINDOWS} sub-bands of {SUB_BAND_HZ / 1e6:.3f} MHz below "
            f"{TOP_HZ / 1e6:.3f} MHz",
        )
    return number


def _polarisations(path: Path, header: h5py.Group, n: int) -> tuple[str, ...]:
    codes = [int(c) for c in numbers(path, header, "polarization_array").ravel()]
    names = tuple(POLARISATIONS.get(c, str(c)) for c in codes)
    bases = {frozenset(name) <= frozenset("XY") for name in names}
    if len(set(names)) != n or not set(codes) <= set(POLARISATIONS) or len(bases) != 1:
        raise refused(path, f"has implausible polarisations: {', '.join(names) or 'none'}")
    return names


def _declination_deg(path: Path, header: h5py.Group) -> float:
    """Return the apparent declination of the dishes; NaN where the header doesn't state it."""
    extra = header.get("extra_keywords")
    known = []
    # pyuvdata's writer puts the zenith here when the visibilities have no phase centre.
    by_pyuvdata = isinstance(header.get("phase_center_catalog"), h5py.Group)
    if "phase_center_app_dec" in header and not by_pyuvdata:
        known.append(one_number(path, header, "phase_center_app_dec"))
    if isinstance(extra, h5py.Group) and "phase_center_dec" in extra:
        known.append(one_number(path, extra, "phase_center_dec"))
    if not known:
        return float("nan")
    declination_deg = float(np.degrees(known[0]))
    if not abs(declination_deg) <= 90.0:
        raise refused(path, f"has an implausible declination of {declination_deg} deg")
    if len(known) > 1 and not abs(known[0] - known[1]) < np.radians(1.0):
        raise refused(
            path,
            f"states two declinations: phase_center_app_dec {declination_deg:.3f} deg, "
            f"phase_center_dec {np.degrees(known[1]):.3f} deg",
        )
    return declination_deg
