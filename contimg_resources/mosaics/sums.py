"""Running sums of a mosaic: the contributions of tiles, added in any order.

Belongs here: the two sums and the count, as arrays in a file. Doesn't: the list of added tiles (in
the summary beside the file), making the tiles' contributions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import MosaicFailed

Pixels = NDArray[np.float32]

_LAYERS = 3


@dataclass(frozen=True)
class Sums:
    """Sums over tiles for each pixel of a mosaic.

    Notes
    -----
    With PB-corrected tiles ``I_i = F_i / B_i`` and weights ``w_i = B_i^2 / sigma_i^2`` the mosaic
    is ``I = sum(w I) / sum(w)`` and its noise ``sigma = 1 / sqrt(sum(w))`` (Cornwell 1988, A&A
    202, 316). So a tile adds ``w I = B F / sigma^2`` and ``w = B^2 / sigma^2``: nothing is divided
    by a small B. The order of additions affects at most the seventh digit.
    """

    #: ``sum(w I)``, ``sum(w)`` and the number of tiles; mapped from a file. Shape (3, rows,
    #: columns).
    layers: Pixels

    @classmethod
    def new(cls, path: Path, rows: int, columns: int) -> "Sums":
        """Make a file of zeros."""
        layers = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float32, shape=(_LAYERS, rows, columns)
        )
        return cls(layers)

    @classmethod
    def opened(cls, path: Path, rows: int, columns: int) -> "Sums":
        """Open a file that can be written to.

        Raises
        ------
        MosaicFailed
            If it doesn't exist or has another shape or type.
        """
        try:
            layers = np.lib.format.open_memmap(path, mode="r+")
        except (OSError, ValueError) as error:
            raise MosaicFailed(f"{path} can't be read: {error}", path=str(path)) from error
        if layers.shape != (_LAYERS, rows, columns) or layers.dtype != np.float32:
            raise MosaicFailed(f"{path} holds {layers.dtype} {layers.shape}", path=str(path))
        return cls(layers)

    def add(
        self, box: tuple[slice, slice], image: Pixels, beam: Pixels, rms_jy: float, cut: float
    ) -> int:
        """Add a tile; return the number of its pixels in the mosaic.

        Parameters
        ----------
        box : tuple of slice
            Rows and columns of the mosaic.
        image : ndarray of float32, shape of the box
            Tile before primary-beam correction, Jy/beam.
        beam : ndarray of float32, shape of the box
            Primary beam.
        rms_jy : float
            Noise of the tile before primary-beam correction, Jy/beam.
        cut : float
            The tile contributes where its primary beam is higher.
        """
        with np.errstate(invalid="ignore"):
            used = (beam > cut) & np.isfinite(image)
        response = np.where(used, beam, np.float32(0)) / np.float32(rms_jy)
        self.layers[0][box] += response * np.where(used, image, np.float32(0)) / np.float32(rms_jy)
        self.layers[1][box] += response**2
        self.layers[2][box] += used
        return int(used.sum())

    def image(self) -> Pixels:
        """Return the mosaic, Jy/beam; NaN where there is no tile."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.layers[0] / self.layers[1], dtype=np.float32)

    def sigma(self) -> Pixels:
        """Return its expected noise, Jy/beam; NaN where there is no tile."""
        weight = self.layers[1]
        with np.errstate(divide="ignore"):
            return np.where(weight > 0, 1.0 / np.sqrt(weight), np.nan).astype(np.float32)

    def coverage(self) -> Pixels:
        """Return the number of tiles at each pixel."""
        return np.asarray(self.layers[2], dtype=np.float32)
