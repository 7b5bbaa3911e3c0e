"""A table with named columns and the properties that its file states.

Belongs here: records of columns, and finding a column. Doesn't: file formats (see `reading`),
conversion to a wanted unit or frame (see `units` and `positions`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import TableError

#: Texts that stand for a missing value.
MISSING = ("", "--", "null", "none", "n/a", "masked")
#: The same in numeric columns only: in a column of names they may be names.
MISSING_NUMBERS = (*MISSING, "nan", "na", "-", ".", "...", "<na>")


@dataclass(frozen=True)
class Frame:
    """The frame of celestial coordinates, as stated in a file."""

    #: ``icrs``, ``fk5``, ``fk4``, ``galactic``, ``supergalactic``, ``ecliptic``, or the file's own
    #: text, in lower case.
    system: str
    equinox: str = ""  #: Such as ``J2000`` or ``B1950``; empty: not stated.
    epoch: str = ""  #: Epoch of the positions, such as ``J2015.5``; empty: not stated.

    def __str__(self) -> str:
        return " ".join(part for part in (self.system.upper(), self.equinox) if part)


@dataclass(frozen=True)
class TimeSystem:
    """The scale and zero point of times, as stated in a file."""

    scale: str = ""  #: ``utc``, ``tai``, ``tdb``, ...; empty: not stated.
    #: Julian date of zero, days (2400000.5 for MJD); None: not stated.
    origin_jd: float | None = None
    #: Reference position, such as ``TOPOCENTER`` or ``BARYCENTER``; empty: not stated.
    position: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str  #: Its visible name (in a VOTable ``name``, not ``ID``).
    #: Values; those of a text file remain text until they are converted to numbers. Length n.
    data: Any
    absent: Bools  #: True where the file has no value. Shape (n,).
    unit: str = ""  #: Unit as stated in the file; empty: not stated.
    ucd: str = ""  #: Unified content descriptor, lower case; empty: not stated.
    description: str = ""  #: Description from the file.
    #: Frame of celestial coordinates, where the file states one for this column.
    frame: Frame | None = None
    #: Scale and zero point, where the file states them for this column.
    times: TimeSystem | None = None

    def __len__(self) -> int:
        return len(self.absent)

    @property
    def is_text(self) -> bool:
        """Return whether the file holds text in this column (which may be numbers)."""
        return not isinstance(self.data, np.ndarray)

    def text(self) -> NDArray[np.str_]:
        """Return the values as stripped text, "" where there is none, shape (n,)."""
        if self.is_text:
            values: Any = np.array(self.data.fill_null("").to_pylist(), dtype=np.str_)
        elif self.data.ndim > 1:
            raise self._no_single_values()
        elif self.data.dtype.kind == "f":
            # 17, not 17.0: names of sources are numbers in some files.
            whole = bool(np.all(self.absent | (self.data == np.round(self.data))))
            values = np.array([f"{v:.0f}" if whole else repr(float(v)) for v in self.data])
        else:
            values = self.data.astype(np.str_)
        return np.where(self.absent, "", values).astype(np.str_)

    def numbers(self) -> Floats:
        """Return the values as numbers, NaN where there is none, shape (n,).

        Raises
        ------
        TableError
            If a value isn't a number: the message names the column, the first row (1 is the first)
            and its value.
        """
        values, wrong = self.numbers_and_wrong()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            others = int(wrong.sum()) - 1
            raise TableError(
                f"column {self.name}: {str(self.text()[row])!r} in row {row + 1} is no number"
                + (f", nor are the values of {others} other rows" if others else ""),
                column=self.name,
                row=row + 1,
            )
        return values

    def numbers_and_wrong(self) -> tuple[Floats, Bools]:
        """Return numbers, NaN where there is none, and a mask of non-numeric values, shape (n,)."""
        wrong = np.zeros(len(self), bool)
        if not self.is_text:
            if self.data.ndim > 1 or self.data.dtype.kind not in "biuf":
                raise self._no_single_values()
            return np.where(self.absent, np.nan, self.data.astype(np.float64)), wrong
        import pyarrow as pa
        import pyarrow.compute as pc

        missing = pc.is_in(pc.utf8_lower(self.data), pa.array(MISSING_NUMBERS))
        given = pc.if_else(missing, None, self.data)
        try:
            numbers = pc.cast(given, pa.float64())
        except pa.ArrowInvalid:
            values = np.full(len(self), np.nan)
            for i, text in enumerate(given.to_pylist()):
                try:
                    values[i] = np.nan if text is None else _number(text)
                except ValueError:
                    wrong[i] = True
            return values, wrong
        return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64).copy(), wrong

    def _no_single_values(self) -> TableError:
        what = f"arrays of shape {self.data.shape[1:]}" if self.data.ndim > 1 else "other things"
        return TableError(f"column {self.name} holds {what}, not one value a row", column=self.name)


def _number(text: str) -> float:
    """Return a number, also in Fortran's or a typesetter's notation: 1.5D+02, \u22121.5."""
    plain = text.replace("\u2212", "-")
    return float(re.sub(r"(?<=[\d.])[dD](?=[-+]?\d)", "e", plain))


def column_of(name: str, values: Any, mask: Any = None, **stated: Any) -> Column:
    """Return a column from the values that a reader provides: n numbers or texts.

    Bytes are decoded, text is stripped. The mask is True where there is no value, shape (n,);
    `stated` are other parameters of `Column`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(values, pa.ChunkedArray):
        values = np.asarray(values)
        if values.dtype.kind in "biuf":
            absent = np.zeros(values.shape, bool) if mask is None else np.array(mask, dtype=bool)
            if values.dtype.kind == "f":
                absent |= ~np.isfinite(values)
            if absent.ndim > 1:
                absent = np.asarray(absent.reshape(len(absent), -1).all(axis=1))
            return Column(name, values.astype(values.dtype.newbyteorder("=")), absent, **stated)
        if values.ndim > 1:
            return Column(name, values, np.zeros(len(values), bool), **stated)
        texts = [_decoded(v) for v in values.tolist()]
        values = pa.chunked_array([pa.array(texts, pa.string())])
    trimmed = pc.utf8_trim_whitespace(values)
    empty = pc.fill_null(pc.is_in(pc.utf8_lower(trimmed), pa.array(MISSING)), True)
    absent = np.array(empty.to_numpy(), dtype=bool)
    if mask is not None:
        absent |= np.asarray(mask, dtype=bool)
        trimmed = pc.if_else(pa.array(absent), None, trimmed)
    else:
        trimmed = pc.if_else(empty, None, trimmed)
    return Column(name, trimmed, absent, **stated)


