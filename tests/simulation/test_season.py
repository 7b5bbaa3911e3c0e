"""A simulated season: what is measured in its mosaics is what was put in."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.core.statistics import mad_rms
from contimg_resources.demo.season import FinishedSeason, compare_season
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.mosaics.windows import WindowGrid
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.photometry.reading import read_mosaic
from contimg_resources.products.dips import FittedDip
from contimg_resources.products.epochs import EpochKind, MosaicState
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import Settings
from contimg_resources.simulation.light_curves import event_curve
from contimg_resources.simulation.season import write_season
from contimg_resources.simulation.season_sky import (
    draw_epochs,
    draw_sources,
    season_grid,
    true_season,
)
from contimg_resources.simulation.season_spec import (
    EventSpec,
    SeasonSpec,
    SeasonTruth,
    season_truth_path,
)
from contimg_resources.steps.mosaicking import open_mosaics
from contimg_resources.steps.retention import choose_removals
from contimg_resources.steps.variability import update_light_curves
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import transit_mjd, transit_number

#: Twelve days, one of maintenance, with two bad epochs.
SHORT = SeasonSpec(n_days=12, n_bad=2, maintenance_days=1, lost_share=0.0)


@dataclass(frozen=True)
class Written:
    workshop: Workshop
    truth: SeasonTruth


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    workshop = make_workshop(tmp_path_factory.mktemp("season"))
    return Written(workshop, write_season(workshop, SHORT))


def make_workshop(root: Path) -> Workshop:
    return Workshop.from_settings(Settings(state=root / "state"))


def drawn(spec: SeasonSpec) -> SeasonTruth:
    return true_season(spec, draw_sources(spec), draw_epochs(spec, WindowGrid()))


def test_measured_flux_densities_are_the_true_ones_within_their_errors(written: Written) -> None:
    pulls, ratios = [], []
    for number, epoch in enumerate(written.truth.epochs):
        record = written.workshop.products.mosaics.find_epoch(epoch.key, EpochKind.MOSAIC)
        assert record is not None
        columns, facts = read_measurements(record.path)
        assert len(columns["source_id"]) == SHORT.n_sources
        assert facts["catalogue"].startswith("season@")
        true_jy = np.array([written.truth.flux_jy[s][number] for s in columns["source_id"]])
        # As it was measured: the scale's error is common to all.
        pulls.append((columns["raw_flux_jy"] - epoch.scale * true_jy) / columns["raw_error_jy"])
        assert record.scale is not None
        ratios.append(record.scale / epoch.scale)
    assert mad_rms(np.concatenate(pulls)) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(np.concatenate(pulls))) < 0.15
    assert np.array(ratios) == pytest.approx(1.0, abs=0.02)


def test_the_gates_refuse_the_bad_epochs_and_no_others(written: Written) -> None:
    for epoch in written.truth.epochs:
        record = written.workshop.products.mosaics.find_epoch(epoch.key, EpochKind.MOSAIC)
        assert record is not None
        assert record.epoch_ok is not epoch.bad, record.reason
    assert sum(e.bad for e in written.truth.epochs) == 2


def test_a_mosaic_is_a_window_that_holds_the_fields_passage(written: Written) -> None:
    windows = WindowGrid()
    for epoch in written.truth.epochs:
        mid_mjd, declination_deg = parse_mosaic_key(epoch.key)
        assert declination_deg == SHORT.dec_deg
        bounds = [windows.bounds_mjd(n) for n in windows.windows_of(epoch.transit_mjd)]
        assert (epoch.start_mjd, epoch.end_mjd) in bounds
        assert mid_mjd == pytest.approx(epoch.mid_mjd, abs=1e-5)
        ra = np.array([SHORT.ra_deg])
        number = transit_number(np.array([epoch.mid_mjd]), ra)
        assert transit_mjd(number, ra)[0] == pytest.approx(epoch.transit_mjd, abs=1e-9)
        record = written.workshop.products.mosaics.get(epoch.key)
        assert record.state is MosaicState.MADE
        files = MosaicFiles.in_directory(record.directory, epoch.key)
        image = read_mosaic(files.image, files.sigma, epoch=epoch.key)
        assert image.mid_mjd == pytest.approx(epoch.mid_mjd)
        assert record.statistics.rms_ratio == pytest.approx(1.0, abs=0.15)


def test_nothing_is_made_again_damaged_or_removed(written: Written) -> None:
    assert open_mosaics(written.workshop) == ()
    assert open_mosaics(written.workshop, changed_days=3.0) == ()
    verified = verify_products(written.workshop)
    assert verified.problems == ()
    assert verified.n_products == 2 * len(written.truth.epochs)
    assert choose_removals(written.workshop) == ()


def test_every_source_has_one_point_on_each_good_day(written: Written) -> None:
    good = {e.day_mjd for e in written.truth.epochs if not e.bad}
    assert len(good) == sum(not e.bad for e in written.truth.epochs)
    for day in range(SHORT.start_day_mjd, SHORT.end_mjd):
        points = update_light_curves(written.workshop, day)
        assert points.n_points == (SHORT.n_sources if day in good else 0)


def test_the_truth_lies_in_the_state_and_a_second_season_is_refused(written: Written) -> None:
    path = season_truth_path(written.workshop.settings.state)
    assert SeasonTruth.load(path) == written.truth
    with pytest.raises(ConfigurationError, match="holds a season already"):
        write_season(written.workshop, SHORT)


def test_the_same_seed_gives_the_same_season(written: Written, tmp_path: Path) -> None:
    few = replace(SHORT, n_days=2, n_bad=0, maintenance_days=0)
    measured = []
    for name in ("a", "b"):
        workshop = make_workshop(tmp_path / name)
        write_season(workshop, few)
        epochs = workshop.products.mosaics.list_epochs()
        measured.append([read_measurements(e.path)[0]["raw_flux_jy"] for e in epochs])
    assert len(measured[0]) == 2
    assert np.array_equal(measured[0], measured[1])
    assert not np.array_equal(measured[0][0], measured[0][1])
    assert drawn(SHORT) == written.truth
    assert drawn(replace(SHORT, seed=2)).flux_jy != written.truth.flux_jy


def test_a_whole_season_has_gaps_and_one_passage_a_day() -> None:
    spec = SeasonSpec()
    truth = drawn(spec)
    days = np.array([e.day_mjd for e in truth.epochs])
    assert len(set(days)) == len(days)
    assert np.diff(days).max() > spec.maintenance_days
    assert 0.85 < len(days) / spec.n_days < 0.95
    assert len({e.key for e in truth.epochs}) == len(truth.epochs)
    scales = np.array([e.scale for e in truth.epochs if not e.bad])
    assert scales.std() == pytest.approx(spec.scale_error, rel=0.2)
    # No source of the field passes on another UTC day than its middle.
    numbers = np.array([e.transit_mjd % 1 for e in truth.epochs])
    assert numbers.min() > 0.01
    assert numbers.max() < 0.99
    assert len(truth.varying) + len(truth.steady) == spec.n_sources
    assert [e.in_progress for e in truth.events] == [False, True]


def test_sources_are_well_apart_and_inside() -> None:
    spec = SeasonSpec()
    sources = draw_sources(spec)
    grid = season_grid(spec)
    ra, dec = np.radians(sources.ra_deg), np.radians(sources.dec_deg)
    toward = np.sin(dec)[:, None] * np.sin(dec) + np.cos(dec)[:, None] * np.cos(dec) * np.cos(
        ra[:, None] - ra
    )
    np.fill_diagonal(toward, -1)
    assert 60 * np.degrees(np.arccos(toward.max())) > spec.min_separation_arcmin
    assert np.abs(sources.dec_deg - spec.dec_deg).max() < 0.5 * grid.rows * grid.cell_arcsec / 3600
    assert sources.flux_jy.min() > 0.015
    assert sources.flux_jy.max() < 1.0


def test_an_event_has_the_depth_and_width_that_were_asked_for() -> None:
    mjd = np.linspace(61_000, 61_200, 20_001)
    assert len(SeasonSpec().events) > 1
    for event in SeasonSpec().events:
        curve = event_curve(mjd, 61_100.0, event)
        assert curve.min() == pytest.approx(1 - event.depth, abs=1e-6)
        below = mjd[curve < 1 - 0.5 * event.depth]
        assert np.ptp(below) == pytest.approx(event.width_days, abs=0.05)


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no transit"):
        SeasonSpec(n_days=0)
    with pytest.raises(ConfigurationError, match="too few steady ones"):
        SeasonSpec(n_sources=12)
    with pytest.raises(ConfigurationError, match="too small for 45 sources"):
        draw_sources(SeasonSpec(min_separation_arcmin=10.0))
    with pytest.raises(ConfigurationError, match="are to vary, but only"):
        drawn(SeasonSpec(events=(EventSpec(0.5, 30.0, 0.4, 1.0, 4.0),) * 20))


def test_what_was_found_is_compared_with_the_truth(written: Written) -> None:
    event = written.truth.events[0]
    true = candidate("a", event.source_id, event.mid_mjd + 2, 5.0)
    elsewhere = candidate("b", written.truth.steady[0], event.mid_mjd, 9.0)
    later = candidate("c", event.source_id, event.mid_mjd + 40, 9.0)
    found = FinishedSeason(7, (event.source_id, written.truth.steady[1]), (true, elsewhere, later))
    result = compare_season(written.workshop, written.truth, found)
    first, second = result.events
    assert first.found
    assert first.mid_offset_days == pytest.approx(2.0)
    assert not second.found
    assert second.mid_offset_days is None
    assert result.false_candidates == (elsewhere, later)
    assert result.variables_found == (event.source_id,)
    assert len(result.variables_missed) == 5
    assert result.false_variables == (written.truth.steady[1],)
    assert (result.bad_published, result.good_refused) == ((), ())
    assert result.n_refused == 2


def candidate(name: str, source_id: str, mid_mjd: float, score: float) -> CandidateRecord:
    return CandidateRecord(
        id=name,
        source_id=source_id,
        ra_deg=30.0,
        dec_deg=54.6,
        state=CandidateState.COMPLETE,
        start_mjd=mid_mjd - 15,
        mid_mjd=mid_mjd,
        end_mjd=mid_mjd + 15,
        score=score,
        parameters=FittedDip(width_days=31.0, depth=0.4),
    )
