"""Whether a platform has settled: every observation made once, nothing lost, doubled or left.

Belongs here: the facts, and judging them; a pure function, whatever the facts come from.
Doesn't: gathering them (`tests.soak.looking`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What must become of a delivery."""

    IMAGED = "imaged"
    """It is registered, calibrated and imaged."""
    REFUSED = "refused"
    """It is set aside with a reason, or its observation failed with it."""
    GONE = "gone"
    """Somebody took it away: it may be imaged, or it failed with a reason, or it isn't known."""


class Kind(StrEnum):
    """What is wrong."""

    LOST = "lost"
    DOUBLED = "doubled"
    BY_HAND = "needing a hand"


#: What a finding of a stale product says.
OF_ANOTHER_SET = "the registry gives"


@dataclass(frozen=True)
class Delivery:
    """An MS that was put into the incoming directory.

    Parameters
    ----------
    name : str
        Its name there.
    key : str
        Key of the observation that it holds; empty when nobody can read one.
    fate : Fate
        What must become of it.
    words : tuple of str
        One of these must be in the reason why it is refused.
    """

    name: str
    key: str
    fate: Fate
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """What the products store says of an observation.

    Parameters
    ----------
    state, reason, name : str
        Its state, why it waits or failed, and the name of its MS.
    artefacts : tuple of (str, int, str)
        Kind and version of each product, and the set that it was made with (``NAME.v1``).
    """

    state: str
    reason: str
    name: str
    artefacts: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True)
class Told:
    """What Dagster says of an asset's partition: its newest materialization.

    Parameters
    ----------
    caltables : str
        The set that it names (``NAME.v1``); empty when it names none.
    """

    caltables: str = ""


@dataclass(frozen=True)
class Ran:
    """A run of Dagster's.

    Parameters
    ----------
    job, status, partition : str
        As Dagster says them.
    request : str
        What a sensor asked for by it; empty when none did.
    """

    job: str
    status: str
    partition: str = ""
    request: str = ""


@dataclass(frozen=True)
class Message:
    """A message to people.

    Parameters
    ----------
    key, state : str
        What it is about, and how far it is.
    n_received : int
        How often the webhook got it.
    """

    key: str
    state: str
    n_received: int


@dataclass(frozen=True)
class Facts:
    """What is known of a platform at one moment.

    Parameters
    ----------
    deliveries : tuple of Delivery
        All that was delivered.
    known : dict of str to Known
        The products store, by key.
    registry : dict of str to str
        The set that the registry gives for each key now; empty when it gives none.
    sets : dict of str to str
        The partition key that each active set was solved from.
    told : dict of str to dict of str to Told
        Dagster's materializations, by asset and partition.
    partitions : dict of str to frozenset of str
        Dagster's dynamic partition keys, by asset.
    aside : dict of str to str
        Why the sensor set MS aside, by name.
    runs : tuple of Ran
        Dagster's runs.
    slots : dict of str to int
        Slots in use, by pool.
    messages : tuple of Message
        Messages to people.
    problems : tuple of str
        What `contimg verify` and `contimg registry verify` find.
    left : tuple of str
        Processes, files and directories that shouldn't be there.
    """

    deliveries: tuple[Delivery, ...] = ()
    known: dict[str, Known] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    told: dict[str, dict[str, Told]] = field(default_factory=dict)
    partitions: dict[str, frozenset[str]] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    runs: tuple[Ran, ...] = ()
    slots: dict[str, int] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    problems: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something that isn't as it should be.

    Parameters
    ----------
    kind : Kind
        What it counts as.
    thing, words : str
        What it is about, and what is wrong.
    """

    kind: Kind
    thing: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.thing}: {self.words}"


#: The assets of an observation, with those whose materialization names the set.
_OF_OBSERVATIONS = ("incoming_ms", "calibrated_ms", "image_5min")
_NAME_THE_SET = ("calibrated_ms", "image_5min")
#: Products that an imaged observation must have.
_PRODUCTS = ("calibrated_ms", "image", "image_pbcor")
_OVER = ("SUCCESS", "FAILURE", "CANCELED")
_SENT = ("sent", "perhaps sent")


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Return all that isn't as it should be in a platform at rest; nothing when it has settled."""
    return (
        *(f for d in facts.deliveries for f in _of_delivery(facts, d)),
        *(f for key in facts.known for f in _of_observation(facts, key)),
        *_strangers(facts),
        *_of_sets(facts),
        *_of_runs(facts),
        *_of_messages(facts),
        *(
            Finding(Kind.BY_HAND, f"pool {pool}", f"{n} slots are in use, and nothing runs")
            for pool, n in facts.slots.items()
            if n
        ),
        *(Finding(Kind.BY_HAND, "verify", problem) for problem in facts.problems),
        *(Finding(Kind.BY_HAND, "left behind", thing) for thing in facts.left),
    )


def figure(findings: tuple[Finding, ...], n_faults: int) -> str:
    """Return the figure to report: faults injected / lost / doubled / needing a hand."""
    things = {kind: {f.thing for f in findings if f.kind is kind} for kind in Kind}
    return " / ".join(str(n) for n in (n_faults, *(len(things[kind]) for kind in Kind)))


