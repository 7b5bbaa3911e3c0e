"""Choose pixel size and extent of an image from the synthesized beam and the primary beam.

Belongs here: choosing the grid. Doesn't: weighting, imaging.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import label
from scipy.optimize import least_squares

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging.beam import DriftBeam, sky_of_sin
from contimg_resources.imaging.model import Beam

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

PIXELS_PER_BEAM = 3.0
LARGEST_SIZE = 16_384
_SMALLEST_SIZE = 64
#: Margin around the primary beam's cut, so that sources at the cut aren't at the edge.
_MARGIN = 1.03
#: The beam is fitted to the main lobe above this (see `contimg_resources.imaging.engines.tclean`).
_MAIN_LOBE = 0.5
#: Points per pixel in CASA's fit, and the distance around the peak that is interpolated here.
_OVERSAMPLING = 3
_NEAR_PIXELS = 48


@dataclass(frozen=True)
class BeamForm:
    """A beam as ``exp(-(xx x^2 + xy x y + yy y^2))``, x along columns, y along rows."""

    #: `xx`, `xy`, `yy`: Coefficients per square pixel.
    xx: float
    xy: float
    yy: float

    def __call__(self, x: Floats, y: Floats) -> Floats:
        """Return the beam at distances in pixels."""
        return np.asarray(np.exp(-(self.xx * x**2 + self.xy * x * y + self.yy * y**2)))

    @property
    def widths(self) -> Floats:
        """Return the form's eigenvalues, ascending: along its major and its minor axis."""
        return np.asarray(np.linalg.eigvalsh([[self.xx, self.xy / 2], [self.xy / 2, self.yy]]))


def form_of_beam(beam: Beam, cell_arcsec: float) -> BeamForm:
    """Return the form of a beam for a pixel size."""
    a = 4 * np.log(2) * (cell_arcsec / beam.major_arcsec) ** 2
    b = 4 * np.log(2) * (cell_arcsec / beam.minor_arcsec) ** 2
    angle = np.deg2rad(beam.angle_deg)
    # East is towards lower columns, so the major axis points along (-sin, cos) in (column, row).
    s, c = -np.sin(angle), np.cos(angle)
    return BeamForm(a * s**2 + b * c**2, 2 * (a - b) * s * c, a * c**2 + b * s**2)


def fft_friendly(size: float) -> int:
    """Return the smallest even number >= `size` without prime factors above 5."""
    candidate = max(2, 2 * int(np.ceil(size / 2)))
    while not _smooth(candidate):
        candidate += 2
    return candidate


def beam_extent_rad(beam: DriftBeam, ra_deg: float, dec_deg: float, cut: float) -> float:
    """Return the smallest half-width (radians) of a square image with the beam above `cut`."""
    reach = beam.radii_rad[-1] + 0.05
    rough, axis = np.linspace(-reach, reach, 121), np.linspace(-reach, reach, 601)
    coarse = beam.at(*sky_of_sin(*np.meshgrid(rough, rough), ra_deg, dec_deg))
    power = RectBivariateSpline(rough, rough, coarse)(axis, axis)
    east, north = np.meshgrid(axis, axis)
    inside = power >= cut * beam.profiles[:, 0].sum()
    if not inside.any():
        raise ImagingFailed(
            f"the primary beam is below {cut} everywhere around the phase centre "
            f"{ra_deg:.4f} {dec_deg:+.4f} deg"
        )
    return float(max(np.abs(east[inside]).max(), np.abs(north[inside]).max()))


def choose_cell_arcsec(beam: Beam, shortest_fringe_rad: float) -> float:
    """Return the pixel size: a third of the minor axis, and fine enough for the longest baseline.

    Rounded down to a tenth of an arcsec below 10 arcsec and to whole ones above, so that
    observations a day apart get equal pixels.
    """
    nyquist = 0.45 * np.rad2deg(shortest_fringe_rad) * 3600
    cell = min(beam.minor_arcsec / PIXELS_PER_BEAM, nyquist)
    step = 10.0 ** (np.floor(np.log10(cell)) - 1)
    step = 0.5 * 10 * step if cell >= 1 else step
    return float(np.round(max(step, np.floor(cell / step) * step), 6))


