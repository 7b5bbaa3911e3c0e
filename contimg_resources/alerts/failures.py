"""The alert about many failed observations.

Belongs here: the number of failures among the last observations that needs attention. Doesn't:
the checks of an image (see `contimg_resources.imaging.acceptance`).

An image with failed checks counts like any other failure: rising noise is reported by `quality` as
long as images pass, and here if they don't. The key is the UTC day of the first failure of the
series within the last 24 hours, so a series is reported at once and then once a day while it lasts.
"""

from collections import Counter
from collections.abc import Sequence

from contimg_resources.alerts.delivery import one_line
from contimg_resources.core.keys import day_key
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.products.events import AlertRecord
from contimg_resources.products.model import ObservationRecord, ObservationState

KIND = "failures"
#: Age of the oldest observations that count, days.
LOOK_BACK_DAYS = 1.0
#: Number of the last observations that are used, and the minimum number ...
N_LAST, MIN_LAST = 12, 6
#: ... and the fraction that must have failed.
SHARE = 0.5

_ENDS = (ObservationState.IMAGED, ObservationState.SOLVED, ObservationState.FAILED)
_SHOWN_REASONS = 2


def failure_alerts(
    records: Sequence[ObservationRecord], *, now_mjd: float
) -> tuple[AlertRecord, ...]:
    """Return the alert if most of the last observations failed; otherwise nothing.

    The records are in the order of time; unfinished ones, and those older than 24 hours at
    `now_mjd` (MJD in days), are ignored.
    """
    lately = [
        r
        for r in records
        if r.state in _ENDS
        and not r.superseded_by
        and now_mjd - LOOK_BACK_DAYS <= r.mid_mjd <= now_mjd
    ]
    last = lately[-N_LAST:]
    if len(last) < MIN_LAST or not _is_failing(last):
        return ()
    first = _first_of_spell(lately)
    failed = [r for r in last if _failed(r)]
    reasons = Counter(f"{r.step}: {one_line(r.reason)}" for r in failed)
    told = "".join(f"\n{n} x {reason}" for reason, n in reasons.most_common(_SHOWN_REASONS))
    return (
        AlertRecord(
            key=f"{KIND}:{day_key(first.mid_mjd)}",
            kind=KIND,
            subject=f"{len(failed)} of the last {len(last)} observations failed",
            text=f"{len(failed)} of the last {len(last)} observations gave no usable product. "
            f"It began with {first.key}, {isot_from_mjd(first.mid_mjd)[:16]} UTC.{told}\n"
            f"`contimg observation history {failed[-1].key}` shows the latest failure.",
        ),
    )


def _failed(record: ObservationRecord) -> bool:
    return record.state is ObservationState.FAILED


def _is_failing(records: Sequence[ObservationRecord]) -> bool:
    return sum(_failed(r) for r in records) >= SHARE * len(records)


def _first_of_spell(records: Sequence[ObservationRecord]) -> ObservationRecord:
    """Return the first failure of the series that includes the last observation."""
    end = len(records)
    while end > MIN_LAST and _is_failing(records[max(end - 1 - N_LAST, 0) : end - 1]):
        end -= 1
    return next(r for r in records[max(end - N_LAST, 0) :] if _failed(r))
