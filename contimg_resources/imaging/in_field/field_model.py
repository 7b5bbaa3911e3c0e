"""The model of a field: what antennas see of its sources in an integration.

Belongs here: flux densities through the beam, factors of the antennas, sizes of sources. Doesn't:
products with data (see `sums`), the choice of sources (see `calibrating`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.imaging.beam import power_toward
from contimg_resources.imaging.in_field.model_loops import phasors, subtract_model
from contimg_resources.imaging.model import ReferenceSource
from contimg_resources.instrument.primary_beam import BeamShape

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Complexes = NDArray[np.complex64]
Antennas = NDArray[np.int16]

#: Sources up to this size (FWHM), arcsec, are points.
_POINT_ARCSEC = 5.0
#: Larger ones below this share of the sum of all squared flux densities are points in the model, to
#: save time.
_TAPERED = 0.01
#: Number of frequencies at which their sizes are taken into account.
_STEPS = 16


def apparent_fluxes_jy(
    sources: Sequence[ReferenceSource],
    pointing_deg: Floats,
    frequencies_hz: Floats,
    dish_m: tuple[float, float],
    beam_shape: BeamShape,
) -> Floats:
    """Return flux densities through the beam, Jy, shape (frequencies, sources).

    `pointing_deg`, `dish_m` and `beam_shape` as in `contimg_resources.imaging.beam.power_toward`.
    """
    columns = np.array(
        [(s.flux_jy, s.reference_ghz, s.spectral_index, s.ra_deg, s.dec_deg) for s in sources]
    )
    flux_jy, ghz, index, ra_deg, dec_deg = columns.T
    beam = power_toward(pointing_deg, ra_deg, dec_deg, frequencies_hz, dish_m, beam_shape)
    return np.asarray(beam * flux_jy * (frequencies_hz[:, None] / 1e9 / ghz) ** index)


def resolved(sources: Sequence[ReferenceSource]) -> NDArray[np.bool_]:
    """Return which sources aren't points for the array."""
    return np.array([s.major_arcsec > _POINT_ARCSEC for s in sources])


@dataclass(frozen=True)
class FieldModel:
    """Points and Gaussians as the antennas see them in an integration."""

    sources: tuple[ReferenceSource, ...]  #: The sources, extended ones first.
    n_wide: int  #: Number of extended ones.
    #: `real`, `imaginary`: Factors of the antennas: that of one times the conjugate of the other's
    #: is the visibility of a point. Shape (frequencies, antennas, sources).
    real: Singles
    imaginary: Singles
    antennas_m: Floats  #: Coordinates u, v, w of the antennas, metres. Shape (antennas, 3).
    steps_hz: Floats  #: Frequencies at which sizes are taken into account.
    step: NDArray[np.int64]  #: The nearest one of them to each channel.
    order: NDArray[np.int64]  #: Place of each of these sources among those that were given.

    @classmethod
    def of(
        cls,
        sources: Sequence[ReferenceSource],
        apparent_jy: Floats,
        cosines: Floats,
        antennas_m: Floats,
        frequencies_hz: Floats,
    ) -> "FieldModel":
        """Compute the factors of the antennas.

        Parameters
        ----------
        sources : sequence of ReferenceSource
            Sources.
        apparent_jy : ndarray, shape (frequencies, sources)
            Their flux densities through the beam, Jy.
        cosines : ndarray, shape (3, sources)
            l, m and n - 1 about the phase centre.
        antennas_m : ndarray, shape (antennas, 3)
            Coordinates u, v, w of the antennas, metres.
        frequencies_hz : ndarray, shape (frequencies,)
            Frequencies, Hz.
        """
        power = (apparent_jy**2).sum(axis=0)
        wide = resolved(sources) & (power > _TAPERED * power.sum())
        order = np.argsort(~wide, kind="stable")
        shape = (len(frequencies_hz), len(antennas_m), len(sources))
        real, imaginary = np.empty(shape, np.float32), np.empty(shape, np.float32)
        delays_s = np.ascontiguousarray(antennas_m @ cosines[:, order]) / speed_of_light
        root_jy = np.sqrt(apparent_jy[:, order]).astype(np.float32)
        phasors(delays_s, np.asarray(frequencies_hz, np.float64), root_jy, real, imaginary)
        steps_hz = np.linspace(frequencies_hz.min(), frequencies_hz.max(), _STEPS)
        return cls(
            tuple(sources[i] for i in order.tolist()),
            int(wide.sum()),
            real,
            imaginary,
            antennas_m,
            steps_hz,
            np.abs(frequencies_hz[:, None] - steps_hz).argmin(axis=1),
            order,
        )

    def decays(self, first: Antennas, second: Antennas) -> Singles:
        """Return what baselines see of the extended sources, shape (rows, steps, wide sources).

        Notes
        -----
        A Gaussian of FWHM theta attenuates a baseline of q wavelengths along its axis by
        ``exp(-(pi theta q)^2 / (4 ln 2))`` (Condon & Ransom 2016, Essential Radio Astronomy, A.7).
        """
        apart_m = (self.antennas_m[first, :2] - self.antennas_m[second, :2]).astype(np.float32)
        shapes = np.array(
            [
                (s.angle_deg, s.major_arcsec / 3600, s.minor_arcsec / 3600)
                for s in self.sources[: self.n_wide]
            ]
        ).reshape(-1, 3)
        angle, major, minor = np.radians(shapes).T
        east, north = np.sin(angle), np.cos(angle)
        factor = np.pi**2 / (4 * np.log(2)) / speed_of_light**2
        along = apart_m @ np.stack([east, north]).astype(np.float32)
        across = apart_m @ np.stack([north, -east]).astype(np.float32)
        squares = (factor * np.stack([major, minor]) ** 2).astype(np.float32)
        decay = squares[0] * along**2 + squares[1] * across**2
        # The decay changes little from one channel to the next.
        by_step = -(self.steps_hz**2).astype(np.float32)
        return np.asarray(np.exp(by_step[:, None] * decay[:, None, :]), np.float32)

    def subtract_from(self, values: Complexes, first: Antennas, second: Antennas) -> None:
        """Subtract the model from visibilities (rows, frequencies) of some baselines, in place."""
        decays = self.decays(first, second)
        subtract_model(values, first, second, self.real, self.imaginary, decays, self.step)

    def phasors(self, channel: int) -> Complexes:
        """Return the factors of the antennas in the order of the sources that were given."""
        factors = np.empty(self.real.shape[1:], np.complex64)
        factors[:, self.order] = self.real[channel] + 1j * self.imaginary[channel]
        return factors
