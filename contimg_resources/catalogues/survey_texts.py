"""Surveys published as fixed-column text without a usable header.

Belongs here: SUMSS and VLSSr, as columns with VizieR's names. Doesn't: text with a header (see
`contimg_resources.tables.text`).
"""

import re
from dataclasses import replace

from contimg_resources.tables.model import Table, column_of

#: SUMSS: the columns after the six numbers of the position, with units.
_SUMSS = (
    *(("e_RAJ2000", "arcsec"), ("e_DEJ2000", "arcsec"), ("Sp", "mJy/beam"), ("e_Sp", "mJy/beam")),
    *(("St", "mJy"), ("e_St", "mJy"), ("MajAxis", "arcsec"), ("MinAxis", "arcsec"), ("PA", "deg")),
    *(("dMajAxis", "arcsec"), ("dMinAxis", "arcsec"), ("dPA", "deg"), ("Mosaic", "")),
    *(("NMosaic", ""), ("Xpos", ""), ("Ypos", "")),
)
_SUMSS_MOSAIC = re.compile(r"J\d{4}[MP]\d{2}[A-Z]?")
_SUMSS_MOSAIC_AT = 18
_POSITION = re.compile(r"\s*(\d\d \d\d \d\d\.\d+) ([-+ ]\d\d \d\d \d\d(\.\d*)?)(?=\s)")
#: VLSSr: columns of a line, counted from the start of the position; so in the error line below.
_VLSSR = {
    **{"Si": (30, 36), "l_MajAx": (37, 38), "MajAx": (38, 42)},
    **{"MinAx": (44, 48), "PA": (49, 54)},
}
_VLSSR_UNITS = {"Si": "Jy", "MajAx": "arcsec", "MinAx": "arcsec", "PA": "deg"}
_N_SHOWN = 200


def with_columns(table: Table) -> Table:
    """Return a headerless text table with the columns of its survey.

    A table that has columns, or belongs to no known survey, is returned unchanged.
    """
    if table.columns or not table.lines:
        return table
    return _sumss(table) or _vlssr(table) or table


def _sumss(table: Table) -> Table | None:
    rows = [line.split() for line in table.lines if line.strip()]
    n_fields = 6 + len(_SUMSS)
    if not rows or any(
        len(r) != n_fields or not _SUMSS_MOSAIC.fullmatch(r[_SUMSS_MOSAIC_AT])
        for r in rows[:_N_SHOWN]
    ):
        return None
    rows = [r for r in rows if len(r) == n_fields]
    columns = [
        column_of("RAJ2000", [" ".join(r[:3]) for r in rows], unit='"h:m:s"'),
        column_of("DEJ2000", [" ".join(r[3:6]) for r in rows], unit='"d:m:s"'),
        *(
            column_of(name, [r[6 + i] for r in rows], unit=unit)
            for i, (name, unit) in enumerate(_SUMSS)
        ),
    ]
    return replace(table, format="sumss", columns=tuple(columns), n_rows=len(rows), lines=())


def _vlssr(table: Table) -> Table | None:
    # The same program lists the NVSS, in mJy.
    head = " ".join(line for line in table.lines[:_N_SHOWN] if not _POSITION.match(line))
    if "NVSS" in head or "mJy" in head or not ("VLSS" in head or "RA(2000)" in head):
        return None
    found: dict[str, list[str]] = {n: [] for n in ("RAJ2000", "DEJ2000", *_VLSSR, "e_Si")}
    for i, line in enumerate(table.lines):
        if (position := _POSITION.match(line)) is None:
            continue
        at = position.start(1)
        found["RAJ2000"].append(position[1])
        found["DEJ2000"].append(position[2].strip())
        for name, (start, end) in _VLSSR.items():
            found[name].append(line[at + start : at + end].strip(" *"))
        below = table.lines[i + 1] if i + 1 < len(table.lines) else ""
        start, end = _VLSSR["Si"]
        errors = "" if _POSITION.match(below) else below[at + start : at + end]
        found["e_Si"].append(errors.strip())
    if not found["RAJ2000"]:
        return None
    units = {"RAJ2000": '"h:m:s"', "DEJ2000": '"d:m:s"', "e_Si": "Jy", **_VLSSR_UNITS}
    columns = tuple(column_of(n, v, unit=units.get(n, "")) for n, v in found.items())
    return replace(table, format="vlssr", columns=columns, n_rows=len(found["RAJ2000"]), lines=())
