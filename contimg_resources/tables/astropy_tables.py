"""Read tables with astropy: FITS, ECSV, IPAC, and machine-readable tables of the CDS and the AAS.

Belongs here: columns from astropy's tables, including mixins. Doesn't: recognising a format.
"""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.errors import TableError
from contimg_resources.core.times import MJD_ZERO_JD
from contimg_resources.tables.model import Column, Frame, Table, TimeSystem, column_of
from contimg_resources.tables.reading import Limits, check_columns, check_rows
from contimg_resources.tables.units import refuse_endless
from contimg_resources.tables.votable import chosen_table

#: Upper limit of a text table's header length.
_HEADER_BYTES = 1 << 20


def read_ascii(path: Path, content: bytes, form: str, limits: Limits) -> Table:
    """Read a text table (UTF-8) in a format of astropy; `path` is for the record.

    Raises
    ------
    TableError
        If astropy can't read it.
    """
    from astropy.table import Table as AstropyTable

    check_columns(content[:4_000_000].count(b"\n# - {name:"), limits)
    header = content[:_HEADER_BYTES]
    if form == "ascii.cds":
        # Machine-readable tables state their units before the last line of dashes.
        refuse_endless(header[: header.rfind(b"\n-----") + 1].decode(errors="replace"))
    elif form == "ascii.ipac":
        for line in re.findall(rb"(?m)^\|.*$", header):
            refuse_endless(line.decode(errors="replace"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = AstropyTable.read(io.BytesIO(content), format=form)
    keywords = {str(k).upper(): v for k, v in table.meta.items() if k != "comments"}
    if isinstance(nested := table.meta.get("keywords"), dict):
        keywords |= {str(k).upper(): v.get("value") for k, v in nested.items()}
    comments = table.meta.get("comments") or ()
    if isinstance(comments, str):
        comments = (comments,)
    columns = _columns(table, {})
    return Table(path, form.removeprefix("ascii."), columns, len(table), (*comments,), keywords)


def read_fits(path: Path, content: bytes | None, table: str, limits: Limits) -> Table:
    """Read a table of a FITS file; `content` is that of a compressed file.

    `table` is its EXTNAME or number; empty: the only one with rows.

    Raises
    ------
    TableError
        If it is truncated, holds no table, or holds several and none was named.
    """
    from astropy.io import fits
    from astropy.table import Table as AstropyTable

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with fits.open(path if content is None else io.BytesIO(content)) as hdus:
            found = [h for h in hdus if isinstance(h, fits.BinTableHDU | fits.TableHDU)]
            if any("truncated" in str(w.message) for w in warned):
                raise TableError("it is cut off: the file is shorter than its header states")
            if not found:
                raise TableError("it holds no table (FITS without a table extension)")
            rows = [(str(h.name or ""), int(h.header.get("NAXIS2", 0))) for h in found]
            hdu = found[chosen_table(rows, table)]
            if hdu.header.get("ZTABLE"):
                raise TableError("it is a table packed by fpack: unpack it with funpack")
            check_columns(int(hdu.header.get("TFIELDS", 0)), limits)
            check_rows(int(hdu.header.get("NAXIS2", 0)), limits)
            for i in range(1, int(hdu.header.get("TFIELDS", 0)) + 1):
                refuse_endless(str(hdu.header.get(f"TUNIT{i}", "")))
            read = AstropyTable.read(hdu, unit_parse_strict="silent")
            header = hdu.header
            stated = {
                str(header.get(f"TTYPE{i}", "")): {
                    "ucd": str(header.get(f"TUCD{i}", "")).casefold(),
                    "description": str(header.get(f"TCOMM{i}", "")),
                }
                for i in range(1, int(header.get("TFIELDS", 0)) + 1)
            }
            keywords = {**_keywords(hdus[0].header), **_keywords(header)}
            comments = tuple(
                str(line)
                for h in (hdus[0].header, header)
                for name in ("COMMENT", "HISTORY")
                for line in h.get(name, ())
            )
            columns = _columns(read, stated)
    return Table(path, "fits", columns, len(read), comments, keywords)


def _keywords(header: Any) -> dict[str, Any]:
    return {
        k.upper(): header[k] for k in dict.fromkeys(header) if k not in ("", "COMMENT", "HISTORY")
    }


def _columns(table: Any, stated: dict[str, dict[str, str]]) -> tuple[Column, ...]:
    found: list[Column] = []
    for name in table.colnames:
        found += _expanded(name, table[name], stated.get(name, {}), set(table.colnames))
    return tuple(found)


def _expanded(name: str, column: Any, stated: dict[str, str], taken: set[str]) -> list[Column]:
    """Return a column, or the columns of a mixin: right ascension and declination of a SkyCoord."""
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    if isinstance(column, SkyCoord):
        where = column.icrs
        return [
            column_of(
                part if part not in taken else f"{name}.{part}",
                np.ma.filled(getattr(where, part).deg, np.nan),
                unit="deg",
                ucd=f"pos.eq.{part};meta.main",
                frame=Frame("icrs"),
            )
            for part in ("ra", "dec")
        ]
    if isinstance(column, Time):
        system = TimeSystem(str(column.scale), MJD_ZERO_JD)
        mask = np.ma.getmaskarray(column.mjd) if column.masked else None
        return [
            column_of(
                name, np.ma.getdata(column.mjd), mask, unit="d", ucd="time.epoch", times=system
            )
        ]
    unit = getattr(column, "unit", None)
    info = {
        "unit": "" if unit is None else str(unit),
        "ucd": stated.get("ucd", "") or _meta_ucd(column),
        "description": stated.get("description", "") or str(column.info.description or ""),
    }
    values = getattr(column, "value", column)
    mask = getattr(column, "mask", None)
    if mask is not None and np.asarray(mask).dtype.kind != "b":
        mask = None
    return [column_of(name, np.ma.getdata(np.ma.asarray(values)), mask, **info)]


def _meta_ucd(column: Any) -> str:
    meta = getattr(column.info, "meta", None) or {}
    return str(meta.get("ucd", "")).casefold()
