"""Forced photometry of an image or a mosaic: measure, determine the flux scale, record."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.catalogues.model import CatalogueSources
from contimg_resources.catalogues.store import Catalogue
from contimg_resources.core.arrays import Bools
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.core.keys import day_name, epoch_mjd, parse_mosaic_key
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.epochs import EpochKind, EpochQuality, EpochRecord
from contimg_resources.products.events import NewSourceState
from contimg_resources.products.model import ArtefactKind
from contimg_resources.products.new_sources import NewSourceRecord
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.photometry.epoch import EpochScale
    from contimg_resources.photometry.measuring import RawMeasurements
    from contimg_resources.photometry.model import MeasurableImage, SourceList

# Measuring loads astropy and numba, which callers that only list open work don't need: imported in
# the functions that measure.

IMAGE_STEP = "image_photometry"

NO_CATALOGUE = "the settings name no catalogue (CONTIMG_CATALOGUE__REFERENCE)"
#: A source larger than this fraction of the beam is no reference: part of its flux is lost.
_COMPACT_BEAMS = 0.5
#: The extent of an image is sampled at this many positions a side.
_EDGE = 9


@dataclass(frozen=True)
class Unmeasured:
    """An image that was not measured, for a reason that is no error."""

    reason: str  #: The reason.


@dataclass(frozen=True)
class Measured:
    """An epoch of measurements."""

    record: EpochRecord  #: Its record in the store.
    scale: "EpochScale"  #: Its flux scale and astrometry.
    n_detected: int  #: Number of sources above five times their error.
    png: Path  #: Plot of flux ratios and offsets; missing when `draw` was False.
    marked: Path  #: The image with its sources marked; likewise.
    verdicts: tuple[Verdict, ...]  #: Checks of flux scale and astrometry.


def measure_mosaic(
    workshop: Workshop,
    key: str,
    *,
    run_id: str = "",
    catalogue: Catalogue | None = None,
    draw: bool = True,
    progress: Progress = no_progress,
) -> Measured | Unmeasured:
    """Measure the catalogue's sources on a mosaic, by default the catalogue named in the settings.

    Raises
    ------
    InvalidName
        If the key isn't a mosaic key.
    ProductsError
        If there is no such mosaic.
    PhotometryFailed
        If nothing can be measured on it.
    CatalogueError
        If the catalogue is missing or damaged.
    """
    parse_mosaic_key(key)
    catalogue = catalogue or workshop.reference_catalogue()
    record = workshop.products.mosaics.get(key)
    if catalogue is None:
        return Unmeasured(NO_CATALOGUE)
    if not record.checksum:
        raise PhotometryFailed(f"mosaic {key} couldn't be made: {record.reason}", key=key)
    from contimg_resources.photometry.reading import read_mosaic

    progress("reading the mosaic", 0.0)
    files = MosaicFiles.in_directory(record.directory, key)
    image = read_mosaic(files.image, files.sigma, epoch=key)
    return _measured(workshop, image, catalogue, record.checksum, run_id, progress, draw=draw)


def measure_image(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> Measured | Unmeasured:
    """Measure the catalogue's sources on a 5-minute image.

    Raises
    ------
    PhotometryFailed
        If the observation has no image, or nothing can be measured on it.
    CatalogueError
        If the catalogue is missing or damaged.
    """
    catalogue = workshop.reference_catalogue()
    made = {a.kind: a for a in workshop.products.artefacts(key)}
    if ArtefactKind.IMAGE not in made:
        raise PhotometryFailed(f"observation {key} has no image; image it first", key=key)
    if catalogue is None:
        return Unmeasured(NO_CATALOGUE)
    if not workshop.settings.photometry.images:
        return Unmeasured("single images aren't measured (CONTIMG_PHOTOMETRY__IMAGES)")
    from contimg_resources.photometry.reading import read_image

    progress("reading the image", 0.0)
    image = read_image(made[ArtefactKind.IMAGE].path.parent, key)
    checksum = made[ArtefactKind.IMAGE].checksum
    return _measured(workshop, image, catalogue, checksum, run_id, progress)


def sort_measurements(workshop: Workshop, progress: Progress = no_progress) -> tuple[Path, ...]:
    """Update the copies sorted by source that light curves are read from; return the new ones."""
    from contimg_resources.photometry.copies import copy_by_source
    from contimg_resources.photometry.subbands import bands_root, list_bands

    root = workshop.settings.layout.photometry
    bands = bands_root(root)
    kinds = [(root, kind.value) for kind in EpochKind] + [(bands, b) for b in list_bands(root)]
    return tuple(made for place, kind in kinds for made in copy_by_source(place, kind, progress))


def _measured(
    workshop: Workshop,
    image: "MeasurableImage",
    catalogue: Catalogue,
    measured_from: str,
    run_id: str,
    progress: Progress,
    *,
    draw: bool = True,
) -> Measured | Unmeasured:
    from contimg_resources.photometry.measurements import write_measurements

    root = workshop.settings.layout.photometry
    found = on_scale(workshop, image, catalogue, root, image.kind, progress)
    if isinstance(found, Unmeasured):
        return found
    sources, raw, scale = found
    # A mosaic is stored under the day of its window's centre, whatever tiles it has.
    day = day_name(epoch_mjd(image.epoch))
    path = root / image.kind / day / f"{image.epoch}.parquet"
    progress("writing and drawing", 0.7)
    written = write_measurements(
        path,
        image,
        sources,
        raw,
        scale,
        {
            "catalogue": catalogue.facts.release,
            "measured_from": measured_from,
            "moved_arcsec": list(scale.moved_arcsec),
            **software(),
        },
    )
    png, marked = path.with_suffix(".png"), path.with_suffix(".sources.png")
    if draw:
        from contimg_resources.photometry.drawing import draw_epoch, draw_sources

        title = f"{image.epoch}   {written.n_measured} of {written.n_sources} sources measured"
        whole_file(png, lambda partial: draw_epoch(partial, raw, sources, scale, image.beam, title))
        whole_file(marked, lambda partial: draw_sources(partial, image, raw, sources, title))
    record = workshop.products.mosaics.put_epoch(
        EpochRecord(
            epoch=image.epoch,
            kind=EpochKind(image.kind),
            mid_mjd=image.mid_mjd,
            measured_from=measured_from,
            catalogue=catalogue.facts.release,
            path=path,
            checksum=content_checksum(path),
            size_bytes=path.stat().st_size,
            n_sources=written.n_sources,
            n_measured=written.n_measured,
            epoch_ok=scale.ok,
            reason=scale.reason,
            scale=_or_none(scale.scale),
            scale_error=_or_none(scale.error),
            statistics=_quality_of(scale),
            run_id=run_id,
            software=software(),
        )
    )
    with np.errstate(invalid="ignore"):
        n_detected = int((raw.snr >= 5).sum())
    verdicts = (check_scale(scale), check_offsets(scale, image, workshop))
    return Measured(record, scale, n_detected, png, marked, verdicts)


def on_scale(
    workshop: Workshop,
    image: "MeasurableImage",
    catalogue: Catalogue,
    root: Path,
    kind: str,
    progress: Progress,
) -> "tuple[SourceList, RawMeasurements, EpochScale] | Unmeasured":
    """Measure an image's sources and flux scale, given the earlier epochs in `root` / `kind`."""
    from contimg_resources.photometry.astrometry import ListOffset, measure_moved
    from contimg_resources.photometry.epoch import check_epoch
    from contimg_resources.photometry.light_curves import read_history
    from contimg_resources.photometry.measuring import measure

    settings = workshop.settings
    sources = listed_sources(workshop, image, catalogue)
    if not len(sources):
        # A user's list may hold only a few sources, far away.
        return Unmeasured(
            f"catalogue {catalogue.facts.name} has no source above "
            f"{settings.photometry.min_flux_mjy:g} mJy there"
        )
    progress(f"measuring {len(sources)} sources", 0.3)
    raw = measure(image, sources, settings.photometry)
    history = read_history(root, sources, kind, image.mid_mjd)
    moved = (0.0, 0.0)
    offset = ListOffset.of(raw, sources)
    if settings.photometry.shift_positions and offset.significant:
        progress(f"measuring at positions shifted by {offset.arcsec:.2f} arcsec", 0.5)
        moved = (offset.east_arcsec, offset.north_arcsec)
        raw = measure_moved(image, sources, moved, settings.photometry)
    scale = check_epoch(raw, sources, settings.photometry, history)
    return sources, raw, replace(scale, moved_arcsec=moved)


