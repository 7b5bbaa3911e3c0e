"""A copy of an export opens by double click, without a server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.dashboard.from_files import one_script
from contimg_resources.dashboard.serving import install_dashboard
from tests.conftest import needs_browser
from tests.dashboard.conftest import go
from tests.dashboard.made_up_export import CANDIDATES, DIPPING, MadeUpExport


@needs_browser
def test_the_copy_shows_its_views(
    export: MadeUpExport, tmp_path: Path, new_page: Callable[..., Any]
) -> None:
    copy = tmp_path / "a copy"
    shutil.copytree(export.directory, copy)
    install_dashboard(copy, from_files=True)
    page = new_page(expected="net::ERR_FILE_NOT_FOUND")
    address = (copy / "index.html").as_uri()
    assert "Needs attention: 2 problems" in go(page, address, "tonight").text_content()
    card = go(page, address, f"candidates/{CANDIDATES[0]}")
    assert "44.2 ± 1.9 days" in card.text_content()
    picture = card.locator(".strip img").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("i => i.complete && i.naturalWidth", arg=picture.element_handle())
    source = go(page, address, f"lightcurves/{DIPPING}")
    assert "299 measurements, 8 of them flagged" in source.text_content()
    # Choices are in the address of a file, too.
    go(page, address, "candidates")
    page.locator("#candidates-sort-0").click()
    page.wait_for_url("**table*by=*")
    for script in copy.glob("observations/*.js"):
        script.unlink()
    page.goto(f"{address}#/observations")
    said = page.get_by_role("alert").text_content()
    assert "contimg export --out DIR writes one that opens without a server" in said


def test_scripts_follow_the_documents(tmp_path: Path) -> None:
    def export(name: str) -> None:
        (tmp_path / "mosaics" / name).write_text('{"document": "mosaics"}\n')
        index = {"document": "index", "pages": {"mosaics": [{"path": f"mosaics/{name}"}]}}
        (tmp_path / "index.json").write_text(json.dumps(index))

    (tmp_path / "mosaics").mkdir()
    export("0000-0123456789ab.json")
    install_dashboard(tmp_path)
    assert list(tmp_path.rglob("*.json.js")) == []
    install_dashboard(tmp_path, from_files=True)
    (script,) = (tmp_path / "mosaics").glob("*.js")
    handed = 'contimgDocument("mosaics/0000-0123456789ab.json", {"document": "mosaics"});\n'
    assert script.read_text() == handed
    page = (tmp_path / "index.html").read_text()
    # Later exports and servers keep that ability.
    export("0000-ba9876543210.json")
    install_dashboard(tmp_path)
    assert [p.name for p in (tmp_path / "mosaics").glob("*.js")] == ["0000-ba9876543210.json.js"]
    assert "ba9876543210" in (tmp_path / "index.json.js").read_text()
    assert (tmp_path / "index.html").read_text() == page


def test_modules_become_one_script_or_none(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "b.js").write_text("export const two = 2;\nexport class Three {}\n")
    main = tmp_path / "main.js"
    main.write_text(
        'import { two as second } from "./views/b.js";\nimport * as all from "./views/b.js";\n'
        "export async function show() { return second + all.two; }\n"
    )
    text = one_script(tmp_path)
    assert text.index('modules["views/b.js"] = ') < text.index('modules["main.js"] = ')
    assert 'const { two: second } = modules["views/b.js"];' in text
    assert 'const all = modules["views/b.js"];' in text
    assert "return { two, Three };" in text
    assert text.count("class Three") == 1
    main.write_text('import other from "./views/b.js";\n')
    with pytest.raises(ValueError, match=r"main.js: 'import other from .* isn't among the forms"):
        one_script(tmp_path)
