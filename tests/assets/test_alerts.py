"""When the alert sensor asks for a run, and what the run does."""

from types import SimpleNamespace

import dagster as dg
import pytest

from contimg_assets import alerting
from contimg_resources.products.events import AlertRecord
from contimg_resources.steps.alerting import Told, Untold
from tests.assets.parts import parts_of
from tests.assets.test_sensors import submit

NEW = AlertRecord("candidate:a", "candidate", "s", "t")
WORKSHOP = SimpleNamespace(settings=None)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Untold]:
    """What there is to tell; a test changes it."""
    answers = {"untold": Untold((), ())}
    monkeypatch.setattr(alerting, "untold", lambda *_, **__: answers["untold"])
    return answers


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, resources=parts_of(WORKSHOP))
    return alerting.alert_sensor(context)  # type: ignore[return-value]


def test_a_run_is_started_once_for_what_is_new_and_again_for_a_retry(
    found: dict[str, Untold],
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        skipped = tick(instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == "no new messages"
        found["untold"] = Untold((NEW,), ())
        request = tick(instance)
        assert isinstance(request, dg.RunRequest)
        of_job = request._replace(job_name=alerting.alerts_job.name)
        submit(instance, of_job, dg.DagsterRunStatus.STARTED)
        found["untold"] = Untold((NEW,), (AlertRecord("b", "candidate", "", "", n_tries=1),))
        assert isinstance(tick(instance), dg.SkipReason), "while a run tells, no other is started"
        (record,) = instance.get_run_records()
        instance.report_run_failed(record.dagster_run)
        retry = tick(instance)
        assert isinstance(retry, dg.RunRequest)
        assert retry.run_key != request.run_key


def test_a_run_that_died_is_repeated_but_not_every_minute(
    found: dict[str, Untold], monkeypatch: pytest.MonkeyPatch
) -> None:
    found["untold"] = Untold((NEW,), ())
    with dg.DagsterInstance.ephemeral() as instance:
        keys = iter(["first", "first", "second"])
        monkeypatch.setattr(alerting, "_run_key", lambda _: next(keys))
        request = tick(instance)
        assert isinstance(request, dg.RunRequest)
        of_job = request._replace(job_name=alerting.alerts_job.name)
        submit(instance, of_job, dg.DagsterRunStatus.FAILURE)
        assert isinstance(tick(instance), dg.SkipReason)
        assert isinstance(tick(instance), dg.RunRequest)


def test_a_message_that_could_not_be_delivered_fails_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = AlertRecord("b", "candidate", "s", "t", n_tries=1, error="the webhook answered 500")
    monkeypatch.setattr(alerting, "tell_alerts", lambda *_, **__: Told((NEW,), (NEW,), (failed,)))
    with dg.DagsterInstance.ephemeral() as instance:
        result = alerting.alerts_job.execute_in_process(
            instance=instance, resources=parts_of(WORKSHOP)
        )
        assert result.success
        logged = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert "b wasn't delivered: the webhook answered 500" in logged
    assert "1 messages are new, 1 were delivered, 1 failed" in logged
