"""Which products are stale, where files come from, and whether they are what was made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.cli.main import run
from contimg_resources.core.errors import InvalidName, ProductsError
from contimg_resources.core.times import parse_span
from contimg_resources.products.model import ArtefactKind
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.staleness import stale_observations
from contimg_resources.steps.verifying import verify_products
from tests.steps.conftest import MJD, TIMES, Made


def test_nothing_is_stale_while_the_registry_answers_as_before(made: Made) -> None:
    assert made.stale() == []
    # A set of another strip, and one that failed, change no answer.
    registry, new_set = made.workshop.registry, made.new_set
    registry.register(new_set("elsewhere", MJD + 0.6, declination_deg=40.0))
    registry.register_failed(new_set("bad", MJD + 0.6), ["SNR 1"])
    assert made.stale() == []


def test_a_nearer_set_makes_stale_what_is_nearer_to_it_and_nothing_else(made: Made) -> None:
    made.workshop.registry.register(made.new_set("second", MJD + 1.0, before=0.5, after=0.5))
    # 0.3 d is nearer to the first, 0.6 d to the second; both windows hold 1.2 d.
    assert made.stale() == [
        (made.keys[2], "first v1", "second v1"),
        (made.keys[3], "first v1", "second v1"),
    ]
    (one,) = stale_observations(made.workshop, start_mjd=MJD + 1.0, end_mjd=MJD + 2.0)
    assert (one.key, one.products) == (made.keys[3], ("calibrated_ms", "image"))
    assert one.why == "second v1 is nearer, +4.80 h"
    made.remake(made.keys[3])
    assert [key for key, _, _ in made.stale()] == [made.keys[2]]


def test_a_new_version_of_a_set_makes_stale_what_carries_the_old_one(made: Made) -> None:
    made.workshop.registry.register(made.new_set("first", MJD, before=0.5, after=1.0))
    # The new window is shorter: for the last no set is valid any more.
    assert made.stale() == [
        *((key, "first v1", "first v2") for key in made.keys[:3]),
        (made.keys[3], "first v1", None),
    ]


def test_a_retired_set_makes_stale_what_carries_it_and_says_why(made: Made) -> None:
    made.workshop.registry.retire("first", "antenna 104 was pointed elsewhere")
    stale = stale_observations(made.workshop)
    assert [s.key for s in stale] == list(made.keys)
    assert {s.now for s in stale} == {None}
    assert {s.why for s in stale} == {"first v1 was retired: antenna 104 was pointed elsewhere"}


def test_what_was_borrowed_is_offered_when_a_window_holds_it(made: Made) -> None:
    workshop, key = made.workshop, made.keys[0]
    calibration = workshop.settings.calibration.model_copy(update={"borrow": True})
    settings = workshop.settings.model_copy(update={"calibration": calibration})
    made.workshop = workshop = replace(workshop, settings=settings)
    workshop.registry.retire("first", "replaced by hand")
    workshop.registry.register(made.new_set("narrow", MJD, before=0.01, after=0.01))
    made.remake(key)
    assert (key, "narrow v1 (borrowed)", "narrow v1") not in made.stale()
    assert key not in [k for k, _, _ in made.stale()]
    workshop.registry.register(made.new_set("narrow", MJD, before=0.2, after=0.2))
    assert (key, "narrow v1 (borrowed)", "narrow v2") in made.stale()


def test_half_of_the_products_can_be_stale(made: Made) -> None:
    made.workshop.registry.register(made.new_set("second", MJD + 1.2, before=0.1, after=0.1))
    key = made.keys[3]
    made.remake(key)
    (calibrated,) = [
        a for a in made.workshop.products.artefacts(key) if a.kind == ArtefactKind.CALIBRATED_MS
    ]
    # As after an interrupt: the image is still the old one.
    made.workshop.products.put_artefacts(key, [replace(calibrated, set_name="first")])
    (stale,) = stale_observations(made.workshop)
    assert (stale.products, stale.applied, stale.now) == (
        ("calibrated_ms",),
        "first v1",
        "second v1",
    )


def test_a_file_tells_its_whole_origin(made: Made, tmp_path: Path) -> None:
    workshop, key = made.workshop, made.keys[0]
    image = workshop.settings.state / key / "image.fits"
    found = provenance_of(workshop, image)
    assert (found.kind, found.path) == ("image", image)
    assert found.observation is not None
    assert found.observation.signature == "s0"
    assert found.product is not None
    assert found.product.parameters == {"robust": 0.5}
    (applied,) = found.sets
    assert (applied.name, applied.version) == ("first", 1)
    assert found.stale == ()
    inside = provenance_of(workshop, workshop.settings.state / key / "cal.ms" / "table.dat")
    assert inside.kind == "calibrated_ms"
    assert provenance_of(workshop, tmp_path / "0.ms").kind == "measurement_set"
    table = provenance_of(workshop, applied.tables[0].path)
    assert (table.kind, [s.name for s in table.sets]) == ("caltable", ["first"])
    workshop.registry.retire("first", "bad")
    (stale,) = provenance_of(workshop, image).stale
    assert stale.key == key
    with pytest.raises(ProductsError, match=r"records .*nobody.s\.fits"):
        provenance_of(workshop, tmp_path / "nobody's.fits")


def test_products_that_changed_or_went_are_found(made: Made) -> None:
    workshop = made.workshop
    assert verify_products(workshop).problems == ()
    assert verify_products(workshop).n_products == 2 * len(TIMES)
    first, second, third, _ = (workshop.settings.state / key for key in made.keys)
    image = first / "image.fits"
    image.write_bytes(image.read_bytes()[::-1])
    (second / "image.fits").unlink()
    (third / "cal.ms" / "table.dat").write_bytes(b"more rows")
    problems = verify_products(workshop).problems
    assert [(p.key, p.problem) for p in problems] == [
        (made.keys[0], "differs in content from its record"),
        (made.keys[1], "is gone"),
        (made.keys[2], "has 9 bytes, 4 were recorded"),
    ]
    within = verify_products(workshop, start_mjd=MJD + 1.0)
    assert (within.n_products, within.problems) == (2, ())


def test_the_same_on_the_command_line(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, key = made.workshop.settings.state, made.keys[3]
    monkeypatch.setenv("CONTIMG_STATE", str(state))
    image = state / key / "image.fits"

    def contimg(*arguments: object) -> tuple[int, str]:
        code = run([str(a) for a in arguments])
        return code, capsys.readouterr().out

    assert contimg("status", "--stale")[0] == 0
    assert contimg("verify")[0] == 0
    code, told = contimg("why", image)
    assert code == 0
    for words in ("first v1, active", "robust: 0.5", "casatasks 6.7", "run r1", "sha256:", "s3"):
        assert words in told
    assert "STALE" not in told
    made.workshop.registry.register(made.new_set("second", MJD + 1.2, before=0.1, after=0.1))
    (stale,) = json.loads(contimg("status", "--stale", "--json")[1])
    assert (stale["key"], stale["now"]) == (key, "second v1")
    assert json.loads(contimg("status", "--stale", "--to", "61041", "--json")[1]) == []
    assert "STALE: second v1 would be applied today" in contimg("why", image)[1]
    image.write_bytes(b"something else")
    assert contimg("why", image)[0] == 1
    code, told = contimg("verify", "--from", "2026-01-02", "--json")
    assert code == 1
    assert [p["key"] for p in json.loads(told)["products"]] == [key]
    assert contimg("status", "--from", "2026-01-01")[0] == 2
    assert contimg("why", state / "nothing.fits")[0] == 1


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (None, None, (None, None)),
        ("61041", "61041", (61041.0, 61042.0)),
        ("2026-01-01", "2026-01-02", (61041.0, 61043.0)),
        ("2026-01-01T12:00", "61041.75", (61041.5, 61041.75)),
    ],
)
def test_a_span_is_what_a_person_means(
    begin: str | None, end: str | None, expected: tuple[float | None, float | None]
) -> None:
    assert parse_span(begin, end) == expected


@pytest.mark.parametrize(
    ("begin", "end"), [("yesterday", None), ("61042", "61041"), ("5e9", None), (None, "../etc")]
)
def test_a_span_of_nonsense_is_refused(begin: str | None, end: str | None) -> None:
    with pytest.raises(InvalidName):
        parse_span(begin, end)
