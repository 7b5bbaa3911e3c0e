"""Light curves, measures and candidates of days, on stores; marks that nothing removes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import VariabilityFailed
from contimg_resources.products.derived import DerivedKind
from contimg_resources.products.epochs import EpochKind, EpochRecord
from contimg_resources.products.events import CandidateState, Mark
from contimg_resources.settings import Settings
from contimg_resources.simulation.light_curves import (
    Event,
    Watch,
    steady_light_curves,
    with_events,
    write_light_curves,
)
from contimg_resources.steps.candidates import find_candidates, mark_candidate, watched_sources
from contimg_resources.steps.cards import card_path
from contimg_resources.steps.recording import finished
from contimg_resources.steps.variability import changed_days, measure_day, update_light_curves
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability import ese
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.points import days_between, points_path
from contimg_resources.variability.templates import bank
from tests.photometry import epochs
from tests.variability.curves import search

START = 60_676
SHAPE = bank(("fiedler",))[1]


def put_light_curves(workshop: Workshop, curves: LightCurves) -> None:
    """Write and record points as `light_curves` would."""
    root = workshop.settings.layout.light_curves
    write_light_curves(root, curves)
    workshop.products.derived.put(
        [
            finished(
                DerivedKind.LIGHT_CURVES,
                str(day),
                points_path(root, day),
                mid_mjd=day + 0.5,
                inputs={},
                parameters={"day_mjd": day},
            )
            for day in days_between(root)
        ]
    )


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop.from_settings(Settings(state=tmp_path / "state"))


@pytest.fixture(autouse=True)
def threshold_of_few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw less for the threshold: what is made of a candidate doesn't depend on it."""
    monkeypatch.setattr(ese, "_DRAWN_YEARS", 100.0)


@pytest.fixture
def sky() -> LightCurves:
    curves = steady_light_curves(40, Watch(n_days=200), np.random.default_rng(1))
    return with_events(curves, {7: Event(SHAPE, START + 100, 30.0, 0.4)})


def test_an_events_name_and_marks_survive_every_new_search(
    workshop: Workshop, sky: LightCurves
) -> None:
    put_light_curves(workshop, sky)
    # While it was in progress, then when it was over, then months later.
    during = search(workshop, START + 103)
    (first,) = during.candidates
    assert first.state is CandidateState.IN_PROGRESS
    assert during.new == (first.id,)
    mark_candidate(workshop, first.id, Mark.FOLLOW_UP, "ask for 3 GHz", "ada")
    mark_candidate(workshop, first.id, Mark.REAL, "seen there, too", "ben")
    after = search(workshop, START + 199)
    (second,) = after.candidates
    assert (second.id, second.state, after.new) == (first.id, CandidateState.COMPLETE, ())
    assert abs(second.mid_mjd - (START + 100)) < 1
    known = workshop.products.events.candidate(first.id)
    assert known.first_day == START + 103
    assert known.searched_day == START + 199
    marks = workshop.products.events.list_marks(first.id)
    assert [(m.mark, m.by) for m in marks] == [(Mark.FOLLOW_UP, "ada"), (Mark.REAL, "ben")]
    assert workshop.products.events.last_marks()[first.id].note == "seen there, too"
    assert card_path(workshop, first.id).stat().st_size > 10_000
    assert watched_sources(workshop) == {second.source_id}


def test_a_search_of_an_earlier_day_changes_nothing_that_a_later_one_said(
    workshop: Workshop, sky: LightCurves
) -> None:
    put_light_curves(workshop, sky)
    search(workshop, START + 199)
    before = workshop.products.events.list_candidates()
    search(workshop, START + 103)
    assert repr(workshop.products.events.list_candidates()) == repr(before)
    search(workshop, START + 60)
    assert repr(workshop.products.events.list_candidates()) == repr(before)


