"""Starting a job on a running platform.

Belongs here: requesting a run from the webserver. Doesn't: backfills (see `backfills`), the jobs.
"""

from collections.abc import Sequence

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
) -> str:
    """Start a run of a job and return its id.

    `partitions` are the first and last of a range, which becomes one run; all assets of the job are
    materialized by default.

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
        "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
    }
    launched = graphql.query(_LAUNCH, {"params": params})["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        told = launched.get("message") or launched.get("errors") or launched["__typename"]
        raise PlatformError(f"job {job} was refused: {told}")
    return str(launched["run"]["runId"])
