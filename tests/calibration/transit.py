"""A transit of 3C286 to solve, and what is on its sky."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.casa import Casa
from contimg_resources.observations.calibrators import Calibrator, CalibratorList
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.simulation.meridian import apparent_direction_deg, next_transit_mjd
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import SimulationSpec, Size
from contimg_resources.simulation.truth import Truth

CALIBRATOR = CalibratorList().find("3C286")
DEAD = ("104", "68")
TABLES = ("K", "BA", "BP", "GA", "GP", "2G")


def transit_spec() -> SimulationSpec:
    """A transit of 3C286, 0.2 deg from the middle of the beam; the first choice refant is dead."""
    transit = next_transit_mjd(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, 61000.0)
    _, declination = apparent_direction_deg(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, transit)
    spec = SimulationSpec.of_size(Size.TINY, transit - 155 / 86400, declination - 0.2, seed=3)
    return replace(spec, dead_antennas=DEAD)


def short_transit_spec() -> SimulationSpec:
    """Its middle half, on which CASA's solvers work half as long."""
    spec = transit_spec()
    short = replace(spec, n_integrations=spec.n_integrations // 2)
    return replace(short, start_mjd=short.start_mjd + spec.mid_mjd - short.mid_mjd)


def simulate(casa: Casa, spec: SimulationSpec, directory: Path) -> Path:
    return casa.run(simulate_observation, SimulationRequest(spec, directory), label="simulate").ms


def request(ms: Path) -> SolveRequest:
    return SolveRequest(ms=ms, calibrator=CALIBRATOR, prefix=ms.parent / "tables" / "3C286")


def whole_sky(ms: Path) -> tuple[Calibrator, ...]:
    """Every source of a simulation as a list that a solve may be given."""
    return tuple(
        Calibrator(s.name, (), s.ra_deg, s.dec_deg, _power_law(s.flux_jy, s.spectral_index))
        for s in Truth.load(ms).sources
    )


def _power_law(flux_jy: float, index: float) -> FluxModel:
    return FluxModel((float(np.log10(flux_jy)), index), 1.405, "the simulation's own")
