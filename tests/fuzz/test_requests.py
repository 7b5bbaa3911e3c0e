"""Requests of the Virtual Observatory's services, of whatever they consist."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from contimg_resources.core.errors import BadRequest
from contimg_resources.export.tables import About
from contimg_resources.vo.adql import parse_query, run_query
from contimg_resources.vo.images import query_images
from contimg_resources.vo.obscore import OBSCORE, type_of
from contimg_resources.vo.parameters import Parameters
from contimg_resources.vo.records import OBSCORE_TABLE, Rows
from contimg_resources.vo.regions import parse_shape
from tests.fuzz.mangling import TEXT, fuzzed, only_ours

CORNERS = np.array([[[1.0, -1], [359, -1], [359, 1], [1, 1]]])
NUMBERS = (
    "0",
    "-1",
    "1",
    "0.5",
    "359.9",
    "-90",
    "90",
    "1e-9",
    "1e308",
    "nan",
    "inf",
    "1_0",
    "+Inf",
)
IMAGE = Rows(
    OBSCORE_TABLE,
    OBSCORE,
    {name: np.ones(1, type_of(name)) for name in OBSCORE},
    CORNERS,
)
TABLE = Rows(
    OBSCORE_TABLE,
    {name: About(name) for name in ("s_ra", "s_dec", "obs_id", "s_region", "n")},
    {
        "s_ra": np.array([0.0, np.nan]),
        "s_dec": np.array([0.0, 1.0]),
        "obs_id": np.array(["a'b", ""]),
        "s_region": np.array(["x", "y"]),
        "n": np.array([1, 2], np.int32),
    },
    np.repeat(CORNERS, 2, axis=0),
)
PIECES = (
    *("SELECT", "TOP 2", "DISTINCT", "*", "FROM ivoa.obscore", "FROM", "WHERE", "GROUP BY", "AS x"),
    *("ORDER BY", "HAVING", "s_ra", "s_dec", "obs_id", "s_region", "o.n", "n", ",", "(", ")", "="),
    *("1", "0", "-2.5", "'a'", "''", "NULL", "AND", "NOT", "IN (1, 2)", "BETWEEN 0 AND", "LIKE"),
    *("COUNT(*)", "MAX(n)", "CONTAINS", "INTERSECTS", "DISTANCE", "POINT(s_ra, s_dec)", "JOIN"),
    *("POINT('ICRS', 0, 0)", "CIRCLE(0, 0, 1)", "POLYGON(0, 0, 1, 0, 1, 1)", "UNION", ";", "--"),
    *("CONTAINS(POINT(s_ra, s_dec), CIRCLE(0, 0, 1)) = 1", "1 = INTERSECTS(s_region, CIRCLE(0, 0,"),
)  # fmt: skip
QUERIES = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join) | TEXT
LIKELY = st.tuples(QUERIES, QUERIES).map(
    lambda t: f"SELECT {t[0]} FROM ivoa.obscore o WHERE {t[1]}"
)


@fuzzed(150)
@given(QUERIES | LIKELY)
@example("SELECT CONTAINS(POINT(0, 0), s_region) FROM ivoa.obscore")
@example("SELECT * FROM ivoa.obscore WHERE " + "(" * 4000)
@example("SELECT n/0, s_ra % 0 FROM ivoa.obscore")
def test_a_query_is_executed_or_refused(text: str) -> None:
    with only_ours(ours=BadRequest):
        answer = run_query(parse_query(text, [OBSCORE_TABLE]), TABLE, 5)
        assert answer.about.keys() == answer.values.keys()
        assert len({len(column) for column in answer.values.values()}) == 1


@fuzzed(150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["POS", "pos", "BAND", "TIME", "POL", "FOV", "CALIB", "ID", "MAXREC"]),
            st.lists(
                st.sampled_from([*NUMBERS, "CIRCLE", "RANGE", "POLYGON", "I"]), max_size=9
            ).map(" ".join)
            | TEXT,
        ),
        max_size=4,
    )
)
@example([("POS", "POLYGON 0 0 0 0 0 0")])
@example([("POS", "CIRCLE 0 90 180"), ("POS", "RANGE -Inf +Inf -Inf +Inf")])
def test_images_are_chosen_or_the_request_is_refused(pairs: list[tuple[str, str]]) -> None:
    with only_ours(ours=BadRequest):
        assert b"QUERY_STATUS" in query_images(IMAGE, Parameters(pairs), "http://x/links")


@fuzzed(150)
@given(
    st.tuples(
        st.sampled_from(["CIRCLE", "RANGE", "POLYGON"]),
        st.lists(st.floats(-400, 800).map(repr), min_size=3, max_size=10),
    ).map(lambda t: f"{t[0]} {' '.join(t[1])}")
)
def test_a_shape_that_holds_a_corner_meets_its_footprint(text: str) -> None:
    with only_ours(ours=BadRequest):
        shape = parse_shape("POS", text)
        if shape.holds(CORNERS[0, :, 0], CORNERS[0, :, 1]).any():
            assert shape.meets(CORNERS)[0]
