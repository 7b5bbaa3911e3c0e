"""Mosaics to make: those that are missing or stale, and what they wait for.

Belongs here: the decision, from times of observations and the tiles of existing mosaics. Doesn't:
the plan (see `windows`), stores, starting anything.

A gap in a window is proven once an observation after it has arrived, later than those before it:
nearly all observations arrive in the order of time. Only gaps that aren't proven are waited for. A
mosaic that was made is remade once its images stay unchanged: late ones join it.
"""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.mosaics.windows import (
    PlannedMosaic,
    WindowGrid,
    end_of_last_gap,
    plan_mosaics,
)
from contimg_resources.products.epochs import TileSource
from contimg_resources.settings import MosaicSettings

_MINUTES_PER_DAY = 1440.0
#: An observation that has been in progress for longer isn't waited for.
_LONGEST_WORK_DAYS = 1.0

Tiles = Mapping[str, str]


@dataclass(frozen=True)
class OpenMosaic:
    """A mosaic that is missing, or was made from other images than now exist."""

    key: str  #: Its partition key.
    planned: PlannedMosaic  #: Its window and observations.
    tiles: dict[str, str]  #: Checksums of the existing images, by observation.
    waits_for: str  #: What it waits for; empty when it can be made.

    @property
    def signature(self) -> str:
        """Digest of the images that it would be made from."""
        content = "\n".join(f"{key} {self.tiles[key]}" for key in sorted(self.tiles))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Waiting:
    """How long mosaics wait."""

    mosaics: MosaicSettings  #: Windows, and the longest wait.
    #: Time after the arrival of a later observation until a gap counts as proven, seconds.
    settle_s: float

    @property
    def window_days(self) -> float:
        """Length of a window, days; an observation later than this proves no gap."""
        return self.mosaics.width * self.mosaics.slot_s / SECONDS_PER_DAY

    @property
    def longest_days(self) -> float:
        """Longest wait for observations that may be late, days."""
        return self.mosaics.wait_min / _MINUTES_PER_DAY

    @property
    def quiet_days(self) -> float:
        """Time without changes before a mosaic is remade, days: a slot."""
        return min(self.mosaics.slot_s / SECONDS_PER_DAY, self.longest_days)


def find_open(
    sources: Sequence[TileSource],
    existing: Mapping[str, Tiles],
    *,
    arrivals: Callable[[float, float], Mapping[str, float]],
    waiting: Waiting,
    strip_tolerance_deg: float,
    now_mjd: float,
) -> tuple[OpenMosaic, ...]:
    """Return the mosaics that are missing or stale, with what they wait for, in order of time.

    Parameters
    ----------
    sources : sequence of TileSource
        Observations, in order of time.
    existing : mapping of str to mapping of str to str
        Keys of existing mosaics, each with the checksums of its images by observation.
    arrivals : callable
        Returns when the observations between two MJD arrived, MJD in days, by partition key.
    waiting : Waiting
        How long mosaics wait.
    strip_tolerance_deg : float
        Observations whose declinations differ by at most this belong to one strip, degrees.
    now_mjd : float
        The present, MJD in days.
    """
    by_key = {s.key: s for s in sources}
    planned = plan_mosaics(
        sources,
        WindowGrid(waiting.mosaics),
        strip_tolerance_deg=strip_tolerance_deg,
        existing={key: tiles.keys() for key, tiles in existing.items()},
    )
    due = []
    for one in planned:
        tiles = {key: c for key in one.observations if (c := by_key[key].checksum)}
        if len(tiles) >= waiting.mosaics.min_tiles and existing.get(one.key) != tiles:
            due.append((one, tiles))
    near = _Near(sources, arrivals, waiting)
    return tuple(
        OpenMosaic(
            one.key,
            one,
            tiles,
            _waits_for(
                one,
                [by_key[key] for key in one.observations],
                near,
                now_mjd,
                again=one.key in existing,
            ),
        )
        for one, tiles in due
    )


@dataclass(frozen=True)
class _Near:
    """Observations of all strips, by time, and when they arrived."""

    sources: Sequence[TileSource]
    arrivals: Callable[[float, float], Mapping[str, float]]
    waiting: Waiting

    def between(self, start_mjd: float, end_mjd: float) -> Sequence[TileSource]:
        first, last = (bisect_left(self._mids_mjd, mjd) for mjd in (start_mjd, end_mjd))
        return self.sources[first:last]

    def proven_mjd(self, start_mjd: float, end_mjd: float, gap_end_mjd: float) -> float | None:
        """Return when the last gap of a window is proven; None if no later one has arrived."""
        until_mjd = end_mjd + self.waiting.window_days
        known_mjd = self.arrivals(start_mjd, until_mjd)

        def arrived_mjd(start_mjd: float, end_mjd: float) -> list[float]:
            return [known_mjd.get(s.key, s.updated_mjd) for s in self.between(start_mjd, end_mjd)]

        before = max(arrived_mjd(start_mjd, gap_end_mjd), default=0.0)
        later = arrived_mjd(gap_end_mjd, until_mjd)
        first = min((mjd for mjd in later if mjd > before), default=None)
        return None if first is None else first + self.waiting.settle_s / SECONDS_PER_DAY

    @cached_property
    def _mids_mjd(self) -> list[float]:
        return [s.mid_mjd for s in self.sources]


def _waits_for(
    planned: PlannedMosaic,
    members: Sequence[TileSource],
    near: _Near,
    now_mjd: float,
    *,
    again: bool,
) -> str:
    waiting = near.waiting
    start_mjd, end_mjd = planned.start_mjd, planned.end_mjd
    changed_mjd = max(m.updated_mjd for m in members)
    at_work = [
        m.key for m in members if m.in_progress and now_mjd - m.updated_mjd < _LONGEST_WORK_DAYS
    ]
    if at_work:
        return f"{len(at_work)} images in progress, first {at_work[0]}"
    # Images that are late, remade or without caltables until now rarely come alone.
    quiet_mjd = changed_mjd + waiting.quiet_days
    if now_mjd < quiet_mjd and (again or any(m.waits for m in members)):
        seconds = math.ceil((quiet_mjd - now_mjd) * SECONDS_PER_DAY)
        return f"its images to be unchanged for another {seconds} s"
    until_mjd = max(end_mjd, changed_mjd) + waiting.longest_days
    if again or now_mjd >= until_mjd:
        return ""
    # Where the strip changes, one begins in the other's gap.
    observed = [s.mid_mjd for s in near.between(start_mjd, end_mjd)]
    gap_end_mjd = end_of_last_gap(observed, start_mjd, end_mjd, waiting.mosaics.slot_s)
    if gap_end_mjd is None:
        return ""
    proven_mjd = near.proven_mjd(start_mjd, end_mjd, gap_end_mjd)
    if proven_mjd is None:
        minutes = math.ceil((until_mjd - now_mjd) * _MINUTES_PER_DAY)
        return f"a later observation, for at most {minutes} minutes"
    if now_mjd < proven_mjd:
        seconds = math.ceil((proven_mjd - now_mjd) * SECONDS_PER_DAY)
        return f"observations that may be late, for another {seconds} s"
    return ""
