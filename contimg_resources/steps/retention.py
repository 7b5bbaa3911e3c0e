"""Remove data older than the retention limits, or earlier when disk space is low.

Belongs here: choosing files, and removing them so that no store names missing files.
Doesn't: Dagster's runs and partition keys (see `contimg_assets.retention`), and registered
caltables: those are small, and part of the provenance of every product.

The row of a product is removed before its files: an interrupt between the two leaves orphaned
files, which are found and removed a day later.
"""

import math
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_size_bytes
from contimg_resources.core.disk_space import free_bytes, fullness
from contimg_resources.core.errors import DiskShort
from contimg_resources.core.trees import remove_tree
from contimg_resources.database import now_mjd
from contimg_resources.products.model import ArtefactKind, Made, ObservationState
from contimg_resources.settings import RetentionSettings, Settings
from contimg_resources.steps.disk_space import give_up_reserve
from contimg_resources.steps.workshop import Workshop

STEP = "housekeeping"

_GB = 1e9
_HOUR_S = 3600.0
_DAY_S = 86_400.0

#: MS that can be made again from what arrived.
_CALIBRATED = (ArtefactKind.CALIBRATED_MS, ArtefactKind.MEASUREMENT_SET)
_COMPANIONS = (
    ArtefactKind.RESIDUAL,
    ArtefactKind.PSF,
    ArtefactKind.PRIMARY_BEAM,
    ArtefactKind.SUB_BAND_PRIMARY_BEAM,
)
_IMAGES = (
    ArtefactKind.IMAGE,
    ArtefactKind.IMAGE_PBCOR,
    ArtefactKind.SUB_BAND_IMAGE,
    ArtefactKind.PNG,
    ArtefactKind.STATISTICS,
)
#: Name of the directory of a set solved by the platform; other directories belong to users.
_SOLVED_HERE = re.compile(r"[^.].*_\d{5}\.\d{5}\.v\d+", re.ASCII)

_WORDS = {
    ArtefactKind.CALIBRATED_MS: "calibrated MS",
    ArtefactKind.MEASUREMENT_SET: "MS made of sub-bands",
}

#: In these states an observation no longer needs its calibrated MS.
_DONE = (ObservationState.IMAGED, ObservationState.FAILED)


@dataclass(frozen=True)
class Removal:
    """A file or directory to remove."""

    path: Path  #: The file or directory.
    size_bytes: int  #: Its size, bytes.
    why: str  #: Why it is removed.
    made: Made | None = None  #: The product; None for other files.
    key: str = ""  #: Partition key of the observation of a sub-band file; empty for other files.


def choose_removals(
    workshop: Workshop, *, busy: Collection[str] = (), at_mjd: float | None = None
) -> tuple[Removal, ...]:
    """Choose the files to remove now, starting with products beyond their age limit.

    `busy` are partition keys of observations in progress: none of their products is removed.
    `at_mjd` is the present, MJD in days.
    """
    now = now_mjd() if at_mjd is None else at_mjd
    retention = workshop.settings.retention
    chosen = [r for r in _old(workshop, retention, now) if _of(r).key not in busy]
    chosen += _left_behind(workshop, retention)
    chosen += [r for r in _sub_bands(workshop, now) if r.key not in busy]
    missing_bytes = (
        retention.free_gb * _GB
        - free_bytes(workshop.settings.state)
        - sum(r.size_bytes for r in chosen)
    )
    if missing_bytes <= 0:
        return tuple(chosen)
    known = {r.path for r in chosen}
    for removal in _for_room(workshop, retention, now):
        if missing_bytes <= 0:
            break
        if removal.path not in known and _of(removal).key not in busy:
            chosen.append(removal)
            missing_bytes -= removal.size_bytes
    return tuple(chosen)


def remove(
    workshop: Workshop, removals: Sequence[Removal], *, progress: Progress = no_progress
) -> tuple[Removal, ...]:
    """Remove files, and return the removed ones; the row of a product is removed before its files.

    A product that was remade since it was chosen stays.
    """
    removed = []
    for number, removal in enumerate(removals):
        progress(f"removing {removal.path}", number / len(removals))
        made = removal.made
        if made is not None and not workshop.products.forget_artefact(
            made.key, made.artefact, step=STEP, reason=removal.why
        ):
            continue
        with suppress(OSError):
            # Files that can't be removed are found again the next day.
            _delete(removal.path)
            removed.append(removal)
    for key, why in {r.key: r.why for r in removed if r.key}.items():
        n = sum(r.key == key for r in removed)
        workshop.products.sub_bands.note(key, STEP, f"{n} sub-band files removed: {why}")
    return tuple(removed)


def _sub_bands(workshop: Workshop, now: float) -> Iterator[Removal]:
    """Find the sub-band files of observations that were imaged long ago, if they are to go.

    Only files in the watched directory itself, as they arrived, while the image is there.
    """
    days, directory = workshop.settings.uvh5.retention_days, workshop.settings.incoming_uvh5_dir
    if days is None or not directory.is_dir():
        return
    paths = [p for p in directory.absolute().iterdir() if p.is_file() and not p.is_symlink()]
    for key, file, image in workshop.products.sub_bands.imaged(paths, before_mjd=now - days):
        if file.is_unchanged and image.is_file():
            why = f"its observation was imaged more than {days:g} d ago (uvh5.retention_days)"
            yield Removal(file.path, file.size_bytes, why, key=key)


