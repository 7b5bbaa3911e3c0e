"""Find the mosaics that can be made now, and make a mosaic.

Belongs here: combining both stores, the plan and the science code. Doesn't: the plan, what mosaics
wait for and how tiles are combined (see `contimg_resources.mosaics`), starting anything.
"""

from dataclasses import dataclass

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import MosaicFailed
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.database import now_mjd
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.imaging.model import Beam, ImageFiles
from contimg_resources.mosaics.due import OpenMosaic, Waiting, find_open
from contimg_resources.mosaics.model import (
    MosaicRequest,
    MosaicResult,
    MosaicStatistics,
    Seam,
    TileFiles,
)
from contimg_resources.mosaics.windows import (
    PlannedMosaic,
    WindowGrid,
    end_of_last_gap,
    plan_mosaics,
)
from contimg_resources.products.epochs import (
    MosaicQuality,
    MosaicRecord,
    MosaicState,
    TileSource,
)
from contimg_resources.products.model import ArtefactKind
from contimg_resources.settings import MosaicSettings
from contimg_resources.steps.disk_space import wait_for_disk_space
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop

STEP = "mosaic_60min"

#: A lower ratio of noise to expected noise means a wrong scale or wrong weights.
_LEAST_RMS_RATIO = 0.7


@dataclass(frozen=True)
class Mosaicked:
    """A mosaic and its checks."""

    record: MosaicRecord  #: Its record in the store.
    result: MosaicResult  #: The mosaic.
    verdicts: tuple[Verdict, ...]  #: One for each check, passed or failed.


def open_mosaics(
    workshop: Workshop, *, at_mjd: float | None = None, changed_days: float | None = None
) -> tuple[OpenMosaic, ...]:
    """Return the mosaics to make, derived from the present images.

    Parameters
    ----------
    workshop : Workshop
        Products store and settings.
    at_mjd : float, optional
        The present, MJD in days.
    changed_days : float, optional
        Consider only times of observations that changed in the last `changed_days`; None: all.

    Returns
    -------
    tuple of OpenMosaic
        In order of time, including those that wait.
    """
    now = now_mjd() if at_mjd is None else at_mjd
    if changed_days is None:
        return _open_between(workshop, None, None, now)
    # Observations farther away belong to none of the changed windows, and prove no gap there.
    reach_days = 2 * _waiting(workshop).window_days
    return tuple(
        mosaic
        for start_mjd, end_mjd in workshop.products.mosaics.changed_spans(
            now - changed_days, reach_days
        )
        for mosaic in _open_between(workshop, start_mjd, end_mjd, now)
        # Windows that reach over an end of the span are incomplete.
        if start_mjd <= mosaic.planned.start_mjd and mosaic.planned.end_mjd <= end_mjd
    )


