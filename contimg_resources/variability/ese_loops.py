"""Compiled loops over light curves: noise, templates in it, pairs of epochs.

Belongs here: the loops. Doesn't: the use of their results.

The covariance of a light curve is ``sigma^2 exp(-|dt| / tau) + (error^2 + jitter^2) delta``: a
damped random walk (Kelly, Bechtold & Siemiginowska 2009, ApJ 698, 895) with independent errors. Its
inverse is applied by the Kalman filter and smoother of a scalar state in one pass each (Kelly et
al., eqs 6-12; Durbin & Koopman 2012, Time Series Analysis by State Space Methods, section 4.5).
Source i has the measurements ``offsets[i]:offsets[i + 1]``, in the order of time; times are in
days, values and their errors in one unit.
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.arrays import Floats, Ints

#: Columns of a noise: standard deviation and time scale (days) of the walk, jitter.
SIGMA, TAU, JITTER = range(3)
#: Columns of a match: square of the amplitude over its error, epoch of minimum (MJD), width (days)
#: and index of the shape.
SCORE, MID, WIDTH, SHAPE = range(4)
N_MATCH = 4

#: Step between trial epochs of minimum, in widths.
STEP_WIDTHS = 1.0 / 6.0
#: Minimum number of measurements within half a width of the epoch of minimum, and before it.
MIN_IN_DIP, MIN_BEFORE = 3, 3
#: The baseline before a dip ends this many widths before its epoch of minimum.
BEFORE_WIDTHS = 0.75
#: The filter's response after a template is followed until this fraction of it is left.
_ENDED = 1e-2
#: The noise that smooths light curves, and their lowest value.
_SMOOTH, _LEAST_SMOOTHED = (0.3, 30.0, 0.03), 0.05


@compiled(parallel=True)
def fit_columns(
    offsets: Ints, mjd: Floats, values: Floats, error: Floats, noises: Floats, columns: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Fit a level, and each column alone beside it, to each source in each noise.

    `noises` has the columns `SIGMA`, `TAU`, `JITTER`, those of equal tau adjacent; `columns` has
    the shape (n_points, n_columns).

    Returns the log likelihood without a column, the level marginalised, ``-(ln |C| + y' C^-1 y -
    (1' C^-1 y)^2 / 1' C^-1 1 + ln 1' C^-1 1) / 2``, shape (n_sources, n_noises); the level and its
    variance, shape (n_sources, n_noises, 2); the amplitude of each column, and its variance (0 and
    infinity where there is none), shape (n_sources, n_columns, n_noises).
    """
    n_sources, n_noises, n_columns = len(offsets) - 1, len(noises), columns.shape[1]
    likelihood, levels = np.zeros((n_sources, n_noises)), np.zeros((n_sources, n_noises, 2))
    amplitudes = np.zeros((n_sources, n_columns, n_noises))
    variances = np.full((n_sources, n_columns, n_noises), np.inf)
    for source in spread(n_sources):
        first, end = offsets[source], offsets[source + 1]
        # The noises are in the innermost loop: the recursions of one alone wait for each other.
        kept, inverse, gain, left_v, left_1 = np.zeros((5, n_noises))
        state_v, state_1, vv, v1, s11, log_det = np.zeros((6, n_noises))
        variance, product = np.square(noises[:, SIGMA]), np.ones(n_noises)
        state, hh, hv, h1 = np.zeros((4, n_columns, n_noises))
        begun = np.zeros(n_columns, np.bool_)
        for i in range(first, end):
            if i > first:
                for j in range(n_noises):
                    if j > 0 and noises[j, TAU] == noises[j - 1, TAU]:
                        kept[j] = kept[j - 1]
                    else:
                        kept[j] = np.exp((mjd[i - 1] - mjd[i]) / noises[j, TAU])
            for j in range(n_noises):
                k = kept[j]
                before_v, before_1 = state_v[j] * k, state_1[j] * k
                walk = k * k * variance[j] + noises[j, SIGMA] ** 2 * (1.0 - k * k)
                total = walk + error[i] * error[i] + noises[j, JITTER] ** 2
                inverse[j] = 1.0 / total
                gain[j] = walk * inverse[j]
                left_v[j], left_1[j] = values[i] - before_v, 1.0 - before_1
                vv[j] += left_v[j] * left_v[j] * inverse[j]
                v1[j] += left_v[j] * left_1[j] * inverse[j]
                s11[j] += left_1[j] * left_1[j] * inverse[j]
                state_v[j] = before_v + gain[j] * left_v[j]
                state_1[j] = before_1 + gain[j] * left_1[j]
                variance[j] = walk * (1.0 - gain[j])
                product[j] *= total
            # Fewer logarithms, without an overflow of the product.
            if (i - first) % 8 == 7 or i == end - 1:
                for j in range(n_noises):
                    log_det[j] += np.log(product[j])
                    product[j] = 1.0
            for c in range(n_columns):
                h = columns[i, c]
                if h == 0.0 and not begun[c]:
                    continue
                begun[c] = True
                for j in range(n_noises):
                    ahead = kept[j] * state[c, j]
                    left_h = h - ahead
                    scaled = left_h * inverse[j]
                    hh[c, j] += left_h * scaled
                    hv[c, j] += left_v[j] * scaled
                    h1[c, j] += left_1[j] * scaled
                    state[c, j] = ahead + gain[j] * left_h
        for j in range(n_noises):
            levels[source, j, 0], levels[source, j, 1] = v1[j] / s11[j], 1.0 / s11[j]
            likelihood[source, j] = -0.5 * (
                log_det[j] + vv[j] - v1[j] * v1[j] / s11[j] + np.log(s11[j])
            )
            for c in range(n_columns):
                net = hh[c, j] - h1[c, j] * h1[c, j] / s11[j]
                if net > 1e-6 * hh[c, j]:
                    amplitudes[source, c, j] = (hv[c, j] - h1[c, j] * v1[j] / s11[j]) / net
                    variances[source, c, j] = 1.0 / net
    return likelihood, levels, amplitudes, variances


