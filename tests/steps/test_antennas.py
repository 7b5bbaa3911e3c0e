"""Antennas that go bad and recover, over simulated observations in the order of a night."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from contimg_resources.calibration.antenna_record import AntennaMark, MarkedAntenna
from contimg_resources.imaging.in_field.calibrating import calibrate_in_field
from contimg_resources.imaging.model import InFieldCalibration
from contimg_resources.imaging.visibilities import Visibilities
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import AntennaSettings
from contimg_resources.steps.antennas import check_antennas, known_antennas, record_antennas
from tests.imaging.test_in_field import (
    DISH_M,
    N_ANTENNAS,
    N_TIMES,
    PHASES,
    QUIET_JY,
    SOURCES,
    error_jy,
    observe,
)
from tests.products.conftest import MJD, make_observation

#: Their indices; names count from 1.
DEAD, WILD = 5, 9


class Night:
    """Observations one after the other, through in-field calibration and the products store."""

    def __init__(self, root: Path, settings: AntennaSettings = AntennaSettings()) -> None:  # noqa: B008
        self.store = ProductsStore(str(root / "products.sqlite3"))
        self.settings = settings
        self._root = root

    def observe(
        self, number: int, seen: Visibilities
    ) -> tuple[Visibilities, InFieldCalibration, bool]:
        """Return what is left of an observation, its outcome, and whether its check passed."""
        one = make_observation(
            self._root / f"{number}.ms", MJD + number * 0.0036, signature=str(number)
        )
        self.store.arrive(one)
        known = known_antennas(self.store, one, self.settings)
        better, outcome = calibrate_in_field(seen, SOURCES, DISH_M, known)
        result = cast(Any, SimpleNamespace(in_field=outcome))
        observed = record_antennas(self.store, one, result, "")
        return better, outcome, check_antennas(observed, known).passed

    @property
    def bad(self) -> dict[str, str]:
        return self.store.antennas.present(3.0).bad


def signals(number: int, *, dead: bool = False, wild: bool = False) -> Visibilities:
    """Return an observation in which other antennas drift, some by much."""
    rng = np.random.default_rng(number)
    amplitude = np.ones((N_TIMES, N_ANTENNAS))
    # As an hour after the calibrator: 20 deg, and 1.7 deg more within the observation.
    phase = 0.2 * PHASES + rng.normal(0, 0.35, N_ANTENNAS)
    phase += np.linspace(0, 1, N_TIMES)[:, None] * rng.normal(0, 0.03, N_ANTENNAS)
    if dead:
        amplitude[:, DEAD] = 0
    if wild:
        phase[:, WILD] = rng.uniform(-np.pi, np.pi, N_TIMES)
    return observe(amplitude=amplitude, phase_rad=phase, noise_jy=0.3, seed=number)


def test_bad_antennas_are_named_within_two_observations_and_given_back(tmp_path: Path) -> None:
    night = Night(tmp_path)
    named = []
    for number, (dead, wild) in enumerate(
        [(False, False), (True, False), (True, True), (True, True), (False, False), (False, False)]
    ):
        _, outcome, passed = night.observe(number, signals(number, dead=dead, wild=wild))
        named.append(set(night.bad))
        assert passed is not (dead or wild)
        # No good antenna is lost, and one that works again is back at once.
        assert set(outcome.left_out) <= ({str(DEAD + 1)} if dead else set())
    lost, unstable = str(DEAD + 1), str(WILD + 1)
    assert named == [set(), set(), {lost}, {lost, unstable}, {lost, unstable}, set()]
    first, second = night.store.antennas.present(3.0).spells
    assert (first.antenna, second.antenna) == (lost, unstable)
    assert first.fault == "dead: no signal in 100% of the observation"
    assert second.fault.startswith("unstable phases: ")
    assert (first.n_faulty, second.n_faulty) == (3, 2)
    assert first.end_mjd == second.end_mjd == pytest.approx(MJD + 4 * 0.0036)


def test_an_antenna_is_left_out_where_the_data_are_better_without_it(tmp_path: Path) -> None:
    weak = np.ones((N_TIMES, N_ANTENNAS))
    weak[:, DEAD] = 0.3
    seen = observe(amplitude=weak, noise_jy=QUIET_JY)
    better, outcome, _ = Night(tmp_path).observe(0, seen)
    assert set(outcome.left_out) == {str(DEAD + 1)}
    block = better.blocks[0]
    assert np.array_equal(block.weight[:, 0] == 0, (block.first == DEAD) | (block.second == DEAD))
    assert error_jy(better) < 1.05 * np.sqrt(2) * QUIET_JY < 0.5 * error_jy(seen)
    # The user's own choice: the evidence is kept, nothing is left out.
    kept = Night(tmp_path / "off", AntennaSettings(leave_out=False))
    _, outcome, passed = kept.observe(0, seen)
    assert outcome.left_out == {}
    assert not passed


def test_a_mark_by_a_person_outweighs_the_evidence(tmp_path: Path) -> None:
    night = Night(tmp_path)
    for number, (name, mark) in enumerate(
        [(str(WILD + 1), AntennaMark.BAD), (str(DEAD + 1), AntennaMark.GOOD)]
    ):
        night.store.antennas.mark(MarkedAntenna(name, mark, MJD - 1 + number / 10, "why", "ada"))
    weak = np.ones((N_TIMES, N_ANTENNAS))
    weak[:, DEAD] = 0.3
    for number in range(3):
        better, outcome, _ = night.observe(number, observe(amplitude=weak, seed=number))
    assert outcome.left_out == {str(WILD + 1): "marked bad by ada: why"}
    # It is still examined.
    assert outcome.antennas[str(WILD + 1)].fault is None
    assert outcome.antennas[str(DEAD + 1)].fault is not None
    its = (better.blocks[0].first == WILD) | (better.blocks[0].second == WILD)
    assert np.array_equal(better.blocks[0].weight[:, 0] == 0, its)


def test_without_a_model_earlier_observations_decide(tmp_path: Path) -> None:
    night = Night(tmp_path)
    for number in range(2):
        night.observe(number, signals(number, dead=True))
    known = known_antennas(
        night.store, make_observation(tmp_path / "x.ms", MJD + 0.1), night.settings
    )
    assert set(known.suspected) == {str(DEAD + 1)}
    seen = signals(7)
    left, outcome = calibrate_in_field(seen, (), DISH_M, known)
    assert set(outcome.left_out) == {str(DEAD + 1)}
    assert outcome.antennas == {}
    assert float(left.blocks[0].weight.sum()) < float(seen.blocks[0].weight.sum())
    # Data that show that it works outweigh what was known.
    _, outcome = calibrate_in_field(seen, SOURCES, DISH_M, known)
    assert outcome.left_out == {}
    # A catalogue of another field speaks for or against nothing.
    other = tuple(replace(s, ra_deg=s.ra_deg + 0.9, dec_deg=s.dec_deg - 0.5) for s in SOURCES)
    _, outcome = calibrate_in_field(signals(8, dead=True, wild=True), other, DISH_M, known)
    assert set(outcome.left_out) == {str(DEAD + 1)}
    assert [n for n, e in outcome.antennas.items() if e.fault] == [str(DEAD + 1)]


def test_no_good_antenna_is_lost_to_drifts_and_noise(tmp_path: Path) -> None:
    night = Night(tmp_path)
    for number, noise_jy in enumerate((0.03, 0.3, 1.0, 2.0)):
        rng = np.random.default_rng(number)
        ramp = np.linspace(0, 1, N_TIMES)[:, None]
        phase = rng.normal(0, 1.5, N_ANTENNAS) + ramp * rng.normal(0, 0.1, N_ANTENNAS)
        amplitude = 1 + rng.normal(0, 0.1, N_ANTENNAS)
        seen = observe(phase_rad=phase, amplitude=amplitude, noise_jy=noise_jy, seed=number)
        _, outcome, passed = night.observe(number, seen)
        assert passed
        assert outcome.left_out == {}
        assert all(e.is_examined for e in outcome.antennas.values())
