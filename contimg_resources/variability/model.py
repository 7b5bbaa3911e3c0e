"""Columns of light curves and of variability metrics.

Belongs here: columns of many sources at once. Doesn't: computing metrics, files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.database.values import DICT, LIST, Count, Number

#: Columns with one value per measurement.
OF_POINTS = (
    "mid_mjd",
    "flux_jy",
    "error_jy",
    "integrated_jy",
    "integrated_error_jy",
    "flags",
    "is_reference",
    "epoch",
)
#: Columns of `Variability` with the posterior of the intrinsic variability.
INTRINSIC = (
    "intrinsic_probability",
    "intrinsic_sigma",
    "intrinsic_sigma_error",
    "intrinsic_sigma_low",
    "intrinsic_sigma_high",
    "intrinsic_tau_days",
    "intrinsic_tau_error_days",
    "intrinsic_tau_low_days",
    "intrinsic_tau_high_days",
    "intrinsic_jitter",
)


def _unknown() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class LightCurves:
    """Light curves of many sources; those of one source are contiguous, in the order of time.

    A light curve has one measurement for each transit of the source: overlapping mosaics share half
    of their data, so only the best measurement of a transit is used.
    """

    source_id: NDArray[np.str_]  #: Names of the sources, sorted. Shape (n_sources,).
    #: `ra_deg`, `dec_deg`: ICRS, degrees; NaN of a light curve that was added without a position.
    #: Shape (n_sources,).
    ra_deg: Floats
    dec_deg: Floats
    #: Source i has the measurements ``offsets[i]:offsets[i + 1]``. Shape (n_sources + 1,).
    offsets: Ints
    mid_mjd: Floats  #: MJD in days. Shape (n_points,).
    #: `flux_jy`, `error_jy`: On the scale of the reference sources, Jy; all finite, errors above 0.
    #: Shape (n_points,).
    flux_jy: Floats
    error_jy: Floats
    flags: Ints  #: See `contimg_resources.photometry.model`. Shape (n_points,).
    #: Whether the source was used as a flux reference of the epoch. Shape (n_points,).
    is_reference: Bools
    epoch: NDArray[np.str_]  #: Partition key of the mosaic. Shape (n_points,).
    #: `integrated_jy`, `integrated_error_jy`: Integrated flux densities where the source is flagged
    #: as extended, Jy; else NaN. Shape (n_points,).
    integrated_jy: Floats = field(default_factory=_unknown)
    integrated_error_jy: Floats = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        """Fill columns that weren't given with NaN."""
        for name in ("integrated_jy", "integrated_error_jy"):
            if len(getattr(self, name)) != len(self.mid_mjd):
                nothing = np.broadcast_to(np.float32(np.nan), len(self.mid_mjd))
                object.__setattr__(self, name, nothing)

    def __len__(self) -> int:
        return len(self.source_id)

    def of(self, index: int) -> slice:
        """Return the slice with the measurements of source number `index`."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def sound(self) -> Bools:
        """Return which sources have only finite measurements with errors above zero."""
        good = np.isfinite(self.mid_mjd) & np.isfinite(self.flux_jy)
        good &= np.isfinite(self.error_jy) & (self.error_jy > 0)
        counts = np.diff(self.offsets)
        bad = np.bincount(np.repeat(np.arange(len(self)), counts)[~good], minlength=len(self))
        return np.asarray((bad == 0) & (counts > 0))

    def only(self, which: Bools) -> "LightCurves":
        """Return the light curves of some of the sources."""
        if which.all():
            return self
        counts = np.diff(self.offsets)
        points = np.repeat(which, counts)
        return LightCurves(
            source_id=self.source_id[which],
            ra_deg=self.ra_deg[which],
            dec_deg=self.dec_deg[which],
            offsets=np.concatenate([[0], np.cumsum(counts[which])]).astype(np.int64),
            **{name: getattr(self, name)[points] for name in OF_POINTS},
        )


@dataclass(frozen=True)
class VariabilityFacts:
    """Facts about the metrics of many sources, stored with them; NaN and None: unknown."""

    day_mjd: Count = None  #: The UTC day, integer MJD.
    #: `systematic_floor`, `systematic_floor_low`, `systematic_floor_high`: Systematic error floor
    #: as a fraction of the flux density, and its range.
    systematic_floor: Number = math.nan
    systematic_floor_low: Number = math.nan
    systematic_floor_high: Number = math.nan
    n_references: Count = None  #: Number of reference sources that it was measured with.
    #: `eta_sigma`, `v_sigma`: Distance of a variable from the population, standard deviations.
    eta_sigma: Number = math.nan
    v_sigma: Number = math.nan
    #: `threshold_snr`, `threshold_eta`, `threshold_v`: Thresholds of eta and V, by S/N; empty if
    #: there are too few sources.
    threshold_snr: Annotated[tuple[Number, ...], LIST] = ()
    threshold_eta: Annotated[tuple[Number, ...], LIST] = ()
    threshold_v: Annotated[tuple[Number, ...], LIST] = ()
    #: Threshold of the p-value that replaces them in a small list of added light curves.
    threshold_p: Number = math.nan
    #: The annual and daily patterns by cause: amplitude, error (fractions of the flux density),
    #: sigma (significance), is_removed. Empty: not measured.
    systematics: Annotated[dict[str, dict[str, Any]], DICT] = field(default_factory=dict)
    n_points: Count = None  #: Number of measurements.
    #: The list of added light curves; None: the platform measured the sources.
    added_list: str | None = None
    settings: Annotated[dict[str, Any], DICT] = field(default_factory=dict)  #: The settings.
    software: Annotated[dict[str, Any], DICT] = field(default_factory=dict)  #: Software versions.
    #: Files of days that couldn't be read, with the reasons.
    unreadable_days: Annotated[dict[str, str], DICT] = field(default_factory=dict)


@dataclass(frozen=True)
class Variability:
    """Variability metrics of many sources; NaN where a source has too few epochs for a metric.

    Arrays have the shape (n,).
    """

    source_id: NDArray[np.str_]  #: Names of the sources, sorted.
    ra_deg: Floats  #: ICRS, degrees.
    dec_deg: Floats  #: ICRS, degrees.
    n_epochs: Ints  #: Number of measurements.
    mean_flux_jy: Floats  #: Weighted mean, Jy.
    median_snr: Floats  #: Median S/N of the measurements, without the systematic error floor.
    eta: Floats  #: Reduced chi2 about the weighted mean.
    v: Floats  #: Standard deviation over mean.
    modulation_index: Floats  #: Debiased; negative when the scatter is below the errors.
    p_value: Floats  #: Probability of so large an eta for a steady source.
    pair_vs: Floats  #: Significance of the most significant pair of epochs.
    pair_m: Floats  #: Modulation of the most significant pair of epochs.
    pair_first_mjd: Floats  #: Time of the first epoch of that pair, MJD in days.
    pair_second_mjd: Floats  #: Time of the second epoch of that pair, MJD in days.
    #: Whether the source was a flux reference in most of its epochs.
    is_reference: Bools
    is_pair_variable: Bools  #: Whether the source is variable by that pair.
    #: Whether the source is flagged as variable in the plane of eta and V.
    is_variable: Bools
    #: Probability that the source varies intrinsically: as a damped random walk of ln S.
    intrinsic_probability: Floats = field(default_factory=_unknown)
    #: `intrinsic_sigma`, `intrinsic_sigma_error`: Mean of the posterior of the walk's standard
    #: deviation of ln S, and its standard deviation; a steady source has 0.
    intrinsic_sigma: Floats = field(default_factory=_unknown)
    intrinsic_sigma_error: Floats = field(default_factory=_unknown)
    #: `intrinsic_sigma_low`, `intrinsic_sigma_high`: Interval with 90 % of its probability.
    intrinsic_sigma_low: Floats = field(default_factory=_unknown)
    intrinsic_sigma_high: Floats = field(default_factory=_unknown)
    #: `intrinsic_tau_days`, `intrinsic_tau_error_days`: Time scale of the walk, days: exponential
    #: of the mean of ln tau, and its product with the standard deviation of ln tau. NaN for a
    #: source that is probably steady.
    intrinsic_tau_days: Floats = field(default_factory=_unknown)
    intrinsic_tau_error_days: Floats = field(default_factory=_unknown)
    #: `intrinsic_tau_low_days`, `intrinsic_tau_high_days`: Interval with 90 % of its probability,
    #: days. NaN on a side that isn't constrained: a time scale shorter than the median interval of
    #: the measurements, or longer than the time observed, has more than 5 % of the probability.
    intrinsic_tau_low_days: Floats = field(default_factory=_unknown)
    intrinsic_tau_high_days: Floats = field(default_factory=_unknown)
    #: Mean of the posterior of the jitter: scatter of ln S that the errors don't include.
    intrinsic_jitter: Floats = field(default_factory=_unknown)
    facts: VariabilityFacts = field(default_factory=VariabilityFacts)  #: Facts about all of them.

    def __post_init__(self) -> None:
        """Fill columns that weren't given with NaN."""
        for name in INTRINSIC:
            if len(getattr(self, name)) != len(self.source_id):
                object.__setattr__(self, name, np.full(len(self.source_id), np.nan))

    def __len__(self) -> int:
        return len(self.source_id)

    def only(self, which: Bools) -> "Variability":
        """Return the metrics of some of the sources."""
        columns = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "facts"}
        return replace(self, **columns)


