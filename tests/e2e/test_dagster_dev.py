"""``dagster dev`` serves what ``contimg up`` serves, as the documents say."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.cli.platform import dagster_home, free_port
from contimg_resources.core.errors import PlatformError

pytestmark = pytest.mark.slow

_SENSORS = """
{ repositoriesOrError { ... on RepositoryConnection {
    nodes { sensors { name sensorState { status } } } } } }
"""


def test_dagster_dev_serves_the_platform_with_its_sensors_on(tmp_path: Path) -> None:
    state, port = tmp_path / "state", free_port()
    state.mkdir()
    serving = subprocess.Popen(
        [Path(sys.executable).with_name("dagster"), "dev", "-p", str(port)],
        cwd=dagster_home(),
        env={**os.environ, "DAGSTER_HOME": str(dagster_home()), "CONTIMG_STATE": str(state)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        (repository,) = _answer(GraphQL(f"http://127.0.0.1:{port}"), serving)
        assert {s["name"]: s["sensorState"]["status"] for s in repository["sensors"]} == {
            "observation_sensor": "RUNNING",
            "waiting_sensor": "RUNNING",
            "image_sensor": "RUNNING",
            "mosaic_sensor": "RUNNING",
            "staleness_sensor": "RUNNING",
            "alert_sensor": "RUNNING",
            "run_failures": "RUNNING",
            "run_cancellations": "RUNNING",
        }
        assert (state / "schedules").is_dir(), "its storage is where the state is"
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        try:
            serving.wait(300)
        finally:
            if serving.poll() is None:
                os.killpg(serving.pid, signal.SIGKILL)


def _answer(graphql: GraphQL, serving: "subprocess.Popen[bytes]") -> list[dict[str, list[Any]]]:
    deadline = time.monotonic() + 120
    while True:
        assert serving.poll() is None, "dagster dev ended"
        try:
            nodes: list[dict[str, list[Any]]]
            nodes = graphql.query(_SENSORS)["repositoriesOrError"]["nodes"]
            return nodes
        except PlatformError:
            assert time.monotonic() < deadline, "dagster dev never answered"
            time.sleep(0.5)
