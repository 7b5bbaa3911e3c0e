"""Write an image made elsewhere in the form of our 5-minute images.

Belongs here: the pixels of a square SIN image in ICRS, its flat-noise image, response and residual.
Doesn't: reading (see `reading`), records in the stores.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_scales
from pydantic import TypeAdapter

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.arrays import Bools, Floats, Singles
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import UnreadableImage
from contimg_resources.core.statistics import LocalNoise, mad_rms, observed_rms
from contimg_resources.images.reading import SkyImage, opened_image, read_map
from contimg_resources.images.resampling import Places, places_between
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.geometry import LARGEST_SIZE, form_of_beam
from contimg_resources.imaging.model import (
    Beam,
    ImageFiles,
    ImageGrid,
    ImageResult,
    ImageStatistics,
    Source,
)
from contimg_resources.imaging.png import celestial_wcs, thumbnail_png, write_png
from contimg_resources.imaging.sources import find_sources

#: Value of `ImageResult.engine` for an image that was made elsewhere.
ENGINE = "elsewhere"
#: Pixels that each lie within this distance of a wanted pixel are copied, not interpolated.
_COPIED_PIXELS = 0.002
#: SIN shows half of the sky, and its outer part poorly.
_WIDEST_DEG = 30.0
_LATTICE = 33
#: The noise is measured in blocks of this many beams (major axis) a side.
_BLOCK_BEAMS = 5.0
#: Each block's value is the median of this many blocks a side.
_SMOOTHED_BLOCKS = 3
#: The lowest noise of an image: this share of its pixels has even lower noise, by chance where
#: it was measured.
_QUIET_SHARE, _MEASURED_QUIET_SHARE = 0.005, 0.1
#: A pixel is blank where less than this share of it was observed.
_LEAST_SEEN = 0.98


@dataclass(frozen=True)
class ForeignFiles:
    """An image made elsewhere and its companions."""

    image: Path  #: FITS, corrected for the primary beam.
    primary_beam: Path | None = None  #: Primary beam on the same pixels, FITS.
    rms: Path | None = None  #: Map of the noise on the same pixels, FITS.


@dataclass(frozen=True)
class StandardForm:
    """An image made elsewhere, on pixels of our standard form."""

    grid: ImageGrid  #: Square grid, SIN projection, ICRS.
    #: PB-corrected, Jy/beam; NaN where nothing was observed. Shape (size, size).
    corrected: Singles
    #: Factor that gives the image the same noise everywhere; NaN below the cut. Shape (size, size).
    response: Singles
    beam: Beam  #: Restoring beam.
    copied: bool  #: Whether the pixels were copied from the file; otherwise they were interpolated.
    response_from: str  #: Description of the response's origin.


def standard_form(
    image: SkyImage, primary_beam: Path | None, rms: Path | None, beam_cut: float
) -> StandardForm:
    """Bring an open image to our standard pixels.

    Without a primary beam or an rms map, the noise is measured. Pixels with a lower response than
    `beam_cut` are ignored.

    Raises
    ------
    UnreadableImage
        If a companion can't be used, or the image isn't a few degrees wide.

    Notes
    -----
    The response is the primary beam. With a noise map, or without both, it is the lowest noise
    divided by the noise: the same for an image whose noise follows its primary beam.
    """
    pixels = image.pixels()
    response, told = _response(image, pixels, primary_beam, rms, beam_cut)
    pixels[~np.isfinite(response)] = np.nan
    response[~np.isfinite(pixels)] = np.nan
    if not np.isfinite(pixels).any():
        raise _refused(image, f"nothing of it is where its response is above {beam_cut:g}")
    grid, copied = _grid(image, pixels)
    corrected, response = (
        _on_grid(v, image, grid, order, copied) for v, order in ((pixels, 5), (response, 1))
    )
    seen = np.isfinite(corrected) & np.isfinite(response)
    corrected[~seen], response[~seen] = np.nan, np.nan
    return StandardForm(grid, corrected, response, image.beam, copied, told)


def write_standard_form(
    files: ForeignFiles,
    directory: Path,
    stem: str,
    *,
    beam_cut: float,
    min_snr: float,
    provenance: Mapping[str, str],
    progress: Progress = no_progress,
) -> ImageResult:
    """Write an image made elsewhere in the form of our own images.

    The result holds the products, all but the PSF; the expected noise is NaN. The directory is
    replaced as a whole when it exists; files' names begin with `stem`. Pixels with a lower response
    than `beam_cut` are ignored; sources are listed above the signal-to-noise ratio `min_snr` (local
    rms). `provenance` holds entries for the FITS headers.

    Raises
    ------
    UnreadableImage
        If it can't be used; the message names the file and everything that is wrong with it.
    """
    with opened_image(files.image) as image:
        progress("reading the pixels", 0.1)
        form = standard_form(image, files.primary_beam, files.rms, beam_cut)
        progress("finding sources", 0.5)
        flat = np.nan_to_num(form.corrected * form.response, nan=0.0)
        sources, residual = _sources(flat, form, min_snr)
        observed = image.observed
        statistics = _statistics(image, flat, residual, form, len(sources))
        with whole_directory(directory) as partial:
            partial.mkdir()
            result = ImageResult(
                directory=directory,
                files=ImageFiles.in_directory(directory, stem),
                grid=form.grid,
                statistics=statistics,
                sources=sources,
                frequency_hz=image.frequency_hz,
                start_mjd=observed.start_mjd,
                end_mjd=observed.end_mjd,
                mid_mjd=observed.mid_mjd,
                n_iterations=0,
                threshold_jy=0.0,
                engine=ENGINE,
            )
            progress("writing FITS and PNG", 0.8)
            facts = _facts(image, result, form, beam_cut, provenance)
            written = ImageFiles.in_directory(partial, stem)
            _write(written, result, form, flat, residual, facts)
    return result


def _refused(image: SkyImage, why: str) -> UnreadableImage:
    return UnreadableImage(f"{image.path}: {why}", path=str(image.path), problems=[why])


def _response(
    image: SkyImage, pixels: Singles, primary_beam: Path | None, rms: Path | None, cut: float
) -> tuple[Singles, str]:
    beam = None if primary_beam is None else read_map(primary_beam, image, response=True)
    if rms is None and beam is not None:
        response, told = beam, f"primary beam {primary_beam}"
    else:
        noise = _measured_noise(image, pixels) if rms is None else read_map(rms, image)
        told = "noise measured in the image" if rms is None else f"noise of {rms}"
        seen = np.isfinite(pixels) & np.isfinite(noise)
        if not seen.any():
            raise _refused(image, f"its noise ({told}) isn't known at any of its pixels")
        share = _QUIET_SHARE if rms is not None else _MEASURED_QUIET_SHARE
        least = float(np.quantile(noise[seen][::7], share))
        response = np.minimum(np.float32(least) / noise, np.float32(1.0))
        if beam is not None:
            # Its extent, with the weights of the noise map.
            response = np.where(beam >= cut, response, np.float32(np.nan))
            told += f" within primary beam {primary_beam}"
    with np.errstate(invalid="ignore"):
        return np.where(response >= cut, response, np.float32(np.nan)), told


def _measured_noise(image: SkyImage, pixels: Singles) -> Singles:
    """Return the noise around each pixel, Jy/beam."""
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MADStdBackgroundRMS, MedianBackground

    scales_arcsec = 3600 * proj_plane_pixel_scales(image.wcs)
    side = _BLOCK_BEAMS * image.beam.major_arcsec / float(np.min(scales_arcsec))
    block = int(np.clip(side, 8, max(8, min(pixels.shape) // 2)))
    outside = ~np.isfinite(pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = Background2D(
                np.nan_to_num(pixels, nan=0.0),
                block,
                coverage_mask=outside,
                exclude_percentile=70,
                filter_size=_SMOOTHED_BLOCKS,
                sigma_clip=SigmaClip(4.0, maxiters=5),
                bkg_estimator=MedianBackground(),
                bkgrms_estimator=MADStdBackgroundRMS(),
            ).background_rms
        except ValueError as error:
            raise _refused(image, f"its noise can't be measured: {error}") from error
    noise = np.asarray(found, np.float32)
    noise[outside] = np.nan
    if not float(np.nanmax(noise)) > 0:
        raise _refused(image, "it has no noise: its pixels can't be weighted")
    # A spline between blocks overshoots.
    least = float(np.nanquantile(noise[noise > 0], 0.001))
    return np.maximum(noise, np.float32(least))


def _grid(image: SkyImage, pixels: Singles) -> tuple[ImageGrid, bool]:
    """Return the grid that holds all observed pixels, and whether it is the image's own grid."""
    rows, columns = image.shape
    row, column = rows // 2, columns // 2
    ra_deg, dec_deg = (float(v) for v in image.wcs.wcs_pix2world([[column, row]], 0)[0])
    if not math.isfinite(ra_deg + dec_deg):
        raise _refused(image, "the middle of its pixels is nowhere on the sky")
    scales_deg = proj_plane_pixel_scales(image.wcs)
    cell_arcsec = 3600 * float(np.min(scales_deg))
    # A CDELT with few digits keeps them.
    cell_arcsec = float(f"{cell_arcsec:.10g}")
    trial = ImageGrid(2, cell_arcsec, ra_deg % 360, dec_deg)
    y, x = _lattice(np.isfinite(pixels))
    there = image.wcs.wcs_pix2world(np.column_stack([x, y]), 0)
    from astropy.coordinates import SkyCoord

    away_deg = SkyCoord(ra_deg, dec_deg, unit="deg").separation(SkyCoord(*there.T, unit="deg")).deg
    if not (away_deg < _WIDEST_DEG).all():
        raise _refused(
            image,
            f"it reaches {np.nanmax(away_deg):.0f} deg from its middle: an image of less than "
            f"{_WIDEST_DEG:.0f} deg around it was expected",
        )
    new = celestial_wcs(trial).wcs_world2pix(there, 0) - 1.0
    copied = bool(np.abs(new - (np.column_stack([x, y]) - [column, row])).max() <= _COPIED_PIXELS)
    low, high = float(new.min()), float(new.max())
    half = max(math.ceil(-low - 1e-3), math.ceil(high - 1e-3) + 1)
    if 2 * half > LARGEST_SIZE:
        raise _refused(
            image, f"it would have {2 * half} pixels a side; the maximum is {LARGEST_SIZE}"
        )
    return ImageGrid(2 * half, cell_arcsec, ra_deg % 360, dec_deg), copied


