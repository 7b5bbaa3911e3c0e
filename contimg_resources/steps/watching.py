"""One look at the MS directory: which observations are complete, and what they are.

Belongs here: the look that the sensor and ``contimg images watch`` take.
Doesn't: when to look again, and starting anything.
"""

import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from contimg_resources.core.errors import (
    CasaCrashed,
    CasaUnavailable,
    ContimgError,
    ObservationNotSettled,
    ProductsError,
    ReadingCutOff,
    in_words,
)
from contimg_resources.observations.scanning import Candidate, PassedOver, say_passed_over, scan
from contimg_resources.observations.settling import Signature, content_signature, decide_settled
from contimg_resources.products.model import ArrivalOutcome
from contimg_resources.steps.arriving import Arrived, arrive
from contimg_resources.steps.workshop import Workshop

T = TypeVar("T")

#: So many MS are remembered at most; each look begins with the first names, so none is forgotten
#: for ever.
MAX_REMEMBERED = 500


#: So many reasons for setting MS aside are remembered; the log has them all.
_REASONS_REMEMBERED = 20

#: So many of each kind are named in one line.
_SAID_EACH = 5

#: What says nothing of an MS: it is tried again at the next look.
_NOT_ITS_FAULT = (ObservationNotSettled, CasaUnavailable, MemoryError)
#: What may be the fault of an MS, or of whoever killed CASA: it is read so often at most.
_CUT_OFF = (CasaCrashed, ReadingCutOff)
MAX_READS = 3

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
    reasons : dict of str to str
        Why MS were set aside, of the first few, by name.
    kept_out : dict of str to str
        Path and content of the registered MS that keeps one out which was set aside, by name: once
        that is gone or replaced, it is read again.
    cut_off : dict of str to int
        How often CASA crashed while it read an MS, by name.
    """

    growing: dict[str, Signature] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    checked: str = ""
    reasons: dict[str, str] = field(default_factory=dict)
    kept_out: dict[str, str] = field(default_factory=dict)
    cut_off: dict[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return it as JSON."""
        growing = {name: list(asdict(s).values()) for name, s in self.growing.items()}
        return json.dumps({**vars(self), "growing": growing})

    @classmethod
    def from_text(cls, text: str | None) -> "Memory":
        """Return what `to_text` wrote; nothing remembered for any other text."""
        try:
            record = json.loads(text or "{}")
            growing = {
                str(k): Signature(int(newest), int(total), int(n), str(digest))
                for k, (newest, total, n, digest) in record.get("growing", {}).items()
            }
            aside = {str(k): str(v) for k, v in record.get("aside", {}).items()}
            reasons = {str(k): str(v) for k, v in record.get("reasons", {}).items()}
            kept_out = {str(k): str(v) for k, v in record.get("kept_out", {}).items()}
            cut_off = {str(k): int(v) for k, v in record.get("cut_off", {}).items()}
            checked = str(record.get("checked", ""))
            return cls(growing, aside, checked, reasons, kept_out, cut_off)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
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
    passed_over : tuple of PassedOver
        Whatever is no observation, by name, and why.
    memory : Memory
        For the next look.
    """

    arrivals: tuple[Arrived, ...]
    set_aside: tuple[SetAside, ...]
    n_aside: int
    n_known: int
    growing: dict[str, str]
    n_left: int
    passed_over: tuple[PassedOver, ...]
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
        kinds = Counter(one.kind for one in self.passed_over)
        over = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        total = sum(counts.values())
        return f"{total} MS" + (f": {said}" if said else "") + (f" ({over} beside)" if over else "")

    @property
    def not_taken(self) -> list[str]:
        """What isn't taken, by name, and why: the first of each kind, and of what is set aside."""
        earlier = [f"{name} set aside: {why}" for name, why in self.memory.reasons.items()]
        return [*earlier[:_SAID_EACH], *say_passed_over(self.passed_over, _SAID_EACH)]


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
    kept_out: dict[str, str] = {}
    cut_off: dict[str, int] = {}
    left: list[str] = []
    for candidate in [*new, *replaced]:
        name = candidate.name
        if time.monotonic() > deadline_s or len(arrivals) + len(aside) >= max_arrivals:
            left.append(name)
            continue
        try:
            signatures[name] = content_signature(candidate.path)
            if memory.aside.get(name) == signatures[name].digest and _is_kept_out(
                memory.kept_out.get(name), known
            ):
                still_aside[name] = signatures[name].digest
                continue
            decision = decide_settled(
                memory.growing.get(name),
                signatures[name],
                time.time(),
                candidate.done_marker,
                settings.arrival.settle_age_s,
            )
            if not decision.settled:
                growing[name] = decision.reason
                continue
            arrived = arrive(workshop, candidate.path, run_id=run_id)
            if arrived.outcome is ArrivalOutcome.DUPLICATE:
                aside[name] = _second_delivery(candidate, arrived)
                kept_out[name] = _holder(workshop, arrived.observation.key)
            else:
                arrivals.append(arrived)
        except Exception as error:
            if isinstance(error, _CUT_OFF):
                cut_off[name] = memory.cut_off.get(name, 0) + 1
            if _may_pass(error) or 0 < cut_off.get(name, 0) < MAX_READS:
                growing[name] = in_words(error)
                continue
            # Whatever a delivery brings about is a matter of this delivery alone.
            reason = _naming(candidate, in_words(error))
            if isinstance(error, ProductsError) and "paths" in error.details:
                kept_out[name] = _holder(workshop, str(error.details["key"]))
            if name not in signatures and memory.reasons.get(name) == reason:
                # One that can't be walked is looked at anew each time, and told once.
                still_aside[name] = ""
            else:
                aside[name] = SetAside(candidate.path, reason)
    return Look(
        arrivals=tuple(arrivals),
        set_aside=tuple(aside.values()),
        n_aside=len(still_aside),
        n_known=len(registered) - len(replaced),
        growing=growing,
        n_left=len(left),
        passed_over=found.passed_over,
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
            reasons=_first(
                {s: memory.reasons[s] for s in (*left, *still_aside) if s in memory.reasons}
                | {name: one.reason for name, one in aside.items()},
                _REASONS_REMEMBERED,
            ),
            kept_out=_first(
                {s: memory.kept_out[s] for s in (*left, *still_aside) if s in memory.kept_out}
                | kept_out
            ),
            cut_off=_first(
                {s: memory.cut_off[s] for s in (*left, *growing) if s in memory.cut_off} | cut_off
            ),
        ),
    )


