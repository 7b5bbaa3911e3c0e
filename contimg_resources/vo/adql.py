"""Queries in a part of ADQL 2.0, executed by DuckDB on one table in memory.

Belongs here: which parts of the language there are, and translating regions. Doesn't: the tables
(see `records`), the requests (see `tap`).

There are: ``SELECT [DISTINCT] [TOP n]`` of columns, arithmetic, COUNT, SUM, AVG, MIN and MAX from
one table, WHERE, GROUP BY, HAVING, ORDER BY; POINT, CIRCLE, POLYGON, CONTAINS, INTERSECTS and
DISTANCE. Whatever else a query holds is refused by its name: the text is parsed, and nothing but
known parts of it reaches the database.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import sqlglot
from numpy.typing import NDArray
from sqlglot import exp
from sqlglot.errors import SqlglotError

from contimg_resources.core.arrays import Bools
from contimg_resources.core.errors import BadRequest
from contimg_resources.export.tables import About
from contimg_resources.vo.parameters import as_number, shortened
from contimg_resources.vo.records import Rows
from contimg_resources.vo.regions import Circle, Polygon, circle, polygon

LONGEST_QUERY = 100_000
#: Longest time of a query, seconds.
LONGEST_RUN_S = 10.0
#: Parts of a query, columns of its result, and regions that it is compared with.
_MOST_PARTS, _MOST_COLUMNS, _MOST_REGIONS = 30_000, 200, 20
_MEMORY = "512MB"
#: ADQL writes TOP as this dialect does.
_DIALECT = "tsql"
_TABLE = "rows_of_table"
_SEPARATION = "separation_deg"
#: Of two positions, degrees (Vincenty's formula on a sphere).
_SEPARATION_SQL = f"""
CREATE MACRO {_SEPARATION}(a, b, c, d) AS degrees(atan2(
    sqrt(pow(cos(radians(d)) * sin(radians(c - a)), 2)
         + pow(cos(radians(b)) * sin(radians(d))
               - sin(radians(b)) * cos(radians(d)) * cos(radians(c - a)), 2)),
    sin(radians(b)) * sin(radians(d)) + cos(radians(b)) * cos(radians(d)) * cos(radians(c - a))))
