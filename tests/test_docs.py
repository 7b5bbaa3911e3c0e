"""What the pages point to is there."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

PAGES = (
    *("README.md", "CONTRIBUTING.md"),
    *(str(p.relative_to(CHECKOUT)) for p in sorted((CHECKOUT / "docs").rglob("*.md"))),
)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page: str) -> None:
    file = CHECKOUT / page
    links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)", file.read_text())
    assert [link for link in links if not (file.parent / link).exists()] == []


def test_every_promise_names_a_test_that_there_is() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (CHECKOUT / "docs/promises.md").read_text())
    assert len(named) > 30

    def is_there(file: str, test: str) -> bool:
        path = CHECKOUT / file
        return path.exists() and f"def {test}(" in path.read_text()

    assert [(file, test) for file, test in named if not is_there(file, test)] == []
