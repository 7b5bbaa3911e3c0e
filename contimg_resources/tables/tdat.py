"""HEASARC's transportable tables (``tdat``).

Belongs here: the format. Doesn't: the meaning of the columns.
"""

import io
import re
from pathlib import Path
from typing import Any

from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import Table, column_of
from contimg_resources.tables.reading import Limits, check_columns, check_rows

_FIELD = re.compile(
    r"^field\[(?P<name>[\w.]+)\]\s*=\s*(?P<type>\w+?)(:(?P<format>[^\s_\[(/]*))?"
    r"(_(?P<unit>[^\s\[(]+))?\s*(\[(?P<ucd>[^\]]*)\])?\s*(\([^)]*\))?\s*(//\s*(?P<described>.*))?$",
    re.ASCII,
)
_LINE = re.compile(r"^line\[\d+\]\s*=\s*(.+)$", re.ASCII)
_KEYWORD = re.compile(r"^(\w+)\s*=\s*\"?(.*?)\"?$")


def read(path: Path, content: bytes, limits: Limits) -> Table:
    """Read a ``tdat`` file, its content decompressed; `path` is for the record.

    Raises
    ------
    TableError
        If its header or its end is missing, as in a truncated download.
    """
    import pyarrow as pa
    import pyarrow.csv

    head, found, body = content.partition(b"<DATA>")
    data, ended, _ = body.partition(b"<END>")
    fields, names, keywords = _header(head.decode("latin-1"))
    if not found or not names:
        raise TableError("it has no header of a tdat file")
    if not ended:
        raise TableError("it ends before its <END>: it was cut off")
    check_columns(len(names), limits)
    delimiter = str(keywords.get("FIELD_DELIMITER") or "|")[:1]
    if not data.strip():
        raise TableError("it holds no rows")
    # Each row ends with a delimiter and nothing after it.
    numbered = [str(i) for i in range(len(names) + 1)]
    try:
        table = pa.csv.read_csv(
            io.BytesIO(data.strip() + b"\n"),
            read_options=pa.csv.ReadOptions(column_names=numbered, encoding="latin-1"),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(numbered, pa.string()),
                include_columns=numbered[:-1],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise TableError(" ".join(str(error).split())) from error
    check_rows(table.num_rows, limits)
    columns = tuple(
        column_of(name, table[i], **fields.get(name, {})) for i, name in enumerate(names)
    )
    return Table(path, "tdat", columns, table.num_rows, (), keywords)


def _header(text: str) -> tuple[dict[str, dict[str, str]], list[str], dict[str, Any]]:
    """Return the stated properties of fields, the names of the columns of a row, and keywords."""
    fields: dict[str, dict[str, str]] = {}
    names: list[str] = []
    keywords: dict[str, Any] = {}
    for line in (raw.strip() for raw in text.splitlines()):
        if field := _FIELD.match(line):
            fields[field["name"]] = {
                "unit": field["unit"] or "",
                "ucd": (field["ucd"] or "").casefold(),
                "description": (field["described"] or "").strip(),
            }
        elif row := _LINE.match(line):
            names += row[1].split()
        elif keyword := _KEYWORD.match(line):
            keywords[keyword[1].upper()] = keyword[2]
    return fields, names, keywords
