"""Caltables that lie beside a common prefix, as the original quick start registers them.

Belongs here: finding them and saying what set they make. Doesn't: opening them, SQL.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contimg_resources.calibration.tables import CaltableInfo, CaltableType
from contimg_resources.errors import InvalidName, RegistrationRefused
from contimg_resources.registry.checks import layout_of
from contimg_resources.registry.model import NewCaltable, NewCaltableSet

_HOURS_PER_DAY = 24.0
_SHOWN = 8


def tables_under_prefix(prefix: Path) -> tuple[NewCaltable, ...]:
    """Return the caltables beside a prefix, recognised by their endings, in apply order.

    Raises
    ------
    InvalidName
        If the prefix has ``..`` in it or names no file.
    RegistrationRefused
        If there are none, or two of the same type.
    """
    if ".." in prefix.parts or not prefix.name or "\0" in str(prefix):
        raise InvalidName(
            f"{str(prefix)!r} is no prefix of caltables: a directory and the begin of a name, "
            "without '..', was expected"
        )
    prefix = prefix.absolute()
    found = []
    for table_type in CaltableType:
        paths = [
            path
            for suffix in table_type.suffixes
            if (path := prefix.with_name(prefix.name + suffix)).exists()
        ]
        if len(paths) > 1:
            raise RegistrationRefused(
                f"there are two {table_type} tables under {prefix}: "
                f"{' and '.join(p.name for p in paths)}",
                prefix=str(prefix),
            )
        found += [NewCaltable(table_type, path) for path in paths]
    if not found:
        endings = ", ".join(s for t in CaltableType for s in t.suffixes)
        raise RegistrationRefused(
            f"there are no caltables under {prefix} (looked for {endings}); {_near(prefix)}",
            prefix=str(prefix),
        )
    return tuple(found)


def set_under_prefix(
    set_name: str,
    prefix: Path,
    tables: tuple[NewCaltable, ...],
    infos: Sequence[CaltableInfo],
    *,
    cal_field: str | None,
    refant: str | None,
    valid_start_mjd: float | None,
    valid_end_mjd: float | None,
    declination_deg: float | None,
    valid_before_h: float,
    valid_after_h: float,
    origin: dict[str, Any],
) -> NewCaltableSet:
    """Return the set that tables make, from what is inside them and what the user says."""
    start_mjd = min(info.start_mjd for info in infos)
    end_mjd = max(info.end_mjd for info in infos)
    if not (math.isfinite(start_mjd) and math.isfinite(end_mjd)):
        raise RegistrationRefused(
            f"the tables under {prefix} have no times, so no validity window follows from them",
            prefix=str(prefix),
        )
    mid_mjd = 0.5 * (start_mjd + end_mjd)
    return NewCaltableSet(
        name=set_name,
        calibrator=cal_field or _calibrator(infos, prefix),
        refant=refant or _refant(infos),
        mid_mjd=mid_mjd,
        start_mjd=(
            start_mjd - valid_before_h / _HOURS_PER_DAY
            if valid_start_mjd is None
            else valid_start_mjd
        ),
        end_mjd=end_mjd + valid_after_h / _HOURS_PER_DAY
        if valid_end_mjd is None
        else valid_end_mjd,
        declination_deg=declination_deg,
        layout=layout_of(infos),
        tables=tables,
        quality={t.type.value: _quality(i) for t, i in zip(tables, infos, strict=True)},
        origin={
            "prefix": str(prefix),
            "source_ms": sorted({i.source_ms for i in infos if i.source_ms}),
            **origin,
        },
    )


def _quality(info: CaltableInfo) -> dict[str, Any]:
    return {"n_solutions": info.n_solutions, "flagged_fraction": info.flagged_fraction}


def _calibrator(infos: Sequence[CaltableInfo], prefix: Path) -> str:
    everywhere = set.intersection(*(set(i.field_names) for i in infos))
    if len(everywhere) == 1:
        return everywhere.pop()
    # Delays and bandpasses are solved on the calibrator, gains often on other fields too.
    fields = sorted({name for i in infos for name in i.field_names})
    shown = ", ".join(fields[:_SHOWN]) + (", ..." if len(fields) > _SHOWN else "")
    raise RegistrationRefused(
        f"the tables under {prefix} hold solutions for {shown or 'no named field'}: "
        "say which is the calibrator field",
        prefix=str(prefix),
        fields=fields,
    )


def _refant(infos: Sequence[CaltableInfo]) -> str:
    named = Counter(i.refant for i in infos if i.refant)
    return named.most_common(1)[0][0] if named else ""


def _near(prefix: Path) -> str:
    if not prefix.parent.is_dir():
        return f"there is no directory {prefix.parent}"
    endings = tuple(s for t in CaltableType for s in t.suffixes)
    others = sorted(
        {
            p.name.removesuffix(e)
            for p in prefix.parent.iterdir()
            for e in endings
            if p.name.endswith(e)
        }
    )
    if not others:
        return f"{prefix.parent} holds no caltables"
    return f"prefixes in {prefix.parent}: {', '.join(others[:_SHOWN])}"
