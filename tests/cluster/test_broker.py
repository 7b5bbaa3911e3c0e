"""The broker: TLS with the right authority alone, and signs of life of any clock and version."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contimg_resources.cli.platform import free_port
from contimg_resources.core.errors import PlatformError
from tests.cluster.hosts import PASSWORD, Redis
from tests.postgres import certificate

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Give the address of a server that only speaks TLS, and its directory of certificates."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis (Debian: redis-server)")
    root = tmp_path_factory.mktemp("tls")
    certificate(root / "own")
    certificate(root / "other")
    port = free_port()
    server = Redis(port, root / "redis.log", certificates=root / "own")
    yield f"rediss://:{PASSWORD}@127.0.0.1:{port}/0", root
    server.kill()


def use(patch: pytest.MonkeyPatch, url: str, authority: Path) -> None:
    patch.setenv(
        "CONTIMG_CLUSTER__BROKER_URL", f"{url}?ssl_cert_reqs=required&ssl_ca_certs={authority}"
    )


def test_signs_and_runs_go_to_a_broker_with_tls(
    address: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contimg_assets.signs_of_life import all_signs, check_broker, connect, give, own_sign

    url, root = address
    use(monkeypatch, url, root / "own" / "cert.pem")
    check_broker()
    client = connect()
    give(client, own_sign("w1", ("casa",), 1, (), 1))
    assert [sign.worker for sign in all_signs(client)[0]] == ["w1"]
    # Celery reads the options in the address itself.
    from contimg_assets.celery_app import make_app

    app = make_app()
    app.send_task("a.run", queue="imaging")
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(app.amqp.queues["imaging"]).get(timeout=10)
        assert message.headers["task"] == "a.run"
        message.ack()
    assert PASSWORD not in repr(connection)


@pytest.mark.parametrize("how", ["another authority", "no TLS"])
def test_a_broker_that_is_not_the_right_one_is_refused_without_its_password(
    how: str, address: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contimg_assets.signs_of_life import check_broker

    url, root = address
    if how == "no TLS":
        monkeypatch.setenv("CONTIMG_CLUSTER__BROKER_URL", url.replace("rediss:", "redis:"))
    else:
        use(monkeypatch, url, root / "other" / "cert.pem")
    with pytest.raises(PlatformError, match="doesn't answer") as refused:
        check_broker()
    assert PASSWORD not in str(refused.value)


def test_the_clock_and_the_version_of_a_host_do_not_matter(
    address: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is off by 90 s, an older contimg, and a newer one that reports more."""
    from contimg_assets.signs_of_life import Watch, all_signs, connect, give, own_sign

    url, root = address
    use(monkeypatch, url, root / "own" / "cert.pem")
    client = connect()
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() - 90.0)
    give(client, own_sign("w1", ("casa",), 1, ("r1",), 1))
    told = json.loads(str(client.get("contimg:worker:w1")))
    told |= {"worker": "w2", "version": "9.0", "mood": "good"}
    client.set("contimg:worker:w2", json.dumps(told))
    for name in ("cores", "memory_gb", "scratch_free_gb", "load", "version", "mood"):
        del told[name]
    client.set("contimg:worker:w3", json.dumps({**told, "worker": "w3"}))
    signs, now_s = all_signs(client)
    assert {sign.worker: sign.version for sign in signs}.items() >= {"w2": "9.0", "w3": ""}.items()
    assert all(abs(now_s - sign.at_s) < 30 for sign in signs)
    watch = Watch(client, lost_after_s=5.0)
    assert [watch.trouble(worker, "r1") for worker in ("w1", "w2", "w3")] == ["", "", ""]


def test_a_run_is_overdue_when_a_worker_is_free_and_nobody_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from contimg_assets.signs_of_life import Overdue, Sign

    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    free = Sign("w", "h", 1, queues=("casa", "sky"), concurrency=1, runs=(), beat=1)
    busy = replace(free, runs=("another",))
    not_taken = {"waiting": "casa", "elsewhere": "imaging"}
    overdue = Overdue()
    # A worker that was busy might have taken it next.
    steps = [(0.0, free), (20.0, free), (11.0, busy), (1.0, free), (29.0, free), (2.0, free)]
    found = []
    for seconds, worker in steps:
        now_s += seconds
        found.append(overdue.among(not_taken, [worker], 30.0))
    assert found == [set(), set(), set(), set(), set(), {"waiting"}]
    assert overdue.among({}, [free], 30.0) == set()


def test_a_repetition_is_not_taken_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster gives it the tags of the run that it repeats, whose worker may be lost."""
    import dagster as dg

    monkeypatch.setenv("CONTIMG_CLUSTER__BROKER_URL", "redis://127.0.0.1:1/0")
    from contimg_assets.celery_app import HOST_TAG, WORKER_TAG
    from contimg_assets.cluster import Coordinator

    monkeypatch.setattr(dg.QueuedRunCoordinator, "submit_run", lambda _, context: context)
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {WORKER_TAG: "a1", HOST_TAG: "w1:7"}
        again = dg.DagsterRun(job_name="image_observation", run_id="r2", tags=tags)
        instance.add_run(again)
        coordinator = Coordinator()
        coordinator.register_instance(instance)
        context: Any = SimpleNamespace(dagster_run=again)
        coordinator.submit_run(context)
        queued = instance.get_run_by_id("r2")
    assert queued is not None
    assert queued.tags["dagster-celery/queue"] == "imaging"
    assert not queued.tags[WORKER_TAG]
    assert not queued.tags[HOST_TAG]
