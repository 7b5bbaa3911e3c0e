"""Run the solver tasks on top of the tables solved so far. Runs in a CASA process.

Belongs here: the calls of CASA's gaincal and bandpass, and checking their products.
Doesn't: the sequence (see `.solving`).
"""

from pathlib import Path
from typing import Any

from contimg_resources.calibration.inspection import inspect_caltable
from contimg_resources.calibration.solve.editing import complete_windows, snap_solutions
from contimg_resources.calibration.solve.refant import RefantChoice
from contimg_resources.calibration.solve.solver_pool import SolverCall, SolverPool
from contimg_resources.calibration.solve.working import (
    NEAREST_FLAGGING,
    AppliedTable,
    Grain,
    WorkingData,
)
from contimg_resources.core.errors import CalibrationFailed, RegistrationRefused
from contimg_resources.settings import CalibrationSettings


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
