"""Tables in Parquet, with units and UCDs from the metadata.

Belongs here: the format. Doesn't: the meaning of the columns.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.times import MJD_ZERO_JD
from contimg_resources.tables.model import Column, Table, TimeSystem, column_of
from contimg_resources.tables.reading import Limits, check_cells, check_columns, check_rows

_UNIT_KEYS = (b"unit", b"units", b"Unit")
_DESCRIPTION_KEYS = (b"description", b"comment", b"Description")
_MJD_OF_1970 = 40587.0


def read(path: Path, limits: Limits, content: bytes | None = None) -> Table:
    """Read a Parquet file; `content` is that of a compressed file.

    Raises
    ------
    TableError
        If it is too large.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path if content is None else io.BytesIO(content)) as file:
        check_columns(len(file.schema_arrow), limits)
        check_rows(file.metadata.num_rows, limits)
        check_cells(file.metadata.num_rows, len(file.schema_arrow), limits)
        table = file.read()
    metadata = dict(table.schema.metadata or {})
    stated = _stated(metadata)
    columns = _with_masks(
        [_column(f, table[i], stated.get(f.name, {})) for i, f in enumerate(table.schema)]
    )
    keywords = {
        k.decode("utf-8", "replace").upper(): v.decode("utf-8", "replace")
        for k, v in metadata.items()
        if len(v) < 200
    }
    return Table(path, "parquet", columns, table.num_rows, (), keywords)


def _column(field: Any, values: Any, stated: dict[str, str]) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    own = field.metadata or {}
    told = {
        "unit": _first(own, _UNIT_KEYS) or stated.get("unit", ""),
        "ucd": (_first(own, (b"ucd", b"UCD")) or stated.get("ucd", "")).casefold(),
        "description": _first(own, _DESCRIPTION_KEYS) or stated.get("description", ""),
    }
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        mask = np.asarray(pc.is_null(values))
        since = pc.cast(values, pa.timestamp("us")).cast(pa.int64()).fill_null(0).to_numpy()
        told["unit"] = "d"
        days = _MJD_OF_1970 + since / 86_400e6
        return column_of(field.name, days, mask, times=TimeSystem("utc", MJD_ZERO_JD), **told)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return column_of(field.name, values.cast(pa.string()), **told)
    if pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    mask = np.asarray(pc.is_null(values))
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        return column_of(field.name, values.fill_null(0).to_numpy(), mask, **told)
    if pa.types.is_boolean(kind):
        return column_of(field.name, np.asarray(values.fill_null(False)), mask, **told)
    texts = pa.chunked_array(
        [pa.array([None if v is None else str(v) for v in values.to_pylist()])]
    )
    return column_of(field.name, texts.cast(pa.string()), **told)


def _with_masks(columns: list[Column]) -> tuple[Column, ...]:
    """Apply masks that astropy writes as separate columns, ``flux.mask`` beside ``flux``."""
    masks = {
        c.name.removesuffix(".mask"): np.asarray(c.data, dtype=bool)
        for c in columns
        if c.name.endswith(".mask") and not c.is_text and c.data.dtype.kind == "b"
    }
    names = {c.name for c in columns}
    return tuple(
        replace(c, absent=c.absent | masks[c.name]) if c.name in masks else c
        for c in columns
        if not (c.name.endswith(".mask") and c.name.removesuffix(".mask") in names & set(masks))
    )


def _first(metadata: dict[bytes, bytes], keys: tuple[bytes, ...]) -> str:
    return next((metadata[k].decode("utf-8", "replace") for k in keys if k in metadata), "")


def _stated(metadata: dict[bytes, bytes]) -> dict[str, dict[str, str]]:
    """Return the columns' properties stated in VOParquet's or astropy's metadata."""
    if b"IVOA.VOTable-Parquet.content" in metadata:
        from contimg_resources.tables.votable import stated_fields

        return stated_fields(metadata[b"IVOA.VOTable-Parquet.content"])
    if b"table_meta_yaml" in metadata:
        from astropy.table.meta import get_header_from_yaml

        header = get_header_from_yaml(metadata[b"table_meta_yaml"].decode().split("\n"))
        return {
            str(c["name"]): {
                "unit": str(c.get("unit") or ""),
                "ucd": str((c.get("meta") or {}).get("ucd") or ""),
                "description": str(c.get("description") or ""),
            }
            for c in header["datatype"]
        }
    return {}
