"""Images made with scipy and astropy alone: nothing of what is tested takes part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.measuring import RawMeasurements, measure
from contimg_resources.photometry.model import MeasurableImage, SourceList

Floats = NDArray[np.float64]
Surface = Callable[[Floats, Floats], Any]

RMS_JY = 1e-3


@dataclass(frozen=True)
class HandMade:
    """An image of noise with the beam's shape, and of sources.

    Parameters
    ----------
    seed : int
        Of noise, places and flux densities.
    size : int
        Pixels a side.
    cell_arcsec : float
        Pixel size, arcsec.
    beam : tuple of float
        Axes (FWHM, arcsec) and position angle east of north, degrees.
    rotation_deg : float
        By which the pixels are turned on the sky.
    snr : tuple of float
        Flux densities in errors of a flux density, one of them for each source.
    spacing : int
        Pixels between sources.
    widths : tuple of float
        Major and minor axis of the sources over those of the beam.
    """

    seed: int = 0
    size: int = 300
    cell_arcsec: float = 20.0
    beam: tuple[float, float, float] = (100.0, 60.0, 25.0)
    rotation_deg: float = 0.0
    snr: tuple[float, ...] = (0.0, 3.0, 8.0, 20.0, 60.0)
    spacing: int = 26
    widths: tuple[float, float] = (1.0, 1.0)

    def wcs(self) -> WCS:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = "RA---SIN", "DEC--SIN"
        wcs.wcs.crval = 180.0, 54.0
        wcs.wcs.crpix = self.size / 2 + 1, self.size / 2 + 1
        wcs.wcs.cdelt = -self.cell_arcsec / 3600, self.cell_arcsec / 3600
        c, s = np.cos(np.radians(self.rotation_deg)), np.sin(np.radians(self.rotation_deg))
        wcs.wcs.pc = [[c, -s], [s, c]]
        return wcs

    def covariance(self, major_arcsec: float, minor_arcsec: float) -> Floats:
        """Return that of a Gaussian at the beam's position angle, in pixels (column, row)."""
        angle = np.radians(self.beam[2])
        along = np.array([np.sin(angle), np.cos(angle)])
        across = np.array([np.cos(angle), -np.sin(angle)])
        sky = major_arcsec**2 * np.outer(along, along) + minor_arcsec**2 * np.outer(across, across)
        wcs = self.wcs()
        pixels = np.linalg.inv(np.diag(wcs.wcs.cdelt) @ wcs.wcs.pc) / 3600
        return np.asarray(pixels @ sky @ pixels.T / (8 * np.log(2)))

    def places(self) -> tuple[Floats, Floats]:
        """Return columns and rows of the sources."""
        rng = np.random.default_rng([self.seed, 1])
        nodes = np.arange(12, self.size - 12, self.spacing)
        x, y = (v.ravel() for v in np.meshgrid(nodes, nodes))
        return x + rng.uniform(-5, 5, x.size), y + rng.uniform(-5, 5, y.size)

    def flux_jy(self) -> Floats:
        rng = np.random.default_rng([self.seed, 2])
        # Noise of the beam's shape gives a flux density sqrt(2) times the error of a pixel.
        return np.asarray(np.sqrt(2) * RMS_JY * rng.choice(self.snr, len(self.places()[0])))

    def pixels_jy(self) -> Floats:
        noise = np.random.default_rng([self.seed, 3]).standard_normal((self.size + 80,) * 2)
        shape = self.covariance(*self.beam[:2])
        reach = int(3 * np.sqrt(shape.max())) + 2
        kernel = gaussian(shape, *np.mgrid[-reach : reach + 1, -reach : reach + 1][::-1])
        noise = fftconvolve(noise, kernel, "same")[40:-40, 40:-40] / np.sqrt((kernel**2).sum())
        image = RMS_JY * noise
        spread = self.covariance(self.beam[0] * self.widths[0], self.beam[1] * self.widths[1])
        far = int(5 * np.sqrt(spread.max())) + 2
        for x, y, flux in zip(*self.places(), self.flux_jy(), strict=True):
            rows, columns = (
                slice(max(0, round(v) - far), min(self.size, round(v) + far + 1)) for v in (y, x)
            )
            row, column = np.mgrid[rows, columns]
            image[rows, columns] += flux * gaussian(spread, column - x, row - y)
        return np.asarray(image)

    def image(self, pixels_jy: Floats, **changed: Any) -> MeasurableImage:
        told: dict[str, Any] = {
            "kind": "image",
            "epoch": "61041.00000",
            "pixels": pixels_jy.astype(np.float32),
            "sigma_jy": None,
            "primary_beam": None,
            "wcs": self.wcs(),
            "beam": Beam(*self.beam),
            "frequency_hz": 1.4e9,
            "start_mjd": 61_041.0,
            "mid_mjd": 61_041.0,
            "end_mjd": 61_041.0,
        }
        return MeasurableImage(**{**told, **changed})

    def sources(self, off_arcsec: tuple[float, float] = (0.0, 0.0)) -> SourceList:
        """Return the list, whose places lie so far east and north of the sources."""
        ra, dec = self.wcs().all_pix2world(*self.places(), 0)
        dec = dec + off_arcsec[1] / 3600
        ra = ra + off_arcsec[0] / 3600 / np.cos(np.radians(dec))
        return SourceList.of([f"s{i}" for i in range(len(ra))], ra, dec, self.flux_jy())

    def measured(self, background: Surface | None = None, blank: Any = None) -> RawMeasurements:
        """Measure it on a background, Jy/beam at shares of the image from its middle."""
        pixels = self.pixels_jy()
        y, x = np.mgrid[: self.size, : self.size] / self.size - 0.5
        if background is not None:
            pixels = pixels + background(x, y)
        if blank is not None:
            pixels = np.where(blank(x, y), np.nan, pixels)
        return measure(self.image(pixels), self.sources())


def gaussian(covariance: Floats, x: Any, y: Any) -> Floats:
    """Return a Gaussian of peak 1."""
    inverse = np.linalg.inv(covariance)
    q = inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y
    return np.asarray(np.exp(-0.5 * q))
