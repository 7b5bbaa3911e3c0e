"""Sources that the catalogue lacks: those that earlier epochs exclude are events."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from contimg_resources.cli.main import run
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.export.appearances import NewSourceReport
from contimg_resources.photometry.found import FoundFiles, read_found
from contimg_resources.photometry.light_curves import light_curve
from contimg_resources.products.derived import DerivedKind
from contimg_resources.products.epochs import EpochKind
from contimg_resources.products.events import (
    CandidateKind,
    CandidateState,
    Mark,
    NewSourceState,
)
from contimg_resources.products.new_sources import NewSourceRecord
from contimg_resources.state import open_state
from contimg_resources.steps.alerting import untold
from contimg_resources.steps.candidates import candidates_to_draw
from contimg_resources.steps.cards import draw_cards
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.following_up import report_files
from contimg_resources.steps.new_sources import NewInMosaic, find_new
from contimg_resources.steps.photometry import Unmeasured
from contimg_resources.steps.variability import update_light_curves
from contimg_resources.steps.workshop import Workshop
from tests.alerts.test_follow_up import check_grammar, params
from tests.conftest import needs_browser
from tests.dashboard.test_vetting import serving
from tests.steps.new_sky import RMS_JY, NewSky, make_new_sky

NEW_JY, STEADY_JY, FAINT_JY = 0.015, 0.009, 5.2 * RMS_JY
FIRST = 2


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> NewSky:
    """Five epochs, searched in order: a source appears in the third, beside what isn't new."""
    sky = make_new_sky(tmp_path_factory.mktemp("new"))
    brightest = sky.known()[np.argmax(sky.known()[:, 2])]
    lobe = sky.known()[np.argsort(sky.known()[:, 2])[-4]]
    for number, key in enumerate(sky.keys):
        planted = [(*sky.empty_place(1), STEADY_JY), (*sky.empty_place(2), FAINT_JY)]
        if number >= FIRST:
            planted += [
                (*sky.empty_place(0), NEW_JY),
                # 1.8 beams from a source of the catalogue: a component of a double.
                (lobe[0], lobe[1] + 85 / 3600, 0.1 * lobe[2]),
                # A sidelobe of the brightest source, 0.4 % of it.
                (brightest[0], brightest[1] - 200 / 3600, 0.004 * brightest[2]),
            ]
        sky.plant(key, planted)
        sky.search(key)
    return sky


def of(sky: NewSky, number: int) -> NewSourceRecord:
    """Return the record nearest to an empty place."""
    ra, dec = sky.empty_place(number)
    found = sky.workshop.products.new_sources.list()
    nearest = min(found, key=lambda n: abs(n.ra_deg - ra) + abs(n.dec_deg - dec))
    east = 3600 * (nearest.ra_deg - ra) * np.cos(np.radians(dec))
    pull = np.array([east, 3600 * (nearest.dec_deg - dec)])
    pull /= [nearest.east_error_arcsec, nearest.north_error_arcsec]
    assert np.hypot(*pull) < 4, (nearest, pull)
    return nearest


def test_a_source_that_appears_is_new_and_earlier_epochs_exclude_it(sky: NewSky) -> None:
    record = of(sky, 0)
    told = record.evidence
    assert record.state is NewSourceState.NEW
    assert re.fullmatch(r"new-J\d{6}\.\d[+-]\d{6}", record.name)
    assert (told.first_epoch, told.n_detections, told.n_since) == (sky.keys[FIRST], 3, 3)
    assert told.n_earlier == FIRST
    assert abs(told.flux_jy - NEW_JY) < 3 * told.flux_error_jy + 0.04 * NEW_JY
    assert abs(told.earlier_jy) < 3.5 * told.earlier_error_jy
    # The filter's error is 1.4 times the noise of a pixel, in each of two transits.
    assert told.earlier_error_jy == pytest.approx(RMS_JY, rel=0.25)
    assert told.upper_limit_jy < 0.3 * NEW_JY
    assert told.significance > 20
    (candidate,) = sky.workshop.products.events.list_candidates()
    assert (candidate.id, candidate.kind) == (record.name, CandidateKind.NEW_SOURCE)
    assert candidate.state is CandidateState.IN_PROGRESS
    assert int(candidate.start_mjd) == int(sky.truth.epochs[FIRST].mid_mjd)
    assert candidate.first_day < candidate.searched_day


