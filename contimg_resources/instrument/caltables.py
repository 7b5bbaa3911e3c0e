"""Caltables: their types, their order of application, and the description of their contents.

Belongs here: the terms shared by solving, the registry and applying.
Doesn't: anything that opens a table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contimg_resources.core.errors import InvalidName

#: Number of antennas named in a message; another array differs by a hundred.
_NAMED = 5


class CaltableType(StrEnum):
    """The seven caltable types, in the order in which they are applied."""

    K = "K"
    """Delay."""
    BA = "BA"
    """Bandpass amplitude."""
    BP = "BP"
    """Bandpass phase."""
    GA = "GA"
    """Gain amplitude."""
    GP = "GP"
    """Gain phase."""
    G2 = "2G"
    """Short-interval gain, solved on top of GP."""
    FLUX = "FLUX"
    """Gain amplitude scaled to the flux calibrator; stands in for GA."""

    @property
    def apply_order(self) -> int:
        """Return the position in the apply list: 10 for K up to 70 for FLUX."""
        return 10 * (list(CaltableType).index(self) + 1)

    @property
    def suffix(self) -> str:
        """Return the ending of a table directory's name that contimg writes."""
        return _SUFFIXES[self][0]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Return all endings by which a table of this type is recognised."""
        return _SUFFIXES[self]

    @property
    def other_endings(self) -> tuple[str, ...]:
        """Return the endings that observers use by default for such a table."""
        return _OTHER_ENDINGS[self]

    @property
    def casa_subtypes(self) -> tuple[str, ...]:
        """Return the ``subType`` values that CASA writes into such a table."""
        return _CASA_SUBTYPES[self]


_SUFFIXES: dict[CaltableType, tuple[str, ...]] = {
    CaltableType.K: ("_kcal",),
    CaltableType.BA: ("_bacal",),
    CaltableType.BP: ("_bpcal",),
    CaltableType.GA: ("_gacal",),
    CaltableType.GP: ("_gpcal",),
    CaltableType.G2: ("_2gcal",),
    CaltableType.FLUX: ("_flux.cal", "_fluxcal"),
}

#: An observer's bandpass or gain is usually one complex table: it takes the place of the phase.
_OTHER_ENDINGS: dict[CaltableType, tuple[str, ...]] = {
    CaltableType.K: (".k", ".K", ".kcal", ".K0", ".delay"),
    CaltableType.BA: (".ba", ".bacal"),
    CaltableType.BP: (".b", ".B", ".bcal", "_bcal", ".bp", ".bpcal", ".B0", ".bandpass"),
    CaltableType.GA: (".ga", ".gacal"),
    CaltableType.GP: (".g", ".G", ".gcal", "_gcal", ".gp", ".gpcal", ".G0", ".G1"),
    CaltableType.G2: (".2g", ".2G", ".2gcal"),
    CaltableType.FLUX: (".flux", ".flux.cal", ".fluxcal", ".fluxscale", ".fluxscale1"),
}


def caltable_path(prefix: Path, table_type: CaltableType) -> Path:
    """Return the path of the caltable of one type under a prefix."""
    return prefix.with_name(prefix.name + table_type.suffix)


def check_prefix(prefix: Path) -> None:
    """Refuse a prefix that isn't the beginning of a file name.

    Raises
    ------
    InvalidName
        If it is a directory's name, or contains "..".
    """
    if not prefix.name or ".." in prefix.parts or "\0" in str(prefix):
        raise InvalidName(
            f"{str(prefix)!r} is no prefix of caltables: a directory and the beginning of a name, "
            "without '..', was expected"
        )


def type_of_ending(
    ending: str, endings: Mapping[CaltableType, Sequence[str]]
) -> CaltableType | None:
    """Return the caltable type of an ending such as ``_kcal`` or ``.b``, None when it has none.

    Case matters; `endings` are those in addition to contimg's own.
    """
    for kind in CaltableType:
        if ending in (*kind.suffixes, *endings.get(kind, ())):
            return kind
    return None


def known_endings(endings: Mapping[CaltableType, Sequence[str]]) -> Iterator[str]:
    """Yield all endings of caltables; `endings` are those in addition to contimg's own."""
    for kind in CaltableType:
        yield from (*kind.suffixes, *endings.get(kind, ()))


def split_ending(
    name: str, endings: Mapping[CaltableType, Sequence[str]]
) -> tuple[str, CaltableType] | None:
    """Split a table's name into its prefix and the type of its longest known ending.

    None when it has no known ending, or nothing before it. `endings` are those in addition to
    contimg's own.
    """
    for start in range(1, len(name)):
        if kind := type_of_ending(name[start:], endings):
            return name[:start], kind
    return None


_CASA_SUBTYPES: dict[CaltableType, tuple[str, ...]] = {
    CaltableType.K: ("K Jones",),
    CaltableType.BA: ("B Jones",),
    CaltableType.BP: ("B Jones",),
    CaltableType.GA: ("G Jones", "T Jones"),
    CaltableType.GP: ("G Jones", "T Jones"),
    CaltableType.G2: ("G Jones", "T Jones"),
    CaltableType.FLUX: ("G Jones", "T Jones"),
}


