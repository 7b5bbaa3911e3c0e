"""The requests of the Virtual Observatory's services.

Belongs here: their addresses. Doesn't: reading parameters (see `answers`), the answers (see the
modules of each service).

==============================================  ==============================================
``scs/sources``, ``scs/candidates``             cone search 1.03
``sia2/query``                                  images and mosaics, SIA 2.0
``tap/sync``, ``tap/async``, ``tap/tables``     ObsTAP: a part of TAP 1.1 (see `jobs`)
``links/images``, ``.../sources``, ``.../candidates``  DataLink 1.1
``light_curve?ID=``                             a light curve, VOTable or CSV
``mosaics/KEY.fits``, ``cutout?ID=&EPOCH=``, ...  the files of links
``capabilities``, ``availability``              VOSI, also below each service
==============================================  ==============================================

All are below ``vo`` of the address of the dashboard's programs; all only read.
"""

import threading
from collections.abc import Sequence
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contimg_resources.core.errors import ContimgError
from contimg_resources.cutouts.places import cutout_path, png_beside
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.variability.added import light_curve_of
from contimg_resources.vo.answers import (
    Answer,
    answer_with,
    answering,
    file_answer,
    or_not_found,
)
from contimg_resources.vo.capabilities import SERVICES, availability, capabilities, tables
from contimg_resources.vo.cones import CONES, search_cone
from contimg_resources.vo.curves import curve_csv, curve_votable
from contimg_resources.vo.images import query_images
from contimg_resources.vo.jobs import Jobs
from contimg_resources.vo.links import CANDIDATE_FILES, answer_links, candidate_file
from contimg_resources.vo.obscore import FITS_TYPE
from contimg_resources.vo.parameters import VOTABLE, Parameters
from contimg_resources.vo.records import VoTables
from contimg_resources.vo.tap import CSV, answer_query
from contimg_resources.vo.votables import failure

_XML = "text/xml"
#: Queries that are executed at the same time.
_AT_ONCE = 2
_PATIENCE_S = 20.0


class VirtualObservatory:
    """Answers the requests of the Virtual Observatory's services."""

    def __init__(self, tables: VoTables) -> None:
        self._tables = tables
        self._queries = threading.BoundedSemaphore(_AT_ONCE)

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        found = [
            *(_route(f"scs/{name}", partial(self._cone, name)) for name in CONES),
            _route("", partial(_capabilities, SERVICES)),
            _route("sia2/query", self._images),
            _route("tap/sync", self._query),
            _route("tap/tables", lambda _, __: answer_with(tables(), _XML)),
            *Jobs(partial(answer_query, self._tables)).routes,
            *(
                _route(f"links/{kind}", partial(self._links, kind))
                for kind in ("images", "sources", "candidates")
            ),
            _route("light_curve", self._light_curve),
            _route("cutout", self._cutout),
            Route("/vo/mosaics/{key}.fits", self._mosaic, methods=["GET"]),
            Route("/vo/mosaics/{key}/{layer}", self._mosaic, methods=["GET"]),
            Route("/vo/candidates/{id}/{name}", self._candidate_file, methods=["GET"]),
        ]
        for place, services in [("", SERVICES), *((f"{s}/", (s,)) for s in SERVICES)]:
            found += [
                _route(f"{place}capabilities", partial(_capabilities, services)),
                _route(f"{place}availability", self._availability),
            ]
        return found

    def _cone(self, name: str, parameters: Parameters, address: str) -> Response:
        table, column = CONES[name]
        rows = self._tables.read(table, address)
        content = search_cone(rows, parameters, column, f"{address}vo/links/{name}")
        return answer_with(content, VOTABLE)

    def _images(self, parameters: Parameters, address: str) -> Response:
        rows = self._tables.images(address)
        return answer_with(query_images(rows, parameters, f"{address}vo/links/images"), VOTABLE)

    def _query(self, parameters: Parameters, address: str) -> Response:
        if not self._queries.acquire(timeout=_PATIENCE_S):
            return answer_with(failure("too many queries at once: try again"), VOTABLE, 503)
        try:
            reply = answer_query(self._tables, parameters, address)
        finally:
            self._queries.release()
        return answer_with(reply.content, reply.media_type)

    def _links(self, kind: str, parameters: Parameters, address: str) -> Response:
        content = answer_links(self._tables, kind, parameters, address)
        return answer_with(content, f"{VOTABLE};content=datalink")

    def _light_curve(self, parameters: Parameters, address: str) -> Response:
        wanted = parameters.response_format(("csv", CSV))
        curve = light_curve_of(self._tables.layout, parameters.needed("ID"))
        if wanted != "votable":
            return answer_with(curve_csv(curve), CSV)
        return answer_with(curve_votable(curve), VOTABLE)

    def _cutout(self, parameters: Parameters, address: str) -> Response:
        root = self._tables.layout.cutouts
        path = cutout_path(root, parameters.needed("ID"), parameters.needed("EPOCH"))
        if parameters.one("KIND", "fits") == "png":
            return file_answer(png_beside(path), "image/png")
        return file_answer(path, FITS_TYPE)

    def _availability(self, parameters: Parameters, address: str) -> Response:
        try:
            self._tables.store.last_event_id()
        except ContimgError as error:
            return answer_with(availability(False, error.message), _XML)
        return answer_with(availability(True), _XML)

    async def _mosaic(self, request: Request) -> Response:
        return await run_in_threadpool(or_not_found, partial(self._mosaic_file, request))

    def _mosaic_file(self, request: Request) -> Response:
        key, layer = request.path_params["key"], request.path_params.get("layer", "")
        record = self._tables.store.mosaics.get(key)
        files = MosaicFiles.in_directory(record.directory, record.key)
        known = {
            "": (files.image, FITS_TYPE),
            "sigma.fits": (files.sigma, FITS_TYPE),
            "coverage.fits": (files.coverage, FITS_TYPE),
            "preview.png": (files.png, "image/png"),
        }
        if layer not in known:
            raise ContimgError(f"mosaic {key} has no {layer}")
        return file_answer(*known[layer])

    async def _candidate_file(self, request: Request) -> Response:
        return await run_in_threadpool(or_not_found, partial(self._file_of_candidate, request))

    def _file_of_candidate(self, request: Request) -> Response:
        name = request.path_params["name"]
        record = self._tables.store.events.candidate(request.path_params["id"])
        if name not in CANDIDATE_FILES:
            raise ContimgError(f"candidate {record.id} has no {name}")
        return file_answer(candidate_file(self._tables, record.id, name), CANDIDATE_FILES[name][0])


def _capabilities(services: Sequence[str], parameters: Parameters, address: str) -> Response:
    return answer_with(capabilities(f"{address}vo/", services), _XML)


def _route(place: str, answer: Answer) -> Route:
    return Route(f"/vo/{place}", answering(answer), methods=["GET", "POST"])
