"""Timed forced photometry on a mosaic, by contimg and by photutils.

Belongs here: our step, the peers, each called in a separate process.
Doesn't: making the mosaic, goals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.fresh import timed_alone
from benchmarks.measure import Measured
from benchmarks.sky_mosaics import Source
from contimg_resources.core.arrays import Floats, Singles
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.mosaics.model import MosaicResult
from contimg_resources.photometry.beams import pixel_of_sky
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import MeasurableImage, SourceList
from contimg_resources.photometry.reading import read_mosaic

#: Half of a stamp in major axes of the beam, as in our own fit.
_HALF_BEAMS = 1.5
#: Minimum S/N of flux densities that are compared with the truth.
_COMPARED_SNR = 20.0


@dataclass(frozen=True)
class PhotometryTask:
    """Image and sources to measure."""

    mosaic: MosaicResult  #: The image.
    sources: Sequence[Source]  #: RA, Dec (ICRS degrees) and flux density (Jy).

    def opened(self) -> tuple[MeasurableImage, SourceList]:
        """Return the image and the list."""
        files = self.mosaic.files
        image = read_mosaic(files.image, files.sigma, epoch=self.mosaic.key)
        ra, dec, flux = np.array(self.sources).T
        return image, SourceList.of([f"made-{i:06d}" for i in range(len(ra))], ra, dec, flux)


@dataclass(frozen=True)
class Photometry:
    """Time and results of our photometry."""

    cold: Measured  #: The first call in its process.
    warm: Measured  #: The second call.
    n_measured: int  #: Sources with a flux density.
    good: tuple[int, ...]  #: Sources in the list whose measurement has no flag and a high S/N.
    ratio: float  #: Median of measured over true flux density of those; NaN without any.


def our_photometry(task: PhotometryTask) -> Photometry:
    """Time our photometry twice; reading the image is not timed.

    Raises
    ------
    PhotometryFailed
        If nothing could be measured.
    """
    image, sources = task.opened()
    _, cold = timed_alone(lambda: measure(image, sources))
    raw, warm = timed_alone(lambda: measure(image, sources))
    measured = np.isfinite(raw.flux_jy)
    if not measured.any():
        raise PhotometryFailed(f"none of the {len(sources)} sources lies on {image.epoch}")
    with np.errstate(invalid="ignore"):
        good = np.flatnonzero((raw.flags == 0) & (raw.snr > _COMPARED_SNR))
    return Photometry(
        cold,
        warm,
        int(measured.sum()),
        tuple(int(i) for i in good),
        _ratio(raw.flux_jy[good], sources.flux_jy[good]),
    )


def photutils_fits(task: PhotometryTask) -> tuple[Measured, float]:
    """Time `photutils.psf.PSFPhotometry` at fixed positions.

    Only the flux density is free; no background and no groups, for the fastest fit.

    Returns
    -------
    tuple of (Measured, float)
        Time and memory, and the median of measured over true flux density; NaN without any source.
    """
    from astropy.table import QTable
    from photutils.psf import GaussianPSF, PSFPhotometry

    image, sources = task.opened()
    x, y, cell_arcsec = _on_pixels(image, sources)
    major, minor = (v / cell_arcsec for v in (image.beam.major_arcsec, image.beam.minor_arcsec))
    area = np.pi * major * minor / (4 * np.log(2))
    model = GaussianPSF(x_fwhm=major, y_fwhm=minor, theta=90 + image.beam.angle_deg)
    model.x_0.fixed = model.y_0.fixed = True
    start = QTable({"x": x, "y": y, "flux": sources.flux_jy * area})
    side = 2 * round(_HALF_BEAMS * major) + 1
    fit = PSFPhotometry(model, (side, side))
    sigma_jy = _sigma(image)
    mask = ~(np.isfinite(image.pixels) & np.isfinite(sigma_jy))
    table, took = timed_alone(
        lambda: fit(image.pixels, error=sigma_jy, mask=mask, init_params=start)
    )
    return took, _ratio(np.asarray(table["flux_fit"]) / area, sources.flux_jy)


def photutils_sums(task: PhotometryTask) -> Measured:
    """Time `photutils.aperture.aperture_photometry` in an ellipse of the beam's half power.

    Neighbours and background aren't separated from a source: this is less than a fit.
    """
    from photutils.aperture import EllipticalAperture, aperture_photometry

    image, sources = task.opened()
    x, y, cell_arcsec = _on_pixels(image, sources)
    ellipses = EllipticalAperture(
        np.stack([x, y], axis=1),
        0.5 * image.beam.major_arcsec / cell_arcsec,
        0.5 * image.beam.minor_arcsec / cell_arcsec,
        theta=np.deg2rad(90 + image.beam.angle_deg),
    )
    return timed_alone(lambda: aperture_photometry(image.pixels, ellipses, error=_sigma(image)))[1]


def _on_pixels(image: MeasurableImage, sources: SourceList) -> tuple[Floats, Floats, float]:
    from astropy.wcs.utils import proj_plane_pixel_scales

    rows, columns = pixel_of_sky(image, sources.ra_deg, sources.dec_deg)
    return columns, rows, float(3600 * proj_plane_pixel_scales(image.wcs)[1])


def _sigma(image: MeasurableImage) -> Singles:
    if image.sigma_jy is None:
        raise PhotometryFailed(f"{image.epoch} has no noise map")
    return image.sigma_jy


def _ratio(measured_jy: Floats, true_jy: Floats) -> float:
    return float(np.median(measured_jy / true_jy)) if len(true_jy) else float("nan")
