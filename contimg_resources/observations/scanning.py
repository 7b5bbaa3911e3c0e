"""Find candidate observations in the MS directory; list other entries with the reason.

Belongs here: one scan of the names, up to a hundred thousand of them.
Doesn't: opening an MS, checking whether it is complete (see
`contimg_resources.observations.settling`).
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import ConfigurationError, InvalidName
from contimg_resources.core.naming import check_ms_name, is_ms_name, is_observation_name, without_ms
from contimg_resources.core.plain_text import plain_line
from contimg_resources.settings import ArrivalSettings


@dataclass(frozen=True)
class Candidate:
    """A directory with the name of an observation.

    Parameters
    ----------
    location : str
        Absolute path of the MS.
    stem : str
        Its name without ``.ms``, checked.
    done_marker : bool
        Whether its done-marker exists beside it.
    """

    location: str
    stem: str
    done_marker: bool

    @property
    def name(self) -> str:
        """Return its name, with its ``.ms``."""
        return self.location.rpartition(os.sep)[2]

    @property
    def path(self) -> Path:
        """Return the path of the MS, created on demand: most of many thousands are only counted."""
        return Path(self.location)


@dataclass(frozen=True)
class PassedOver:
    """An entry of the MS directory that isn't a candidate.

    Parameters
    ----------
    name : str
        Its name in the directory.
    kind : str
        One of `KINDS`: a few words, the same for all entries of the kind.
    reason : str
        Why it is passed over, without its name.
    """

    name: str
    kind: str
    reason: str


#: Kinds of entries that are passed over, with the default reason.
KINDS = {
    "intermediates": "has the name of an intermediate product, no observation",
    "hidden": "is hidden: its name begins with a dot or underscore",
    "other directories": "is a directory whose name doesn't end in .ms",
    "bad names": "has a name that can't be shown or quoted",
    "broken links": "is a link that leads nowhere",
    "unreadable": "can't be read",
    "UVH5": "is a sub-band file of the correlator: it belongs in the directory CONTIMG_UVH5_DIR",
    "files named as MS": "is a file; a MeasurementSet is a directory",
    "other files": "is a file",
}

#: Endings of the correlator's own files, which are converted to MS.
UVH5_ENDINGS = (".uvh5", ".hdf5")


@dataclass(frozen=True)
class Scan:
    """Result of one scan; iterates over its candidates.

    Parameters
    ----------
    candidates : tuple of Candidate
        Sorted by name, which is by time where names are UTC start times.
    passed_over : tuple of PassedOver
        All other entries but done-markers, sorted by kind and name.
    """

    candidates: tuple[Candidate, ...]
    passed_over: tuple[PassedOver, ...]

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)


def scan(ms_dir: Path, settings: ArrivalSettings | None = None) -> Scan:
    """Scan the names in a directory once, without its subdirectories.

    A recursive search would also find intermediate products and half-written ones. A link is
    treated as its target, wherever that is, but under the link's own name.

    Parameters
    ----------
    ms_dir : Path
        Directory in which observations arrive.
    settings : ArrivalSettings, optional
        Ending of the done-markers; None: the default.

    Raises
    ------
    ConfigurationError
        If the directory doesn't exist or can't be listed.
    """
    done_suffix = (settings or ArrivalSettings()).done_suffix
    found: list[tuple[str, str]] = []
    files: set[str] = set()
    over: list[PassedOver] = []
    try:
        with os.scandir(str(ms_dir.absolute())) as entries:
            for entry in entries:
                try:
                    if _is_file(entry):
                        files.add(entry.name)
                    elif (no := _why_not(entry)) is None:
                        found.append((entry.name, entry.path))
                    else:
                        over.append(no)
                except FileNotFoundError:
                    # It vanished meanwhile.
                    continue
                except OSError as error:
                    # A circular link, or one to a directory without permission.
                    reason = f"can't be read: {error.strerror}"
                    over.append(PassedOver(entry.name, "unreadable", reason))
    except OSError as error:
        near = next((p for p in ms_dir.absolute().parents if p.is_dir()), Path("/"))
        raise ConfigurationError(
            f"the MS directory {ms_dir} can't be listed: {error.strerror}; "
            f"its nearest directory that exists is {near}",
            path=str(ms_dir),
        ) from error
    candidates = tuple(
        Candidate(path, without_ms(name), name + done_suffix in files)
        for name, path in sorted(found)
    )
    over += [_file(name) for name in files if not _is_marker(name, done_suffix)]
    order = list(KINDS)
    return Scan(candidates, tuple(sorted(over, key=lambda o: (order.index(o.kind), o.name))))


def _is_file(entry: "os.DirEntry[str]") -> bool:
    if entry.name.startswith((".", "_")) or entry.is_dir():
        return False
    return not entry.is_symlink() or Path(entry.path).exists()


def _is_marker(name: str, done_suffix: str) -> bool:
    return name.endswith(done_suffix) and is_ms_name(name.removesuffix(done_suffix))


def _passed_over(name: str, kind: str, reason: str = "") -> PassedOver:
    return PassedOver(name, kind, reason or KINDS[kind])


def _file(name: str) -> PassedOver:
    if name.lower().endswith(UVH5_ENDINGS):
        return _passed_over(name, "UVH5")
    return _passed_over(name, "files named as MS" if is_ms_name(name) else "other files")


def _why_not(entry: "os.DirEntry[str]") -> PassedOver | None:
    """Return why an entry other than a plain file is no candidate; None when it is one."""
    name = entry.name
    if name.startswith((".", "_")):
        return _passed_over(name, "hidden")
    if not entry.is_dir():
        target = Path(entry.path).readlink()
        return _passed_over(name, "broken links", f"is a link to {target}, which doesn't exist")
    if name.lower().endswith(UVH5_ENDINGS):
        return _passed_over(name, "UVH5")
    if not is_ms_name(name):
        return _passed_over(name, "other directories")
    if not is_observation_name(name):
        return _passed_over(name, "intermediates")
    try:
        check_ms_name(name)
    except InvalidName as error:
        return _passed_over(name, "bad names", f"is left alone: {error.message}")
    return None


def say_passed_over(passed_over: Iterable[PassedOver], per_kind: int = 20) -> list[str]:
    """List the entries that were passed over with the reasons, up to a maximum of each kind.

    Parameters
    ----------
    passed_over : iterable of PassedOver
        Entries from a `Scan`.
    per_kind : int
        Maximum number listed per kind; the rest is only counted.
    """
    told: Counter[str] = Counter()
    lines = []
    for one in passed_over:
        told[one.kind] += 1
        if told[one.kind] <= per_kind:
            name = one.name if one.name.isprintable() else ascii(one.name)
            lines.append(plain_line(f"{name} {one.reason}"))
    return lines + [f"{n - per_kind} more {kind}" for kind, n in told.items() if n > per_kind]