def test_its_light_curve_goes_back_in_time_and_on(sky: NewSky) -> None:
    curve = light_curve(sky.workshop.settings.layout.photometry, of(sky, 0).name)
    assert curve.epoch.tolist() == list(sky.keys)
    pull = (curve.flux_jy - np.where(np.arange(5) < FIRST, 0, NEW_JY)) / curve.flux_error_jy
    assert np.abs(pull).max() < 4
    # The first epochs were measured afterwards, on a part of the mosaic; the last ones whole.
    assert curve.rms_jy == pytest.approx(RMS_JY, rel=0.2)
    for key in sky.keys:
        record = sky.workshop.products.mosaics.find_epoch(key, EpochKind.MOSAIC)
        assert record is not None
        assert record.n_sources == 18


def test_steady_sources_and_parts_of_others_are_no_events(sky: NewSky) -> None:
    steady = of(sky, 1)
    assert steady.state is NewSourceState.UNCATALOGUED
    assert "no earlier epoch shows" in steady.evidence.reason
    names = {r.name for r in sky.workshop.products.new_sources.list()}
    # One at the limit of detection may be listed once it was found twice.
    assert {of(sky, 0).name, steady.name} <= names
    assert len(names) <= 3
    columns, _ = read_found(
        FoundFiles.of(sky.workshop.settings.layout.photometry, sky.keys[-1]).table
    )
    unknown = columns["catalogue_id"] == ""
    # The component and the sidelobe are found, and aren't isolated.
    assert (unknown & ~columns["is_isolated"].astype(bool) & (columns["snr"] > 8)).sum() >= 2


def test_the_same_search_again_changes_nothing(sky: NewSky) -> None:
    products = sky.workshop.products

    def state() -> list[Any]:
        epochs = [products.mosaics.find_epoch(k, EpochKind.MOSAIC) for k in sky.keys]
        found = [replace(n, searched_day=0) for n in products.new_sources.list()]
        events = products.events.list_candidates()
        return [found, [replace(c, run_id="") for c in events], epochs]

    before = state()
    for key in (sky.keys[-1], sky.keys[0], sky.keys[FIRST]):
        again = sky.search(key)
        assert (again.named, again.withdrawn, dict(again.measured)) == ((), (), {})
    assert state() == before


@pytest.fixture
def copy(sky: NewSky, tmp_path: Path) -> NewSky:
    """A copy of the state, which a test may change."""
    root = sky.workshop.settings.state
    shutil.copytree(root, tmp_path / "state")
    settings = sky.workshop.settings.model_copy(update={"state": tmp_path / "state"})
    return NewSky(Workshop.from_settings(settings), sky.truth)


def test_without_its_first_epoch_it_is_the_same_event_and_without_any_it_is_withdrawn(
    copy: NewSky,
) -> None:
    products, name = copy.workshop.products, of(copy, 0).name
    lists = DerivedKind.FOUND_SOURCES
    first = products.mosaics.find_epoch(copy.keys[FIRST], EpochKind.MOSAIC)
    assert first is not None
    products.mosaics.put_epoch(replace(first, epoch_ok=False))
    products.derived.forget([(lists, copy.keys[FIRST])])
    copy.search(copy.keys[-1])
    record = products.new_sources.find(name)
    assert record is not None
    assert record.state is NewSourceState.NEW
    assert record.evidence.first_epoch == copy.keys[FIRST + 1]
    assert record.evidence.n_earlier == FIRST
    assert len(products.events.list_candidates()) == 1
    products.derived.forget([(lists, key) for key in copy.keys[FIRST + 1 :]])
    gone = copy.search(copy.keys[0])
    assert gone.withdrawn == (name,)
    (candidate,) = products.events.list_candidates()
    assert candidate.state is CandidateState.WITHDRAWN
    assert "don't have it any more" in candidate.evidence.withdrawn
    # It comes back with its lists, under its name.
    copy.find(copy.keys[-1])
    assert name in copy.search(copy.keys[-1]).named
    assert products.events.candidate(name).state is CandidateState.IN_PROGRESS
    curve = light_curve(copy.workshop.settings.layout.photometry, name)
    assert len(curve) == len(set(curve.epoch.tolist())) == 5


def test_it_is_told_with_a_report_and_a_card(copy: NewSky) -> None:
    workshop, record = copy.workshop, of(copy, 0)
    (alert,) = (a for a in untold(workshop).new if a.kind == "candidate")
    assert alert.subject == f"new source {record.name}"
    for words in ("earlier epochs exclude it", "upper limit (3 sigma)", copy.keys[FIRST]):
        assert words in alert.text
    (candidate,) = workshop.products.events.list_candidates()
    as_json, packet, chart = report_files(workshop, candidate)
    report = NewSourceReport.model_validate_json(as_json.data)
    assert report.evidence.n_earlier == FIRST
    assert report.evidence.upper_limit_mjy == pytest.approx(
        1e3 * record.evidence.upper_limit_jy, abs=1e-3
    )
    event = ElementTree.fromstring(packet.data)
    check_grammar(event)
    told = params(event)
    assert float(told["flux_mjy"]) == pytest.approx(1e3 * NEW_JY, rel=0.1)
    assert told["first_epoch"] == copy.keys[FIRST]
    assert event.findtext(".//Why/Name") == "New radio source"
    # The first packet is that of the day of its appearance.
    assert event.findtext(".//EventIVORN", "").endswith(str(candidate.first_day))
    assert chart.media_type == "image/png"
    for epoch in copy.truth.epochs:
        update_light_curves(workshop, epoch.day_mjd)
    drawn = draw_cards(workshop, candidates_to_draw(workshop))
    assert drawn.failed == {}
    assert drawn.cards[candidate.id].read_bytes().startswith(b"\x89PNG")