def _of_delivery(facts: Facts, delivery: Delivery) -> Iterator[Finding]:
    known = facts.known.get(delivery.key)
    if delivery.fate is Fate.IMAGED:
        if known is None:
            why = facts.aside.get(delivery.name, "nothing is known of it")
            yield Finding(Kind.LOST, delivery.name, why)
        elif known.state != "imaged":
            yield Finding(Kind.LOST, delivery.key, f"is {known.state}: {known.reason}")
        elif known.name != delivery.name:
            yield Finding(Kind.LOST, delivery.name, f"{known.name} is taken for it")
        return
    if delivery.fate is Fate.GONE:
        if known is not None and known.state not in ("imaged", "failed", "waiting"):
            yield Finding(Kind.BY_HAND, delivery.key, f"is {known.state} for ever, without its MS")
        elif known is not None and known.state != "imaged" and not known.reason:
            yield Finding(Kind.BY_HAND, delivery.key, f"is {known.state}, and nothing says why")
        return
    of_its_own = known is not None and known.name == delivery.name and known.state == "failed"
    reason = known.reason if known and of_its_own else facts.aside.get(delivery.name, "")
    if not reason:
        yield Finding(Kind.BY_HAND, delivery.name, "isn't refused, or nothing says why")
    elif delivery.words and not any(words in reason for words in delivery.words):
        yield Finding(Kind.BY_HAND, delivery.name, f"is refused for another reason: {reason}")


def _of_observation(facts: Facts, key: str) -> Iterator[Finding]:
    known = facts.known[key]
    if known.state == "interrupted":
        yield Finding(Kind.BY_HAND, key, "is interrupted, and isn't started again")
    products = Counter((kind, version) for kind, version, _ in known.artefacts)
    for kind, n in Counter(kind for kind, _ in products).items():
        # Each sub-band is a version.
        if n > 1 and not kind.startswith("sub_band_"):
            yield Finding(Kind.DOUBLED, key, f"{n} versions of {kind}")
    for product, n in products.items():
        if n > 1:
            yield Finding(Kind.DOUBLED, key, f"{product[0]} is recorded {n} times")
    if key not in facts.told.get("incoming_ms", {}):
        yield Finding(Kind.BY_HAND, key, "Dagster has no materialization of incoming_ms")
    if key not in facts.partitions.get("incoming_ms", frozenset()):
        yield Finding(Kind.BY_HAND, key, "Dagster doesn't have its partition key")
    if known.state == "imaged":
        yield from _of_image(facts, key, known)


def _of_image(facts: Facts, key: str, known: Known) -> Iterator[Finding]:
    for kind in _PRODUCTS:
        if kind not in {made for made, _, _ in known.artefacts}:
            yield Finding(Kind.LOST, key, f"is imaged, and the store has no {kind}")
    given = facts.registry.get(key, "")
    applied = {caltables for kind, _, caltables in known.artefacts if kind in _PRODUCTS}
    if applied - {given}:
        yield Finding(
            Kind.LOST, key, f"was made with {', '.join(sorted(applied))}, {OF_ANOTHER_SET} "
            f"{given or 'none'}",
        )  # fmt: skip
    for asset in _OF_OBSERVATIONS:
        told = facts.told.get(asset, {}).get(key)
        if told is None:
            if asset != "incoming_ms":
                yield Finding(Kind.BY_HAND, key, f"Dagster has no materialization of {asset}")
        elif asset in _NAME_THE_SET and told.caltables not in applied:
            yield Finding(
                Kind.BY_HAND, key, f"{asset} was made with {told.caltables or 'no set'} to "
                f"Dagster, with {', '.join(sorted(applied)) or 'none'} to the store",
            )  # fmt: skip


def _strangers(facts: Facts) -> Iterator[Finding]:
    """Find what Dagster or the store has and nobody delivered."""
    delivered = {d.key for d in facts.deliveries if d.key}
    for key in facts.known:
        if key not in delivered:
            yield Finding(Kind.DOUBLED, key, "is an observation that nobody delivered")
    for asset in _OF_OBSERVATIONS:
        for key in facts.told.get(asset, {}):
            if key not in facts.known:
                yield Finding(Kind.BY_HAND, key, f"{asset} is materialized, the store has none")


def _of_sets(facts: Facts) -> Iterator[Finding]:
    told = facts.told.get("caltable_set", {})
    for caltables, key in facts.sets.items():
        if key not in told:
            yield Finding(Kind.BY_HAND, caltables, "Dagster has no materialization of it")
    for key, one in told.items():
        if one.caltables and key in facts.sets.values() and one.caltables not in facts.sets:
            yield Finding(
                Kind.BY_HAND, key, f"caltable_set is {one.caltables} to Dagster, which isn't active"
            )
    for key, n in Counter(facts.sets.values()).items():
        if n > 1:
            yield Finding(Kind.DOUBLED, key, f"{n} sets that were solved from it are active")


def _of_runs(facts: Facts) -> Iterator[Finding]:
    for run in facts.runs:
        if run.status not in _OVER:
            yield Finding(
                Kind.BY_HAND, f"{run.job} {run.partition}".strip(), f"its run is {run.status}"
            )
    done = Counter(
        (r.request, r.partition) for r in facts.runs if r.request and r.status == "SUCCESS"
    )
    # What somebody asked to be made again and wasn't, since its set was spoiled just then, waits,
    # and is made again by a sensor.
    again = Counter(r.partition for r in facts.runs if not r.request and r.status == "FAILURE")
    for (request, partition), n in done.items():
        if n > 1 + again[partition]:
            yield Finding(Kind.DOUBLED, request, f"{n} runs did it")


def _of_messages(facts: Facts) -> Iterator[Finding]:
    for message in facts.messages:
        if message.n_received > 1:
            yield Finding(Kind.DOUBLED, message.key, f"people got it {message.n_received} times")
        elif message.state not in _SENT:
            yield Finding(Kind.BY_HAND, message.key, f"the message is {message.state}")
        elif message.state == "sent" and not message.n_received:
            yield Finding(Kind.LOST, message.key, "people never got it, and it counts as sent")