def _decoded(value: Any) -> str | None:
    if value is None or isinstance(value, np.ma.core.MaskedConstant):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0")
    return str(value)


@dataclass(frozen=True)
class Table:
    """A table of a file."""

    path: Path  #: The file.
    format: str  #: Name of the format, such as ``csv``, ``votable``, ``fits``.
    #: In the order of the file, all of one length. Empty for a text file without a header.
    columns: tuple[Column, ...]
    n_rows: int  #: Number of rows.
    comments: tuple[str, ...] = ()  #: Comment and remark lines of the file.
    #: Keywords of a FITS header, of an ECSV's ``meta``, PARAMs of a VOTable; names in upper case.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    #: The lines of a text file without a header that matches its rows; `columns` is then empty.
    lines: tuple[str, ...] = ()
    misfit: str = ""  #: Why the columns of such a file couldn't be found, where there is a header.

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(c.name for c in self.columns)

    def find(self, name: str) -> Column | None:
        """Return the column of a name; None if there is none.

        A column of exactly this name is preferred to one whose name differs in upper and lower
        case.

        Raises
        ------
        TableError
            If several columns fit equally well.
        """
        for fits in (
            [c for c in self.columns if c.name == name],
            [c for c in self.columns if c.name.casefold() == name.casefold()],
        ):
            if len(fits) == 1:
                return fits[0]
            if fits:
                raise TableError(
                    f"{len(fits)} columns fit the name {name}: "
                    f"{', '.join(c.name for c in fits)}; rename all but one",
                    path=str(self.path),
                    column=name,
                )
        return None

    def get(self, name: str) -> Column:
        """Return the column of a name (see `find`).

        Raises
        ------
        TableError
            If there is none (the message names similar ones), or several match.
        """
        found = self.find(name)
        if found is None:
            raise TableError(
                f"{self.path} has no column {name}; {self.shown_names(near=name)}",
                path=str(self.path),
                column=name,
            )
        return found

    def with_ucd(self, *words: str, without: Iterable[str] = ()) -> tuple[Column, ...]:
        """Return the columns whose UCD begins with the first word and contains the others.

        UCD words are such as ``pos.eq.ra``, ``meta.main``; a UCD1 such as ``POS_EQ_RA_MAIN`` is
        converted to its successor. The UCD must contain none of the words `without`.
        """
        banned = set(without)
        return tuple(
            c
            for c in self.columns
            if (parts := ucd_words(c.ucd))
            and parts[0] == words[0]
            and set(words) <= set(parts)
            and not banned & set(parts)
        )

    def shown_names(self, near: str = "", n: int = 30) -> str:
        """Return a phrase with the names of the columns, for a message; similar ones first."""
        import difflib

        names = list(self.names)
        by_case = {x.casefold(): x for x in names}
        close = [by_case[c] for c in difflib.get_close_matches(near.casefold(), by_case, n=3)]
        told = f"near: {', '.join(close)}; " if near and close else ""
        more = f" and {len(names) - n} more" if len(names) > n else ""
        return f"{told}it has {', '.join(names[:n]) or 'no columns'}{more}"


#: UCD1, of older VOTables, in current UCD words.
_UCD1 = {
    "pos_eq_ra_main": "pos.eq.ra;meta.main",
    "pos_eq_dec_main": "pos.eq.dec;meta.main",
    "pos_eq_ra": "pos.eq.ra",
    "pos_eq_dec": "pos.eq.dec",
    "pos_gal_lon": "pos.galactic.lon",
    "pos_gal_lat": "pos.galactic.lat",
    "id_main": "meta.id;meta.main",
    "phot_flux_radio": "phot.flux.density;em.radio",
    "obs_freq": "em.freq",
    "obs_frequency": "em.freq",
    "time_date": "time.epoch",
    "time_epoch": "time.epoch",
}


def ucd_words(ucd: str) -> tuple[str, ...]:
    """Return the words of a UCD in lower case, without namespaces."""
    plain = ucd.strip().casefold()
    plain = _UCD1.get(plain, plain)
    if plain.startswith("phot_flux_radio"):
        plain = _UCD1["phot_flux_radio"]
    return tuple(w.strip().rpartition(":")[2] for w in plain.split(";") if w.strip())
