"""Group the sub-band files of a directory into observations.

Belongs here: what is in a directory, the cache of headers, groups. Nothing is changed or moved.
Doesn't: deciding when a group that lacks sub-bands is converted.

Files of one observation hold the same times; their names differ by seconds, up to a minute, because
each node names its file by its own clock. So only the contents are compared. A header is read once:
as long as a file has the same size and modification time, the cache answers.
"""

import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import (
    ConfigurationError,
    ObservationNotSettled,
    UnreadableSubBand,
)
from contimg_resources.core.progress import Progress, no_progress
from contimg_resources.core.times import SECONDS_PER_DAY, datetime_from_mjd
from contimg_resources.correlator.agreement import agreeing
from contimg_resources.correlator.sub_band import SubBand, read_sub_band
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.model import SubBandFile
from contimg_resources.observations.scanning import UVH5_ENDINGS

#: What the correlator adds to the names of files that it is still writing.
_INCOMPLETE = "_incomplete"
_CACHE_VERSION = 1
#: Errors of the system that are no fault of the file: it is read again.
_OF_ITS_PLACE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)

#: Size, modification time (ns), and header or the reason why there is none, by file name.
Known = dict[str, tuple[int, int, SubBand | str]]


@dataclass(frozen=True)
class SubBandGroup:
    """The sub-bands of one observation."""

    sub_bands: tuple[SubBand, ...]  #: By number; at least one, each number at most once.

    @property
    def name(self) -> str:
        """Name of the observation, its start in UTC: ``2025-10-06T12:36:09``."""
        # A JD is exact to 40 microseconds only.
        begin = datetime_from_mjd(self.begin_mjd + 5e-4 / SECONDS_PER_DAY)
        return begin.strftime("%Y-%m-%dT%H:%M:%S")

    @property
    def begin_mjd(self) -> float:
        """Start of the first integration, MJD in days (UTC)."""
        return self.sub_bands[0].begin_mjd

    @property
    def mid_mjd(self) -> float:
        """Middle of the observation, MJD in days (UTC)."""
        return 0.5 * (self.sub_bands[0].begin_mjd + self.sub_bands[0].end_mjd)

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the sub-bands that have no file."""
        return tuple(sorted(set(range(N_SPECTRAL_WINDOWS)) - {s.number for s in self.sub_bands}))

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the sub-bands, by number."""
        return tuple(s.path for s in self.sub_bands)


@dataclass(frozen=True)
class SubBandScan:
    """Result of a scan for sub-band files."""

    groups: tuple[SubBandGroup, ...]  #: Observations by time.
    rejected: dict[str, str]  #: Why files belong to no observation, by path.
    unsettled: dict[str, str]  #: Why files weren't touched yet, by path.
    n_read: int  #: Number of headers that were read and not taken from the cache.
    #: Number of files whose headers this scan had no time for; observations may lack them.
    n_left: int = 0


