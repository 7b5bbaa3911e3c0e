"""Run the solver tasks on top of the tables solved so far. Runs in a CASA process.

Belongs here: choosing the reference antenna, the calls of CASA's gaincal and bandpass, and checking
their products.
Doesn't: the sequence (see `.solving`), measuring the antennas (see
`contimg_resources.calibration.ms.health`).

Antenna names are numerals ("1".."117") and ids are row numbers from 0: CASA accepts both in the
same parameter and looks for names first. It also reads ``1c`` as a number with a unit, ``7~9`` as a
range and ``x*`` as a pattern, unless they are in quotes. So a name is always passed in quotes,
after it was found in the ANTENNA table, and the solved table is checked afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_resources.calibration.inspection import inspect_caltable
from contimg_resources.calibration.ms.health import MAX_FLAGGED_FRACTION, AntennaHealth
from contimg_resources.calibration.solve.editing import complete_windows, snap_solutions
from contimg_resources.calibration.solve.solver_pool import SolverCall, SolverPool
from contimg_resources.calibration.solve.working import (
    NEAREST_FLAGGING,
    AppliedTable,
    Grain,
    WorkingData,
)
from contimg_resources.core.errors import CalibrationFailed, RegistrationRefused
from contimg_resources.settings import CalibrationSettings

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


class Chain:
    """Solves tables one after the other in the directory of the data, each on those before."""

    def __init__(
        self,
        data: WorkingData,
        solvers: SolverPool,
        refant: RefantChoice,
        settings: CalibrationSettings,
    ) -> None:
        self.data = data
        self.solvers = solvers
        self.refant = refant
        self.settings = settings
        self.applied: list[AppliedTable] = []

    def delays(self) -> Path:
        """Solve K: one delay for each antenna, receptor and spectral window."""
        table = self._scratch / "delay"
        self._gaincal(table, self.applied, Grain(None, channels=True), gaintype="K", combine="scan")
        return self._apply(AppliedTable(table))

    def bandpass(self, *, through_short_phases: bool) -> Path:
        """Solve one bandpass, of unit mean amplitude in each spectral window.

        Solving through short-interval phases, which are applied in this solve only, is needed
        unless the gains are already applied.
        """
        table = self._scratch / "bandpass"
        applied = list(self.applied)
        if through_short_phases:
            phases = self._scratch / "short_phase"
            self._gaincal(phases, applied, self._short, gaintype="G", calmode="p")
            applied.append(AppliedTable(phases))
        self._run(
            "bandpass",
            table,
            applied,
            Grain(None, channels=True),
            self.data.fields,
            bandtype="B",
            combine="scan",
            # With the gains applied the amplitude is already 1 on average; dividing by it again
            # would remove it from the product.
            solnorm=through_short_phases,
        )
        return self._apply(AppliedTable(table, NEAREST_FLAGGING))

    def gains(self, *, fields: tuple[int, ...], combine: str, channels: str = "") -> Path:
        """Solve one complex gain for each scan, or for all of them together.

        Amplitude and phase are solved at once: amplitudes alone would be biased by the phase
        noise of weak data.
        """
        table = self._scratch / "gain"
        self._gaincal(
            table,
            self.applied,
            Grain(None, channels=False),
            fields=fields,
            gaintype="G",
            calmode="ap",
            combine=combine,
            spw=f"*:{channels}" if channels else "",
        )
        return self._apply(AppliedTable(table))

    def short_gains(self) -> Path:
        """Solve 2G: the change of the complex gain within the observation."""
        table = self._scratch / "short_gain"
        self._gaincal(table, self.applied, self._short, gaintype="G", calmode="ap")
        return self._apply(AppliedTable(table))

    @property
    def _scratch(self) -> Path:
        return self.data.directory

    @property
    def _short(self) -> Grain:
        return Grain(self.settings.short_interval_s, channels=False)

    def _apply(self, table: AppliedTable) -> Path:
        self.applied.append(table)
        return table.path

    def _gaincal(
        self,
        table: Path,
        applied: list[AppliedTable],
        grain: Grain,
        *,
        fields: tuple[int, ...] | None = None,
        **parameters: Any,
    ) -> None:
        self._run("gaincal", table, applied, grain, fields or self.data.fields, **parameters)

    def _run(
        self,
        task: str,
        table: Path,
        applied: list[AppliedTable],
        grain: Grain,
        fields: tuple[int, ...],
        **parameters: Any,
    ) -> None:
        what = table.name.replace("_", " ")
        source = self.data.for_solver(tuple(applied), grain)
        everything = parameters | {
            "solint": source.interval,
            "field": ",".join(str(f) for f in fields),
            "refant": self.refant.in_casa,
            "minsnr": self.settings.min_snr,
            "gaintable": [str(t.path) for t in source.tables],
            "interp": [t.interpolation for t in source.tables],
        }
        try:
            self.solvers.solve(SolverCall(task, everything), source.parts, table)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise self._failure(what, reason) from error
        # The task's return value is no evidence: inspect the table.
        if not table.is_dir():
            raise self._failure(what, "the solver left no table, as when no solution was found")
        try:
            info = inspect_caltable(table)
        except RegistrationRefused as error:
            raise self._failure(what, error.message) from error
        if info.quality.flagged_fraction >= 1.0:
            raise self._failure(what, "no solution was found for any antenna")
        snap_solutions(table, source.times_s)
        complete_windows(table, self.data.health.windows)
        # A delay table has no reference in its rows (ANTENNA2 is -1).
        if info.refant not in ("", self.refant.name):
            raise self._failure(
                what,
                f"antenna {self.refant.name} has too few solutions to be the reference, CASA took "
                f"{info.refant}; {info.quality.flagged_fraction:.0%} of all solutions were below "
                f"SNR {self.settings.min_snr:g}",
            )

    def _failure(self, what: str, reason: str) -> CalibrationFailed:
        return CalibrationFailed(
            f"the {what}s can't be solved: {reason}", reasons=[f"{what}s: {reason}"]
        )
