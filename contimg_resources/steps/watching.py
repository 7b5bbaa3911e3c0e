"""One look at the MS directory: which observations are complete, and what they are.

Belongs here: the look that the sensor and ``contimg images watch`` take.
Doesn't: when to look again, and starting anything.
"""

import json
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from contimg_resources.errors import ContimgError, ObservationNotSettled
from contimg_resources.observations.scanning import Candidate, scan
from contimg_resources.observations.settling import Signature, content_signature, decide_settled
from contimg_resources.products.model import ArrivalOutcome
from contimg_resources.steps.arriving import Arrived, arrive
from contimg_resources.steps.workshop import Workshop

T = TypeVar("T")

#: So many MS are remembered at most; each look begins with the first names, so none is forgotten
#: for ever.
MAX_REMEMBERED = 500


#: So long a look spends on whether known MS were replaced, seconds; the next look goes on there.
RECHECK_S = 0.2


@dataclass(frozen=True)
class SetAside:
    """An MS that is complete but not used: it can't be read, or was delivered before.

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
    aside : dict of str to str
        Content of each MS that was set aside, by name: it isn't read again until it changes.
    checked : str
        Name of the known MS that was last looked at for having been replaced.
    """

    growing: dict[str, Signature] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    checked: str = ""

    def to_text(self) -> str:
        """Return it as JSON."""
        growing = {stem: list(asdict(s).values()) for stem, s in self.growing.items()}
        return json.dumps({"growing": growing, "aside": self.aside, "checked": self.checked})

    @classmethod
    def from_text(cls, text: str | None) -> "Memory":
        """Return what `to_text` wrote; nothing remembered for any other text."""
        try:
            record = json.loads(text or "{}")
            growing = {str(k): Signature(*v) for k, v in record.get("growing", {}).items()}
            aside = {str(k): str(v) for k, v in record.get("aside", {}).items()}
            return cls(growing, aside, str(record.get("checked", "")))
        except (ValueError, TypeError, AttributeError):
            return cls()


@dataclass(frozen=True)
class Look:
    """What one look found.

    Parameters
    ----------
    arrivals : tuple of Arrived
        Observations that were read and registered at this look.
    set_aside : tuple of SetAside
        MS that were set aside at this look.
    n_aside : int
        MS that an earlier look set aside and that haven't changed since.
    n_known : int
        MS that are registered observations.
    growing : dict of str to str
        Why an MS isn't complete yet, by name.
    n_left : int
        MS that this look had no time for.
    passed_over : dict of str to int
        Counts of whatever is no observation.
    memory : Memory
        For the next look.
    """

    arrivals: tuple[Arrived, ...]
    set_aside: tuple[SetAside, ...]
    n_aside: int
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
            "set aside": len(self.set_aside) + self.n_aside,
            "still growing": len(self.growing),
            "left for the next look": self.n_left,
            "known": self.n_known,
        }
        said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        over = ", ".join(f"{n} {what}" for what, n in self.passed_over.items())
        total = sum(counts.values())
        return f"{total} MS" + (f": {said}" if said else "") + (f" ({over} beside)" if over else "")


def look(
    workshop: Workshop,
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
    new = [c for c in found if c.location not in known]
    registered = [c for c in found if c.location in known]
    replaced, checked = _replaced(registered, known, memory.checked)
    arrivals: list[Arrived] = []
    aside: dict[str, SetAside] = {}
    growing: dict[str, str] = {}
    signatures: dict[str, Signature] = {}
    still_aside: dict[str, str] = {}
    left: list[str] = []
    for candidate in [*new, *replaced]:
        stem = candidate.stem
        if time.monotonic() > deadline_s or len(arrivals) + len(aside) >= max_arrivals:
            left.append(stem)
            continue
        try:
            signatures[stem] = content_signature(candidate.path)
            if memory.aside.get(stem) == signatures[stem].digest:
                still_aside[stem] = signatures[stem].digest
                continue
            decision = decide_settled(
                memory.growing.get(stem),
                signatures[stem],
                time.time(),
                candidate.done_marker,
                settings.arrival.settle_age_s,
            )
            if not decision.settled:
                growing[stem] = decision.reason
                continue
            arrived = arrive(workshop, candidate.path, run_id=run_id)
            if arrived.outcome is ArrivalOutcome.DUPLICATE:
                aside[stem] = _second_delivery(candidate, arrived)
            else:
                arrivals.append(arrived)
        except ObservationNotSettled as error:
            growing[stem] = error.message
        except ContimgError as error:
            aside[stem] = SetAside(candidate.path, error.message)
    return Look(
        arrivals=tuple(arrivals),
        set_aside=tuple(aside.values()),
        n_aside=len(still_aside),
        n_known=len(registered) - len(replaced),
        growing=growing,
        n_left=len(left),
        # Plain files are done-markers as a rule: nothing to tell.
        passed_over={k: n for k, n in found.passed_over.items() if k != "files"},
        memory=Memory(
            growing=_first(
                {s: memory.growing[s] for s in left if s in memory.growing}
                | {s: signatures[s] for s in growing if s in signatures}
            ),
            aside=_first(
                {s: memory.aside[s] for s in left if s in memory.aside}
                | still_aside
                | {s: signatures[s].digest for s in aside if s in signatures}
            ),
            checked=checked,
        ),
    )


def _replaced(
    registered: Sequence[Candidate], known: Mapping[str, str], checked: str
) -> tuple[list[Candidate], str]:
    """Return registered MS whose content isn't what was read, and where the next look goes on."""
    deadline_s = time.monotonic() + RECHECK_S
    start = bisect_right(registered, checked, key=lambda c: c.stem)
    found = []
    for candidate in (*registered[start:], *registered[:start]):
        if time.monotonic() > deadline_s:
            break
        checked = candidate.stem
        with suppress(ContimgError):
            digest = content_signature(candidate.path).digest
            if digest != known[candidate.location]:
                found.append(candidate)
    return found, checked


def _second_delivery(candidate: Candidate, arrived: Arrived) -> SetAside:
    return SetAside(
        candidate.path,
        f"{candidate.path} is a second delivery of observation {arrived.observation.key}; "
        "the first stays",
    )


def _first(entries: dict[str, T]) -> dict[str, T]:
    return dict(list(entries.items())[:MAX_REMEMBERED])
