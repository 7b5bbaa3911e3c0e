"""DataLink 1.1: what belongs to an image, a source or a candidate.

Belongs here: the links of each. Doesn't: the files behind them (see `service`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np

from contimg_resources.core.errors import BadRequest, ContimgError
from contimg_resources.core.naming import check_name
from contimg_resources.cutouts.places import cutouts_of
from contimg_resources.export.tables import About
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.model import Artefact, ArtefactKind
from contimg_resources.vo.obscore import FITS_TYPE, IMAGE, best_images
from contimg_resources.vo.parameters import VOTABLE, Parameters, shortened
from contimg_resources.vo.records import VoTables
from contimg_resources.vo.votables import results

_MOST_IDS = 100
_MOST_CUTOUTS = 200
_STANDARD = "ivo://ivoa.net/std/DataLink#links-1.1"
_SERIES = "http://www.ivoa.net/rdf/product-type#timeseries"

#: The columns that DataLink prescribes.
LINKS = {
    "ID": About("Identifier", ucd="meta.id;meta.main"),
    "access_url": About("Address", ucd="meta.ref.url"),
    "service_def": About("Service", ucd="meta.ref"),
    "error_message": About("Why there is no address", ucd="meta.code.error"),
    "description": About("Description", ucd="meta.note"),
    "semantics": About("Relation to what the identifier names", ucd="meta.code"),
    "content_type": About("Media type", ucd="meta.code.mime"),
    "content_length": About("Size", "byte", "phys.size;meta.file"),
    "content_qualifier": About("Kind of the data", ucd="meta.code"),
}

#: Further layers of an image.
_LAYERS = {
    ArtefactKind.IMAGE: "Image, not corrected for the primary beam",
    ArtefactKind.RESIDUAL: "Residual image",
    ArtefactKind.PSF: "Point-spread function",
    ArtefactKind.PRIMARY_BEAM: "Primary beam",
}
#: Files of a candidate, by their names in the address: media type, relation, description.
CANDIDATE_FILES = {
    "card.png": ("image/png", "#preview-plot", "Card: light curve, template, neighbours"),
    "voevent.xml": ("application/xml", "#derivation", "VOEvent 2.0 for observers"),
    "report.json": ("application/json", "#derivation", "Report for observers"),
    "chart.png": ("image/png", "#preview-image", "Finding chart"),
}


@dataclass(frozen=True)
class Link:
    """A link."""

    semantics: str  #: Relation to what the identifier names, a word of DataLink's vocabulary.
    url: str  #: Address.
    description: str  #: Description.
    media_type: str  #: Media type.
    size_bytes: int = 0  #: Size, bytes; 0: unknown.
    qualifier: str = ""  #: Kind of the data.


def answer_links(tables: VoTables, kind: str, parameters: Parameters, address: str) -> bytes:
    """Return the links of identifiers; one that isn't known has an error in its row.

    Parameters
    ----------
    tables : VoTables
        The tables.
    kind : str
        ``images`` (mosaics too), ``sources`` or ``candidates``.
    parameters : Parameters
        Parameters of the request.
    address : str
        Address of the dashboard's programs.

    Raises
    ------
    BadRequest
        If there are too many identifiers.
    """
    parameters.response_format()
    names = parameters.all("ID")
    if len(names) > _MOST_IDS:
        raise BadRequest(f"ID: at most {_MOST_IDS} in one request")
    find: Callable[[str], Iterator[Link]] = {
        "images": lambda name: _of_image(tables, name, address),
        "sources": lambda name: _of_source(tables, name, address),
        "candidates": lambda name: _of_candidate(tables, name, address),
    }[kind]
    rows: list[tuple[str, ...]] = []
    sizes: list[int] = []
    for name in names:
        try:
            found = list(find(name))
        except ContimgError as error:
            found, reason = [], f"NotFoundFault: {error.message}"
            rows.append((name, "", "", reason, "", "#this", "", ""))
            sizes.append(0)
        for one in found:
            told = ("", "", one.description, one.semantics, one.media_type, one.qualifier)
            rows.append((name, one.url, *told))
            sizes.append(one.size_bytes)
    texts = [name for name in LINKS if name != "content_length"]
    values = {name: np.array([row[i] for row in rows], np.str_) for i, name in enumerate(texts)} | {
        "content_length": np.array(sizes, np.int64)
    }
    return results("links", LINKS, {name: values[name] for name in LINKS})


def curve_address(address: str, source_id: str) -> str:
    """Return the address of a light curve."""
    return f"{address}vo/light_curve?{urlencode({'ID': source_id})}"


def _of_image(tables: VoTables, name: str, address: str) -> Iterator[Link]:
    named = tables.obscore.parse_did(name)
    if named is None:
        raise ContimgError(f"{shortened(name)} is no identifier of an image here")
    kind, key = named
    if kind == IMAGE:
        made = [a for a in tables.store.artefacts(key) if a.kind in _IMAGES and a.path.is_file()]
        yield from _layers(key, made, address)
        return
    mosaic = tables.store.mosaics.get(key)
    files = MosaicFiles.in_directory(mosaic.directory, key)
    here = f"{address}vo/mosaics/{key}"
    if not files.image.is_file():
        raise ContimgError(f"{files.image.name} is gone")
    yield Link("#this", f"{here}.fits", "Mosaic", FITS_TYPE, mosaic.size_bytes)
    for path, ending, word, what, media in (
        (files.sigma, "sigma.fits", "#noise", "Expected noise", FITS_TYPE),
        (files.coverage, "coverage.fits", "#weight", "Number of images", FITS_TYPE),
        (files.png, "preview.png", "#preview-image", "Picture", "image/png"),
    ):
        if path.is_file():
            yield Link(word, f"{here}/{ending}", what, media, path.stat().st_size)
    for tile in sorted(mosaic.tiles):
        url = f"{address}observations/{quote(tile)}/{ArtefactKind.IMAGE_PBCOR}.fits"
        yield Link("#progenitor", url, f"Image {tile}", FITS_TYPE)


_IMAGES = (ArtefactKind.IMAGE_PBCOR, *_LAYERS)


def _layers(key: str, made: list[Artefact], address: str) -> Iterator[Link]:
    main = dict(
        best_images((key, a) for a in made if a.kind in (ArtefactKind.IMAGE_PBCOR, "image"))
    ).get(key)
    if main is None:
        raise ContimgError(f"observation {key} has no image")
    here = f"{address}observations/{key}"
    yield Link("#this", f"{here}/{main.kind}.fits", "Image", FITS_TYPE, main.size_bytes)
    yield Link("#preview-image", f"{here}/{main.kind}.webp", "Picture", "image/webp")
    for one in made:
        if one.kind != main.kind:
            what = _LAYERS[ArtefactKind(one.kind)]
            url = f"{here}/{one.kind}.fits"
            yield Link("#auxiliary", url, what, FITS_TYPE, one.size_bytes)


def _of_source(tables: VoTables, source_id: str, address: str) -> Iterator[Link]:
    if not tables.has_source(source_id):
        raise ContimgError(f"there is no source {shortened(source_id)}")
    yield _curve(source_id, "#this", address)
    yield _page("lightcurves", source_id, address)
    yield from _cutouts(tables, source_id, address)


def _of_candidate(tables: VoTables, candidate_id: str, address: str) -> Iterator[Link]:
    record = tables.store.events.candidate(candidate_id)
    yield _page("candidates", record.id, address)
    yield _curve(record.source_id, "#progenitor", address)
    for name, (media, word, what) in CANDIDATE_FILES.items():
        path = candidate_file(tables, record.id, name)
        if path.is_file():
            url = f"{address}vo/candidates/{quote(record.id, safe='')}/{name}"
            yield Link(word, url, what, media, path.stat().st_size)
    yield from _cutouts(tables, record.source_id, address)


def candidate_file(tables: VoTables, candidate_id: str, name: str) -> Path:
    """Return the path of one of the `CANDIDATE_FILES` of a candidate.

    Raises
    ------
    InvalidName
        If the id isn't safe as a file name.
    """
    stem = check_name(candidate_id, "candidate id")
    if name == "card.png":
        return tables.layout.card(stem)
    ending = {"voevent.xml": "xml", "report.json": "json", "chart.png": "png"}[name]
    return tables.layout.follow_up(f"{stem}.{ending}")


def _curve(source_id: str, semantics: str, address: str) -> Link:
    url = curve_address(address, source_id)
    return Link(semantics, url, f"Light curve of {source_id}", VOTABLE, qualifier=_SERIES)


def _page(view: str, name: str, address: str) -> Link:
    dashboard = address.removesuffix("/").rpartition("/")[0]
    url = f"{dashboard}/#/{view}/{quote(name, safe='')}"
    return Link("#documentation", url, "Page in the dashboard", "text/html")


def _cutouts(tables: VoTables, source_id: str, address: str) -> Iterator[Link]:
    for one in cutouts_of(tables.layout.cutouts, source_id)[-_MOST_CUTOUTS:]:
        for ending, word, media in (
            ("fits", "#cutout", FITS_TYPE),
            ("png", "#preview-image", "image/png"),
        ):
            asked = urlencode({"ID": source_id, "EPOCH": one.epoch, "KIND": ending})
            yield Link(word, f"{address}vo/cutout?{asked}", f"Cutout at {one.epoch}", media)