"""

_SHAPES = ("POINT", "CIRCLE", "POLYGON")
_REGIONS = ("CONTAINS", "INTERSECTS", "DISTANCE")
#: Parts of the language, with the arguments of each that may be used.
_CLAUSES: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        ["expressions", "limit", "from_", "from", "where", "group", "having", "order", "distinct"]
    ),
    exp.From: frozenset(["this"]),
    exp.Table: frozenset(["this", "db", "alias"]),
    exp.TableAlias: frozenset(["this"]),
    exp.Where: frozenset(["this"]),
    exp.Group: frozenset(["expressions"]),
    exp.Having: frozenset(["this"]),
    exp.Order: frozenset(["expressions"]),
    exp.Ordered: frozenset(["this", "desc", "nulls_first"]),
    exp.Limit: frozenset(["expression"]),
    exp.Distinct: frozenset(["expressions"]),
    exp.Alias: frozenset(["this", "alias"]),
    exp.Column: frozenset(["this", "table", "db"]),
    exp.Identifier: frozenset(["this", "quoted"]),
    exp.Literal: frozenset(["this", "is_string"]),
    exp.Star: frozenset(),
    exp.Null: frozenset(),
    exp.Count: frozenset(["this", "big_int"]),
    exp.In: frozenset(["this", "expressions"]),
    exp.Between: frozenset(["this", "low", "high"]),
    exp.Round: frozenset(["this", "decimals"]),
    exp.Div: frozenset(["this", "expression", "typed", "safe"]),
    exp.Anonymous: frozenset(["this", "expressions"]),
}
_OPERATORS: tuple[type[exp.Expr], ...] = (
    *(exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE),
    *(exp.Is, exp.Like, exp.Escape, exp.Add, exp.Sub, exp.Mul, exp.Neg),
    *(exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Abs, exp.Sqrt, exp.Floor, exp.Ceil, exp.Pow),
    *(exp.Lower, exp.Upper, exp.Contains),
)
_CLAUSES.update(dict.fromkeys(_OPERATORS, frozenset(["this", "expression"])))


@dataclass(frozen=True)
class Query:
    """A query that was understood."""

    table: str  #: Name of its table.
    tree: exp.Expression  #: Its text, parsed.


@dataclass(frozen=True)
class Answer:
    """The rows of a query."""

    about: dict[str, About]  #: Its columns.
    values: dict[str, NDArray[Any]]  #: Values of each, shape (n,).
    overflow: bool  #: Whether there were more rows than the limit.


def parse_query(text: str, tables: Sequence[str]) -> Query:
    """Understand a query about one of `tables`.

    Raises
    ------
    BadRequest
        If it isn't understood, or uses what isn't offered; the message names it.
    """
    try:
        trees = sqlglot.parse(text, read=_DIALECT)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise BadRequest(f"QUERY isn't understood: {_reason(error)}") from error
    if len(trees) != 1 or not isinstance(tree := trees[0], exp.Select):
        raise BadRequest("QUERY: expected one SELECT")
    try:
        for number, node in enumerate(tree.walk()):
            if number >= _MOST_PARTS:
                raise BadRequest(f"QUERY has more than {_MOST_PARTS} parts")
            _check_node(node)
        sources = list(tree.find_all(exp.Table))
    except RecursionError as error:
        raise BadRequest("QUERY is nested too deeply") from error
    if len(sources) != 1:
        raise BadRequest("QUERY: expected one table after FROM; joins aren't offered")
    (source,) = sources
    name = f"{source.db}.{source.name}".lower().lstrip(".")
    if name not in tables:
        raise BadRequest(f"there is no table {shortened(name)!r}; there are {', '.join(tables)}")
    return Query(name, tree)


def run_query(query: Query, rows: Rows, n_most: int) -> Answer:
    """Execute a query on its table.

    Raises
    ------
    BadRequest
        If it names other columns, can't be computed, or takes too long.
    """
    translated = _Translation(rows, query.tree)
    columns = {**rows.values, **translated.masks}
    names, found = _execute(translated.sql, columns, n_most + 1)
    about = {name: translated.about.get(name, About("")) for name in names}
    overflow = len(found[names[0]]) > n_most
    return Answer(about, {name: found[name][:n_most] for name in names}, overflow and n_most > 0)


class _Translation:
    """A query in the database's own words."""

    def __init__(self, rows: Rows, tree: exp.Expression) -> None:
        self._rows = rows
        self.masks: dict[str, Bools] = {}
        copy = tree.copy()
        source = copy.find(exp.Table)
        assert source is not None
        self._names = {source.name.lower(), source.alias.lower()} - {""}
        aliases = {a.alias.lower() for a in copy.find_all(exp.Alias)}
        for column in list(copy.find_all(exp.Column)):
            self._check_column(column, aliases)
        source.replace(exp.to_table(_TABLE))
        try:
            copy = copy.transform(self._region)
            self.about = self._described(copy)
            self.sql = copy.sql(dialect="duckdb")
        except (SqlglotError, RecursionError) as error:
            raise BadRequest(f"QUERY isn't understood: {_reason(error)}") from error

    def _check_column(self, column: exp.Column, aliases: set[str]) -> None:
        if isinstance(column.this, exp.Star):
            column.replace(exp.Star())
            return
        name = column.name.lower()
        if column.table and column.table.lower() not in self._names:
            raise BadRequest(f"QUERY: {shortened(column.table)!r} is no name of its table")
        if name not in self._rows.about and name not in aliases:
            near = get_close_matches(name, list(self._rows.about), 3)
            raise BadRequest(
                f"{self._rows.name} has no column {shortened(name)!r}"
                + (f"; near: {', '.join(near)}" if near else "")
            )
        column.replace(exp.column(exp.to_identifier(name, quoted=True)))

    def _described(self, tree: exp.Expression) -> dict[str, About]:
        """Return the description of each column of the result that is one of the table."""
        items = [i for item in tree.expressions for i in self._expanded(item)]
        if len(items) > _MOST_COLUMNS:
            raise BadRequest(f"QUERY has more than {_MOST_COLUMNS} columns")
        tree.set("expressions", items)
        found: dict[str, About] = {}
        for item in items:
            inner = item.this if isinstance(item, exp.Alias) else item
            if isinstance(inner, exp.Column) and inner.name in self._rows.about:
                found[item.alias_or_name] = self._rows.about[inner.name]
        return found

    def _expanded(self, item: exp.Expression) -> list[exp.Expression]:
        if not isinstance(item, exp.Star):
            return [item]
        return [exp.column(exp.to_identifier(name, quoted=True)) for name in self._rows.about]

    def _region(self, node: exp.Expression) -> exp.Expression:
        name, arguments = _called(node)
        if name not in _REGIONS:
            return node
        if len(arguments) != 2:
            raise BadRequest(f"QUERY: {name} has two arguments")
        if name == "DISTANCE":
            return _separation(*(_point(a, name) for a in arguments))
        one, other = arguments
        if name == "INTERSECTS" and _is_footprint(one):
            one, other = other, one
        if _is_footprint(other):
            return self._of_footprints(name, one)
        if name == "CONTAINS" and _called(one)[0] == "POINT":
            return self._of_points(_point(one, name), other)
        raise BadRequest(
            "QUERY: regions are CONTAINS(POINT(...), CIRCLE(...) or POLYGON(...)), "
            "CONTAINS(POINT(...), s_region) and INTERSECTS(CIRCLE(...) or POLYGON(...), s_region)"
        )

    def _of_footprints(self, name: str, shape: exp.Expression) -> exp.Expression:
        corners = self._rows.corners_deg
        if corners is None:
            raise BadRequest(f"{self._rows.name} has no s_region")
        if name == "CONTAINS" and _called(shape)[0] != "POINT":
            raise BadRequest("QUERY: CONTAINS in s_region is offered for POINT alone")
        return self._mask(_constant_shape(shape).meets(corners))

    def _of_points(
        self, point: tuple[exp.Expression, exp.Expression], shape: exp.Expression
    ) -> exp.Expression:
        kind, arguments = _called(shape)
        if kind == "CIRCLE":
            ra, dec, radius = _plain_arguments(arguments, 3, kind)
            away = _separation(point, (ra, dec))
            return exp.Cast(
                this=exp.Paren(this=exp.LTE(this=away, expression=radius)),
                to=exp.DataType.build("int"),
            )
        if not all(isinstance(part, exp.Column) for part in point):
            raise BadRequest("QUERY: a POINT in a POLYGON is one of two columns")
        ra_deg, dec_deg = (self._rows.values[part.name] for part in point)
        return self._mask(_constant_shape(shape).holds(ra_deg, dec_deg))

    def _mask(self, mask: Bools) -> exp.Expression:
        if len(self.masks) >= _MOST_REGIONS:
            raise BadRequest(f"QUERY has more than {_MOST_REGIONS} regions")
        name = f"is_in_region_{len(self.masks)}"
        self.masks[name] = mask.astype(np.int32)
        return exp.column(exp.to_identifier(name, quoted=True))


