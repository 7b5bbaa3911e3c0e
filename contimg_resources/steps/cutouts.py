"""Make and update cutouts of sources from the mosaics that they were measured on.

Belongs here: combining light curve, products store and cutouts, and limiting the disk space of all
cutouts. Doesn't: pixels and pictures (see `contimg_resources.cutouts`), choosing sources.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import CutoutFailed, rejecting
from contimg_resources.core.keys import epoch_mjd
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.derived import DerivedKind, InputKind, Product
from contimg_resources.products.epochs import MosaicRecord, MosaicState
from contimg_resources.steps.recording import cutout_name, finished, inputs_from
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.cutouts.model import BrightnessScale, CutoutFacts
    from contimg_resources.cutouts.stacking import Stack
    from contimg_resources.photometry.light_curves import LightCurve

# Cutting and drawing load astropy and matplotlib: imported in the functions that do it.

STEP = "cutouts"

#: Old cutouts are removed whenever this share of the limit for all cutouts was written.
_UNBOUNDED_SHARE = 0.1


@dataclass(frozen=True)
class SourceCutouts:
    """The cutouts of a source after an update."""

    source_id: str  #: The source.
    directory: Path  #: Directory of its cutouts.
    #: `made`, `kept`: Epochs whose cutout was made or remade, and those whose cutout was up to
    #: date.
    made: tuple[str, ...]
    kept: tuple[str, ...]
    gone: tuple[str, ...]  #: Epochs without a current cutout whose mosaic is no longer on disk.
    failed: dict[str, str]  #: Epochs without a cutout, with the reason.
    #: Pictures by mid-MJD in days, as in the light curve, and epoch; in order of time.
    pngs: dict[tuple[float, str], Path]


@dataclass(frozen=True)
class ManyCutouts:
    """The cutouts of many sources."""

    sources: tuple[SourceCutouts, ...]  #: Sources with cutouts.
    failed: dict[str, str] = field(default_factory=dict)  #: Sources that failed, with the reason.
    removed: tuple[Path, ...] = ()  #: Files that were removed to stay within the disk space limit.


def cut_source(
    workshop: Workshop,
    source_id: str,
    *,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    progress: Progress = no_progress,
) -> SourceCutouts:
    """Update the cutouts of a source from the mosaics that it was measured on.

    Only mosaics with data in [start, end), MJD in days, are used.

    Raises
    ------
    PhotometryFailed
        If it was never measured on a mosaic.
    CutoutFailed
        If every attempted cutout failed, or it is an added light curve.
    """
    from contimg_resources.variability.added import list_of

    name = list_of(workshop.settings.layout.added_light_curves, source_id)
    if name is not None:
        raise CutoutFailed(
            f"{source_id} is an added light curve (list {name}): it has no images",
            source_id=source_id,
        )
    mosaics = _mosaics(workshop)
    return _cut_source(workshop, source_id, mosaics, start_mjd, end_mjd, progress)


def cut_many(
    workshop: Workshop,
    source_ids: Iterable[str],
    *,
    needed: Set[str] = frozenset(),
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    run_id: str = "",
    progress: Progress = no_progress,
) -> ManyCutouts:
    """Update the cutouts of many sources, and remove old ones to stay within the limit.

    A source that fails doesn't stop the others. `needed` are further sources whose cutouts are
    removed last, like those of `source_ids`. When these alone reach the limit, no cutout older than
    the oldest existing one is made. Only mosaics with data in [start, end), MJD in days, are used.
    """
    from contimg_resources.cutouts.model import shown_name
    from contimg_resources.cutouts.storage import full_since, keep_within

    wanted = list(dict.fromkeys(source_ids))
    root, max_gb = workshop.settings.layout.cutouts, workshop.settings.cutouts.max_gb
    kept_last = {*wanted, *needed}
    since_mjd = full_since(root, max_gb, kept_last)
    mosaics = _mosaics(workshop)

    def forget(paths: Sequence[Path]) -> None:
        names = {name for name in map(cutout_name, paths) if name is not None}
        workshop.products.derived.forget(sorted(names))

    done: list[SourceCutouts] = []
    failed: dict[str, str] = {}
    removed: list[Path] = []
    made_bytes = 0
    for i, source_id in enumerate(wanted):
        progress(f"source {shown_name(source_id)}", i / len(wanted))
        with rejecting(failed, source_id):
            found = _cut_source(
                workshop, source_id, mosaics, start_mjd, end_mjd, no_progress, since_mjd, run_id
            )
            made_bytes += _size_bytes(found)
            done.append(found)
        if made_bytes > _UNBOUNDED_SHARE * max_gb * 1e9:
            removed += keep_within(root, max_gb, kept_last, forget)
            made_bytes = 0
    removed += keep_within(root, max_gb, kept_last, forget)
    return ManyCutouts(tuple(_without_removed(f) for f in done), failed, tuple(removed))


def stack_source(
    workshop: Workshop, source_id: str, epochs: Collection[str] | None = None
) -> "Stack":
    """Stack the existing cutouts of a source: their mean. `epochs` limits them, by key.

    Raises
    ------
    CutoutFailed
        If there are none, or none can be read.
    """
    from contimg_resources.cutouts.places import stack_path
    from contimg_resources.cutouts.stacking import stack

    root = workshop.settings.layout.cutouts
    place, paths = stack_path(root, source_id), _fits_of(root, source_id, epochs)
    with _recorded(workshop, place, source_id, paths) as parameters:
        made = stack(paths, place)
        parameters |= {"cutouts": made.n_epochs, "rms_mjy": round(1e3 * made.rms_jy, 4)}
    return made


def animate_source(
    workshop: Workshop, source_id: str, epochs: Collection[str] | None = None
) -> tuple[Path, int]:
    """Animate the existing cutouts of a source; return the GIF and its number of frames.

    `epochs` limits them, by key.

    Raises
    ------
    CutoutFailed
        If there are none, or none can be read.
    PhotometryFailed
        If it was never measured on a mosaic.
    """
    from contimg_resources.cutouts.places import animation_path
    from contimg_resources.cutouts.stacking import FluxThen, animate
    from contimg_resources.photometry.light_curves import light_curve

    layout = workshop.settings.layout
    curve = light_curve(layout.photometry, source_id, "mosaic")
    fluxes = {
        str(epoch): FluxThen(float(flux), float(error))
        for epoch, flux, error in zip(curve.epoch, curve.flux_jy, curve.flux_error_jy, strict=True)
    }
    place = animation_path(layout.cutouts, source_id)
    paths = _fits_of(layout.cutouts, source_id, epochs)
    with _recorded(workshop, place, source_id, paths) as parameters:
        parameters["frames"] = n_frames = animate(paths, place, fluxes, _scale_of(curve))
    return place, n_frames


@contextmanager
def _recorded(
    workshop: Workshop, place: Path, source_id: str, cutouts: Sequence[Path]
) -> Iterator[dict[str, Any]]:
    """Record a product made from cutouts; its parameters are added to the given ones."""
    from contimg_resources.cutouts.places import png_beside

    name = _name_of(place)
    used = [found[1] for found in map(cutout_name, cutouts) if found is not None]
    inputs = inputs_from(workshop, DerivedKind.CUTOUT, used)
    workshop.products.derived.forget([name])
    parameters: dict[str, Any] = {"source": source_id}
    yield parameters
    png = png_beside(place)
    made = finished(
        *name,
        place,
        inputs=inputs,
        parameters=parameters,
        companions=[png] if png != place and png.is_file() else [],
    )
    workshop.products.derived.put([made])


def _fits_of(root: Path, source_id: str, epochs: Collection[str] | None) -> list[Path]:
    from contimg_resources.cutouts.model import shown_name
    from contimg_resources.cutouts.places import cutouts_of

    there = cutouts_of(root, source_id)
    found = [c.fits for c in there if epochs is None or c.epoch in epochs]
    if not found:
        raise CutoutFailed(
            f"there are no cutouts of {shown_name(source_id)} in {root}", source_id=source_id
        )
    return found


def _size_bytes(found: SourceCutouts) -> int:
    # An estimate: a picture is at most as large as its pixels.
    files = (found.directory / f"{epoch}.fits" for epoch in found.made)
    return 2 * sum(f.stat().st_size for f in files if f.is_file())


def _without_removed(found: SourceCutouts) -> SourceCutouts:
    return replace(found, pngs={k: png for k, png in found.pngs.items() if png.is_file()})


def _mosaics(workshop: Workshop) -> dict[str, MosaicRecord]:
    return {
        record.key: record
        for record in workshop.products.mosaics.list()
        if record.state is MosaicState.MADE
    }


def _cut_source(
    workshop: Workshop,
    source_id: str,
    mosaics: Mapping[str, MosaicRecord],
    start_mjd: float | None,
    end_mjd: float | None,
    progress: Progress,
    since_key_mjd: float | None = None,
    run_id: str = "",
) -> SourceCutouts:
    from contimg_resources.cutouts.cutting import CutoutOf, cut
    from contimg_resources.cutouts.model import shown_name
    from contimg_resources.cutouts.places import cutout_directory, cutout_path, png_beside
    from contimg_resources.photometry.light_curves import light_curve

    layout, size_arcmin = workshop.settings.layout, workshop.settings.cutouts.size_arcmin
    curve = light_curve(
        layout.photometry, source_id, "mosaic", start_mjd=start_mjd, end_mjd=end_mjd
    )
    ra_deg, dec_deg = float(curve.ra_deg[-1]), float(curve.dec_deg[-1])
    epochs = [
        (str(key), float(mid_mjd))
        for key, mid_mjd in zip(curve.epoch, curve.mid_mjd, strict=True)
        if key in mosaics and (since_key_mjd is None or epoch_mjd(key) >= since_key_mjd)
    ]
    paths = {key: cutout_path(layout.cutouts, source_id, key) for key, _ in epochs}
    scale = _scale_in_use(layout.cutouts, source_id, _scale_of(curve))
    made, kept, gone = [], [], []
    failed: dict[str, str] = {}
    ready: dict[str, Product] = {}
    names = {key: _name_of(place) for key, place in paths.items()}
    images = {k: MosaicFiles.in_directory(mosaics[k].directory, k).image for k in paths}
    store = workshop.products.derived
    known = store.checksums(DerivedKind.CUTOUT, [name[1] for name in names.values()])
    current: dict[str, CutoutFacts] = {}
    changing: list[str] = []
    for key, place in paths.items():
        with rejecting(failed, key):
            checksum = mosaics[key].checksum
            if facts := _current(place, checksum, ra_deg, dec_deg, size_arcmin):
                current[key] = facts
            if not _is_in_scale(place, scale) if facts else images[key].is_file():
                changing.append(key)
    # Their records go before their files change.
    store.forget(names[key] for key in changing if names[key][1] in known)
    for i, (key, _) in enumerate(epochs):
        progress(f"epoch {key}", i / len(epochs))
        place = paths[key]
        if key in failed:
            continue
        with rejecting(failed, key):
            if key in current:
                _in_scale(place, scale)
                kept.append(key)
                if key in changing or names[key][1] not in known:
                    ready[key] = _product(place, names[key][1], current[key], run_id)
                continue
            if not images[key].is_file():
                gone.append(key)
                continue
            of = CutoutOf(source_id, key, mosaics[key].checksum)
            facts = cut(images[key], ra_deg, dec_deg, size_arcmin, place, of, scale)
            made.append(key)
            ready[key] = _product(place, names[key][1], facts, run_id)
    store.put(list(ready.values()))
    if failed and not made and not kept:
        raise CutoutFailed(
            f"none of {len(failed)} mosaics gives a cutout of {shown_name(source_id)}: "
            + next(iter(failed.values())),
            source_id=source_id,
        )
    there = {*made, *kept}
    return SourceCutouts(
        source_id=source_id,
        directory=cutout_directory(layout.cutouts, source_id),
        made=tuple(made),
        kept=tuple(kept),
        gone=tuple(gone),
        failed=failed,
        pngs={(mjd, key): png_beside(paths[key]) for key, mjd in epochs if key in there},
    )


def _current(
    place: Path, checksum: str, ra_deg: float, dec_deg: float, size_arcmin: float
) -> "CutoutFacts | None":
    """Return the facts of a cutout that needn't be made again; None for all others."""
    from contimg_resources.cutouts.places import png_beside
    from contimg_resources.cutouts.reading import read_facts

    if not (place.is_file() and png_beside(place).is_file()):
        return None
    try:
        facts = read_facts(place)
    except CutoutFailed:
        return None
    return facts if facts.is_of(checksum, ra_deg, dec_deg, size_arcmin) else None


