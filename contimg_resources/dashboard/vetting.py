"""Marks made in the browser.

Belongs here: the requests by which the dashboard reads and adds marks, and people sign in. Doesn't:
who makes them (see `people`), tags and comments (see `annotating`), the files of the dashboard (see
`serving`).

==================  ==================================================================
``GET session``     the person, and how to sign in
``POST session``    signs in with a token
``DELETE session``  signs out
``GET marks``       all marks, by candidate, as they are now
``POST marks``      adds a mark
==================  ==================================================================
"""

from collections import defaultdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.core.errors import ContimgError, VariabilityFailed
from contimg_resources.core.plain_text import plain, plain_line
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.dashboard.answers import guarded, json_answer, read_body, refused
from contimg_resources.dashboard.people import COOKIE, People, TooManyAttempts, log
from contimg_resources.products.events import Mark, MarkRecord
from contimg_resources.products.store import ProductsStore

_LONGEST_NOTE = 2000


class Vetting:
    """Answers the requests about marks."""

    def __init__(self, store: ProductsStore, people: People) -> None:
        self._store = store
        self._people = people

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        return [
            Route("/session", self._session, methods=["GET"]),
            Route("/session", guarded(self._sign_in), methods=["POST"]),
            Route("/session", guarded(self._sign_out), methods=["DELETE"]),
            Route("/marks", self._marks, methods=["GET"]),
            Route("/marks", guarded(self._mark), methods=["POST"]),
        ]

    async def _session(self, request: Request) -> Response:
        return json_answer(
            {"name": self._people.name_of(request), "tokens": self._people.has_tokens}
        )

    async def _sign_in(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not self._people.has_tokens:
            return refused(404, "nobody signs in here with a token")
        try:
            token = str((await read_body(request))["token"])
            cookie = self._people.sign_in(token, address)
        except (ValueError, KeyError, TypeError):
            return refused(400, "expected a token")
        except TooManyAttempts:
            log.warning("too many wrong tokens, the last from %s", address)
            return refused(429, "too many wrong tokens: try again in a minute")
        if cookie is None:
            log.warning("a wrong token from %s", address)
            return refused(403, "no such token")
        request.cookies[COOKIE] = cookie
        name = self._people.name_of(request)
        log.info("%s signed in from %s", name, address)
        answer = json_answer({"name": name, "tokens": True})
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        self._people.sign_out(request)
        answer = json_answer({"name": None, "tokens": self._people.has_tokens})
        answer.delete_cookie(COOKIE)
        return answer

    async def _marks(self, request: Request) -> Response:
        try:
            marks = await run_in_threadpool(self._store.events.list_marks)
        except ContimgError as error:
            return refused(503, error.message)
        found: dict[str, list[dict[str, str]]] = defaultdict(list)
        for mark in marks:
            found[mark.candidate_id].append(_told(mark))
        return json_answer({"marks": found})

    async def _mark(self, request: Request) -> Response:
        name = self._people.name_of(request)
        if name is None:
            return refused(403, "sign in to mark candidates")
        try:
            body = await read_body(request)
            mark = Mark(body["mark"])
            candidate, note = body["candidate"], body.get("note", "")
            if not isinstance(candidate, str) or not isinstance(note, str):
                raise TypeError
            # No database takes half a character.
            candidate.encode()
        except (ValueError, KeyError, TypeError):
            marks = ", ".join(repr(m.value) for m in Mark)
            return refused(400, f"expected a candidate, a mark ({marks}) and a note")
        if len(note) > _LONGEST_NOTE:
            return refused(400, f"a note has at most {_LONGEST_NOTE} characters")
        record = MarkRecord(candidate, mark, plain(note), name)
        try:
            made = await run_in_threadpool(self._store.events.put_mark, record)
        except VariabilityFailed as error:
            return refused(404, error.message)
        except ContimgError as error:
            return refused(503, error.message)
        log.info("%s marked %s as %s: %s", name, candidate, mark.value, plain_line(note))
        return json_answer({"candidate": candidate, "mark": _told(made)})


def _told(mark: MarkRecord) -> dict[str, str]:
    """Return a mark as the documents have it."""
    return {
        "mark": mark.mark.value,
        "note": mark.note,
        "by": mark.by,
        "utc": f"{isot_from_mjd(mark.created_mjd)}Z",
    }
