"""Fixtures that every folder of tests may use."""

import fcntl
import gc
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from pydantic import TypeAdapter

from contimg_resources.casa import Casa
from contimg_resources.settings import CasaSettings
from contimg_resources.simulation.night import NightSpec, plan_night, simulate_night
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import SimulationSpec
from contimg_resources.simulation.truth import Truth
from contimg_resources.steps.in_casa import load_engines
from tests import postgres
from tests.costs import Costs

T = TypeVar("T")

# Definitions that are loaded before there are any data have the days of the tests.
os.environ.setdefault("CONTIMG_FIRST_DAY", "2025-01-01")

# Several workers share the cores: a thread that waits for the next loop mustn't keep one busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    # More threads, and more processes of a solve, would only wait for one another.
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

# No test is judged by the clock: a busy machine takes longer.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

#: Files that take long, in the order in which workers take them. The first compiles what many
#: others call. What waits for Dagster, for most of its time, runs beside what computes. What is
#: short and not listed comes last, so that all workers end at about the same time.
LONG_FILES = (
    "calibration/test_fast_flagging.py",
    "e2e/test_demo.py",
    "e2e/test_faults.py",
    "cluster/test_faults.py",
    "calibration/test_solve_engines.py",
    "imaging/test_rfi_image.py",
    "e2e/test_soak.py",
    "e2e/test_drift_scan.py",
    "test_tutorial.py",
    "imaging/test_make_image.py",
    "e2e/test_mishaps.py",
    "calibration/test_solving.py",
    "calibration/test_foreign.py",
    "calibration/test_apply.py",
    "e2e/test_backfills_by_hand.py",
    "cli/test_images.py",
    "cli/test_quick_start.py",
    "correlator/test_convert.py",
    "assets/test_foreign_observations.py",
    "cli/test_servers.py",
    "cli/test_variability_commands.py",
    "cli/test_lightcurves_commands.py",
    "cli/test_calibrate_register.py",
    "calibration/test_apply_engines.py",
    "cli/test_demo_serving.py",
    "steps/test_disk_full.py",
    "registry/test_many_processes.py",
    "registry/test_looking_up.py",
    "imaging/test_engines.py",
    "imaging/test_wsclean.py",
    "cli/test_platform.py",
    "casa/test_plotms.py",
    "simulation/test_imaging_simulated.py",
    "assets/test_reprocessing.py",
    "correlator/test_direct.py",
    "bench/test_events_bench.py",
    "alerts/test_telling.py",
    "assets/test_storage.py",
    "steps/test_recorded_products.py",
    "products/test_products_store.py",
    "casa/test_door.py",
    "steps/test_adding_images.py",
    "images/test_foreign_images.py",
    "calibration/test_flux_transfer.py",
    "simulation/test_measurement_set.py",
    "imaging/test_seams.py",
    "places/test_unkind_places.py",
    "cli/test_simulate.py",
    "e2e/test_dagster_dev.py",
    "bench/test_sky.py",
    "dashboard/test_views.py",
    "variability/test_events.py",
    "steps/test_variability.py",
    "photometry/test_measuring.py",
    "photometry/test_backgrounds.py",
    "cli/test_exit_codes.py",
    "observations/test_reading_foreign.py",
    "observations/test_reading_broken.py",
    "mosaics/test_mosaic.py",
    "assets/test_assets.py",
    "steps/test_mosaicking.py",
)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs(Path(__file__).parent), "costs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files come first; `make test` tells xdist to keep the order."""
    here = Path(__file__).parent
    place = {here / name: n for n, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    """Leave what was loaded for the tests out of garbage collection, which would scan it often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def casa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Casa]:
    """Give the door to CASA with scratch space and logs of this session.

    It is open, as that of a run: one process serves many tests. What a test changes of its
    environment doesn't reach it, and what a step changes in it stays: see `casa_afresh`.
    """
    root: Path = tmp_path_factory.mktemp("casa")
    door = Casa(root / "scratch", root / "logs", CasaSettings(step_timeout_s=600))
    door.open(load_engines)
    yield door
    door.close()


@pytest.fixture
def casa_afresh(tmp_path: Path) -> Casa:
    """Give a door that starts a process for each call, with the environment of then."""
    root = tmp_path.with_name(f"{tmp_path.name}-casa")
    return Casa(root / "scratch", root / "logs", CasaSettings(step_timeout_s=600))


@pytest.fixture(autouse=True)
def _umask_of_its_own() -> Iterator[None]:
    """Whatever a test opens makes what its process writes private; the next one begins anew."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@dataclass(frozen=True)
class TinyNight:
    """A calibrator transit (3C48) and two successive targets, seen by one drifting instrument.

    All tests share these MS, so none may write into them: copy first.
    """

    calibrator: Path
    targets: tuple[Path, Path]

    @property
    def directory(self) -> Path:
        return self.calibrator.parent

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.calibrator, *self.targets)

    @property
    def calibrator_truth(self) -> Truth:
        return Truth.load(self.calibrator)

    @property
    def target_truths(self) -> tuple[Truth, Truth]:
        first, second = self.targets
        return Truth.load(first), Truth.load(second)


