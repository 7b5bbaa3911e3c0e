"""Each rule: when there is a message, and when there is none."""

import random
from pathlib import Path

import pytest

from contimg_resources.alerts.calibration import calibration_alerts
from contimg_resources.alerts.candidates import candidate_alerts
from contimg_resources.alerts.failures import failure_alerts
from contimg_resources.alerts.quality import quality_alerts
from contimg_resources.alerts.silence import silence_alerts
from contimg_resources.products.dips import FittedDip
from contimg_resources.products.events import CandidateState, Mark, MarkRecord
from contimg_resources.products.model import ImageNoise, ObservationRecord, ObservationState
from tests.alerts.conftest import NOW, make_candidate


def test_a_candidate_is_told_with_what_a_person_asks_first() -> None:
    candidate = make_candidate(id="nvss-013741+330935-61031")
    (alert,) = candidate_alerts([candidate], {}, "https://dsa.example/contimg/")
    assert (alert.key, alert.kind) == ("candidate:nvss-013741+330935-61031", "candidate")
    for words in (
        "nvss-013741+330935, RA 24.42210 deg, Dec +33.15970 deg",
        "Depth: 35.0 +- 2.0 %; width: 30.0 +- 2.5 days",
        "in progress",
        "Score: 41.2; threshold: 12.5",
        "https://dsa.example/contimg/#/candidates/nvss-013741+330935-61031",
    ):
        assert words in alert.text
    assert "Warning" not in alert.text
    low = FittedDip(threshold_warning="the threshold is too low")
    assert (
        "Warning: the threshold is too low"
        in candidate_alerts([make_candidate(parameters=low)], {})[0].text
    )
    (without,) = candidate_alerts([make_candidate(parameters=FittedDip())], {})
    assert "Depth: unknown; width: unknown" in without.text
    assert "http" not in without.text


def test_a_withdrawn_candidate_and_an_artefact_are_not_told() -> None:
    withdrawn = make_candidate(state=CandidateState.WITHDRAWN)
    artefact, real = make_candidate(), make_candidate(state=CandidateState.COMPLETE)
    marks = {
        artefact.id: MarkRecord(artefact.id, Mark.ARTEFACT, "a sidelobe", "ada"),
        real.id: MarkRecord(real.id, Mark.REAL, "", "ada"),
    }
    told = candidate_alerts([withdrawn, artefact, real], marks)
    assert [a.key for a in told] == [f"candidate:{real.id}"]


def test_a_source_that_is_named_to_break_headers_is_on_one_line() -> None:
    evil = "x\r\nBcc: everyone@example.org\x00\u2028y"
    (alert,) = candidate_alerts([make_candidate(source_id=evil)], {})
    assert alert.subject == "ESE candidate in x Bcc: everyone@example.org y"
    assert "\nBcc" not in alert.text


def record(
    mid_mjd: float,
    state: ObservationState = ObservationState.WAITING,
    reason: str = "",
    declination_deg: float = 54.6,
) -> ObservationRecord:
    return ObservationRecord(
        key=f"{mid_mjd:.5f}",
        path=Path("/ms/an.ms"),
        signature="s",
        start_mjd=mid_mjd - 0.0017,
        mid_mjd=mid_mjd,
        end_mjd=mid_mjd + 0.0017,
        declination_deg=declination_deg,
        calibrator="",
        state=state,
        step="image_5min",
        reason=reason,
        updated_mjd=mid_mjd,
        superseded_by="",
    )


def waiting(*hours_ago: float, declination_deg: float = 54.6) -> list[ObservationRecord]:
    return [record(NOW - h / 24, declination_deg=declination_deg) for h in hours_ago]


def night(
    uncalibrated: list[ObservationRecord],
    *solved: tuple[float, float | None],
    now_mjd: float = NOW,
) -> list[str]:
    told = calibration_alerts(uncalibrated, solved, strip_tolerance_deg=1.0, now_mjd=now_mjd)
    return [a.key for a in told]


