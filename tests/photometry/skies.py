"""Made-up images with sources whose flux densities are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.imaging.model import Beam, ImageGrid
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.photometry.measuring import RawMeasurements, measure
from contimg_resources.photometry.model import MeasurableImage, SourceList
from contimg_resources.photometry.reading import read_image
from contimg_resources.simulation.tiles import MadeUpTile, write_tile

Floats = NDArray[np.float64]

CELL_ARCSEC = 20.0
#: Three pixels across its minor axis, as real images have.
BEAM = Beam(100.0, 60.0, 25.0)
MAJOR_PIXELS = BEAM.major_arcsec / CELL_ARCSEC
SIZE = 400
RMS_JY = 1e-3
#: Error of a flux density in noise of the beam's shape, before primary-beam correction.
ERROR_JY = np.sqrt(2) * RMS_JY
SNR_CLASSES = (0.0, 3.0, 8.0, 20.0, 60.0)


@dataclass(frozen=True)
class Sky:
    """An image and what is in it."""

    image: MeasurableImage
    sources: SourceList
    flux_jy: Floats

    def measured(self) -> RawMeasurements:
        return measure(self.image, self.sources)

    def pulls(self) -> Floats:
        raw = self.measured()
        return (raw.flux_jy - self.flux_jy) / raw.error_jy


def places(seed: int, spacing: int = 26, margin: int = 12, size: int = SIZE) -> tuple[Floats, ...]:
    """Return columns and rows of sources that don't disturb each other."""
    rng = np.random.default_rng([seed, 1])
    nodes = np.arange(margin, size - margin, spacing)
    x, y = (v.ravel() for v in np.meshgrid(nodes, nodes))
    return x + rng.uniform(-5, 5, x.size), y + rng.uniform(-5, 5, y.size)


def grid(size: int = SIZE, dec_deg: float = 54.0, ra_deg: float = 180.0) -> ImageGrid:
    return ImageGrid(size, CELL_ARCSEC, ra_deg, dec_deg)


def sky(
    root: Path,
    columns: Any,
    rows: Any,
    flux_jy: Any,
    *,
    on: ImageGrid | None = None,
    listed: Sequence[tuple[float, float]] | None = None,
    **tile: Any,
) -> Sky:
    """Make an image up; `listed` are the pixels of the list when they differ from the sources'."""
    on = on or grid()
    flux_jy = np.asarray(flux_jy, float)
    wcs = celestial_wcs(on)
    ra, dec = wcs.all_pix2world(columns, rows, 0)
    made = MadeUpTile("61041.00000", on, 61_041.0, BEAM, **{"rms_jy": RMS_JY, **tile})
    lit = flux_jy > 0
    write_tile(
        made, root, list(zip(ra[lit], dec[lit], flux_jy[lit], strict=True)) if lit.any() else ()
    )
    expected: Floats | None = flux_jy
    if listed is not None:
        ra, dec = wcs.all_pix2world(*np.transpose(listed), 0)
        expected = None
    names = [f"source {i}" for i in range(len(ra))]
    image = read_image(root, made.key)
    return Sky(image, SourceList.of(names, ra, dec, expected), flux_jy)


def fluxes(seed: int, n: int, snr: Sequence[float] = SNR_CLASSES) -> Floats:
    """Return flux densities, Jy, of sources of some S/N in the middle of an image."""
    return np.asarray(ERROR_JY * np.random.default_rng([seed, 2]).choice(snr, n))
