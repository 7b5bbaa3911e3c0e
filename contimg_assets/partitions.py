"""The partitions of the assets.

Belongs here: the partition definitions, and the one way to read a key that Dagster passes on.
Doesn't: making keys (see `contimg_resources.core.keys`), keys in progress (see `runs`).
"""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.failures import told_to_dagster
from contimg_resources.core.keys import parse_mosaic_key, parse_partition_key
from contimg_resources.settings import load_settings
from contimg_resources.steps.first_day import first_day

#: One key for each observation: mid-MJD with five decimals, such as ``61041.00347``.
observation_mjd = dg.DynamicPartitionsDefinition(name="observation_mjd")

#: One key for each calibrator observation, of the same form; a separate, much smaller list.
calibration_mjd = dg.DynamicPartitionsDefinition(name="calibration_mjd")

#: One key for each mosaic: mid-MJD of its window and its strip, such as ``61041.02083+54.6``.
mosaic_mjd = dg.DynamicPartitionsDefinition(name="mosaic_mjd")

#: One key for each UTC day, which is one integer MJD, from the day of the first observation. The
#: key of today exists from the day's beginning.
utc_day = dg.DailyPartitionsDefinition(
    start_date=first_day(load_settings()).isoformat(), timezone="UTC", end_offset=1
)

#: Maximum number of dynamic keys in one request to Dagster.
KEYS_PER_REQUEST = 1000


def observation_key(context: dg.AssetExecutionContext) -> str:
    """Return the run's observation key after parsing it, since a user may have typed it.

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
    """Return the run's mosaic key after parsing it, since a user may have typed it.

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
    """Yield keys in chunks that Dagster accepts."""
    for start in range(0, len(keys), KEYS_PER_REQUEST):
        yield keys[start : start + KEYS_PER_REQUEST]


def add_requests(
    instance: dg.DagsterInstance, definition: dg.DynamicPartitionsDefinition, keys: set[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Return the requests that add those keys that Dagster lacks, in chunks that it accepts."""
    there = set(instance.get_dynamic_partitions(definition.name or "")) if keys else set()
    return [definition.build_add_request(some) for some in in_chunks(sorted(keys - there))]
