"""False alarms on the sources' own light curves: the check of the threshold.

Belongs here: light curves without events that are made of the measured ones, and the comparison of
their false alarms with the accepted rate. Doesn't: the threshold (see `ese`), the search.

The threshold is measured on normally distributed draws of the fitted noises. The measured light
curves may have another distribution, so two kinds of curves are made of each:

- *flipped*: ln S is mirrored about its level, so dips become maxima, and maxima dips. Noise that is
  symmetric, as every normal distribution is, has as many false alarms as before.
- *shuffled*: the innovations of the source (what the measurements before don't predict, over its
  standard deviation) are shuffled in blocks and coloured with its noise again. So the curve keeps
  its covariance, times, errors and signs, and outliers keep their heights, but no dip of some
  length is left. Shuffled blocks of the light curve itself, which would have to be longer than
  tau, would leave a few blocks, and a step between two of them. A block of innovations holds an
  outlier together with the measurements after it: alone, it would become a walk, which lasts.

Sources with known flares or steps are left out: mirrored flares are dips, and shuffled ones aren't
what the search knows as flares.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.variability.ese import n_draws, source_years, varying
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import LogCurves, Noises, flux_of

#: Flipped and shuffled light curves together number at most one sixth of those of the search, draws
#: included.
_SHARE = 6

#: Number of successive innovations that stay together. The filter forgets at least 93 % of the
#: effect of an outlier, ``g (1 - g)^5`` with the gain g, before a block of this length ends.
_BLOCK = 5
#: Confidence of the interval of a rate, and the probability below which a number of false alarms is
#: significantly larger than accepted.
_CONFIDENCE, _SIGNIFICANT = 0.9, 1e-3


class Alarms(NamedTuple):
    """False alarms on one kind of light curves."""

    n: int  #: Number of candidates.
    source_years: float  #: Total time for which the sources were observed, source-years.
    accepted: float  #: Accepted number in 1000 source-years.

    @property
    def rate(self) -> float:
        """Return the number in 1000 source-years; NaN without any curve."""
        return 1000.0 * self.n / self.source_years if self.source_years else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 90 % interval of the rate, of a Poisson process (Garwood 1936)."""
        from scipy.special import gammaincinv

        if not self.source_years:
            return math.nan, math.nan
        tail, per_year = 0.5 * (1.0 - _CONFIDENCE), 1000.0 / self.source_years
        low = gammaincinv(self.n, tail) if self.n else 0.0
        return float(low * per_year), float(gammaincinv(self.n + 1, 1.0 - tail) * per_year)

    @property
    def is_more(self) -> bool:
        """Return whether they are significantly more than accepted: by chance in 1 of 1000."""
        from scipy.special import gammainc

        expected = 1e-3 * self.accepted * self.source_years
        return self.n > 0 and bool(gammainc(self.n, expected) < _SIGNIFICANT)


def flipped(curves: LogCurves) -> LogCurves:
    """Return light curves mirrored about their levels."""
    return LogCurves(curves.offsets, curves.mjd, -curves.values, curves.error)