def test_a_night_without_calibration_is_told_after_two_hours() -> None:
    assert night(waiting(1.9, 1.0)) == []
    assert night(waiting(2.1, 1.0)) == ["calibration:2026-01-01"]
    (alert,) = calibration_alerts(waiting(2.1, 1.0), (), strip_tolerance_deg=1.0, now_mjd=NOW)
    assert alert.text.startswith("2 observations since 2026-01-01T12:18 UTC have no valid")
    assert night([]) == []


def test_a_calibrator_of_the_strip_that_was_solved_meanwhile_is_an_end_of_it() -> None:
    solved_1_h_ago = (NOW - 1 / 24, 54.9)
    assert night(waiting(3, 2, 0.5), solved_1_h_ago) == []
    assert night(waiting(3, 2), (NOW - 1 / 24, None)) == []
    assert night(waiting(3, 2), (NOW - 1 / 24, 16.3)) != []
    assert night(waiting(3, 2), (NOW - 4 / 24, 54.6)) != []
    assert night(waiting(9, 5), (NOW - 7 / 24, 54.6)) != []


def test_old_observations_that_are_made_again_are_no_news() -> None:
    assert night(waiting(25.0, 24.0 * 365)) == []


def test_an_outage_over_midnight_is_told_once_a_day() -> None:
    # Every 15 minutes from 20:00 on, looked at every 10 minutes for three days.
    begin = 61_041 + 20 / 24
    told: list[str] = []
    for tick in range(3 * 144):
        now = begin + tick / 144
        seen = [record(begin + i / 96) for i in range(3 * 96) if begin + i / 96 <= now]
        told += [key for key in night(seen, now_mjd=now) if key not in told]
    assert told == ["calibration:2026-01-01", "calibration:2026-01-02", "calibration:2026-01-03"]


CHANCE = random.Random(1)


def noise(
    start_mjd: float, n: int, ratio: float, every_h: float = 1.0, *, expected: bool = True
) -> list[ImageNoise]:
    found = []
    for i in range(n):
        mid = start_mjd + i * every_h / 24
        strip_mjy = CHANCE.uniform(1, 3) if expected else 1.0
        rms = strip_mjy * ratio * CHANCE.uniform(0.95, 1.05)
        found.append(ImageNoise(f"{mid:.5f}", mid, rms, strip_mjy if expected else None))
    return found


def falling(images: list[ImageNoise], now_mjd: float | None = None) -> list[str]:
    now = images[-1].mid_mjd + 0.01 if now_mjd is None else now_mjd
    return [a.key for a in quality_alerts(images, rms_factor=1.5, now_mjd=now)]


@pytest.mark.parametrize("expected", [True, False])
def test_noise_that_has_grown_is_told(expected: bool) -> None:
    before = noise(61_020, 24 * 21, 1.0, expected=expected)
    assert falling([*before, *noise(61_041, 12, 1.3, expected=expected)]) == []
    assert falling([*before, *noise(61_041, 5, 2.0, expected=expected)]) == []
    assert falling([*before, *noise(61_041, 12, 2.0, expected=expected)]) == ["quality:2026-01-01"]


def test_too_few_images_tell_nothing() -> None:
    assert falling(noise(61_040, 12, 1.0)) == []
    assert falling([*noise(61_039, 20, 1.0), *noise(61_041, 12, 3.0)]) == []
    assert falling([*noise(61_020, 200, 1.0), *noise(61_041, 5, 3.0)]) == []
    # 40 days before are too long ago.
    assert falling([*noise(61_001, 200, 1.0, 0.1), *noise(61_041, 12, 3.0)]) == []
    assert quality_alerts([], rms_factor=1.5, now_mjd=NOW) == ()


def test_old_images_that_are_made_again_are_no_news() -> None:
    images = [*noise(61_020, 24 * 21, 1.0), *noise(61_041, 12, 2.0)]
    assert falling(images, now_mjd=61_044) == []
    assert falling(images, now_mjd=61_400) == []


def test_a_spell_is_told_once_and_the_next_spell_anew() -> None:
    images = [
        *noise(61_020, 24 * 21, 1.0),
        *noise(61_041.5, 60, 2.0),  # until 61044.0
        *noise(61_044, 36, 1.0),
        *noise(61_045.5, 30, 2.0),
    ]
    told: list[str] = []
    for at in range(24 * 21, len(images) + 1):
        told += [key for key in falling(images[:at]) if key not in told]
    assert told == ["quality:2026-01-01", "quality:2026-01-05"]


