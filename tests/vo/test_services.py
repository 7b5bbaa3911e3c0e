"""The services answer pyvo, and their documents keep the rules of VOTable and DALI."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
import pyvo
import requests
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.exceptions import W06
from astropy.time import Time
from astropy.wcs import WCS

from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.vo.parameters import MOST_ROWS
from contimg_resources.vo.service import VirtualObservatory
from tests.products.conftest import make_observation
from tests.vo.conftest import (
    CENTRES_DEG,
    DEC_DEG,
    EPOCH,
    HOSTILE,
    N_POINTS,
    N_SOURCES,
    Served,
    write_image,
)

#: Columns that ObsCore 1.1 prescribes, with the units that it prescribes.
OBSCORE_UNITS = {
    **{"s_ra": "deg", "s_dec": "deg", "s_fov": "deg", "s_resolution": "arcsec", "t_min": "d"},
    **{"t_max": "d", "t_exptime": "s", "t_resolution": "s", "em_min": "m", "em_max": "m"},
    **{"access_estsize": "kbyte", "em_res_power": None, "calib_level": None, "obs_id": None},
    **{"obs_publisher_did": None, "access_url": None, "access_format": None, "o_ucd": None},
    **{"dataproduct_type": None, "obs_collection": None, "target_name": None, "s_region": "deg"},
    **{"facility_name": None, "instrument_name": None, "pol_states": None, "pol_xel": None},
    **{"s_xel1": None, "s_xel2": None, "t_xel": None, "em_xel": None},
}


def ask(served: Served, what: str, **options: Any) -> requests.Response:
    return requests.get(served.vo + what, timeout=60, **options)


def strict(content: bytes) -> Any:
    """Parse a VOTable; every deviation from the standard is an error, but UCDs of cone searches."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if b'ucd="ID_MAIN"' in content:
            warnings.simplefilter("ignore", W06)
        return parse(BytesIO(content), verify="exception" if b"ID_MAIN" not in content else "warn")


def status(content: bytes) -> tuple[str, str]:
    """Return the last status of a DALI answer and its words."""
    root = ElementTree.fromstring(content)
    results = [e for e in root if e.tag.endswith("RESOURCE") and e.get("type") == "results"]
    assert len(results) == 1
    infos = [e for e in results[0] if e.tag.endswith("INFO") and e.get("name") == "QUERY_STATUS"]
    assert infos
    return str(infos[-1].get("value")), infos[-1].text or ""


def inside(served: Served, ra_deg: float, dec_deg: float, radius_deg: float) -> list[str]:
    curves = served.curves
    known = np.isfinite(curves.ra_deg)
    places = SkyCoord(curves.ra_deg[known], curves.dec_deg[known], unit="deg")
    away = places.separation(SkyCoord(ra_deg, dec_deg, unit="deg")).deg
    return [str(i) for i in curves.source_id[known][np.argsort(away)][: np.sum(away <= radius_deg)]]


def test_a_cone_holds_the_sources_that_astropy_finds_in_it(served: Served) -> None:
    service = pyvo.dal.SCSService(f"{served.vo}scs/sources")
    found = service.search(pos=(24.5, 33.3), radius=0.25)
    assert [r.id for r in found] == inside(served, 24.5, 33.3, 0.25)
    assert 3 < len(found) < N_SOURCES
    assert found[0].pos.separation(SkyCoord(24.5, 33.3, unit="deg")).deg < 0.25
    assert found.to_table()["mean_flux_mjy"].unit == "mJy"
    candidates = pyvo.dal.SCSService(f"{served.vo}scs/candidates").search(pos=(0, 0), radius=180)
    assert [(r.id, r["state"]) for r in candidates] == [("ese-1", "in progress")]


def test_a_cone_search_keeps_its_standard(served: Served) -> None:
    table = strict(ask(served, "scs/sources?RA=24.4&DEC=33.2&SR=180&VERB=3").content)
    fields = table.get_first_table().fields
    for ucd, kind in (
        ("ID_MAIN", "char"),
        ("POS_EQ_RA_MAIN", "double"),
        ("POS_EQ_DEC_MAIN", "double"),
    ):
        (field,) = [f for f in fields if f.ucd == ucd]
        assert field.datatype == kind
    # All but the one without a position.
    assert len(table.get_first_table().array) == N_SOURCES - 1
    for query in ("scs/sources?RA=24.4&DEC=33.2&SR=0", "scs/sources?ra=1&dec=2&sr=180&maxrec=0"):
        content = ask(served, query).content
        empty = strict(content).get_first_table()
        assert (len(empty.array), len(empty.fields), status(content)[0]) == (0, len(fields), "OK")
    limited = ask(served, "scs/sources?RA=24.4&DEC=33.2&SR=180&MAXREC=5").content
    assert status(limited)[0] == "OVERFLOW"
    assert len(strict(limited).get_first_table().array) == 5


