"""Read VOTables: fields by their visible name, with their COOSYS and TIMESYS.

Belongs here: the format. Doesn't: the meaning of the fields.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.errors import TableError
from contimg_resources.core.times import MJD_ZERO_JD
from contimg_resources.tables.model import Column, Frame, Table, TimeSystem, column_of
from contimg_resources.tables.reading import Limits, check_columns, check_rows

_SYSTEMS = {
    "eq_fk4": "fk4",
    "eq_fk5": "fk5",
    "icrf": "icrs",
    "ecl_fk4": "ecliptic",
    "ecl_fk5": "ecliptic",
    "galactic_ii": "galactic",
}
_ORIGINS_JD = {"mjd-origin": MJD_ZERO_JD, "jd-origin": 0.0}


def read(path: Path, content: bytes, table: str, limits: Limits) -> Table:
    """Read a VOTable, its content decompressed; `path` is for the record.

    `table` is its name or number; empty: the only one with rows.

    Raises
    ------
    TableError
        If it holds a service's error message, no table, or several and none was named.
    """
    document = _parsed(content)
    remarks = _remarks(document)
    tables = list(document.iter_tables())
    if not tables:
        told = "; ".join(r for r in remarks if r.startswith("QUERY_STATUS ERROR"))
        raise TableError(f"it holds no table{': ' + told if told else ''}")
    chosen = chosen_table([(t.name or t.ID or "", len(t.array)) for t in tables], table)
    found = tables[chosen]
    check_columns(len(found.fields), limits)
    check_rows(len(found.array), limits)
    frames, times = _systems(document)
    references = _references(found)
    columns = tuple(
        _column(found, field, references.get(field.ID, field.ref), frames, times)
        for field in found.fields
    )
    keywords = {
        str(p.name).upper(): p.value for t in (*document.resources, found) for p in t.params
    }
    if len(frames) == 1 and not any(c.frame for c in columns):
        # No field refers to it, so it applies to the whole table.
        (frame,) = frames.values()
        keywords |= {"RADESYS": frame.system, "EQUINOX": frame.equinox}
    return Table(path, "votable", columns, len(found.array), remarks, keywords)


def stated_fields(content: bytes) -> dict[str, dict[str, str]]:
    """Return a dataless VOTable's properties of its fields, by name (VOParquet)."""
    document = _parsed(content)
    return {str(f.name): _stated(f) for t in document.iter_tables() for f in t.fields}


def chosen_table(tables: list[tuple[str, int]], wanted: str) -> int:
    """Return the index of the wanted table of several, or of the only one with rows.

    Tables are given by name and number of rows; `wanted` is a name or a number (from 1).

    Raises
    ------
    TableError
        If there is no such table, or several have rows and none is wanted.
    """
    shown = ", ".join(f"{i} {n or '(no name)'}: {r} rows" for i, (n, r) in enumerate(tables, 1))
    if wanted:
        for i, (name, _) in enumerate(tables):
            if wanted.casefold() == name.casefold() or wanted == str(i + 1):
                return i
        raise TableError(f"it holds no table {wanted}; it holds {shown}")
    full = [i for i, (_, n_rows) in enumerate(tables) if n_rows]
    if len(full) > 1:
        raise TableError(f"it holds several tables, and --table must name one: {shown}")
    return full[0] if full else 0


def _parsed(content: bytes) -> Any:
    from astropy.io import votable

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return votable.parse(io.BytesIO(content), verify="ignore", invalid="mask")


def _remarks(document: Any) -> tuple[str, ...]:
    """Return the INFOs of a document, for example that a limit truncated the answer."""

    def of(element: Any) -> list[Any]:
        nested = [i for r in getattr(element, "resources", ()) for i in of(r)]
        tables = [i for t in getattr(element, "tables", ()) for i in t.infos]
        return [*element.infos, *nested, *tables]

    return tuple(
        " ".join(str(part) for part in (i.name, i.value, i.content) if part) for i in of(document)
    )


def _systems(document: Any) -> tuple[dict[str, Frame], dict[str, TimeSystem]]:
    frames: dict[str, Frame] = {}
    times: dict[str, TimeSystem] = {}

    def collect(element: Any) -> None:
        for system in element.coordinate_systems:
            name = str(system.system or "").casefold()
            frames[str(system.ID)] = Frame(
                _SYSTEMS.get(name, name), str(system.equinox or ""), str(system.epoch or "")
            )
        for system in element.time_systems:
            times[str(system.ID)] = TimeSystem(
                str(system.timescale or "").casefold(),
                _origin_jd(system.timeorigin),
                str(system.refposition or ""),
            )
        for resource in element.resources:
            collect(resource)

    collect(document)
    return frames, times


def _origin_jd(text: Any) -> float | None:
    if text is None:
        return None
    named = _ORIGINS_JD.get(str(text).casefold())
    return float(text) if named is None else named


def _references(table: Any) -> dict[str, str]:
    """Return the systems referenced by groups, by the ID of the field in the group."""
    found: dict[str, str] = {}
    for group in table.iter_groups():
        if group.ref:
            found |= {e.ref: group.ref for e in group.entries if hasattr(e, "ref") and e.ref}
    return found


def _column(
    table: Any,
    field: Any,
    reference: str | None,
    frames: dict[str, Frame],
    times: dict[str, TimeSystem],
) -> Column:
    stated = _stated(field)
    words = stated["ucd"]
    frame = frames.get(str(reference))
    if frame is None and len(frames) == 1 and words.startswith(("pos.eq", "pos_eq", "pos.gal")):
        (frame,) = frames.values()
    values = table.array[field.ID]
    mask = np.ma.getmaskarray(values)
    if mask.dtype.kind != "b":
        mask = np.zeros(len(values), bool)
    data = np.ma.getdata(values)
    if mask.ndim > 1 and data.dtype.kind not in "biuf":
        mask = np.asarray(mask.reshape(len(mask), -1).all(axis=1))
    return column_of(
        str(field.name or field.ID),
        data,
        mask,
        frame=frame,
        times=times.get(str(reference)),
        **stated,
    )


def _stated(field: Any) -> dict[str, str]:
    return {
        "unit": "" if field.unit is None else str(field.unit),
        "ucd": str(field.ucd or "").casefold(),
        "description": " ".join(str(field.description or "").split()),
    }
