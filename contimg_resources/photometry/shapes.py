"""Widths of sources relative to the restoring beam, and integrated flux densities.

Belongs here: widths, their errors, flagging of extended sources. Doesn't: loops over pixels (see
`shape_loops`).
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Bools, Floats, Ints, Singles
from contimg_resources.photometry.correlation import NoiseCorrelation, convolved
from contimg_resources.photometry.shape_loops import fit_shapes, whitening

#: Minimum S/N of measured shapes.
SHAPE_SNR = 10.0
#: A source is extended if its width exceeds the tolerance by this many errors.
_SIGNIFICANT = 4.0
_TURNS = 30
#: Errors are calculated for a Gaussian whose axes differ by at most this fraction from the fit.
_SAME_SHAPE = 0.1
#: FWHM of a Gaussian with the same variance as a box of width 1.
_FWHM_OF_BOX = np.sqrt(8 * np.log(2) / 12)
#: Integrated flux density and the sum of two squared widths, in parameters of a fit.
_INTEGRAL = np.array([1.0, 0.5, 0.5, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class WidthAllowance:
    """Tolerance for the width of a point source."""

    #: Fraction of the width, for errors of the header's beam, the pixels and the deconvolution.
    share: float
    #: Smearing (FWHM) by bandwidth and integration time at each source, arcsec. Shape (n,).
    smearing_arcsec: Floats

    def squared(self, minor_arcsec: float) -> Floats:
        """Return the allowed squared width less 1, in squares of the beam's minor axis."""
        return np.asarray((1 + self.share) ** 2 - 1 + (self.smearing_arcsec / minor_arcsec) ** 2)


def smearing_arcsec(
    distance_deg: Floats, frequency_hz: float, channel_hz: float, integration_s: float
) -> Floats:
    """Return the smearing of a point source away from the phase centre by averaging.

    Parameters
    ----------
    distance_deg : ndarray, shape (n,)
        Distance from the phase centre, degrees.
    frequency_hz, channel_hz : float
        Frequency of the image, and width of an imaged channel, Hz.
    integration_s : float
        Averaging time, s.

    Returns
    -------
    ndarray, shape (n,)
        FWHM of a Gaussian as wide as the smearing, arcsec.

    Notes
    -----
    Boxes of length ``r dnu / nu`` along the radius and at most ``r omega t`` across it (Bridle &
    Schwab 1999, ASP Conf. 180, 371), in quadrature.
    """
    earth_per_s = 2 * np.pi / 86_164.09
    lengths = np.hypot(channel_hz / frequency_hz, earth_per_s * integration_s)
    return np.asarray(3600 * distance_deg * lengths * _FWHM_OF_BOX)


@dataclass(frozen=True)
class Shapes:
    """Fitted shapes of some sources.

    Arrays have the shape (n,).
    """

    integrated_jy: Floats  #: Integrated flux densities, Jy; NaN without a fit.
    integrated_error_jy: Floats  #: Their uncertainties, Jy; NaN without a fit.
    width: Floats  #: Largest width over that of the beam along the same direction.
    width_error: Floats  #: Its uncertainty.
    extended: Bools  #: Whether the width exceeds that of a point source.


