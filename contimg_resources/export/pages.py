"""Splitting of documents into pages, and rounding of their numbers.

Belongs here: the borders of pages, the bytes of each page, rounding columns and single numbers.
Doesn't: the contents, files, units, the choice of numbers.

A page ends before an item whose key marks a border, not after a fixed number of items: an added or
removed item changes only its own page, and the others keep their content and name.

NaN and infinity stay in the lists of `decimals` and `significant`; they become null when the page
is encoded.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import to_json

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import ExportFailed
from contimg_resources.export.parts import SCHEMA_VERSION

#: 0.09 s.
MJD_DECIMALS = 6
#: 4 milliarcsec.
DEG_DECIMALS = 6
#: 0.1 uJy.
MJY_DECIMALS = 4
#: Significant digits of quantities without a typical size.
DIGITS = 6


def decimals(values: Floats, places: int) -> list[float]:
    """Return a column rounded to `places` decimals."""
    return np.round(np.asarray(values, np.float64), places).tolist()  # type: ignore[no-any-return]


def significant(values: Floats, digits: int = DIGITS) -> list[float]:
    """Return a column rounded to `digits` significant digits."""
    return [float(f"{v:.{digits}g}") for v in np.asarray(values, np.float64).tolist()]


def finite(value: Any, digits: int = DIGITS) -> float | None:
    """Return a number rounded to `digits` significant digits; None if it isn't finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(f"{float(value):.{digits}g}") if math.isfinite(value) else None


def known(value: float, places: int) -> float | None:
    """Return a number rounded to `places` decimals; None if it isn't finite."""
    return round(float(value), places) if math.isfinite(value) else None


def rounded(value: float, places: int) -> float:
    """Return a required number rounded to `places` decimals."""
    return round(float(value), places)


#: Maximum size of a JSON file.
LIMIT_BYTES = 1_000_000
#: Typical size of a page; well below the limit, so that few pages are split for their size.
_AIM_BYTES = 400_000
#: A page doesn't end before this fraction of it, however few items there are.
_LEAST_SHARE = 0.25


class Item(NamedTuple):
    """The unit of splitting: an element of a list, or a row of columns."""

    key: str  #: Determines the borders of pages.
    label: str | float  #: Source id or MJD (days), for the index.
    body: Any  #: The element as JSON (bytes), or the row's values (tuple).
    size_bytes: int  #: Its contribution to the size of a page.


@dataclass(frozen=True)
class Paged:
    """A document to be split."""

    document: str  #: Its name.
    items: Iterable[Item]  #: Items in order.
    typical_bytes: float  #: Approximate size of an item.
    #: Encodes bodies as a page; its second argument is whether the page is the first.
    encode: Callable[[Sequence[Any], bool], bytes]


@dataclass(frozen=True)
class PageContent:
    """A page that isn't written yet."""

    number: int  #: Number of the page, from 0.
    data: bytes  #: JSON in UTF-8.
    labels: tuple[str | float, ...]  #: Labels of its items.


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
    """Return a document that consists of a list of elements.

    The list is in `field`; the items' bodies are JSON. Without `typical_bytes`, the approximate
    size of an item is measured, which needs all items in memory. `head` are values at the start of
    every page, `first` those of the first page only.
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
    """Return a document that consists of columns, all as long as `keys`."""
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
    """Split a document into pages: at least one, none larger than the limit.

    Raises
    ------
    ExportFailed
        If a single item is too large.
    """
    room_bytes = limit_bytes - len(paged.encode((), True))
    aim_bytes = min(_AIM_BYTES, limit_bytes // 2)
    # A power of two stays the same while the items grow slowly.
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
