"""`contimg variability` and `contimg candidates` on a state with light curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.cli.main import run
from contimg_resources.settings import Settings
from contimg_resources.simulation.light_curves import Event, Watch, steady_light_curves, with_events
from contimg_resources.steps import Workshop
from tests.steps.test_variability import SHAPE, START, put_light_curves


@pytest.fixture
def state(tmp_path: Path) -> Path:
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state"))
    curves = steady_light_curves(40, Watch(n_days=200), np.random.default_rng(1))
    put_light_curves(workshop, with_events(curves, {7: Event(SHAPE, START + 100, 30.0, 0.4)}))
    return tmp_path / "state"


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
    assert run(["candidates", "mark", name, "artefact", *options]) == 0
    assert run(["candidates", "list", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(["candidates", "list", "--all", "--json", *options]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["mark"]["mark"] == "artefact"


def test_what_cannot_be_is_said(state: Path, capsys: Any) -> None:
    options = ["--state", str(state)]
    assert run(["candidates", "mark", "ese-1-x", "perhaps", *options]) == 2
    assert "'perhaps' is no mark: real, artefact, follow-up" in capsys.readouterr().err
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
    told = json.loads(capsys.readouterr().out)["origin"]["told"]
    assert told["facts"]["source"] == candidate["source_id"]
    assert str(last) in told["made_from"]
    (layout.candidates / "other.png").write_bytes(card.read_bytes())
    assert run(["why", str(layout.candidates / "other.png"), *options]) == 1
    assert "neither" in capsys.readouterr().err
    last.write_bytes(last.read_bytes()[:200])
    assert run(["why", str(last), *options]) == 1
    assert f"{last} holds no points of light curves" in capsys.readouterr().err
