"""Mosaics of a simulated season: a known sky in noise correlated by the beam.

Belongs here: pixels and FITS files of one epoch after the other. Doesn't: drawing the sky (see
`season_sky`), recording and measuring (see `season`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.model import CatalogueSources
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.measuring import measure
from contimg_resources.mosaics.model import MosaicFiles, MosaicGrid, MosaicStatistics
from contimg_resources.simulation.season_sky import season_grid
from contimg_resources.simulation.season_spec import SeasonSpec, TrueEpoch
from contimg_resources.simulation.sky import REFERENCE_GHZ
from contimg_resources.simulation.tiles import beam_shape, correlated_noise

Singles = NDArray[np.float32]

_BANDWIDTH_HZ = 1.87e8
#: Number of epochs with independent noise.
_SEEDS = 1_000_000


@dataclass(frozen=True)
class FieldShapes:
    """Properties shared by all epochs of a field."""

    spec: SeasonSpec  #: The season.
    grid: MosaicGrid  #: Pixels of the mosaic.
    of_source: Singles  #: Image of each source at 1 Jy. Shape (n_sources, rows, columns).

    @classmethod
    def of(cls, spec: SeasonSpec, sources: CatalogueSources) -> "FieldShapes":
        """Draw each source once; the beam's position angle is from local north, as in mosaics."""
        grid = season_grid(spec)
        rows, columns = np.mgrid[: grid.rows, : grid.columns]
        ra, dec = celestial_wcs(grid).all_pix2world(columns.ravel(), rows.ravel(), 0)
        shapes = np.empty((len(sources), grid.rows, grid.columns), np.float32)
        for i in range(len(sources)):
            east, north, _ = direction_cosines(
                ra, dec, float(sources.ra_deg[i]), float(sources.dec_deg[i])
            )
            shape = beam_shape(3600 * np.degrees(east), 3600 * np.degrees(north), spec.beam)
            shapes[i] = shape.reshape(rows.shape)
        return cls(spec, grid, shapes)


def write_mosaic(
    directory: Path, shapes: FieldShapes, epoch: TrueEpoch, number: int, flux_jy: Singles
) -> MosaicStatistics:
    """Write image and expected noise of an epoch, as the mosaic of its window, without tiles.

    The directory is replaced as a whole. `number` is that of the epoch in the season: its noise is
    independent of others. True flux densities are in Jy, shape (n_sources,).
    """
    spec, grid = shapes.spec, shapes.grid
    noise = correlated_noise(grid.columns, grid.cell_arcsec, spec.beam, spec.seed * _SEEDS + number)
    sky = np.tensordot(flux_jy, shapes.of_source, 1)
    # Gain errors affect noise and sources alike.
    image = (epoch.scale * (sky + spec.rms_jy * noise)).astype(np.float32)
    sigma = np.full(image.shape, epoch.scale * spec.rms_jy, np.float32)
    told = measure(image, sigma, np.ones(image.shape, np.float32), grid, spec.beam, 0)
    facts = HeaderFacts(
        grid=grid,
        beam=spec.beam,
        frequency_hz=1e9 * REFERENCE_GHZ,
        bandwidth_hz=_BANDWIDTH_HZ,
        telescope="DSA110",
        object_name=epoch.key,
        start_mjd=epoch.start_mjd,
        end_mjd=epoch.end_mjd,
        cards={
            "NTILES": (0, "images in the mosaic"),
            "RMS": (told.rms_jy, "[Jy/beam] in the deepest quarter"),
            "EXPRMS": (told.expected_rms_jy, "[Jy/beam] expected there"),
            "WINSTART": (epoch.start_mjd, "[d] begin of the window"),
            "WINEND": (epoch.end_mjd, "[d] end of the window"),
        },
        provenance={"mosaic": epoch.key, "simulated": f"{spec.name}, seed {spec.seed}"},
    )
    with whole_directory(directory) as partial:
        partial.mkdir()
        files = MosaicFiles.in_directory(partial, epoch.key)
        write_fits(files.image, image, "Intensity", "Jy/beam", facts)
        write_fits(files.sigma, sigma, "Sigma", "Jy/beam", facts)
    return told
