"""The documents of candidates, and of people's annotations.

Belongs here: the data of a candidate's card, with marks, neighbours and cutouts, and annotations,
within size limits. Doesn't: searching, drawing.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Ints
from contimg_resources.core.errors import InvalidName
from contimg_resources.core.naming import check_name
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.export.appearances import appearance_item
from contimg_resources.export.model import (
    AnnotationsItem,
    CandidateItem,
    CutoutItem,
    MarkItem,
    Neighbour,
)
from contimg_resources.export.nights import LONGEST_TEXT
from contimg_resources.export.pages import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    MJY_DECIMALS,
    Item,
    Paged,
    decimals,
    element,
    elements,
    finite,
    known,
    rounded,
)
from contimg_resources.export.state import CutoutsOf, PlatformState
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.annotations import Annotations
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, MarkRecord
from contimg_resources.variability.model import LightCurves

#: Copies a file into the export and returns its path; None if there is no such file.
PutCopy = Callable[[Path], str | None]

MAX_CUTOUTS = 40
_MAX_NEIGHBOURS = 20
_MAX_NEIGHBOUR_POINTS = 400
_MAX_TEMPLATE_POINTS = 1000
_MAX_MARKS = 50
#: Each may have some 2000 characters, and a page has 1 MB.
_MAX_COMMENTS = 50
#: Time around an event on either side, in units of its duration.
_SURROUNDINGS = 1.5


def candidates_document(
    state: PlatformState, page_of: Mapping[str, int], put_copy: PutCopy
) -> Paged:
    """Return the document of candidates, sorted by epoch of minimum.

    `page_of` is the page of the light curves that contains each source; `put_copy` copies
    pictures into the export.
    """
    return elements("candidates", "candidates", _items(state, page_of, put_copy))


def annotations_document(annotations: Annotations) -> Paged:
    """Return the document of tags, favourites and comments, sorted by id."""
    items = (
        AnnotationsItem(subject=subject, id=name, **one.as_document(_MAX_COMMENTS))
        for (subject, name), one in sorted(annotations.items(), key=lambda a: a[0][::-1])
    )
    return elements("annotations", "annotations", (element(i.id, i.id, i) for i in items))


def is_complete(record: CandidateRecord) -> bool:
    """Return whether a candidate has all numbers that a card needs; the position is optional."""
    needed = (
        record.start_mjd,
        record.mid_mjd,
        record.end_mjd,
        record.score,
    )
    return all(math.isfinite(value) for value in needed)


def _items(state: PlatformState, page_of: Mapping[str, int], put_copy: PutCopy) -> Iterator[Item]:
    marks: dict[str, list[MarkRecord]] = defaultdict(list)
    for mark in state.marks:
        marks[mark.candidate_id].append(mark)
    number_of = {name: i for i, name in enumerate(state.points.source_id.tolist())}
    complete = (c for c in state.candidates if is_complete(c))
    for record in sorted(complete, key=lambda c: (c.mid_mjd, c.id)):
        said = [_mark(m) for m in marks[record.id][-_MAX_MARKS:]]
        files = _files(state.cards, record.id)
        item = CandidateItem(
            id=record.id,
            kind=record.kind.value,
            source_id=record.source_id,
            added_list=record.added_list,
            ra_deg=known(record.ra_deg, DEG_DECIMALS),
            dec_deg=known(record.dec_deg, DEG_DECIMALS),
            state=record.state.value,
            start_mjd=rounded(record.start_mjd, MJD_DECIMALS),
            mid_mjd=rounded(record.mid_mjd, MJD_DECIMALS),
            end_mjd=rounded(record.end_mjd, MJD_DECIMALS),
            score=rounded(record.score, MJD_DECIMALS),
            first_day_mjd=record.first_day,
            searched_day_mjd=record.searched_day,
            mark=said[-1] if said else None,
            earlier_marks=tuple(said[:-1]),
            light_curve_page=page_of.get(record.source_id),
            neighbours=tuple(_neighbours(record, state.points, number_of)),
            **{name: put_copy(file) for name, file in files.items()},
            cutouts=tuple(_cutouts(record, state.cutouts_of, put_copy)),
            **_fit(record.parameters),
            **_numbers(record.evidence),
            appearance=appearance_item(source.evidence)
            if (source := state.new_sources.get(record.source_id))
            else None,
        )
        yield element(record.id, item.mid_mjd, item)


def _numbers(part: FittedDip | DipEvidence) -> dict[str, float | None]:
    """Return the numbers of a candidate that keep their names in the document."""
    return {
        name: finite(value)
        for name, value in vars(part).items()
        if name in CandidateItem.model_fields and isinstance(value, int | float)
    }


def _fit(dip: FittedDip) -> dict[str, Any]:
    curve = [
        (rounded(mjd, MJD_DECIMALS), rounded(1e3 * jy, MJY_DECIMALS))
        for mjd, jy in zip(dip.template_mjd, dip.template_jy, strict=False)
        if math.isfinite(mjd) and math.isfinite(jy)
    ]
    curve = [curve[i] for i in _evenly(len(curve), _MAX_TEMPLATE_POINTS)]
    return {
        **_numbers(dip),
        "template": dip.template,
        "threshold_check": dip.threshold_check,
        "threshold_warning": dip.threshold_warning,
        "baseline_mjy": finite(1e3 * dip.baseline_jy),
        "baseline_error_mjy": finite(1e3 * dip.baseline_error_jy),
        "template_mjd": tuple(mjd for mjd, _ in curve),
        "template_mjy": tuple(mjy for _, mjy in curve),
    }


def _neighbours(
    record: CandidateRecord, points: LightCurves, number_of: Mapping[str, int]
) -> Iterator[Neighbour]:
    start_mjd, end_mjd = _about(record)
    for name in record.evidence.neighbours[:_MAX_NEIGHBOURS]:
        number = number_of.get(name)
        if number is None:
            continue
        where = points.of(number)
        mid_mjd, flux_jy = points.mid_mjd[where], points.flux_jy[where]
        known_jy = flux_jy[np.isfinite(flux_jy)]
        mean_jy = float(known_jy.mean()) if len(known_jy) else math.nan
        shown = np.flatnonzero((mid_mjd >= start_mjd) & (mid_mjd <= end_mjd))
        shown = shown[_evenly(len(shown), _MAX_NEIGHBOUR_POINTS)]
        away_deg = separation_deg(
            record.ra_deg, record.dec_deg, points.ra_deg[number], points.dec_deg[number]
        )
        yield Neighbour(
            source_id=name,
            separation_deg=finite(float(away_deg)),
            mid_mjd=tuple(decimals(mid_mjd[shown], MJD_DECIMALS)),
            ratio=tuple(finite(jy / mean_jy) if mean_jy else None for jy in flux_jy[shown]),
        )


def _cutouts(
    record: CandidateRecord, cutouts_of: CutoutsOf, put_copy: PutCopy
) -> Iterator[CutoutItem]:
    start_mjd, end_mjd = _about(record)
    near = [c for c in cutouts_of(record.source_id) if start_mjd <= c[1] <= end_mjd]
    near.sort(key=lambda c: (c[1], c[0]))
    for i in _evenly(len(near), MAX_CUTOUTS):
        epoch, mid_mjd, png, _ = near[i]
        path = put_copy(png)
        # The oldest are removed when disk space is low, perhaps since they were listed.
        if path is not None:
            yield CutoutItem(epoch=epoch, mid_mjd=rounded(mid_mjd, MJD_DECIMALS), png=path)


def _about(record: CandidateRecord) -> tuple[float, float]:
    around_days = _SURROUNDINGS * max(record.width_days, 1.0)
    return record.start_mjd - around_days, record.end_mjd + around_days


def _evenly(n: int, n_most: int) -> Ints:
    return np.unique(np.linspace(0, n - 1, min(n, n_most)).round().astype(np.int64))


def _files(directory: Path, candidate_id: str) -> dict[str, Path]:
    """Return the files of a candidate by their names in the document."""
    try:
        name = check_name(candidate_id, "candidate id")
    except InvalidName:
        return {}
    reports = directory / "follow_up"
    return {
        "card_png": directory / f"{name}.png",
        "chart_png": reports / f"{name}.png",
        "follow_up_json": reports / f"{name}.json",
        "voevent_xml": reports / f"{name}.xml",
    }


def _mark(mark: MarkRecord) -> MarkItem:
    return MarkItem(
        mark=mark.mark.value,
        note=mark.note[:LONGEST_TEXT],
        by=mark.by[:LONGEST_TEXT],
        utc=f"{isot_from_mjd(mark.created_mjd)}Z",
    )