TINY_NIGHT = NightSpec(n_targets=2, dead_antennas=("86",))
#: Of the 24 integrations of an observation.
_FEW_INTEGRATIONS = 8


def shortened(spec: SimulationSpec) -> SimulationSpec:
    """Return the middle third of an observation, which CASA works off in a third of the time."""
    short = replace(spec, n_integrations=_FEW_INTEGRATIONS)
    return replace(short, start_mjd=short.start_mjd + spec.mid_mjd - short.mid_mjd)


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory of this run that every worker is given."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


def made_once(directory: Path, kind: type[T], make: Callable[[Path], T]) -> T:
    """Return what `make` returned, to the first worker that asked, of a directory that it filled.

    What is there no test may write into: copy first.

    Parameters
    ----------
    directory : Path
        Doesn't exist before; in `of_all_workers`.
    kind : type
        Of what is made; pydantic can turn it into JSON and back.
    make : callable
        Called with the directory.
    """
    adapter = TypeAdapter(kind)
    told = directory.with_name(f"{directory.name}.json")
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            shutil.rmtree(directory, ignore_errors=True)
            told.write_text(json.dumps(adapter.dump_python(make(directory), mode="json")))
    return adapter.validate_python(json.loads(told.read_text()))


@pytest.fixture(scope="session")
def tiny_night(casa: Casa, of_all_workers: Path) -> TinyNight:
    """Give a simulated night, made once even when several workers run (about 8 s)."""

    def simulate(directory: Path) -> TinyNight:
        night = simulate_night(TINY_NIGHT, directory, casa, done_markers=False)
        calibrator, first, second = (made.ms for _, made in night)
        return TinyNight(calibrator, (first, second))

    return made_once(of_all_workers / "tiny-night", TinyNight, simulate)


@pytest.fixture(scope="session")
def short_night(casa: Casa, of_all_workers: Path) -> TinyNight:
    """Give the same night in short: for tests of what happens to it, not of its images."""

    def simulate(directory: Path) -> TinyNight:
        requests = [
            SimulationRequest(shortened(planned.spec), directory, False)
            for planned in plan_night(TINY_NIGHT)
        ]
        calibrator, first, second = (
            casa.run(simulate_observation, request, label="simulate").ms for request in requests
        )
        return TinyNight(calibrator, (first, second))

    return made_once(of_all_workers / "short-night", TinyNight, simulate)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """Give a Postgres server of this worker."""
    if postgres.programs() is None:
        pytest.skip("needs a Postgres server (Debian: postgresql)")
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def new_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Give addresses of stores that aren't there yet, in each kind of database."""
    if request.param == "sqlite":
        return lambda: str(tmp_path_factory.mktemp("store") / "store.sqlite3")
    server: postgres.Server = request.getfixturevalue("postgres_server")
    return lambda: server.url(server.new_database())


@pytest.fixture
def address(new_address: Callable[[], str]) -> str:
    """Give the address of a store that isn't there yet, in each kind of database."""
    return new_address()


def _refuse_skip(report: Any) -> None:
    """Turn a skip into a failure where everything that a test may need was installed."""
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure and os.environ.get("CONTIMG_REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"CONTIMG_REQUIRE_ALL is set, and this was skipped: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


#: Debian's; where there is none, tests that look through it are skipped.
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

#: On a busy machine the browser itself takes a minute to start, and a page as long to open.
BROWSER_TIMEOUT_MS = 180_000.0


def needs_browser(test: Any) -> Any:
    """Mark a test that looks through Chromium; skipped where there is none."""
    missing = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
    return pytest.mark.browser(missing(test))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests of a worker: playwright can't be started twice in a process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS), timeout=BROWSER_TIMEOUT_MS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Make pages; afterwards nothing may have gone wrong in any of them but what was expected."""
    pages, wrong = [], []

    def make(width: int = 1280, *, expected: str = "", **options: Any) -> Any:
        options = {"color_scheme": "dark", **options}
        page = browser.new_page(viewport={"width": width, "height": 800}, **options)

        def note(text: str) -> None:
            if not (expected and expected in text):
                wrong.append(text)

        page.set_default_timeout(BROWSER_TIMEOUT_MS)
        page.on("console", lambda m: note(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", lambda dialog: note(f"a dialog: {dialog.message}"))
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.close()
    assert wrong == []
