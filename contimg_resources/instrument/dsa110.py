"""Parameters of DSA-110 in its continuum mode.

Source: the public DSA-110 repositories and operations logs, collected for this project.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: The name under which CASA's observatory table knows the site (it has no DSA-110).
CASA_TELESCOPE = "OVRO_MMA"

#: Observatory names in MS of DSA-110: CASA's name of the site, and the array's own.
TELESCOPE_NAMES = (CASA_TELESCOPE, "DSA-110", "DSA_110", "DSA110")

LATITUDE_DEG = 37.2334051
LONGITUDE_DEG = -118.2830000
HEIGHT_M = 1188.05

DISH_DIAMETER_M = 4.65
BLOCKAGE_DIAMETER_M = 0.4064
SEFD_JY = 6000.0

N_SPECTRAL_WINDOWS = 16
N_CHANNELS_PER_WINDOW = 48
CHANNEL_WIDTH_HZ = 244_140.625
#: Centre of the highest channel (sub-band 0 is the highest) and of the lowest.
FREQUENCY_MAX_HZ = 1_498.628e6
FREQUENCY_MIN_HZ = 1_311.372e6

N_INTEGRATIONS = 24
INTEGRATION_S = 12.884902


@dataclass(frozen=True)
class Station:
    """One pad of the array."""

    name: str  #: ``"1"`` to ``"117"``; antenna ids count from 0: never mix the two.
    east_m: float  #: Offset from the array centre, metres.
    north_m: float  #: Offset from the array centre, metres.
    up_m: float  #: Offset from the array centre, metres.
    active: bool  #: Whether an antenna operates on it.


@cache
def stations() -> tuple[Station, ...]:
    """Return all 117 stations in order of number."""
    text = files("contimg_resources.instrument").joinpath("stations.csv").read_text()
    return tuple(
        Station(
            name=row["station"],
            east_m=float(row["east_m"]),
            north_m=float(row["north_m"]),
            up_m=float(row["up_m"]),
            active=row["active"] == "1",
        )
        for row in csv.DictReader(text.splitlines())
    )


def active_stations() -> tuple[Station, ...]:
    """Return the 96 active stations in order of number."""
    return tuple(s for s in stations() if s.active)