@dataclass(frozen=True)
class ArrayLayout:
    """The properties that must agree before a caltable may be applied to an observation.

    CASA matches antennas by id, so the names must be the same in the same order. Antennas without
    data are ignored and have no name here. CASA also matches spectral windows by id, but contimg
    maps them by frequency: their order is free.
    """

    antenna_names: tuple[str, ...]  #: Names by antenna id; empty for an antenna without data.
    #: First and last channel centre (Hz, ascending) and number of channels of each spectral window,
    #: sorted by frequency.
    spectral_windows_hz: tuple[tuple[float, float, int], ...]

    @property
    def n_antennas(self) -> int:
        """Number of antennas with data."""
        return sum(map(bool, self.antenna_names))

    def differences(self, other: "ArrayLayout", tolerance_hz: float = 1e3) -> tuple[str, ...]:
        """Describe how `other` differs; empty when caltables of one can be applied to the other."""
        found = []
        if not names_fit(self.antenna_names, other.antenna_names):
            missing = sorted({*other.antenna_names} - {*self.antenna_names, ""})
            extra = sorted({*self.antenna_names} - {*other.antenna_names, ""})
            found.append(
                f"antennas differ (missing: {_listed(missing)}; extra: {_listed(extra)}; "
                f"{self.n_antennas} against {other.n_antennas})"
            )
        mine, theirs = self.spectral_windows_hz, other.spectral_windows_hz
        same = len(mine) == len(theirs) and all(
            a[2] == b[2] and abs(a[0] - b[0]) <= tolerance_hz and abs(a[1] - b[1]) <= tolerance_hz
            for a, b in zip(mine, theirs, strict=False)
        )
        if not same:
            found.append(f"spectral windows differ ({_describe(mine)} against {_describe(theirs)})")
        return tuple(found)


def names_fit(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two lists of antenna names by id belong to one array.

    An empty name is an antenna without data, which matches any; the shorter list lacks those
    missing at its end. Two lists that share no name belong to different arrays.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a and b]
    return all(a == b for a, b in pairs) and (bool(pairs) or not any(one) or not any(other))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "") or "none"


def _describe(windows: tuple[tuple[float, float, int], ...]) -> str:
    if not windows:
        return "none"
    channels = sum(w[2] for w in windows)
    return (
        f"{len(windows)} windows, {channels} channels, "
        f"{windows[0][0] / 1e6:.3f}-{windows[-1][1] / 1e6:.3f} MHz"
    )


@dataclass(frozen=True)
class TableQuality:
    """Quality metrics of one caltable, over both receptors of every working antenna."""

    n_solutions: int  #: Number of solutions of working antennas.
    flagged_fraction: float  #: Share of these solutions that is flagged.
    #: The same for each receptor: a feed that is dead on every antenna is half of the solutions.
    flagged_by_receptor: tuple[float, ...]
    #: Median signal-to-noise ratio of the unflagged solutions, 0 when there are none; None for
    #: delays, whose solver gives none. For a bandpass it is the ratio per channel.
    median_snr: float | None
    #: Relative scatter of the amplitudes about their smooth trend, from the differences of
    #: neighbours in frequency (bandpass) or time (gains); None where a receptor has one solution or
    #: the table holds only phases.
    amplitude_scatter: float | None
    #: The same for phases, degrees; for delays the phase at the edge of a window that corresponds
    #: to their scatter between the spectral windows. None where the table holds only amplitudes.
    phase_scatter_deg: float | None
    holds_amplitude: bool  #: Whether it changes amplitudes.
    #: Minimum of the table's values: delays in ns, amplitudes, or phases in degrees.
    minimum: float
    maximum: float  #: Maximum of the table's values, likewise.
    n_dead_antennas: int  #: Working antennas without any solution in this table.
    #: `n_antennas_solved`, `n_antennas`: Numbers of antennas with a solution in this table, and of
    #: all antennas in it.
    n_antennas_solved: int
    n_antennas: int


@dataclass(frozen=True)
class CaltableField:
    """A field for which a caltable has solutions."""

    name: str  #: Its name.
    #: Declination of its phase centre, ICRS degrees; None where the table doesn't give it.
    dec_deg: float | None
    problem: str = ""  #: Why the declination is missing; empty otherwise.


@dataclass(frozen=True)
class CaltableInfo:
    """The contents of one caltable, as read from the table itself."""

    path: Path  #: The table's directory.
    casa_subtype: str  #: ``VisCal`` keyword of the table, such as ``B Jones``.
    #: Its metrics. An antenna works when any of the tables inspected together solves it.
    quality: TableQuality
    #: Share of the unflagged solutions that are exactly 1 (or 0 for delays).
    identity_fraction: float
    layout: ArrayLayout  #: Antennas of the table, and the spectral windows with solutions.
    start_mjd: float  #: Time of the first solution, MJD in days.
    end_mjd: float  #: Time of the last solution, MJD in days.
    fields: tuple[CaltableField, ...]  #: Fields for which there are solutions.
    #: Name of the MeasurementSet from which the table records it was solved; may be empty.
    source_ms: str
    refant: str  #: Name of the reference antenna of most solutions; empty when there is none.