def choose_size(half_width_rad: float, cell_arcsec: float) -> int:
    """Return the pixels a side for a half-width.

    Raises
    ------
    ImagingFailed
        If it exceeds `LARGEST_SIZE`.
    """
    cell_rad = np.deg2rad(cell_arcsec / 3600)
    size = fft_friendly(max(_SMALLEST_SIZE, 2 * _MARGIN * half_width_rad / cell_rad))
    if size > LARGEST_SIZE:
        raise ImagingFailed(
            f"an image of {size} x {size} pixels of {cell_arcsec} arcsec would cover the primary "
            f"beam; more than {LARGEST_SIZE} are not made: set image_size and cell_arcsec"
        )
    return size


def fit_main_lobe(psf: Floats, cell_arcsec: float) -> Beam:
    """Fit an elliptical Gaussian of peak 1 to the main lobe of a point-spread function.

    Parameters
    ----------
    psf : ndarray, shape (size, size)
        Peak 1; declination increases with rows, right ascension decreases with columns.
    cell_arcsec : float
        Its pixel, arcsec.

    Raises
    ------
    ImagingFailed
        If it has no main lobe.
    """
    center = np.unravel_index(int(np.argmax(psf)), psf.shape)
    lobes, _ = label(psf > _MAIN_LOBE)
    rows, columns = np.nonzero(lobes == lobes[center])
    north, west = rows - center[0], columns - center[1]
    values = psf[rows, columns]
    if len(values) < 4:
        # Fewer pixels than parameters: include one more ring of pixels.
        grown = psf[center[0] - 1 : center[0] + 2, center[1] - 1 : center[1] + 2]
        north, west = (a.ravel() for a in np.mgrid[-1:2, -1:2])
        values = grown.ravel()

    def misfit(p: Floats) -> Floats:
        model = np.exp(-(p[0] * west**2 + p[1] * west * north + p[2] * north**2))
        return np.asarray(model - values)

    width = max(len(values), 4) / np.pi
    fit = least_squares(misfit, [1 / width, 0.0, 1 / width])
    return beam_of_form(*fit.x, cell_arcsec=cell_arcsec)


def restoring_beam(psf: Reals, cell_arcsec: float) -> Beam:
    """Return the restoring beam, determined as in tclean.

    Parameters
    ----------
    psf : ndarray, shape (size, size)
        Peak 1 at (size/2, size/2).
    cell_arcsec : float
        Its pixel, arcsec.

    Notes
    -----
    The pixels are too few for a good fit: like CASA (``StokesImageUtil::FitGaussianPSF``) this
    interpolates two more between them with cubic convolution (Keys 1981, IEEE Trans. ASSP 29, 1153)
    and then fits the main lobe; equal to tclean's beam in six digits.
    """
    half = len(psf) // 2
    reach = min(half - 1, _NEAR_PIXELS)
    near = psf[half - reach : half + reach + 1, half - reach : half + reach + 1]
    matrix = _between(len(near))
    return fit_main_lobe(matrix @ near.astype(np.float64) @ matrix.T, cell_arcsec / _OVERSAMPLING)


def _between(n: int) -> Floats:
    """Return the matrix that interpolates between n points, without the outermost intervals."""
    places = 1 + np.arange((n - 3) * _OVERSAMPLING + 1) / _OVERSAMPLING
    first = np.minimum(places.astype(int), n - 3)
    t = places - first
    matrix = np.zeros((len(places), n))
    row = np.arange(len(places))
    matrix[row, first - 1] = (-t + 2 * t**2 - t**3) / 2
    matrix[row, first] = (2 - 5 * t**2 + 3 * t**3) / 2
    matrix[row, first + 1] = (t + 4 * t**2 - 3 * t**3) / 2
    matrix[row, first + 2] = (t**3 - t**2) / 2
    return matrix


def beam_of_form(xx: float, xy: float, yy: float, *, cell_arcsec: float) -> Beam:
    """Return the ellipse of ``exp(-(xx x^2 + xy x y + yy y^2))``, x to the west, y to the north."""
    form = np.array([[xx, xy / 2], [xy / 2, yy]])
    values, vectors = np.linalg.eigh(form)
    if not np.isfinite(values).all() or values.min() <= 0:
        raise ImagingFailed("the point-spread function has no elliptical main lobe")
    minor, major = 2 * np.sqrt(np.log(2) / values[::-1]) * cell_arcsec
    west, north = vectors[:, 0]
    return Beam(float(major), float(minor), float(np.rad2deg(np.arctan2(-west, north))))


def _smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1
