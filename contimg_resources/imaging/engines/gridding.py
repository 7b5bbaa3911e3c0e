"""Convert between visibilities and images with ducc0's w-gridder, in this project's conventions.

Belongs here: dirty images, point-spread functions, and the visibilities of a model.
Doesn't: CLEAN, weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import n_cores
from contimg_resources.imaging.model import ImageGrid
from contimg_resources.imaging.visibilities import Block

Values = Sequence[NDArray[np.complex64]]
Singles = NDArray[np.float32]

#: Error of the gridder relative to the image's rms: of exact images; of images used only to search
#: for bright sources, or without bright sources, which take half of the time; and of the
#: visibilities of a model of faint sources.
EXACT = 1e-4
ROUGH = 1e-3
FAINT = 1e-2


class Gridder:
    """Grids and degrids weighted visibilities.

    Parameters
    ----------
    blocks : sequence of Block
        Baselines and frequencies of the visibilities.
    weights : sequence of ndarray of float32, shape (n_rows, n_columns)
        Imaging weights of each block; a visibility without weight is ignored.
    together : bool
        Whether dirty images are made of all blocks at once: that copies the visibilities, and saves
        the Fourier transforms of all blocks but one, which take most of the time for few data.

    Attributes
    ----------
    accuracy : float
        `EXACT`, `ROUGH` or `FAINT`.

    Notes
    -----
    A source at l (east), m (north) has the visibility ``S exp(2 pi i (u l + v m + w (n - 1)))`` in
    a MeasurementSet. ducc0 computes ``exp(-2 pi i (u x + v y - w (n - 1)))``; images here have
    x = m along rows and y = -l along columns, so (-v, u, w) are its coordinates. Neither direction
    divides by n: a pixel of a dirty image is the flux density of a point source there.
    """

    def __init__(
        self, blocks: Sequence[Block], weights: Sequence[Singles], *, together: bool = False
    ) -> None:
        self.accuracy = EXACT
        baselines = [
            np.column_stack([-b.uvw_m[:, 1], b.uvw_m[:, 0], b.uvw_m[:, 2]]) for b in blocks
        ]
        masks = [(weight > 0).view(np.uint8) for weight in weights]
        self._parts = [
            {"uvw": uvw, "freq": b.channels_hz, "mask": mask}
            for uvw, b, mask in zip(baselines, blocks, masks, strict=True)
        ]
        self._weights = tuple(weights)
        self._joined = (
            {
                "uvw": np.concatenate(baselines),
                "freqlist_id": np.repeat(
                    np.arange(len(blocks), dtype=np.uint64), [len(uvw) for uvw in baselines]
                ),
                "freqlist_nfreqs": np.array([len(b.channels_hz) for b in blocks], np.uint64),
                "freqlist_freqs": np.concatenate([b.channels_hz for b in blocks]),
                "wgt": _flat(weights),
                "mask": _flat(masks),
            }
            if together
            else None
        )
        self._total = sum(float(w.sum(dtype=np.float64)) for w in weights)

    def dirty(self, values: Values, grid: ImageGrid) -> Singles:
        """Return the dirty image, Jy/beam, shape (size, size)."""
        return self._gridded(values, grid, w=True)

    def psf(self, grid: ImageGrid) -> Singles:
        """Return the point-spread function at the phase centre without w terms, peak 1.

        They are 0 where it matters, near the centre; far out they differ from source to source.
        """
        one = np.complex64(1.0)
        return self._gridded([np.broadcast_to(one, w.shape) for w in self._weights], grid, w=False)

    def response(self, model: Singles, grid: ImageGrid) -> Singles:
        """Return the dirty image (Jy/beam) of the visibilities of a model (Jy/pixel)."""
        import ducc0

        shown = [
            ducc0.wgridder.dirty2vis(**part, **self._how(grid), dirty=model, do_wgridding=True)
            for part in self._parts
        ]
        return self.dirty(shown, grid)

    def _gridded(self, values: Values, grid: ImageGrid, *, w: bool) -> Singles:
        import ducc0

        image = np.zeros((grid.size, grid.size), np.float32)
        how = self._how(grid) | {"npix_x": grid.size, "npix_y": grid.size, "do_wgridding": w}
        if self._joined is not None:
            # Of visibilities with different channels, which are one after the other.
            ducc0.wgridder.experimental.vis2dirty_bda(
                **self._joined, **how, vis=_flat(values), dirty=image
            )
        else:
            for known, weight, part in zip(values, self._weights, self._parts, strict=True):
                image += ducc0.wgridder.vis2dirty(**part, **how, vis=known, wgt=weight)
        image /= np.float32(self._total)
        return image

    def _how(self, grid: ImageGrid) -> dict[str, Any]:
        cell_rad = np.deg2rad(grid.cell_arcsec / 3600)
        return {
            "pixsize_x": cell_rad,
            "pixsize_y": cell_rad,
            "epsilon": self.accuracy,
            "divide_by_n": False,
            "nthreads": n_cores(),
        }


def _flat(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([array.ravel() for array in arrays])
