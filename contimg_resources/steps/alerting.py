"""Tell people what they must know, each thing once.

Belongs here: gathering what the rules look at, and who delivers what, when.
Doesn't: the rules and the channels (see `contimg_resources.alerts`).

A message is recorded first, then claimed, so that one process alone has it in hand, for as long as
a delivery can take; a claim of a process that died lapses. Immediately before it goes out on a
channel it is marked there, and the mark is taken away only after a certain failure. So a message is
never told twice on a channel; one whose process died, or whose server went silent, in the seconds
between mark and answer may not have been told at all, and `contimg alerts` says so.
"""

import hashlib
import time
from dataclasses import dataclass, replace

from contimg_resources.alerts.calibration import (
    LOOK_BACK_DAYS,
    PATIENCE_H,
    SolvedSet,
    Uncalibrated,
    calibration_alerts,
    possible_calibration_keys,
)
from contimg_resources.alerts.candidates import KIND as CANDIDATE
from contimg_resources.alerts.candidates import candidate_alerts, is_told
from contimg_resources.alerts.channels import channels_of
from contimg_resources.alerts.delivery import Channel, Failure
from contimg_resources.alerts.failures import LOOK_BACK_DAYS as FAILURES_BACK_DAYS
from contimg_resources.alerts.failures import failure_alerts
from contimg_resources.alerts.platform import platform_alert
from contimg_resources.alerts.quality import (
    BEFORE_DAYS,
    HISTORY_DAYS,
    LAST_DAYS,
    N_LAST,
    NoiseSeries,
    quality_alerts,
)
from contimg_resources.alerts.quality import KIND as QUALITY
from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import VariabilityFailed, rejecting
from contimg_resources.core.times import SECONDS_PER_DAY, mjd_day, utc_day
from contimg_resources.database import now_mjd as clock_mjd
from contimg_resources.products.events import BEGUN, CANDIDATE_KEY, DELIVERED, AlertRecord
from contimg_resources.products.model import ObservationRecord, ObservationState
from contimg_resources.registry.model import SetStatus
from contimg_resources.steps.looking_up import look_up_all
from contimg_resources.steps.workshop import Workshop

#: What nobody could be told for so long is old news, days.
STALE_DAYS = 1.0
#: Pauses after the first, the second, ... failed try, minutes; the last try has none.
PAUSES_MIN = (1, 5, 15, 60, 120, 240, 480)
MAX_TRIES = len(PAUSES_MIN) + 1

#: Longer than all channels together can take.
_CLAIM_MIN = 10.0
_MINUTES_PER_DAY = 1440.0
_CUT_SHORT = "perhaps delivered: the process ended before the answer"


@dataclass(frozen=True)
class Told:
    """What one look did.

    Parameters
    ----------
    new : tuple of AlertRecord
        Messages that were recorded.
    sent : tuple of AlertRecord
        Messages that are out on every channel, if perhaps only (`error` says so then).
    failed : tuple of AlertRecord
        Messages that couldn't be delivered on some channel, with the reason.
    """

    new: tuple[AlertRecord, ...] = ()
    sent: tuple[AlertRecord, ...] = ()
    failed: tuple[AlertRecord, ...] = ()


@dataclass(frozen=True)
class Untold:
    """What there is to tell.

    Parameters
    ----------
    new : tuple of AlertRecord
        Messages that aren't recorded yet.
    due : tuple of AlertRecord
        Recorded ones that may be tried now.
    seen : str
        Names the last images when their noise tells nothing new; else empty.
    """

    new: tuple[AlertRecord, ...]
    due: tuple[AlertRecord, ...]
    seen: str = ""

    @property
    def signature(self) -> str:
        """The same as long as the same is to be told, and nothing was tried."""
        return ";".join([*(a.key for a in self.new), *(f"{a.key}#{a.n_tries}" for a in self.due)])


def untold(workshop: Workshop, *, seen: str = "", now_mjd: float | None = None) -> Untold:
    """Return what there is to tell; changes nothing.

    That takes some milliseconds, and a few hundred after a new image: then it is compared with
    those of the weeks before.

    Parameters
    ----------
    workshop : Workshop
        Its stores and settings.
    seen : str
        What the look before had `seen`: images that are still the last aren't compared again.
    now_mjd : float, optional
        The present, MJD in days; by default the clock's.
    """
    present_mjd = clock_mjd() if now_mjd is None else now_mjd
    last = _last_images(workshop, present_mjd)
    new = _new(workshop, present_mjd, with_quality=seen != last)
    told_nothing = not any(alert.kind == QUALITY for alert in new)
    return Untold(new, _due(workshop, present_mjd), last if told_nothing else "")


