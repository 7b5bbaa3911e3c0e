"""A cluster of this machine: Postgres, Redis, control plane and two hosts of workers."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.platform import Platform, free_port
from contimg_resources.cli.webserver import DagsterRun
from contimg_resources.core.errors import PlatformError
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from tests import postgres
from tests.cluster.hosts import NETWORK, PASSWORD, Host, Redis, hosts, wait_for
from tests.products.conftest import make_observation

ROOT = Path(__file__).parents[2]

#: One step that lasts while a file of the name of its key is there.
DEFINITIONS = """
import time
import dagster as dg
from contimg_assets.failures import told_to_dagster
from contimg_assets.partitions import observation_mjd
from contimg_resources.core.errors import PlatformError
from contimg_resources.products.model import ObservationState
from contimg_resources.steps.resource import RESOURCES, uses

@dg.asset(partitions_def=observation_mjd)
@uses("settings", "products")
def image_5min(context, workshop):
    key, held = context.partition_key, workshop.settings.state / "held"
    (workshop.settings.state / "begun" / f"{key}-{context.run.run_id}").touch()
    while (held / key).exists():
        time.sleep(0.1)
    with told_to_dagster():
        workshop.products.set_state(
            key, ObservationState.IMAGED, step="image_5min", run_id=context.run.run_id
        )

