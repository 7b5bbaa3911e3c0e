"""Dagster's instance on several machines: its storage in Postgres, its runs on Celery's workers.

Belongs here: the classes that ``cluster/dagster.yaml`` names. Doesn't: the worker's side (see
`celery_app`), signs of life (see `signs_of_life`).

Their addresses come from the settings, so that no password is in Dagster's configuration, which it
shows in its web interface and adds to each message.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any, Self

import dagster as dg
from celery import Celery
from dagster_celery.launcher import CeleryRunLauncher, CheckRunHealthResult, WorkerStatus
from dagster_celery.tags import (
    DAGSTER_CELERY_QUEUE_TAG,
    DAGSTER_CELERY_RUN_PRIORITY_TAG,
    DAGSTER_CELERY_TASK_ID_TAG,
)
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from redis import Redis
from redis.exceptions import RedisError

from contimg_assets import celery_app
from contimg_assets.jobs import PRIORITY_TAG, QUEUES, queue_of
from contimg_assets.signs_of_life import Overdue, Sign, Watch, all_signs, connect, give_up
from contimg_assets.storage import MarkedEnds
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import load_settings

#: Interval between requests for the workers, seconds.
_ASK_S = 2.0
#: A worker that took a run may need some seconds until it says so.
_LEAST_OVERDUE_S = 30.0

#: Celery's priorities on Redis: 0 goes first.
_PRIORITIES = ((20, 0), (1, 3), (0, 6))
_LAST_PRIORITY = 9


class PostgresEventLog(MarkedEnds, PostgresEventLogStorage):
    """Dagster's event log in Postgres."""


class PostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in the Postgres database of ``cluster.dagster_url``."""

    def __init__(self, postgres_url: str, *arguments: Any, **named: Any) -> None:
        super().__init__(postgres_url, *arguments, **named)
        self._marked = PostgresEventLog(postgres_url)

    @property
    def event_log_storage(self) -> PostgresEventLog:
        """The event log."""
        return self._marked

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of its configuration in ``dagster.yaml``, which is empty."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return the storage.

        Raises
        ------
        ConfigurationError
            If the settings name none.
        """
        url = load_settings().cluster.dagster_url
        if url is None:
            raise ConfigurationError(
                "no database for Dagster is set: several machines need cluster.dagster_url, such "
                "as CONTIMG_CLUSTER__DAGSTER_URL=postgresql://contimg@host/dagster"
            )
        return cls(url.get_secret_value(), inst_data=inst_data)


class Coordinator(dg.QueuedRunCoordinator):
    """Dagster's queue of runs, which gives each run its queue and priority on Celery."""

    _alive: Sequence[Sign] = ()
    _asked_s = -_ASK_S

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Put a run into the queue."""
        run = context.dagster_run
        tags = {
            DAGSTER_CELERY_QUEUE_TAG: queue_of(run),
            DAGSTER_CELERY_RUN_PRIORITY_TAG: str(_celery_priority(run)),
        }
        # A repetition has the tags of its first run, but no worker has taken it yet.
        tags |= {t: "" for t in (celery_app.WORKER_TAG, celery_app.HOST_TAG) if t in run.tags}
        self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)

    def get_run_queue_config(self) -> Any:
        """Return the limits of runs in progress: what the workers of each queue can take.

        One more for each worker waits at the broker, so that a worker isn't idle between two runs.
        """
        workers = self._workers()
        self._give_up_lost(workers)
        limits = [
            {
                "key": DAGSTER_CELERY_QUEUE_TAG,
                "value": queue,
                "limit": sum(w.concurrency + 1 for w in workers if queue in w.queues),
            }
            for queue in QUEUES
        ]
        return (
            super()
            .get_run_queue_config()
            ._replace(
                max_concurrent_runs=sum(w.concurrency + 1 for w in workers),
                tag_concurrency_limits=limits,
            )
        )

    def _give_up_lost(self, workers: Sequence[Sign]) -> None:
        """Fail runs whose message is lost, so that Dagster starts them again.

        Celery loses a message that it took from Redis while its connection broke. Such a run isn't
        taken although a worker has been free for long.
        """
        starting = self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
        not_taken = {
            run.run_id: run.tags.get(DAGSTER_CELERY_QUEUE_TAG, "")
            for run in starting
            if not run.tags.get(celery_app.WORKER_TAG)
        }
        limit_s = max(load_settings().cluster.lost_after_s, _LEAST_OVERDUE_S)
        overdue = self._overdue.among(not_taken, workers, limit_s)
        for run in starting:
            if run.run_id in overdue:
                reason = f"no worker took it, while one was free for more than {limit_s:g} s"
                supersede(run.run_id, reason)
                self._instance.report_run_failed(
                    run, f"the message to the workers is lost: {reason}"
                )

    @cached_property
    def _overdue(self) -> Overdue:
        return Overdue()

    def _workers(self) -> Sequence[Sign]:
        """Return the workers that are alive, as of some seconds ago; none without a broker."""
        now_s = time.monotonic()
        if now_s - self._asked_s > _ASK_S:
            self._asked_s = now_s
            try:
                signs, redis_s = all_signs(self._client)
            except RedisError:
                signs, redis_s = [], 0.0
            limit_s = load_settings().cluster.lost_after_s
            self._alive = [s for s in signs if redis_s - s.at_s < limit_s]
        return self._alive

    @cached_property
    def _client(self) -> Redis:
        return connect()


class Launcher(CeleryRunLauncher):
    """Dagster's launcher on Celery, which notices the death of a worker's host."""

    def __init__(self, inst_data: Any = None) -> None:
        super().__init__(default_queue=celery_app.app.conf.task_default_queue, inst_data=inst_data)
        self.celery: Celery = celery_app.app
        # The base class made another, which would be this process's.
        self.celery.set_current()

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of its configuration in ``dagster.yaml``, which is empty."""
        return {}

    @cached_property
    def _watch(self) -> Watch:
        return Watch(connect(), load_settings().cluster.lost_after_s)

    def terminate(self, run_id: str) -> bool:
        """Cancel a run, which ends as cancelled and not as failed."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return DAGSTER_CELERY_TASK_ID_TAG in run.tags and super().terminate(run_id)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the worker of a run is alive; refuse its writes if it isn't."""
        worker = run.tags.get(celery_app.WORKER_TAG)
        trouble = self._watch.trouble(worker, run.run_id) if worker else ""
        if not trouble:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        # Before Dagster starts it again.
        supersede(run.run_id, trouble)
        return CheckRunHealthResult(WorkerStatus.FAILED, trouble)

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """Return nothing: the worker is named in the tags of the run."""
        return None


def supersede(run_id: str, reason: str) -> None:
    """Refuse what a run may still write, and tell its worker to end it."""
    with closing(ProductsStore(load_settings().products_address)) as products:
        products.supersede_run(run_id, reason)
    give_up(connect(), run_id)


def _celery_priority(run: dg.DagsterRun) -> int:
    try:
        told = int(run.tags.get(PRIORITY_TAG, "0"))
    except ValueError:
        told = 0
    return next((celery for least, celery in _PRIORITIES if told >= least), _LAST_PRIORITY)