def measure_shapes(
    pixels: Singles,
    weights: Singles,
    rows: Floats,
    columns: Floats,
    forms: Floats,
    planes: Floats,
    rms: Floats,
    members: Ints,
    starts: Floats,
    half: float,
    correlation: NoiseCorrelation,
    allowed: Floats,
) -> Shapes:
    """Measure the widths of sources.

    Parameters
    ----------
    pixels, weights : ndarray of float32
        Image and expected noise, see `contimg_resources.photometry.shape_loops.fit_shapes`.
    rows, columns : ndarray, shape (n_all,)
        Positions of sources and neighbours, pixels.
    forms : ndarray, shape (n_all, 3)
        Beam at each.
    planes : ndarray, shape (n, 3)
        Background at the measured sources.
    rms : ndarray, shape (n,)
        Noise of a pixel at each, Jy/beam.
    members : ndarray of int, shape (n, 12)
        Each measured source, and its jointly fitted neighbours.
    starts : ndarray, shape (n, 2)
        Start of the fit: columns and rows from the source's position, pixels.
    half : float
        Half side of a stamp, pixels.
    correlation : NoiseCorrelation
        Correlation of the noise.
    allowed : ndarray, shape (n,)
        Maximum squared width of a point source in units of the beam, less 1.

    Notes
    -----
    With the covariance matrices B of the beam and ``B^(1/2) (1 + M) B^(1/2)`` of the source a
    linear fit gives M, whose larger eigenvalue is that of the direction in which the source is
    widest. A source is extended if the width exceeds the tolerance by four errors, for noise with
    the image's measured autocorrelation; its fit is iterated until the Gaussian converges.
    """
    n = len(members)
    if not n:
        none = np.empty(0)
        return Shapes(none, none, none, none, np.empty(0, bool))
    linear, _ = fit_shapes(pixels, weights, rows, columns, forms, planes, members, starts, half, 1)
    peak = linear[:, 0]
    errors = _ErrorsOfShapes(correlation, half)
    point = errors.of(np.median(forms[members[:, 0]], axis=0))
    with np.errstate(invalid="ignore"):
        excess, direction = _largest(linear[:, 1:] / peak[:, None])
        excess_error = _along(point[1:4, 1:4], direction) * rms / peak
        extended = excess > allowed + _SIGNIFICANT * excess_error
    integrated = linear[:, :4] @ _INTEGRAL[:4]
    integrated_error = np.sqrt(_INTEGRAL @ point @ _INTEGRAL) * rms
    width, width_error = _widths(excess, excess_error)
    wide = np.flatnonzero(extended)
    last, found = fit_shapes(
        pixels,
        weights,
        rows,
        columns,
        forms,
        planes[wide],
        members[wide],
        starts[wide],
        half,
        _TURNS,
    )
    for k, i in enumerate(wide):
        if not np.isfinite(found[k]).all():
            continue
        root, own_root = whitening(forms[members[i, 0]]), whitening(found[k, 2:])
        # Covariance of the source in units of that of the beam.
        across = root @ np.linalg.inv(own_root)
        squares, axes = np.linalg.eigh(across @ across.T)
        area = float(np.sqrt(squares.prod()))
        own = errors.of(found[k, 2:], float(np.sqrt(max(1.0, squares[-1]))))
        integrated[i] = area * last[k, 0]
        integrated_error[i] = area * np.sqrt(_INTEGRAL @ own @ _INTEGRAL) * rms[i]
        width[i] = np.sqrt(squares[-1])
        # Along the same direction, in units of the Gaussian itself.
        along = np.linalg.solve(across, axes[:, -1])
        direction = np.array([np.arctan2(along[1], along[0])])
        relative = float(_along(own[1:4, 1:4], direction)[0]) * rms[i] / last[k, 0]
        width_error[i] = 0.5 * width[i] * relative
    return Shapes(integrated, integrated_error, width, width_error, extended)


def _largest(change: Floats) -> tuple[Floats, Floats]:
    """Return the larger eigenvalue of symmetric matrices (11, 22, 12), and its direction."""
    one, two, both = change.T
    value = 0.5 * (one + two) + np.hypot(0.5 * (one - two), both)
    return value, np.asarray(0.5 * np.arctan2(2 * both, one - two))


def _along(covariance: Floats, direction: Floats) -> Floats:
    """Return the error of a squared width along a direction."""
    c, s = np.cos(direction), np.sin(direction)
    by = np.stack([c * c, s * s, 2 * c * s], axis=-1)
    return np.asarray(np.sqrt(np.einsum("ni,ij,nj->n", by, covariance, by)))


def _widths(excess: Floats, error: Floats) -> tuple[Floats, Floats]:
    with np.errstate(invalid="ignore"):
        width = np.sqrt(np.maximum(1 + excess, 0.0))
        return width, 0.5 * error / np.maximum(width, 0.5)


class _ErrorsOfShapes:
    """Covariances of Gaussian fits in an image's noise, calculated once for similar shapes."""

    def __init__(self, correlation: NoiseCorrelation, half: float) -> None:
        self._correlation, self._half = correlation, half
        self._known: dict[tuple[int, ...], Floats] = {}

    def of(self, form: Floats, grown: float = 1.0) -> Floats:
        """Return the covariance of peak, three changes times the peak, and two moves times it.

        It is ``H^-1 G H^-1`` with ``H = T T'``, ``G = T C T'`` of the templates T, in squares of
        the noise of a pixel, shape (6, 6). `form`, shape (3,), is the Gaussian's, per square pixel;
        `grown` is the enlargement of its stamp.
        """
        values, axes = np.linalg.eigh([[form[0], form[1]], [form[1], form[2]]])
        angle = np.arctan2(axes[1, 0], axes[0, 0]) % np.pi
        key = (*np.rint(0.5 * np.log(values) / _SAME_SHAPE), round(float(angle) * 12 / np.pi) % 12)
        name = tuple(int(v) for v in key)
        if name not in self._known:
            self._known[name] = self._worked_out(form, min(grown, 4.0))
        return self._known[name]

    def _worked_out(self, form: Floats, grown: float) -> Floats:
        h = round(self._half * grown)
        row, column = np.mgrid[-h : h + 1, -h : h + 1].astype(float)
        root = whitening(form)
        u = root[0, 0] * column + root[0, 1] * row
        w = root[1, 1] * row
        height = np.exp(-0.5 * (u * u + w * w))
        templates = height * np.stack([np.ones_like(u), u * u / 2, w * w / 2, u * w, u, w])
        blurred = convolved(templates, self._correlation.by_lag[None], same=True)
        flat = templates.reshape(6, -1)
        inverse = np.linalg.inv(flat @ flat.T)
        return np.asarray(inverse @ (flat @ blurred.reshape(6, -1).T) @ inverse)
