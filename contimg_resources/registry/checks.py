"""Check whether a caltable set may be registered, and whether its tables are unchanged since.

Belongs here: checks of the description of a set and the content of its tables, one refusal that
lists all problems, and comparing files with checksums. Doesn't: opening tables, SQL, what to do
about a difference.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from contimg_resources.core.checksums import StatSignature, content_checksum, stat_signature
from contimg_resources.core.errors import InvalidName, RegistrationRefused
from contimg_resources.core.naming import check_name
from contimg_resources.core.times import check_mjd
from contimg_resources.instrument.caltables import (
    ArrayLayout,
    CaltableInfo,
    CaltableType,
    names_fit,
)
from contimg_resources.registry.model import (
    CaltableSet,
    NewCaltable,
    NewCaltableSet,
    RegisteredCaltable,
    TableProblem,
)
from contimg_resources.settings import CalibrationSettings

_TOLERANCE_HZ = 1e3
_MAX_TEXT = 128


@dataclass(frozen=True)
class RegistrationLimits:
    """Limits that a table must satisfy to be registered."""

    #: Limits for a solve, which also apply to tables from elsewhere.
    gates: CalibrationSettings = field(default_factory=CalibrationSettings)
    #: Maximum fraction of solutions that are exactly 1 (0 for delays). Those of the reference
    #: antenna always are; those of a whole table only when nothing was solved.
    max_identity_fraction: float = 0.9
    #: Maximum distance of a table's solutions from the set's mid-MJD, days.
    max_offset_days: float = 1.0


def problems_of_statement(new: NewCaltableSet) -> list[str]:
    """Return the problems of a set that show before any table is opened."""
    found = []
    try:
        check_name(new.name, "caltable set name")
    except InvalidName as error:
        found.append(error.message)
    for what, text in (("calibrator", new.calibrator), ("reference antenna", new.refant)):
        if len(text) > _MAX_TEXT or not text.isprintable():
            found.append(f"{text[:40]!r} is no {what}: at most {_MAX_TEXT} printable characters")
    found += _problems_of_window(new)
    if new.declination_deg is not None and not -90 <= new.declination_deg <= 90:
        found.append(f"declination {new.declination_deg} deg is outside -90 to 90")
    if not new.tables:
        found.append("it has no tables")
    for table_type, count in Counter(t.type for t in new.tables).items():
        if count > 1:
            found.append(f"it has {count} tables of type {table_type}, at most one may be")
    for path, count in Counter(t.path for t in new.tables).items():
        if count > 1:
            found.append(f"{path} is given for {count} types")
    return found


def _problems_of_window(new: NewCaltableSet) -> list[str]:
    for what, mjd in (
        ("mid_mjd", new.mid_mjd),
        ("start_mjd", new.start_mjd),
        ("end_mjd", new.end_mjd),
    ):
        try:
            check_mjd(mjd)
        except InvalidName as error:
            return [f"{what}: {error.message}"]
    if not new.start_mjd <= new.mid_mjd <= new.end_mjd:
        return [
            f"its window {new.start_mjd:.5f} to {new.end_mjd:.5f} does not hold its own mid-MJD "
            f"{new.mid_mjd:.5f}"
        ]
    return []


def layout_of(infos: Sequence[CaltableInfo]) -> ArrayLayout:
    """Return the layout of a set: that of the table with the most channels."""
    return max(infos, key=lambda i: sum(w[2] for w in i.layout.spectral_windows_hz)).layout


def problems_of_tables(
    new: NewCaltableSet,
    infos: Mapping[CaltableType, CaltableInfo],
    layout: ArrayLayout,
    limits: RegistrationLimits,
) -> list[str]:
    """Return the problems of the tables of a set, given their content."""
    found = []
    for table in new.tables:
        info = infos[table.type]
        problems = (
            *_problems_of_solutions(table, info, limits),
            *_problems_of_time(new.mid_mjd, info, limits),
            *_problems_of_layout(info.layout, layout),
        )
        if problems:
            found.append(f"{table.type} table {table.path}: {'; '.join(problems)}")
    flux, phases = infos.get(CaltableType.FLUX), infos.get(CaltableType.GP)
    if flux and phases and flux.quality.holds_amplitude and phases.quality.holds_amplitude:
        found.append(
            f"{flux.path} is a gain on another flux scale, and {phases.path} holds amplitudes too: "
            "together they would apply the amplitudes twice; leave one of them out"
        )
    return found


def _problems_of_solutions(
    table: NewCaltable, info: CaltableInfo, limits: RegistrationLimits
) -> list[str]:
    # Looking sets up needs no numpy.
    from contimg_resources.calibration.quality import check_quality

    expected = table.type.casa_subtypes
    if info.casa_subtype not in expected:
        return [f"it holds {info.casa_subtype!r} solutions, not {' or '.join(expected)}"]
    if reasons := check_quality(table.type, info.quality, limits.gates):
        return [reason.removeprefix(f"{table.type}: ") for reason in reasons]
    if not info.identity_fraction <= limits.max_identity_fraction:
        return [
            f"{_percent(info.identity_fraction)} of its solutions are exactly "
            f"{'0' if table.type is CaltableType.K else '1'}: nothing was solved"
        ]
    return []


def _problems_of_time(mid_mjd: float, info: CaltableInfo, limits: RegistrationLimits) -> list[str]:
    # NaN in either time also fails the comparison.
    reach = limits.max_offset_days
    if info.start_mjd - reach <= mid_mjd <= info.end_mjd + reach:
        return []
    return [
        f"its solutions are of MJD {info.start_mjd:.5f} to {info.end_mjd:.5f}, more than "
        f"{reach:g} d from the set's mid-MJD {mid_mjd:.5f}"
    ]


def _problems_of_layout(table: ArrayLayout, whole: ArrayLayout) -> list[str]:
    found = []
    if not names_fit(table.antenna_names, whole.antenna_names):
        found.append(
            f"its {len(table.antenna_names)} antennas are not the set's "
            f"{len(whole.antenna_names)} in the same order"
        )
    windows = whole.spectral_windows_hz
    if not windows or not table.spectral_windows_hz:
        found.append("it has no spectral windows" if windows else "the set has none")
        return found
    combined = len(table.spectral_windows_hz) < len(windows)
    spans = [(low, high) for low, high, _ in windows]
    if combined:  # solved with combine="spw": one window represents many
        spans.append((min(s[0] for s in spans), max(s[1] for s in spans)))
    outside = [
        window
        for window in table.spectral_windows_hz
        if not any(
            low - _TOLERANCE_HZ <= window[0] and window[1] <= high + _TOLERANCE_HZ
            for low, high in spans
        )
    ]
    if outside or len(table.spectral_windows_hz) > len(windows):
        first = (outside or list(table.spectral_windows_hz))[0]
        found.append(
            f"its {len(table.spectral_windows_hz)} spectral windows do not lie within the set's "
            f"{len(windows)} (such as {first[0] / 1e6:.3f}-{first[1] / 1e6:.3f} MHz)"
        )
    return found


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %" if math.isfinite(fraction) else "an unknown share"


@contextmanager
def of_set(name: str) -> Iterator[None]:
    """Prefix the message of a refusal with the name of the set."""
    try:
        yield
    except RegistrationRefused as error:
        raise RegistrationRefused(
            f"caltable set {name} was not registered: {error.message}", set=name, **error.details
        ) from error


def refuse(new: NewCaltableSet, problems: Sequence[str]) -> None:
    """Refuse a set that has problems.

    Raises
    ------
    RegistrationRefused
        Naming all problems.
    """
    if problems:
        raise RegistrationRefused(
            f"caltable set {new.name} was not registered: {'; '.join(problems)}",
            set=new.name,
            reasons=list(problems),
        )


def with_absolute_paths(new: NewCaltableSet) -> NewCaltableSet:
    """Return a set with absolute paths of its tables."""
    return replace(new, tables=tuple(replace(t, path=t.path.absolute()) for t in new.tables))


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