def _name_of(place: Path) -> tuple[DerivedKind, str]:
    name = cutout_name(place)
    assert name is not None
    return name


def _product(place: Path, key: str, facts: "CutoutFacts", run_id: str) -> Product:
    from contimg_resources.cutouts.places import png_beside

    return finished(
        DerivedKind.CUTOUT,
        key,
        place,
        mid_mjd=facts.mid_mjd,
        inputs={InputKind.MOSAIC: {facts.epoch: facts.image_checksum}},
        parameters={
            "source": facts.source_id,
            "mosaic": facts.epoch,
            "content of its image": facts.image_checksum,
            "side_arcmin": facts.size_arcmin,
            "rms_mjy": round(1e3 * facts.rms_jy, 4),
        },
        companions=[png_beside(place)],
        run_id=run_id,
    )


def _scale_of(curve: "LightCurve") -> "BrightnessScale":
    """Return the brightness scale that suits all epochs of a light curve."""
    from contimg_resources.cutouts.model import BrightnessScale

    good = np.isfinite(curve.flux_jy) & curve.epoch_ok.astype(bool)
    flux, rms = curve.flux_jy[good], curve.rms_jy[np.isfinite(curve.rms_jy)]
    # Not the maximum: one bad epoch would darken all others.
    return BrightnessScale.of(
        float(np.median(rms)) if rms.size else np.nan,
        float(np.quantile(flux, 0.98)) if flux.size else np.nan,
    )


def _scale_in_use(root: Path, source_id: str, wanted: "BrightnessScale") -> "BrightnessScale":
    """Return the scale of the existing pictures, unless the wanted scale differs by now."""
    from contimg_resources.cutouts.drawing import scale_of_picture
    from contimg_resources.cutouts.places import cutouts_of

    there = cutouts_of(root, source_id)
    used = scale_of_picture(there[-1].png) if there else None
    return used if used is not None and used.resembles(wanted) else wanted


def _is_in_scale(place: Path, scale: "BrightnessScale") -> bool:
    from contimg_resources.cutouts.drawing import scale_of_picture
    from contimg_resources.cutouts.places import png_beside

    return scale_of_picture(png_beside(place)) == scale


def _in_scale(place: Path, scale: "BrightnessScale") -> None:
    """Redraw a cutout when its picture has another scale."""
    from contimg_resources.cutouts.drawing import write_picture
    from contimg_resources.cutouts.places import png_beside
    from contimg_resources.cutouts.reading import read_cutout

    if not _is_in_scale(place, scale):
        cutout = read_cutout(place)
        whole_file(png_beside(place), lambda partial: write_picture(partial, cutout, scale))
