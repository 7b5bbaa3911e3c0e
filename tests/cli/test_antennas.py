"""``contimg antennas``: the table, one antenna, marks; the status; the alert."""

import json
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.database import now_mjd
from contimg_resources.products.store import ProductsStore
from contimg_resources.steps.alerting import untold
from tests.alerts.conftest import make_workshop
from tests.products.conftest import MJD
from tests.products.test_antennas import STEP, record


@pytest.fixture
def store(tmp_path: Path) -> ProductsStore:
    """Give a state in which antenna 24 is bad, and antenna 1 was."""
    products = make_workshop(tmp_path).products
    for number, bad in enumerate([(), ("1",), ("1", "24"), ("24",), ("24",)]):
        record(products, tmp_path, number, *bad)
    return products


@pytest.mark.usefixtures("store")
def test_an_operator_sees_bad_antennas_and_overrides_them(tmp_path: Path, capsys: Any) -> None:
    state = ["--state", str(tmp_path / "state")]

    def told(*arguments: str) -> Any:
        assert run([*arguments, *state, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    why = "dead: no signal in 100% of the observation (3 observations since 2026-01-01T00:15 UTC)"
    assert told("antennas")["bad"] == told("status")["bad_antennas"] == {"24": why}
    assert [s["antenna"] for s in told("antennas")["spells"]] == ["1", "24"]
    assert run(["antennas", *state]) == 0
    shown = capsys.readouterr()
    assert "1 of 3 antennas are bad; 5 observations" in shown.err
    assert shown.out.index("24 ") < shown.out.index("recovered")
    # Marked, it counts as the person says; the log keeps everything.
    mark = ["antennas", "mark", "24"]
    assert told(*mark, "good", "--note", "repaired", "--by", "Ada", "--from", "2025-12-31")
    assert told("status")["bad_antennas"] == {}
    assert told(*mark, "bad", "--note", "no", "--by", "Bo", "--from", "2025-12-31")
    assert told("status")["bad_antennas"] == {"24": "marked bad by Bo: no"}
    one = told("antennas", "show", "24")
    assert [m["by"] for m in one["marks"]] == ["Ada", "Bo"]
    assert [e["lost"] for e in one["evidence"].values()] == [0, 0, 1, 1, 1]
    assert run(["antennas", "show", "24", *state]) == 0
    assert "marked good by Ada: repaired" in capsys.readouterr().out
    for wrong in (("24", "worse"), ("twenty-four", "bad")):
        assert run(["antennas", "mark", *wrong, "--note", "x", *state]) == 2
    assert "no antenna 'twenty-four'; it has 1, 24, 104" in capsys.readouterr().err


def test_an_alert_names_antennas_that_went_bad_once(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path)
    ago = now_mjd() - MJD - 0.5
    for number in range(4):
        record(workshop.products, tmp_path, number, "24", days=ago)

    def alerts(later: float = 0.0) -> list[str]:
        found = untold(workshop, now_mjd=MJD + ago + 4 * STEP + later)
        return [f"{a.key} {a.subject}" for a in found.new if a.kind == "antennas"]

    (one,) = alerts()
    assert one.endswith(" 1 antenna is bad: 24")
    # Later observations of the same spell are no news, nor is it a day later.
    record(workshop.products, tmp_path, 4, "24", days=ago)
    assert alerts(2 * STEP) == [one]
    assert alerts(1.1) == []
