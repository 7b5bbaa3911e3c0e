"""What dies, stops or is cut off in a cluster: every observation is imaged exactly once."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.cluster.conftest import ROOT, Cluster
from tests.cluster.hosts import PASSWORD, wait_for
from tests.postgres import PASSWORD as PASSWORD_OF_DATABASE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def imaged_once_by_its_last_run(cluster: Cluster, key: str, n_runs: int) -> bool:
    """Check that only the last of several runs made an observation's image."""
    begun = cluster.begun(key)
    assert len(begun) == n_runs
    assert cluster.imaged_by(key) == begun[-1:]
    statuses = {run.run_id: run.status for run in cluster.runs(key)}
    assert [statuses.pop(run_id) for run_id in begun] == ["FAILURE"] * (n_runs - 1) + ["SUCCESS"]
    return not statuses


def test_live_observations_go_before_waiting_old_ones(cluster: Cluster) -> None:
    """Two runs occupy the workers, and one for each of them waits at the broker."""
    running = [cluster.launch(held=True, priority=0) for _ in cluster.hosts]
    for key in running:
        cluster.host_of(key)
    # One for each worker, and two that have to wait for the live one.
    old = [cluster.launch(held=False, priority=0) for _ in range(4)]
    live = cluster.launch(held=False, priority=10)

    for key in running:
        cluster.release(key)
    cluster.wait_until_imaged(*running, *old, live)
    begun = sorted((cluster.state / "begun").iterdir(), key=lambda p: p.stat().st_mtime)
    order = [name for name in (p.name[:11] for p in begun) if name in {*old, live}]
    # What had left Dagster's queue before goes first; then both workers may begin at once.
    assert order.index(live) <= len(cluster.hosts) + 1
    assert all(len(cluster.begun(key)) == 1 for key in (*running, *old, live))


@pytest.mark.parametrize("how", ["stopped", "cut off"])
def test_what_a_host_writes_that_comes_back_is_refused(cluster: Cluster, how: str) -> None:
    """Its run goes on to its end, and can't tell that another has done its work."""
    key = cluster.launch(held=True)
    away = cluster.host_of(key)
    (first,) = cluster.begun(key)
    if how == "stopped":
        away.send(signal.SIGSTOP)
    else:
        away.cut_off()
    wait_for(lambda: len(cluster.begun(key)) == 2, "the second run", 60)
    if how == "cut off":
        # Both runs want to write now: one can't reach the store, and waits for it.
        cluster.release(key)
        cluster.wait_until_imaged(key)
        away.connect()
    else:
        away.send(signal.SIGCONT)
        cluster.release(key)
        cluster.wait_until_imaged(key)
    wait_for(lambda: all(first not in sign.runs for sign in cluster.alive()), "its end", 60)
    wait_for(lambda: len(cluster.alive()) == len(cluster.hosts), "the host", 60)
    assert imaged_once_by_its_last_run(cluster, key, 2)


def test_the_broker_dies_and_comes_back_empty(cluster: Cluster) -> None:
    running = [cluster.launch(held=True) for _ in cluster.hosts]
    for key in running:
        cluster.host_of(key)
    cluster.broker.kill()
    waiting = cluster.launch(held=False)
    for key in running[:1]:
        cluster.release(key)
    cluster.wait_until_imaged(running[0])
    cluster.broker.start()
    cluster.release(running[1])
    cluster.wait_until_imaged(*running, waiting)
    assert all(imaged_once_by_its_last_run(cluster, key, 1) for key in running)
    # Its message may be lost with a connection; then another run takes its place.
    assert len(cluster.begun(waiting)) == 1
    assert cluster.imaged_by(waiting) == cluster.begun(waiting)


def test_postgres_crashes_in_the_middle_of_a_run(cluster: Cluster) -> None:
    key = cluster.launch(held=True)
    cluster.host_of(key)
    cluster.database.stop("immediate")
    cluster.database.start()
    cluster.release(key)
    cluster.wait_until_imaged(key)
    assert imaged_once_by_its_last_run(cluster, key, len(cluster.begun(key)))