def _check_node(node: exp.Expr) -> None:
    used = {name for name, value in node.args.items() if value not in (None, False, [], "")}
    allowed = _CLAUSES.get(type(node))
    if allowed is None or used - allowed:
        extra = "" if allowed is None else f" with {', '.join(sorted(used - allowed))}"
        raise BadRequest(f"QUERY: {_word(node)}{extra} isn't offered here")
    if isinstance(node, exp.Anonymous) and node.name.upper() not in (*_SHAPES, *_REGIONS):
        raise BadRequest(f"QUERY: the function {shortened(node.name)} isn't offered here")
    if isinstance(node, exp.Limit) and not (
        isinstance(node.expression, exp.Literal) and node.expression.this.isdecimal()
    ):
        raise BadRequest("QUERY: expected a whole number after TOP")


def _word(node: exp.Expr) -> str:
    return type(node).__name__.upper()


def _called(node: exp.Expression) -> tuple[str, list[exp.Expression]]:
    """Return name and arguments of a function that isn't one of SQL; empty for other nodes."""
    if isinstance(node, exp.Contains):
        return "CONTAINS", [node.this, node.expression]
    if isinstance(node, exp.Anonymous):
        return node.name.upper(), list(node.expressions)
    return "", []


def _is_footprint(node: exp.Expression) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() == "s_region"


