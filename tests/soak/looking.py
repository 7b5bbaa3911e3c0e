"""What a platform, its stores and Dagster say at one moment.

Belongs here: gathering the facts. Doesn't: judging them (`tests.soak.settled`).
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.core.errors import CaltableAltered, NoValidCaltables
from contimg_resources.database import now_mjd
from contimg_resources.products.events import AlertRecord
from contimg_resources.products.model import ObservationRecord
from contimg_resources.registry.model import SetStatus
from contimg_resources.settings import Settings
from contimg_resources.steps.alerting import state_in_words
from contimg_resources.steps.looking_up import look_up
from contimg_resources.steps.verifying import store_problems, verify_products
from contimg_resources.steps.workshop import Workshop
from tests.e2e.at_work import pids_of
from tests.soak.settled import Delivery, Facts, Known, Message, Ran, Told

_ASSETS = ("incoming_ms", "calibrated_ms", "image_5min", "caltable_set")

_ASSET = """
query Asset($path: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) {
    ... on AssetNode {
      partitionKeys
      assetMaterializations(limit: 10000) {
        partition
        metadataEntries {
          label
          ... on IntMetadataEntry { intValue }
          ... on TextMetadataEntry { text }
        }
      }
    }
  }
}
"""

_REST = """
query Rest($sensor: SensorSelector!) {
  runsOrError(limit: 10000) {
    ... on Runs { results { jobName status tags { key value } } }
    ... on PythonError { message }
  }
  instance { concurrencyLimits { concurrencyKey activeSlotCount } }
  sensorOrError(sensorSelector: $sensor) {
    ... on Sensor { sensorState { typeSpecificData { ... on SensorData { lastCursor } } } }
  }
}
"""

_SENSOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "contimg",
    "sensorName": "observation_sensor",
}


def facts_of(
    settings: Settings,
    graphql: GraphQL,
    deliveries: Iterable[Delivery],
    posted: Iterable[bytes],
) -> Facts:
    """Return what there is to know of a platform that runs.

    Parameters
    ----------
    settings : Settings
        Its settings.
    graphql : GraphQL
        A client of its webserver.
    deliveries : iterable of Delivery
        What was delivered.
    posted : iterable of bytes
        What its webhook got.
    """
    workshop = Workshop.from_settings(settings)
    try:
        rest = graphql.query(_REST, {"sensor": _SENSOR})
        assets = {name: _asset(graphql, name) for name in _ASSETS}
        records = [r for r in workshop.products.list_observations() if not r.superseded_by]
        runs = tuple(_ran(result) for result in rest["runsOrError"]["results"])
        state = rest["sensorOrError"].get("sensorState") or {}
        cursor = json.loads((state.get("typeSpecificData") or {}).get("lastCursor") or "{}")
        return Facts(
            deliveries=tuple(deliveries),
            known={r.key: _known(workshop, r) for r in records},
            registry={r.key: _given(workshop, r) for r in records},
            sets={
                f"{s.name}.v{s.version}": f"{s.mid_mjd:.5f}"
                for s in workshop.registry.list_sets(status=SetStatus.ACTIVE)
            },
            told={name: told for name, (told, _) in assets.items()},
            partitions={name: keys for name, (_, keys) in assets.items()},
            aside={str(k): str(v) for k, v in cursor.get("reasons", {}).items()},
            runs=runs,
            slots={
                limit["concurrencyKey"]: limit["activeSlotCount"]
                for limit in rest["instance"]["concurrencyLimits"]
            },
            messages=_messages(workshop.products.events.list_alerts(), posted),
            problems=(
                *(str(p) for p in verify_products(workshop).problems),
                *(str(p) for p in workshop.registry.verify()),
                *store_problems(workshop),
            ),
            left=_processes(settings.state, runs),
        )
    finally:
        workshop.products.close()
        workshop.registry.close()


def _asset(graphql: GraphQL, name: str) -> tuple[dict[str, Told], frozenset[str]]:
    node = graphql.query(_ASSET, {"path": [name]})["assetNodeOrError"]
    told: dict[str, Told] = {}
    # Newest first.
    for event in node["assetMaterializations"]:
        values = {
            entry["label"]: entry.get("text", entry.get("intValue"))
            for entry in event["metadataEntries"]
        }
        caltables = values.get("caltable_set")
        named = f"{caltables}.v{values.get('caltable_version')}" if caltables else ""
        told.setdefault(event["partition"], Told(named))
    return told, frozenset(node["partitionKeys"])


def _ran(result: dict[str, Any]) -> Ran:
    tags = {tag["key"]: tag["value"] for tag in result["tags"]}
    request = tags.get("dagster/run_key", "").partition("#")[0]
    return Ran(
        result["jobName"],
        result["status"],
        tags.get("dagster/partition", ""),
        # The others are asked for again whenever there is something new for them to do.
        request if request.startswith(("solve:", "image:")) else "",
    )


def _known(workshop: Workshop, record: ObservationRecord) -> Known:
    return Known(
        state=str(record.state),
        reason=record.reason,
        name=record.path.name,
        artefacts=tuple(
            (a.kind, a.version, f"{a.set_name}.v{a.set_version}" if a.set_name else "")
            for a in workshop.products.artefacts(record.key)
        ),
    )


def _given(workshop: Workshop, record: ObservationRecord) -> str:
    try:
        layout = workshop.products.observation(record.key).layout
        found = look_up(workshop, record.mid_mjd, record.declination_deg, layout)
    except (NoValidCaltables, CaltableAltered):
        return ""
    return f"{found.set.name}.v{found.set.version}"


def _messages(alerts: Iterable[AlertRecord], posted: Iterable[bytes]) -> tuple[Message, ...]:
    received = Counter(str(json.loads(body)["key"]) for body in posted)
    return tuple(
        Message(
            alert.key,
            # One whose process died is tried again when its claim has lapsed.
            "perhaps sent"
            if alert.claimed_until_mjd is not None and alert.claimed_until_mjd > now_mjd()
            else state_in_words(alert),
            received[alert.key],
        )
        for alert in alerts
    )


def _processes(state: Path, runs: Iterable[Ran]) -> tuple[str, ...]:
    """Return the processes of CASA that go on although no run does."""
    if any(run.status in ("STARTING", "STARTED", "CANCELING") for run in runs):
        return ()
    return tuple(f"process {pid} of CASA" for pid in pids_of(state, "casa.child"))


def unrecorded(settings: Settings) -> tuple[Path, ...]:
    """Return what no store names: directories of products, and what was never finished."""
    workshop = Workshop.from_settings(settings)
    layout = settings.layout
    known = {
        artefact.path.parent if artefact.path.is_file() else artefact.path
        for record in workshop.products.list_observations()
        for artefact in workshop.products.artefacts(record.key)
    }
    known |= {t.path.parent for s in workshop.registry.list_sets() for t in s.tables}
    workshop.products.close()
    workshop.registry.close()
    there = [
        *layout.caltables.glob("*"),
        *layout.images.glob("*/*"),
        *layout.calibrated.glob("*/*"),
        *layout.scratch.glob("*"),
    ]
    # CASA's processes share it.
    known.add(layout.scratch / "home")
    return tuple(path for path in sorted(there) if path not in known)
