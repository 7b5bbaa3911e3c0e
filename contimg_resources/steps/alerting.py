"""Send alerts, each of them once.

Belongs here: collecting the input of the alert rules, and scheduling deliveries.
Doesn't: the rules and the channels (see `contimg_resources.alerts`).

An alert is recorded first, then claimed, so that only one process handles it, for at most as long
as a delivery can take; the claim of a process that died expires. Immediately before the alert goes
out on a channel it is marked as begun there, and the mark is removed only after a failure that is
certain. So an alert is never sent twice on a channel. If the process dies, or the server does not
reply, in the seconds between mark and reply, the alert may not have been sent, and `contimg alerts`
reports it as perhaps sent.
"""

import hashlib
import time
from dataclasses import dataclass, replace

from contimg_resources.alerts.antennas import KIND as ANTENNAS
from contimg_resources.alerts.antennas import antenna_alerts
from contimg_resources.alerts.calibration import (
    LOOK_BACK_DAYS,
    PATIENCE_H,
    calibration_alerts,
    possible_calibration_keys,
)
from contimg_resources.alerts.candidates import KIND as CANDIDATE
from contimg_resources.alerts.candidates import candidate_alerts, is_told
from contimg_resources.alerts.channels import channels_of
from contimg_resources.alerts.delivery import Attachment, Channel, Failure
from contimg_resources.alerts.failures import LOOK_BACK_DAYS as FAILURES_BACK_DAYS
from contimg_resources.alerts.failures import failure_alerts
from contimg_resources.alerts.quality import (
    BEFORE_DAYS,
    HISTORY_DAYS,
    LAST_DAYS,
    N_LAST,
    NoiseSeries,
    quality_alerts,
)
from contimg_resources.alerts.quality import KIND as QUALITY
from contimg_resources.alerts.silence import silence_alerts
from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import VariabilityFailed, rejecting
from contimg_resources.core.keys import day_key
from contimg_resources.core.times import SECONDS_PER_DAY, isot_from_mjd
from contimg_resources.database import now_mjd as clock_mjd
from contimg_resources.products.events import BEGUN, CANDIDATE_KEY, DELIVERED, AlertRecord
from contimg_resources.products.model import ObservationRecord, ObservationState
from contimg_resources.registry.model import SetStatus
from contimg_resources.steps.following_up import report_files
from contimg_resources.steps.looking_up import look_up_records
from contimg_resources.steps.workshop import Workshop

#: Alerts that could not be delivered within this time are dropped, days.
STALE_DAYS = 1.0
#: Pauses after the first, the second, ... failed attempt, minutes; none after the last attempt.
PAUSES_MIN = (1, 5, 15, 60, 120, 240, 480)
MAX_TRIES = len(PAUSES_MIN) + 1

#: Longer than the slowest delivery on all channels together.
_CLAIM_MIN = 10.0
_MINUTES_PER_DAY = 1440.0
#: Kind of the alerts about processes that died or hung.
_PLATFORM = "platform"
_CUT_SHORT = "perhaps delivered: the process ended before the server replied"


@dataclass(frozen=True)
class Told:
    """The outcome of one round of alerts."""

    new: tuple[AlertRecord, ...] = ()  #: Alerts that were recorded.
    #: Alerts that went out on every channel, some perhaps undelivered (`error` gives the reason).
    sent: tuple[AlertRecord, ...] = ()
    #: Alerts that couldn't be delivered on some channel, with the reason.
    failed: tuple[AlertRecord, ...] = ()


@dataclass(frozen=True)
class Untold:
    """Alerts that are not delivered yet."""

    new: tuple[AlertRecord, ...]  #: Alerts that aren't recorded yet.
    due: tuple[AlertRecord, ...]  #: Recorded alerts that may be sent now.
    seen: str = ""  #: Digest of the latest images when their noise raises no alert; else empty.

    @property
    def signature(self) -> str:
        """Text that stays the same until the alerts change or one is attempted."""
        return ";".join([*(a.key for a in self.new), *(f"{a.key}#{a.n_tries}" for a in self.due)])


