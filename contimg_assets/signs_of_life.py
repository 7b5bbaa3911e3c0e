"""Signs of life of the workers, in the Redis server that passes runs to them.

Belongs here: what a worker reports with each of Celery's heartbeats, reading it, and when a worker
is lost. Doesn't: Celery's application (see `celery_app`), what follows from a loss (see `cluster`).

Ages are by the clock of the Redis server or of the observer, never by that of a worker's host.
"""

import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis

from contimg_resources import __version__
from contimg_resources.core.errors import ConfigurationError, PlatformError
from contimg_resources.settings import load_settings

#: Begins the keys of the signs of life; and the set of runs that were given up.
_SIGN, _GIVEN_UP = "contimg:worker:", "contimg:given-up"
#: A lost worker is listed, and a run that was given up is remembered, for this long, seconds.
_KEPT_S = 86_400
#: A run that more heartbeats than this didn't name has no process any more.
_MOST_ABSENCES = 2
#: Time limit of a request to Redis, seconds.
_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Sign:
    """A sign of life of one worker."""

    worker: str  #: Its id, a new one with each start.
    host: str  #: Name of its host.
    pid: int  #: Its process.
    queues: tuple[str, ...]  #: The queues from which it takes runs.
    concurrency: int  #: Maximum number of runs at once.
    runs: tuple[str, ...]  #: Ids of the runs in progress.
    beat: int  #: Number of the heartbeat.
    # With defaults, as workers of another version may not report them.
    cores: int = 0  #: Number of the host's cores that it may use.
    memory_gb: float = 0.0  #: Memory of the host, GB.
    scratch_free_gb: float = 0.0  #: Free disk space for scratch, GB.
    load: float = 0.0  #: Load of the host, mean of the last minute.
    version: str = ""  #: Version of contimg.
    at_s: float = 0.0  #: When Redis received it, Unix time in seconds by Redis's clock.

    @property
    def name(self) -> str:
        """Name for users."""
        return f"{self.host}:{self.pid}"


def broker_url() -> str:
    """Return the address of the broker.

    Raises
    ------
    ConfigurationError
        If the settings name none.
    """
    url = load_settings().cluster.broker_url
    if url is None:
        raise ConfigurationError(
            "no broker is set: several machines need cluster.broker_url, such as "
            "CONTIMG_CLUSTER__BROKER_URL=redis://host:6379/0"
        )
    return url.get_secret_value()


def without_password(url: str) -> str:
    """Return an address without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def connect() -> "redis.Redis":
    """Return a client of the broker, which connects with its first request.

    Raises
    ------
    ConfigurationError
        If the settings name none, or its address can't be read.
    """
    url = broker_url()
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            socket_keepalive=True,
            decode_responses=True,
        )
    except ValueError as error:
        raise ConfigurationError(
            f"cluster.broker_url {without_password(url)} is no address of a Redis server: {error}"
        ) from error


def check_broker() -> None:
    """Raise PlatformError, without a password in it, if the broker doesn't answer."""
    try:
        connect().ping()
    except redis.RedisError as error:
        raise PlatformError(
            f"the broker {without_password(broker_url())} doesn't answer: {error}"
        ) from error


def own_sign(
    worker: str, queues: tuple[str, ...], concurrency: int, runs: tuple[str, ...], beat: int
) -> Sign:
    """Return a sign of life of this process and its host."""
    scratch = load_settings().layout.scratch
    place = next(p for p in (scratch, *scratch.parents) if p.exists())
    return Sign(
        worker=worker,
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=queues,
        concurrency=concurrency,
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        scratch_free_gb=round(shutil.disk_usage(place).free / 1e9, 1),
        load=os.getloadavg()[0],
        version=__version__,
        runs=runs,
        beat=beat,
    )


def give(client: "redis.Redis", sign: Sign) -> set[str]:
    """Store a sign of life; return those of its runs that were given up."""
    seconds, microseconds = client.time()
    told = asdict(sign) | {"at_s": seconds + microseconds / 1e6}
    client.set(_SIGN + sign.worker, json.dumps(told), ex=_KEPT_S)
    return {run for run in sign.runs if client.sismember(_GIVEN_UP, run)}


