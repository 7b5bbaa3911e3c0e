"""Celery's application: the queues, and the worker's side of a run.

Belongs here: its settings, the task that executes a run, what a worker does besides. Doesn't:
passing runs to it (see `cluster`), the command (see `contimg_resources.cli.worker`).

A worker acknowledges a run when it has ended, and takes no more runs than it can start. A run whose
message comes twice, since its first worker was slow, is executed once: Dagster refuses a run that
has begun.
"""

import ctypes
import os
import signal
import uuid
from contextlib import suppress
from itertools import count
from typing import Any

import dagster as dg
import redis
from celery import Celery
from celery import signals as on
from celery.worker import state as at_work
from dagster_celery.tasks import create_execute_job_task
from kombu import Exchange, Queue

from contimg_assets.jobs import QUEUES
from contimg_assets.signs_of_life import broker_url, connect, give, own_sign

#: Tag of a run with the id of its worker, and with the name of the worker's host and process.
WORKER_TAG, HOST_TAG = "contimg/worker", "contimg/host"

#: A message that nobody acknowledged for this long is passed on again, seconds: longer than a run.
_REDELIVERED_S = 6 * 3600
#: A process executes this many runs before it is replaced.
_RUNS_PER_PROCESS = 50
#: Linux's number of the option to get a signal when the parent dies.
_PR_SET_PDEATHSIG = 1


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
            "socket_timeout": 30.0,
            "socket_connect_timeout": 5.0,
            "max_retries": 3,
            "interval_start": 0.0,
            "interval_step": 0.5,
        },
    )
    return made


app = make_app()
execute_job: Any = create_execute_job_task(app)

_id = uuid.uuid4().hex[:12]
_beats = count(1)


@on.task_prerun.connect(weak=False)
def _tag_run(kwargs: dict[str, Any], **_: Any) -> None:
    """Record in a run which worker executes it, before it starts."""
    run_id = _run_of(kwargs)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status in _NOT_BEGUN:
            instance.add_run_tags(run_id, {WORKER_TAG: _id, HOST_TAG: _name})


_NOT_BEGUN = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)
_name = f"{os.uname().nodename}:{os.getpid()}"


@on.worker_process_init.connect(weak=False)
def _die_with_parent(**_: Any) -> None:
    """Let the process of a run be killed when its worker dies, even from SIGKILL."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@on.worker_ready.connect(weak=False)
def _report(sender: Any, **_: Any) -> None:
    """Give a sign of life with each of Celery's heartbeats, and end runs that were given up."""
    client = connect()
    queues = tuple(q.name for q in sender.task_consumer.queues)

    def give_sign(**_: Any) -> None:
        runs = {_run_of(request.kwargs): request for request in tuple(at_work.active_requests)}
        sign = own_sign(_id, queues, sender.pool.num_processes, tuple(runs), next(_beats))
        # Without a broker there is no sign; Celery connects again.
        with suppress(redis.RedisError):
            for run_id in give(client, sign):
                runs[run_id].terminate(sender.pool, signal="KILL")

    on.heartbeat_sent.connect(give_sign, weak=False)
    give_sign()


def _run_of(kwargs: dict[str, Any]) -> str:
    return str(kwargs["execute_job_args_packed"]["run_id"])
