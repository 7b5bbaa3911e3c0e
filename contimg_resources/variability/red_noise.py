"""Comparison of a dip with the intrinsic variability of its source.

Belongs here: comparing both explanations of a light curve. Doesn't: the recursion (see
`ese_loops`), other reasons to reject a dip (see `vetting`).
"""

from typing import NamedTuple

import numpy as np

from contimg_resources.core.arrays import Floats

#: Trial damped random walks: standard deviation as a fraction of the flux density, and time scale
#: in days. Without a walk the time scale has no effect.
_SCATTERS = (0.0, *np.geomspace(0.01, 0.5, 9).tolist())
_MEMORIES_DAYS = (3.0, 10.0, 30.0, 100.0, 300.0)
#: Minimum share of the evidence that the dip must have without the maxima.
_SHARE_OF_DIP = 0.4
#: The maxima of a shape are where it exceeds this fraction of its depth.
_RISE = 0.03


class Evidence(NamedTuple):
    """Likelihood gain by adding an event to a model of the source's intrinsic variability."""

    whole: float  #: Twice the difference of the logarithms of the maximum likelihoods; at least 0.
    #: The same without the measurements in the maxima beside the dip, which resemble a flare.
    without_maxima: float

    def reaches(self, least: float) -> bool:
        """Return whether the dip is an event rather than intrinsic variability.

        `least` is the minimum evidence of the whole event; the dip alone needs 40 % of it.
        """
        return self.whole >= least and self.without_maxima >= _SHARE_OF_DIP * least


def evidence_for(event_jy: Floats, mjd: Floats, flux_jy: Floats, error_jy: Floats) -> Evidence:
    """Return the evidence for an event over intrinsic variability alone.

    The intrinsic variability of sources on these time scales is well described by a damped random
    walk (Kelly, Bechtold & Siemiginowska 2009, ApJ 698, 895). Level, scatter and time scale are
    fitted for both explanations, so the source's variability at other times limits the part of the
    dip that it may explain. `event_jy` is the change of the baseline by the event, whose amplitude,
    at least 0, is fitted; measurements are in the order of time. All have the shape (n,).
    """
    dip = event_jy <= _RISE * float(np.max(np.abs(event_jy), initial=0.0))
    return Evidence(
        _over_walk(event_jy, mjd, flux_jy, error_jy),
        _over_walk(event_jy[dip], mjd[dip], flux_jy[dip], error_jy[dip]),
    )


def _over_walk(event_jy: Floats, mjd: Floats, flux_jy: Floats, error_jy: Floats) -> float:
    from contimg_resources.variability.ese_loops import whitened

    if not len(mjd):
        return 0.0
    level_jy = float(np.median(flux_jy))
    columns = np.array([flux_jy - level_jy, np.ones_like(flux_jy), event_jy])
    walk_only, with_event = -np.inf, -np.inf
    for scatter in _SCATTERS:
        for memory_days in _MEMORIES_DAYS[: None if scatter else 1]:
            left, log_determinant = whitened(
                mjd, error_jy, columns, scatter * abs(level_jy), memory_days
            )
            level, event = left[1:2], left[1:]
            flat, _ = _fitted(left[0], level)
            chi2, amounts = _fitted(left[0], event)
            walk_only = max(walk_only, -flat - log_determinant)
            # An increase in place of the dip is not an event.
            with_event = max(with_event, -(chi2 if amounts[1] > 0 else flat) - log_determinant)
    return max(0.0, with_event - walk_only)


def _fitted(values: Floats, models: Floats) -> tuple[float, Floats]:
    """Fit models to values; return chi2 of the residuals, and the amplitudes of the models."""
    # Columns are normalised: a dip is a small fraction of the level.
    norms = np.sqrt(np.sum(np.square(models), axis=1, keepdims=True))
    design = (models / np.where(norms > 0, norms, 1.0)).T
    amounts = np.linalg.lstsq(design, values, rcond=None)[0]
    return float(np.sum(np.square(values - design @ amounts))), np.asarray(amounts, np.float64)
