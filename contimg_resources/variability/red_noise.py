"""Whether a source's own wandering explains a dip as well as an event does.

Belongs here: comparing both explanations of one light curve. Doesn't: the recursion (see
`walk_loops`), other reasons against a dip (see `judging`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Walks that are tried: their standard deviation as a share of the flux density, and their memory
#: in days. Without any walk the second is of no matter.
_SCATTERS = (0.0, *np.geomspace(0.01, 0.5, 9).tolist())
_MEMORIES_DAYS = (3.0, 10.0, 30.0, 100.0, 300.0)
#: Of the evidence for the event as a whole the dip alone has this share at least.
_SHARE_OF_DIP = 0.4
#: The maxima of a shape are where it exceeds this share of its depth.
_RISE = 0.03


class Evidence(NamedTuple):
    """How much better a source that wanders and has an event fits than one that wanders only.

    Parameters
    ----------
    whole : float
        Twice the difference of the logarithms of the greatest likelihoods; at least 0.
    without_maxima : float
        The same without the points in the maxima beside the dip: a flare looks like one.
    """

    whole: float
    without_maxima: float

    def reaches(self, least: float) -> bool:
        """Tell whether it is an event rather than one of many ups and downs.

        Parameters
        ----------
        least : float
            Evidence that the whole event needs; its dip alone needs 40 % of that.
        """
        return self.whole >= least and self.without_maxima >= _SHARE_OF_DIP * least


def evidence_for(event_jy: Floats, mjd: Floats, flux_jy: Floats, error_jy: Floats) -> Evidence:
    """Return how much of a light curve an event explains that the source's wandering doesn't.

    What sources do by themselves at these time scales is well told by a damped random walk (Kelly,
    Bechtold & Siemiginowska 2009, ApJ 698, 895). Level, scatter and memory are chosen for each of
    both explanations, so all that the source does at other times tells how much of the dip it may
    be.

    Parameters
    ----------
    event_jy : ndarray, shape (n,)
        What the event adds to the baseline, Jy; its amount, not below 0, is fitted.
    mjd, flux_jy, error_jy : ndarray, shape (n,)
        Points of the source, in the order of time.
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
            # A hump in its place is no dip.
            with_event = max(with_event, -(chi2 if amounts[1] > 0 else flat) - log_determinant)
    return max(0.0, with_event - walk_only)


def _fitted(values: Floats, models: Floats) -> tuple[float, Floats]:
    """Return what is left of values after models were fitted, chi2, and how much of each it is."""
    # Columns of one size: a dip is a small part of a level.
    norms = np.sqrt(np.sum(np.square(models), axis=1, keepdims=True))
    design = (models / np.where(norms > 0, norms, 1.0)).T
    amounts = np.linalg.lstsq(design, values, rcond=None)[0]
    return float(np.sum(np.square(values - design @ amounts))), np.asarray(amounts, np.float64)
