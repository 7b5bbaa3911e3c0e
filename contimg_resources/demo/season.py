"""Fourth act: a simulated season of one field, and what is found in its light curves.

Belongs here: writing the season, making light curves and looking for variables and Extreme
Scattering Events in them, comparing with the truth. Doesn't: how any of it is made, printing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contimg_resources.casa import Progress, no_progress
from contimg_resources.products.epochs import EpochKind
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.simulation.season import write_season
from contimg_resources.simulation.season_spec import SeasonSpec, SeasonTruth, TrueEvent
from contimg_resources.steps.candidates import find_candidates
from contimg_resources.steps.variability import measure_day, update_light_curves
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import read_points
from contimg_resources.variability.tables import read_variability, variability_path

#: Ends the day before the demo's night; its field passes at the same hours as the default one.
DEMO_SEASON = SeasonSpec(start_day_mjd=60_714, ra_deg=9.54)

#: Of the time that the act takes, so much is for writing the season.
_WRITING = 0.7


@dataclass(frozen=True)
class FinishedSeason:
    """What was found in a season's measurements.

    Parameters
    ----------
    n_points : int
        Points of light curves.
    variables : tuple of str
        Ids of the sources that were selected as variables.
    candidates : tuple of CandidateRecord
        Candidates for Extreme Scattering Events, without those that were withdrawn.
    """

    n_points: int
    variables: tuple[str, ...]
    candidates: tuple[CandidateRecord, ...]


@dataclass(frozen=True)
class EventOutcome:
    """What became of an event that was put in.

    Parameters
    ----------
    event : TrueEvent
        The event.
    candidate : CandidateRecord or None
        The candidate that it was found as; None when it wasn't found.
    """

    event: TrueEvent
    candidate: CandidateRecord | None

    @property
    def found(self) -> bool:
        """Whether it was found."""
        return self.candidate is not None

    @property
    def mid_offset_days(self) -> float | None:
        """Found less true middle, days; None when it wasn't found."""
        return None if self.candidate is None else self.candidate.mid_mjd - self.event.mid_mjd

    @property
    def width_offset_days(self) -> float | None:
        """Found less true width, days; None when it wasn't found."""
        width_days = self._parameter("width_days")
        return None if width_days is None else width_days - self.event.width_days

    @property
    def depth_offset(self) -> float | None:
        """Found less true depth; None when it wasn't found."""
        depth = self._parameter("depth")
        return None if depth is None else depth - self.event.depth

    def _parameter(self, name: str) -> float | None:
        return None if self.candidate is None else float(self.candidate.parameters[name])


@dataclass(frozen=True)
class SeasonResult:
    """What came of a season, beside the truth.

    Parameters
    ----------
    truth : SeasonTruth
        What was put in.
    n_published, n_refused : int
        Epochs that passed their gates, and that didn't.
    bad_published, good_refused : tuple of str
        Keys of epochs that the gates should have refused, and shouldn't.
    n_points : int
        Points of light curves.
    events : tuple of EventOutcome
        Each Extreme Scattering Event that was put in.
    false_candidates : tuple of CandidateRecord
        Candidates that are none of them.
    variables_found, variables_missed : tuple of str
        Ids of the sources that vary: selected as variables, and not.
    false_variables : tuple of str
        Ids of steady sources that were selected.
    """

    truth: SeasonTruth
    n_published: int
    n_refused: int
    bad_published: tuple[str, ...]
    good_refused: tuple[str, ...]
    n_points: int
    events: tuple[EventOutcome, ...]
    false_candidates: tuple[CandidateRecord, ...]
    variables_found: tuple[str, ...]
    variables_missed: tuple[str, ...]
    false_variables: tuple[str, ...]


def finish_season(
    workshop: Workshop, truth: SeasonTruth, day_mjd: int, progress: Progress = no_progress
) -> FinishedSeason:
    """Make the light curves of all days of a season, and search them up to the end of one.

    Parameters
    ----------
    workshop : Workshop
        The state that the season is in.
    truth : SeasonTruth
        Tells its days.
    day_mjd : int
        The day, integer MJD.
    progress : callable
        Told what is being done.
    """
    for number, day in enumerate(truth.days_mjd):
        progress(f"light curves of MJD {day}", 0.6 * number / len(truth.days_mjd))
        update_light_curves(workshop, day)
    progress("measuring variability", 0.6)
    measure_day(workshop, day_mjd)
    progress("looking for Extreme Scattering Events", 0.7)
    find_candidates(workshop, day_mjd)
    return look_at_season(workshop, truth, day_mjd)


def look_at_season(workshop: Workshop, truth: SeasonTruth, day_mjd: int) -> FinishedSeason:
    """Return what was found in a season up to a day, whoever searched it.

    Parameters
    ----------
    workshop : Workshop
        The state that the season is in.
    truth : SeasonTruth
        Tells its days.
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
    """Write a season, look for what is in it, and compare with the truth.

    Parameters
    ----------
    workshop : Workshop
        The state that it goes into.
    say : callable
        Told what is being done.
    spec : SeasonSpec
        The season.
    finish : callable
        Makes light curves and searches them; a platform that does it may be followed instead.

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
    """Compare what was found in a season with what was put in.

    A candidate is an event when it is of its source and they overlap; of several the best counts,
    the others are false. Their middles may be far apart while an event is in progress: its end
    isn't known then.

    Parameters
    ----------
    workshop : Workshop
        Its products store knows the epochs.
    truth : SeasonTruth
        What was put in.
    finished : FinishedSeason
        What was found.
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
