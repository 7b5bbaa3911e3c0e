"""Choose the observations of a span of time to reprocess.

Belongs here: choosing, with a reason for each. Doesn't: starting anything.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from contimg_resources.core.errors import NoValidCaltables, StoreUnavailable, in_words
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import ArtefactKind, ObservationRecord, ObservationState
from contimg_resources.steps.looking_up import look_up
from contimg_resources.steps.staleness import stale_observations
from contimg_resources.steps.starting import solve_command
from contimg_resources.steps.workshop import Workshop

#: Tag that names the backfill of a run: Dagster's web interface shows no titles.
REPROCESS_TAG = "contimg/reprocess"


class Step(StrEnum):
    """The first step to repeat; all later steps follow."""

    CALIBRATED_MS = "calibrated_ms"
    """Calibrating and imaging."""
    IMAGE_5MIN = "image_5min"
    """Imaging only."""


class Which(StrEnum):
    """Which observations to reprocess."""

    ALL = "all"
    """All observations."""
    MISSING = "missing"
    """Observations without an image that did not fail."""
    FAILED = "failed"
    """Observations with a failed step."""
    STALE = "stale"
    """Observations whose products were made with another caltable set than now applies."""


@dataclass(frozen=True)
class Chosen:
    """A chosen observation."""

    key: str  #: Its partition key.
    why: str  #: Why it was chosen.
    hindrance: str  #: Why it can't be reprocessed now; empty when it can.


def choose_observations(
    workshop: Workshop,
    which: Which,
    *,
    step: Step = Step.CALIBRATED_MS,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    busy: Collection[str] = (),
) -> tuple[Chosen, ...]:
    """Choose the observations to reprocess from a step on, in order of time.

    Observations whose MS now holds another observation are left out, and those that are `busy`:
    partition keys of runs and backfills that are queued or in progress. Mid-MJDs are in [start,
    end), days.
    """
    records = [
        r
        for r in workshop.products.list_observations(start_mjd=start_mjd, end_mjd=end_mjd)
        if not r.superseded_by
    ]
    reasons = dict(_reasons(workshop, which, records, start_mjd, end_mjd))
    return tuple(
        Chosen(r.key, reasons[r.key], _busy(r, busy) or _hindrance(workshop, r, step))
        for r in records
        if r.key in reasons
    )


def choose_calibrators(
    workshop: Workshop,
    *,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    busy: Collection[str] = (),
) -> tuple[Chosen, ...]:
    """Choose the observations from which caltable sets can be solved, in order of time.

    Mid-MJDs are in [start, end), days; `busy` are partition keys of runs and backfills that are
    queued or in progress: these are skipped.
    """
    return tuple(
        Chosen(
            record.key,
            f"{record.calibrator} crossed the beam",
            _busy(record, busy)
            or ("" if record.path.is_dir() else f"its MS {record.path} is gone"),
        )
        for record in workshop.products.list_observations(start_mjd=start_mjd, end_mjd=end_mjd)
        if record.calibrator and not record.superseded_by
    )


def _reasons(
    workshop: Workshop,
    which: Which,
    records: list[ObservationRecord],
    start_mjd: float | None,
    end_mjd: float | None,
) -> Iterator[tuple[str, str]]:
    if which is Which.STALE:
        for stale in stale_observations(workshop, start_mjd=start_mjd, end_mjd=end_mjd):
            yield stale.key, f"made with {stale.applied}; {stale.why}"
        return
    for record in records:
        failed = record.state is ObservationState.FAILED
        if which is Which.ALL:
            yield record.key, record.state.value
        elif which is Which.FAILED and failed:
            yield record.key, f"{record.step} failed: {record.reason}"
        elif which is Which.MISSING and not failed and workshop.products.image(record.key) is None:
            yield record.key, f"{record.state}" + (f": {record.reason}" if record.reason else "")


def _busy(record: ObservationRecord, busy: Collection[str]) -> str:
    return "a run of it is queued or in progress" if record.key in busy else ""


def _hindrance(workshop: Workshop, record: ObservationRecord, step: Step) -> str:
    if record.origin is ObservationOrigin.IMAGE:
        return "it is an image made elsewhere; `contimg images add` remakes its products"
    if step is Step.IMAGE_5MIN:
        made = {a.kind: a.path for a in workshop.products.artefacts(record.key)}
        calibrated = made.get(ArtefactKind.CALIBRATED_MS)
        return "" if calibrated is not None and calibrated.is_dir() else "it has no calibrated MS"
    if not record.path.is_dir():
        return f"its MS {record.path} is gone"
    try:
        layout = workshop.products.observation(record.key).layout
        look_up(workshop, record.mid_mjd, record.declination_deg, layout, verify=False)
    except NoValidCaltables:
        cure = f"; to solve its own: {solve_command(record)}" if record.calibrator else ""
        return f"no caltable set is valid for it{cure}"
    except StoreUnavailable:
        raise
    except Exception as error:
        return in_words(error)
    return ""
