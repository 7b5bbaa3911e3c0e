"""Briggs weights, and what follows from them without imaging: the noise, the beam, the band.

Belongs here: sums over weighted uv points. Doesn't: reading them, or values of visibilities.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.imaging.visibilities import Block, Visibilities

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weighting:
    """What Briggs weighting makes of the visibilities.

    Parameters
    ----------
    noise_jy : float
        Thermal noise of the dirty image (Stokes I), Jy/beam.
    psf : ndarray, shape (size, size)
        Point-spread function without w terms, peak 1 at (size/2, size/2).
    psf_cell_arcsec : float
        Its pixel, arcsec.
    field_channel_weight : ndarray, shape (n_fields, n_channels)
        Sum of the imaging weights for each field and channel.
    channels_hz : ndarray, shape (n_channels,)
        Channel centres of all windows one after the other, Hz.
    """

    noise_jy: float
    psf: Floats
    psf_cell_arcsec: float
    field_channel_weight: Floats
    channels_hz: Floats

    @property
    def frequency_hz(self) -> float:
        """Effective frequency: mean over the imaging weights, Hz."""
        share = self.field_channel_weight.sum(axis=0)
        return float((share * self.channels_hz).sum() / share.sum())


def briggs(
    visibilities: Visibilities, robust: float, field_of_view_rad: float, size: int
) -> Weighting:
    """Weigh the visibilities as CASA does.

    Parameters
    ----------
    visibilities : Visibilities
        Their uvw, weights and noise.
    robust : float
        Briggs robust R.
    field_of_view_rad : float
        Width of the image, radians: its inverse is the cell in which uv points are counted.
    size : int
        Pixels a side of the image.

    Returns
    -------
    Weighting
        Noise, PSF and sums of weights.

    Notes
    -----
    With W_k the sum of natural weights w_i in the uv cell of point i (each point counted at +uv
    and -uv), ``f^2 = (5 10^-R)^2 / (sum_k W_k^2 / (2 sum_i w_i))`` and the imaging weight is
    ``g_i = w_i / (1 + W_k f^2)`` (Briggs 1995, thesis, ch. 3; CASA's VisImagingWeight). With s_i^2
    the variance of the real part of visibility i the noise of the image is
    ``sqrt(sum g_i^2 s_i^2) / sum g_i``.
    """
    density = np.zeros(size * size)
    total = 0.0
    for _, _, weight, _, cells in _points(visibilities, field_of_view_rad, size):
        for cell in cells:
            density += np.bincount(cell, weights=weight, minlength=size * size)
        total += float(weight.sum())
    share = float((density**2).sum()) / (2.0 * total)
    f_squared = (5.0 * 10.0**-robust) ** 2 / share
    return _sum_up(visibilities, field_of_view_rad, size, density, f_squared)


def _sum_up(
    visibilities: Visibilities, width_rad: float, size: int, density: Floats, f_squared: float
) -> Weighting:
    n_fields = len(visibilities.pointings_deg)
    channels_hz = np.concatenate([b.channels_hz for b in visibilities.blocks])
    sums = np.zeros((n_fields, len(channels_hz)))
    uv_plane = np.zeros(size * size)
    variance_sum = 0.0
    for channel, block, weight, variance, cells in _points(visibilities, width_rad, size):
        imaging = weight / (1.0 + density[cells[0]] * f_squared)
        for cell in cells:
            uv_plane += np.bincount(cell, weights=imaging, minlength=size * size)
        sums[:, channel] = np.bincount(block.field_ids, weights=imaging, minlength=n_fields)
        variance_sum += float((imaging**2 * variance).sum())
    psf = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(uv_plane.reshape(size, size)))).real
    return Weighting(
        noise_jy=visibilities.noise_scale * float(np.sqrt(variance_sum) / sums.sum()),
        psf=psf / psf.max(),
        psf_cell_arcsec=float(np.rad2deg(width_rad) * 3600 / size),
        field_channel_weight=sums,
        channels_hz=channels_hz,
    )


def _points(
    visibilities: Visibilities, width_rad: float, size: int
) -> Iterator[tuple[int, Block, Floats, Floats, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Go through the uv points channel by channel: number, block, weight, variance, cells."""
    number = 0
    for block in visibilities.blocks:
        for i, frequency_hz in enumerate(block.channels_hz):
            scale = frequency_hz / speed_of_light * width_rad
            u = np.rint(block.uvw_m[:, 0] * scale).astype(np.int64)
            v = np.rint(block.uvw_m[:, 1] * scale).astype(np.int64)
            half = size // 2
            inside = (np.abs(u) < half) & (np.abs(v) < half)
            weight = np.where(inside, block.weight[:, i], 0.0)
            u, v = np.where(inside, u, 0), np.where(inside, v, 0)
            variance = block.variance[:, min(i, block.variance.shape[1] - 1)].astype(np.float64)
            cells = ((v + half) * size + u + half, (half - v) * size + half - u)
            yield number, block, weight, variance, cells
            number += 1