def tell_alerts(
    workshop: Workshop, *, now_mjd: float | None = None, progress: Progress = no_progress
) -> Told:
    """Record what is new, and deliver what is due.

    Without a webhook or addresses messages are recorded only. A failed delivery raises nothing: it
    is in the record, and is tried again after growing pauses.

    Parameters
    ----------
    workshop : Workshop
        Its stores and settings.
    now_mjd : float, optional
        The present, MJD in days; by default the clock's.
    progress : callable, optional
        Told what is done.
    """
    start_mjd, started_s = (clock_mjd() if now_mjd is None else now_mjd), time.monotonic()
    events = workshop.products.events
    new = tuple(a for a in _new(workshop, start_mjd) if events.add_alert(a, at_mjd=start_mjd))
    due = _due(workshop, start_mjd)
    sent: list[AlertRecord] = []
    failed: list[AlertRecord] = []
    for number, alert in enumerate(due):
        progress(f"telling {alert.key}", number / len(due))
        # Deliveries may take minutes; a claim begins with its own.
        at_mjd = start_mjd + (time.monotonic() - started_s) / SECONDS_PER_DAY
        tried = _deliver(workshop, alert.key, at_mjd)
        if tried is not None:
            (failed if tried.sent_mjd is None else sent).append(tried)
    return Told(new, tuple(sent), tuple(failed))


def tell_platform(workshop: Workshop, what: str) -> None:
    """Record that something is wrong with the platform's own processes.

    Parameters
    ----------
    workshop : Workshop
        Its stores and settings.
    what : str
        One sentence.
    """
    at_mjd = clock_mjd()
    workshop.products.events.add_alert(
        platform_alert(what, at_mjd=at_mjd),
        at_mjd=at_mjd,
    )


def state_in_words(alert: AlertRecord) -> str:
    """Say how far a message is."""
    if alert.sent_mjd is not None:
        return "perhaps sent" if BEGUN in alert.channels.values() else "sent"
    if alert.n_tries == 0:
        return "recorded"
    return "given up" if alert.next_try_mjd is None else "failed, tried again"


def _new(
    workshop: Workshop, now_mjd: float, *, with_quality: bool = True
) -> tuple[AlertRecord, ...]:
    found: list[AlertRecord] = []
    failed: dict[str, str] = {}
    with rejecting(failed, "candidates"):
        found += _new_candidates(workshop)
    with rejecting(failed, "calibration"):
        found += _new_calibration(workshop, now_mjd)
    with rejecting(failed, "failures"):
        found += _new_failures(workshop, now_mjd)
    if with_quality:
        with rejecting(failed, QUALITY):
            found += _new_quality(workshop, now_mjd)
    if failed:
        # What keeps one kind of message from being written is told itself, once a day.
        found.append(_broken(failed, now_mjd))
    known = workshop.products.events.known_alerts(a.key for a in found) if found else frozenset()
    return tuple(alert for alert in found if alert.key not in known)


def _broken(failed: dict[str, str], now_mjd: float) -> AlertRecord:
    kinds = ", ".join(sorted(failed))
    return AlertRecord(
        key=f"alerts:{utc_day(mjd_day(now_mjd))}",
        kind="alerts",
        subject=f"messages about {kinds} can't be written",
        text="\n".join(f"{kind}: {why}" for kind, why in failed.items()),
    )


def _new_candidates(workshop: Workshop) -> tuple[AlertRecord, ...]:
    events = workshop.products.events
    candidates = events.untold_candidates()
    if not candidates:
        return ()
    return candidate_alerts(candidates, events.last_marks(), workshop.settings.alerts.dashboard_url)


def _new_calibration(workshop: Workshop, now_mjd: float) -> tuple[AlertRecord, ...]:
    waiting = workshop.products.list_observations(
        state=ObservationState.WAITING, start_mjd=now_mjd - LOOK_BACK_DAYS, end_mjd=now_mjd
    )
    if not waiting or now_mjd - waiting[0].mid_mjd <= PATIENCE_H / 24:
        return ()
    keys = possible_calibration_keys(now_mjd)
    if workshop.products.events.known_alerts(keys) >= frozenset(keys):
        return ()
    sets = workshop.registry.list_sets(
        status=SetStatus.ACTIVE, start_mjd=waiting[0].mid_mjd, end_mjd=now_mjd
    )
    return calibration_alerts(
        [
            Uncalibrated(record.key, record.mid_mjd, record.declination_deg)
            for record in _without_set(workshop, waiting)
        ],
        [SolvedSet(s.mid_mjd, s.declination_deg) for s in sets],
        strip_tolerance_deg=workshop.settings.calibration.strip_tolerance_deg,
        now_mjd=now_mjd,
    )


