"""``contimg bench-years``: the cost of queries of a state directory after years of observing.

Belongs here: Dagster's part of the state, the platform on it, and output.
Doesn't: the stores' part (see `.years` and `.years_sky`), the dashboard (see `.dashboard`), stores
in Postgres (see `.cluster_stores`).

Rows of Dagster's databases are multiplied in SQL: through its interfaces a season would take hours.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress
from contimg_resources.core.errors import ConfigurationError, PlatformError

if TYPE_CHECKING:
    from benchmarks.years import Filled
    from contimg_resources.cli.platform import Platform
    from contimg_resources.settings import Settings
    from contimg_resources.steps.workshop import Workshop

_ASSETS = ("incoming_ms", "calibrated_ms", "image_5min")
_CHECKS = ("image_rms", "beam_sane", "known_fluxes", "astrometry")
#: Size of an image's metadata.
_METADATA_CHARS = 12_000
_SENSOR = "observation_sensor"
#: Number of ticks that are timed; on a busy machine fewer.
_TICKS, _LEAST_TICKS = 6, 3
LOOK_UPS, ASKED_STATUS = 300, 5
LOOK_UP, STATUS = "registry look-up", "`contimg status`"
_ASKED = 9
_WAIT_S = 300.0
#: Time limit of checking all days for stale products, seconds.
_FIRST_PASS_S = 1200.0
_SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "contimg"}

_STATUS = """
query Status($keys: [AssetKeyInput!]!) {
  assetNodes(assetKeys: $keys) {
    id
    partitionStats { numMaterialized numMaterializing numPartitions numFailed }
    assetMaterializations(limit: 1) { timestamp runId }
  }
}
"""
_SENSOR_TICKS = """
query Ticks($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) {
    ... on Sensor { sensorState { ticks(limit: 20) { status timestamp endTimestamp skipReason } } }
  }
}
"""


@dataclass(frozen=True)
class Cost:
    """The cost of a query."""

    name: str  #: The query.
    seconds: float  #: Median, seconds.
    goal_s: float | None  #: Goal, seconds; None: no goal.
    #: Processor time of client and server, mean in seconds; None: not measured.
    cpu_s: float | None = None
    n_bytes: int | None = None  #: Size of the answer, bytes; None: not measured.


#: What `bench_years` measures.
_PARTS = ("stores", "platform", "dashboard")


def bench_years(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(_PARTS)}; repeatable. Default: all."),
    ] = None,
    observations: Annotated[int, typer.Option(min=10, help="Observations in the state.")] = 26_000,
    sets: Annotated[int, typer.Option(min=10, help="Active caltable sets.")] = 10_000,
    sources: Annotated[
        int, typer.Option(min=10, help="Sources with light curves, for the dashboard.")
    ] = 10_000,
    out_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Directory of the state; must not exist yet.")
    ] = Path("bench-years"),
    as_json: AsJson = False,
) -> None:
    """Fill a state as after a season (90 days by default), and time queries and the dashboard.

    The dashboard's views are timed where Chromium and Playwright are installed.

    Example: `contimg bench-years --only dashboard --sources 20000`
    """
    from benchmarks.dashboard import measure_dashboard
    from benchmarks.years import fill_stores
    from benchmarks.years_sky import SkySize, fill_sky
    from contimg_resources.cli.platform import dagster_home
    from contimg_resources.settings import Settings
    from contimg_resources.steps.workshop import Workshop

    parts = tuple(only or _PARTS)
    if unknown := [name for name in parts if name not in _PARTS]:
        raise ConfigurationError(f"there is no part {', '.join(unknown)} of {', '.join(_PARTS)}")
    settings = Settings(state=out_dir.absolute() / "state")
    settings.incoming_dir.mkdir(parents=True)
    costs: list[Cost] = []
    with progress("bench-years") as say:
        say("filling the stores", None)
        workshop = Workshop.from_settings(settings)
        filled = fill_stores(workshop, observations, sets)
        if "stores" in parts:
            say("timing queries of the stores", None)
            costs += _costs_of_stores(workshop, filled)
        if "platform" in parts:
            say("filling Dagster's databases", None)
            history = settings.state / "history"
            index, runs = (f"sqlite:///{history / name}" for name in ("runs/index.db", "runs.db"))
            fill_dagster(settings, filled, dagster_home(), index, runs)
            say("timing queries of the platform", None)
            costs += costs_of_platform(settings, filled)
        # Last: with images and light curves there is more to look through.
        if "dashboard" in parts:
            say("filling in sources and images", None)
            fill_sky(workshop, filled, SkySize(sources=sources))
            costs += measure_dashboard(settings, say)
    sizes = _sizes(settings)
    told = {
        "n_observations": observations,
        "n_sets": sets,
        "n_sources": sources if "dashboard" in parts else 0,
        "load": os.getloadavg(),
        "costs": [asdict(c) for c in costs],
        "sizes_mb": sizes,
    }
    (out_dir / "bench-years.json").write_text(json.dumps(told, indent=2) + "\n")
    if as_json:
        print_json(told)
        return
    print_table(
        ("query", "seconds", "CPU (s)", "kB", "goal"),
        [
            (
                c.name,
                f"{c.seconds:.4g}",
                None if c.cpu_s is None else f"{c.cpu_s:.3g}",
                None if c.n_bytes is None else f"{c.n_bytes / 1e3:.0f}",
                f"{c.goal_s:g}" if c.goal_s else None,
            )
            for c in costs
        ],
        title=f"{observations} observations, {sets} caltable sets",
    )
    print_table(("database", "MB"), [(n, f"{mb:.0f}") for n, mb in sizes.items()])


def _costs_of_stores(workshop: "Workshop", filled: "Filled") -> list[Cost]:
    from benchmarks.years import timed
    from contimg_resources.steps.mosaicking import open_mosaics
    from contimg_resources.steps.retention import choose_removals
    from contimg_resources.steps.staleness import stale_observations
    from contimg_resources.steps.starting import open_observations
    from contimg_resources.steps.watching import ScanCursor, scan_directory

    stale = stale_observations(workshop)
    if stale:
        raise PlatformError(f"{len(stale)} simulated observations are stale: {stale[0]}")
    return [
        Cost(LOOK_UP, look_up_s(workshop, filled.keys), 1e-3),
        Cost(STATUS, status_s(workshop.settings), 1.0),
        Cost(
            "scan of the MS directory", timed(lambda: scan_directory(workshop, ScanCursor())), None
        ),
        Cost("list of open observations", timed(lambda: open_observations(workshop)), None),
        Cost(
            "mosaics to make, for changes of three days",
            timed(lambda: open_mosaics(workshop, changed_days=3.0), 5),
            None,
        ),
        Cost(
            "mosaics to make, for all observations", timed(lambda: open_mosaics(workshop), 5), None
        ),
        Cost("list of stale products", timed(lambda: stale_observations(workshop), 3), None),
        Cost("list of files to remove", timed(lambda: choose_removals(workshop), 3), None),
    ]


def look_up_s(workshop: "Workshop", keys: Sequence[str]) -> float:
    """Return the time of looking up the set of an observation, median in seconds."""
    from benchmarks.years import timed

    layout = workshop.products.observation(keys[0]).layout
    spread = cycle(keys[:: max(1, len(keys) // LOOK_UPS)])

    def look_up() -> None:
        mid_mjd = float(next(spread))
        workshop.registry.active(mid_mjd, layout=layout, declination_deg=16.3, verify=False)

    return timed(look_up, LOOK_UPS)


def status_s(settings: "Settings") -> float:
    """Return the time of ``contimg status``, median in seconds."""
    from benchmarks.years import timed

    command = [sys.executable, "-m", "contimg_resources", "status", "--state", str(settings.state)]
    return timed(
        lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), ASKED_STATUS
    )


def costs_of_platform(
    settings: "Settings", filled: "Filled", *, cluster: bool = False
) -> list[Cost]:
    """Return the cost of a sensor's tick and of the lineage page of a running platform."""
    from contimg_resources.cli.platform import Platform

    environment = {"CONTIMG_SENSORS__INTERVAL_S": "5", "CONTIMG_RETENTION__PAUSE_BELOW_GB": "0"}
    with Platform(settings.state, environment=environment, cluster=cluster) as platform:
        platform.wait_until_ready(_WAIT_S)
        one = _status_s(platform, filled, _ASSETS[-1:])
        all_of_them = _status_s(platform, filled, _ASSETS)
        _wait_for_first_pass(platform)
        ticks = _ticks(platform, time.time())
    return [
        Cost(f"a tick of {_SENSOR}, in Dagster", median(ticks), 1.0),
        Cost("status of `image_5min` after a new key", one, 0.5),
        Cost("status of all three assets after a new key", all_of_them, 0.5),
    ]


