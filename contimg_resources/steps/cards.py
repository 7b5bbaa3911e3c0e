"""Draw the cards of candidates, with the available cutouts.

Belongs here: collecting the data of a card from the stores. Doesn't: drawing it (see
`contimg_resources.variability.cards`), searching.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import rejecting
from contimg_resources.products.derived import DerivedKind, Inputs
from contimg_resources.products.events import CandidateRecord
from contimg_resources.steps.recording import cutout_name, finished, inputs_from
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.cards import Piece
    from contimg_resources.variability.model import LightCurves


def draw_candidate(workshop: Workshop, candidate: CandidateRecord, curves: "LightCurves") -> Path:
    """Draw a candidate's card, with the available cutouts, and return its file."""
    from contimg_resources.variability.cards import draw_card

    path = card_path(workshop, candidate.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    store, kind = workshop.products.derived, DerivedKind.CANDIDATE
    inputs = _light_curves_of(workshop, candidate)
    pieces = _pieces(workshop, candidate)
    cutouts = [name[1] for name in map(cutout_name, pieces) if name is not None]
    store.forget([(kind, candidate.id)])
    drawn = list(pieces.values())
    whole_file(path, lambda partial: draw_card(partial, candidate, curves, drawn))
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
            **{n: candidate.parameters[n] for n in shown if n in candidate.parameters},
            "searched up to day": candidate.searched_day,
        },
        run_id=candidate.run_id,
    )
    store.put([made])
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


def redraw_candidates(workshop: Workshop, candidates: tuple[CandidateRecord, ...]) -> None:
    """Redraw cards after their cutouts were made."""
    from contimg_resources.variability.points import read_points

    if candidates:
        # A card lacks the days that can't be read; the search lists them.
        curves = read_points(workshop.settings.layout.light_curves, damaged={})
        draw_candidates(workshop, candidates, curves)


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
