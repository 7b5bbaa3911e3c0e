"""``contimg alerts``."""

import json
from pathlib import Path

import pytest

from contimg_resources.cli.main import run
from contimg_resources.steps.alerting import tell_alerts
from tests.alerts.conftest import NOW, make_candidate, make_workshop
from tests.alerts.servers import Hook


def test_messages_are_listed(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    workshop = make_workshop(tmp_path, webhook=hook.url)
    workshop.products.events.put_candidates([make_candidate(id="a-candidate")])
    hook.answers = [500]
    tell_alerts(workshop, now_mjd=NOW)
    assert run(["alerts"]) == 0
    table, remark = capsys.readouterr()
    assert "candidate:a-candidate" in table
    assert "the webhook at 127.0.0.1 answered 500" in table
    assert "recorded, not sent" in remark
    for arguments in (["alerts", "--json"], ["alerts", "list", "--json", "--unsent"]):
        assert run(arguments) == 0
        (record,) = json.loads(capsys.readouterr().out)
        assert (record["key"], record["n_tries"]) == ("candidate:a-candidate", 1)


def test_a_test_message_tells_whether_it_arrives(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("CONTIMG_ALERTS__WEBHOOK", raising=False)
    assert run(["alerts", "test"]) == 2
    assert "CONTIMG_ALERTS__WEBHOOK" in capsys.readouterr().err
    monkeypatch.setenv("CONTIMG_ALERTS__WEBHOOK", hook.url)
    assert run(["alerts", "test"]) == 0
    assert json.loads(hook.bodies[0])["kind"] == "test"
    capsys.readouterr()
    assert run(["alerts", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"webhook": None}
    hook.answers = [500]
    capsys.readouterr()
    assert run(["alerts", "test"]) == 1
    said = "".join(capsys.readouterr())
    assert "the webhook at 127.0.0.1 answered 500" in said
    assert "SECRET" not in said
