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

#: Pixels a side of the PSF, about.
_PSF_SIZE = 256


@dataclass(frozen=True)
class Weighting:
    """What Briggs weighting makes of the visibilities.

    Parameters
    ----------
    noise_jy : float
        Thermal noise of the dirty image (Stokes I), Jy/beam.
    psf : ndarray, shape (n, n)
        Middle of the point-spread function without w terms, peak 1.
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
    for points in _points(visibilities, field_of_view_rad, size):
        for cell in points.cells:
            density += np.bincount(cell, weights=points.weight, minlength=size * size)
        total += float(points.weight.sum())
    share = float((density**2).sum()) / (2.0 * total)
    f_squared = (5.0 * 10.0**-robust) ** 2 / share
    return _sum_up(visibilities, field_of_view_rad, size, density, f_squared)


def _sum_up(
    visibilities: Visibilities, width_rad: float, size: int, density: Floats, f_squared: float
) -> Weighting:
    n_fields = len(visibilities.pointings_deg)
    uv_plane = np.zeros(size * size)
    sums, variance_sum = [], 0.0
    for points in _points(visibilities, width_rad, size):
        imaging = points.weight / (1.0 + density[points.cells[0]] * f_squared)
        for cell in points.cells:
            uv_plane += np.bincount(cell, weights=imaging, minlength=size * size)
        n = points.n_channels
        place = (points.block.field_ids[:, None] * n + np.arange(n)).ravel()
        sums.append(np.bincount(place, weights=imaging, minlength=n_fields * n).reshape(-1, n))
        variance_sum += float((imaging**2 * points.variance).sum())
    field_channel_weight = np.concatenate(sums, axis=1).astype(np.float64)
    psf, cells = _middle_of_psf(uv_plane.reshape(size, size))
    return Weighting(
        noise_jy=visibilities.noise_scale
        * float(np.sqrt(variance_sum) / field_channel_weight.sum()),
        psf=psf,
        psf_cell_arcsec=float(np.rad2deg(width_rad) * 3600 / cells),
        field_channel_weight=field_channel_weight,
        channels_hz=np.concatenate([b.channels_hz for b in visibilities.blocks]),
    )


def _middle_of_psf(uv_plane: Floats) -> tuple[Floats, int]:
    """Return the middle of the PSF, and how many uv cells across it was made of.

    Summing neighbouring uv cells narrows the field of view.
    """
    size = len(uv_plane)
    step = max(1, size // _PSF_SIZE)
    kept = 2 * (size // (2 * step))
    edge = (size - kept * step) // 2
    # The uv origin stays at the middle cell of a block, to half a cell.
    rolled = np.roll(uv_plane, step // 2, axis=(0, 1))[edge : edge + kept * step]
    rolled = rolled[:, edge : edge + kept * step]
    summed = rolled.reshape(kept, step, kept, step).sum(axis=(1, 3))
    psf = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(summed))))
    return np.asarray(psf / psf.max()), kept * step


@dataclass(frozen=True)
class _Points:
    """The uv points of one block, row by row: each array has n_rows x n_channels elements."""

    block: Block
    n_channels: int
    weight: Floats
    variance: Floats
    cells: tuple[NDArray[np.int64], NDArray[np.int64]]


def _points(visibilities: Visibilities, width_rad: float, size: int) -> Iterator[_Points]:
    """Give uv points with the cells that they and their conjugates fall into."""
    half = size // 2
    for block in visibilities.blocks:
        scale = block.channels_hz / speed_of_light * width_rad
        u = np.rint(np.outer(block.uvw_m[:, 0], scale)).astype(np.int64)
        v = np.rint(np.outer(block.uvw_m[:, 1], scale)).astype(np.int64)
        inside = (np.abs(u) < half) & (np.abs(v) < half)
        u, v = np.where(inside, u, 0).ravel(), np.where(inside, v, 0).ravel()
        yield _Points(
            block=block,
            n_channels=len(scale),
            weight=np.where(inside, block.weight, 0.0).ravel(),
            variance=np.broadcast_to(block.variance, inside.shape).ravel().astype(np.float64),
            cells=((v + half) * size + u + half, (half - v) * size + half - u),
        )
