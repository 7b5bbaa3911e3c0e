"""Catalogues as others write them: each value as its writer meant it, or one clear refusal."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import FK4, SkyCoord

from contimg_resources.catalogues.columns import Given
from contimg_resources.catalogues.model import CatalogueSources
from contimg_resources.catalogues.reading import ReadCatalogue, read_catalogue
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.core.errors import CatalogueError

HEAD = "name,ra_deg,dec_deg,flux_jy,reference_ghz"


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(
    tmp_path: Path, content: str, name: str = "c.csv", given: Given | None = None
) -> ReadCatalogue:
    return read_catalogue(written(tmp_path, name, content), "c", given=given)


def ecsv(units: dict[str, str], rows: list[str]) -> str:
    names = ["name", "ra_deg", "dec_deg", "flux_jy", "flux_error_jy", "reference_ghz"]
    fields = "".join(
        f"# - {{name: {n}, {f'unit: {units[n]}, ' if n in units else ''}"
        f"datatype: {'string' if n == 'name' else 'float64'}}}\n"
        for n in names
    )
    head = f"# %ECSV 1.0\n# ---\n# datatype:\n{fields}# schema: astropy-2.0\n"
    return head + " ".join(names) + "\n" + "\n".join(rows) + "\n"


def votable(fields: str, rows: list[list[str]], system: str = "") -> str:
    cells = "".join("<TR>" + "".join(f"<TD>{c}</TD>" for c in r) + "</TR>" for r in rows)
    return (
        f'<?xml version="1.0"?><VOTABLE version="1.3">{system}<RESOURCE><TABLE>{fields}<DATA>'
        f"<TABLEDATA>{cells}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )


def field(name: str, unit: str = "", ucd: str = "", kind: str = "double", more: str = "") -> str:
    size = ' arraysize="*"' if kind == "char" else ""
    stated = (f' unit="{unit}"' if unit else "") + (f' ucd="{ucd}"' if ucd else "")
    return f'<FIELD name="{name}" datatype="{kind}"{size}{stated} {more}/>'


def values(sources: CatalogueSources, i: int = 0) -> tuple[float, float, float, float]:
    return (
        float(sources.ra_deg[i]),
        float(sources.dec_deg[i]),
        float(sources.flux_jy[i]),
        float(sources.reference_ghz[i]),
    )


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    sources = read(tmp_path, f"\ufeff{HEAD}\nA,24.42,33.16,1.0,1.4\n").sources
    assert sources.name.tolist() == ["A"]
    assert values(sources) == (24.42, 33.16, 1.0, 1.4)


def test_columns_that_differ_in_case_are_two(tmp_path: Path) -> None:
    sources = read(tmp_path, f"{HEAD},RA_DEG\nA,24.42,33.16,1.0,1.4,1.0\n").sources
    assert values(sources) == (24.42, 33.16, 1.0, 1.4)
    with pytest.raises(CatalogueError, match="2 columns fit the name ra_deg: RA_Deg, RA_DEG"):
        read(tmp_path, f"{HEAD.replace('ra_deg', 'RA_Deg')},RA_DEG\nA,24.42,33.16,1.0,1.4,1.0\n")


def test_each_position_is_decimal_or_sexagesimal(tmp_path: Path) -> None:
    text = f"{HEAD}\nA,10.5,+33.16,1.0,1.4\nC,00:50:00,+33:20:00,0.4,1.4\n"
    sources = read(tmp_path, text).sources
    assert sources.ra_deg == pytest.approx([10.5, 12.5])
    assert sources.dec_deg == pytest.approx([33.16, 33 + 1 / 3])


def test_the_stated_units_count_and_not_those_in_names(tmp_path: Path) -> None:
    units = {"ra_deg": "hourangle", "dec_deg": "rad", "flux_jy": "mJy", "reference_ghz": "MHz"}
    text = ecsv(units, ["A 1.628 0.5788 1000.0 0.01 1400.0"])
    sources = read(tmp_path, text, "c.ecsv").sources
    assert values(sources) == pytest.approx((24.42, np.degrees(0.5788), 1.0, 1.4))
    assert sources.flux_error_jy == pytest.approx([0.01])


def test_decimal_degrees_in_columns_of_text_are_no_hours(tmp_path: Path) -> None:
    fields = "".join(field(n, kind="char") for n in HEAD.split(",")[:3]) + "".join(
        field(n) for n in HEAD.split(",")[3:]
    )
    text = votable(fields, [["A", "10.5", "33.16", "1", "1.4"]])
    assert values(read(tmp_path, text, "c.vot").sources) == (10.5, 33.16, 1.0, 1.4)


def test_the_frame_of_a_votable_is_honoured(tmp_path: Path) -> None:
    system = '<COOSYS ID="sys" system="eq_FK4" equinox="B1950" epoch="B1950"/>'
    fields = field("name", kind="char") + "".join(
        field(n, u, more='ref="sys"') for n, u in (("ra_deg", "deg"), ("dec_deg", "deg"))
    )
    fields += field("flux_jy", "Jy") + field("reference_ghz", "GHz")
    text = votable(fields, [["A", "24.42", "33.16", "1", "1.4"]], system)
    sources = read(tmp_path, text, "c.vot").sources
    where = SkyCoord(24.42, 33.16, unit="deg", frame=FK4(equinox="B1950")).icrs
    assert values(sources)[:2] == pytest.approx((where.ra.deg, where.dec.deg), abs=1e-9)
    unreferred = read(tmp_path, text.replace('ref="sys"', ""), "c.vot").sources
    assert values(unreferred) == values(sources)
    with pytest.raises(CatalogueError, match="'geo_app', which can't be converted into ICRS"):
        read(tmp_path, text.replace("eq_FK4", "geo_app"), "c.vot")


def test_made_names_are_no_other_source_s(tmp_path: Path) -> None:
    rows = ["X,24.42,33.16,1.0,1.4", "X,24.52,33.16,1.0,1.4", "X_2,25.0,33.2,0.5,1.4"]
    found = []
    for order in (rows, rows[::-1]):
        sources = read(tmp_path, "\n".join([HEAD, *order]) + "\n").sources
        found.append(dict(zip(sources.source_id.tolist(), sources.ra_deg, strict=True)))
    assert found[0] == found[1] == {"c-X": 24.42, "c-X_3": 24.52, "c-X_2": 25.0}


def test_a_name_that_two_columns_have_is_refused_alone(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as refused:
        read(tmp_path, "name,ra_deg,ra_deg,dec_deg,flux_jy,reference_ghz\nA,1,2,3,4,1.4\n")
    assert refused.value.message.endswith(
        "2 columns fit the name ra_deg: ra_deg, ra_deg; rename all but one"
    )


def test_a_row_without_a_position_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    fields = "".join(field(n, kind="char") for n in HEAD.split(",")[:3]) + "".join(
        field(n) for n in HEAD.split(",")[3:]
    )
    rows = [["A", "01 37 41.3", "+33 09 35", "1", "1.4"], ["C", "", "", "", "1.4"]]
    rows += [["D", "1.0", "2.0", "", "1.4"], ["E", "1.0", "95", "1", "1.4"]]
    found = read(tmp_path, votable(fields, rows), "c.vot")
    assert found.sources.name.tolist() == ["A"]
    assert found.sources.ra_deg == pytest.approx([24.4220833])
    (note,) = found.notes
    assert note.startswith("rejected 3 of 4 rows: 1 whose ra_deg, dec_deg is no position")
    assert "such as '1.0 95' (first: row 4); 1 without a position (first: row 2)" in note
    assert "1 without a flux density (first: row 3)" in note


def test_a_catalogue_keeps_what_was_told(tmp_path: Path) -> None:
    path = written(tmp_path, "c.csv", f"{HEAD}\nA,1,2,3,1.4\nB,1,2,0,1.4\n")
    store = CatalogueStore(tmp_path / "kept")
    store.add("c", path)
    assert store.open("c").facts.notes == (
        "rejected 1 of 2 rows: 1 whose flux density isn't above zero (first: row 2)",
    )


def test_a_wrong_column_is_refused_and_not_thinned_out(tmp_path: Path) -> None:
    rows = "".join(f"S{i},{i},{60 * i},1,1.4\n" for i in range(1, 20))
    with pytest.raises(CatalogueError, match="more rows are wrong than right"):
        read(tmp_path, f"{HEAD}\n{rows}")
    with pytest.raises(CatalogueError, match=r"reference_ghz is no frequency .* such as '1400'"):
        read(tmp_path, f"{HEAD}\nA,1,2,3,1400\n")


def test_columns_are_known_by_their_ucds(tmp_path: Path) -> None:
    fields = (
        field("recno", kind="int", ucd="meta.record")
        + field("_RA", "deg", "pos.eq.ra")
        + field("RAx", "&quot;h:m:s&quot;", "pos.eq.ra;meta.main", "char")
        + field("DEx", "&quot;d:m:s&quot;", "pos.eq.dec;meta.main", "char")
        + field("Nm", "", "meta.id;meta.main", "char")
        + field("Sx", "mJy", "phot.flux.density;em.radio.750-1500MHz")
        + field("e_Sx", "mJy", "stat.error;phot.flux.density;em.radio.750-1500MHz")
        + field("Px", "mJy/beam", "phot.flux.density;em.radio;stat.max")
        + field("Freq", "MHz", "em.freq")
    )
    row = ["1", "9", "01 37 41.3", "-00 09 36", "PKS", "250", "5", "200", "1420"]
    found = read(tmp_path, votable(fields, [row]), "c.vot")
    assert found.survey == "columns"
    assert values(found.sources) == pytest.approx((24.4220833, -0.16, 0.25, 1.42))
    assert found.sources.flux_error_jy == pytest.approx([0.005])
    assert found.sources.source_id.tolist() == ["c-PKS"]


ANY = "Obj,RAJ2000,DEJ2000,S1400,e_S1400,Speak\nA,24.42,-33.16,1000,10,900\n"


def test_any_columns_are_read_when_a_user_names_them(tmp_path: Path) -> None:
    columns = ["ra=RAJ2000", "dec=DEJ2000", "flux=S1400:mJy", "name=Obj"]
    given = Given.parse(columns, frequency="1.4 GHz")
    sources = read(tmp_path, ANY, given=given).sources
    assert values(sources) == pytest.approx((24.42, -33.16, 1.0, 1.4))
    assert sources.flux_error_jy == pytest.approx([0.01]), "e_S1400 goes with S1400"
    assert sources.name.tolist() == ["A"]
    given = Given.parse([*columns, "flux_error=Speak:uJy"], frequency="1.4 GHz")
    assert read(tmp_path, ANY, given=given).sources.flux_error_jy == pytest.approx([9e-4])


def test_a_declination_and_a_frequency_follow_from_names(tmp_path: Path) -> None:
    given = Given.parse(["ra=RAJ2000", "flux=S1400:mJy"])
    found = read(tmp_path, ANY, given=given)
    assert values(found.sources) == pytest.approx((24.42, -33.16, 1.0, 1.4))
    assert found.notes == ("1.4 GHz is taken from the name of column S1400",)


def test_a_given_unit_and_a_given_frame_count(tmp_path: Path) -> None:
    given = Given.parse(
        ["ra=RAJ2000:hourangle", "dec=DEJ2000", "flux=S1400:uJy", "frequency=1400:MHz"],
        frame="galactic",
    )
    sources = read(tmp_path, ANY.replace("24.42", "1.0"), given=given).sources
    where = SkyCoord(15.0, -33.16, unit="deg", frame="galactic").icrs
    assert values(sources) == pytest.approx((where.ra.deg, where.dec.deg, 1e-3, 1.4))


def test_an_error_proposes_the_command_with_the_likely_columns(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as refused:
        read(tmp_path, ANY)
    assert (
        f"contimg catalogue add c {tmp_path / 'c.csv'} --column ra=RAJ2000 --column dec=DEJ2000 "
        "--column flux=S1400:mJy --frequency 1400MHz --column name=Obj" in refused.value.message
    )
    assert "other candidates: Speak" in refused.value.message


def test_the_proposed_command_works(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as refused:
        read(tmp_path, ANY.replace("RAJ2000", "RA (J2000)"))
    words = refused.value.message.split(" --frequency")[0].split("--column ")[1:]
    given = Given.parse([w.strip().strip("'") for w in words], frequency="1400MHz")
    sources = read(tmp_path, ANY.replace("RAJ2000", "RA (J2000)"), given=given).sources
    assert values(sources) == pytest.approx((24.42, -33.16, 1.0, 1.4))


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    units = {"ra_deg": "Jy", "dec_deg": "deg", "flux_jy": "K", "reference_ghz": "m"}
    with pytest.raises(CatalogueError) as refused:
        read(tmp_path, ecsv(units, ["A 1 2 3 4 5"]), "c.ecsv")
    for told in (
        "column ra_deg is in Jy, which is no angle",
        "column flux_jy is in K, which isn't a flux density",
        "column reference_ghz is in m, which isn't a frequency",
    ):
        assert told in refused.value.message


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("flux", "ROLE=COLUMN"),
        ("colour=B", "with a role of name, ra, dec"),
        ("flux=S1401", "there is no column S1401; near: S1400"),
        ("flux=S1400:furlong", "'furlong' is no unit"),
        ("flux=S1400", "column S1400 states no unit: give --column flux=S1400:mJy"),
    ],
)
def test_a_column_that_isn_t_right_is_refused(tmp_path: Path, column: str, told: str) -> None:
    columns = ["ra=RAJ2000", "dec=DEJ2000", column]
    with pytest.raises(CatalogueError, match=told):
        read(tmp_path, ANY, given=Given.parse(columns, frequency="1.4GHz"))


def test_a_frequency_needs_a_unit() -> None:
    with pytest.raises(CatalogueError, match="a number with a unit was expected"):
        Given.parse([], frequency="1400")


def test_a_row_with_other_numbers_of_values_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"has 5 names, but line 3 has 4 fields \('B 1 2 3'\)"):
        read(tmp_path, f"{HEAD.replace(',', ' ')}\nA 1 2 3 1.4\nB 1 2 3\n", "c.txt")
    with pytest.raises(CatalogueError, match="no header that can be recognised"):
        read(tmp_path, "1,2,3\n4,5,6\n")


def test_a_kept_catalogue_is_a_catalogue(tmp_path: Path) -> None:
    store = CatalogueStore(tmp_path / "kept")
    store.add("c", written(tmp_path, "c.csv", f"{HEAD},spectral_index\nA,1,-2,3,1.4,-0.8\n"))
    store.add("d", tmp_path / "kept" / "c.parquet")
    copy = store.open("d").all()
    assert values(copy) == (1.0, -2.0, 3.0, 1.4)
    assert copy.spectral_index.tolist() == [-0.8]


def test_what_is_too_wide_or_too_long_is_refused_at_once(tmp_path: Path) -> None:
    wide = ",".join(f"c{i}" for i in range(300_000))
    store = CatalogueStore(tmp_path / "kept")
    with pytest.raises(CatalogueError, match="300,000 columns; tables of up to 4,000"):
        store.add("c", written(tmp_path, "wide.csv", f"{wide}\n{wide}\n"))
    fields = "".join(field(f"c{i}") for i in range(300_000))
    with pytest.raises(CatalogueError, match="columns; tables of up to 4,000"):
        store.add(
            "c", written(tmp_path, "wide.vot.gz", gzip.compress(votable(fields, []).encode()))
        )
    assert store.names() == ()
