"""Scan the MS directory once: find complete observations, and read and register them.

Belongs here: the scan of the sensor and of ``contimg images watch``.
Doesn't: scheduling scans, and starting anything.
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

#: Maximum number of MS that are remembered; each scan begins with the first names, so none is
#: forgotten for ever.
MAX_REMEMBERED = 500


#: Maximum number of reasons for rejecting MS that are remembered; the log has them all.
_REASONS_REMEMBERED = 20

#: Maximum number of names of each kind in one line.
SAID_EACH = 5

#: Errors that are no fault of the MS: the next scan tries it again.
_NOT_ITS_FAULT = (ObservationNotSettled, CasaUnavailable, MemoryError)
#: Errors that may be the fault of the MS, or of a user who killed CASA: MAX_READS attempts.
_CUT_OFF = (CasaCrashed, ReadingCutOff)
MAX_READS = 3

#: Time that a scan spends on checking known MS for replacement, seconds; the next scan continues.
RECHECK_S = 0.2


@dataclass(frozen=True)
class RejectedDelivery:
    """A rejected MS: it is complete, but can't be read or was delivered before."""

    path: Path  #: The MS.
    reason: str  #: One sentence.


@dataclass(frozen=True)
class ScanCursor:
    """The state that one scan passes to the next; small, for a sensor keeps it in its cursor."""

    #: Signature of each incomplete MS, by name.
    growing: dict[str, Signature] = field(default_factory=dict)
    #: Content digest of each rejected MS, by name: it isn't read again until it changes.
    aside: dict[str, str] = field(default_factory=dict)
    checked: str = ""  #: Name of the known MS that was last checked for replacement.
    #: Reasons for rejecting the first few MS, by name.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Content and path of the registered MS that a rejected MS conflicts with, by name: once that
    #: is gone or replaced, the rejected MS is read again.
    kept_out: dict[str, str] = field(default_factory=dict)
    #: How often CASA crashed while it read an MS, by name.
    cut_off: dict[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the state as JSON."""
        growing = {name: list(asdict(s).values()) for name, s in self.growing.items()}
        return json.dumps({**vars(self), "growing": growing})

    @classmethod
    def from_text(cls, text: str | None) -> "ScanCursor":
        """Rebuild the state from `to_text`; an empty state for any other text."""
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
class ScanResult:
    """The result of one scan."""

    arrivals: tuple[Arrived, ...]  #: Observations that this scan read and registered.
    rejected: tuple[RejectedDelivery, ...]  #: MS that this scan rejected.
    n_aside: int  #: Number of MS that an earlier scan rejected and that haven't changed since.
    n_known: int  #: Number of MS that are registered observations.
    growing: dict[str, str]  #: Why an MS isn't complete yet, by name.
    n_left: int  #: Number of MS that this scan had no time for.
    #: Ignored entries that are not observations, by name, with the reason.
    passed_over: tuple[PassedOver, ...]
    memory: ScanCursor  #: State for the next scan.

    @property
    def words(self) -> str:
        """The counts in one line: ``12 MS: 3 new, 1 still growing, 8 known``."""
        counts = {
            "new": len(self.arrivals),
            "rejected": len(self.rejected) + self.n_aside,
            "still growing": len(self.growing),
            "left for the next scan": self.n_left,
            "known": self.n_known,
        }
        said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        kinds = Counter(one.kind for one in self.passed_over)
        over = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        total = sum(counts.values())
        return (
            f"{total} MS" + (f": {said}" if said else "") + (f" (ignored: {over})" if over else "")
        )

    @property
    def not_taken(self) -> list[str]:
        """Rejected and ignored entries with reasons: the first few of each kind."""
        earlier = [f"{name} rejected: {why}" for name, why in self.memory.reasons.items()]
        return [*earlier[:SAID_EACH], *say_passed_over(self.passed_over, SAID_EACH)]


def scan_directory(
    workshop: Workshop,
    memory: ScanCursor,
    *,
    budget_s: float = 20.0,
    max_arrivals: int = 100,
    run_id: str | None = None,
) -> ScanResult:
    """Scan the MS directory once; read and register complete, new MS.

    Parameters
    ----------
    workshop : Workshop
        Settings, stores and CASA.
    memory : ScanCursor
        `ScanResult.memory` of the previous scan.
    budget_s : float
        No MS is begun after this many seconds; the rest is left for the next scan.
    max_arrivals : int
        Maximum number of MS to read.
    run_id : str, optional
        Run id, for the history.

    Raises
    ------
    ConfigurationError
        If there is no MS directory.
    """
    settings = workshop.settings
    deadline_s = time.monotonic() + budget_s
    found = scan(settings.incoming_dir, settings.arrival)
    # Not of all observations: there are ever more of them.
    kept_out_by = (holder.partition(" ")[2] for holder in memory.kept_out.values())
    known = workshop.products.known_signatures([*(c.location for c in found), *kept_out_by])
    new = [c for c in found if c.location not in known]
    registered = [c for c in found if c.location in known]
    replaced, checked = _replaced(registered, known, memory.checked)
    arrivals: list[Arrived] = []
    aside: dict[str, RejectedDelivery] = {}
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
            if may_pass(error) or 0 < cut_off.get(name, 0) < MAX_READS:
                growing[name] = in_words(error)
                continue
            # An error of one delivery must not affect the others.
            reason = _naming(candidate, in_words(error))
            if isinstance(error, ProductsError) and "paths" in error.details:
                kept_out[name] = _holder(workshop, str(error.details["key"]))
            if name not in signatures and memory.reasons.get(name) == reason:
                # An unreadable directory is checked at each scan, but reported once.
                still_aside[name] = ""
            else:
                aside[name] = RejectedDelivery(candidate.path, reason)
    workshop.products.rejections.update(
        settings.incoming_dir,
        {name: one.reason for name, one in aside.items()},
        standing=[*still_aside, *left],
    )
    return ScanResult(
        arrivals=tuple(arrivals),
        rejected=tuple(aside.values()),
        n_aside=len(still_aside),
        n_known=len(registered) - len(replaced),
        growing=growing,
        n_left=len(left),
        passed_over=found.passed_over,
        memory=ScanCursor(
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
    """Return registered MS whose content changed, and the name where the next scan continues."""
    deadline_s = time.monotonic() + RECHECK_S
    start = bisect_right(registered, checked, key=lambda c: c.name)
    found = []
    for candidate in (*registered[start:], *registered[:start]):
        if time.monotonic() > deadline_s:
            break
        checked = candidate.name
        # An MS that can't be checked now is checked again.
        with suppress(Exception):
            digest = content_signature(candidate.path).digest
            if digest != known[candidate.location]:
                found.append(candidate)
    return found, checked


def _holder(workshop: Workshop, key: str) -> str:
    """Return content and path of the MS of an observation, for `ScanCursor.kept_out`."""
    record = workshop.products.get(key)
    return f"{record.signature} {record.path}"


def _is_kept_out(holder: str | None, known: Mapping[str, str]) -> bool:
    """Return whether a rejected MS is still to be rejected: always, if it conflicts with none."""
    signature, _, path = (holder or "").partition(" ")
    return holder is None or (known.get(path) == signature and Path(path).exists())


def may_pass(error: Exception) -> bool:
    """Return whether an error is no fault of the MS."""
    of_surroundings = isinstance(error, ContimgError) and error.of_surroundings
    return of_surroundings or isinstance(error, _NOT_ITS_FAULT)


def _naming(candidate: Candidate, reason: str) -> str:
    return reason if candidate.name in reason else f"{candidate.path}: {reason}"


def _second_delivery(candidate: Candidate, arrived: Arrived) -> RejectedDelivery:
    return RejectedDelivery(
        candidate.path,
        f"{candidate.path} is a second delivery of observation {arrived.observation.key}; "
        "the first stays",
    )


def _first(entries: dict[str, T], limit: int = MAX_REMEMBERED) -> dict[str, T]:
    return dict(list(entries.items())[:limit])
