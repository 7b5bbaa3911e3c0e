"""Create a new MS in the form of another. Runs in a CASA process.

Belongs here: columns, storage managers, subtables and empty rows. Doesn't: their contents.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa.tables import copy_table, opened
from contimg_resources.core.trees import remove_tree

#: Columns with a value per visibility or correlation, and their data types. Other array columns but
#: UVW are not copied: products of CASA's calibration tasks are of no use beside calibrated data,
#: and weights per channel are included on request.
_KINDS = {
    "DATA": "complex",
    "FLAG": "boolean",
    "FLAG_CATEGORY": "boolean",
    "WEIGHT": "float",
    "SIGMA": "float",
    "WEIGHT_SPECTRUM": "float",
}
#: Subtables that every MS has.
SUBTABLES = (
    *("ANTENNA", "DATA_DESCRIPTION", "FEED", "FIELD", "FLAG_CMD", "HISTORY", "OBSERVATION"),
    *("POINTING", "POLARIZATION", "PROCESSOR", "SPECTRAL_WINDOW", "STATE"),
)
#: Bytes of a bucket of the standard storage manager.
_BUCKET = 32768


def create_like(source: Any, output: Path, tiles: Mapping[str, Sequence[int]]) -> None:
    """Make an MS without rows; copy its subtables, and create missing ones.

    `tiles` holds the shapes of the tiles of columns with large tiles: their cells all have that
    shape, without the rows. Added rows exist before they are written, and the file is one array.
    WEIGHT_SPECTRUM is included when it is among them.

    Notes
    -----
    The incremental storage manager, which suits rows written one after the other, takes
    minutes when whole columns are put; scalars use the standard one instead.
    """
    import casatools

    made = _columns_like(source, "WEIGHT_SPECTRUM" in tiles)
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
        there = {}
        for name in source.keywordnames():
            value = source.getkeyword(name)
            if isinstance(value, str) and value.startswith("Table: "):
                there[name] = Path(value.removeprefix("Table: "))
            else:
                target.putkeyword(name, value)
        copied = [name for name, path in there.items() if (path / "table.dat").is_file()]
        for name in copied:
            copy_table(there[name], output / name)
        supplied = [name for name in SUBTABLES if name not in copied]
        supply_subtables(output, supplied)
        for name in (*copied, *supplied):
            target.putkeyword(name, f"Table: {output / name}")
    finally:
        target.close()
    supply_feeds(output)
    fill_windows(output)


def _columns_like(source: Any, with_spectrum: bool) -> dict[str, dict[str, Any]]:
    """Return descriptions of the columns of a new MS, in units that CASA knows."""
    import casatools

    units = casatools.quanta()
    description: dict[str, Any] = source.getdesc()
    made: dict[str, dict[str, Any]] = {}
    for name in source.colnames():
        column = dict(description[name])
        if name in _KINDS:
            column["valueType"] = _KINDS[name]
        elif name != "UVW" and "ndim" in column:
            continue
        if name == "WEIGHT_SPECTRUM":
            continue
        keywords = dict(column.get("keywords", {}))
        stated = [str(unit) for unit in np.ravel(keywords.get("QuantumUnits", []))]
        if not all(units.check(unit) for unit in stated):
            # TaQL refuses to read such a column.
            del keywords["QuantumUnits"]
        if name == "DATA":
            keywords["QuantumUnits"] = ["Jy"]
        made[name] = column | {"keywords": keywords}
    lacking = ["SIGMA"] if "SIGMA" not in made else []
    lacking += ["WEIGHT_SPECTRUM"] if with_spectrum else []
    for name in lacking:
        made[name] = {"valueType": _KINDS[name], "maxlen": 0, "comment": "", "keywords": {}}
        made[name] |= {"ndim": -1, "option": 0}
    return made


def supply_subtables(ms: Path, names: Sequence[str]) -> None:
    """Add empty subtables of these names to our own MS, without registering them in it."""
    if not names:
        return
    import casatools

    scratch = Path(tempfile.mkdtemp(dir=".")).resolve()
    simulator = casatools.simulator()
    try:
        # The simulator knows best how to make an MS.
        simulator.open(str(scratch / "blank.ms"))
        simulator.close()
        for name in names:
            copy_table(scratch / "blank.ms" / name, ms / name)
    finally:
        remove_tree(scratch)


def supply_feeds(ms: Path) -> None:
    """Add a feed per antenna to our own MS when it has none: CASA's solvers need them."""
    import casatools

    with opened(ms / "FEED") as table:
        if table.nrows():
            return
    with opened(ms / "ANTENNA") as table:
        n_antennas = int(table.nrows())
    with opened(ms / "POLARIZATION") as table:
        codes = {int(code) for i in range(table.nrows()) for code in table.getcell("CORR_TYPE", i)}
    # casacore's codes of circular hands: RR 5 to LL 8.
    receptors = ["R", "L"] if codes & {5, 6, 7, 8} else ["X", "Y"]
    feeds = casatools.table()
    feeds.open(str(ms / "FEED"), nomodify=False)
    try:
        feeds.addrows(n_antennas)
        feeds.putcol("ANTENNA_ID", np.arange(n_antennas, dtype=np.int32))
        feeds.putcol("SPECTRAL_WINDOW_ID", np.full(n_antennas, -1, np.int32))
        feeds.putcol("NUM_RECEPTORS", np.full(n_antennas, 2, np.int32))
        feeds.putcol("INTERVAL", np.zeros(n_antennas))
        for row in range(n_antennas):
            feeds.putcell("POLARIZATION_TYPE", row, np.array(receptors))
            feeds.putcell("POL_RESPONSE", row, np.eye(2, dtype=np.complex128))
            feeds.putcell("BEAM_OFFSET", row, np.zeros((2, 2)))
            feeds.putcell("RECEPTOR_ANGLE", row, np.zeros(2))
            feeds.putcell("POSITION", row, np.zeros(3))
    finally:
        feeds.close()


