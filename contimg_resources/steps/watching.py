"""One look at the MS directory: which observations are complete, and what they are.

Belongs here: the look that the sensor and ``contimg images watch`` take.
Doesn't: when to look again, and starting anything.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg_resources.errors import ContimgError, ObservationNotSettled
from contimg_resources.observations.scanning import Candidate, scan
from contimg_resources.observations.settling import Signature, content_signature, decide_settled
from contimg_resources import steps

#: So many growing MS are remembered at most; the memory travels in a sensor's cursor.
MAX_REMEMBERED = 500


@dataclass(frozen=True)
class Unreadable:
    """An MS that is complete but can't be used.

    Parameters
    ----------
    path : Path
        The MS.
    reason : str
        One sentence.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Look:
    """What one look found.

    Parameters
    ----------
    arrivals : tuple of Arrival
        Observations that were read and registered at this look.
    unreadable : tuple of Unreadable
        MS that could not be read at this look.
    n_known : int
        MS that an earlier look has dealt with.
    growing : dict of str to str
        Why an MS isn't complete yet, by name.
    n_left : int
        MS that this look had no time for.
    passed_over : dict of str to int
        Counts of whatever is no observation.
    memory : dict of str to Signature
        What the growing ones looked like, for the next look.
    """

    arrivals: tuple[Any, ...]
    unreadable: tuple[Unreadable, ...]
    n_known: int
    growing: dict[str, str]
    n_left: int
    passed_over: dict[str, int]
    memory: dict[str, Signature]

    @property
    def words(self) -> str:
        """The counts in one line: ``12 MS: 3 new, 1 still growing, 8 known``."""
        total = (
            len(self.arrivals) + len(self.unreadable) + self.n_known + len(self.growing)
        ) + self.n_left
        counts = {
            "new": len(self.arrivals),
            "unreadable": len(self.unreadable),
            "still growing": len(self.growing),
            "left for the next look": self.n_left,
            "known": self.n_known,
        }
        said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        over = ", ".join(f"{n} {what}" for what, n in self.passed_over.items())
        return f"{total} MS" + (f": {said}" if said else "") + (f" ({over} beside)" if over else "")


def look(
    workshop: Any,
    memory: Mapping[str, Signature],
    *,
    budget_s: float = 20.0,
    max_arrivals: int = 100,
    run_id: str | None = None,
) -> Look:
    """Look once at the MS directory; read and register what is complete and new.

    Parameters
    ----------
    workshop : Workshop
        Settings, stores and CASA.
    memory : mapping of str to Signature
        `Look.memory` of the look before; empty at the first.
    budget_s : float
        No MS is begun after this many seconds; the rest is left for the next look.
    max_arrivals : int
        So many are read at most.
    run_id : str, optional
        Who looked, for the history.

    Raises
    ------
    ConfigurationError
        If the MS directory isn't there.
    """
    settings = workshop.settings
    deadline_s = time.monotonic() + budget_s
    found = scan(settings.incoming_dir, settings.arrival.done_suffix)
    new, n_known = _unknown(workshop, found.candidates)
    arrivals: list[Any] = []
    unreadable: list[Unreadable] = []
    growing: dict[str, str] = {}
    next_memory: dict[str, Signature] = {}
    n_left = 0
    for candidate in new:
        if time.monotonic() > deadline_s or len(arrivals) + len(unreadable) >= max_arrivals:
            n_left += 1
            if candidate.stem in memory:
                next_memory[candidate.stem] = memory[candidate.stem]
            continue
        try:
            signature = content_signature(candidate.path)
            decision = decide_settled(
                memory.get(candidate.stem),
                signature,
                time.time(),
                candidate.done_marker,
                settings.arrival.settle_age_s,
            )
            if decision.settled:
                arrivals.append(steps.arrive(workshop, candidate.path, run_id=run_id))
                continue
            growing[candidate.stem] = decision.reason
            if len(next_memory) < MAX_REMEMBERED:
                next_memory[candidate.stem] = signature
        except ObservationNotSettled as error:
            growing[candidate.stem] = error.message
        except ContimgError as error:
            unreadable.append(Unreadable(candidate.path, error.message))
    return Look(
        arrivals=tuple(arrivals),
        unreadable=tuple(unreadable),
        n_known=n_known,
        growing=growing,
        n_left=n_left,
        passed_over=found.passed_over,
        memory=next_memory,
    )


def memory_to_text(memory: Mapping[str, Signature]) -> str:
    """Return a memory as JSON, small enough for a sensor's cursor."""
    return json.dumps({stem: list(asdict(s).values()) for stem, s in memory.items()})


def memory_from_text(text: str | None) -> dict[str, Signature]:
    """Return the memory that `memory_to_text` wrote; an empty one for anything else."""
    try:
        return {str(stem): Signature(*values) for stem, values in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _unknown(workshop: Any, candidates: Iterable[Candidate]) -> tuple[list[Candidate], int]:
    raise NotImplementedError
