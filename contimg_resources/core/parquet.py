"""The Parquet files of contimg: typed and described columns, with facts in the schema.

Belongs here: writing such files whole, opening them, and refusing damaged ones by name. Doesn't:
the columns of each kind of file; tables of other programs (see `contimg_resources.tables`).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import (
    ContimgError,
    UnreadableMeasurements,
    in_words_of_reader,
)

#: Key of the facts in a file's metadata.
_FACTS = b"contimg"
_NUMPY: dict[str, Any] = {
    "string": np.str_,
    "double": np.float64,
    "float": np.float32,
    "int32": np.int64,
    "int64": np.int64,
    "bool": np.bool_,
}


@dataclass(frozen=True)
class ParquetFormat:
    """A kind of Parquet file."""

    #: What is wrong with a file of another kind, for messages: ``holds no light curves``.
    lack: str
    #: Version of the columns, written into every file; files of a later one are refused.
    version: int
    columns: Mapping[str, tuple[str, str]]  #: Type and description of each column.
    #: Columns that files of earlier releases lack; their values are null.
    later: tuple[str, ...] = ()
    #: Names of columns in files of earlier releases, by their present names.
    former: Mapping[str, str] = field(default_factory=dict)
    has_nulls: bool = True  #: Whether NaN is written as null, which queries and readers ignore.
    error: type[ContimgError] = UnreadableMeasurements  #: Class of the errors.
    remedy: str = ""  #: What to do with a file of a newer contimg; empty: nothing.

    def schema(self, facts: Mapping[str, Any] | None = None) -> Any:
        """Return the schema (`pyarrow.Schema`) of a file, with JSON-able facts in its metadata."""
        import pyarrow as pa

        types = {
            "string": pa.string(),
            "double": pa.float64(),
            "float": pa.float32(),
            "int32": pa.int32(),
            "int64": pa.int64(),
            "bool": pa.bool_(),
        }
        told = {"schema_version": self.version, **(facts or {})}
        return pa.schema(
            [
                pa.field(name, types[kind], self.has_nulls, {"description": meaning})
                for name, (kind, meaning) in self.columns.items()
            ],
            metadata={_FACTS: json.dumps(told).encode()},
        )

    def no_rows(self) -> dict[str, NDArray[Any]]:
        """Return the columns without any value."""
        return {name: np.empty(0, _NUMPY[kind]) for name, (kind, _) in self.columns.items()}

    def write(
        self, path: Path, values: Mapping[str, Any], facts: Mapping[str, Any], **how: Any
    ) -> None:
        """Write a file, whole or not at all; its directory is made.

        `values` are those of each column, `facts` are JSON-able, `how` holds options of
        `write_table`.
        """
        import pyarrow as pa

        schema = self.schema(facts)
        arrays = [pa.array(values[f.name], f.type, from_pandas=self.has_nulls) for f in schema]
        write_table(path, pa.table(arrays, schema=schema), **how)

    def open(self, path: Path, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Open a file; return it (`pyarrow.parquet.ParquetFile`) and its facts.

        Raises
        ------
        ContimgError
            Of class `error`: the file is damaged, of another kind, or of a newer contimg.
        """
        import pyarrow.parquet as pq

        with self.refusing(path):
            file = pq.ParquetFile(path, **how)
            try:
                return file, self._checked(path, file.schema_arrow.metadata)
            except BaseException:
                file.close()
                raise

    def read(self, path: Path, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Read a file; return all columns (`pyarrow.Table`) and its facts. Takes what `open` does.

        Raises
        ------
        ContimgError
            As `open`.
        """
        file, facts = self.open(path, **how)
        with self.refusing(path), file:
            return self.whole(file.read(columns=[*self.columns, *self.former.values()])), facts

    def read_facts(self, path: Path) -> dict[str, Any]:
        """Read the facts of a file without its columns.

        Raises
        ------
        ContimgError
            As `open`.
        """
        file, facts = self.open(path)
        file.close()
        return facts

    def whole(self, table: Any) -> Any:
        """Return a table with all columns by their present names, whatever release wrote it.

        Raises
        ------
        KeyError
            If it lacks a column that every release wrote.
        """
        import pyarrow as pa

        present = {old: new for new, old in self.former.items()}
        table = table.rename_columns([present.get(n, n) for n in table.column_names])
        schema = self.schema()
        for name in self.later:
            if name not in table.column_names:
                nothing = pa.nulls(table.num_rows, schema.field(name).type)
                table = table.append_column(schema.field(name), nothing)
        return table.select(list(self.columns))

    @contextmanager
    def refusing(self, path: Path) -> Iterator[None]:
        """Turn errors of the reader into ones that name the file."""
        try:
            yield
        except ContimgError:
            raise
        except Exception as error:  # pyarrow raises errors of many types
            raise self.error(
                f"{path} {self.lack}: {in_words_of_reader(error)}", path=str(path)
            ) from error

    def _checked(self, path: Path, metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((metadata or {})[_FACTS])
        version = int(facts["schema_version"])
        if version > self.version:
            raise self.error(
                f"{path} was written by a newer contimg (version {version} of its columns; this "
                f"one knows up to {self.version})" + (f": {self.remedy}" if self.remedy else ""),
                path=str(path),
            )
        return facts


def write_table(path: Path, table: Any, *, compression: str = "zstd", **how: Any) -> None:
    """Write a `pyarrow.Table` as a Parquet file, whole or not at all; its directory is made."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    whole_file(path, lambda partial: pq.write_table(table, partial, compression=compression, **how))


def arrays_of(table: Any) -> dict[str, NDArray[Any]]:
    """Return the columns of a table (`pyarrow.Table`) as arrays: null is NaN, text is `str`."""
    import pyarrow as pa

    return {
        name: values.to_numpy().astype(np.str_)
        if pa.types.is_string(values.type)
        else np.asarray(values.to_numpy())
        for name, values in zip(table.column_names, table.columns, strict=True)
    }
