"""The alert about a telescope from which nothing arrives.

Belongs here: after which time without an observation, and the text of the alert. Doesn't: what
arrives, and the platform's own processes.

The key is the last observation's, so a silence is reported once. An older silence isn't reported:
a state directory of an earlier season is opened to work on it.
"""

from contimg_resources.core.times import SECONDS_PER_DAY, isot_from_mjd
from contimg_resources.products.events import AlertRecord
from contimg_resources.products.model import ObservationRecord

KIND = "silence"
#: Maximum length of a silence that is reported, days.
LOOK_BACK_DAYS = 1.0


def silence_min(last: ObservationRecord | None, now_mjd: float) -> float:
    """Return the time since the end of the last observation, minutes; 0 without any."""
    return 0.0 if last is None else (now_mjd - last.end_mjd) * SECONDS_PER_DAY / 60


def silence_in_words(last: ObservationRecord, now_mjd: float) -> str:
    """Return since when nothing has arrived."""
    minutes = silence_min(last, now_mjd)
    length = next(
        f"{minutes / size:.0f} {unit}"
        for size, unit in ((1440, "days"), (60, "h"), (1, "min"))
        if minutes >= 2 * size or size == 1
    )
    return (
        f"no observation for {length}; the last one, {last.key}, ended at "
        f"{isot_from_mjd(last.end_mjd)[:16]} UTC"
    )


def silence_alerts(
    last: ObservationRecord | None, *, patience_min: float | None, now_mjd: float
) -> tuple[AlertRecord, ...]:
    """Return the alert if nothing has arrived for too long; otherwise nothing.

    `patience_min` is in minutes, None: no alert; `now_mjd` is in days.
    """
    if last is None or patience_min is None:
        return ()
    if not patience_min < silence_min(last, now_mjd) < LOOK_BACK_DAYS * SECONDS_PER_DAY / 60:
        return ()
    words = silence_in_words(last, now_mjd)
    return (
        AlertRecord(
            key=f"{KIND}:{last.key}",
            kind=KIND,
            subject=f"No observation for more than {patience_min:g} minutes",
            text=f"{words[0].upper()}{words[1:]}. Is the correlator running, and are its files "
            "copied into the watched directory? `contimg status` shows which directory that is and "
            "what was rejected there.",
        ),
    )
