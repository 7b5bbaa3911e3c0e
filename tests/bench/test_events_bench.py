"""The benchmark of the search for events on little of everything."""

from pathlib import Path

from contimg_resources.cli.main import run


def test_it_counts_and_writes_its_page(tmp_path: Path) -> None:
    import benchmarks.events as events

    some = [(0.3, 20.0, 1.0, 0.05), (0.3, 60.0, 4.0, 0.05)]
    kinds = events._kinds
    events._kinds = lambda: some
    try:
        page = tmp_path / "page.md"
        arguments = ["--events", "8", "--sources", "100", "--page", str(page)]
        assert run(["bench-ese", *arguments]) == 0
    finally:
        events._kinds = kinds
    text = page.read_text()
    assert "| 30 | 20 | 1 | 5 |" in text
    assert "Completeness of 30 % dips" in text
    found = text.split("| 30 | 20 | 1 | 5 | ")[1].split(" %")[0]
    assert float(found) >= 75