def _lattice(seen: Bools) -> tuple[Floats, Floats]:
    """Return rows and columns over the observed pixels, including the outermost ones."""
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    y, x = np.meshgrid(
        *(np.linspace(v[0], v[-1], _LATTICE) for v in (rows, columns)), indexing="ij"
    )
    return y.ravel(), x.ravel()


def _on_grid(
    pixels: Singles, image: SkyImage, grid: ImageGrid, order: Any, copied: bool
) -> Singles:
    half = grid.size // 2
    if copied:
        rows, columns = image.shape
        first_row, first_column = half - rows // 2, half - columns // 2
        found = np.full((grid.size, grid.size), np.nan, np.float32)
        # Pixels outside the grid weren't observed.
        to = [
            slice(max(0, f), min(grid.size, f + n))
            for f, n in ((first_row, rows), (first_column, columns))
        ]
        of = [
            slice(t.start - f, t.stop - f)
            for t, f in zip(to, (first_row, first_column), strict=True)
        ]
        found[tuple(to)] = pixels[tuple(of)]
        return found
    there = _places(image, grid)
    seen = np.isfinite(pixels)
    sampled = there.sample(np.where(seen, pixels, np.float32(0.0)), order)
    share = there.sample(seen.astype(np.float32), 1)
    with np.errstate(invalid="ignore"):
        sampled[~(share >= _LEAST_SEEN)] = np.nan
    return sampled


