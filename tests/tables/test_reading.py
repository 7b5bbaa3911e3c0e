"""Tables of others: whatever the format, columns come with values, units, UCDs and frames."""

import bz2
import gzip
import lzma
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import TableError
from contimg_resources.tables import reading
from contimg_resources.tables.model import Column, Frame
from contimg_resources.tables.reading import Limits, read_table
from contimg_resources.tables.units import factor_of, parse_unit


def numbers_in(column: Column, wanted: str, given: str = "") -> Floats:
    return factor_of(column, wanted, given=given) * column.numbers()


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def numbers(path: Path, name: str) -> list[float]:
    return list(read_table(path).get(name).numbers())


def sample() -> Table:
    return Table(
        {
            "name": ["A", "B", "C"],
            "flux": MaskedColumn([1.5, 2.5, 9.0], unit="mJy", mask=[False, False, True]),
            "n": MaskedColumn([7, 8, 9], mask=[False, True, False]),
        }
    )


@pytest.mark.parametrize(
    "name",
    ["t.csv", "t.ecsv", "t.vot", "t.fits", "t.parquet", "t.dat", "t.tbl", "t.csv.gz", "t.fits.gz"],
)
def test_every_format_gives_the_same_columns(tmp_path: Path, name: str) -> None:
    forms = {"dat": "ascii.commented_header", "tbl": "ascii.ipac", "vot": "votable"}
    ending = name.split(".")[1]
    plain = tmp_path / f"t.{ending}"
    form = forms.get(ending, {"csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(ending, ending))
    options: dict[str, Any] = {"fill_values": [("--", '""')]} if ending == "dat" else {}
    sample().write(plain, format=form, **options)
    path = plain
    if name.endswith(".gz"):
        path = written(tmp_path, name, gzip.compress(plain.read_bytes()))
    table = read_table(path)
    assert table.names == ("name", "flux", "n")
    assert table.get("name").text().tolist() == ["A", "B", "C"]
    assert np.array_equal(table.get("flux").numbers(), [1.5, 2.5, np.nan], equal_nan=True)
    assert table.get("n").absent.tolist() == [False, True, False]
    if ending in ("ecsv", "vot", "fits", "parquet", "tbl"):
        assert table.get("flux").unit == "mJy"


@pytest.mark.parametrize(
    ("text", "flux"),
    [
        ("\ufeffname,flux\nA,1.5\n", 1.5),
        ("# a remark\nname;flux\nA;1.5\n", 1.5),
        ("name\tflux\nA\t1.5\n", 1.5),
        ("# name flux\n  A   1.5\n", 1.5),
        ("#name   flux\n#  --    [mJy]\n  A   1.5\n", 1.5),
        ('name,"flux"\n"A, and B",1.5\n', 1.5),
        ("name flux\nA 1.5\n# the end\n", 1.5),
        ("name,flux\rA,1.5\r", 1.5),
        ("name | flux\nA | 1.5\n", 1.5),
        ("| name | flux |\n|------|------|\n| A    | 1.5  |\n", 1.5),
        ("name,flux\nA,0.15D+01\n", 1.5),
        ("name,flux\nA,\u22121.5\n", -1.5),
    ],
)
def test_text_tables_of_many_kinds(tmp_path: Path, text: str, flux: float) -> None:
    assert numbers(written(tmp_path, "t.txt", text), "flux") == [flux]


def test_text_in_other_encodings(tmp_path: Path) -> None:
    text = "name,größe\nA,1.5\n"
    for encoding in ("utf-8-sig", "utf-16", "latin-1"):
        path = written(tmp_path, f"{encoding}.csv", text.encode(encoding))
        assert numbers(path, "größe") == [1.5]


def test_names_that_are_numbers_stay_as_they_are(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "t.csv", "id,flux\n00123,1\n1e5,2\n"))
    assert table.get("id").text().tolist() == ["00123", "1e5"]


def test_units_in_a_header_of_text(tmp_path: Path) -> None:
    vizier = "#Column\tS1.4\t(F8.1)\tFlux density\t[ucd=phot.flux.density;em.radio]\n"
    for name, text in {
        "brackets.csv": "RA (deg),S1.4 [mJy]\n1.0,2000\n",
        "second.dat": "# RA    S1.4\n# [deg] [mJy/beam]\n1.0 2000\n",
        "vizier.tsv": f"{vizier}RA\tS1.4\ndeg\tmJy\n----\t----\n1.0\t2000\n",
    }.items():
        column = read_table(written(tmp_path, name, text)).get("S1.4")
        assert numbers_in(column, "Jy") == [2.0]
    assert column.ucd == "phot.flux.density;em.radio"
    assert column.description == "Flux density"


def test_a_votable_has_names_and_not_ids_and_its_frame(tmp_path: Path) -> None:
    fields = (
        '<FIELD ID="col_ra" name="RA" unit="deg" ucd="pos.eq.ra;meta.main" ref="sys" '
        'datatype="double"/><FIELD ID="RA" name="id" datatype="char" arraysize="*"/>'
    )
    text = (
        '<VOTABLE version="1.3"><RESOURCE><COOSYS ID="sys" system="eq_FK4" equinox="B1950" '
        f'epoch="1979.9"/><TABLE>{fields}<DATA><TABLEDATA><TR><TD>12.5</TD><TD>x</TD></TR>'
        "<TR><TD/><TD/></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    table = read_table(written(tmp_path, "t.xml", text))
    ra = table.get("RA")
    assert ra.numbers()[0] == 12.5
    assert ra.frame == Frame("fk4", "B1950", "1979.9")
    assert ra.absent.tolist() == table.get("id").absent.tolist() == [False, True]
    assert table.with_ucd("pos.eq.ra", "meta.main") == (ra,)


def test_exact_names_are_preferred_and_ambiguous_ones_refused(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "t.csv", "ra,RA,Dec,DEC\n1,2,3,4\n"))
    assert table.get("RA").numbers() == [2.0]
    with pytest.raises(TableError, match="2 columns fit the name dec: Dec, DEC"):
        table.get("dec")
    with pytest.raises(TableError, match="no column flux; it has ra, RA, Dec, DEC"):
        table.get("flux")


def test_mixins_of_an_ecsv_become_columns(tmp_path: Path) -> None:
    where = SkyCoord([266.4], [-28.9], unit="deg")
    QTable(
        {
            "where": where.galactic,
            "when": Time([61041.25], format="mjd", scale="tdb"),
            "flux": [2.0] * u.mJy,
        }
    ).write(tmp_path / "t.ecsv")
    table = read_table(tmp_path / "t.ecsv")
    assert table.get("ra").numbers() == pytest.approx(266.4)
    assert table.get("dec").numbers() == pytest.approx(-28.9)
    when = table.get("when")
    assert when.numbers() == pytest.approx(61041.25)
    assert when.times is not None
    assert when.times.scale == "tdb"
    assert numbers_in(table.get("flux"), "Jy") == pytest.approx(0.002)


def test_times_of_parquet_and_of_a_votable(tmp_path: Path) -> None:
    stamps = pa.array([np.datetime64("2026-01-01T06:00:00", "us")])
    flux = pa.field("flux", pa.float64(), metadata={"unit": "uJy"})
    pq.write_table(
        pa.table([stamps, pa.array([5.0])], schema=pa.schema([("when", stamps.type), flux])),
        tmp_path / "t.parquet",
    )
    table = read_table(tmp_path / "t.parquet")
    assert table.get("when").numbers() == pytest.approx(61041.25)
    assert numbers_in(table.get("flux"), "Jy") == pytest.approx(5e-6)
    document = from_table(Table({"t": [41.25]}))
    path = tmp_path / "t.vot"
    document.to_xml(str(path))
    system = '<TIMESYS ID="ts" timeorigin="2461000.5" timescale="UTC" refposition="GEOCENTER"/>'
    text = path.read_text().replace("<RESOURCE", f"{system}<RESOURCE", 1)
    path.write_text(text.replace("<FIELD", '<FIELD ref="ts"', 1).replace("1.4", "1.5", 1))
    times = read_table(path).get("t").times
    assert times is not None
    assert (times.scale, times.origin_jd, times.position) == ("utc", 2461000.5, "GEOCENTER")


def test_keywords_and_ucds_of_fits(tmp_path: Path) -> None:
    hdu = fits.table_to_hdu(Table({"RA": [1.0]}))
    hdu.header["TUCD1"] = "pos.eq.ra;meta.main"
    hdu.header["EQUINOX"] = 1950.0
    hdu.writeto(tmp_path / "t.fits")
    table = read_table(tmp_path / "t.fits")
    assert table.get("RA").ucd == "pos.eq.ra;meta.main"
    assert table.keywords["EQUINOX"] == 1950.0


def test_of_several_tables_one_is_named(tmp_path: Path) -> None:
    hdus = [fits.table_to_hdu(Table({"x": [float(i)]})) for i in range(2)]
    hdus[0].name, hdus[1].name = "COMPONENTS", "HOSTS"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "t.fits")
    with pytest.raises(TableError, match=r"several tables.*1 COMPONENTS: 1 rows, 2 HOSTS"):
        read_table(tmp_path / "t.fits")
    assert read_table(tmp_path / "t.fits", table="hosts").get("x").numbers() == [1.0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", "a,b\n", "holds no rows"),
        ("t.csv", "a,b\n1,2\n1\n1,2,3\n", "line 3 has 1 fields .*; line 4 has 3 fields"),
        ("t.vot", "<VOTABLE>", "can't be read"),
        ("t.vot", '<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE/></VOTABLE>', "no table"),
        ("t.fits", b"SIMPLE  =                    T", "can't be read"),
        ("t.png", b"\x89PNG\r\n\x1a\n\0\0\0\0", "no table in a known format"),
        ("t.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "can't be read"),
    ],
)
def test_what_is_no_table_is_refused_by_name(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(TableError, match=told) as raised:
        read_table(path)
    assert str(path) in raised.value.message


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    limits = Limits(n_columns=3, n_rows=20, n_bytes=2_000_000)
    wide = ",".join(f"c{i}" for i in range(4))
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 600_000)
    for path, told in (
        (written(tmp_path, "w.csv", f"{wide}\n{wide}\n"), "has 4 columns"),
        (written(tmp_path, "r.csv", "a\n" + "1\n" * 21), "has 21 rows"),
        (written(tmp_path, "b.csv.gz", bomb), "more than 0.0 GB when unpacked"),
    ):
        with pytest.raises(TableError, match=told):
            read_table(path, limits=limits)
    Table({f"c{i}": [1] for i in range(4)}).write(tmp_path / "w.fits")
    with pytest.raises(TableError, match="has 4 columns"):
        read_table(tmp_path / "w.fits", limits=limits)


