"""A user's own list of calibrators as a file.

Belongs here: turning rows into calibrators; one error reports all problems by file, row and column.
Doesn't: the record of a calibrator (see `contimg_resources.observations.calibrators`), reading
columns (see `rows`), and importing other lists (see `vla_calibrators`).
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from contimg_resources.catalogues.columns import Given
from contimg_resources.catalogues.rows import SourceRows, read_rows
from contimg_resources.core.errors import CatalogueError, ConfigurationError
from contimg_resources.observations.calibrators import (
    Calibrator,
    CalibratorList,
    refuse_variable,
)
from contimg_resources.observations.flux_model import FluxModel

#: The columns of a list that contimg writes.
COLUMNS = (
    *("name", "aliases", "ra_deg", "dec_deg"),
    *("flux_jy", "reference_ghz", "spectral_index"),
)
#: Bounds of plausible values, and their unit.
_BOUNDS = {
    "dec": (-90.0, 90.0, "deg"),
    "flux": (0.0, 1e5, "Jy"),
    "frequency": (0.01, 1000.0, "GHz"),
    "spectral_index": (-5.0, 5.0, ""),
}
_SHOWN = 20


def load_calibrators(calibrator_list: Path | None) -> CalibratorList:
    """Return the flux scale's sources and those of a user's list, if there is one.

    Raises
    ------
    ConfigurationError
        If the list is malformed (see `read_calibrator_list`) or reuses an existing name.
    """
    if calibrator_list is None:
        return CalibratorList()
    return CalibratorList(read_calibrator_list(calibrator_list))


def read_calibrator_list(
    path: Path, given: Given | None = None, *, assumed_spectral_index: float | None = None
) -> tuple[Calibrator, ...]:
    """Read a list of calibrators, in the order of the file.

    A table in any format, with the columns ``name``, ``ra_deg``, ``dec_deg`` (ICRS where it states
    no other frame), ``flux_jy`` at ``reference_ghz``, ``spectral_index`` (S ~ nu^alpha) and perhaps
    ``aliases`` (between semicolons), or those of a known survey. Stated units and frames are
    converted. Other columns are ignored. `given` is the user's description of the columns,
    `assumed_spectral_index` that of sources without one in the file; if it is None every source
    must have one.

    Raises
    ------
    ConfigurationError
        If the file is missing or isn't a table, a column is missing, or a value is missing, isn't a
        number, or is out of bounds: the message names the file, row (1 is the first after the
        header) and column of every problem. No value has a default.
    """
    try:
        rows = read_rows(
            path,
            given=given,
            command=f"contimg calibrators import {shlex.quote(str(path))}",
            also=("name", "spectral_index") if assumed_spectral_index is None else ("name",),
        )
    except CatalogueError as error:
        raise ConfigurationError(f"calibrator list {error.message}", **error.details) from error
    if assumed_spectral_index is not None:
        rows = replace(
            rows,
            spectral_index=np.where(
                np.isnan(rows.spectral_index), assumed_spectral_index, rows.spectral_index
            ),
        )
    problems: list[tuple[int, str, str]] = []
    calibrators: list[Calibrator] = []
    rows_by_name: dict[str, int] = {}
    for row in range(len(rows)):
        wrong = _wrong_in_row(rows, row)
        name = str(rows.name[row])
        first = rows_by_name.setdefault("".join(name.split()).casefold(), row)
        if name and first != row:
            wrong.append((rows.label("name"), f"{name!r} is already in row {first + 1}"))
        if not wrong:
            try:
                calibrators.append(refuse_variable(_calibrator(rows, row, path)))
            except ConfigurationError as error:
                wrong.append((rows.label("name"), error.message))
        problems += [(row + 1, column, reason) for column, reason in wrong]
    if problems:
        raise _malformed(path, problems)
    return tuple(calibrators)


def write_calibrator_list(path: Path, calibrators: Iterable[Calibrator], remark: str) -> None:
    """Write a list (CSV) that `read_calibrator_list` can read.

    The flux models are power laws; `remark`, their origin, goes into the first line.
    """
    from astropy.table import Table

    listed = list(calibrators)
    rows = [
        (
            c.name,
            ";".join(c.aliases),
            round(c.ra_deg, 8),
            round(c.dec_deg, 8),
            float(f"{10 ** c.model.coefficients[0]:.6g}"),
            c.model.reference_ghz,
            float(f"{c.model.coefficients[1]:.4g}"),
        )
        for c in listed
    ]
    table = Table(rows=rows, names=COLUMNS) if rows else Table(names=COLUMNS)
    with path.open("w", encoding="utf-8") as stream:
        stream.write("".join(f"# {line}\n" for line in remark.splitlines()))
        table.write(stream, format="ascii.csv")


def _calibrator(rows: SourceRows, row: int, path: Path) -> Calibrator:
    model = FluxModel.power_law(
        float(rows.flux_jy[row]),
        float(rows.reference_ghz[row]),
        float(rows.spectral_index[row]),
        path.name,
    )
    aliases = tuple(a.strip() for a in re.split(r"[;|]", str(rows.aliases[row])) if a.strip())
    return Calibrator(
        str(rows.name[row]), aliases, float(rows.ra_deg[row]), float(rows.dec_deg[row]), model
    )


def _wrong_in_row(rows: SourceRows, row: int) -> list[tuple[str, str]]:
    """Return the column and the reason of every problem in a row."""
    found: list[tuple[str, str]] = []
    if not rows.name[row]:
        found.append((rows.label("name"), "it is empty"))
    values = {
        "flux": rows.flux_jy[row],
        "frequency": rows.reference_ghz[row],
        "spectral_index": rows.spectral_index[row],
    }
    if not np.isfinite(rows.ra_deg[row]):
        found += _wrong_position(rows, row)
    for role, value in values.items():
        column, text = rows.label(role), rows.value(role, row)
        low, high, unit = _BOUNDS[role]
        if not text and role in rows.columns and not np.isfinite(value):
            found.append((column, "it is empty, and there are no defaults"))
        elif np.isfinite(value) and low <= value <= high and (role != "flux" or value > 0):
            continue
        elif _number(text) is None:
            found.append((column, f"{text} is no number"))
        else:
            found.append((column, f"{text} is not between {low:g} and {high:g} {unit}".rstrip()))
    return found


def _wrong_position(rows: SourceRows, row: int) -> list[tuple[str, str]]:
    found = []
    for role in ("ra", "dec"):
        text = rows.value(role, row)
        if not text:
            found.append((rows.label(role), "it is empty, and there are no defaults"))
        elif (number := _number(text)) is None and not re.search(r"\d.*[\s:hd].*\d", text):
            found.append((rows.label(role), f"{text} is no number"))
        elif role == "dec" and number is not None and abs(number) > 90:
            found.append((rows.label(role), f"{text} is not between -90 and 90 deg"))
    return found or [(rows.label("position"), f"{rows.value('position', row)!r} is no position")]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _malformed(path: Path, problems: list[tuple[int, str, str]]) -> ConfigurationError:
    shown = "; ".join(
        f"row {row}, column {column}: {reason}" for row, column, reason in problems[:_SHOWN]
    )
    more = len(problems) - _SHOWN
    return ConfigurationError(
        f"calibrator list {path}, {shown}" + (f"; and {more} more" if more > 0 else ""),
        path=str(path),
        row=problems[0][0],
        column=problems[0][1],
    )
