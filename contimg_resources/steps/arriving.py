"""The first step: read an MS that has settled, and register it as an observation."""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import CaltableAltered, NoValidCaltables, UnreadableObservation
from contimg_resources.observations.model import Observation
from contimg_resources.products.model import ArrivalOutcome, ObservationState
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class Arrived:
    """An observation that arrived.

    Parameters
    ----------
    observation : Observation
        What its MS says it is.
    outcome : ArrivalOutcome
        Whether it is new, known, replaced, or a second delivery.
    is_calibrator : bool
        Whether a caltable set can be solved from it.
    ready : bool
        Whether a valid caltable set is there for it.
    reason : str
        Which set, or why there is none; why it can't be used at all.
    usable : bool
        Whether anything can be made of its data.
    """

    observation: Observation
    outcome: ArrivalOutcome
    is_calibrator: bool
    ready: bool
    reason: str
    usable: bool = True


def arrive(workshop: Workshop, path: Path, *, run_id: str | None = None) -> Arrived:
    """Read an MS once and register it; one without a valid caltable set waits.

    One of which nothing can be made, such as a wholly flagged one, has failed with the reason.

    Parameters
    ----------
    workshop : Workshop
        Stores and tools.
    path : Path
        The MS; settled.
    run_id : str, optional
        Who asks, for the history.

    Raises
    ------
    UnreadableObservation
        If it can't be read.
    ProductsError
        If another MS of the same mid-MJD is there.
    """
    observation = workshop.read(path)
    arrival = workshop.products.arrive(observation, run_id=run_id or "")
    try:
        observation.refuse_unusable()
    except UnreadableObservation as refusal:
        if arrival.record.state is ObservationState.ARRIVED:
            workshop.products.set_state(
                observation.key,
                ObservationState.FAILED,
                step="arrival",
                reason=refusal.message,
                run_id=run_id,
            )
        return Arrived(observation, arrival.outcome, False, False, refusal.message, usable=False)
    is_calibrator = bool(observation.calibrators)
    try:
        active = workshop.active_caltables(observation)
        ready, reason = True, f"{active.set.name} version {active.set.version}"
    except (NoValidCaltables, CaltableAltered) as none:
        ready, reason = False, none.message
    if not ready and not is_calibrator and arrival.record.state is ObservationState.ARRIVED:
        workshop.products.set_state(
            observation.key,
            ObservationState.WAITING,
            step="arrival",
            reason=reason,
            run_id=run_id,
        )
    return Arrived(observation, arrival.outcome, is_calibrator, ready, reason)
