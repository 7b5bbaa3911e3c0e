"""Which observations can be started now, and which must wait for a caltable set.

Belongs here: the answer, derived from the products store and the registry at each asking.
Doesn't: starting them, or knowing what was started (Dagster does).
"""

from dataclasses import dataclass
from typing import Any

from contimg_resources.times import mjd_day, parse_partition_key


@dataclass(frozen=True)
class Open:
    """An observation that has arrived and isn't done.

    Parameters
    ----------
    key : str
        Its partition key.
    signature : str
        Signature of its content; another delivery of the same name has another.
    is_calibrator : bool
        Whether a caltable set can be solved from it.
    caltables : str or None
        The set that the registry gives for it now, with its version; None when there is none.
    waits : bool
        Whether it was put aside until a set is valid.
    """

    key: str
    signature: str
    is_calibrator: bool
    caltables: str | None
    waits: bool

    @property
    def day(self) -> int:
        """Integer MJD of its UTC day."""
        return mjd_day(parse_partition_key(self.key))


def open_observations(workshop: Any) -> tuple[Open, ...]:
    """Return the observations that arrived or wait, oldest first, with the set each would get."""
    raise NotImplementedError


def record_failure(workshop: Any, key: str, *, step: str, reason: str, run_id: str) -> None:
    """Write a failed step into an observation's history, whatever failed it."""
    raise NotImplementedError
