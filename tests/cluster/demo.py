"""``make demo-cluster``: the demo's night, in short, on two workers: one is cut off, one killed.

Belongs here: the night's course and what came of it. Doesn't: hosts and servers (see `hosts`).
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from contimg_assets.signs_of_life import all_signs, connect
from contimg_resources.casa import Casa
from contimg_resources.cli.console import print_table, progress, remark
from contimg_resources.cli.main import run
from contimg_resources.cli.platform import Platform, free_port
from contimg_resources.demo.night import DEMO_NIGHT, expected_names, is_over, write_known_sources
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.simulation.night import plan_night
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import Conditions, Preset
from contimg_resources.steps.in_casa import load_engines
from contimg_resources.steps.workshop import Workshop
from tests import postgres
from tests.cluster.hosts import NETWORK, PASSWORD, Host, Redis, hosts

_RUNS = """
query Runs {
  runsOrError(limit: 1000) {
    ... on Runs { results { runId jobName status startTime tags { key value } } }
  }
}
"""
#: Time limit of the night, seconds.
_LIMIT_S = 3600.0
#: Eight integrations of a kind sky make an image that passes its checks.
_NIGHT = replace(DEMO_NIGHT, **vars(Conditions.of(Preset.KIND)))
#: Integrations of each observation of the short night; the whole one has 24.
_FEW_INTEGRATIONS = 8
#: A worker whose last sign of life is younger is alive, seconds.
_ALIVE_S = 5.0
#: A worker is cut off, and one is killed.
_N_FAULTS = 2


def main() -> int:
    """Run the night and return the exit code: 0 if every observation was imaged exactly once."""
    parser = argparse.ArgumentParser(prog="make demo-cluster", description=__doc__)
    parser.add_argument("--state", type=Path, help="keep the state in this directory")
    parser.add_argument(
        "--cut-s", type=float, default=120.0, help="time without network of a worker, seconds"
    )
    given = parser.parse_args()
    lacking = [
        package
        for package, found in (
            ("postgresql", postgres.programs()),
            ("redis-server", shutil.which("redis-server")),
        )
        if found is None
    ]
    if lacking:
        remark(f"this demo needs {' and '.join(lacking)}: apt-get install {' '.join(lacking)}")
        return 2
    with tempfile.TemporaryDirectory(prefix="contimg-demo-cluster-") as temporary:
        state = (given.state or Path(temporary) / "state").absolute()
        state.mkdir(parents=True, exist_ok=True)
        with postgres.running(NETWORK) as server:
            broker = Redis(free_port(), Path(temporary) / "redis.log")
            try:
                return _night(state, server, broker, Path(temporary), given.cut_s)
            finally:
                broker.kill()


def _night(state: Path, server: postgres.Server, broker: Redis, logs: Path, cut_s: float) -> int:
    for name in [n for n in os.environ if n.startswith("CONTIMG_")]:
        del os.environ[name]
    url = server.tcp_url(server.new_database())
    environment = {
        "CONTIMG_STATE": str(state),
        "CONTIMG_REGISTRY_URL": url,
        "CONTIMG_PRODUCTS_URL": url,
        "CONTIMG_CLUSTER__DAGSTER_URL": server.tcp_url(server.new_database()),
        "CONTIMG_CLUSTER__BROKER_URL": f"redis://:{PASSWORD}@127.0.0.1:{broker.port}/0",
        "CONTIMG_CLUSTER__LOST_AFTER_S": "15",
        "CONTIMG_SENSORS__INTERVAL_S": "5",
        "CONTIMG_CATALOGUE__REFERENCE": "simulated",
        "CONTIMG_CALIBRATION__PLOTMS": "false",
        "CONTIMG_ARRIVAL__SETTLE_AGE_S": "1",
        # The mosaics of the hour are no part of it.
        "CONTIMG_MOSAICS__WAIT_MIN": "600",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    os.environ.update(environment)
    settings = Settings()
    workshop = Workshop.from_settings(settings)
    sky = state / "known_sources.csv"
    write_known_sources(_NIGHT, sky)
    workshop.catalogues.add("simulated", sky)
    with (
        progress("night") as say,
        hosts(2, environment, logs) as two,
        Platform(state, environment=environment, cluster=True) as platform,
    ):
        say("starting the control plane and two workers", None)
        for host in two:
            host.start_worker("--concurrency", "1")
        platform.wait_until_ready(600.0)
        platform.start_sensors()
        say("simulating the observations", None)
        *first, last = _simulate(workshop.casa, settings)
        for ms in first:
            ms.rename(settings.incoming_dir / ms.name)
        deadline = time.monotonic() + _LIMIT_S

        def goes_on() -> bool:
            platform.check_alive()
            counts = {s.value: n for s, n in workshop.products.counts().items() if n}
            say(", ".join(f"{n} {state}" for state, n in counts.items()) or "none arrived", None)
            time.sleep(1.0)
            return time.monotonic() < deadline

        away = killed = None
        while away is None and goes_on():
            away = _host_in_an_image(two, platform)
        if away is not None:
            away.cut_off()
            remark(f"cut the network of worker {away.name} in the middle of an image")
            back = time.monotonic() + cut_s
            while time.monotonic() < back and goes_on():
                pass
            away.connect()
            remark(f"connected worker {away.name} again after {cut_s:.0f} s")
            while _n_alive() < len(two) and goes_on():
                pass
        last.rename(settings.incoming_dir / last.name)
        while not _is_over(workshop.products, platform) and goes_on():
            if away is not None and killed is None:
                killed = _host_in_an_image(two, platform)
                if killed is not None:
                    killed.kill()
                    remark(f"killed worker {killed.name} in the middle of an image")
        if not _is_over(workshop.products, platform):
            remark(f"the night isn't over after {_LIMIT_S / 60:.0f} min: is this machine busy?")
        return _look_back(workshop.products, platform, killed)


def _simulate(casa: Casa, settings: Settings) -> list[Path]:
    """Write the night's observations, in short, and return their MS, by time."""
    casa.open(load_engines)
    place = settings.layout.scratch / "simulated"
    found = []
    for planned in plan_night(_NIGHT):
        short = replace(planned.spec, n_integrations=_FEW_INTEGRATIONS)
        short = replace(short, start_mjd=short.start_mjd + planned.spec.mid_mjd - short.mid_mjd)
        made = casa.run(
            simulate_observation, SimulationRequest(short, place, False), label="simulate"
        )
        found.append(made.ms)
    casa.close()
    return found


