"""Variability metrics as Parquet: one file for each UTC day.

Belongs here: writing and reading them. Doesn't: computing.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import UnreadableMeasurements, in_words_of_reader
from contimg_resources.core.naming import check_name
from contimg_resources.database import plain_json
from contimg_resources.variability.model import Variability

#: Version of the columns, which are the fields of `Variability`. Written into every file.
SCHEMA_VERSION = 1
_METADATA = b"contimg"
_COLUMNS = tuple(f.name for f in fields(Variability) if f.name != "facts")


def variability_path(root: Path, day_mjd: int) -> Path:
    """Return the file of a day."""
    return root / f"{day_mjd:d}.parquet"


def added_variability_path(root: Path, name: str) -> Path:
    """Return the file with the metrics of a list of added light curves."""
    return root / "added" / f"{check_name(name, 'name of a list')}.parquet"


def write_variability(path: Path, table: Variability) -> None:
    """Write the metrics, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = {"schema_version": SCHEMA_VERSION, "facts": plain_json(table.facts)}
    columns = {
        name: pa.array(getattr(table, name), from_pandas=getattr(table, name).dtype.kind == "f")
        for name in _COLUMNS
    }
    written = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(told).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    whole_file(path, lambda partial: pq.write_table(written, partial, compression="zstd"))


def read_variability(path: Path) -> Variability:
    """Read the metrics of a day.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            told = json.loads((file.schema_arrow.metadata or {})[_METADATA])
            if int(told["schema_version"]) > SCHEMA_VERSION:
                raise UnreadableMeasurements(
                    f"{path} was written by a newer contimg (version {told['schema_version']} of "
                    f"its columns; this one knows up to {SCHEMA_VERSION})",
                    path=str(path),
                )
            table = file.read(columns=list(_COLUMNS))
        values: dict[str, Any] = {name: _array(table[name]) for name in _COLUMNS}
        return Variability(**values, facts=told["facts"])
    except UnreadableMeasurements:
        raise
    except Exception as error:  # pyarrow raises errors of many types
        raise UnreadableMeasurements(
            f"{path} holds no variability metrics: {in_words_of_reader(error)}",
            path=str(path),
        ) from error


def latest_variability(root: Path) -> Path | None:
    """Return the file of the last day; None if there is none."""
    days = [int(p.stem) for p in root.glob("[!.]*.parquet") if p.stem.isdecimal()]
    return variability_path(root, max(days)) if days else None


def _array(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return np.asarray(column.to_pylist(), np.str_)
    return np.asarray(column.to_numpy())
