"""Products made from other products: light curves, metrics, cards, cutouts, exports; their rows.

Belongs here: frozen records, and recording and querying them. Doesn't: making any of it, deleting
files, products of one observation (see `store`), mosaics and measurements (see `mosaics`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.database import PartOfStore, now_mjd, plain_json
from contimg_resources.database.paths import StoredPath
from contimg_resources.database.records import between
from contimg_resources.products.tables import product_files, products

#: Checksums of the inputs of a product, by their kind and key; empty where it isn't known.
Inputs = Mapping[str, Mapping[str, str]]

#: Keys in one query: databases limit them.
_MOST_KEYS = 10_000


class DerivedKind(StrEnum):
    """The kind of a product made from other products."""

    LIGHT_CURVES = "light_curves"
    """The light curves of a day; the key is its integer MJD."""
    ADDED_LIGHT_CURVES = "added_light_curves"
    """Light curves that users added; the key is the name of the list."""
    VARIABILITY = "variability"
    """The variability metrics up to a day; the key is its integer MJD."""
    ADDED_VARIABILITY = "added_variability"
    """The variability metrics of a list; the key is its name."""
    SPECTRA = "spectra"
    """Spectral indices of an epoch, with the measurements in sub-bands; the key is the mosaic's."""
    FOUND_SOURCES = "found_sources"
    """The sources found in a mosaic; the key is the mosaic's."""
    CANDIDATE = "candidate"
    """The card of a candidate; the key is its id."""
    CUTOUT = "cutout"
    """A cutout; the key is the source's directory and the epoch, ``DIRECTORY/EPOCH``."""
    CUTOUT_STACK = "cutout_stack"
    """The stack of a source's cutouts; the key is the source's directory."""
    CUTOUT_ANIMATION = "cutout_animation"
    """The animation of a source's cutouts; the key is the source's directory."""
    EXPORT = "export"
    """The documents for dashboards; the key is the name of the index."""
    SKY_MAP = "sky_map"
    """A map of the sky of mosaics; the key is its name. The file is the list of its tiles."""


class InputKind(StrEnum):
    """The kind of an input that isn't a `DerivedKind`."""

    IMAGE = "image"
    """A 5-minute image; the key is that of its observation."""
    IMAGE_PBCOR = "image_pbcor"
    """The same, corrected for the primary beam."""
    MOSAIC = "mosaic"
    """A mosaic; the key is its partition key."""
    MEASUREMENTS = "measurements"
    """The measurements of an epoch; the key is that of the image or mosaic."""
    FILE = "file"
    """A file that a user supplied; the key is its path."""


@dataclass(frozen=True)
class ProductFile:
    """A file of a product, as it was recorded."""

    path: Path  #: The file.
    checksum: str  #: ``sha256:...``; empty if it is too large for one.
    size_bytes: int  #: Its size, bytes.


@dataclass(frozen=True)
class Product:
    """The record of a product."""

    #: `kind`, `key`: Its kind, mostly a `DerivedKind`, and its key; one product of each kind and
    #: key.
    kind: str
    key: str
    path: Path  #: Its main file.
    checksum: str  #: ``sha256:...`` of that file.
    size_bytes: int  #: Size of that file, bytes.
    mid_mjd: float | None = None  #: Its time, MJD in days; None: it belongs to no time.
    #: Checksums of the products and files that it was made from, by kind and key.
    inputs: Inputs = field(default_factory=dict)
    #: `parameters`, `software`: JSON-able parameters of the step, and versions of the software.
    parameters: dict[str, Any] = field(default_factory=dict)
    software: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""  #: The run that made it; empty on the command line.
    created_mjd: float = 0.0  #: When it was recorded, MJD in days; set by the store.
    companions: tuple[ProductFile, ...] = ()  #: Its further files, such as the picture of a cutout.

    @property
    def files(self) -> tuple[ProductFile, ...]:
        """All of its files, the main one first."""
        return (ProductFile(self.path, self.checksum, self.size_bytes), *self.companions)