def give_up(client: "redis.Redis", run_id: str) -> None:
    """Tell the worker of a run, should it still live, to kill the run's process."""
    client.sadd(_GIVEN_UP, run_id)
    client.expire(_GIVEN_UP, _KEPT_S)


def sign_of(client: "redis.Redis", worker: str) -> Sign | None:
    """Return the last sign of life of a worker; None if there is none."""
    told = client.get(_SIGN + worker)
    return None if told is None else _read(told)


def all_signs(client: "redis.Redis") -> tuple[list[Sign], float]:
    """Return the last sign of life of each worker, by host, and the time of Redis's clock."""
    keys = list(client.scan_iter(f"{_SIGN}*"))
    signs = [_read(told) for told in client.mget(keys) if told is not None] if keys else []
    seconds, microseconds = client.time()
    return sorted(signs, key=lambda s: (s.host, s.pid)), seconds + microseconds / 1e6


def _read(told: Any) -> Sign:
    known: dict[str, Any] = json.loads(told)
    # Workers of another version may report more.
    fields: Mapping[str, Any] = {n: known[n] for n in Sign.__dataclass_fields__ if n in known}
    return Sign(**{**fields, "queues": tuple(known["queues"]), "runs": tuple(known["runs"])})


@dataclass
class Watch:
    """Signs of life as seen by one observer, who asks every few seconds.

    Only a change of a sign counts, not its age: the broker may have been away. While it doesn't
    answer, nobody is lost.
    """

    client: "redis.Redis"  #: Client of the broker.
    lost_after_s: float  #: Time without a sign of life after which a worker is lost, seconds.
    #: Last heartbeat of each worker, and when it was first seen, monotonic seconds.
    _beats: dict[str, tuple[int | None, float]] = field(init=False, default_factory=dict)
    #: Number of heartbeats that didn't name a run, by run.
    _absences: dict[str, int] = field(init=False, default_factory=dict)

    def trouble(self, worker: str, run_id: str) -> str:
        """Return why a run can't go on: its worker is lost, or left it; empty if it can."""
        now_s = time.monotonic()
        try:
            sign = sign_of(self.client, worker)
        except redis.RedisError:
            self._beats = {name: (beat, now_s) for name, (beat, _) in self._beats.items()}
            return ""
        beat, name = (None, worker) if sign is None else (sign.beat, sign.name)
        known, since_s = self._beats.get(worker, (None, now_s))
        if beat != known or worker not in self._beats:
            self._beats[worker] = (beat, now_s)
        elif now_s - since_s > self.lost_after_s:
            return f"worker {name} gave no sign of life for {now_s - since_s:.0f} s"
        if sign is None or run_id in sign.runs:
            self._absences.pop(run_id, None)
        elif beat != known:
            self._absences[run_id] = self._absences.get(run_id, 0) + 1
            if self._absences[run_id] > _MOST_ABSENCES:
                return f"its process on worker {name} ended"
        return ""


class Overdue:
    """Runs that no worker takes although one is free."""

    def __init__(self) -> None:
        #: When a worker was first seen to be free for a run, monotonic seconds.
        self._free_since_s: dict[str, float] = {}

    def among(
        self, not_taken: Mapping[str, str], workers: Sequence[Sign], limit_s: float
    ) -> set[str]:
        """Return the runs for which a worker has been free for longer than a limit.

        Parameters
        ----------
        not_taken : mapping of str to str
            Queue of each run at the broker that no worker has taken, by the run's id.
        workers : sequence of Sign
            The workers that are alive.
        limit_s : float
            The limit, seconds.
        """
        now_s = time.monotonic()
        free = {q for w in workers if len(w.runs) < w.concurrency for q in w.queues}
        self._free_since_s = {
            run_id: self._free_since_s.get(run_id, now_s)
            for run_id, queue in not_taken.items()
            if queue in free
        }
        return {r for r, since_s in self._free_since_s.items() if now_s - since_s > limit_s}
