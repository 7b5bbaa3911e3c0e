"""Compiled loops over light curves: dips, pairs of epochs, random walks.

Belongs here: the loops. Doesn't: the use of their results.
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.variability.templates import MIN_POINTS, MOST_OF_SPAN

#: Columns of the result for the best dip of a source.
SCORE, MID, WIDTH, SHAPE, DEPTH, SIGNIFICANCE, SPREAD, WINDOWS = range(8)
N_SAID = 8

#: Minimum number of measurements in the dip, and on the baseline before it.
MIN_IN_DIP, MIN_BEFORE = 3, 3
#: The baseline extends this many widths to both sides of the epoch of minimum.
WINDOW_WIDTHS = 2.0
#: The baseline before a dip begins and ends this many widths before its epoch of minimum.
BEFORE_FROM, BEFORE_TO = 2.0, 0.75
#: Step between trial epochs of minimum, in widths.
STEP_WIDTHS = 1.0 / 6.0
#: Times this close to the best dip don't count for the scatter at other times, in widths.
_OWN_WIDTHS = 3.0
_FEWEST_OTHERS = 6


@compiled(parallel=True)
def best_dips(
    offsets: Ints,
    mjd: Floats,
    flux: Floats,
    error: Floats,
    shapes: Floats,
    reach: float,
    widths: Floats,
    min_depth: float,
) -> Floats:
    """Find the best dip of each source.

    Around each trial epoch of minimum, as far as `WINDOW_WIDTHS`, a straight baseline and the
    shape's depth are fitted by weighted least squares. Depth over its error, squared, is chi2 of
    the baseline alone less chi2 with the dip. It is divided by the same of the source's other
    times, or by the reduced chi2 of the fit, where one of them exceeds the expectation for noise: a
    source that varies all the time has no events.

    Parameters
    ----------
    offsets : ndarray of int, shape (n_sources + 1,)
        Source i has the measurements ``offsets[i]:offsets[i + 1]``, in the order of time.
    mjd, flux, error : ndarray, shape (n_points,)
        Days; any unit.
    shapes : ndarray, shape (n_shapes, n_steps)
        Tables from -`reach` to `reach`, in widths; minimum -1.
    reach : float
        Half the length of the tables, in widths.
    widths : ndarray, shape (n_widths,)
        Full widths at half depth, days.
    min_depth : float
        Depth of the shallowest dip as a fraction of the baseline.

    Returns
    -------
    ndarray, shape (n_sources, N_SAID)
        Score, epoch of minimum (MJD), width (days), index of the shape, depth as a fraction of the
        baseline, depth over its error, and the spread that it was divided by; the score is 0 if
        there is no dip. The last column is the number of windows with enough measurements.
    """
    n_shapes, n_steps = shapes.shape
    said = np.zeros((len(offsets) - 1, N_SAID))
    for source in spread(len(offsets) - 1):
        first, end = offsets[source], offsets[source + 1]
        if end - first < MIN_POINTS:
            continue
        for width in widths:
            if width > MOST_OF_SPAN * (mjd[end - 1] - mjd[first]):
                continue
            step = width * STEP_WIDTHS
            # Up to half a width after the last measurement, for events in progress.
            n_middles = int((mjd[end - 1] + 0.5 * width - mjd[first]) / step) + 1
            ratio = np.full((n_shapes, n_middles), np.nan)
            depth = np.zeros((n_shapes, n_middles))
            misfits = np.ones((n_shapes, n_middles))
            left = first
            for number in range(n_middles):
                middle = mjd[first] + number * step
                while left < end and mjd[left] < middle - WINDOW_WIDTHS * width:
                    left += 1
                n_points, n_in_dip, n_before = 0, 0, 0
                s1, sx, sxx, sf, sxf, sff = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                right = left
                while right < end and mjd[right] <= middle + WINDOW_WIDTHS * width:
                    x = (mjd[right] - middle) / width
                    w = 1.0 / (error[right] * error[right])
                    n_points += 1
                    if abs(x) <= 0.5:
                        n_in_dip += 1
                    if -BEFORE_FROM <= x <= -BEFORE_TO:
                        n_before += 1
                    s1 += w
                    sx += w * x
                    sxx += w * x * x
                    sf += w * flux[right]
                    sxf += w * x * flux[right]
                    sff += w * flux[right] * flux[right]
                    right += 1
                if n_points < MIN_POINTS or n_in_dip < MIN_IN_DIP or n_before < MIN_BEFORE:
                    continue
                determinant = s1 * sxx - sx * sx
                if not determinant > 1e-9 * s1 * sxx:
                    continue
                said[source, WINDOWS] += 1
                for shape in range(n_shapes):
                    sk, sxk, skk, skf = 0.0, 0.0, 0.0, 0.0
                    for i in range(left, right):
                        x = (mjd[i] - middle) / width
                        place = (x + reach) / (2.0 * reach) * (n_steps - 1)
                        cell = int(place)
                        part = place - cell
                        k = shapes[shape, cell] * (1.0 - part) + shapes[shape, cell + 1] * part
                        w = 1.0 / (error[i] * error[i])
                        sk += w * k
                        sxk += w * x * k
                        skk += w * k * k
                        skf += w * k * flux[i]
                    # The shape, and its product with the data, after projecting out a baseline.
                    level = (sxx * sk - sx * sxk) / determinant
                    slope = (s1 * sxk - sx * sk) / determinant
                    own = skk - level * sk - slope * sxk
                    if not own > 1e-6 * skk:
                        continue
                    amount = (skf - level * sf - slope * sxf) / own
                    base = (sxx * (sf - amount * sk) - sx * (sxf - amount * sxk)) / determinant
                    flat = (sxx * sf - sx * sxf) / determinant
                    tilt = (s1 * sxf - sx * sf) / determinant
                    left_over = sff - flat * sf - tilt * sxf - amount * amount * own
                    misfit = max(1.0, left_over / max(n_points - 4, 1))
                    ratio[shape, number] = amount * np.sqrt(own)
                    misfits[shape, number] = misfit
                    depth[shape, number] = amount / base if base > 0 else 0.0
            for shape in range(n_shapes):
                best, most = -1, 0.0
                for number in range(n_middles):
                    z = ratio[shape, number]
                    deep = z > 0 and min_depth <= depth[shape, number] <= 1.2
                    if deep:
                        fitting = z * z / misfits[shape, number]
                        if fitting > most:
                            best, most = number, fitting
                if best < 0:
                    continue
                others = np.empty(n_middles)
                n_others = 0
                for number in range(n_middles):
                    far = abs(number - best) * STEP_WIDTHS > _OWN_WIDTHS
                    if far and not np.isnan(ratio[shape, number]):
                        others[n_others] = abs(ratio[shape, number])
                        n_others += 1
                other = np.sqrt(misfits[shape, best])
                if n_others >= _FEWEST_OTHERS:
                    other = max(other, 1.4826 * np.median(others[:n_others]))
                score = (ratio[shape, best] / other) ** 2
                if score > said[source, SCORE]:
                    said[source, SCORE] = score
                    said[source, MID] = mjd[first] + best * step
                    said[source, WIDTH] = width
                    said[source, SHAPE] = shape
                    said[source, DEPTH] = depth[shape, best]
                    said[source, SIGNIFICANCE] = ratio[shape, best]
                    said[source, SPREAD] = other
    return said


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
def whitened(
    mjd: Floats, error: Floats, columns: Floats, scatter: float, memory_days: float
) -> tuple[Floats, float]:
    """Whiten columns of values with the covariance of a damped random walk and of the errors.

    If the data follow such a walk, each whitened column (of the data or of a model of them) has
    variance 1 and no correlation in time, so ordinary least squares is correct. The covariance of
    the walk is ``scatter^2 exp(-dt / memory)``; it is evaluated with the Kalman recursion of Kelly
    et al. 2009 (ApJ 698, 895, eqs 6-12) in one pass over the measurements. Times are in days,
    rising; columns, shape (m, n), in the unit of `error` and `scatter`. Also returned is the
    logarithm of the covariance's determinant.
    """
    n_columns, n = columns.shape
    left = np.empty((n_columns, n))
    state = np.zeros(n_columns)
    variance = scatter * scatter
    log_determinant = 0.0
    for i in range(n):
        if i > 0:
            kept = np.exp(-(mjd[i] - mjd[i - 1]) / memory_days)
            variance = kept * kept * variance + scatter * scatter * (1.0 - kept * kept)
            for c in range(n_columns):
                state[c] *= kept
        total = variance + error[i] * error[i]
        gain = variance / total
        root = np.sqrt(total)
        log_determinant += np.log(total)
        for c in range(n_columns):
            surprise = columns[c, i] - state[c]
            left[c, i] = surprise / root
            state[c] += gain * surprise
        variance *= 1.0 - gain
    return left, log_determinant
