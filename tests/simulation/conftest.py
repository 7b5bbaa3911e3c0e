"""Fixtures of the simulator's tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.simulation.observation import (
    SimulatedObservation,
    SimulationRequest,
    simulate_observation,
)
from contimg_resources.simulation.spec import SimulationSpec
from tests.simulation import casa_side

Columns = Mapping[str, Any]
Simulate = Callable[[SimulationSpec], SimulatedObservation]


@pytest.fixture(scope="session")
def columns(casa: Casa) -> Callable[[Path], Columns]:
    """Give a function that reads an MS through CASA, each MS once."""
    read: dict[Path, Columns] = {}

    def read_once(ms: Path) -> Columns:
        if ms not in read:
            with np.load(casa.run(casa_side.dump, ms, label="dump")) as stored:
                read[ms] = dict(stored)
        return read[ms]

    return read_once


@pytest.fixture(scope="session")
def simulate(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Give a function that simulates into a directory of its own."""

    def make(spec: SimulationSpec) -> SimulatedObservation:
        request = SimulationRequest(spec, tmp_path_factory.mktemp("simulated"))
        return casa.run(simulate_observation, request, label="simulate")

    return make
