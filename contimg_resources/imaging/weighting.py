"""Briggs weights, and the noise, beam and band that follow from them without imaging.

Belongs here: sums over weighted uv points. Doesn't: reading them, or the visibilities' values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import compiled, n_cores, spread
from contimg_resources.imaging.visibilities import Block, Visibilities

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Approximate number of pixels a side of the PSF.
_PSF_SIZE = 256
#: Maximum number of parallel partial sums: each is as large as the uv plane.
_MOST_HEAPS = 4


@dataclass(frozen=True)
class Weighting:
    """The result of Briggs weighting."""

    #: Imaging weight of each visibility of each block. Shape (n_rows, n_columns).
    weight: tuple[Singles, ...]
    noise_jy: float  #: Thermal noise of the dirty image (Stokes I), Jy/beam.
    #: Sum of the imaging weights for each field and channel. Shape (n_fields, n_channels).
    field_channel_weight: Floats
    #: Frequencies of the columns of all blocks one after the other, Hz. Shape (n_channels,).
    channels_hz: Floats

    @property
    def frequency_hz(self) -> float:
        """Return the effective frequency: mean over the imaging weights, Hz."""
        share = self.field_channel_weight.sum(axis=0)
        return float((share * self.channels_hz).sum() / share.sum())


def briggs(
    visibilities: Visibilities, robust: float, field_of_view_rad: float, size: int
) -> Weighting:
    """Compute imaging weights as CASA does.

    Parameters
    ----------
    visibilities : Visibilities
        The visibilities, with their uvw, weights and noise.
    robust : float
        Briggs robust parameter R.
    field_of_view_rad : float
        Width of the image, radians: its inverse is the size of a uv cell.
    size : int
        Pixels a side of the image.

    Returns
    -------
    Weighting
        Weights, noise and sums of weights.

    Notes
    -----
    With W_k the sum of natural weights w_i in the uv cell of point i (each point counted at +uv
    and -uv), ``f^2 = (5 10^-R)^2 / (sum_k W_k^2 / (2 sum_i w_i))`` and the imaging weight is
    ``g_i = w_i / (1 + W_k f^2)`` (Briggs 1995, thesis, ch. 3; CASA's VisImagingWeight). With s_i^2
    the variance of the real part of visibility i the noise of the image is
    ``sqrt(sum g_i^2 s_i^2) / sum g_i``.

    CASA assigns u in [k, k + 1) to cell k instead of rounding to the nearest one: with 24
    stations that changes the beam by 3 %.
    """
    blocks = visibilities.blocks
    density, inside = _counted(blocks, [b.weight for b in blocks], field_of_view_rad, size)
    share = float((density**2).sum()) / (2.0 * inside)
    f_squared = (5.0 * 10.0**-robust) ** 2 / share
    weights = tuple(_weighed(b, density, field_of_view_rad, f_squared) for b in blocks)
    return weighting_of(visibilities, weights)


def weighting_of(visibilities: Visibilities, weights: tuple[Singles, ...]) -> Weighting:
    """Return known imaging weights of visibilities, shape (n_rows, n_columns), with their sums."""
    total = sum(float(weight.sum(dtype=np.float64)) for weight in weights)
    summed = [
        _summed_up(b, weight, len(visibilities.pointings_deg))
        for b, weight in zip(visibilities.blocks, weights, strict=True)
    ]
    return Weighting(
        weight=weights,
        noise_jy=visibilities.noise_scale * float(np.sqrt(sum(s for _, s in summed))) / total,
        field_channel_weight=np.concatenate([s for s, _ in summed], axis=1),
        channels_hz=visibilities.channels_hz,
    )


def middle_of_psf(
    visibilities: Visibilities, weighting: Weighting, field_of_view_rad: float, size: int
) -> tuple[Floats, float]:
    """Return the centre of the point-spread function without w terms, and its pixel size in arcsec.

    Parameters
    ----------
    visibilities : Visibilities
        The visibilities, with their uvw.
    weighting : Weighting
        Imaging weights.
    field_of_view_rad : float
        Width of the image, radians.
    size : int
        Pixels a side of the image.

    Returns
    -------
    ndarray, shape (n, n)
        The point-spread function, peak 1.
    float
        Pixel size, arcsec.
    """
    uv_plane, _ = _counted(visibilities.blocks, weighting.weight, field_of_view_rad, size)
    psf, cells = _psf_of(uv_plane)
    return psf, float(np.rad2deg(field_of_view_rad) * 3600 / cells)


def _heaps() -> int:
    return min(_MOST_HEAPS, n_cores())


def _counted(
    blocks: Sequence[Block], weights: Sequence[Singles], width_rad: float, size: int
) -> tuple[Floats, float]:
    """Return weights summed in uv cells at +uv and -uv, and the sum of those inside."""
    heaps = np.zeros((_heaps(), size, size))
    for b, weight in zip(blocks, weights, strict=True):
        _count(b.uvw_m, b.channels_hz * (width_rad / speed_of_light), weight, heaps)
    once = heaps.sum(axis=0)
    # With u in [k, k + 1), -u is in [-k - 1, -k): opposite the centre, between two cells.
    return once + once[::-1, ::-1], float(once.sum())


def _weighed(block: Block, density: Floats, width_rad: float, f_squared: float) -> Singles:
    weight = np.zeros_like(block.weight)
    scale = block.channels_hz * (width_rad / speed_of_light)
    _weigh(block.uvw_m, scale, block.weight, density, f_squared, weight)
    return weight


def _summed_up(block: Block, weight: Singles, n_fields: int) -> tuple[Floats, float]:
    """Return the weight per field and channel, and the sum of weight^2 times variance."""
    sums, squares = np.zeros((_heaps(), n_fields, weight.shape[1])), np.zeros(_heaps())
    _sum_up(weight, block.weight, block.variance, block.field_ids, sums, squares)
    return sums.sum(axis=0), float(squares.sum())


@compiled(parallel=True)
def _count(uvw: Floats, scale: Floats, weight: Singles, heaps: Floats) -> None:
    n_heaps, size = heaps.shape[0], heaps.shape[1]
    half = size // 2
    n = len(weight)
    for heap in spread(n_heaps):
        for i in range(heap * n // n_heaps, (heap + 1) * n // n_heaps):
            for c in range(len(scale)):
                if weight[i, c] == 0:
                    continue
                column = int(np.floor(uvw[i, 0] * scale[c])) + half
                row = int(np.floor(uvw[i, 1] * scale[c])) + half
                if 0 < column < size and 0 < row < size:
                    heaps[heap, row, column] += weight[i, c]


@compiled(parallel=True)
def _weigh(
    uvw: Floats,
    scale: Floats,
    natural: Singles,
    density: Floats,
    f_squared: float,
    weight: Singles,
) -> None:
    size, half = len(density), len(density) // 2
    for i in spread(len(natural)):
        for c in range(len(scale)):
            if natural[i, c] == 0:
                continue
            column = int(np.floor(uvw[i, 0] * scale[c])) + half
            row = int(np.floor(uvw[i, 1] * scale[c])) + half
            if 0 < column < size and 0 < row < size:
                weight[i, c] = natural[i, c] / (1.0 + density[row, column] * f_squared)


@compiled(parallel=True)
def _sum_up(
    weight: Singles,
    natural: Singles,
    variance: Singles,
    field_ids: NDArray[np.int16],
    sums: Floats,
    squares: Floats,
) -> None:
    n_heaps, n = len(squares), len(weight)
    for heap in spread(n_heaps):
        square = 0.0
        for i in range(heap * n // n_heaps, (heap + 1) * n // n_heaps):
            for c in range(weight.shape[1]):
                if weight[i, c] > 0:
                    sums[heap, field_ids[i], c] += weight[i, c]
                    square += float(weight[i, c]) ** 2 * variance[i] / natural[i, c]
        squares[heap] = square


def _psf_of(uv_plane: Floats) -> tuple[Floats, int]:
    """Return the centre of the PSF, and the number of uv cells across it was made of.

    Summing neighbouring uv cells narrows the field of view.
    """
    size = len(uv_plane)
    step = max(1, size // _PSF_SIZE)
    kept = 2 * (size // (2 * step))
    edge = (size - kept * step) // 2
    # The uv origin stays at the central cell of a block, to half a cell.
    rolled = np.roll(uv_plane, step // 2, axis=(0, 1))[edge : edge + kept * step]
    rolled = rolled[:, edge : edge + kept * step]
    summed = rolled.reshape(kept, step, kept, step).sum(axis=(1, 3))
    psf = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(summed))))
    return np.asarray(psf / psf.max()), kept * step
