"""Rows of a table as dataclasses, whose fields are named like its columns.

Belongs here: columns with the types of such fields, reading rows, conditions that many queries
share. Doesn't: any table or query.
"""

import math
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa
from pydantic import ValidationError

from contimg_resources.core.errors import ContimgError
from contimg_resources.database.values import plain_json, read_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R")


def named(of: type[Enum], length: int = 16) -> sa.Enum:
    """Return the type of a column that holds the values of an enumeration as text."""
    return sa.Enum(
        of, native_enum=False, length=length, values_callable=lambda names: [n.value for n in names]
    )


class NumberOrNan(sa.types.TypeDecorator[float]):
    """A number in a column; NaN is stored as null."""

    impl = sa.Double
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: sa.Dialect) -> float:
        """Return the number, or NaN."""
        return math.nan if value is None else value


class Records(Generic[R]):
    """The records in a table.

    Parameters
    ----------
    of : type
        Their dataclass. A field that is a dataclass is stored as JSON (see `read_json`).
    table : Table
        Their table; its first column names a record in messages.
    error : type of ContimgError
        Raised for a record whose JSON is damaged.

    Attributes
    ----------
    query : Select
        Selects the columns of all records.
    """

    def __init__(self, of: type[R], table: sa.Table, error: type[ContimgError]) -> None:
        own: tuple[Any, ...] = fields(of)  # type: ignore[arg-type]
        self.query = sa.select(*(table.c[f.name] for f in own))
        self._of, self._table, self._error = of, table, error
        parts: list[tuple[int, Any]] = [(i, f.type) for i, f in enumerate(own)]
        self._stored = dict(part for part in parts if is_dataclass(part[1]))

    def read(self, row: Any) -> R:
        """Return the record of a row that `query` selects.

        Raises
        ------
        ContimgError
            Of class `error`, if its JSON is damaged.
        """
        if not self._stored:
            return self._of(*row)
        values = list(row)
        try:
            for i, part in self._stored.items():
                values[i] = read_json(part, values[i])
        except ValidationError as error:
            raise self._error(
                f"{self._table.name.removesuffix('s')} {row[0]!r} in the products store is "
                f"damaged: {error.errors()[0]['msg']}",
                key=row[0],
            ) from error
        return self._of(*values)


def values_of(record: "DataclassInstance", **changed: Any) -> dict[str, Any]:
    """Return the columns of a record; numbers that aren't finite are null.

    Raises
    ------
    TypeError
        If a value isn't JSON-able.
    """
    values: dict[str, Any] = plain_json(asdict(record))
    return values | changed


def between(
    query: sa.Select[Any],
    column: sa.ColumnElement[float],
    start: float | None,
    end: float | None,
) -> sa.Select[Any]:
    """Limit a query to rows whose number is in [start, end); None: no limit."""
    if start is not None:
        query = query.where(column >= start)
    return query if end is None else query.where(column < end)


def replace_row(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> None:
    """Insert a row in place of the one with the same primary key."""
    same = [column == values[column.name] for column in table.primary_key]
    connection.execute(sa.delete(table).where(*same))
    connection.execute(sa.insert(table).values(**values))
