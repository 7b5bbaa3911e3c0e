"""Sources that vary while they drift through the beam, channel by channel.

Belongs here: a source's apparent flux in each integration and channel, measuring its spectrum, and
subtracting it from visibilities in memory or in a copy of the MS. Doesn't: finding sources,
imaging.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.calibration.ms.health import channel_frequencies_hz
from contimg_resources.casa.tables import copy_table
from contimg_resources.core.errors import ImagingFailed
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.imaging.beam import power_toward
from contimg_resources.imaging.engines.point_loops import subtract_points, turn_to_points
from contimg_resources.imaging.model import Source
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.imaging.weighting import Weighting
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Values = Sequence[NDArray[np.complex64]]

#: Beam and spectrum are computed at this many frequencies.
_BINS = 96
#: A spectral index is used when it exceeds this many times its error, and isn't larger than this.
_LEAST_SIGMA = 3.0
_STEEPEST = 3.0


@dataclass(frozen=True)
class Band:
    """The band divided into bins, and the share of the imaging weight in each."""

    bins_hz: Floats  #: Mean frequencies, Hz. Shape (n_bins,).
    #: The bin of each averaged channel of each block. Shape (n_columns,).
    bin_of_channel: tuple[NDArray[np.int16], ...]
    share: Floats  #: Share of the imaging weight; its sum is 1. Shape (n_fields, n_bins).
    frequency_hz: float  #: Effective frequency of the image, Hz.

    def of_fields(self, used: NDArray[np.bool_]) -> "Band":
        """Return the band when only some fields, mask of shape (n_fields,), are used."""
        share = np.where(used[:, None], self.share, 0.0)
        return replace(self, share=share / share.sum())


def band_of(weighting: Weighting) -> Band:
    """Divide the channels of all blocks into bins."""
    channels_hz = weighting.channels_hz
    # Bins follow the order of the spectral windows, whatever it is.
    order = np.argsort(channels_hz, kind="stable")
    groups = np.array_split(order, min(_BINS, len(order)))
    of_channel = np.empty(len(order), np.int16)
    share = np.empty((len(weighting.field_channel_weight), len(groups)))
    for i, group in enumerate(groups):
        of_channel[group] = i
        share[:, i] = weighting.field_channel_weight[:, group].sum(axis=1)
    return Band(
        bins_hz=np.array([channels_hz[group].mean() for group in groups]),
        bin_of_channel=tuple(
            np.split(of_channel, np.cumsum([w.shape[1] for w in weighting.weight])[:-1])
        ),
        share=share / share.sum(),
        frequency_hz=weighting.frequency_hz,
    )


@dataclass(frozen=True)
class Variation:
    """The variation of sources over the integrations and channels of one observation."""

    #: Flux densities without the primary beam at the band's effective frequency, Jy. Shape
    #: (n_sources,).
    flux_jy: Floats
    spectral_index: Floats  #: ``S ~ nu^spectral_index``; 0 where unknown. Shape (n_sources,).
    cosines: Floats  #: l (east), m (north) and n - 1 about the phase centre. Shape (n_sources, 3).
    #: `ra_deg`, `dec_deg`: Positions, ICRS degrees. Shape (n_sources,).
    ra_deg: Floats
    dec_deg: Floats
    #: Response of each in the image: beam times relative spectrum, averaged with the imaging
    #: weights. Shape (n_sources,).
    mean_response: Floats
    pointings_deg: Floats  #: Pointing directions, ICRS degrees. Shape (n_fields, 2).
    dish_m: tuple[float, float]  #: Diameters of dish and blockage, metres.
    reference_hz: float  #: Effective frequency, Hz.
    beam_shape: BeamShape = MODEL_SHAPE  #: Shape of the primary beam.

    def response(self, field: int, frequency_hz: Floats) -> Floats:
        """Return beam times relative spectrum, shape (n_channels, n_sources)."""
        power = power_toward(
            self.pointings_deg[field],
            self.ra_deg,
            self.dec_deg,
            frequency_hz,
            self.dish_m,
            self.beam_shape,
        )
        ratio = frequency_hz[:, None] / self.reference_hz
        return np.asarray(power * ratio**self.spectral_index)

    def excess_jy(self, field: int, frequency_hz: Floats) -> Floats:
        """Return apparent flux minus its mean, Jy, shape (n_channels, n_sources)."""
        return np.asarray(self.flux_jy * (self.response(field, frequency_hz) - self.mean_response))

    @property
    def mean_jy(self) -> Floats:
        """Return the flux of each in the image, not PB-corrected, Jy, shape (n_sources,)."""
        return self.flux_jy * self.mean_response

    def table_jy(self, band: Band) -> Singles:
        """Return apparent fluxes, Jy, shape (n_fields, n_bins, n_sources); 0 without data."""
        table = np.zeros((*band.share.shape, len(self.flux_jy)), np.float32)
        for field in np.flatnonzero(band.share.any(axis=1)):
            table[field] = self.flux_jy * self.response(int(field), band.bins_hz)
        return table


def variation_of(
    sources: Sequence[Source],
    band: Band,
    pointings_deg: Floats,
    phase_center_deg: tuple[float, float],
    dish_m: tuple[float, float],
    beam_shape: BeamShape = MODEL_SHAPE,
) -> Variation:
    """Combine sources, without spectra.

    Parameters
    ----------
    sources : sequence of Source
        Sources found in an image with these weights.
    band : Band
        Imaging weights of fields and frequencies.
    pointings_deg : ndarray, shape (n_fields, 2)
        Pointing directions, ICRS degrees.
    phase_center_deg : (float, float)
        The one phase centre, ICRS degrees.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    beam_shape : BeamShape
        Shape of the primary beam.
    """
    ra = np.array([s.ra_deg for s in sources])
    dec = np.array([s.dec_deg for s in sources])
    unknown = Variation(
        flux_jy=np.ones(len(sources)),
        spectral_index=np.zeros(len(sources)),
        cosines=np.column_stack(direction_cosines(ra, dec, *phase_center_deg)),
        ra_deg=ra,
        dec_deg=dec,
        mean_response=np.ones(len(sources)),
        pointings_deg=pointings_deg,
        dish_m=dish_m,
        reference_hz=band.frequency_hz,
        beam_shape=beam_shape,
    )
    return _scaled(unknown, band, np.array([s.peak_jy for s in sources]))


def seen_through(variation: Variation, band: Band) -> Variation:
    """Return sources of the same fluxes with the responses of other imaging weights."""
    table = replace(variation, flux_jy=np.ones(len(variation.flux_jy))).table_jy(band)
    return replace(variation, mean_response=np.einsum("fb,fbs->s", band.share, table))


def joined(first: Variation, second: Variation) -> Variation:
    """Return the sources of both variations."""

    def both(name: str) -> Floats:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    return replace(
        first,
        flux_jy=both("flux_jy"),
        spectral_index=both("spectral_index"),
        cosines=both("cosines"),
        ra_deg=both("ra_deg"),
        dec_deg=both("dec_deg"),
        mean_response=both("mean_response"),
    )


def _scaled(variation: Variation, band: Band, mean_jy: Floats) -> Variation:
    """Return the variation with fluxes scaled to the given means in the image."""
    seen = seen_through(variation, band)
    return replace(seen, flux_jy=mean_jy / seen.mean_response)


def with_spectra(
    variation: Variation,
    band: Band,
    seen: Visibilities,
    weights: Sequence[Singles],
    left: Values,
    dominant: NDArray[np.bool_],
    noise_jy: float,
) -> Variation:
    """Refine the fluxes and spectral indices of the dominant sources.

    Parameters
    ----------
    variation : Variation
        The sources as subtracted.
    band : Band
        Imaging weights of fields and frequencies.
    seen : Visibilities
        Baselines and frequencies of the visibilities.
    weights : sequence of ndarray of float32, shape (n_rows, n_columns)
        Imaging weights of each block.
    left : sequence of ndarray of complex64, same shapes
        Visibilities after subtracting all these sources.
    dominant : ndarray of bool, shape (n_sources,)
        The sources to be measured.
    noise_jy : float
        Noise of the image, Jy/beam.

    Notes
    -----
    The residual of a source whose index was wrong by a and whose flux by a share s is
    ``S B (s + a x) exp(i phi)`` with x the logarithm of frequency about its mean: s and a are the
    regressions of the visibilities, phase-rotated to the source, on S B and S B x. All other
    sources average out.
    """
    if not dominant.any():
        return variation
    measured = np.flatnonzero(dominant)
    x = np.log(band.bins_hz / band.frequency_hz)
    table = variation.table_jy(band)[:, :, measured]
    power = np.einsum("fb,fbs->bs", band.share, table.astype(np.float64) ** 2)
    x_mean = (power * x[:, None]).sum(axis=0) / power.sum(axis=0)
    slope = (table * (x[:, None] - x_mean)).astype(np.float32)
    brighter, steeper = np.zeros(len(measured)), np.zeros(len(measured))
    for block, known, weight, bins in zip(
        seen.blocks, left, weights, band.bin_of_channel, strict=True
    ):
        sums = turn_to_points(
            known,
            block.uvw_m,
            _wavelengths_per_m(block),
            weight,
            block.field_ids,
            np.ascontiguousarray(variation.cosines[measured].T),
            _of_columns(table, bins),
            _of_columns(slope, bins),
        )
        brighter += sums[0]
        steeper += sums[1]
    total = sum(float(weight.sum(dtype=np.float64)) for weight in weights)
    brighter /= total * power.sum(axis=0)
    square = np.einsum("fb,fbs->s", band.share, slope.astype(np.float64) ** 2)
    steeper /= total * square
    believed = np.abs(steeper) > _LEAST_SIGMA * noise_jy / np.sqrt(square)
    index, mean_jy = variation.spectral_index.copy(), variation.mean_jy
    index[measured] = np.clip(
        index[measured] + np.where(believed, steeper, 0.0), -_STEEPEST, _STEEPEST
    )
    mean_jy[measured] *= 1.0 + np.clip(brighter, -0.5, 0.5)
    return _scaled(replace(variation, spectral_index=index), band, mean_jy)


def take_out(
    values: Values, seen: Visibilities, band: Band, cosines: Floats, table_jy: Singles
) -> None:
    """Subtract sources from visibilities in memory, in place.

    Parameters
    ----------
    values : sequence of ndarray of complex64, shape (n_rows, n_columns)
        Visibilities of each block, Jy.
    seen : Visibilities
        Their baselines and frequencies.
    band : Band
        Frequency bins of the table.
    cosines : ndarray, shape (n_sources, 3)
        l (east), m (north) and n - 1 about the phase centre.
    table_jy : ndarray of float32, shape (n_fields, n_bins, n_sources)
        Apparent fluxes, Jy.
    """
    for block, known, bins in zip(seen.blocks, values, band.bin_of_channel, strict=True):
        subtract_points(
            known,
            block.uvw_m,
            _wavelengths_per_m(block),
            block.weight,
            block.field_ids,
            np.ascontiguousarray(cosines.T),
            _of_columns(table_jy, bins),
        )


def _wavelengths_per_m(block: Block) -> Singles:
    return (block.channels_hz / speed_of_light).astype(np.float32)


def _of_columns(table: Singles, bins: NDArray[np.int16]) -> Singles:
    """Return a table of bins, shape (n_fields, n_bins, n_sources), with columns, those last."""
    return np.ascontiguousarray(table[:, bins].transpose(0, 2, 1))


def write_steady_copy(ms: Path, copy: Path, variation: Variation) -> None:
    """Copy an MS with the sources' variation removed; runs in a CASA process.

    Parameters
    ----------
    ms : Path
        Calibrated MS with one phase centre; only read.
    copy : Path
        Path of the copy.
    variation : Variation
        The sources.

    Notes
    -----
    During five minutes the sky moves by half of the primary beam's width, so the apparent flux
    of a source a degree off the centre halves or doubles, and over the band the beam changes by
    another tenth. CLEAN assumes constant sources and leaves variation as sidelobes. With B_fc the
    beam at field f and channel c and B its mean with the imaging weights, ``S (B_fc - B) exp(2 pi
    i (u l + v m + w (n - 1)))`` is subtracted. Its sum with the imaging weights is zero at the
    source, so the source keeps its flux in the image, whatever S is used.
    """
    import casatools

    table = casatools.table()
    try:
        copy_table(ms, copy)
        frequencies = channel_frequencies_hz(ms)
        table.open(str(copy), nomodify=False)
        # TaQL refuses units that it doesn't know; units other than Jy were refused before.
        table.putcolkeyword("DATA", "QuantumUnits", ["Jy"])
        for description in np.unique(table.getcol("DATA_DESC_ID")):
            channels_hz = frequencies[int(description)]
            for field in range(len(variation.pointings_deg)):
                rows = table.query(f"DATA_DESC_ID=={description} && FIELD_ID=={field}")
                if rows.nrows():
                    _subtract(rows, variation.excess_jy(field, channels_hz), channels_hz, variation)
                rows.close()
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise ImagingFailed(f"a copy of {ms} can't be written: {said}", path=str(ms)) from error
    finally:
        table.close()


def _subtract(rows: Any, excess_jy: Floats, channels_hz: Floats, variation: Variation) -> None:
    seconds = rows.getcol("UVW").T @ variation.cosines.T / speed_of_light
    phasor = _turned(seconds * channels_hz[0])
    data = rows.getcol("DATA")
    # From one channel to the next each phasor rotates by the same angle: no new exponentials.
    steps = np.diff(channels_hz)
    even = len(steps) > 1 and np.allclose(steps, steps[0], rtol=1e-6)
    turn = _turned(seconds * steps[0]) if even else None
    for i, frequency_hz in enumerate(channels_hz):
        if i:
            phasor = phasor * turn if turn is not None else _turned(seconds * frequency_hz)
        data[:, i, :] -= phasor @ excess_jy[i].astype(np.float32)
    rows.putcol("DATA", data)


def _turned(turns: Floats) -> NDArray[np.complex64]:
    # Remove whole turns in double precision; the remainder fits single precision.
    angle = (2.0 * np.pi * (turns - np.round(turns))).astype(np.float32)
    return np.asarray(np.cos(angle) + 1j * np.sin(angle), dtype=np.complex64)