def _status_s(platform: "Platform", filled: "Filled", assets: tuple[str, ...]) -> float:
    """Return the loading time of the lineage page after a new key, median in seconds."""
    from contimg_resources.cli.launching import add_key
    from contimg_resources.core.keys import partition_key

    keys = [{"path": [asset]} for asset in assets]
    platform.graphql.query(_STATUS, {"keys": keys})
    took = []
    for i in range(_ASKED):
        key = partition_key(float(filled.keys[-1]) + len(assets) + 0.01 * i)
        add_key(platform.graphql, _SELECTOR, "observation_mjd", key)
        asked_s = time.perf_counter()
        answer = platform.graphql.query(_STATUS, {"keys": keys})
        took.append(time.perf_counter() - asked_s)
    stats = answer["assetNodes"][0]["partitionStats"]
    if stats["numMaterialized"] != len(filled.keys):
        raise PlatformError(f"Dagster doesn't have all observations that were filled in: {stats}")
    return median(took)


def _wait_for_first_pass(platform: "Platform") -> None:
    """Wait until `staleness_sensor` has checked all days, which it does once."""
    from contimg_assets.staleness import UNCHANGED

    deadline = time.monotonic() + _FIRST_PASS_S
    while not any(t["skipReason"] == UNCHANGED for t in _ended(platform, "staleness_sensor")):
        if time.monotonic() > deadline:
            raise PlatformError(f"staleness_sensor still checks days after {_FIRST_PASS_S:g} s")
        time.sleep(2.0)