def test_images_are_found_where_their_files_lie(served: Served) -> None:
    service = pyvo.dal.SIA2Service(f"{served.vo}sia2")
    everything = service.search()
    assert len(everything) == 3
    row = {r["obs_id"]: r for r in everything}[served.keys[0]]
    assert (row["target_name"], row["calib_level"], row["pol_states"]) == (HOSTILE, 2, "/I/")
    frequency_hz = 299_792_458.0 / np.array([row["em_max"], row["em_min"]])
    assert frequency_hz == pytest.approx([1.35e9, 1.45e9])
    assert row["s_resolution"] == pytest.approx(30.0)
    with fits.open(BytesIO(requests.get(row["access_url"], timeout=60).content)) as hdus:
        wcs = WCS(hdus[0].header).celestial
    corners = np.array(row["s_region"].split()[2:], float).reshape(4, 2)
    expected = wcs.calc_footprint(undistort=False, center=False)
    for corner in expected:
        assert np.min(np.hypot(*(corners - corner % 360.0).T)) < 1e-5
    mosaic = {r["obs_id"]: r for r in everything}[EPOCH]
    assert (mosaic["calib_level"], mosaic["t_max"] > mosaic["t_min"]) == (3, True)
    content = requests.get(mosaic["access_url"], timeout=60).content
    assert fits.open(BytesIO(content))[0].header["TELESCOP"] == "DSA-110"


def test_an_image_that_is_made_or_removed_is_noticed(served: Served, tmp_path: Path) -> None:
    store = ProductsStore(str(served.state / "products.sqlite3"))
    path = tmp_path / "new.fits"
    write_image(path, 100.0, 60_000.0)
    observation = make_observation(tmp_path / "new.ms", 60_000.0, signature="new")
    key = store.arrive(observation).record.key
    asked = "sia2/query?POS=CIRCLE 100 33 0.1"

    def found() -> int:
        return len(strict(ask(served, asked).content).get_first_table().array)

    image = Artefact(ArtefactKind.IMAGE, path, checksum="sha256:new")
    store.put_artefacts(key, [image])
    # Its checks aren't passed yet.
    assert found() == 0
    store.set_state(key, ObservationState.IMAGED, step="image_5min")
    assert found() == 1
    (made,) = store.artefacts(key)
    assert store.forget_artefact(key, made, step="test", reason="test")
    assert found() == 0
    store.close()


@pytest.mark.parametrize(
    ("asked", "n"),
    [
        ({"pos": (CENTRES_DEG[0], DEC_DEG, 0.1)}, 2),
        ({"pos": (CENTRES_DEG[1], DEC_DEG, 0.1)}, 1),
        # Beyond the corner, and a circle that reaches the side alone.
        ({"pos": (0.0, 35.0, 0.5)}, 0),
        ({"pos": (0.0, 35.0, 1.2)}, 1),
        ({"pos": (358.0, 359.5, 33.0, 33.1)}, 1),
        ({"pos": (0.0, 360.0, 33.1, 33.2)}, 3),
        ({"pos": (0.0, 360.0, 40.0, 50.0)}, 0),
        # A polygon within the image, one around it, one that crosses it without a corner in it.
        ({"pos": (24.4, 33.1, 24.5, 33.1, 24.4, 33.2)}, 2),
        ({"pos": (20, 30, 29, 30, 29, 36, 20, 36)}, 2),
        ({"pos": (20, 33.1, 29, 33.1, 29, 33.2, 20, 33.2)}, 2),
        ({"pos": (100, 33.1, 109, 33.1, 109, 33.2, 100, 33.2)}, 0),
        ({"band": 0.21}, 3),
        ({"band": (0.3, 0.5)}, 0),
        ({"time": Time(60_954.35, format="mjd")}, 1),
        ({"time": (Time(61_041, format="mjd"), Time(61_041.5, format="mjd"))}, 1),
        ({"calib_level": 3}, 1),
        ({"pol": "I"}, 3),
        ({"pol": "V"}, 0),
        ({"facility": "DSA-110"}, 3),
        ({"collection": "' OR 1=1 --"}, 0),
        ({"field_of_view": (1.0, 2.0)}, 3),
        ({"maxrec": 2}, 2),
    ],
)
def test_every_parameter_of_a_query_for_images_chooses(
    served: Served, asked: dict[str, Any], n: int
) -> None:
    service = pyvo.dal.SIA2Service(f"{served.vo}sia2/query", check_baseurl=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyvo.dal.exceptions.DALOverflowWarning)
        assert len(service.search(**asked)) == n


