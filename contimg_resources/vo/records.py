"""The tables that the services read: sources, candidates, images.

Belongs here: reading them as they are now, and their names for queries. Doesn't: selecting rows.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import ContimgError, UnreadableMeasurements
from contimg_resources.core.naming import StateLayout
from contimg_resources.export.tables import CANDIDATES, SOURCES, About, candidate_columns
from contimg_resources.products.store import ProductsStore
from contimg_resources.vo.obscore import OBSCORE, ObsCore

SOURCE_TABLE, CANDIDATE_TABLE = "contimg.sources", "contimg.candidates"
OBSCORE_TABLE = "ivoa.obscore"

#: Titles of the tables.
TITLES = {
    SOURCE_TABLE: "All measured sources with their variability metrics, as of the latest export",
    CANDIDATE_TABLE: "Candidates (Extreme Scattering Events, new sources) with their current marks",
    OBSCORE_TABLE: "Images and mosaics that passed their checks, in the ObsCore data model 1.1",
}

_TEXT_COLUMN = "source_id"
_FLAG, _COUNT = "is_variable", "n_epochs"


@dataclass(frozen=True)
class Rows:
    """A table in memory."""

    name: str  #: Its name.
    about: Mapping[str, About]  #: Its columns.
    values: Mapping[str, NDArray[Any]]  #: Values of each column, shape (n,).
    corners_deg: Floats | None = None  #: Corners of images, shape (n, 4, 2); None: no images.

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def select(self, which: NDArray[Any]) -> "Rows":
        """Return some rows, given by a mask or by indices in order."""
        return Rows(
            self.name,
            self.about,
            {name: column[which] for name, column in self.values.items()},
            None if self.corners_deg is None else self.corners_deg[which],
        )


class VoTables:
    """Reads the tables of a state directory.

    Parameters
    ----------
    store : ProductsStore
        The products store.
    layout : StateLayout
        Paths in the state directory.
    export : Path
        Directory of the documents, which holds the table of sources.
    authority : str
        Identifier (``ivo://...``) that the identifiers of images begin with.
    """

    def __init__(
        self, store: ProductsStore, layout: StateLayout, export: Path, authority: str
    ) -> None:
        self.store = store
        self.layout = layout
        self.obscore = ObsCore(store, authority)
        self._sources_path = export / "tables" / "sources.parquet"
        self._known: tuple[tuple[int, int, int], Rows] | None = None
        self._lock = threading.Lock()
        #: The first query reads the header of every image: others don't wait for it.
        self._images_lock = threading.Lock()

    def read(self, name: str, address: str) -> Rows:
        """Return a table of `TITLES`; `address` is that of the dashboard's programs."""
        if name == SOURCE_TABLE:
            return self.sources()
        return self.candidates() if name == CANDIDATE_TABLE else self.images(address)

    def sources(self) -> Rows:
        """Return the sources of the latest export.

        Raises
        ------
        UnreadableMeasurements
            If its table is damaged.
        """
        try:
            stat = self._sources_path.stat()
        except FileNotFoundError:
            return no_sources()
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            if self._known is None or self._known[0] != state:
                self._known = state, _sources(_read_parquet(self._sources_path))
            return self._known[1]

    def candidates(self) -> Rows:
        """Return the candidates of the store with their current marks."""
        events = self.store.events
        columns = candidate_columns(events.list_candidates(), events.list_marks())
        return replace(no_candidates(), values=columns)

    def images(self, address: str) -> Rows:
        """Return images and mosaics; `address` is that of the dashboard's programs."""
        with self._images_lock:
            columns, corners = self.obscore.rows(address)
        return Rows(OBSCORE_TABLE, OBSCORE, columns, corners)

    def has_source(self, source_id: str) -> bool:
        """Return whether a source is known."""
        return bool(np.any(self.sources().values["source_id"] == source_id))


def no_sources() -> Rows:
    """Return the table of sources without rows."""
    return _sources({})


def no_candidates() -> Rows:
    """Return the table of candidates without rows."""
    return Rows(CANDIDATE_TABLE, CANDIDATES, candidate_columns((), ()))


def _sources(columns: Mapping[str, NDArray[Any]]) -> Rows:
    n = len(columns[_TEXT_COLUMN]) if columns else 0
    values = {name: columns.get(name, np.full(n, np.nan)) for name in SOURCES}
    return Rows(
        SOURCE_TABLE,
        SOURCES,
        {
            **values,
            _TEXT_COLUMN: values[_TEXT_COLUMN].astype(np.str_),
            _COUNT: values[_COUNT].astype(np.int32),
            # ADQL knows no truth values.
            _FLAG: values[_FLAG].astype(np.int16),
        },
    )


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise ContimgError(f"{path} has just been replaced: try again") from error
    except Exception as error:  # pyarrow raises many kinds of exception
        raise UnreadableMeasurements(f"{path} is damaged: export again", path=str(path)) from error
    return {
        name: table[name].to_numpy(zero_copy_only=False)
        for name in table.column_names
        if name in SOURCES
    }
