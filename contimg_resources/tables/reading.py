"""Read a table of any format, recognised from its content, then from its name.

Belongs here: recognition, decompression, size limits, clear errors. Doesn't: a format itself
(see `text`, `votable`, `astropy_tables`), the meaning of columns.
"""

import bz2
import gzip
import io
import lzma
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_resources.core.errors import TableError, in_words_of_reader
from contimg_resources.tables.model import Table
from contimg_resources.tables.units import refuse_endless

_PACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_CHUNK_BYTES = 1 << 22
_MOST_HEADER_LINES = 10_000
_PACKED_FREELY_BYTES = 64 << 20
#: Where VOTable and ECSV state a unit, and how far into a file.
_UNITS = re.compile(rb"(?i)unit['\"]?\s{0,4}[=:]\s{0,4}[^\n,}>]{1,80}")
_PREAMBLE_BYTES = 16 << 20
_XML_MARKS = (b"<FIELD ", b"<TR")


@dataclass(frozen=True)
class Limits:
    """Limits on the size of a table."""

    n_columns: int = 4000  #: Number of columns.
    n_rows: int = 20_000_000  #: Number of rows.
    n_bytes: int = 6 << 30  #: Bytes of text or XML after decompression.
    #: Rows times columns: a few kilobytes of Parquet can hold any number of equal rows.
    n_cells: int = 1_000_000_000
    #: Maximum compression factor of content above 64 MB: tables compress by a factor of ten or a
    #: hundred, endless repetition by a thousand.
    packing: float = 200.0


def read_table(path: Path, *, table: str = "", limits: Limits | None = None) -> Table:
    """Read a table: CSV, TSV, ASCII, ECSV, VOTable, FITS, Parquet, tdat, IPAC, MRT; also packed.

    The file may be packed by gzip, bzip2 or xz. In a file that holds several tables, `table` is the
    name (EXTNAME) or number (from 1); empty: the only one with rows.

    Raises
    ------
    TableError
        If it doesn't exist, holds no table or no rows, is truncated, is too large, or holds
        several tables and none was named. The message names the file.
    """
    limits = limits or Limits()
    path = Path(path)
    if not path.is_file():
        what = "is a directory, not a file" if path.is_dir() else "no such file"
        raise TableError(f"{path}: {what}", path=str(path))
    try:
        found = _read(path, table, limits)
    except TableError as error:
        if str(path) in error.message:
            raise
        raise TableError(f"{path}: {error.message}", **{**error.details, "path": str(path)}) from (
            error.__cause__ or error
        )
    except MemoryError as error:
        raise TableError(f"{path} needs more memory than there is", path=str(path)) from error
    except Exception as error:  # readers raise many kinds of exception
        reason = in_words_of_reader(error)
        raise TableError(f"{path} can't be read: {reason}", path=str(path)) from error
    if not found.n_rows:
        raise TableError(f"{path} holds no rows", path=str(path))
    return found


def _read(path: Path, table: str, limits: Limits) -> Table:
    from contimg_resources.tables import astropy_tables, parquet, text, votable

    with path.open("rb") as stream:
        head = stream.read(4096)
    if not head:
        raise TableError("it is empty")
    if head[:4] == b"PAR1":
        return parquet.read(path, limits)
    packer = next((p for magic, p in _PACKERS.items() if head.startswith(magic)), None)
    ending = _ending(path)
    if packer is not None:
        content = _unpacked(path, packer, limits)
        head = content[:4096]
        if head[:4] == b"PAR1":
            return parquet.read(path, limits, content)
    if head.startswith(b"SIMPLE  ="):
        return astropy_tables.read_fits(path, None if packer is None else content, table, limits)
    if packer is None:
        content = _unpacked(path, Path.open, limits)
    if not content:
        raise TableError("it is empty")
    for stated in _UNITS.finditer(content, 0, _PREAMBLE_BYTES):
        refuse_endless(stated[0].decode(errors="replace"))
    head = head.removeprefix(b"\xef\xbb\xbf")
    if b"<VOTABLE" in head or b":VOTABLE" in head or head.lstrip()[:5] == b"<?xml":
        return votable.read(path, content, table, limits)
    if head.lstrip()[:1] == b"<" and ending in (".vot", ".votable", ".xml", ".html"):
        raise TableError("it is no VOTable")
    if ending == ".tdat" or head.lstrip()[:8] == b"<HEADER>":
        return text.read_tdat(path, content, limits)
    if head.count(b"\0") and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(
            "it is no table in a known format: CSV, TSV, text with a header, ECSV, VOTable, FITS, "
            "Parquet, tdat, IPAC or machine-readable (MRT), perhaps packed by gzip"
        )
    return text.read(path, content, ending, limits)


