"""``contimg up``: run the platform on the user's directories until Ctrl-C.

Belongs here: arguments and waiting. Doesn't: starting and ending (`.platform`).
"""

import signal
import threading
import time
from collections import Counter
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import MsDirectory, StateDirectory, SubBandDirectory
from contimg_resources.cli.console import progress, remark, write_logs
from contimg_resources.cli.given import check_shared, environment_of, given_settings
from contimg_resources.core.errors import ConfigurationError, PlatformError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from contimg_resources.cli.children import Restart
    from contimg_resources.cli.platform import Platform
    from contimg_resources.settings import Settings

_LOOK_S = 2.0
_PING_S = 60.0
#: Interval between looks for earlier days, seconds.
_DAYS_S = 30.0


def up(
    state: StateDirectory = None,
    ms_dir: MsDirectory = None,
    uvh5_dir: SubBandDirectory = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the web interface on 127.0.0.1.")
    ] = 3000,
    onlookers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            help="Port on 127.0.0.1 of a second web interface, on which nothing can be started.",
        ),
    ] = None,
    metrics: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            help="Port on 127.0.0.1 of metrics for Prometheus (`/metrics`).",
        ),
    ] = None,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Be the control plane of several machines: `contimg worker` executes the runs.",
        ),
    ] = False,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Serve a web interface on which nothing can be started."),
    ] = False,
) -> None:
    """Serve the platform: Dagster's daemon and web interface, sensors on, until Ctrl-C.

    Ctrl-C or SIGTERM stop everything that was started; runs in progress end as failed and start
    again with the next platform. A Dagster process that dies or hangs is started again, at most
    five times within ten minutes; then the command ends with exit code 1.

    With `--cluster` runs go on without this command, and are found again by the next.

    MS that arrive in `--ms-dir` are processed, and the correlator's sub-band files in `--uvh5-dir`.

    Example: `contimg up --state /data/contimg --ms-dir /data/ms/5min --uvh5-dir /data/incoming`
    """
    from contimg_resources.cli.metrics import MetricsServer, PlatformMetrics
    from contimg_resources.cli.platform import Platform
    from contimg_resources.steps.disk_space import keep_reserve
    from contimg_resources.steps.retention import free_without_stores
    from contimg_resources.steps.workshop import Workshop

    # A service manager's stop is as good an end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = given_settings(state=state, ms_dir=ms_dir, uvh5_dir=uvh5_dir)
    write_logs(settings.log_format)
    if cluster != settings.cluster.is_set:
        raise ConfigurationError(
            "the settings name a database or broker for several machines (cluster.dagster_url, "
            "cluster.broker_url): start the control plane with --cluster"
            if settings.cluster.is_set
            else "--cluster needs cluster.dagster_url and cluster.broker_url, such as "
            "CONTIMG_CLUSTER__DAGSTER_URL and CONTIMG_CLUSTER__BROKER_URL "
            "(docs/how-to/several-machines.md)"
        )
    if cluster:
        check_shared(settings)
    settings.state.mkdir(parents=True, exist_ok=True)
    for removal in free_without_stores(settings):
        remark(f"the disk was full: removed {removal.path}, {removal.why}")
    keep_reserve(settings)
    # A store that is damaged, or of a newer contimg, is reported here, not by every tick.
    stores = Workshop.from_settings(settings)
    stores.products.close()
    stores.registry.close()
    for incoming in (settings.incoming_dir, settings.incoming_uvh5_dir):
        incoming.mkdir(parents=True, exist_ok=True)
    platform = Platform(
        settings.state,
        port=port,
        environment=environment_of(settings),
        read_only=read_only,
        onlookers_port=onlookers,
        cluster=cluster,
    )
    restarts: Counter[str] = Counter()
    # Before the code server loads the definitions.
    days = _Days(settings)
    measured = (
        nullcontext()
        if metrics is None
        else MetricsServer(PlatformMetrics(settings, platform.runs, lambda: restarts), metrics)
    )
    with suppress(KeyboardInterrupt), measured, platform, progress("up") as say:
        say("starting Dagster", None)
        platform.wait_until_ready()
        if not read_only:
            say("turning the sensors on", None)
            platform.start_sensors()
        remark(f"contimg is up: {platform.address}")
        if onlookers is not None:
            remark(f"for onlookers: http://127.0.0.1:{onlookers}")
        if metrics is not None:
            remark(f"metrics: http://127.0.0.1:{metrics}/metrics")
        remark(f"MS directory {settings.incoming_dir}; state {settings.state}; Ctrl-C stops it")
        remark(f"directory of sub-band files {settings.incoming_uvh5_dir}")
        say("serving", None)
        ping = _Ping(settings.alerts.ping_url)
        try:
            while True:
                ping.send()
                for restart in platform.keep_alive():
                    restarts[restart.name] += 1
                    _tell(settings, str(restart))
                    remark(str(restart))
                if restarted := days.follow(platform):
                    remark(str(restarted))
                time.sleep(_LOOK_S)
        except PlatformError as end:
            _tell(settings, f"the platform ended: {end.message}", at_once=True)
            raise
    remark("contimg is down")


class _Days:
    """The first of the daily partitions, which the code server knows from its start."""

    def __init__(self, settings: "Settings") -> None:
        from contimg_resources.steps.first_day import first_day

        self._first_day = partial(first_day, settings)
        self._waits = not settings.cluster.is_set
        self._loaded = self._first_day()
        self._next_s = time.monotonic() + _DAYS_S

    def follow(self, platform: "Platform") -> "Restart | None":
        """Restart the code server when earlier data have arrived, once it has no run."""
        if time.monotonic() < self._next_s:
            return None
        self._next_s = time.monotonic() + _DAYS_S
        first = self._first_day()
        if first >= self._loaded:
            return None
        with suppress(PlatformError):
            # On several machines, runs aren't its children.
            if self._waits and any(not r.over and r.status != "QUEUED" for r in platform.runs()):
                return None
            self._loaded = first
            return platform.load_code_again(f"didn't know the days from {first}")
        return None


class _Ping:
    """A sign of life every minute, for a service that notices when there is none."""

    def __init__(self, url: "SecretStr | None") -> None:
        self._url = url
        self._next_s = 0.0

    def send(self) -> None:
        """Send one when it is due, beside whatever this process does."""
        if self._url is None or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _PING_S
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        import requests

        assert self._url is not None
        # The service notices what doesn't arrive. The address is a secret: no message names it.
        with suppress(requests.RequestException):
            requests.get(self._url.get_secret_value(), timeout=10).close()


def _tell(settings: "Settings", what: str, *, at_once: bool = False) -> None:
    """Record an alert; deliver it here when no run will."""
    from contimg_resources.core.errors import ContimgError
    from contimg_resources.steps.alerting import tell_alerts, tell_platform
    from contimg_resources.steps.workshop import Workshop

    try:
        workshop = Workshop.from_settings(settings)
        tell_platform(workshop, what)
        if at_once:
            tell_alerts(workshop)
    except (ContimgError, OSError) as error:
        # A message that can't be recorded is no reason to stop the night.
        remark(f"the alert couldn't be recorded or sent: {error}")