class DerivedProducts(PartOfStore):
    """The products of the store that were made from other products."""

    def put(self, made: Sequence[Product]) -> None:
        """Record products, replacing those of the same kind and key; all or none.

        Raises
        ------
        TypeError
            If a parameter isn't JSON-able.
        """
        if not made:
            return
        created_mjd = now_mjd()
        files = [{"kind": str(p.kind), "key": p.key, **vars(f)} for p in made for f in p.companions]
        with self._database.write() as connection:
            rows = [
                {
                    **{column.name: getattr(p, column.name) for column in products.c},
                    "kind": str(p.kind),
                    "parameters": plain_json(p.parameters),
                    "software": plain_json(p.software),
                    "created_mjd": created_mjd,
                    "inputs": _inputs_to_store(p.inputs, connection.dialect),
                }
                for p in made
            ]
            _delete(connection, [(p.kind, p.key) for p in made])
            connection.execute(sa.insert(products), rows)
            if files:
                connection.execute(sa.insert(product_files), files)

    def forget(self, names: Iterable[tuple[str, str]]) -> None:
        """Delete the records of products, by kind and key, before their files change or go."""
        if wanted := list(names):
            with self._database.write() as connection:
                _delete(connection, wanted)

    def get(self, kind: str, key: str) -> Product | None:
        """Return a product; None if there is none."""
        mine = (products.c.kind == kind, products.c.key == key)
        with self._database.read() as connection:
            row = connection.execute(sa.select(products).where(*mine)).first()
            return None if row is None else _as_product(connection, row)

    def find(self, path: Path) -> Product | None:
        """Return the product that a file belongs to; None if there is none."""
        companion = product_files.c
        query = sa.select(products).where(
            sa.or_(
                products.c.path == path,
                sa.tuple_(products.c.kind, products.c.key).in_(
                    sa.select(companion.kind, companion.key).where(companion.path == path)
                ),
            )
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
            return None if row is None else _as_product(connection, row)

    def checksums(self, kind: str, keys: Collection[str] | None = None) -> dict[str, str]:
        """Return the checksums of the main files of products of a kind, by key.

        Parameters
        ----------
        kind : str
            The kind.
        keys : collection of str, optional
            Only these; None: all.
        """
        query = sa.select(products.c.key, products.c.checksum).where(products.c.kind == kind)
        wanted = list(keys or ())
        queries = [
            query.where(products.c.key.in_(wanted[first : first + _MOST_KEYS]))
            for first in range(0, len(wanted), _MOST_KEYS)
        ]
        return {
            key: checksum
            for q in (queries if keys is not None else [query])
            for key, checksum in self._database.all(q, tuple)
        }

    def listed(
        self, kind: str, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> list[Product]:
        """Return the products of a kind by time and key, without inputs and further files.

        Parameters
        ----------
        kind : str
            The kind.
        start_mjd, end_mjd : float, optional
            Only products whose time is in [start, end), MJD in days.
        """
        columns = [column for column in products.c if column.name != "inputs"]
        query = sa.select(*columns).where(products.c.kind == kind)
        query = query.order_by(products.c.mid_mjd, products.c.key)
        query = between(query, products.c.mid_mjd, start_mjd, end_mjd)
        return self._database.all(query, lambda row: Product(**row._mapping))

    def paths(self, kind: str) -> dict[str, Path]:
        """Return the main file of all products of a kind, by key."""
        query = sa.select(products.c.key, products.c.path).where(products.c.kind == kind)
        return dict(self._database.all(query, tuple))

    def created(self, kind: str) -> dict[str, float]:
        """Return when the products of a kind were recorded, MJD in days, by key."""
        query = sa.select(products.c.key, products.c.created_mjd).where(products.c.kind == kind)
        return dict(self._database.all(query, tuple))

    def inputs(self, kind: str) -> dict[str, Inputs]:
        """Return the inputs of all products of a kind, by key."""
        query = sa.select(products.c.key, products.c.inputs).where(products.c.kind == kind)
        with self._database.read() as connection:
            return {
                row.key: _inputs_as_given(row.inputs, connection.dialect)
                for row in connection.execute(query)
            }

    def files(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> list[tuple[str, str, ProductFile]]:
        """Return kind, key and record of each file, by kind, time and key.

        Parameters
        ----------
        start_mjd, end_mjd : float, optional
            Only products whose time is in [start, end), MJD in days.
        """
        mine, theirs = products.c, product_files.c
        columns = (mine.kind, mine.key, mine.mid_mjd)
        both = sa.union_all(
            sa.select(*columns, mine.path, mine.checksum, mine.size_bytes),
            sa.select(*columns, theirs.path, theirs.checksum, theirs.size_bytes).join_from(
                products, product_files
            ),
        ).subquery()
        query = sa.select(both).order_by(both.c.kind, both.c.mid_mjd, both.c.key)
        return self._database.all(
            between(query, both.c.mid_mjd, start_mjd, end_mjd),
            lambda row: (row.kind, row.key, ProductFile(row.path, row.checksum, row.size_bytes)),
        )


def _delete(connection: sa.Connection, names: Sequence[tuple[str, str]]) -> None:
    """Delete products; the database deletes the rows of their further files."""
    connection.execute(
        sa.delete(products).where(
            products.c.kind == sa.bindparam("of_kind"), products.c.key == sa.bindparam("of_key")
        ),
        [{"of_kind": str(kind), "of_key": key} for kind, key in names],
    )


def _inputs_to_store(inputs: Inputs, dialect: sa.Dialect) -> dict[str, dict[str, str]]:
    """Return inputs as they are stored: paths below the store's directory relative to it."""
    stored = StoredPath()
    return {
        str(kind): {
            (stored.process_bind_param(key, dialect) or key)
            if kind == InputKind.FILE
            else key: sum_
            for key, sum_ in checksums.items()
        }
        for kind, checksums in inputs.items()
    }


def _inputs_as_given(inputs: Inputs, dialect: sa.Dialect) -> Inputs:
    stored = StoredPath()
    return {
        kind: {str(stored.process_result_value(key, dialect)): sum_ for key, sum_ in found.items()}
        if kind == InputKind.FILE
        else found
        for kind, found in inputs.items()
    }


def _as_product(connection: sa.Connection, row: Any) -> Product:
    files = product_files.c
    query = sa.select(files.path, files.checksum, files.size_bytes).where(
        files.kind == row.kind, files.key == row.key
    )
    return Product(
        **{**row._mapping, "inputs": _inputs_as_given(row.inputs, connection.dialect)},
        companions=tuple(
            ProductFile(*file) for file in connection.execute(query.order_by(files.path))
        ),
    )
