"""Records of a solve: its request and its result.

Belongs here: frozen records that cross the process boundary.
Doesn't: solving, checking quality.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from contimg_resources.instrument.caltables import ArrayLayout, CaltableType, TableQuality
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.settings import CalibrationSettings, CatalogueSettings


class Pointing(StrEnum):
    """How the antennas pointed, which determines the model of the calibrator."""

    DRIFT = "drift"
    """Parked on the meridian, one field per integration: all fields are shifted to the calibrator's
    position and its model includes the primary beam of each integration."""
    TRACKING = "tracking"
    """The calibrator's own field tracks it: no phase shift, no primary beam."""


@dataclass(frozen=True)
class SolveRecipe:
    """The tables to solve and their data; the defaults are for DSA-110."""

    delays: bool = True  #: Solve K.
    bandpass: bool = True  #: Solve BA and BP.
    short_gains: bool = True  #: Solve 2G.
    #: Solve the gains before the bandpass, from plain averages over the band, and the bandpass on
    #: top of them, instead of the reverse. In both cases the product of all tables includes each
    #: effect once. The observatory's published results for NGC5921 use this order.
    gains_first: bool = False
    gain_channels: str = ""  #: Channels used for the gains, such as ``6~56``; empty: all.
    #: Run tfcrop and rflag before solving; clipping and autocorrelations are always flagged.
    flag_rfi: bool = True


@dataclass(frozen=True)
class SolveRequest:
    """A request to solve one observation."""

    ms: Path  #: Calibrator observation; only read.
    calibrator: Calibrator  #: The calibrator's position and flux density.
    prefix: Path  #: Prefix of the tables' names, before the suffix of their type.
    pointing: Pointing = Pointing.DRIFT  #: Drift scan or tracking.
    refant: str = "auto"  #: Name of the reference antenna, or ``auto``.
    #: Tracking only: names of the fields that hold the calibrator.
    calibrator_fields: tuple[str, ...] = ()
    #: Tracking only: names of fields with a secondary calibrator of unknown flux density; with any,
    #: a FLUX table is made.
    transfer_fields: tuple[str, ...] = ()
    #: Preferred reference antennas, intervals and quality limits.
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)
    recipe: SolveRecipe = SolveRecipe()  #: The tables to solve.
    #: Drift scan only: other sources near the calibrator; those in the beam enter the model.
    background: tuple[Calibrator, ...] = ()
    background_origin: str = ""  #: Catalogue or list of these sources; empty: there was none.
    #: Spectral index of sources for which none is known.
    catalogue: CatalogueSettings = field(default_factory=CatalogueSettings)
    plots: Path | None = None  #: Directory for PNG plots of the solutions; None: no plots.


@dataclass(frozen=True)
class SolvedCaltable:
    """A solved caltable in its final location."""

    type: CaltableType  #: Its type.
    path: Path  #: Its directory.
    quality: TableQuality  #: Its quality metrics.


@dataclass(frozen=True)
class FluxTransfer:
    """Flux density of a secondary calibrator, on the scale of the first."""

    field: str  #: Name of its field.
    flux_jy: float  #: Flux density, Jy, weighted mean over spectral windows.
    error_jy: float  #: Error of the flux density, Jy.
    ratio: float  #: Ratio to the first calibrator's flux density at the same frequency.
    ratio_error: float  #: Error of `ratio`.
    frequency_hz: float  #: Frequency, Hz.
    n_solutions: int  #: Number of antenna gains used.


@dataclass(frozen=True)
class SolveResult:
    """Result of a solve: tables in place, their quality, and the reasons of a failure."""

    calibrator: str  #: Name of the calibrator.
    refant: str  #: Name of the reference antenna.
    refant_reason: str  #: Reason for its choice.
    #: Tables in apply order, each solved with all earlier ones applied. FLUX replaces GA: the list
    #: holds both, of which only one is to be applied.
    tables: tuple[SolvedCaltable, ...]
    start_mjd: float  #: Start of the calibrator's data, MJD in days.
    end_mjd: float  #: End of the calibrator's data, MJD in days.
    mid_mjd: float  #: Middle of the calibrator's data, MJD in days.
    #: Declination strip of a drift scan, ICRS degrees; None when tracking.
    declination_deg: float | None
    layout: ArrayLayout  #: Antennas and spectral windows of the data.
    #: Flagged share of all cross-correlations of working antennas, after flagging.
    flagged_fraction: float
    working_antennas: int  #: Number of antennas with unflagged data.
    reasons: tuple[str, ...]  #: Why the tables must not be applied; empty when they are good.
    flux: tuple[FluxTransfer, ...]  #: Flux densities of the transfer fields.
    plots: tuple[Path, ...]  #: PNG plots of the solutions.
    notes: tuple[str, ...]  #: Remarks for the operator, such as a plot that can't be drawn.
    parameters: dict[str, Any]  #: Provenance that can be stored as JSON.
    versions: dict[str, str]  #: Provenance that can be stored as JSON.

    @property
    def failed(self) -> bool:
        """Return whether a quality limit was missed."""
        return bool(self.reasons)

    @property
    def quality(self) -> dict[str, Any]:
        """Return the metrics of all tables for the registry, as JSON values."""
        return {
            "flagged_fraction": self.flagged_fraction,
            "working_antennas": self.working_antennas,
            "tables": {t.type.value: vars(t.quality) for t in self.tables},
            "flux": [vars(f) for f in self.flux],
        }
