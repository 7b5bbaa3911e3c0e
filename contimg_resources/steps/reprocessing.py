"""Choose the observations of a span of time to reprocess.

Belongs here: choosing, with a reason for each. Doesn't: starting anything.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from contimg_resources.core.errors import NoValidCaltables, StoreUnavailable, in_words
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import ArtefactKind, ObservationRecord, ObservationState
from contimg_resources.steps.looking_up import look_up
from contimg_resources.steps.solving import STEP as SOLVE_STEP
from contimg_resources.steps.staleness import stale_observations
from contimg_resources.steps.starting import needs_ms, solve_command
from contimg_resources.steps.workshop import Workshop

#: Tag that names the backfill of a run: Dagster's web interface shows no titles.
REPROCESS_TAG = "contimg/reprocess"


class Step(StrEnum):
    """The first step to repeat; all later steps follow."""

    MEASUREMENT_SET = "measurement_set"
    """Making the MS of sub-band files that lack it, calibrating and imaging."""
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
    """A chosen observation.

    Parameters
    ----------
    key : str
        Its partition key.
    why : str
        Why it was chosen.
    hindrance : str
        Why it can't be reprocessed now; empty when it can.
    needs_ms : bool
        Whether its MS is to be made of its sub-band files first.
    """

    key: str
    why: str
    hindrance: str
    needs_ms: bool = False


def steps_from(step: Step, chosen: Iterable[Chosen]) -> tuple[str, ...]:
    """Return the assets to materialize, from the first step to repeat.

    The MS of observations that lack theirs are made first; those that are there stay.
    """
    if step is Step.CALIBRATED_MS and any(c.needs_ms for c in chosen if not c.hindrance):
        step = Step.MEASUREMENT_SET
    steps = list(Step)
    return tuple(s.value for s in steps[steps.index(step) :])


def choose_observations(
    workshop: Workshop,
    which: Which,
    *,
    step: Step = Step.CALIBRATED_MS,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    busy: Collection[str] = (),
) -> tuple[Chosen, ...]:
    """Choose the observations to reprocess, in order of time.

    Observations whose MS now holds another observation are left out.

    Parameters
    ----------
    workshop : Workshop
        Stores and settings.
    which : Which
        Which observations to choose.
    step : Step
        The first step to repeat.
    start_mjd, end_mjd : float, optional
        Only those whose mid-MJD is in [start, end), days.
    busy : collection of str
        Partition keys of runs and backfills that are queued or in progress: these are skipped.
    """
    records = [
        r
        for r in workshop.products.list_observations(start_mjd=start_mjd, end_mjd=end_mjd)
        if not r.superseded_by
    ]
    reasons = dict(_reasons(workshop, which, records, start_mjd, end_mjd))
    return tuple(
        Chosen(
            r.key,
            reasons[r.key],
            _busy(r, busy) or _hindrance(workshop, r, step),
            needs_ms=needs_ms(workshop, r),
        )
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

    Parameters
    ----------
    workshop : Workshop
        Stores.
    start_mjd, end_mjd : float, optional
        Only those whose mid-MJD is in [start, end), days.
    busy : collection of str
        Partition keys of runs and backfills that are queued or in progress: these are skipped.
    """
    return tuple(
        Chosen(
            record.key,
            f"{record.calibrator} crossed the beam",
            _busy(record, busy) or _without_ms(workshop, record),
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


def _without_ms(workshop: Workshop, record: ObservationRecord) -> str:
    """Return why an observation has no MS to solve; empty when it has."""
    if not needs_ms(workshop, record):
        return _gone(workshop, record)
    cure = solve_command(record).replace(SOLVE_STEP, Step.MEASUREMENT_SET)
    return _gone(workshop, record) or f"its MS is still to be made: {cure}"


def _gone(workshop: Workshop, record: ObservationRecord) -> str:
    """Return why neither the MS nor the sub-band files of an observation are there."""
    if not needs_ms(workshop, record):
        return "" if record.path.is_dir() else f"its MS {record.path} is gone"
    files = workshop.products.sub_bands.files(record.key)
    gone = [f.path for f in files if not f.is_unchanged]
    return f"{len(gone)} of its sub-band files are gone, such as {gone[0]}" if gone else ""


def _busy(record: ObservationRecord, busy: Collection[str]) -> str:
    return "a run of it is queued or in progress" if record.key in busy else ""


def _hindrance(workshop: Workshop, record: ObservationRecord, step: Step) -> str:
    if record.origin is ObservationOrigin.IMAGE:
        return "it is an image made elsewhere; `contimg images add` remakes its products"
    if step is Step.IMAGE_5MIN:
        made = {a.kind: a.path for a in workshop.products.artefacts(record.key)}
        calibrated = made.get(ArtefactKind.CALIBRATED_MS)
        return "" if calibrated is not None and calibrated.is_dir() else "it has no calibrated MS"
    if gone := _gone(workshop, record):
        return gone
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
