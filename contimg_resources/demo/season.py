"""Fourth act: a simulated season of one field, and the search of its light curves.

Belongs here: writing the season, making light curves, searching them for variables and Extreme
Scattering Events, comparing with the truth. Doesn't: the implementation of these steps, printing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contimg_resources.casa import Progress, no_progress
from contimg_resources.products.epochs import EpochKind
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.simulation.season import write_season
from contimg_resources.simulation.season_spec import SeasonSpec, SeasonTruth, TrueEvent
from contimg_resources.steps.candidates import candidates_to_draw, find_candidates
from contimg_resources.steps.cards import draw_cards
from contimg_resources.steps.variability import measure_day, update_light_curves
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import read_points
from contimg_resources.variability.tables import read_variability, variability_path

#: Ends the day before the demo's night; its field transits at the same hours as the default one.
#: Two of three transits are lost, which shortens the act; the rest show the same variables.
DEMO_SEASON = SeasonSpec(start_day_mjd=60_714, ra_deg=9.54, lost_share=0.65)

#: Fraction of the act's time for writing the season.
_WRITING = 0.7


@dataclass(frozen=True)
class FinishedSeason:
    """Results of the search of a season's measurements."""

    n_points: int  #: Light curve measurements.
    variables: tuple[str, ...]  #: Ids of the sources flagged as variable.
    #: Candidates for Extreme Scattering Events, without withdrawn ones.
    candidates: tuple[CandidateRecord, ...]


@dataclass(frozen=True)
class EventOutcome:
    """The outcome of an injected event."""

    event: TrueEvent  #: The event.
    candidate: CandidateRecord | None  #: Its candidate; None when it wasn't found.

    @property
    def found(self) -> bool:
        """Whether it was found."""
        return self.candidate is not None

    @property
    def mid_offset_days(self) -> float | None:
        """Measured less true epoch of minimum, days; None when it wasn't found."""
        return None if self.candidate is None else self.candidate.mid_mjd - self.event.mid_mjd


@dataclass(frozen=True)
class SeasonResult:
    """Results of a season, compared with the truth."""

    truth: SeasonTruth  #: The truth.
    #: `n_published`, `n_refused`: Epochs that passed the epoch checks, and that didn't.
    n_published: int
    n_refused: int
    #: `bad_published`, `good_refused`: Keys of bad epochs that passed the checks, and of good
    #: epochs that failed.
    bad_published: tuple[str, ...]
    good_refused: tuple[str, ...]
    n_points: int  #: Light curve measurements.
    events: tuple[EventOutcome, ...]  #: Each injected Extreme Scattering Event.
    false_candidates: tuple[CandidateRecord, ...]  #: Candidates that match no injected event.
    #: `variables_found`, `variables_missed`: Ids of the variable sources that were flagged as
    #: variable, and that weren't.
    variables_found: tuple[str, ...]
    variables_missed: tuple[str, ...]
    false_variables: tuple[str, ...]  #: Ids of steady sources that were flagged as variable.


def finish_season(
    workshop: Workshop, truth: SeasonTruth, day_mjd: int, progress: Progress = no_progress
) -> FinishedSeason:
    """Make the light curves of all days of a season, and search them up to the end of a day.

    Parameters
    ----------
    workshop : Workshop
        The state directory with the season.
    truth : SeasonTruth
        The truth, with the days of the season.
    day_mjd : int
        The day, integer MJD.
    progress : callable
        Called with progress messages.
    """
    for number, day in enumerate(truth.days_mjd):
        progress(f"light curves of MJD {day}", 0.6 * number / len(truth.days_mjd))
        update_light_curves(workshop, day)
    progress("measuring variability", 0.6)
    measure_day(workshop, day_mjd)
    progress("searching for Extreme Scattering Events", 0.7)
    find_candidates(workshop, day_mjd)
    draw_cards(workshop, candidates_to_draw(workshop))
    return look_at_season(workshop, truth, day_mjd)


