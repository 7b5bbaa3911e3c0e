"""Read a settled MS and register it as an observation: the first step."""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import CaltableAltered, NoValidCaltables, UnreadableObservation
from contimg_resources.observations.model import Observation
from contimg_resources.products.model import ArrivalOutcome, ObservationState
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class Arrived:
    """An observation that arrived."""

    observation: Observation  #: The observation as read from its MS.
    outcome: ArrivalOutcome  #: Whether it is new, known, replaced, or a second delivery.
    is_calibrator: bool  #: Whether a caltable set can be solved from it.
    ready: bool  #: Whether a caltable set is valid for it.
    reason: str  #: The set, or why none is valid, or why the MS can't be used at all.
    usable: bool = True  #: Whether its data can be used.


def arrive(workshop: Workshop, path: Path, *, run_id: str | None = None) -> Arrived:
    """Read an MS once and register it; without a valid caltable set it waits.

    An MS that can't be used, such as a completely flagged one, fails with the reason.

    Parameters
    ----------
    workshop : Workshop
        Stores and tools.
    path : Path
        The MS; settled.
    run_id : str, optional
        Run id, for the history.

    Raises
    ------
    UnreadableObservation
        If it can't be read.
    ProductsError
        If another MS has the same mid-MJD.
    """
    return register(workshop, workshop.read(path), run_id=run_id)


def register(workshop: Workshop, observation: Observation, *, run_id: str | None = None) -> Arrived:
    """Register an observation that was read; without a valid caltable set it waits.

    Parameters
    ----------
    workshop : Workshop
        Stores and tools.
    observation : Observation
        The observation.
    run_id : str, optional
        Run id, for the history.

    Raises
    ------
    ProductsError
        If another MS has the same mid-MJD.
    """
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
