"""Columns of light curves and of variability metrics.

Belongs here: columns of many sources at once. Doesn't: computing metrics, files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.database.values import DICT, LIST, Count, Number

Floats = NDArray[np.float64]

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


def _unknown() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class LightCurves:
    """Light curves of many sources; those of one source are contiguous, in the order of time.

    A light curve has one measurement for each transit of the source: overlapping mosaics share half
    of their data, so only the best measurement of a transit is used.

    Parameters
    ----------
    source_id : ndarray of str, shape (n_sources,)
        Names of the sources, sorted.
    ra_deg, dec_deg : ndarray, shape (n_sources,)
        ICRS, degrees; NaN of a light curve that was added without a position.
    offsets : ndarray of int, shape (n_sources + 1,)
        Source i has the measurements ``offsets[i]:offsets[i + 1]``.
    mid_mjd : ndarray, shape (n_points,)
        MJD in days.
    flux_jy, error_jy : ndarray, shape (n_points,)
        On the scale of the reference sources, Jy; all finite, errors above 0.
    flags : ndarray of int, shape (n_points,)
        See `contimg_resources.photometry.flags`.
    is_reference : ndarray of bool, shape (n_points,)
        Whether the source was used as a flux reference of the epoch.
    epoch : ndarray of str, shape (n_points,)
        Partition key of the mosaic.
    integrated_jy, integrated_error_jy : ndarray, shape (n_points,), optional
        Integrated flux densities where the source is flagged as extended, Jy; else NaN.
    """

    source_id: NDArray[np.str_]
    ra_deg: Floats
    dec_deg: Floats
    offsets: NDArray[np.int64]
    mid_mjd: Floats
    flux_jy: Floats
    error_jy: Floats
    flags: NDArray[np.int64]
    is_reference: NDArray[np.bool_]
    epoch: NDArray[np.str_]
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

    def sound(self) -> NDArray[np.bool_]:
        """Return which sources have only finite measurements with errors above zero."""
        good = np.isfinite(self.mid_mjd) & np.isfinite(self.flux_jy)
        good &= np.isfinite(self.error_jy) & (self.error_jy > 0)
        counts = np.diff(self.offsets)
        bad = np.bincount(np.repeat(np.arange(len(self)), counts)[~good], minlength=len(self))
        return np.asarray((bad == 0) & (counts > 0))

    def only(self, which: NDArray[np.bool_]) -> "LightCurves":
        """Return the light curves of some of the sources."""
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
    """Facts about the metrics of many sources, stored with them; NaN and None: unknown.

    Parameters
    ----------
    day_mjd : int or None
        The UTC day, integer MJD.
    systematic_floor, systematic_floor_low, systematic_floor_high : float
        Systematic error floor as a fraction of the flux density, and its range.
    n_references : int or None
        Number of reference sources that it was measured with.
    eta_sigma, v_sigma : float
        Distance of a variable from the population, standard deviations.
    threshold_snr, threshold_eta, threshold_v : tuple of float
        Thresholds of eta and V, by S/N; empty if there are too few sources.
    threshold_p : float
        Threshold of the p-value that replaces them in a small list of added light curves.
    n_points : int or None
        Number of measurements.
    added_list : str or None
        The list of added light curves; None: the platform measured the sources.
    settings : dict
        The settings.
    software : dict of str to str
        Software versions.
    unreadable_days : dict of str to str
        Files of days that couldn't be read, with the reasons.
    """

    day_mjd: Count = None
    systematic_floor: Number = math.nan
    systematic_floor_low: Number = math.nan
    systematic_floor_high: Number = math.nan
    n_references: Count = None
    eta_sigma: Number = math.nan
    v_sigma: Number = math.nan
    threshold_snr: Annotated[tuple[Number, ...], LIST] = ()
    threshold_eta: Annotated[tuple[Number, ...], LIST] = ()
    threshold_v: Annotated[tuple[Number, ...], LIST] = ()
    threshold_p: Number = math.nan
    n_points: Count = None
    added_list: str | None = None
    settings: Annotated[dict[str, Any], DICT] = field(default_factory=dict)
    software: Annotated[dict[str, Any], DICT] = field(default_factory=dict)
    unreadable_days: Annotated[dict[str, str], DICT] = field(default_factory=dict)


@dataclass(frozen=True)
class Variability:
    """Variability metrics of many sources; NaN where a source has too few epochs for a metric.

    Parameters
    ----------
    source_id : ndarray of str, shape (n,)
        Names of the sources, sorted.
    ra_deg, dec_deg : ndarray, shape (n,)
        ICRS, degrees.
    n_epochs : ndarray of int, shape (n,)
        Number of measurements.
    mean_flux_jy : ndarray, shape (n,)
        Weighted mean, Jy.
    median_snr : ndarray, shape (n,)
        Median S/N of the measurements, without the systematic error floor.
    eta : ndarray, shape (n,)
        Reduced chi2 about the weighted mean.
    v : ndarray, shape (n,)
        Standard deviation over mean.
    modulation_index : ndarray, shape (n,)
        Debiased; negative when the scatter is below the errors.
    p_value : ndarray, shape (n,)
        Probability of so large an eta for a steady source.
    pair_vs, pair_m : ndarray, shape (n,)
        Significance and modulation of the most significant pair of epochs.
    pair_first_mjd, pair_second_mjd : ndarray, shape (n,)
        Times of that pair, MJD in days.
    is_reference : ndarray of bool, shape (n,)
        Whether the source was a flux reference in most of its epochs.
    is_pair_variable : ndarray of bool, shape (n,)
        Whether the source is variable by that pair.
    is_variable : ndarray of bool, shape (n,)
        Whether the source is flagged as variable in the plane of eta and V.
    facts : VariabilityFacts
        Facts about all of them.
    """

    source_id: NDArray[np.str_]
    ra_deg: Floats
    dec_deg: Floats
    n_epochs: NDArray[np.int64]
    mean_flux_jy: Floats
    median_snr: Floats
    eta: Floats
    v: Floats
    modulation_index: Floats
    p_value: Floats
    pair_vs: Floats
    pair_m: Floats
    pair_first_mjd: Floats
    pair_second_mjd: Floats
    is_reference: NDArray[np.bool_]
    is_pair_variable: NDArray[np.bool_]
    is_variable: NDArray[np.bool_]
    facts: VariabilityFacts = field(default_factory=VariabilityFacts)

    def __len__(self) -> int:
        return len(self.source_id)

    def only(self, which: NDArray[np.bool_]) -> "Variability":
        """Return the metrics of some of the sources."""
        columns = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "facts"}
        return replace(self, **columns)


def joined_curves(parts: Sequence[LightCurves]) -> LightCurves:
    """Combine light curves; for a source in several parts the first part is used.

    Parameters
    ----------
    parts : sequence of LightCurves
        Light curves; at least one part.
    """
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

    Parameters
    ----------
    parts : sequence of Variability
        Metrics; at least one part. For a source in several parts the first part is used.
    """
    if len(parts) == 1:
        return parts[0]
    names = [f.name for f in fields(Variability) if f.name != "facts"]
    together = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    _, first = np.unique(together["source_id"], return_index=True)
    chosen = {name: values[first] for name, values in together.items()}
    return Variability(**chosen, facts=parts[0].facts)
