"""A part of the Table Access Protocol 1.1: queries.

Belongs here: the parameters of a query, TAP_SCHEMA, formats of results. Doesn't: the language (see
`adql`), jobs (see `jobs`), HTTP.

There are no uploads; a query that asks for one is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import BadRequest
from contimg_resources.export.tables import CANDIDATES, SOURCES, About
from contimg_resources.vo.adql import LONGEST_QUERY, Answer, parse_query, run_query
from contimg_resources.vo.obscore import OBSCORE
from contimg_resources.vo.parameters import VOTABLE, Parameters, shortened
from contimg_resources.vo.records import (
    CANDIDATE_TABLE,
    OBSCORE_TABLE,
    SOURCE_TABLE,
    TITLES,
    Rows,
    VoTables,
)
from contimg_resources.vo.votables import LinkService, results

#: Columns of the tables.
COLUMNS: dict[str, Mapping[str, About]] = {
    SOURCE_TABLE: SOURCES,
    CANDIDATE_TABLE: CANDIDATES,
    OBSCORE_TABLE: OBSCORE,
}
SCHEMAS = {
    "ivoa": "Tables of the IVOA's data models",
    "contimg": "Sources and candidates of this platform",
    "tap_schema": "The tables and columns that can be queried",
}
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
_FORMATS = {"csv": CSV, CSV: CSV, "parquet": PARQUET, PARQUET: PARQUET}
#: Columns with which rows of a table are looked up in DataLink, and the last part of its address.
_LINKED = {
    SOURCE_TABLE: ("source_id", "sources"),
    CANDIDATE_TABLE: ("id", "candidates"),
    OBSCORE_TABLE: ("obs_publisher_did", "images"),
}
_TEXTS_OF_SCHEMA = {
    "schemas": ("schema_name", "description", "utype"),
    "tables": ("schema_name", "table_name", "table_type", "description", "utype"),
    "columns": (
        *("table_name", "column_name", "description", "unit", "ucd", "utype"),
        *("datatype", "arraysize", "xtype"),
    ),
    "keys": ("key_id", "from_table", "target_table", "description", "utype"),
    "key_columns": ("key_id", "from_column", "target_column"),
}
_COUNTS_OF_SCHEMA = {
    "schemas": ("schema_index",),
    "tables": ("table_index",),
    "columns": ("size", "principal", "indexed", "std", "column_index"),
}


@dataclass(frozen=True)
class Reply:
    """The body of an answer."""

    content: bytes  #: Its content.
    media_type: str  #: Its media type.


def answer_query(tables: VoTables, parameters: Parameters, address: str) -> Reply:
    """Execute the query of a request.

    Raises
    ------
    BadRequest
        If it asks for what isn't offered, or its query can't be executed.
    """
    _check_request(parameters)
    wanted = parameters.response_format(tuple(_FORMATS))
    n_most = parameters.most_rows()
    query = parse_query(parameters.needed("QUERY"), [*TITLES, *_schema_tables()])
    schema, _, name = query.table.partition(".")
    rows = schema_rows(name) if schema == "tap_schema" else tables.read(query.table, address)
    answer = run_query(query, rows, n_most)
    if _FORMATS.get(wanted) == CSV:
        return Reply(_as_csv(answer), CSV)
    if _FORMATS.get(wanted) == PARQUET:
        return Reply(_as_parquet(answer), PARQUET)
    column, kind = _LINKED.get(query.table, ("", ""))
    content = results(
        query.table,
        answer.about,
        answer.values,
        overflow=answer.overflow,
        links=LinkService(f"{address}vo/links/{kind}", column) if kind else None,
    )
    return Reply(content, VOTABLE)


def _check_request(parameters: Parameters) -> None:
    if (parameters.one("REQUEST", "doQuery") or "").lower() != "doquery":
        raise BadRequest("REQUEST: expected doQuery")
    language = (parameters.one("LANG", "ADQL") or "").upper()
    if language.partition("-")[0] != "ADQL":
        raise BadRequest(f"LANG: expected ADQL, not {shortened(language)!r}")
    if parameters.all("UPLOAD"):
        raise BadRequest("UPLOAD isn't offered here")


#: Lengths of parameters that may be long.
LONGEST = {"QUERY": LONGEST_QUERY}


def _schema_tables() -> list[str]:
    return [f"tap_schema.{name}" for name in _TEXTS_OF_SCHEMA]


def schema_rows(name: str) -> Rows:
    """Return a table of TAP_SCHEMA; those of keys have no rows."""
    found: list[dict[str, Any]] = []
    if name == "schemas":
        found = [{"schema_name": n, "description": text} for n, text in SCHEMAS.items()]
    elif name == "tables":
        titles = {**TITLES, **dict.fromkeys(_schema_tables(), "A part of TAP_SCHEMA")}
        found = [
            {
                "schema_name": full.partition(".")[0],
                "table_name": full,
                "table_type": "table",
                "description": title,
            }
            for full, title in titles.items()
        ]
    elif name == "columns":
        found = [row for full in (*TITLES, *_schema_tables()) for row in _column_rows(full)]
    texts, counts = _TEXTS_OF_SCHEMA[name], _COUNTS_OF_SCHEMA.get(name, ())
    values: dict[str, NDArray[Any]] = {
        **{c: np.array([row.get(c, "") for row in found], np.str_) for c in texts},
        **{c: np.array([row.get(c, 0) for row in found], np.int32) for c in counts},
    }
    return Rows(f"tap_schema.{name}", columns_of(f"tap_schema.{name}"), values)


def columns_of(table: str) -> Mapping[str, About]:
    """Return the columns of a table that can be queried."""
    schema, _, name = table.partition(".")
    if schema != "tap_schema":
        return COLUMNS[table]
    return {
        c: About(c.replace("_", " "))
        for c in (*_TEXTS_OF_SCHEMA[name], *_COUNTS_OF_SCHEMA.get(name, ()))
    }


def datatype_of(table: str, column: str) -> str:
    """Return the VOTable datatype of a column."""
    schema, _, name = table.partition(".")
    if schema == "tap_schema":
        return "char" if column in _TEXTS_OF_SCHEMA[name] else "int"
    kind = _empty(table)[column].dtype
    if kind.kind == "U":
        return "char"
    return {"f8": "double", "i8": "long", "i4": "int", "i2": "short"}[kind.str[1:]]


def _empty(table: str) -> Mapping[str, NDArray[Any]]:
    from contimg_resources.vo.obscore import type_of
    from contimg_resources.vo.records import no_candidates, no_sources

    if table == OBSCORE_TABLE:
        return {name: np.zeros(0, type_of(name)) for name in OBSCORE}
    return (no_sources() if table == SOURCE_TABLE else no_candidates()).values


def _column_rows(table: str) -> list[dict[str, Any]]:
    return [
        {
            "table_name": table,
            "column_name": name,
            "description": what.description,
            "unit": what.unit,
            "ucd": what.ucd,
            "utype": what.utype,
            "xtype": what.xtype,
            "datatype": datatype_of(table, name),
            "arraysize": "*" if datatype_of(table, name) == "char" else "",
            "principal": 1,
            "std": int(table == OBSCORE_TABLE),
            "column_index": number,
        }
        for number, (name, what) in enumerate(columns_of(table).items())
    ]


def _as_csv(answer: Answer) -> bytes:
    import pyarrow as pa
    from pyarrow import csv

    buffer = BytesIO()
    csv.write_csv(pa.table(_arrow(answer)), buffer)
    return buffer.getvalue()


def _as_parquet(answer: Answer) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _arrow(answer)
    fields = [
        pa.field(name, columns[name].type, metadata={"description": a.description, "unit": a.unit})
        for name, a in answer.about.items()
    ]
    buffer = BytesIO()
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), buffer)
    return buffer.getvalue()


def _arrow(answer: Answer) -> dict[str, Any]:
    import pyarrow as pa

    return {name: pa.array(column, from_pandas=True) for name, column in answer.values.items()}
