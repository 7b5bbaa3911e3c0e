"""Move solved tables into place, completely or not at all. Runs in a CASA process.

Belongs here: names and renames, and the source recorded in a table. Doesn't: solving.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa.tables import copy_table
from contimg_resources.core.errors import InvalidName
from contimg_resources.core.trees import remove_tree
from contimg_resources.instrument.caltables import CaltableType, caltable_path


def check_prefix(prefix: Path) -> None:
    """Refuse a prefix that isn't the beginning of a file name.

    Raises
    ------
    InvalidName
        If it is a directory's name, or contains "..".
    """
    if not prefix.name or ".." in prefix.parts or "\0" in str(prefix):
        raise InvalidName(
            f"{str(prefix)!r} is no prefix of caltables: a directory and the beginning of a name, "
            "without '..', was expected"
        )


def place_tables(
    tables: Mapping[CaltableType, Path],
    prefix: Path,
    copy: Callable[[Path, Path], object] = copy_table,
) -> dict[CaltableType, Path]:
    """Copy tables from scratch next to their destination, then rename them.

    Each destination is `prefix` plus the suffix of the type; the result has the order of `tables`.
    Tables of an earlier solve under the same prefix are replaced, those that this solve did not
    make are removed: the tables of one prefix always belong to one solve.
    """
    check_prefix(prefix)
    staging = prefix.with_name(f".{prefix.name}.writing")
    remove_tree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for kind, source in tables.items():
            copy(source, staging / kind.name)
        for kind in CaltableType:
            for suffix in kind.suffixes:
                earlier = prefix.with_name(prefix.name + suffix)
                if earlier.is_dir():
                    earlier.rename(staging / f"earlier{suffix}")
        placed = {}
        for kind in tables:
            placed[kind] = caltable_path(prefix, kind)
            (staging / kind.name).rename(placed[kind])
        return placed
    finally:
        remove_tree(staging, ignore_errors=True)


def state_source(path: Path, ms: Path, declination_deg: float | None) -> None:
    """Record in a caltable the MS from which it was solved, and the telescope's pointing.

    CASA solved averages or a copy, whose name it writes into the table, and which were shifted to
    the calibrator's position. The strip determines to which observations a table may be applied.
    `declination_deg` is that of a drift scan, in the frame of the fields; None: the phase centres
    are correct.
    """
    from casatools import table

    tb: Any = table()
    tb.open(str(path), nomodify=False)
    try:
        tb.putkeyword("MSName", ms.name)
    finally:
        tb.close()
    if declination_deg is None:
        return
    tb.open(str(path / "FIELD"), nomodify=False)
    try:
        for row in range(tb.nrows()):
            cell = np.asarray(tb.getcell("PHASE_DIR", row))
            cell[1, :] = 0.0
            cell[1, 0] = np.radians(declination_deg)
            tb.putcell("PHASE_DIR", row, cell)
    finally:
        tb.close()
