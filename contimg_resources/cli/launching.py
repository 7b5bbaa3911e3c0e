"""Starting jobs and backfills on a running platform.

Belongs here: requesting runs, and backfills (many partitions in one job, shown and cancelled as a
whole), from the webserver through GraphQL. Doesn't: the jobs, choosing partitions.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.core.errors import PlatformError

_REPOSITORIES = """
query Jobs {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection { nodes { name location { name } jobs { name } } }
    ... on PythonError { message }
  }
}
"""

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
    ... on InvalidSubsetError { message }
    ... on UnauthorizedError { message }
  }
}
"""


def launch_job(
    graphql: GraphQL,
    job: str,
    *,
    partition: str | None = None,
    partitions: tuple[str, str] | None = None,
    assets: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> str:
    """Start a run of a job and return its id.

    `partitions` are the first and last of a range, which becomes one run; all assets of the job are
    materialized by default; `config` is the run's.

    Raises
    ------
    PlatformError
        If the job doesn't exist, or Dagster refuses the run.
    """
    repositories = graphql.query(_REPOSITORIES)["repositoriesOrError"]
    if "nodes" not in repositories:
        raise PlatformError(f"no jobs: {repositories.get('message')}")
    found = [r for r in repositories["nodes"] if job in {j["name"] for j in r["jobs"]}]
    if not found:
        raise PlatformError(f"{graphql.address} has no job {job!r}")
    tags = {"dagster/partition": partition} if partition else {}
    if partitions:
        first, last = partitions
        tags = {
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        }
    selector = {
        "pipelineName": job,
        "repositoryName": found[0]["name"],
        "repositoryLocationName": found[0]["location"]["name"],
        **({"assetSelection": [{"path": [a]} for a in assets]} if assets else {}),
    }
    params = {
        "selector": selector,
        "mode": "default",
        "runConfigData": dict(config or {}),
        "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
    }
    launched = graphql.query(_LAUNCH, {"params": params})["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        told = launched.get("message") or launched.get("errors") or launched["__typename"]
        raise PlatformError(f"job {job} was refused: {told}")
    return str(launched["run"]["runId"])


_PARTITIONS = """
query Partitions($path: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) {
    __typename
    ... on AssetNode { partitionKeys repository { name location { name } } }
    ... on AssetNotFoundError { message }
  }
}
"""

_ADD_KEY = """
mutation AddKey($repository: RepositorySelector!, $name: String!, $key: String!) {
  addDynamicPartition(
    repositorySelector: $repository, partitionsDefName: $name, partitionKey: $key
  ) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""

#: Launches a backfill with the `parameters_of` it.
LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PartitionKeysNotFoundError { message }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""


_STATUS = """
query Status($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status }
    ... on PythonError { message }
  }
}
"""

_IN_PROGRESS = ("REQUESTED", "CANCELING", "FAILING")
_POLL_S = 3.0


@dataclass(frozen=True)
class Backfill:
    """Partitions to materialize again."""

    assets: tuple[str, ...]  #: Names of the assets.
    partitions: str  #: Name of their dynamic partitions.
    keys: tuple[str, ...]  #: Partition keys; keys that Dagster no longer has are added.
    #: `title`, `description`: For people; the title is also a tag of the runs, by which the web
    #: interface finds them: its pages don't show titles.
    title: str
    description: str


def launch_backfill(graphql: GraphQL, backfill: Backfill) -> str:
    """Launch a backfill and return its id.

    Raises
    ------
    PlatformError
        If Dagster refuses it: its assets don't exist, or the webserver is for onlookers only.
    """
    node = graphql.query(_PARTITIONS, {"path": [backfill.assets[-1]]})["assetNodeOrError"]
    if node["__typename"] != "AssetNode":
        raise PlatformError(f"{graphql.address}: {node.get('message')}")
    repository = {
        "repositoryName": node["repository"]["name"],
        "repositoryLocationName": node["repository"]["location"]["name"],
    }
    known = set(node["partitionKeys"])
    for key in backfill.keys:
        if key not in known:
            add_key(graphql, repository, backfill.partitions, key)
    return id_of_launched(graphql.query(LAUNCH, {"params": parameters_of(backfill)}))


def parameters_of(backfill: Backfill) -> dict[str, Any]:
    """Return a backfill as the parameters of `LAUNCH`."""
    from contimg_resources.steps.reprocessing import REPROCESS_TAG

    return {
        "assetSelection": [{"path": [asset]} for asset in backfill.assets],
        "partitionNames": list(backfill.keys),
        "title": backfill.title,
        "description": backfill.description,
        "tags": [{"key": REPROCESS_TAG, "value": backfill.title}],
    }


def id_of_launched(answer: Mapping[str, Any]) -> str:
    """Return the id of the backfill from the answer to `LAUNCH`.

    Raises
    ------
    PlatformError
        If Dagster refused it.
    """
    launched = answer["launchPartitionBackfill"]
    if launched["__typename"] != "LaunchBackfillSuccess":
        raise PlatformError(f"the backfill was refused: {_words(launched)}")
    return str(launched["backfillId"])


def wait_for_backfill(graphql: GraphQL, backfill_id: str) -> str:
    """Wait until a backfill is over, and return its status.

    Raises
    ------
    PlatformError
        If the platform doesn't know it, or ends.
    """
    while True:
        answer = graphql.query(_STATUS, {"id": backfill_id})["partitionBackfillOrError"]
        if answer["__typename"] != "PartitionBackfill":
            raise PlatformError(f"backfill {backfill_id}: {_words(answer)}")
        if answer["status"] not in _IN_PROGRESS:
            return str(answer["status"])
        time.sleep(_POLL_S)


def add_key(graphql: GraphQL, repository: dict[str, str], name: str, key: str) -> None:
    """Add a key to dynamic partitions, unless it is there.

    `repository` holds ``repositoryName`` and ``repositoryLocationName``.

    Raises
    ------
    PlatformError
        If Dagster refuses it.
    """
    variables = {"repository": repository, "name": name, "key": key}
    added = graphql.query(_ADD_KEY, variables)["addDynamicPartition"]
    # Somebody may have added it just now.
    wanted = ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")
    if added["__typename"] not in wanted:
        raise PlatformError(f"partition {key} can't be added: {_words(added)}")


def _words(answer: dict[str, Any]) -> str:
    return str(answer.get("message") or answer["__typename"])
