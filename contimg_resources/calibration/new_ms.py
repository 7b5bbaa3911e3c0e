"""A new MS of the form of another. Runs in a CASA process.

Belongs here: columns, storage managers, subtables and empty rows. Doesn't: what stands in them.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Made by CASA's calibration tasks; a calibrated MS has its data in DATA.
_LEFT_OUT = ("CORRECTED_DATA", "MODEL_DATA")
#: Bytes of a bucket of the standard storage manager.
_BUCKET = 32768


def create_like(source: Any, output: Path, tiles: Mapping[str, Sequence[int]]) -> None:
    """Make an MS without rows, its subtables copied.

    Parameters
    ----------
    source : casatools.table
        The MS, open.
    output : Path
        What is made; must not be there.
    tiles : mapping of str to sequence of int
        Shapes of the tiles of columns that deserve large ones: their cells all have that shape,
        without the rows. A row that was added is there before it is written, and the file is one
        array.

    Notes
    -----
    The incremental storage manager, which suits rows that are written one after the other, takes
    minutes when whole columns are put; scalars go to the standard one instead.
    """
    import casatools

    description: dict[str, Any] = source.getdesc()
    columns = [name for name in source.colnames() if name not in _LEFT_OUT]
    made = {name: dict(description[name]) for name in columns}
    managers: dict[str, Any] = {}
    for name, column in made.items():
        kind = "StandardStMan"
        if name in tiles:
            kind = "TiledColumnStMan"
            # 5: stored directly, of a fixed shape.
            shape = list(tiles[name][:-1])
            column |= {"shape": shape, "ndim": len(shape), "option": 5}
        column |= {"dataManagerType": kind, "dataManagerGroup": f"own_{name}"}
        spec = {"DEFAULTTILESHAPE": list(tiles[name])} if name in tiles else {"BUCKETSIZE": _BUCKET}
        managers[f"*{len(managers) + 1}"] = {
            "COLUMNS": [name],
            "NAME": f"own_{name}",
            "TYPE": kind,
            "SEQNR": len(managers),
            "SPEC": spec,
        }
    target = casatools.table()
    target.create(
        str(output), made, endianformat="little", memtype="plain", nrow=0, dminfo=managers
    )
    try:
        target.putinfo(source.info())
        for name in source.keywordnames():
            value = source.getkeyword(name)
            if isinstance(value, str) and value.startswith("Table: "):
                there = Path(value.removeprefix("Table: "))
                shutil.copytree(
                    there, output / there.name, ignore=shutil.ignore_patterns("table.lock")
                )
                value = f"Table: {output / there.name}"
            target.putkeyword(name, value)
    finally:
        target.close()


def add_rows(output: Path, n_rows: int, vast: str) -> None:
    """Add empty rows to an MS of `create_like`.

    Parameters
    ----------
    output : Path
        The MS, open nowhere.
    n_rows : int
        How many.
    vast : str
        A column with large tiles: its file is a hole until it is written.

    Raises
    ------
    OSError
        If the disk is full.

    Notes
    -----
    casacore fills a new column with zeros, which for visibilities takes as long as writing them.
    So meanwhile the file is the null device, and only then a file; its place on the disk is
    reserved, so that a full disk is an error here and not a signal (SIGBUS) in who writes through a
    mapping.
    """
    import casatools

    target = casatools.table()
    target.open(str(output), nomodify=False)
    try:
        file = output / f"table.f{_manager_of(target, vast)['SEQNR']}_TSM0"
        target.close()
        file.unlink()
        file.symlink_to(os.devnull)
        target.open(str(output), nomodify=False)
        target.addrows(n_rows)
        target.close()
        target.open(str(output))
        cube = next(iter(_manager_of(target, vast)["SPEC"]["HYPERCUBES"].values()))
    finally:
        target.close()
    file.unlink()
    n_tiles = -(-n_rows // int(cube["TileShape"][-1]))
    with file.open("wb") as made:
        os.posix_fallocate(made.fileno(), 0, n_tiles * int(cube["BucketSize"]))


def _manager_of(table: Any, column: str) -> dict[str, Any]:
    return next(m for m in table.getdminfo().values() if column in m["COLUMNS"])