def test_a_range_may_cross_0_h(served: Served) -> None:
    for text, n in (("-1 0.5 33 33.1", 1), ("358 359.5 -Inf +Inf", 1), ("-Inf +Inf -Inf 0", 0)):
        found = ask(served, "sia2/query", params={"POS": f"RANGE {text}"}).content
        assert len(strict(found).get_first_table().array) == n, text


def test_circles_meet_the_pixels_of_an_image(served: Served) -> None:
    path = Path(served.state).parent / "1.pbcor.fits"
    wcs = WCS(fits.getheader(path)).celestial
    random = np.random.default_rng(2)
    ra_deg = (CENTRES_DEG[1] + random.uniform(-1.5, 1.5, 12)) % 360
    dec_deg = DEC_DEG + random.uniform(-1.2, 1.2, 12)
    seen = wcs.footprint_contains(SkyCoord(ra_deg, dec_deg, unit="deg"))
    assert 0 < seen.sum() < 12
    for ra, dec, expected in zip(ra_deg, dec_deg, seen, strict=True):
        found = ask(served, f"sia2/query?POS=CIRCLE {ra} {dec} 0").content
        assert len(strict(found).get_first_table().array) == int(expected)


def test_obscore_is_queried_with_adql(served: Served) -> None:
    service = pyvo.dal.TAPService(f"{served.vo}tap")
    assert {"ivoa.obscore", "contimg.sources", "contimg.candidates"} < set(service.tables.keys())
    assert service.maxrec == 10_000
    assert service.hardlimit == MOST_ROWS
    found = service.search(
        "SELECT TOP 2 obs_id, access_url, t_min FROM ivoa.obscore "
        "WHERE CONTAINS(POINT('ICRS', 24.4, 33.2), s_region) = 1 ORDER BY t_min DESC"
    )
    assert list(found["obs_id"]) == [served.keys[0], EPOCH]
    table = strict(
        ask(served, f"tap/sync?LANG=ADQL&QUERY={quote('SELECT * FROM ivoa.obscore')}").content
    ).get_first_table()
    assert {f.name: f.unit and str(f.unit) for f in table.fields} == OBSCORE_UNITS
    assert all(f.utype.startswith("obscore:") for f in table.fields)
    near = service.search(
        "SELECT source_id, DISTANCE(POINT(ra_deg, dec_deg), POINT(24.5, 33.3)) AS away "
        "FROM contimg.sources WHERE 1 = CONTAINS(POINT('ICRS', ra_deg, dec_deg), "
        "CIRCLE('ICRS', 24.5, 33.3, 0.25)) ORDER BY away"
    )
    assert list(near["source_id"]) == inside(served, 24.5, 33.3, 0.25)
    mean = service.search("SELECT COUNT(*) AS n, MAX(n_epochs) AS most FROM contimg.sources")
    assert (mean[0]["n"], mean[0]["most"]) == (N_SOURCES, N_POINTS)
    columns = service.search("SELECT * FROM tap_schema.columns WHERE table_name = 'ivoa.obscore'")
    assert set(columns["column_name"]) == set(OBSCORE_UNITS)


def test_a_selection_is_saved_in_other_formats(served: Served) -> None:
    query = quote("SELECT * FROM contimg.sources WHERE LOWER(source_id) LIKE '%s00!_%' ESCAPE '!'")
    assert ask(served, f"tap/sync?QUERY={query}&RESPONSEFORMAT=csv").text.count("\n") == 1
    query = quote("SELECT * FROM contimg.sources WHERE LOWER(source_id) LIKE '%s00%'")
    answer = ask(served, f"tap/sync?QUERY={query}&RESPONSEFORMAT=parquet")
    table = pq.read_table(BytesIO(answer.content))
    assert table.num_rows == 10
    assert table.schema.field("mean_flux_mjy").metadata[b"unit"] == b"mJy"
    assert table["eta"].null_count == 10
    assert ask(served, f"tap/sync?QUERY={query}&RESPONSEFORMAT=csv").text.count("\n") == 11


