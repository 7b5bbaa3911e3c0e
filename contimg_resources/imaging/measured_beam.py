"""The primary beam, measured with the sources of a catalogue that drift through it.

Belongs here: apparent flux densities of known sources in an image, and the shape of the beam that
they show. Doesn't: more than one observation, and the choice between measured beam and model (see
`contimg_resources.calibration.beam_record`).

Apparent flux densities aren't corrected for any beam. So what is measured is the beam itself,
whatever images were corrected with before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.beam_record import WHOLE_BAND, BeamFit, BeamMeasurement
from contimg_resources.core.arrays import Floats
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.statistics import LocalNoise
from contimg_resources.imaging.beam import DriftBeam, sin_of_sky
from contimg_resources.imaging.model import Beam, ImageGrid, ReferenceSource
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape
from contimg_resources.observations.calibrators import separation_deg

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: Sources are used above this response of the model, and above this expected S/N.
_LEAST_RESPONSE, _LEAST_SNR = 0.15, 20.0
#: A source is isolated when nothing brighter than this share of it is nearer than this number of
#: major axes of the beam.
_COMPANION, _COMPANION_BEAMS = 0.03, 2.0
#: Largest size of a source, in minor axes of the beam: a wider one loses 5 % of its peak.
_WIDEST = 0.3
#: Largest distance of a source's peak from its position, in minor axes of the beam.
_NEAR = 0.35
#: Minimum number of sources of a fit.
_LEAST_SOURCES = 15
#: Relative error of the catalogue's flux densities, at least, and where it is unbelievable.
_LEAST_SCATTER, _MOST_SCATTER = 0.03, 0.5
#: A source that differs from the fit by more standard errors than this is left out.
_OUTLIER_SIGMA = 4.0
_ROUNDS = 8
#: Limits of logarithm of scale, width, offsets (degrees) and ellipticity.
_LOWEST = np.array([-2.0, 0.7, -1.5, -1.5, -0.3])
_HIGHEST = np.array([2.0, 1.4, 1.5, 1.5, 0.3])
#: A shape is measured when its errors are below these: width, offsets (degrees), ellipticity.
_LARGEST_ERRORS = np.array([0.1, 0.3, 0.3, 0.1])


@dataclass(frozen=True)
class ApparentFluxes:
    """Known sources in one image, not corrected for the primary beam; arrays of shape (n,)."""

    name: str  #: As of `contimg_resources.calibration.beam_record.BeamFit`.
    frequency_hz: float  #: Effective frequency of the image, Hz.
    beam: DriftBeam  #: The image's primary beam.
    #: `ra_deg`, `dec_deg`: Positions, ICRS degrees.
    ra_deg: Floats
    dec_deg: Floats
    flux_jy: Floats  #: Flux densities of the catalogue at that frequency, Jy.
    peak_jy: Floats  #: Peaks in the image, Jy/beam.
    noise_jy: Floats  #: Noise of the image there, Jy/beam.


def apparent_fluxes(
    name: str,
    frequency_hz: float,
    image: NDArray[np.floating],
    noise: LocalNoise,
    restoring: Beam,
    grid: ImageGrid,
    beam: DriftBeam,
    sources: Sequence[ReferenceSource],
) -> ApparentFluxes:
    """Measure the peaks of isolated, compact, bright known sources in an image.

    Parameters
    ----------
    name : str
        `WHOLE_BAND`, or the name of the sub-band.
    frequency_hz : float
        Effective frequency, Hz.
    image : ndarray, shape (size, size)
        Restored image, not corrected for the primary beam, Jy/beam.
    noise : LocalNoise
        Its noise.
    restoring : Beam
        Its restoring beam.
    grid : ImageGrid
        Its pixels.
    beam : DriftBeam
        Its primary beam.
    sources : sequence of ReferenceSource
        Known sources, with their neighbours.

    Notes
    -----
    Sources are chosen by the flux density that the catalogue and the model of the beam predict, not
    by the measured one, which would favour noise. A Gaussian is a parabola in the logarithm, which
    three pixels along each axis determine.
    """
    known = np.array(
        [(s.ra_deg, s.dec_deg, s.flux_at(frequency_hz), s.major_arcsec) for s in sources]
    ).reshape(-1, 4)
    ra, dec, flux_jy, major_arcsec = known[np.isfinite(known).all(axis=1) & (known[:, 2] > 0)].T
    cell_rad = np.deg2rad(grid.cell_arcsec / 3600)
    east, north = sin_of_sky(ra, dec, grid.ra_deg, grid.dec_deg)
    reach = max(1, round(_NEAR * restoring.minor_arcsec / grid.cell_arcsec))
    columns = np.rint(grid.size // 2 - east / cell_rad).astype(int)
    rows = np.rint(grid.size // 2 + north / cell_rad).astype(int)
    response = replace(beam, shape=MODEL_SHAPE).at(ra, dec)
    inside = (np.minimum(rows, columns) > reach) & (
        np.maximum(rows, columns) < grid.size - reach - 1
    )
    used = np.flatnonzero(
        inside & (response >= _LEAST_RESPONSE) & (major_arcsec < _WIDEST * restoring.minor_arcsec)
    )
    noise_jy = noise.at(rows[used], columns[used])
    bright = (noise_jy > 0) & ((flux_jy * response)[used] >= _LEAST_SNR * noise_jy)
    used, noise_jy = used[bright], noise_jy[bright]
    apart_deg = separation_deg(ra[used, None], dec[used, None], ra, dec)
    close = apart_deg < _COMPANION_BEAMS * restoring.major_arcsec / 3600
    close[np.arange(len(used)), used] = False
    alone = ~(close & (flux_jy > _COMPANION * flux_jy[used, None])).any(axis=1)
    used, noise_jy = used[alone], noise_jy[alone]
    return ApparentFluxes(
        name,
        frequency_hz,
        beam,
        ra[used],
        dec[used],
        flux_jy[used],
        _peaks(image, rows[used], columns[used], reach),
        noise_jy,
    )


def _peaks(
    image: NDArray[np.floating],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    reach: int,
) -> Floats:
    """Return the highest values near some pixels, between the pixels."""
    steps = np.arange(-reach, reach + 1)
    near = image[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]
    highest = near.reshape(len(rows), len(steps) ** 2).argmax(axis=1)
    rows, columns = rows + steps[highest // len(steps)], columns + steps[highest % len(steps)]
    middle = image[rows, columns].astype(np.float64)
    rise = np.zeros(len(rows))
    for down, right in ((1, 0), (0, 1)):
        sides = [image[rows + sign * down, columns + sign * right] for sign in (-1, 1)]
        with np.errstate(invalid="ignore", divide="ignore"):
            before, after = (np.log(side / middle) for side in sides)
            # Of the parabola through before, 0 and after.
            each = -((after - before) ** 2) / (8 * (after + before))
        # A pixel at the edge of the neighbourhood isn't a peak.
        rise += np.where(np.isfinite(each) & (before <= 0) & (after <= 0), each, 0.0)
    return np.asarray(middle * np.exp(rise))


def measure_beam(images: Sequence[ApparentFluxes]) -> BeamMeasurement:
    """Measure the shape of the primary beam in the images of one observation.

    Parameters
    ----------
    images : sequence of ApparentFluxes
        That of the whole band first; without a result of it, sub-bands have none.
    """
    fits: list[BeamFit] = []
    reasons = []
    for one in images:
        found = _fit(one, fits[0].shape if fits else MODEL_SHAPE)
        if isinstance(found, BeamFit):
            fits.append(found)
            continue
        reasons.append(f"{one.name}: {found}")
        if one.name == WHOLE_BAND:
            break
    used = images[0].beam.shape if images else MODEL_SHAPE
    return BeamMeasurement(tuple(fits), "; ".join(reasons), used)


class _Model:
    """The peaks of sources in an image as a function of the beam's shape and the flux scale."""

    def __init__(self, one: ApparentFluxes) -> None:
        self._beam, self._flux_jy = one.beam, one.flux_jy
        self._cosines = [
            direction_cosines(one.ra_deg, one.dec_deg, ra, dec)[:2]
            for ra, dec in one.beam.pointings_deg
        ]
        self._sines = np.sin(one.beam.radii_rad)

    def __call__(self, parameters: Floats) -> Floats:
        """Return peaks, Jy/beam; `parameters` are the logarithm of the scale, and the shape."""
        # Relative to the pattern's centre, not to the pointing: the scale is free.
        shape = BeamShape(*parameters[1:])
        response = np.zeros(len(self._flux_jy))
        for (east, north), profile in zip(self._cosines, self._beam.profiles, strict=True):
            response += np.interp(shape.radius(east, north), self._sines, profile, right=0.0)
        return np.asarray(np.exp(parameters[0]) * self._flux_jy * response)


