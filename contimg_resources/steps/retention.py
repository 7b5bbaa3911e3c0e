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

_CALIBRATED = (ArtefactKind.CALIBRATED_MS,)
_COMPANIONS = (ArtefactKind.RESIDUAL, ArtefactKind.PSF, ArtefactKind.PRIMARY_BEAM)
_IMAGES = (
    ArtefactKind.IMAGE,
    ArtefactKind.IMAGE_PBCOR,
    ArtefactKind.PNG,
    ArtefactKind.STATISTICS,
)
#: Name of the directory of a set solved by the platform; other directories belong to users.
_SOLVED_HERE = re.compile(r"[^.].*_\d{5}\.\d{5}\.v\d+", re.ASCII)

#: In these states an observation no longer needs its calibrated MS.
_DONE = (ObservationState.IMAGED, ObservationState.FAILED)


@dataclass(frozen=True)
class Removal:
    """A file or directory to remove."""

    path: Path  #: The file or directory.
    size_bytes: int  #: Its size, bytes.
    why: str  #: Why it is removed.
    made: Made | None = None  #: The product; None for files that no store names.


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
    return tuple(removed)


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
    return made.artefact.kind != ArtefactKind.CALIBRATED_MS or (
        made.state in _DONE and made.ms.is_dir()
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
    for root in (layout.calibrated, layout.images, layout.caltables, layout.mosaics,
                 layout.light_curves, layout.added_light_curves, layout.variability,
                 layout.candidates, layout.cutouts):  # fmt: skip
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
    known = workshop.products.known_paths(ArtefactKind.CALIBRATED_MS)
    for path in _older(layout.calibrated, "*/*_cal.ms", _DAY_S):
        if path not in known:
            yield Removal(path, _size(path), "calibrated MS without an observation")


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
