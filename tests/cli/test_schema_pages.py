import json
from pathlib import Path

from contimg_resources.export.schemas import DIRECTORY, schemas
from tools.docs_pages import write_schema_pages

PAGES = Path(__file__).parents[2] / "docs" / DIRECTORY


def test_the_published_schemas_are_those_of_the_documents() -> None:
    published = {p.stem: p.read_text() for p in PAGES.glob("*")}
    assert published == schemas(), "run `make docs`"


def test_schemas_of_documents_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone = tmp_path / DIRECTORY / "gone.json"
    gone.parent.mkdir(parents=True)
    gone.write_text("{}")
    write_schema_pages(tmp_path)
    assert {p.stem for p in gone.parent.iterdir()} == set(schemas())


def test_schemas_allow_names_that_come_later() -> None:
    assert len(schemas()) > 5
    for text in schemas().values():
        assert '"additionalProperties": false' not in text
        assert json.loads(text)["$schema"].endswith("2020-12/schema")
