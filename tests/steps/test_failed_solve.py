"""What a solve that can't begin says, and what it leaves behind."""

from pathlib import Path
from typing import Any

import pytest

from contimg_resources.core.errors import CalibrationFailed
from contimg_resources.settings import Settings
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.solving import solve_observation
from contimg_resources.steps.workshop import Workshop


def test_an_absent_refant_is_told_beside_like_ones_and_leaves_a_failed_set_without_directory(
    short_night: Any, tmp_path: Path
) -> None:
    workshop = Workshop.from_settings(Settings(state=tmp_path))
    observation = arrive(workshop, short_night.calibrator).observation
    names = observation.layout.antenna_names
    with pytest.raises(CalibrationFailed) as failure:
        solve_observation(workshop, observation.key, refant="1040")
    message = failure.value.message
    assert f"none of the {len(names)} antennas in {short_night.calibrator.name}" in message
    like = message.partition("of like names ")[2].partition(";")[0].split(", ")
    assert "104" in like
    assert set(like) <= set(names)
    (failed,) = workshop.registry.list_sets()
    assert (failed.status, failed.tables) == ("failed", ())
    assert list(workshop.settings.layout.caltables.iterdir()) == []
