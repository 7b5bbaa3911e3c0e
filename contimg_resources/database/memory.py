"""What is known of a SQLite store outside of it: that it was made, and how much was in it.

Belongs here: the small file beside a store. Doesn't: the store itself.

To SQLite an empty file is a new database. A store whose file was emptied or removed would so pass
for one to which nothing was ever written.
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
    """What is remembered of a store.

    Parameters
    ----------
    made_mjd : float
        When it was first seen with rows, MJD in days; NaN when that is lost.
    n_rows : int
        The most rows that it was seen with, of the tables that only grow.
    """

    made_mjd: float
    n_rows: int


def memory_path(store: Path) -> Path:
    """Return the file beside a store that keeps what is known of it."""
    return store.with_name(store.name + _ENDING)


def recall(store: Path) -> StoreMemory | None:
    """Return what is remembered of a store; None when it was never seen."""
    try:
        text = memory_path(store).read_text()
    except OSError:
        return None
    try:
        record = json.loads(text)
        return StoreMemory(float(record["made_mjd"]), int(record["n_rows"]))
    except (ValueError, TypeError, KeyError):
        # It was cut off by a power cut: that there was a store it says all the same.
        return StoreMemory(math.nan, 0)


def remember(store: Path, n_rows: int) -> None:
    """Remember that a store was seen with so many rows; where nothing can be written, don't."""
    known = recall(store)
    made_mjd = now_mjd() if known is None or math.isnan(known.made_mjd) else known.made_mjd
    text = json.dumps(asdict(StoreMemory(made_mjd, n_rows))) + "\n"
    with suppress(OSError):
        whole_file(memory_path(store), lambda partial: partial.write_text(text))
