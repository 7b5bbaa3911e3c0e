"""Catalogues: whatever the format, the same sources come out, by cone and by strip."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources, blended
from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.catalogues.store import FORMAT, CatalogueStore
from contimg_resources.core.errors import CatalogueError, InvalidName

RA = np.array([24.4221, 187.70593, 359.9999, 0.0003])
DEC = np.array([33.1598, 12.39112, -0.5, 0.25])
MJY = np.array([16_018.1, 141_900.0, 25.5, 3.2])


def random_sources(n: int, seed: int = 1) -> CatalogueSources:
    rng = np.random.default_rng(seed)
    ids = np.array([f"made-{i:06d}" for i in range(n)])
    nan = np.full(n, np.nan)
    return CatalogueSources(
        source_id=ids,
        name=ids,
        ra_deg=rng.uniform(0, 360, n),
        dec_deg=np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        flux_jy=0.003 * rng.random(n) ** -0.8,
        flux_error_jy=nan,
        reference_ghz=np.full(n, 1.4),
        spectral_index=nan,
        major_arcsec=nan,
        minor_arcsec=nan,
        angle_deg=nan,
        variable=np.zeros(n, bool),
    )


def read(path: Path, name: str) -> tuple[CatalogueSources, str]:
    found = read_catalogue(path, name)
    return found.sources, found.survey


def facts(n: int, name: str = "made") -> CatalogueFacts:
    return CatalogueFacts(name, "list", "nowhere", "sha256:" + "0" * 64, n, FORMAT.version)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[CatalogueStore, CatalogueSources]:
    store = CatalogueStore(tmp_path_factory.mktemp("catalogues"))
    sources = random_sources(60_000)
    store.put(sources, facts(len(sources)))
    return store, sources


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [(180.0, 54.0, 2.5), (0.1, 0.0, 3.0), (359.95, -30.0, 1.8), (77.0, 89.8, 2.0), (10, -90, 4)],
)
def test_a_cone_holds_what_is_within_its_radius(
    made: tuple[CatalogueStore, CatalogueSources], ra: float, dec: float, radius: float
) -> None:
    store, sources = made
    found = store.open("made").cone(ra, dec, radius, min_flux_jy=0.004)
    away = SkyCoord(sources.ra_deg, sources.dec_deg, unit="deg").separation(
        SkyCoord(ra, dec, unit="deg")
    )
    wanted = (away.deg <= radius) & (sources.flux_jy >= 0.004)
    assert wanted.sum() > 3
    assert set(found.source_id) == set(sources.source_id[wanted])


@pytest.mark.parametrize(
    "strip", [(52, 56, 100, 130), (-1, 1, 350, 10), (80, 90, 0, 360), (-5, -4, 359, 1)]
)
def test_a_strip_holds_what_is_between_its_bounds(
    made: tuple[CatalogueStore, CatalogueSources], strip: tuple[float, float, float, float]
) -> None:
    store, sources = made
    low, high, west, east = strip
    found = store.open("made").strip(low, high, west, east)
    inside = (sources.dec_deg >= low) & (sources.dec_deg <= high)
    if west < east:
        inside &= (sources.ra_deg >= west) & (sources.ra_deg <= east)
    else:
        inside &= (sources.ra_deg >= west) | (sources.ra_deg <= east)
    assert set(found.source_id) == set(sources.source_id[inside])


def test_everything_comes_back_as_it_was(
    made: tuple[CatalogueStore, CatalogueSources],
) -> None:
    store, sources = made
    found = store.open("made").all()
    found = found.select(np.argsort(found.source_id))
    for name in sources.__dataclass_fields__:
        a, b = getattr(found, name), getattr(sources, name)
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), name
    described = pq.read_schema(store.open("made").path)
    assert {f.name: f.metadata[b"description"].decode() for f in described} == {
        name: meaning for name, (_, meaning) in FORMAT.columns.items()
    }


def vizier() -> Table:
    where = SkyCoord(RA * u.deg, DEC * u.deg)
    return Table(
        {
            "NVSS": ["013741+330935", "123049+122328", "000000-003000", "000000+001500"],
            "RAJ2000": where.ra.to_string(u.hour, sep=" ", precision=4, pad=True),
            "DEJ2000": where.dec.to_string(u.deg, sep=" ", precision=3, pad=True, alwayssign=True),
            "S1.4": MaskedColumn(MJY, unit="mJy"),
            "e_S1.4": MaskedColumn(0.03 * MJY, unit="mJy"),
            "l_MajAxis": ["<", "", "<", ""],
            "MajAxis": [14.2, 98.0, 40.0, 55.0],
            "MinAxis": [14.0, 60.0, 40.0, 20.0],
            "PA": MaskedColumn([0.0, 30.0, 0.0, -10.0], mask=[True, False, True, False]),
        }
    )


def check_nvss(sources: CatalogueSources) -> None:
    order = np.argsort(-sources.flux_jy)
    assert np.allclose(sources.flux_jy[order], np.sort(MJY)[::-1] / 1e3)
    by_flux = np.argsort(-MJY)
    assert np.allclose(sources.ra_deg[order], RA[by_flux], atol=1e-5)
    assert np.allclose(sources.dec_deg[order], DEC[by_flux], atol=1e-5)
    assert np.allclose(sources.flux_error_jy, 0.03 * sources.flux_jy)
    assert set(sources.reference_ghz) == {1.4}
    assert np.isnan(sources.spectral_index).all()


@pytest.mark.parametrize("name", ["n.fits", "n.vot", "n.csv", "n.ecsv", "n.fits.gz"])
def test_nvss_of_vizier_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    plain = path.with_suffix("") if name.endswith(".gz") else path
    forms = {".vot": "votable", ".csv": "ascii.csv", ".ecsv": "ascii.ecsv"}
    vizier().write(plain, format=forms.get(plain.suffix, "fits"))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    sources, survey = read(path, "nvss")
    assert survey == "nvss"
    check_nvss(sources)
    assert "nvss-013741+330935" in sources.source_id
    size = dict(zip(sources.name, sources.major_arcsec, strict=True))
    assert np.isnan(size["013741+330935"]), "a limit isn't a size"
    assert size["123049+122328"] == 98.0


TDAT = """<HEADER>
table_name = heasarc_nvss
field[name] = char17 // name
field[ra] = float8:.5f_degree
field[dec] = float8:.5f_degree
field[flux_20_cm] = float8:8.1f_mJy
field[flux_20_cm_error] = float8:8.1f_mJy
field[limit_major_axis] = char1
field[major_axis] = float8
field[minor_axis] = float8
field[position_angle] = float8
line[1] = name ra dec flux_20_cm flux_20_cm_error limit_major_axis major_axis minor_axis \
position_angle
<DATA>
{rows}
<END>
"""


def tdat() -> str:
    rows = [
        f"NVSS J{i}|{ra:.6f}|{dec:.6f}|{jy}|{0.03 * jy}|{'<' if i else ''}|30.0|20.0||"
        for i, (ra, dec, jy) in enumerate(zip(RA, DEC, MJY, strict=True))
    ]
    return TDAT.format(rows="\n".join(rows))


def test_nvss_of_heasarc(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "heasarc_nvss.tdat", tmp_path / "heasarc_nvss.tdat.gz"
    plain.write_text(tdat())
    zipped.write_bytes(gzip.compress(tdat().encode()))
    for path in (plain, zipped):
        sources, survey = read(path, "nvss")
        assert survey == "nvss"
        check_nvss(sources)
        assert sources.source_id[0] == "nvss-NVSS_J0"
        assert sources.major_arcsec[0] == 30.0
        assert np.isnan(sources.major_arcsec[1:]).all()
        assert np.isnan(sources.angle_deg).all()


def test_other_surveys(tmp_path: Path) -> None:
    racs = Table(
        {
            "Source_Name": ["RACS_A", "RACS_B"],
            "RA": RA[:2],
            "Dec": DEC[:2],
            "Total_flux_Source": MJY[:2],
            "E_Total_flux_Source": 0.1 * MJY[:2],
        }
    )
    first = Table({"RA": RA, "DEC": DEC, "FINT": MJY, "RMS": 0.01 * MJY, "MAJOR": 0 * RA + 6})
    vlass = Table(
        {
            "Component_name": [f"VLASS1QLCIR {n}" for n in "ABBC"],
            "RA": RA,
            "DEC": DEC,
            "Total_flux": MJY,
            "E_Total_flux": 0.1 * MJY,
            "Duplicate_flag": [0, 1, 2, 0],
            "Quality_flag": [0, 0, 0, 4],
        }
    )
    for table, survey, ghz, n in (
        (racs, "racs", 0.8875, 2),
        (first, "first", 1.4, 4),
        (vlass, "vlass", 3.0, 2),
    ):
        table.write(tmp_path / f"{survey}.fits")
        sources, found = read(tmp_path / f"{survey}.fits", survey)
        assert (found, len(sources), set(sources.reference_ghz)) == (survey, n, {ghz})
        assert sources.flux_jy[0] == pytest.approx(16.0181)
    assert str(sources.source_id[0]) == "vlass-VLASS1QLCIR_A"


def test_names_are_made_from_positions_and_don_t_hang_on_the_order(tmp_path: Path) -> None:
    rows = {"ra_deg": RA, "dec_deg": DEC, "flux_jy": MJY / 1e3, "reference_ghz": 0 * RA + 1.4}
    Table(rows).write(tmp_path / "a.csv")
    Table(rows)[::-1].write(tmp_path / "b.csv")
    a, _ = read(tmp_path / "a.csv", "mine")
    b, _ = read(tmp_path / "b.csv", "mine")
    assert a.source_id[1] == "mine-J123049.42+122328.0"
    assert a.source_id[2] == "mine-J235959.97-003000.0"
    assert set(a.source_id) == set(b.source_id)
    twins = Table({**rows, "name": ["same"] * 4, "spectral_index": [-0.7] * 4})
    twins.write(tmp_path / "c.csv")
    twins[::-1].write(tmp_path / "d.csv")
    c, d = (read(tmp_path / n, "mine")[0] for n in ("c.csv", "d.csv"))
    assert sorted(c.source_id) == ["mine-same", "mine-same_2", "mine-same_3", "mine-same_4"]
    assert dict(zip(c.source_id, c.ra_deg, strict=True)) == dict(
        zip(d.source_id, d.ra_deg, strict=True)
    )


def test_fluxes_at_another_frequency() -> None:
    sources = random_sources(3)
    index = np.array([np.nan, -1.0, 0.0])
    changed = replace(sources, spectral_index=index)
    expected = sources.flux_jy * 0.5 ** np.array([-0.7, -1.0, 0.0])
    assert np.allclose(changed.flux_at(0.7e9, -0.7), expected)


def test_what_varies_is_known_and_no_reference(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(
        "name,ra_deg,dec_deg,flux_jy,reference_ghz\n"
        "3C454.3,343.490616,16.148211,12.0,1.4\nother,10.0,10.0,1.0,1.4\n"
    )
    sources, _ = read(tmp_path / "v.csv", "mine")
    assert sources.variable.tolist() == [True, False]
    assert [r.name for r in sources.reference_sources(-0.7)] == ["other"]
    assert sources.reference_sources(-0.7)[0].spectral_index == -0.7


def test_blends() -> None:
    ra, dec = np.array([10.0, 10.0, 10.0, 359.999]), np.array([0.0, 0.01, 0.05, 20.0])
    assert blended(ra, dec, beam_major_arcsec=30.0).tolist() == [True, True, False, False]
    wrapped = blended(np.array([0.001, 359.999]), np.array([60.0, 60.0]), 10.0)
    assert wrapped.tolist() == [True, True]
    assert blended(ra[:1], dec[:1], 30.0).tolist() == [False]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


HEAD = "name,ra_deg,dec_deg,flux_jy,reference_ghz\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "a.csv",
            "ra,dec\n1,2\n",
            "no known column for right ascension, declination",
        ),
        ("a.csv", HEAD, "holds no rows"),
        ("a.csv", HEAD + "x,1.0,95.0,1.0,1.4\n", "no position on the sky, such as '1.0 95.0'"),
        ("a.csv", HEAD + "x,nan,5.0,1.0,1.4\n", "1 without a position"),
        ("a.csv", HEAD + "x,1.0,5.0,-1.0,1.4\n", "flux density isn't above zero"),
        ("a.csv", HEAD + "x,1.0,5.0,much,1.4\n", "flux_jy is no flux density, such as 'much'"),
        ("a.csv", HEAD + "x,1.0,5.0,1.0,0\n", "reference_ghz is no frequency of a radio telescope"),
        ("a.fits", b"SIMPLE  =                    T", "can't be read"),
        ("a.vot", "<VOTABLE>", "can't be read"),
        ("a.tdat", tdat().split("<END>")[0], "it was cut off"),
        ("a.tdat.gz", gzip.compress(tdat().encode())[:-40], "can't be read"),
        ("a.tdat", "nothing", "no header"),
        ("a.txt", HEAD, "holds no rows"),
    ],
)
def test_what_is_no_catalogue_is_refused(
    tmp_path: Path, name: str, text: str | bytes, told: str
) -> None:
    path = write(tmp_path / name, text)
    store = CatalogueStore(tmp_path / "kept")
    with pytest.raises(CatalogueError, match=told) as refused:
        store.add("mine", path)
    assert str(path) in refused.value.message
    assert store.names() == ()


def test_wrong_units_are_refused_and_right_ones_converted(tmp_path: Path) -> None:
    table = vizier()
    table["S1.4"].unit = "K"
    table.write(tmp_path / "k.fits")
    with pytest.raises(CatalogueError, match=r"column S1\.4 is in K, which isn't a flux density"):
        read_catalogue(tmp_path / "k.fits", "nvss")
    table["S1.4"] = MaskedColumn(MJY / 1e3, unit="Jy")
    table["e_S1.4"] = MaskedColumn(0.03 * MJY / 1e3, unit="Jy")
    table.write(tmp_path / "jy.fits")
    check_nvss(read(tmp_path / "jy.fits", "nvss")[0])


@pytest.mark.parametrize("name", ["../x", "a b", "", "a/b", "x..y"])
def test_names_that_could_be_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        CatalogueStore(tmp_path).open(name)


def test_a_catalogue_that_isn_t_there_names_those_that_are(
    made: tuple[CatalogueStore, CatalogueSources],
) -> None:
    with pytest.raises(CatalogueError, match=r"no catalogue 'nvss' .*there are: made"):
        made[0].open("nvss")


def test_interrupted_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CatalogueStore(tmp_path)
    store.put(random_sources(50), facts(50))
    whole = pq.write_table

    def interrupted(*arguments: Any, **how: Any) -> None:
        whole(*arguments, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.put(random_sources(80), facts(80))
    assert len(store.open("made").all()) == 50
    assert [p.name for p in tmp_path.iterdir()] == ["made.parquet"]


def test_damaged_and_newer_files_are_refused(tmp_path: Path) -> None:
    store = CatalogueStore(tmp_path)
    store.put(random_sources(9000), facts(9000))
    path = tmp_path / "made.parquet"
    newer = replace(facts(9000, "newer"), schema_version=FORMAT.version + 1)
    store.put(random_sources(10), newer)
    with pytest.raises(
        CatalogueError, match=r"written by a newer contimg .*: add the catalogue again"
    ):
        store.open("newer")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(CatalogueError, match="is no catalogue of contimg"):
        store.open("other")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CatalogueError, match=r"made\.parquet is no catalogue"):
        store.open("made")