def _places(image: SkyImage, grid: ImageGrid) -> Places:
    whole = slice(0, grid.size)
    return places_between(image.wcs, celestial_wcs(grid), (whole, whole))


def _sources(
    flat: Singles, form: StandardForm, min_snr: float
) -> tuple[tuple[Source, ...], Singles]:
    """Return the sources of the image, and the image without them."""
    seen = np.isfinite(form.response)
    # Outside there is nothing to measure: fill with noise of the image's own amplitude.
    rng = np.random.default_rng(0)
    filled = np.where(seen, flat, np.float32(mad_rms(flat[seen])) * rng.standard_normal(flat.shape))
    noise = LocalNoise.of(filled, form.beam.area_pixels(form.grid.cell_arcsec))
    sources = find_sources(flat, noise, form.response, form.beam, form.grid, min_snr)
    residual = flat.copy()
    wcs = celestial_wcs(form.grid)
    for source in sources:
        _subtract(residual, source, wcs, form.grid)
    residual[~seen] = 0.0
    return sources, residual


def _subtract(residual: Singles, source: Source, wcs: Any, grid: ImageGrid) -> None:
    column, row = (float(v) for v in wcs.wcs_world2pix([[source.ra_deg, source.dec_deg]], 0)[0])
    shape = Beam(source.major_arcsec, source.minor_arcsec, source.angle_deg)
    form = form_of_beam(shape, grid.cell_arcsec)
    reach = math.ceil(1.5 * shape.major_arcsec / grid.cell_arcsec)
    rows, columns = (
        slice(max(0, round(v) - reach), min(grid.size, round(v) + reach + 1)) for v in (row, column)
    )
    y, x = np.mgrid[rows, columns].astype(float)
    residual[rows, columns] -= (source.peak_jy * form(x - column, y - row)).astype(np.float32)


