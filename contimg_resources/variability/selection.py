"""Flagging of variable sources in the plane of log eta and log V.

Belongs here: thresholds from the distribution of the population. Doesn't: the metrics.

After Rowlinson et al. 2019 (Astron. Comput. 27, 111), with one change: centre and spread are taken
at each source's S/N, since V of faint sources is large because of their noise alone, and eta of
bright sources because of systematic errors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.statistics import STD_OF_MAD

Floats = NDArray[np.float64]

#: Minimum number of sources of a population.
MIN_SOURCES = 10
_IN_BIN = 100
_MOST_BINS = 12
_MOST_ON_LINE = 600
#: Minimum range of log S/N for a fit of a slope.
_LEAST_RANGE = 0.1


@dataclass(frozen=True)
class Thresholds:
    """Thresholds above which a source is flagged as variable, at some values of the S/N."""

    snr: Floats  #: S/N, rising; log thresholds are interpolated in log S/N. Shape (n,).
    eta: Floats  #: Thresholds. Shape (n,).
    v: Floats  #: Thresholds. Shape (n,).

    def above(self, snr: Floats, eta: Floats, v: Floats) -> NDArray[np.bool_]:
        """Return which sources are above both thresholds at their S/N."""
        if not len(self.snr):
            return np.zeros(len(snr), np.bool_)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.log10(snr)
            nodes = np.log10(self.snr)
            return np.asarray(
                (np.log10(eta) > np.interp(at, nodes, np.log10(self.eta)))
                & (np.log10(v) > np.interp(at, nodes, np.log10(self.v)))
            )


def population_thresholds(
    snr: Floats, eta: Floats, v: Floats, eta_sigma: float, v_sigma: float
) -> Thresholds:
    """Derive thresholds from the population; empty with fewer than `MIN_SOURCES` sources.

    Sources with a value that isn't positive and finite don't count. Thresholds are `eta_sigma` and
    `v_sigma` standard deviations above the centre. The standard deviation is that of the half below
    the centre, since variables are above it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.array([snr, eta, v]))
    logs = logs[:, np.isfinite(logs).all(axis=0)]
    n = logs.shape[1]
    if n < MIN_SOURCES:
        return Thresholds(np.empty(0), np.empty(0), np.empty(0))
    logs = logs[:, np.argsort(logs[0], kind="stable")]
    at, rest = logs[0], logs[1:]
    # A few sources over a wide range of S/N: the dependence on S/N must not count as scatter.
    lines = [_line(at, row) for row in rest]
    level = np.array([slope * at + offset for slope, offset in lines])
    nodes, limits = [], []
    for part in np.array_split(np.arange(n), min(_MOST_BINS, max(1, n // _IN_BIN))):
        centre, spread = _centre_and_spread((rest - level)[:, part])
        nodes.append(float(np.median(at[part])))
        limits.append(centre + np.array([eta_sigma, v_sigma]) * spread)
    ends = np.unique([at[0], *nodes, at[-1]])
    above = np.array(
        [
            slope * ends + offset + np.interp(ends, nodes, np.array(limits)[:, i])
            for i, (slope, offset) in enumerate(lines)
        ]
    )
    return Thresholds(10.0**ends, 10.0 ** above[0], 10.0 ** above[1])


def improbable(sigma: float) -> float:
    """Return the probability that a normal value exceeds its mean by `sigma` standard deviations.

    Where there are too few sources for a population, their p-values are compared with it.
    """
    from scipy.special import ndtr

    return float(ndtr(-sigma))


def _line(at: Floats, values: Floats) -> tuple[float, float]:
    """Fit a line that is robust against outliers (Theil-Sen); return slope and offset."""
    from scipy.stats import theilslopes

    some = np.unique(np.linspace(0, len(at) - 1, min(len(at), _MOST_ON_LINE)).astype(np.int64))
    if at[some[-1]] - at[some[0]] < _LEAST_RANGE:
        return 0.0, float(np.median(values))
    slope, offset, *_ = theilslopes(values[some], at[some])
    return float(slope), float(offset)


def _centre_and_spread(values: Floats) -> tuple[Floats, Floats]:
    centre = np.median(values, axis=1)
    below = centre[:, None] - values
    spread = [STD_OF_MAD * float(np.median(row[row >= 0])) for row in below]
    return centre, np.array(spread)
