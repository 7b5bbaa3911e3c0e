"""Images of parts of the band, from the visibilities of the image of the whole band.

Belongs here: dividing the band, choosing the sub-bands with enough data, imaging one. Doesn't: the
image of the whole band, files (see `make`), light curves of sub-bands (see
`contimg_resources.photometry.subbands`).

The imaging weights are those of the whole band, and the bright sources that were found in it are
subtracted with their drift and spectrum; so a sub-band needs one gridding and a short CLEAN. Each
image has its own restoring beam and primary beam.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.imaging.beam import drift_beam
from contimg_resources.imaging.engines.base import ImagingTask, RawImages
from contimg_resources.imaging.engines.bright import BrightSources
from contimg_resources.imaging.engines.drift import band_of, seen_through
from contimg_resources.imaging.engines.fast import cleaned_image
from contimg_resources.imaging.engines.gridding import Gridder
from contimg_resources.imaging.geometry import beam_extent_rad, choose_size, fft_friendly
from contimg_resources.imaging.layout import Layout
from contimg_resources.imaging.weighting import weighting_of

Floats = NDArray[np.float64]

#: Minimum data of a sub-band as a fraction of the one with the most.
_LEAST_SHARE = 0.3
#: Maximum shift of the effective frequency by flagging, as a fraction: epochs of a sub-band must be
#: comparable.
_MOST_SHIFT = 0.006
#: The pixels are larger than those of the whole band by this factor: the bright sources, which need
#: small ones, aren't CLEANed but restored.
_COARSER = 1.2
#: Minimum width: a narrower band has no spectrum.
_LEAST_WIDTH_HZ = 5e6


@dataclass(frozen=True)
class SubBand:
    """A part of the band with the edges `low_hz` and `high_hz`, Hz."""

    low_hz: float
    high_hz: float

    @property
    def name(self) -> str:
        """Its name: its middle in MHz."""
        return f"{self.middle_hz / 1e6:.0f}MHz"

    @property
    def middle_hz(self) -> float:
        """The middle between its edges, Hz."""
        return 0.5 * (self.low_hz + self.high_hz)

    def holds(self, frequency_hz: Floats) -> NDArray[np.bool_]:
        """Return which channels with these mean frequencies, Hz, are in it; same shape."""
        return (self.low_hz <= frequency_hz) & (frequency_hz < self.high_hz)


def divide_band(layout: Layout, n: int) -> tuple[SubBand, ...]:
    """Divide the selected channels' band into `n` equal sub-bands, in order of frequency."""
    low_hz = min(float((s.channels_hz - s.widths_hz / 2).min()) for s in layout.setups)
    high_hz = max(float((s.channels_hz + s.widths_hz / 2).max()) for s in layout.setups)
    return tuple(
        SubBand(*edges) for edges in pairwise(np.linspace(low_hz, high_hz, n + 1).tolist())
    )


def without_enough_data(bands: tuple[SubBand, ...], task: ImagingTask) -> dict[str, str]:
    """Return the reasons why sub-bands can't be imaged, by name."""
    blocks = task.seen.blocks
    amounts = [
        sum(float(b.weight[:, band.holds(b.channels_hz)].sum(dtype=np.float64)) for b in blocks)
        for band in bands
    ]
    most, weighting = max(amounts, default=0.0), task.weighting
    by_channel = weighting.field_channel_weight.sum(axis=0)
    reasons = {}
    for band, amount in zip(bands, amounts, strict=True):
        if band.high_hz - band.low_hz < _LEAST_WIDTH_HZ:
            reasons[band.name] = (
                f"it would be {(band.high_hz - band.low_hz) / 1e6:.2f} MHz wide; the minimum is "
                f"{_LEAST_WIDTH_HZ / 1e6:g} MHz"
            )
            continue
        inside = band.holds(weighting.channels_hz)
        if amount < _LEAST_SHARE * most or not by_channel[inside].sum() > 0:
            reasons[band.name] = (
                f"it has {100 * amount / most:.0f} % as much unflagged data as the sub-band with "
                f"the most; the minimum is {100 * _LEAST_SHARE:.0f} %"
            )
            continue
        frequency_hz = float(np.average(weighting.channels_hz[inside], weights=by_channel[inside]))
        if abs(frequency_hz - band.middle_hz) > _MOST_SHIFT * band.middle_hz:
            reasons[band.name] = (
                f"flagging moved its effective frequency to {frequency_hz / 1e6:.1f} MHz, by more "
                f"than {100 * _MOST_SHIFT:g} %"
            )
    return reasons


def image_sub_band(
    band: SubBand, whole: ImagingTask, bright: BrightSources | None
) -> tuple[ImagingTask, RawImages]:
    """Image a sub-band; return its task, which has its grid and weights, and the images.

    Parameters
    ----------
    band : SubBand
        The sub-band.
    whole : ImagingTask
        The task of the image of the whole band.
    bright : BrightSources, optional
        The bright sources in that image, and the visibilities without them.

    Raises
    ------
    ImagingFailed
        If CLEAN diverges or the image isn't finite.

    Notes
    -----
    With bright sources subtracted, the pixels are larger, and the image ends where the sub-band's
    primary beam falls below its cut: what is left outside is too faint to have visible sidelobes.
    """
    places = [
        slice(*np.searchsorted(b.channels_hz, (band.low_hz, band.high_hz)))
        for b in whole.seen.blocks
    ]
    seen = replace(
        whole.seen,
        blocks=tuple(
            replace(b, channels_hz=b.channels_hz[place], values=values, weight=weight)
            for b, place, values, weight in zip(
                whole.seen.blocks,
                places,
                _parts([b.values for b in whole.seen.blocks], places),
                _parts([b.weight for b in whole.seen.blocks], places),
                strict=True,
            )
            if values.shape[1]
        ),
        bandwidth_hz=band.high_hz - band.low_hz,
    )
    weighting = weighting_of(
        seen, tuple(w for w in _parts(whole.weighting.weight, places) if w.shape[1])
    )
    beam = drift_beam(
        seen.pointings_deg,
        weighting.field_channel_weight,
        weighting.channels_hz,
        *whole.dish_m,
        seen.beam_shape,
    )
    grid = whole.grid
    if bright is not None:
        reach_rad = beam_extent_rad(beam, grid.ra_deg, grid.dec_deg, whole.settings.beam_cut)
        cell_arcsec = _COARSER * grid.cell_arcsec
        size = min(fft_friendly(grid.size / _COARSER), choose_size(reach_rad, cell_arcsec))
        grid = replace(grid, size=size, cell_arcsec=cell_arcsec)
        bright = BrightSources(
            seen_through(bright.variation, band_of(weighting)),
            tuple(v for v in _parts(bright.values, places) if v.shape[1]),
        )
    task = replace(
        whole,
        seen=seen,
        weighting=weighting,
        grid=grid,
        beam=beam,
        threshold_jy=whole.settings.threshold_sigma * weighting.noise_jy,
    )
    # One transform for all blocks: a sub-band has few data.
    gridder = Gridder(seen.blocks, weighting.weight, together=True)
    return task, cleaned_image(task, gridder, bright)


def _parts(arrays: Sequence[NDArray[Any]], places: Sequence[slice]) -> list[NDArray[Any]]:
    """Return some columns of each array, contiguous in memory."""
    return [np.ascontiguousarray(a[:, place]) for a, place in zip(arrays, places, strict=True)]
