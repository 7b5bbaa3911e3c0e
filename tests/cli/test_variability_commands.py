"""`contimg variability` and `contimg candidates` on a state with light curves."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.cli.main import run
from contimg_resources.settings import Settings
from contimg_resources.simulation.light_curves import Event, Watch, steady_light_curves, with_events
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.tables import latest_variability, read_variability
from tests.steps.test_variability import SHAPE, START, put_light_curves


def make_state(directory: Path) -> Path:
    workshop = Workshop.from_settings(Settings(state=directory))
    curves = steady_light_curves(16, Watch(n_days=200), np.random.default_rng(1))
    put_light_curves(workshop, with_events(curves, {7: Event(SHAPE, START + 100, 30.0, 0.4)}))
    return directory


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return make_state(tmp_path / "state")


def test_search_list_mark_and_show(state: Path, capsys: Any) -> None:
    options = ["--state", str(state)]
    assert run(["variability", "2025-07-19", "--json", *options]) == 0
    told = json.loads(capsys.readouterr().out)
    (candidate,) = told["candidates"]
    assert candidate["state"] == "complete"
    assert told["variables"][0]["source_id"] == candidate["source_id"]
    name = candidate["id"]
    assert run(["candidates", "mark", name, "follow-up", "--note", "3 GHz?", *options]) == 0
    assert run(["candidates", "list", *options]) == 0
    assert name in (out := capsys.readouterr().out)
    assert "follow up" in out
    assert run(["candidates", "show", name, *options]) == 0
    assert "3 GHz?" in "".join(capsys.readouterr())
    # The mark is seen by the next search, and an artefact isn't listed any more.
    assert run(["variability", "2025-07-19", *options]) == 0
    assert "follow up" in capsys.readouterr().out
    assert run(["candidates", "mark", name, "artefact", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["mark"] == "artefact"
    assert run(["candidates", "list", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(["candidates", "list", "--all", "--json", *options]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["mark"]["mark"] == "artefact"


def outcome_of(state: Path) -> dict[str, Any]:
    """Tell what a search left behind: every file that holds something, and the candidates."""
    layout = Settings(state=state).layout
    table = read_variability(latest_variability(layout.variability))  # type: ignore[arg-type]
    found = Workshop.from_settings(Settings(state=state)).products.events.list_candidates()
    names = {p.name for p in state.rglob("*") if p.suffix in (".parquet", ".png")}
    return {
        "files": {n for n in names if not n.startswith(".")},
        "variables": table.source_id[table.is_variable].tolist(),
        "candidates": [(c.id, c.state, round(c.score, 6)) for c in found],
    }


def test_a_search_that_is_killed_at_any_time_leaves_nothing_half_and_is_made_up_for(
    state: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "contimg_resources", "variability", "2025-07-19", "--state"]
    whole = make_state(tmp_path / "whole")
    began_s = time.monotonic()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    took_s = time.monotonic() - began_s
    wanted = outcome_of(whole)
    assert len(wanted["candidates"]) == 1
    for share in (0.6, 0.9):
        process = subprocess.Popen(
            [*command, str(state)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(share * took_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in Settings(state=state).layout.variability.glob("[!.]*.parquet"):
            read_variability(path)
        for path in state.rglob("[!.]*.png"):
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path
    subprocess.run([*command, str(state)], check=True, capture_output=True)
    assert outcome_of(state) == wanted
    assert list(state.rglob("[!.]*.png")), "what is looked at above exists in the end"


def test_what_cannot_be_is_said(state: Path, capsys: Any) -> None:
    options = ["--state", str(state)]
    assert run(["candidates", "mark", "ese-1-x", "perhaps", *options]) == 2
    assert "'perhaps' is not a mark: real, artefact, follow-up" in capsys.readouterr().err
    assert run(["candidates", "show", "../x", *options]) == 1
    assert "there is no candidate '../x'" in capsys.readouterr().err
    assert run(["variability", *options]) == 2
    assert "no mosaic was measured yet" in capsys.readouterr().err


def test_light_curves_measures_and_cards_tell_where_they_are_from(state: Path, capsys: Any) -> None:
    options = ["--state", str(state)]
    assert run(["variability", "2025-07-19", "--json", *options]) == 0
    (candidate,) = json.loads(capsys.readouterr().out)["candidates"]
    layout = Settings(state=state).layout
    last = max(layout.light_curves.glob("*.parquet"))
    assert run(["why", str(last), *options]) == 0
    out = capsys.readouterr().out
    assert f"light_curves: {last}" in out
    assert f"day_mjd: {last.stem}" in out
    measures = max(layout.variability.glob("*.parquet"))
    for path in (measures, measures.with_suffix(".png")):
        assert run(["why", str(path), *options]) == 0
        out = capsys.readouterr().out
        assert "systematic_floor: " in out
        assert f"made from: {last}" in out
        assert "before these" in out
    card = layout.candidates / f"{candidate['id']}.png"
    assert run(["why", str(card), "--json", *options]) == 0
    told = json.loads(capsys.readouterr().out)["origin"]
    assert told["product"]["parameters"]["source"] == candidate["source_id"]
    assert told["marks"] == {"state": "complete", "marks": "none"}
    assert str(last) in told["made_from"]
    (layout.candidates / "other.png").write_bytes(card.read_bytes())
    assert run(["why", str(layout.candidates / "other.png"), *options]) == 1
    assert "doesn't record" in capsys.readouterr().err
    last.write_bytes(last.read_bytes()[:200])
    assert run(["why", str(last), *options]) == 1
    assert "has 200 bytes" in capsys.readouterr().out
