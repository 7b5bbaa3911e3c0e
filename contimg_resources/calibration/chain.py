"""The solver tasks with the tables solved so far applied on the fly. Runs in a CASA process.

Belongs here: how CASA's gaincal and bandpass are called, and looking at what they left.
Doesn't: in which order (see `.solving`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_resources.calibration.completing import complete_windows
from contimg_resources.calibration.inspection import inspect_caltable
from contimg_resources.calibration.refant import RefantChoice
from contimg_resources.errors import CalibrationFailed, RegistrationRefused
from contimg_resources.settings import CalibrationSettings

#: How tables are interpolated when they are applied on the fly: the nearest solution in time; a
#: bandpass never across channels without a solution, whose data are flagged instead.
NEAREST = "nearest"
NEAREST_FLAGGING = "nearest,nearestflag"


@dataclass(frozen=True)
class AppliedTable:
    """A table that is applied on the fly, and how it is interpolated."""

    path: Path
    interpolation: str = NEAREST


class Chain:
    """Solves tables one after the other, each on top of those before.

    Parameters
    ----------
    ms : Path
        Working copy with its model; the tables are made beside it.
    refant : RefantChoice
        Reference antenna.
    settings : CalibrationSettings
        Intervals and the SNR below which a solution is flagged.
    fields : tuple of int
        Field ids of the calibrator.
    windows : tuple of int
        Spectral window ids of the data.
    """

    def __init__(
        self,
        ms: Path,
        refant: RefantChoice,
        settings: CalibrationSettings,
        fields: tuple[int, ...],
        windows: tuple[int, ...],
    ) -> None:
        self.ms = ms
        self.refant = refant
        self.settings = settings
        self.fields = fields
        self.windows = windows
        self.applied: list[AppliedTable] = []

    def delays(self) -> Path:
        """Solve K: one delay for each antenna, receptor and spectral window."""
        table = self._scratch / "delay"
        self._gaincal(table, self.applied, gaintype="K", solint="inf", combine="scan")
        return self._apply(AppliedTable(table))

    def bandpass(self, *, through_short_phases: bool) -> Path:
        """Solve one bandpass, of unit mean amplitude in each spectral window.

        Parameters
        ----------
        through_short_phases : bool
            Solve short-interval phases first and apply them in this solve only; needed unless the
            gains are already applied.
        """
        table = self._scratch / "bandpass"
        applied = list(self.applied)
        if through_short_phases:
            phases = self._scratch / "short_phase"
            self._gaincal(phases, applied, gaintype="G", calmode="p", solint=self._short)
            applied.append(AppliedTable(phases))
        from casatasks import bandpass

        self._run(
            bandpass,
            table,
            applied,
            self.fields,
            bandtype="B",
            solint="inf",
            combine="scan",
            # With the gains applied the amplitude is already 1 on average; dividing it out once
            # more would take it from the product.
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
            fields=fields,
            gaintype="G",
            calmode="ap",
            solint="inf",
            combine=combine,
            spw=f"*:{channels}" if channels else "",
        )
        return self._apply(AppliedTable(table))

    def short_gains(self) -> Path:
        """Solve 2G: how the complex gain changes within the observation."""
        table = self._scratch / "short_gain"
        self._gaincal(table, self.applied, gaintype="G", calmode="ap", solint=self._short)
        return self._apply(AppliedTable(table))

    @property
    def _scratch(self) -> Path:
        return self.ms.parent

    @property
    def _short(self) -> str:
        return f"{self.settings.short_interval_s:g}s"

    def _apply(self, table: AppliedTable) -> Path:
        self.applied.append(table)
        return table.path

    def _gaincal(
        self,
        table: Path,
        applied: list[AppliedTable],
        *,
        fields: tuple[int, ...] | None = None,
        **parameters: Any,
    ) -> None:
        from casatasks import gaincal

        self._run(gaincal, table, applied, fields or self.fields, **parameters)

    def _run(
        self,
        task: Callable[..., Any],
        table: Path,
        applied: list[AppliedTable],
        fields: tuple[int, ...],
        **parameters: Any,
    ) -> None:
        what = table.name.replace("_", " ")
        try:
            task(
                vis=str(self.ms),
                caltable=str(table),
                field=",".join(str(f) for f in fields),
                # A name that stands in the ANTENNA table: CASA looks for names before ids.
                refant=self.refant.name,
                minsnr=self.settings.min_snr,
                gaintable=[str(t.path) for t in applied],
                interp=[t.interpolation for t in applied],
                **parameters,
            )
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise self._failure(what, reason) from error
        # The task's return value tells nothing: look at the table.
        if not table.is_dir():
            raise self._failure(what, "the solver left no table, as when no solution was found")
        try:
            info = inspect_caltable(table)
        except RegistrationRefused as error:
            raise self._failure(what, error.message) from error
        if info.flagged_fraction >= 1.0:
            raise self._failure(what, "no solution was found for any antenna")
        complete_windows(table, self.windows)
        # A delay table has no reference in its rows (ANTENNA2 is -1).
        if info.refant not in ("", self.refant.name):
            raise self._failure(
                what,
                f"antenna {self.refant.name} has too few solutions to be the reference, CASA took "
                f"{info.refant}; {info.flagged_fraction:.0%} of all solutions were below SNR "
                f"{self.settings.min_snr:g}",
            )

    def _failure(self, what: str, reason: str) -> CalibrationFailed:
        return CalibrationFailed(
            f"the {what}s can't be solved: {reason}", reasons=[f"{what}s: {reason}"]
        )
