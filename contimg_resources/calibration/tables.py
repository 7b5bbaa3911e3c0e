"""What a caltable is: its types, their order of application, and what one looks like inside.

Belongs here: the vocabulary that solving, the registry and applying share.
Doesn't: anything that opens a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

#: So many antennas are named in a message; another array differs by a hundred.
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
        """Position in the apply list: 10 for K up to 70 for FLUX."""
        return 10 * (list(CaltableType).index(self) + 1)

    @property
    def suffix(self) -> str:
        """What a table directory's name ends with when contimg writes it."""
        return _SUFFIXES[self][0]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Every ending under which a table of this type is recognised."""
        return _SUFFIXES[self]

    @property
    def casa_subtypes(self) -> tuple[str, ...]:
        """The ``subType`` values that CASA writes into such a table."""
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
    """What must be equal before a caltable may be applied to an observation.

    CASA matches antennas by id, so the names must be the same in the same order. It matches
    spectral windows by id too, but contimg maps them by frequency: their order is free.

    Parameters
    ----------
    antenna_names : tuple of str
        Names by antenna id.
    spectral_windows_hz : tuple of (float, float, int)
        First and last channel centre (Hz, ascending) and number of channels of each spectral
        window, sorted by frequency.
    """

    antenna_names: tuple[str, ...]
    spectral_windows_hz: tuple[tuple[float, float, int], ...]

    def differences(self, other: "ArrayLayout", tolerance_hz: float = 1e3) -> tuple[str, ...]:
        """Say in words how `other` differs; empty when a set of one fits the other."""
        found = []
        if self.antenna_names != other.antenna_names:
            missing = sorted(set(other.antenna_names) - set(self.antenna_names))
            extra = sorted(set(self.antenna_names) - set(other.antenna_names))
            found.append(
                f"antennas differ (missing: {_listed(missing)}; extra: {_listed(extra)}; "
                f"{len(self.antenna_names)} against {len(other.antenna_names)})"
            )
        mine, theirs = self.spectral_windows_hz, other.spectral_windows_hz
        same = len(mine) == len(theirs) and all(
            a[2] == b[2] and abs(a[0] - b[0]) <= tolerance_hz and abs(a[1] - b[1]) <= tolerance_hz
            for a, b in zip(mine, theirs, strict=False)
        )
        if not same:
            found.append(f"spectral windows differ ({_describe(mine)} against {_describe(theirs)})")
        return tuple(found)


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
class CaltableInfo:
    """What is inside one caltable, as read from the table itself.

    Parameters
    ----------
    path : Path
        The table's directory.
    casa_subtype : str
        ``VisCal`` keyword of the table, such as ``B Jones``.
    n_solutions : int
        Number of solutions (rows x channels x receptors).
    flagged_fraction : float
        Flagged solutions over all solutions of working antennas (those with any solution).
    identity_fraction : float
        Share of the unflagged solutions that are exactly 1 (or 0 for delays).
    layout : ArrayLayout
        Antennas and spectral windows of the table.
    start_mjd, end_mjd : float
        Times of the first and last solution, MJD in days.
    field_names : tuple of str
        Fields for which there are solutions.
    source_ms : str
        Name of the MeasurementSet that the table says it was solved from; may be empty.
    refant : str
        Name of the reference antenna of most solutions; empty when there is none.
    """

    path: Path
    casa_subtype: str
    n_solutions: int
    flagged_fraction: float
    identity_fraction: float
    layout: ArrayLayout
    start_mjd: float
    end_mjd: float
    field_names: tuple[str, ...]
    source_ms: str
    refant: str
