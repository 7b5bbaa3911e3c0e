"""A state directory in Python: what a notebook reads, and that it changes nothing."""

import os
import shutil
from pathlib import Path

import pytest
from astropy import units as u
from astropy.time import Time

import contimg_resources as contimg
from contimg_resources.cli.main import run
from contimg_resources.core.errors import ConfigurationError, ContimgError
from tests.cli.test_variability_commands import make_state
from tests.products.conftest import make_observation
from tests.steps.conftest import Made, make_stores


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_stores(tmp_path)


def test_observations_and_sets_are_tables_with_units(made: Made) -> None:
    with contimg.open_state(made.workshop.settings.state) as state:
        observations = state.observations()
        assert tuple(observations["key"]) == made.keys
        assert set(observations["state"]) == {"imaged"}
        first = made.workshop.products.get(made.keys[0])
        assert observations["mid_mjd"][0] == first.mid_mjd * u.day
        start = Time(observations["start_mjd"][0].value, format="mjd", scale="utc")
        assert start.mjd == pytest.approx(first.start_mjd, abs=1e-9)
        (one,) = state.caltable_sets()
        told = (one["name"], one["status"], one["tables"])
        assert told == ("first", "active", "K, BA, BP, GA, GP, 2G")


def test_nothing_is_written_by_reading(made: Made) -> None:
    root = made.workshop.settings.state
    before = {p.name: p.stat().st_size for p in root.iterdir()}
    with contimg.open_state(root) as state:
        state.observations()
        with pytest.raises(ContimgError, match="readonly"):
            state.registry.retire("first", "to see whether it can be written")
    assert {p.name: p.stat().st_size for p in root.iterdir()} == before
    with contimg.open_state(root, read_only=False) as state:
        assert len(state.observations()) == len(made.keys)


def test_a_state_that_nobody_can_write_is_read(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.workshop.products.close()
    made.workshop.registry.close()
    copy = tmp_path / "a?copy#of %41"
    copy.mkdir()
    for name in ("products.sqlite3", "registry.sqlite3"):
        shutil.copy(made.workshop.settings.state / name, copy / name)
    # To root every directory is writable.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with contimg.open_state(copy) as state:
        assert len(state.observations()) == len(made.keys)
    assert sorted(p.name for p in copy.iterdir()) == ["products.sqlite3", "registry.sqlite3"]


def test_a_state_of_somebody_else_who_is_writing_is_read_as_it_is_now(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written last is beside the file, in its write-ahead log."""
    root = made.workshop.settings.state
    made.workshop.products.arrive(make_observation(tmp_path / "new.ms", 61_050.5, signature="new"))
    assert (root / "products.sqlite3-wal").stat().st_size > 0
    monkeypatch.setattr(os, "access", lambda *_: False)
    with contimg.open_state(root) as state:
        assert "61050.50000" in set(state.observations()["key"])


def test_what_is_no_state_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no state directory: it has no products"):
        contimg.open_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metrics_and_candidates(tmp_path: Path) -> None:
    root = make_state(tmp_path / "state")
    assert run(["variability", "2025-07-19", "--state", str(root)]) == 0
    with contimg.open_state(root) as state:
        (candidate,) = state.candidates()
        assert candidate["mark"] == ""
        metrics = state.variability()
        (row,) = metrics[metrics["source_id"] == candidate["source_id"]]
        assert row["eta"] > 5
        assert state.card(candidate["id"]).read_bytes().startswith(b"\x89PNG")
        with pytest.raises(ContimgError, match="no variability metrics of day 61000: available"):
            state.variability(61000)
        with pytest.raises(ContimgError, match="has no card"):
            state.card("ese-1-nobody")
