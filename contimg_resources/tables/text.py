"""Tables in text: CSV, TSV, columns separated by blanks, names after ``#``, units below the names.

Belongs here: finding header, delimiter and units, splitting rows; HEASARC's transportable tables
(``tdat``). Doesn't: formats that astropy reads (ECSV, IPAC, MRT; see `astropy_tables`), parsing
text without a header: its lines are kept.
"""

import csv
import io
import re
from pathlib import Path
from typing import Any

from contimg_resources.core.errors import TableError
from contimg_resources.tables import astropy_tables
from contimg_resources.tables.model import Column, Table, column_of
from contimg_resources.tables.reading import Limits, check_columns, check_rows
from contimg_resources.tables.units import is_unit

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?|nan|inf|--", re.IGNORECASE)
_SEXAGESIMAL = re.compile(r"[-+]?\d{1,3}[:hd ]\s*\d{1,2}([:m' ]\s*\d+(\.\d*)?s?)?.*")
_NAME_WITH_UNIT = re.compile(r"(?P<name>.*?\S)\s*[\[(](?P<unit>[^\[\]()]*(\([^()]*\))?)[\])]")
_VIZIER_COLUMN = re.compile(
    r"^#Column\t(?P<name>[^\t]*)\t[^\t]*\t(?P<description>.*?)(\[ucd=(?P<ucd>[^\]]*)\])?\s*$"
)
_BLANKS = " "


def read(path: Path, content: bytes, ending: str, limits: Limits) -> Table:
    """Read a text table, its content decompressed.

    `path` is for the record; `ending` is that of the file's name, such as ``.csv``.

    Raises
    ------
    TableError
        If rows and header differ in the number of fields, or astropy can't read its format.
    """
    body = _in_utf8(content)
    start = body[:65536]
    if start.startswith(b"# %ECSV"):
        return astropy_tables.read_ascii(path, body, "ascii.ecsv", limits)
    if b"Byte-by-byte Description of file" in start:
        return astropy_tables.read_ascii(path, body, "ascii.cds", limits)
    lines = _first_lines(body)
    first = next((line for _, line in lines if line.strip() and line[0] not in "#!"), "")
    if re.match(r"\\\S|\|.*\|\s*$", first):
        if (ipac := _ipac(path, body, limits)) is not None:
            return ipac
        # Bars at both ends of each line, as in Markdown.
        body = re.sub(rb"(?m)^[ \t]*\||\|[ \t\r]*$", b"", body)
        lines = _first_lines(body)
    comments = tuple(line for _, line in lines if line.startswith("#"))
    data = [(at, line) for at, line in lines if line.strip() and not line.startswith("#")]
    if not data:
        header = [c for c in comments if "," in c or len(c.split()) > 2]
        raise TableError("it holds no rows" if header else "it holds no table")
    delimiter = _delimiter([line for _, line in data[:20]], ending)
    names, units, n_header = _header(comments, [line for _, line in data[:4]], delimiter, limits)
    if not names:
        return Table(path, "text", (), body.count(b"\n") + 1, comments, {}, _all_lines(body))
    if len(data) <= n_header:
        raise TableError("it holds no rows")
    rows = _without_comments(body[data[n_header][0] :])
    try:
        values = _split(rows, len(names), delimiter)
    except _Uneven as error:
        told = error.told(body, len(names))
        if delimiter == _BLANKS:
            n_lines = body.count(b"\n") + 1
            return Table(path, "text", (), n_lines, comments, {}, _all_lines(body), told)
        raise TableError(told) from error
    n_rows = len(values[0])
    check_rows(n_rows, limits)
    described = _described_by_vizier(comments)
    columns = tuple(
        _column(name, unit, data, described.get(name, {}))
        for name, unit, data in zip(names, units, values, strict=True)
    )
    return Table(path, "text", columns, n_rows, comments)


def _ipac(path: Path, body: bytes, limits: Limits) -> Table | None:
    """Return an IPAC table; None if it isn't one, or has no rows in that format."""
    try:
        table = astropy_tables.read_ascii(path, body, "ascii.ipac", limits)
    except Exception:  # astropy raises many kinds of exception
        return None
    return table if table.n_rows else None


