"""Observations through the real daemon and webserver, and a browser to look at them."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.platform import Platform
from contimg_resources.cli.webserver import DagsterRun
from contimg_resources.imaging.preview import svg_of
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.steps.workshop import Workshop
from tests.conftest import BROWSER_TIMEOUT_MS

ENVIRONMENT = {
    # Looks cost: an idle platform that looks every second takes a fifth of a core.
    "CONTIMG_SENSORS__INTERVAL_S": "6",
    # Nobody looks at the documents.
    "CONTIMG_EXPORT__INTERVAL_MIN": "59",
    "CONTIMG_ARRIVAL__SETTLE_AGE_S": "0",
    "CONTIMG_CALIBRATION__PLOTMS": "false",
    "CONTIMG_CALIBRATION__MODEL_FROM_IMAGE": "false",
    # A coarse image: a minute an image less.
    "CONTIMG_IMAGING__CELL_ARCSEC": "12",
    "CONTIMG_IMAGING__IMAGE_SIZE": "960",
    # Made in tests/steps and in the demo.
    "CONTIMG_IMAGING__SUB_BANDS": "0",
    # Made in tests/mosaics and in the demo.
    "CONTIMG_SKY__MADE": "false",
}

_MATERIALIZATIONS = """
query Materializations($path: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) {
    ... on AssetNode {
      assetMaterializations(limit: 100) {
        partition
        runId
        metadataEntries {
          label
          ... on FloatMetadataEntry { floatValue }
          ... on IntMetadataEntry { intValue }
          ... on BoolMetadataEntry { boolValue }
          ... on TextMetadataEntry { text }
          ... on MarkdownMetadataEntry { mdStr }
          ... on PathMetadataEntry { path }
          ... on TableMetadataEntry { table { records } }
        }
      }
    }
  }
}
"""

_CHECKS = """
query Checks($path: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) {
    ... on AssetNode {
      assetChecksOrError {
        ... on AssetChecks {
          checks {
            name
            blocking
            executionForLatestMaterialization {
              status
              evaluation { success severity description partition }
            }
          }
        }
      }
    }
  }
}
"""

_EVALUATIONS = """
query Evaluations($asset: AssetKeyInput!, $check: String!) {
  assetCheckExecutions(assetKey: $asset, checkName: $check, limit: 100) {
    evaluation { success severity description partition }
  }
}
"""

_LAUNCH = """
mutation Launch($job: String!, $tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "contimg", repositoryName: "__repository__", jobName: $job
    }
    executionMetadata: {tags: $tags}
  }) {
    __typename
    ... on PythonError { message }
  }
}
"""


_SENSOR = """
query Sensor($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) { ... on Sensor { id } }
}
"""

_STOP_SENSOR = """
mutation Stop($id: String!) {
  stopSensor(id: $id) {
    __typename
    ... on PythonError { message }
  }
}
"""

_TERMINATE = """
mutation Terminate($run: String!) {
  terminateRun(runId: $run, terminatePolicy: SAFE_TERMINATE) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}
