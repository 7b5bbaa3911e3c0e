"""``contimg simulate-season`` fills a state that the other commands understand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Contimg = Callable[..., Any]


def test_a_season_lies_in_the_state_and_is_not_written_twice(
    contimg: Contimg, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    made = contimg("simulate-season", "--state", state, "--days", "3", "--seed", "2", "--json")
    assert made.code == 0, made.err
    keys = [epoch["key"] for epoch in made.json["epochs"]]
    assert keys
    assert Path(made.json["truth"]).is_file()
    assert len(made.json["events"]) == len(made.json["flaring"]) == len(made.json["slow"]) == 2
    mosaics = contimg("mosaic", "--state", state, "--json")
    assert mosaics.code == 0, mosaics.err
    assert all(key in mosaics.out for key in keys)
    assert contimg("verify", "--state", state).code == 0
    again = contimg("simulate-season", "--state", state)
    assert again.code == 2
    assert "holds a season already" in again.err
