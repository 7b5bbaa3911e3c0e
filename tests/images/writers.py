"""Images as other programs write them: synthetic skies with headers of their makers.

The sky is painted through astropy's own WCS of the header, so whatever a header says is what the
pixels show; nothing of the reader under test is used.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, WCSSUB_LATITUDE, WCSSUB_LONGITUDE
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from contimg_resources.imaging.model import Beam
from contimg_resources.simulation.tiles import correlated_noise

RA_DEG, DEC_DEG = 150.0, 54.0
CELL_ARCSEC = 12.0
BEAM = Beam(60.0, 42.0, 30.0)
RMS_JY = 5e-5
SIZE = 240
START = "2025-10-06T12:30:00.000"
END = "2025-10-06T12:35:00.000"
#: MJD of the middle of these.
MID_MJD = 60_954.0 + (12 + 32.5 / 60) / 24

_FWHM = 2 * np.sqrt(2 * np.log(2))


def places(n: int = 9, spread_deg: float = 0.24) -> SkyCoord:
    """Return directions on a lattice about the middle, ICRS."""
    side = round(n**0.5)
    steps = np.linspace(-spread_deg, spread_deg, side)
    east, north = (v.ravel() for v in np.meshgrid(steps, steps))
    # Off the lattice, so that no source is in the middle of a pixel.
    rng = np.random.default_rng(1)
    east, north = east + rng.uniform(-0.02, 0.02, n), north + rng.uniform(-0.02, 0.02, n)
    middle = SkyCoord(RA_DEG, DEC_DEG, unit="deg")
    return middle.spherical_offsets_by(east * u.deg, north * u.deg)


@dataclass(frozen=True)
class Sky:
    """What is on the sky: directions (ICRS) and flux densities, Jy."""

    places: SkyCoord
    flux_jy: NDArray[np.float64]


def sky(n: int = 9) -> Sky:
    return Sky(places(n), np.linspace(0.1, 0.3, n))


def axes(
    projection: str = "SIN",
    frame: str = "icrs",
    *,
    size: int = SIZE,
    cell_arcsec: float = CELL_ARCSEC,
    shift: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Any]:
    """Return cards of two sky axes about the middle of the sky, in some frame."""
    middle = SkyCoord(RA_DEG, DEC_DEG, unit="deg")
    names = ("RA---", "DEC--")
    cards: dict[str, Any] = {}
    if frame == "galactic":
        middle, names = middle.galactic, ("GLON-", "GLAT-")
        lon, lat = middle.l.deg, middle.b.deg
    elif frame in ("fk4", "fk5"):
        middle = middle.transform_to(frame)
        lon, lat = middle.ra.deg, middle.dec.deg
        cards["RADESYS"], cards["EQUINOX"] = frame.upper(), {"fk4": 1950.0, "fk5": 2000.0}[frame]
    else:
        lon, lat = middle.ra.deg, middle.dec.deg
        cards["RADESYS"] = "ICRS"
    cell_deg = cell_arcsec / 3600
    cards |= {
        "CTYPE1": names[0] + projection,
        "CRVAL1": lon,
        "CDELT1": -cell_deg,
        "CRPIX1": size // 2 + 1.0 + shift[0],
        "CUNIT1": "deg",
        "CTYPE2": names[1] + projection,
        "CRVAL2": lat,
        "CDELT2": cell_deg,
        "CRPIX2": size // 2 + 1.0 + shift[1],
        "CUNIT2": "deg",
    }
    if projection == "SFL":
        # Its reference is on the equator: the pixels lie far from it.
        cards |= {"CRVAL2": 0.0, "CRPIX2": size // 2 + 1.0 - lat / cell_deg}
    return cards


def frequency_axis(number: int, hz: float = 1.4e9, width_hz: float = 1.8e8) -> dict[str, Any]:
    return {
        f"CTYPE{number}": "FREQ",
        f"CRVAL{number}": hz,
        f"CDELT{number}": width_hz,
        f"CRPIX{number}": 1.0,
        f"CUNIT{number}": "Hz",
    }


def stokes_axis(number: int, value: float = 1.0) -> dict[str, Any]:
    return {
        f"CTYPE{number}": "STOKES",
        f"CRVAL{number}": value,
        f"CDELT{number}": 1.0,
        f"CRPIX{number}": 1.0,
    }


BEAM_CARDS = {"BMAJ": BEAM.major_arcsec / 3600, "BMIN": BEAM.minor_arcsec / 3600, "BPA": 30.0}

#: As WSClean 3 writes them.
WSCLEAN = {
    **axes(),
    **frequency_axis(3),
    **stokes_axis(4),
    **BEAM_CARDS,
    "BUNIT": "JY/BEAM",
    "BTYPE": "Intensity",
    "EQUINOX": 2000.0,
    "RADESYS": None,
    "SPECSYS": "TOPOCENT",
    "TELESCOP": "DSA110",
    "ORIGIN": "WSClean",
    "DATE-OBS": START,
}
#: As CASA's exportfits does.
CASA = {
    **axes(frame="fk5"),
    **stokes_axis(3),
    **frequency_axis(4),
    **BEAM_CARDS,
    "BUNIT": "Jy/beam",
    "BTYPE": "Intensity",
    "LONPOLE": 180.0,
    "LATPOLE": DEC_DEG,
    "PC1_1": 1.0,
    "PC2_1": 0.0,
    "PC1_2": 0.0,
    "PC2_2": 1.0,
    "RESTFRQ": 1.420405752e9,
    "SPECSYS": "LSRK",
    "ALTRVAL": 0.0,
    "ALTRPIX": 1.0,
    "VELREF": 257,
    "TELESCOP": "OVRO_MMA",
    "DATE-OBS": START,
    "TIMESYS": "UTC",
    "OBSRA": RA_DEG,
    "OBSDEC": DEC_DEG,
    "ORIGIN": "CASA 6.7",
}
#: As ASKAPsoft does.
ASKAPSOFT = {
    **axes(frame="fk5"),
    **stokes_axis(3),
    **frequency_axis(4),
    **BEAM_CARDS,
    "BUNIT": "Jy/beam",
    "LONPOLE": 180.0,
    "LATPOLE": DEC_DEG,
    "PC01_01": 1.0,
    "PC02_01": 0.0,
    "PC01_02": 0.0,
    "PC02_02": 1.0,
    "PV2_1": 0.0,
    "PV2_2": 0.0,
    "RESTFRQ": 1.4e9,
    "TELESCOP": "ASKAP",
    "DATE-OBS": START,
    "TIMESYS": "UTC",
    "DURATION": 300.0,
    "ORIGIN": "ASKAPsoft",
}
#: As AIPS does, in B1950 and with its beam in the log.
AIPS = {
    **axes(frame="fk4"),
    **frequency_axis(3),
    **stokes_axis(4),
    "RADESYS": None,
    "EQUINOX": None,
    "EPOCH": 1950.0,
    "CUNIT1": None,
    "CUNIT2": None,
    "CUNIT3": None,
    "CROTA2": 0.0,
    "BUNIT": "JY/BEAM",
    "TELESCOP": "VLA",
    "DATE-OBS": "06/10/95",
    "TIME-OBS": "12:30:00",
    "HISTORY": (
        "AIPS   IMNAME='TEST'",
        "AIPS   CLEAN BMAJ=  9.9999E-03 BMIN=  9.9999E-03 BPA=   0.00",
        f"AIPS   CLEAN BMAJ=  {60 / 3600:.4E} BMIN=  {42 / 3600:.4E} BPA=  30.00",
        "AIPS   CLEAN NITER=     5000 PRODUCT=1   / NORMAL",
    ),
}


def header_of(cards: Mapping[str, Any], **changes: Any) -> fits.Header:
    """Return the cards as a header; ``None`` removes one, ``__`` stands for ``-`` in a name."""
    header = fits.Header()
    for name, value in {**cards, **{k.replace("__", "-"): v for k, v in changes.items()}}.items():
        if value is None:
            continue
        if name == "HISTORY":
            for line in value:
                header["HISTORY"] = line
        else:
            header[name] = value
    return header


def sky_axes(header: fits.Header) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(header).sub([WCSSUB_LONGITUDE, WCSSUB_LATITUDE])


def paint(
    header: fits.Header,
    on: Sky,
    *,
    size: int | tuple[int, int] = SIZE,
    beam: Beam = BEAM,
    rms_jy: float = RMS_JY,
    seed: int = 0,
    response: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the pixels of a sky in Jy/beam, shape (rows, columns), by the header's own axes."""
    rows, columns = (size, size) if isinstance(size, int) else size
    wcs = sky_axes(header)
    frame = wcs_to_celestial_frame(wcs)
    there = on.places.transform_to(frame)
    x0, y0 = wcs.world_to_pixel(there)
    larger = max(rows, columns)
    noise = correlated_noise(
        larger, CELL_ARCSEC, Beam(beam.major_arcsec, beam.minor_arcsec, 0.0), seed
    )
    image = rms_jy * noise[:rows, :columns]
    if response is not None:
        image = image / response
    half = 24
    for i, flux in enumerate(on.flux_jy):
        low = [max(0, round(float(v)) - half) for v in (y0[i], x0[i])]
        high = [min(n, round(float(v)) + half + 1) for v, n in ((y0[i], rows), (x0[i], columns))]
        y, x = np.mgrid[low[0] : high[0], low[1] : high[1]]
        lon, lat = wcs.wcs_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0).T
        pixels = SkyCoord(lon, lat, unit="deg", frame=frame)
        distance = there[i].separation(pixels).arcsec
        # Of the beam in the header: east of the north of its own frame.
        angle = there[i].position_angle(pixels).rad - np.radians(beam.angle_deg)
        along, across = distance * np.cos(angle), distance * np.sin(angle)
        shape = np.exp(
            -0.5 * (along * _FWHM / beam.major_arcsec) ** 2
            - 0.5 * (across * _FWHM / beam.minor_arcsec) ** 2
        )
        image[low[0] : high[0], low[1] : high[1]] += flux * shape.reshape(y.shape)
    return image


def write(
    path: Path,
    header: fits.Header,
    pixels: NDArray[Any],
    *,
    n_axes: int | None = None,
    more: Sequence[Any] = (),
) -> Path:
    """Write pixels with as many degenerate axes as the header describes."""
    described = max((int(k[5:]) for k in header if k.startswith("CTYPE")), default=2)
    n = described if n_axes is None else n_axes
    data = pixels.reshape((1,) * (n - 2) + pixels.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdus = fits.HDUList([fits.PrimaryHDU(data.astype(np.float32), header), *more])
        hdus.writeto(path, overwrite=True)
    return path
