"""Positions of names that people search for.

Belongs here: looking names up among calibrators, in the platform's catalogues and in Sesame.
Doesn't: names that are positions themselves, which the page reads; parts of ids.

================================  ==========================================
``GET names?name=3C48``           position of a name, and who knows it
================================  ==========================================
"""

import re
from pathlib import Path
from urllib.parse import quote

import requests
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from urllib3.exceptions import HTTPError

from contimg_resources.catalogues.calibrator_lists import load_calibrators
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.core.errors import CalibratorNotFound, ContimgError, in_words_of_network
from contimg_resources.core.plain_text import plain_line
from contimg_resources.dashboard.answers import json_answer, refused
from contimg_resources.dashboard.people import is_of_this_page

_LONGEST_NAME = 80
#: To connect, and between parts of the answer.
_TIMEOUT_S = (3.0, 5.0)
_MOST_BYTES = 50_000
#: A line of Sesame's plain answer: right ascension and declination, ICRS degrees.
_POSITION = re.compile(r"^%J\s+([0-9.]+)\s+([-+]?[0-9.]+)", re.MULTILINE)

#: Name as it is known, RA and Dec (ICRS, degrees), and who knows it.
Found = tuple[str, float, float, str]


class Names:
    """Answers the requests about names.

    Parameters
    ----------
    catalogues : Path
        Directory of the catalogues.
    calibrator_list : Path, optional
        The user's own calibrators.
    sesame_url : str
        Address of Sesame; empty: it isn't asked.
    """

    def __init__(self, catalogues: Path, calibrator_list: Path | None, sesame_url: str) -> None:
        self._catalogues = CatalogueStore(catalogues)
        self._calibrator_list = calibrator_list
        self._sesame_url = sesame_url

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        return [Route("/names", self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        # The server asks others: no other page may make it do so.
        if not is_of_this_page(request):
            return refused(403, "this isn't asked by the dashboard's own page")
        name = plain_line(request.query_params.get("name", "")).strip()
        if not name or len(name) > _LONGEST_NAME:
            return refused(400, f"expected a name of at most {_LONGEST_NAME} characters")
        try:
            known, ra_deg, dec_deg, by = await run_in_threadpool(self.find, name)
        except ContimgError as error:
            return refused(404, error.message)
        return json_answer({"name": known, "ra_deg": ra_deg, "dec_deg": dec_deg, "known_by": by})

    def find(self, name: str) -> Found:
        """Return the position of a name.

        Raises
        ------
        ContimgError
            If nobody knows it; the message says who was asked.
        """
        try:
            one = load_calibrators(self._calibrator_list).find(name)
            return one.name, one.ra_deg, one.dec_deg, "the list of calibrators"
        except CalibratorNotFound:
            pass
        catalogues = self._catalogues.names()
        for title in catalogues:
            sources = self._catalogues.open(title).named(name)
            if len(sources):
                place = float(sources.ra_deg[0]), float(sources.dec_deg[0])
                return str(sources.name[0] or sources.source_id[0]), *place, f"catalogue {title}"
        others = f" and no source of {', '.join(catalogues)}" if catalogues else ""
        return self._of_sesame(name, f"no calibrator{others} is called {name!r}")

    def _of_sesame(self, name: str, unknown: str) -> Found:
        if not self._sesame_url:
            raise ContimgError(f"{unknown}. Sesame isn't asked (setting dashboard.sesame_url)")
        try:
            with requests.get(
                f"{self._sesame_url}/-oI/SNV?{quote(name)}", timeout=_TIMEOUT_S, stream=True
            ) as response:
                response.raise_for_status()
                text = response.raw.read(_MOST_BYTES, decode_content=True).decode(errors="replace")
        except (HTTPError, OSError, ValueError) as error:
            raise ContimgError(
                f"{unknown}, and Sesame can't be asked: {in_words_of_network(error)}"
            ) from error
        place = _POSITION.search(text)
        try:
            ra_deg, dec_deg = (float(number) for number in place.groups()) if place else (-1.0, 0.0)
        except ValueError:
            ra_deg, dec_deg = -1.0, 0.0
        if not (0 <= ra_deg <= 360 and -90 <= dec_deg <= 90):
            raise ContimgError(f"{unknown}, and Sesame doesn't know it either")
        return name, ra_deg, dec_deg, "Sesame"
