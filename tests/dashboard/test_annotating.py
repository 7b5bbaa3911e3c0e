"""Tags, comments and favourites in the browser, and that nobody else makes them."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.products.annotations import Annotated
from contimg_resources.products.events import Subject
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import DashboardSettings, ExportSettings, Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.alerts.conftest import make_candidate
from tests.conftest import needs_browser
from tests.dashboard.conftest import ask, files_served_here, go, serving_here
from tests.dashboard.made_up_export import CANDIDATES, DIPPING, HOSTILE, MadeUpExport

MARKUP = '"><img src=x onerror=alert(1)>'
TAG = {"subject": "source", "id": DIPPING, "kind": "tag", "text": "blend"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workshop = Workshop.from_settings(Settings(state=tmp_path_factory.mktemp("annotated")))
    workshop.products.events.put_candidates([make_candidate(id=CANDIDATES[0])])
    return workshop.settings.state


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("people") / "tokens"
    digest = hashlib.sha256(b"first secret").hexdigest()
    file.write_text(f"Ada L {digest}\n")
    file.chmod(0o600)
    return file


def settings_of(state: Path, export: MadeUpExport, **dashboard: Any) -> Settings:
    return Settings(
        state=state,
        export=ExportSettings(directory=export.directory),
        dashboard=DashboardSettings(**dashboard),
    )


@pytest.fixture(scope="module")
def live(state: Path, export: MadeUpExport) -> Iterator[str]:
    """The made-up year, with a store to annotate."""
    with serving_here(settings_of(state, export)) as address:
        yield address


def annotated(state: Path, subject: Subject, name: str) -> Annotated:
    with closing(ProductsStore(str(state / "products.sqlite3"))) as store:
        return store.annotations.of(subject, name)


@needs_browser
def test_a_source_is_tagged_commented_and_liked_and_found_by_it(
    live: str, state: Path, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, live, f"lightcurves/{DIPPING}")
    for text in ("Blend", MARKUP):
        page.locator("#new-tag").fill(text)
        page.locator("#new-tag-add").click()
        page.locator(".tags li", has_text=text.lower()).wait_for()
    page.locator("#new-comment").fill(MARKUP)
    page.locator("#new-comment").press("Enter")
    page.locator(".marks li").wait_for()
    page.locator("#favourite").click()
    page.locator("#favourite[aria-pressed=true]").wait_for()
    assert page.locator("#annotations .prose").text_content() == MARKUP
    assert page.locator("img[src=x]").count() == 0
    # Withdrawn by keyboard.
    page.locator(f"[aria-label='Remove the tag {MARKUP.lower()}']").press("Enter")
    page.locator(".tags li").nth(1).wait_for(state="detached")
    found = annotated(state, Subject.SOURCE, DIPPING)
    assert [(t.text, t.by) for t in found.tags] == [("blend", getuser())]
    assert [c.text for c in found.comments] == [MARKUP]
    assert [f.by for f in found.favourites] == [getuser()]
    # Among 2000 sources, also a source whose name is markup.
    assert ask(live, "POST", "annotations", {**TAG, "id": HOSTILE, "text": "odd"})[0] == 200
    go(page, live, "sources")
    assert [option.text_content() for option in page.locator("#sources-tagged option").all()] == [
        "any",
        "my favourites",
        "anybody's favourites",
        "with comments",
        "blend",
        "odd",
    ]
    for choice, name in (("mine", DIPPING), ("tag blend", DIPPING), ("tag odd", HOSTILE)):
        page.locator("#sources-tagged").select_option(choice)
        assert page.locator("tbody tr td:first-child").all_text_contents() == [name]
    assert page.locator("img[src=x]").count() == 0


@needs_browser
def test_a_candidate_is_tagged_and_everybody_sees_it(
    live: str, state: Path, new_page: Callable[..., Any], capsys: Any
) -> None:
    page = new_page()
    name = CANDIDATES[0]
    go(page, live, f"candidates/{name}")
    page.locator("#new-tag").fill("lens?")
    # The letters of a tag mark nothing.
    page.locator("#new-tag").press("Enter")
    page.locator(".tags li").wait_for()
    assert ask(live, "GET", "marks")[1] == {"marks": {}}
    comment = {"subject": "candidate", "id": name, "kind": "comment"}
    assert ask(live, "POST", "annotations", {**comment, "text": "flat\ncaustics"})[0] == 200
    capsys.readouterr()
    assert run(["candidates", "list", "--state", str(state), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["tags"][0] | {"utc": ""} == {"text": "lens?", "by": getuser(), "utc": ""}
    assert run(["candidates", "list", "--state", str(state)]) == 0
    assert "lens?; comments: 1" in " ".join(capsys.readouterr().out.split())
    assert run(["candidates", "show", name, "--state", str(state)]) == 0
    assert f"comment by {getuser()}: flat" in capsys.readouterr().err
    # The log has a line for each act, however many lines the text has.
    log = (state / "logs" / "vetting.log").read_text().splitlines()
    assert log[-1].endswith(f"{getuser()} added a comment of candidate {name}: flat caustics")
    # A copy shows them, without forms.
    workshop = Workshop.from_settings(Settings(state=state))
    export_dashboard(workshop)
    with files_served_here(workshop.settings.export_dir) as address:
        go(page, address, f"candidates/{name}")
        part = page.locator("#annotations")
        assert part.locator(".tag").text_content() == "lens?"
        assert "caustics" in part.text_content()
        assert part.locator("button, input").count() == 0


@needs_browser
def test_somebody_signs_in_to_tag_a_source(
    state: Path, export: MadeUpExport, tokens: Path, new_page: Callable[..., Any]
) -> None:
    with serving_here(settings_of(state, export, tokens=tokens)) as address:
        assert ask(address, "POST", "annotations", TAG)[0] == 403
        page = new_page()
        go(page, address, f"lightcurves/{DIPPING}")
        assert page.locator("#new-tag").count() == 0
        page.locator("#token").fill("first secret")
        page.locator("#token").press("Enter")
        page.locator("#new-tag").fill("by ada")
        page.locator("#new-tag").press("Enter")
        page.locator(".tags li", has_text="by ada").wait_for()
    assert annotated(state, Subject.SOURCE, DIPPING).tags[-1].by == "Ada L"
    with serving_here(settings_of(state, export), read_only=True) as address:
        assert ask(address, "POST", "annotations", TAG)[0] == 403
        go(page, address, f"lightcurves/{DIPPING}")
        page.locator(".tag", has_text="by ada").wait_for()
        assert page.locator("#annotations button, #annotations input").count() == 0


def test_no_other_site_and_no_nonsense_annotates(live: str, state: Path) -> None:
    before = annotated(state, Subject.SOURCE, DIPPING)
    for headers in (
        {"x_contimg": None},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
    ):
        assert ask(live, "POST", "annotations", TAG | {"text": "evil"}, **headers)[0] == 403
    for body, status in (
        ({**TAG, "kind": "mark"}, 400),
        ({**TAG, "subject": "observation"}, 400),
        ({**TAG, "text": 5}, 400),
        ({**TAG, "text": "x" * 41}, 400),
        ({**TAG, "text": "\u202e\x00"}, 200),
        ({**TAG, "text": r"\u202e\x00", "withdraw": True}, 200),
        ({**TAG, "withdraw": "no"}, 400),
        ({**TAG, "id": "\udcff"}, 400),
        ({**TAG, "id": "a\x00b"}, 400),
        ({**TAG, "id": "../../etc/passwd\n"}, 400),
        ({**TAG, "subject": "candidate", "id": "../nowhere"}, 404),
        ({"kind": "tag"}, 400),
        ([TAG], 400),
        (b"[" * 20_000, 400),
        (b"\xff", 400),
    ):
        found, told, _ = ask(live, "POST", "annotations", body)
        assert (found, bool(told.get("error"))) == (status, status != 200), body
    assert annotated(state, Subject.SOURCE, DIPPING) == before
