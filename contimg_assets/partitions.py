"""How the assets are cut into partitions.

Belongs here: the partition definitions, and the one way to read a key that Dagster hands over.
Doesn't: making keys (see `contimg_resources.core.times`), which are being worked on (see `runs`).
"""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.failures import told_to_dagster
from contimg_resources.core.times import parse_partition_key
from contimg_resources.mosaics.windows import parse_mosaic_key

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


def add_requests(
    definition: dg.DynamicPartitionsDefinition, keys: list[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Return the requests that add `keys`, in chunks that Dagster accepts."""
    return [definition.build_add_request(some) for some in in_chunks(keys)]
