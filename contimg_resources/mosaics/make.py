"""Make a mosaic from 5-minute images, or add late images to it.

Belongs here: the order of the steps and the products. Doesn't: the single steps.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import MosaicFailed, in_words, rejecting
from contimg_resources.images.resampling import Pixels
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.model import Beam
from contimg_resources.imaging.png import thumbnail_png, write_png
from contimg_resources.mosaics.beams import common_beam, fits_into, other_bands, outliers
from contimg_resources.mosaics.contributing import Contribution, contribution, reach_of
from contimg_resources.mosaics.grid import box_of, window_grid
from contimg_resources.mosaics.measuring import find_seam, measure
from contimg_resources.mosaics.model import (
    MosaicFiles,
    MosaicGrid,
    MosaicRequest,
    MosaicResult,
    Seam,
    TileInMosaic,
)
from contimg_resources.mosaics.sums import Sums
from contimg_resources.mosaics.tiles import Tile, read_tile

#: Margin of the grid beyond the present tiles, for later ones with a slightly larger radius.
_REACH_MARGIN = 1.03
_WORKERS = 2


@dataclass(frozen=True)
class _Plan:
    """The tiles to add, and the sums to add them to."""

    grid: MosaicGrid
    beam: Beam
    new: tuple[Tile, ...]
    before: MosaicResult | None


def make_mosaic(request: MosaicRequest, progress: Progress = no_progress) -> MosaicResult:
    """Make a mosaic; tiles already in its running sums are not processed again.

    The mosaic is rebuilt if a tile in it was replaced or is no longer requested, or if a new one
    doesn't fit its beam or its pixels; apart from rounding, the result is the same.

    Parameters
    ----------
    request : MosaicRequest
        Request for the mosaic.
    progress : callable
        Receives the progress.

    Returns
    -------
    MosaicResult
        The products, all complete; earlier products in their directory are replaced.

    Raises
    ------
    MosaicFailed
        If no tile can be used; otherwise the result lists unusable tiles.
    """
    tiles, refused = _read(request)
    plan, more = _plan(request, tiles)
    refused |= more
    done: list[TileInMosaic] = list(plan.before.tiles) if plan.before else []
    with whole_directory(request.directory) as partial:
        partial.mkdir()
        files = MosaicFiles.in_directory(partial, request.key)
        sums = _sums(plan, files)
        for number, (tile, made) in enumerate(_contributions(plan, request.imaging.beam_cut)):
            progress(f"adding {tile.key}", 0.9 * number / len(plan.new))
            if isinstance(made, str):
                refused[tile.key] = made
            elif sums.add(
                made.box, made.image, made.beam, made.tile.rms_jy, request.imaging.beam_cut
            ):
                done.append(made.tile)
            else:
                refused[tile.key] = f"{tile.files.image} covers no pixel of the mosaic"
        if not done:
            raise _nothing(request, refused)
        progress("measuring and drawing", 0.9)
        used = {t.key for t in done}
        result = _finish(
            request, plan, sums, files, done, [t for t in tiles if t.key in used], refused
        )
        if not request.keep_sums:
            files.sums.unlink()
    return result


def load_mosaic(directory: Path, key: str) -> MosaicResult:
    """Return the result of `make_mosaic` in a directory.

    Raises
    ------
    MosaicFailed
        If there is no such mosaic.
    """
    summary = MosaicFiles.in_directory(directory, key).summary
    try:
        result = TypeAdapter(MosaicResult).validate_json(summary.read_bytes())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MosaicFailed(f"{summary} is not a summary of a mosaic: {reason}") from error
    # The state directory may have been moved since.
    return replace(result, directory=directory, files=MosaicFiles.in_directory(directory, key))


def _read(request: MosaicRequest) -> tuple[tuple[Tile, ...], dict[str, str]]:
    tiles: list[Tile] = []
    refused: dict[str, str] = {}
    for files in request.tiles:
        with rejecting(refused, files.key):
            tiles.append(read_tile(files))
    if tiles:
        refused |= other_bands({t.key: t.frequency_hz for t in tiles})
        tiles = [t for t in tiles if t.key not in refused]
    if tiles:
        refused |= outliers({t.key: t.beam for t in tiles})
    kept = sorted((t for t in tiles if t.key not in refused), key=lambda t: (t.mid_mjd, t.key))
    if not kept:
        raise _nothing(request, refused)
    return tuple(kept), refused


def _plan(request: MosaicRequest, tiles: tuple[Tile, ...]) -> tuple[_Plan, dict[str, str]]:
    """Decide whether tiles are added to existing sums."""
    before = _before(request, tiles)
    if before is not None:
        known = {t.key for t in before.tiles}
        new = tuple(t for t in tiles if t.key not in known)
        if all(_fits(t, before, request.imaging.beam_cut) for t in new):
            return _Plan(before.grid, before.beam, new, before), {}
    reaches: dict[str, float] = {}
    refused: dict[str, str] = {}
    for tile in tiles:
        with rejecting(refused, tile.key):
            reaches[tile.key] = reach_of(tile, request.imaging.beam_cut)
    kept = tuple(t for t in tiles if t.key in reaches)
    if not kept:
        raise _nothing(request, refused)
    grid = window_grid(
        np.array([[t.grid.ra_deg, t.grid.dec_deg] for t in kept]),
        np.array([t.mid_mjd for t in kept]),
        max(
            _REACH_MARGIN * reaches[t.key] + abs(t.grid.dec_deg - request.declination_deg)
            for t in kept
        ),
        # Rounded, so that it doesn't depend on which tile came first.
        round(float(np.median([t.grid.cell_arcsec for t in kept])), 1),
        request.start_mjd,
        request.end_mjd,
        request.declination_deg,
    )
    return _Plan(grid, common_beam([t.beam for t in kept]), kept, None), refused


def _before(request: MosaicRequest, tiles: Sequence[Tile]) -> MosaicResult | None:
    """Return the existing mosaic whose sums can be used; None if there is none."""
    try:
        before = load_mosaic(request.directory, request.key)
    except MosaicFailed:
        return None
    wanted = {t.key: t.files.checksum for t in tiles}
    same = all(wanted.get(t.key) == t.checksum for t in before.tiles)
    # Sums with another cut are sums of other pixels.
    same = same and before.beam_cut == request.imaging.beam_cut
    return before if same and before.files.sums.is_file() else None


def _fits(tile: Tile, before: MosaicResult, cut: float) -> bool:
    try:
        reach = reach_of(tile, cut)
    except Exception:
        # It is rejected when it is added.
        return True
    inside = box_of(before.grid, tile.grid.ra_deg, tile.grid.dec_deg, reach)
    return inside is not None and fits_into(tile.beam, before.beam)


def _sums(plan: _Plan, files: MosaicFiles) -> Sums:
    if plan.before is None:
        return Sums.new(files.sums, plan.grid.rows, plan.grid.columns)
    # The old sums stay complete until the new mosaic is.
    shutil.copyfile(plan.before.files.sums, files.sums)
    return Sums.opened(files.sums, plan.grid.rows, plan.grid.columns)


def _contributions(plan: _Plan, cut: float) -> Iterator[tuple[Tile, Contribution | str]]:
    """Yield the contribution of each new tile, in the order of time; two are made in parallel.

    For an unusable tile yield the reason.
    """

    def made(tile: Tile) -> Contribution | str:
        try:
            return contribution(tile, plan.grid, plan.beam, cut)
        except Exception as error:
            return in_words(error)

    with ThreadPoolExecutor(_WORKERS) as workers:
        # At most as many at once as there are workers: each needs several hundred megabytes.
        waiting = [workers.submit(made, tile) for tile in plan.new[:_WORKERS]]
        for number, tile in enumerate(plan.new):
            result = waiting.pop(0).result()
            if number + _WORKERS < len(plan.new):
                waiting.append(workers.submit(made, plan.new[number + _WORKERS]))
            yield tile, result


def _finish(
    request: MosaicRequest,
    plan: _Plan,
    sums: Sums,
    files: MosaicFiles,
    done: Sequence[TileInMosaic],
    tiles: Sequence[Tile],
    refused: dict[str, str],
) -> MosaicResult:
    image, sigma, coverage = sums.image(), sums.sigma(), sums.coverage()
    weights = [t.rms_jy**-2 for t in done]
    result = MosaicResult(
        key=request.key,
        directory=request.directory,
        files=MosaicFiles.in_directory(request.directory, request.key),
        grid=plan.grid,
        beam=plan.beam,
        statistics=measure(image, sigma, coverage, plan.grid, plan.beam, len(done)),
        seams=_seams(request, plan, done, tiles, image, sigma) if request.inspected else (),
        tiles=tuple(sorted(done, key=lambda t: (t.start_mjd, t.key))),
        refused=dict(sorted(refused.items())),
        frequency_hz=float(np.average([t.frequency_hz for t in done], weights=weights)),
        start_mjd=min(t.start_mjd for t in done),
        mid_mjd=0.5 * (min(t.start_mjd for t in done) + max(t.end_mjd for t in done)),
        end_mjd=max(t.end_mjd for t in done),
        added=tuple(t.key for t in plan.new if t.key not in refused),
        rebuilt=plan.before is None,
        beam_cut=request.imaging.beam_cut,
    )
    facts = _facts(request, result, tiles[0])
    title = f"{request.key}   {len(done)} images, rms {1e3 * result.statistics.rms_jy:.2f} mJy/beam"
    with ThreadPoolExecutor(1) as other:
        written = [
            other.submit(write_fits, path, pixels, kind, unit, facts)
            for path, pixels, kind, unit in (
                (files.image, image, "Intensity", "Jy/beam"),
                (files.sigma, sigma, "Sigma", "Jy/beam"),
                (files.coverage, coverage, "Coverage", ""),
            )
        ]
        rms_jy = result.statistics.rms_jy
        if request.inspected:
            write_png(files.png, image, plan.grid, plan.beam, rms_jy, title)
            files.thumbnail.write_bytes(thumbnail_png(image, rms_jy))
        for file in written:
            file.result()
    files.summary.write_bytes(TypeAdapter(MosaicResult).dump_json(result, indent=1))
    return result


def _seams(
    request: MosaicRequest,
    plan: _Plan,
    done: Sequence[TileInMosaic],
    tiles: Sequence[Tile],
    image: Pixels,
    sigma: Pixels,
) -> tuple[Seam, ...]:
    known = {t.key: t for t in done}
    found = (
        find_seam(t, known[t.key], image, sigma, plan.grid, plan.beam, request.imaging.beam_cut)
        for t in tiles
    )
    return tuple(s for s in found if s is not None)


def _facts(request: MosaicRequest, result: MosaicResult, tile: Tile) -> HeaderFacts:
    statistics = result.statistics
    return HeaderFacts(
        grid=result.grid,
        beam=result.beam,
        frequency_hz=result.frequency_hz,
        bandwidth_hz=tile.bandwidth_hz,
        telescope=tile.telescope,
        object_name=request.key,
        start_mjd=result.start_mjd,
        end_mjd=result.end_mjd,
        cards={
            "NTILES": (statistics.n_tiles, "images in the mosaic"),
            "PBCUT": (request.imaging.beam_cut, "primary-beam cut of the images"),
            "RMS": (statistics.rms_jy, "[Jy/beam] in the deepest quarter"),
            "EXPRMS": (statistics.expected_rms_jy, "[Jy/beam] expected there"),
            "WINSTART": (request.start_mjd, "[d] start of the window"),
            "WINEND": (request.end_mjd, "[d] end of the window"),
        },
        provenance={
            **request.provenance,
            **{f"tile {t.key}": f"{t.checksum} rms {t.rms_jy:.6g} Jy/beam" for t in result.tiles},
            **{f"refused {key}": why for key, why in result.refused.items()},
        },
    )


def _nothing(request: MosaicRequest, refused: dict[str, str]) -> MosaicFailed:
    why = "; ".join(f"{key}: {reason}" for key, reason in sorted(refused.items()))
    return MosaicFailed(
        f"mosaic {request.key}: none of its {len(request.tiles)} images can be used: "
        f"{why or 'there are none'}",
        key=request.key,
    )
