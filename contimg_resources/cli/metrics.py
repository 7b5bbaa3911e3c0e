"""Metrics of the platform for Prometheus.

Belongs here: what is measured, under which names, and serving it. Doesn't: alerts (Prometheus has
its own rules, contimg's are in `contimg_resources.alerts`).

The values are read when they are asked for, so that nothing is counted twice or lost by a restart.
A part that can't be read is left out, and `contimg_up` is 0 for it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contimg_resources.core.disk_space import free_bytes
from contimg_resources.core.errors import ConfigurationError, ContimgError
from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.products.events import CandidateState, NewSourceState
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.model import SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.alerting import state_in_words

if TYPE_CHECKING:
    from contimg_resources.cli.webserver import DagsterRun

#: Number of the last runs from which durations are taken.
_N_RUNS = 500
_STATUSES = ("QUEUED", "STARTED", "SUCCESS", "FAILURE", "CANCELED")


class PlatformMetrics(Collector):
    """Reads the metrics of a state directory and of its platform.

    Parameters
    ----------
    settings : Settings
        Settings with the addresses of the stores.
    runs : callable
        Returns Dagster's last runs, at most as many as asked for.
    restarts : callable
        Returns the number of restarts of the platform's processes by name.
    """

    def __init__(
        self,
        settings: Settings,
        runs: Callable[[int], "Sequence[DagsterRun]"],
        restarts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._settings = settings
        self._runs = runs
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics that can be read now."""
        up = GaugeMetricFamily(
            "contimg_up", "Whether a part of the platform can be read", labels=["part"]
        )
        parts = {"products": self._products, "registry": self._registry, "dagster": self._dagster}
        for part, read in parts.items():
            try:
                yield from list(read())
            except (ContimgError, OSError):
                up.add_metric([part], 0)
            else:
                up.add_metric([part], 1)
        yield up
        yield _gauge(
            "contimg_disk_free_bytes",
            "Free space on the disk of the state directory",
            free_bytes(self._settings.state),
        )
        yield _labelled(
            "contimg_process_restarts",
            "Restarts of the platform's processes since its start",
            "process",
            self._restarts(),
        )

    def _products(self) -> Iterator[Metric]:
        with closing(ProductsStore(self._settings.products_address, create=False)) as store:
            counts = store.counts()
            yield _labelled(
                "contimg_observations",
                "Observations by state",
                "state",
                {state.value: counts.get(state, 0) for state in ObservationState},
            )
            latest = {
                "observation": store.list_observations(limit=1),
                "image": store.list_observations(state=ObservationState.IMAGED, limit=1),
            }
            yield _labelled(
                "contimg_last_end_timestamp_seconds",
                "End of the latest observation, and of the latest one with an image, Unix time",
                "of",
                {
                    of: datetime_from_mjd(records[0].end_mjd).timestamp()
                    for of, records in latest.items()
                    if records
                },
            )
            yield _gauge(
                "contimg_rejected_deliveries",
                "Deliveries in the watched directories that can't be used",
                len(store.rejections.list()),
            )
            candidates = Counter(one.state for one in store.events.list_candidates())
            yield _labelled(
                "contimg_candidates",
                "Candidates (Extreme Scattering Events and new sources) by state",
                "state",
                {state.value: candidates[state] for state in CandidateState},
            )
            uncatalogued = Counter(one.state for one in store.new_sources.list())
            yield _labelled(
                "contimg_new_sources",
                "Sources that the reference catalogue lacks, by state",
                "state",
                {state.value: uncatalogued[state] for state in NewSourceState},
            )
            yield _labelled(
                "contimg_alerts",
                "Alerts by state of their delivery",
                "state",
                Counter(map(state_in_words, store.events.list_alerts())),
            )

    def _registry(self) -> Iterator[Metric]:
        with closing(CalibrationRegistry(self._settings.registry_address, create=False)) as store:
            counts = store.counts()
            yield _labelled(
                "contimg_caltable_sets",
                "Caltable sets by status",
                "status",
                {status.value: counts.get(status, 0) for status in SetStatus},
            )

    def _dagster(self) -> Iterator[Metric]:
        runs = self._runs(_N_RUNS)
        statuses = Counter(run.status for run in runs)
        yield _labelled(
            "contimg_runs",
            f"Dagster's runs by status, of the last {_N_RUNS}",
            "status",
            {status: statuses[status] for status in _STATUSES},
        )
        seconds: dict[str, list[float]] = {}
        for run in runs:
            if run.status == "SUCCESS" and run.duration_s is not None:
                seconds.setdefault(run.job, []).append(run.duration_s)
        yield _labelled(
            "contimg_run_duration_seconds",
            f"Median duration of a job's successful runs, of the last {_N_RUNS} runs",
            "job",
            {job: median(found) for job, found in seconds.items()},
        )


class MetricsServer:
    """Serves metrics on the loopback interface in a thread, as a context manager.

    Raises
    ------
    ConfigurationError
        If the port can't be used.
    """

    def __init__(self, metrics: Collector, port: int) -> None:
        registry = CollectorRegistry()
        registry.register(metrics)
        try:
            self._server, self._thread = start_http_server(port, "127.0.0.1", registry)
        except OSError as error:
            raise ConfigurationError(
                f"port {port} of 127.0.0.1 can't be used for metrics: {error.strerror or error}"
            ) from error
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