def _fit(one: ApparentFluxes, start: BeamShape) -> BeamFit | str:
    """Fit the shape to one image, or return why it can't be.

    Notes
    -----
    The error of a peak is the noise and, in quadrature, a share of the peak: errors of the
    catalogue and variability, as large as the scatter (1.4826 MAD) about the fit requires, and at
    least 3 %. Sources beyond four errors are left out. Errors are determined from the model, not
    from the measured peak: otherwise faint measurements would weigh more.
    """
    n = len(one.peak_jy)
    if n < _LEAST_SOURCES:
        return f"{n} isolated bright sources are in the image; the minimum is {_LEAST_SOURCES}"
    # scipy is slow to load.
    from scipy.optimize import least_squares

    model = _Model(one)
    best = np.concatenate([[0.0], start.parameters])
    best[0] = np.log(max(1e-3, float(np.median(one.peak_jy / model(best)))))
    scatter, kept = 0.1, np.ones(n, bool)

    def pulls(sigma: Floats, which: NDArray[np.bool_], parameters: Floats) -> Floats:
        return np.asarray(((one.peak_jy - model(parameters)) / sigma)[which])

    for number in range(_ROUNDS):
        sigma = np.hypot(one.noise_jy, scatter * np.maximum(model(best), 0.0))
        found: OptimizeResult = least_squares(
            partial(pulls, sigma, kept),
            np.clip(best, _LOWEST + 1e-3, _HIGHEST - 1e-3),
            bounds=(_LOWEST, _HIGHEST),
            loss="linear" if number else "soft_l1",
            xtol=1e-6,
        )
        best, earlier = found.x, (scatter, kept)
        scatter = _scatter(one.peak_jy, model(best), one.noise_jy)
        sigma = np.hypot(one.noise_jy, scatter * model(best))
        kept = np.abs(pulls(sigma, np.ones(n, bool), best)) < _OUTLIER_SIGMA
        if kept.sum() < _LEAST_SOURCES:
            return f"only {kept.sum()} of {n} sources agree with a beam"
        if number and np.array_equal(kept, earlier[1]) and abs(scatter - earlier[0]) < 0.001:
            break
    slopes = found.jac
    freedom = max(1, len(slopes) - len(best))
    try:
        covariance = np.linalg.inv(slopes.T @ slopes) * max(1.0, 2 * found.cost / freedom)
    except np.linalg.LinAlgError:
        return "its sources don't determine a beam"
    errors = np.sqrt(np.diag(covariance))[1:]
    if not (errors < _LARGEST_ERRORS).all() or found.active_mask.any():
        return f"its {n} sources don't determine a beam"
    return BeamFit(
        name=one.name,
        frequency_hz=one.frequency_hz,
        shape=BeamShape(*best[1:].tolist()),
        covariance=tuple(tuple(row) for row in covariance[1:, 1:].tolist()),
        scale=float(np.exp(best[0])),
        scatter=scatter,
        n_sources=int(kept.sum()),
        n_rejected=int((~kept).sum()),
    )


def _scatter(peak_jy: Floats, expected_jy: Floats, noise_jy: Floats) -> float:
    """Return the relative scatter besides the noise with which differences are normal."""
    from scipy.optimize import brentq

    def excess(scatter: float) -> float:
        pulls = (peak_jy - expected_jy) / np.hypot(noise_jy, scatter * expected_jy)
        return 1.4826 * float(np.median(np.abs(pulls))) - 1.0

    if excess(_LEAST_SCATTER) <= 0:
        return _LEAST_SCATTER
    if excess(_MOST_SCATTER) >= 0:
        return _MOST_SCATTER
    return float(brentq(excess, _LEAST_SCATTER, _MOST_SCATTER, xtol=1e-3))
