"""Copies of an export directory in a bucket of S3, with moto as the server, and elsewhere."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.core.errors import ConfigurationError, ExportFailed
from contimg_resources.export.bucket import LIST, copy_export
from contimg_resources.export.directory import opened
from contimg_resources.export.pages import PageContent

ADDRESS = "s3://nights/contimg"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a file system on an empty bucket, whose endpoint and keys are in the environment."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = s3fs.S3FileSystem()
    store.mkdir("nights")
    yield store
    server.stop()


def exported(root: Path, text: str) -> Path:
    """Export one page and one table with some text, and return the directory."""
    with opened(root) as held:
        path = held.put_page("observations", PageContent(1, text.encode(), ()))
        held.put_file("tables/light_curves.parquet", lambda new: new.write_text(text))
        told = {"document": "index", "pages": {"observations": [{"path": path}]}}
        held.publish(json.dumps(told).encode(), 61000.0)
    return root


def page_of(store: Any, root: str) -> str:
    """Return the text of the page that the index of a copy names."""
    (page,) = json.loads(store.cat_file(f"{root}/index.json"))["pages"]["observations"]
    return str(store.cat_file(f"{root}/{page['path']}").decode())


def test_a_bucket_gets_what_is_new_and_loses_what_is_gone(tmp_path: Path, bucket: Any) -> None:
    first = copy_export(exported(tmp_path / "out", "a night"), ADDRESS)
    assert (first.n_files, first.n_written, first.n_removed) == (3, 3, 0)
    assert page_of(bucket, "nights/contimg") == "a night"
    assert copy_export(tmp_path / "out", ADDRESS).n_written == 0

    # The earlier index and its page are kept for a day, there as here.
    second = copy_export(exported(tmp_path / "out", "the next"), ADDRESS)
    assert (second.n_written, second.n_removed) == (4, 0)
    assert page_of(bucket, "nights/contimg") == "the next"
    for file in (tmp_path / "out" / "previous").iterdir():
        file.unlink()
    bucket.rm("nights/contimg/tables/light_curves.parquet")
    third = copy_export(tmp_path / "out", ADDRESS)
    assert (third.n_written, third.n_removed) == (1, 1)
    here = {p for p in (tmp_path / "out").rglob("[!.]*") if p.is_file()}
    there = {p.removeprefix("nights/contimg/") for p in bucket.find("nights/contimg")}
    assert there == {p.relative_to(tmp_path / "out").as_posix() for p in here} | {LIST}
    with pytest.raises(ExportFailed, match=r"can't be copied to s3://missing/x: .*bucket"):
        copy_export(tmp_path / "out", "s3://missing/x")


def test_a_copy_that_ends_half_way_leaves_the_earlier_one_and_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    address = f"memory://{os.getpid()}/copy"
    root = f"/{os.getpid()}/copy"
    copy_export(exported(tmp_path / "out", "a night"), address)
    exported(tmp_path / "out", "the next")

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put_file", refuse)
        with pytest.raises(ExportFailed, match="Connection reset by peer; the earlier copy"):
            copy_export(tmp_path / "out", address)
    assert page_of(store, root) == "a night"
    copy_export(tmp_path / "out", address)
    assert page_of(store, root) == "the next"


def test_what_is_no_copy_of_an_export_is_refused(tmp_path: Path) -> None:
    exported(tmp_path / "out", "a night")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ExportFailed, match="isn't empty and holds no copy"):
        copy_export(tmp_path / "out", f"file://{tmp_path}/other")
    with pytest.raises(ConfigurationError, match="is no address of a file system"):
        copy_export(tmp_path / "out", "s4://bucket")
    with pytest.raises(ConfigurationError, match=r"sftp://me:\*\*\*@host/x needs a Python package"):
        copy_export(tmp_path / "out", "sftp://me:open-sesame@host/x")
    copied = copy_export(tmp_path / "out", str(tmp_path / "new" / "copy"))
    assert copied.n_files == 3
    assert (tmp_path / "new" / "copy" / "index.json").is_file()
