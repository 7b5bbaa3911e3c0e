"""Compiled loops of the source finder: peaks, joint fits of components, subtracting them.

Belongs here: loops over pixels. Doesn't: choosing and judging components (see `finding`).
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.arrays import Bools, Floats, Ints, Singles
from contimg_resources.photometry.shape_loops import CONVERGED, changed_form

#: Parameters of a component: peak, squared widths along two axes, their product, and two moves.
_OWN = 6
#: Maximum shift of an iteration, in widths.
_LARGEST_MOVE = 0.5
#: Errors need no more pixels than these: neighbouring ones are correlated.
_MOST_PIXELS = 600
#: A component is subtracted where it is above ``exp(-limit)`` of its peak.
_FAR = 14.0


@compiled()
def local_maxima(pixels: Singles, weights: Singles, least: float) -> Ints:
    """Return rows and columns of pixels that are higher than their eight neighbours.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n_rows, n_columns)
        The image; NaN is lower than any value.
    weights : ndarray of float32, shape (n_rows, n_columns) or (1, 1)
        Expected noise of each pixel; (1, 1) if it is the same everywhere.
    least : float
        Lowest value in units of `weights`.

    Returns
    -------
    ndarray of int, shape (n, 2)
    """
    n_rows, n_columns = pixels.shape
    found = np.empty((1024, 2), np.int64)
    n = 0
    for row in range(1, n_rows - 1):
        for column in range(1, n_columns - 1):
            value = pixels[row, column]
            noise = weights[row, column] if weights.size > 1 else weights[0, 0]
            if not (value > least * noise and noise > 0):
                continue
            highest = True
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    other = pixels[row + dy, column + dx]
                    # Of two equal neighbours the later one counts.
                    later = dy > 0 or (dy == 0 and dx > 0)
                    if other > value or (later and other == value):
                        highest = False
            if highest:
                if n == len(found):
                    more = np.empty((2 * n, 2), np.int64)
                    more[:n] = found
                    found = more
                found[n, 0], found[n, 1] = row, column
                n += 1
    return found[:n].copy()


@compiled()
def add_components(pixels: Singles, components: Floats, factor: float) -> None:
    """Add Gaussians times a factor to an image, in place.

    `components`, shape (n, 6), hold peak, column, row and the form: ``peak exp(-(a dx^2 + 2 b dx dy
    + c dy^2))``, in pixels.
    """
    n_rows, n_columns = pixels.shape
    for i in range(len(components)):
        peak, x, y, a, b, c = components[i]
        determinant = a * c - b * b
        if not (determinant > 0 and np.isfinite(peak)):
            continue
        tall, wide = np.sqrt(_FAR * a / determinant), np.sqrt(_FAR * c / determinant)
        for row in range(max(0, int(y - tall)), min(n_rows, int(y + tall) + 2)):
            for column in range(max(0, int(x - wide)), min(n_columns, int(x + wide) + 2)):
                dy, dx = row - y, column - x
                q = a * dx * dx + 2 * b * dx * dy + c * dy * dy
                if q < _FAR:
                    pixels[row, column] += factor * peak * np.exp(-q)


@compiled(parallel=True)
def fit_components(
    residual: Singles,
    starts: Floats,
    free: Bools,
    groups: Ints,
    planes: Floats,
    by_lag: Floats,
    point_limit: float,
    free_limit: float,
    turns: int,
) -> tuple[Floats, Floats, Bools, Bools]:
    """Fit the Gaussians of each group jointly: peaks, positions and, where free, shapes.

    Parameters
    ----------
    residual : ndarray of float32, shape (n_rows, n_columns)
        The image without all components as they are at the start.
    starts : ndarray, shape (n, 6)
        The components, see `add_components`, ordered by group.
    free : ndarray of bool, shape (n,)
        Whether the shape is fitted, too.
    groups : ndarray of int, shape (m, 2)
        First component of each group, and the one after its last.
    planes : ndarray, shape (m, 3)
        Background at the first component of each group, and its change per row and per column.
    by_lag : ndarray, shape (2 reach + 1, 2 reach + 1)
        Autocorrelation of the noise, 1 at lag 0.
    point_limit, free_limit : float
        The fit uses pixels where a component is above ``exp(-limit)`` of its peak; the second is
        for those of free shape.
    turns : int
        Maximum number of Gauss-Newton iterations.

    Returns
    -------
    tuple
        Components, shape (n, 6), NaN where there is no fit. Their covariances in squares of the
        noise of a pixel, shape (n, 6, 6): of the peak, and, times the peak, of the relative changes
        of the squared widths along u and w, of their product, and of the moves along u and w (see
        `contimg_resources.photometry.shape_loops.whitening`); ``H^-1 G H^-1``, with ``H = T T'``
        and ``G = T C T'`` of the templates T. Whether each converged, and whether it has all its
        pixels.
    """
    n_rows, n_columns = residual.shape
    n = len(starts)
    found = np.full((n, 6), np.nan)
    covariance = np.full((n, _OWN, _OWN), np.nan)
    converged, whole = np.zeros(n, np.bool_), np.ones(n, np.bool_)
    reach = by_lag.shape[0] // 2
    for g in spread(len(groups)):
        first, last = groups[g, 0], groups[g, 1]
        m = last - first
        box = np.array([1 << 40, -1, 1 << 40, -1])
        offsets = np.empty(m + 1, np.int64)
        offsets[0] = 0
        now = starts[first:last].copy()
        for k in range(m):
            _, x, y, a, b, c = now[k]
            limit = free_limit if free[first + k] else point_limit
            determinant = a * c - b * b
            tall, wide = np.sqrt(limit * a / determinant), np.sqrt(limit * c / determinant)
            box[0], box[1] = min(box[0], int(y - tall)), max(box[1], int(y + tall) + 1)
            box[2], box[3] = min(box[2], int(x - wide)), max(box[3], int(x + wide) + 1)
            offsets[k + 1] = offsets[k] + (_OWN if free[first + k] else 3)
        size = offsets[m]
        room = max(0, (box[1] - box[0] + 1) * (box[3] - box[2] + 1))
        at = np.empty((room, 2), np.int64)
        value = np.empty(room)
        used = 0
        for row in range(box[0], box[1] + 1):
            for column in range(box[2], box[3] + 1):
                inside = False
                model = 0.0
                outside = not (0 <= row < n_rows and 0 <= column < n_columns)
                known = not outside and np.isfinite(residual[row, column])
                for k in range(m):
                    dy, dx = row - now[k, 2], column - now[k, 1]
                    q = now[k, 3] * dx * dx + 2 * now[k, 4] * dx * dy + now[k, 5] * dy * dy
                    model += now[k, 0] * np.exp(-q)
                    if q < (free_limit if free[first + k] else point_limit):
                        inside = True
                        if not known:
                            whole[first + k] = False
                if inside and known:
                    dy, dx = row - starts[first, 2], column - starts[first, 1]
                    level = planes[g, 0] + planes[g, 1] * dy + planes[g, 2] * dx
                    at[used, 0], at[used, 1] = row, column
                    value[used] = residual[row, column] + model - level
                    used += 1
        if used < size + 1:
            continue
        good, done = True, False
        terms = np.empty((used, size))
        roots = np.empty((m, 3))
        for _ in range(turns):
            _fill(terms, at, now, free[first:last], offsets, roots)
            normal = terms.T @ terms
            data = terms.T @ value[:used]
            if not np.linalg.cond(normal) < 1e9:
                good = False
                break
            solved = np.linalg.solve(normal, data)
            done = True
            for k in range(m):
                done = _step(now, k, solved, offsets[k], free[first + k], roots) and done
                x, y = now[k, 1], now[k, 2]
                if not (now[k, 0] > 0 and -1 < x < n_columns and -1 < y < n_rows):
                    good = False
            if done or not good:
                break
        if not good:
            continue
        # Errors, from pixels that are far enough apart to be few.
        every = 1 + used // _MOST_PIXELS
        _fill(terms, at, now, free[first:last], offsets, roots)
        some = np.arange(0, used, every)
        few = terms[some].copy()
        normal = few.T @ few
        if not np.linalg.cond(normal) < 1e9:
            continue
        blurred = np.zeros_like(few)
        for i in range(len(some)):
            for j in range(len(some)):
                dy, dx = at[some[i], 0] - at[some[j], 0], at[some[i], 1] - at[some[j], 1]
                if abs(dy) <= reach and abs(dx) <= reach:
                    alike = by_lag[reach + dy, reach + dx]
                    for p in range(size):
                        blurred[i, p] += alike * few[j, p]
        inverse = np.linalg.inv(normal)
        both = inverse @ (few.T @ blurred) @ inverse
        for k in range(m):
            o = offsets[k]
            found[first + k] = now[k]
            converged[first + k] = done
            # A fixed shape has no errors; its moves follow its peak.
            covariance[first + k] = 0.0
            width = _OWN if free[first + k] else 3
            for p in range(width):
                for q in range(width):
                    i = p if width == _OWN or p == 0 else p + 3
                    j = q if width == _OWN or q == 0 else q + 3
                    covariance[first + k, i, j] = both[o + p, o + q]
    return found, covariance, converged, whole


@compiled()
def _fill(terms: Floats, at: Ints, now: Floats, free: Bools, offsets: Ints, roots: Floats) -> None:
    """Fill the templates of all components at all pixels."""
    for k in range(len(now)):
        a, b, c = now[k, 3], now[k, 4], now[k, 5]
        # u = L^T x with L L^T twice the form, so that the Gaussian is exp(-|u|^2 / 2).
        l11 = np.sqrt(2 * a)
        l21 = 2 * b / l11
        l22 = np.sqrt(2 * c - l21 * l21)
        roots[k, 0], roots[k, 1], roots[k, 2] = l11, l21, l22
        o = offsets[k]
        for i in range(len(terms)):
            dy, dx = at[i, 0] - now[k, 2], at[i, 1] - now[k, 1]
            u, w = l11 * dx + l21 * dy, l22 * dy
            height = np.exp(-0.5 * (u * u + w * w))
            terms[i, o] = height
            if free[k]:
                terms[i, o + 1], terms[i, o + 2] = 0.5 * u * u * height, 0.5 * w * w * height
                terms[i, o + 3] = u * w * height
                terms[i, o + 4], terms[i, o + 5] = u * height, w * height
            else:
                terms[i, o + 1], terms[i, o + 2] = u * height, w * height


@compiled()
def _step(now: Floats, k: int, solved: Floats, o: int, free: bool, roots: Floats) -> bool:
    """Move a component by one iteration; return whether it has converged."""
    l11, l21, l22 = roots[k]
    peak = solved[o]
    if not peak > 0:
        now[k, 0] = -1.0
        return False
    move = o + (4 if free else 1)
    du, dw = solved[move] / peak, solved[move + 1] / peak
    far = np.hypot(du, dw)
    if far > _LARGEST_MOVE:
        du, dw = du * _LARGEST_MOVE / far, dw * _LARGEST_MOVE / far
    dy = dw / l22
    now[k, 0] = peak
    now[k, 1] += (du - l21 * dy) / l11
    now[k, 2] += dy
    if not free:
        return bool(far < CONVERGED)
    m11, m22, m12 = solved[o + 1] / peak, solved[o + 2] / peak, solved[o + 3] / peak
    now[k, 3], now[k, 4], now[k, 5], changed = changed_form(l11, l21, l22, m11, m22, m12)
    return bool(changed < CONVERGED and far < CONVERGED)