def test_workers_are_listed_with_what_they_do_until_it_is_cancelled(cluster: Cluster) -> None:
    key = cluster.launch(held=True)
    host = cluster.host_of(key)
    listed = subprocess.run(
        [sys.executable, "-m", "contimg_resources", "workers", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    alive = [one for one in json.loads(listed.stdout) if one["alive"]]
    assert {one["host"] for one in alive} == {h.name for h in cluster.hosts}
    (busy,) = [one for one in alive if one["runs"]]
    assert busy["host"] == host.name
    assert busy["queues"] == ["casa", "imaging", "sky"]
    assert [(r["job"], r["partition"]) for r in busy["runs"]] == [("image_observation", key)]
    # It ends, and is not started again.
    (run,) = cluster.runs(key)
    cluster.platform.graphql.query(
        "mutation End($id: String!) { terminateRun(runId: $id) { __typename } }",
        {"id": run.run_id},
    )
    wait_for(lambda: cluster.runs(key)[0].over, "the end of the run", 60)
    assert [r.status for r in cluster.runs(key)] == ["CANCELED"]
    assert cluster.imaged_by(key) == []
    cluster.release(key)


def test_the_run_of_a_host_that_dies_is_taken_up_once(cluster: Cluster) -> None:
    """Afterwards one host is left, for the test below."""
    key = cluster.launch(held=True)
    dead = cluster.host_of(key)
    dead.kill()
    cluster.release(key)
    cluster.wait_until_imaged(key)
    assert imaged_once_by_its_last_run(cluster, key, 2)


def test_a_worker_of_an_earlier_version_returns_what_it_cannot_do(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The other host was upgraded meanwhile: its contimg has one more migration."""
    (older,) = (host for host in cluster.hosts if host.processes)
    (newer,) = (host for host in cluster.hosts if not host.processes)
    for name in ("contimg_resources", "cluster"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    migrations = tmp_path / "contimg_resources" / "products" / "migrations" / "versions"
    (migrations / "products_9999_later.py").touch()
    with cluster.products.write() as connection:
        connection.execute(sa.text("UPDATE products_schema SET version_num = 'products_9999'"))

    key = cluster.launch(held=False)
    wait_for(lambda: older.processes[0].poll() is not None, "the end of the older worker", 60)
    assert older.processes[0].returncode == 1
    said = older.log.read_text()
    assert "Returns run" in said
    assert "was written by a newer contimg (schema products_9999" in said
    assert cluster.begun(key) == []

    path = f"{tmp_path}:{newer.environment['PYTHONPATH']}"
    newer.start_worker("--concurrency", "1", PYTHONPATH=path)
    cluster.wait_until_imaged(key)
    assert imaged_once_by_its_last_run(cluster, key, 1)


def test_no_password_is_in_logs_tags_or_the_web_interface(cluster: Cluster) -> None:
    """Of the broker and of the database, after everything that happened to both."""
    shown = cluster.ask(
        "{ instance { info runLauncher { name } } runsOrError { ... on Runs { results { "
        "runConfigYaml tags { key value } eventConnection { events { "
        "... on MessageEvent { message } } } } } } }"
    )
    logs = [p for p in cluster.state.parent.rglob("*") if p.is_file() and p.suffix == ".log"]
    assert len(logs) > 4
    said = {str(p): p.read_text(errors="replace") for p in logs} | {"shown": json.dumps(shown)}
    for password in (PASSWORD, PASSWORD_OF_DATABASE, PASSWORD_OF_DATABASE.replace(" ", "%20")):
        assert [name for name, text in said.items() if password in text] == []


def test_every_line_of_a_log_is_json(cluster: Cluster) -> None:
    """Of the control plane and of the workers, with what went wrong above."""
    logs = [*cluster.platform.logs.glob("dagster-*.log"), *cluster.state.parent.glob("worker-*")]
    assert len(logs) == 5
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert all({"timestamp", "level", "logger", "event"} <= set(line) for line in lines)
