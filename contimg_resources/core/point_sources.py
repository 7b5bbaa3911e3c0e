"""Visibilities of point sources about a phase centre.

Belongs here: the measurement equation of point sources, shared by simulation and calibration.
Doesn't: the choice of sources, and the primary beam.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from contimg_resources.core.arrays import Complexes, Floats


def direction_cosines(
    ra_deg: Floats, dec_deg: Floats, ra0_deg: float, dec0_deg: float
) -> tuple[Floats, Floats, Floats]:
    """Return l (east), m (north) and n - 1 of directions about a phase centre.

    Directions are in degrees; the results, without unit, have the shape of `ra_deg`.

    Notes
    -----
    ``n - 1 = -(l^2 + m^2) / (1 + n)`` keeps its precision near the centre.
    """
    ra, dec = np.radians(ra_deg - ra0_deg), np.radians(dec_deg)
    dec0 = np.radians(dec0_deg)
    east = np.cos(dec) * np.sin(ra)
    north = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra)
    toward = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra)
    return east, north, -(east**2 + north**2) / (1.0 + toward)


def point_source_visibilities(
    apparent_jy: Floats,
    cosines: Floats,
    antenna_uvw_m: Floats,
    frequencies_hz: Floats,
    voltage: Floats | None = None,
    extra_turns: Floats | None = None,
    parts: Sequence[tuple[slice, Floats | None]] = ((slice(None), None),),
) -> Complexes:
    """Return the visibilities of point sources at one moment.

    Parameters
    ----------
    apparent_jy : ndarray of float, shape (frequencies, sources)
        Flux densities as seen through the primary beam, Jy.
    cosines : ndarray of float, shape (3, sources)
        l, m and n - 1 about the phase centre (see `direction_cosines`).
    antenna_uvw_m : ndarray of float, shape (antennas, 3)
        UVW of each antenna, metres, such that a baseline's UVW is its first antenna's minus its
        second's (the convention of a MeasurementSet).
    frequencies_hz : ndarray of float, shape (frequencies,)
        Channel centres, Hz.
    voltage : ndarray of float, shape (frequencies, antennas, sources), optional
        Response of each antenna besides `apparent_jy`; None: 1.
    extra_turns : ndarray of float, shape (frequencies, antennas, sources), optional
        Further phase of each antenna toward each source, turns; None: 0.
    parts : sequence of (slice, ndarray or None)
        Sources, and the factor of their visibilities, shape (frequencies, antennas, antennas), of
        which the upper triangle is read; None: 1. By default all sources are points.

    Returns
    -------
    ndarray of complex, shape (frequencies, antennas, antennas)
        Jy; the same in both polarisations.

    Raises
    ------
    ValueError
        If a flux density is negative, which no sky has.

    Notes
    -----
    ``V_ij = sum_s S_s exp(2 pi i nu/c (u_ij l + v_ij m + w_ij (n - 1)))``, in CASA's sign. The
    exponential is a product of one factor per antenna, so that a channel is the product of one
    matrix and its adjoint, of which half is computed (BLAS's ``cherk``).
    """
    # Imported here, so that not every run waits for it.
    from scipy.linalg.blas import cherk

    n_antennas = len(antenna_uvw_m)
    seen = np.zeros((frequencies_hz.size, n_antennas, n_antennas), np.complex64)
    if not cosines.size:
        return seen
    phasors = antenna_phasors(
        apparent_jy, cosines, antenna_uvw_m, frequencies_hz, voltage, extra_turns
    )
    for channel, phasor in enumerate(phasors):
        for which, factor in parts:
            part = cherk(1.0, phasor[:, which])
            seen[channel] += part if factor is None else part * factor[channel]
    first, second = np.triu_indices(n_antennas, 1)
    seen[:, second, first] = seen[:, first, second].conj()
    return seen


def antenna_phasors(
    apparent_jy: Floats,
    cosines: Floats,
    antenna_uvw_m: Floats,
    frequencies_hz: Floats,
    voltage: Floats | None = None,
    extra_turns: Floats | None = None,
) -> Iterator[Complexes]:
    """Yield each channel's factors of the antennas, shape (antennas, sources), in one array.

    The product of one antenna's factor with the conjugate of another's is the visibility of the
    source, see `point_source_visibilities`, which has the same first parameters.
    """
    from scipy.constants import speed_of_light

    if (apparent_jy < 0).any():
        raise ValueError("a source's flux density is negative")
    root_jy = np.sqrt(apparent_jy).astype(np.float32)
    delays_s = antenna_uvw_m @ cosines / speed_of_light
    turns = np.empty_like(delays_s)
    phasor = np.empty(delays_s.shape, np.complex64, order="F")
    # One channel at a time stays in the processor's cache.
    for channel, hz in enumerate(frequencies_hz):
        np.multiply(delays_s, hz, out=turns)
        if extra_turns is not None:
            turns += extra_turns[channel]
        # Whole turns are removed in double precision; the rest fits single precision.
        turns -= np.rint(turns)
        angle = (2.0 * np.pi * turns).astype(np.float32)
        np.cos(angle, out=phasor.real)
        np.sin(angle, out=phasor.imag)
        phasor *= root_jy[channel]
        if voltage is not None:
            phasor *= voltage[channel]
        yield phasor
