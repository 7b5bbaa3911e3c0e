"""Draw the cards of candidates, with the available cutouts, and write their reports for observers.

Belongs here: collecting the data of a card from the stores; the files. Doesn't: drawing it (see
`contimg_resources.variability.cards`), the report (see `following_up`), searching, cutting.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.alerts.delivery import Attachment
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import rejecting
from contimg_resources.database.values import known_values
from contimg_resources.products.derived import DerivedKind, Inputs
from contimg_resources.products.events import CandidateKind, CandidateRecord
from contimg_resources.steps.following_up import report_files
from contimg_resources.steps.recording import cutout_name, finished, inputs_from
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.cards import Piece
    from contimg_resources.variability.model import LightCurves


@dataclass(frozen=True)
class DrawnCards:
    """Cards after they were drawn."""

    cards: dict[str, Path]  #: Cards by the id of the candidate, in the order of the candidates.
    failed: dict[str, str]  #: Candidates without a new card, by id, with the reason.


def draw_cards(workshop: Workshop, candidates: Iterable[CandidateRecord]) -> DrawnCards:
    """Draw the cards of candidates from all of their light curves; one that fails fails alone."""
    chosen = tuple(candidates)
    failed: dict[str, str] = {}
    for name in dict.fromkeys(c.added_list for c in chosen):
        some = [c for c in chosen if c.added_list == name]
        unreadable: dict[str, str] = {}
        with rejecting(unreadable, "light curves"):
            failed |= draw_candidates(workshop, some, _light_curves(workshop, name))
        failed |= {c.id: why for c in some for why in unreadable.values()}
    return DrawnCards(
        {c.id: card_path(workshop, c.id) for c in chosen if c.id not in failed}, failed
    )


def draw_candidate(workshop: Workshop, candidate: CandidateRecord, curves: "LightCurves") -> Path:
    """Draw a candidate's card, with the available cutouts, and return its file.

    The report of the candidate and its finding chart are further files of the card.
    """
    from contimg_resources.variability.cards import draw_card, draw_new_card

    path = card_path(workshop, candidate.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    store, kind = workshop.products.derived, DerivedKind.CANDIDATE
    inputs = _light_curves_of(workshop, candidate)
    pieces = _pieces(workshop, candidate)
    cutouts = [name[1] for name in map(cutout_name, pieces) if name is not None]
    store.forget([(kind, candidate.id)])
    drawn = list(pieces.values())
    source = workshop.products.new_sources.find(candidate.source_id)
    if candidate.kind is CandidateKind.NEW_SOURCE and source is not None:
        evidence = source.evidence
        whole_file(path, lambda partial: draw_new_card(partial, candidate, evidence, curves, drawn))
    else:
        whole_file(path, lambda partial: draw_card(partial, candidate, curves, drawn))
    reports = [_write_report(workshop, file) for file in report_files(workshop, candidate)]
    shown = ("threshold", "template", "depth", "width_days")
    made = finished(
        kind,
        candidate.id,
        path,
        mid_mjd=candidate.mid_mjd,
        inputs={**inputs, **inputs_from(workshop, DerivedKind.CUTOUT, cutouts)},
        parameters={
            "source": candidate.source_id,
            "state": candidate.state.value,
            "score": round(candidate.score, 1),
            **{n: value for n, value in known_values(candidate.parameters) if n in shown},
            "searched up to day": candidate.searched_day,
        },
        companions=reports,
        run_id=candidate.run_id,
    )
    store.put([made])
    return path


def _write_report(workshop: Workshop, file: Attachment) -> Path:
    path = workshop.settings.layout.follow_up(file.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole_file(path, lambda partial: partial.write_bytes(file.data))
    return path


def _light_curves_of(workshop: Workshop, candidate: CandidateRecord) -> Inputs:
    """Return the light curves that the candidate was searched in."""
    from contimg_resources.variability.points import days_between

    if candidate.added_list is not None:
        return inputs_from(workshop, DerivedKind.ADDED_LIGHT_CURVES, [candidate.added_list])
    end_mjd = candidate.searched_day + 1
    root = workshop.settings.layout.light_curves
    days = days_between(root, end_mjd - workshop.settings.variability.days, end_mjd)
    return inputs_from(workshop, DerivedKind.LIGHT_CURVES, days)


def draw_candidates(
    workshop: Workshop, candidates: Iterable[CandidateRecord], curves: "LightCurves"
) -> dict[str, str]:
    """Draw the card of each candidate; return the reasons for those that failed, by id."""
    failed: dict[str, str] = {}
    for candidate in candidates:
        with rejecting(failed, candidate.id):
            draw_candidate(workshop, candidate, curves)
    return failed


def card_path(workshop: Workshop, candidate_id: str) -> Path:
    """Return the file of a candidate's card."""
    return workshop.settings.layout.card(candidate_id)


def _light_curves(workshop: Workshop, added_list: str | None) -> "LightCurves":
    """Return the light curves of an added list, or of the platform."""
    from contimg_resources.variability.added import read_added
    from contimg_resources.variability.points import read_points

    layout = workshop.settings.layout
    if added_list is not None:
        return read_added(layout.added_light_curves, added_list)[0]
    # A card lacks the days that can't be read; the search lists them.
    return read_points(layout.light_curves, damaged={})


def _pieces(workshop: Workshop, candidate: CandidateRecord) -> "dict[Path, Piece]":
    from contimg_resources.core.errors import CutoutFailed
    from contimg_resources.cutouts.places import cutouts_of
    from contimg_resources.cutouts.reading import read_cutout
    from contimg_resources.variability.cards import Piece, through

    there = cutouts_of(workshop.settings.layout.cutouts, candidate.source_id)
    pieces = {}
    for number in through(candidate, [c.mid_mjd for c in there]):
        one = there[number]
        try:
            pieces[one.fits] = Piece(one.mid_mjd, read_cutout(one.fits).pixels)
        except CutoutFailed:
            # A card without one picture is better than none.
            continue
    return pieces