def test_a_small_file_of_thirty_million_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(21):
            stream.write(b"1,2\n" * 1_000_000)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(TableError, match="more than 20,000,000 rows"):
        read_table(path, limits=Limits(packing=math.inf))


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
def test_a_small_file_of_endless_repetition_is_refused_long_before_all_of_it_is_unpacked(
    tmp_path: Path, packed: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PACKED_FREELY_BYTES", 1 << 20)
    path = written(tmp_path, "bomb.csv.gz", packed(b"0," * (1 << 22)))
    with pytest.raises(TableError, match=r"its 0\.0 MB unpack to more than 4 MB, over 200 times"):
        read_table(path)


def test_equal_rows_that_take_no_space_in_parquet_are_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({f"c{i}": [1.0] * 1000 for i in range(3)}), path)
    assert read_table(path, limits=Limits(n_cells=3000)).n_rows == 1000
    with pytest.raises(TableError, match=r"1,000 rows of 3 columns; tables of up to 2,999 values"):
        read_table(path, limits=Limits(n_cells=2999))


def test_a_cut_off_fits_is_refused(tmp_path: Path) -> None:
    Table({"x": np.arange(5000.0)}).write(tmp_path / "t.fits")
    path = written(tmp_path, "cut.fits", (tmp_path / "t.fits").read_bytes()[:-12000])
    with pytest.raises(TableError, match="cut"):
        read_table(path)