def test_a_light_curve_is_a_time_series_with_its_time_system(served: Served) -> None:
    (source,) = pyvo.dal.TAPService(f"{served.vo}tap").search(
        "SELECT source_id FROM contimg.sources WHERE source_id = 'field:S003'"
    )
    links = source.getdatalink()
    (this,) = [link for link in links if link.semantics == "#this"]
    content = requests.get(this.access_url, timeout=60).content
    votable = strict(content)
    (system,) = votable.resources[0].time_systems
    assert (system.timescale, system.timeorigin) == ("UTC", "MJD-origin")
    table = votable.get_first_table()
    mjd = table.get_field_by_id("mid_mjd")
    assert (mjd.ref, mjd.ucd, str(mjd.unit)) == (system.ID, "time.epoch;meta.main", "d")
    own = served.curves.of(3)
    data = table.to_table()
    assert data["mid_mjd"].tolist() == served.curves.mid_mjd[own].tolist()
    expected = 1e3 * served.curves.flux_jy[own]
    assert np.asarray(data["flux_mjy"]) == pytest.approx(expected, rel=1e-12)
    told = {p.name: p.value for p in table.params}
    assert told["ra_deg"] == pytest.approx(served.curves.ra_deg[3])
    lines = ask(served, "light_curve?ID=field:S003&RESPONSEFORMAT=csv").text.splitlines()
    assert (len(lines), lines[0].split(",")[:2]) == (N_POINTS + 1, ["mid_mjd", "flux_mjy"])


def test_links_lead_from_a_candidate_to_its_files(served: Served) -> None:
    (candidate,) = pyvo.dal.SCSService(f"{served.vo}scs/candidates").search((0, 0), 180)
    links = list(candidate.getdatalink())
    words = {link.semantics for link in links}
    assert words == {"#documentation", "#progenitor", "#preview-plot", "#cutout", "#preview-image"}
    for link in links:
        if link.semantics != "#documentation":
            answer = requests.get(link.access_url, timeout=60)
            assert (answer.status_code, answer.headers["content-type"]) == (200, link.content_type)
    content = ask(served, "links/candidates?ID=ese-1&ID=nobody").content
    rows = strict(content).get_first_table().to_table()
    assert "NotFoundFault" in str(rows[rows["ID"] == "nobody"]["error_message"][0])
    (mosaic,) = pyvo.dal.SIA2Service(f"{served.vo}sia2").search(calib_level=3)
    words = {link.semantics for link in mosaic.getdatalink()}
    assert words == {"#this", "#progenitor"}
    image = pyvo.dal.SIA2Service(f"{served.vo}sia2").search(calib_level=2)[0]
    assert {link.semantics for link in image.getdatalink()} == {"#this", "#preview-image"}


def test_the_services_say_what_they_can(served: Served) -> None:
    service = pyvo.dal.TAPService(f"{served.vo}tap")
    assert "<available>true</available>" in ask(served, "tap/availability").text
    (language,) = service.get_tap_capability().languages
    assert "Joins" in str(language.description)
    standards = {str(c.standardid) for c in service.capabilities}
    assert "ivo://ivoa.net/std/TAP" in standards
    everything = ask(served, "").text
    for standard in ("ConeSearch", "SIA#query-2.0", "TAP", "DataLink#links-1.1"):
        assert f"ivo://ivoa.net/std/{standard}" in everything


