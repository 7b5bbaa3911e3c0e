"""The benchmark of the search for events on little of everything."""

from pathlib import Path

import pytest

from contimg_resources.cli.main import run


def test_it_counts_and_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.events as events
    import benchmarks.ideal as ideal

    some = [(0.3, 20.0, 1.0, 0.05), (0.3, 60.0, 4.0, 0.05)]
    monkeypatch.setattr(events, "_kinds", lambda: some)
    monkeypatch.setattr(ideal, "DEPTHS", (0.5,))
    monkeypatch.setattr(ideal, "WIDTHS_DAYS", (40.0,))
    page = tmp_path / "page.md"
    arguments = ["--events", "8", "--sources", "100", "--page", str(page)]
    assert run(["bench-ese", *arguments]) == 0
    text = page.read_text()
    found, by_ideal, ratio = text.split("| 50 | 40 | ")[1].split(" | ")[:3]
    assert float(found.split()[0]) >= 75
    assert float(by_ideal.split()[0]) >= 75
    assert float(ratio) == pytest.approx(
        float(found.split()[0]) / float(by_ideal.split()[0]), abs=0.01
    )
    assert "| 30 | 20 | 1 | 5 |" in text
    assert "Completeness of 30 % dips" in text
    found = text.split("| 30 | 20 | 1 | 5 | ")[1].split(" %")[0]
    assert float(found) >= 75
