"""Tiny mosaics with point sources, written as contimg writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.model import Beam
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import MosaicGrid

BEAM = Beam(48.0, 30.0, 25.0)
CELL_ARCSEC = 10.0
RMS_JY = 1e-3
MID_MJD = 61_041.02083


def grid(ra_deg: float = 180.0, dec_deg: float = 54.0, side: int = 120) -> MosaicGrid:
    return MosaicGrid(side, side - 20, CELL_ARCSEC, ra_deg, dec_deg)


def sky(
    on: MosaicGrid,
    sources: Sequence[tuple[float, float, float]],
    *,
    beam: Beam = BEAM,
    rms_jy: float = RMS_JY,
    seed: int = 0,
) -> NDArray[Any]:
    """Point sources in white noise; the beam's angle is from up."""
    rows, columns = np.mgrid[: on.rows, : on.columns].astype(float)
    pixels: NDArray[Any] = np.random.default_rng(seed).normal(0.0, rms_jy, rows.shape)
    angle = np.radians(beam.angle_deg)
    for ra_deg, dec_deg, flux_jy in sources:
        x, y = celestial_wcs(on).all_world2pix(ra_deg, dec_deg, 0)
        dx, dy = columns - x, rows - y
        along = (dy * np.cos(angle) - dx * np.sin(angle)) * CELL_ARCSEC / beam.major_arcsec
        across = (dy * np.sin(angle) + dx * np.cos(angle)) * CELL_ARCSEC / beam.minor_arcsec
        pixels += flux_jy * np.exp(-4 * np.log(2) * (along**2 + across**2))
    return pixels.astype(np.float32)


def write(
    path: Path,
    on: MosaicGrid,
    pixels: NDArray[Any],
    *,
    beam: Beam = BEAM,
    mid_mjd: float = MID_MJD,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = HeaderFacts(
        grid=on,
        beam=beam,
        frequency_hz=1.405e9,
        bandwidth_hz=1.875e8,
        telescope="OVRO_MMA",
        object_name="made up",
        start_mjd=mid_mjd - 0.02,
        end_mjd=mid_mjd + 0.02,
        cards={"NTILES": (3, "images in the mosaic")},
        provenance={"mosaic": "made up"},
    )
    path.unlink(missing_ok=True)
    write_fits(path, pixels, "Intensity", "Jy/beam", facts)
    return path