def mosaic_observations(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> Mosaicked:
    """Make the mosaic of a key from the present images, and check it.

    Returns
    -------
    Mosaicked
        The recorded mosaic; its state is ``failed`` when a check failed.

    Raises
    ------
    InvalidName
        If the key isn't a mosaic key.
    MosaicFailed
        If the window has no usable images of that strip.
    DiskShort
        If too little disk space is free to begin.
    """
    mid_mjd, declination_deg = parse_mosaic_key(key)
    wait_for_disk_space(workshop.settings, progress)
    planned, tiles = _tiles_of(workshop, key, mid_mjd)
    files, carried = _files(workshop, tiles)
    request = MosaicRequest(
        key=key,
        directory=workshop.settings.layout.mosaic_dir(key, mid_mjd),
        start_mjd=planned.start_mjd,
        end_mjd=planned.end_mjd,
        # From the key, not from the present tiles: the pixels stay the same when more tiles come.
        declination_deg=declination_deg,
        tiles=files,
        imaging=workshop.settings.imaging,
        # Nothing will be added to a window without gaps.
        keep_sums=end_of_last_gap(
            [float(tile) for tile in tiles],
            planned.start_mjd,
            planned.end_mjd,
            workshop.settings.mosaics.slot_s,
        )
        is not None,
        provenance={"mosaic": key, "caltable sets": ", ".join(sorted(carried)), **software()},
    )
    # It loads astropy, which callers that only list open mosaics don't need.
    from contimg_resources.mosaics.make import make_mosaic

    try:
        result = make_mosaic(request, progress)
    except MosaicFailed as error:
        workshop.products.mosaics.put(
            _record(planned, key, request, tiles, MosaicState.FAILED, error.message, run_id)
        )
        raise
    limits = workshop.settings.mosaics
    verdicts = (check_noise(result.statistics, limits), check_seams(result.seams, limits))
    refused = "; ".join(v.words for v in verdicts if not v.passed)
    state = MosaicState.FAILED if refused else MosaicState.MADE
    record = _record(planned, key, request, tiles, state, refused, run_id, result)
    return Mosaicked(workshop.products.mosaics.put(record), result, verdicts)


def _open_between(
    workshop: Workshop, start_mjd: float | None, end_mjd: float | None, now: float
) -> tuple[OpenMosaic, ...]:
    made = workshop.products.mosaics
    return find_open(
        made.tile_sources(start_mjd=start_mjd, end_mjd=end_mjd),
        made.tiles(start_mjd=start_mjd, end_mjd=end_mjd),
        arrivals=made.arrivals,
        waiting=_waiting(workshop),
        strip_tolerance_deg=workshop.settings.calibration.strip_tolerance_deg,
        now_mjd=now,
    )


def _waiting(workshop: Workshop) -> Waiting:
    return Waiting(workshop.settings.mosaics, workshop.settings.arrival.settle_age_s)


def _plan(
    workshop: Workshop, sources: tuple[TileSource, ...], known: dict[str, dict[str, str]]
) -> tuple[PlannedMosaic, ...]:
    return plan_mosaics(
        sources,
        WindowGrid(workshop.settings.mosaics),
        strip_tolerance_deg=workshop.settings.calibration.strip_tolerance_deg,
        existing={key: tiles.keys() for key, tiles in known.items()},
    )


def _tiles_of(workshop: Workshop, key: str, mid_mjd: float) -> tuple[PlannedMosaic, dict[str, str]]:
    """Return the plan of a mosaic, and the checksums of its images by observation."""
    settings = workshop.settings.mosaics
    half_days = 0.5 * settings.width * settings.slot_s / 86_400
    bounds = {"start_mjd": mid_mjd - half_days - 1e-4, "end_mjd": mid_mjd + half_days + 1e-4}
    sources = workshop.products.mosaics.tile_sources(**bounds)
    known = {m.key: m.tiles for m in workshop.products.mosaics.list(**bounds)}
    plan = _plan(workshop, sources, known)
    for planned in plan:
        if planned.key == key:
            there = {s.key: s.checksum for s in sources if s.key in planned.observations}
            tiles = {k: checksum for k, checksum in there.items() if checksum}
            if tiles:
                return planned, tiles
    near = ", ".join(p.key for p in plan if any(s.key in p.observations for s in sources))
    raise MosaicFailed(
        f"there are no images for a mosaic {key}"
        + (f"; about this time there are observations for: {near}" if near else ""),
        key=key,
    )


def _files(workshop: Workshop, tiles: dict[str, str]) -> tuple[tuple[TileFiles, ...], set[str]]:
    """Return the files of the images, and the caltable sets that they carry."""
    files, carried = [], set()
    for key, checksum in sorted(tiles.items()):
        (image,) = (a for a in workshop.products.artefacts(key) if a.kind == ArtefactKind.IMAGE)
        # Readers report a companion that was removed to free disk space.
        named = ImageFiles.in_directory(image.path.parent, key)
        files.append(
            TileFiles(key, named.image, named.primary_beam, named.residual, checksum=checksum)
        )
        carried.add(
            f"{image.set_name} v{image.set_version}" if image.set_name else "images made elsewhere"
        )
    return tuple(files), carried


def _record(
    planned: PlannedMosaic,
    key: str,
    request: MosaicRequest,
    tiles: dict[str, str],
    state: MosaicState,
    reason: str,
    run_id: str,
    result: MosaicResult | None = None,
) -> MosaicRecord:
    return MosaicRecord(
        key=key,
        start_mjd=planned.start_mjd,
        mid_mjd=planned.mid_mjd,
        end_mjd=planned.end_mjd,
        declination_deg=planned.declination_deg,
        state=state,
        reason=reason,
        tiles=tiles,
        directory=request.directory,
        checksum="" if result is None else content_checksum(result.files.image),
        size_bytes=0 if result is None else result.files.image.stat().st_size,
        statistics=(
            MosaicQuality() if result is None else quality_of(result.statistics, result.beam)
        ),
        run_id=run_id,
        software=software(),
    )


def quality_of(statistics: MosaicStatistics, beam: Beam) -> MosaicQuality:
    """Return the quality measures of a mosaic as the products store holds them."""
    return MosaicQuality(
        rms_mjy=1e3 * statistics.rms_jy,
        expected_rms_mjy=1e3 * statistics.expected_rms_jy,
        rms_ratio=statistics.rms_ratio,
        peak_jy=statistics.peak_jy,
        observed_deg2=statistics.observed_deg2,
        n_tiles=statistics.n_tiles,
        bmaj_arcsec=beam.major_arcsec,
        bmin_arcsec=beam.minor_arcsec,
        bpa_deg=beam.angle_deg,
    )


def check_noise(statistics: MosaicStatistics, limits: MosaicSettings) -> Verdict:
    """Check the noise of a mosaic against the expectation from its tiles."""
    ratio = statistics.rms_ratio
    return Verdict(
        name="mosaic_noise",
        passed=_LEAST_RMS_RATIO <= ratio <= limits.max_rms_ratio,
        words=f"noise {ratio:.2f} times the expectation from its {statistics.n_tiles} tiles "
        f"(limits {_LEAST_RMS_RATIO:g} to {limits.max_rms_ratio:g}); "
        f"{1e3 * statistics.rms_jy:.3f} mJy/beam in its deepest quarter, "
        f"{1e3 * statistics.expected_rms_jy:.3f} expected",
        measures={
            "rms_ratio": ratio,
            "rms_mjy": 1e3 * statistics.rms_jy,
            "expected_rms_mjy": 1e3 * statistics.expected_rms_jy,
        },
    )


def check_seams(seams: tuple[Seam, ...], limits: MosaicSettings) -> Verdict:
    """Check the steps at the edges of tiles."""
    if not seams:
        return Verdict(
            name="mosaic_seams",
            passed=True,
            words="not evaluated: no tile's edge overlaps other tiles",
            evaluated=False,
        )
    worst = max(seams, key=lambda s: s.sigma)
    return Verdict(
        name="mosaic_seams",
        passed=worst.sigma <= limits.max_seam_sigma,
        words=f"largest step at an edge {worst.sigma:.1f} sigma ({1e3 * worst.step_jy:+.3f} +- "
        f"{1e3 * worst.error_jy:.3f} mJy/beam, tile {worst.key}); the limit is "
        f"{limits.max_seam_sigma:g} sigma",
        measures={"largest_seam_sigma": worst.sigma, "largest_seam_mjy": 1e3 * worst.step_jy},
    )
