"""The disk is full in the middle of a step: one clear error, nothing half-written."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contimg_resources.core.errors import ContimgError
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.settings import CalibrationSettings, RetentionSettings, Settings
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.calibrating import calibrate_observation
from contimg_resources.steps.imaging import image_observation
from contimg_resources.steps.solving import solve_observation
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from tests.conftest import TinyNight

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root"),
]

_SIZE_MB = 600


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few hundred MB."""
    place = tmp_path / "disk"
    place.mkdir()
    size = f"size={_SIZE_MB}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path, left_bytes: int) -> Path:
    """Fill a disk but for so many bytes."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left_bytes)
    return ballast


def hidden(settings: Settings) -> list[Path]:
    layout = settings.layout
    roots = (layout.calibrated, layout.images, layout.caltables, layout.scratch)
    return [p for root in roots for p in [*root.glob(".*"), *root.glob("*/.*")]] + list(
        layout.scratch.iterdir()
    )


def test_a_step_on_a_full_disk_fails_in_words_and_works_when_there_is_room(
    disk: Path, short_night: TinyNight
) -> None:
    settings = Settings(
        state=disk / "state",
        calibration=CalibrationSettings(plotms=False, model_from_image=False),
        retention=RetentionSettings(pause_below_gb=0.0, free_gb=0.0),
    )
    workshop = Workshop.from_settings(settings)
    ms = settings.incoming_dir / short_night.calibrator.name
    shutil.copytree(short_night.calibrator, ms)
    key = arrive(workshop, ms).observation.key
    # Full before a step can begin, and while it writes.
    steps: tuple[tuple[Callable[..., object], ObservationState, int], ...] = (
        (solve_observation, ObservationState.ARRIVED, 2_000_000),
        (calibrate_observation, ObservationState.SOLVED, 0),
        (calibrate_observation, ObservationState.CALIBRATED, 2_000_000),
        (image_observation, ObservationState.CALIBRATED, 2_000_000),
    )
    for step, before, left_bytes in steps:
        known = (workshop.registry.list_sets(), workshop.products.artefacts(key))
        ballast = fill(disk, left_bytes)
        with pytest.raises(ContimgError, match=r"disk (of .* )?is full"):
            step(workshop, key)
        ballast.unlink()
        # A process may wait for the next step.
        workshop.casa.close()
        assert hidden(settings) == []
        assert (workshop.registry.list_sets(), workshop.products.artefacts(key)) == known
        assert workshop.products.get(key).state is before
        step(workshop, key)
    assert workshop.products.get(key).state is ObservationState.IMAGED
    kinds = {a.kind for a in workshop.products.artefacts(key)}
    assert {ArtefactKind.CALIBRATED_MS, ArtefactKind.IMAGE} <= kinds
    assert verify_products(workshop).problems == ()