"""


@dataclass
class Night:
    """A platform at work, and the observations that were given to it.

    Parameters
    ----------
    platform : Platform
        Daemon and webserver.
    store : ProductsStore
        What the platform says became of the observations.
    incoming : Path
        Where MS arrive.
    calibrator, early, late : str
        Keys of the calibrator observation and of the targets before and after it.
    seen : dict
        What was seen while the night went by.
    """

    platform: Platform
    store: ProductsStore
    incoming: Path
    calibrator: str = ""
    early: str = ""
    late: str = ""
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        """The keys of all observations."""
        return {self.calibrator, self.early, self.late} - {""}

    def deliver(self, ms: Path) -> None:
        """Put an MS into the incoming directory as a writer should: copied aside, then renamed."""
        aside = self.incoming / f".{ms.name}.copying"
        shutil.copytree(ms, aside)
        aside.rename(self.incoming / ms.name)

    def materializations(self, asset: str) -> dict[str, dict[str, Any]]:
        """Return the metadata of each partition's newest materialization."""
        answer = self.platform.graphql.query(_MATERIALIZATIONS, {"path": [asset]})
        events = answer["assetNodeOrError"]["assetMaterializations"]
        return {
            event["partition"]: {
                entry["label"]: next(v for k, v in entry.items() if k != "label")
                for entry in event["metadataEntries"]
                if len(entry) > 1
            }
            for event in reversed(events)
        }

    def checks(self, asset: str) -> dict[str, dict[str, Any]]:
        """Return each check's newest evaluation."""
        answer = self.platform.graphql.query(_CHECKS, {"path": [asset]})
        checks = answer["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {c["name"]: c["executionForLatestMaterialization"] or {} for c in checks}

    def evaluations(self, asset: str, check: str, partition: str) -> list[dict[str, Any]]:
        """Return how a check ended for one partition, newest first."""
        variables = {"asset": {"path": [asset]}, "check": check}
        found = self.platform.graphql.query(_EVALUATIONS, variables)["assetCheckExecutions"]
        said = [execution["evaluation"] for execution in found if execution["evaluation"]]
        return [evaluation for evaluation in said if evaluation["partition"] == partition]

    def launch(self, job: str, partition: str) -> None:
        """Start a job for one partition, as the Materialize button does."""
        tags = [{"key": "dagster/partition", "value": partition}]
        answer = self.platform.graphql.query(_LAUNCH, {"job": job, "tags": tags})["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer

    def terminate(self, run_id: str) -> None:
        """End a run, as the Terminate button does."""
        answer = self.platform.graphql.query(_TERMINATE, {"run": run_id})["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def stop_sensor(self, name: str) -> None:
        """Turn a sensor off, as its switch does."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "contimg",
            "sensorName": name,
        }
        found = self.platform.graphql.query(_SENSOR, {"selector": selector})["sensorOrError"]
        answer = self.platform.graphql.query(_STOP_SENSOR, {"id": found["id"]})["stopSensor"]
        assert answer["__typename"] == "StopSensorMutationResult", answer

    def runs(self, job: str) -> list[DagsterRun]:
        """Return a job's runs, oldest first."""
        return [run for run in reversed(self.platform.runs()) if run.job == job]

    def of_observations(self) -> list[DagsterRun]:
        """Runs but those that the clock starts every few minutes."""
        return [run for run in self.platform.runs() if run.job != "export_dashboard"]

    def wait_for(
        self, what: str, condition: Callable[[], bool], timeout_s: float, poll_s: float = 2.0
    ) -> None:
        """Wait until a condition holds; fail with the tale of the night when it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.platform.check_alive()
            if time.monotonic() > deadline:
                pytest.fail(f"after {timeout_s:.0f} s still waiting for {what}\n{self.tale()}")
            time.sleep(poll_s)

    def tale(self) -> str:
        """Say what became of every observation, and how the runs went."""
        observations = [self.store.explain(o.key) for o in self.store.list_observations()]
        return "\n".join([*observations, *map(str, self.platform.runs())])


@dataclass(frozen=True)
class Played:
    """The state of a demo that ended, and what it told."""

    state: Path
    told: dict[str, Any]


def play(state: Path) -> Played:
    """Run the demo."""
    command = [sys.executable, "-m", "contimg_resources", "demo", "--state", str(state), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return Played(state, json.loads(done.stdout))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("demo") / "state")


@pytest.fixture(scope="module")
def night(played: Played) -> Iterator[Night]:
    """Serve the demo's state once more.

    Its platform ends with its tests: until then its sensors look for work every few seconds.
    """
    settings = Settings(state=played.state)
    early, calibrator, late = (row["record"]["key"] for row in played.told["night"])
    environment = {
        **ENVIRONMENT,
        "CONTIMG_CATALOGUE__REFERENCE": "simulated",
        # Two pixels across the beam.
        "CONTIMG_IMAGING__CELL_ARCSEC": "8",
    }
    with Platform(played.state, environment=environment) as platform:
        platform.wait_until_ready()
        store = ProductsStore(settings.products_address)
        night = Night(platform, store, settings.incoming_uvh5_dir, calibrator, early, late)
        # It would make the mosaics anew with each image.
        night.stop_sensor("mosaic_sensor")
        night.launch("log_day", "2025-10-06")
        night.wait_for(
            "the log",
            lambda: (
                bool(night.materializations("observation_log"))
                and all(r.over for r in night.platform.runs())
            ),
            300,
        )
        yield night


@pytest.fixture(scope="module")
def workshop(played: Played) -> Workshop:
    return Workshop.from_settings(Settings(state=played.state))


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[Night, str], Any]]:
    """Open pages of a platform; afterwards nothing may have gone wrong in any of them."""
    page = browser.new_page(viewport={"width": 1840, "height": 900})
    page.set_default_timeout(BROWSER_TIMEOUT_MS)
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # In place of the demo's dashboard, which has ended.
    page.route(
        re.compile(r"/api/observations/[0-9.]+/image\.svg\?width=500$"),
        lambda route: route.fulfill(content_type="image/svg+xml", body=svg_of(b"", 500, 500)),
    )

    def go(night: Night, path: str) -> Any:
        page.goto(f"{night.platform.address}{path}")
        return page

    yield go
    page.close()
    assert wrong == []
