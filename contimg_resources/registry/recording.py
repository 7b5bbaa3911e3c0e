"""Writing sets and their history, within a transaction of the caller.

Belongs here: inserts and updates. Doesn't: deciding whether a set may be registered.
"""

import getpass
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.database import now_mjd
from contimg_resources.instrument.caltables import ArrayLayout, CaltableType
from contimg_resources.registry.model import NewCaltableSet, SetStatus
from contimg_resources.registry.rows import layout_digest
from contimg_resources.registry.tables import caltable_sets, caltables, layouts, set_events

#: First words of the reason of a version that was retired by a newer one.
REPLACED = "replaced by version"


def next_version(connection: sa.Connection, name: str) -> int:
    """Return the next version number of a name."""
    newest = connection.scalar(
        sa.select(sa.func.max(caltable_sets.c.version)).where(caltable_sets.c.name == name)
    )
    return 1 + int(newest or 0)


def insert_set(
    connection: sa.Connection,
    new: NewCaltableSet,
    layout: ArrayLayout,
    checksums: Mapping[Path, str],
    status: SetStatus,
    reasons: tuple[str, ...],
) -> int:
    """Add the next version of a set and return its row; an active one replaces its predecessor.

    `quality` and `origin` of `new` are plain JSON already.
    """
    version = next_version(connection, new.name)
    if status is SetStatus.ACTIVE:
        retire_active(connection, new.name, f"{REPLACED} {version}")
    set_id = _inserted(
        connection,
        caltable_sets,
        {
            "name": new.name,
            "version": version,
            "status": status,
            "calibrator": new.calibrator,
            "refant": new.refant,
            "mid_mjd": float(new.mid_mjd),
            "start_mjd": float(new.start_mjd),
            "end_mjd": float(new.end_mjd),
            "reach_days": float(max(new.end_mjd - new.mid_mjd, new.mid_mjd - new.start_mjd)),
            "declination_deg": (
                None if new.declination_deg is None else float(new.declination_deg)
            ),
            "layout_id": _layout_id(connection, layout),
            "registered_mjd": now_mjd(),
            "reasons": list(reasons),
            "quality": new.quality,
            "origin": new.origin,
        },
    )
    _insert_tables(connection, set_id, new, checksums)
    event = "registered" if status is SetStatus.ACTIVE else "failed"
    _add_event(connection, set_id, event, "; ".join(reasons))
    return set_id


def _inserted(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    key = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _layout_id(connection: sa.Connection, layout: ArrayLayout) -> int:
    digest = layout_digest(layout)
    known = connection.scalar(sa.select(layouts.c.id).where(layouts.c.digest == digest))
    if known is not None:
        return int(known)
    return _inserted(
        connection,
        layouts,
        {
            "digest": digest,
            "antenna_names": list(layout.antenna_names),
            "spectral_windows_hz": [list(w) for w in layout.spectral_windows_hz],
        },
    )


def _insert_tables(
    connection: sa.Connection, set_id: int, new: NewCaltableSet, checksums: Mapping[Path, str]
) -> None:
    scaled = any(t.type is CaltableType.FLUX for t in new.tables)
    rows = [
        {
            "set_id": set_id,
            "type": t.type,
            "path": t.path,
            "apply_order": t.type.apply_order,
            # FLUX is the rescaled GA: applying both would apply the gain twice.
            "applied": not (scaled and t.type is CaltableType.GA),
            "checksum": checksums[t.path],
        }
        for t in new.tables
    ]
    if rows:
        connection.execute(sa.insert(caltables), rows)


def retire_active(connection: sa.Connection, name: str, reason: str) -> None:
    """Retire the active version of a name, if there is one."""
    columns = caltable_sets.c
    active = connection.scalars(
        sa.select(columns.id).where(columns.name == name, columns.status == SetStatus.ACTIVE)
    ).all()
    for set_id in active:
        connection.execute(
            sa.update(caltable_sets)
            .where(columns.id == set_id)
            .values(status=SetStatus.RETIRED, reasons=[reason])
        )
        _add_event(connection, set_id, "retired", reason)


def _add_event(connection: sa.Connection, set_id: int, event: str, reason: str) -> None:
    user = str(os.getuid()) if hasattr(os, "getuid") else ""
    with suppress(KeyError, OSError):  # a container's user may have no name
        user = getpass.getuser()
    connection.execute(
        sa.insert(set_events).values(
            set_id=set_id,
            event=event,
            at_mjd=now_mjd(),
            reason=reason,
            host=socket.gethostname(),
            pid=os.getpid(),
            user=user,
        )
    )
