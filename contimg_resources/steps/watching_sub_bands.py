"""Scan the directory of sub-band files once: find observations and register them.

Belongs here: deciding when a group of files is complete enough, and registering it.
Doesn't: reading and grouping files (see `contimg_resources.correlator`), scheduling scans, and
starting anything.

Of 7,000 observations nearly all are known: their headers are kept in this process, and on disk for
the next one, so that a scan only compares sizes and times.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import in_words
from contimg_resources.core.keys import KEY_RESOLUTION_DAYS, partition_key
from contimg_resources.correlator.arrival import (
    HeaderCache,
    SubBandGroup,
    SubBandScan,
    scan_sub_bands,
)
from contimg_resources.correlator.description import describe_sub_bands, signature_of
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.model import SubBandFile
from contimg_resources.settings import Settings
from contimg_resources.steps.arriving import Arrived, register
from contimg_resources.steps.watching import (
    MAX_REMEMBERED,
    RECHECK_S,
    SAID_EACH,
    RejectedDelivery,
    may_pass,
)
from contimg_resources.steps.workshop import Workshop

#: Headers are written to disk after this many new ones, or after this time, seconds.
_SAVED_AFTER_FILES = 1000
_SAVED_AFTER_S = 900.0
#: Maximum number of rejected files and observations of which one scan reports the reason.
_MOST_REPORTED = 100
#: Observations of the store are asked for this long before and after those of the directory, days.
_MARGIN_DAYS = 0.01


@dataclass(frozen=True)
class SubBandCursor:
    """The state that one scan passes to the next; small, for a sensor keeps it in its cursor."""

    #: Digest of the reason with which each file or observation was rejected, by name: it is
    #: reported once.
    reported: dict[str, str] = field(default_factory=dict)
    #: Signature of each observation that can't be registered, by key: it isn't read again until its
    #: files change.
    aside: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)  #: Why, by key.

    @classmethod
    def from_record(cls, record: Any) -> "SubBandCursor":
        """Rebuild the state from its attributes; an empty state from anything else."""
        try:
            return cls(*({str(k): str(v) for k, v in record[name].items()} for name in _FIELDS))
        except (KeyError, TypeError, AttributeError):
            return cls()


_FIELDS = ("reported", "aside", "reasons")


@dataclass(frozen=True)
class SubBandScanResult:
    """The result of one scan."""

    arrivals: tuple[Arrived, ...] = ()  #: Observations that this scan registered.
    rejected: tuple[RejectedDelivery, ...] = ()  #: Files and observations that this scan rejected.
    #: Why, by name, also of those that earlier scans rejected.
    refused: Mapping[str, str] = field(default_factory=dict)
    n_known: int = 0  #: Number of known observations.
    #: Why an observation or file isn't processed yet, by name.
    waiting: Mapping[str, str] = field(default_factory=dict)
    n_left: int = 0  #: Number of observations and headers that this scan had no time for.
    memory: SubBandCursor = field(default_factory=SubBandCursor)  #: State for the next scan.

    @property
    def words(self) -> str:
        """The counts in one line: ``sub-bands: 1 new, 2 waiting, 8 known``; empty without any."""
        counts = {
            "new": len(self.arrivals),
            "rejected": len(self.refused),
            "waiting": len(self.waiting),
            "left for the next scan": self.n_left,
            "known": self.n_known,
        }
        said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        return f"sub-bands: {said}" if said else ""

    @property
    def not_taken(self) -> list[str]:
        """Observations that wait or were rejected, with reasons: the first few of each."""
        refused = [f"{name} rejected: {why}" for name, why in self.refused.items()]
        waiting = [f"{name} {why}" for name, why in self.waiting.items()]
        return [*refused[:SAID_EACH], *waiting[:SAID_EACH]]


@dataclass(frozen=True, slots=True)
class _Signed:
    """A group with what identifies it: partition key, signature and first file of its files."""

    key: str
    signature: str
    first: str
    group: SubBandGroup

    @classmethod
    def of(cls, group: SubBandGroup, files: Sequence[SubBandFile]) -> "_Signed":
        first = min(str(f.path) for f in files)
        return cls(partition_key(group.mid_mjd), signature_of(files), first, group)


class _Seen:
    """What this process knows of a directory: headers, and signatures of its observations."""

    def __init__(self, cache: HeaderCache, file: Path) -> None:
        self.cache = cache
        self.n_unsaved = 0
        self._file = file
        self._saved_s = time.monotonic()
        self._of: tuple[SubBandGroup, ...] = ()
        self._signed: list[_Signed] = []
        #: Signatures of known observations of which some files are gone, by key.
        self.shrunk: dict[str, tuple[str, str]] = {}

    def signed(self, groups: tuple[SubBandGroup, ...]) -> list["_Signed"]:
        """Return the groups as the store knows them; the same ones aren't computed again."""
        if groups is not self._of:
            self._signed = [_Signed.of(g, self.cache.files_of(g)) for g in groups]
            self._of = groups
        return self._signed

    def save(self) -> None:
        """Keep the headers for the next process, from time to time."""
        since_s = time.monotonic() - self._saved_s
        if self.n_unsaved > _SAVED_AFTER_FILES or (self.n_unsaved and since_s > _SAVED_AFTER_S):
            # Without them the next process reads the headers again.
            with suppress(OSError):
                self.cache.save(self._file)
            self.n_unsaved, self._saved_s = 0, time.monotonic()


