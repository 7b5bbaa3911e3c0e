"""Search for candidates for Extreme Scattering Events up to a UTC day, and record them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import VariabilityFailed, rejecting
from contimg_resources.core.keys import day_key
from contimg_resources.products.events import (
    CandidateKind,
    CandidateRecord,
    CandidateState,
    Mark,
    MarkRecord,
)
from contimg_resources.steps.added_light_curves import search_all_added
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.steps.added_light_curves import AddedSearch
    from contimg_resources.variability.alarms import OwnAlarms
    from contimg_resources.variability.candidates import Rejected, Unsearched
    from contimg_resources.variability.model import LightCurves

_MOST_NOTES = 3


@dataclass(frozen=True)
class Searched:
    """The result of a day's search."""

    day_mjd: int  #: The UTC day, integer MJD.
    candidates: tuple[CandidateRecord, ...]  #: Candidates as recorded, best score first.
    new: tuple[str, ...]  #: Ids of candidates found for the first time.
    withdrawn: tuple[str, ...]  #: Ids of earlier candidates that this search does not find.
    rejected: "tuple[Rejected, ...]"  #: Dips above the threshold that failed the vetting.
    #: Sources that couldn't be searched, each with its reason.
    unsearched: "tuple[Unsearched, ...]"
    threshold: float  #: Score threshold of the search.
    #: The check of the threshold on the sources' own light curves.
    alarms: "OwnAlarms | None"
    #: In what these have significantly more false alarms than accepted, of each added list, too.
    warnings: tuple[str, ...]
    source_years: float  #: Searched source-years.
    n_sources: int  #: Searched sources.
    #: Searched lists of added light curves; all of the above but the threshold and its check
    #: includes their results.
    added: "tuple[AddedSearch, ...]"
    failed_lists: dict[str, str]  #: Lists that couldn't be searched, each with its reason.
    words: str  #: Summary on one line.


def find_candidates(
    workshop: Workshop, day_mjd: int, *, run_id: str = "", progress: Progress = no_progress
) -> Searched:
    """Search the light curves up to the end of a day, and record the candidates.

    A search of an earlier day than the last one changes no record that a later search made. Lists
    of added light curves are searched too, each over all of its days. A day whose file of points
    can't be read is left out and named in the words.

    Raises
    ------
    VariabilityFailed
        If the day's variability metrics aren't there, or are of other light curves: they are
        measured first (`contimg_resources.steps.variability.measure_day`).
    """
    from contimg_resources.variability.candidates import search_candidates, settled
    from contimg_resources.variability.points import read_points
    from contimg_resources.variability.spectra import evidence_of_sub_bands, spectral_evidence
    from contimg_resources.variability.systematics import measure_systematics
    from contimg_resources.variability.templates import bank, fine_bank

    settings, events = workshop.settings, workshop.products.events
    progress("reading light curves", 0.0)
    damaged: dict[str, str] = {}
    first_mjd = day_mjd + 1 - settings.variability.days
    curves = read_points(
        settings.layout.light_curves, start_mjd=first_mjd, end_mjd=day_mjd + 1, damaged=damaged
    )
    _check_metrics(workshop, day_mjd, curves)
    curves = measure_systematics(curves, settings.variability.min_epochs).removed_from(curves)
    known = tuple(
        c for c in events.list_candidates() if c.added_list is None and c.kind is CandidateKind.ESE
    )
    found = search_candidates(
        curves,
        settings.ese,
        day_mjd,
        first_mjd=first_mjd,
        known=known,
        progress=progress,
        colour=evidence_of_sub_bands(settings.layout.photometry, day_mjd + 1),
    )
    named, withdrawn = settled(found, known, run_id)
    later = {c.id for c in known if c.searched_day > day_mjd}
    root, families = settings.layout.photometry, settings.ese.templates

    def with_spectrum(candidate: CandidateRecord) -> CandidateRecord:
        evidence = candidate.evidence
        failed: dict[str, str] = {}
        with rejecting(failed, candidate.id):
            evidence = spectral_evidence(
                root, candidate, lambda: (*bank(families), *fine_bank()), day_mjd + 1
            )
        if failed:
            evidence = replace(evidence, spectral_note=failed[candidate.id])
        return replace(candidate, evidence=evidence)

    named = tuple(with_spectrum(c) for c in named)
    events.put_candidates([*(c for c in named if c.id not in later), *withdrawn])
    known_ids = {c.id for c in known}
    added, failed = search_all_added(workshop, run_id=run_id, progress=progress)
    of_lists = tuple(c for one in added for c in one.found.candidates)
    notes = [one.words for one in added]
    notes += [f"list {name} can't be searched: {why}" for name, why in failed.items()]
    notes += [f"skipped the day of {name}: {why}" for name, why in damaged.items()]
    return Searched(
        day_mjd=day_mjd,
        candidates=tuple(sorted((*named, *of_lists), key=lambda c: -c.score)),
        new=(
            *(c.id for c in named if c.id not in known_ids),
            *(name for one in added for name in one.new),
        ),
        withdrawn=(
            *(c.id for c in withdrawn),
            *(name for one in added for name in one.withdrawn),
        ),
        rejected=(*found.rejected, *(r for one in added for r in one.found.rejected)),
        unsearched=(*found.unsearched, *(u for one in added for u in one.found.unsearched)),
        threshold=found.threshold,
        alarms=found.alarms,
        warnings=tuple(
            of_list + one.alarms.warning()
            for of_list, one in (
                ("", found),
                *((f"list {one.facts.name}: ", one.found) for one in added),
            )
            if one.alarms and one.alarms.warning()
        ),
        source_years=found.source_years + sum(one.found.source_years for one in added),
        n_sources=found.n_sources + sum(one.found.n_sources for one in added),
        added=added,
        failed_lists=failed,
        words="; ".join([found.words() + _notes(named), *notes]),
    )


