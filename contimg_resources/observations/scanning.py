"""Which directories under the MS directory may be observations.

Belongs here: one look at the names, a hundred thousand of them if need be.
Doesn't: looking into an MS, and whether it is complete (see
`contimg_resources.observations.settling`).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.errors import ConfigurationError, InvalidName
from contimg_resources.naming import check_name, is_observation_name


@dataclass(frozen=True)
class Candidate:
    """A directory that has the name of an observation.

    Parameters
    ----------
    location : str
        Absolute path of the MS.
    stem : str
        Its name without ``.ms``, checked.
    done_marker : bool
        Whether its done-marker lies beside it.
    """

    location: str
    stem: str
    done_marker: bool

    @property
    def path(self) -> Path:
        """The MS; made when it's asked for, since most of ten thousands are only counted."""
        return Path(self.location)


@dataclass(frozen=True)
class Scan:
    """What one look found; iterates over its candidates.

    Parameters
    ----------
    candidates : tuple of Candidate
        Sorted by name, which is by time where names are UTC starts.
    intermediates : int
        Directories ending in ``.ms`` that have the name of an intermediate product.
    hidden : int
        Names that begin with a dot or underscore.
    files : int
        Plain files, done-markers among them.
    other_directories : int
        Directories that don't end in ``.ms``.
    bad_names : int
        Directories ending in ``.ms`` whose name isn't safe (see `contimg_resources.naming`).
    links_out : int
        Symbolic links that lead nowhere or out of the directory.
    """

    candidates: tuple[Candidate, ...]
    intermediates: int
    hidden: int
    files: int
    other_directories: int
    bad_names: int
    links_out: int

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def passed_over(self) -> dict[str, int]:
        """Counts of whatever is no candidate, without the zeros, ready for a log line."""
        counts = {
            "intermediates": self.intermediates,
            "hidden": self.hidden,
            "files": self.files,
            "other directories": self.other_directories,
            "bad names": self.bad_names,
            "links out": self.links_out,
        }
        return {kind: n for kind, n in counts.items() if n}


def scan(ms_dir: Path, done_suffix: str = ".done") -> Scan:
    """Look once at the names in a directory; not into its subdirectories.

    A recursive search would also catch intermediate products and half-written ones.

    Parameters
    ----------
    ms_dir : Path
        Where observations arrive.
    done_suffix : str
        What a done-marker's name adds to the MS's.

    Raises
    ------
    ConfigurationError
        If the directory isn't there or can't be listed.
    """
    found: list[tuple[str, str]] = []
    plain_files: set[str] = set()
    counts = dict.fromkeys(
        ("intermediates", "hidden", "other_directories", "bad_names", "links_out"), 0
    )
    try:
        with os.scandir(str(ms_dir.absolute())) as entries:
            for entry in entries:
                kind = _kind(entry, ms_dir)
                if kind == "file":
                    plain_files.add(entry.name)
                elif kind == "candidate":
                    found.append((entry.name, entry.path))
                elif kind is not None:
                    counts[kind] += 1
    except OSError as error:
        near = next((p for p in ms_dir.absolute().parents if p.is_dir()), Path("/"))
        raise ConfigurationError(
            f"the MS directory {ms_dir} can't be listed: {error.strerror}; "
            f"its nearest directory that exists is {near}",
            path=str(ms_dir),
        ) from error
    candidates = tuple(
        Candidate(path, name.removesuffix(".ms"), name + done_suffix in plain_files)
        for name, path in sorted(found)
    )
    return Scan(candidates=candidates, files=len(plain_files), **counts)


def _kind(entry: "os.DirEntry[str]", ms_dir: Path) -> str | None:
    """Return what an entry is; None when it vanished meanwhile."""
    try:
        if entry.name.startswith((".", "_")):
            return "hidden"
        if entry.is_symlink() and not _stays_inside(Path(entry.path), ms_dir):
            return "links_out"
        if not entry.is_dir():
            return "file"
    except FileNotFoundError:
        return None
    if not entry.name.endswith(".ms"):
        return "other_directories"
    if not is_observation_name(entry.name):
        return "intermediates"
    try:
        check_name(entry.name.removesuffix(".ms"))
    except InvalidName:
        return "bad_names"
    return "candidate"


def _stays_inside(link: Path, ms_dir: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(ms_dir.resolve())
    except (OSError, RuntimeError):
        return False
