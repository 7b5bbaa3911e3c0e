"""Make an image and its companion products from a calibrated MS.

Belongs here: the sequence of steps and the products. Doesn't: the steps themselves.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from contimg_resources.calibration.beam_record import WHOLE_BAND, BeamMeasurement
from contimg_resources.casa.tables import opened
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import ImagingFailed, in_words_of_reader
from contimg_resources.core.progress import report_progress
from contimg_resources.core.statistics import LocalNoise, inner_half, mad_rms
from contimg_resources.imaging.averaged_visibilities import visibilities_of
from contimg_resources.imaging.beam import dish_of, drift_beam
from contimg_resources.imaging.engines.base import ImagingTask, RawImages, engine_named
from contimg_resources.imaging.engines.fast import FastEngine
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.geometry import (
    choose_cell_arcsec,
    choose_size,
    fit_main_lobe,
)
from contimg_resources.imaging.in_field.calibrating import calibrate_in_field, uncalibrated
from contimg_resources.imaging.layout import Layout, read_layout
from contimg_resources.imaging.measured_beam import ApparentFluxes, apparent_fluxes, measure_beam
from contimg_resources.imaging.model import (
    ImageFiles,
    ImageGrid,
    ImageRequest,
    ImageResult,
    ImageStatistics,
    InFieldCalibration,
    SubBandImage,
)
from contimg_resources.imaging.outside import subtract_outside
from contimg_resources.imaging.png import thumbnail_png, write_png
from contimg_resources.imaging.reach import half_width_rad
from contimg_resources.imaging.reliability import Reliable, real_sources
from contimg_resources.imaging.sub_bands import divide_band, image_sub_band, without_enough_data
from contimg_resources.imaging.visibilities import Visibilities
from contimg_resources.imaging.weighting import Weighting, briggs, middle_of_psf
from contimg_resources.observations.meaning import flux_scale, stated_unit
from contimg_resources.settings import ImagingSettings

Floats = NDArray[np.float64]

#: The image extends to this share of the primary beam's cut, so that sources outside the cut are
#: CLEANed too: their sidelobes reach inside.
_REACH = 0.5
_BTYPES = {
    "image": ("Intensity", "Jy/beam"),
    "pbcor": ("Intensity", "Jy/beam"),
    "residual": ("Residual", "Jy/beam"),
    "psf": ("Point spread function", "Jy/beam"),
    "primary_beam": ("Primary beam", ""),
}


def make_image(request: ImageRequest) -> ImageResult:
    """Image a calibrated MS; call through `contimg_resources.casa.Casa.run`.

    Parameters
    ----------
    request : ImageRequest
        The request.

    Returns
    -------
    ImageResult
        The products, all present; they replace the previous content of their directory.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    ImagingFailed
        If nothing is selected, everything is flagged, or the image isn't finite.
    ConfigurationError
        If the engine or the telescope's dish isn't known.
    CasaError
        If CASA failed.

    Notes
    -----
    Every source is attenuated by `contimg_resources.imaging.beam.DriftBeam`; the PB-corrected image
    is the restored one divided by it, NaN where it is below `ImagingSettings.beam_cut`.
    """
    settings = request.settings
    engine = engine_named(settings.engine)
    report_progress(f"reading {request.ms.name}", 0.0)
    layout = read_layout(
        request.ms, request.field_selection, request.spw_selection, settings.uvrange
    )
    _check_unit(request.ms, engine.name)
    dish_m = dish_of(layout.telescope, request.dish_diameter_m, request.blockage_diameter_m)
    seen = visibilities_of(
        layout,
        half_width_rad(layout, dish_m, settings.beam_cut),
        everything=not (request.field_selection or request.spw_selection or settings.uvrange),
    )
    seen = replace(seen, beam_shape=request.beam_shape)
    outside = None
    if settings.outside and engine.name == FastEngine.name:
        seen, outside = subtract_outside(seen, request.outside_model, request.field_model, dish_m)
        gone = {s.name for s in outside.sources if s.subtracted}
        field = tuple(s for s in request.field_model if s.name not in gone)
        request = replace(request, field_model=field)
    in_field = None
    known = request.antennas
    if (settings.in_field and request.field_model) or known.bad or known.suspected:
        seen, in_field = _refined(seen, request, engine.name, dish_m)
    report_progress("choosing the pixels", 0.2)
    grid, weighting = choose_grid(settings, layout, seen, dish_m)
    threshold_jy = settings.threshold_sigma * weighting.noise_jy
    report_progress(
        f"{engine.name}: {grid.size} x {grid.size} pixels of {grid.cell_arcsec} arcsec, down to "
        f"{1e3 * threshold_jy:.3g} mJy/beam",
        0.3,
    )
    drifting = drift_beam(
        seen.pointings_deg,
        weighting.field_channel_weight,
        weighting.channels_hz,
        *dish_m,
        seen.beam_shape,
    )
    beam = drifting.on_grid(grid)
    task = ImagingTask(
        ms=request.ms,
        seen=seen,
        weighting=weighting,
        grid=grid,
        beam=drifting,
        dish_m=dish_m,
        field_selection=request.field_selection,
        spw_selection=request.spw_selection,
        settings=settings,
        threshold_jy=threshold_jy,
    )
    raw = engine.image(task)
    _check_images(raw, request)
    report_progress(f"{raw.n_iterations} iterations done; finding sources", 0.8)
    visible = beam >= settings.beam_cut
    rms_jy = mad_rms(inner_half(raw.image))
    with whole_directory(request.directory) as partial:
        partial.mkdir()
        files = ImageFiles.in_directory(partial, request.stem)
        facts = _facts(request, seen, grid, weighting, raw, rms_jy, threshold_jy)
        shown = np.where(visible, raw.image, np.nan)
        # The files are written while sources are fitted and the picture is drawn.
        with ThreadPoolExecutor(1) as other:
            written = other.submit(_write_all_fits, files, facts, raw, beam, visible)
            thumbnail = other.submit(thumbnail_png, shown, rms_jy)
            noise = LocalNoise.of(raw.residual, raw.beam.area_pixels(grid.cell_arcsec))
            kept_beam = np.where(visible, beam, np.nan)
            found = real_sources(raw.image, noise, kept_beam, raw.beam, grid, request.min_snr)
            result = ImageResult(
                directory=request.directory,
                files=ImageFiles.in_directory(request.directory, request.stem),
                grid=grid,
                statistics=_statistics(raw, grid, weighting, found, rms_jy),
                sources=found.sources,
                frequency_hz=weighting.frequency_hz,
                start_mjd=seen.start_mjd,
                end_mjd=seen.end_mjd,
                mid_mjd=0.5 * (seen.start_mjd + seen.end_mjd),
                n_iterations=raw.n_iterations,
                threshold_jy=threshold_jy,
                engine=engine.name,
                in_field=in_field,
                outside=outside,
            )
            sub_bands = _SubBands(request, layout, task, raw, partial, other)
            result = replace(
                result,
                sub_bands=sub_bands.made,
                no_sub_bands=sub_bands.reasons,
                primary_beam=_primary_beam(request, task, raw, noise, sub_bands.apparent),
            )
            report_progress("writing FITS and PNG", 0.9)
            title = f"{request.stem}   rms {1e3 * rms_jy:.2f} mJy/beam"
            write_png(files.png, shown, grid, raw.beam, rms_jy, title)
            for file in (written, *sub_bands.written):
                file.result()
            files.thumbnail.write_bytes(thumbnail.result())
        files.summary.write_bytes(TypeAdapter(ImageResult).dump_json(result, indent=1))
    return result


def _refined(
    seen: Visibilities, request: ImageRequest, engine: str, dish_m: tuple[float, float]
) -> tuple[Visibilities, InFieldCalibration]:
    """Calibrate the visibilities by the known sources of their field, without bad antennas."""
    if engine != FastEngine.name:
        return seen, InFieldCalibration(
            False, f"the engine {engine!r} reads the calibrated MS, which isn't changed"
        )
    if not request.settings.in_field:
        return uncalibrated(seen, "not asked for", request.antennas)
    return calibrate_in_field(seen, request.field_model, dish_m, request.antennas)


def _primary_beam(
    request: ImageRequest,
    task: ImagingTask,
    raw: RawImages,
    noise: LocalNoise,
    sub_bands: Sequence[ApparentFluxes],
) -> BeamMeasurement | None:
    """Measure the primary beam with the known sources of the field."""
    if not request.field_model:
        return None
    report_progress("measuring the primary beam", 0.88)
    whole = _apparent(WHOLE_BAND, request, task, raw, noise)
    return measure_beam([whole, *sub_bands])


def _apparent(
    name: str, request: ImageRequest, task: ImagingTask, raw: RawImages, noise: LocalNoise
) -> ApparentFluxes:
    return apparent_fluxes(
        name,
        task.weighting.frequency_hz,
        raw.image,
        noise,
        raw.beam,
        task.grid,
        task.beam,
        request.field_model,
    )


class _SubBands:
    """The images of sub-bands, whose files a thread writes.

    Attributes
    ----------
    made : tuple of SubBandImage
        The images.
    reasons : dict of str to str
        Why the others weren't made, by name.
    written : list of Future
        Their files.
    apparent : list of ApparentFluxes
        The known sources in them.
    """

    def __init__(
        self,
        request: ImageRequest,
        layout: Layout,
        task: ImagingTask,
        raw: RawImages,
        partial: Path,
        other: ThreadPoolExecutor,
    ) -> None:
        bands = divide_band(layout, task.settings.sub_bands)
        self.reasons = without_enough_data(bands, task)
        self.made: tuple[SubBandImage, ...] = ()
        self.written: list[Future[None]] = []
        self.apparent: list[ApparentFluxes] = []
        for number, band in enumerate(b for b in bands if b.name not in self.reasons):
            report_progress(f"sub-band {band.name}", 0.85 + 0.04 * number / len(bands))
            try:
                own, images = image_sub_band(band, task, raw.bright)
                _check_images(images, request)
            except ImagingFailed as error:
                self.reasons[band.name] = error.message
                continue
            made = SubBandImage(
                band.name,
                *SubBandImage.paths(request.directory, request.stem, band.name),
                grid=own.grid,
                beam=images.beam,
                frequency_hz=own.weighting.frequency_hz,
                rms_jy=mad_rms(inner_half(images.image)),
                expected_rms_jy=own.weighting.noise_jy,
                n_iterations=images.n_iterations,
            )
            self.made += (made,)
            self.written.append(other.submit(_write_sub_band, made, partial, request, own, images))
            if request.field_model:
                area = images.beam.area_pixels(own.grid.cell_arcsec)
                noise = LocalNoise.of(images.residual, area)
                self.apparent.append(_apparent(band.name, request, own, images, noise))


def _write_sub_band(
    sub_band: SubBandImage,
    directory: Path,
    request: ImageRequest,
    task: ImagingTask,
    images: RawImages,
) -> None:
    facts = _facts(
        replace(request, provenance={**request.provenance, "sub-band": sub_band.name}),
        task.seen,
        task.grid,
        task.weighting,
        images,
        sub_band.rms_jy,
        task.threshold_jy,
    )
    image, primary_beam = SubBandImage.paths(directory, request.stem, sub_band.name)
    write_fits(image, images.image, *_BTYPES["image"], facts)
    grid = SubBandImage.beam_grid(task.grid)
    response = task.beam.on_grid(grid)
    write_fits(primary_beam, response, *_BTYPES["primary_beam"], replace(facts, grid=grid))


def _check_unit(ms: Path, engine: str) -> None:
    """Refuse DATA in another unit than Jy where an engine reads the MS directly."""
    with opened(ms) as table:
        keywords = table.getcolkeywords("DATA")
    if engine != "fast" and flux_scale(keywords, ms) != 1:
        raise ImagingFailed(
            f"{ms}: its column DATA is in {stated_unit(keywords)}, which the engine {engine!r} "
            "assumes to be in Jy; the engine 'fast' converts it to Jy",
            path=str(ms),
        )


def load_image_result(directory: Path, stem: str) -> ImageResult:
    """Return the result that `make_image` wrote into a directory.

    Raises
    ------
    ImagingFailed
        If there is no such image.
    """
    summary = ImageFiles.in_directory(directory, stem).summary
    try:
        result = TypeAdapter(ImageResult).validate_json(summary.read_bytes())
    except (OSError, ValueError) as error:
        reason = in_words_of_reader(error)
        raise ImagingFailed(f"{summary} is no summary of an image: {reason}") from error
    # The state directory may have been moved since.
    files = ImageFiles.in_directory(directory, stem)
    bands = []
    for band in result.sub_bands:
        image, primary_beam = SubBandImage.paths(directory, stem, band.name)
        bands.append(replace(band, image=image, primary_beam=primary_beam))
    return replace(result, directory=directory, files=files, sub_bands=tuple(bands))


def choose_grid(
    settings: ImagingSettings, layout: Layout, seen: Visibilities, dish_m: tuple[float, float]
) -> tuple[ImageGrid, Weighting]:
    """Choose pixel size and extent, and weigh the visibilities for that extent.

    The cell comes from the synthesized beam, the beam from the weights, and the Briggs weights from
    the extent, which comes from the primary beam: so the extent is computed first, with equal
    weights of all data.
    """
    ra_deg, dec_deg = seen.phase_center_deg
    if settings.image_size is not None and settings.cell_arcsec is not None:
        cell_arcsec, size = settings.cell_arcsec, settings.image_size
    else:
        half_rad = half_width_rad(layout, dish_m, _REACH * settings.beam_cut)
        cell_arcsec = settings.cell_arcsec or _cell(settings.robust, seen, half_rad)
        size = settings.image_size or choose_size(half_rad, cell_arcsec)
    width_rad = float(np.deg2rad(size * cell_arcsec / 3600))
    weighting = briggs(seen, settings.robust, width_rad, size)
    return ImageGrid(size, cell_arcsec, ra_deg, dec_deg), weighting


def _cell(robust: float, seen: Visibilities, half_rad: float) -> float:
    fringe_rad = seen.shortest_fringe_rad
    trial = choose_size(half_rad, float(np.rad2deg(0.4 * fringe_rad) * 3600))
    weighting = briggs(seen, robust, 2 * half_rad, trial)
    lobe = fit_main_lobe(*middle_of_psf(seen, weighting, 2 * half_rad, trial))
    return choose_cell_arcsec(lobe, fringe_rad)


def _check_images(raw: RawImages, request: ImageRequest) -> None:
    for name in ("image", "residual", "psf"):
        if not np.isfinite(getattr(raw, name)).all():
            raise ImagingFailed(
                f"the {name} of {request.ms} has pixels that are not finite", path=str(request.ms)
            )
    if not raw.psf.max() > 0 or not raw.image.any():
        raise ImagingFailed(f"the image of {request.ms} is empty", path=str(request.ms))


def _statistics(
    raw: RawImages, grid: ImageGrid, weighting: Weighting, found: Reliable, rms_jy: float
) -> ImageStatistics:
    row, column = np.unravel_index(int(np.argmax(raw.image)), raw.image.shape)
    ra_deg, dec_deg = sky_of_pixel(grid, float(column), float(row))
    peak_jy = float(raw.image[row, column])
    return ImageStatistics(
        rms_jy=rms_jy,
        residual_rms_jy=mad_rms(inner_half(raw.residual)),
        expected_rms_jy=weighting.noise_jy,
        peak_jy=peak_jy,
        peak_ra_deg=ra_deg,
        peak_dec_deg=dec_deg,
        dynamic_range=peak_jy / rms_jy if rms_jy > 0 else float("inf"),
        beam=raw.beam,
        n_sources=len(found.sources),
        n_rejected=found.n_rejected,
        detection_snr=found.min_snr,
    )


def sky_of_pixel(grid: ImageGrid, column: float, row: float) -> tuple[float, float]:
    """Return RA and Dec (ICRS degrees) of a pixel counted from 0."""
    from contimg_resources.imaging.beam import sky_of_sin

    cell_rad, half = np.deg2rad(grid.cell_arcsec / 3600), grid.size // 2
    east, north = np.array(-(column - half) * cell_rad), np.array((row - half) * cell_rad)
    ra, dec = sky_of_sin(east, north, grid.ra_deg, grid.dec_deg)
    return float(ra), float(dec)


def _write_all_fits(
    files: ImageFiles,
    facts: HeaderFacts,
    raw: RawImages,
    beam: Floats,
    visible: NDArray[np.bool_],
) -> None:
    corrected = np.full(beam.shape, np.nan, np.float32)
    np.divide(raw.image, beam, out=corrected, where=visible)
    pixels: Mapping[str, Any] = {
        "image": raw.image,
        "pbcor": corrected,
        "residual": raw.residual,
        "psf": raw.psf,
        "primary_beam": np.where(visible, beam, np.nan),
    }
    for name, (kind, unit) in _BTYPES.items():
        write_fits(getattr(files, name), pixels[name], kind, unit, facts)


def _facts(
    request: ImageRequest,
    seen: Visibilities,
    grid: ImageGrid,
    weighting: Weighting,
    raw: RawImages,
    rms_jy: float,
    threshold_jy: float,
) -> HeaderFacts:
    cards = {
        "ROBUST": (request.settings.robust, "Briggs robust"),
        "NITER": (raw.n_iterations, "CLEAN iterations done"),
        "THRESH": (threshold_jy, "[Jy/beam] CLEAN threshold"),
        "ENGINE": (request.settings.engine, "imaging engine"),
        "PBCUT": (request.settings.beam_cut, "primary-beam cut"),
        "RMS": (rms_jy, "[Jy/beam] 1.4826 MAD of the inner half"),
        "EXPRMS": (weighting.noise_jy, "[Jy/beam] expected from the noise of the data"),
    }
    origin = {f"ms {name}": str(value) for name, value in seen.origin.items()}
    return HeaderFacts(
        grid=grid,
        beam=raw.beam,
        frequency_hz=weighting.frequency_hz,
        bandwidth_hz=seen.bandwidth_hz,
        telescope=seen.telescope,
        object_name=request.provenance.get("observation", request.stem),
        start_mjd=seen.start_mjd,
        end_mjd=seen.end_mjd,
        cards=cards,
        provenance={**origin, "calibrated ms": str(request.ms), **request.provenance},
    )
