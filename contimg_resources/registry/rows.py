"""Convert rows to records, and load caltable sets.

Belongs here: reading sets and layouts into the model; the cache of layouts of a process,
and finding a version of a set. Doesn't: which set applies (see `lookup`).
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.errors import SetNotFound
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.registry.model import CaltableSet, RegisteredCaltable, SetStatus
from contimg_resources.registry.tables import caltable_sets, caltables, layouts

_CHUNK = 500


def layout_digest(layout: ArrayLayout) -> str:
    """Return a digest that identifies a layout in the database."""
    text = json.dumps([list(layout.antenna_names), [list(w) for w in layout.spectral_windows_hz]])
    return hashlib.sha256(text.encode()).hexdigest()


def layout_from_row(row: Any) -> ArrayLayout:
    """Return the layout of a row of `layouts`."""
    return ArrayLayout(
        antenna_names=tuple(row.antenna_names),
        spectral_windows_hz=tuple(
            (float(low), float(high), int(n)) for low, high, n in row.spectral_windows_hz
        ),
    )


def load_layouts(
    connection: sa.Connection, ids: Sequence[int] | None = None
) -> dict[int, ArrayLayout]:
    """Return layouts by row; all of them if `ids` is None."""
    query = sa.select(layouts)
    if ids is not None:
        query = query.where(layouts.c.id.in_(list(ids)))
    return {row.id: layout_from_row(row) for row in connection.execute(query)}


def load_sets(
    connection: sa.Connection, ids: Sequence[int], known: Mapping[int, ArrayLayout]
) -> list[CaltableSet]:
    """Return sets by row, in the order of `ids`."""
    found: dict[int, CaltableSet] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = list(ids[start : start + _CHUNK])
        tables = defaultdict(list)
        for row in connection.execute(
            sa.select(caltables)
            .where(caltables.c.set_id.in_(chunk), caltables.c.applied)
            .order_by(caltables.c.apply_order)
        ):
            tables[row.set_id].append(
                RegisteredCaltable(row.type, row.path, row.apply_order, row.checksum)
            )
        for row in connection.execute(
            sa.select(caltable_sets).where(caltable_sets.c.id.in_(chunk))
        ):
            columns = {
                **row._mapping,
                "layout": known[row.layout_id],
                "reasons": tuple(row.reasons),
                "tables": tuple(tables[row.id]),
            }
            found[row.id] = CaltableSet(**{f.name: columns[f.name] for f in fields(CaltableSet)})
    return [found[i] for i in ids if i in found]


class Loader:
    """Loads sets from one registry; layouts never change, so each is read once."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._layouts: dict[int, ArrayLayout] = {}
        self._fitting: dict[ArrayLayout, dict[int, bool]] = {}

    def fitting_layouts(self, connection: sa.Connection, layout: ArrayLayout) -> list[int]:
        """Return the rows of the layouts that match an observation's layout."""
        ids = connection.scalars(sa.select(layouts.c.id)).all()
        self._learn_layouts(connection, ids)
        fits = self._fitting.setdefault(layout, {})
        for i in ids:
            if i not in fits:
                fits[i] = not self._layouts[i].differences(layout)
        return [i for i in ids if fits[i]]

    def load(self, connection: sa.Connection, ids: Sequence[int]) -> list[CaltableSet]:
        """Return sets by row, in the order of `ids`."""
        try:
            return load_sets(connection, ids, self._layouts)
        except KeyError:
            # Another process added this layout.
            self._learn_layouts(connection, connection.scalars(sa.select(layouts.c.id)).all())
            return load_sets(connection, ids, self._layouts)

    def find(self, connection: sa.Connection, name: str, version: int | None) -> CaltableSet:
        """Return a version of a set; None: the active one, else the newest.

        Raises
        ------
        SetNotFound
            Naming sets of similar names, or the existing versions.
        """
        columns = caltable_sets.c
        rows = connection.execute(
            sa.select(columns.id, columns.version, columns.status)
            .where(columns.name == name)
            .order_by(columns.version.desc())
        ).all()
        if not rows:
            names = connection.scalars(sa.select(columns.name).distinct()).all()
            near = get_close_matches(name, names, n=5, cutoff=0.5)
            raise SetNotFound(
                f"there is no caltable set {name!r} in {self._address}"
                + (f"; near it: {', '.join(near)}" if near else f"; it holds {len(names)} names"),
                name=name,
                near=near,
            )
        if version is None:
            active = [r for r in rows if r.status is SetStatus.ACTIVE]
            return self.load(connection, [(active or rows)[0].id])[0]
        for row in rows:
            if row.version == version:
                return self.load(connection, [row.id])[0]
        versions = ", ".join(str(r.version) for r in reversed(rows))
        raise SetNotFound(
            f"caltable set {name} has no version {version}; it has {versions}", name=name
        )

    def _learn_layouts(self, connection: sa.Connection, ids: Sequence[int]) -> None:
        if unknown := [i for i in ids if i not in self._layouts]:
            self._layouts |= load_layouts(connection, unknown)
