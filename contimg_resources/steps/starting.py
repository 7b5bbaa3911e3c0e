"""Which observations can be started now, and which must wait for a caltable set.

Belongs here: the answer, derived from the products store and the registry at each asking.
Doesn't: starting them, or knowing what was started (Dagster does).
"""

from dataclasses import dataclass
from functools import partial

from contimg_resources.errors import CaltableAltered, NoValidCaltables
from contimg_resources.products.model import ObservationRecord, ObservationState
from contimg_resources.steps.looking_up import look_up
from contimg_resources.steps.photometry import IMAGE_STEP
from contimg_resources.steps.workshop import Workshop
from contimg_resources.times import mjd_day

#: States in which an observation still has its image to come.
_UNDONE = (
    ObservationState.ARRIVED,
    ObservationState.WAITING,
    ObservationState.SOLVED,
    # An interrupt between the two steps leaves it here.
    ObservationState.CALIBRATED,
)

#: States that a step itself gives an observation that it could not go on with.
_PUT_ASIDE = (ObservationState.WAITING, ObservationState.FAILED)


@dataclass(frozen=True)
class Open:
    """An observation that has arrived and isn't done.

    Parameters
    ----------
    key : str
        Its partition key.
    signature : str
        Signature of its content; another delivery of the same name has another.
    is_calibrator : bool
        Whether a caltable set can be solved from it.
    caltables : str or None
        The set that the registry gives for it now, with its version; None when there is none.
    waits : bool
        Whether it was put aside until a set is valid.
    """

    key: str
    signature: str
    is_calibrator: bool
    caltables: str | None
    waits: bool

    @property
    def day(self) -> int:
        """Integer MJD of its UTC day."""
        return mjd_day(float(self.key))


def open_observations(workshop: Workshop) -> tuple[Open, ...]:
    """Return the observations whose image is still to come, with the set each would get now.

    Parameters
    ----------
    workshop : Workshop
        Its stores and settings.

    Returns
    -------
    tuple of Open
        In the order of time.
    """
    records = [r for state in _UNDONE for r in workshop.products.list_observations(state=state)]
    return tuple(
        Open(
            key=record.key,
            signature=record.signature,
            is_calibrator=bool(record.calibrator),
            caltables=_caltables(workshop, record),
            waits=record.state is not ObservationState.ARRIVED,
        )
        for record in sorted(records, key=lambda r: r.mid_mjd)
    )


def record_failure(workshop: Workshop, key: str, *, step: str, reason: str, run_id: str) -> None:
    """Write a failed step into an observation's history, unless the step did so itself.

    A calibrator observation whose solve failed isn't lost: it waits for another set, as any other.
    """
    state = ObservationState.FAILED
    if step == IMAGE_STEP:
        # The image is as good as it was.
        known = workshop.products.get(key)
        workshop.products.set_state(
            key, known.state, step=step, reason=f"not measured: {reason}", run_id=run_id
        )
        return
    if step == "caltable_set":
        if workshop.products.get(key).state not in (ObservationState.ARRIVED, *_PUT_ASIDE):
            return
        state, reason = ObservationState.WAITING, f"waits for another set: {reason}"
    history = workshop.products.history(key)
    # A run tells once. The command line has no runs: there the same reason isn't repeated.
    told = (
        [e.run_id == run_id for e in history if e.state in _PUT_ASIDE]
        if run_id
        else [e.message == reason for e in history[-1:] if e.state in _PUT_ASIDE]
    )
    if not any(told):
        workshop.products.set_state(key, state, step=step, reason=reason, run_id=run_id)


def record_cancellation(workshop: Workshop, key: str, *, step: str, run_id: str) -> None:
    """Write into an observation's history that somebody cancelled a run of it.

    What was imaged or had failed before stays so: a run that is cancelled replaces nothing.
    """
    if workshop.products.get(key).state in (ObservationState.IMAGED, ObservationState.FAILED):
        return
    reason = "cancelled by hand; materialize it to start it again"
    record_failure(workshop, key, step=step, reason=reason, run_id=run_id)


def _caltables(workshop: Workshop, record: ObservationRecord) -> str | None:
    asked = partial(look_up, workshop, record.mid_mjd, record.declination_deg)
    try:
        # First without the layout: that is the large part of a row, and mostly nothing is valid.
        asked(None, verify=False)
        found = asked(workshop.products.observation(record.key).layout)
    except (NoValidCaltables, CaltableAltered):
        return None
    return f"{found.set.name}.v{found.set.version}"
