"""Between visibilities and images: ducc0's w-gridder with this project's axes and signs.

Belongs here: dirty images, point-spread functions, and the visibilities of a model.
Doesn't: CLEAN, weights.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import n_cores
from contimg_resources.imaging.model import ImageGrid

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Error of the gridder relative to the image's rms: of exact images, and of those in which bright
#: sources are only looked for, or are no more, which are made in half of the time.
EXACT = 1e-4
ROUGH = 1e-3


class Gridder:
    """Grids and degrids one set of weighted points.

    Parameters
    ----------
    uvw : ndarray, shape (n, 3)
        Baselines, wavelengths.
    weight : ndarray of float32, shape (n,)
        Imaging weights.

    Attributes
    ----------
    accuracy : float
        `EXACT` or `ROUGH`.

    Notes
    -----
    A source at l (east), m (north) has the visibility ``S exp(2 pi i (u l + v m + w (n - 1)))`` in
    a MeasurementSet. ducc0 computes ``exp(-2 pi i (u x + v y - w (n - 1)))``; images here have
    x = m along rows and y = -l along columns, so (-v, u, w) are its coordinates. Neither direction
    divides by n: a pixel of a dirty image is the flux density of a point there.
    """

    def __init__(self, uvw: Floats, weight: Singles) -> None:
        self.accuracy = EXACT
        self._uvw = np.column_stack([-uvw[:, 1], uvw[:, 0], uvw[:, 2]])
        self._weight = weight[:, None]
        self._total = float(weight.sum(dtype=np.float64))

    def dirty(self, values: NDArray[np.complex64], grid: ImageGrid) -> Singles:
        """Return the dirty image, Jy/beam, shape (size, size)."""
        return self._gridded(values, grid, w=True)

    def psf(self, grid: ImageGrid) -> Singles:
        """Return the point-spread function at the phase centre without w terms, peak 1.

        They are 0 where it matters, near the middle; far out they differ from source to source.
        """
        return self._gridded(np.ones(len(self._weight), np.complex64), grid, w=False)

    def values_of(self, model: Singles, grid: ImageGrid) -> NDArray[np.complex64]:
        """Return the visibilities (Jy) of a model, Jy/pixel, shape (n,)."""
        import ducc0

        cell_rad = np.deg2rad(grid.cell_arcsec / 3600)
        values = ducc0.wgridder.dirty2vis(
            uvw=self._uvw,
            freq=np.array([speed_of_light]),
            dirty=model,
            pixsize_x=cell_rad,
            pixsize_y=cell_rad,
            epsilon=self.accuracy,
            do_wgridding=True,
            divide_by_n=False,
            nthreads=n_cores(),
        )
        return np.asarray(values)[:, 0]

    def _gridded(self, values: NDArray[np.complex64], grid: ImageGrid, *, w: bool) -> Singles:
        import ducc0

        cell_rad = np.deg2rad(grid.cell_arcsec / 3600)
        image = ducc0.wgridder.vis2dirty(
            uvw=self._uvw,
            freq=np.array([speed_of_light]),
            vis=values[:, None],
            wgt=self._weight,
            npix_x=grid.size,
            npix_y=grid.size,
            pixsize_x=cell_rad,
            pixsize_y=cell_rad,
            epsilon=self.accuracy,
            do_wgridding=w,
            divide_by_n=False,
            nthreads=n_cores(),
        )
        return np.asarray(image / np.float32(self._total))
