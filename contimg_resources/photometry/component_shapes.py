"""Shapes of fitted components on the sky: sizes without the beam, angles, errors.

Belongs here: from forms and covariances in pixels to arcsec. Doesn't: fitting (see
`finding_loops`), choosing (see `finding`).
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.photometry.beams import axes_in_pixels
from contimg_resources.photometry.model import MeasurableImage

#: Integrated flux density, in parameters of a fit.
_INTEGRAL = np.array([1.0, 0.5, 0.5, 0.0, 0.0, 0.0])
_FWHM = np.sqrt(8.0 * np.log(2.0))


@dataclass(frozen=True)
class ComponentShapes:
    """Shapes of components on the sky and relative to the beam, with errors."""

    covariance: Floats  #: Covariance matrix, east and north, square arcsec. Shape (n, 2, 2).
    squares: Floats  #: Squared widths over the beam's, ascending. Shape (n, 2).
    square_error: Floats  #: Error of the larger one. Shape (n,).
    area: Floats  #: Integrated over peak flux density. Shape (n,).
    integrated_error_jy: Floats  #: Error of the integrated flux density. Shape (n,).
    move_error_arcsec: Floats  #: Errors of the position, east and north. Shape (n, 2).
    axis_error: Floats  #: Relative errors of the widths along both axes, minor first. Shape (n, 2).

    @classmethod
    def of(
        cls, image: MeasurableImage, found: Floats, covariance: Floats, rms: Floats
    ) -> "ComponentShapes":
        """Convert fits to shapes on the sky.

        `found`, shape (n, 6), and `covariance`, shape (n, 6, 6), are those of
        `contimg_resources.photometry.finding_loops.fit_components`; `rms` is the noise of a pixel
        at each component, Jy/beam, shape (n,).
        """
        if not len(found):
            none, two = np.empty(0), np.empty((0, 2))
            return cls(np.empty((0, 2, 2)), two, none, none, none, two, two)
        ra, dec = image.wcs.all_pix2world(found[:, 1], found[:, 2], 0)
        axes = axes_in_pixels(image, ra, dec)
        a, b, c = found[:, 3:].T
        forms = np.stack([np.stack([a, b], -1), np.stack([b, c], -1)], -2)
        # Pixels (column, row) of one unit of u and w, in which the Gaussian is round.
        root = np.swapaxes(np.linalg.inv(np.linalg.cholesky(2 * forms)), 1, 2)
        on_sky = np.linalg.inv(axes) @ root
        size = on_sky @ np.swapaxes(on_sky, 1, 2)
        beam = beam_covariance(image)
        whole = np.linalg.inv(np.linalg.cholesky(beam))
        relative = whole @ on_sky
        squares, across = np.linalg.eigh(relative @ np.swapaxes(relative, 1, 2))
        relative_rms = rms / found[:, 0]
        # The widest direction relative to the beam, in u and w.
        square_error = squares[:, 1] * _along(covariance, relative, across[:, :, 1]) * relative_rms
        own_axes = np.linalg.eigh(size)[1]
        axis_error = [
            0.5 * _along(covariance, on_sky, own_axes[:, :, k]) * relative_rms for k in (0, 1)
        ]
        area = np.sqrt(np.linalg.det(size) / np.linalg.det(beam))
        integral = np.sqrt(np.einsum("p,npq,q->n", _INTEGRAL, covariance, _INTEGRAL))
        moves = on_sky @ covariance[:, 4:, 4:] @ np.swapaxes(on_sky, 1, 2)
        error = np.sqrt(np.diagonal(moves, axis1=1, axis2=2)) * relative_rms[:, None]
        return cls(
            size,
            squares,
            square_error,
            area,
            area * integral * rms,
            error,
            np.column_stack(axis_error),
        )

    def deconvolved(self, beam: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return major and minor axis without the beam, each with its error, and the angle.

        `beam` is its covariance matrix, shape (2, 2); see `FoundSources` for the units.
        """
        squares, own = np.linalg.eigh(self.covariance - beam)
        fitted = np.linalg.eigvalsh(self.covariance)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = _FWHM * np.sqrt(np.maximum(squares, 0.0))
            # d sqrt(f^2 - b^2) = f / sqrt(f^2 - b^2) df
            errors = self.axis_error * _FWHM**2 * fitted / sizes
        errors[~(sizes > 0)] = np.nan
        angle = np.degrees(np.arctan2(own[:, 0, 1], own[:, 1, 1])) % 180
        return sizes[:, 1], errors[:, 1], sizes[:, 0], errors[:, 0], angle


def _along(covariance: Floats, matrix: Floats, direction: Floats) -> Floats:
    """Return the relative error of the squared width along directions in another frame.

    `matrix`, shape (n, 2, 2), goes from u and w to the frame of `direction`, shape (n, 2), an axis
    of the Gaussian there.
    """
    towards = np.linalg.solve(matrix, direction[:, :, None])[:, :, 0]
    c, s = (towards / np.hypot(*towards.T)[:, None]).T
    by = np.stack([c * c, s * s, 2 * c * s], axis=-1)
    return np.asarray(np.sqrt(np.einsum("ni,nij,nj->n", by, covariance[:, 1:4, 1:4], by)))


def beam_covariance(image: MeasurableImage) -> Floats:
    """Return the restoring beam's covariance matrix, east and north, square arcsec."""
    angle = np.radians(image.beam.angle_deg)
    along = np.array([np.sin(angle), np.cos(angle)]) * image.beam.major_arcsec / _FWHM
    across = np.array([np.cos(angle), -np.sin(angle)]) * image.beam.minor_arcsec / _FWHM
    return np.outer(along, along) + np.outer(across, across)
