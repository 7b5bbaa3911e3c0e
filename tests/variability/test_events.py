"""The search for events: what was put in is found, what isn't one is refused, and said why."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.ndimage import label

from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import EseSettings, VariabilitySettings
from contimg_resources.simulation.light_curves import (
    Event,
    Watch,
    flare_curve,
    observed,
    steady_light_curves,
    walk_curve,
    with_events,
    with_variables,
)
from contimg_resources.simulation.season_spec import FlareSpec, WalkSpec
from contimg_resources.variability import candidates
from contimg_resources.variability.candidates import (
    Found,
    candidate_id,
    search_candidates,
    settled,
    with_known_ids,
)
from contimg_resources.variability.cards import Piece, draw_card, through
from contimg_resources.variability.ese import MIN_THRESHOLD, threshold_for, widths_of
from contimg_resources.variability.measuring import measure_variability
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import usual_noises
from contimg_resources.variability.templates import bank, clegg, normalised
from contimg_resources.variability.vetting import Outcome, fit_dip
from tests.variability.curves import light_curves

SETTINGS = EseSettings()
SHAPE = bank(("fiedler",))[1]
MIDDLE = 60_676.0 + 180
DAY = 61_040


def sky(seed: int = 1, n: int = 60, **watch: float) -> LightCurves:
    return steady_light_curves(n, Watch(**watch), np.random.default_rng(seed))  # type: ignore[arg-type]


def found_in(
    curves: LightCurves, settings: EseSettings = SETTINGS, threshold: float | None = 13.0
) -> Found:
    return search_candidates(curves, settings, DAY, threshold=threshold)


def why_not(curves: LightCurves, index: int) -> list[Outcome]:
    found = found_in(curves)
    name = str(curves.source_id[index])
    assert name not in {c.source_id for c in found.candidates}
    return [r.outcome for r in found.rejected if r.source_id == name]


@pytest.mark.parametrize("width_days", [20.0, 60.0, 110.0])
def test_an_event_is_recovered_within_its_errors(width_days: float) -> None:
    curves = with_events(sky(), {7: Event(SHAPE, MIDDLE, width_days, 0.35)})
    (event,) = found_in(curves).candidates
    told = event.parameters
    assert event.source_id == curves.source_id[7]
    assert event.state is CandidateState.COMPLETE
    assert abs(event.mid_mjd - MIDDLE) < 4 * told.mid_error_days + 0.5
    assert abs(told.width_days - width_days) < 4 * told.width_error_days + 1
    assert abs(told.depth - 0.35) < 4 * told.depth_error + 0.01
    level = np.median(curves.flux_jy[curves.of(7)])
    assert told.baseline_jy == pytest.approx(level, rel=0.1)
    assert event.score > 4 * told.threshold
    assert abs(event.evidence.neighbour_depth) < 0.1
    assert min(told.template_jy) == pytest.approx(0.65 * told.baseline_jy, rel=0.05)


def test_an_event_of_which_only_the_ingress_was_seen_is_in_progress() -> None:
    curves = sky(2)
    last = float(curves.mid_mjd[-1])
    curves = with_events(curves, {3: Event(SHAPE, last - 5, 60.0, 0.4)})
    (event,) = found_in(curves).candidates
    assert event.state is CandidateState.IN_PROGRESS
    assert event.parameters.width_error_days > 1


def test_two_events_of_a_source_are_two_candidates() -> None:
    events = with_events(sky(3), {5: Event(SHAPE, MIDDLE - 90, 25.0, 0.4)})
    events = with_events(events, {5: Event(SHAPE, MIDDLE + 90, 40.0, 0.4)})
    found = found_in(events).candidates
    assert {c.source_id for c in found} == {events.source_id[5]}
    assert sorted(c.mid_mjd for c in found) == pytest.approx([MIDDLE - 90, MIDDLE + 90], abs=2)
    assert len({c.id for c in found}) == 2


def test_a_dip_that_neighbours_share_is_the_instruments() -> None:
    events = {i: Event(SHAPE, MIDDLE, 30.0, 0.3) for i in range(0, 60)}
    found = found_in(with_events(sky(4), events))
    assert found.candidates == ()
    assert {r.outcome for r in found.rejected} == {Outcome.SHARED}


def test_a_step_is_no_event() -> None:
    curves = sky(5)
    own = curves.of(8)
    flux = curves.flux_jy.copy()
    flux[own] *= np.where(curves.mid_mjd[own] > MIDDLE, 0.6, 1.0)
    why_not(replace(curves, flux_jy=flux), 8)


def test_one_low_epoch_is_no_event() -> None:
    curves = sky(6)
    flux = curves.flux_jy.copy()
    flux[curves.of(8)][100] *= 0.01
    flux[curves.of(8).start + 100] *= 0.01
    found = found_in(replace(curves, flux_jy=flux))
    assert found.candidates == ()


def test_a_source_that_goes_up_and_down_has_no_events() -> None:
    curves = sky(7)
    own = curves.of(8)
    flux = curves.flux_jy.copy()
    flux[own] *= 1 + 0.3 * np.sin(curves.mid_mjd[own] / 12)
    why_not(replace(curves, flux_jy=flux), 8)


def test_a_bright_event_behind_a_lens_that_no_template_knows_is_found() -> None:
    d = np.linspace(-15.0, 15.0, 1_501)
    lens = normalised("drawn", d, clegg(d, 5.0, 0.65))
    curves = with_events(sky(13, error=0.02), {4: Event(lens, MIDDLE, 40.0, 0.5)})
    (event,) = found_in(curves).candidates
    # Of a source so bright the search's own templates leave what is no noise.
    assert event.parameters.template.startswith("Clegg")
    assert event.parameters.width_days == pytest.approx(40, abs=4)
    assert event.evidence.over_walk > 100


def test_sources_that_wander_by_themselves_have_hardly_any_events() -> None:
    curves, varies = with_variables(sky(14, n=150), 1.0, np.random.default_rng(14))
    assert varies.all()
    # 150 source-years; 1 is expected.
    assert len(found_in(curves).candidates) <= 5


def test_a_flare_is_no_event() -> None:
    curves = sky(8)
    flux = curves.flux_jy.copy()
    for index in (8, 9):
        own = curves.of(index)
        since = curves.mid_mjd[own] - (MIDDLE - 120)
        flux[own] *= 1 + 2.0 * (since > 0) * np.exp(-np.clip(since, 0, None) / 10)
    assert found_in(replace(curves, flux_jy=flux)).candidates == ()


def test_a_deep_dip_is_found_beside_a_stronger_step_and_beside_a_flare() -> None:
    curves = with_events(sky(15), {i: Event(SHAPE, MIDDLE, 15.0, 0.45) for i in (4, 5)})
    flux = curves.flux_jy.copy()
    since = curves.mid_mjd[curves.of(4)] - (MIDDLE + 80)
    flux[curves.of(4)] *= np.where(since > 0, 2.0, 1.0)
    flux[curves.of(5)] *= 1 + 2.0 * (since > 0) * np.exp(-np.clip(since, 0, None) / 10)
    found = found_in(replace(curves, flux_jy=flux)).candidates
    assert {c.source_id for c in found} == set(curves.source_id[4:6])
    assert [c.mid_mjd for c in found] == pytest.approx([MIDDLE, MIDDLE], abs=1)
    assert [c.parameters.depth for c in found] == pytest.approx([0.45, 0.45], abs=0.06)


def test_a_deep_dip_over_five_per_cent_of_intrinsic_scatter_is_found() -> None:
    curves = with_events(sky(16), {4: Event(SHAPE, MIDDLE, 15.0, 0.45)})
    own = curves.of(4)
    walk = WalkSpec(scatter=0.05, memory_days=30.0)
    flux = curves.flux_jy.copy()
    flux[own] *= walk_curve(curves.mid_mjd[own], walk, np.random.default_rng(16))
    (event,) = found_in(replace(curves, flux_jy=flux)).candidates
    assert event.mid_mjd == pytest.approx(MIDDLE, abs=1)
    assert event.parameters.depth == pytest.approx(0.45, abs=0.06)


def test_hardly_any_trough_between_flares_is_an_event() -> None:
    curves, random = sky(17, n=30), np.random.default_rng(17)
    flux = curves.flux_jy.copy()
    for index in range(30):
        own = curves.of(index)
        for share in random.uniform(0, 1, 3):
            peak_mjd = curves.mid_mjd[own][0] + 365 * share
            flare = FlareSpec(share, random.uniform(0.5, 2), 5.0, random.uniform(5, 40))
            flux[own] *= flare_curve(curves.mid_mjd[own], peak_mjd, flare)
    found = found_in(replace(curves, flux_jy=flux))
    troughs = [r for r in found.rejected if r.outcome is Outcome.BETWEEN_FLARES]
    assert len(troughs) > 2 * len(found.candidates)


def test_a_known_event_stays_listed_until_the_data_deny_it() -> None:
    curves = with_events(sky(), {7: Event(SHAPE, MIDDLE, 30.0, 0.15)})
    (event,) = found_in(curves).candidates
    strict = 1.2 * event.score
    assert found_in(curves, threshold=strict).candidates == ()
    (same,) = search_candidates(curves, SETTINGS, DAY, known=[event], threshold=strict).candidates
    assert same.source_id == event.source_id
    assert same.mid_mjd == pytest.approx(event.mid_mjd, abs=1)
    found = search_candidates(sky(), SETTINGS, DAY, known=[event], threshold=13.0)
    (gone,) = settled(found, [event])[1]
    assert gone.state is CandidateState.WITHDRAWN
    assert "is too weak after its fit" in gone.evidence.withdrawn


def test_found_events_stay_listed_while_the_days_go_on() -> None:
    events = {i: Event(SHAPE, MIDDLE - 60 + 10 * i, 20.0 + 5 * i, 0.3) for i in (2, 5, 8)}
    curves = with_events(sky(18, n=20, n_days=480), events)
    known: tuple[CandidateRecord, ...] = ()
    listed = {curves.source_id[i]: np.zeros(0, np.bool_) for i in events}
    for day in range(int(MIDDLE) - 40, int(MIDDLE) + 300, 20):
        until = observed(curves, 0.0, day)
        found = search_candidates(until, SETTINGS, day, known=known, threshold=13.0)
        known, withdrawn = settled(found, known)
        assert withdrawn == ()
        for name in listed:
            listed[name] = np.append(listed[name], name in {c.source_id for c in known})
    for days in listed.values():
        assert days.any()
        assert days[days.argmax() :].all()
    assert {c.state for c in known} == {CandidateState.COMPLETE}
    assert len({c.id for c in known}) == len(known) == 3


def test_an_event_stays_as_it_is_when_nothing_can_deny_it() -> None:
    curves = with_events(sky(n=12), {7: Event(SHAPE, MIDDLE, 30.0, 0.35)})
    (event,) = found_in(curves).candidates
    nan = replace(curves, flux_jy=np.where(np.arange(len(curves.mid_mjd)) % 90 == 3, np.nan, 1.0))
    unsearched = search_candidates(nan, SETTINGS, DAY, known=[event], threshold=13.0)
    assert str(event.source_id) in {u.source_id for u in unsearched.unsearched}
    # Its ingress is before the searched days.
    start = MIDDLE + 2
    late = search_candidates(
        observed(curves, start, DAY), SETTINGS, DAY, first_mjd=start, known=[event], threshold=13.0
    )
    for found in (unsearched, late):
        assert settled(found, [event]) == ((), ())


def test_a_second_event_of_a_source_is_recurring() -> None:
    curves = with_events(sky(3, n=12), {5: Event(SHAPE, MIDDLE + 90, 25.0, 0.4)})
    found = found_in(curves)
    (event,) = found.candidates
    assert event.state is CandidateState.COMPLETE
    earlier = replace(event, id="ese-1-earlier", mid_mjd=1.0, start_mjd=0.0, end_mjd=2.0)
    ((now,), withdrawn) = settled(replace(found, first_mjd=curves.mid_mjd[0]), [earlier])
    assert (now.state, withdrawn) == (CandidateState.RECURRING, ())
    # An event that ended years ago and was withdrawn then doesn't count.
    ((now,), _) = settled(found, [replace(earlier, state=CandidateState.WITHDRAWN)])
    assert now.state is CandidateState.COMPLETE


def test_sources_with_hardly_any_points_and_gaps_do_no_harm() -> None:
    curves = sky(9, n=30, cadence_days=40.0)
    assert found_in(curves).candidates == ()
    sparse = found_in(sky(9, n=3, cadence_days=150.0, n_days=2000)).unsearched
    assert {u.reason for u in sparse} == {"too sparse: never 3 in 200 days"}
    few = sky(10, n=30, n_days=3)
    assert found_in(few, threshold=None).threshold == MIN_THRESHOLD


def test_cleggs_templates_are_an_option() -> None:
    settings = EseSettings(templates=("clegg",))
    shape = bank(("clegg",))[2]
    curves = with_events(sky(11), {4: Event(shape, MIDDLE, 40.0, 0.4)})
    (event,) = found_in(curves, settings).candidates
    assert event.parameters.template.startswith("Clegg")


def test_the_threshold_follows_the_tail_to_the_rate() -> None:
    scores = np.random.default_rng(1).exponential(4.0, 20_000)
    # A year each: 1 in 1000 years is the 20th highest; 0.1 is beyond what was drawn.
    for rate in (1.0, 0.1):
        exact = 4.0 * np.log(1000 / rate)
        assert threshold_for(scores, 20_000.0, rate) == pytest.approx(exact, rel=0.05)
    assert threshold_for(scores[:3], 3.0, 1.0) == MIN_THRESHOLD


def test_errors_with_heavy_tails_make_hardly_any_events() -> None:
    curves = sky(19, n=100, cadence_days=4.0, n_days=700)
    tails = 0.05 * np.random.default_rng(19).standard_t(3, len(curves.flux_jy))
    found = found_in(replace(curves, flux_jy=curves.flux_jy * (1 + tails)))
    # 191 source-years; 1 is expected.
    assert len(found.candidates) <= 5
    assert {r.outcome for r in found.rejected} >= {Outcome.ONE_EPOCH}


def test_steady_sources_make_no_more_false_alarms_than_was_said() -> None:
    found = found_in(sky(12, n=800), threshold=None)
    assert found.threshold >= MIN_THRESHOLD
    # 0.8 are expected: more than 5 have a probability of 2 in 10,000.
    assert len(found.candidates) <= 5


def test_widths_cover_what_was_asked_for() -> None:
    widths = widths_of(SETTINGS)
    assert widths[0] == pytest.approx(10)
    assert widths[-1] == pytest.approx(200)
    assert (np.diff(np.log(widths)) < np.log(1.36)).all()
    assert len(widths_of(EseSettings(min_width_days=20, max_width_days=20))) == 2


def test_names_are_safe_and_of_one_source_alone() -> None:
    hostile = ["../../etc", "a b", "a_b", "é" * 300, "<script>", "x"]
    names = [candidate_id(text, 61_000.7) for text in hostile]
    assert len(set(names)) == len(names)
    assert all("/" not in n and ".." not in n and len(n) < 120 for n in names)
    assert candidate_id("nvss-J1+2", 61_000.7) == "ese-61000-nvss-J1+2"


def test_a_candidate_keeps_its_name_when_its_middle_moves() -> None:
    curves = with_events(sky(13), {7: Event(SHAPE, MIDDLE, 30.0, 0.35)})
    (event,) = found_in(curves).candidates
    moved = replace(event, id="ese-1-other", mid_mjd=event.mid_mjd + 9)
    far = replace(event, mid_mjd=event.mid_mjd + 90, start_mjd=event.mid_mjd + 75, end_mjd=0.0)
    (named,), gone = with_known_ids([moved], [event])
    assert (named.id, gone) == (event.id, ())
    (named,), gone = with_known_ids([replace(far, end_mjd=far.mid_mjd + 15)], [event])
    assert named.id == f"{event.id}-2", "the same text, another event"
    assert gone == (event,)


def test_a_card_shows_the_event(tmp_path: Path) -> None:
    curves = with_events(sky(14), {7: Event(SHAPE, MIDDLE, 30.0, 0.35)})
    (event,) = found_in(curves).candidates
    mids = curves.mid_mjd[curves.of(7)].tolist()
    chosen = through(event, mids)
    assert 4 <= len(chosen) <= 6
    assert mids[chosen[0]] < event.start_mjd < event.end_mjd < mids[chosen[-1]]
    source = np.zeros((20, 20))
    source[8:12, 8:12] = 1.0
    draw_card(tmp_path / "with.png", event, curves, [Piece(mids[i], source) for i in chosen])
    draw_card(tmp_path / "without.png", event, curves)
    brightest, measured = colormaps["inferno"](1.0), to_rgb("tab:blue")
    assert spots_of(tmp_path / "with.png", brightest) == len(chosen)
    assert spots_of(tmp_path / "without.png", brightest) == 0
    assert spots_of(tmp_path / "without.png", measured) > 10, "the light curve"


def spots_of(picture: Path, color: Sequence[float]) -> int:
    """Return how many separate spots of a colour a picture has."""
    pixels = np.asarray(Image.open(picture).convert("RGB")) / 255
    return int(label(np.abs(pixels - color[:3]).max(axis=-1) < 0.02)[1])


def test_a_source_whose_baseline_is_lost_does_no_harm() -> None:
    watch = Watch(n_days=101, lost=0.0)
    curves = steady_light_curves(12, watch, np.random.default_rng(3))
    own = curves.of(4)
    first_mjd = curves.mid_mjd[own.start]
    curves = with_events(curves, {7: Event(SHAPE, first_mjd + 50.0, 12.0, 0.4)})
    flux_jy, error_jy = curves.flux_jy.copy(), curves.error_jy.copy()
    days = curves.mid_mjd[own] - first_mjd
    # Where a dip that began like this would have its minimum, its baseline is below zero.
    flux_jy[own], error_jy[own] = 1.0 - 0.0095 * days, 0.01
    found = found_in(replace(curves, flux_jy=flux_jy, error_jy=error_jy))
    assert found.unsearched == ()
    assert curves.source_id[7] in {c.source_id for c in found.candidates}
    for candidate in found.candidates:
        fitted = candidate.parameters
        assert 0 < fitted.depth < 1
        assert fitted.baseline_jy > 0
    fit = fit_dip(days, flux_jy[own], error_jy[own], usual_noises(), (110.0, 60.0), SETTINGS)
    assert 0 < fit.depth < 1
    assert np.isfinite([fit.depth_error, fit.mid_error_days, fit.width_error_days]).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_sources_that_cannot_be_searched_are_listed_and_the_others_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curves = with_events(
        sky(), {7: Event(SHAPE, MIDDLE, 30.0, 0.4), 9: Event(SHAPE, MIDDLE, 30.0, 0.4)}
    )
    flux_jy, error_jy = curves.flux_jy.copy(), curves.error_jy.copy()
    flux_jy[curves.of(20)] = 0.5
    flux_jy[curves.of(21)] = -0.5
    flux_jy[curves.of(22).start + 3] = np.nan
    error_jy[curves.of(23).start + 3] = 0.0
    keep = np.ones(len(curves.mid_mjd), np.bool_)
    keep[curves.of(24).start + 2 : curves.of(24).stop] = False
    counts = np.add.reduceat(keep, curves.offsets[:-1])
    curves = replace(
        curves,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        flux_jy=flux_jy[keep],
        error_jy=error_jy[keep],
        **{n: getattr(curves, n)[keep] for n in ("mid_mjd", "flags", "is_reference", "epoch")},
    )
    names = curves.source_id.tolist()
    events_of = candidates._Sky.events_of

    def fails_for_one(self: candidates._Sky, index: int, *rest: object) -> object:
        if self.curves.source_id[index] == names[9]:
            raise np.linalg.LinAlgError("SVD did not converge")
        return events_of(self, index, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates._Sky, "events_of", fails_for_one)
    found = found_in(curves)
    assert [c.source_id for c in found.candidates] == [names[7]]
    assert {u.source_id: u.reason for u in found.unsearched} == {
        names[9]: "LinAlgError: SVD did not converge",
        names[20]: candidates._CONSTANT,
        names[21]: candidates._NEGATIVE,
        names[22]: candidates._UNSOUND,
        names[23]: candidates._UNSOUND,
        names[24]: "fewer than 8 measurements",
    }
    assert "2 not searched: a time, a flux density or an error isn't finite" in found.words()


def test_metrics_of_six_epochs_are_there_and_a_pair_of_them_counts() -> None:
    curves = light_curves([[0.5] * 5 + [0.2]], 0.005)
    table = measure_variability(curves, VariabilitySettings(min_epochs=10), DAY)
    assert table.n_epochs.tolist() == [6]
    assert table.v[0] == pytest.approx(np.std([0.5] * 5 + [0.2], ddof=1) / 0.45)
    assert table.eta[0] == pytest.approx(np.var([0.5] * 5 + [0.2], ddof=1) / 0.005**2)
    assert table.is_pair_variable[0]
    assert not table.is_variable[0], "six epochs are too few for the plane of eta and V"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_beyond_all_measure_end_nothing() -> None:
    curves = with_events(sky(n=4), {1: Event(SHAPE, MIDDLE, 30.0, 0.4)})
    flux_jy, error_jy = curves.flux_jy.copy(), curves.error_jy.copy()
    own = [curves.of(i) for i in range(4)]
    flux_jy[own[0]] *= 1e308
    error_jy[own[0].start : own[0].start + 9] = 5e-324
    flux_jy[own[2]], error_jy[own[2]] = 0.0, 1e-300
    flux_jy[own[3]] = -1e200
    found = found_in(replace(curves, flux_jy=flux_jy, error_jy=error_jy))
    assert [c.source_id for c in found.candidates] == [curves.source_id[1]]