def _without_set(
    workshop: Workshop, records: list[ObservationRecord]
) -> tuple[ObservationRecord, ...]:
    """Return those that would get no set now; one that has a set waits for a free run only."""
    of_any = look_up_all(workshop, ((r.mid_mjd, r.declination_deg, None) for r in records))
    pairs = list(zip(records, of_any, strict=True))
    # The layout is the large part of a row; mostly nothing is valid, and it needn't be read.
    fitting = [record for record, found in pairs if found is not None]
    answers = look_up_all(
        workshop,
        (
            (r.mid_mjd, r.declination_deg, workshop.products.observation(r.key).layout)
            for r in fitting
        ),
    )
    served = {r.key for r, found in zip(fitting, answers, strict=True) if found is not None}
    return tuple(record for record in records if record.key not in served)


def _new_failures(workshop: Workshop, now_mjd: float) -> tuple[AlertRecord, ...]:
    lately = workshop.products.list_observations(
        start_mjd=now_mjd - FAILURES_BACK_DAYS, end_mjd=now_mjd
    )
    return failure_alerts(lately, now_mjd=now_mjd)


def _last_images(workshop: Workshop, now_mjd: float) -> str:
    """Return a digest of what the rule of image quality takes as the last images."""
    last = workshop.products.image_noise(start_mjd=now_mjd - LAST_DAYS, end_mjd=now_mjd)
    facts = (workshop.settings.alerts.rms_factor, last[-N_LAST:])
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _new_quality(workshop: Workshop, now_mjd: float) -> tuple[AlertRecord, ...]:
    rms_factor = workshop.settings.alerts.rms_factor
    noise = workshop.products.image_noise
    last = noise(start_mjd=now_mjd - LAST_DAYS, end_mjd=now_mjd)
    if not last:
        return ()
    before = noise(start_mjd=last[0].mid_mjd - BEFORE_DAYS, end_mjd=last[0].mid_mjd)
    lately = NoiseSeries([*before, *last])
    if lately.present_fall(rms_factor=rms_factor, now_mjd=now_mjd) is None:
        return ()
    return quality_alerts(
        noise(start_mjd=now_mjd - HISTORY_DAYS, end_mjd=now_mjd),
        rms_factor=rms_factor,
        now_mjd=now_mjd,
    )


def _due(workshop: Workshop, now_mjd: float) -> tuple[AlertRecord, ...]:
    """Return the recorded messages that may be tried now; none without a channel."""
    if not channels_of(workshop.settings.alerts):
        return ()
    due = workshop.products.events.due_alerts(at_mjd=now_mjd, since_mjd=now_mjd - STALE_DAYS)
    if not any(alert.kind == CANDIDATE for alert in due):
        return due
    return tuple(a for a in due if a.kind != CANDIDATE or _still_stands(workshop, a))


def _still_stands(workshop: Workshop, alert: AlertRecord) -> bool:
    """Tell whether a candidate is still news, when its message couldn't be delivered at once."""
    events = workshop.products.events
    try:
        candidate = events.candidate(alert.key.removeprefix(CANDIDATE_KEY))
    except VariabilityFailed:
        return False
    marks = events.list_marks(candidate.id)
    return is_told(candidate, marks[-1] if marks else None)


def _try(channel: Channel, alert: AlertRecord) -> Failure | None:
    try:
        return channel.deliver(alert.subject, alert.text, kind=alert.kind, key=alert.key)
    except Exception as error:
        # Its text may hold a password; whether anything went out, nobody knows.
        return Failure(f"{channel.name}: unexpected {type(error).__name__}", certain=False)


def _deliver(workshop: Workshop, key: str, at_mjd: float) -> AlertRecord | None:
    """Deliver one message on the channels that it isn't out on; None: another process has it."""
    events = workshop.products.events
    until_mjd = at_mjd + _CLAIM_MIN / _MINUTES_PER_DAY
    claimed = events.claim_alert(key, at_mjd=at_mjd, until_mjd=until_mjd)
    if claimed is None:
        return None
    channels, failures, doubts = dict(claimed.channels), [], []
    for channel in channels_of(workshop.settings.alerts):
        name = channel.name
        if channels.get(name) == DELIVERED:
            continue
        if name in channels or not events.begin_delivery(key, name):
            channels[name] = BEGUN
            doubts.append(f"{name}: {_CUT_SHORT}")
            continue
        failure = _try(channel, claimed)
        if failure is None:
            events.end_delivery(key, name, delivered=True)
            channels[name] = DELIVERED
        elif failure.certain:
            events.end_delivery(key, name, delivered=False)
            failures.append(failure.reason)
        else:
            channels[name] = BEGUN
            doubts.append(failure.reason)
    n_tries = claimed.n_tries + 1
    next_try_mjd = None
    if failures and n_tries < MAX_TRIES:
        next_try_mjd = at_mjd + PAUSES_MIN[n_tries - 1] / _MINUTES_PER_DAY
    tried = replace(
        claimed,
        channels=channels,
        n_tries=n_tries,
        error="; ".join([*failures, *doubts]),
        sent_mjd=None if failures else at_mjd,
        next_try_mjd=next_try_mjd,
        claimed_until_mjd=None,
    )
    events.update_alert(tried)
    return tried
