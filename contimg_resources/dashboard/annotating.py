"""Tags, comments and favourites added in the browser.

Belongs here: the requests by which the dashboard reads, adds and withdraws them. Doesn't: who does
it (see `people`), marks (see `vetting`).

=====================  ===============================================================
``GET annotations``    all present annotations, as in the document ``annotations``
``POST annotations``   adds one, or withdraws a tag or favourite
=====================  ===============================================================
"""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.core.errors import ContimgError, InvalidName, VariabilityFailed
from contimg_resources.core.plain_text import plain, plain_line
from contimg_resources.dashboard.answers import guarded, json_answer, read_body, refused
from contimg_resources.dashboard.people import People, log
from contimg_resources.products.annotations import Annotated, Annotation
from contimg_resources.products.events import AnnotationKind, Subject
from contimg_resources.products.store import ProductsStore


class Annotating:
    """Answers the requests about annotations."""

    def __init__(self, store: ProductsStore, people: People) -> None:
        self._store = store
        self._people = people

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        return [
            Route("/annotations", self._list, methods=["GET"]),
            Route("/annotations", guarded(self._annotate), methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        try:
            found = await run_in_threadpool(self._store.annotations.present)
        except ContimgError as error:
            return refused(503, error.message)
        items = [_told(subject, name, one) for (subject, name), one in found.items()]
        return json_answer({"annotations": items})

    async def _annotate(self, request: Request) -> Response:
        name = self._people.name_of(request)
        if name is None:
            return refused(403, "sign in to add tags and comments")
        try:
            body = await read_body(request)
            subject, kind = Subject(body["subject"]), AnnotationKind(body["kind"])
            known, text = body["id"], body.get("text", "")
            withdrawn = body.get("withdraw", False)
            if not (
                isinstance(known, str) and isinstance(text, str) and withdrawn in (True, False)
            ):
                raise TypeError
            # No database takes half a character.
            known.encode()
        except (ValueError, KeyError, TypeError):
            kinds = ", ".join(repr(k.value) for k in AnnotationKind)
            return refused(400, f"expected a subject, its id, a kind ({kinds}) and a text")
        record = Annotation(subject, known, kind, plain(text), name, is_withdrawn=withdrawn is True)
        try:
            found = await run_in_threadpool(self._put, record)
        except InvalidName as error:
            return refused(400, error.message)
        except VariabilityFailed as error:
            return refused(404, error.message)
        except ContimgError as error:
            return refused(503, error.message)
        verb = "withdrew" if record.is_withdrawn else "added"
        about = plain_line(f"{subject} {known}: {text}" if text else f"{subject} {known}")
        log.info("%s %s a %s of %s", name, verb, kind.value, about)
        return json_answer(_told(subject, known, found))

    def _put(self, record: Annotation) -> Annotated:
        if record.subject is Subject.CANDIDATE:
            self._store.events.candidate(record.subject_id)
        return self._store.annotations.put(record)


def _told(subject: Subject, name: str, found: Annotated) -> dict[str, object]:
    return {"subject": subject.value, "id": name, **found.as_document()}
