"""Draw the cards of candidates, with the available cutouts.

Belongs here: collecting the data of a card from the stores. Doesn't: drawing it (see
`contimg_resources.variability.cards`), searching.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import rejecting
from contimg_resources.products.events import CandidateRecord
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.cards import Piece
    from contimg_resources.variability.model import LightCurves


def draw_candidate(workshop: Workshop, candidate: CandidateRecord, curves: "LightCurves") -> Path:
    """Draw a candidate's card, with the available cutouts, and return its file."""
    from contimg_resources.variability.cards import draw_card

    path = card_path(workshop, candidate.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(workshop, candidate)
    whole_file(path, lambda partial: draw_card(partial, candidate, curves, pieces))
    return path


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


def _pieces(workshop: Workshop, candidate: CandidateRecord) -> "list[Piece]":
    from contimg_resources.core.errors import CutoutFailed
    from contimg_resources.cutouts.places import cutouts_of
    from contimg_resources.cutouts.reading import read_cutout
    from contimg_resources.variability.cards import Piece, through

    there = cutouts_of(workshop.settings.layout.cutouts, candidate.source_id)
    pieces = []
    for number in through(candidate, [c.mid_mjd for c in there]):
        try:
            pieces.append(Piece(there[number].mid_mjd, read_cutout(there[number].fits).pixels))
        except CutoutFailed:
            # A card without one picture is better than none.
            continue
    return pieces
