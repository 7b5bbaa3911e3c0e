"""A document is split into pages.

Belongs here: where it is cut, and the bytes of each page. Doesn't: what is in it, files.

Pages are cut before an item whose key says so, not after so many items: one that is added or that
goes changes the page that it is in, and the others stay as they are, under the same name.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import to_json

from contimg_resources.core.errors import ExportFailed
from contimg_resources.export.model import SCHEMA_VERSION

#: No JSON file is larger.
LIMIT_BYTES = 1_000_000
#: What pages have on average; well below the limit, so that few are cut for their size.
_AIM_BYTES = 400_000
#: A page isn't cut earlier than at this share of it, however few items there are.
_LEAST_SHARE = 0.25


class Item(NamedTuple):
    """What isn't split: an element of a list, or a row of columns.

    Parameters
    ----------
    key : str
        Says where pages are cut.
    label : str or float
        Source id or MJD (days), for the index.
    body : bytes or tuple
        The element as JSON, or the row's values.
    size_bytes : int
        What it adds to a page.
    """

    key: str
    label: str | float
    body: Any
    size_bytes: int


@dataclass(frozen=True)
class Paged:
    """A document that is to be split.

    Parameters
    ----------
    document : str
        Its name.
    items : iterable of Item
        In order.
    typical_bytes : float
        Size of an item, about.
    encode : callable
        Makes a page of bodies; told whether it is the first one.
    """

    document: str
    items: Iterable[Item]
    typical_bytes: float
    encode: Callable[[Sequence[Any], bool], bytes]


@dataclass(frozen=True)
class PageContent:
    """A page that isn't written yet.

    Parameters
    ----------
    number : int
        From 0.
    data : bytes
        JSON in UTF-8.
    labels : tuple
        Of its items.
    """

    number: int
    data: bytes
    labels: tuple[str | float, ...]


def encoded(value: Any) -> bytes:
    """Return compact JSON in UTF-8; NaN and infinity become null."""
    return to_json(value, inf_nan_mode="null")


def elements(
    document: str,
    field: str,
    items: Iterable[Item],
    *,
    typical_bytes: float | None = None,
    head: dict[str, Any] | None = None,
    first: dict[str, Any] | None = None,
) -> Paged:
    """Return a document that is a list of elements.

    Parameters
    ----------
    document : str
        Its name.
    field : str
        Name of its list.
    items : iterable of Item
        Their bodies are JSON.
    typical_bytes : float, optional
        Size of an item, about; None: measured, which needs all of them at once.
    head : dict, optional
        What every page says.
    first : dict, optional
        What the first page says besides.
    """
    if typical_bytes is None:
        items = list(items)
        typical_bytes = sum(i.size_bytes for i in items) / max(len(items), 1)

    def encode(bodies: Sequence[Any], is_first: bool) -> bytes:
        said = {**_about(document), **(head or {}), **((first or {}) if is_first else {})}
        parts = (encoded(said)[:-1], b',"', field.encode(), b'":[', b",".join(bodies), b"]}")
        return b"".join(parts)

    return Paged(document, items, typical_bytes, encode)


def element(key: str, label: str | float, value: Any) -> Item:
    """Return an element of a list as an item."""
    body = encoded(value)
    return Item(key, label, body, len(body) + 1)


def columns(
    document: str, values: dict[str, list[Any]], keys: Sequence[str], labels: Sequence[str | float]
) -> Paged:
    """Return a document that is a set of columns, all as long as `keys`."""
    rows = list(zip(*values.values(), strict=True))
    items = [
        Item(key, label, row, len(encoded(row)))
        for key, label, row in zip(keys, labels, rows, strict=True)
    ]

    def encode(bodies: Sequence[Any], is_first: bool) -> bytes:
        turned = zip(*bodies, strict=True) if bodies else ((),) * len(values)
        return encoded({**_about(document), **dict(zip(values, turned, strict=True))})

    typical_bytes = sum(i.size_bytes for i in items) / max(len(items), 1)
    return Paged(document, items, typical_bytes, encode)


def split(paged: Paged, limit_bytes: int = LIMIT_BYTES) -> Iterator[PageContent]:
    """Return the pages of a document: one at least, none larger than the limit.

    Raises
    ------
    ExportFailed
        If one item alone is too large.
    """
    room_bytes = limit_bytes - len(paged.encode((), True))
    aim_bytes = min(_AIM_BYTES, limit_bytes // 2)
    # A power of two: it stays the same while the items grow.
    often = 1 << max(0, int(aim_bytes / max(paged.typical_bytes, 1.0)).bit_length() - 1)
    number, size_bytes = 0, 0
    held: list[Item] = []
    for item in paged.items:
        if item.size_bytes > room_bytes:
            raise ExportFailed(
                f"{paged.document}: {item.label} alone has {item.size_bytes} bytes, and no page "
                f"may have more than {limit_bytes}",
                document=paged.document,
                item=str(item.label),
            )
        full = size_bytes + item.size_bytes > room_bytes
        may_end = size_bytes >= _LEAST_SHARE * aim_bytes
        if held and (full or (may_end and zlib.crc32(item.key.encode()) % often == 0)):
            yield _page(paged, number, held)
            number, size_bytes, held = number + 1, 0, []
        held.append(item)
        size_bytes += item.size_bytes
    if held or not number:
        yield _page(paged, number, held)


def _page(paged: Paged, number: int, held: list[Item]) -> PageContent:
    data = paged.encode([i.body for i in held], number == 0)
    return PageContent(number, data, tuple(i.label for i in held))


def _about(document: str) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "document": document}