def look_at_season(workshop: Workshop, truth: SeasonTruth, day_mjd: int) -> FinishedSeason:
    """Return the results of the search of a season up to a day.

    Parameters
    ----------
    workshop : Workshop
        The state directory with the season.
    truth : SeasonTruth
        The truth, with the days of the season.
    day_mjd : int
        The day, integer MJD.
    """
    layout = workshop.settings.layout
    table = read_variability(variability_path(layout.variability, day_mjd))
    points = read_points(
        layout.light_curves, start_mjd=min(truth.days_mjd), end_mjd=max(truth.days_mjd) + 1
    )
    return FinishedSeason(
        n_points=len(points.mid_mjd),
        variables=tuple(str(name) for name in table.source_id[table.is_variable]),
        candidates=tuple(
            c
            for c in workshop.products.events.list_candidates()
            if c.state is not CandidateState.WITHDRAWN
        ),
    )


def run_season(
    workshop: Workshop,
    say: Progress = no_progress,
    *,
    spec: SeasonSpec = DEMO_SEASON,
    finish: Callable[[Workshop, SeasonTruth, int, Progress], FinishedSeason] = finish_season,
) -> SeasonResult:
    """Write a season, search it, and compare with the truth.

    Parameters
    ----------
    workshop : Workshop
        The state directory for the season.
    say : callable
        Called with progress messages.
    spec : SeasonSpec
        The season.
    finish : callable
        Makes light curves and searches them; may wait for a platform that does so.

    Raises
    ------
    ConfigurationError
        If the state holds a season already.
    """

    def writing(message: str, fraction: float | None) -> None:
        say(message, _WRITING * (fraction or 0.0))

    def finishing(message: str, fraction: float | None) -> None:
        say(message, _WRITING + (1.0 - _WRITING) * (fraction or 0.0))

    truth = write_season(workshop, spec, writing)
    finished = finish(workshop, truth, spec.last_day_mjd, finishing)
    return compare_season(workshop, truth, finished)


def compare_season(
    workshop: Workshop, truth: SeasonTruth, finished: FinishedSeason
) -> SeasonResult:
    """Compare the results of a season's search with the truth.

    A candidate matches an event of the same source when they overlap in time; the best of several
    counts, the others are false. Their epochs of minimum may differ much while an event is in
    progress, since its end isn't known then.

    Parameters
    ----------
    workshop : Workshop
        Its products store holds the epochs.
    truth : SeasonTruth
        The truth.
    finished : FinishedSeason
        Results of the search.
    """
    epochs = {
        e.key: workshop.products.mosaics.find_epoch(e.key, EpochKind.MOSAIC) for e in truth.epochs
    }
    published = {key for key, epoch in epochs.items() if epoch is not None and epoch.epoch_ok}
    bad = {e.key for e in truth.epochs if e.bad}
    events = tuple(EventOutcome(e, _candidate_of(e, finished.candidates)) for e in truth.events)
    matched = {e.candidate.id for e in events if e.candidate is not None}
    selected = set(finished.variables)
    return SeasonResult(
        truth=truth,
        n_published=len(published),
        n_refused=len(epochs) - len(published),
        bad_published=tuple(sorted(bad & published)),
        good_refused=tuple(sorted(set(epochs) - bad - published)),
        n_points=finished.n_points,
        events=events,
        false_candidates=tuple(c for c in finished.candidates if c.id not in matched),
        variables_found=tuple(s for s in truth.varying if s in selected),
        variables_missed=tuple(s for s in truth.varying if s not in selected),
        false_variables=tuple(s for s in truth.steady if s in selected),
    )


def _candidate_of(
    event: TrueEvent, candidates: tuple[CandidateRecord, ...]
) -> CandidateRecord | None:
    half_days = 0.5 * event.width_days
    near = [
        c
        for c in candidates
        if c.source_id == event.source_id
        and c.start_mjd < event.mid_mjd + half_days
        and c.end_mjd > event.mid_mjd - half_days
    ]
    return max(near, key=lambda c: c.score, default=None)
