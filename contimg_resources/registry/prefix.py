"""Caltables with a common path prefix, as registered by the original quick start.

Belongs here: finding the tables and describing the set. Doesn't: opening tables, SQL.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg_resources.core.errors import RegistrationRefused
from contimg_resources.instrument.caltables import (
    CaltableField,
    CaltableInfo,
    CaltableType,
    check_prefix,
    known_endings,
    split_ending,
    type_of_ending,
)
from contimg_resources.registry.checks import layout_of
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.settings import CalibrationSettings

_HOURS_PER_DAY = 24.0
_SHOWN = 8
#: Maximum difference in declination between fields of one strip, degrees.
_STRIP_DEG = 1.0

#: Endings in addition to contimg's own, by type.
Endings = Mapping[CaltableType, Sequence[str]]


@dataclass(frozen=True)
class UnderPrefix:
    """The files with a common prefix."""

    tables: tuple[NewCaltable, ...]  #: The caltables, in apply order.
    #: Names of all other files with the prefix, each with the reason why it was not taken.
    not_taken: dict[str, str]


def tables_under_prefix(prefix: Path, endings: Endings) -> UnderPrefix:
    """Find the caltables with a prefix, recognised by their endings.

    `endings` are those in addition to contimg's own.

    Raises
    ------
    InvalidName
        If the prefix has ``..`` in it or names no file.
    RegistrationRefused
        If there are none, or two of the same type.
    """
    check_prefix(prefix)
    prefix = prefix.absolute()
    claimed: dict[CaltableType, list[Path]] = {}
    not_taken = {}
    for path in sorted(_siblings(prefix)):
        kind = type_of_ending(path.name.removeprefix(prefix.name), endings)
        if kind is None:
            not_taken[path.name] = _why_not_taken(path, prefix, endings)
        else:
            claimed.setdefault(kind, []).append(path)
    problems = [
        f"there are two {kind} tables or more: {' and '.join(p.name for p in paths)}"
        for kind, paths in claimed.items()
        if len(paths) > 1
    ]
    if problems:
        raise RegistrationRefused(
            f"under {prefix} {'; '.join(problems)}; move away those not to be applied, or set in "
            "calibration.caltable_endings which ending counts",
            prefix=str(prefix),
            reasons=problems,
        )
    if not claimed:
        raise RegistrationRefused(
            f"there are no caltables under {prefix} (looked for "
            f"{', '.join(known_endings(endings))}); {_near(prefix, endings, not_taken)}",
            prefix=str(prefix),
            not_taken=not_taken,
        )
    tables = (NewCaltable(kind, claimed[kind][0]) for kind in CaltableType if kind in claimed)
    return UnderPrefix(tuple(tables), not_taken)


def _siblings(prefix: Path) -> list[Path]:
    try:
        return [p for p in prefix.parent.iterdir() if p.name.startswith(prefix.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RegistrationRefused(
            f"{prefix.parent} can't be listed: {error.strerror}", prefix=str(prefix)
        ) from error


def _why_not_taken(path: Path, prefix: Path, endings: Endings) -> str:
    if not path.exists():
        return "is a broken link"
    if not path.is_dir():
        return "is a file, no table"
    stated = _stated_kind(path)
    if stated is None:
        return "is a directory, but no CASA table"
    kind, subtype = stated
    if kind != "Calibration":
        return f"is a CASA table of type {kind!r}, not a caltable"
    split = split_ending(path.name, endings)
    if split is not None:
        return f"is a {split[1]} table of another prefix, {split[0]}"
    ending = path.name.removeprefix(prefix.name)
    return (
        f"holds {subtype!r} solutions, and its ending {ending!r} stands for no type "
        "(calibration.caltable_endings)"
    )


def _stated_kind(path: Path) -> tuple[str, str] | None:
    """Return type and subtype of a CASA table; None if it isn't one."""
    if not (path / "table.dat").is_file():
        return None
    try:
        text = (path / "table.info").read_text(errors="replace")
    except OSError:
        text = ""
    found = [
        re.search(rf"^{word} *= *(\S.*?) *$", text, re.MULTILINE) for word in ("Type", "SubType")
    ]
    kind, subtype = ("unknown" if match is None else match.group(1) for match in found)
    return kind, subtype


