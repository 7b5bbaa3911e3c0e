"""Load caltable sets, with a cache of layouts.

Belongs here: the cache of layouts of a process, and finding a version of a set.
Doesn't: which set applies (see `lookup`), converting rows to records (see `rows`).
"""

from collections.abc import Sequence
from difflib import get_close_matches

import sqlalchemy as sa

from contimg_resources.core.errors import SetNotFound
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.registry.model import CaltableSet, SetStatus
from contimg_resources.registry.rows import load_layouts, load_sets
from contimg_resources.registry.tables import caltable_sets, layouts


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
            active = [r for r in rows if r.status == SetStatus.ACTIVE.value]
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
