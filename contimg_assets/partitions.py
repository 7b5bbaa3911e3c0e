"""How the assets are cut into partitions.

Belongs here: the partition definitions, the one way to read a key that Dagster hands over, and
which keys are being worked on.
Doesn't: making keys (see `contimg_resources.times`).
"""

from collections.abc import Iterator

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from contimg_assets.failures import told_to_dagster
from contimg_resources.mosaics.windows import parse_mosaic_key
from contimg_resources.times import parse_partition_key

#: One key an observation: mid-MJD with five decimals, such as ``61041.00347``.
observation_mjd = dg.DynamicPartitionsDefinition(name="observation_mjd")

#: One key a calibrator observation, of the same form; its own, much smaller list.
calibration_mjd = dg.DynamicPartitionsDefinition(name="calibration_mjd")

#: One key a mosaic: the MJD of its window's middle and its strip, such as ``61041.02083+54.6``.
mosaic_mjd = dg.DynamicPartitionsDefinition(name="mosaic_mjd")

#: One key a UTC day, which is one integer MJD. Today's is there from its beginning.
utc_day = dg.DailyPartitionsDefinition(start_date="2025-01-01", timezone="UTC", end_offset=1)

#: Dagster accepts at most so many dynamic keys in one request.
KEYS_PER_REQUEST = 1000


def observation_key(context: dg.AssetExecutionContext) -> str:
    """Return the run's observation key after parsing it: a user may have typed anything.

    Raises
    ------
    dagster.Failure
        If it isn't an MJD with five decimals.
    """
    key = str(context.partition_key)
    with told_to_dagster():
        parse_partition_key(key)
    return key


def mosaic_key_of(context: dg.AssetExecutionContext) -> str:
    """Return the run's mosaic key after parsing it: a user may have typed anything.

    Raises
    ------
    dagster.Failure
        If it isn't the key of a mosaic.
    """
    key = str(context.partition_key)
    with told_to_dagster():
        parse_mosaic_key(key)
    return key


def in_chunks(keys: list[str]) -> Iterator[list[str]]:
    """Yield keys in pieces that Dagster accepts."""
    for start in range(0, len(keys), KEYS_PER_REQUEST):
        yield keys[start : start + KEYS_PER_REQUEST]


def keys_in_progress(instance: dg.DagsterInstance, job_name: str | None = None) -> frozenset[str]:
    """Return the partition keys of runs that are queued or in progress, of one job or of all."""
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, statuses=NOT_FINISHED_STATUSES)
    )
    return frozenset(r.dagster_run.tags.get(PARTITION_NAME_TAG, "") for r in records)


def add_requests(
    definition: dg.DynamicPartitionsDefinition, keys: list[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Return the requests that add `keys`, in chunks that Dagster accepts."""
    return [definition.build_add_request(some) for some in in_chunks(keys)]
