"""Requests and answers of the Virtual Observatory's services over HTTP.

Belongs here: reading parameters, errors as DALI wants them, headers, files. Doesn't: addresses (see
`service`), contents.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from contimg_resources.core.errors import BadRequest, ContimgError
from contimg_resources.vo.parameters import VOTABLE, Parameters
from contimg_resources.vo.tap import LONGEST
from contimg_resources.vo.votables import failure

_LONGEST_BODY = 200_000
#: Headers of every answer.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}

#: Answers the parameters of a request; the text is the address of the dashboard's programs.
Answer = Callable[[Parameters, str], Response]


def address_of_programs(request: Request) -> str:
    """Return the address of the dashboard's programs, as the client reached it."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    prefix = request.url.path.partition("/vo/")[0]
    return f"{'https' if scheme == 'https' else 'http'}://{request.url.netloc}{prefix}/"


def answering(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Answer in a thread; an error is a VOTable with its reason.

    Wrong requests have status 200, as clients read the reason only then.
    """

    async def answered(request: Request) -> Response:
        try:
            parameters = await parameters_of(request)
            return await run_in_threadpool(answer, parameters, address_of_programs(request))
        except ContimgError as error:
            status = 503 if error.of_surroundings else 200
            return answer_with(failure(error.message), VOTABLE, status)
        except OSError as error:
            reason = f"a file can't be read: {error.strerror or error}"
            return answer_with(failure(reason), VOTABLE, 503)

    return answered


async def parameters_of(request: Request) -> Parameters:
    """Return the parameters in the address and in the form of a request.

    Raises
    ------
    BadRequest
        If they aren't parameters, or there are too many.
    """
    pairs = request.query_params.multi_items()
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise BadRequest("expected a form (application/x-www-form-urlencoded); no uploads here")
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > _LONGEST_BODY:
                raise BadRequest(f"the request has more than {_LONGEST_BODY} bytes")
        pairs += Parameters.pairs_of_form(bytes(content))
    return Parameters(pairs, **LONGEST)


def or_not_found(find: Callable[[], Response]) -> Response:
    """Return a file; a reason with status 404 where there is none."""
    try:
        return find()
    except ContimgError as error:
        return or_status(error, 404)


def or_status(error: ContimgError, status: int) -> Response:
    """Return the reason of an error as text; status 503 if the surroundings are to blame."""
    found = 503 if error.of_surroundings else status
    return answer_with(f"{error.message}\n".encode(), "text/plain; charset=utf-8", found)


def file_answer(path: Path, media_type: str) -> Response:
    """Return a file.

    Raises
    ------
    ContimgError
        If it is gone.
    """
    if not path.is_file():
        raise ContimgError(f"{path.name} is gone")
    headers = {k: v for k, v in HEADERS.items() if k != "Cache-Control"}
    return FileResponse(path, media_type=media_type, filename=path.name, headers=headers)


def answer_with(content: bytes, media_type: str, status: int = 200) -> Response:
    """Return content with the headers of every answer."""
    return Response(content, status, media_type=media_type, headers=HEADERS)
