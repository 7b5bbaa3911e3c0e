"""Averaged in memory first or by CASA alone, a solve finds the same gains."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.calibration.solve.skymodel import sources_about
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.core.errors import CalibrationFailed, UnreadableObservation
from contimg_resources.settings import CalibrationSettings
from contimg_resources.simulation.truth import Truth
from tests.calibration.casa_steps import DumpRequest, Recovery, RecoveryRequest, measure_recovery
from tests.calibration.solve_engine_steps import (
    CrossHands,
    FlagWindow,
    add_cross_hands,
    dump_with_frequencies,
    flag_window,
    flagged_by_window,
    keep_autocorrelations,
    solve_in_many_parts,
    tell_of_more_hands,
)
from tests.calibration.transit import (
    CALIBRATOR,
    DEAD,
    TABLES,
    request,
    short_transit_spec,
    simulate,
    whole_sky,
)

ENGINES = ("fast", "casa")
#: Its data are all flagged; when there are nine parts it is one by itself.
FLAGGED = 7
ARRAYS = ("values", "flags", "snr", "antennas", "windows", "times_s", "hz")


@dataclass(frozen=True)
class Solved:
    """A set and its solutions, rows sorted, by type of table and name of the array."""

    result: SolveResult
    solutions: dict[str, dict[str, np.ndarray]]

    @property
    def tables(self) -> list[Path]:
        return [t.path for t in self.result.tables]


def solve(
    casa: Casa,
    wanted: SolveRequest,
    name: str,
    step: Callable[[SolveRequest], SolveResult] = solve_caltables,
) -> Solved:
    wanted = replace(wanted, prefix=wanted.ms.parent / name / "3C286")
    result = casa.run(step, wanted, label="solve")
    assert not result.failed, result.reasons
    paths = {t.type.value: t.path for t in result.tables}
    dump = DumpRequest(paths, wanted.prefix.parent / "dump.npz")
    solutions = {}
    with np.load(casa.run(dump_with_frequencies, dump, label="dump")) as stored:
        for kind in paths:
            found = {name: stored[f"{kind}_{name}"] for name in ARRAYS}
            minutes = np.round(found["times_s"] / 30)
            order = np.lexsort((found["antennas"], found["hz"], minutes))
            solutions[kind] = {name: found[name][..., order] for name in ARRAYS}
    return Solved(result, solutions)


def with_engine(engine: str, ms: Path) -> SolveRequest:
    return replace(request(ms), settings=CalibrationSettings(engine=engine))


@pytest.fixture(scope="module")
def whole(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transit with dead antennas, windows in no order, and autocorrelations."""
    spec = replace(short_transit_spec(), autocorrelations=True)
    assert spec.dead_antennas == DEAD
    return simulate(casa, spec, tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def ms(casa: Casa, whole: Path) -> Path:
    """It with one window flagged."""
    place = whole.parent / "flagged"
    place.mkdir()
    for truth in whole.parent.glob("*.truth.json"), whole.parent.glob("*.gains.npz"):
        for path in truth:
            (place / path.name).write_bytes(path.read_bytes())
    spoil = FlagWindow(whole, place / whole.name, FLAGGED)
    return casa.run(flag_window, spoil, label="flag")


@pytest.fixture(scope="module")
def solved(casa: Casa, ms: Path) -> dict[str, Solved]:
    found = {engine: solve(casa, with_engine(engine, ms), engine) for engine in ENGINES}
    assert [s.result.parameters["engine"] for s in found.values()] == list(ENGINES)
    return found


def assert_same_rows(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in ("antennas", "windows"):
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_allclose(one["hz"], other["hz"], rtol=1e-9)
    # One engine weighs the times by the beam.
    np.testing.assert_allclose(one["times_s"], other["times_s"], rtol=0, atol=2)


def assert_same_solutions(one: Solved, other: Solved, share_of_noise: float) -> None:
    assert one.solutions.keys() == other.solutions.keys()
    for kind, ours in one.solutions.items():
        theirs = other.solutions[kind]
        assert_same_rows(ours, theirs)
        assert (ours["flags"] != theirs["flags"]).mean() < 0.003, kind
        good = ~ours["flags"] & ~theirs["flags"]
        difference = np.abs(ours["values"] - theirs["values"])[good]
        assert difference.size > 600
        if kind == "K":
            # Delays have no SNR; a receptor has one in each window.
            noise = scatter_between_windows(theirs)
            assert 0.1 < noise < 2, "ns"
        else:
            noise = (np.abs(theirs["values"]) / np.where(good, theirs["snr"], 1))[good]
            assert np.median(ours["snr"][good] / theirs["snr"][good]) == pytest.approx(1, abs=0.01)
        assert np.sqrt(np.mean((difference / noise) ** 2)) < share_of_noise, kind


def scatter_between_windows(delays: dict[str, np.ndarray]) -> float:
    deviations = []
    for antenna in np.unique(delays["antennas"]):
        mine = delays["antennas"] == antenna
        values = np.ma.masked_array(delays["values"][:, 0, mine], delays["flags"][:, 0, mine])
        deviations.append((values - values.mean(axis=1, keepdims=True)).compressed())
    return float(np.concatenate(deviations).std())


def test_each_solution_differs_by_a_small_part_of_its_noise(solved: dict[str, Solved]) -> None:
    assert set(solved["fast"].solutions) == set(TABLES) == set(solved["casa"].solutions)
    assert_same_solutions(solved["fast"], solved["casa"], 0.05)


def test_both_say_the_same_of_the_observation(solved: dict[str, Solved]) -> None:
    fast, by_casa = (solved[engine].result for engine in ENGINES)
    assert fast.layout == by_casa.layout
    for name in ("refant", "refant_reason", "working_antennas", "start_mjd", "end_mjd"):
        assert getattr(fast, name) == getattr(by_casa, name), name
    assert fast.declination_deg == pytest.approx(by_casa.declination_deg, abs=1e-9)
    assert fast.flagged_fraction == pytest.approx(by_casa.flagged_fraction, abs=1e-3)


def test_the_true_gains_are_recovered_as_well(
    casa: Casa, ms: Path, solved: dict[str, Solved]
) -> None:
    wanted = RecoveryRequest(ms, [solved[engine].tables for engine in ENGINES])
    fast, by_casa = casa.run(measure_recovery, wanted, label="recovery")
    assert fast.amplitude_scatter < 1.01 * by_casa.amplitude_scatter
    assert fast.phase_scatter_deg < 1.01 * by_casa.phase_scatter_deg
    assert fast.worst < 1.02 * by_casa.worst
    assert fast.amplitude_bias == pytest.approx(by_casa.amplitude_bias, abs=1e-4)
    assert abs(fast.amplitude_bias) < 0.004
    assert fast.flagged_fraction == pytest.approx(1 / 16, abs=1e-3)


def test_a_window_without_data_has_flagged_solutions(ms: Path, solved: dict[str, Solved]) -> None:
    working = [i for i, name in enumerate(Truth.load(ms).antenna_names) if name not in DEAD]
    for engine in ENGINES:
        assert set(solved[engine].solutions) == set(TABLES)
        for kind, table in solved[engine].solutions.items():
            there = np.isin(table["antennas"], working)
            without_data = table["windows"] == FLAGGED
            assert without_data.sum() == (table["windows"] == 0).sum() > 0, kind
            assert table["flags"][..., without_data].all(), kind
            assert not table["flags"][..., there & ~without_data].any(), kind


@pytest.mark.parametrize(("engine", "apply_engine"), [ENGINES, ENGINES[::-1]])
def test_data_without_solutions_are_flagged_never_passed(
    casa: Casa,
    whole: Path,
    solved: dict[str, Solved],
    engine: str,
    apply_engine: str,
    tmp_path: Path,
) -> None:
    """The window that the calibrator lacks is there in another observation."""
    tables = tuple(
        TableToApply(t.path, t.type, t.type.apply_order) for t in solved[engine].result.tables
    )
    wanted = ApplyRequest(
        whole,
        tables,
        tmp_path / "x.ms",
        flag_rfi=False,
        settings=CalibrationSettings(engine=apply_engine),
    )
    casa.run(write_calibrated_ms, wanted, label="apply")
    flagged = casa.run(flagged_by_window, tmp_path / "x.ms", label="count")
    assert flagged[FLAGGED] == 1
    n, dead = len(short_transit_spec().antennas), len(DEAD)
    of_dead = 1 - (n - dead) * (n - dead - 1) / (n * (n - 1))
    rest = [share for window, share in enumerate(flagged) if window != FLAGGED]
    assert rest == pytest.approx([of_dead] * 15, abs=1e-3)


def test_into_how_many_parts_the_windows_go_makes_no_difference(
    casa: Casa, ms: Path, solved: dict[str, Solved]
) -> None:
    """The flagged window is a part of its own, with nothing to solve."""
    wanted = with_engine("fast", ms)
    parts = solve(casa, wanted, "parts", step=solve_in_many_parts)
    assert_same_solutions(parts, solved["fast"], 1e-3)


def test_an_observation_of_autocorrelations_alone_fails_for_having_no_data(
    casa: Casa, whole: Path, tmp_path: Path
) -> None:
    alone = CrossHands(whole, tmp_path / "alone.ms")
    casa.run(keep_autocorrelations, alone, label="spoil")
    with pytest.raises(CalibrationFailed, match=r"alone\.ms has no cross-correlations"):
        casa.run(solve_caltables, with_engine("fast", alone.copy), label="solve")


def test_data_of_another_shape_than_its_subtables_say_are_refused(
    casa: Casa, whole: Path, tmp_path: Path
) -> None:
    spoiled = CrossHands(whole, tmp_path / "spoiled.ms")
    casa.run(tell_of_more_hands, spoiled, label="spoil")
    with pytest.raises(UnreadableObservation, match="has 4 correlations, its data 2"):
        casa.run(solve_caltables, with_engine("fast", spoiled.copy), label="solve")


@pytest.fixture(scope="module")
def quiet(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transit through receivers with a hundredth of the noise."""
    spec = short_transit_spec()
    return simulate(
        casa, replace(spec, sefd_jy=spec.sefd_jy / 100), tmp_path_factory.mktemp("quiet")
    )


def listing_all(engine: str, ms: Path) -> SolveRequest:
    """A solve with every source of the simulation in its model."""
    wanted = with_engine(engine, ms)
    # So little noise that what flags on its size would flag the sky.
    recipe = replace(wanted.recipe, flag_rfi=False)
    others = sources_about(whole_sky(ms), CALIBRATOR)
    return replace(wanted, recipe=recipe, background=others, background_origin="the truth")


@pytest.fixture(scope="module")
def listed(casa: Casa, quiet: Path) -> dict[str, Solved]:
    """Sets solved with the whole sky in the model, and one without."""
    found = {engine: solve(casa, listing_all(engine, quiet), engine) for engine in ENGINES}
    without = replace(listing_all("fast", quiet), background=(), background_origin="")
    return found | {"without": solve(casa, without, "without")}


def test_other_sources_of_the_model_bias_no_gains(
    casa: Casa, quiet: Path, listed: dict[str, Solved]
) -> None:
    wanted = RecoveryRequest(quiet, [s.tables for s in listed.values()])
    found: dict[str, Recovery] = dict(
        zip(listed, casa.run(measure_recovery, wanted, label="recovery"), strict=True)
    )
    fast, by_casa, without = found["fast"], found["casa"], found["without"]
    assert without.amplitude_scatter > 0.005
    assert abs(without.amplitude_bias) > 5e-4
    assert fast.amplitude_scatter < 0.05 * without.amplitude_scatter
    assert fast.amplitude_scatter < 1.05 * by_casa.amplitude_scatter
    assert abs(fast.amplitude_bias) < 0.05 * abs(without.amplitude_bias)
    assert fast.amplitude_bias == pytest.approx(by_casa.amplitude_bias, abs=2e-5)
    assert fast.phase_scatter_deg < 1.02 * by_casa.phase_scatter_deg


def test_a_set_tells_what_its_model_held(listed: dict[str, Solved]) -> None:
    told = {engine: listed[engine].result.parameters["other_sources"] for engine in ENGINES}
    assert told["fast"] == told["casa"]
    assert told["fast"]["origin"] == "the truth"
    assert told["fast"]["n_sources"] > 50
    # The floor is a share of the calibrator, 15 Jy.
    assert 1e-3 < told["fast"]["faintest_jy"] < 3e-3
    assert f"3C286 and {told['fast']['n_sources']} sources" in listed["fast"].result.notes[0]
    assert listed["without"].result.parameters["other_sources"]["n_sources"] == 0
    assert listed["without"].result.notes[0].startswith("the model is 3C286 alone: no catalogue")


def test_cross_hands_make_no_difference(
    casa: Casa, quiet: Path, listed: dict[str, Solved], tmp_path: Path
) -> None:
    four = CrossHands(quiet, tmp_path / quiet.name)
    casa.run(add_cross_hands, four, label="spoil")
    wanted = replace(listing_all("fast", quiet), ms=four.copy)
    assert_same_solutions(solve(casa, wanted, "four"), listed["fast"], 0.05)
