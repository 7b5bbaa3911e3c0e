"""An empty MS of the form of another. Runs in a CASA process.

Belongs here: columns, storage managers and subtables. Doesn't: rows.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Made by CASA's calibration tasks; a calibrated MS has its data in DATA.
_LEFT_OUT = ("CORRECTED_DATA", "MODEL_DATA")
#: Bytes of a bucket of the standard storage manager.
_BUCKET = 32768


def create_like(
    source: Any, output: Path, tiles: Mapping[str, Sequence[int]], *, one_shape: bool
) -> None:
    """Make an MS without rows, its subtables copied.

    Parameters
    ----------
    source : casatools.table
        The MS, open.
    output : Path
        What is made; must not be there.
    tiles : mapping of str to sequence of int
        Shapes of the tiles of columns that deserve large ones.
    one_shape : bool
        Whether all their cells have one shape: that of a tile without its rows. Then a row that is
        added is there before it is written, and the file is one array.

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
            kind = "TiledColumnStMan" if one_shape else "TiledShapeStMan"
            if one_shape:
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
