"""Small valid tables of every format and of many writers, as bytes by name of file."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from astropy.io.votable import from_table, writeto
from astropy.io.votable.tree import TimeSys
from astropy.table import Table
from astropy.time import Time

from tests.catalogues.test_dialects import DMS, HMS, TABLES
from tests.catalogues.test_vla_calibrators import LIST

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}

_N = 4
_RA = np.array([0.01, 24.42208, 187.70593, 359.9])
_DEC = np.array([-48.4985, 33.15972, 12.39112, 89.25])
_MJD = np.array([58_000.25, 58_010.5, 58_100.0, 58_200.0])


def _positions() -> Table:
    table = Table(
        {
            "name": ["A", "B", "C 1", "3C48"],
            "ra": _RA,
            "dec": _DEC,
            "flux": [1.5, 20.0, 0.25, 3.0],
            "e_flux": [0.1, 0.2, 0.01, 0.1],
            "reference_ghz": np.full(_N, 1.4),
            "spectral_index": [-0.7, -0.8, 0.1, -1.0],
        }
    )
    for name, unit in (("ra", "deg"), ("dec", "deg"), ("flux", "Jy"), ("e_flux", "mJy")):
        table[name].unit = unit
    table["reference_ghz"].unit = "GHz"
    return table


def _light_curve() -> Table:
    table = Table(
        {
            "source": ["A", "A", "B", "B"],
            "ra": _RA,
            "dec": _DEC,
            "mjd": _MJD,
            "flux": [100.0, 110.0, 90.0, 95.0],
            "flux_err": np.ones(_N),
            "flag": [0, 0, 1, 0],
        }
    )
    table["flux"].unit = table["flux_err"].unit = "mJy"
    table["mjd"].unit = "d"
    return table


def _written(table: Table, form: str, **options: Any) -> bytes:
    if form == "fits":
        binary = io.BytesIO()
        table.write(binary, format="fits")
        return binary.getvalue()
    text = io.StringIO()
    table.write(text, format=form, **options)
    return text.getvalue().encode()


def _votable(table: Table, form: str, *, timed: bool = False) -> bytes:
    document = from_table(table, table_id="t")
    document.version = "1.4"
    if timed:
        system = TimeSys("tsys", timeorigin="MJD-origin", timescale="TDB", refposition="TOPOCENTER")
        document.resources[0].time_systems.append(system)
        document.get_first_table().get_field_by_id("mjd").ref = "tsys"
    stream = io.BytesIO()
    writeto(document, stream, tabledata_format=form)
    return stream.getvalue()


def _parquet(table: Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({n: table[n].tolist() for n in table.colnames}), stream)
    return stream.getvalue()


_TDAT = """<HEADER>
table_name = test
field[name] = char10 [meta.id] (index) // Name
field[ra] = float8:.4f_degree [pos.eq.ra] // Right ascension
field[dec] = float8:.4f_degree [pos.eq.dec] // Declination
field[flux_20_cm] = float8:8.2f_mJy [phot.flux.density] // Flux
line[1] = name ra dec flux_20_cm
<DATA>
A|24.4|33.1|16000|
B|25.4|-33.1|100|
<END>
"""
_VIZIER = """#Column\t_RAJ2000\t(F10.6)\tRight ascension\t[ucd=pos.eq.ra;meta.main]
#Column\t_DEJ2000\t(F10.6)\tDeclination\t[ucd=pos.eq.dec;meta.main]
#Column\tS1.4\t(F8.2)\tFlux density\t[ucd=phot.flux.density]
_RAJ2000\t_DEJ2000\tNVSS\tS1.4\te_S1.4
deg\tdeg\t \tmJy\tmJy
----------\t----------\t------\t--------\t---
024.422\t+33.159\tA\t16018.0\t480
025.422\t-33.159\tB\t  160.0\t  5
"""
_DATES = """date,flux_mJy,error
2025-10-06T12:30:00,100,1
2025-10-07 12:30,101,1
2025/10/08T12:30:00+02:00,99,1
"""
_BLANKS = """# name  ra           dec         flux   err
# --    hms          dms         mJy    mJy
A  01:37:41.3  +33:09:35  100.0  1.0
B  02:37:41.3  -00:09:35  10.0   1.0
"""
_CALIBRATORS = """# ours
name,aliases,ra_deg,dec_deg,flux_jy,reference_ghz,spectral_index
ours,o;p,10.5,20.5,1.5,1.4,-0.7
theirs,,190.5,-20.5,2.5,1.4,-0.9
"""


@cache
def catalogues() -> dict[str, bytes]:
    """Return catalogues of sources, with a list of calibrators among them."""
    table = _positions()
    plain = Table(table, copy=True)
    for name in plain.colnames:
        plain[name].unit = None
    found = {
        "units.ecsv": _written(table, "ascii.ecsv"),
        "plain.csv": _written(table, "ascii.csv"),
        "plain.tsv": _written(table, "ascii.tab"),
        "commented.txt": _written(table, "ascii.commented_header"),
        "bars.ipac": _written(table, "ascii.ipac"),
        "bytes.mrt": _written(plain, "ascii.mrt"),
        "bars.md": _written(table, "ascii.fixed_width"),
        "table.fits": _written(table, "fits"),
        "data.vot": _votable(table, "tabledata"),
        "binary.vot": _votable(table, "binary"),
        "binary2.xml": _votable(table, "binary2"),
        "columns.parquet": _parquet(table),
        "heasarc.tdat": _TDAT.encode(),
        "vizier.tsv": _VIZIER.encode(),
        "wide.csv": _written(table, "ascii.csv").decode().encode("utf-16"),
        "sexagesimal.csv": _written(
            Table(
                {"id": ["a", "b", "c", "d", "e"], "RAJ2000": HMS, "DEJ2000": DMS, "S1400": [1] * 5}
            ),
            "ascii.csv",
        ),
        "blanks.txt": _BLANKS.encode(),
        "calibrators.csv": _CALIBRATORS.encode(),
        "vla.txt": LIST.encode(),
    }
    for name, _, _, columns in TABLES:
        found[f"{name}.csv"] = _written(Table(columns), "ascii.csv")
        found[f"{name}.fits"] = _written(Table(columns), "fits")
    for name, pack in PACKERS.items():
        found[f"packed.csv.{name}"] = pack(found["plain.csv"])
    return found


@cache
def light_curves() -> dict[str, bytes]:
    """Return light curves."""
    table = _light_curve()
    joint = Table(table, copy=True)
    joint["mjd"] = Time(_MJD, format="mjd", scale="tai")
    return {
        "units.ecsv": _written(table, "ascii.ecsv"),
        "time.ecsv": _written(joint, "ascii.ecsv"),
        "plain.csv": _written(table, "ascii.csv").replace(b"flux,", b"flux_mJy,"),
        "dates.csv": _DATES.encode(),
        "years.csv": b"year,S_GHz_1.4,flux_mJy,e_flux\n2020.5,1.4,1,2\n2021.5,1.4,1,2\n",
        "offset.csv": b"JD-2450000,flux [mJy],flux_err\n9000.5,1,2\n9001.5,1,2\n",
        "unix.csv": b"unix_time,flux_uJy,err\n1600000000,1,2\n1600086400,1,2\n",
        "table.fits": _written(table, "fits"),
        "time.fits": _written(joint, "fits"),
        "data.vot": _votable(table, "tabledata"),
        "timed.vot": _votable(table, "tabledata", timed=True),
        "columns.parquet": _parquet(table),
    }