def fill_windows(ms: Path) -> None:
    """Fill windows without channels, which have no data, like another window: CASA reads all."""
    import casatools

    with opened(ms / "SPECTRAL_WINDOW") as table:
        known = [bool(table.iscelldefined("CHAN_FREQ", row)) for row in range(table.nrows())]
    if all(known) or not any(known):
        return
    windows = casatools.table()
    windows.open(str(ms / "SPECTRAL_WINDOW"), nomodify=False)
    try:
        for name in ("NUM_CHAN", "CHAN_FREQ", "CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
            value = windows.getcell(name, known.index(True))
            for row in np.flatnonzero(~np.array(known)).tolist():
                windows.putcell(name, row, value)
    finally:
        windows.close()


def add_rows(output: Path, n_rows: int, vast: Sequence[str]) -> None:
    """Add empty rows to an MS of `create_like`.

    The MS is not open anywhere; `vast` are numeric columns with large tiles, whose files are sparse
    until they are written.

    Raises
    ------
    OSError
        If the disk is full.

    Notes
    -----
    casacore fills a new column with zeros, which for visibilities takes as long as writing them.
    So meanwhile the file is the null device, and only then a file; its disk space is reserved, so
    that a full disk is an error here and not a signal (SIGBUS) in a process that writes through a
    memory map.
    """
    import casatools

    target = casatools.table()
    target.open(str(output), nomodify=False)
    try:
        files = [output / f"table.f{_manager_of(target, name)['SEQNR']}_TSM0" for name in vast]
        target.close()
        for file in files:
            file.unlink()
            file.symlink_to(os.devnull)
        target.open(str(output), nomodify=False)
        target.addrows(n_rows)
        target.close()
        target.open(str(output))
        cubes = [
            next(iter(_manager_of(target, name)["SPEC"]["HYPERCUBES"].values())) for name in vast
        ]
    finally:
        target.close()
    for file, cube in zip(files, cubes, strict=True):
        file.unlink()
        n_tiles = -(-n_rows // int(cube["TileShape"][-1]))
        with file.open("wb") as made:
            os.posix_fallocate(made.fileno(), 0, n_tiles * int(cube["BucketSize"]))


def _manager_of(table: Any, column: str) -> dict[str, Any]:
    return next(m for m in table.getdminfo().values() if column in m["COLUMNS"])
