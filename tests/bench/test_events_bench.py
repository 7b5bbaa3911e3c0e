"""The benchmark of the search for events on little of everything."""

from pathlib import Path

import pytest

from contimg_resources.cli.main import run


def test_it_counts_and_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.events as events
    import benchmarks.ideal as ideal

    monkeypatch.setattr(events, "_kinds", lambda: [(0.3, 20.0, 1.0, 0.05)])
    monkeypatch.setattr(ideal, "DEPTHS", (0.5,))
    monkeypatch.setattr(ideal, "WIDTHS_DAYS", (40.0,))
    page = tmp_path / "page.md"
    arguments = ["--events", "8", "--sources", "60", "--page", str(page)]
    assert run(["bench-ese", *arguments]) == 0
    text = page.read_text()
    assert "Completeness of 30 % dips" in text
    assert float(text.split("| 30 | 20 | 1 | 5 | ")[1].split(" %")[0]) >= 75
    found, ideally, *_ = (
        text.split("## On sources like real AGN")[1].split("| 50 | 40 | ")[1].split(" | ")
    )
    assert float(found.split(" %")[0]) >= 75
    assert float(ideally.split(" %")[0]) >= 75
