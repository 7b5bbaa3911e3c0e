"""The weighted mean and the animation of a source's cutouts, on a common grid around the source.

Belongs here: that grid, interpolation onto it, weights, the header of a stack, choosing frames, the
GIF. Doesn't: drawing a frame (see `drawing`).
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import contimg_resources
from contimg_resources.core.arrays import Singles
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import CutoutFailed
from contimg_resources.core.statistics import mad_rms
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.cutouts.drawing import Caption, Panel, shown_time, write_picture
from contimg_resources.cutouts.model import BrightnessScale, Cutout, CutoutFacts, shown_name
from contimg_resources.cutouts.places import png_beside
from contimg_resources.cutouts.reading import as_ascii, read_cutout
from contimg_resources.imaging.model import Beam

#: Restoring beams count as equal if their axes differ by less than this fraction ...
_ALIKE_SHARE = 0.15
#: ... and their angles, where these matter, by less than this.
_ALIKE_DEG = 20.0
_ROUND = 1.15


@dataclass(frozen=True)
class Stack:
    """A finished stack."""

    fits: Path  #: Its FITS file.
    png: Path  #: Its picture.
    n_epochs: int  #: Number of cutouts in it.
    rms_jy: float  #: Robust noise, Jy/beam.
    #: Epochs in it whose restoring beam differs much from the other beams.
    other_beams: tuple[str, ...]
    unreadable: tuple[str, ...]  #: Unusable cutouts, and the reasons.


def stack(cutouts: Sequence[Path], place: Path) -> Stack:
    """Write the inverse-variance weighted mean of a source's cutouts.

    The FITS file is written to `place`, the PNG beside it.

    Raises
    ------
    CutoutFailed
        If no cutout can be read, or they show several sources.

    Notes
    -----
    Weights are from each cutout's own noise. Mosaics that roll by half their width share data, so
    the noise of the mean is measured, and decreases more slowly than expected from the number of
    epochs.
    """
    read, unreadable = read_all(cutouts, keep_pixels=False)
    source_id = one_source([c for _, c in read], cutouts)
    read = [(path, c) for path, c in read if c.facts.rms_jy > 0]
    good = [c for _, c in read]
    if not good:
        raise CutoutFailed(f"no cutout of {shown_name(source_id)} has noise: no weights")
    grid = CommonGrid.of(good)
    total, weights = np.zeros(grid.shape), np.zeros(grid.shape)
    for path, cutout in read:
        pixels = grid.resampled(read_cutout(path))
        weight = np.where(np.isfinite(pixels), cutout.facts.rms_jy**-2, 0.0)
        total += weight * np.nan_to_num(pixels, nan=0.0)
        weights += weight
    if not weights.any():
        raise CutoutFailed(f"no cutout of {shown_name(source_id)} covers a pixel of the stack")
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(weights > 0, total / weights, np.nan).astype(np.float32)
    beam = _typical([c.facts.beam for c in good])
    other_beams = tuple(c.facts.epoch for c in good if not _alike(c.facts.beam, beam))
    each = [c.facts.rms_jy**-2 for c in good]
    facts = CutoutFacts(
        source_id=source_id,
        ra_deg=grid.ra_deg,
        dec_deg=grid.dec_deg,
        epoch="stack",
        mid_mjd=float(np.average([c.facts.mid_mjd for c in good], weights=each)),
        size_arcmin=60 * grid.side * grid.cell_deg,
        image_checksum="",
        beam=beam,
        rms_jy=mad_rms(mean),
    )
    made = Cutout(facts, mean, grid.wcs)
    header = _header(made, good, other_beams)
    _write(place, made, header, _caption(source_id, good))
    return Stack(place, png_beside(place), len(good), facts.rms_jy, other_beams, unreadable)


def read_all(
    paths: Sequence[Path], *, keep_pixels: bool = True
) -> tuple[list[tuple[Path, Cutout]], tuple[str, ...]]:
    """Read cutouts, in the order of time, and the reasons why others can't be read.

    Without `keep_pixels` only their shape is kept: a year of large cutouts of a source is
    gigabytes.

    Raises
    ------
    CutoutFailed
        If no cutout can be read.
    """
    read, unreadable = [], []
    for path in paths:
        try:
            cutout = read_cutout(path)
        except CutoutFailed as error:
            unreadable.append(error.message)
            continue
        if not keep_pixels:
            shape_alone = np.broadcast_to(np.float32(np.nan), cutout.pixels.shape)
            cutout = replace(cutout, pixels=shape_alone)
        read.append((path, cutout))
    if not read:
        raise CutoutFailed(unreadable[0] if unreadable else "there are no cutouts")
    return sorted(read, key=lambda r: r[1].facts.mid_mjd), tuple(unreadable)


def _typical(beams: Sequence[Beam]) -> Beam:
    turned = np.exp(2j * np.radians([b.angle_deg for b in beams]))
    return Beam(
        float(np.median([b.major_arcsec for b in beams])),
        float(np.median([b.minor_arcsec for b in beams])),
        float(0.5 * np.degrees(np.angle(turned.mean()))),
    )


def _alike(beam: Beam, typical: Beam) -> bool:
    axes = (
        beam.major_arcsec / typical.major_arcsec - 1,
        beam.minor_arcsec / typical.minor_arcsec - 1,
    )
    turn_deg = (beam.angle_deg - typical.angle_deg + 90) % 180 - 90
    is_round = typical.major_arcsec < _ROUND * typical.minor_arcsec
    return max(map(abs, axes)) < _ALIKE_SHARE and (is_round or abs(turn_deg) < _ALIKE_DEG)


def _caption(source_id: str, cutouts: Sequence[Cutout]) -> Caption:
    first, last = (isot_from_mjd(cutouts[i].facts.mid_mjd)[:10] for i in (0, -1))
    when = first if first == last else f"{first} to {last}"
    n = len(cutouts)
    return Caption(shown_name(source_id), f"{n} epoch{'s' if n > 1 else ''}, {when}")


def _header(made: Cutout, cutouts: Sequence[Cutout], other_beams: Sequence[str]) -> Any:
    header = made.wcs.to_header()
    facts, first, last = made.facts, cutouts[0].facts, cutouts[-1].facts
    for name, value, comment in (
        ("BUNIT", "Jy/beam", "unit of the pixels"),
        ("ORIGIN", f"contimg {contimg_resources.__version__}", "software that wrote this file"),
        ("SOURCE", as_ascii(facts.source_id), "source at the centre"),
        ("SRC_RA", facts.ra_deg, "[deg] its position, ICRS"),
        ("SRC_DEC", facts.dec_deg, "[deg] its position, ICRS"),
        ("CUTEPOCH", "stack", "inverse-variance weighted mean of cutouts"),
        ("CUTSIZE", facts.size_arcmin, "[arcmin] side"),
        ("CUTRMS", facts.rms_jy, "[Jy/beam] 1.4826 MAD of the stack"),
        ("IMGSUM", "", "empty: made from many images"),
        ("NSTACK", len(cutouts), "cutouts in the mean"),
        ("BMAJ", facts.beam.major_arcsec / 3600, "[deg] median of the restoring beams"),
        ("BMIN", facts.beam.minor_arcsec / 3600, "[deg] median of the restoring beams"),
        ("BPA", facts.beam.angle_deg, "[deg] mean, north through east"),
        ("BEAMDIFF", bool(other_beams), "do restoring beams differ much?"),
        ("NBEAMDIF", len(other_beams), "epochs with another beam"),
        ("TIMESYS", "UTC", "time scale of all dates"),
        ("MJD-OBS", first.mid_mjd, "[d] middle of the first epoch"),
        ("MJD-AVG", facts.mid_mjd, "[d] weighted mean of the epochs"),
        ("MJD-END", last.mid_mjd, "[d] middle of the last epoch"),
        ("DATE-OBS", isot_from_mjd(first.mid_mjd), "middle of the first epoch"),
        ("DATE-END", isot_from_mjd(last.mid_mjd), "middle of the last epoch"),
    ):
        header[name] = (value, comment)
    for cutout in cutouts:
        epoch = cutout.facts.epoch
        words = "; its beam differs" if epoch in other_beams else ""
        header["HISTORY"] = f"epoch {epoch} rms {cutout.facts.rms_jy:.4g} Jy/beam{words}"
    return header


def _write(place: Path, made: Cutout, header: Any, caption: Caption) -> None:
    from astropy.io import fits

    def both(partial: Path) -> None:
        with warnings.catch_warnings():
            # A long name continues on further cards.
            warnings.simplefilter("ignore")
            fits.PrimaryHDU(made.pixels.astype(">f4"), header).writeto(partial, checksum=True)
        whole_file(png_beside(place), lambda png: write_picture(png, made, caption=caption))

    place.parent.mkdir(parents=True, exist_ok=True)
    whole_file(place, both)


#: Order of the spline: with a beam of three pixels, a lower order reduces peaks between pixels.
_ORDER = 5
_LEAST_SHARE = 0.999


@dataclass(frozen=True)
class CommonGrid:
    """A pixel grid centred on a source, north up."""

    ra_deg: float  #: Position of the centre, ICRS degrees.
    dec_deg: float  #: Position of the centre, ICRS degrees.
    cell_deg: float  #: Pixel size, degrees.
    side: int  #: Pixels per side, odd.

    @classmethod
    def of(cls, cutouts: Sequence[Cutout]) -> "CommonGrid":
        """Choose a grid as fine as the finest of some cutouts, and as wide as the widest."""
        from astropy.wcs.utils import proj_plane_pixel_scales

        cells_deg = [float(np.mean(proj_plane_pixel_scales(c.wcs))) for c in cutouts]
        width_deg = max(
            cell * max(c.pixels.shape) for c, cell in zip(cutouts, cells_deg, strict=True)
        )
        last = cutouts[-1].facts
        half = math.ceil(0.5 * (width_deg / min(cells_deg) - 1) - 1e-6)
        return cls(last.ra_deg, last.dec_deg, min(cells_deg), 2 * half + 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.side, self.side

    @property
    def wcs(self) -> Any:
        """Sky axes of the grid."""
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
        wcs.wcs.crval = [self.ra_deg, self.dec_deg]
        wcs.wcs.crpix = [self.side // 2 + 1.0, self.side // 2 + 1.0]
        wcs.wcs.cdelt = [-self.cell_deg, self.cell_deg]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.radesys = "ICRS"
        wcs.wcs.set()
        return wcs

    def resampled(self, cutout: Cutout) -> Singles:
        """Interpolate a cutout onto this grid; NaN outside the cutout."""
        from reproject import reproject_interp

        known = np.isfinite(cutout.pixels)
        # A single NaN would spread through the whole spline.
        filled = np.where(known, cutout.pixels, 0.0).astype(np.float64)
        sampled = reproject_interp(
            (filled, cutout.wcs), self.wcs, self.shape, order=_ORDER, return_footprint=False
        )
        share = reproject_interp(
            (known.astype(np.float64), cutout.wcs),
            self.wcs,
            self.shape,
            order="bilinear",
            return_footprint=False,
        )
        with np.errstate(invalid="ignore"):
            return np.where(share >= _LEAST_SHARE, sampled, np.nan).astype(np.float32)


def one_source(cutouts: Sequence[Cutout], paths: Sequence[Path]) -> str:
    """Return the source that all cutouts show.

    Raises
    ------
    CutoutFailed
        If there are no cutouts, or they show several sources.
    """
    found = {c.facts.source_id for c in cutouts}
    if len(found) != 1:
        raise CutoutFailed(
            f"expected cutouts of one source, but these {len(paths)} show {len(found)} sources"
        )
    return found.pop()


MOST_FRAMES = 120
_FRAME_MS = 250
_LAST_MS = 1500
_DPI = 90
_COLOURS = 160


class FluxThen(NamedTuple):
    """Measurement of a source in an epoch."""

    flux_jy: float  #: Flux density, Jy; NaN if it wasn't measured.
    error_jy: float  #: Error of the flux density, Jy; NaN if it wasn't measured.


def animate(
    cutouts: Sequence[Path],
    place: Path,
    fluxes: Mapping[str, FluxThen] | None = None,
    scale: BrightnessScale | None = None,
    most_frames: int = MOST_FRAMES,
) -> int:
    """Write an animation (GIF) of a source's cutouts; return its number of frames.

    All frames are on one grid and in one brightness scale: by default one from the typical noise
    and the brightest peak. The cutouts are in the order of time; if there are more than
    `most_frames` (at most `MOST_FRAMES`), that many are chosen evenly, including the first and the
    last. `fluxes` are the flux densities by epoch, written into the frames.

    Raises
    ------
    CutoutFailed
        If no cutout can be read, or they show several sources.
    """
    from PIL import Image

    found, _ = read_all(chosen(cutouts, min(most_frames, MOST_FRAMES)))
    read = [cutout for _, cutout in found]
    source_id = one_source(read, cutouts)
    grid = CommonGrid.of(read)
    pixels = [grid.resampled(cutout) for cutout in read]
    if scale is None:
        rms_jy = float(np.median([c.facts.rms_jy for c in read]))
        peaks = [float(np.nanmax(p)) for p in pixels if np.isfinite(p).any()]
        scale = BrightnessScale.of(rms_jy, max(peaks, default=math.nan))
    panel = Panel(grid.wcs, grid.shape, grid.ra_deg, grid.dec_deg, scale, _DPI)
    frames = [
        Image.fromarray(
            panel.draw(p, c.facts.beam, _caption_of_frame(source_id, c, fluxes or {}))
        ).quantize(_COLOURS, dither=Image.Dither.NONE)
        for c, p in zip(read, pixels, strict=True)
    ]
    durations_ms = [_FRAME_MS] * (len(frames) - 1) + [_LAST_MS]

    def write(partial: Path) -> None:
        frames[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations_ms if len(frames) > 1 else _LAST_MS,
            loop=0,
            optimize=False,
        )

    place.parent.mkdir(parents=True, exist_ok=True)
    whole_file(place, write)
    return len(frames)


def chosen(cutouts: Sequence[Path], most: int) -> list[Path]:
    """Choose at most that many, evenly, including the first and the last."""
    if len(cutouts) <= most:
        return list(cutouts)
    if most < 2:
        return [cutouts[-1]]
    return [cutouts[i] for i in np.linspace(0, len(cutouts) - 1, most).round().astype(int)]


def _caption_of_frame(source_id: str, cutout: Cutout, fluxes: Mapping[str, FluxThen]) -> Caption:
    told = shown_time(cutout.facts.mid_mjd)
    then = fluxes.get(cutout.facts.epoch)
    if then is not None and math.isfinite(then.flux_jy):
        told += f"   {1e3 * then.flux_jy:.1f} ± {1e3 * then.error_jy:.1f} mJy"
    return Caption(shown_name(source_id), told)