def _check_metrics(workshop: Workshop, day_mjd: int, curves: "LightCurves") -> None:
    """Check that the variability metrics of a day are there, and of these light curves."""
    from contimg_resources.variability.tables import read_variability, variability_path

    path = variability_path(workshop.settings.layout.variability, day_mjd)
    name = day_key(day_mjd)
    if not path.is_file():
        if len(curves) == 0:
            return
        raise VariabilityFailed(
            f"the variability metrics of {name} aren't there: materialize `variability` of "
            f"that day first, or run `contimg variability {name}`",
            day=name,
        )
    table = read_variability(path)
    same = np.array_equal(table.source_id, curves.source_id)
    if not same or table.facts.n_points != curves.mid_mjd.size:
        raise VariabilityFailed(
            f"the light curves changed since the variability metrics of {name} were measured: "
            f"materialize `variability` of that day again, or run `contimg variability {name}`",
            day=name,
        )


def _notes(candidates: tuple[CandidateRecord, ...]) -> str:
    """Return which sub-bands couldn't be read: one file may affect many candidates."""
    notes = {c.evidence.spectral_note for c in candidates} - {""}
    return "".join(f"; not all sub-bands are used: {note}" for note in sorted(notes)[:_MOST_NOTES])


def mark_candidate(
    workshop: Workshop, candidate_id: str, mark: Mark, note: str, by: str
) -> MarkRecord:
    """Record a person's mark on a candidate; it survives every new search.

    Raises
    ------
    VariabilityFailed
        If there is no such candidate.
    """
    return workshop.products.events.put_mark(MarkRecord(candidate_id, mark, note, by))


def candidates_to_draw(workshop: Workshop) -> tuple[CandidateRecord, ...]:
    """Return the candidates whose cards are kept up to date, current ones and best score first.

    These are the current and marked candidates, and all others of their sources; of added light
    curves only sources with current candidates, since a list may be removed.
    """
    marked = workshop.products.events.last_marks()
    known = workshop.products.events.list_candidates()
    current = {c.id for c in known if c.state is not CandidateState.WITHDRAWN}
    wanted = {
        (c.added_list, c.source_id)
        for c in known
        if c.id in current or (c.id in marked and c.added_list is None)
    }
    chosen = [c for c in known if (c.added_list, c.source_id) in wanted]
    return tuple(sorted(chosen, key=lambda c: (c.id not in current, -c.score)))


def watched_sources(workshop: Workshop) -> frozenset[str]:
    """Return the sources that need cutouts: those with current or marked candidates.

    Added light curves have no images.
    """
    marked = workshop.products.events.last_marks()
    return frozenset(
        c.source_id
        for c in workshop.products.events.list_candidates()
        if c.added_list is None and (c.state is not CandidateState.WITHDRAWN or c.id in marked)
    )
