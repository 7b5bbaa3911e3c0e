"""The plan of mosaics: rolling windows of time, each of one declination strip.

Belongs here: the plan, derived from times and declinations of observations. Doesn't: keys of
mosaics, making mosaics, or their state.

Windows lie on a fixed grid of time from MJD 0, so the plan depends on the times of observations and
never on the order of arrival. A window with observations of two strips gives two mosaics.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Protocol

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.keys import mosaic_key, parse_mosaic_key, partition_key
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.settings import MosaicSettings


class Observed(Protocol):
    """Properties of an observation that the plan uses."""

    @property
    def key(self) -> str:
        """Partition key."""

    @property
    def mid_mjd(self) -> float:
        """Mid-time, MJD in days."""

    @property
    def declination_deg(self) -> float:
        """Declination of its strip, degrees."""


@dataclass(frozen=True)
class WindowGrid:
    """The time grid of windows.

    Raises
    ------
    ConfigurationError
        If a day isn't a whole number of slots, or windows would leave gaps.
    """

    #: Length of a slot, number of slots in a window and from one window to the next.
    settings: MosaicSettings = field(default_factory=MosaicSettings)

    def __post_init__(self) -> None:
        per_day = SECONDS_PER_DAY / self.settings.slot_s
        if not abs(per_day - round(per_day)) < 1e-9:
            raise ConfigurationError(
                f"mosaics.slot_s: a day is not a whole number of slots of {self.settings.slot_s} s"
            )
        if self.settings.step > self.settings.width:
            raise ConfigurationError(
                f"mosaics.step: {self.settings.step} slots from one window to the next would leave "
                f"gaps between windows of {self.settings.width}"
            )

    @property
    def slots_per_day(self) -> int:
        """Number of slots in a day."""
        return round(SECONDS_PER_DAY / self.settings.slot_s)

    def windows_of(self, mjd: float) -> range:
        """Return the numbers of the windows that contain a time, MJD in days."""
        slot = math.floor(mjd * self.slots_per_day)
        width, step = self.settings.width, self.settings.step
        return range(-((width - 1 - slot) // step), slot // step + 1)

    def bounds_mjd(self, number: int) -> tuple[float, float]:
        """Return start and end of a window, MJD in days."""
        begin = number * self.settings.step
        return begin / self.slots_per_day, (begin + self.settings.width) / self.slots_per_day


@dataclass(frozen=True)
class PlannedMosaic:
    """A planned mosaic."""

    key: str  #: Partition key.
    #: `start_mjd`, `end_mjd`: Its window, MJD in days.
    start_mjd: float
    end_mjd: float
    declination_deg: float  #: Declination of its strip: the median of its observations, degrees.
    observations: tuple[str, ...]  #: Partition keys of its observations, in the order of time.

    @property
    def mid_mjd(self) -> float:
        """Middle of its window, MJD in days."""
        return 0.5 * (self.start_mjd + self.end_mjd)


def plan_mosaics(
    observations: Sequence[Observed],
    grid: WindowGrid,
    *,
    strip_tolerance_deg: float,
    existing: Mapping[str, Set[str]] | None = None,
) -> tuple[PlannedMosaic, ...]:
    """Return the mosaics of some observations, in the order of time.

    Parameters
    ----------
    observations : sequence of Observed
        In any order; repeated ones count once.
    grid : WindowGrid
        The windows.
    strip_tolerance_deg : float
        Observations whose declinations differ by at most this belong to one strip (and so do their
        neighbours), degrees.
    existing : mapping of str to set of str
        Keys of existing mosaics, each with its observations: a strip keeps its name if a late
        observation shifts its median.
    """
    by_window: dict[int, dict[str, Observed]] = {}
    for observed in observations:
        for number in grid.windows_of(observed.mid_mjd):
            by_window.setdefault(number, {})[observed.key] = observed
    known = _by_window(existing or {})
    planned = []
    for number, found in by_window.items():
        start_mjd, end_mjd = grid.bounds_mjd(number)
        mid_mjd = 0.5 * (start_mjd + end_mjd)
        strips = _strips(found.values(), strip_tolerance_deg)
        for strip, key in _named(strips, mid_mjd, known.get(partition_key(mid_mjd), {})):
            planned.append(
                PlannedMosaic(
                    key=key,
                    start_mjd=start_mjd,
                    end_mjd=end_mjd,
                    declination_deg=_median(strip),
                    observations=tuple(
                        o.key for o in sorted(strip, key=lambda o: (o.mid_mjd, o.key))
                    ),
                )
            )
    return tuple(sorted(planned, key=lambda p: (p.start_mjd, p.key)))


def end_of_last_gap(
    mids_mjd: Sequence[float], start_mjd: float, end_mjd: float, slot_s: float
) -> float | None:
    """Return the end of the last gap in a window, where an observation may be missing.

    Parameters
    ----------
    mids_mjd : sequence of float
        Mid-times of existing observations in the window, MJD in days.
    start_mjd, end_mjd : float
        The window, MJD in days.
    slot_s : float
        Approximate time from one observation to the next, seconds.

    Returns
    -------
    float or None
        Mid-time of the observation after the gap, or the end of the window, MJD in days; None if
        the window has no gap.
    """
    slot_days = slot_s / SECONDS_PER_DAY
    limit_days = 1.6 * slot_days
    # Half an observation may lie before the start; none fits between a last one that is less than
    # a slot from the end and the end.
    edges = [start_mjd - 0.5 * slot_days, *sorted(mids_mjd), end_mjd + 0.6 * slot_days]
    for after, before in pairwise(reversed(edges)):
        if after - before > limit_days:
            return min(after, end_mjd)
    return None


def _strips(observations: Iterable[Observed], tolerance_deg: float) -> list[list[Observed]]:
    """Group by declination: an observation belongs to the strip of any neighbour in tolerance."""
    strips: list[list[Observed]] = []
    for observed in sorted(observations, key=lambda o: (o.declination_deg, o.key)):
        if strips and observed.declination_deg - strips[-1][-1].declination_deg <= tolerance_deg:
            strips[-1].append(observed)
        else:
            strips.append([observed])
    return strips


def _named(
    strips: list[list[Observed]], mid_mjd: float, known: Mapping[str, Set[str]]
) -> Iterator[tuple[list[Observed], str]]:
    """Name strips after the existing mosaic that shares most observations, or anew."""
    free = dict(known)
    # The strip that shares most chooses first, so that two strips never claim one name.
    for strip in sorted(strips, key=lambda s: (-_most_shared(s, known)[0], s[0].key)):
        shared, key = _most_shared(strip, free)
        if shared:
            del free[key]
        yield strip, key if shared else mosaic_key(mid_mjd, _median(strip))


def _most_shared(strip: list[Observed], known: Mapping[str, Set[str]]) -> tuple[int, str]:
    keys = {o.key for o in strip}
    return max(((len(keys & known[k]), k) for k in sorted(known)), default=(0, ""))


def _by_window(existing: Mapping[str, Set[str]]) -> dict[str, dict[str, Set[str]]]:
    found: dict[str, dict[str, Set[str]]] = {}
    for key, keys in existing.items():
        found.setdefault(partition_key(parse_mosaic_key(key)[0]), {})[key] = keys
    return found


def _median(strip: Sequence[Observed]) -> float:
    # For a few numbers numpy is ten times slower.
    return float(median(o.declination_deg for o in strip))
