"""The step that updates the maps of the sky."""

import fcntl
from pathlib import Path

from contimg_resources.settings import Settings
from contimg_resources.steps.mapping_sky import map_sky
from contimg_resources.steps.workshop import Workshop


def test_an_update_beside_another_one_does_nothing_and_says_so(tmp_path: Path) -> None:
    workshop = Workshop.from_settings(Settings(state=tmp_path))
    assert map_sky(workshop).skipped == ""
    with (workshop.settings.export_dir / "sky" / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert map_sky(workshop).skipped == "another update is writing"
    assert map_sky(workshop).skipped == ""
