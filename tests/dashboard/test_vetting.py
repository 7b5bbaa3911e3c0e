"""Marks made in the browser: by keyboard, by several people, and by nobody who shouldn't."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import DashboardSettings, Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.alerts.conftest import make_candidate
from tests.conftest import needs_browser
from tests.dashboard.conftest import ask, go, serving_here, shown

N = 10
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state"))
    candidates = [make_candidate(id=f"ese-{i}", score=50.0 - i) for i in range(N)]
    workshop.products.events.put_candidates(candidates)
    export_dashboard(workshop)
    return workshop.settings.state


def settings_of(state: Path, **dashboard: Any) -> Settings:
    return Settings(state=state, dashboard=DashboardSettings(**dashboard))


@contextmanager
def serving(state: Path, *options: str, **environment: str) -> Iterator[str]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "contimg_resources", "dashboard"),
            *("--state", str(state), "--port", "0", *options),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    found = re.search(r"http://[\d.]+:\d+/", process.stderr.readline())
    assert found
    try:
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def marks(state: Path) -> list[tuple[str, str, str, str]]:
    store = ProductsStore(str(state / "products.sqlite3"))
    found = [(m.candidate_id, m.mark.value, m.note, m.by) for m in store.events.list_marks()]
    store.close()
    return found


MARK = {"candidate": "ese-3", "mark": "real", "note": "seen at 3 GHz"}


@needs_browser
def test_ten_candidates_are_vetted_by_keyboard(
    state: Path, new_page: Callable[..., Any], capsys: Any
) -> None:
    with serving(state) as address:
        page = new_page()
        go(page, address, "candidates")
        page.locator("#next-unmarked").click()
        shown(page, "candidates/ese-0")
        page.locator("#mark-note").fill(HOSTILE)
        # Letters typed into the note mark nothing.
        page.locator("#mark-note").press("r")
        page.locator("h1").click()
        for i, key in enumerate("rafrafrafr"):
            shown(page, f"candidates/ese-{i}")
            page.keyboard.press(key)
        shown(page, "candidates")
        assert page.locator("#next-unmarked").count() == 0
        go(page, address, "candidates/ese-0")
        assert HOSTILE in page.locator(".marks").text_content()
        # A later mark counts, and the earlier one stays.
        page.locator("#mark-artefact").click()
        page.locator(".marks li").nth(1).wait_for()
        assert "artefact (current)" in page.locator(".marks li").first.text_content()
    told = [(c, m) for c, m, _, _ in marks(state)]
    kinds = {"r": "real", "a": "artefact", "f": "follow up"}
    assert told == [
        *((f"ese-{i}", kinds[key]) for i, key in enumerate("rafrafrafr")),
        ("ese-0", "artefact"),
    ]
    assert marks(state)[0][2:] == (HOSTILE + "r", getuser())
    log = (state / "logs" / "vetting.log").read_text()
    assert f"{getuser()} marked ese-9 as real" in log
    capsys.readouterr()
    assert run(["candidates", "list", "--state", str(state), "--json"]) == 0
    listed = {c["candidate"]["id"]: c["mark"] for c in json.loads(capsys.readouterr().out)}
    assert listed["ese-9"]["mark"] == "real"


@needs_browser
def test_several_people_vote_with_their_tokens(
    state: Path, tmp_path: Path, new_page: Callable[..., Any]
) -> None:
    tokens = tmp_path / "tokens"
    people = {"Ada L": "first secret", "Bo": "second secret"}
    lines = (f"{n} {hashlib.sha256(t.encode()).hexdigest()}\n" for n, t in people.items())
    tokens.write_text("# people\n" + "".join(lines))
    tokens.chmod(0o600)
    with serving_here(settings_of(state, tokens=tokens)) as address:
        assert ask(address, "POST", "marks", MARK)[0] == 403
        page = new_page(expected="403")
        go(page, address, "candidates/ese-3")
        for token in ("wrong", "first secret"):
            page.locator("#token").fill(token)
            page.locator("#sign-in").click()
        page.locator("#mark-real").click()
        page.locator(".marks li").wait_for()
        assert "You are Ada L." in page.locator("main").text_content()
        _, told, cookie = ask(address, "POST", "session", {"token": "second secret"})
        assert told["name"] == "Bo"
        assert ask(address, "POST", "marks", {**MARK, "mark": "artefact"}, cookie=cookie)[0] == 200
        page.reload()
        shown(page, "candidates/ese-3")
        assert page.locator("#votes").text_content() == "Votes: real 1, artefact 1."
        assert ask(address, "DELETE", "session", cookie=cookie)[0] == 200
        assert ask(address, "POST", "marks", MARK, cookie=cookie)[0] == 403
        # A third, a fourth: whoever guesses has to wait.
        statuses = [ask(address, "POST", "session", {"token": str(i)})[0] for i in range(6)]
        assert statuses == [403, 403, 403, 403, 429, 429]
        assert ask(address, "POST", "session", {"token": "first secret"})[0] == 429
    assert [(m, by) for _, m, _, by in marks(state)] == [("real", "Ada L"), ("artefact", "Bo")]
    assert "secret" not in (state / "logs" / "vetting.log").read_text()


def test_no_other_site_marks_in_a_persons_name(state: Path) -> None:
    with serving_here(settings_of(state)) as address:
        for headers in (
            {"x_contimg": None},  # a form of another site
            {"origin": "http://evil.example"},
            {"origin": "null"},
            # DNS rebinding
            {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
        ):
            assert ask(address, "POST", "marks", MARK, **headers)[0] == 403, headers
        assert ask(address, "POST", "marks", MARK)[0] == 200
    assert len(marks(state)) == 1


def test_a_proxy_names_the_person(state: Path) -> None:
    with serving_here(settings_of(state, user_header="X-Remote-User")) as address:
        assert ask(address, "POST", "marks", MARK)[0] == 403
        proxied = {"x_remote_user": "ada\x1b[2J", "host": "dsa.example"}
        assert (
            ask(address, "POST", "marks", MARK, origin="https://dsa.example", **proxied)[0] == 200
        )
    assert marks(state) == [("ese-3", "real", "seen at 3 GHz", r"ada\x1b[2J")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (replace, 400),
        ({**MARK, "candidate": "nowhere"}, 404),
        ({**MARK, "candidate": "\udcff"}, 400),
        ({**MARK, "mark": "perhaps"}, 400),
        ({**MARK, "note": "x" * 2001}, 400),
        ({**MARK, "note": 5}, 400),
        ([MARK], 400),
        (b"[" * 20_000, 400),
        (b"{" + b" " * 30_000 + b"}", 400),
        (b"\xff\xfe", 400),
    ],
)
def test_what_is_no_mark_is_refused_by_reason(vetted: str, body: Any, status: int) -> None:
    body = b"" if body is replace else body
    found, told, _ = ask(vetted, "POST", "marks", body)
    assert (found, bool(told["error"])) == (status, True)


@pytest.fixture(scope="module")
def vetted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    workshop = Workshop.from_settings(Settings(state=tmp_path_factory.mktemp("vetted")))
    workshop.products.events.put_candidates([make_candidate(id="ese-3")])
    export_dashboard(workshop)
    with serving_here(workshop.settings) as address:
        yield address


def test_read_only_and_copies_take_no_marks(state: Path) -> None:
    for options in ({"read_only": True}, {"host": "0.0.0.0"}):
        with serving_here(settings_of(state), **options) as address:
            assert ask(address, "POST", "marks", MARK)[0] in (403, 404, 405)
    assert marks(state) == []


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("ada 12\n", 0o600, "line 1: expected a name and the SHA-256"),
        (f"ada {'0' * 64}\n", 0o644, "everybody can read the tokens"),
    ],
)
def test_tokens_that_cannot_be_right_are_refused(
    state: Path,
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    mode: int,
    words: str,
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(content)
    tokens.chmod(mode)
    monkeypatch.setenv("CONTIMG_DASHBOARD__TOKENS", str(tokens))
    assert run(["dashboard", "--state", str(state), "--port", "0"]) != 0
    assert words in " ".join(capsys.readouterr().err.split())
