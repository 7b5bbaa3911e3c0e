"""A small file beside a SQLite store that records its creation and its number of rows.

Belongs here: that file. Doesn't: the store itself.

For SQLite an empty file is a new database. Without this record, a store whose file was emptied or
removed could not be distinguished from a new one.
"""

import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from contimg_resources.core.directories import whole_file
from contimg_resources.database.values import now_mjd

_ENDING = ".made"


@dataclass(frozen=True)
class StoreMemory:
    """The record of a store."""

    made_mjd: float  #: When it first had rows, MJD in days; NaN if the record is damaged.
    n_rows: int  #: Largest number of rows that it had, in the tables that only grow.


def memory_path(store: Path) -> Path:
    """Return the path of the record file beside a store."""
    return store.with_name(store.name + _ENDING)


def recall(store: Path) -> StoreMemory | None:
    """Return the record of a store; None if it has none."""
    try:
        text = memory_path(store).read_text()
    except OSError:
        return None
    try:
        record = json.loads(text)
        return StoreMemory(float(record["made_mjd"]), int(record["n_rows"]))
    except (ValueError, TypeError, KeyError):
        # The record was truncated by a power cut: it still shows that there was a store.
        return StoreMemory(math.nan, 0)


def remember(store: Path, n_rows: int) -> None:
    """Record the number of rows of a store; does nothing where the file can't be written."""
    known = recall(store)
    made_mjd = now_mjd() if known is None or math.isnan(known.made_mjd) else known.made_mjd
    text = json.dumps(asdict(StoreMemory(made_mjd, n_rows))) + "\n"
    with suppress(OSError):
        # The check of a product asks the store itself.
        whole_file(memory_path(store), lambda partial: partial.write_text(text), is_product=False)
