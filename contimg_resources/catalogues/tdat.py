"""HEASARC's transportable tables (``tdat``), as far as catalogues need them.

Belongs here: the format. Doesn't: what the columns mean.
"""

import gzip
import io
import re
from pathlib import Path
from typing import Any

from contimg_resources.errors import CatalogueError

_FIELD = re.compile(r"^field\[(\w+)\]\s*=\s*(\w+)", re.ASCII)
_LINE = re.compile(r"^line\[\d+\]\s*=\s*(.+)$", re.ASCII)


def read_tdat(path: Path) -> Any:
    """Read a ``tdat`` file, gzipped or not.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    astropy.table.Table
        Columns as their fields are declared; what is empty is masked.

    Raises
    ------
    CatalogueError
        If its header or its end is missing: a download that was cut off.
    """
    import pyarrow as pa
    import pyarrow.csv
    from astropy.table import MaskedColumn, Table

    opener = gzip.open if path.suffix.lower() == ".gz" else Path.open
    try:
        with opener(path, "rb") as stream:
            text = stream.read()
    except (OSError, EOFError) as error:
        raise CatalogueError(f"{path} can't be read: {error}", path=str(path)) from error
    head, found, body = text.partition(b"<DATA>")
    data, ended, _ = body.partition(b"<END>")
    types, names = _header(head.decode("latin-1"))
    if not found or not names:
        raise CatalogueError(f"{path} has no header of a tdat file", path=str(path))
    if not ended:
        raise CatalogueError(f"{path} ends before its <END>: it was cut off", path=str(path))
    # Each row ends with a delimiter, after which comes nothing.
    columns = [*names, ""]
    try:
        table = pa.csv.read_csv(
            io.BytesIO(data.strip() + b"\n"),
            read_options=pa.csv.ReadOptions(column_names=columns, encoding="latin-1"),
            parse_options=pa.csv.ParseOptions(delimiter="|", quote_char=False),
            convert_options=pa.csv.ConvertOptions(
                column_types={
                    n: pa.string() if types.get(n, "").startswith("char") else pa.float64()
                    for n in names
                },
                include_columns=names,
                null_values=["", " "],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise CatalogueError(f"{path} can't be read: {error}", path=str(path)) from error
    return Table(
        {
            n: MaskedColumn(
                table[n].fill_null("" if types.get(n, "").startswith("char") else 0).to_numpy(),
                mask=table[n].is_null().to_numpy(),
            )
            for n in names
        }
    )


def _header(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the types of fields, and the names of the columns of a row."""
    types: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if field := _FIELD.match(line.strip()):
            types[field[1]] = field[2]
        elif row := _LINE.match(line.strip()):
            names += row[1].split()
    return types, names