def _column(name: str, unit: str, values: Any, stated: dict[str, str]) -> Column:
    return column_of(name, values, unit=unit, **stated)


def _in_utf8(content: bytes) -> bytes:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1").encode()
    return content


def _first_lines(body: bytes) -> list[tuple[int, str]]:
    """Return the first lines with their offsets: comments, and a few more."""
    found: list[tuple[int, str]] = []
    at = n_data = 0
    while at < len(body) and n_data < 30 and len(found) < 10_000:
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        line = body[at:end].decode().rstrip("\r")
        found.append((at, line))
        n_data += bool(line.strip()) and not line.startswith("#")
        at = end + 1
    return found


def _all_lines(body: bytes) -> tuple[str, ...]:
    return tuple(body.decode().splitlines())


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == _BLANKS:
        reader = csv.reader([" ".join(line.split())], delimiter=" ")
    else:
        reader = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    return [field.strip() for field in next(reader, [])]


def _delimiter(lines: list[str], ending: str) -> str:
    """Return the field separator: the character that occurs equally often in all lines."""
    candidates = (",", "\t", ";", "|") if ending != ".tsv" else ("\t", ";", ",", "|")
    for candidate in candidates:
        numbers = {len(_fields(line, candidate)) for line in lines}
        if min(numbers) > 1 and len(numbers) == 1:
            return candidate
    for candidate in candidates:
        if len(_fields(lines[0], candidate)) > 1:
            return candidate
    return _BLANKS


def _is_data(fields: list[str]) -> bool:
    return any(_NUMBER.fullmatch(f) or _SEXAGESIMAL.fullmatch(f) for f in fields)


def _header(
    comments: tuple[str, ...], data: list[str], delimiter: str, limits: Limits
) -> tuple[list[str], list[str], int]:
    """Return names, units, and the number of header lines that aren't comments."""
    first = _fields(data[0], delimiter)
    check_columns(len(first), limits)
    if _is_data(first):
        stated = ""
        for comment in reversed(comments):
            plain = comment.replace("#", " ", 1)
            if re.fullmatch(r"(\s*(\[\S*\]|\(\S*\)|-+))+\s*", plain):
                stated = plain
                continue
            names = _fields(plain.strip(), delimiter)
            if len(names) not in (len(first), len(first) + 1):
                names = _fields(plain.strip(), _BLANKS)
            # Selavy's last column is a comment, empty in most rows.
            if len(names) == len(first) + 1 and names[-1].casefold() == "comment":
                names = names[:-1]
            if len(names) == len(first) and not _is_data(names) and len(set(names)) > 1:
                return names, _units_below(plain, stated, names), 0
        return [], [], 0
    names = [name or f"column {i}" for i, name in enumerate(first, start=1)]
    units = [""] * len(names)
    # VizieR: units, and a line of dashes.
    if len(data) > 2 and re.fullmatch(r"[-\s\t;|,]*-[-\s\t;|,]*", data[2]):
        return names, [*_fields(data[1], delimiter), *[""] * len(names)][: len(names)], 3
    if len(data) > 1 and re.fullmatch(r"[-\s\t;|,]*--[-\s\t;|,]*", data[1]):
        return names, units, 2
    for i, name in enumerate(names):
        both = _NAME_WITH_UNIT.fullmatch(name)
        if both and both["unit"].strip() and is_unit(both["unit"]):
            names[i], units[i] = both["name"], both["unit"].strip()
    return names, units, 1


def _units_below(header: str, stated: str, names: list[str]) -> list[str]:
    """Return the units in the line below the names: one each, or aligned with each name's end."""
    tokens = list(re.finditer(r"\S+", stated))
    plain = [t[0].strip("[]()-") for t in tokens]
    if len(tokens) == len(names):
        return plain
    ends = [m.end() for m in re.finditer(r"\S+", header)][: len(names)]
    units = [""] * len(names)
    if len(ends) == len(names):
        for token, unit in zip(tokens, plain, strict=True):
            if token.end() in ends:
                units[ends.index(token.end())] = unit
    return units


