"""Bring the maps of the sky up to date from the products store.

Belongs here: which mosaics are in which map, the list of maps, their records. Doesn't: tiles (see
`contimg_resources.mosaics.sky_map`), serving them.
"""

import fcntl
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import ExportFailed
from contimg_resources.core.surroundings import published
from contimg_resources.core.times import mjd_day, utc_day
from contimg_resources.core.trees import remove_tree
from contimg_resources.dashboard import MAPS, SKY
from contimg_resources.export.directory import opened
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.derived import DerivedKind, InputKind, Inputs
from contimg_resources.products.epochs import EpochKind, MosaicRecord, MosaicState
from contimg_resources.steps.disk_space import shortage, unwritable
from contimg_resources.steps.recording import finished
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.mosaics.sky_map import SkyInput, SkyLayer, UpdatedLayer

DEEP = "deep"
_NIGHT = "night-"
#: Mosaics change through late images within a day.
_SETTLED_DAYS = 1.0


@dataclass(frozen=True)
class MappedSky:
    """The maps after an update."""

    directory: Path  #: Directory of the maps, one in each directory.
    layers: "tuple[UpdatedLayer, ...]"  #: The maps: the deep one, then the nights, latest first.
    removed: tuple[str, ...]  #: Maps of earlier nights that were removed.
    n_mosaics: int  #: Number of mosaics in the deep map.
    skipped: str = ""  #: Why nothing was done; else empty.

    @property
    def n_made(self) -> int:
        """Number of tiles that were made."""
        return sum(layer.n_made for layer in self.layers)

    @property
    def n_left(self) -> int:
        """Number of tiles that the next update makes."""
        return sum(layer.n_left for layer in self.layers)


def map_sky(
    workshop: Workshop,
    *,
    run_id: str = "",
    progress: Progress = no_progress,
    budget_s: float | None = None,
) -> MappedSky:
    """Bring the maps of the sky up to date: tiles whose mosaics are unchanged stay as they are.

    The maps are in ``sky`` of the export directory; they contain the mosaics that passed their
    checks. `budget_s` replaces the setting `sky.budget_min`.

    Raises
    ------
    ExportFailed
        If the directory holds something else, or can't be written.
    """
    settings = workshop.settings
    # Maps can wait; the run that also exports the documents must not.
    if why := shortage(settings) or unwritable(settings):
        return MappedSky(settings.export_dir / SKY, (), (), 0, why)
    with published(), opened(settings.export_dir) as held:
        root = held.root / SKY
        root.mkdir(exist_ok=True)
    deadline = time.monotonic() + (settings.sky.budget_min * 60 if budget_s is None else budget_s)
    try:
        with published(), (root / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A slow update and the next one, which comes by the clock.
                return MappedSky(root, (), (), 0, "another update is writing")
            layers = _layers(workshop)
            # The nights first: they have few tiles, and people wait for them.
            found = {
                layer.name: _updated(workshop, root, layer, run_id, progress, deadline)
                for layer in (*layers[1:], *layers[:1])
            }
            updated = tuple(found[layer.name] for layer in layers)
            removed = _remove_others(workshop, root, {layer.name for layer in layers})
            _list(root, layers, updated)
    except OSError as error:
        raise ExportFailed(
            f"the maps of the sky can't be written into {root}: {error.strerror or error}",
            path=str(root),
        ) from error
    return MappedSky(root, updated, removed, len(layers[0].inputs) if layers else 0)


def _layers(workshop: Workshop) -> "list[SkyLayer]":
    """Return the maps that there should be; none without a mosaic."""
    # It loads numpy's and astropy's readers, which callers that find nothing to do don't need.
    from contimg_resources.mosaics.sky_map import SkyLayer

    store, pace = workshop.products.mosaics, workshop.settings.sky
    bad = {e.epoch for e in store.list_epochs(EpochKind.MOSAIC) if not e.epoch_ok}
    made = [m for m in store.list() if m.state is MosaicState.MADE and m.key not in bad]
    inputs = [one for m in made if (one := _input(m)).image.is_file() and one.sigma.is_file()]
    if not inputs or not pace.made:
        return []
    settled_mjd = inputs[-1].mid_mjd - _SETTLED_DAYS
    days = sorted({mjd_day(one.mid_mjd) for one in inputs}, reverse=True)[: pace.nights]
    return [
        SkyLayer(DEEP, "all mosaics", tuple(inputs), settled_mjd),
        *(
            SkyLayer(
                f"{_NIGHT}{day}",
                f"night of {utc_day(day)}",
                tuple(one for one in inputs if mjd_day(one.mid_mjd) == day),
                # A night has few mosaics: no sums are kept.
                -1.0,
            )
            for day in days
        ),
    ]


def _input(mosaic: MosaicRecord) -> "SkyInput":
    from contimg_resources.mosaics.sky_map import SkyInput

    files = MosaicFiles.in_directory(mosaic.directory, mosaic.key)
    rms_mjy = mosaic.statistics.rms_mjy
    rms_jy = 1e-3 * rms_mjy if rms_mjy > 0 else 0.0
    return SkyInput(mosaic.key, mosaic.mid_mjd, mosaic.checksum, files.image, files.sigma, rms_jy)


def _updated(
    workshop: Workshop,
    root: Path,
    layer: "SkyLayer",
    run_id: str,
    progress: Progress,
    deadline: float,
) -> "UpdatedLayer":
    from contimg_resources.mosaics.sky_map import TILES, update_layer

    derived, place = workshop.products.derived, root / layer.name
    inputs: Inputs = {InputKind.MOSAIC: {one.key: one.checksum for one in layer.inputs}}
    found = update_layer(
        place,
        layer,
        workshop.settings.sky.max_order,
        is_late=lambda: time.monotonic() > deadline,
        before_change=lambda: derived.forget([(DerivedKind.SKY_MAP, layer.name)]),
        progress=progress,
    )
    if derived.get(DerivedKind.SKY_MAP, layer.name) is None:
        parameters = {"tiles": found.n_tiles, "left": found.n_left, "title": layer.title}
        derived.put(
            [
                finished(
                    DerivedKind.SKY_MAP,
                    layer.name,
                    place / TILES,
                    inputs=inputs,
                    parameters=parameters,
                    run_id=run_id,
                )
            ]
        )
    return found


def _remove_others(workshop: Workshop, root: Path, names: set[str]) -> tuple[str, ...]:
    """Remove the maps of earlier nights."""
    others = sorted(p.name for p in root.glob(f"{_NIGHT}[0-9]*") if p.name not in names)
    workshop.products.derived.forget((DerivedKind.SKY_MAP, name) for name in others)
    for name in others:
        remove_tree(root / name)
    return tuple(others)


def _list(root: Path, layers: "list[SkyLayer]", updated: "tuple[UpdatedLayer, ...]") -> None:
    """Write the list of maps for the dashboard."""
    content = [
        {
            "name": layer.name,
            "title": layer.title,
            "n_mosaics": len(layer.inputs),
            "n_tiles": found.n_tiles,
            "n_left": found.n_left,
            "sky_fraction": found.sky_fraction,
        }
        for layer, found in zip(layers, updated, strict=True)
    ]
    text = json.dumps(content, indent=1)
    place = root / MAPS
    if not place.is_file() or place.read_text() != text:
        whole_file(place, lambda partial: partial.write_text(text))