def listed_sources(
    workshop: Workshop, image: "MeasurableImage", catalogue: Catalogue
) -> "SourceList":
    """Return the sources that are measured on an image: the catalogue's, and new ones.

    New sources are those of the store that aren't withdrawn, without those that are now within a
    beam of a source of the list. They are no references. Without any source of the catalogue there
    is no flux scale, and the list is empty.
    """
    from contimg_resources.catalogues.model import nearest_sources
    from contimg_resources.photometry.model import SourceList

    settings = workshop.settings
    found = sources_about(image, catalogue, 1e-3 * settings.photometry.min_flux_mjy)
    listed = SourceList.of(
        found.source_id,
        found.ra_deg,
        found.dec_deg,
        found.flux_at(image.frequency_hz, settings.catalogue.default_spectral_index),
        _compact(found, image) & ~found.variable,
    )
    new = new_sources_about(workshop, *circle_around(image))
    if not new or not len(listed):
        return listed
    more = SourceList.of(
        [n.name for n in new],
        np.array([n.ra_deg for n in new]),
        np.array([n.dec_deg for n in new]),
        compact=np.zeros(len(new), bool),
    )
    away = nearest_sources(more.ra_deg, more.dec_deg, listed.ra_deg, listed.dec_deg)[0]
    return listed.with_others(more.select(away > image.beam.major_arcsec))


def new_sources_about(
    workshop: Workshop, ra_deg: float, dec_deg: float, radius_deg: float
) -> list[NewSourceRecord]:
    """Return the sources of the store that the catalogue lacks, within a circle (ICRS degrees)."""
    return [
        n
        for n in workshop.products.new_sources.list()
        if n.state is not NewSourceState.WITHDRAWN
        and separation_deg(ra_deg, dec_deg, n.ra_deg, n.dec_deg) <= radius_deg
    ]


