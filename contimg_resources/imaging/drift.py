"""Take out of the visibilities that sources brighten and fade while they drift through the beam.

Belongs here: the difference between a source as it was seen in each integration and channel, and
its mean; the spectral index of the brightest. Doesn't: finding the sources, imaging.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.errors import ImagingFailed
from contimg_resources.imaging.beam import separation_rad, sin_of_sky
from contimg_resources.imaging.model import Source
from contimg_resources.imaging.weighting import Weighting
from contimg_resources.instrument.primary_beam import airy_power

Floats = NDArray[np.float64]

#: A slope is fitted to at least so many spectral windows.
_LEAST_WINDOWS = 3


@dataclass(frozen=True)
class Variation:
    """How sources vary over the integrations and channels of one observation.

    Parameters
    ----------
    flux_jy : ndarray, shape (n_sources,)
        Flux densities without the primary beam, Jy.
    cosines : ndarray, shape (n_sources, 3)
        l (east), m (north) and n - 1 about the phase centre.
    ra_deg, dec_deg : ndarray, shape (n_sources,)
        Positions, ICRS degrees.
    spectral_index : ndarray, shape (n_sources,)
        ``S ~ nu^spectral_index``; 0 where it isn't known.
    reference_hz : float
        Frequency of `flux_jy`, Hz.
    mean_beam : ndarray, shape (n_sources,)
        What each has in the image of its flux: beam times spectrum relative to `reference_hz`,
        mean with the imaging weights.
    pointings_deg : ndarray, shape (n_fields, 2)
        Where the telescope pointed, ICRS degrees.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    """

    flux_jy: Floats
    cosines: Floats
    ra_deg: Floats
    dec_deg: Floats
    spectral_index: Floats
    reference_hz: float
    mean_beam: Floats
    pointings_deg: Floats
    dish_m: tuple[float, float]

    def response(self, field: int, frequency_hz: Floats) -> Floats:
        """Return beam times relative spectrum, shape (n_channels, n_sources)."""
        ra, dec = self.pointings_deg[field]
        angle = separation_rad(ra, dec, self.ra_deg, self.dec_deg)
        power = airy_power(angle[None, :], frequency_hz[:, None], *self.dish_m)
        return np.asarray(
            power * (frequency_hz[:, None] / self.reference_hz) ** self.spectral_index
        )

    def excess_jy(self, field: int, frequency_hz: Floats) -> Floats:
        """Return apparent flux above its mean, Jy, shape (n_channels, n_sources)."""
        return np.asarray(self.flux_jy * (self.response(field, frequency_hz) - self.mean_beam))


def variation_of(
    sources: Sequence[Source],
    weighting: Weighting,
    pointings_deg: Floats,
    phase_center_deg: tuple[float, float],
    dish_m: tuple[float, float],
    spectral_index: Floats | None = None,
) -> Variation:
    """Gather the sources whose drift is to be taken out.

    Parameters
    ----------
    sources : sequence of Source
        The sources, as found in an image with this weighting.
    weighting : Weighting
        Imaging weights of fields and channels.
    pointings_deg : ndarray, shape (n_fields, 2)
        Where the telescope pointed, ICRS degrees.
    phase_center_deg : (float, float)
        The one phase centre, ICRS degrees.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    spectral_index : ndarray, shape (n_sources,), optional
        See `measure_spectral_indices`; None: 0.
    """
    ra = np.array([s.ra_deg for s in sources])
    dec = np.array([s.dec_deg for s in sources])
    east, north = sin_of_sky(ra, dec, *phase_center_deg)
    # n - 1 = -(l^2 + m^2) / (1 + n) keeps its precision near the centre.
    squared = east**2 + north**2
    toward = -squared / (1.0 + np.sqrt(1.0 - squared))
    one = Variation(
        flux_jy=np.ones(len(sources)),
        cosines=np.column_stack([east, north, toward]),
        ra_deg=ra,
        dec_deg=dec,
        spectral_index=np.zeros(len(sources)) if spectral_index is None else spectral_index,
        reference_hz=weighting.frequency_hz,
        mean_beam=np.zeros(len(sources)),
        pointings_deg=pointings_deg,
        dish_m=dish_m,
    )
    share = weighting.field_channel_weight / weighting.field_channel_weight.sum()
    mean = np.zeros(len(sources))
    for field in np.flatnonzero(share.any(axis=1)):
        mean += share[field] @ one.response(int(field), weighting.channels_hz)
    return replace(one, flux_jy=np.array([s.peak_jy for s in sources]) / mean, mean_beam=mean)


def measure_spectral_indices(ms: Path, variation: Variation) -> Floats:
    """Return the spectral indices of sources that outshine all others; runs in a CASA process.

    Parameters
    ----------
    ms : Path
        Calibrated MS with one phase centre; only read.
    variation : Variation
        The sources; few, because each takes a pass over the data.

    Returns
    -------
    ndarray, shape (n_sources,)
        Slope of log flux against log frequency over the spectral windows; 0 where fewer than
        three windows have data.

    Notes
    -----
    In each window the flux is ``sum Re(V conj(phasor)) / sum B_fc`` over unflagged data: the
    visibilities turned to the source, where all else averages out.
    """
    import casatools

    table = casatools.table()
    found: list[tuple[float, Floats]] = []
    try:
        windows = _windows_hz(table, ms)
        table.open(str(ms))
        for description in np.unique(table.getcol("DATA_DESC_ID")):
            channels_hz = windows[description]
            total, expected = np.zeros(len(variation.ra_deg)), np.zeros(len(variation.ra_deg))
            for field in range(len(variation.pointings_deg)):
                rows = table.query(f"DATA_DESC_ID=={description} && FIELD_ID=={field}")
                if rows.nrows():
                    power = replace(variation, spectral_index=np.zeros_like(total)).response(
                        field, channels_hz
                    )
                    seen, count = _turned_to(rows, channels_hz, variation)
                    total += seen
                    expected += count @ power
                rows.close()
            if (expected > 0).all() and (total > 0).all():
                found.append((float(channels_hz.mean()), total / expected))
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise ImagingFailed(f"{ms} can't be read: {said}", path=str(ms)) from error
    finally:
        table.close()
    if len(found) < _LEAST_WINDOWS:
        return np.zeros(len(variation.ra_deg))
    frequency = np.log([hz for hz, _ in found])
    flux = np.log([jy for _, jy in found])
    return np.asarray(np.polyfit(frequency - frequency.mean(), flux, 1)[0])


def _turned_to(rows: Any, channels_hz: Floats, variation: Variation) -> tuple[Floats, Floats]:
    """Return sums of the visibilities turned to each source, and data counts by channel."""
    seconds = rows.getcol("UVW").T @ variation.cosines.T / speed_of_light
    flag = rows.getcol("FLAG")[[0, -1]].any(axis=0)
    stokes_i = np.where(flag, 0.0, rows.getcol("DATA")[[0, -1]].mean(axis=0))
    total = np.zeros(len(variation.ra_deg))
    for i, frequency_hz in enumerate(channels_hz):
        total += (stokes_i[i] @ _turned(seconds * frequency_hz).conj()).real
    return total, (~flag).sum(axis=1).astype(np.float64)


def _windows_hz(table: Any, ms: Path) -> list[Floats]:
    """Return the channel centres (Hz) of each data description."""
    table.open(str(ms / "SPECTRAL_WINDOW"))
    frequencies = [table.getcell("CHAN_FREQ", i) for i in range(table.nrows())]
    table.close()
    table.open(str(ms / "DATA_DESCRIPTION"))
    windows = table.getcol("SPECTRAL_WINDOW_ID")
    table.close()
    return [np.asarray(frequencies[w], dtype=np.float64) for w in windows]


def write_steady_copy(ms: Path, copy: Path, variation: Variation) -> None:
    """Copy an MS with the sources made steady; runs in a CASA process.

    Parameters
    ----------
    ms : Path
        Calibrated MS with one phase centre; only read.
    copy : Path
        Where the copy goes.
    variation : Variation
        The sources.

    Notes
    -----
    During five minutes the sky moves by half of the primary beam's width, so a source a degree
    off the centre halves or doubles, and over the band the beam changes by another tenth. CLEAN
    knows only steady sources and leaves what varies as sidelobes. With B_fc the beam at field f
    and channel c and B its mean with the imaging weights, ``S (B_fc - B) exp(2 pi i (u l + v m +
    w (n - 1)))`` is subtracted. Its sum with the imaging weights is zero at the source, so the
    source keeps the flux that it has in the image, whatever S was taken.
    """
    shutil.copytree(ms, copy)
    import casatools

    table = casatools.table()
    try:
        windows = _windows_hz(table, ms)
        table.open(str(copy), nomodify=False)
        for description in np.unique(table.getcol("DATA_DESC_ID")):
            channels_hz = windows[description]
            for field in range(len(variation.pointings_deg)):
                rows = table.query(f"DATA_DESC_ID=={description} && FIELD_ID=={field}")
                if rows.nrows():
                    _subtract(rows, variation.excess_jy(field, channels_hz), channels_hz, variation)
                rows.close()
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise ImagingFailed(f"{copy} can't be written: {said}", path=str(ms)) from error
    finally:
        table.close()


def _subtract(rows: Any, excess_jy: Floats, channels_hz: Floats, variation: Variation) -> None:
    seconds = rows.getcol("UVW").T @ variation.cosines.T / speed_of_light
    phasor = _turned(seconds * channels_hz[0])
    data = rows.getcol("DATA")
    # From one channel to the next each phasor turns by the same angle: no new exponentials.
    steps = np.diff(channels_hz)
    even = len(steps) > 1 and np.allclose(steps, steps[0], rtol=1e-6)
    turn = _turned(seconds * steps[0]) if even else None
    for i, frequency_hz in enumerate(channels_hz):
        if i:
            phasor = phasor * turn if turn is not None else _turned(seconds * frequency_hz)
        data[:, i, :] -= phasor @ excess_jy[i].astype(np.float32)
    rows.putcol("DATA", data)


def _turned(turns: Floats) -> NDArray[np.complex64]:
    # Whole turns go while still in double precision; what is left fits single precision.
    angle = (2.0 * np.pi * (turns - np.round(turns))).astype(np.float32)
    return np.asarray(np.cos(angle) + 1j * np.sin(angle), dtype=np.complex64)
