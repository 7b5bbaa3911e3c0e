"""Light curves in tables of other surveys: one source per file, or many in a long table.

Belongs here: the meaning of the columns, and the selection of rows. Doesn't: file formats (see
`contimg_resources.tables`), times (see `foreign_times`), storing the measurements (see `added`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import Column, Table
from contimg_resources.tables.positions import directions, frame_of
from contimg_resources.tables.units import factor_between
from contimg_resources.variability.foreign_columns import (
    FREQUENCY_SUFFIX,
    ColumnChoice,
    GivenColumn,
    suffix_unit,
)
from contimg_resources.variability.foreign_times import times_of

_NAME_KEYWORDS = ("OBJECT", "SOURCE", "TARGET", "SOURCE_NAME", "NAME", "SRCNAME")
#: Frequencies within this ratio belong to one band.
_SAME_BAND = 1.1
_SHOWN_ROWS = 3
#: Values of a flag that isn't set.
_WORDS_OF_NO = ("false", "f", "no", "n", "good", "ok", "g", "none", "unflagged", "=", "det")
_LONGEST_NAME = 80


@dataclass(frozen=True)
class RejectedRows:
    """Rejected rows of a source, for one reason."""

    source: str  #: The source as the file names it; empty if the row names none.
    reason: str  #: Reason for the rejection.
    n: int  #: Number of rows.
    rows: tuple[int, ...]  #: The first of these rows; 1 is the first row of data.
    file: str  #: The file.


@dataclass(frozen=True)
class ForeignRows:
    """Accepted measurements of a file.

    Arrays have the shape (n,).
    """

    file: str  #: The file.
    source: NDArray[np.str_]  #: The source as the file names it.
    ra_deg: Floats  #: ICRS, degrees; NaN where the file has no position.
    dec_deg: Floats  #: ICRS, degrees; NaN where the file has no position.
    mjd: Floats  #: MJD in days, UTC.
    flux_jy: Floats  #: Flux densities, Jy.
    error_jy: Floats  #: Their uncertainties, Jy.
    row: Ints  #: Row of the file; 1 is the first row of data.
    n_rows: int  #: Number of rows of the file.
    rejected: tuple[RejectedRows, ...]  #: Rejected rows.
    #: Description of how each quantity was read.
    read_as: dict[str, str] = field(default_factory=dict)


def read_rows(
    path: Path,
    given: Mapping[str, GivenColumn] | None = None,
    *,
    source: str = "",
    error: str = "",
    table: str = "",
) -> ForeignRows:
    """Read the measurements of a file: CSV, ECSV, VOTable, FITS, Parquet or another table.

    `given` holds columns that the user specified, by role (see `ROLES`). In a file without such a
    column, `source` is the name of the source, by default the keyword OBJECT or the file's name,
    and `error` that of every flux density: ``5%`` or ``2mJy``. `table` is the name or number of the
    table in a file that holds several.

    Raises
    ------
    TableError
        If the file can't be read, a column is missing, ambiguous or of another kind, a unit, scale
        or format is unknown, or no row is valid. The message names the file and the column.
    """
    from contimg_resources.tables.reading import read_table

    found = read_table(path, table=table)
    try:
        return _Reading(found, dict(given or {}), source, error).rows()
    except TableError as refused:
        if str(path) in refused.message:
            raise
        raise TableError(f"{path}: {refused.message}", path=str(path)) from refused


class _Reading:
    """A table while it is read."""

    def __init__(
        self, table: Table, given: dict[str, GivenColumn], source: str, error: str
    ) -> None:
        self.table, self.columns = table, ColumnChoice(table, given)
        self.only_source, self.only_error = source, error
        self.words: dict[str, str] = {}

    def rows(self) -> ForeignRows:
        table = self.table
        if not table.columns:
            raise TableError("it has no header: name its columns in the first line")
        time = self.columns.time_column()
        flux = self.columns.column("flux")
        if flux is None:
            raise self.columns.missing("flux", "the flux density", "S:mJy")
        times = times_of(table, time, self.columns.unit("time"))
        self.words["time"] = times.words
        flux_jy, flux_wrong, flux_unit = self._flux(flux)
        error_jy, error_wrong = self._error(flux, flux_jy, flux_unit)
        source = self._source()
        reasons = [
            (source == "", "no source name"),
            (times.wrong, "no time between 1960 and 2100"),
            (~np.isfinite(times.mjd), "no time"),
            (flux_wrong, "flux density isn't a number"),
            (~np.isfinite(flux_jy), "no flux density"),
            (error_wrong, "error isn't a number"),
            (~np.isfinite(error_jy), "no error"),
            (error_jy == 0, "error is 0"),
            (error_jy < 0, "error is negative"),
        ]
        reasons += self._stated_bad(flux)
        source, ra_deg, dec_deg = self._bands(source), *self._positions()
        which = np.full(table.n_rows, -1)
        for number, (wrong, _) in enumerate(reasons):
            which[(which < 0) & wrong] = number
        rejected = self._rejected(source, which, [words for _, words in reasons])
        good = which < 0
        if not good.any():
            told = "; ".join(f"{r.n} rows: {r.reason}" for r in rejected[:4])
            row = rejected[0].rows[0] - 1
            first = ", ".join(f"{c.name} {c.text()[row][:40]!r}" for c in (time, flux))
            raise TableError(
                f"none of its {table.n_rows} rows is valid ({told}; the first row: {first})"
            )
        unused = [c.name for c in table.columns if c.name not in self.columns.used.values()]
        if unused:
            self.words["not used"] = ", ".join(unused)
        return ForeignRows(
            file=str(table.path),
            source=source[good],
            ra_deg=ra_deg[good],
            dec_deg=dec_deg[good],
            mjd=times.mjd[good],
            flux_jy=flux_jy[good],
            error_jy=error_jy[good],
            row=np.flatnonzero(good) + 1,
            n_rows=table.n_rows,
            rejected=rejected,
            read_as=self.words,
        )

    def _flux(self, column: Column) -> tuple[Floats, Bools, str]:
        unit = self._flux_unit("flux", column)
        if not unit:
            raise TableError(
                f"column {column.name} states no unit; specify it: "
                f"--column 'flux={column.name}:mJy'",
                column=column.name,
            )
        values, wrong = column.numbers_and_wrong()
        self.words["flux"] = f"column {column.name} in {unit}"
        return self._factor(column, unit) * values, wrong, unit

    def _factor(self, column: Column, unit: str) -> float:
        try:
            return factor_between(unit, "Jy")
        except TableError as error:
            raise TableError(
                f"column {column.name} is in {unit}, which is not a unit of flux density "
                "(Jy, mJy or uJy)",
                column=column.name,
            ) from error

    def _flux_unit(self, role: str, column: Column) -> str:
        """Return the unit that the user or the table states; empty if there is none."""
        if unit := self.columns.unit(role):
            return unit
        suffix = suffix_unit(column.name)
        stated = column.unit.strip()
        if stated and suffix and self._factor(column, stated) != self._factor(column, suffix):
            raise TableError(
                f"column {column.name} states {stated}, its name states {suffix}; specify which: "
                f"--column '{role}={column.name}:{stated}'",
                column=column.name,
            )
        return stated or suffix

    def _error(self, flux: Column, flux_jy: Floats, unit: str) -> tuple[Floats, Bools]:
        n = self.table.n_rows
        column = self.columns.error_column(flux)
        if column is None:
            if not self.only_error:
                raise TableError(
                    "the column with the error is not known "
                    f"({self.table.shown_names()}); name it: --column error=NAME, or give one "
                    "error for all rows: --error 5% or --error 2mJy"
                )
            self.words["error"] = f"{self.only_error}, as given by the user"
            return _said_error(self.only_error, flux_jy), np.zeros(n, np.bool_)
        values, wrong = column.numbers_and_wrong()
        own = self._flux_unit("error", column) if column.unit.strip() != "%" else "%"
        own = own or unit
        self.words["error"] = f"column {column.name} in {own}"
        if own in ("%", "percent"):
            return 0.01 * values * np.abs(flux_jy), wrong
        return self._factor(column, own) * values, wrong

    def _source(self) -> NDArray[np.str_]:
        column = self.columns.column("source")
        n = self.table.n_rows
        # A column that numbers the rows doesn't name sources.
        if column is not None and "source" not in self.columns.given:
            names = column.text()
            if column.name.casefold() == "id" and n > 1 and len(np.unique(names)) == n:
                del self.columns.used["source"]
                column = None
        if column is not None:
            self.words["source"] = f"column {column.name}"
            return np.array([_cleaned(name) for name in column.text().tolist()], np.str_)
        keywords = (str(self.table.keywords.get(k) or "").strip() for k in _NAME_KEYWORDS)
        stem = self.table.path.name.split(".")[0] if not self.only_source else ""
        name = self.only_source or next((k for k in keywords if k), "") or stem
        self.words["source"] = f"{name}, the whole file"
        return np.full(n, _cleaned(name[:_LONGEST_NAME]))

    def _bands(self, source: NDArray[np.str_]) -> NDArray[np.str_]:
        """Append the band to the source name: each band of a source is a light curve."""
        column = self.columns.column("frequency")
        if column is None:
            return source
        values, wrong = column.numbers_and_wrong()
        label = column.text()
        if not wrong.any():
            suffix = FREQUENCY_SUFFIX.fullmatch(column.name)
            unit = (
                self.columns.unit("frequency") or column.unit or (suffix["unit"] if suffix else "")
            )
            try:
                factor, shown = (factor_between(unit, "GHz"), "GHz") if unit else (1.0, "")
            except TableError:
                # Perhaps a wavelength, which distinguishes bands as well.
                factor, shown = 1.0, unit
            label = _band_labels(factor * values, shown)
        bands = np.unique(label[label != ""])
        self.words["frequency"] = f"column {column.name}: {', '.join(bands[:8])}"
        if len(bands) < 2:
            return source
        named = (source != "") & (label != "")
        return np.where(named, np.char.add(np.char.add(source, ":"), label), source)

    def _positions(self) -> tuple[Floats, Floats]:
        nothing = np.full(self.table.n_rows, np.nan)
        ra, dec = self.columns.column("ra"), self.columns.column("dec")
        if ra is None or dec is None:
            for role in ("ra", "dec"):
                self.columns.used.pop(role, None)
            return nothing, nothing
        found = directions(
            ra,
            dec,
            frame_of(self.table, ra, dec),
            longitude_unit=self.columns.unit("ra"),
            latitude_unit=self.columns.unit("dec"),
        )
        wrong = int(found.wrong.sum())
        self.words["position"] = f"columns {ra.name}, {dec.name}" + (
            f"; {wrong} rows have no valid position" if wrong else ""
        )
        return found.ra_deg, found.dec_deg

    def _stated_bad(self, flux: Column) -> list[tuple[Bools, str]]:
        """Return the rows that the file marks as bad or as limits, with the reason."""
        found = []
        for role in ("flag", "good", "limit"):
            column = self.columns.column(role)
            if column is None:
                continue
            if role != "flag" and role not in self.columns.given and not _is_yes_or_no(column):
                # A number such as the limit itself.
                del self.columns.used[role]
                continue
            says = _says_yes(column)
            if role == "good":
                found.append((~says & ~column.absent, f"marked as bad in column {column.name}"))
            else:
                what = "an upper limit by" if role == "limit" else "flagged in"
                found.append((says, f"{what} column {column.name}"))
            self.words[role] = f"column {column.name}"
        return found

    def _rejected(
        self, source: NDArray[np.str_], which: Ints, words: list[str]
    ) -> tuple[RejectedRows, ...]:
        rejected = []
        bad = np.flatnonzero(which >= 0)
        for name in np.unique(source[bad]).tolist():
            own = bad[source[bad] == name]
            for number in np.unique(which[own]).tolist():
                rows = own[which[own] == number] + 1
                rejected.append(
                    RejectedRows(
                        name,
                        words[number],
                        len(rows),
                        tuple(rows[:_SHOWN_ROWS].tolist()),
                        str(self.table.path),
                    )
                )
        return tuple(rejected)


def _says_yes(column: Column) -> Bools:
    """Return where a flag column is set: a nonzero number, or a word that doesn't mean no."""
    numbers, wrong = column.numbers_and_wrong()
    words = np.char.lower(column.text())
    is_word_of_yes = wrong & ~np.isin(words, _WORDS_OF_NO)
    with np.errstate(invalid="ignore"):
        return np.asarray(is_word_of_yes | (~wrong & np.isfinite(numbers) & (numbers != 0)))