def test_what_is_found_no_more_is_withdrawn_and_keeps_its_mark(
    workshop: Workshop, sky: LightCurves
) -> None:
    put_light_curves(workshop, sky)
    (event,) = search(workshop, START + 199).candidates
    mark_candidate(workshop, event.id, Mark.ARTEFACT, "", "ada")
    # The epochs were measured again, and the dip is gone.
    steady = steady_light_curves(40, Watch(n_days=200), np.random.default_rng(1))
    put_light_curves(workshop, steady)
    searched = search(workshop, START + 199)
    assert searched.withdrawn == (event.id,)
    (left,) = workshop.products.events.list_candidates()
    assert left.state is CandidateState.WITHDRAWN
    assert watched_sources(workshop) == {event.source_id}, "it is marked"
    put_light_curves(workshop, sky)
    (again,) = search(workshop, START + 199).candidates
    assert (again.id, again.state) == (event.id, CandidateState.COMPLETE)


def test_a_mark_needs_a_candidate_and_says_which_there_are(
    workshop: Workshop, sky: LightCurves
) -> None:
    with pytest.raises(VariabilityFailed, match="it holds none"):
        mark_candidate(workshop, "../x", Mark.REAL, "", "ada")
    put_light_curves(workshop, sky)
    (event,) = search(workshop, START + 199).candidates
    with pytest.raises(VariabilityFailed, match=event.id):
        mark_candidate(workshop, "ese-1-x", Mark.REAL, "", "ada")
    assert workshop.products.events.list_marks() == ()


def test_measures_are_of_the_days_that_the_settings_say(
    workshop: Workshop, sky: LightCurves
) -> None:
    put_light_curves(workshop, sky)
    whole = measure_day(workshop, START + 199)
    settings = workshop.settings
    few = settings.model_copy(
        update={"variability": settings.variability.model_copy(update={"days": 20.0})}
    )
    part = measure_day(replace(workshop, settings=few), START + 199)
    assert whole.table.n_epochs.max() > 150
    assert part.table.n_epochs.max() <= 20
    assert whole.table.is_variable[7]
    assert whole.png.stat().st_size > 10_000
    assert measure_day(workshop, START - 400).n_points == 0


def test_days_that_changed_since_are_told(workshop: Workshop) -> None:
    photometry = workshop.settings.layout.photometry
    for day in (61_100, 61_101, 61_102):
        put_epoch(workshop, photometry, day + 0.4)
    assert changed_days(workshop) == (61_100, 61_101, 61_102), "none has points"
    for day in (61_100, 61_101, 61_102):
        update_light_curves(workshop, day)
    assert changed_days(workshop) == ()
    put_epoch(workshop, photometry, 61_101.4)
    assert changed_days(workshop) == (61_101,)
    assert update_light_curves(workshop, 61_101).n_points == 3
    assert changed_days(workshop) == ()


def test_a_day_whose_epochs_all_turned_bad_loses_its_points(workshop: Workshop) -> None:
    photometry = workshop.settings.layout.photometry
    put_epoch(workshop, photometry, 61_100.4)
    assert update_light_curves(workshop, 61_100).n_points == 3
    put_epoch(workshop, photometry, 61_100.4, ok=False)
    assert update_light_curves(workshop, 61_100).path is None
    assert not points_path(workshop.settings.layout.light_curves, 61_100).exists()


def put_epoch(workshop: Workshop, root: Path, mid_mjd: float, *, ok: bool = True) -> None:
    written = epochs.write(root, mid_mjd, ok=ok)
    workshop.products.mosaics.put_epoch(
        EpochRecord(
            epoch=written.path.stem,
            kind=EpochKind.MOSAIC,
            mid_mjd=mid_mjd,
            measured_from="sha256:1",
            catalogue="made up",
            path=written.path,
            checksum="sha256:2",
            size_bytes=1,
            n_sources=written.n_sources,
            n_measured=written.n_measured,
            epoch_ok=ok,
        )
    )


def test_candidates_are_searched_with_the_variability_of_that_day_and_no_other(
    workshop: Workshop, sky: LightCurves
) -> None:
    put_light_curves(workshop, sky)
    with pytest.raises(VariabilityFailed, match=r"of 2025-\d\d-\d\d aren't there: materialize"):
        find_candidates(workshop, START + 199)
    measure_day(workshop, START + 199)
    assert len(find_candidates(workshop, START + 199).candidates) == 1
    put_light_curves(workshop, steady_light_curves(40, Watch(n_days=199), np.random.default_rng(1)))
    with pytest.raises(VariabilityFailed, match="light curves changed since"):
        find_candidates(workshop, START + 199)