_seen: dict[tuple[Path, Path], _Seen] = {}


def cache_file(settings: Settings, directory: Path) -> Path:
    """Return the file in the scratch space that keeps the headers of a directory."""
    name = hashlib.sha256(str(directory).encode(errors="surrogateescape")).hexdigest()[:16]
    return settings.layout.scratch / "uvh5" / f"{name}.json"


def scan_uvh5_directory(
    workshop: Workshop,
    memory: SubBandCursor,
    *,
    budget_s: float = 20.0,
    max_arrivals: int = 100,
    now_s: float | None = None,
    busy: Callable[[], Collection[str]] = frozenset,
    run_id: str | None = None,
    progress: Progress = no_progress,
) -> SubBandScanResult:
    """Scan the directory of sub-band files once, and register complete, new observations.

    An observation that lacks sub-bands waits, and is registered without them afterwards; when they
    come, it is registered again, and processed again. The directory may be missing, unless the
    settings name it.

    Parameters
    ----------
    workshop : Workshop
        Settings and stores.
    memory : SubBandCursor
        `SubBandScanResult.memory` of the previous scan.
    budget_s : float
        No file is read after this many seconds; the rest is left for the next scan.
    max_arrivals : int
        Maximum number of observations to register.
    now_s : float, optional
        The present, seconds since 1970 (UTC); by default from the clock.
    busy : callable
        Returns the keys of observations in progress; these aren't registered again.
    run_id : str, optional
        Run id, for the history.
    progress : callable
        Receives progress messages.

    Raises
    ------
    ConfigurationError
        If the directory can't be listed.
    """
    settings = workshop.settings
    directory = settings.incoming_uvh5_dir.absolute()
    if settings.uvh5_dir is None and not directory.is_dir():
        return SubBandScanResult(memory=memory)
    now_s = time.time() if now_s is None else now_s
    deadline_s = time.monotonic() + budget_s
    seen = _opened(settings, directory)
    found = scan_sub_bands(
        directory,
        seen.cache,
        now_s=now_s,
        settle_age_s=settings.uvh5.settle_age_s,
        deadline_s=deadline_s,
        say=progress,
    )
    seen.n_unsaved += found.n_read
    seen.save()
    scan = _Scan(workshop, seen, found, memory, now_s, busy)
    for signed in seen.signed(found.groups):
        if scan.is_known(signed):
            continue
        if time.monotonic() > deadline_s or len(scan.arrivals) >= max_arrivals:
            scan.n_left += 1
            continue
        scan.consider(signed, run_id)
    return scan.result()


def _opened(settings: Settings, directory: Path) -> _Seen:
    file = cache_file(settings, directory)
    if (directory, file) not in _seen:
        _seen[directory, file] = _Seen(HeaderCache.load(file, directory), file)
    return _seen[directory, file]


