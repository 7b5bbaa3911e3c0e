"""Verify that caltables on disk are unchanged since their registration.

Belongs here: comparing files with checksums. Doesn't: SQL, what to do about a difference.
"""

from collections.abc import Sequence
from pathlib import Path

from contimg_resources.core.checksums import StatSignature, content_checksum, stat_signature
from contimg_resources.core.errors import RegistrationRefused
from contimg_resources.registry.model import (
    CaltableSet,
    NewCaltable,
    RegisteredCaltable,
    TableProblem,
)


class TableChecker:
    """Compares tables with their checksums, and remembers the files already read."""

    def __init__(self) -> None:
        self._verified: dict[tuple[Path, str], StatSignature] = {}

    def problems(self, chosen: CaltableSet, *, thorough: bool) -> list[TableProblem]:
        """Return the problems of the tables of a set.

        If `thorough` every byte is read; else only files that changed since they were last read.
        """
        return [
            TableProblem(chosen.name, chosen.version, table.type, table.path, problem)
            for table in chosen.tables
            if (problem := self._problem(table, thorough))
        ]

    def _problem(self, table: RegisteredCaltable, thorough: bool) -> str:
        known = (table.path, table.checksum)
        try:
            if not table.path.is_dir():
                return "is gone"
            signature = stat_signature(table.path)
            if not thorough and self._verified.get(known) == signature:
                return ""
            if content_checksum(table.path) != table.checksum:
                return "was changed after it was registered"
        except OSError as error:
            return f"can't be read: {error.strerror}"
        self._verified[known] = signature
        return ""


def take_signatures(tables: Sequence[NewCaltable]) -> dict[Path, StatSignature]:
    """Return the signature of each table.

    Raises
    ------
    RegistrationRefused
        Naming every path that is not a directory with readable files.
    """
    if problems := [problem for t in tables if (problem := _missing(t.path))]:
        raise RegistrationRefused("; ".join(problems), reasons=problems)
    return {t.path: stat_signature(t.path) for t in tables}


def take_checksums(signatures: dict[Path, StatSignature]) -> dict[Path, str]:
    """Return the checksum of each table; the signatures were taken before the tables were opened.

    Raises
    ------
    RegistrationRefused
        Naming every table that was written since.
    """
    try:
        checksums = {path: content_checksum(path) for path in signatures}
        changed = [path for path, before in signatures.items() if stat_signature(path) != before]
    except OSError as error:
        raise RegistrationRefused(
            f"{error.filename} can't be read: {error.strerror}", reasons=[str(error)]
        ) from error
    if changed:
        problems = [f"{path} changed while it was being registered" for path in changed]
        raise RegistrationRefused("; ".join(problems), reasons=problems)
    return checksums


def _missing(path: Path) -> str:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"{str(path)!r} is no UTF-8 path"
    if not path.exists():
        return f"{path} does not exist"
    if not path.is_dir():
        return f"{path} is no directory, so no caltable"
    try:
        return "" if stat_signature(path) else f"{path} is an empty directory"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
