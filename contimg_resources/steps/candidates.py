"""Candidates for Extreme Scattering Events up to a UTC day: searched, recorded, drawn."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.casa import Progress, no_progress
from contimg_resources.directories import whole_file
from contimg_resources.products.events import CandidateRecord, CandidateState, Mark, MarkRecord
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.candidates import Rejected
    from contimg_resources.variability.cards import Piece
    from contimg_resources.variability.model import LightCurves

_MOST_NOTES = 3


@dataclass(frozen=True)
class Searched:
    """What the search of a day found.

    Parameters
    ----------
    day_mjd : int
        The UTC day, integer MJD.
    candidates : tuple of CandidateRecord
        As they are recorded now, the best score first.
    new : tuple of str
        Ids of those that no earlier search found.
    withdrawn : tuple of str
        Ids of those that earlier searches found and this one doesn't.
    rejected : tuple of Rejected
        Dips above the threshold that are no events.
    threshold : float
        Score from which on dips count.
    source_years, n_sources : float, int
        What was searched.
    cards : dict of str to Path
        Drawings of the candidates, by id.
    words : str
        All of it in a line.
    """

    day_mjd: int
    candidates: tuple[CandidateRecord, ...]
    new: tuple[str, ...]
    withdrawn: tuple[str, ...]
    rejected: "tuple[Rejected, ...]"
    threshold: float
    source_years: float
    n_sources: int
    cards: dict[str, Path]
    words: str


def find_candidates(
    workshop: Workshop, day_mjd: int, *, run_id: str = "", progress: Progress = no_progress
) -> Searched:
    """Search the light curves up to the end of a day, record and draw what is found.

    A search of an earlier day than the last one changes no record that a later search made.

    Raises
    ------
    UnreadableMeasurements
        If a file of points is damaged.
    """
    from contimg_resources.variability.candidates import search_candidates, with_known_ids
    from contimg_resources.variability.measuring import measure_variability
    from contimg_resources.variability.points import read_points
    from contimg_resources.variability.spectra import spectral_evidence
    from contimg_resources.variability.templates import bank

    settings, events = workshop.settings, workshop.products.events
    progress("reading light curves", 0.0)
    curves = read_points(
        settings.layout.light_curves,
        start_mjd=day_mjd + 1 - settings.variability.days,
        end_mjd=day_mjd + 1,
    )
    # Anew rather than from yesterday's file: both are of the same points then.
    table = measure_variability(curves, settings.variability, day_mjd)
    found = search_candidates(curves, table, settings.ese, day_mjd, progress=progress)
    known = events.list_candidates()
    named, gone = with_known_ids(found.candidates, known)
    later = {c.id for c in known if c.searched_day > day_mjd}
    # What lies before the days that were searched was neither found nor missed.
    first_mjd = day_mjd + 1 - settings.variability.days
    withdrawn = tuple(
        replace(c, state=CandidateState.WITHDRAWN, searched_day=day_mjd, run_id=run_id)
        for c in gone
        if c.id not in later
        and c.state is not CandidateState.WITHDRAWN
        and c.start_mjd >= first_mjd
    )
    root, families = settings.layout.photometry, settings.ese.templates

    def with_spectrum(candidate: CandidateRecord) -> CandidateRecord:
        told = spectral_evidence(root, candidate, lambda: bank(families), day_mjd + 1)
        return replace(candidate, run_id=run_id, evidence={**candidate.evidence, **told})

    named = tuple(with_spectrum(c) for c in named)
    events.put_candidates([*(c for c in named if c.id not in later), *withdrawn])
    known_ids = {c.id for c in known}
    progress("drawing cards", 0.95)
    cards = {c.id: card_path(workshop, c.id) for c in named}
    for candidate in named:
        if candidate.id not in later or not cards[candidate.id].is_file():
            draw_candidate(workshop, candidate, curves)
    return Searched(
        day_mjd=day_mjd,
        candidates=named,
        new=tuple(c.id for c in named if c.id not in known_ids),
        withdrawn=tuple(c.id for c in withdrawn),
        rejected=found.rejected,
        threshold=found.threshold,
        source_years=found.source_years,
        n_sources=found.n_sources,
        cards=cards,
        words=found.words() + _notes(named),
    )


def _notes(candidates: tuple[CandidateRecord, ...]) -> str:
    """Say which sub-bands couldn't be read: one file may be in the way of many candidates."""
    notes = {c.evidence["spectral_note"] for c in candidates if "spectral_note" in c.evidence}
    return "".join(f"; not all sub-bands are told: {note}" for note in sorted(notes)[:_MOST_NOTES])


def draw_candidate(workshop: Workshop, candidate: CandidateRecord, curves: "LightCurves") -> Path:
    """Draw a candidate's card, with the cutouts that there are, and return it."""
    from contimg_resources.variability.cards import draw_card

    path = card_path(workshop, candidate.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(workshop, candidate)
    whole_file(path, lambda partial: draw_card(partial, candidate, curves, pieces))
    return path


def redraw_candidates(workshop: Workshop, candidates: tuple[CandidateRecord, ...]) -> None:
    """Draw cards again, after their cutouts were made."""
    from contimg_resources.variability.points import read_points

    if candidates:
        curves = read_points(workshop.settings.layout.light_curves)
        for candidate in candidates:
            draw_candidate(workshop, candidate, curves)


def card_path(workshop: Workshop, candidate_id: str) -> Path:
    """Return the file of a candidate's card."""
    return workshop.settings.layout.candidates / f"{candidate_id}.png"


def mark_candidate(
    workshop: Workshop, candidate_id: str, mark: Mark, note: str, by: str
) -> MarkRecord:
    """Record what a person says of a candidate; it survives every new search.

    Raises
    ------
    VariabilityFailed
        If there is no such candidate.
    """
    return workshop.products.events.put_mark(MarkRecord(candidate_id, mark, note, by))


def watched_sources(workshop: Workshop) -> frozenset[str]:
    """Return the sources whose cutouts are needed: of candidates that stand, or were marked."""
    marked = workshop.products.events.last_marks()
    return frozenset(
        c.source_id
        for c in workshop.products.events.list_candidates()
        if c.state is not CandidateState.WITHDRAWN or c.id in marked
    )


def _pieces(workshop: Workshop, candidate: CandidateRecord) -> "list[Piece]":
    from contimg_resources.cutouts.places import cutouts_of
    from contimg_resources.cutouts.reading import read_cutout
    from contimg_resources.errors import CutoutFailed
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
