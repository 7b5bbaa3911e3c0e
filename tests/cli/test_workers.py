"""What the commands of several machines refuse, before anything is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from contimg_resources.cli.main import run

POSTGRES = "postgresql://contimg:secret@127.0.0.1:1/contimg"
CLUSTER = {
    "CONTIMG_REGISTRY_URL": POSTGRES,
    "CONTIMG_PRODUCTS_URL": POSTGRES,
    "CONTIMG_CLUSTER__DAGSTER_URL": POSTGRES,
    "CONTIMG_CLUSTER__BROKER_URL": "redis://:secret@127.0.0.1:1/0",
}


@pytest.mark.parametrize(
    ("without", "command", "code", "words"),
    [
        ((), ("up",), 2, "start the control plane with --cluster"),
        (
            tuple(CLUSTER),
            ("up", "--cluster"),
            2,
            "--cluster needs cluster.dagster_url and",
        ),
        (("CONTIMG_PRODUCTS_URL",), ("up", "--cluster"), 2, "several machines need products_url"),
        (tuple(CLUSTER), ("worker",), 2, "need cluster.dagster_url, cluster.broker_url, registry"),
        (tuple(CLUSTER), ("workers",), 2, "the settings are those of one machine"),
        ((), ("worker",), 1, "the broker redis://127.0.0.1:1/0 doesn't answer"),
        ((), ("workers", "--json"), 1, "the broker redis://127.0.0.1:1/0 doesn't answer"),
    ],
)
def test_what_lacks_is_named_and_no_password_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    without: tuple[str, ...],
    command: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    for name, value in CLUSTER.items():
        if name not in without:
            monkeypatch.setenv(name, value)
    found = run(command)
    told = capsys.readouterr()
    said = told.err + told.out
    assert words in said
    assert "secret" not in said
    assert found == code


def test_one_machine_imports_neither_celery_nor_the_client_of_postgres() -> None:
    code = (
        "import sys, contimg_assets.definitions, contimg_resources.cli.up, "
        "contimg_resources.cli.platform, contimg_assets.orphans, contimg_assets.storage;"
        "print(*{'celery', 'kombu', 'redis', 'psycopg2', 'dagster_celery', 'dagster_postgres'}"
        " & {m.partition('.')[0] for m in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout.strip() == ""