image_job = dg.define_asset_job(
    "image_observation", selection=[image_5min], executor_def=dg.in_process_executor
)
defs = dg.Definitions(assets=[image_5min], jobs=[image_job], resources=RESOURCES)
"""

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_ADD = """
mutation Add($key: String!, $selector: RepositorySelector!) {
  addDynamicPartition(
    partitionsDefName: "observation_mjd", partitionKey: $key, repositorySelector: $selector
  ) { __typename ... on PythonError { message } }
}
"""
_REPOSITORY = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "made_up_definitions",
}


@dataclass
class Cluster:
    """A control plane with its servers, and hosts for workers."""

    platform: Platform
    database: postgres.Server
    broker: Redis
    hosts: tuple[Host, ...]
    products: ProductsStore
    n_observations: int = field(init=False, default=0)

    @property
    def state(self) -> Path:
        return self.platform.state

    def start_workers(self, concurrency: int = 1) -> None:
        """Start a worker on each host that has none, and wait until they take runs."""
        for host in self.hosts:
            if not host.processes:
                host.start_worker("--concurrency", str(concurrency))
        wait_for(lambda: len(self.alive()) == len(self.hosts), "workers", 200)

    def alive(self) -> list[Any]:
        """Return the signs of life of the last seconds."""
        from contimg_assets.signs_of_life import all_signs, connect

        signs, now_s = all_signs(connect())
        return [sign for sign in signs if now_s - sign.at_s < 4]

    def launch(self, *, held: bool, priority: int | None = None) -> str:
        """Start the run of a new observation and return its key."""
        self.n_observations += 1
        key = f"{61000 + self.n_observations}.00347"
        observation = make_observation(self.state / f"{key}.ms", mid_mjd=float(key))
        self.products.arrive(observation)
        if held:
            (self.state / "held" / key).touch()
        self._ask(_ADD, {"key": key, "selector": _REPOSITORY})
        tags = [{"key": "dagster/partition", "value": key}]
        if priority is not None:
            tags.append({"key": "dagster/priority", "value": str(priority)})
        params = {
            "selector": {**_REPOSITORY, "pipelineName": "image_observation"},
            "executionMetadata": {"tags": tags},
            "runConfigData": {},
            "mode": "default",
        }
        self._ask(_LAUNCH, {"params": params})
        return key

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the webserver, whose connections a restart of Postgres breaks once each."""
        for _ in range(9):
            with suppress(PlatformError):
                return self.platform.graphql.query(query, variables)
            time.sleep(0.5)
        return self.platform.graphql.query(query, variables)

    def _ask(self, query: str, variables: dict[str, Any]) -> None:
        (answer,) = self.ask(query, variables).values()
        assert answer["__typename"].endswith("Success"), answer

    def release(self, key: str) -> None:
        """Let the step of an observation go on."""
        (self.state / "held" / key).unlink(missing_ok=True)

    def begun(self, key: str) -> list[str]:
        """Return the runs that began the step of an observation, in order."""
        files = sorted((self.state / "begun").glob(f"{key}-*"), key=lambda p: p.stat().st_mtime)
        return [path.name.removeprefix(f"{key}-") for path in files]

    def host_of(self, key: str) -> Host:
        """Wait until the newest run of an observation is in its step; return its host."""
        wait_for(lambda: bool(self.begun(key)), f"the step of {key}", 60)
        run_id = self.begun(key)[-1]
        wait_for(lambda: any(run_id in s.runs for s in self.alive()), f"the run of {key}", 30)
        (sign,) = [s for s in self.alive() if run_id in s.runs]
        return next(
            h
            for h in self.hosts
            if sign.host == h.name and (h.in_namespace or sign.pid in h.pids())
        )

    def imaged_by(self, key: str) -> list[str]:
        """Return the runs that recorded the image of an observation."""
        history = self.products.history(key)
        return [event.run_id for event in history if event.state is ObservationState.IMAGED]

    def wait_until_imaged(self, *keys: str, timeout_s: float = 90) -> None:
        """Wait until each observation is imaged and its runs are over."""
        wait_for(
            lambda: (
                all(self.imaged_by(key) for key in keys)
                and all(run.over for key in keys for run in self.runs(key))
            ),
            f"{', '.join(keys)}: {[(k, self.begun(k), self.imaged_by(k)) for k in keys]}",
            timeout_s,
            poll_s=0.5,
        )

    def runs(self, key: str) -> list[DagsterRun]:
        """Return Dagster's runs of an observation, newest first."""
        while True:
            with suppress(PlatformError):
                return [run for run in self.platform.runs() if run.partition == key]
            time.sleep(0.5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster with a worker on each of two hosts, one run at once each."""
    if postgres.programs() is None or shutil.which("redis-server") is None:
        pytest.skip("needs Postgres and Redis (Debian: postgresql, redis-server)")
    root = tmp_path_factory.mktemp("cluster")
    state, home = root / "state", root / "home"
    for directory in (state / "held", state / "begun", home / "cluster"):
        directory.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", home)
    # Everything a test waits for comes sooner.
    told = (ROOT / "cluster" / "dagster.yaml").read_text()
    told = told.replace("poll_interval_seconds: 10", "poll_interval_seconds: 1")
    told = told.replace("retry_delay: 15", "retry_delay: 1")
    told = told.replace("dequeue_interval_seconds: 2", "dequeue_interval_seconds: 1")
    (home / "cluster" / "dagster.yaml").write_text(told)
    (home / "made_up_definitions.py").write_text(DEFINITIONS)
    (home / "workspace.yaml").write_text(
        "load_from:\n  - python_module: {module_name: made_up_definitions}\n"
    )
    broker = Redis(free_port(), root / "redis.log")
    patch = pytest.MonkeyPatch()
    try:
        with postgres.running(NETWORK) as server:
            url = server.tcp_url(server.new_database())
            environment = {
                "CONTIMG_STATE": str(state),
                "CONTIMG_REGISTRY_URL": url,
                "CONTIMG_PRODUCTS_URL": url,
                "CONTIMG_CLUSTER__DAGSTER_URL": server.tcp_url(server.new_database()),
                "CONTIMG_CLUSTER__BROKER_URL": f"redis://:{PASSWORD}@127.0.0.1:{broker.port}/0",
                "CONTIMG_CLUSTER__LOST_AFTER_S": "6",
                "CONTIMG_LOG_FORMAT": "json",
                "CONTIMG_IMAGING__SUB_BANDS": "0",
                "PYTHONPATH": f"{ROOT}:{home}",
            }
            for name, value in environment.items():
                patch.setenv(name, value)
            with hosts(2, environment, root) as two:
                products = ProductsStore(url)
                CalibrationRegistry(url).close()
                platform = Platform(state, home=home, environment=environment, cluster=True)
                with platform:
                    made = Cluster(platform, server, broker, two, products)
                    made.start_workers()
                    platform.wait_until_ready(300.0)
                    yield made
                products.close()
    finally:
        patch.undo()
        broker.kill()
