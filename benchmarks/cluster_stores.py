"""Stores in Postgres as after ten years: the cost of the platform's queries, and how it grows.

Belongs here: filling them step by step, and timing queries at each size. Doesn't: the rows (see
`years`), Dagster's part (see `platform_years`).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from benchmarks.cluster_ticks import Meter, tick_costs
from benchmarks.fresh import in_fresh_process
from benchmarks.platform_years import (
    ASKED_STATUS,
    LOOK_UP,
    LOOK_UPS,
    STATUS,
    Cost,
    costs_of_platform,
    fill_dagster,
    look_up_s,
    status_s,
)
from benchmarks.years import REPEATS, Filled, block_days, fill_stores, leave_ids, prepend, timed
from contimg_resources.casa import Progress
from contimg_resources.cli.platform import dagster_home, free_port
from contimg_resources.core.times import mjd_day
from contimg_resources.registry.model import SetStatus
from contimg_resources.registry.tables import caltable_sets
from contimg_resources.settings import Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.stale_days import StaleDays, changed_since, check_days
from contimg_resources.steps.workshop import Workshop
from tests import postgres
from tests.cluster.hosts import PASSWORD, Redis

#: Observations of the first block: the 90 days that Dagster's list of partitions holds.
BLOCK = 26_000
_SETS_A_DAY = 4
_LISTED = 50
#: Sets that are retired, one after the other, all over the history.
_RETIRED = 5


@dataclass(frozen=True)
class StoreCosts:
    """The cost of queries at one size."""

    n_observations: int  #: Observations in the products store.
    n_sets: int  #: Active caltable sets.
    size_gb: float  #: Size of both stores, GB.
    fill_s: float  #: Time of adding these observations, seconds.
    costs: tuple[Cost, ...]  #: The queries.
    load: float = 0.0  #: Load of the machine after timing, mean of five minutes.


def measure_stores(
    directory: Path,
    blocks: tuple[int, ...],
    progress: Progress,
    *,
    block: int = BLOCK,
    with_platform: bool = True,
) -> Iterator[StoreCosts]:
    """Yield the cost of queries with each number of blocks of observations.

    If `with_platform`, one is started with the first and the last number; Dagster's storage holds
    one block, as the platform's window of keys does.
    """
    with servers(directory) as (settings, dagster_url):
        workshop = Workshop.from_settings(settings)
        settings.incoming_dir.mkdir(parents=True, exist_ok=True)
        days = blocks[-1] * (block * 309.24 / 86_400 + 2)
        progress("filling the first block", None)
        began_s = time.monotonic()
        leave_ids(workshop, (blocks[-1] - 1) * block)
        filled = fill_stores(workshop, block, int(days) * _SETS_A_DAY)
        if with_platform:
            fill_dagster(settings, filled, dagster_home() / "cluster", dagster_url, dagster_url)
        done = 1
        for n_blocks in blocks:
            progress(f"filling to {n_blocks * block} observations", None)
            prepend(workshop, filled, range(done, n_blocks))
            done = n_blocks
            fill_s = time.monotonic() - began_s
            progress(f"timing queries of {n_blocks * block} observations", None)
            costs = [*_costs_of_stores(workshop, filled, n_blocks)]
            if with_platform:
                progress("timing ticks of the sensors", None)
                costs += in_fresh_process(tick_costs, settings.products_address)
            if with_platform and n_blocks in (blocks[0], blocks[-1]):
                progress("timing queries of the platform", None)
                costs += costs_of_platform(settings, filled, cluster=True)
            load = os.getloadavg()[1]
            yield StoreCosts(
                n_blocks * block, filled.n_sets, _size_gb(settings), fill_s, tuple(costs), load
            )
            began_s = time.monotonic()
        workshop.products.close()
        workshop.registry.close()


@contextmanager
def servers(directory: Path) -> Iterator[tuple[Settings, str]]:
    """Start Postgres and Redis; yield settings that name them, and the address of Dagster's part.

    The variables of the environment are set for subprocesses meanwhile.
    """
    state = directory / "state"
    state.mkdir(parents=True)
    broker = Redis(free_port(), directory / "redis.log")
    before = dict(os.environ)
    try:
        with postgres.running() as server:
            url, dagster_url = (server.tcp_url(server.new_database()) for _ in range(2))
            os.environ |= {
                "CONTIMG_STATE": str(state),
                "CONTIMG_REGISTRY_URL": url,
                "CONTIMG_PRODUCTS_URL": url,
                "CONTIMG_CLUSTER__DAGSTER_URL": dagster_url,
                "CONTIMG_RETENTION__PAUSE_BELOW_GB": "0",
                "DAGSTER_HOME": str(dagster_home() / "cluster"),
                "CONTIMG_CLUSTER__BROKER_URL": f"redis://:{PASSWORD}@127.0.0.1:{broker.port}/0",
            }
            yield Settings(), dagster_url
    finally:
        broker.kill()
        os.environ.clear()
        os.environ |= before


def _costs_of_stores(workshop: Workshop, filled: Filled, n_blocks: int) -> Iterator[Cost]:
    shifts = range(0, n_blocks * block_days(filled), block_days(filled))
    every = [f"{float(key) - shift:.5f}" for shift in shifts for key in filled.keys[::50]]
    cost = Meter(workshop.products).cost
    # The layout is read from the first.
    keys = [filled.keys[0], *every]
    yield cost(LOOK_UP, 2e-3, lambda: look_up_s(workshop, keys), LOOK_UPS)
    yield cost(STATUS, 1.0, lambda: status_s(workshop.settings), ASKED_STATUS)
    known = StaleDays()

    def of_all() -> None:
        nonlocal known
        known = check_days(workshop, changed_since(workshop, known), n_listed=_LISTED).days

    yield cost("list of stale products, for all observations", None, lambda: timed(of_all, 1))
    span = workshop.products.span()
    assert span is not None
    names: list[str] = []

    def after_a_set() -> None:
        nonlocal known
        mjd = float(every[(2 * len(names) + 1) * len(every) // (2 * _RETIRED)])
        name = workshop.registry.active(mjd, declination_deg=16.3, verify=False).set.name
        names.append(name)
        workshop.registry.retire(name, "an antenna was pointed elsewhere")
        found = check_days(workshop, changed_since(workshop, known), n_listed=_LISTED)
        assert found.n >= sum(known.stale.values())
        assert mjd_day(mjd) in found.days.stale
        known = found.days

    yield cost(
        "retiring a set, and the stale products after it",
        1.0,
        lambda: timed(after_a_set, _RETIRED),
        _RETIRED,
    )

    def after_a_product() -> None:
        left = replace(changed_since(workshop, known), left=(mjd_day(span[1]),))
        check_days(workshop, left, n_listed=_LISTED)

    yield cost(
        "stale products after an image was made", 1.0, lambda: timed(after_a_product), REPEATS
    )
    columns = caltable_sets.c
    with workshop.registry.write() as connection:
        connection.execute(
            sa.update(caltable_sets).where(columns.name.in_(names)).values(status=SetStatus.ACTIVE)
        )

    def export() -> None:
        assert export_dashboard(workshop).counts

    yield cost("export of the last 90 days", 10.0, lambda: timed(export, 1))


def _size_gb(settings: Settings) -> float:
    engine = sa.create_engine(settings.products_address)
    with engine.connect() as connection:
        size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
    engine.dispose()
    return float(size or 0) / 1e9