def _is_over(products: ProductsStore, platform: Platform) -> bool:
    """Return whether the observations are imaged and their runs over; mosaics may follow."""
    records = products.list_observations()
    keys = {record.key for record in records}
    return is_over(records, _NIGHT) and all(r.over for r in platform.runs() if r.partition in keys)


def _runs(platform: Platform) -> list[dict[str, Any]]:
    """Return Dagster's runs, oldest first, with their tags by name."""
    found: list[dict[str, Any]] = platform.graphql.query(_RUNS)["runsOrError"]["results"][::-1]
    return [{**run, **{t["key"]: t["value"] for t in run["tags"]}} for run in found]


def _n_alive() -> int:
    """Return the number of workers that gave a sign of life in the last seconds."""
    signs, now_s = all_signs(connect())
    return sum(now_s - sign.at_s < _ALIVE_S for sign in signs)


def _host_in_an_image(two: tuple[Host, ...], platform: Platform) -> Host | None:
    """Return a host that has been making an image for some seconds."""
    for run_ in _runs(platform):
        started_s = run_["startTime"]
        busy = run_["jobName"] == "image_observation" and run_["status"] == "STARTED"
        if busy and started_s and time.time() - started_s > 4:
            worker = run_.get("contimg/host", "")
            for host in two:
                if worker.partition(":")[0] == host.name and (
                    host.in_namespace or int(worker.partition(":")[2]) in host.pids()
                ):
                    return host
    return None


def _look_back(products: ProductsStore, platform: Platform, killed: Host | None) -> int:
    runs = _runs(platform)
    rows, n_wrong = [], 0
    for record in products.list_observations():
        mine = [r for r in runs if r.get("dagster/partition") == record.key]
        images = [
            e
            for e in products.history(record.key)
            if e.state is ObservationState.IMAGED and e.step == "image_5min"
        ]
        n_wrong += len(images) != 1 or record.state is not ObservationState.IMAGED
        who = [f"{r['jobName']} on {r.get('contimg/host') or '-'}: {r['status']}" for r in mine]
        rows.append((record.key, record.state, len(images), "\n".join(who)))
    print_table(("observation", "state", "imaged", "runs"), rows, title="Who did what")
    run(["workers"])
    n_missing = len(expected_names(_NIGHT)) - len(rows)
    again = [r for r in runs if "dagster/parent_run_id" in r]
    unlucky = killed is None or len(again) < _N_FAULTS
    if unlucky:
        remark("no worker was cut off and none killed in the middle of an image: run it again")
    if n_wrong or n_missing:
        remark(f"{n_wrong + n_missing} observations weren't imaged exactly once")
    return 1 if n_wrong or n_missing or unlucky else 0


if __name__ == "__main__":
    sys.exit(main())
