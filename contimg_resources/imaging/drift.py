"""Take out of the visibilities that sources brighten and fade while they drift through the beam.

Belongs here: the difference between a source as it was seen in each integration and channel, and
its mean. Doesn't: finding the sources, imaging.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.errors import ImagingFailed
from contimg_resources.imaging.beam import DriftBeam, separation_rad
from contimg_resources.imaging.model import Source
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.point_sources import direction_cosines

Floats = NDArray[np.float64]


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
    mean_beam : ndarray, shape (n_sources,)
        The beam that each has in the image: mean with the imaging weights.
    pointings_deg : ndarray, shape (n_fields, 2)
        Where the telescope pointed, ICRS degrees.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    """

    flux_jy: Floats
    cosines: Floats
    ra_deg: Floats
    dec_deg: Floats
    mean_beam: Floats
    pointings_deg: Floats
    dish_m: tuple[float, float]

    def excess_jy(self, field: int, frequency_hz: Floats) -> Floats:
        """Return apparent flux above its mean, Jy, shape (n_channels, n_sources)."""
        ra, dec = self.pointings_deg[field]
        angle = separation_rad(ra, dec, self.ra_deg, self.dec_deg)
        power = airy_power(angle[None, :], frequency_hz[:, None], *self.dish_m)
        return np.asarray(self.flux_jy * (power - self.mean_beam))


def variation_of(
    sources: Sequence[Source],
    beam: DriftBeam,
    pointings_deg: Floats,
    phase_center_deg: tuple[float, float],
    dish_m: tuple[float, float],
) -> Variation:
    """Gather the sources whose drift is to be taken out."""
    ra = np.array([s.ra_deg for s in sources])
    dec = np.array([s.dec_deg for s in sources])
    mean = beam.at(ra, dec)
    return Variation(
        flux_jy=np.array([s.peak_jy for s in sources]) / mean,
        cosines=np.column_stack(direction_cosines(ra, dec, *phase_center_deg)),
        ra_deg=ra,
        dec_deg=dec,
        mean_beam=mean,
        pointings_deg=pointings_deg,
        dish_m=dish_m,
    )


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
        table.open(str(ms / "SPECTRAL_WINDOW"))
        frequencies = [table.getcell("CHAN_FREQ", i) for i in range(table.nrows())]
        table.close()
        table.open(str(ms / "DATA_DESCRIPTION"))
        windows = table.getcol("SPECTRAL_WINDOW_ID")
        table.close()
        table.open(str(copy), nomodify=False)
        for description in np.unique(table.getcol("DATA_DESC_ID")):
            channels_hz = np.asarray(frequencies[windows[description]], dtype=np.float64)
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
