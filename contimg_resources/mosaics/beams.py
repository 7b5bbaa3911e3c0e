"""The common restoring beam of a mosaic: Jy/beam can only be averaged for equal beams.

Belongs here: choosing that beam, convolving a tile to it, and rejecting tiles that don't fit the
others. Doesn't: resampling.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import MosaicFailed
from contimg_resources.imaging.model import Beam

Pixels = NDArray[np.float32]

#: Enlargement of the common beam over the smallest one, so that later tiles fit into it.
_MARGIN = 1.02
#: A tile whose beam's solid angle exceeds the median by more would degrade all others.
_LARGEST = 1.5
#: Tiles whose frequencies differ by more than this fraction have other flux densities.
_SAME_BAND = 0.1


def outliers(beams: Mapping[str, Beam]) -> dict[str, str]:
    """Return the tiles whose beams are too large for the others, by key, with the reasons."""
    areas = {key: b.major_arcsec * b.minor_arcsec for key, b in beams.items()}
    median = float(np.median(list(areas.values())))
    return {
        key: f"its beam {_words(beams[key])} is {area / median:.1f} times as large as the median "
        f"of the tiles; the limit is {_LARGEST:g}"
        for key, area in areas.items()
        if area > _LARGEST * median
    }


def other_bands(frequencies_hz: Mapping[str, float]) -> dict[str, str]:
    """Return the tiles whose frequency differs from the others, by key, with the reasons."""
    median = float(np.median(list(frequencies_hz.values())))
    return {
        key: f"its {1e-6 * hz:.1f} MHz differ from the {1e-6 * median:.1f} MHz of the other tiles"
        for key, hz in frequencies_hz.items()
        if abs(hz - median) > _SAME_BAND * median
    }


def common_beam(beams: Sequence[Beam]) -> Beam:
    """Return a beam slightly larger than the smallest one that all can be convolved to.

    Parameters
    ----------
    beams : sequence of Beam
        At least one.

    Raises
    ------
    MosaicFailed
        If there is none.
    """
    from racs_tools.convolve_uv import round_common_beam
    from radio_beam import Beams
    from radio_beam.utils import BeamError

    found = Beams(beams=[_radio(b) for b in beams])
    try:
        smallest = found[0] if len(set(beams)) == 1 else found.common_beam()
    except (BeamError, ValueError) as error:
        raise MosaicFailed(f"the tiles' beams have no common beam: {error}") from error
    larger = _radio(
        Beam(
            _MARGIN * smallest.major.to_value("arcsec"),
            _MARGIN * smallest.minor.to_value("arcsec"),
            smallest.pa.to_value("deg"),
        )
    )
    rounded = round_common_beam(larger, found)
    return Beam(
        float(rounded.major.to_value("arcsec")),
        float(rounded.minor.to_value("arcsec")),
        float(rounded.pa.to_value("deg")),
    )


def fits_into(beam: Beam, common: Beam) -> bool:
    """Return whether a tile of one beam can be convolved to another."""
    from racs_tools.convolve_uv import beam_contains

    return bool(beam_contains(_radio(common), _radio(beam)))


def convolve(pixels: Pixels, beam: Beam, common: Beam, cell_arcsec: float) -> Pixels:
    """Convolve an image (Jy/beam) to the common beam.

    Parameters
    ----------
    pixels : ndarray of float32, shape (size, size)
        Without NaN, Jy per `beam`.
    beam, common : Beam
        Its restoring beam, and the target beam.
    cell_arcsec : float
        Pixel size, arcsec.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Jy per `common`.
    """
    from astropy import units as u
    from racs_tools.convolve_uv import convolve as in_uv

    logging.getLogger("racs_tools").setLevel(logging.ERROR)
    cell = cell_arcsec * u.arcsec
    result = in_uv(pixels, _radio(beam), _radio(common), cell, cell)
    return np.asarray(result.image * np.float32(result.scaling_factor), dtype=np.float32)


def _radio(beam: Beam) -> Any:
    from astropy import units as u
    from radio_beam import Beam as RadioBeam

    return RadioBeam(
        beam.major_arcsec * u.arcsec, beam.minor_arcsec * u.arcsec, beam.angle_deg * u.deg
    )


def _words(beam: Beam) -> str:
    return f"{beam.major_arcsec:.1f} x {beam.minor_arcsec:.1f} arcsec"
