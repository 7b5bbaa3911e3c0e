"""Compiled fits of elliptical Gaussians to the stamps of sources.

Belongs here: loops over pixels. Doesn't: choosing sources, errors (see `shapes`).
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.arrays import Floats, Ints, Singles

_MOST = 12
_OWN = 6
#: Limits of an iteration: the factor less 1 for squared widths, and the shift in widths.
_LEAST_STEP, _LARGEST_STEP, _LARGEST_MOVE = -0.4, 0.8, 0.7
#: Largest change, and shift in widths, of an iteration that ends a fit.
CONVERGED = 1e-3
#: Larger sources are fitted in larger stamps, up to this factor.
_LARGEST_STAMP = 4.0


@compiled()
def changed_form(
    l11: float, l21: float, l22: float, m11: float, m22: float, m12: float
) -> tuple[float, float, float, float]:
    """Return a Gaussian's form after one iteration of a fit, and the largest change.

    Parameters
    ----------
    l11, l21, l22 : float
        Cholesky factor of twice the present form: u = l11 dx + l21 dy and w = l22 dy are offsets
        in widths, dx and dy in pixels.
    m11, m22, m12 : float
        Fitted change of the squared widths in u and w, as a fraction of them. Its eigenvalues are
        limited, so that the form stays an ellipse.

    Returns
    -------
    tuple of float
        The new form a, b, c of exp(-(a dx^2 + 2 b dx dy + c dy^2)), per square pixel, and the
        largest absolute eigenvalue of the limited change.
    """
    middle, half_gap = 0.5 * (m11 + m22), np.hypot(0.5 * (m11 - m22), m12)
    angle = 0.5 * np.arctan2(2 * m12, m11 - m22)
    large = min(max(middle + half_gap, _LEAST_STEP), _LARGEST_STEP)
    small = min(max(middle - half_gap, _LEAST_STEP), _LARGEST_STEP)
    cos, sin = np.cos(angle), np.sin(angle)
    # The inverse of 1 + m, in u and w; converted to pixels it is twice the new form.
    i11 = cos * cos / (1 + large) + sin * sin / (1 + small)
    i22 = sin * sin / (1 + large) + cos * cos / (1 + small)
    i12 = cos * sin * (1 / (1 + large) - 1 / (1 + small))
    return (
        0.5 * l11 * l11 * i11,
        0.5 * (l11 * l21 * i11 + l11 * l22 * i12),
        0.5 * (l21 * l21 * i11 + 2 * l21 * l22 * i12 + l22 * l22 * i22),
        max(abs(large), abs(small)),
    )


@compiled(parallel=True)
def fit_shapes(
    pixels: Singles,
    weights: Singles,
    rows: Floats,
    columns: Floats,
    forms: Floats,
    backgrounds: Floats,
    neighbours: Ints,
    starts: Floats,
    half: float,
    turns: int,
) -> tuple[Floats, Floats]:
    """Fit an elliptical Gaussian to each source, jointly with the flux densities of neighbours.

    Parameters
    ----------
    pixels : ndarray of float32, shape (n_rows, n_columns)
        The image, Jy/beam.
    weights : ndarray of float32, shape (n_rows, n_columns) or (1, 1)
        Expected noise of each pixel; (1, 1) if it is the same everywhere.
    rows, columns : ndarray, shape (n_all,)
        Positions of sources and neighbours, pixels.
    forms : ndarray, shape (n_all, 3)
        Beam at each, see `contimg_resources.photometry.beams.quadratic_forms`.
    backgrounds : ndarray, shape (n, 3)
        Background at the fitted sources: Jy/beam, and its change per row and per column.
    neighbours : ndarray of int, shape (n, 12)
        For each source: itself, then the jointly fitted neighbours; -1 where there is none.
    starts : ndarray, shape (n, 2)
        Start of the fit: columns and rows from the source's position, pixels.
    half : float
        Half side of a stamp, pixels.
    turns : int
        Maximum number of Gauss-Newton iterations. After one, shape and position are linear
        estimates with normally distributed errors.

    Returns
    -------
    tuple
        For each source the peak (Jy/beam), and the change of the squared widths by the last
        iteration in units of the Gaussian at its start, times the peak: of two axes and their
        product, shape (n, 4), see `whitening`; and the position (column, row) and form of the
        Gaussian at the start of a further iteration, shape (n, 5). NaN where there is no fit.
    """
    n = len(neighbours)
    n_rows, n_columns = pixels.shape
    last, found = np.full((n, 4), np.nan), np.full((n, 5), np.nan)
    for i in spread(n):
        first = neighbours[i, 0]
        n_members = 1
        while n_members < _MOST and neighbours[i, n_members] >= 0:
            n_members += 1
        size = _OWN + n_members - 1
        x, y = columns[first] + starts[i, 0], rows[first] + starts[i, 1]
        a, b, c = forms[first, 0], forms[first, 1], forms[first, 2]
        for _ in range(turns):
            # u = L^T x with L L^T twice the form, so that the Gaussian is exp(-|u|^2 / 2).
            l11 = np.sqrt(2 * a)
            l21 = 2 * b / l11
            l22 = np.sqrt(2 * c - l21 * l21)
            grown = np.sqrt(max(1.0, min(forms[first, 0] / a, _LARGEST_STAMP**2)))
            grown = max(grown, np.sqrt(min(forms[first, 2] / c, _LARGEST_STAMP**2)))
            reach = half * grown
            normal, data = np.zeros((size, size)), np.zeros(size)
            terms = np.zeros(size)
            for row in range(max(0, round(y - reach)), min(n_rows - 1, round(y + reach)) + 1):
                for column in range(
                    max(0, round(x - reach)), min(n_columns - 1, round(x + reach)) + 1
                ):
                    noise = weights[row, column] if weights.size > 1 else weights[0, 0]
                    value = pixels[row, column]
                    if not (np.isfinite(value) and 0 < noise < np.inf):
                        continue
                    u = l11 * (column - x) + l21 * (row - y)
                    w = l22 * (row - y)
                    height = np.exp(-0.5 * (u * u + w * w))
                    terms[0] = height
                    terms[1], terms[2] = 0.5 * u * u * height, 0.5 * w * w * height
                    terms[3] = u * w * height
                    terms[4], terms[5] = u * height, w * height
                    for k in range(1, n_members):
                        j = neighbours[i, k]
                        dy, dx = row - rows[j], column - columns[j]
                        q = forms[j, 0] * dx * dx + 2 * forms[j, 1] * dx * dy
                        terms[_OWN + k - 1] = np.exp(-q - forms[j, 2] * dy * dy)
                    dy, dx = row - rows[first], column - columns[first]
                    value -= backgrounds[i, 0] + backgrounds[i, 1] * dy + backgrounds[i, 2] * dx
                    weight = 1.0 / (noise * noise)
                    for p in range(size):
                        data[p] += weight * terms[p] * value
                        for q in range(p + 1):
                            normal[p, q] += weight * terms[p] * terms[q]
            for p in range(size):
                for q in range(p):
                    normal[q, p] = normal[p, q]
            if not normal[0, 0] > 0 or not np.linalg.cond(normal) < 1e10:
                last[i], found[i] = np.nan, np.nan
                break
            solved = np.linalg.solve(normal, data)
            if not solved[0] > 0:
                last[i], found[i] = np.nan, np.nan
                break
            last[i] = solved[:4]
            m11, m22, m12 = solved[1] / solved[0], solved[2] / solved[0], solved[3] / solved[0]
            # The shift of the peak is u of the new position.
            du, dw = solved[4] / solved[0], solved[5] / solved[0]
            far = np.hypot(du, dw)
            if far > _LARGEST_MOVE:
                du, dw = du * _LARGEST_MOVE / far, dw * _LARGEST_MOVE / far
            dy = dw / l22
            dx = (du - l21 * dy) / l11
            x, y = x + dx, y + dy
            a, b, c, changed = changed_form(l11, l21, l22, m11, m22, m12)
            found[i, 0], found[i, 1] = x, y
            found[i, 2], found[i, 3], found[i, 4] = a, b, c
            if changed < CONVERGED and far < CONVERGED:
                break
    return last, found


def whitening(form: Floats) -> Floats:
    """Return the matrix, for (column, row), that makes a Gaussian round with width 1.

    `form`, shape (3,), is the Gaussian's, per square pixel; the matrix has the shape (2, 2).
    """
    a, b, c = form
    return np.asarray(np.linalg.cholesky(2 * np.array([[a, b], [b, c]])).T)