def _statistics(
    image: SkyImage, flat: Singles, residual: Singles, form: StandardForm, n_sources: int
) -> ImageStatistics:
    seen = np.isfinite(form.response)
    rms_jy, residual_rms_jy = (observed_rms(pixels, seen) for pixels in (flat, residual))
    if not residual_rms_jy > 0:
        raise _refused(image, "it has no noise: its pixels can't be weighted")
    row, column = np.unravel_index(int(np.argmax(flat)), flat.shape)
    ra_deg, dec_deg = celestial_wcs(form.grid).wcs_pix2world([[column, row]], 0)[0]
    peak_jy = float(flat[row, column])
    return ImageStatistics(
        rms_jy=rms_jy,
        residual_rms_jy=residual_rms_jy,
        expected_rms_jy=math.nan,
        peak_jy=peak_jy,
        peak_ra_deg=float(ra_deg),
        peak_dec_deg=float(dec_deg),
        dynamic_range=peak_jy / rms_jy,
        beam=form.beam,
        n_sources=n_sources,
    )


def _facts(
    image: SkyImage,
    result: ImageResult,
    form: StandardForm,
    beam_cut: float,
    provenance: Mapping[str, str],
) -> HeaderFacts:
    statistics, header = result.statistics, image.header
    told = {
        "unit": image.unit,
        "frame": image.frame,
        "projection": str(image.wcs.wcs.ctype[0])[5:],
        "pixels": "copied" if form.copied else "interpolated (spline of order 5)",
        "response": form.response_from,
        "time scale": str(header.get("TIMESYS", "UTC")),
        **({"written by": str(header["ORIGIN"])} if "ORIGIN" in header else {}),
        **({"assumed": "; ".join(image.notes)} if image.notes else {}),
    }
    return HeaderFacts(
        grid=form.grid,
        beam=form.beam,
        frequency_hz=image.frequency_hz,
        bandwidth_hz=image.bandwidth_hz,
        telescope=str(header.get("TELESCOP", "")).strip() or "unknown",
        object_name=str(header.get("OBJECT", "")).strip(),
        start_mjd=result.start_mjd,
        end_mjd=result.end_mjd,
        cards={
            "ENGINE": (ENGINE, "this image was made elsewhere"),
            "PBCUT": (beam_cut, "lowest response"),
            "RMS": (statistics.rms_jy, "[Jy/beam] 1.4826 MAD"),
        },
        provenance={**told, **provenance},
        mid_mjd=result.mid_mjd,
    )


def _write(
    files: ImageFiles,
    result: ImageResult,
    form: StandardForm,
    flat: Singles,
    residual: Singles,
    facts: HeaderFacts,
) -> None:
    for path, pixels, kind, unit in (
        (files.image, flat, "Intensity", "Jy/beam"),
        (files.pbcor, form.corrected, "Intensity", "Jy/beam"),
        (files.residual, residual, "Residual", "Jy/beam"),
        (files.primary_beam, form.response, "Primary beam", ""),
    ):
        write_fits(path, pixels, kind, unit, facts)
    rms_jy = result.statistics.rms_jy
    shown = np.where(np.isfinite(form.response), flat, np.float32(np.nan))
    title = f"{files.image.name.split('.image')[0]}   rms {1e3 * rms_jy:.2f} mJy/beam"
    write_png(files.png, shown, result.grid, form.beam, rms_jy, title)
    files.thumbnail.write_bytes(thumbnail_png(shown, rms_jy))
    files.summary.write_bytes(TypeAdapter(ImageResult).dump_json(result, indent=1))