def _ending(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".bz2", ".xz")]
    return suffixes[-1] if suffixes else ""


def _unpacked(path: Path, opener: Callable[..., Any], limits: Limits) -> bytes:
    """Return the content of a file, counting lines and fields while reading it."""
    content = io.BytesIO()
    counts = dict.fromkeys((b"\n", b"\r", *_XML_MARKS), 0)
    head = b""
    n_packed = math.inf if opener is Path.open else path.stat().st_size
    try:
        with opener(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content.write(chunk)
                if content.tell() > limits.n_bytes:
                    unpacked = "" if opener is Path.open else " when unpacked"
                    raise TableError(f"it has more than {limits.n_bytes / 1e9:.1f} GB{unpacked}")
                _check_packing(content.tell(), n_packed, limits)
                head = head or chunk[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
                if head.startswith((b"SIMPLE  ", b"PAR1")):
                    continue
                marks = _XML_MARKS if head.startswith(b"<") else (b"\n", b"\r")
                for mark in marks:
                    counts[mark] += chunk.count(mark)
                    if counts[b"\n"]:
                        break
                lines = max(counts[b"\n"], counts[b"\r"])
                check_rows(max(counts[b"<TR"], lines - _MOST_HEADER_LINES), limits, "more than ")
                check_columns(counts[b"<FIELD "], limits)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise TableError(f"it can't be read: {' '.join(str(error).split())}") from error
    return content.getvalue()


def _check_packing(n_unpacked: int, n_packed: float, limits: Limits) -> None:
    if n_unpacked > _PACKED_FREELY_BYTES and n_unpacked > limits.packing * n_packed:
        raise TableError(
            f"its {n_packed / 1e6:.1f} MB unpack to more than {n_unpacked / 1e6:.0f} MB, over "
            f"{limits.packing:g} times as much, which is endless repetition rather than a table; "
            "unpack it yourself if it is one"
        )


def check_cells(n_rows: int, n_columns: int, limits: Limits) -> None:
    """Refuse a table with too many values.

    Raises
    ------
    TableError
        If it exceeds the limit; the message gives the numbers and the limit.
    """
    if n_rows * n_columns > limits.n_cells:
        raise TableError(
            f"it has {n_rows:,} rows of {n_columns:,} columns; tables of up to {limits.n_cells:,} "
            "values are read: leave columns out"
        )


def read_text(path: Path, n_bytes: int) -> str:
    """Return the text of a file that may be compressed; `n_bytes` is the limit after decompression.

    Raises
    ------
    TableError
        If it doesn't exist, can't be read, or is larger.
    """
    if not path.is_file():
        raise TableError(f"{path}: no such file", path=str(path))
    with path.open("rb") as stream:
        head = stream.read(8)
    packer = next((p for magic, p in _PACKERS.items() if head.startswith(magic)), Path.open)
    try:
        content = _unpacked(path, packer, Limits(n_bytes=n_bytes))
    except TableError as error:
        raise TableError(f"{path}: {error.message}", path=str(path)) from error
    return content.decode("utf-8-sig", "replace")


def check_columns(n_columns: int, limits: Limits) -> None:
    """Refuse a table with too many columns.

    Raises
    ------
    TableError
        If it exceeds the limit; the message gives the number and the limit.
    """
    if n_columns > limits.n_columns:
        raise TableError(
            f"it has {n_columns:,} columns; tables of up to {limits.n_columns:,} are read"
        )


def check_rows(n_rows: int, limits: Limits, about: str = "") -> None:
    """Refuse a table with too many rows.

    Raises
    ------
    TableError
        If it exceeds the limit; the message gives the number and the limit.
    """
    if n_rows > limits.n_rows:
        shown = f"{limits.n_rows if about else n_rows:,}"
        raise TableError(f"it has {about}{shown} rows; tables of up to {limits.n_rows:,} are read")
