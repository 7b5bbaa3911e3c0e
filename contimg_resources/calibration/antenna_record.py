"""The record of antennas over observations: which are bad, since when, and why.

Belongs here: naming antennas and giving them back, marks by persons. Doesn't: the evidence of one
observation (see `.antenna_health`), storing anything.

The record is derived from the observations of the days before each moment alone. So their order of
processing doesn't matter, an observation that is made again counts once, and older days that are
processed later have a record of their own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from contimg_resources.core.times import isot_from_mjd

#: An antenna is named when it is at fault in this many of the last examined observations ...
N_FAULTY, N_LAST = 2, 3
#: ... and given back when it is healthy in this many, one after the other.
N_HEALTHY = 2


class AntennaMark(StrEnum):
    """A person's judgement of an antenna."""

    BAD = "bad"
    """It is left out of images, whatever its data show."""
    GOOD = "good"
    """It is never left out for its evidence."""
    AUTOMATIC = "automatic"
    """The evidence decides again."""


@dataclass(frozen=True)
class MarkedAntenna:
    """A mark; of all that begin before an observation, the one that begins last counts."""

    antenna: str  #: Name of the antenna.
    mark: AntennaMark  #: The judgement.
    from_mjd: float  #: The first observations that it is for, MJD in days.
    note: str  #: The person's note.
    by: str  #: Name of the person.
    created_mjd: float = 0.0  #: When it was made, MJD in days; set by the store.

    def in_words(self) -> str:
        """Return the mark in words."""
        return f"marked {self.mark} by {self.by}: {self.note}"


@dataclass(frozen=True)
class ObservedAntennas:
    """What one observation shows about its antennas, in short."""

    key: str  #: Key of the observation.
    telescope: str  #: Name of its telescope.
    mid_mjd: float  #: Its middle, MJD in days.
    n_antennas: int  #: Number of antennas in its data.
    faults: dict[str, str] = field(default_factory=dict)  #: Antennas at fault, and their faults.
    #: Antennas about which it shows nothing.
    unexamined: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  #: Antennas without data in its image.


@dataclass(frozen=True)
class Spell:
    """A time in which an antenna is bad."""

    antenna: str  #: Name of the antenna.
    fault: str  #: Its latest fault in words.
    start_key: str  #: First observation in which it is at fault.
    start_mjd: float  #: Middle of that observation, MJD in days.
    named_key: str  #: Observation after which it is known to be bad.
    named_mjd: float  #: Middle of that observation, MJD in days.
    n_faulty: int  #: Number of observations in which it is at fault.
    end_mjd: float | None = None  #: Middle of the first healthy observation; None: it is bad still.

    def in_words(self) -> str:
        """Return the spell in words."""
        start = isot_from_mjd(self.start_mjd)[:16]
        return f"{self.fault} ({self.n_faulty} observations since {start} UTC)"


@dataclass(frozen=True)
class KnownAntennas:
    """What is known about antennas before an observation is imaged; names with reasons."""

    bad: dict[str, str] = field(default_factory=dict)  #: Left out, whatever their data show.
    #: Left out unless their data show that they are useful again.
    suspected: dict[str, str] = field(default_factory=dict)
    good: dict[str, str] = field(default_factory=dict)  #: Never left out for their evidence.
    by_evidence: bool = True  #: Whether others are left out for their evidence.


NOTHING_KNOWN = KnownAntennas()


@dataclass(frozen=True)
class AntennaReport:
    """The state of the antennas of a telescope at a moment."""

    telescope: str  #: Name of the telescope; empty: nothing was observed.
    observed: tuple[ObservedAntennas, ...]  #: The observations that it follows from, by time.
    spells: tuple[Spell, ...]  #: Times in which antennas are bad, in the order of naming.
    marks: dict[str, MarkedAntenna]  #: The marks that count, by antenna.

    @property
    def suspected(self) -> dict[str, str]:
        """Antennas that are bad by their evidence and that nobody marked, with the reasons."""
        return {
            one.antenna: one.in_words()
            for one in self.spells
            if one.end_mjd is None and one.antenna not in self.marks
        }

    @property
    def bad(self) -> dict[str, str]:
        """Antennas that are bad by their evidence or a mark, with the reasons."""
        return self.suspected | self.marked(AntennaMark.BAD)

    def marked(self, mark: AntennaMark) -> dict[str, str]:
        """Return the antennas with a mark, with the reasons."""
        return {name: one.in_words() for name, one in self.marks.items() if one.mark is mark}


def spells(observed: Sequence[ObservedAntennas]) -> tuple[Spell, ...]:
    """Return the times in which antennas are bad, in the order of naming.

    Parameters
    ----------
    observed : sequence of ObservedAntennas
        Observations in the order of time.
    """
    found: list[Spell] = []
    for antenna in sorted({name for one in observed for name in one.faults}):
        found += _spells_of(antenna, observed)
    return tuple(sorted(found, key=lambda one: (one.named_mjd, one.antenna)))


def _spells_of(antenna: str, observed: Sequence[ObservedAntennas]) -> list[Spell]:
    done: list[Spell] = []
    open_spell: Spell | None = None
    last: list[ObservedAntennas] = []
    for one in observed:
        if antenna in one.unexamined:
            continue
        last = [*last[1 - N_LAST :], one]
        faulty = [each for each in last if antenna in each.faults]
        if open_spell is None:
            if len(faulty) >= N_FAULTY:
                open_spell = Spell(
                    antenna=antenna,
                    fault=faulty[-1].faults[antenna],
                    start_key=faulty[0].key,
                    start_mjd=faulty[0].mid_mjd,
                    named_key=one.key,
                    named_mjd=one.mid_mjd,
                    n_faulty=len(faulty),
                )
        elif antenna in one.faults:
            open_spell = replace(
                open_spell, fault=one.faults[antenna], n_faulty=open_spell.n_faulty + 1
            )
        elif not any(antenna in each.faults for each in last[-N_HEALTHY:]):
            done.append(replace(open_spell, end_mjd=last[-N_HEALTHY].mid_mjd))
            # Faults before the recovery don't name it again.
            open_spell, last = None, last[-N_HEALTHY:]
    return done if open_spell is None else [*done, open_spell]


def marks_at(marks: Iterable[MarkedAntenna], mjd: float) -> dict[str, MarkedAntenna]:
    """Return the mark that counts at an MJD (days), by antenna; none of it is automatic.

    `marks` are in the order in which they were made.
    """
    begun = sorted((m for m in marks if m.from_mjd <= mjd), key=lambda m: m.from_mjd)
    last = {mark.antenna: mark for mark in begun}
    return {name: m for name, m in last.items() if m.mark is not AntennaMark.AUTOMATIC}
