"""Write images as FITS files that state their content and origin.

Belongs here: headers. Doesn't: computing their values.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

import contimg_resources
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.imaging.model import Beam, SkyGrid

_HISTORY_WIDTH = 70
#: Provenance with a dedicated keyword.
_KEYWORDS = {
    "observation": ("OBSID", "observation"),
    "caltable_set": ("CALSET", "caltable set applied"),
    "caltable_version": ("CALVER", "version of the caltable set"),
}


@dataclass(frozen=True)
class HeaderFacts:
    """Header values shared by all products of one image."""

    grid: SkyGrid  #: Pixels of the image.
    beam: Beam  #: Restoring beam.
    #: `frequency_hz`, `bandwidth_hz`: Effective frequency and width of the band, Hz; the width is
    #: NaN if unknown.
    frequency_hz: float
    bandwidth_hz: float
    #: `telescope`, `object_name`: Name of the telescope, and of the observed object.
    telescope: str
    object_name: str
    #: `start_mjd`, `end_mjd`: Time covered, MJD in days, UTC.
    start_mjd: float
    end_mjd: float
    #: Further keywords of up to eight letters: value, or value and comment.
    cards: Mapping[str, Any]
    provenance: Mapping[str, str]  #: Origin of the image.
    #: Middle time of the data, MJD in days, UTC; None: that of `start_mjd` and `end_mjd`.
    mid_mjd: float | None = None


def write_fits(
    path: Path, pixels: NDArray[np.floating[Any]], kind: str, unit: str, facts: HeaderFacts
) -> None:
    """Write one product.

    Parameters
    ----------
    path : Path
        File to write.
    pixels : ndarray, shape (rows, columns)
        Declination increases with rows, right ascension decreases with columns; written as float32
        with axes for frequency and Stokes of length 1.
    kind : str
        ``BTYPE``, the quantity of the pixels.
    unit : str
        ``BUNIT``; ``Jy/beam``, or empty for the primary beam.
    facts : HeaderFacts
        The rest of the header.
    """
    header = _header(kind, unit, facts)
    # A copy in the file's own byte order: astropy would swap the bytes of the original while it is
    # being drawn.
    data = np.array(pixels, dtype=">f4")[np.newaxis, np.newaxis]
    fits.PrimaryHDU(data, header).writeto(path, checksum=True)


def _header(kind: str, unit: str, facts: HeaderFacts) -> fits.Header:
    header = fits.Header()
    cell_deg = facts.grid.cell_arcsec / 3600
    for name, value, comment in (
        ("BTYPE", kind, "what the pixels show"),
        ("BUNIT", unit, "unit of the pixels"),
        ("OBJECT", facts.object_name, "what was observed"),
        ("TELESCOP", facts.telescope, "telescope"),
        ("ORIGIN", f"contimg {contimg_resources.__version__}", "software that wrote this file"),
        ("BMAJ", facts.beam.major_arcsec / 3600, "[deg] restoring beam, major axis, FWHM"),
        ("BMIN", facts.beam.minor_arcsec / 3600, "[deg] restoring beam, minor axis, FWHM"),
        ("BPA", facts.beam.angle_deg, "[deg] its position angle, north through east"),
        ("CTYPE1", f"RA---{facts.grid.projection}", ""),
        ("CRVAL1", facts.grid.ra_deg, "[deg]"),
        ("CDELT1", -cell_deg, "[deg]"),
        ("CRPIX1", facts.grid.columns // 2 + 1.0, ""),
        ("CUNIT1", "deg", ""),
        ("CTYPE2", f"DEC--{facts.grid.projection}", ""),
        ("CRVAL2", facts.grid.dec_deg, "[deg]"),
        ("CDELT2", cell_deg, "[deg]"),
        ("CRPIX2", facts.grid.rows // 2 + 1.0, ""),
        ("CUNIT2", "deg", ""),
        ("CTYPE3", "FREQ", ""),
        ("CRVAL3", facts.frequency_hz, "[Hz] mean over the imaging weights"),
        # An axis of no width would have no pixels: what isn't known is 1 Hz, as a reader expects.
        (
            "CDELT3",
            facts.bandwidth_hz if math.isfinite(facts.bandwidth_hz) else 1.0,
            "[Hz] width of the band" + ("" if math.isfinite(facts.bandwidth_hz) else ": unknown"),
        ),
        ("CRPIX3", 1.0, ""),
        ("CUNIT3", "Hz", ""),
        ("CTYPE4", "STOKES", ""),
        ("CRVAL4", 1.0, "Stokes I"),
        ("CDELT4", 1.0, ""),
        ("CRPIX4", 1.0, ""),
        ("CUNIT4", "", ""),
        ("RADESYS", "ICRS", "frame of the coordinates"),
        ("SPECSYS", "TOPOCENT", "frame of the frequency"),
        ("RESTFRQ", facts.frequency_hz, "[Hz]"),
        ("TIMESYS", "UTC", "time scale of all dates"),
        ("DATE-OBS", isot_from_mjd(facts.start_mjd), "begin of the data"),
        ("DATE-AVG", isot_from_mjd(_middle(facts)), "middle of the data"),
        ("DATE-END", isot_from_mjd(facts.end_mjd), "end of the data"),
        ("MJD-OBS", facts.start_mjd, "[d] begin of the data"),
        ("MJD-AVG", _middle(facts), "[d] middle of the data"),
        ("MJD-END", facts.end_mjd, "[d] end of the data"),
    ):
        header[name] = (value, comment) if comment else value
    for name, value in facts.cards.items():
        header[name] = value
    _note_provenance(header, facts.provenance)
    return header


def _middle(facts: HeaderFacts) -> float:
    middle = 0.5 * (facts.start_mjd + facts.end_mjd)
    return middle if facts.mid_mjd is None else facts.mid_mjd


def _note_provenance(header: fits.Header, provenance: Mapping[str, str]) -> None:
    for name, value in provenance.items():
        text = str(value).encode("ascii", "backslashreplace").decode().replace("\n", " ")
        if name in _KEYWORDS:
            keyword, comment = _KEYWORDS[name]
            header[keyword] = (int(text) if text.isdecimal() else text, comment)
        # Long values continue in lines that begin with two blanks.
        line = f"{name} = {text}"
        header["HISTORY"] = line[:_HISTORY_WIDTH]
        for start in range(_HISTORY_WIDTH, len(line), _HISTORY_WIDTH - 2):
            header["HISTORY"] = "  " + line[start : start + _HISTORY_WIDTH - 2]
