"""The one reader of images: read a FITS file of any writer, in Jy/beam and ICRS.

Belongs here: finding the image among a file's arrays, its axes, and all information in its header.
Doesn't: resampling to other pixels (see `standard_form`), measuring.

One error reports everything that is wrong with an image.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, WCSSUB_LATITUDE, WCSSUB_LONGITUDE

from contimg_resources.core.arrays import Singles
from contimg_resources.core.errors import (
    ContimgError,
    InvalidName,
    UnreadableImage,
    in_words_of_reader,
)
from contimg_resources.images.dates import Observed, observed_time
from contimg_resources.images.frames import IcrsAxes, icrs_axes
from contimg_resources.images.header import (
    band_of,
    brightness_factor,
    refuse_other_stokes,
    response_factor,
    restoring_beam,
)
from contimg_resources.imaging.model import Beam

T = TypeVar("T")

#: A block of this many zeros a side isn't noise.
_BLANK_PIXELS = 16
_SAME_PLACE_PIXELS = 0.1
_WHOLE = slice(None)


@dataclass(frozen=True)
class PlaneOfFile:
    """The one plane of sky in an array of a file."""

    section: Any  #: The array with all its axes.
    index: tuple[slice | None, ...]  #: The part of each axis that is read; None for a sky axis.
    transposed: bool  #: Whether declination is the later of the two sky axes.

    def piece(self, rows: slice = _WHOLE, columns: slice = _WHOLE, factor: float = 1.0) -> Singles:
        """Read some rows and columns, multiplied by a factor, and nothing else of the file."""
        chosen = [columns, rows] if self.transposed else [rows, columns]
        kept = [axis for axis, taken in enumerate(self.index) if taken is None]
        where = tuple(chosen.pop(0) if taken is None else taken for taken in self.index)
        found = np.asarray(self.section[where])
        if found.dtype.kind not in "fiu":
            raise ValueError("it holds no image of real numbers")
        found = found.reshape([found.shape[axis] for axis in kept])
        found = found.T if self.transposed else found
        scaled = found.astype(np.float64) * factor if factor != 1 else found
        return np.ascontiguousarray(scaled, dtype=np.float32)


@dataclass(frozen=True)
class SkyImage:
    """An open image."""

    path: Path  #: The image's file.
    header: Any  #: The image's header within the file (astropy.io.fits.Header).
    wcs: WCS  #: Right ascension and declination, ICRS.
    frame: str  #: Frame of the header's axes.
    shape: tuple[int, int]  #: Rows (of declination) and columns (of right ascension).
    unit: str  #: The image's ``BUNIT``.
    beam: Beam  #: Restoring beam; its position angle is east of ICRS north, at the image centre.
    frequency_hz: float  #: Effective frequency, Hz.
    bandwidth_hz: float  #: Width of the band, Hz; NaN where the header doesn't give it.
    observed: Observed  #: Time of observation.
    notes: tuple[str, ...]  #: Assumptions.
    plane: PlaneOfFile  #: The image's pixels, in `unit`.
    factor: float  #: Factor that converts the pixels to Jy/beam.

    def piece(self, rows: slice, columns: slice) -> Singles:
        """Read some rows and columns, in Jy/beam, and nothing else of the file."""
        return self.plane.piece(rows, columns, self.factor)

    def pixels(self) -> Singles:
        """Read all pixels, in Jy/beam; NaN where nothing was observed.

        Raises
        ------
        UnreadableImage
            If there are no valid pixels.
        """
        return blanked(self.piece(_WHOLE, _WHOLE), self.path)


@contextmanager
def opened_image(path: Path) -> Iterator[SkyImage]:
    """Open a FITS image, also a compressed one (fpack, gzip), to read its pixels.

    Raises
    ------
    UnreadableImage
        If it can't be used; the message names the file and everything that is wrong with it.
    """
    with _opened(path) as hdus:
        found, wrong = _facts(path, hdus)
        if found is None or wrong:
            raise _refused(path, wrong)
        yield found


def read_raw(path: Path) -> Singles:
    """Return the pixels of the image in a file as stored, regardless of its header.

    Raises
    ------
    UnreadableImage
        If there is no image.
    """
    with _opened(path) as hdus:
        wrong: list[str] = []
        plane = _tried(wrong, lambda: _plane(hdus, response=True))
        if plane is None:
            raise _refused(path, wrong)
        return plane.pixels.piece()


def read_map(path: Path, image: SkyImage, *, response: bool = False) -> Singles:
    """Return the pixels of an image's companion: its noise map (Jy/beam) or its primary beam.

    The FITS file has the pixel grid of `image`; `response` is for a primary beam.

    Raises
    ------
    UnreadableImage
        If it can't be used; the message names the file and everything that is wrong with it.
    """
    with _opened(path) as hdus:
        wrong: list[str] = []
        plane = _tried(wrong, lambda: _plane(hdus, response=response))
        if plane is None:
            raise _refused(path, wrong)
        factor = _tried(
            wrong,
            lambda: (response_factor if response else brightness_factor)(plane.header.get("BUNIT")),
        )
        if plane.shape != image.shape:
            wrong.append(f"it has {plane.shape} pixels, {image.path} has {image.shape}")
        elif axes := _tried(wrong, lambda: _axes(plane)):
            off = _farthest_pixels(axes.wcs, image)
            if not off <= _SAME_PLACE_PIXELS:
                wrong.append(f"its pixels aren't those of {image.path}: up to {off:.3g} pixels off")
        if wrong or factor is None:
            raise _refused(path, wrong)
        found = plane.pixels.piece(factor=factor)
    found = blanked(found, path)
    with np.errstate(invalid="ignore"):
        found[~(found > 0)] = np.nan
    if not np.isfinite(found).any():
        raise _refused(path, ["it is nowhere above zero"])
    if response and float(np.nanmax(found)) > 1.5:
        raise _refused(
            path,
            [f"its peak is {float(np.nanmax(found)):.3g}: a primary beam's is 1 (or 100 per cent)"],
        )
    return found


def blanked(pixels: Singles, path: Path) -> Singles:
    """Return pixels with NaN where nothing was observed: infinities and blocks of zeros.

    Raises
    ------
    UnreadableImage
        If there are no valid pixels.
    """
    from scipy.ndimage import binary_erosion, binary_propagation

    found = pixels.copy()
    found[~np.isfinite(found)] = np.nan
    zero = found == 0
    if zero.any():
        block = np.ones((_BLANK_PIXELS, _BLANK_PIXELS), bool)
        seeds = binary_erosion(zero | np.isnan(found), block, border_value=1) & zero
        found[binary_propagation(seeds, mask=zero)] = np.nan
    if not np.isfinite(found).any():
        raise _refused(path, ["no pixel of it was observed: all are NaN, infinite or 0"])
    return found


@dataclass(frozen=True)
class _Plane:
    """The one plane of sky in a file."""

    header: Any
    pixels: PlaneOfFile
    shape: tuple[int, int]
    full: WCS
    sky: WCS
    hdu: Any


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Not memory-mapped: a file that shrinks meanwhile would kill the process.
            with fits.open(path, memmap=False) as hdus:
                yield hdus
    except Exception as error:
        # Our own errors are clear, except for a time that is no observing date. Readers raise many
        # kinds of exception, depending on where a file is damaged.
        if isinstance(error, ContimgError) and not isinstance(error, InvalidName):
            raise
        said = in_words_of_reader(error)
        raise UnreadableImage(f"{path} can't be read: {said}", path=str(path)) from error


def _refused(path: Path, wrong: list[str]) -> UnreadableImage:
    return UnreadableImage(f"{path}: {'; '.join(wrong)}", path=str(path), problems=wrong)


def _tried(wrong: list[str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ValueError as error:
        wrong.append(" ".join(str(error).split()))
        return None


def _facts(path: Path, hdus: Any) -> tuple[SkyImage | None, list[str]]:
    wrong: list[str] = []
    plane = _tried(wrong, lambda: _plane(hdus))
    if plane is None:
        return None, wrong
    header = plane.header
    _tried(wrong, lambda: _whole(path, hdus, plane))
    factor = _tried(wrong, lambda: brightness_factor(header.get("BUNIT")))
    observed = _tried(wrong, lambda: observed_time(header))
    frequency = _tried(wrong, lambda: band_of(header, plane.full))
    beam = _tried(wrong, lambda: restoring_beam(header, hdus))
    axes = _tried(wrong, lambda: _axes(plane))
    _tried(wrong, lambda: refuse_other_stokes(plane.full))
    if factor is None or observed is None or frequency is None or beam is None or axes is None:
        return None, wrong
    angle_deg = beam.angle_deg + axes.turned_deg
    return (
        SkyImage(
            path=path,
            header=header,
            wcs=axes.wcs,
            frame=axes.frame,
            shape=plane.shape,
            unit=str(header.get("BUNIT", "")).strip(),
            beam=replace(beam, angle_deg=angle_deg) if axes.turned_deg else beam,
            frequency_hz=frequency[0],
            bandwidth_hz=frequency[1],
            observed=observed,
            notes=observed.notes,
            plane=plane.pixels,
            factor=factor,
        ),
        wrong,
    )


def _plane(hdus: Any, *, response: bool = False) -> _Plane:
    """Return the image of a file: the one array of real numbers with sky axes."""
    found, reasons = [], []
    for number, hdu in enumerate(hdus):
        if not getattr(hdu, "is_image", False) or not hdu.shape:
            continue
        try:
            found.append(_plane_of(hdu))
        except ValueError as error:
            name = f"extension {number}: " if number else ""
            reasons.append(f"{name}{error}")
    if len(found) > 1 and not response:
        bright = [p for p in found if _is_brightness(p.header)]
        if len(bright) != 1:
            names = ", ".join(p.hdu.name or "the first" for p in found)
            raise ValueError(
                f"it holds {len(found)} images ({names}): write the wanted image into a "
                "separate file"
            )
        found = bright
    if not found:
        raise ValueError("; ".join(reasons) or "it holds no image")
    return found[0]


def _is_brightness(header: Any) -> bool:
    try:
        brightness_factor(header.get("BUNIT"))
    except ValueError:
        return False
    return True


def _plane_of(hdu: Any) -> _Plane:
    shape = tuple(hdu.shape)
    if len(shape) < 2:
        raise ValueError(f"its shape is {shape}: one plane of sky was expected")
    full = _wcs_of(hdu.header)
    lng, lat = full.wcs.lng, full.wcs.lat
    if lng < 0 or lat < 0 or "-" not in str(full.wcs.ctype[lng]):
        raise ValueError(
            f"it has no sky axes: its axes are {', '.join(str(c) for c in full.wcs.ctype)}"
        )
    # Arrays count their axes in the opposite order; a header may describe axes that were dropped.
    places = [len(shape) - 1 - axis for axis in (lat, lng)]
    if min(places) < 0:
        raise ValueError(f"its sky axes aren't among those of its pixels, of shape {shape}")
    for axis, length in enumerate(reversed(shape)):
        if length > 1 and axis not in (lng, lat):
            kind = str(full.wcs.ctype[axis]) if axis < full.naxis else ""
            raise ValueError(
                f"it is a cube of {length} planes along {kind or f'axis {axis + 1}'}: one plane "
                "was expected"
            )
    index: list[slice | None] = [slice(0, 1)] * len(shape)
    for place in places:
        index[place] = None
    # Longitude first: whatever the order of the axes, rows run in latitude.
    sky = full.sub([WCSSUB_LONGITUDE, WCSSUB_LATITUDE])
    return _Plane(
        header=hdu.header,
        pixels=PlaneOfFile(hdu.section, tuple(index), places[0] > places[1]),
        shape=(shape[places[0]], shape[places[1]]),
        full=full,
        sky=sky,
        hdu=hdu,
    )


def _wcs_of(header: Any) -> WCS:
    """Return all axes of a header, after repairing what wcslib wouldn't understand."""
    meant = header.copy(strip=False)
    # The header may describe more axes than the pixels have.
    for keyword in [k for k in meant if k.startswith("NAXIS")]:
        del meant[keyword]
    for keyword in [k for k in meant if k.startswith("CDELT")]:
        axis = keyword[5:]
        kind = str(meant.get(f"CTYPE{axis}", ""))
        if meant[keyword] == 0 and not kind.startswith(("RA", "DEC", "GL")):
            # A degenerate axis of zero width makes the matrix singular.
            meant[keyword] = 1.0
        if kind.startswith("SPECLN"):
            meant[f"CTYPE{axis}"] = "FREQ"
    try:
        wcs = WCS(meant)
        wcs.wcs.set()
    except Exception as error:  # wcslib has its own exception classes
        raise ValueError(f"no sky coordinates: {in_words_of_reader(error)}") from error
    return wcs


