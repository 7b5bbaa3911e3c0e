"""What the pages point to is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from contimg_resources.cli.main import app

CHECKOUT = Path(__file__).parents[1]

PAGES = (
    *("README.md", "CONTRIBUTING.md"),
    *(str(p.relative_to(CHECKOUT)) for p in sorted((CHECKOUT / "docs").rglob("*.md"))),
)


def links_of(text: str) -> list[str]:
    """Return the paths to which a page links."""
    return re.findall(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)", text)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page: str) -> None:
    file = CHECKOUT / page
    links = links_of(file.read_text())
    assert [link for link in links if not (file.parent / link).exists()] == []


def test_there_are_links_and_commands_to_check() -> None:
    texts = [(CHECKOUT / page).read_text() for page in PAGES]
    assert sum(len(links_of(text)) for text in texts) > 50
    assert sum(len(commands_of(text)) for text in texts) > 200


def test_every_promise_names_a_test_that_there_is() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (CHECKOUT / "docs/promises.md").read_text())
    assert len(named) > 30

    def is_there(file: str, test: str) -> bool:
        path = CHECKOUT / file
        return path.exists() and f"def {test}(" in path.read_text()

    assert [(file, test) for file, test in named if not is_there(file, test)] == []


def commands_of(text: str) -> list[list[str]]:
    """Return the words of every command in a page's blocks and inline code."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    lines = re.findall(r"(?:^|[|;(]\s*)contimg ([^\n|)]*)", joined, re.MULTILINE)
    inline = re.findall(r"`contimg ([^`]*)`", text)
    return [" ".join(found.split()).split(" ") for found in (*lines, *inline)]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_pages_exist(page: str) -> None:
    unknown = []
    for words in commands_of((CHECKOUT / page).read_text()):
        command: Any = typer.main.get_command(app)
        rest = list(words)
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        options = {"--help", "--version", *(o for p in command.params for o in p.opts)}
        options |= {o for p in command.params for o in p.secondary_opts}
        group = hasattr(command, "commands") and bool(rest) and not rest[0].startswith("-")
        if group or any(w.startswith("--") and w not in options for w in rest):
            unknown.append(" ".join(words))
    assert unknown == []
