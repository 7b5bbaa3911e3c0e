"""Interference costs the data that it fell on, and nothing else of the image."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.matching import match_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import ImagingSettings
from contimg_resources.simulation.night import NightSpec, plan_night
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import GainSpec, RfiSpec, SimulationSpec
from contimg_resources.simulation.truth import Truth
from tests.imaging.imaging_steps import Sky
from tests.imaging.rfi_steps import Flagged, Pair, count_flagged

#: The antennas stay as the calibrator saw them, so that noise alone limits the images; a third of
#: the real noise, so that 1 % of a source's flux is more than that.
NIGHT = NightSpec(
    seed=2,
    n_targets=1,
    gains=GainSpec(drift_amplitude=0.0, drift_phase_deg=0.0, wander_phase_deg=0.0),
)
#: Lines, bursts and a satellite.
INTERFERENCE = RfiSpec()


@dataclass(frozen=True)
class Imaged:
    """One target without and with interference, calibrated and imaged alike."""

    clean: ImageResult
    dirty: ImageResult
    flagged: Flagged
    sky: Sky

    def fluxes(self, image: ImageResult) -> dict[str, tuple[float, float]]:
        """Flux over true flux at the image's frequency, and SNR, by source."""
        matches = match_image(image, self.sky.references, min_snr=30.0).matches
        return {m.reference.name: (m.flux_ratio, m.source.snr) for m in matches}


@pytest.fixture(scope="module")
def imaged(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Imaged:
    root = tmp_path_factory.mktemp("rfi")
    calibrator, target = (fine_and_quiet(o.spec) for o in plan_night(NIGHT))
    simulate = simulator(casa)
    solve = SolveRequest(
        simulate(calibrator, root / "calibrator"),
        CalibratorList().find(NIGHT.calibrator),
        root / "tables" / NIGHT.calibrator,
    )
    solved = casa.run(solve_caltables, solve, label="solve")
    assert not solved.failed, solved.reasons
    tables = tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables)
    came: list[Path] = []
    calibrated: list[Path] = []
    images: list[ImageResult] = []
    for spec in (target, replace(target, rfi=INTERFERENCE)):
        name = "clean" if spec.rfi is None else "dirty"
        came.append(simulate(spec, root / name))
        calibrated.append(root / f"{name}_cal.ms")
        casa.run(write_calibrated_ms, ApplyRequest(came[-1], tables, calibrated[-1]), label="apply")
        request = ImageRequest(
            calibrated[-1], root / f"{name}_image", name, ImagingSettings(sub_bands=0)
        )
        if images:
            grid = images[0].grid
            same = ImagingSettings(image_size=grid.size, cell_arcsec=grid.cell_arcsec, sub_bands=0)
            request = replace(request, settings=same)
        images.append(casa.run(make_image, request, label="image"))
    (clean, dirty), (clean_cal, dirty_cal) = came, calibrated
    pair = Pair(clean, dirty, clean_cal, dirty_cal, target.noise_jy)
    flagged = casa.run(count_flagged, pair, label="count")
    return Imaged(images[0], images[1], flagged, Sky(clean_cal, Truth.load(clean)))


def fine_and_quiet(spec: SimulationSpec) -> SimulationSpec:
    # Interference covers whole channels, so in few wide ones it costs more.
    return replace(spec, channels_per_window=8, sefd_jy=spec.sefd_jy / 3)


def simulator(casa: Casa) -> Callable[[SimulationSpec, Path], Path]:
    def simulate(spec: SimulationSpec, directory: Path) -> Path:
        request = SimulationRequest(spec, directory)
        return casa.run(simulate_observation, request, label="simulate").ms

    return simulate


def test_what_was_hit_goes_and_under_2_percent_of_the_good_data(imaged: Imaged) -> None:
    # A window of 16, a line, two of 24 integrations, and the satellite's way.
    assert 0.14 < imaged.flagged.injected < 0.2
    assert imaged.flagged.kept_of_injected < 0.001
    assert imaged.flagged.lost_of_good < 0.02


def test_the_rms_is_within_10_percent_of_that_without_interference(imaged: Imaged) -> None:
    clean, dirty = imaged.clean.statistics, imaged.dirty.statistics
    assert clean.rms_jy < 1.25 * clean.expected_rms_jy, "noise, not dynamic range"
    assert dirty.rms_jy < 1.1 * clean.rms_jy
    # It is the noise of fewer data.
    left = 1 - imaged.flagged.injected
    assert dirty.rms_jy == pytest.approx(clean.rms_jy / np.sqrt(left), rel=0.03)


def test_no_source_loses_or_gains_1_percent_of_its_flux(imaged: Imaged) -> None:
    before, after = imaged.fluxes(imaged.clean), imaged.fluxes(imaged.dirty)
    bright = [name for name, (_, snr) in before.items() if snr > 50]
    assert len(bright) > 30
    assert set(bright) <= set(after)
    # The noise that both images share goes with the difference; that of the lost data stays.
    noise = np.sqrt(1 / (1 - imaged.flagged.injected) - 1)
    changes = {name: after[name][0] / before[name][0] - 1 for name in bright}
    for name, change in changes.items():
        assert abs(change) < max(0.01, 5 * noise / before[name][1]), name
    assert max(abs(c) for n, c in changes.items() if before[n][1] > 200) < 0.01
    assert abs(np.median(list(changes.values()))) < 0.002
