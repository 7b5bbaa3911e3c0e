"""Killed in the middle: of every step, of the daemon, of everything at once.

One observation after the other goes through a platform that somebody kills parts of. Each comes out
imaged, once, with nothing lost, nothing doubled and nothing left running.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_resources.cli.platform import free_port
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.model import SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from tests.cli.live_processes import processes_of
from tests.conftest import TinyNight
from tests.e2e.at_work import inside, parent, pids_of
from tests.e2e.conftest import ENVIRONMENT, Night
from tests.processes import wait_until_gone
from tests.up import Up, kill, wait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

FAULTY = {
    **ENVIRONMENT,
    # In memory a step is over before anybody could kill it.
    "CONTIMG_CALIBRATION__ENGINE": "casa",
    "CONTIMG_IMAGING__ENGINE": "casa",
    "CONTIMG_IMAGING__CELL_ARCSEC": "12",
    "CONTIMG_IMAGING__IMAGE_SIZE": "360",
    "CONTIMG_IMAGING__MAX_RMS_RATIO": "20",
}


@pytest.fixture(scope="module")
def faults(
    short_night: TinyNight, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Night, Up]]:
    state = tmp_path_factory.mktemp("faults") / "state"
    settings = Settings(state=state)
    settings.incoming_dir.mkdir(parents=True)
    up = Up(state, free_port(), FAULTY)
    try:
        up.platform.wait_until_ready()
        yield (
            Night(
                up.platform,
                ProductsStore(settings.products_address),
                settings.incoming_dir,
                calibrator=f"{short_night.calibrator_truth.mid_mjd:.5f}",
                late=f"{short_night.target_truths[1].mid_mjd:.5f}",
            ),
            up,
        )
    finally:
        up.stop()


def test_a_run_worker_that_is_killed_in_any_step_is_replaced(
    faults: tuple[Night, Up], short_night: TinyNight
) -> None:
    night, up = faults
    key = night.calibrator
    night.deliver(short_night.calibrator)
    for step, task in (("solve", "gaincal"), ("calibrate", "phaseshift"), ("image", "tclean")):
        child = inside(night, f"{key}-{step}", task)
        worker = parent(parent(child))
        kill(worker, signal.SIGKILL)
        assert wait_until_gone([child]) == [], "CASA outlives its run"
    # It is started again within the run.
    kill(inside(night, f"{key}-image", "tclean"), signal.SIGSEGV)
    night.wait_for("the image after all", lambda: _imaged(night, key), 900)
    runs = night.platform.runs()
    statuses = [(r.job, r.status) for r in reversed(runs) if r.partition == key]
    assert statuses == [
        ("solve_calibration", "FAILURE"),
        ("solve_calibration", "SUCCESS"),
        ("image_observation", "FAILURE"),
        ("image_observation", "FAILURE"),
        ("image_observation", "SUCCESS"),
    ]
    registry = CalibrationRegistry(Settings(state=up.state).registry_address)
    (whole,) = registry.list_sets()
    assert (whole.status, len(whole.tables)) == (SetStatus.ACTIVE, len(CaltableType) - 1)
    assert registry.verify() == []


def test_after_a_power_cut_a_copy_goes_on_elsewhere_also_when_its_daemon_dies(
    faults: tuple[Night, Up], short_night: TinyNight, tmp_path_factory: pytest.TempPathFactory
) -> None:
    night, up = faults
    key = night.late
    night.deliver(short_night.targets[1])
    inside(night, f"{key}-calibrate", "phaseshift")
    up.cut_power()
    copy = tmp_path_factory.mktemp("else where") / "state"
    shutil.copytree(up.state, copy, symlinks=True)
    original = up.state.rename(up.state.with_name("original"))
    night.seen["original"] = original, tree_of(original)
    up.move(copy)
    settings = Settings(state=copy)
    night.platform, night.incoming = up.platform, settings.incoming_dir
    night.store = ProductsStore(settings.products_address)
    up.again()
    inside(night, f"{key}-image", "tclean")
    (daemon,) = pids_of(up.state, "dagster._daemon")
    kill(daemon, signal.SIGKILL)
    wait(lambda: pids_of(up.state, "dagster._daemon") not in ([], [daemon]), 120)
    wait(lambda: "dagster-daemon ended" in up.log.read_text(), 120)
    night.wait_for("the image after all", lambda: _imaged(night, key), 900)
    runs = [r for r in night.platform.runs() if r.partition == key]
    assert [r.status for r in runs].count("SUCCESS") == 1


def test_nothing_is_lost_nothing_doubled_and_nothing_left(faults: tuple[Night, Up]) -> None:
    night, up = faults
    assert {o.key for o in night.store.list_observations()} == night.keys
    assert set(night.materializations("incoming_ms")) == night.keys
    assert {o.state for o in night.store.list_observations()} == {ObservationState.IMAGED}
    for key in night.keys:
        made = [(a.kind, a.version) for a in night.store.artefacts(key)]
        assert len(set(made)) == len(made)
        assert key in night.materializations("image_5min")
        # Incoming observations are as they came.
        record = night.store.get(key)
        assert record.path.parent == night.incoming
        assert record.signature == content_signature(record.path).digest
    assert [p.name for p in night.incoming.iterdir() if not p.name.endswith(".ms")] == []
    assert verify_products(Workshop.from_settings(Settings(state=up.state))).problems == ()
    up.stop()
    assert processes_of(up.state) == []
    layout = Settings(state=up.state).layout
    # What killed steps left is found, and goes once it is old.
    left = [p for root in (layout.calibrated, layout.images) for p in root.glob("*/.*")]
    for path in [*left, *layout.scratch.iterdir()]:
        os.utime(path, (0, 0))
    done = subprocess.run(
        [sys.executable, "-m", "contimg_resources", "housekeeping"],
        env={
            **os.environ,
            **FAULTY,
            "CONTIMG_STATE": str(up.state),
            "CONTIMG_RETENTION__FREE_GB": "0",
        },
        check=True,
        capture_output=True,
        text=True,
    )
    assert "unfinished for more than a day" in done.stdout or not left
    assert [p for root in (layout.calibrated, layout.images) for p in root.glob("*/.*")] == []
    assert list(layout.scratch.iterdir()) == []


def test_what_a_copy_of_the_state_did_left_the_original_alone(faults: tuple[Night, Up]) -> None:
    night, up = faults
    original, as_it_was = night.seen["original"]
    assert tree_of(original) == as_it_was
    assert not up.state.is_relative_to(original.parent)
    workshop = Workshop.from_settings(Settings(state=up.state))
    assert workshop.registry.verify() == []
    paths = [a.path for key in night.keys for a in workshop.products.artefacts(key)]
    paths += [t.path for one in workshop.registry.list_sets() for t in one.tables]
    assert len(paths) > 10
    assert all(path.is_relative_to(up.state) for path in paths)
    image = next(p for p in paths if p.name == f"{night.late}.pbcor.fits")
    with image.open("ab") as stream:
        stream.write(b"spoiled")
    (problem,) = verify_products(workshop).problems
    assert problem.path == image, "it looks at the copy"


def tree_of(root: Path) -> dict[Path, tuple[int, int]]:
    """Return size and time of change of everything below a directory."""
    return {p: (p.lstat().st_size, p.lstat().st_mtime_ns) for p in root.rglob("*")}


def _imaged(night: Night, key: str) -> bool:
    runs = [r for r in night.platform.runs() if r.partition == key]
    return night.store.get(key).state is ObservationState.IMAGED and all(r.over for r in runs)