def _plain_arguments(
    arguments: list[exp.Expression], n: int | None, kind: str
) -> list[exp.Expression]:
    """Return the numbers of a shape, without the name of its frame."""
    if arguments and isinstance(arguments[0], exp.Literal) and arguments[0].is_string:
        frame = str(arguments[0].this).strip().upper()
        if frame and frame.split()[0] != "ICRS":
            raise BadRequest(f"QUERY: positions are in ICRS, not {shortened(frame)}")
        arguments = arguments[1:]
    if n is not None and len(arguments) != n:
        raise BadRequest(f"QUERY: {kind} has {n} numbers, not {len(arguments)}")
    return arguments


def _point(node: exp.Expression, name: str) -> tuple[exp.Expression, exp.Expression]:
    kind, arguments = _called(node)
    if kind != "POINT":
        raise BadRequest(f"QUERY: {name} needs POINT(...)")
    ra, dec = _plain_arguments(arguments, 2, kind)
    return ra, dec


def _separation(
    one: tuple[exp.Expression, exp.Expression], other: tuple[exp.Expression, exp.Expression]
) -> exp.Expression:
    return exp.Anonymous(this=_SEPARATION, expressions=[part.copy() for part in (*one, *other)])


def _constant_shape(node: exp.Expression) -> Circle | Polygon:
    kind, arguments = _called(node)
    if kind not in _SHAPES:
        raise BadRequest("QUERY: expected POINT, CIRCLE or POLYGON of numbers")
    numbers = [_constant(a, kind) for a in _plain_arguments(arguments, None, kind)]
    if kind == "POINT":
        return circle(kind, [*numbers, 0.0])
    return circle(kind, numbers) if kind == "CIRCLE" else polygon(kind, numbers)


def _constant(node: exp.Expression, kind: str) -> float:
    sign = 1.0
    while isinstance(node, exp.Neg | exp.Paren):
        sign = -sign if isinstance(node, exp.Neg) else sign
        node = node.this
    if not isinstance(node, exp.Literal) or node.is_string:
        raise BadRequest(f"QUERY: {kind} here takes numbers alone")
    return sign * as_number(kind, str(node.this))


def _execute(
    sql: str, columns: Mapping[str, NDArray[Any]], n_most: int
) -> tuple[list[str], dict[str, NDArray[Any]]]:
    import duckdb
    import pyarrow as pa

    with duckdb.connect(
        ":memory:", config={"threads": 1, "memory_limit": _MEMORY, "enable_external_access": False}
    ) as database:
        database.execute(_SEPARATION_SQL)
        database.register(_TABLE, pa.table({n: _arrow(c) for n, c in columns.items()}))
        database.execute("SET lock_configuration = true")
        timer = threading.Timer(LONGEST_RUN_S, database.interrupt)
        timer.start()
        try:
            table = database.sql(sql).to_arrow_table()[:n_most]
        except duckdb.InterruptException as error:
            raise BadRequest(f"QUERY takes longer than {LONGEST_RUN_S:g} s") from error
        except duckdb.Error as error:
            raise BadRequest(f"QUERY can't be computed: {_reason(error)}") from error
        finally:
            timer.cancel()
    # Columns without a name, and two of one name, get distinct ones.
    names: list[str] = []
    for number, name in enumerate(table.column_names):
        plain = name if name.isidentifier() else f"column_{number + 1}"
        if plain.startswith("is_in_region_"):
            plain = f"column_{number + 1}"
        names.append(plain if plain not in names else f"{plain}_{number + 1}")
    return names, {n: _array(c) for n, c in zip(names, table.columns, strict=True)}


def _arrow(column: NDArray[Any]) -> Any:
    import pyarrow as pa

    # A number that isn't known fits no condition.
    return pa.array(column, from_pandas=True)


def _array(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array([text or "" for text in column.to_pylist()], np.str_)
    if pa.types.is_boolean(column.type):
        return np.array([bool(v) for v in column.to_pylist()], np.int16)
    if pa.types.is_integer(column.type) and not column.null_count:
        found = column.to_numpy()
        return np.asarray(found, np.int32 if found.dtype.itemsize <= 4 else np.int64)
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _reason(error: Exception) -> str:
    """Return the first line of a reason, without colours and the text of the query."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    first = str(error).partition("\n")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    return shortened(first.partition(" for <class")[0].replace(_TABLE, "the table"))
