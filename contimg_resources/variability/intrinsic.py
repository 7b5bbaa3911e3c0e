"""Intrinsic variability of each source: sigma and tau with errors, and its structure function.

Belongs here: the posterior of each source's damped random walk in the noise of the search, and the
measured structure function. Doesn't: the noises and their likelihood (see `noise`), eta and V (see
`measuring`), files.

The probability that a source varies is that of `noise`: the likelihood of its light curve times the
fraction of all sources with such a noise. Its sigma, tau and jitter are measurements of this source
alone: within the range of the grid of noises, all ln sigma, ln tau and jitters are equally likely
beforehand. That grid is too coarse for a source that is measured well, so the posterior is
evaluated again on two grids of the source's own, each around the posterior on the last.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import on_one_core
from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.variability.model import INTRINSIC, LightCurves, Structure, Variability
from contimg_resources.variability.noise import (
    LogCurves,
    Noises,
    drawn,
    log_curves,
    relative,
    usual_noises,
)

#: A source that varies with less than the first probability has no grid of its own; one with less
#: than the second has no tau and no structure function.
_NEGLIGIBLE, _LIKELY = 0.05, 0.5
#: Probability below and above a 90 % interval.
_TAIL = 0.05
#: A source's own grid: cells in ln tau, ln sigma and jitter, reach in standard deviations, and
#: smallest standard deviation in steps of the grid before.
_CELLS, _REACH, _LEAST_STEPS, _GRIDS = (9, 9, 5), 3.0, 0.5, 2
#: Lags of the structure function differ by this factor; the longest is half of the observed time,
#: with at least this number of pairs.
_LAG_FACTOR, _LONGEST_LAG, _MIN_PAIRS = 1.5, 0.5, 10
#: Draws of each light curve for the errors of its structure function.
_DRAWS = 100
_TURN = 500


def with_intrinsic(
    table: Variability, curves: LightCurves, min_epochs: int
) -> tuple[Variability, Structure]:
    """Add the intrinsic variability of the sources to their metrics; return structure functions.

    NaN remains for a source with fewer than `min_epochs` measurements, with values that aren't
    finite, with constant ones, or with a median that isn't above zero. The light curves are those
    of the table, in its order.
    """
    which = _usable(curves, min_epochs)
    values: dict[str, Any] = {name: np.full(len(table), np.nan) for name in INTRINSIC}
    parts: list[Structure] = []
    some = curves.only(np.isin(np.arange(len(curves)), which))
    _, flux, error = relative(some)
    logs = log_curves(some.offsets, some.mid_mjd, flux, error)
    noises = usual_noises()
    log_posterior = np.empty((len(logs), len(noises.grid)))
    for first in range(0, len(logs), _TURN):
        own = np.arange(first, min(first + _TURN, len(logs)))
        log_posterior[own] = noises.fit(logs.chosen(own)).log_posterior
    sound = np.flatnonzero(np.isfinite(log_posterior).all(axis=1))
    noises, log_posterior[sound] = noises.refitted(log_posterior[sound])
    with on_one_core():
        for number in sound:
            index = which[number]
            curve = logs.chosen(np.array([number]))
            found = posterior_of(curve, noises, log_posterior[number])
            for name, value in found._asdict().items():
                values[f"intrinsic_{name}"][index] = value
            if found.probability >= _LIKELY:
                noise = np.array([found.sigma, found.tau_days, found.jitter])
                parts.append(structure_of(str(some.source_id[number]), curve, noise))
    columns = {name: [getattr(part, name) for part in parts] for name in Structure._fields}
    structure = Structure(**{n: np.concatenate(v) for n, v in columns.items()}) if parts else None
    return replace(table, **values), structure or Structure.empty()


def _usable(curves: LightCurves, min_epochs: int) -> Ints:
    chosen = []
    for index in np.flatnonzero(curves.sound() & (np.diff(curves.offsets) >= max(min_epochs, 2))):
        flux_jy = curves.flux_jy[curves.of(int(index))]
        if np.median(flux_jy) > 0 and (flux_jy != flux_jy[0]).any():
            chosen.append(index)
    return np.array(chosen, np.int64)


class Posterior(NamedTuple):
    """The posterior of the noise of a source; the fields are those of `Variability`."""

    probability: float
    sigma: float
    sigma_error: float
    sigma_low: float
    sigma_high: float
    tau_days: float
    tau_error_days: float
    tau_low_days: float
    tau_high_days: float
    jitter: float


def posterior_of(curve: LogCurves, noises: Noises, log_posterior: Floats) -> Posterior:
    """Return the posterior of a source's noise.

    Parameters
    ----------
    curve : LogCurves
        The light curve of one source.
    noises : Noises
        The distribution of the noises of all sources.
    log_posterior : array, shape (n,)
        ln of the posterior of the source for each noise of the grid, not normalised.
    """
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= weight.sum()
    walks = noises.grid[:, 0] > 0
    steady = float(weight[~walks].sum())
    jitter = float(weight @ noises.grid[:, 2])
    if 1.0 - steady < _NEGLIGIBLE:
        sigma = float(weight @ noises.grid[:, 0])
        error = float(np.sqrt(weight @ np.square(noises.grid[:, 0] - sigma)))
        nothing = np.nan
        return Posterior(
            1.0 - steady, sigma, error, 0.0, 0.0, nothing, nothing, nothing, nothing, jitter
        )
    likelihood = log_posterior[walks] - noises.log_share[walks]
    (ln_tau, ln_sigma, jitters), own = _own_grid(
        curve, noises, np.exp(likelihood - likelihood.max())
    )
    by_tau, by_sigma, by_jitter = own.sum(axis=(1, 2)), own.sum(axis=(0, 2)), own.sum(axis=(0, 1))
    varies = 1.0 - steady
    sigma = varies * float(by_sigma @ np.exp(ln_sigma))
    square = varies * float(by_sigma @ np.exp(2.0 * ln_sigma))
    steady_jitter = float(weight[~walks] @ noises.grid[~walks, 2])
    low, high = (
        0.0 if p <= steady else np.exp(_quantile(ln_sigma, by_sigma, (p - steady) / varies))
        for p in (_TAIL, 1.0 - _TAIL)
    )
    tau = float(by_tau @ ln_tau)
    tau_error = float(np.sqrt(by_tau @ np.square(ln_tau - tau)))
    tau_low, tau_high = (float(np.exp(_quantile(ln_tau, by_tau, p))) for p in (_TAIL, 1.0 - _TAIL))
    shortest, longest = _constrained(curve.mjd, noises)
    known = varies >= _LIKELY
    return Posterior(
        probability=varies,
        sigma=sigma,
        sigma_error=float(np.sqrt(max(square - sigma**2, 0.0))),
        sigma_low=float(low),
        sigma_high=float(high),
        tau_days=float(np.exp(tau)) if known else np.nan,
        tau_error_days=float(np.exp(tau) * tau_error) if known else np.nan,
        tau_low_days=tau_low if known and tau_low > shortest else np.nan,
        tau_high_days=tau_high if known and tau_high < longest else np.nan,
        jitter=steady_jitter + varies * float(by_jitter @ jitters),
    )


def _constrained(mjd: Floats, noises: Noises) -> tuple[float, float]:
    """Return the shortest and the longest time scale that a light curve can measure, days.

    These are its median interval and its length, and the half cells at the ends of the grid.
    """
    taus = np.unique(noises.grid[noises.grid[:, 0] > 0, 1])
    half = float(np.sqrt(taus[1] / taus[0]))
    shortest = max(float(np.median(np.diff(mjd))), float(taus[0]) * half)
    return shortest, min(float(mjd[-1] - mjd[0]), float(taus[-1]) / half)


def _own_grid(
    curve: LogCurves, noises: Noises, weight: Floats
) -> tuple[tuple[Floats, Floats, Floats], Floats]:
    """Evaluate the posterior of a walk on a source's own grid.

    `weight` is the posterior of the walks of the common grid. Returned are ln tau, ln sigma and
    jitter of the cells, and the probability of each cell, the axes in this order.
    """
    walk = noises.grid[:, 0] > 0
    taus, sigmas, jitters = (np.unique(noises.grid[walk, column]) for column in (1, 0, 2))
    # The common grid is ordered by tau, then sigma, then jitter.
    axes: list[Floats] = [np.log(taus), np.log(sigmas), jitters]
    weight = weight.reshape(len(taus), len(sigmas), len(jitters)) * _widths(jitters)
    weight = weight / weight.sum()
    ends = [(axis[0], axis[-1]) for axis in axes]
    for _ in range(_GRIDS):
        cells = []
        for number, (axis, (start, end)) in enumerate(zip(axes, ends, strict=True)):
            along = weight.sum(axis=tuple({0, 1, 2} - {number}))
            mean = float(along @ axis)
            spread = float(np.sqrt(along @ np.square(axis - mean)))
            reach = _REACH * max(spread, _LEAST_STEPS * float(along @ _widths(axis)))
            edges = np.linspace(
                max(mean - reach, start), min(mean + reach, end), _CELLS[number] + 1
            )
            cells.append(0.5 * (edges[1:] + edges[:-1]))
        axes = cells
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        grid = np.stack([np.exp(points[:, 1]), np.exp(points[:, 0]), points[:, 2]], axis=1)
        equal = np.zeros(len(grid))
        found = Noises(equal, grid).fit(curve).log_posterior[0]
        weight = np.exp(found - found.max()).reshape(_CELLS)
        weight /= weight.sum()
    return (axes[0], axes[1], axes[2]), weight


def _widths(nodes: Floats) -> Floats:
    """Return the width of the cell around each node."""
    return np.asarray(np.gradient(nodes))


def _quantile(centres: Floats, weight: Floats, probability: float) -> float:
    """Return a quantile of a distribution that is constant in each of some equal cells."""
    half = 0.5 * (centres[1] - centres[0])
    edges = np.append(centres - half, centres[-1] + half)
    return float(np.interp(probability, np.append(0.0, np.cumsum(weight)), edges))


def structure_of(source_id: str, curve: LogCurves, noise: Floats) -> Structure:
    """Measure the structure function of ln S of one source.

    ``D(L) = <(y(t + L) - y(t))^2 - e(t + L)^2 - e(t)^2>`` with the errors e (Simonetti, Cordes &
    Heeschen 1985, ApJ 296, 46); each measurement has at most one partner near each lag L. Its error
    is the standard deviation of the same in 100 light curves that are drawn from the noise, since
    pairs are not independent (Emmanoulopoulos, McHardy & Uttley 2010, MNRAS 404, 931). The model is
    ``2 sigma^2 (1 - exp(-L / tau)) + 2 jitter^2``. `noise` holds sigma, tau (days) and jitter.
    """
    sigma, tau_days, jitter = noise
    mjd = curve.mjd
    random = np.random.default_rng(len(mjd))
    draws = drawn(
        curve.chosen(np.zeros(_DRAWS, np.int64)), np.tile(noise, (_DRAWS, 1)), random
    ).values.reshape(_DRAWS, -1)
    rows = []
    for first, second in _pairs(mjd):
        lag_days = float(np.mean(mjd[second] - mjd[first]))
        known = np.square(curve.error[first]) + np.square(curve.error[second])
        structure = np.mean(np.square(curve.values[second] - curve.values[first]) - known)
        scatter = np.std(np.mean(np.square(draws[:, second] - draws[:, first]) - known, axis=1))
        model = 2.0 * sigma**2 * (1.0 - np.exp(-lag_days / tau_days)) + 2.0 * jitter**2
        rows.append((lag_days, structure, scatter, model, len(first)))
    if not rows:
        return Structure.empty()
    lag, structures, errors, models, n_pairs = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    name: NDArray[np.str_] = np.full(len(rows), source_id)
    return Structure(name, lag, structures, errors, models, n_pairs)


def _pairs(mjd: Floats) -> Iterator[tuple[Ints, Ints]]:
    """Yield the pairs of measurements of each lag, the earlier ones first.

    A measurement's partner is the one nearest to the lag, if it is within half a step of it.
    """
    longest = _LONGEST_LAG * float(mjd[-1] - mjd[0])
    lag = float(np.median(np.diff(mjd)))
    while 0 < lag <= longest:
        after = np.clip(np.searchsorted(mjd, mjd + lag), 1, len(mjd) - 1)
        after -= mjd[after] - mjd - lag > mjd + lag - mjd[after - 1]
        apart = mjd[after] - mjd
        near = (apart > lag / np.sqrt(_LAG_FACTOR)) & (apart <= lag * np.sqrt(_LAG_FACTOR))
        first = np.flatnonzero(near)
        if len(first) >= _MIN_PAIRS:
            yield first, after[first]
        lag *= _LAG_FACTOR