@needs_browser
def test_it_is_shown_and_vetted(copy: NewSky, new_page: Callable[..., Any]) -> None:
    workshop, name = copy.workshop, of(copy, 0).name
    for epoch in copy.truth.epochs:
        update_light_curves(workshop, epoch.day_mjd)
    export_dashboard(workshop)
    with serving(workshop.settings.state) as address:
        page = new_page()
        page.goto(f"{address}#/candidates")
        page.locator("#candidates-kind").select_option("new source")
        page.get_by_text("1 candidate of 1").wait_for()
        page.goto(f"{address}#/candidates/{name}")
        page.get_by_text("Upper limit of the earlier epochs").wait_for()
        assert page.locator("#neighbours").count() == 0
        page.locator("#mark-real").click()
        page.get_by_text("real (current)").wait_for()
        page.goto(f"{address}#/lightcurves/{name}")
        page.locator("#not-in-catalogue").wait_for()
        page.goto(f"{address}#/mosaics/{copy.keys[-1]}")
        page.locator("#completeness").wait_for()
        # Nothing is loaded any more once the server ends.
        page.goto("about:blank")
    (mark,) = workshop.products.events.list_marks(name)
    assert mark.mark is Mark.REAL


def test_the_commands_list_and_show_it(
    sky: NewSky, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = sky.workshop.settings.state
    for name, value in (("STATE", str(state)), ("CATALOGUE__REFERENCE", "field")):
        monkeypatch.setenv(f"CONTIMG_{name}", value)
    name = of(sky, 0).name
    assert run(["new-sources", sky.keys[-1]]) == 0
    told = capsys.readouterr()
    assert name in told.out
    assert "1 of them new" in told.err + told.out
    assert run(["new-sources", "--all"]) == 0
    assert capsys.readouterr().err.count("other mosaics compared") == len(sky.keys)
    assert run(["candidates", "show", name]) == 0
    assert "upper_limit_jy" in capsys.readouterr().out
    assert run(["candidates", "list"]) == 0
    assert "new source" in capsys.readouterr().out
    assert run(["new-sources", "61100.95833+99.9"]) != 0
    assert capsys.readouterr().err
    table = open_state(state).new_sources()
    assert name in table["name"]
    assert table["flux_jy"].unit == "Jy"


def test_what_is_missing_is_named(sky: NewSky, copy: NewSky) -> None:
    with pytest.raises(PhotometryFailed, match=r"contimg found 61100\.00000"):
        find_new(sky.workshop, "61100.00000+54.6")
    copy.workshop.products.derived.forget([(DerivedKind.FOUND_SOURCES, copy.keys[1])])
    # A list that can't be read is left out, by name.
    FoundFiles.of(copy.workshop.settings.layout.photometry, copy.keys[3]).table.write_bytes(b"no")
    found = copy.search(copy.keys[-1])
    assert list(found.failed) == [copy.keys[3]]
    assert of(copy, 0).state is NewSourceState.NEW
    # It may hold what the others lack, so nothing is withdrawn.
    for key in (copy.keys[FIRST], copy.keys[-1]):
        copy.workshop.products.derived.forget([(DerivedKind.FOUND_SOURCES, key)])
    assert copy.search(copy.keys[0]).withdrawn == ()
    assert of(copy, 0).state is NewSourceState.NEW
    measured = copy.workshop.products.mosaics.find_epoch(copy.keys[3], EpochKind.MOSAIC)
    assert measured is not None
    measured.path.write_bytes(b"")
    assert set(copy.search(copy.keys[0]).failed) == {copy.keys[3]}
    none = replace(
        copy.workshop,
        settings=copy.workshop.settings.model_copy(
            update={"catalogue": copy.workshop.settings.catalogue.changed(reference=None)}
        ),
    )
    assert isinstance(find_new(none, copy.keys[0]), Unmeasured)
    assert not isinstance(found, Unmeasured)
    assert isinstance(found, NewInMosaic)