WRONG = [
    "scs/sources",
    "scs/sources?RA=1&DEC=2",
    "scs/sources?RA=nan&DEC=2&SR=1",
    "scs/sources?RA=1e999&DEC=2&SR=1",
    "scs/sources?RA=361&DEC=2&SR=1",
    "scs/sources?RA=1&DEC=-91&SR=1",
    "scs/sources?RA=1&DEC=2&SR=1e9",
    "scs/sources?RA=1&DEC=2&SR=-1",
    "scs/sources?RA=1_0&DEC=2&SR=1",
    "scs/sources?RA=1&RA=2&DEC=2&SR=1",
    "scs/sources?RA=1&DEC=2&SR=1&VERB=9",
    "scs/sources?RA=1&DEC=2&SR=1&MAXREC=-1",
    "scs/sources?RA=1&DEC=2&SR=1&RESPONSEFORMAT=text/html",
    "scs/sources?RA=1&DEC=2&SR=%3Cscript%3Ealert(1)%3C/script%3E",
    "scs/sources?RA=1&DEC=2&SR=%00%0B%EF%BF%BF",
    "scs/sources?RA=" + "1" * 5000 + "&DEC=2&SR=1",
    "scs/sources?" + "&".join(f"x{i}=1" for i in range(1500)),
    "sia2/query?POS=CIRCLE 1 2",
    "sia2/query?POS=CIRCLE 1 2 nan",
    "sia2/query?POS=CIRCLE 1 2 1e5",
    "sia2/query?POS=BLOB 1 2 3",
    "sia2/query?POS=POLYGON 1 2 3 4",
    "sia2/query?POS=POLYGON 0 0 120 0 240 0",
    "sia2/query?POS=RANGE 3 1 2 4",
    "sia2/query?TIME=5 1",
    "sia2/query?TIME=NaN",
    "sia2/query?BAND=a",
    "sia2/query?CALIB=7",
    "sia2/query?POS=POLYGON " + "1 2 " * 600,
    "tap/sync",
    "tap/sync?QUERY=SELECT 1",
    "tap/sync?LANG=SQL&QUERY=SELECT * FROM ivoa.obscore",
    "tap/sync?UPLOAD=a,b&QUERY=SELECT * FROM ivoa.obscore",
    "tap/sync?REQUEST=drop&QUERY=SELECT * FROM ivoa.obscore",
    "tap/sync?QUERY=SELECT " + ",".join(["*"] * 10) + " FROM ivoa.obscore",
    "tap/sync?QUERY=SELECT * FROM ivoa.obscore WHERE "
    + " OR ".join(["1=CONTAINS(POINT(1, 2), s_region)"] * 21),
    "tap/sync?QUERY=SELECT * FROM ivoa.obscore WHERE " + "NOT " * 5000 + "1=1",
    "light_curve",
    "light_curve?ID=nobody",
    "light_curve?ID=../../etc/passwd",
    "light_curve?ID=field:S003&RESPONSEFORMAT=xlsx",
    "cutout?ID=field:S003&EPOCH=../../x",
    "cutout?ID=field:S003&EPOCH=60000.00000%2B33.2",
    "links/sources?" + "&".join(["ID=x"] * 101),
]


@pytest.mark.parametrize("asked", WRONG, ids=range(len(WRONG)))
def test_a_wrong_request_gets_a_reason(served: Served, asked: str) -> None:
    answer = ask(served, asked)
    assert answer.status_code == 200
    word, reason = status(answer.content)
    assert word == "ERROR"
    assert 10 < len(reason) < 500
    strict(answer.content)


def test_pyvo_shows_the_reason(served: Served) -> None:
    with pytest.raises(pyvo.dal.exceptions.DALQueryError, match=r"no column 's_rq'; near: s_ra"):
        pyvo.dal.TAPService(f"{served.vo}tap").search("SELECT s_rq FROM ivoa.obscore")
    with pytest.raises(pyvo.dal.exceptions.DALQueryError, match="SR: 400 isn't between 0 and 180"):
        pyvo.dal.SCSService(f"{served.vo}scs/sources").search(pos=(1, 2), radius=400)


@pytest.mark.parametrize(
    "path",
    [
        *("mosaics/nothing.fits", f"mosaics/{EPOCH}/..%2f..%2fx", f"mosaics/{EPOCH}/sigma.fits"),
        *("candidates/ese-1/x", "candidates/%00/card.png", "candidates/ese-1/voevent.xml"),
    ],
)
def test_other_files_arent_given_away(served: Served, path: str) -> None:
    assert ask(served, path).status_code == 404


def test_nothing_is_written(served: Served) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = requests.request(method, f"{served.vo}tap/sync", timeout=60)
        assert answer.status_code == 405
    routes = VirtualObservatory(None).routes  # type: ignore[arg-type]
    jobs = "/vo/tap/async/{id}"
    methods = {m for r in routes if r.path != jobs for m in r.methods or ()}
    assert methods == {"GET", "HEAD", "POST"}
    large = requests.post(f"{served.vo}tap/sync", data={"QUERY": "x" * 300_000}, timeout=60)
    assert status(large.content)[0] == "ERROR"
    upload = requests.post(f"{served.vo}tap/sync", files={"a": b"x"}, timeout=60)
    assert "no uploads" in status(upload.content)[1]
