"""Ticks of the sensors with stores in Postgres, each evaluated alone.

Belongs here: evaluating them in a fresh process, and the processor time of client and server.
Doesn't: ticks in a running platform, where all sensors share a process (see `platform_years`).
"""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import sqlalchemy as sa

from benchmarks.measure import processor_s
from benchmarks.platform_years import Cost
from contimg_resources.core.errors import BenchFailed
from contimg_resources.products.store import ProductsStore
from contimg_resources.steps.resource import RESOURCES

if TYPE_CHECKING:
    import dagster as dg

#: Sensors that query the stores at each tick.
SENSORS = (
    "observation_sensor",
    "waiting_sensor",
    "image_sensor",
    "mosaic_sensor",
    "staleness_sensor",
)
_GOAL_S = 1.0
_TICKS = 5
#: Maximum number of ticks until there is nothing to report.
_MOST_FIRST = 200


class Meter:
    """Measures the processor time of queries: of this process, its children and the server."""

    def __init__(self, products: ProductsStore) -> None:
        with products.read() as connection:
            told = connection.scalar(sa.text("SELECT pg_read_file('postmaster.pid')"))
        self._server = int(str(told).split()[0])

    def cost(
        self, name: str, goal_s: float | None, measure: Callable[[], float], n: int = 1
    ) -> Cost:
        """Return the cost of a query; `measure` asks it `n` times and returns the median time."""
        before_s = self._used_s()
        seconds = measure()
        return Cost(name, seconds, goal_s, (self._used_s() - before_s) / n)

    def _used_s(self) -> float:
        return sum(os.times()[:4]) + processor_s(self._server)


def tick_costs(products_url: str) -> list[Cost]:
    """Return the cost of the sensors' first and later ticks in this process.

    The environment names the stores and Dagster's instance. Nothing may be left to be done.
    """
    import dagster as dg

    from contimg_assets.definitions import defs

    repository = defs.get_repository_def()
    products = ProductsStore(products_url)
    meter = Meter(products)
    costs = []
    with dg.DagsterInstance.get() as instance:
        for name in SENSORS:
            ticks = _Ticks(repository.get_sensor_def(name), instance, repository)
            costs += [
                meter.cost(f"first ticks of `{name}` in a process", None, ticks.first),
                meter.cost(f"a later tick of `{name}`", _GOAL_S, ticks.later, _TICKS),
            ]
    products.close()
    return costs


class _Ticks:
    """Evaluates a sensor again and again."""

    def __init__(
        self,
        sensor: "dg.SensorDefinition",
        instance: "dg.DagsterInstance",
        repository: "dg.RepositoryDefinition",
    ) -> None:
        self._sensor = sensor
        self._instance = instance
        self._repository = repository
        self._cursor: str | None = None

    def first(self) -> float:
        """Return the time until a tick reports nothing to Dagster, seconds.

        `staleness_sensor` checks all days once, some of them at each tick.

        Raises
        ------
        BenchFailed
            If each tick reports something.
        """
        began_s = time.perf_counter()
        for _ in range(_MOST_FIRST):
            if not self._evaluate():
                return time.perf_counter() - began_s
        raise BenchFailed(f"{self._sensor.name} still reports something after {_MOST_FIRST} ticks")

    def later(self) -> float:
        """Return the median time of ticks, seconds.

        Raises
        ------
        BenchFailed
            If a tick reports something.
        """
        took = []
        for _ in range(_TICKS):
            began_s = time.perf_counter()
            if n := self._evaluate():
                raise BenchFailed(f"{self._sensor.name} reports {n} events: there is work left")
            took.append(time.perf_counter() - began_s)
        return median(took)

    def _evaluate(self) -> int:
        """Evaluate the sensor once; return the number of events and runs."""
        import dagster as dg

        with dg.build_sensor_context(
            instance=self._instance,
            cursor=self._cursor,
            repository_def=self._repository,
            resources=RESOURCES,
        ) as context:
            data = self._sensor.evaluate_tick(context)
        self._cursor = data.cursor
        return len(data.asset_events) + len(data.run_requests or ())
