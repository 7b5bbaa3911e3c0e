"""Runs that were in progress when the platform was killed."""

import dagster as dg
import pytest

from contimg_assets.leftovers import end_leftovers


@dg.job
def nothing() -> None:
    """A job without a step."""


@pytest.mark.parametrize(
    ("found", "becomes"),
    [
        (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED),
    ],
)
def test_a_run_that_lost_its_worker_holds_its_slot_no_longer(
    found: dg.DagsterRunStatus, becomes: dg.DagsterRunStatus
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=found)
        assert end_leftovers(instance) == 1
        assert instance.get_run_by_id(run.run_id).status is becomes
        assert end_leftovers(instance) == 0


def test_runs_that_are_over_or_have_yet_to_start_stay_as_they_are() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        statuses = [
            dg.DagsterRunStatus.NOT_STARTED,
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
        ]
        runs = [instance.create_run_for_job(nothing, status=s) for s in statuses]
        assert end_leftovers(instance) == 0
        assert [instance.get_run_by_id(r.run_id).status for r in runs] == statuses