@compiled()
def _gains(t: Floats, error: Floats, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Return what the filter needs at each time.

    The fraction of the state that is kept from the measurement before, the gain, and the inverse
    variance of the innovation, each of the shape (n,).
    """
    kept, gains, inverses = np.zeros(len(t)), np.empty(len(t)), np.empty(len(t))
    variance = noise[SIGMA] ** 2
    for i in range(len(t)):
        if i > 0:
            kept[i] = np.exp((t[i - 1] - t[i]) / noise[TAU])
        k2 = kept[i] * kept[i]
        variance = k2 * variance + noise[SIGMA] ** 2 * (1.0 - k2)
        inverses[i] = 1.0 / (variance + error[i] ** 2 + noise[JITTER] ** 2)
        gains[i] = variance * inverses[i]
        variance *= 1.0 - gains[i]
    return kept, gains, inverses


@compiled()
def _solved(kept: Floats, gains: Floats, inverses: Floats, values: Floats) -> Floats:
    """Return ``C^-1 y`` of values: forwards the innovations, backwards what they are made of."""
    solved, state, back = np.empty(len(kept)), 0.0, 0.0
    for i in range(len(kept)):
        solved[i] = values[i] - kept[i] * state
        state = kept[i] * state + gains[i] * solved[i]
    for i in range(len(kept) - 1, -1, -1):
        after = kept[i + 1] * back if i + 1 < len(kept) else 0.0
        solved[i] = solved[i] * inverses[i] - gains[i] * after
        back = solved[i] + after
    return solved


@compiled(parallel=True)
def best_matches(
    offsets: Ints,
    mjd: Floats,
    values: Floats,
    error: Floats,
    noise: Floats,
    shapes: Floats,
    reach: float,
    widths: Floats,
    most_of_span: float,
    n_best: int,
) -> Floats:
    """Find the templates that match each source best, in the noise of that source.

    For the template h, the values y and their covariance C the amplitude is
    ``h' C^-1 y / h' C^-1 h`` and the score its square over its variance, with the level projected
    out of both. Only dips count.

    `noise`, shape (n_sources, 3), has the columns `SIGMA`, `TAU`, `JITTER`; `shapes`, (n_steps,
    n_shapes), holds tables from -`reach` to `reach` widths, minimum -1; `widths` are full widths at
    half depth, days, rising, and at most the fraction `most_of_span` of the observed time.

    Returns shape (n_sources, n_best, N_MATCH), the best first, their epochs of minimum more than a
    width apart; score 0 where there is none.
    """
    n_steps, n_shapes = shapes.shape
    found = np.zeros((len(offsets) - 1, n_best, N_MATCH))
    for source in spread(len(offsets) - 1):
        first, end = offsets[source], offsets[source + 1]
        n = end - first
        if n < 2:
            continue
        t = mjd[first:end]
        kept, gains, inverses = _gains(t, error[first:end], noise[source])
        by_v = _solved(kept, gains, inverses, values[first:end])
        by_1 = _solved(kept, gains, inverses, np.ones(n))
        s11 = by_1.sum()
        by_v -= by_v.sum() / s11 * by_1
        n_all, n_widths = 0, 0
        while n_widths < len(widths) and widths[n_widths] <= most_of_span * (t[-1] - t[0]):
            n_all += int((t[-1] - t[0]) / (widths[n_widths] * STEP_WIDTHS)) + 2
            n_widths += 1
        every = np.zeros((n_all, N_MATCH))
        state, own = np.empty(n_shapes), np.empty(n_shapes)
        with_v, with_1 = np.empty(n_shapes), np.empty(n_shapes)
        n_every = 0
        scale = (n_steps - 1) / (2.0 * reach)
        for number in range(n_widths):
            width = widths[number]
            step = width * STEP_WIDTHS
            left = 0
            for place in range(int((t[-1] + 0.5 * width - t[0]) / step) + 1):
                middle = t[0] + place * step
                while left < n and t[left] < middle - reach * width:
                    left += 1
                n_in_dip = np.searchsorted(t, middle + 0.5 * width, "right") - np.searchsorted(
                    t, middle - 0.5 * width
                )
                n_before = np.searchsorted(t, middle - BEFORE_WIDTHS * width, "right")
                if n_in_dip < MIN_IN_DIP or n_before < MIN_BEFORE:
                    continue
                for s in range(n_shapes):
                    state[s], own[s], with_v[s], with_1[s] = 0.0, 0.0, 0.0, 0.0
                i = left
                while i < n and t[i] <= middle + reach * width:
                    cell = int(((t[i] - middle) / width + reach) * scale + 0.5)
                    k, gain, inverse, u_v, u_1 = kept[i], gains[i], inverses[i], by_v[i], by_1[i]
                    for s in range(n_shapes):
                        h = shapes[cell, s]
                        ahead = state[s] * k
                        surprise = h - ahead
                        own[s] += surprise * surprise * inverse
                        state[s] = ahead + gain * surprise
                        with_v[s] += h * u_v
                        with_1[s] += h * u_1
                    i += 1
                # The filter's answer after the template.
                fading = 1.0
                while i < n and fading > _ENDED:
                    fading *= kept[i]
                    for s in range(n_shapes):
                        own[s] += (fading * state[s]) ** 2 * inverses[i]
                    fading *= 1.0 - gains[i]
                    i += 1
                best, shape = 0.0, 0
                for s in range(n_shapes):
                    net = own[s] - with_1[s] * with_1[s] / s11
                    if with_v[s] > 0 and net > 1e-6 * own[s]:
                        score = with_v[s] * with_v[s] / net
                        if score > best:
                            best, shape = score, s
                if best > 0 and n_every < n_all:
                    every[n_every, SCORE], every[n_every, MID] = best, middle
                    every[n_every, WIDTH], every[n_every, SHAPE] = width, shape
                    n_every += 1
        for rank in range(n_best):
            best_place = -1
            for place in range(n_every):
                if best_place < 0 or every[place, SCORE] > every[best_place, SCORE]:
                    best_place = place
            if best_place < 0 or every[best_place, SCORE] <= 0:
                break
            middle, width = every[best_place, MID], every[best_place, WIDTH]
            found[source, rank] = every[best_place]
            for place in range(n_every):
                apart = max(width, every[place, WIDTH])
                if abs(every[place, MID] - middle) <= apart:
                    every[place, SCORE] = 0.0
    return found


@compiled(parallel=True)
def changes_at(mjd: Floats, mids: Floats, widths: Floats, tables: Floats, reach: float) -> Floats:
    """Return tabulated shapes at some times, for every epoch of minimum and width.

    `mids` are in MJD, `widths` in days; `tables`, shape (n_shapes, n_steps), extend from -`reach`
    to `reach` widths, and are interpolated linearly. Returns the shape (n_points, n_shapes, n_mids,
    n_widths), 0 outside the tables.
    """
    n_shapes, n_steps = tables.shape
    scale = (n_steps - 1) / (2.0 * reach)
    found = np.zeros((len(mjd), n_shapes, len(mids), len(widths)))
    for i in spread(len(mjd)):
        for m in range(len(mids)):
            for w in range(len(widths)):
                place = ((mjd[i] - mids[m]) / widths[w] + reach) * scale
                if place >= 0.0 and place < n_steps - 1:
                    cell = int(place)
                    part = place - cell
                    for s in range(n_shapes):
                        here, after = tables[s, cell], tables[s, cell + 1]
                        found[i, s, m, w] = here + part * (after - here)
    return found


@compiled(parallel=True)
def smoothed(offsets: Ints, mjd: Floats, flux: Floats, error: Floats) -> Floats:
    """Smooth relative flux densities with a damped random walk about 1 of 30 % and 30 days.

    Returns the expectation of the walk, at least 0.05, shape (n_points,): the values less what is
    error in them, which is the covariance of the errors times ``C^-1 y``.
    """
    walk = np.empty(len(mjd))
    for source in spread(len(offsets) - 1):
        own = slice(offsets[source], offsets[source + 1])
        recursion = _gains(mjd[own], error[own], np.array(_SMOOTH))
        variance = error[own] ** 2 + _SMOOTH[JITTER] ** 2
        walk[own] = flux[own] - 1.0 - variance * _solved(*recursion, flux[own] - 1.0)
    return np.maximum(1.0 + walk, _LEAST_SMOOTHED)


@compiled(parallel=True)
def most_significant_pairs(offsets: Ints, flux: Floats, error: Floats) -> Ints:
    """Find the pair of each source whose flux densities differ most, in units of their errors.

    ``Vs = (S_1 - S_2) / hypot(sigma_1, sigma_2)`` (Mooley et al. 2016, ApJ 818, 105). Source i has
    the measurements ``offsets[i]:offsets[i + 1]``. The result, shape (n_sources, 2), holds indices
    of the measurements, the earlier first; -1 for sources with fewer than two.
    """
    found = np.full((len(offsets) - 1, 2), -1, np.int64)
    for source in spread(len(offsets) - 1):
        largest = -1.0
        for i in range(offsets[source], offsets[source + 1]):
            for j in range(i + 1, offsets[source + 1]):
                difference = flux[i] - flux[j]
                # Compare squares, to avoid a square root in the innermost loop.
                significance = difference * difference / (error[i] * error[i] + error[j] * error[j])
                if significance > largest:
                    largest = significance
                    found[source, 0], found[source, 1] = i, j
    return found


@compiled()
def walks(offsets: Ints, mjd: Floats, sigma: Floats, tau: Floats, normal: Floats) -> Floats:
    """Return damped random walks from normal deviates; all shapes (n_points,), `tau` in days."""
    values = np.empty(len(mjd))
    for source in range(len(offsets) - 1):
        last = 0.0
        for i in range(offsets[source], offsets[source + 1]):
            k = np.exp((mjd[i - 1] - mjd[i]) / tau[i]) if i > offsets[source] else 0.0
            last = k * last + sigma[i] * np.sqrt(1.0 - k * k) * normal[i]
            values[i] = last
    return values


@compiled(parallel=True)
def recoloured(
    offsets: Ints, mjd: Floats, values: Floats, error: Floats, noise: Floats, order: Ints
) -> Floats:
    """Return light curves whose innovations are those of the given ones in another order.

    Innovations are over their standard deviation in the noise of their source, shape (n_sources,
    3), the level subtracted; `order`, shape (n_points,), holds the indices of measurements, those
    of each source in its own places.
    """
    made = np.empty(len(mjd))
    for source in spread(len(offsets) - 1):
        own = slice(offsets[source], offsets[source + 1])
        kept, gains, inverses = _gains(mjd[own], error[own], noise[source])
        by_1 = _solved(kept, gains, inverses, np.ones(len(kept)))
        left = values[own] - np.sum(by_1 * values[own]) / by_1.sum()
        state = 0.0
        for i in range(len(kept)):
            ahead = kept[i] * state
            state = ahead + gains[i] * (left[i] - ahead)
            left[i] = (left[i] - ahead) * np.sqrt(inverses[i])
        state = 0.0
        for i in range(len(kept)):
            surprise = left[order[own.start + i] - own.start] / np.sqrt(inverses[i])
            made[own.start + i] = kept[i] * state + surprise
            state = kept[i] * state + gains[i] * surprise
    return made
