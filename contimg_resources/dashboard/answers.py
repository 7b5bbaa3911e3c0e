"""Requests and answers in JSON.

Belongs here: reading what the dashboard's own page sends, the form of answers, which no browser
keeps, answering in a thread. Doesn't: their content.
"""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contimg_resources.core.errors import ContimgError
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


def answering(answer: Callable[[Request], Response]) -> _Answer:
    """Answer in a thread; what isn't there is 404."""

    @wraps(answer)
    async def answered(request: Request) -> Response:
        try:
            return await run_in_threadpool(answer, request)
        except ContimgError as error:
            return refused(503 if error.of_surroundings else 404, error.message)
        except OSError as error:
            return refused(503, f"the file can't be read: {error.strerror or error}")

    return answered


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
