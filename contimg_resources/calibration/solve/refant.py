"""Choose the reference antenna, by name.

Belongs here: the pure decision. Doesn't: measuring the antennas (see
`contimg_resources.calibration.ms.health`).

Antenna names are numerals ("1".."117") and ids are row numbers from 0: CASA accepts both in the
same parameter and looks for names first. It also reads ``1c`` as a number with a unit, ``7~9`` as a
range and ``x*`` as a pattern, unless they are in quotes. So a name is always passed in quotes,
after it was found in the ANTENNA table, and the solved table is checked afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contimg_resources.calibration.ms.health import MAX_FLAGGED_FRACTION, AntennaHealth
from contimg_resources.core.errors import CalibrationFailed

AUTO = "auto"


@dataclass(frozen=True)
class RefantChoice:
    """The reference antenna and the reason for its choice."""

    id: int
    name: str
    reason: str

    @property
    def in_casa(self) -> str:
        """Return the name for CASA's tasks: in quotes it can only be a name."""
        return f'"{self.name}"'


def choose_refant(
    antennas: Sequence[AntennaHealth], requested: str, preferred: Sequence[str]
) -> RefantChoice:
    """Return the reference antenna: the requested, or for ``auto`` the best of all.

    `preferred` holds names for ``auto``, best first.

    Raises
    ------
    CalibrationFailed
        If the named antenna is absent or bad, or no antenna is good; the message names candidates.
    """
    by_name = {a.name: a for a in antennas}
    candidates = _candidates(antennas, preferred)
    listed = ", ".join(a.name for a in candidates[:5]) or "none"
    if requested != AUTO:
        antenna = by_name.get(requested)
        if antenna is None:
            raise CalibrationFailed(
                f"reference antenna {requested!r} is not in the observation; good ones: {listed}",
                reasons=[f"reference antenna {requested} is absent"],
            )
        if not _names_one(requested, antennas):
            raise CalibrationFailed(
                f"reference antenna {requested!r} can't be named to CASA: the name is blank, has a "
                f"quote in it, or several antennas have it; good ones: {listed}",
                reasons=[f"reference antenna {requested} is ambiguous"],
            )
        if not antenna.good:
            raise CalibrationFailed(
                f"reference antenna {requested!r} has {antenna.flagged_fraction:.0%} of its data "
                f"flagged; good ones: {listed}",
                reasons=[f"reference antenna {requested} is flagged"],
            )
        return RefantChoice(antenna.id, antenna.name, "as requested")
    if not candidates:
        raise CalibrationFailed(
            f"no antenna can be the reference: none of {len(antennas)} has less than "
            f"{MAX_FLAGGED_FRACTION:.0%} of its data flagged",
            reasons=["no good reference antenna"],
        )
    best = candidates[0]
    if best.name in preferred:
        skipped = list(preferred[: preferred.index(best.name)])
        reason = "first of the preferred antennas that is present and good"
        if skipped:
            reason += f" (not: {', '.join(skipped)})"
        return RefantChoice(best.id, best.name, reason)
    reason = (
        f"no preferred antenna is present and good; this one has {best.flagged_fraction:.0%} of "
        f"its data flagged and is {best.distance_m:.0f} m from the array's centre"
    )
    return RefantChoice(best.id, best.name, reason)


def _names_one(name: str, antennas: Sequence[AntennaHealth]) -> bool:
    """Return whether a name in quotes identifies one antenna to CASA."""
    return bool(name.strip()) and '"' not in name and [a.name for a in antennas].count(name) == 1


def _candidates(antennas: Sequence[AntennaHealth], preferred: Sequence[str]) -> list[AntennaHealth]:
    """Return good antennas, best first: preferred ones in order, then by data and distance."""
    rank = {name: i for i, name in enumerate(preferred)}
    good = [a for a in antennas if a.good and _names_one(a.name, antennas)]
    # Flagged fractions that differ by less than 2 % are equal; then the closer one is better.
    return sorted(
        good,
        key=lambda a: (rank.get(a.name, len(rank)), round(a.flagged_fraction / 0.02), a.distance_m),
    )