class Structure(NamedTuple):
    """Structure functions of ln S: a row for each source and lag. Arrays have the shape (n,)."""

    source_id: NDArray[np.str_]  #: Names of the sources; the rows of one are contiguous.
    lag_days: Floats  #: Mean lag of the pairs, days.
    structure: Floats  #: See `contimg_resources.variability.intrinsic.structure_of`.
    structure_error: Floats  #: Its error.
    model: Floats  #: The structure function of the source's damped random walk and jitter.
    n_pairs: Ints  #: Number of pairs of measurements.

    @classmethod
    def empty(cls) -> "Structure":
        """Return no row."""
        nothing = np.empty(0)
        return cls(np.empty(0, np.str_), nothing, nothing, nothing, nothing, np.empty(0, np.int64))


def joined_curves(parts: Sequence[LightCurves]) -> LightCurves:
    """Combine light curves; for a source in several parts the first part is used."""
    if len(parts) == 1:
        return parts[0]
    together = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("source_id", "ra_deg", "dec_deg", *OF_POINTS)
    }
    counts = np.concatenate([np.diff(p.offsets) for p in parts])
    begins = np.concatenate([[0], np.cumsum(counts)])
    _, first = np.unique(together["source_id"], return_index=True)
    offsets = np.concatenate([[0], np.cumsum(counts[first])]).astype(np.int64)
    points = np.arange(offsets[-1]) + np.repeat(begins[first] - offsets[:-1], counts[first])
    return LightCurves(
        offsets=offsets,
        **{name: together[name][first] for name in ("source_id", "ra_deg", "dec_deg")},
        **{name: together[name][points] for name in OF_POINTS},
    )


def joined_metrics(parts: Sequence[Variability]) -> Variability:
    """Combine variability metrics, with the facts of the first part.

    For a source in several parts the first part is used.
    """
    if len(parts) == 1:
        return parts[0]
    names = [f.name for f in fields(Variability) if f.name != "facts"]
    together = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    _, first = np.unique(together["source_id"], return_index=True)
    chosen = {name: values[first] for name, values in together.items()}
    return Variability(**chosen, facts=parts[0].facts)
