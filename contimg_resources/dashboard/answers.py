"""Answers in JSON, which no browser keeps.

Belongs here: their form. Doesn't: their content.
"""

from starlette.responses import JSONResponse

_NOT_KEPT = {"Cache-Control": "no-store"}


def json_answer(content: object) -> JSONResponse:
    """Return an answer."""
    return JSONResponse(content, headers=_NOT_KEPT)


def refused(status: int, why: str) -> JSONResponse:
    """Return an answer that says why there is none."""
    return JSONResponse({"error": why}, status, headers=_NOT_KEPT)
