"""``contimg catalogue`` as somebody types it."""

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contimg_resources.cli.main import run

LIST = (
    "name,ra_deg,dec_deg,flux_jy,reference_ghz\n"
    "3C48,24.42208,33.15976,16.0,1.4\nfaint,24.5,33.2,0.004,1.4\nfar,80.0,33.2,1.0,1.4\n"
)


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture
def published(tmp_path: Path) -> Iterator[str]:
    """A server as a publisher's, with a list in the columns of FIRST."""
    root = tmp_path / "www"
    root.mkdir()
    (root / "first.csv").write_text("RA,DEC,FINT,RMS\n24.42208,33.15976,15800.0,0.2\n")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_list_of_one_s_own(
    tmp_path: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text(LIST)
    add = ["catalogue", "add", "mine", str(tmp_path / "mine.csv"), "--state", state]
    assert run([*add, "--dry-run"]) == 0
    assert "mine: 3 sources" in capsys.readouterr().err
    assert run(["catalogue", "list", "--json", "--state", state]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(add) == 0
    assert "mine: 3 sources" in capsys.readouterr().err
    cone = ["catalogue", "cone", "mine", "24.42", "33.16", "0.5", "--state", state, "--json"]
    assert run(cone) == 0
    found = json.loads(capsys.readouterr().out)
    assert [s["source_id"] for s in found] == ["mine-3C48", "mine-faint"]
    assert run([*cone, "--min-flux-mjy", "10"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert run(["catalogue", "list", "--state", state]) == 0
    assert "mine.csv" in capsys.readouterr().out
    remove = ["catalogue", "remove", "mine", "--state", state]
    assert run([*remove, "--dry-run"]) == 0
    assert "would remove mine" in capsys.readouterr().err
    assert run(cone) == 0
    capsys.readouterr()
    assert run([*remove, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"catalogue": "mine", "removed": True}
    assert run([*remove, "--dry-run"]) == 1
    assert run(cone) == 1
    assert "there is no catalogue 'mine'" in capsys.readouterr().err


def test_a_survey_is_fetched(
    published: str, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{published}/first.csv"
    assert run(["catalogue", "fetch", "first", "--url", url, "--state", state, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["n_sources"], facts["survey"], facts["origin"]) == (1, "first", url)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nvss", "--url", "http://127.0.0.1:9/nvss.fits"], "Without a network"),
        (["nvss", "--url", "file:///etc/passwd"], "http or https was expected"),
        (["racs"], "can't be fetched, only nvss, first"),
    ],
)
def test_what_can_t_be_fetched(
    arguments: list[str], told: str, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalogue", "fetch", *arguments, "--state", state]) == 1
    error = capsys.readouterr().err
    assert told in error.replace("\n", " ")


def test_nothing_at_an_address(
    published: str, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{published}/not_there.fits"
    assert run(["catalogue", "fetch", "nvss", "--url", url, "--state", state]) == 1
    assert "can't be fetched" in capsys.readouterr().err


def test_a_negative_declination_is_an_argument(
    tmp_path: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text(LIST + "south,97.5,-31.6,0.5,1.4\n")
    assert run(["catalogue", "add", "mine", str(tmp_path / "mine.csv"), "--state", state]) == 0
    for words in (
        ["97.5", "-31.5", "0.5", "--state", state, "--json"],
        ["--json", "--state", state, "97.5", "-31.5", ".5"],
        ["--min-flux-mjy", "1", "97.5", "--json", "-31.5", "0.5", "--state", state],
    ):
        capsys.readouterr()
        assert run(["catalogue", "cone", "mine", *words]) == 0
        assert [s["source_id"] for s in json.loads(capsys.readouterr().out)] == ["mine-south"]
    assert run(["catalogue", "cone", "mine", "97.5", "-31.5", "0.5", "--colour", "red"]) == 2
    assert "--colour" in capsys.readouterr().err


def test_columns_are_named_on_the_command_line(
    tmp_path: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("Obj,RAJ2000,DEJ2000,S1400\nA,24.42,-33.16,1000\nB,24.42,,1000\n")
    add = ["catalogue", "add", "t", str(table), "--state", state]
    assert run(add) == 1
    said = capsys.readouterr().err
    proposal = "--column ra=RAJ2000 --column dec=DEJ2000 --column flux=S1400:mJy"
    assert f"contimg catalogue add t {table} {proposal} --frequency 1400MHz" in said
    assert run([*add, *proposal.split(), "--frequency", "1400MHz"]) == 0
    said = capsys.readouterr().err
    assert "t: 1 sources" in said
    assert "rejected 1 of 2 rows: 1 without a position (first: row 2)" in said