def sources_about(
    image: "MeasurableImage", catalogue: Catalogue, least_jy: float
) -> CatalogueSources:
    """Return the catalogue's sources above a flux density, within the circle around an image."""
    return catalogue.cone(*circle_around(image), least_jy)


def circle_around(image: "MeasurableImage") -> tuple[float, float, float]:
    """Return centre (ICRS) and radius of a circle around an image, degrees."""
    from astropy.coordinates import SkyCoord

    rows, columns = image.pixels.shape
    ra_deg, dec_deg = image.middle_deg
    x, y = np.meshgrid(np.linspace(0, columns - 1, _EDGE), np.linspace(0, rows - 1, _EDGE))
    around = np.column_stack(image.wcs.all_pix2world(x.ravel(), y.ravel(), 0))
    around = around[np.isfinite(around).all(axis=1)]
    reach = SkyCoord(ra_deg, dec_deg, unit="deg").separation(SkyCoord(*around.T, unit="deg"))
    radius_deg = min(90.0, 1.02 * float(reach.deg.max()))
    return ra_deg, dec_deg, radius_deg


def _compact(found: CatalogueSources, image: "MeasurableImage") -> Bools:
    with np.errstate(invalid="ignore"):
        return np.asarray(~(found.major_arcsec > _COMPACT_BEAMS * image.beam.major_arcsec))


def check_scale(scale: "EpochScale") -> Verdict:
    """Check that enough reference sources agree on a flux scale near 1."""
    if not scale.n_references:
        return Verdict(
            name="flux_scale",
            passed=False,
            words=f"no flux scale: {scale.reason}; the epoch isn't published",
            evaluated=False,
        )
    told = (
        f"flux scale {scale.scale:.3f} +- {scale.error:.3f} of {scale.n_references} reference "
        f"sources, scatter {scale.scatter:.3f}"
    )
    return Verdict(
        name="flux_scale",
        passed=scale.ok,
        words=told if scale.ok else f"{told}; the epoch isn't published: {scale.reason}",
        measures={
            "flux_scale": scale.scale,
            "flux_scale_error": scale.error,
            "flux_scale_scatter": scale.scatter,
        },
    )


def check_offsets(scale: "EpochScale", image: "MeasurableImage", workshop: Workshop) -> Verdict:
    """Check the positions of bright sources against the catalogue."""
    limits = workshop.settings.photometry
    offset = scale.offset
    if offset is not None and offset.elsewhere:
        return Verdict(
            name="positions",
            passed=False,
            words=f"{offset.n_missing} of {offset.n_expected} sources that are bright in the list "
            "aren't within half a beam of their listed positions: does the list have the same "
            "equinox and frame, and is the image's reference pixel right?",
        )
    if offset is None or not offset.n_positions:
        return Verdict(
            name="positions",
            passed=True,
            words="not evaluated: no source is bright enough to measure its position",
            evaluated=False,
        )
    beams, lost = offset.arcsec / image.beam.minor_arcsec, offset.lost(image.beam)
    too_far = offset.significant and beams > limits.max_offset_beam
    told = (
        f"median offset of {offset.n_positions} sources from the list "
        f"{offset.east_arcsec:+.2f} +- {offset.east_error_arcsec:.2f} arcsec east, "
        f"{offset.north_arcsec:+.2f} +- {offset.north_error_arcsec:.2f} arcsec north: "
        f"{beams:.2f} beams, {limits.max_offset_beam:g} is allowed"
    )
    if scale.moved_arcsec != (0.0, 0.0):
        told += "; flux densities were measured at positions shifted by it"
    elif too_far:
        told += (
            f"; each flux density is {100 * lost:.1f} % too low "
            "(CONTIMG_PHOTOMETRY__SHIFT_POSITIONS=true measures at shifted positions)"
        )
    return Verdict(
        name="positions",
        passed=not too_far,
        words=told,
        measures={
            "offset_arcsec": offset.arcsec,
            "offset_scatter_arcsec": offset.scatter_arcsec,
            "offset_beams": beams,
            "flux_lost": lost,
        },
    )


def _quality_of(scale: "EpochScale") -> EpochQuality:
    quality = EpochQuality(
        scale_scatter=scale.scatter,
        n_references=scale.n_references,
        gradient_east_per_deg=scale.gradient[0],
        gradient_north_per_deg=scale.gradient[1],
        east_arcsec=scale.east_arcsec,
        north_arcsec=scale.north_arcsec,
        offset_scatter_arcsec=scale.offset_scatter_arcsec,
        n_positions=scale.n_positions,
        moved_east_arcsec=scale.moved_arcsec[0],
        moved_north_arcsec=scale.moved_arcsec[1],
    )
    if scale.offset is None:
        return quality
    return replace(
        quality,
        east_error_arcsec=scale.offset.east_error_arcsec,
        north_error_arcsec=scale.offset.north_error_arcsec,
        n_missing=scale.offset.n_missing,
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
