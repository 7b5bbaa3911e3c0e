"""What a solve is asked for and what it gives.

Belongs here: frozen records that cross the process boundary.
Doesn't: solving, judging.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from contimg_resources.instrument.caltables import ArrayLayout, CaltableType, TableQuality
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.settings import CalibrationSettings


class Pointing(StrEnum):
    """How the antennas pointed; decides how the model of the calibrator is made."""

    DRIFT = "drift"
    """Parked on the meridian, one field an integration: all fields are brought to the calibrator's
    position and its model carries the primary beam of each integration."""
    TRACKING = "tracking"
    """The calibrator's own field follows it: no phase shift, no primary beam."""


@dataclass(frozen=True)
class SolveRecipe:
    """Which tables are solved and from which data; the defaults are right for DSA-110.

    Parameters
    ----------
    delays : bool
        Solve K.
    bandpass : bool
        Solve BA and BP.
    short_gains : bool
        Solve 2G.
    gains_first : bool
        Solve the gains before the bandpass, from plain averages over the band, and the bandpass
        on top of them, instead of the other way round. Either way the product of all tables
        holds each effect once. The observatory's published figures for NGC5921 are of this kind.
    gain_channels : str
        Channels that go into the gains, such as ``6~56``; empty: all.
    flag_rfi : bool
        Run tfcrop and rflag before solving; clipping and autocorrelations are always flagged.
    """

    delays: bool = True
    bandpass: bool = True
    short_gains: bool = True
    gains_first: bool = False
    gain_channels: str = ""
    flag_rfi: bool = True


@dataclass(frozen=True)
class SolveRequest:
    """One solve.

    Parameters
    ----------
    ms : Path
        Calibrator observation; only read.
    calibrator : Calibrator
        Its position and flux density.
    prefix : Path
        Tables are named like this plus the suffix of their type.
    pointing : Pointing
        Drift scan or tracking.
    refant : str
        Name of the reference antenna, or ``auto``.
    calibrator_fields : tuple of str
        Tracking only: names of the fields that hold the calibrator.
    transfer_fields : tuple of str
        Tracking only: names of fields with a second calibrator, whose flux density is to be
        derived; with any, a FLUX table is made.
    settings : CalibrationSettings
        Preferred reference antennas, intervals and gates.
    recipe : SolveRecipe
        What is solved.
    background : tuple of Calibrator
        Drift scan only: other sources near the calibrator; those in the beam go into the model.
    background_origin : str
        The catalogue or list that they are from; empty: there was none.
    default_spectral_index : float
        Of sources for which none is known.
    plots : Path or None
        Directory for PNG plots of the solutions; None: no plots.
    """

    ms: Path
    calibrator: Calibrator
    prefix: Path
    pointing: Pointing = Pointing.DRIFT
    refant: str = "auto"
    calibrator_fields: tuple[str, ...] = ()
    transfer_fields: tuple[str, ...] = ()
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)
    recipe: SolveRecipe = SolveRecipe()
    background: tuple[Calibrator, ...] = ()
    background_origin: str = ""
    default_spectral_index: float = -0.7
    plots: Path | None = None


@dataclass(frozen=True)
class SolvedCaltable:
    """A caltable in its place.

    Parameters
    ----------
    type : CaltableType
        Its type.
    path : Path
        Its directory.
    quality : TableQuality
        Its measures.
    """

    type: CaltableType
    path: Path
    quality: TableQuality


@dataclass(frozen=True)
class FluxTransfer:
    """Flux density of a second calibrator, on the scale of the first.

    Parameters
    ----------
    field : str
        Name of its field.
    flux_jy, error_jy : float
        Flux density and its error, Jy, weighted mean over spectral windows.
    ratio : float
        The same over the first calibrator's flux density at the same frequency.
    ratio_error : float
        Error of `ratio`.
    frequency_hz : float
        Where, Hz.
    n_solutions : int
        Antenna gains that it was derived from.
    """

    field: str
    flux_jy: float
    error_jy: float
    ratio: float
    ratio_error: float
    frequency_hz: float
    n_solutions: int


@dataclass(frozen=True)
class SolveResult:
    """What a solve gave: tables in place, their quality and the verdict.

    Parameters
    ----------
    calibrator : str
        Name of the calibrator.
    refant, refant_reason : str
        Name of the reference antenna and why it was taken.
    tables : tuple of SolvedCaltable
        In apply order, each solved with the others that stand before it already applied. FLUX
        stands in for GA: the list holds both, and whoever applies takes one.
    start_mjd, end_mjd, mid_mjd : float
        Begin, end and middle of the calibrator's data, MJD in days.
    declination_deg : float or None
        Declination strip of a drift scan, ICRS degrees; None when tracking.
    layout : ArrayLayout
        Antennas and spectral windows of the data.
    flagged_fraction : float
        Flagged visibilities over all cross-correlations of working antennas, after flagging.
    working_antennas : int
        Antennas with unflagged data.
    reasons : tuple of str
        Why the tables must not be applied; empty when they are good.
    flux : tuple of FluxTransfer
        Flux densities of the transfer fields.
    plots : tuple of Path
        PNG plots that were drawn.
    notes : tuple of str
        What an operator should know, such as a plot that can't be drawn.
    parameters, versions : dict
        JSON-able provenance.
    """

    calibrator: str
    refant: str
    refant_reason: str
    tables: tuple[SolvedCaltable, ...]
    start_mjd: float
    end_mjd: float
    mid_mjd: float
    declination_deg: float | None
    layout: ArrayLayout
    flagged_fraction: float
    working_antennas: int
    reasons: tuple[str, ...]
    flux: tuple[FluxTransfer, ...]
    plots: tuple[Path, ...]
    notes: tuple[str, ...]
    parameters: dict[str, Any]
    versions: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether a gate was missed."""
        return bool(self.reasons)

    @property
    def quality(self) -> dict[str, Any]:
        """The measures of all tables, JSON-able, for the registry."""
        return {
            "flagged_fraction": self.flagged_fraction,
            "working_antennas": self.working_antennas,
            "tables": {t.type.value: vars(t.quality) for t in self.tables},
            "flux": [vars(f) for f in self.flux],
        }
