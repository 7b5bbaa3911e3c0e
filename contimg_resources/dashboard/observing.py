"""One observation in the browser: its record, and its images at full resolution.

Belongs here: the requests by which the dashboard reads them from the stores and the images' files.
Doesn't: the documents (see `contimg_resources.export`), display.

==========================================  ==========================================
``GET observations/KEY``                    record, history, image statistics, layers
``GET observations/KEY/LAYER.webp``         an image, a picture element a pixel; ``?width=`` smaller
``GET observations/KEY/LAYER.fits``         its file
``GET observations/KEY/LAYER/pixel?x=&y=``  the value of a pixel, from 0, as stored
==========================================  ==========================================
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import wraps
from io import BytesIO
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from matplotlib import colormaps
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from contimg_resources.core.arrays import Singles
from contimg_resources.core.errors import ContimgError
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.dashboard.answers import json_answer, refused
from contimg_resources.database import plain_json
from contimg_resources.images.reading import read_raw
from contimg_resources.imaging.png import brightness_levels
from contimg_resources.products.model import Artefact, ArtefactKind
from contimg_resources.products.store import ProductsStore

#: Kinds of products that are images, and what the page calls them.
LAYERS = {
    ArtefactKind.IMAGE: "image",
    ArtefactKind.RESIDUAL: "residual",
    ArtefactKind.IMAGE_PBCOR: "corrected for the primary beam",
    ArtefactKind.PSF: "PSF",
    ArtefactKind.PRIMARY_BEAM: "primary beam",
}
_ORDER = [str(kind) for kind in LAYERS]
#: Their pixels are between 0 and 1.
_RESPONSES = (ArtefactKind.PSF, ArtefactKind.PRIMARY_BEAM)
_QUALITY = 80
#: Pixels: the limit of WebP.
_WIDEST = 16_383
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_SIN = ["RA---SIN", "DEC--SIN"]


class ObservationPages:
    """Answers the requests about observations."""

    def __init__(
        self, store: ProductsStore, dagster: Callable[[], str | None] = lambda: None
    ) -> None:
        self._store = store
        self._dagster = dagster

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        place = "/observations/{key}"
        return [
            Route(place, _answering(self._observation), methods=["GET"]),
            Route(place + "/{layer}.webp", _answering(self._picture), methods=["GET"]),
            Route(place + "/{layer}.fits", _answering(self._file), methods=["GET"]),
            Route(place + "/{layer}/pixel", _answering(self._pixel), methods=["GET"]),
        ]

    def _observation(self, request: Request) -> Response:
        key = request.path_params["key"]
        record = self._store.get(key)
        files = self._store.artefacts(key)
        layers = [a for a in files if a.kind in LAYERS and a.path.is_file()]
        image = self._store.image(key)
        return json_answer(
            {
                "record": plain_json(
                    {
                        "key": record.key,
                        "path": record.path,
                        "start_mjd": record.start_mjd,
                        "mid_mjd": record.mid_mjd,
                        "end_mjd": record.end_mjd,
                        "dec_deg": record.declination_deg,
                        "calibrator": record.calibrator,
                        "state": record.state.value,
                        "step": record.step,
                        "reason": record.reason,
                    }
                ),
                "history": [
                    {
                        "utc": f"{isot_from_mjd(e.at_mjd)}Z",
                        "state": e.state.value,
                        "step": e.step,
                        "message": e.message,
                        "run_id": e.run_id,
                    }
                    for e in self._store.history(key)
                ],
                "statistics": None if image is None else plain_json(asdict(image)),
                "products": [
                    {"kind": a.kind, "path": str(a.path), "size_bytes": a.size_bytes} for a in files
                ],
                "dagster": self._dagster(),
                "layers": [
                    {"kind": a.kind, "name": LAYERS[ArtefactKind(a.kind)], **_grid(a)}
                    for a in sorted(layers, key=lambda a: _ORDER.index(a.kind))
                ],
            }
        )

    def _picture(self, request: Request) -> Response:
        artefact = self._layer(request)
        width = request.query_params.get("width", "")
        if width and not (_NUMBER.fullmatch(width) and int(width) <= _WIDEST):
            return refused(400, f"a width is 1 to {_WIDEST} pixels")
        etag = f'"{artefact.checksum[:40]}{width and "-" + width}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        image = self._store.image(request.path_params["key"])
        rms_jy = 1e-3 * ((image.rms_mjy if image else None) or 0.0)
        content = _drawn(
            read_raw(artefact.path), artefact.kind in _RESPONSES, rms_jy, int(width or _WIDEST)
        )
        return Response(content, media_type="image/webp", headers=headers)

    def _file(self, request: Request) -> Response:
        path = self._layer(request).path
        return FileResponse(path, media_type="application/fits", filename=path.name)

    def _pixel(self, request: Request) -> Response:
        artefact = self._layer(request)
        try:
            x, y = (int(request.query_params[name]) for name in "xy")
        except (KeyError, ValueError):
            return refused(400, "expected x and y")
        with fits.open(artefact.path, memmap=True) as hdus:
            plane = hdus[0].data[0, 0]
            rows, columns = plane.shape
            if not (0 <= x < columns and 0 <= y < rows):
                return refused(400, f"pixels are from 0, 0 to {columns - 1}, {rows - 1}")
            value = float(plane[y, x])
        return json_answer({"value": value if np.isfinite(value) else None})

    def _layer(self, request: Request) -> Artefact:
        """Return the product that a request names.

        Raises
        ------
        ContimgError
            If there is no such observation, layer or file.
        """
        key, layer = request.path_params["key"], request.path_params["layer"]
        for artefact in self._store.artefacts(key):
            if artefact.kind == layer and artefact.kind in LAYERS:
                if artefact.path.is_file():
                    return artefact
                raise ContimgError(f"{artefact.path} is gone")
        raise ContimgError(f"observation {key} has no {layer}")


def _answering(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
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


def _grid(artefact: Artefact) -> dict[str, Any]:
    """Return size, unit and coordinates of an image: those of a SIN projection without rotation."""
    header = fits.getheader(artefact.path)
    wcs = WCS(header).celestial.wcs
    found = {"columns": header["NAXIS1"], "rows": header["NAXIS2"], "unit": header.get("BUNIT", "")}
    is_plain = list(wcs.ctype) == _SIN and not np.any(wcs.get_pc() != np.eye(2))
    names = ("crval", "crpix", "cdelt")
    return found | ({n: list(map(float, getattr(wcs, n))) for n in names} if is_plain else {})


def _drawn(pixels: Singles, is_response: bool, rms_jy: float, width: int) -> bytes:
    """Return a WebP picture; the first row of the image is at its bottom."""
    if is_response:
        scaled = np.clip(pixels, 0.0, 1.0)
    else:
        low, high, linear = brightness_levels(pixels, rms_jy)
        low, high = np.arcsinh(low / linear), np.arcsinh(high / linear)
        scaled = np.clip((np.arcsinh(pixels / linear) - low) / (high - low), 0.0, 1.0)
    levels = np.rint(255 * np.nan_to_num(scaled, nan=0.0)).astype(np.uint8)[::-1]
    colours = (255 * colormaps["inferno"](np.arange(256))[:, :3]).astype(np.uint8)
    buffer = BytesIO()
    picture = Image.fromarray(colours[levels])
    picture.thumbnail((width, _WIDEST), Image.Resampling.LANCZOS)
    picture.save(buffer, format="WEBP", quality=_QUALITY, method=0)
    return buffer.getvalue()