def _axes(plane: _Plane) -> IcrsAxes:
    header = plane.header
    radesys = header.get("RADESYS", header.get("RADECSYS", header.get("RADESYSA", "")))
    equinox = plane.sky.wcs.equinox
    told = None if not math.isfinite(equinox) else float(equinox)
    try:
        return icrs_axes(plane.sky, str(radesys or ""), told, plane.shape)
    except ValueError:
        raise
    except Exception as error:  # wcslib has its own exception classes
        raise ValueError(f"no sky coordinates: {in_words_of_reader(error)}") from error


def _whole(path: Path, hdus: Any, plane: _Plane) -> None:
    """Refuse a file that is truncated before the end of its pixels."""
    place = plane.hdu.fileinfo() or {}
    opened = getattr(hdus, "_file", None)
    packed = isinstance(plane.hdu, fits.CompImageHDU) or getattr(opened, "compression", None)
    if packed or "datLoc" not in place:
        # Unpacking detects it.
        return
    needed = place["datLoc"] + plane.hdu.size
    if os.path.getsize(path) < needed:  # noqa: PTH202
        raise ValueError(f"it is truncated: {needed} bytes were expected")


def _farthest_pixels(wcs: WCS, image: SkyImage) -> float:
    """Return the largest offset between pixels of the same index in two images, pixels."""
    rows, columns = image.shape
    x, y = np.array(
        [[0, columns - 1, 0, columns - 1, 0.5 * columns], [0, 0, rows - 1, rows - 1, 0.5 * rows]]
    )
    there = wcs.wcs_pix2world(np.column_stack([x, y]), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = image.wcs.wcs_world2pix(there[np.isfinite(there).all(axis=1)], 0)
    here = np.column_stack([x, y])[np.isfinite(there).all(axis=1)]
    return float(np.max(np.hypot(*(back - here).T))) if len(here) else math.nan
