"""Compiled fits of smooth surfaces to blocks of pixels.

Belongs here: loops over the pixels of blocks. Doesn't: choosing blocks (see `background`).
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.arrays import Floats, Ints, Singles

#: Standard deviation of a normal distribution over its median absolute deviation.
_STD_OF_MAD = 1.482602218505602
#: Pixels above this multiple of the noise are sources.
_CLIP = 3.0
#: Pixels above this multiple of the noise have less weight in the first iterations (Huber).
_HUBER = 1.5
_SOFT_TURNS, _TURNS = 5, 10
#: A window with too little sky grows by half a block on each side, this many times.
_GROWN = 4
_FEWEST = 10


@compiled()
def _solved(normal: Floats, data: Floats, n: int) -> Floats:
    """Solve the normal equations of the first n terms; NaN if they are singular."""
    found: Floats = np.full(6, np.nan)
    a: Floats = normal[:n, :n].copy()
    b: Floats = data[:n].copy()
    # Cholesky: a is symmetric and positive.
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            if i == j:
                if not total > 1e-9 * normal[i, i]:
                    return found
                a[i, i] = np.sqrt(total)
            else:
                a[i, j] = total / a[j, j]
    for i in range(n):
        for k in range(i):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            b[i] -= a[k, i] * b[k]
        b[i] /= a[i, i]
    found[:] = 0.0
    found[:n] = b
    return found


@compiled(parallel=True)
def fit_blocks(
    pixels: Singles,
    weights: Singles,
    row_edges: Ints,
    column_edges: Ints,
    step: int,
    n_terms: int,
    least: int,
) -> tuple[Floats, Floats, Ints]:
    """Fit a polynomial to the sky in each block, sources clipped.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n_rows, n_columns)
        The image, Jy/beam; NaN where sources are or nothing was observed.
    weights : ndarray of float32, shape (n_rows, n_columns) or (1, 1)
        Expected noise of each pixel; (1, 1) if it is the same everywhere.
    row_edges, column_edges : ndarray of int, shape (n_down + 1,), (n_across + 1,)
        Edges of the blocks, pixels.
    step : int
        Spacing of the rows and columns that are used.
    n_terms : int
        1, 3 or 6: a constant, a plane, or a quadratic surface.
    least : int
        A block with fewer pixels of sky also uses those around it; a window that still has fewer
        is fitted with a plane or a constant.

    Returns
    -------
    tuple
        Coefficients of 1, u, w, uu, uw, ww, shape (n_down, n_across, 6), where u and w are columns
        and rows from the block's centre in half blocks; noise of unclipped pixels in units of
        `weights`, shape (n_down, n_across); number of pixels of sky in the window. NaN where there
        is too little sky.
    """
    n_rows, n_columns = pixels.shape
    n_down, n_across = len(row_edges) - 1, len(column_edges) - 1
    surfaces = np.full((n_down, n_across, 6), np.nan)
    noises = np.full((n_down, n_across), np.nan)
    counts = np.zeros((n_down, n_across), np.int64)
    for block in spread(n_down * n_across):
        i, j = block // n_across, block % n_across
        top, bottom = row_edges[i], row_edges[i + 1]
        left, right = column_edges[j], column_edges[j + 1]
        tall, wide = 0.5 * (bottom - top), 0.5 * (right - left)
        middle_row, middle_column = 0.5 * (top + bottom) - 0.5, 0.5 * (left + right) - 0.5
        n = 0
        values, sigmas = np.empty(0), np.empty(0)
        us, ws = np.empty(0), np.empty(0)
        for grown in range(_GROWN + 1):
            first_row = max(0, top - int(grown * tall))
            last_row = min(n_rows, bottom + int(grown * tall))
            first_column = max(0, left - int(grown * wide))
            last_column = min(n_columns, right + int(grown * wide))
            # The grid of pixels is independent of the blocks.
            first_row = (first_row + step - 1) // step * step
            first_column = (first_column + step - 1) // step * step
            room = max(0, (last_row - first_row + step - 1) // step) * max(
                0, (last_column - first_column + step - 1) // step
            )
            values, sigmas = np.empty(room), np.empty(room)
            us, ws = np.empty(room), np.empty(room)
            n = 0
            for row in range(first_row, last_row, step):
                for column in range(first_column, last_column, step):
                    value = pixels[row, column]
                    sigma = weights[row, column] if weights.size > 1 else weights[0, 0]
                    if np.isfinite(value) and 0 < sigma < np.inf:
                        values[n], sigmas[n] = value, sigma
                        us[n] = (column - middle_column) / wide
                        ws[n] = (row - middle_row) / tall
                        n += 1
            if n >= least:
                break
        counts[i, j] = n
        if n < _FEWEST:
            continue
        terms = min(n_terms, 6 if n >= least else (3 if n >= least // 2 else 1))
        residual = np.empty(n)
        start = np.median(values[:n])
        for k in range(n):
            residual[k] = (values[k] - start) / sigmas[k]
        centre = 0.0
        noise = _STD_OF_MAD * np.median(np.abs(residual))
        found = np.zeros(6)
        found[0] = start
        kept = np.ones(n, np.bool_)
        n_kept = n
        powers = np.empty(6)
        for turn in range(_TURNS):
            normal, data = np.zeros((6, 6)), np.zeros(6)
            for k in range(n):
                away = abs(residual[k] - centre)
                weight = 1.0 / (sigmas[k] * sigmas[k])
                if turn < _SOFT_TURNS:
                    if away > _HUBER * noise:
                        weight *= _HUBER * noise / away
                elif not kept[k]:
                    continue
                powers[0], powers[1], powers[2] = 1.0, us[k], ws[k]
                powers[3], powers[4], powers[5] = us[k] ** 2, us[k] * ws[k], ws[k] ** 2
                for a in range(terms):
                    data[a] += weight * powers[a] * values[k]
                    for b in range(a + 1):
                        normal[a, b] += weight * powers[a] * powers[b]
            fitted = _solved(normal, data, terms)
            if not np.isfinite(fitted[0]):
                if terms == 1:
                    break
                terms = 3 if terms == 6 else 1
                continue
            found[:] = fitted
            for k in range(n):
                surface = found[0] + found[1] * us[k] + found[2] * ws[k]
                surface += found[3] * us[k] ** 2 + found[4] * us[k] * ws[k] + found[5] * ws[k] ** 2
                residual[k] = (values[k] - surface) / sigmas[k]
            some = residual[kept] if turn >= _SOFT_TURNS else residual
            centre = np.median(some)
            noise = _STD_OF_MAD * np.median(np.abs(some - centre))
            if turn + 1 < _SOFT_TURNS:
                continue
            changed, n_kept = False, 0
            for k in range(n):
                inside = abs(residual[k] - centre) <= _CLIP * noise
                changed = changed or inside != kept[k]
                kept[k] = inside
                n_kept += inside
            if not changed:
                break
        if n_kept < _FEWEST:
            continue
        some = residual[kept]
        # The constant is the median, which residual flux of sources biases less than the mean.
        middle = np.median(some)
        found[0] += middle * np.median(sigmas[:n][kept])
        surfaces[i, j] = found
        noises[i, j] = _STD_OF_MAD * np.median(np.abs(some - middle))
    return surfaces, noises, counts


@compiled(parallel=True)
def surfaces_at(
    rows: Floats,
    columns: Floats,
    row_edges: Ints,
    column_edges: Ints,
    surfaces: Floats,
    noises: Floats,
    known: Floats,
) -> tuple[Floats, Floats]:
    """Interpolate background and noise at positions between the four blocks around each.

    Parameters
    ----------
    rows, columns : ndarray, shape (n,)
        Positions, pixels.
    row_edges, column_edges : ndarray of int
        As in `fit_blocks`.
    surfaces, noises : ndarray, shape (n_down, n_across, 6), (n_down, n_across)
        Values of all blocks; see `fit_blocks`.
    known : ndarray, shape (n_down, n_across)
        Weights of the blocks.

    Returns
    -------
    tuple of ndarray, shape (n,)
        Background and noise.
    """
    n_down, n_across = noises.shape
    level, noise = np.empty(len(rows)), np.empty(len(rows))
    for k in spread(len(rows)):
        row = min(max(rows[k], row_edges[0] - 0.5), row_edges[n_down] - 0.5)
        column = min(max(columns[k], column_edges[0] - 0.5), column_edges[n_across] - 0.5)
        # Blocks may differ by a pixel in size, so the estimate is corrected.
        i = _before(row_edges, row)
        j = _before(column_edges, column)
        total, surface, scatter = 0.0, 0.0, 0.0
        for a in range(2):
            for b in range(2):
                p, q = i + a, j + b
                if not (0 <= p < n_down and 0 <= q < n_across):
                    continue
                tall = 0.5 * (row_edges[p + 1] - row_edges[p])
                wide = 0.5 * (column_edges[q + 1] - column_edges[q])
                w = (row - (0.5 * (row_edges[p] + row_edges[p + 1]) - 0.5)) / tall
                u = (column - (0.5 * (column_edges[q] + column_edges[q + 1]) - 0.5)) / wide
                share = known[p, q] * (max(1e-6, 1 - 0.5 * abs(u)) * max(1e-6, 1 - 0.5 * abs(w)))
                c = surfaces[p, q]
                there = c[0] + c[1] * u + c[2] * w + c[3] * u * u + c[4] * u * w + c[5] * w * w
                total += share
                surface += share * there
                scatter += share * noises[p, q]
        level[k], noise[k] = surface / total, scatter / total
    return level, noise


@compiled()
def _before(edges: Ints, place: float) -> int:
    """Return the last block whose centre is at or before a position; -1 before the first."""
    n = len(edges) - 1
    size = (edges[n] - edges[0]) / n
    i = min(max(int((place + 0.5 - edges[0]) / size), 0), n - 1)
    while i > 0 and edges[i] > place + 0.5:
        i -= 1
    while i < n - 1 and edges[i + 1] <= place + 0.5:
        i += 1
    return i if place >= 0.5 * (edges[i] + edges[i + 1]) - 0.5 else i - 1


@compiled(parallel=True)
def compare_levels(
    residuals: Floats,
    finer: Floats,
    row_edges: Ints,
    column_edges: Ints,
    noises: Floats,
    step: int,
) -> tuple[Floats, Ints]:
    """Compare the residuals of two backgrounds in each block.

    Parameters
    ----------
    residuals, finer : ndarray, shape (n_rows / step, n_columns / step)
        Subsampled image less either background, in the units of `noises`; NaN where there is no
        sky.
    row_edges, column_edges : ndarray of int
        Edges of the blocks, pixels of the image.
    noises : ndarray, shape (n_down, n_across)
        Noise with the second background.
    step : int
        Spacing of `residuals` in pixels of the image.

    Returns
    -------
    tuple of ndarray, shape (n_down, n_across)
        Logarithm of the ratio of their mean squares, where each square is limited to three times
        the noise; and numbers of pixels.
    """
    n_down, n_across = noises.shape
    told, counts = np.zeros((n_down, n_across)), np.zeros((n_down, n_across), np.int64)
    for i in spread(n_down):
        for j in range(n_across):
            most = (_CLIP * noises[i, j]) ** 2
            first, second, n = 0.0, 0.0, 0
            for row in range((row_edges[i] + step - 1) // step, (row_edges[i + 1] - 1) // step + 1):
                for column in range(
                    (column_edges[j] + step - 1) // step, (column_edges[j + 1] - 1) // step + 1
                ):
                    if np.isfinite(finer[row, column]):
                        first += min(residuals[row, column] ** 2, most)
                        second += min(finer[row, column] ** 2, most)
                        n += 1
            if n and second > 0:
                told[i, j], counts[i, j] = np.log(first / second), n
    return told, counts
