"""The broker is reached with TLS, and only if its certificate is of the right authority."""

import shutil
from collections.abc import Iterator
from pathlib import Path

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