def test_a_word_among_numbers_is_named_with_its_row(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "t.csv", "name,flux\nA,1\nB,much\nC,nan\n"))
    with pytest.raises(TableError, match="column flux: 'much' in row 2 is no number"):
        table.get("flux").numbers()


@pytest.mark.parametrize("power", ["10**99999999", "10+99999999", "10^(99999999)"])
@pytest.mark.parametrize("form", ["ecsv", "vot", "fits", "ipac", "mrt"])
def test_a_unit_that_nobody_could_wait_for_is_refused(
    tmp_path: Path, form: str, power: str
) -> None:
    path = tmp_path / f"x.{form}"
    unit = f"{power}Jy"
    name = "flux_density_at_1400_MHz"
    table = Table({"ra": [1.5, 2.5], "dec": [3.5, 4.5], name: [5.5, 6.5]})
    if form == "fits":
        hdu = fits.table_to_hdu(table)
        hdu.header["TUNIT3"] = unit
        hdu.writeto(path)
    else:
        # Of the same length, which machine-readable tables count.
        table[name].unit = "Jy"
        names = {"vot": "votable", "ecsv": "ascii.ecsv", "ipac": "ascii.ipac", "mrt": "ascii.mrt"}
        table.write(path, format=names[form])
        text = path.read_text()
        path.write_text(re.sub(r"\bJy\b *", lambda m: unit.ljust(len(m[0])), text))
    assert power in path.read_text(errors="replace")
    # What isn't IPAC's may be another table with bars, which lacks their number.
    words = "fields" if form == "ipac" else "is no unit that is known"
    with pytest.raises(TableError, match=words):
        read_table(path)
    with pytest.raises(TableError, match=r"is no unit that is known"):
        parse_unit(unit)


def test_usual_factors_of_units_are_read() -> None:
    for text, jy in (("10**-3 Jy", 1e-3), ("10**3 Jy", 1e3), ("1000000 Jy", 1e6), ("10+3 Jy", 1e3)):
        assert parse_unit(text).to("Jy") == pytest.approx(jy)
