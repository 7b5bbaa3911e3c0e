"""One look at the MS directory: which observations are complete, and what they are.

Belongs here: the look that the sensor and ``contimg images watch`` take.
Doesn't: when to look again, and starting anything.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from contimg_resources import steps
from contimg_resources.errors import ContimgError, ObservationNotSettled
from contimg_resources.observations.scanning import scan
from contimg_resources.observations.settling import Signature, content_signature, decide_settled

T = TypeVar("T")

#: So many MS are remembered at most; each look begins with the first names, so none is forgotten
#: for ever.
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
class Memory:
    """What one look leaves for the next; small, because it travels in a sensor's cursor.

    Parameters
    ----------
    growing : dict of str to Signature
        What each MS that wasn't complete looked like, by name.
    refused : dict of str to str
        Content of each MS that couldn't be read, by name: it isn't tried again until it changes.
    """

    growing: dict[str, Signature] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return it as JSON."""
        growing = {stem: list(asdict(s).values()) for stem, s in self.growing.items()}
        return json.dumps({"growing": growing, "refused": self.refused})

    @classmethod
    def from_text(cls, text: str | None) -> "Memory":
        """Return what `to_text` wrote; nothing remembered for any other text."""
        try:
            record = json.loads(text or "{}")
            growing = {str(k): Signature(*v) for k, v in record.get("growing", {}).items()}
            return cls(growing, {str(k): str(v) for k, v in record.get("refused", {}).items()})
        except (ValueError, TypeError, AttributeError):
            return cls()


@dataclass(frozen=True)
class Look:
    """What one look found.

    Parameters
    ----------
    arrivals : tuple of Arrival
        Observations that were read and registered at this look.
    unreadable : tuple of Unreadable
        MS that could not be read at this look.
    n_refused : int
        MS that could not be read at an earlier look and haven't changed since.
    n_known : int
        MS that an earlier look has dealt with.
    growing : dict of str to str
        Why an MS isn't complete yet, by name.
    n_left : int
        MS that this look had no time for.
    passed_over : dict of str to int
        Counts of whatever is no observation.
    memory : Memory
        For the next look.
    """

    arrivals: tuple[Any, ...]
    unreadable: tuple[Unreadable, ...]
    n_refused: int
    n_known: int
    growing: dict[str, str]
    n_left: int
    passed_over: dict[str, int]
    memory: Memory

    @property
    def words(self) -> str:
        """The counts in one line: ``12 MS: 3 new, 1 still growing, 8 known``."""
        counts = {
            "new": len(self.arrivals),
            "unreadable": len(self.unreadable) + self.n_refused,
            "still growing": len(self.growing),
            "left for the next look": self.n_left,
            "known": self.n_known,
        }
        said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        total = sum(counts.values())
        over = ", ".join(f"{n} {what}" for what, n in self.passed_over.items())
        return f"{total} MS" + (f": {said}" if said else "") + (f" ({over} beside)" if over else "")


def look(
    workshop: Any,
    memory: Memory,
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
    memory : Memory
        `Look.memory` of the look before.
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
    known = workshop.products.known_signatures()
    arrivals: list[Any] = []
    unreadable: list[Unreadable] = []
    growing: dict[str, str] = {}
    left: list[str] = []
    n_known = 0
    signatures: dict[str, Signature] = {}
    refused: dict[str, str] = {}
    for candidate in found:
        stem = candidate.stem
        if candidate.path.absolute() in known:
            n_known += 1
            continue
        if time.monotonic() > deadline_s or len(arrivals) + len(unreadable) >= max_arrivals:
            left.append(stem)
            continue
        try:
            signatures[stem] = content_signature(candidate.path)
            if memory.refused.get(stem) == signatures[stem].digest:
                refused[stem] = signatures[stem].digest
                continue
            decision = decide_settled(
                memory.growing.get(stem),
                signatures[stem],
                time.time(),
                candidate.done_marker,
                settings.arrival.settle_age_s,
            )
            if decision.settled:
                arrivals.append(steps.arrive(workshop, candidate.path, run_id=run_id))
            else:
                growing[stem] = decision.reason
        except ObservationNotSettled as error:
            growing[stem] = error.message
        except ContimgError as error:
            unreadable.append(Unreadable(candidate.path, error.message))
            refused[stem] = signatures[stem].digest if stem in signatures else ""
    return Look(
        arrivals=tuple(arrivals),
        unreadable=tuple(unreadable),
        n_refused=len(refused) - len(unreadable),
        n_known=n_known,
        growing=growing,
        n_left=len(left),
        # Plain files are done-markers as a rule: nothing to tell.
        passed_over={k: n for k, n in found.passed_over.items() if k != "files"},
        memory=Memory(
            growing=_first(
                {s: memory.growing[s] for s in left if s in memory.growing}
                | {s: signatures[s] for s in growing if s in signatures}
            ),
            refused=_first({s: memory.refused[s] for s in left if s in memory.refused} | refused),
        ),
    )


def _first(entries: dict[str, T]) -> dict[str, T]:
    return dict(list(entries.items())[:MAX_REMEMBERED])
