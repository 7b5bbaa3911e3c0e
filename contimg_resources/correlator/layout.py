"""The rows and the antennas of a sub-band file.

Belongs here: the order of the rows, antenna names and positions, the site, channel frequencies.
Doesn't: the header that decides to which observation a file belongs
(`contimg_resources.correlator.sub_band`), the visibilities.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from contimg_resources.correlator.sub_band import MOST_ANTENNAS, frequencies
from contimg_resources.correlator.uvh5 import (
    Floats,
    Ints,
    count,
    dataset,
    integers,
    mjd_from_jd,
    numbers,
    one_number,
    refused,
    text,
)

_LARGEST_ARRAY_M = 100_000.0


@dataclass(frozen=True)
class Layout:
    """The rows and antennas of a sub-band file."""

    time_mjd: Floats  #: Middles of the integrations, MJD in days (UTC). Shape (integrations,).
    time_jd: Floats  #: The same as the file states them, JD. Shape (integrations,).
    interval_s: Floats  #: Durations, seconds. Shape (integrations,).
    #: `first`, `second`: Antenna numbers of each baseline. Shape (baselines,).
    first: Ints
    second: Ints
    #: Row of the file of each integration and baseline. Shape (integrations, baselines).
    rows: Ints
    numbers: Ints  #: Antenna numbers of the whole array. Shape (antennas,).
    names: tuple[str, ...]  #: Names of the antennas; empty where the file states none.
    #: ITRF positions relative to the array centre, metres. Shape (antennas, 3).
    positions_m: Floats
    diameters_m: Floats  #: Dish diameters, metres; 0 where the file states none. Shape (antennas,).
    #: Geodetic longitude and latitude, degrees, and height, metres, of the array centre.
    site: tuple[float, float, float]
    frequencies_hz: Floats  #: Channel centres in the order of the file, Hz. Shape (channels,).
    unit: str  #: Unit of the visibilities; empty where the file states none.
    #: Whether the file names its antennas from 0, and `names` are those of the stations.
    renamed: bool


def layout_of(file: h5py.File, path: Path) -> Layout:
    """Return rows and antennas of an open sub-band file.

    Raises
    ------
    UnreadableSubBand
        If its rows aren't integrations of the same baselines, or antennas are unnamed, unknown or
        misplaced.
    """
    header = file["Header"]
    n_times, n_baselines = count(path, header, "Ntimes"), count(path, header, "Nbls")
    jd = numbers(path, header, "time_array")
    first = integers(path, header, "ant_1_array")
    second = integers(path, header, "ant_2_array")
    interval_s = numbers(path, header, "integration_time")
    times_jd, integration = np.unique(jd, return_inverse=True)
    # Stable: baselines keep the order of the file.
    rows = np.argsort(integration, kind="stable")
    each = np.bincount(integration, minlength=n_times)
    if times_jd.size != n_times or not np.all(each == n_baselines):
        raise refused(
            path,
            f"states {n_times} integrations of {n_baselines} baselines, but its time_array holds "
            f"{times_jd.size} of {int(each.min())} to {int(each.max())}",
        )
    rows = rows.reshape(n_times, n_baselines)
    first, second, interval_s = first[rows], second[rows], interval_s[rows]
    if not (np.all(first == first[0]) and np.all(second == second[0])):
        raise refused(path, "has other baselines, or another order, in some of its integrations")
    pairs = np.stack([np.minimum(first[0], second[0]), np.maximum(first[0], second[0])])
    if np.unique(pairs, axis=1).shape[1] != n_baselines:
        raise refused(path, "holds some of its baselines twice")
    if not np.all(interval_s == interval_s[:, :1]) or not interval_s.min() > 0:
        raise refused(path, "has an integration_time that varies within an integration or is 0")
    mjd = np.array([mjd_from_jd(path, float(t)) for t in times_jd])
    antennas = _antennas(path, header, np.union1d(first[0], second[0]))
    return Layout(
        time_mjd=mjd,
        time_jd=times_jd,
        interval_s=interval_s[:, 0],
        first=first[0],
        second=second[0],
        rows=rows,
        frequencies_hz=frequencies(path, header, count(path, header, "Nfreqs")),
        unit=_unit(header),
        site=_site(path, header),
        **antennas,
    )


def _unit(header: h5py.Group) -> str:
    unit = text(header, "vis_units")
    # TaQL refuses a column in a unit that it doesn't know.
    return "" if unit.lower() == "uncalib" else unit


def _site(path: Path, header: h5py.Group) -> tuple[float, float, float]:
    longitude, latitude, height = (
        one_number(path, header, name) for name in ("longitude", "latitude", "altitude")
    )
    if not (abs(latitude) <= 90 and abs(longitude) <= 360 and abs(height) < 10_000):
        raise refused(path, f"has an implausible site: {longitude}, {latitude}, {height}")
    return longitude, latitude, height


def _antennas(path: Path, header: h5py.Group, used: Ints) -> dict[str, Any]:
    """Return numbers, names, positions and diameters of the antennas, by number."""
    n = count(path, header, "Nants_telescope")
    ids = integers(path, header, "antenna_numbers")
    positions_m = numbers(path, header, "antenna_positions")
    found = dataset(path, header, "antenna_names", (n,))[()]
    names = [(x.decode(errors="replace") if isinstance(x, bytes) else str(x)) for x in found]
    names = [name.strip().strip("\0") for name in names]
    if ids.shape != (n,) or positions_m.shape != (n, 3) or np.unique(ids).size != n:
        raise refused(path, f"has an implausible header: it doesn't describe {n} antennas")
    if ids.min() < 0 or ids.max() >= MOST_ANTENNAS:
        raise refused(path, f"has antenna numbers from {ids.min()} to {ids.max()}")
    if unknown := sorted(set(used.tolist()) - set(ids.tolist())):
        raise refused(path, f"has data of antennas that it doesn't describe: {_some(unknown)}")
    if np.abs(positions_m).max() > _LARGEST_ARRAY_M:
        raise refused(path, "has antenna positions that aren't relative to the centre of the array")
    stated = count(path, header, "Nants_data")
    if stated != used.size:
        raise refused(path, f"states {stated} antennas with data, but has data of {used.size}")
    order = np.argsort(ids)
    names = [names[i] for i in order]
    with_data = np.isin(ids[order], used).tolist()
    named = [name for name, has_data in zip(names, with_data, strict=True) if has_data]
    if "" in named:
        nameless = [int(k) for k, name in zip(used, named, strict=True) if not name]
        raise refused(path, f"has data of antennas without a name, numbers {_some(nameless)}")
    if len(set(named)) != len(named):
        raise refused(path, "has data of several antennas with the same name")
    renamed = "0" in names
    if renamed:
        # Stations are named from 1: these are antenna numbers.
        names = [str(int(name) + 1) if name.isdecimal() else name for name in names]
    diameters_m = np.zeros(n)
    if "antenna_diameters" in header:
        given = numbers(path, header, "antenna_diameters")
        diameters_m = given[order] if given.shape == (n,) else diameters_m
    return {
        "numbers": ids[order],
        "names": tuple(names),
        "renamed": renamed,
        "positions_m": positions_m[order],
        "diameters_m": diameters_m,
    }


def _some(items: list[int], most: int = 10) -> str:
    more = len(items) - most
    return ", ".join(map(str, items[:most])) + (f" and {more} more" if more > 0 else "")