def _ticks(platform: "Platform", began_s: float) -> list[float]:
    deadline = time.monotonic() + _WAIT_S
    while True:
        ticks = [
            t["endTimestamp"] - t["timestamp"]
            for t in _ended(platform, _SENSOR)
            if t["timestamp"] > began_s and t["status"] == "SKIPPED"
        ]
        if len(ticks) >= _TICKS:
            return ticks
        if time.monotonic() > deadline:
            if len(ticks) >= _LEAST_TICKS:
                return ticks
            raise PlatformError(f"{_SENSOR} ticked only {len(ticks)} times")
        time.sleep(2.0)


def _ended(platform: "Platform", sensor: str) -> list[dict[str, Any]]:
    """Return the last ticks of a sensor that have ended."""
    selector = {**_SELECTOR, "sensorName": sensor}
    answer = platform.graphql.query(_SENSOR_TICKS, {"selector": selector})["sensorOrError"]
    return [t for t in answer["sensorState"]["ticks"] if t["endTimestamp"]]


def _sizes(settings: "Settings") -> dict[str, float]:
    files = ("registry.sqlite3", "products.sqlite3", "history/runs.db", "history/runs/index.db")
    found = {name: settings.state / name for name in files}
    return {name: file.stat().st_size / 1e6 for name, file in found.items() if file.is_file()}


def fill_dagster(
    settings: "Settings", filled: "Filled", home: Path, index_url: str, runs_url: str
) -> None:
    """Fill Dagster's storage with a run, materializations and checks of every observation.

    `home` is the directory of ``dagster.yaml``; the addresses are those of the databases with the
    events and with the runs.
    """
    import dagster as dg

    from benchmarks.years import chunks

    os.environ["CONTIMG_STATE"] = str(settings.state)
    first = filled.keys[0]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for some in chunks(filled.keys):
            instance.add_dynamic_partitions("observation_mjd", some)
        for asset in _ASSETS:
            metadata = {"image": "x" * _METADATA_CHARS} if asset == "image_5min" else {"rms": 0.5}
            instance.report_runless_asset_event(
                dg.AssetMaterialization(asset, partition=first, metadata=metadata)
            )
        for check in _CHECKS:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey("image_5min"),
                    check_name=check,
                    passed=True,
                    partition=first,
                    description="as it should be",
                )
            )
        run = dg.DagsterRun(
            job_name="image_observation",
            run_id=str(uuid.uuid4()),
            status=dg.DagsterRunStatus.SUCCESS,
            tags={
                "dagster/partition": first,
                "dagster/run_key": f"image:{first}:{'s' * 40}:3C48.v1",
                "contimg/mjd_day": first[:5],
                "dagster/priority": "10",
            },
        )
        instance.add_run(run)
    _multiply(index_url, "event_logs", filled.keys, "")
    _multiply(index_url, "asset_check_executions", filled.keys, "")
    _multiply(runs_url, "runs", filled.keys, run.run_id)
    _multiply(runs_url, "run_tags", filled.keys, run.run_id)


def _multiply(url: str, name: str, keys: tuple[str, ...], run_id: str) -> None:
    """Copy the rows of the first key for each of the other keys, with a separate run for each."""
    import sqlalchemy as sa

    from benchmarks.years import chunks

    engine = sa.create_engine(url)
    others = sa.Table(
        "bench_keys",
        sa.MetaData(),
        sa.Column("key", sa.Text),
        sa.Column("run", sa.Text),
        prefixes=["TEMPORARY"],
    )
    with engine.begin() as connection:
        table = sa.Table(name, sa.MetaData(), autoload_with=connection)
        others.create(connection)
        for some in chunks(keys[1:]):
            # The same run for a key in every table.
            rows = [{"key": key, "run": _run_of(key)} for key in some]
            connection.execute(sa.insert(others), rows)
        columns = {c.name: c for c in table.columns if c.name != "id"}
        values = [
            _of(c, keys[0], run_id, others) if isinstance(c.type, sa.String) else c
            for c in columns.values()
        ]
        query = sa.select(*values).join_from(table, others, sa.true()).order_by(others.c.key)
        connection.execute(sa.insert(table).from_select(list(columns), query))
    engine.dispose()


def _run_of(key: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, key))


def _of(column: Any, first: str, run_id: str, others: Any) -> Any:
    """Return the SQL expression of a text column for another key."""
    import sqlalchemy as sa

    value = sa.func.replace(column, first, others.c.key)
    return sa.func.replace(value, run_id, others.c.run) if run_id else value