def set_under_prefix(
    set_name: str,
    prefix: Path,
    found: UnderPrefix,
    infos: Sequence[CaltableInfo],
    *,
    cal_field: str | None,
    refant: str | None,
    valid_start_mjd: float | None,
    valid_end_mjd: float | None,
    declination_deg: float | None,
    any_declination: bool,
    settings: CalibrationSettings,
    origin: dict[str, Any],
) -> NewCaltableSet:
    """Return the set of the found tables, from their content and the user's options."""
    start_mjd = min(info.start_mjd for info in infos)
    end_mjd = max(info.end_mjd for info in infos)
    if not (math.isfinite(start_mjd) and math.isfinite(end_mjd)):
        raise RegistrationRefused(
            f"the tables under {prefix} have no times to derive a validity window from",
            prefix=str(prefix),
        )
    mid_mjd = 0.5 * (start_mjd + end_mjd)
    fields = [field for info in infos for field in info.fields]
    calibrator = cal_field or _calibrator(infos, prefix)
    if declination_deg is None and not any_declination:
        declination_deg = _declination(fields, calibrator, prefix)
    return NewCaltableSet(
        name=set_name,
        calibrator=calibrator,
        refant=refant or _refant(infos),
        mid_mjd=mid_mjd,
        start_mjd=(
            start_mjd - settings.valid_before_h / _HOURS_PER_DAY
            if valid_start_mjd is None
            else valid_start_mjd
        ),
        end_mjd=end_mjd + settings.valid_after_h / _HOURS_PER_DAY
        if valid_end_mjd is None
        else valid_end_mjd,
        declination_deg=None if any_declination else declination_deg,
        layout=layout_of(infos),
        tables=found.tables,
        quality={
            "working_antennas": max(i.quality.n_antennas_solved for i in infos),
            "tables": {
                t.type.value: asdict(i.quality) for t, i in zip(found.tables, infos, strict=True)
            },
        },
        origin={
            "prefix": str(prefix.absolute()),
            "source_ms": sorted({i.source_ms for i in infos if i.source_ms}),
            "declination_of_tables_deg": sorted({f.dec_deg for f in fields if f.dec_deg}),
            "not_taken": found.not_taken,
            **origin,
        },
    )


def _calibrator(infos: Sequence[CaltableInfo], prefix: Path) -> str:
    everywhere = set.intersection(*({f.name for f in i.fields} for i in infos))
    if len(everywhere) == 1:
        return everywhere.pop()
    # Delays and bandpasses are solved on the calibrator, gains often on other fields too.
    fields = sorted({f.name for i in infos for f in i.fields})
    shown = ", ".join(fields[:_SHOWN]) + (", ..." if len(fields) > _SHOWN else "")
    raise RegistrationRefused(
        f"the tables under {prefix} hold solutions for {shown or 'no named field'}: "
        "name the calibrator field",
        prefix=str(prefix),
        fields=fields,
    )


def _declination(fields: Sequence[CaltableField], calibrator: str, prefix: Path) -> float:
    """Return the declination strip of the tables: that of the calibrator's field or fields.

    If the fields have other names than the calibrator, as in a drift scan, all of them count.
    """
    own = [f for f in fields if f.name == calibrator] or list(fields)
    untold = next((f for f in own if f.dec_deg is None), None)
    decs_deg = [f.dec_deg for f in own if f.dec_deg is not None]
    what = None
    if untold is not None:
        what = f"give no position of field {untold.name}: {untold.problem}"
    elif not decs_deg:
        what = "have no field with a position"
    elif max(decs_deg) - min(decs_deg) > _STRIP_DEG:
        what = (
            f"are of more than one strip, declinations {min(decs_deg):+.2f} to "
            f"{max(decs_deg):+.2f} deg"
        )
    if what is not None:
        raise RegistrationRefused(
            f"the tables under {prefix} {what}; give the declination (--dec-deg), or allow any "
            "declination (--any-dec), as for an array that tracks",
            prefix=str(prefix),
        )
    return sum(decs_deg) / len(decs_deg)


def _refant(infos: Sequence[CaltableInfo]) -> str:
    named = Counter(i.refant for i in infos if i.refant)
    return named.most_common(1)[0][0] if named else ""


def _near(prefix: Path, endings: Endings, not_taken: Mapping[str, str]) -> str:
    if not prefix.parent.is_dir():
        return f"there is no directory {prefix.parent}"
    if not_taken:
        told = [f"{name} {why}" for name, why in list(not_taken.items())[:_SHOWN]]
        return f"other files with this prefix: {'; '.join(told)}"
    split = (split_ending(p.name, endings) for p in prefix.parent.iterdir())
    others = sorted({found[0] for found in split if found is not None})
    if not others:
        return f"{prefix.parent} holds no caltables"
    return f"prefixes in {prefix.parent}: {', '.join(others[:_SHOWN])}"
