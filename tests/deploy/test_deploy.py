"""The files that an operator copies: systemd understands the units, contimg the settings."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contimg_resources.cli.metrics import PlatformMetrics
from contimg_resources.settings import Settings, load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(p.name for p in (DEPLOY / "systemd").iterdir())


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_the_unit_and_contimg_its_command(unit: str, tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("needs systemd-analyze (Debian: systemd)")
    program = Path(sys.executable).with_name("contimg")
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/contimg/.venv/bin/contimg", str(program)))
    done = subprocess.run(
        [verify, "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    # systemd of this machine may lack units of others.
    about = [line for line in (done.stderr + done.stdout).splitlines() if "contimg" in line]
    assert about == []
    for command in re.findall(r"^ExecStart=\S+ (.*)$", (tmp_path / unit).read_text(), re.MULTILINE):
        words = command.split()
        told = subprocess.run(
            [str(program), words[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert [word for word in words if word.startswith("--") and word not in told] == []


def test_the_settings_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTIMG_CONFIG", str(DEPLOY / "contimg.toml"))
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    settings = load_settings()
    assert (settings.umask, settings.retention.pause_below_gb) == ("027", 20)


def test_the_dashboard_of_grafana_shows_metrics_that_there_are(tmp_path: Path) -> None:
    board = json.loads((DEPLOY / "grafana" / "contimg.json").read_text())
    shown = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"contimg_\w+", target["expr"])
    }
    from contimg_resources.steps.workshop import Workshop

    Workshop.from_settings(Settings(state=tmp_path))
    there = {m.name for m in PlatformMetrics(Settings(state=tmp_path), lambda _: ()).collect()}
    assert shown == there