def test_a_pause_in_a_spell_does_not_end_it() -> None:
    images = [*noise(61_020, 24 * 21, 1.0), *noise(61_041.1, 12, 2.0), *noise(61_046, 12, 2.0)]
    assert falling(images) == ["quality:2026-01-01"]


def ended(begin_mjd: float, outcomes: str) -> list[ObservationRecord]:
    """Make an observation every five minutes: `.` imaged, `s` solved, `x` failed, `w` waiting."""
    states = {
        ".": ObservationState.IMAGED,
        "s": ObservationState.SOLVED,
        "x": ObservationState.FAILED,
        "w": ObservationState.WAITING,
    }
    found = []
    for i, letter in enumerate(outcomes):
        mid = begin_mjd + i / 288
        found.append(
            record(
                mid,
                states[letter],
                "rms 9.1 mJy/beam\nis too much" if letter == "x" else "",
            )
        )
    return found


def failing(outcomes: str, begin_mjd: float = 61_041.2) -> list[str]:
    records = ended(begin_mjd, outcomes)
    return [a.key for a in failure_alerts(records, now_mjd=records[-1].mid_mjd + 0.01)]


def test_most_observations_that_fail_are_told_with_the_reason() -> None:
    records = ended(61_041.2, "......xxxxsx")
    assert failure_alerts(records[:-2], now_mjd=61_041.3) == ()
    # What waits neither failed nor went well.
    records += ended(61_041.3, "xww")
    (alert,) = failure_alerts(records, now_mjd=61_041.32)
    assert alert.key == "failures:2026-01-01"
    assert alert.subject == "6 of the last 12 observations failed"
    assert f"It began with {records[6].key}, 2026-01-01T05:18 UTC." in alert.text
    assert "\n6 x image_5min: rms 9.1 mJy/beam is too much\n" in alert.text
    assert f"history {records[12].key}`" in alert.text


def test_some_failures_among_many_are_no_news() -> None:
    assert failing("..x..x..x.x.x..") == []
    assert failing("xxxxx") == []
    assert failing("xxxxxx") == ["failures:2026-01-01"]
    records = ended(61_041.2, "x" * 12)
    assert failure_alerts(records, now_mjd=61_043.0) == ()
    assert failure_alerts([], now_mjd=61_043.0) == ()


def test_a_spell_of_failures_is_told_at_once_and_then_once_a_day() -> None:
    records = ended(61_041.9, "." * 12 + "x" * 600 + "." * 100 + "x" * 20)
    told: dict[str, float] = {}
    for at in range(1, len(records) + 1):
        now = records[at - 1].mid_mjd + 0.001
        for alert in failure_alerts(records[:at], now_mjd=now):
            told.setdefault(alert.key, now)
    # The last is of a new spell, after a third of a day without.
    assert told == {
        "failures:2026-01-01": pytest.approx(61_041.96, abs=0.01),
        "failures:2026-01-02": pytest.approx(61_043.0, abs=0.01),
        "failures:2026-01-03": pytest.approx(61_044.0, abs=0.01),
        "failures:2026-01-04": pytest.approx(61_044.39, abs=0.01),
    }


def test_a_telescope_that_falls_silent_is_told_once_and_a_past_season_never() -> None:
    last = record(NOW)

    def told(minutes: float, patience_min: float | None = 30.0) -> tuple[str, ...]:
        now_mjd = last.end_mjd + minutes / 1440
        alerts = silence_alerts(last, patience_min=patience_min, now_mjd=now_mjd)
        return tuple(f"{a.key}: {a.text}" for a in alerts)

    assert told(29) == told(31, None) == told(25 * 60) == told(400 * 1440) == ()
    assert silence_alerts(None, patience_min=30.0, now_mjd=NOW) == ()
    (first,), (later,) = told(31), told(300)
    assert first.startswith(f"silence:{last.key}: No observation for 31 min; the last one")
    assert "ended at 2026-01-01T14:26 UTC" in first
    # The key of both is the same: the second isn't sent.
    assert later.startswith(f"silence:{last.key}: No observation for 5 h")