def untold(workshop: Workshop, *, seen: str = "", now_mjd: float | None = None) -> Untold:
    """Return the alerts that are not delivered yet, without changing anything.

    This takes some milliseconds, and a few hundred after a new image, which is compared with the
    images of the weeks before. `seen` is `Untold.seen` of the previous call: the same latest images
    aren't compared again. `now_mjd` is MJD in days, by default the clock's.
    """
    present_mjd = clock_mjd() if now_mjd is None else now_mjd
    last = _last_images(workshop, present_mjd)
    new = _new(workshop, present_mjd, with_quality=seen != last)
    told_nothing = not any(alert.kind == QUALITY for alert in new)
    return Untold(new, _due(workshop, present_mjd), last if told_nothing else "")


def tell_alerts(
    workshop: Workshop, *, now_mjd: float | None = None, progress: Progress = no_progress
) -> Told:
    """Record new alerts, and deliver those that are due.

    Without a webhook or e-mail addresses alerts are only recorded. A failed delivery raises no
    error: the record keeps the reason, and the alert is sent again after growing pauses. `now_mjd`
    is MJD in days, by default the clock's.
    """
    start_mjd, started_s = (clock_mjd() if now_mjd is None else now_mjd), time.monotonic()
    events = workshop.products.events
    new = tuple(a for a in _new(workshop, start_mjd) if events.add_alert(a, at_mjd=start_mjd))
    due = _due(workshop, start_mjd)
    sent: list[AlertRecord] = []
    failed: list[AlertRecord] = []
    for number, alert in enumerate(due):
        progress(f"sending {alert.key}", number / len(due))
        # Deliveries may take minutes; each claim begins at its own delivery.
        at_mjd = start_mjd + (time.monotonic() - started_s) / SECONDS_PER_DAY
        tried = _deliver(workshop, alert.key, at_mjd)
        if tried is not None:
            (failed if tried.sent_mjd is None else sent).append(tried)
    return Told(new, tuple(sent), tuple(failed))


def tell_platform(workshop: Workshop, what: str) -> None:
    """Record an alert about the platform's own processes; `what` is a sentence on the problem."""
    at_mjd = clock_mjd()
    moment = isot_from_mjd(at_mjd)
    alert = AlertRecord(
        key=f"{_PLATFORM}:{moment}",
        kind=_PLATFORM,
        subject=what.partition(";")[0],
        text=f"{moment.partition('.')[0]} UTC: {what}. Interrupted runs restart automatically; "
        "the logs are in the directory `logs` of the state directory.",
    )
    workshop.products.events.add_alert(alert, at_mjd=at_mjd)


def state_in_words(alert: AlertRecord) -> str:
    """Return the delivery state of an alert in words."""
    if alert.sent_mjd is not None:
        return "perhaps sent" if BEGUN in alert.channels.values() else "sent"
    if alert.n_tries == 0:
        return "recorded"
    return "given up" if alert.next_try_mjd is None else "failed, will be retried"


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
    with rejecting(failed, ANTENNAS):
        found += antenna_alerts(
            workshop.products.antennas.before(now_mjd, workshop.settings.antennas.days),
            workshop.settings.alerts.dashboard_url,
            now_mjd=now_mjd,
        )
    with rejecting(failed, "silence"):
        last = workshop.products.list_observations(limit=1)
        found += silence_alerts(
            last[0] if last else None,
            patience_min=workshop.settings.alerts.silence_min,
            now_mjd=now_mjd,
        )
    if with_quality:
        with rejecting(failed, QUALITY):
            found += _new_quality(workshop, now_mjd)
    if failed:
        # An error in the rules of one kind is itself reported, once a day.
        found.append(_broken(failed, now_mjd))
    known = workshop.products.events.known_alerts(a.key for a in found) if found else frozenset()
    return tuple(alert for alert in found if alert.key not in known)


def _broken(failed: dict[str, str], now_mjd: float) -> AlertRecord:
    kinds = ", ".join(sorted(failed))
    return AlertRecord(
        key=f"alerts:{day_key(now_mjd)}",
        kind="alerts",
        subject=f"alerts about {kinds} can't be written",
        text="\n".join(f"{kind}: {why}" for kind, why in failed.items()),
    )


