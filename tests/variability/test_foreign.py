"""Light curves in tables of others are read as their writers meant them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.io.votable.tree import TimeSys
from astropy.table import Table
from astropy.time import Time

from contimg_resources.core.errors import TableError
from contimg_resources.variability.added import as_light_curves
from contimg_resources.variability.foreign import ForeignRows, read_rows
from contimg_resources.variability.foreign_columns import GivenColumn

MJD = np.array([58_000.25, 58_010.5, 58_100.0])


def csv(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def of(path: Path, header: str, times: Any, **options: Any) -> ForeignRows:
    """Read a file of three rows, of 100, 200 and 300 mJy with errors of 1 mJy."""
    rows = (f"{t},{100 * (i + 1)},1" for i, t in enumerate(times))
    return read_rows(csv(path / "lc.csv", header, *rows), **options)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("MJD", MJD),
        ("mjd_utc", MJD),
        ("time", MJD),
        ("JD", MJD + 2_400_000.5),
        ("t", MJD + 2_400_000.5),
        ("JD-2450000", MJD + 2_400_000.5 - 2_450_000),
        ("JD - 2400000.5", MJD),
        ("mjd_tai", Time(MJD, format="mjd").tai.mjd),
        ("mjd_tt", Time(MJD, format="mjd").tt.mjd),
        ("JD_TDB", Time(MJD, format="mjd").tdb.jd),
        ("date", Time(MJD, format="mjd").isot),
        ("Date-Obs", [f"{t}Z" for t in Time(MJD, format="mjd").isot]),
        ("date", [t.replace(" ", "T") + "+02:00" for t in Time(MJD + 2 / 24, format="mjd").iso]),
        ("date", [t.replace("-", "/") for t in Time(MJD, format="mjd").iso]),
        ("unix_time", Time(MJD, format="mjd").unix),
        ("decimal_year", Time(MJD, format="mjd").decimalyear),
    ],
)
def test_times_are_utc_whatever_their_format_and_scale(
    tmp_path: Path, name: str, times: Any
) -> None:
    texts = [str(t) if isinstance(t, str) else f"{t:.9f}" for t in times]
    rows = of(tmp_path, f"{name},flux_mjy,err", texts)
    assert rows.mjd == pytest.approx(MJD, abs=2e-5)
    assert rows.flux_jy == pytest.approx([0.1, 0.2, 0.3])
    assert rows.error_jy == pytest.approx([0.001] * 3)


@pytest.mark.parametrize(
    ("header", "times", "said"),
    [
        (
            "bjd_tdb,flux_mjy,err",
            MJD + 2_400_000.5,
            r"bjd_tdb holds times at the barycentre.*time=bjd_tdb:jd:tdb",
        ),
        ("mjd,flux_mjy,err", MJD + 2_400_000.5, r"column mjd holds 2458000.75.*time=mjd:jd"),
        (
            "t,flux_mjy,err",
            [0.0, 10.0, 20.0],
            r"t holds 0, neither MJD nor JD.*time=t:FORMAT",
        ),
        ("day,flux_mjy,err", MJD, r"the column with the time is not known.*--column time"),
        ("mjd,jd_mjd,flux_mjy,err", ["1,1"] * 3, "several columns may be the time: mjd, jd_mjd"),
        ("mjd,flux,err", MJD, r"column flux states no unit.*flux=flux:mJy"),
        ("mjd,flux_mjy,other", MJD, r"the column with the error is not known.*--error 5%"),
        ("mjd,s4.8,s8.0", MJD, r"several columns may be the flux: s4.8, s8.0"),
        ("mjd,mag,err", MJD, r"the column with the flux density is not known"),
    ],
)
def test_what_isnt_stated_is_refused_with_what_to_do(
    tmp_path: Path, header: str, times: Any, said: str
) -> None:
    with pytest.raises(TableError, match=said):
        of(tmp_path, header, times)


def test_what_the_user_says_counts(tmp_path: Path) -> None:
    bjd = Time(MJD, format="mjd", scale="utc").tdb.jd
    given = {
        "time": GivenColumn("bjd", "jd:tdb"),
        "flux": GivenColumn("S", "uJy"),
        "error": GivenColumn("x"),
    }
    rows = of(tmp_path, "bjd,S,x", [f"{t:.9f}" for t in bjd], given=given, source="3C 84")
    assert rows.mjd == pytest.approx(MJD, abs=2e-5)
    assert rows.flux_jy == pytest.approx([1e-4, 2e-4, 3e-4])
    assert rows.error_jy == pytest.approx([1e-6] * 3)
    assert set(rows.source) == {"3C 84"}
    share = of(tmp_path, "mjd,flux_jy,x", MJD, error="5%")
    assert share.error_jy == pytest.approx([5.0, 10.0, 15.0])
    with pytest.raises(TableError, match="'many' is not an error"):
        of(tmp_path, "mjd,flux_jy,x", MJD, error="many")


def test_rows_that_do_not_count_are_named_with_their_reason(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "many.csv",
        "source,mjd,flux_mjy,e_flux",
        *("a,58002,-5,1", "a,58001,100,1", "a,58001,100,1", "a,58001,90,2"),
        *("b,58001,nan,1", "b,58001,7,0", "b,58001,7,-1", "b,58001,7,inf", "b,x,7,1"),
        *(",58001,7,1", "b,2458001.5,7,1", "b,58003,<5,1", "c,58001,,1", "b,58009,8,0.5"),
    )
    curves, rejected = as_light_curves("mine", [read_rows(path)])
    assert curves.source_id.tolist() == ["mine:a", "mine:b"]
    assert curves.mid_mjd.tolist() == [58_001.0, 58_002.0, 58_009.0]
    assert curves.flux_jy == pytest.approx([0.1, -0.005, 0.008])
    assert curves.error_jy == pytest.approx([0.001, 0.001, 0.0005])
    assert {(r.source, r.reason): r.rows for r in rejected} == {
        ("a", "repeats another row"): (3,),
        ("a", "another measurement at the same time has no larger error"): (4,),
        ("b", "no flux density"): (5,),
        ("b", "error is 0"): (6,),
        ("b", "error is negative"): (7,),
        ("b", "no error"): (8,),
        ("b", "no time between 1960 and 2100"): (9, 11),
        ("", "no source name"): (10,),
        ("b", "flux density isn't a number"): (12,),
        ("c", "no flux density"): (13,),
    }


def test_a_file_of_which_no_row_counts_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path / "x.csv", "source,mjd,flux_mjy,err", "a,58001,1,0", "a,58002,nan,1")
    with pytest.raises(TableError, match=r"x.csv: none of its 2 rows is valid \(1 rows: no flux"):
        read_rows(path)


def test_ids_are_stable_and_differ(tmp_path: Path) -> None:
    names = ("4C 39.25", "4C_39.25", "3C 84", "a/../b", "3C84")
    path = csv(tmp_path / "n.csv", "name,mjd,S_Jy,S_err", *(f"{n},58001,1,0.1" for n in names))
    ids = as_light_curves("agn", [read_rows(path)])[0].source_id.tolist()
    assert len(set(ids)) == 5
    assert {"agn:4C_39.25", "agn:3C_84", "agn:3C84"} < set(ids)
    assert all("/" not in i and ".." not in i for i in ids)


def test_each_frequency_of_a_source_is_a_light_curve(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "f.csv",
        "source,MJD,freq_mhz,S_Jy,S_err",
        *("x,58001,4850,1,0.1", "x,58002,4860,1,0.1", "x,58001,15000,2,0.1", "x,58002,15000,2,0.1"),
    )
    curves, _ = as_light_curves("f", [read_rows(path)])
    assert curves.source_id.tolist() == ["f:x:15GHz", "f:x:4.855GHz"]
    assert curves.flux_jy.tolist() == [2.0, 2.0, 1.0, 1.0]


def table() -> Table:
    return Table(
        {
            "src": ["a", "a", "b"],
            "raj2000": [10.0, 10.0, 20.0],
            "dej2000": [-5.0, -5.0, 5.0],
            "when": MJD,
            "S": [100.0, 200.0, 300.0],
            "dS": [1.0, 1.0, 1.0],
        },
        units={"raj2000": "deg", "dej2000": "deg", "when": "d", "S": "mJy", "dS": "mJy"},
    )


def ecsv(path: Path) -> None:
    found = table()
    found["when"] = Time(MJD, format="mjd").tai
    found.write(path, format="ascii.ecsv", serialize_method={Time: "jd1_jd2"})


def votable(path: Path) -> None:
    found = table()
    found["when"] = Time(MJD, format="mjd").tt.jd - 2_450_000.0
    document = from_table(found)
    document.version = "1.4"
    document.resources[0].time_systems.append(
        TimeSys(
            ID="sys",
            timeorigin=2_450_000.0,
            timescale="TT",
            refposition="TOPOCENTER",
            config={"version_1_4_or_later": True},
        )
    )
    fields = {f.name: f for f in document.resources[0].tables[0].fields}
    fields["when"].ref, fields["when"].unit = "sys", "d"
    fields["S"].ucd = "phot.flux.density;em.radio"
    fields["dS"].ucd = "stat.error;phot.flux.density"
    fields["src"].ucd = "meta.id;meta.main"
    writeto(document, str(path))


def fits_table(path: Path) -> None:
    found = table()
    found["when"] = (Time(MJD, format="mjd").tt.mjd - 50_000) * 86_400
    found["when"].unit = "s"
    found.rename_column("when", "TIME")
    hdu = fits.table_to_hdu(found)
    hdu.header["MJDREFI"], hdu.header["MJDREFF"], hdu.header["TIMESYS"] = 50_000, 0.0, "TT"
    hdu.writeto(path)


def fits_of_astropy(path: Path) -> None:
    found = table()
    found["when"] = Time(MJD, format="mjd").tt
    found.write(path, format="fits")


def parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = table()
    stamps = Time(MJD, format="mjd").datetime64.astype("datetime64[us]")
    pq.write_table(
        pa.table(
            {
                "source": pa.array(found["src"].tolist()),
                "ra": found["raj2000"].data,
                "dec": found["dej2000"].data,
                "timestamp": pa.array(stamps),
                "flux_mJy": found["S"].data,
                "flux_err_mJy": found["dS"].data,
            }
        ),
        path,
    )


@pytest.mark.parametrize("write", [ecsv, votable, fits_table, fits_of_astropy, parquet])
def test_each_format_gives_the_same_light_curves(tmp_path: Path, write: Any) -> None:
    path = tmp_path / f"curves.{write.__name__.partition('_')[0]}"
    write(path)
    curves, rejected = as_light_curves("x", [read_rows(path)])
    assert rejected == ()
    assert curves.source_id.tolist() == ["x:a", "x:b"]
    assert curves.ra_deg == pytest.approx([10.0, 20.0], abs=2e-5)
    assert curves.dec_deg == pytest.approx([-5.0, 5.0], abs=2e-5)
    assert curves.mid_mjd == pytest.approx(MJD, abs=1e-8)
    assert curves.flux_jy == pytest.approx([0.1, 0.2, 0.3])
    assert curves.error_jy == pytest.approx([0.001] * 3)


def test_a_unit_that_contradicts_the_name_or_is_none_of_flux_is_refused(tmp_path: Path) -> None:
    found = table()
    found.rename_column("S", "S_jy")
    found.rename_column("when", "mjd")
    found.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    with pytest.raises(TableError, match="column S_jy states mJy, its name states Jy"):
        read_rows(tmp_path / "a.ecsv")
    found.rename_column("S_jy", "flux")
    found["flux"].unit = "erg / s"
    found.write(tmp_path / "b.ecsv", format="ascii.ecsv")
    with pytest.raises(
        TableError, match="column flux is in erg / s, which is not a unit of flux density"
    ):
        read_rows(tmp_path / "b.ecsv")


def test_a_scale_or_position_that_cannot_be_converted_is_refused_by_name(tmp_path: Path) -> None:
    fits_table(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", mode="update") as hdus:
        hdus[1].header["TIMESYS"] = "LOCAL"
    with pytest.raises(TableError, match="column TIME is in the time scale 'LOCAL'"):
        read_rows(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", mode="update") as hdus:
        hdus[1].header["TIMESYS"], hdus[1].header["TREFPOS"] = "TDB", "BARYCENTER"
    with pytest.raises(TableError, match="column TIME holds times at the BARYCENTER"):
        read_rows(tmp_path / "a.fits")


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("flag", "0 1 0", "flagged in column flag"),
        ("flags", "0 4 0", "flagged in column flags"),
        ("good", "True False True", "marked as bad in column good"),
        ("l_flux", "= < =", "an upper limit by column l_flux"),
        ("upper_limit", "no yes no", "an upper limit by column upper_limit"),
        ("limit", "0.3 0.2 0.1", ""),
        ("quality", "bad good 3", ""),
    ],
)
def test_rows_that_the_file_flags_do_not_count(
    tmp_path: Path, column: str, values: str, reason: str
) -> None:
    rows = [f"{58_000 + i},{i},1,{v}" for i, v in enumerate(values.split())]
    path = csv(tmp_path / "f.csv", f"mjd,S_mJy,e_S_mJy,{column}", *rows)
    found = read_rows(path)
    assert [(r.reason, r.rows) for r in found.rejected] == ([(reason, (2,))] if reason else [])
    if reason:
        assert found.row.tolist() == [1, 3]
        role = {"good": "good", "l_flux": "limit", "upper_limit": "limit"}.get(column, "flag")
        assert read_rows(path, {role: GivenColumn("")}).row.tolist() == [1, 2, 3]
    else:
        assert column in found.read_as["not used"]


def test_whole_years_are_no_dates(tmp_path: Path) -> None:
    path = csv(tmp_path / "y.csv", "year,month,day,flux_jy,err", "1981,2,3,1,0.1", "1982,1,1,1,0.1")
    with pytest.raises(TableError, match="column year holds whole years only"):
        read_rows(path)
    days = csv(tmp_path / "d.csv", "date,flux_jy,err", "19810203,1,0.1", "19820101,1,0.1")
    assert read_rows(days).mjd.tolist() == [44_638.0, 44_970.0]
