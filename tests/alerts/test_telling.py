"""Each thing is told once: over repeated looks, failures, deaths, and processes at once."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.observations.model import Antenna, SpectralWindow
from contimg_resources.products.events import AlertRecord, CandidateState, Mark, MarkRecord
from contimg_resources.products.model import ImageRecord, ObservationState
from contimg_resources.steps.alerting import (
    MAX_TRIES,
    PAUSES_MIN,
    state_in_words,
    tell_alerts,
    untold,
)
from contimg_resources.steps.workshop import Workshop
from tests.alerts.conftest import NOW, make_candidate, make_workshop
from tests.alerts.servers import Hook, MailServer
from tests.processes import APART
from tests.products.conftest import make_observation
from tests.registry.conftest import LAYOUT, Maker

MINUTE = 1 / 1440


def told_keys(hook: Hook) -> list[str]:
    return [json.loads(b)["key"] for b in hook.bodies]


def alerts_of(workshop: Workshop) -> dict[str, AlertRecord]:
    return {a.key: a for a in workshop.products.events.list_alerts()}


def arrive(workshop: Workshop, root: Path, mid_mjd: float, state: ObservationState) -> str:
    observation = make_observation(root / f"{mid_mjd:.5f}.ms", mid_mjd, signature=f"{mid_mjd}")
    workshop.products.arrive(observation)
    workshop.products.set_state(observation.key, state, step="test", reason="no set")
    return observation.key


def test_a_candidate_is_told_once_however_it_goes_on(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    candidate = make_candidate()
    workshop.products.events.put_candidates([candidate])
    told = tell_alerts(workshop, now_mjd=NOW)
    assert [a.key for a in told.new] == [f"candidate:{candidate.id}"]
    assert [a.sent_mjd is not None for a in told.sent] == [True]
    workshop.products.events.put_candidates([replace(candidate, state=CandidateState.COMPLETE)])
    for day in range(5):
        again = tell_alerts(workshop, now_mjd=NOW + day)
        assert (again.new, again.sent, again.failed) == ((), (), ())
    assert told_keys(hook) == [f"candidate:{candidate.id}"]


def test_a_night_without_calibration_is_told_once(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    for hours in (3.0, 2.0, 1.0, 24 * 365):
        arrive(workshop, tmp_path, NOW - hours / 24, ObservationState.WAITING)
    assert tell_alerts(workshop, now_mjd=NOW - 1.1 / 24).new == ()
    (new,) = tell_alerts(workshop, now_mjd=NOW).new
    assert (new.key, new.kind) == ("calibration:2026-01-01", "calibration")
    assert new.text.startswith("3 observations since 2026-01-01T11:24")
    tell_alerts(workshop, now_mjd=NOW + 0.05)
    assert told_keys(hook) == ["calibration:2026-01-01"]


def test_observations_that_wait_for_a_free_run_have_their_calibration(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path)
    arrive(workshop, tmp_path, NOW - 3 / 24, ObservationState.WAITING)
    # Before them, and valid for them, were they of its layout.
    workshop.registry.register(Maker(tmp_path)("early", NOW - 0.5, before=1.0, after=1.0))
    assert [a.kind for a in untold(workshop, now_mjd=NOW).new] == ["calibration"]
    fitting = make_observation(
        tmp_path / "fitting.ms",
        NOW - 3 / 24,
        signature="fitting",
        antennas=tuple(Antenna(i, n, True, 0.0) for i, n in enumerate(LAYOUT.antenna_names)),
        spectral_windows=tuple(
            SpectralWindow(i, first, last, (last - first) / (n - 1), n)
            for i, (first, last, n) in enumerate(LAYOUT.spectral_windows_hz)
        ),
    )
    other = make_workshop(tmp_path / "other")
    other.products.arrive(fitting)
    other.products.set_state(fitting.key, ObservationState.WAITING, step="test", reason="no set")
    assert [a.kind for a in untold(other, now_mjd=NOW).new] == ["calibration"]
    other.registry.register(Maker(tmp_path / "other")("early", NOW - 0.5, before=1.0, after=1.0))
    assert untold(other, now_mjd=NOW).new == ()


def test_falling_quality_is_told_once(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)

    def image(mid_mjd: float, rms_mjy: float, state: ObservationState) -> None:
        key = arrive(workshop, tmp_path, mid_mjd, state)
        numbers = ImageRecord(rms_mjy=rms_mjy, expected_rms_mjy=2.0)
        workshop.products.put_artefacts(key, [], image=numbers)

    for number in range(24):
        image(NOW - 5 + number / 24, 2.0, ObservationState.IMAGED)
    # Failed ones don't count here: those are told of by another rule.
    for number in range(5):
        image(NOW - 1 + number / 24, 9.0, ObservationState.FAILED)
    assert untold(workshop, now_mjd=NOW).new == ()
    for number in range(6):
        image(NOW - 0.5 + number / 24, 4.0, ObservationState.IMAGED)
    first = untold(workshop, now_mjd=NOW)
    # Nothing was recorded yet: the next look must find it again.
    assert (len(first.new), first.seen) == (1, "")
    (new,) = tell_alerts(workshop, now_mjd=NOW).new
    assert new.key == "quality:2026-01-01"
    assert "2.00 times the expected rms" in new.text
    assert untold(workshop, now_mjd=NOW + 1).new == ()
    seen = untold(workshop, now_mjd=NOW).seen
    assert seen
    assert untold(workshop, now_mjd=NOW, seen=seen).seen == seen
    image(NOW - 0.01, 4.0, ObservationState.IMAGED)
    assert untold(workshop, now_mjd=NOW).seen != seen
    assert told_keys(hook) == ["quality:2026-01-01"]


def test_what_failed_is_tried_again_after_growing_pauses_and_given_up_at_last(
    tmp_path: Path, hook: Hook
) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    workshop.products.events.put_candidates([make_candidate()])
    hook.answers = [500] * 20
    (failed,) = tell_alerts(workshop, now_mjd=NOW).failed
    assert failed.error == "the webhook at 127.0.0.1 answered 500"
    assert tell_alerts(workshop, now_mjd=NOW + 0.5 * MINUTE).failed == ()
    at_mjd = NOW
    for pause in PAUSES_MIN:
        assert untold(workshop, now_mjd=at_mjd + (pause - 0.5) * MINUTE).due == ()
        at_mjd += (pause + 0.1) * MINUTE
        before = untold(workshop, now_mjd=at_mjd).signature
        assert len(tell_alerts(workshop, now_mjd=at_mjd).failed) == 1
        assert untold(workshop, now_mjd=at_mjd).signature != before
    (record,) = alerts_of(workshop).values()
    assert (record.n_tries, state_in_words(record)) == (MAX_TRIES, "given up")
    assert tell_alerts(workshop, now_mjd=NOW + 0.9).failed == ()
    assert len(hook.bodies) == MAX_TRIES


def test_a_failure_that_passes_is_delivered_later(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    workshop.products.events.put_candidates([make_candidate()])
    hook.answers = [500]
    tell_alerts(workshop, now_mjd=NOW)
    (sent,) = tell_alerts(workshop, now_mjd=NOW + 2 * MINUTE).sent
    assert (sent.error, sent.n_tries, state_in_words(sent)) == ("", 2, "sent")
    assert len(hook.bodies) == 2


@pytest.mark.parametrize("what", ["recorded", "tried", "in hand"])
def test_a_message_from_before_the_clock_was_put_back_goes_out_once(
    tmp_path: Path, hook: Hook, what: str
) -> None:
    ahead_mjd = NOW + 26 / 24
    silent = make_workshop(tmp_path)
    silent.products.events.put_candidates([make_candidate()])
    tell_alerts(silent, now_mjd=ahead_mjd)
    workshop = make_workshop(tmp_path, webhook=hook.url)
    (key,) = alerts_of(workshop)
    if what == "tried":
        hook.answers = [500]
        assert len(tell_alerts(workshop, now_mjd=ahead_mjd).failed) == 1
        hook.bodies.clear()
    elif what == "in hand":
        # Of a process that was killed.
        until_mjd = ahead_mjd + 10 * MINUTE
        assert workshop.products.events.claim_alert(key, at_mjd=ahead_mjd, until_mjd=until_mjd)
    assert [alert.key for alert in untold(workshop, now_mjd=NOW).due] == [key]
    assert [sent.key for sent in tell_alerts(workshop, now_mjd=NOW).sent] == [key]
    assert tell_alerts(workshop, now_mjd=NOW + MINUTE).sent == ()
    assert len(hook.bodies) == 1


def test_the_good_channel_gets_nothing_twice(tmp_path: Path, hook: Hook, mail: MailServer) -> None:
    workshop = make_workshop(
        tmp_path,
        webhook=hook.url,
        email_to=("ada@example.org",),
        smtp_host="127.0.0.1",
        smtp_port=mail.port,
    )
    workshop.products.events.put_candidates([make_candidate()])
    hook.answers = [503, 503]
    for minutes in (0, 2, 8, 10):
        tell_alerts(workshop, now_mjd=NOW + minutes * MINUTE)
    assert len(mail.mails) == 1
    assert len(hook.bodies) == 3
    (record,) = alerts_of(workshop).values()
    assert record.channels == {"webhook": "delivered", "e-mail": "delivered"}


def test_what_was_never_certain_is_not_repeated_and_is_said(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    workshop.products.events.put_candidates([make_candidate()])
    hook.answers = [0]
    for minutes in (0, 2, 30):
        tell_alerts(workshop, now_mjd=NOW + minutes * MINUTE)
    assert len(hook.bodies) == 1
    (record,) = alerts_of(workshop).values()
    assert state_in_words(record) == "perhaps sent"
    assert "gave no answer" in record.error


def test_without_a_channel_it_is_recorded_and_old_news_stay_untold(
    tmp_path: Path, hook: Hook
) -> None:
    silent = make_workshop(tmp_path)
    old, new = make_candidate(), make_candidate()
    silent.products.events.put_candidates([old])
    assert len(tell_alerts(silent, now_mjd=NOW - 1.1).new) == 1
    silent.products.events.put_candidates([new])
    told = tell_alerts(silent, now_mjd=NOW - 0.2)
    assert (len(told.new), told.sent, told.failed) == (1, (), ())
    found = untold(silent, now_mjd=NOW)
    assert (found.new, found.due) == ((), ())
    loud = make_workshop(tmp_path, webhook=hook.url)
    tell_alerts(loud, now_mjd=NOW)
    assert told_keys(hook) == [f"candidate:{new.id}"]
    assert state_in_words(alerts_of(loud)[f"candidate:{old.id}"]) == "recorded"


def test_a_candidate_that_was_called_an_artefact_before_it_could_be_told_is_not_told(
    tmp_path: Path, hook: Hook
) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    marked, withdrawn = make_candidate(), make_candidate()
    events = workshop.products.events
    events.put_candidates([marked, withdrawn])
    hook.answers = [500, 500]
    assert len(tell_alerts(workshop, now_mjd=NOW).failed) == 2
    events.put_mark(MarkRecord(marked.id, Mark.ARTEFACT, "a sidelobe", "ada"))
    events.put_candidates([replace(withdrawn, state=CandidateState.WITHDRAWN)])
    assert untold(workshop, now_mjd=NOW + 2 * MINUTE).due == ()
    told = tell_alerts(workshop, now_mjd=NOW + 2 * MINUTE)
    assert (told.sent, told.failed) == ((), ())
    assert len(hook.bodies) == 2


def _tell(root: Path, url: str, barrier: Any, results: Any) -> None:
    try:
        workshop = make_workshop(root, webhook=url)
        barrier.wait(300)
        told = tell_alerts(workshop, now_mjd=NOW)
        results.put((len(told.new), len(told.sent), len(told.failed)))
    except BaseException as error:
        results.put(repr(error))


def test_processes_at_once_tell_nothing_twice(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path)
    candidates = [make_candidate() for _ in range(6)]
    workshop.products.events.put_candidates(candidates)
    workshop.products.close()
    hook.delay_s = 0.05
    n_processes = 3
    barrier, results = APART.Barrier(n_processes), APART.Queue()
    processes = [
        APART.Process(target=_tell, args=(tmp_path, hook.url, barrier, results), daemon=True)
        for _ in range(n_processes)
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(isinstance(one, tuple) for one in told), told
    assert [sum(one[i] for one in told) for i in range(3)] == [6, 6, 0]
    assert sorted(told_keys(hook)) == sorted(f"candidate:{c.id}" for c in candidates)


def test_a_process_that_is_killed_while_it_tells_leaves_nothing_to_be_told_twice(
    tmp_path: Path, hook: Hook
) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    first, second = make_candidate(mid_mjd=NOW - 9), make_candidate(mid_mjd=NOW - 8)
    workshop.products.events.put_candidates([first, second])
    hook.delay_s = 1.0
    barrier, results = APART.Barrier(1), APART.Queue()
    process = APART.Process(target=_tell, args=(tmp_path, hook.url, barrier, results), daemon=True)
    process.start()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(a.channels for a in alerts_of(workshop).values()):
        time.sleep(0.02)
    time.sleep(0.3)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    hook.delay_s = 0.0
    # The one in hand stays so until the claim lapses; the other is free.
    tell_alerts(workshop, now_mjd=NOW + MINUTE)
    tell_alerts(workshop, now_mjd=NOW + 11 * MINUTE)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(hook.bodies) < 2:
        time.sleep(0.02)
    assert sorted(told_keys(hook)) == sorted(f"candidate:{c.id}" for c in (first, second))
    states = sorted(state_in_words(a) for a in alerts_of(workshop).values())
    assert states == ["perhaps sent", "sent"]


def test_a_process_that_died_between_claim_and_mark_only_delays(tmp_path: Path, hook: Hook) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    events = workshop.products.events
    events.add_alert(AlertRecord("test:1", "test", "s", "t"), at_mjd=NOW)
    claim = {"at_mjd": NOW, "until_mjd": NOW + 10 * MINUTE}
    assert events.claim_alert("test:1", **claim) is not None
    assert events.claim_alert("test:1", **claim) is None
    assert tell_alerts(workshop, now_mjd=NOW + 9 * MINUTE).sent == ()
    assert len(tell_alerts(workshop, now_mjd=NOW + 11 * MINUTE).sent) == 1


@pytest.mark.parametrize("answer", [500, 0])
def test_no_secret_is_in_what_is_recorded(tmp_path: Path, hook: Hook, answer: int) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    workshop.products.events.put_candidates([make_candidate()])
    hook.answers = [answer]
    told = tell_alerts(workshop, now_mjd=NOW)
    assert "SECRET" not in repr((told, alerts_of(workshop), workshop.settings))