class _Scan:
    """One scan in progress."""

    def __init__(
        self,
        workshop: Workshop,
        seen: _Seen,
        found: SubBandScan,
        memory: SubBandCursor,
        now_s: float,
        busy: Callable[[], Collection[str]],
    ) -> None:
        self._workshop = workshop
        self._seen = seen
        self._found = found
        self._memory = memory
        self._now_s = now_s
        self._busy = busy
        # Not of all observations: there are ever more of them.
        mids_mjd = [group.mid_mjd for group in found.groups]
        self._span = {
            "start_mjd": min(mids_mjd, default=0.0) - _MARGIN_DAYS,
            "end_mjd": max(mids_mjd, default=0.0) + _MARGIN_DAYS,
        }
        self._known = workshop.products.sub_bands.known(**self._span)
        self._recheck_until_s = time.monotonic() + RECHECK_S
        self._ms_of: dict[str, str] | None = None
        self.arrivals: list[Arrived] = []
        self.waiting = {Path(path).name: why for path, why in found.unsettled.items()}
        # Of files, then of observations, by name.
        self.refused = {Path(path).name: (Path(path), why) for path, why in found.rejected.items()}
        self.aside: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.n_known = 0
        self.n_left = found.n_left

    def is_known(self, signed: _Signed) -> bool:
        """Return whether an observation is registered with these files, or more of them."""
        known = self._known.get(signed.key)
        # Its files may have been moved to another directory.
        if known == (signed.signature, signed.first) or (
            known is not None and self._has_shrunk(signed, known[0])
        ):
            self.n_known += 1
            return True
        return False

    def _has_shrunk(self, signed: _Signed, known: str) -> bool:
        """Return whether some files of a known observation are gone, and nothing else changed."""
        if self._seen.shrunk.get(signed.key) == (known, signed.signature):
            return True
        if time.monotonic() > self._recheck_until_s:
            # The next scan finds out; until then it is as it was.
            return True
        before = {_mark(f) for f in self._workshop.products.sub_bands.files(signed.key)}
        now = {_mark(f) for f in self._seen.cache.files_of(signed.group)}
        if now < before:
            self._seen.shrunk[signed.key] = (known, signed.signature)
            return True
        return False

    def consider(self, signed: _Signed, run_id: str | None) -> None:
        """Register an observation, or record why not."""
        key, group = signed.key, signed.group
        if self._memory.aside.get(key) == signed.signature:
            self._reject(signed, self._memory.reasons.get(key, "rejected before"))
            return
        if why := self._why_wait(group):
            self.waiting[group.name] = why
            return
        uvh5, n = self._workshop.settings.uvh5, len(group.sub_bands)
        if n < uvh5.min_subbands:
            self.refused[group.name] = (
                group.files[0].parent / group.name,
                f"observation {group.name} has {n} of {N_SPECTRAL_WINDOWS} sub-bands, at least "
                f"{uvh5.min_subbands} are required (uvh5.min_subbands); later ones are added",
            )
            return
        if (ms := self._ms(key)) is not None:
            self.refused[group.name] = (
                group.files[0].parent / group.name,
                f"observation {key} came as the MeasurementSet {ms}: the sub-bands of {group.name} "
                "aren't used",
            )
            return
        if key in self._known and key in self._busy():
            self.waiting[group.name] = f"a run of observation {key} is in progress"
            return
        try:
            arrived = register(
                self._workshop,
                describe_sub_bands(
                    group,
                    self._seen.cache.files_of(group),
                    self._workshop.settings.layout.measurement_set(key),
                    calibrators=self._workshop.calibrators,
                    settings=self._workshop.settings.arrival,
                ),
                run_id=run_id,
            )
            self.arrivals.append(arrived)
        except Exception as error:
            # An error of one observation must not affect the others.
            if may_pass(error):
                self.waiting[group.name] = in_words(error)
            else:
                self._reject(signed, in_words(error))

    def _reject(self, signed: _Signed, reason: str) -> None:
        group = signed.group
        self.aside[signed.key], self.reasons[signed.key] = signed.signature, reason
        named = reason if str(group.files[0].parent) in reason else f"{group.name}: {reason}"
        self.refused[group.name] = (group.files[0].parent / group.name, named)

    def _why_wait(self, group: SubBandGroup) -> str:
        """Return why an observation that lacks sub-bands waits; empty when it is processed."""
        if not group.missing:
            return ""
        has = f"has {len(group.sub_bands)} of {N_SPECTRAL_WINDOWS} sub-bands"
        if self._found.n_left:
            return f"{has} so far: headers are still being read"
        # The time of the last change of the inode: copies may keep the time of the modification.
        came_s = [path.stat().st_ctime for path in group.files if path.exists()]
        wait_s = 60.0 * self._workshop.settings.uvh5.wait_min
        age_s = self._now_s - max(came_s, default=self._now_s)
        if age_s >= wait_s:
            return ""
        return f"{has}; it waits {(wait_s - age_s) / 60:.0f} min for the others (uvh5.wait_min)"

    def _ms(self, key: str) -> str | None:
        """Return the MS that is an observation of this time; None if there is none."""
        if self._ms_of is None:
            self._ms_of = self._workshop.products.sub_bands.keys_of_others(**self._span)
        mjd = float(key)
        # Times that are rounded differently may have the next key.
        near = (key, *(partition_key(mjd + d) for d in (-KEY_RESOLUTION_DAYS, KEY_RESOLUTION_DAYS)))
        return next((self._ms_of[k] for k in near if k in self._ms_of), None)

    def result(self) -> SubBandScanResult:
        """Return the result, with the rejected ones that weren't reported before."""
        digests = {name: _digest(why) for name, (_, why) in self.refused.items()}
        reported = self._memory.reported
        old = [name for name, digest in digests.items() if reported.get(name) == digest]
        # What can't be remembered would be reported again and again.
        most = max(0, min(_MOST_REPORTED, MAX_REMEMBERED - len(old)))
        told = [name for name in digests if reported.get(name) != digests[name]][:most]
        first = list(self.aside)[:MAX_REMEMBERED]
        refused = {name: why for name, (_, why) in self.refused.items()}
        self._workshop.products.rejections.update(
            self._workshop.settings.incoming_uvh5_dir,
            refused,
            # Of some files the headers weren't read yet.
            standing=reported if self.n_left else (),
        )
        return SubBandScanResult(
            arrivals=tuple(self.arrivals),
            rejected=tuple(RejectedDelivery(*self.refused[name]) for name in told),
            refused=refused,
            n_known=self.n_known,
            waiting=self.waiting,
            n_left=self.n_left,
            memory=SubBandCursor(
                reported={name: digests[name] for name in (*old, *told)},
                aside={key: self.aside[key] for key in first},
                reasons={key: self.reasons[key] for key in first},
            ),
        )


def _mark(file: SubBandFile) -> tuple[int, str, int, int]:
    return (file.number, file.path.name, file.size_bytes, file.modified_ns)


def _digest(reason: str) -> str:
    return hashlib.sha256(reason.encode(errors="surrogateescape")).hexdigest()[:8]
