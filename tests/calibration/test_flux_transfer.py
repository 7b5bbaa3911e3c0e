"""A second calibrator of unknown flux density gets it from the first, and FLUX holds the gains."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.solve.model import (
    Pointing,
    SolveRecipe,
    SolveRequest,
    SolveResult,
)
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.observations.calibrators import Calibrator, CalibratorList
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import GainSpec, SimulationSpec, Size, SkySpec
from tests.calibration.casa_steps import (
    ApplyRequest,
    DumpRequest,
    Recovery,
    RecoveryRequest,
    apply_and_average,
    dump_solutions,
    measure_recovery,
)
from tests.calibration.tracking_steps import TrackingRequest, track

PRIMARY = CalibratorList().find("3C286")
SECONDARY = Calibrator("J1445+0958", (), 221.3, 9.97, FluxModel((0.4, -0.3), 1.4, "put in"))
ORDER = ("K", "BA", "BP", "GP", "FLUX")


@pytest.fixture(scope="module")
def ms(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = SimulationSpec.of_size(Size.TINY, 61000.6, 30.0, seed=7)
    spec = replace(
        spec,
        sefd_jy=0.0,
        # Amplitudes that drift between the scans of two calibrators are no matter of the transfer.
        gains=replace(GainSpec(), drift_amplitude=0.0),
        sky=SkySpec(catalogue=False, calibrators=False),
        dead_antennas=("68",),
    )
    request = SimulationRequest(spec, tmp_path_factory.mktemp("tracking"))
    made = casa.run(simulate_observation, request, label="simulate").ms
    noise_jy = replace(spec, sefd_jy=SimulationSpec.sefd_jy).noise_jy
    task = TrackingRequest(made, [PRIMARY, SECONDARY], scan_length=6, noise_jy=noise_jy)
    casa.run(track, task, label="track")
    return made


@pytest.fixture(scope="module")
def solved(casa: Casa, ms: Path) -> SolveResult:
    request = SolveRequest(
        ms=ms,
        calibrator=PRIMARY,
        prefix=ms.parent / "tables" / "tracking",
        pointing=Pointing.TRACKING,
        calibrator_fields=(PRIMARY.name,),
        transfer_fields=(SECONDARY.name,),
        recipe=SolveRecipe(short_gains=False),
    )
    return casa.run(solve_caltables, request, label="solve")


@pytest.fixture(scope="module")
def applied(solved: SolveResult) -> list[Path]:
    tables = {t.type.value: t.path for t in solved.tables}
    return [tables[kind] for kind in ORDER]


def test_the_flux_density_is_the_one_put_in(solved: SolveResult) -> None:
    assert not solved.failed, solved.reasons
    (transfer,) = solved.flux
    put_in_jy = float(SECONDARY.flux_jy(np.float64(transfer.frequency_hz)))
    assert transfer.error_jy < 2e-3 * put_in_jy
    assert abs(transfer.flux_jy - put_in_jy) < 4 * transfer.error_jy
    assert transfer.ratio == pytest.approx(
        put_in_jy / float(PRIMARY.flux_jy(np.float64(transfer.frequency_hz))), rel=3e-3
    )


def test_the_product_with_flux_in_place_of_ga_is_the_corrupting_gain_within_the_noise(
    casa: Casa, ms: Path, solved: SolveResult, applied: list[Path]
) -> None:
    left: Recovery
    (left,) = casa.run(measure_recovery, RecoveryRequest(ms, [applied]), label="recovery")
    # The second calibrator is fainter, so its gains are noisier: not the median counts.
    expected = np.sqrt(sum(mean_variance(casa, solved, kind) for kind in ("BA", "GA")))
    assert left.amplitude_scatter < 1.3 * expected
    assert abs(left.amplitude_bias) < 2e-3
    # A phase of a scan stands for its 77 s, in which the gains wander by a degree.
    assert left.phase_scatter_deg < np.degrees(1.3 * expected) + 1.0
    assert left.flagged_fraction < 0.01


def mean_variance(casa: Casa, solved: SolveResult, kind: str) -> float:
    """Return the mean of 1 / SNR^2 over the unflagged solutions of a table."""
    (path,) = [t.path for t in solved.tables if t.type.value == kind]
    npz = casa.run(dump_solutions, DumpRequest({kind: path}, path.with_suffix(".npz")), label="d")
    with np.load(npz) as stored:
        snr = stored[f"{kind}_snr"][~stored[f"{kind}_flags"]]
    return float((1 / snr[snr > 0] ** 2).mean())


def test_the_applied_tables_put_the_second_calibrator_on_the_scale_of_the_first(
    casa: Casa, ms: Path, applied: list[Path]
) -> None:
    task = ApplyRequest(ms=ms, tables=applied, field=SECONDARY.name, channels=[0, 3])
    mean = casa.run(apply_and_average, task, label="apply")
    hz = np.linspace(1.311e9, 1.498e9, 200)
    assert mean.real_jy == pytest.approx(float(SECONDARY.flux_jy(hz).mean()), rel=3e-3)
    assert abs(mean.imaginary_jy) < 3e-3 * mean.real_jy
