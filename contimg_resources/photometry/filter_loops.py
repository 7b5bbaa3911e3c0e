"""Compiled sums over the stamps of sources.

Belongs here: loops over pixels. Doesn't: choosing sources, errors.
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.arrays import Floats, Ints, Singles

#: Results of the check of a stamp.
WHOLE, HAS_NAN, OVER_EDGE, OUT = 0, 1, 2, 3
_MOST = 12


@compiled(parallel=True)
def check_stamps(pixels: Singles, rows: Floats, columns: Floats, half: float) -> Ints:
    """Check which stamps are complete.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n_rows, n_columns)
        The image over its expected noise; not finite where nothing was observed.
    rows, columns : ndarray, shape (n,)
        Positions of the sources, pixels; NaN where there is none.
    half : float
        A stamp extends from ``round(x - half)`` to ``round(x + half)``, both included.

    Returns
    -------
    ndarray of int, shape (n,)
        WHOLE, HAS_NAN, OVER_EDGE, or OUT if the source itself is outside the image.
    """
    n_rows, n_columns = pixels.shape
    told = np.empty(len(rows), np.int64)
    for i in spread(len(rows)):
        y, x = rows[i], columns[i]
        if not (-0.5 <= y < n_rows - 0.5 and -0.5 <= x < n_columns - 0.5):
            told[i] = OUT
            continue
        if not np.isfinite(pixels[round(y), round(x)]):
            told[i] = OUT
            continue
        top, bottom = round(y - half), round(y + half)
        left, right = round(x - half), round(x + half)
        if top < 0 or left < 0 or bottom >= n_rows or right >= n_columns:
            told[i] = OVER_EDGE
            continue
        told[i] = WHOLE
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if not np.isfinite(pixels[row, column]):
                    told[i] = HAS_NAN
    return told


@compiled()
def blank_sources(
    pixels: Singles, rows: Floats, columns: Floats, forms: Floats, limits: Floats
) -> Singles:
    """Return a copy of an image with NaN at the sources.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n_rows, n_columns)
        The image.
    rows, columns : ndarray, shape (n,)
        Positions of the sources, pixels; NaN where there is none.
    forms : ndarray, shape (n, 3)
        Beam at each, see `contimg_resources.photometry.beams.quadratic_forms`.
    limits : ndarray, shape (n,)
        Pixels are blanked where the beam exceeds ``exp(-limit)``.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_columns)
        The image with only the sky between the sources.
    """
    sky = pixels.copy()
    n_rows, n_columns = pixels.shape
    for i in range(len(rows)):
        a, b, c = forms[i, 0], forms[i, 1], forms[i, 2]
        limit = limits[i]
        # Extent of the ellipse along rows and columns.
        determinant = a * c - b * b
        if not (determinant > 0 and np.isfinite(rows[i]) and np.isfinite(columns[i])):
            continue
        tall, wide = np.sqrt(limit * a / determinant), np.sqrt(limit * c / determinant)
        if rows[i] + tall < 0 or columns[i] + wide < 0:
            continue
        if rows[i] - tall > n_rows or columns[i] - wide > n_columns:
            continue
        for row in range(max(0, int(rows[i] - tall)), min(n_rows, int(rows[i] + tall) + 2)):
            for column in range(
                max(0, int(columns[i] - wide)), min(n_columns, int(columns[i] + wide) + 2)
            ):
                dy, dx = row - rows[i], column - columns[i]
                if a * dx * dx + 2 * b * dx * dy + c * dy * dy < limit:
                    sky[row, column] = np.nan
    return sky


@compiled(parallel=True)
def fit_stamps(
    pixels: Singles,
    weights: Singles,
    rows: Floats,
    columns: Floats,
    forms: Floats,
    backgrounds: Floats,
    noises: Floats,
    neighbours: Ints,
    half: float,
) -> tuple[Floats, Floats, Ints, Ints, Floats]:
    """Fit the flux density of each source jointly with those of its neighbours.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n_rows, n_columns)
        The image, Jy/beam.
    weights : ndarray of float32, shape (n_rows, n_columns) or (1, 1)
        Expected noise of each pixel in the units of `noises`; (1, 1) if it is 1 everywhere.
    rows, columns : ndarray, shape (n_all,)
        Positions of the sources, pixels; the first n have complete stamps.
    forms : ndarray, shape (n_all, 3)
        Beam at each, see `contimg_resources.photometry.beams.quadratic_forms`.
    backgrounds : ndarray, shape (n, 3)
        Background at each of the first n, Jy/beam, and its change per row and per column.
    noises : ndarray, shape (n,)
        Noise at the same sources, in units of `weights`.
    neighbours : ndarray of int, shape (n, 12)
        For each source: itself, then the jointly fitted neighbours; -1 where there is none.
    half : float
        As in `check_stamps`.

    Returns
    -------
    tuple
        Flux densities (Jy); chi2; number of pixels; whether the equations can be solved (1 or 0);
        and offsets of the source from its position, columns and rows, shape (n, 2), pixels.

    Notes
    -----
    Minimises ``sum ((d - sum_j S_j K_j) / n)^2`` over the union of the members' stamps; for one
    source that is the matched filter ``S = sum(K d / n^2) / sum(K^2 / n^2)`` (Condon 1997, PASP
    109, 166). The offset is the linear one: derivatives of K are fitted together with K.
    """
    n = len(backgrounds)
    n_rows, n_columns = pixels.shape
    flux, chi2 = np.full(n, np.nan), np.full(n, np.nan)
    n_pixels, solved = np.zeros(n, np.int64), np.zeros(n, np.int64)
    offsets = np.full((n, 2), np.nan)
    for i in spread(n):
        members = np.empty(_MOST, np.int64)
        n_members = 0
        for k in range(_MOST):
            if neighbours[i, k] >= 0:
                members[n_members] = neighbours[i, k]
                n_members += 1
        top, bottom, left, right = 1 << 60, -1, 1 << 60, -1
        for k in range(n_members):
            j = members[k]
            top = min(top, round(rows[j] - half))
            bottom = max(bottom, round(rows[j] + half))
            left = min(left, round(columns[j] - half))
            right = max(right, round(columns[j] + half))
        top, bottom = max(top, 0), min(bottom, n_rows - 1)
        left, right = max(left, 0), min(right, n_columns - 1)
        # Flux densities of the members, and the position of the first.
        size = n_members + 2
        normal, data = np.zeros((size, size)), np.zeros(size)
        terms = np.zeros(size)
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                inside = False
                for k in range(n_members):
                    j = members[k]
                    dy, dx = row - rows[j], column - columns[j]
                    tall = round(rows[j] - half) <= row <= round(rows[j] + half)
                    if tall and round(columns[j] - half) <= column <= round(columns[j] + half):
                        inside = True
                    q = forms[j, 0] * dx * dx + 2 * forms[j, 1] * dx * dy + forms[j, 2] * dy * dy
                    terms[k] = np.exp(-q)
                value = pixels[row, column]
                noise = noises[i]
                if weights.size > 1:
                    noise *= weights[row, column]
                if not (inside and np.isfinite(value) and 0 < noise < np.inf):
                    continue
                dy, dx = row - rows[i], column - columns[i]
                terms[n_members] = 2 * terms[0] * (forms[i, 0] * dx + forms[i, 1] * dy)
                terms[n_members + 1] = 2 * terms[0] * (forms[i, 1] * dx + forms[i, 2] * dy)
                weight = 1.0 / (noise * noise)
                level = backgrounds[i, 0] + backgrounds[i, 1] * dy + backgrounds[i, 2] * dx
                for a in range(size):
                    data[a] += weight * terms[a] * (value - level)
                    for b in range(a + 1):
                        normal[a, b] += weight * terms[a] * terms[b]
        for a in range(size):
            for b in range(a):
                normal[b, a] = normal[a, b]
        m = n_members
        scale = normal[0, 0]
        found: Floats = np.zeros(m)
        if scale > 0 and np.linalg.cond(normal[:m, :m]) < 1e4:
            found[:] = np.linalg.solve(normal[:m, :m].copy(), data[:m].copy())
            flux[i] = found[0]
            solved[i] = 1
            if np.linalg.cond(normal) < 1e8:
                wide = np.linalg.solve(normal, data)
                if wide[0] != 0:
                    offsets[i, 0] = wide[m] / wide[0]
                    offsets[i, 1] = wide[m + 1] / wide[0]
        total, count = 0.0, 0
        for row in range(round(rows[i] - half), round(rows[i] + half) + 1):
            for column in range(round(columns[i] - half), round(columns[i] + half) + 1):
                dy, dx = row - rows[i], column - columns[i]
                model = backgrounds[i, 0] + backgrounds[i, 1] * dy + backgrounds[i, 2] * dx
                for k in range(m):
                    j = members[k]
                    dy, dx = row - rows[j], column - columns[j]
                    q = forms[j, 0] * dx * dx + 2 * forms[j, 1] * dx * dy + forms[j, 2] * dy * dy
                    model += found[k] * np.exp(-q)
                noise = noises[i]
                if weights.size > 1:
                    noise *= weights[row, column]
                total += ((pixels[row, column] - model) / noise) ** 2
                count += 1
        chi2[i], n_pixels[i] = total, count
    return flux, chi2, n_pixels, solved, offsets
