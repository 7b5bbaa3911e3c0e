"""Putting solved tables in their place, whole or not at all.

Belongs here: names and renames. Doesn't: solving.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from contimg_resources.calibration.tables import CaltableType
from contimg_resources.naming import caltable_path, check_name


def place_tables(tables: Mapping[CaltableType, Path], prefix: Path) -> dict[CaltableType, Path]:
    """Copy tables from scratch beside their place, then rename them into it.

    Tables of an earlier solve under the same prefix are replaced, those that this solve did not
    make are removed: what stands under a prefix is one solve.

    Parameters
    ----------
    tables : mapping of CaltableType to Path
        Solved tables.
    prefix : Path
        Where they go: this path plus the suffix of each type.

    Returns
    -------
    dict of CaltableType to Path
        The tables in place, in the order of `tables`.
    """
    check_name(prefix.name, "caltable prefix")
    staging = prefix.with_name(f".{prefix.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for kind, source in tables.items():
            shutil.copytree(source, staging / kind.name)
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
        shutil.rmtree(staging, ignore_errors=True)