def _old(workshop: Workshop, retention: RetentionSettings, now: float) -> Iterator[Removal]:
    for days, kinds in (
        (retention.calibrated_ms_days, _CALIBRATED),
        (retention.companion_days, _COMPANIONS),
        (retention.image_days, _IMAGES),
    ):
        if days is not None:
            for made in workshop.products.made_before(now - days, kinds):
                if _may_go(made, workshop.settings.state):
                    yield _removal(made, f"made more than {days:g} d ago")


def _for_room(workshop: Workshop, retention: RetentionSettings, now: float) -> Iterator[Removal]:
    why = f"less than {retention.free_gb:g} GB were free"
    for kinds in (_CALIBRATED, _COMPANIONS):
        for made in workshop.products.made_before(now, kinds):
            if _may_go(made, workshop.settings.state):
                yield _removal(made, why)


def _may_go(made: Made, state: Path) -> bool:
    # Files outside the state directory belong to users. The last copy of the data, and the input
    # of the next step, stay.
    if not made.artefact.path.is_relative_to(state):
        return False
    return made.artefact.kind not in _CALIBRATED or (
        made.state in _DONE and all(path.exists() for path in made.inputs)
    )


def _removal(made: Made, why: str) -> Removal:
    return Removal(made.artefact.path, made.artefact.size_bytes, why, made)


def _of(removal: Removal) -> Made:
    assert removal.made is not None
    return removal.made


def free_without_stores(settings: Settings) -> tuple[Removal, ...]:
    """Free space on a full disk without opening a store, which a full disk doesn't allow.

    Returns
    -------
    tuple of Removal
        Removed files: those of killed steps in scratch, and the reserve if that wasn't enough;
        empty when the disk isn't full.

    Raises
    ------
    DiskShort
        If the disk is still full.
    """
    removed: list[Removal] = []
    if fullness(settings.state):
        for removal in _left_in_scratch(settings):
            with suppress(OSError):
                _delete(removal.path)
                removed.append(removal)
    if fullness(settings.state) and (size_bytes := give_up_reserve(settings)):
        removed.append(Removal(settings.layout.reserve, size_bytes, "kept for a full disk"))
    if full := fullness(settings.state):
        raise DiskShort(
            f"{full}, and nothing in {settings.state} can be removed without opening the stores, "
            "which needs some space: remove or move something else there, a megabyte is enough, "
            "then run `contimg housekeeping`",
            path=str(settings.state),
        )
    return tuple(removed)


def _left_in_scratch(settings: Settings) -> Iterator[Removal]:
    hours = settings.retention.scratch_h
    for path in _older(settings.layout.scratch, "*", hours * _HOUR_S):
        yield Removal(path, _size(path), f"left in scratch for more than {hours:g} h")


def _left_behind(workshop: Workshop, retention: RetentionSettings) -> Iterator[Removal]:
    """Find orphaned files: those of killed steps and of interrupted removals."""
    layout = workshop.settings.layout
    yield from _left_in_scratch(workshop.settings)
    for path in _older(layout.logs, "*.log", retention.run_days * _DAY_S):
        yield Removal(path, _size(path), f"log older than {retention.run_days:g} d")
    sums_days = workshop.settings.mosaics.sums_days
    for path in _older(layout.mosaics, "*/*/*.sums.npy", sums_days * _DAY_S):
        yield Removal(path, _size(path), f"running sums of a mosaic, older than {sums_days:g} d")
    for root in (layout.measurement_sets, layout.calibrated, layout.images, layout.caltables,
                 layout.mosaics, layout.light_curves, layout.added_light_curves,
                 layout.variability, layout.candidates, layout.cutouts):  # fmt: skip
        for pattern in (".*.partial", "*/.*.partial", ".*.old", "*/.*.old"):
            for path in _older(root, pattern, _DAY_S):
                yield Removal(path, _size(path), "unfinished for more than a day")
    sets = workshop.registry.list_sets()
    registered = {t.path.parent for s in sets for t in s.tables}
    # A failed solve without any table may have left plots.
    registered |= {layout.caltable_set(s.name, s.version) for s in sets if not s.tables}
    for path in _older(layout.caltables, "*", _DAY_S):
        if _SOLVED_HERE.fullmatch(path.name) and path not in registered:
            yield Removal(path, _size(path), "caltables that were never registered")
    for kind, root, pattern in (
        (ArtefactKind.CALIBRATED_MS, layout.calibrated, "*/*_cal.ms"),
        (ArtefactKind.MEASUREMENT_SET, layout.measurement_sets, "*/*.ms"),
    ):
        known = workshop.products.known_paths(kind)
        for path in _older(root, pattern, _DAY_S):
            if path not in known:
                yield Removal(path, _size(path), f"{_WORDS[kind]} without an observation")


def _older(root: Path, pattern: str, seconds: float) -> list[Path]:
    """Return the paths under a directory that are older than a limit, without links."""
    limit = time.time() - seconds
    return [path for path in sorted(root.glob(pattern)) if _last_touched_s(path) < limit]


def _last_touched_s(path: Path) -> float:
    try:
        return math.inf if path.is_symlink() else path.stat().st_mtime
    except OSError:
        # It is gone, or may not be read.
        return math.inf


def _size(path: Path) -> int:
    try:
        return content_size_bytes(path)
    except OSError:
        return 0


def _delete(path: Path) -> None:
    if path.is_dir():
        remove_tree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
