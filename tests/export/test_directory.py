import json
import multiprocessing
from pathlib import Path

import pytest

from contimg_resources.core.errors import ExportFailed
from contimg_resources.export.directory import ExportDirectory, opened
from contimg_resources.export.pages import PageContent

MJD = 61_041.5


def candidates_page(picture: str | None, cutouts: tuple[str, ...] = ()) -> PageContent:
    card = {"card_png": picture, "cutouts": [{"png": png} for png in cutouts]}
    return PageContent(0, json.dumps({"candidates": [card]}).encode(), ("c",))


def publish(directory: ExportDirectory, paths: dict[str, list[str]], now_mjd: float) -> None:
    pages = {name: [{"path": path} for path in found] for name, found in paths.items()}
    index = {"document": "index", "generated_mjd": now_mjd, "pages": pages}
    directory.publish(json.dumps(index).encode(), now_mjd)


def export(root: Path, text: str, now_mjd: float) -> str:
    with opened(root) as directory:
        path = directory.put_page("observations", PageContent(0, text.encode(), ()))
        publish(directory, {"observations": [path]}, now_mjd)
    return path


def test_a_page_of_the_same_content_is_written_once(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as directory:
        path = directory.put_page("observations", PageContent(3, b"{}", ()))
        assert directory.put_page("observations", PageContent(3, b"{}", ())) == path
        assert directory.n_written == 1
    assert path.startswith("observations/0003-")
    assert (tmp_path / "out" / path).read_bytes() == b"{}"


def test_pages_stay_for_a_day_after_their_index_was_replaced(tmp_path: Path) -> None:
    first = export(tmp_path, "first", MJD)
    # It was the newest until now, however old it is.
    second = export(tmp_path, "second", MJD + 5)
    assert (tmp_path / first).is_file()
    third = export(tmp_path, "third", MJD + 5.9)
    assert all((tmp_path / page).is_file() for page in (first, second, third))
    export(tmp_path, "third", MJD + 6.1)
    assert not (tmp_path / first).exists()
    assert (tmp_path / second).is_file()
    export(tmp_path, "third", MJD + 7.2)
    assert [p.name for p in (tmp_path / "observations").iterdir()] == [Path(third).name]


def test_pictures_stay_as_long_as_the_pages_that_name_them(tmp_path: Path) -> None:
    drawn = tmp_path / "card.png"
    drawn.write_bytes(b"picture")
    report = tmp_path / "report.xml"
    report.write_bytes(b"report")
    root = tmp_path / "out"
    with opened(root) as directory:
        picture = directory.put_copy(drawn)
        cutout = directory.put_copy(report)
        assert picture is not None
        assert cutout is not None
        page = directory.put_page("candidates", candidates_page(picture, (cutout,)))
        publish(directory, {"candidates": [page]}, MJD)
        assert directory.put_copy(tmp_path / "none.png") is None
    with opened(root) as directory:
        page = directory.put_page("candidates", candidates_page(None))
        publish(directory, {"candidates": [page]}, MJD + 0.1)
        assert (root / picture).read_bytes() == b"picture"
        assert (root / cutout).is_file()
        publish(directory, {"candidates": [page]}, MJD + 1.2)
    assert not list((root / "pictures").iterdir())


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    export(tmp_path, "first", MJD)
    theirs = [tmp_path / "notes.txt", tmp_path / "observations" / "mine.json"]
    theirs += [tmp_path / "previous" / "x.json", tmp_path / "schema" / "0000-0123456789ab.json"]
    for file in theirs:
        file.parent.mkdir(exist_ok=True)
        file.write_text("theirs")
    export(tmp_path, "second", MJD + 1)
    export(tmp_path, "second", MJD + 9)
    assert all(file.read_text() == "theirs" for file in theirs)


@pytest.mark.parametrize(
    ("name", "text"), [("notes.txt", "x"), ("index.json", "{}"), ("index.json", "<html>")]
)
def test_a_directory_of_something_else_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ExportFailed, match="export into another directory"), opened(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_pages_that_somebody_removed_are_no_obstacle(tmp_path: Path) -> None:
    for i in range(3):
        with opened(tmp_path) as directory:
            content = json.dumps({"candidates": [], "i": i}).encode()
            page = directory.put_page("candidates", PageContent(0, content, ()))
            publish(directory, {"candidates": [page]}, MJD + 0.1 * i)
        if i == 1:
            (tmp_path / page).unlink()
    assert (tmp_path / page).is_file()


def test_what_a_killed_first_export_left_is_taken_up(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        left = directory.put_page("observations", PageContent(0, b"left", ()))
    export(tmp_path, "whole", MJD)
    assert not (tmp_path / left).exists()


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportFailed, match="can't export into"), opened(tmp_path / "file"):
        pass


def _hold(root: Path, held: "multiprocessing.synchronize.Event") -> None:
    with opened(root):
        held.set()
        multiprocessing.Event().wait(60)


def test_a_second_export_at_once_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held))
    other.start()
    try:
        assert held.wait(300)
        with pytest.raises(ExportFailed, match="another export"), opened(tmp_path, wait_s=0.3):
            pass
    finally:
        other.kill()
        other.join()
    with opened(tmp_path, wait_s=5):
        pass


def test_a_file_that_keeps_its_name_is_replaced_only_when_it_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.put_file("tables/a.txt", lambda place: place.write_text("one"))
        directory.put_file("tables/a.txt", lambda place: place.write_text("one"))
        assert directory.n_written == 1
        directory.put_file("tables/a.txt", lambda place: place.write_text("two"))
    assert [(p.name, p.read_text()) for p in (tmp_path / "tables").iterdir()] == [("a.txt", "two")]
