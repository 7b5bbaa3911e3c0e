"""Reprocessing a day from the browser.

Belongs here: the requests of the form. Doesn't: the launch (see `contimg_resources.cli`), who asks
(see `people`).

==================  ====================================================================
``GET reprocess``   the choices of the form; none where nobody can launch anything
``POST reprocess``  launches a run of the asset `reprocessed_day`, and answers its address
==================  ====================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.core.errors import ContimgError, NoAnswerInTime
from contimg_resources.dashboard.answers import guarded, json_answer, read_body, refused
from contimg_resources.dashboard.people import People, log


@dataclass(frozen=True)
class Launcher:
    """The means to reprocess a day."""

    first_day: Callable[[], date]  #: Returns the first UTC day that can be reprocessed.
    #: `which`, `steps`: Choices of observations, and of the first step.
    which: tuple[str, ...]
    steps: tuple[str, ...]
    is_ready: Callable[[], bool]  #: Whether a platform runs.
    #: Launches a run for a day, a choice of observations and a first step; returns its address.
    launch: Callable[[date, str, str], str]


class Reprocessing:
    """Answers the requests about reprocessing."""

    def __init__(self, people: People, launcher: Launcher) -> None:
        self._people = people
        self._launcher = launcher

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        return [
            Route("/reprocess", self._choices, methods=["GET"]),
            Route("/reprocess", guarded(self._reprocess), methods=["POST"]),
        ]

    async def _choices(self, request: Request) -> Response:
        mine = self._people.name_of(request) is not None
        launcher = self._launcher
        if not (mine and await run_in_threadpool(launcher.is_ready)):
            return json_answer({"first_day": None, "which": [], "steps": []})
        first_day = await run_in_threadpool(launcher.first_day)
        return json_answer(
            {
                "first_day": first_day.isoformat(),
                "which": launcher.which,
                "steps": launcher.steps,
            }
        )

    async def _reprocess(self, request: Request) -> Response:
        name = self._people.name_of(request)
        if name is None:
            return refused(403, "sign in to reprocess observations")
        launcher = self._launcher
        try:
            body = await read_body(request)
            day, which, step = date.fromisoformat(body["day"]), body["only"], body["step"]
            if which not in launcher.which or step not in launcher.steps:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return refused(400, "expected a day (YYYY-MM-DD), a choice of observations and a step")
        first_day = await run_in_threadpool(launcher.first_day)
        if not first_day <= day <= datetime.now(UTC).date():
            return refused(400, f"the days are from {first_day} until today")
        try:
            address = await run_in_threadpool(launcher.launch, day, which, step)
        except NoAnswerInTime as error:
            log.warning("%s reprocessed %s: %s, from %s: no answer", name, day, which, step)
            return refused(
                504,
                f"{error.message}. Perhaps a run was launched: look at Dagster's list of runs "
                "before you try again",
            )
        except ContimgError as error:
            return refused(503, f"{error.message}. Nothing was launched")
        log.info("%s reprocessed %s: %s, from %s: %s", name, day, which, step, address)
        return json_answer({"run": address})
