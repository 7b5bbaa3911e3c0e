"""Find the observations that can be started now, and those that wait for a caltable set.

Belongs here: the answer, derived from the products store and the registry at each call.
Doesn't: starting them, or recording which were started (Dagster does).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from contimg_resources.core.errors import StoreUnavailable, in_words
from contimg_resources.core.keys import (
    KEY_RESOLUTION_DAYS,
    observation_of_set,
    parse_partition_key,
    parse_set_key,
    partition_key,
    set_key,
)
from contimg_resources.core.times import mjd_day
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import ObservationRecord, ObservationState
from contimg_resources.steps.looking_up import look_up, look_up_records
from contimg_resources.steps.photometry import IMAGE_STEP
from contimg_resources.steps.solving import STEP as SOLVE_STEP
from contimg_resources.steps.workshop import Workshop

#: States of observations whose image is still to be made.
_UNDONE = (
    ObservationState.ARRIVED,
    ObservationState.WAITING,
    ObservationState.SOLVED,
    # An interrupt between the two steps leaves it here.
    ObservationState.CALIBRATED,
    # Usually its run is restarted; if that run is lost, another one is requested.
    ObservationState.INTERRUPTED,
)

#: States that a step itself sets when it can't continue.
_PUT_ASIDE = (ObservationState.WAITING, ObservationState.FAILED)

#: States that a later run may have set before a late report of an earlier run.
_MADE = (ObservationState.SOLVED, ObservationState.CALIBRATED, ObservationState.IMAGED)


@dataclass(frozen=True)
class Open:
    """An observation that has arrived but isn't imaged yet."""

    key: str  #: Its partition key.
    #: Signature of its content; another delivery of the same name has a different one.
    signature: str
    is_calibrator: bool  #: Whether a caltable set can be solved from it.
    caltables: str | None  #: The set that applies now, with its version; None when no set is valid.
    waits: bool  #: Whether it was made to wait until a set is valid.
    reason: str = ""  #: Why no set is valid; empty when one is, or the reason is already recorded.
    #: Whether it arrived as sub-band files of which the MS is still to be made.
    needs_ms: bool = False

    @property
    def day(self) -> int:
        """Integer MJD of its UTC day."""
        return mjd_day(parse_partition_key(self.key))

    @property
    def is_solved(self) -> bool:
        """Whether the set that applies was solved from it."""
        if self.caltables is None:
            return False
        return observation_of_set(parse_set_key(self.caltables)[0]) == self.key


def open_observations(workshop: Workshop) -> tuple[Open, ...]:
    """Return the observations whose image is still to be made, with the set that applies now.

    They are in order of time. Observations whose MS now holds another observation are left out.
    """
    records = [
        record
        for state in _UNDONE
        for record in workshop.products.list_observations(state=state)
        if not record.superseded_by
    ]
    waiting = [record for record in records if record.state is ObservationState.WAITING]
    without = _without_set(workshop, waiting)
    return tuple(
        _open(workshop, record, (None, "") if record.key in without else None)
        for record in sorted(records, key=lambda r: r.mid_mjd)
    )


def _without_set(workshop: Workshop, waiting: Sequence[ObservationRecord]) -> frozenset[str]:
    """Return the keys of the observations for which no set of any layout is valid.

    One look-up for all: after a night without a calibrator there are hundreds of them.
    """
    try:
        answers = look_up_records(workshop, waiting, lambda *_: False)
    except StoreUnavailable:
        raise
    except Exception:
        # One of them can't be looked up; each by itself, so that it waits alone.
        return frozenset()
    return frozenset(r.key for r, found in zip(waiting, answers, strict=True) if found is None)


def _open(
    workshop: Workshop, record: ObservationRecord, known: tuple[str | None, str] | None
) -> Open:
    caltables, reason = known or _caltables(workshop, record)
    return Open(
        key=record.key,
        signature=record.signature,
        is_calibrator=bool(record.calibrator),
        caltables=caltables,
        waits=record.state not in (ObservationState.ARRIVED, ObservationState.INTERRUPTED),
        reason="" if record.state is ObservationState.WAITING else reason,
        needs_ms=needs_ms(workshop, record),
    )


def needs_ms(workshop: Workshop, record: ObservationRecord) -> bool:
    """Return whether an observation arrived as sub-band files of which no MS is made yet."""
    if record.origin is not ObservationOrigin.SUB_BANDS:
        return False
    return workshop.made_ms(workshop.products.observation(record.key)) is None


