"""Status of the night.

Belongs here: its numbers, and the problems that need attention. Doesn't: the documents with the
details.

The night is the 24 hours before the end of the latest observation. Stale products, candidates and
variables are counted whatever their date: they are pending work.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from contimg_resources.export.candidates import is_complete
from contimg_resources.export.model import Count, RejectionItem, Status
from contimg_resources.export.pages import MJD_DECIMALS, finite, rounded
from contimg_resources.export.state import PlatformState
from contimg_resources.products.epochs import EpochRecord, MosaicRecord, MosaicState
from contimg_resources.products.events import CandidateState
from contimg_resources.products.model import ImageRecord, ObservationRecord, ObservationState

_NIGHT_DAYS = 1.0
#: Maximum number of kinds of failures that are listed for each product.
_MAX_KINDS = 8
_WINDOW_DAYS = 0.1
_LONGEST_REASON = 300
_MAX_REJECTIONS = 100
_NUMBER = re.compile(r"\d[\d.]*")


def night_status(state: PlatformState) -> Status:
    """Summarise the night."""
    # Added light curves may be years old.
    in_progress = [
        c
        for c in state.candidates
        if c.state is CandidateState.IN_PROGRESS and c.added_list is None
    ]
    n_variables = 0 if state.variability is None else int(state.variability.is_variable.sum())
    standing = Status(
        n_stale=len(state.stale),
        n_candidates_in_progress=len(in_progress),
        n_variables=n_variables,
        silence_min=state.silence_min,
        rejections=tuple(
            RejectionItem(
                name=one.name,
                reason=_shortened(one.reason),
                since_mjd=rounded(one.since_mjd, MJD_DECIMALS),
            )
            for one in state.rejections[:_MAX_REJECTIONS]
        ),
        problems=tuple(_standing_problems(state)),
    )
    if not state.observations:
        return standing
    end_mjd = max(o.end_mjd for o in state.observations)
    start_mjd = end_mjd - _NIGHT_DAYS
    tonight = [o for o in state.observations if o.end_mjd > start_mjd]
    # A window's mid-time may be later than the last of its observations.
    until_mjd = end_mjd + _WINDOW_DAYS
    mosaics = [m for m in state.mosaics if start_mjd < m.mid_mjd <= until_mjd]
    epochs = [e for e in state.epochs.values() if start_mjd < e.mid_mjd <= until_mjd]
    images = [state.images[o.key] for o in tonight if o.key in state.images]
    imaged = [o.mid_mjd for o in state.observations if o.state is ObservationState.IMAGED]
    counts = Counter(o.state for o in tonight)
    valid = state.answers[-1]
    problems = (*_problems(tonight, mosaics, epochs), *standing.problems)
    if valid is None:
        problems = ("no caltable set is valid for the latest observation", *problems)
    return standing.model_copy(
        update={
            "start_mjd": rounded(start_mjd, MJD_DECIMALS),
            "end_mjd": rounded(end_mjd, MJD_DECIMALS),
            "counts": tuple(Count(state=s.value, n=counts[s]) for s in ObservationState),
            "observed_h": rounded(24 * sum(o.end_mjd - o.start_mjd for o in tonight), 3),
            "n_images": counts[ObservationState.IMAGED],
            "n_mosaics": sum(m.state is MosaicState.MADE for m in mosaics),
            "last_observation": state.observations[-1].key,
            "last_image_mjd": rounded(imaged[-1], MJD_DECIMALS) if imaged else None,
            "median_rms_mjy": _median(i.rms_mjy for i in images),
            "median_rms_ratio": _median(_rms_ratio(i) for i in images),
            "active_set": valid.name if valid else None,
            "active_set_until_mjd": rounded(valid.end_mjd, MJD_DECIMALS) if valid else None,
            "n_failed": counts[ObservationState.FAILED],
            "n_waiting": counts[ObservationState.WAITING],
            "problems": problems,
        }
    )


def _problems(
    tonight: Sequence[ObservationRecord],
    mosaics: Sequence[MosaicRecord],
    epochs: Sequence[EpochRecord],
) -> Iterator[str]:
    failed = [o for o in tonight if o.state is ObservationState.FAILED]
    yield from _grouped("observation", "failed", [(o.key, f"{o.step}: {o.reason}") for o in failed])
    waiting = [(o.key, o.reason) for o in tonight if o.state is ObservationState.WAITING]
    yield from _grouped("observation", "without a valid caltable set", waiting)
    bad = [(m.key, m.reason) for m in mosaics if m.state is MosaicState.FAILED]
    yield from _grouped("mosaic", "failed", bad)
    unpublished = [(e.epoch, e.reason) for e in epochs if not e.epoch_ok]
    yield from _grouped("epoch of photometry", "not published", unpublished)


def _standing_problems(state: PlatformState) -> Iterator[str]:
    if state.stale:
        yield (
            f"{_counted(len(state.stale), 'observation')} with stale products (list them with "
            "`contimg status --stale`, make them anew with `contimg reprocess`)"
        )
    if state.shortage:
        yield state.shortage
    # The last of each kind is the one that is shown.
    rejected = [(one.name, one.reason) for one in reversed(state.rejections)]
    yield from _grouped("delivery", "rejected", rejected)
    yield from state.damaged
    for record in state.candidates:
        if not is_complete(record):
            yield f"candidate {record.id} isn't shown: its time or score is missing"


def _grouped(what: str, became: str, found: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield each kind of reason once; reasons that differ only in numbers are one kind."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for key, reason in found:
        kinds.setdefault(_NUMBER.sub("#", reason), []).append((key, reason))
    ordered = sorted(kinds.values(), key=lambda kind: (-len(kind), kind[0]))
    for kind in ordered[:_MAX_KINDS]:
        key, reason = kind[-1]
        which = key if len(kind) == 1 else f"the last {key}"
        told = f"{_counted(len(kind), what)} {became} ({which})"
        yield f"{told}: {_shortened(reason)}" if reason else told
    left = sum(len(kind) for kind in ordered[_MAX_KINDS:])
    if left:
        yield f"{_counted(left, what)} {became} for other reasons"


def _shortened(reason: str) -> str:
    """Return a reason, cut at the end of a word if it is long."""
    if len(reason) <= _LONGEST_REASON:
        return reason
    return f"{reason[:_LONGEST_REASON].rsplit(' ', 1)[0]} …"


def _counted(n: int, what: str) -> str:
    if n == 1:
        return f"1 {what}"
    first, _, rest = what.partition(" ")
    return f"{n} {first}s {rest}".rstrip()


def _rms_ratio(image: ImageRecord) -> float | None:
    rms_mjy, expected_mjy = finite(image.rms_mjy), finite(image.expected_rms_mjy)
    return rms_mjy / expected_mjy if rms_mjy is not None and expected_mjy else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in map(finite, values) if v is not None]
    return finite(float(np.median(known))) if known else None