def _without_comments(rows: bytes) -> bytes:
    if b"\n#" not in rows and not rows.startswith(b"#"):
        return rows
    return re.sub(rb"(?m)^#.*(\n|$)", b"", rows)


class _Uneven(Exception):
    """Raised for rows with other numbers of fields than the header."""

    def __init__(self, rows: list[tuple[str, int]]) -> None:
        super().__init__(rows)
        self.rows = rows

    def told(self, body: bytes, n_names: int) -> str:
        """Return a description of the lines and their numbers of fields."""
        shown = []
        for text, n in self.rows[:3]:
            found = re.search(rb"(?m)^\s*?" + re.escape(text.encode()) + rb"\r?$", body)
            line = "?" if found is None else body.count(b"\n", 0, found.start()) + 1
            shown.append(f"line {line} has {n} fields ({text[:60]!r})")
        more = f", and {len(self.rows) - 3} more lines" if len(self.rows) > 3 else ""
        return f"its header has {n_names} names, but {'; '.join(shown)}{more}"


def _split(rows: bytes, n_names: int, delimiter: str) -> list[Any]:
    """Return each column's values as text."""
    import pyarrow as pa
    import pyarrow.csv

    if delimiter == _BLANKS:
        if b'"' in rows:
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerows(
                f for f in (_fields(x, _BLANKS) for x in rows.decode().split("\n")) if f
            )
            rows, delimiter = text.getvalue().encode(), ","
        else:
            rows = re.sub(rb"(?m)^[ \t\r]+|[ \t\r]+$", b"", rows)
            rows = re.sub(rb"[ \t]+", b" ", rows)
    uneven: list[tuple[str, int]] = []

    def skip(row: Any) -> str:
        uneven.append((row.text, row.actual_columns))
        return "skip"

    names = [f"{i}" for i in range(n_names)]
    try:
        table = pa.csv.read_csv(
            io.BytesIO(rows.lstrip(b"\r\n")),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=1 << 24),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=b'"' in rows,
                invalid_row_handler=skip,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise TableError(" ".join(str(error).split())) from error
    if uneven:
        raise _Uneven(uneven)
    return [table[name] for name in names]


def _described_by_vizier(comments: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found = {}
    for comment in comments:
        if column := _VIZIER_COLUMN.match(comment):
            found[column["name"].strip()] = {
                "description": column["description"].strip(),
                "ucd": (column["ucd"] or "").casefold(),
            }
    return found


_TDAT_FIELD = re.compile(
    r"^field\[(?P<name>[\w.]+)\]\s*=\s*(?P<type>\w+?)(:(?P<format>[^\s_\[(/]*))?"
    r"(_(?P<unit>[^\s\[(]+))?\s*(\[(?P<ucd>[^\]]*)\])?\s*(\([^)]*\))?\s*(//\s*(?P<described>.*))?$",
    re.ASCII,
)
_TDAT_LINE = re.compile(r"^line\[\d+\]\s*=\s*(.+)$", re.ASCII)
_TDAT_KEYWORD = re.compile(r"^(\w+)\s*=\s*\"?(.*?)\"?$")


def read_tdat(path: Path, content: bytes, limits: Limits) -> Table:
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
    fields, names, keywords = _tdat_header(head.decode("latin-1"))
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


def _tdat_header(text: str) -> tuple[dict[str, dict[str, str]], list[str], dict[str, Any]]:
    """Return the stated properties of fields, the names of the columns of a row, and keywords."""
    fields: dict[str, dict[str, str]] = {}
    names: list[str] = []
    keywords: dict[str, Any] = {}
    for line in (raw.strip() for raw in text.splitlines()):
        if field := _TDAT_FIELD.match(line):
            fields[field["name"]] = {
                "unit": field["unit"] or "",
                "ucd": (field["ucd"] or "").casefold(),
                "description": (field["described"] or "").strip(),
            }
        elif row := _TDAT_LINE.match(line):
            names += row[1].split()
        elif keyword := _TDAT_KEYWORD.match(line):
            keywords[keyword[1].upper()] = keyword[2]
    return fields, names, keywords