def tell_waiting(
    workshop: Workshop, undone: Iterable[Open], *, solving: bool, hint: str = ""
) -> None:
    """Make observations wait, with the reason, if no set is valid and none will be solved.

    If `solving`, unsolved calibrator observations are about to be solved; these don't wait. `hint`
    describes how to solve one, and is added to its reason.
    """
    for observation in undone:
        if not observation.reason or (
            observation.is_calibrator and solving and not observation.waits
        ):
            continue
        reason = observation.reason + (hint if observation.is_calibrator else "")
        workshop.products.set_state(
            observation.key, ObservationState.WAITING, step="arrival", reason=reason
        )


def record_failure(
    workshop: Workshop,
    key: str,
    *,
    step: str,
    reason: str,
    run_id: str,
    ended_mjd: float | None = None,
    died: bool = False,
) -> None:
    """Record a failed step in an observation's history, unless the step did so itself.

    A calibrator observation whose solve failed isn't lost: it waits for another set. A state set by
    a run after `ended_mjd` (MJD in days) is kept. `died`: the run was interrupted, so that the step
    may succeed another time.
    """
    state = ObservationState.FAILED
    known = workshop.products.get(key)
    if died and _is_told_late(known, ended_mjd):
        return
    if step == IMAGE_STEP or known.origin is ObservationOrigin.IMAGE:
        # The image is unaffected.
        words = f"not measured: {reason}" if step == IMAGE_STEP else reason
        workshop.products.set_state(key, known.state, step=step, reason=words, run_id=run_id)
        return
    if step == SOLVE_STEP and known.state in _MADE:
        # It went on with another set before this was reported.
        words = f"not solved: {reason}"
        workshop.products.set_state(key, known.state, step=step, reason=words, run_id=run_id)
        return
    if step == SOLVE_STEP:
        state = ObservationState.WAITING
        cure = f"; to solve it again: {solve_command(known)}" if died else ""
        reason = f"waits for another set: {reason}{cure}"
    history = workshop.products.history(key)
    # A run reports once. The command line has no runs: there a repeated reason is dropped.
    told = (
        [e.run_id == run_id for e in history if e.state in _PUT_ASIDE]
        if run_id
        else [e.message == reason for e in history[-1:] if e.state in _PUT_ASIDE]
    )
    if not any(told):
        workshop.products.set_state(key, state, step=step, reason=reason, run_id=run_id)


def record_interruption(
    workshop: Workshop,
    key: str,
    *,
    step: str,
    reason: str,
    run_id: str,
    begun: bool,
    ended_mjd: float,
) -> None:
    """Record in an observation's history that a run was interrupted and is restarted.

    `step` is the one in progress, or the first of the run. Unless any step had `begun`, the
    observation keeps its state, as it does if a run after `ended_mjd` (MJD in days) set it.
    """
    known = workshop.products.get(key)
    if _is_told_late(known, ended_mjd):
        return
    kept = not begun or step == IMAGE_STEP or known.origin is ObservationOrigin.IMAGE
    workshop.products.set_state(
        key,
        known.state if kept else ObservationState.INTERRUPTED,
        step=step,
        reason=f"{reason}; it is started again",
        run_id=run_id,
    )


def solve_command(record: ObservationRecord) -> str:
    """Return the command that solves a calibrator observation again."""
    mjd = parse_partition_key(record.key)
    start, end = (partition_key(mjd + d) for d in (-KEY_RESOLUTION_DAYS, KEY_RESOLUTION_DAYS))
    return f"`contimg reprocess --step {SOLVE_STEP} --from {start} --to {end}`"


def _is_told_late(known: ObservationRecord, ended_mjd: float | None) -> bool:
    return ended_mjd is not None and known.state in _MADE and known.updated_mjd > ended_mjd


def record_cancellation(workshop: Workshop, key: str, *, step: str, run_id: str) -> None:
    """Record in an observation's history that a user cancelled a run.

    An observation that is imaged or failed keeps its state: a cancelled run replaces nothing.
    """
    state = workshop.products.get(key).state
    # A cancelled solve is told beside the image that another set made.
    if state is ObservationState.FAILED or (
        state is ObservationState.IMAGED and step != SOLVE_STEP
    ):
        return
    reason = "cancelled by hand; materialize it to start it again"
    record_failure(workshop, key, step=step, reason=reason, run_id=run_id)


def _caltables(workshop: Workshop, record: ObservationRecord) -> tuple[str | None, str]:
    """Return the set that applies to an observation now, or None and the reason."""
    asked = partial(look_up, workshop, record.mid_mjd, record.declination_deg)
    try:
        # First without the layout: it is the largest part of a row, and usually no set is valid.
        asked(None, verify=False)
        found = asked(workshop.products.observation(record.key).layout)
    except StoreUnavailable:
        raise
    except Exception as none:
        # An observation whose look-up fails waits alone, with the reason.
        return None, in_words(none)
    return set_key(found.set.name, found.set.version), ""