class HeaderCache:
    """Headers of files by name, size and modification time.

    Parameters
    ----------
    directory : Path
        The directory of the files.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.known: Known = {}
        self._grouped: tuple[tuple[SubBandGroup, ...], dict[str, str]] | None = None

    def replace(
        self, known: Known, *, changed: bool
    ) -> tuple[tuple[SubBandGroup, ...], dict[str, str]]:
        """Keep what a scan found, and return its groups and the rejected files.

        Parameters
        ----------
        known : dict
            Size, modification time, and header or reason, by name.
        changed : bool
            Whether files are new, beside those that are gone.
        """
        changed |= len(known) != len(self.known)
        self.known = known
        if changed or self._grouped is None:
            rejected = {
                str(self.directory / name): found
                for name, (_, _, found) in known.items()
                if isinstance(found, str)
            }
            groups, unlike = group_sub_bands(
                found for _, _, found in known.values() if not isinstance(found, str)
            )
            self._grouped = groups, rejected | unlike
        groups, rejected = self._grouped
        return groups, dict(rejected)

    def files_of(self, group: SubBandGroup) -> tuple[SubBandFile, ...]:
        """Return the files of a group with size and modification time, by number."""
        return tuple(
            SubBandFile(s.number, s.path, *self.known[s.path.name][:2]) for s in group.sub_bands
        )

    @classmethod
    def load(cls, file: Path, directory: Path) -> "HeaderCache":
        """Return the cache of a file; empty if it isn't there, damaged or of another version."""
        cache = cls(directory)
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            stored = json.loads(file.read_text())
            if stored["version"] != _CACHE_VERSION or stored["directory"] != str(directory):
                return cache
            known: Known = {}
            for name, (size, mtime_ns, found) in stored["files"].items():
                header = found
                if isinstance(found, list):
                    if len(found) != len(_FIELDS) - 1:
                        return cache
                    found[_POLARISATIONS] = tuple(found[_POLARISATIONS])
                    header = SubBand(directory / name, *found)
                if not isinstance(header, str | SubBand):
                    return cache
                known[name] = (int(size), int(mtime_ns), header)
            cache.known = known
        return cache

    def save(self, file: Path) -> None:
        """Write the cache to a file, completely or not at all."""
        files = {
            name: (size, mtime_ns, found if isinstance(found, str) else _values(found))
            for name, (size, mtime_ns, found) in self.known.items()
        }
        text = json.dumps(
            {"version": _CACHE_VERSION, "directory": str(self.directory), "files": files}
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        whole_file(file, lambda partial: partial.write_text(text))


_FIELDS = [f.name for f in fields(SubBand)]
_values = attrgetter(*_FIELDS[1:])
#: Its place after the path.
_POLARISATIONS = _FIELDS.index("polarisations") - 1


def scan_sub_bands(
    directory: Path,
    cache: HeaderCache,
    *,
    now_s: float,
    settle_age_s: float,
    deadline_s: float = math.inf,
    read: Callable[[Path], SubBand] = read_sub_band,
    say: Progress = no_progress,
) -> SubBandScan:
    """Scan a directory, without its subdirectories, for sub-band files.

    Parameters
    ----------
    directory : Path
        The directory.
    cache : HeaderCache
        Headers known from earlier scans; files that are gone are dropped from it, new ones added.
    now_s : float
        Time of this scan, seconds since 1970 (UTC).
    settle_age_s : float
        Time since the last modification after which a file counts as complete, seconds.
    deadline_s : float
        No header is read after this time of `time.monotonic`, seconds; the next scan continues.
    read : callable, optional
        Reads a header.
    say : callable, optional
        Called with progress.

    Raises
    ------
    ConfigurationError
        If the directory can't be listed.
    """
    unsettled: dict[str, str] = {}
    known: Known = {}
    fresh: list[tuple[str, int, int]] = []
    for name, size, mtime_ns in _files(directory):
        if _INCOMPLETE in name and Path(name).stem.endswith(_INCOMPLETE):
            unsettled[str(directory / name)] = "is still being written: its name says so"
            continue
        before = cache.known.get(name)
        if before is not None and before[0] == size and before[1] == mtime_ns:
            known[name] = before
        elif (age_s := now_s - mtime_ns / 1e9) < settle_age_s:
            unsettled[str(directory / name)] = (
                f"changed {age_s:.0f} s ago; {settle_age_s:.0f} s are required"
                if age_s >= 0
                else f"is dated {-age_s:.0f} s in the future: clocks differ, or it is growing"
            )
        else:
            fresh.append((name, size, mtime_ns))
    n_read = 0
    # By name, which is about by time: few observations are left in parts.
    for name, size, mtime_ns in sorted(fresh):
        if time.monotonic() > deadline_s:
            break
        if n_read % 100 == 0:
            say(f"reading header {n_read + 1} of {len(fresh)}", n_read / len(fresh))
        path = directory / name
        try:
            known[name] = (size, mtime_ns, read(path))
        except ObservationNotSettled as error:
            unsettled[str(path)] = error.message.removeprefix(f"{path} ")
        except UnreadableSubBand as error:
            if getattr(error.__cause__, "errno", None) in _OF_ITS_PLACE:
                unsettled[str(path)] = error.message.removeprefix(f"{path} ")
            elif path.exists():
                known[name] = (size, mtime_ns, error.message)
        n_read += 1
    groups, rejected = cache.replace(known, changed=n_read > 0)
    return SubBandScan(groups, rejected, unsettled, n_read, len(fresh) - n_read)


def read_group_of(files: Sequence[Path]) -> SubBandScan:
    """Read and group given files, which count as complete.

    Parameters
    ----------
    files : sequence of Path
        Sub-band files.
    """
    found, rejected, unsettled = [], {}, {}
    for path in files:
        try:
            found.append(read_sub_band(path))
        except ObservationNotSettled as error:
            unsettled[str(path)] = error.message.removeprefix(f"{path} ")
        except UnreadableSubBand as error:
            rejected[str(path)] = error.message
    groups, unlike = group_sub_bands(found)
    return SubBandScan(groups, rejected | unlike, unsettled, len(files))


def group_sub_bands(
    sub_bands: Iterable[SubBand],
) -> tuple[tuple[SubBandGroup, ...], dict[str, str]]:
    """Group sub-bands by the time of their first integration.

    Parameters
    ----------
    sub_bands : iterable of SubBand
        Sub-bands of any number of observations.

    Returns
    -------
    groups : tuple of SubBandGroup
        By time.
    rejected : dict of str to str
        Why sub-bands belong to no group, by path.
    """
    groups: list[SubBandGroup] = []
    rejected: dict[str, str] = {}
    together: list[SubBand] = []
    until_mjd = float("-inf")

    def close() -> None:
        kept, unlike = agreeing(together)
        rejected.update(unlike)
        groups.append(SubBandGroup(kept))

    for s in sorted(sub_bands, key=_first_mjd):
        if s.first_mjd > until_mjd:
            if together:
                close()
            together = []
            # Two observations can't begin within half an integration.
            until_mjd = s.first_mjd + 0.5 * s.integration_s / SECONDS_PER_DAY
        together.append(s)
    if together:
        close()
    return tuple(groups), rejected


def _first_mjd(s: SubBand) -> float:
    return s.first_mjd


def _files(directory: Path) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of the sub-band files."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith((".", "_")) or not name.lower().endswith(UVH5_ENDINGS):
                    continue
                try:
                    if entry.is_file():
                        status = entry.stat()
                        found.append((name, status.st_size, status.st_mtime_ns))
                except FileNotFoundError:
                    continue
    except OSError as error:
        raise ConfigurationError(
            f"the directory {directory} can't be listed: {error.strerror}", path=str(directory)
        ) from error
    return found