def _new_candidates(workshop: Workshop) -> tuple[AlertRecord, ...]:
    events = workshop.products.events
    candidates = events.untold_candidates()
    if not candidates:
        return ()
    return candidate_alerts(
        candidates,
        events.last_marks(),
        workshop.settings.alerts.dashboard_url,
        {n.name: n for n in workshop.products.new_sources.list()},
    )


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
        _without_set(workshop, waiting),
        [(s.mid_mjd, s.declination_deg) for s in sets],
        strip_tolerance_deg=workshop.settings.calibration.strip_tolerance_deg,
        now_mjd=now_mjd,
    )


def _without_set(
    workshop: Workshop, records: list[ObservationRecord]
) -> tuple[ObservationRecord, ...]:
    """Return the observations without a valid set; one with a set only waits for a free run."""
    answers = look_up_records(workshop, records, lambda _, found: found is not None)
    return tuple(r for r, found in zip(records, answers, strict=True) if found is None)


def _new_failures(workshop: Workshop, now_mjd: float) -> tuple[AlertRecord, ...]:
    lately = workshop.products.list_observations(
        start_mjd=now_mjd - FAILURES_BACK_DAYS, end_mjd=now_mjd
    )
    return failure_alerts(lately, now_mjd=now_mjd)


def _last_images(workshop: Workshop, now_mjd: float) -> str:
    """Return a digest of the latest images as the image quality rule defines them."""
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
    """Return the recorded alerts that may be sent now; none without a channel."""
    if not channels_of(workshop.settings.alerts):
        return ()
    due = workshop.products.events.due_alerts(at_mjd=now_mjd, since_mjd=now_mjd - STALE_DAYS)
    if not any(alert.kind == CANDIDATE for alert in due):
        return due
    return tuple(a for a in due if a.kind != CANDIDATE or _still_stands(workshop, a))


def _still_stands(workshop: Workshop, alert: AlertRecord) -> bool:
    """Return whether a candidate still deserves its alert, which was not delivered at once."""
    events = workshop.products.events
    try:
        candidate = events.candidate(alert.key.removeprefix(CANDIDATE_KEY))
    except VariabilityFailed:
        return False
    marks = events.list_marks(candidate.id)
    return is_told(candidate, marks[-1] if marks else None)


def _with_files(
    workshop: Workshop, alert: AlertRecord
) -> tuple[AlertRecord, tuple[Attachment, ...]]:
    """Return an alert with what goes with it: a candidate's report, from the latest data.

    An alert whose report can't be made goes out without it, and says so.
    """
    if alert.kind != CANDIDATE:
        return alert, ()
    failed: dict[str, str] = {}
    with rejecting(failed, alert.key):
        candidate = workshop.products.events.candidate(alert.key.removeprefix(CANDIDATE_KEY))
        return alert, report_files(workshop, candidate)
    why = f"The report for observers can't be made: {failed[alert.key]}"
    return replace(alert, text=f"{alert.text}\n{why}"), ()


def _try(channel: Channel, alert: AlertRecord, files: tuple[Attachment, ...]) -> Failure | None:
    try:
        return channel.deliver(
            alert.subject, alert.text, kind=alert.kind, key=alert.key, files=files
        )
    except Exception as error:
        # Its text may hold a password; it is not known whether anything went out.
        return Failure(f"{channel.name}: unexpected {type(error).__name__}", certain=False)


def _deliver(workshop: Workshop, key: str, at_mjd: float) -> AlertRecord | None:
    """Deliver one alert on its remaining channels; None: another process handles it."""
    events = workshop.products.events
    until_mjd = at_mjd + _CLAIM_MIN / _MINUTES_PER_DAY
    claimed = events.claim_alert(key, at_mjd=at_mjd, until_mjd=until_mjd)
    if claimed is None:
        return None
    channels, failures, doubts = dict(claimed.channels), [], []
    message, files = _with_files(workshop, claimed)
    for channel in channels_of(workshop.settings.alerts):
        name = channel.name
        if channels.get(name) == DELIVERED:
            continue
        if name in channels or not events.begin_delivery(key, name):
            channels[name] = BEGUN
            doubts.append(f"{name}: {_CUT_SHORT}")
            continue
        failure = _try(channel, message, files)
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
