"""Requests for the images of a product.

Belongs here: pictures, files and single values of named layers. Doesn't: drawing (see `pictures`),
records (see `observing`, `mosaics`).

=============================  =====================================================================
``GET KEY/LAYER.webp``         the image; ``?x=&y=&columns=&rows=`` a part of it in all its pixels;
                               ``?width=`` a smaller picture
``GET KEY/LAYER.svg?width=``   a smaller picture, of twice as many pixels, for sharp screens
``GET KEY/LAYER.fits``         its file
``GET KEY/LAYER/pixel?x=&y=``  the value of a pixel, from 0, as stored
=============================  =====================================================================

With ``at=OTHER`` a picture and a value are those of the same layer of another product, on the
pixels of this one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from contimg_resources.core.errors import ContimgError
from contimg_resources.dashboard.answers import answering, json_answer, refused
from contimg_resources.dashboard.pictures import (
    LONGEST,
    Box,
    Layer,
    describe,
    draw,
    size_of,
    value_at,
)
from contimg_resources.imaging.preview import svg_of

#: Pixels of a screen in a CSS pixel, of a picture for pages that can't ask for their screen's.
DENSITY = 2
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)

#: Returns the layers of a product by kind, those whose files are there, in the order of the menu.
LayersOf = Callable[[str], Mapping[str, Layer]]


class ImagePages:
    """Answers the requests for the images of products of one kind.

    Parameters
    ----------
    what : str
        The kind, in messages and as the first part of addresses: ``observation``.
    layers_of : callable
        Returns the layers of a product; raises `ContimgError` if there is no such product.
    """

    def __init__(self, what: str, layers_of: LayersOf) -> None:
        self._what = what
        self._layers_of = layers_of

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        place = f"/{self._what}s/{{key}}/{{layer}}"
        return [
            Route(place + ".webp", answering(self._picture), methods=["GET"]),
            Route(place + ".svg", answering(self._sharp), methods=["GET"]),
            Route(place + ".fits", answering(self._file), methods=["GET"]),
            Route(place + "/pixel", answering(self._pixel), methods=["GET"]),
        ]

    def described(self, key: str) -> list[dict[str, Any]]:
        """Return the layers of a product for its page: kind, name, size, unit, coordinates."""
        return [
            {"kind": kind, "name": layer.name, **describe(layer)}
            for kind, layer in self._layers_of(key).items()
        ]

    def _picture(self, request: Request) -> Response:
        layer, on = self._asked(request)
        box = None
        if "columns" in request.query_params:
            wanted = _numbers(request, "x", "y", "columns", "rows")
            columns, rows = size_of(on or layer)
            box = None if wanted is None else Box(*wanted)
            if box is None or not _is_within(box, columns, rows):
                return refused(400, f"expected a part of {columns} x {rows} pixels")
            if max(box.columns, box.rows) > LONGEST:
                return refused(400, f"a part has at most {LONGEST} x {LONGEST} pixels")
        width = _width(request)
        if width == 0:
            return refused(400, f"a width is 1 to {LONGEST} pixels")
        if box is None and on is None and width is not None:
            return _unless_known(request, [layer], partial(_small, layer, width), "image/webp")
        drawn = partial(draw, layer, box, on, width=width)
        return _unless_known(request, [layer, on], drawn, "image/webp")

    def _sharp(self, request: Request) -> Response:
        layer = self._layer(request.path_params["key"], request.path_params["layer"])
        if not (width := _width(request)):
            return refused(400, f"expected a width of 1 to {LONGEST} pixels")
        columns, rows = size_of(layer)

        def drawn() -> bytes:
            webp = _small(layer, min(LONGEST, DENSITY * width))
            return svg_of(webp, width, max(1, round(width * rows / columns))).encode()

        return _unless_known(request, [layer], drawn, "image/svg+xml")

    def _file(self, request: Request) -> Response:
        path = self._asked(request)[0].path
        return FileResponse(path, media_type="application/fits", filename=path.name)

    def _pixel(self, request: Request) -> Response:
        layer, on = self._asked(request)
        at = _numbers(request, "x", "y")
        if at is None:
            return refused(400, "expected x and y")
        columns, rows = size_of(on or layer)
        x, y = at
        if not _is_within(Box(x, y, 1, 1), columns, rows):
            return refused(400, f"pixels are from 0, 0 to {columns - 1}, {rows - 1}")
        return json_answer({"value": value_at(layer, x, y, on)})

    def _asked(self, request: Request) -> tuple[Layer, Layer | None]:
        """Return the image that a request names, and the one on whose pixels it is wanted.

        Raises
        ------
        ContimgError
            If there is no such product, layer or file.
        """
        key, kind = request.path_params["key"], request.path_params["layer"]
        other = request.query_params.get("at")
        mine = self._layer(key, kind)
        return (mine, None) if other is None else (self._layer(other, kind), mine)

    def _layer(self, key: str, kind: str) -> Layer:
        try:
            return self._layers_of(key)[kind]
        except KeyError:
            raise ContimgError(f"{self._what} {key} has no {kind}, or its file is gone") from None


@lru_cache(maxsize=256)
def _small(layer: Layer, width: int) -> bytes:
    """Return a smaller picture of a whole image: lists show many, again and again."""
    return draw(layer, width=width)


def _unless_known(
    request: Request, shown: Sequence[Layer | None], drawn: Callable[[], bytes], media_type: str
) -> Response:
    """Return a picture of the layers `shown`, unless the browser has it."""
    named = [one.checksum[-40:] for one in shown if one]
    etag = f'"{"-".join([*named, request.query_params.get("width", "")])}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(drawn(), media_type=media_type, headers=headers)


def _width(request: Request) -> int | None:
    """Return the width that a request wants, pixels; None: any, 0: an impossible one."""
    text = request.query_params.get("width", "")
    if not text:
        return None
    return int(text) if _NUMBER.fullmatch(text) and int(text) <= LONGEST else 0


def _numbers(request: Request, *names: str) -> tuple[int, ...] | None:
    """Return whole numbers of a request's address; None if one is missing or isn't one."""
    try:
        return tuple(int(request.query_params[name]) for name in names)
    except (KeyError, ValueError):
        return None


def _is_within(box: Box, columns: int, rows: int) -> bool:
    return (
        min(box.x, box.y) >= 0
        and min(box.columns, box.rows) > 0
        and box.x + box.columns <= columns
        and box.y + box.rows <= rows
    )