def _replaced(
    registered: Sequence[Candidate], known: Mapping[str, str], checked: str
) -> tuple[list[Candidate], str]:
    """Return registered MS whose content isn't what was read, and where the next look goes on."""
    deadline_s = time.monotonic() + RECHECK_S
    start = bisect_right(registered, checked, key=lambda c: c.name)
    found = []
    for candidate in (*registered[start:], *registered[:start]):
        if time.monotonic() > deadline_s:
            break
        checked = candidate.name
        # One that can't be looked at now is looked at again.
        with suppress(Exception):
            digest = content_signature(candidate.path).digest
            if digest != known[candidate.location]:
                found.append(candidate)
    return found, checked


def _holder(workshop: Workshop, key: str) -> str:
    """Return content and path of the MS that is an observation, for `Memory.kept_out`."""
    record = workshop.products.get(key)
    return f"{record.signature} {record.path}"


def _is_kept_out(holder: str | None, known: Mapping[str, str]) -> bool:
    """Tell whether an MS that was set aside still has to be: always, if for itself alone."""
    signature, _, path = (holder or "").partition(" ")
    return holder is None or (known.get(path) == signature and Path(path).exists())


def _may_pass(error: Exception) -> bool:
    """Tell whether an error says nothing of the MS."""
    of_surroundings = isinstance(error, ContimgError) and error.of_surroundings
    return of_surroundings or isinstance(error, _NOT_ITS_FAULT)


def _naming(candidate: Candidate, reason: str) -> str:
    return reason if candidate.name in reason else f"{candidate.path}: {reason}"


def _second_delivery(candidate: Candidate, arrived: Arrived) -> SetAside:
    return SetAside(
        candidate.path,
        f"{candidate.path} is a second delivery of observation {arrived.observation.key}; "
        "the first stays",
    )


def _first(entries: dict[str, T], limit: int = MAX_REMEMBERED) -> dict[str, T]:
    return dict(list(entries.items())[:limit])
