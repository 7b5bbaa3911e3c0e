"""Writing of all documents, in an order in which readers never see an incomplete export.

Belongs here: the list of documents, tables and schemas, and the index. Doesn't: the contents of
each, reading the stores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.export import tables
from contimg_resources.export.candidates import annotations_document, candidates_document
from contimg_resources.export.directory import ExportDirectory
from contimg_resources.export.model import Index, Page
from contimg_resources.export.nights import (
    calibration_document,
    mosaics_document,
    observations_document,
    quality_document,
)
from contimg_resources.export.pages import Paged, encoded, rounded, split
from contimg_resources.export.schemas import DIRECTORY as SCHEMAS
from contimg_resources.export.schemas import schemas
from contimg_resources.export.sources import (
    light_curves_document,
    sound_points,
    source_columns,
    sources_document,
    variables_document,
)
from contimg_resources.export.state import PlatformState
from contimg_resources.export.status import night_status

TELESCOPE = "DSA-110"


@dataclass(frozen=True)
class Written:
    """Written files."""

    index: Path  #: The index.
    pages: dict[str, tuple[Page, ...]]  #: Pages by document.


def write_documents(
    directory: ExportDirectory,
    state: PlatformState,
    *,
    now_mjd: float,
    software: Mapping[str, str],
    run_id: str = "",
    progress: Progress = no_progress,
) -> Written:
    """Write all documents, tables and schemas, and finally the index.

    The caller holds the directory; `now_mjd` is in days; `software` and `run_id` go into the index.

    Raises
    ------
    ExportFailed
        If an item is too large for a page.
    """
    state = replace(state, points=sound_points(state.points))
    progress("light curves", 0.1)
    curves = _write(directory, light_curves_document(state.points, state.structure))
    page_of = {str(name): i for i, (_, names) in enumerate(curves) for name in names}
    sources = source_columns(state.points, state.variability)
    progress("other documents", 0.5)
    documents = {
        "observations": observations_document(state),
        "calibration": calibration_document(state),
        "image_quality": quality_document(state),
        "mosaics": mosaics_document(state),
        "sources": sources_document(sources, page_of, state.indices),
        "variables": variables_document(state.variability),
        "candidates": candidates_document(state, page_of, directory.put_copy),
        "annotations": annotations_document(state.annotations),
    }
    pages = {
        name: tuple(page for page, _ in _write(directory, paged))
        for name, paged in documents.items()
    }
    pages["light_curves"] = tuple(page for page, _ in curves)
    progress("tables", 0.7)
    files = {
        "sources.vot": lambda place: tables.write_sources_votable(place, sources),
        "sources.parquet": lambda place: tables.write_sources_parquet(place, sources),
        "light_curves.parquet": lambda place: tables.write_points_parquet(place, state.points),
        "candidates.vot": lambda place: tables.write_candidates_votable(
            place, state.candidates, state.marks
        ),
    }
    for name, write in files.items():
        directory.put_file(f"tables/{name}", write)
    for name, text in schemas().items():
        directory.put_file(f"{SCHEMAS}/{name}.json", partial(Path.write_text, data=text))
    index = Index(
        generated_mjd=rounded(now_mjd, 6),
        generated_utc=f"{isot_from_mjd(now_mjd)}Z",
        software=dict(software),
        run_id=run_id,
        telescope=TELESCOPE,
        status=night_status(state),
        pages=pages,
        files={name: f"tables/{name}" for name in files}
        | {f"schema of {name}": f"{SCHEMAS}/{name}.json" for name in schemas()},
    )
    return Written(directory.publish(encoded(index), now_mjd), pages)


def _write(directory: ExportDirectory, paged: Paged) -> list[tuple[Page, tuple[str | float, ...]]]:
    written = []
    for content in split(paged):
        page = Page(
            path=directory.put_page(paged.document, content),
            n_items=len(content.labels),
            size_bytes=len(content.data),
            first=content.labels[0] if content.labels else None,
            last=content.labels[-1] if content.labels else None,
        )
        written.append((page, content.labels))
    return written
