"""Other sources in the calibrator's model: the whole sky of a simulation, seen as it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.calibration.solve.skymodel import sources_about
from contimg_resources.casa import Casa
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.simulation.night import NightSpec, plan_night
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import GainSpec
from tests.calibration.background_steps import Modelled, model_a_drift
from tests.calibration.transit import whole_sky


@pytest.fixture(scope="module")
def modelled(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Modelled:
    """A calibrator's transit without noise and with perfect antennas, and its model."""
    spec = plan_night(NightSpec(n_targets=0))[0].spec
    spec = replace(spec, gains=GainSpec.perfect(), sefd_jy=0.0, dead_antennas=())
    request = SimulationRequest(spec, tmp_path_factory.mktemp("transit"))
    ms: Path = casa.run(simulate_observation, request, label="simulate").ms
    calibrator = CalibratorList().find("3C48")
    near = sources_about(whole_sky(ms), calibrator)
    assert calibrator.name not in [source.name for source in near]
    return casa.run(model_a_drift, (ms, calibrator, near), label="model")


def test_with_the_list_the_model_is_the_sky(modelled: Modelled) -> None:
    assert modelled.n_background > 50
    assert 15 < modelled.data_jy < 16
    assert modelled.from_calibrator_alone_jy > 0.3, "there is something else to model"
    # What is left are sources below 1e-4 of the calibrator, and a list that ends somewhere.
    assert modelled.from_model_jy < 0.03 * modelled.from_calibrator_alone_jy