def shuffled(curves: LogCurves, noise: Floats, random: np.random.Generator) -> LogCurves:
    """Return light curves of the shuffled innovations of given ones.

    `noise`, shape (n_sources, 3), is that of each source.
    """
    from contimg_resources.variability.ese_loops import recoloured

    counts = np.diff(curves.offsets)
    source = np.repeat(np.arange(len(curves)), counts)
    place = np.arange(len(source)) - curves.offsets[source]
    block = (place + random.integers(_BLOCK, size=len(curves))[source]) // _BLOCK
    block += np.concatenate([[0], np.cumsum(counts // _BLOCK + 2)])[source]
    order: Ints = np.lexsort((place, random.random(block.max(initial=0) + 1)[block], source))
    values = recoloured(curves.offsets, curves.mjd, curves.values, curves.error, noise, order)
    return LogCurves(curves.offsets, curves.mjd, values, curves.error)


@dataclass(frozen=True)
class OwnAlarms:
    """The check of a threshold on the sources' own light curves."""

    flipped: Alarms  #: On mirrored light curves.
    shuffled: Alarms  #: On shuffled light curves.
    n_flaring: int  #: Number of sources with known flares or steps, which are left out.
    measured: float  #: The threshold that was checked.
    threshold: float  #: The threshold in use: higher if the shuffled light curves require it.

    def words(self) -> str:
        """Return the rates in one line."""
        return (
            f"false alarms in 1000 source-years on the sources' own light curves (90 % interval): "
            f"{_in_words(self.flipped)} flipped, {_in_words(self.shuffled)} shuffled, "
            f"{self.flipped.accepted:g} accepted"
        )

    def warning(self) -> str:
        """Return in what the own light curves have significantly more; empty if in nothing."""
        more = []
        if self.shuffled.is_more:
            more.append(
                f"the threshold is raised from {self.measured:.1f} to {self.threshold:.1f}: "
                f"shuffled light curves have {_in_words(self.shuffled)} false alarms in 1000 "
                f"source-years, {self.shuffled.accepted:g} are accepted; the errors or the "
                "intrinsic variability aren't normally distributed"
            )
        if self.flipped.is_more:
            more.append(
                f"flipped light curves have {_in_words(self.flipped)} false alarms in 1000 "
                f"source-years, {self.flipped.accepted:g} are accepted; the sources have flares "
                "or other asymmetric variability, and the dips between them may be false alarms"
            )
        return "; ".join(more)


def _in_words(alarms: Alarms) -> str:
    if not alarms.source_years:
        return "unknown (no such source)"
    low, high = alarms.interval
    return f"{alarms.rate:.1f} ({low:.1f} to {high:.1f})"


def measure_alarms(
    curves: LightCurves,
    logs: LogCurves,
    noises: Noises,
    log_posterior: Floats,
    *,
    without: Bools,
    flaring: Bools,
    threshold: float,
    accepted: float,
    search: Callable[[LightCurves], Iterable[float]],
) -> OwnAlarms:
    """Check a threshold on the sources' own light curves.

    Sources are chosen in proportion to the probability that they vary intrinsically, as for the
    threshold. `without` are the sources with candidates, `flaring` those with known flares or
    steps; shape (n_sources,). `search` returns the scores of the candidates in light curves.
    `accepted` is the number of false alarms in 1000 source-years.

    If shuffled light curves have significantly more of them, the threshold is raised to the score
    at which an exponential tail of their scores has the accepted rate. Flipped light curves don't
    raise it: a maximum that lasts isn't a dip.
    """
    random = np.random.default_rng(len(logs.mjd))
    _, probability = varying(noises, log_posterior)
    most = (len(logs) + n_draws(logs)) // (2 * _SHARE)
    n_chosen = min(most, int(np.ceil(probability.sum())))
    # The largest sums of log probability and Gumbel deviate are a sample without replacement.
    with np.errstate(divide="ignore"):
        order = np.argsort(-np.log(probability) - random.gumbel(size=len(logs)))
    chosen = np.zeros(len(logs), np.bool_)
    chosen[order[:n_chosen]] = True
    chosen &= ~without
    noise = noises.grid[log_posterior.argmax(axis=1)]
    which = np.flatnonzero(chosen & ~flaring)
    few, own = logs.chosen(which), curves.only(np.isin(np.arange(len(curves)), which))
    years = source_years(few.offsets, few.mjd) if len(which) else 0.0

    def scores_in(made: LogCurves) -> Floats:
        flux, error = flux_of(made)
        return np.array([*search(replace(own, flux_jy=flux, error_jy=error))])

    in_flipped = in_shuffled = np.empty(0)
    if len(which):
        in_flipped = scores_in(flipped(few))
        in_shuffled = scores_in(shuffled(few, noise[which], random))
    of_shuffled = Alarms(len(in_shuffled), years, accepted)
    raised = threshold
    if of_shuffled.is_more:
        tail = float(np.mean(in_shuffled - threshold))
        raised += tail * float(np.log(of_shuffled.rate / accepted))
    return OwnAlarms(
        Alarms(len(in_flipped), years, accepted),
        of_shuffled,
        int(np.sum(chosen & flaring)),
        threshold,
        raised,
    )
