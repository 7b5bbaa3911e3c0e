import json
import math
from typing import Any

import pytest

from contimg_resources.core.errors import ExportFailed
from contimg_resources.export.model import Observations
from contimg_resources.export.pages import Item, columns, element, elements, encoded, split


def listed(n: int, size: int = 100) -> list[Item]:
    return [
        element(f"k{i}", float(i), {"key": f"k{i}", "text": "x" * (size - 30)}) for i in range(n)
    ]


def test_all_items_are_in_the_pages_once_and_in_order() -> None:
    pages = list(split(elements("observations", "observations", listed(5000)), 20_000))
    assert len(pages) > 10
    assert all(len(p.data) <= 20_000 for p in pages)
    read = [o["key"] for p in pages for o in json.loads(p.data)["observations"]]
    assert read == [f"k{i}" for i in range(5000)]
    assert [p.number for p in pages] == list(range(len(pages)))


def test_a_document_without_items_has_one_page() -> None:
    (page,) = split(elements("observations", "observations", []))
    assert Observations.model_validate_json(page.data) == Observations(observations=())
    assert page.labels == ()


def test_one_item_more_leaves_nearly_all_pages_as_they_are() -> None:
    items = listed(5000)
    before = {p.data for p in split(elements("observations", "observations", items), 20_000)}
    del items[2000]
    after = {p.data for p in split(elements("observations", "observations", items), 20_000)}
    assert len(after - before) <= 2


def test_columns_are_split_by_rows() -> None:
    n = 3000
    values: dict[str, list[Any]] = {
        "a": [float(i) for i in range(n)],
        "b": [math.nan if i % 2 else "é" for i in range(n)],
    }
    keys = [str(i) for i in range(n)]
    pages = list(split(columns("sources", values, keys, keys), 10_000))
    assert all(len(p.data) <= 10_000 for p in pages)
    read = [json.loads(p.data) for p in pages]
    assert [a for page in read for a in page["a"]] == values["a"]
    assert [b for page in read for b in page["b"]][:4] == ["é", None, "é", None]
    assert all(
        len(page["a"]) == len(page["b"]) == len(p.labels)
        for page, p in zip(read, pages, strict=True)
    )


def test_columns_without_rows() -> None:
    (page,) = split(columns("sources", {"a": [], "b": []}, [], []))
    assert json.loads(page.data) == {"schema_version": 2, "document": "sources", "a": [], "b": []}


def test_the_first_page_says_more_and_still_fits() -> None:
    paged = elements("c", "sets", listed(400), head={"day": 1}, first={"gaps": ["y" * 4000]})
    pages = list(split(paged, 10_000))
    assert all(len(p.data) <= 10_000 for p in pages)
    assert [("gaps" in json.loads(p.data), json.loads(p.data)["day"]) for p in pages][:2] == [
        (True, 1),
        (False, 1),
    ]


def test_what_is_larger_than_a_page_is_named() -> None:
    with pytest.raises(ExportFailed, match=r"^observations: 7\.0 alone has \d+ bytes"):
        list(split(elements("observations", "o", [element("k", 7.0, "x" * 2000)]), 1000))


def test_nothing_that_json_does_not_know_is_encoded() -> None:
    assert encoded([math.nan, math.inf, -math.inf, 1.5]) == b"[null,null,null,1.5]"
