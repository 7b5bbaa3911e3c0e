"""What variability is told of: points of light curves, and the measures of each source.

Belongs here: columns of many sources at once. Doesn't: computing them, files.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LightCurves:
    """Points of many sources: those of one lie side by side, in the order of time.

    One point is one passage of the source over the meridian: mosaics that roll by half their width
    share data, so the best of those of a passage stands for all.

    Parameters
    ----------
    source_id : ndarray of str, shape (n_sources,)
        Sorted.
    ra_deg, dec_deg : ndarray, shape (n_sources,)
        ICRS, degrees.
    offsets : ndarray of int, shape (n_sources + 1,)
        Source i has the points ``offsets[i]:offsets[i + 1]``.
    mid_mjd : ndarray, shape (n_points,)
        MJD in days.
    flux_jy, error_jy : ndarray, shape (n_points,)
        On the scale of the reference sources, Jy; all finite, errors above 0.
    flags : ndarray of int, shape (n_points,)
        See `contimg_resources.photometry.flags`.
    is_reference : ndarray of bool, shape (n_points,)
        Whether the source told the epoch's flux scale.
    epoch : ndarray of str, shape (n_points,)
        Partition key of the mosaic.
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

    def __len__(self) -> int:
        return len(self.source_id)

    def of(self, index: int) -> slice:
        """Return where the points of source number `index` are."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def only(self, which: NDArray[np.bool_]) -> "LightCurves":
        """Return the light curves of some of the sources."""
        counts = np.diff(self.offsets)
        points = np.repeat(which, counts)
        return LightCurves(
            source_id=self.source_id[which],
            ra_deg=self.ra_deg[which],
            dec_deg=self.dec_deg[which],
            offsets=np.concatenate([[0], np.cumsum(counts[which])]).astype(np.int64),
            mid_mjd=self.mid_mjd[points],
            flux_jy=self.flux_jy[points],
            error_jy=self.error_jy[points],
            flags=self.flags[points],
            is_reference=self.is_reference[points],
            epoch=self.epoch[points],
        )


@dataclass(frozen=True)
class Variability:
    """Measures of many sources; NaN where a source has too few epochs for one.

    Parameters
    ----------
    source_id : ndarray of str, shape (n,)
        Sorted.
    ra_deg, dec_deg : ndarray, shape (n,)
        ICRS, degrees.
    n_epochs : ndarray of int, shape (n,)
        Points.
    mean_flux_jy : ndarray, shape (n,)
        Weighted mean, Jy.
    median_snr : ndarray, shape (n,)
        Of the points, without the systematic floor.
    eta : ndarray, shape (n,)
        Reduced chi2 about the weighted mean.
    v : ndarray, shape (n,)
        Standard deviation over mean.
    modulation_index : ndarray, shape (n,)
        Debiased; negative when the scatter is less than the errors.
    p_value : ndarray, shape (n,)
        Of an eta as large, of a steady source.
    pair_vs, pair_m : ndarray, shape (n,)
        Of the most significant pair of epochs.
    pair_first_mjd, pair_second_mjd : ndarray, shape (n,)
        When, MJD in days.
    is_reference : ndarray of bool, shape (n,)
        Whether it mostly told the flux scale.
    is_pair_variable : ndarray of bool, shape (n,)
        Whether that pair says so.
    is_variable : ndarray of bool, shape (n,)
        Whether it is selected in the plane of eta and V.
    facts : dict
        JSON-able: `day_mjd`, `systematic_floor`, `n_references`, `eta_sigma`, `v_sigma`,
        `threshold_snr`, `threshold_eta`, `threshold_v` (lists).
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
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.source_id)