def _is_yes_or_no(column: Column) -> bool:
    numbers, _ = column.numbers_and_wrong()
    return bool(np.isin(numbers[np.isfinite(numbers)], (-1.0, 0.0, 1.0)).all())


def _cleaned(name: str) -> str:
    """Return a name without control characters, which a terminal would interpret."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", name).strip()


def _said_error(text: str, flux_jy: Floats) -> Floats:
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(%|[a-zA-Zµμ/]+)\s*", text)
    try:
        value = float(found[1]) if found else float("nan")
        if found and found[2] == "%":
            error_jy = 0.01 * value * np.abs(flux_jy)
        else:
            factor = factor_between(found[2], "Jy") if found else float("nan")
            error_jy = np.full(len(flux_jy), value * factor)
    except (ValueError, TableError):
        value, error_jy = float("nan"), flux_jy
    if not (np.isfinite(value) and value > 0):
        raise TableError(f"--error: {text!r} is not an error, such as 5% or 2mJy")
    return np.asarray(error_jy)


def _band_labels(frequency: Floats, unit: str) -> NDArray[np.str_]:
    """Return the names of bands; nearly equal frequencies are one band."""
    labels = np.full(len(frequency), "", dtype="<U40")
    known = np.unique(frequency[np.isfinite(frequency)])
    if not known.size:
        return labels
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = np.flatnonzero(known[1:] > _SAME_BAND * known[:-1]) + 1
    for group in np.split(known, cuts):
        within = (frequency >= group[0]) & (frequency <= group[-1])
        labels[within] = f"{float(np.median(frequency[within])):.4g}{unit}"
    return labels
