"""Open caltables and describe their contents.

Belongs here: reading a caltable as CASA wrote it, in a CASA process.
Doesn't: checking their quality (see `contimg_resources.calibration.quality` and the registry).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.quality import measure_quality
from contimg_resources.calibration.solutions import Solutions
from contimg_resources.core.arrays import Bools
from contimg_resources.core.errors import InvalidName, RegistrationRefused, UnreadableObservation
from contimg_resources.core.times import mjd_from_casa_seconds
from contimg_resources.instrument.caltables import ArrayLayout, CaltableField, CaltableInfo
from contimg_resources.observations.casa_table import OpenTable
from contimg_resources.observations.phase_centres import phase_centre_deg


def inspect_caltables(paths: list[Path]) -> list[CaltableInfo]:
    """Open each caltable and describe it, in order; call through `contimg_resources.casa.Casa.run`.

    The tables are of one set: an antenna works when one of them has a solution for it.

    Raises
    ------
    RegistrationRefused
        If a path isn't a caltable, can't be read completely, or holds non-finite solutions; the
        message names the first such path and the reason.
    """
    return describe_caltables(paths)


def describe_caltables(paths: Sequence[Path], working: Bools | None = None) -> list[CaltableInfo]:
    """Describe the caltables of a set; see `inspect_caltables`. Runs in a CASA process.

    `working`, shape (n_antennas,), are the antennas that have data; None: those that have a
    solution in one of the tables.
    """
    read = [_open(path) for path in paths]
    if working is None:
        working = np.zeros(max((len(r.layout.antenna_names) for r in read), default=0), np.bool_)
        for one in read:
            working[one.solutions.working_antennas()] = True
    return [one.described(working) for one in read]


def inspect_caltable(path: Path) -> CaltableInfo:
    """Describe one caltable; see `inspect_caltables`. Runs in a CASA process."""
    return describe_caltables([path])[0]


@dataclass(frozen=True)
class _Read:
    """One caltable as read, before it is measured."""

    path: Path
    casa_subtype: str
    solutions: Solutions
    layout: ArrayLayout
    window_width_hz: float
    span_mjd: tuple[float, float]
    fields: tuple[CaltableField, ...]
    source_ms: str
    refant: str

    def described(self, working: Bools) -> CaltableInfo:
        names = self.layout.antenna_names
        # The registry later refuses tables of different antennas.
        known = np.zeros(len(names), np.bool_)
        known[: working.size] = working[: len(names)]
        return CaltableInfo(
            path=self.path,
            casa_subtype=self.casa_subtype,
            quality=measure_quality(
                self.solutions,
                self.casa_subtype,
                known,
                np.array([bool(name) for name in names], np.bool_),
                self.window_width_hz,
            ),
            identity_fraction=self.solutions.identity_fraction(self.casa_subtype),
            layout=self.layout,
            start_mjd=self.span_mjd[0],
            end_mjd=self.span_mjd[1],
            fields=self.fields,
            source_ms=self.source_ms,
            refant=self.refant,
        )


def _open(path: Path) -> _Read:
    _check_directory(path)
    try:
        return _read(path)
    except RegistrationRefused:
        raise
    except (UnreadableObservation, RuntimeError, KeyError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise _refusal(path, f"can't be read: {reason}") from error


def _refusal(path: Path, reason: str) -> RegistrationRefused:
    return RegistrationRefused(f"caltable {path} {reason}", path=str(path), reason=reason)


def _check_directory(path: Path) -> None:
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*cal")) if path.parent.is_dir() else []
        beside = f"; beside it: {', '.join(near[:8])}" if near else ""
        raise _refusal(path, f"does not exist{beside}")
    if not path.is_dir():
        raise _refusal(path, "is a file; a CASA table is a directory")
    if not (path / "table.dat").is_file():
        raise _refusal(path, "is no CASA table: it has no table.dat")


def _read(path: Path) -> _Read:
    from casatools import table

    tb: Any = table()
    # Inspection must neither wait for nor lock out a process that applies the table.
    tb.open(str(path), lockoptions={"option": "usernoread"})
    try:
        stated = tb.info()
        if stated.get("type") != "Calibration" or "VisCal" not in tb.keywordnames():
            kind = stated.get("type") or "unknown"
            raise _refusal(path, f"is a CASA table of type {kind!r}, not a caltable")
        if tb.nrows() == 0:
            raise _refusal(path, "has no solutions: it has no rows")
        subtype = str(tb.getkeyword("VisCal"))
        if stated.get("subType") not in ("", None, subtype):
            raise _refusal(
                path,
                f"contradicts itself: its keyword VisCal is {subtype!r}, its table.info "
                f"{stated['subType']!r}",
            )
        source_ms = Path(str(tb.getkeyword("MSName"))).name if "MSName" in tb.keywordnames() else ""
        solutions = Solutions.read(tb)
        antenna2 = np.asarray(tb.getcol("ANTENNA2"))
        field_ids = sorted({int(f) for f in tb.getcol("FIELD_ID")})
    finally:
        tb.close()
    # A blank name is only padding of the table.
    names = tuple(
        name if name.strip() else "" for name in _subtable_column(path, "ANTENNA", "NAME")
    )
    if not 0 <= solutions.antennas.min() <= solutions.antennas.max() < len(names):
        raise _refusal(
            path,
            f"has {len(names)} antennas, but ANTENNA1 goes from {solutions.antennas.min()} to "
            f"{solutions.antennas.max()}",
        )
    bad = int((~np.isfinite(solutions.values) & ~solutions.flags).sum())
    if bad:
        raise _refusal(path, f"holds {bad} unflagged solutions that are not finite")
    times = solutions.times_s[solutions.times_s > 0]
    try:
        start, end = (mjd_from_casa_seconds(float(t)) for t in (times.min(), times.max()))
    except (InvalidName, ValueError) as error:
        raise _refusal(path, "has no possible observing date in its TIME column") from error
    windows, width_hz = _spectral_windows(path, np.unique(solutions.windows).tolist())
    return _Read(
        path=path,
        casa_subtype=subtype,
        solutions=solutions,
        layout=ArrayLayout(antenna_names=names, spectral_windows_hz=windows),
        window_width_hz=width_hz,
        span_mjd=(start, end),
        fields=_fields(path, field_ids, float(np.median(times))),
        source_ms=source_ms,
        refant=_most_common_name(antenna2, names),
    )


def _fields(path: Path, ids: Sequence[int], time_s: float) -> tuple[CaltableField, ...]:
    """Return the fields with solutions and their positions; unknown positions have a reason."""
    found = []
    with OpenTable(path / "FIELD", path, quiet=True) as table:
        names = [str(name) for name in table.column("NAME")] if table.n_rows else []
        for field_id in (i for i in ids if 0 <= i < len(names)):
            try:
                _, dec_deg = phase_centre_deg(table, field_id, time_s)
                found.append(CaltableField(names[field_id], dec_deg))
            except UnreadableObservation as error:
                reason = re.sub(r"^.*?sub-table FIELD: ", "", error.message)
                found.append(CaltableField(names[field_id], None, reason))
    return tuple(found)


def _subtable_column(path: Path, subtable: str, column: str) -> tuple[str, ...]:
    from casatools import table

    tb: Any = table()
    tb.open(str(path / subtable), lockoptions={"option": "usernoread"})
    try:
        return tuple(str(v) for v in tb.getcol(column))
    finally:
        tb.close()


def _spectral_windows(
    path: Path, ids: Sequence[int]
) -> tuple[tuple[tuple[float, float, int], ...], float]:
    """Return the windows of these rows, by frequency, and their median width, Hz."""
    from casatools import table

    tb: Any = table()
    tb.open(str(path / "SPECTRAL_WINDOW"), lockoptions={"option": "usernoread"})
    try:
        if not 0 <= min(ids) <= max(ids) < tb.nrows():
            raise _refusal(
                path,
                f"has {tb.nrows()} spectral windows, but solutions for {min(ids)} to {max(ids)}",
            )
        windows = [np.asarray(tb.getcell("CHAN_FREQ", i)) for i in ids]
        widths = [
            np.ptp(hz) + np.median(np.abs(tb.getcell("CHAN_WIDTH", i)))
            for i, hz in zip(ids, windows, strict=True)
        ]
    finally:
        tb.close()
    spans = sorted((float(hz.min()), float(hz.max()), int(hz.size)) for hz in windows)
    return tuple(spans), float(np.median(widths))


def _most_common_name(antenna2: NDArray[Any], names: tuple[str, ...]) -> str:
    counts = Counter(int(a) for a in antenna2 if 0 <= a < len(names))
    return names[counts.most_common(1)[0][0]] if counts else ""
