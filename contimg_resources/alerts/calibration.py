"""The alert about a night without calibration.

Belongs here: when observations have waited too long for a caltable set, and the text of the alert.
Doesn't: looking sets up.

The rule uses the last 24 hours, not the UTC day: the operator must know during the night, which may
begin on the day before. The key is the UTC day of the first waiting observation, so an outage is
reported two hours after it began and then once a day while it lasts.
"""

from collections.abc import Iterable

from contimg_resources.core.keys import day_key
from contimg_resources.core.times import isot_from_mjd, mjd_day
from contimg_resources.products.events import AlertRecord
from contimg_resources.products.model import ObservationRecord

KIND = "calibration"
#: Age of the oldest observations that count, days.
LOOK_BACK_DAYS = 1.0
#: Maximum time that observations may wait for a calibrator, hours.
PATIENCE_H = 2.0

_PATIENCE_DAYS = PATIENCE_H / 24


def calibration_key(mid_mjd: float) -> str:
    """Return the key of the alert about the UTC day of an MJD (days)."""
    return f"{KIND}:{day_key(mid_mjd)}"


def possible_calibration_keys(now_mjd: float) -> tuple[str, ...]:
    """Return every key that an alert can have at an MJD (days)."""
    days = range(mjd_day(now_mjd - LOOK_BACK_DAYS), mjd_day(now_mjd) + 1)
    return tuple(calibration_key(float(day)) for day in days)


def calibration_alerts(
    uncalibrated: Iterable[ObservationRecord],
    solved: Iterable[tuple[float, float | None]],
    *,
    strip_tolerance_deg: float,
    now_mjd: float,
) -> tuple[AlertRecord, ...]:
    """Return the alert if observations without a set have waited too long; otherwise nothing.

    An observation before the last solved calibrator of its strip doesn't count: its time has no
    set, but calibration has continued. Observations that have waited for more than 24 h are
    ignored. `solved` holds mid-MJD (days) and strip (degrees; None for any) of the active sets. The
    declinations of a set and of its observations differ by at most `strip_tolerance_deg`; `now_mjd`
    is in days.
    """
    sets = tuple(solved)
    waiting = sorted(
        (
            one
            for one in uncalibrated
            if now_mjd - LOOK_BACK_DAYS <= one.mid_mjd <= now_mjd
            and not any(_solved_after(one, s, strip_tolerance_deg) for s in sets)
        ),
        key=lambda one: one.mid_mjd,
    )
    if not waiting or now_mjd - waiting[0].mid_mjd <= _PATIENCE_DAYS:
        return ()
    first, last = waiting[0], waiting[-1]
    waited_h = 24 * (now_mjd - first.mid_mjd)
    return (
        AlertRecord(
            key=calibration_key(first.mid_mjd),
            kind=KIND,
            subject=f"No calibration for {waited_h:.1f} h",
            text=f"{len(waiting)} observations since {isot_from_mjd(first.mid_mjd)[:16]} UTC have "
            f"no valid caltable set, and no calibrator was solved since then.\n"
            f"First: {first.key}, declination {first.declination_deg:.2f} deg; "
            f"last: {last.key}.\n"
            f"`contimg observation history {first.key}` shows why it waits.",
        ),
    )


def _solved_after(
    one: ObservationRecord, solved: tuple[float, float | None], tolerance_deg: float
) -> bool:
    mid_mjd, declination_deg = solved
    return mid_mjd >= one.mid_mjd and (
        declination_deg is None or abs(declination_deg - one.declination_deg) <= tolerance_deg
    )
