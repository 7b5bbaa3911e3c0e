"""Answers in JSON, which no browser keeps.

Belongs here: their form, answering in a thread. Doesn't: their content.
"""

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contimg_resources.core.errors import ContimgError

_NOT_KEPT = {"Cache-Control": "no-store"}


def json_answer(content: object) -> JSONResponse:
    """Return an answer."""
    return JSONResponse(content, headers=_NOT_KEPT)


def refused(status: int, why: str) -> JSONResponse:
    """Return an answer that says why there is none."""
    return JSONResponse({"error": why}, status, headers=_NOT_KEPT)


def answering(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
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
