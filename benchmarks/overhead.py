"""The platform's overhead over its engines: a tiny night through the real Dagster.

Belongs here: running that night, and the time of each run outside its engines.
Doesn't: the times of the engines (see `running`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from contimg_resources.casa import Casa, Progress
from contimg_resources.core.errors import PlatformError
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.simulation.night import NightSpec, simulate_night

#: Goal of the platform's overhead for an observation, seconds.
GOAL_S = 5.0
_LIMIT_S = 1200.0
_LOOK_S = 1.0
_ENVIRONMENT = {
    "CONTIMG_SENSORS__INTERVAL_S": "2",
    "CONTIMG_ARRIVAL__SETTLE_AGE_S": "0",
    "CONTIMG_CALIBRATION__PLOTMS": "false",
    "CONTIMG_CALIBRATION__MODEL_FROM_IMAGE": "false",
}
_RUNS = """
query Runs {
  runsOrError(filter: {statuses: [SUCCESS], pipelineName: "image_observation"}) {
    ... on Runs {
      results { runId stats { ... on RunStatsSnapshot { launchTime startTime endTime } } }
    }
    ... on PythonError { message }
  }
}
"""
_ENGINES = """
query Engines($path: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) {
    ... on AssetNode {
      assetMaterializations(limit: 100) {
        runId
        metadataEntries { label ... on FloatMetadataEntry { floatValue } }
      }
    }
  }
}
"""


@dataclass(frozen=True)
class Overhead:
    """Times of runs with one observation each."""

    #: From the launch of each run to its end, seconds: its process, Dagster, the stores, and the
    #: starts of two CASA processes.
    run_s: tuple[float, ...]
    engine_s: tuple[float, ...]  #: Calibration and imaging alone, seconds.

    @property
    def overhead_s(self) -> float:
        """Median of the time outside the engines, seconds."""
        return median(run - engine for run, engine in zip(self.run_s, self.engine_s, strict=True))


def measure_overhead(directory: Path, casa: Casa, progress: Progress) -> Overhead:
    """Run a tiny night through a separate platform.

    The directory, for the night and the platform's state, must not hold a state. `casa` simulates
    the night before the platform starts.

    Raises
    ------
    PlatformError
        If the night isn't done in time, or an observation fails.
    """
    from contimg_resources.cli.platform import Platform

    night = NightSpec(n_targets=3)
    simulated, state = directory / "night", directory / "state"
    for _, made in simulate_night(night, simulated, casa):
        progress(f"simulated {made.ms.name}", None)
    settings = Settings(state=state)
    settings.incoming_dir.mkdir(parents=True)
    with Platform(state, environment=_ENVIRONMENT) as platform:
        platform.wait_until_ready()
        platform.start_sensors()
        arriving = sorted(simulated.glob("*.ms"))
        for ms in arriving:
            ms.rename(settings.incoming_dir / ms.name)
        _wait(
            ProductsStore(settings.products_address), len(arriving), platform.check_alive, progress
        )
        runs = platform.graphql.query(_RUNS)["runsOrError"]["results"]
        engine_s = [
            _seconds_by_run(platform.graphql.query(_ENGINES, {"path": [asset]}))
            for asset in ("calibrated_ms", "image_5min")
        ]
    return Overhead(
        run_s=tuple(r["stats"]["endTime"] - r["stats"]["launchTime"] for r in runs),
        engine_s=tuple(sum(seconds[r["runId"]] for seconds in engine_s) for r in runs),
    )


def _wait(store: ProductsStore, expected: int, check_alive: Any, progress: Progress) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while True:
        check_alive()
        records = store.list_observations()
        if failed := [r for r in records if r.state is ObservationState.FAILED]:
            raise PlatformError(f"{failed[0].key} failed: {failed[0].reason}")
        imaged = sum(r.state is ObservationState.IMAGED for r in records)
        progress(f"{imaged} of {expected} observations are imaged", imaged / expected)
        if imaged == expected:
            return
        if time.monotonic() > deadline:
            raise PlatformError(f"the night isn't done after {_LIMIT_S:.0f} s")
        time.sleep(_LOOK_S)


def _seconds_by_run(answer: dict[str, Any]) -> dict[str, float]:
    events: Sequence[dict[str, Any]] = answer["assetNodeOrError"]["assetMaterializations"]
    return {
        event["runId"]: next(
            float(e["floatValue"]) for e in event["metadataEntries"] if e["label"] == "engine_s"
        )
        for event in events
    }
