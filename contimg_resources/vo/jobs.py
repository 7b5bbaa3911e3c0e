"""Asynchronous queries of TAP: jobs as the IVOA's UWS 1.1 defines them.

Belongs here: the jobs, their addresses and documents. Doesn't: queries (see `tap`).

=============================  =================================================================
``tap/async``                  POST makes a job, with ``PHASE=RUN`` it starts; the list that GET
                               returns is empty, because a job belongs to who knows its address
``tap/async/ID``               the job, with ``WAIT=`` seconds after its phase changed; DELETE
``tap/async/ID/phase``         POST ``PHASE=RUN`` or ``ABORT``
``tap/async/ID/parameters``    POST changes them before it runs
``.../results/result``         its table; ``.../error`` its reason as a VOTable
=============================  =================================================================

Jobs are in the memory of this process: they end with it, or after an hour.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from xml.sax.saxutils import escape, quoteattr

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from contimg_resources.core.errors import BadRequest, ContimgError
from contimg_resources.vo.adql import LONGEST_RUN_S
from contimg_resources.vo.answers import (
    HEADERS,
    address_of_programs,
    answer_with,
    or_status,
    parameters_of,
)
from contimg_resources.vo.parameters import VOTABLE, Parameters
from contimg_resources.vo.tap import Reply
from contimg_resources.vo.votables import failure, for_xml

#: Time for which a job is kept, seconds.
KEPT_S = 3600
_MOST_JOBS = 20
_LONGEST_WAIT_S, _POLL_S = 30.0, 0.1
_NAMESPACES = (
    'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="1.1"'
)
#: Parameters of jobs, not of their queries.
_OF_JOBS = frozenset(("PHASE", "WAIT", "ACTION"))


_RUNNING = ("QUEUED", "EXECUTING")
_ACTIVE = ("PENDING", *_RUNNING)


@dataclass
class _Job:
    id: str
    address: str
    parameters: list[tuple[str, str]]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    phase: str = "PENDING"
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    media_type: str = ""

    @property
    def url(self) -> str:
        return f"{self.address}vo/tap/async/{self.id}"

    @property
    def destruction(self) -> datetime:
        return self.created + timedelta(seconds=KEPT_S)

    def document(self) -> str:
        """Return the job as XML."""
        parameters = "".join(
            f"<uws:parameter id={quoteattr(for_xml(n))}>{escape(for_xml(v))}</uws:parameter>"
            for n, v in self.parameters
        )
        result = f'<uws:result id="result" xlink:href={quoteattr(self.url + "/results/result")}/>'
        reason = f"<uws:message>{escape(for_xml(self.reason))}</uws:message>"
        parts = {
            "jobId": self.id,
            "ownerId": None,
            "phase": self.phase,
            "quote": None,
            "creationTime": _utc(self.created),
            "startTime": self.started and _utc(self.started),
            "endTime": self.ended and _utc(self.ended),
            "executionDuration": f"{LONGEST_RUN_S:.0f}",
            "destruction": _utc(self.destruction),
            "parameters": parameters,
            "results": result if self.phase == "COMPLETED" else "",
        }
        body = "".join(
            f'<uws:{n} xsi:nil="true"/>' if text is None else f"<uws:{n}>{text}</uws:{n}>"
            for n, text in parts.items()
        )
        if self.phase == "ERROR":
            body += f'<uws:errorSummary type="fatal" hasDetail="true">{reason}</uws:errorSummary>'
        return f"<uws:job {_NAMESPACES}>{body}</uws:job>"


class Jobs:
    """Answers the requests about asynchronous queries; one is executed at a time.

    Parameters
    ----------
    answer : callable
        Answers a query; the text is the address of the dashboard's programs.
    """

    def __init__(self, answer: Callable[[Parameters, str], Reply]) -> None:
        self._answer = answer
        self._jobs: dict[str, _Job] = {}
        self._lock, self._turn = Lock(), Lock()

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        place = "/vo/tap/async"
        methods = ["GET", "POST"]
        return [
            Route(place, _answering(self._list), methods=methods),
            Route(f"{place}/{{id}}", _answering(self._job), methods=[*methods, "DELETE"]),
            Route(f"{place}/{{id}}/{{part:path}}", _answering(self._part), methods=methods),
        ]

    @cached_property
    def _results(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="contimg-tap-")

    async def _list(self, request: Request, parameters: Parameters) -> Response:
        if request.method == "GET":
            return _document(f"<uws:jobs {_NAMESPACES}/>")
        job = _Job(secrets.token_urlsafe(16), address_of_programs(request), _asked(parameters))
        with self._lock:
            self._make_room()
            self._jobs[job.id] = job
        if parameters.one("PHASE") is not None:
            self._change(job, parameters.one("PHASE"))
        return _see(job.url)

    async def _job(self, request: Request, parameters: Parameters) -> Response:
        job = self._get(request)
        if request.method == "DELETE" or parameters.one("ACTION", "") == "DELETE":
            with self._lock:
                self._forget(job)
            return _see(f"{job.address}vo/tap/async")
        if parameters.one("WAIT") is not None:
            # -1 stands for as long as possible.
            wait_s = parameters.number("WAIT", -1, 1e9)
            end_s = time.monotonic() + (
                min(wait_s, _LONGEST_WAIT_S) if wait_s >= 0 else _LONGEST_WAIT_S
            )
            known = parameters.one("PHASE", job.phase)
            while job.phase == known and job.phase in _ACTIVE and time.monotonic() < end_s:
                await asyncio.sleep(_POLL_S)
        return _document(job.document())

    async def _part(self, request: Request, parameters: Parameters) -> Response:
        job, part = self._get(request), request.path_params["part"]
        if request.method == "POST":
            if part == "phase":
                self._change(job, parameters.needed("PHASE"))
            elif part == "parameters":
                with self._lock:
                    if job.phase != "PENDING":
                        raise BadRequest(f"the job is {job.phase}: its parameters are fixed")
                    new = dict(_asked(parameters))
                    kept = [pair for pair in job.parameters if pair[0] not in new]
                    job.parameters = [*kept, *new.items()]
            elif part not in ("executionduration", "destruction"):
                raise ContimgError(f"nothing can be sent to {part}")
            # Durations are the same for all.
            return _see(job.url)
        if part == "results/result" and job.phase == "COMPLETED":
            return FileResponse(self._file(job), media_type=job.media_type, headers=HEADERS)
        if part == "error" and job.phase == "ERROR":
            return answer_with(failure(job.reason), VOTABLE)
        names = {"executionduration": "executionDuration", "owner": "ownerId"}
        tag = names.get(part, part)
        if part not in (*names, "phase", "quote", "destruction", "parameters", "results"):
            raise ContimgError(f"the job has no {part}")
        inner = job.document().partition(f"<uws:{tag}>")[2].partition(f"</uws:{tag}>")[0]
        if part in ("parameters", "results"):
            return _document(f"<uws:{part} {_NAMESPACES}>{inner}</uws:{part}>")
        return answer_with(inner.encode(), "text/plain; charset=utf-8")

    def _get(self, request: Request) -> _Job:
        job = self._jobs.get(request.path_params["id"])
        if job is None or job.destruction < datetime.now(UTC):
            raise ContimgError("there is no such job, or no longer")
        return job

    def _change(self, job: _Job, wanted: str | None) -> None:
        with self._lock:
            if wanted == "RUN" and job.phase == "PENDING":
                job.phase = "QUEUED"
                Thread(target=self._run, args=(job,), daemon=True).start()
            elif wanted == "ABORT" and job.phase in _ACTIVE:
                # An executing query ends at its limit of time; its result is dropped.
                job.phase, job.ended = "ABORTED", datetime.now(UTC)
            elif wanted not in ("RUN", "ABORT"):
                raise BadRequest("PHASE: expected RUN or ABORT")

    def _run(self, job: _Job) -> None:
        with self._turn:
            with self._lock:
                if job.phase != "QUEUED":
                    return
                job.phase, job.started = "EXECUTING", datetime.now(UTC)
            reason = "the query failed unexpectedly"
            try:
                reply = self._answer(Parameters(job.parameters), job.address)
                self._file(job).write_bytes(reply.content)
                job.media_type, reason = reply.media_type, ""
            except ContimgError as error:
                reason = error.message
            except OSError as error:
                reason = f"a file can't be read or written: {error.strerror or error}"
            finally:
                with self._lock:
                    if job.phase == "EXECUTING":
                        job.phase = "ERROR" if reason else "COMPLETED"
                        job.reason, job.ended = reason, datetime.now(UTC)
                    if job.phase != "COMPLETED" or job.id not in self._jobs:
                        self._file(job).unlink(missing_ok=True)

    def _file(self, job: _Job) -> Path:
        return Path(self._results.name) / job.id

    def _forget(self, job: _Job) -> None:
        if self._jobs.pop(job.id, None) is not None and job.phase not in _RUNNING:
            self._file(job).unlink(missing_ok=True)
        elif job.phase in _RUNNING:
            job.phase = "ABORTED"

    def _make_room(self) -> None:
        """Forget jobs that are too old, and the oldest others where there are too many."""
        now = datetime.now(UTC)
        idle = [job for job in self._jobs.values() if job.phase not in _RUNNING]
        surplus = len(self._jobs) + 1 - _MOST_JOBS
        for number, job in enumerate(idle):
            if number < surplus or job.destruction < now:
                self._forget(job)
        if len(self._jobs) >= _MOST_JOBS:
            raise BadRequest("too many jobs at once: try again")


def _answering(
    answer: Callable[[Request, Parameters], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await answer(request, await parameters_of(request))
        except ContimgError as error:
            return or_status(error, 400 if isinstance(error, BadRequest) else 404)

    return answered


def _asked(parameters: Parameters) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parameters.pairs if name not in _OF_JOBS]


def _see(url: str) -> Response:
    return RedirectResponse(url, 303, headers=HEADERS)


def _document(body: str) -> Response:
    return answer_with(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode(), "text/xml")


def _utc(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
