"""Requests and answers in JSON.

Belongs here: reading what the dashboard's own page sends, the form of answers, which no browser
keeps. Doesn't: their content.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contimg_resources.dashboard.people import is_of_this_page

_NOT_KEPT = {"Cache-Control": "no-store"}
_LONGEST_BODY = 20_000

_Answer = Callable[[Request], Awaitable[Response]]


def json_answer(content: object) -> JSONResponse:
    """Return an answer."""
    return JSONResponse(content, headers=_NOT_KEPT)


def refused(status: int, why: str) -> JSONResponse:
    """Return an answer that says why there is none."""
    return JSONResponse({"error": why}, status, headers=_NOT_KEPT)


def guarded(answer: _Answer) -> _Answer:
    """Refuse requests that another site's page makes."""

    async def of_this_page(request: Request) -> Response:
        if not is_of_this_page(request):
            return refused(403, "this isn't asked by the dashboard's own page")
        return await answer(request)

    return of_this_page


async def read_body(request: Request) -> dict[str, Any]:
    """Read an object from the body of a request.

    Raises
    ------
    ValueError, TypeError
        If it is too long, no JSON or no object.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > _LONGEST_BODY:
            raise ValueError
    try:
        body = json.loads(content)
    except RecursionError as error:
        raise ValueError from error
    if not isinstance(body, dict):
        raise TypeError
    return body
