"""How contimg's errors become Dagster's failures.

Belongs here: the one place where an exception is translated.
Doesn't: deciding what is transient (see `contimg_resources.errors`), nor any message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from contimg_resources.errors import ContimgError

#: For failures that are marked as transient only: a crashed CASA, a file still being written.
TRANSIENT_RETRIES = dg.RetryPolicy(max_retries=2, delay=10)


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """Turn an exception into a `dagster.Failure` that is retried only when it is transient.

    Without this, Dagster would apply an asset's retry policy to every exception: an observation
    without valid caltables would be tried three times and fail three times.

    Raises
    ------
    dagster.Failure
        With the error's own sentence as description and its details as metadata.
    """
    try:
        yield
    except dg.Failure:
        raise
    except ContimgError as error:
        raise dg.Failure(
            description=error.message,
            metadata={"error": type(error).__name__, **_metadata(error.details)},
            allow_retries=error.transient,
        ) from error
    except Exception as error:
        raise dg.Failure(
            description=f"{type(error).__name__}: {error}",
            metadata={"error": type(error).__name__},
            allow_retries=False,
        ) from error


def _metadata(details: dict[str, Any]) -> dict[str, dg.MetadataValue[Any]]:
    simple = {
        bool: dg.MetadataValue.bool,
        int: dg.MetadataValue.int,
        float: dg.MetadataValue.float,
        str: dg.MetadataValue.text,
    }
    return {
        name: simple[type(value)](value) if type(value) in simple else dg.MetadataValue.json(value)
        for name, value in details.items()
        if value is not None
    }
