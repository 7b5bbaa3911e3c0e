"""Compute visibilities of a drift scan from first principles.

Belongs here: the measurement equation of points and Gaussians attenuated by the primary beam, gains
and further effects, noise, and interference (persistent lines, broadband bursts and a satellite, as
received by each antenna), one integration at a time.
Doesn't: reading or writing a MeasurementSet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.constants import speed_of_light

from contimg_resources.core.arrays import Complexes, Floats, Ints
from contimg_resources.core.point_sources import direction_cosines, point_source_visibilities
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.bright_sky import Outlier
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.observations.flux_model import flux_densities_jy
from contimg_resources.simulation.effects import Effects
from contimg_resources.simulation.gains import GainModel
from contimg_resources.simulation.outliers import FarSidelobes, outlier_visibilities
from contimg_resources.simulation.sky import Source
from contimg_resources.simulation.spec import RfiSpec

_SATELLITE_HALF_WIDTH_HZ = 1.5e6
_SATELLITE_SWEEP_HZ = 6e6
#: Logarithm of the flux density (Jy) above which sources are seen by each antenna's own beam.
_LOG_OWN_BEAM = np.log10(0.03)


@dataclass(frozen=True)
class Interference:
    """The emitters of one observation."""

    #: Strength on a baseline, Jy; frequencies ascending. Shape (emitters, integrations,
    #: frequencies).
    strength_jy: Floats
    #: Delay of each emitter at each antenna, seconds, which causes different fringe rates. Shape
    #: (emitters, antennas).
    delay_s: Floats

    def heard(self, integration: int, frequencies_hz: Floats) -> Complexes:
        """Return sqrt(Jy) at each antenna, shape (emitters, frequencies, antennas).

        The product of one antenna's value with the conjugate of another's, summed over emitters, is
        the signal of their baseline.
        """
        turns = frequencies_hz[None, :, None] * self.delay_s[:, None, :]
        amplitude = np.sqrt(self.strength_jy[:, integration, :, None])
        return np.asarray(amplitude * np.exp(2j * np.pi * turns), dtype=np.complex64)


def draw_interference(
    spec: RfiSpec,
    seed: tuple[int, ...],
    frequencies_hz: Floats,
    n_integrations: int,
    n_antennas: int,
) -> Interference:
    """Draw the interference of one observation: one emitter per line, burst and satellite.

    All channel centres ascend, Hz; `seed` is for times, directions and frequencies.
    """
    rng = np.random.default_rng([*seed, 3])
    times = np.arange(n_integrations)[:, None]
    quiet = np.zeros((n_integrations, frequencies_hz.size))
    half_channel_hz = 0.5 * float(np.diff(frequencies_hz).min())
    emitters: list[Floats] = []
    for low_mhz, high_mhz in spec.lines_mhz:
        inside = (frequencies_hz >= low_mhz * 1e6 - half_channel_hz) & (
            frequencies_hz <= high_mhz * 1e6 + half_channel_hz
        )
        flicker = rng.uniform(0.3, 1.0, (n_integrations, 1))
        emitters.append(quiet + spec.line_jy * flicker * inside)
    for _ in range(spec.n_bursts):
        when = int(rng.integers(n_integrations))
        slope = (frequencies_hz / frequencies_hz.mean()) ** rng.normal(0.0, 2.0)
        emitters.append(quiet + spec.burst_jy * (times == when) * slope)
    if spec.satellite:
        middle = rng.uniform(0.3, 0.7) * n_integrations
        transit = np.exp(-0.5 * ((times - middle) / max(1.0, 0.1 * n_integrations)) ** 2)
        carrier = rng.uniform(frequencies_hz[0], frequencies_hz[-1])
        carrier = carrier + _SATELLITE_SWEEP_HZ * (times - middle) / n_integrations
        width = max(_SATELLITE_HALF_WIDTH_HZ, half_channel_hz)
        emitters.append(spec.satellite_jy * transit * (np.abs(frequencies_hz - carrier) <= width))
    delays = rng.uniform(-3e-6, 3e-6, (len(emitters), n_antennas))
    return Interference(np.array(emitters).reshape(-1, *quiet.shape), delays)


@dataclass(frozen=True)
class Baselines:
    """Pairs of antenna ids, in the order of rows."""

    first: Ints  #: ANTENNA1. Shape (baselines,).
    second: Ints  #: ANTENNA2. Shape (baselines,).

    @classmethod
    def of(cls, n_antennas: int, autocorrelations: bool) -> "Baselines":
        """Return all pairs with first <= second (or < without autocorrelations)."""
        first, second = np.triu_indices(n_antennas, 0 if autocorrelations else 1)
        return cls(first.astype(np.int64), second.astype(np.int64))


def apparent_flux_jy(
    sources: Sequence[Source], ra0_deg: float, dec0_deg: float, frequencies_hz: Floats
) -> Floats:
    """Return flux density times primary beam, Jy, shape (frequencies, sources)."""
    positions = np.array([(s.ra_deg, s.dec_deg) for s in sources]).reshape(-1, 2)
    away = np.radians(separation_deg(positions[:, 0], positions[:, 1], ra0_deg, dec0_deg))
    flux_jy = flux_densities_jy([s.model for s in sources], frequencies_hz)
    return flux_jy.T * airy_power(away[None, :], frequencies_hz[:, None])


def true_visibilities(
    sources: Sequence[Source],
    ra0_deg: float,
    dec0_deg: float,
    antenna_uvw_m: Floats,
    frequencies_hz: Floats,
    effects: Effects | None = None,
    mjd: float = 0.0,
) -> Complexes:
    """Return the visibilities of antennas without gains in one integration, Jy.

    They have the shape (frequencies, antennas, antennas), and are the same in both polarisations.
    `ra0_deg`, `dec0_deg` are the phase and pointing centre, ICRS; `antenna_uvw_m`, shape (antennas,
    3), see `contimg_resources.core.point_sources`. `effects` are those of the dishes, their
    positions and the ionosphere at the time `mjd`; None: the antennas are perfect.

    Notes
    -----
    A Gaussian of FWHM theta attenuates a baseline of q wavelengths by
    ``exp(-(pi theta q)^2 / (4 ln 2))`` (Condon & Ransom 2016, Essential Radio Astronomy, A.7).
    Smearing over channel and integration is neglected, as in CASA's own simulator. Sources below
    30 mJy are seen by perfect dishes.
    """
    # Those of one size are neighbours, and have one factor in common.
    sources = sorted(sources, key=lambda s: s.fwhm_arcsec)
    _, starts = np.unique([s.fwhm_arcsec for s in sources], return_index=True)
    parts = [
        (
            slice(first, end),
            _taper(fwhm_arcsec, antenna_uvw_m, frequencies_hz) if fwhm_arcsec > 0 else None,
        )
        for first, end in pairwise([*starts, len(sources)])
        for fwhm_arcsec in (sources[first].fwhm_arcsec,)
    ]
    positions = np.array([(s.ra_deg, s.dec_deg) for s in sources]).reshape(-1, 2)
    cosines = np.stack(direction_cosines(positions[:, 0], positions[:, 1], ra0_deg, dec0_deg))
    seen_jy = apparent_flux_jy(sources, ra0_deg, dec0_deg, frequencies_hz)
    voltage = turns = None
    if effects is not None:
        turns = effects.extra_turns(cosines, antenna_uvw_m, frequencies_hz, mjd)
        own = [k for k, s in enumerate(sources) if s.model.coefficients[0] > _LOG_OWN_BEAM]
        if effects.own_beams and own:
            models = [sources[k].model for k in own]
            seen_jy[:, own] = flux_densities_jy(models, frequencies_hz).T
            voltage = np.ones((frequencies_hz.size, len(antenna_uvw_m), len(sources)))
            voltage[..., own] = effects.voltage(cosines[:, own], frequencies_hz)
    return point_source_visibilities(
        seen_jy, cosines, antenna_uvw_m, frequencies_hz, voltage, turns, parts
    )


def _taper(fwhm_arcsec: float, antenna_uvw_m: Floats, frequencies_hz: Floats) -> Floats:
    across_m = antenna_uvw_m[:, None, :2] - antenna_uvw_m[None, :, :2]
    wide = np.pi * np.radians(fwhm_arcsec / 3600) / speed_of_light
    exponent = (across_m**2).sum(axis=2) * (wide * frequencies_hz[:, None, None]) ** 2
    return np.asarray(np.exp(-exponent / (4 * np.log(2))), np.float32)


def corrupted_visibilities(
    true: Complexes,
    baselines: Baselines,
    gains: GainModel,
    frequencies_hz: Floats,
    mjd: float,
    heard: Complexes | None,
    effects: Effects | None = None,
) -> Complexes:
    """Return XX and YY of the real antennas before noise, Jy, shape (baselines, frequencies, 2).

    ``V_ij = g_i conj(g_j) V_true`` per receptor. `true` has the shape (frequencies, antennas,
    antennas) or, different for X and Y, (2, frequencies, antennas, antennas); `mjd` is the middle
    of the integration, days; `heard` is the interference received by each antenna, shape (emitters,
    frequencies, antennas), see `Interference.heard`. `effects` add faults of the antennas, errors
    of the baselines, cross-talk and spikes.
    """
    total = gains.total(frequencies_hz, mjd).astype(np.complex64)
    # The two receptors share an array where they see the same.
    hands = (true, true) if true.ndim == 3 else (true[0], true[1])
    if effects is not None:
        total = total * effects.gains(frequencies_hz, mjd)[:, None, :]
        if (swapped := effects.swapped).any():
            total[swapped] = total[swapped][:, ::-1]
            both, same = swapped[:, None] & swapped, swapped[:, None] == swapped
            hands = tuple(same * np.where(both, hands[1 - k], hands[k]) for k in range(2))
    received = None if heard is None else np.einsum("efi,efj->fij", heard, heard.conj())
    recorded = np.empty((baselines.first.size, frequencies_hz.size, 2), np.complex64)
    for receptor, sky in enumerate(hands):
        per_antenna = np.ascontiguousarray(total[:, receptor, :].T)
        seen = sky if received is None else sky + received
        if effects is not None:
            seen = seen * (1 + effects.closure).astype(np.complex64)
        seen = seen * per_antenna[:, :, None] * per_antenna.conj()[:, None, :]
        recorded[:, :, receptor] = seen[:, baselines.first, baselines.second].T
    if effects is not None:
        added = effects.added(baselines.first, baselines.second, frequencies_hz, mjd)
        recorded += added[:, :, None]
    return recorded


def window_visibilities(
    sources: Sequence[Source],
    pointing_deg: tuple[float, float],
    antenna_uvw_m: Floats,
    baselines: Baselines,
    gains: GainModel,
    frequencies_hz: Floats,
    mjd: float,
    interference: tuple[Interference, int, Ints] | None,
    effects: Effects | None = None,
    outliers: tuple[Sequence[Outlier], FarSidelobes] | None = None,
) -> Complexes:
    """Return one integration of one spectral window without noise.

    Parameters
    ----------
    sources : sequence of Source
        The sky.
    pointing_deg : (float, float)
        Phase and pointing centre, ICRS RA and Dec, degrees.
    antenna_uvw_m : ndarray of float, shape (antennas, 3)
        See `true_visibilities`, metres.
    baselines : Baselines
        Pairs of antennas.
    gains : GainModel
        The antennas' gains.
    frequencies_hz : ndarray of float
        Channel centres of the window, Hz.
    mjd : float
        Middle of the integration, MJD in days.
    interference : (Interference, int, ndarray of int), optional
        The emitters, the number of the integration, and the indices of this window's channels among
        all channels in ascending frequency.
    effects : Effects, optional
        Further effects.
    outliers : (sequence of Outlier, FarSidelobes), optional
        Bright sources far outside the field, and the sidelobes that see them.

    Returns
    -------
    ndarray of complex, shape (baselines, frequencies, 2)
        XX and YY, Jy.
    """
    where = (*pointing_deg, antenna_uvw_m, frequencies_hz)
    squinting = effects is not None and bool(effects.squint_rad.any())
    groups: tuple[list[Source], list[Source]] = [], []
    for s in sources:
        groups[int(squinting and s.bright)].append(s)
    true = true_visibilities(groups[0], *where, effects, mjd)
    if groups[1] and effects is not None:
        each = [true_visibilities(groups[1], *where, effects.of_hand(k), mjd) for k in range(2)]
        true = true + np.stack(each)
    if outliers is not None:
        width_hz = float(np.ptp(frequencies_hz)) / max(1, frequencies_hz.size - 1)
        far = outlier_visibilities(
            *outliers, pointing_deg, antenna_uvw_m, frequencies_hz, width_hz, effects
        )
        true = true + far
    heard = None
    if interference is not None:
        emitters, integration, channels = interference
        part = Interference(emitters.strength_jy[:, :, channels], emitters.delay_s)
        heard = part.heard(integration, frequencies_hz)
    return corrupted_visibilities(true, baselines, gains, frequencies_hz, mjd, heard, effects)


def noise(rng: np.random.Generator, shape: tuple[int, ...], sigma_jy: float) -> Complexes:
    """Return complex Gaussian noise, `sigma_jy` in the real and in the imaginary part."""
    drawn = rng.standard_normal((*shape, 2), dtype=np.float32)
    drawn *= np.float32(sigma_jy)
    return drawn.view(np.complex64)[..., 0]
