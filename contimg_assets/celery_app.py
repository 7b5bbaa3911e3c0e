"""Celery's application: the queues, and the worker's side of a run.

Belongs here: its settings, the task that executes a run, what a worker does besides. Doesn't:
passing runs to it (see `cluster`), the command (see `contimg_resources.cli.worker`).

A worker acknowledges a run when it has ended, and takes no more runs than it can start. A run whose
message comes twice, since its first worker was slow, is executed once: Dagster refuses a run that
has begun. A worker that can do no run, since its disk is stale or the stores are those of a newer
contimg, returns the run to its queue and ends.
"""

import ctypes
import logging
import os
import signal
import socket
import time
import uuid
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from typing import Any

import dagster as dg
import redis
from celery import Celery, Task
from celery import signals as on
from celery.exceptions import Reject
from celery.utils.log import get_task_logger
from celery.worker import state as at_work
from dagster_celery.tasks import ExecuteRunArgs, create_execute_job_task, unpack_value
from kombu import Exchange, Queue

from contimg_assets.jobs import QUEUES
from contimg_assets.signs_of_life import broker_url, connect, give, own_sign
from contimg_resources.core import json_lines
from contimg_resources.core.errors import DiskRefused, SchemaMismatch, StoreUnavailable
from contimg_resources.settings import load_settings
from contimg_resources.steps.workshop import check_host

_log = get_task_logger(__name__)

#: Tag of a run with the id of its worker, and with the name of the worker's host and process.
WORKER_TAG, HOST_TAG = "contimg/worker", "contimg/host"

#: A message that nobody acknowledged for this long is passed on again, seconds: longer than a run.
_REDELIVERED_S = 6 * 3600
#: A process executes this many runs before it is replaced.
_RUNS_PER_PROCESS = 50
#: Linux's number of the option to get a signal when the parent dies.
_PR_SET_PDEATHSIG = 1
#: A worker that returns a run notices it in less than this, with its heartbeat, seconds.
_NOTICED_S = 3.0
#: Set by the process of a run when this worker can do no run.
_unfit = get_context("fork").Event()


def make_app() -> Celery:
    """Return the application, which connects with the first message.

    Raises
    ------
    ConfigurationError
        If the settings name no broker.
    """
    made = Celery("contimg", broker=broker_url(), set_as_current=False)
    made.conf.update(
        task_queues=[Queue(q, Exchange(q, type="topic"), routing_key=f"{q}.#") for q in QUEUES],
        task_default_queue=QUEUES[-1],
        task_acks_late=True,
        # A process that was killed is Dagster's to notice, which starts the run again.
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        task_publish_retry_policy={"max_retries": 3, "interval_step": 0.5},
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=_RUNS_PER_PROCESS,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": _REDELIVERED_S,
            # The smallest number first, in all queues of a worker together.
            "queue_order_strategy": "priority",
            "socket_keepalive": True,
            "socket_timeout": 10.0,
            "socket_connect_timeout": 5.0,
            "max_retries": 3,
            "interval_start": 0.0,
            "interval_step": 0.5,
        },
    )
    return made


_NOT_BEGUN = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)
#: Of this worker, also in the processes of its runs.
_ID, _NAME = uuid.uuid4().hex[:12], f"{socket.gethostname()}:{os.getpid()}"


class RunTask(Task):  # type: ignore[misc]
    """Executes a run, unless this worker can't."""

    def before_start(self, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """Record in a run which worker executes it, or return it to its queue.

        Raises
        ------
        Reject
            If this worker can do no run; then it ends.
        """
        run_id = _run_of(kwargs)
        try:
            check_host(load_settings())
        except (DiskRefused, SchemaMismatch) as error:
            _log.error("Returns run %s to its queue, and ends: %s", run_id, error.message)
            _unfit.set()
            # It takes nothing any more when the run is back in its queue.
            time.sleep(_NOTICED_S)
            raise Reject(error.message, requeue=True) from error
        except StoreUnavailable:
            _log.warning("Can't check the stores before run %s, which will", run_id)
        with dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status in _NOT_BEGUN:
                instance.add_run_tags(run_id, {WORKER_TAG: _ID, HOST_TAG: _NAME})


app = make_app()
_of_task: Any = {"base": RunTask}
execute_job: Any = create_execute_job_task(app, **_of_task)


@on.after_setup_logger.connect(weak=False)
@on.after_setup_task_logger.connect(weak=False)
def _write_json_lines(logger: logging.Logger, **_: Any) -> None:
    """Write the worker's log as JSON lines, if the settings say so."""
    if json_lines.are_on():
        for handler in logger.handlers:
            handler.setFormatter(json_lines.JsonLines())


@on.worker_process_init.connect(weak=False)
def _belong_to_worker(**_: Any) -> None:
    """Let the process of a run die with its worker, and not of Ctrl-C at the worker's terminal."""
    os.setpgid(0, 0)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@on.task_postrun.connect(weak=False)
def _end_on_sigterm(**_: Any) -> None:
    """Undo what Dagster leaves: it sets SIGTERM to what SIGINT was, which Celery ignores."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Reporter:
    """Gives a sign of life with each of Celery's heartbeats, and ends runs that were given up."""

    def __init__(self) -> None:
        self._beats = count(1)
        self._consumer: Any = None
        # Celery looks for receivers before the worker is ready.
        on.heartbeat_sent.connect(self.give_sign, weak=False)
        on.worker_ready.connect(self.begin, weak=False)

    def begin(self, sender: Any, **_: Any) -> None:
        """Begin, when the worker takes runs."""
        self._consumer, self._client = sender, connect()
        self._queues = tuple(queue.name for queue in sender.task_consumer.queues)
        self.give_sign()

    def give_sign(self, **_: Any) -> None:
        """Give one."""
        if self._consumer is None:
            return
        if _unfit.is_set():
            # Celery's request to end when the runs in progress are finished.
            at_work.should_stop = 1
        pool = self._consumer.pool
        runs = {_run_of(request.kwargs): request for request in tuple(at_work.active_requests)}
        sign = own_sign(_ID, self._queues, pool.num_processes, tuple(runs), next(self._beats))
        # Without a broker there is no sign; Celery connects again.
        with suppress(redis.RedisError):
            for run_id in give(self._client, sign):
                runs[run_id].terminate(pool, signal="KILL")


_reporter = _Reporter()


def _run_of(kwargs: dict[str, Any]) -> str:
    packed = kwargs["execute_job_args_packed"]
    return str(unpack_value(packed, as_type=ExecuteRunArgs).run_id)
