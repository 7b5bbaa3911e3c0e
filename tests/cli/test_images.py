"""A directory of observations becomes images: once, and as they arrive until it is interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import no_progress
from contimg_resources.cli.images import _work_off
from contimg_resources.core.errors import CasaCrashed
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.workshop import Workshop
from tests.cli.live_processes import processes_of

pytestmark = pytest.mark.slow

COARSE = {
    "CONTIMG_ARRIVAL__SETTLE_AGE_S": "0",
    "CONTIMG_CALIBRATION__PLOTMS": "false",
    "CONTIMG_CALIBRATION__MODEL_FROM_IMAGE": "false",
    # The whole beam with the short baselines only, cleaned no deeper than the sidelobes of the
    # brightest: what is tested here is who gets an image, not how good it is.
    "CONTIMG_IMAGING__CELL_ARCSEC": "20",
    "CONTIMG_IMAGING__IMAGE_SIZE": "512",
    "CONTIMG_IMAGING__SUB_BANDS": "0",
    "CONTIMG_IMAGING__UVRANGE": "<600m",
    "CONTIMG_IMAGING__THRESHOLD_SIGMA": "30",
    "CONTIMG_IMAGING__MAX_RMS_RATIO": "20",
}


class Site:
    """A registry, and for each state directory an MS directory and a products store in it."""

    def __init__(self, root: Path, registry: Path) -> None:
        self.state = root / "state"
        self.incoming = root / "ms"
        self.incoming.mkdir(parents=True)
        self.registry = registry
        self.settings = Settings(state=self.state)
        self.products = ProductsStore(self.settings.products_address)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "contimg_resources", "images", *arguments),
                *("--ms-dir", self.incoming, "--registry-db", self.registry),
            ],
            env={**os.environ, **COARSE, "CONTIMG_STATE": str(self.state), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def deliver(self, ms: Path) -> None:
        aside = self.incoming / f".{ms.name}.copying"
        shutil.copytree(ms, aside)
        aside.rename(self.incoming / ms.name)

    def unfinished(self) -> list[Path]:
        """What lies in the state directory under a hidden name, or in scratch."""
        hidden = [p for p in self.state.rglob(".*") if p.is_dir()]
        return [*hidden, *self.settings.layout.scratch.iterdir()]


def read_until(watching: "subprocess.Popen[str]", words: str) -> str:
    """Read what a command says on stderr up to the line with these words."""
    assert watching.stderr is not None
    said = ""
    while words not in said:
        line = watching.stderr.readline()
        assert line, f"ended before it said {words!r}:\n{said}"
        said += line
    return said


def interrupt(watching: "subprocess.Popen[str]", number: int) -> str:
    watching.send_signal(number)
    out, rest = watching.communicate(timeout=120)
    assert out == ""
    assert "Traceback" not in rest
    return rest


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry") / "registry.sqlite3"


@pytest.fixture(scope="module")
def scanned(
    short_night: Any, registry: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Site, int, str, str]:
    """Scan a directory with the calibrator observation; registry and products are new.

    The quick start's test scans one with a target.
    """
    site = Site(tmp_path_factory.mktemp("scan"), registry)
    site.deliver(short_night.calibrator)
    scanning = site.start("scan", "--solve", "--json")
    out, err = scanning.communicate(timeout=500)
    return site, scanning.returncode, out, err


@pytest.fixture
def site(tmp_path: Path, scanned: Any, registry: Path) -> Iterator[Site]:
    """An empty MS directory and new products, beside the registry that the scan has filled."""
    site = Site(tmp_path, registry)
    yield site
    assert processes_of(site.state) == []


def test_a_scan_solves_a_calibrator_and_images_it_with_its_own_tables(
    scanned: tuple[Site, int, str, str], short_night: Any, registry: Path
) -> None:
    site, code, out, err = scanned
    assert code == 0, err
    told = json.loads(out)
    key = f"{short_night.calibrator_truth.mid_mjd:.5f}"
    assert [(o["key"], o["state"]) for o in told["observations"]] == [(key, "imaged")]
    assert told["failed"] == {}

    (solved,) = CalibrationRegistry(str(registry)).list_sets()
    assert (solved.name, solved.version, solved.status) == (f"3C48_{key}", 1, "active")
    assert solved.mid_mjd == pytest.approx(short_night.calibrator_truth.mid_mjd, abs=1e-6)
    assert len(solved.tables) > 3
    assert all(t.path.is_dir() for t in solved.tables)

    (truth,) = [s for s in short_night.calibrator_truth.sources if s.name == "3C48"]
    assert told["images"][key]["peak_jy"] == pytest.approx(truth.apparent_flux_jy, rel=0.1)
    assert (site.settings.layout.image_dir(key) / f"{key}.pbcor.fits").is_file()
    assert site.unfinished() == []
    assert processes_of(site.state) == []
    # On stderr the steps in their order, and no warning of a library.
    steps = [line.split(":")[1].strip() for line in err.splitlines() if line.startswith("images")]
    assert list(dict.fromkeys(steps))[1:] == [
        f"{key} caltable_set",
        f"{key} calibrated_ms",
        f"{key} image_5min",
    ]
    assert "Warning" not in err


def test_a_watch_images_what_arrives_and_after_an_interrupt_what_was_left(
    site: Site, short_night: Any
) -> None:
    key = f"{short_night.target_truths[0].mid_mjd:.5f}"
    # In memory a step is over before anybody could interrupt it.
    watching = site.start("watch", "--interval-s", "0.2", CONTIMG_CALIBRATION__ENGINE="casa")
    said = read_until(watching, "waiting for observations")
    assert "0 MS" in said
    site.deliver(short_night.targets[0])
    said = read_until(watching, f"{key} calibrated_ms")
    assert f"{key} arrived" in said
    calibrated = site.settings.layout.calibrated_ms(key)
    deadline = time.monotonic() + 60
    while not list(calibrated.parent.glob(f".{calibrated.name}.*")):
        assert time.monotonic() < deadline, "no calibrated MS was begun"
        time.sleep(0.1)

    rest = interrupt(watching, signal.SIGTERM)
    assert watching.returncode == 143
    assert f"{key} calibrated_ms was interrupted" in rest
    assert processes_of(site.state) == []
    assert site.unfinished() == []
    assert not calibrated.exists()
    assert site.products.get(key).state == "arrived"

    watching = site.start("watch", "--interval-s", "0.2")
    read_until(watching, f"{key} imaged: rms")
    read_until(watching, "waiting for observations")
    rest = interrupt(watching, signal.SIGINT)
    assert watching.returncode == 130
    assert rest.splitlines()[-1] == "images watch: stopped"
    assert site.unfinished() == []
    assert site.products.get(key).state == "imaged"
    image = site.products.image(key)
    assert image is not None
    assert (image.n_sources or 0) > 5


def test_a_scan_says_why_an_ms_has_to_wait(site: Site) -> None:
    (site.incoming / "2025-10-06T08:28:42.ms").mkdir()
    scanning = site.start("scan")
    _, err = scanning.communicate(timeout=300)
    assert scanning.returncode == 0
    assert "2025-10-06T08:28:42.ms is left for the next scan: it holds no files yet" in err


def test_a_solve_that_crashed_is_not_begun_again_at_every_look_of_a_watch(
    site: Site, short_night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop.from_settings(site.settings)
    key = arrive(workshop, short_night.calibrator).observation.key
    begun: list[str] = []

    def crash(_: Workshop, of: str, **__: Any) -> None:
        begun.append(of)
        raise CasaCrashed("CASA died of SIGSEGV")

    monkeypatch.setattr("contimg_resources.steps.solving.solve_observation", crash)
    unsolved: set[str] = set()
    looks = [_work_off(workshop, True, no_progress, unsolved) for _ in range(2)]
    assert begun == [key]
    assert looks == [{key: "CASA died of SIGSEGV"}, {}]
    assert workshop.products.get(key).state == "waiting"
