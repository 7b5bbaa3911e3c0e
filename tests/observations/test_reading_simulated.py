"""Claims about reading a simulated DSA-110 observation, whose truth is known."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.instrument.dsa110 import FREQUENCY_MAX_HZ, FREQUENCY_MIN_HZ
from contimg_resources.observations.model import Observation
from contimg_resources.simulation.observation import (
    SimulatedObservation,
    SimulationRequest,
    pointings_deg,
    simulate_observation,
)
from contimg_resources.simulation.spec import DeadStyle, SimulationSpec, Size

Read = Callable[[Path], Observation]


@pytest.fixture(scope="module", params=list(DeadStyle))
def spec(request: pytest.FixtureRequest) -> SimulationSpec:
    usual = SimulationSpec.of_size(Size.TINY, 61041.25, 30.4)
    dead = (usual.antennas[3], usual.antennas[-2])
    return replace(usual, n_integrations=8, dead_antennas=dead, dead_style=request.param)


@pytest.fixture(scope="module")
def simulated(
    casa: Casa, spec: SimulationSpec, tmp_path_factory: pytest.TempPathFactory
) -> SimulatedObservation:
    request = SimulationRequest(spec, tmp_path_factory.mktemp("simulated"))
    return casa.run(simulate_observation, request, label="simulate-tiny")


@pytest.fixture(scope="module")
def found(read: Read, simulated: SimulatedObservation) -> Observation:
    return read(simulated.ms)


def test_times_and_phase_centres_are_those_of_the_truth(
    found: Observation, spec: SimulationSpec
) -> None:
    assert found.start_mjd == pytest.approx(spec.start_mjd, abs=1e-8)
    assert found.mid_mjd == pytest.approx(spec.mid_mjd, abs=1e-8)
    truth = pointings_deg(spec)
    assert [f.ra_deg for f in found.fields] == pytest.approx(list(truth[:, 0]), abs=1e-5)
    assert [f.dec_deg for f in found.fields] == pytest.approx(list(truth[:, 1]), abs=1e-5)
    assert len(found.fields) == found.n_integrations == 8


def test_its_sixteen_scrambled_windows_come_in_order(found: Observation) -> None:
    windows = found.spectral_windows
    assert len(windows) == 16
    assert [w.id for w in windows] != sorted(w.id for w in windows)
    assert all(a.last_hz < b.first_hz for a, b in itertools.pairwise(windows))
    assert windows[0].first_hz >= FREQUENCY_MIN_HZ
    assert windows[-1].last_hz <= FREQUENCY_MAX_HZ


def test_exactly_its_dead_antennas_do_not_work(found: Observation, spec: SimulationSpec) -> None:
    dead = {a.name for a in found.antennas if not a.working}
    assert dead == set(spec.dead_antennas)
    assert [a.name for a in found.antennas] == list(spec.antennas)
