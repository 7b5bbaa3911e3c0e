"""Provenance that files hold themselves: cutouts, light curves, variability metrics, cards.

Belongs here: reading it from the file, and comparing it with the stores. Doesn't: products and
tables with a checksum (see `.provenance`).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contimg_resources.core.errors import ProductsError, VariabilityFailed
from contimg_resources.core.keys import parse_day_name
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.dips import known_values
from contimg_resources.products.epochs import EpochKind, MosaicState
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.model import VariabilityFacts

CUTOUT, LIGHT_CURVES, VARIABILITY, CARD = "cutout", "light_curves", "variability", "candidate"
ADDED = "added_light_curves"


@dataclass(frozen=True)
class SelfTold:
    """Provenance that a file holds itself.

    Parameters
    ----------
    kind : str
        ``cutout``, ``light_curves``, ``added_light_curves``, ``variability`` or ``candidate``.
    facts : dict
        Facts from the file.
    made_from : tuple of Path
        Files that it was made from.
    stale : str
        Why it is stale; empty: it isn't, or this is not known.
    """

    kind: str
    facts: dict[str, Any]
    made_from: tuple[Path, ...] = ()
    stale: str = ""


def self_told(workshop: Workshop, path: Path) -> SelfTold | None:
    """Return the provenance that a file holds itself; None for other kinds of files.

    Parameters
    ----------
    workshop : Workshop
        Settings and stores.
    path : Path
        The file, or the picture beside it.

    Raises
    ------
    CutoutFailed, UnreadableMeasurements
        If it is damaged.
    """
    layout = workshop.settings.layout
    parent = path.resolve().parent
    if parent.parent == layout.cutouts.resolve():
        return _of_cutout(workshop, path)
    if path.suffix == ".parquet" and parent == layout.light_curves.resolve():
        return _of_points(workshop, path)
    if path.suffix == ".parquet" and parent == layout.added_light_curves.resolve():
        return _of_list(workshop, path)
    if path.suffix == ".parquet" and parent == (layout.variability / "added").resolve():
        return _of_metrics_of_list(workshop, path)
    if path.suffix in (".parquet", ".png") and parent == layout.variability.resolve():
        return _of_measures(workshop, path.with_suffix(".parquet"))
    if path.suffix == ".png" and parent == layout.candidates.resolve():
        return _of_card(workshop, path)
    return None


def _of_cutout(workshop: Workshop, path: Path) -> SelfTold | None:
    from contimg_resources.cutouts.places import epoch_of
    from contimg_resources.cutouts.reading import read_facts

    if (named := epoch_of(path.name)) is None:
        return None
    facts = read_facts(path.with_name(f"{named[0]}.fits"))
    told = {
        "source": facts.source_id,
        "mosaic": facts.epoch,
        "content of its image": facts.image_checksum,
        "side_arcmin": facts.size_arcmin,
        "rms_mjy": round(1e3 * facts.rms_jy, 4),
    }
    image, stale = _mosaic_now(workshop, facts.epoch, facts.image_checksum)
    return SelfTold(CUTOUT, told, image, stale)


def _mosaic_now(workshop: Workshop, key: str, checksum: str) -> tuple[tuple[Path, ...], str]:
    try:
        record = workshop.products.mosaics.get(key)
    except ProductsError:
        return (), "its mosaic is no longer in the store"
    image = MosaicFiles.in_directory(record.directory, key).image
    if record.state is not MosaicState.MADE:
        return (image,), f"its mosaic is {record.state.value}"
    made_again = record.checksum != checksum
    return (image,), f"its mosaic was made again: {record.checksum}" if made_again else ""


def _of_points(workshop: Workshop, path: Path) -> SelfTold:
    from contimg_resources.variability.points import read_point_facts

    facts = read_point_facts(path)
    files, gone = [], []
    for key in facts.epochs:
        record = workshop.products.mosaics.find_epoch(key, EpochKind.MOSAIC)
        if record is None:
            gone.append(key)
        else:
            files.append(record.path)
    told: dict[str, Any] = {"day_mjd": facts.day_mjd, "mosaics": list(facts.epochs)}
    if facts.software:
        told["software"] = facts.software
    lost = f"the store no longer holds the measurements of {', '.join(gone)}" if gone else ""
    return SelfTold(LIGHT_CURVES, told, tuple(files), lost)


def _of_list(workshop: Workshop, path: Path) -> SelfTold:
    from contimg_resources.core.checksums import content_checksum
    from contimg_resources.core.times import isot_from_mjd
    from contimg_resources.variability.added import read_added_facts

    facts = read_added_facts(workshop.settings.layout.added_light_curves, path.stem)
    changed = [
        f.path
        for f in facts.files
        if Path(f.path).is_file() and content_checksum(Path(f.path)) != f.checksum
    ]
    told = {
        "list": facts.name,
        "added": isot_from_mjd(facts.added_mjd),
        "sources": facts.n_sources,
        "measurements": facts.n_points,
        "files": {f.path: f.checksum for f in facts.files},
        "read_as": {f.path: f.read_as for f in facts.files},
        "software": facts.software,
    }
    stale = f"changed since it was added: {', '.join(changed)}" if changed else ""
    return SelfTold(ADDED, told, (), stale)


def _of_metrics_of_list(workshop: Workshop, path: Path) -> SelfTold:
    from contimg_resources.variability.added import added_path
    from contimg_resources.variability.tables import read_variability

    facts = read_variability(path).facts
    told = {"added_list": facts.added_list, **_shown(facts)}
    made_from = added_path(workshop.settings.layout.added_light_curves, path.stem)
    return SelfTold(VARIABILITY, told, (made_from,))


def _of_measures(workshop: Workshop, path: Path) -> SelfTold:
    from contimg_resources.variability.tables import read_variability

    facts = read_variability(path).facts
    day_mjd = parse_day_name(path.stem) if facts.day_mjd is None else facts.day_mjd
    files = _points_up_to(workshop, day_mjd, facts.settings.get("days"))
    return SelfTold(VARIABILITY, {"day_mjd": day_mjd, **_shown(facts)}, files)


def _shown(facts: "VariabilityFacts") -> dict[str, Any]:
    return {
        "systematic_floor": facts.systematic_floor
        if math.isfinite(facts.systematic_floor)
        else None,
        "n_references": facts.n_references,
        "n_points": facts.n_points,
        "settings": facts.settings,
        "software": facts.software,
    }


def _of_card(workshop: Workshop, path: Path) -> SelfTold | None:
    try:
        candidate = workshop.products.events.candidate(path.stem)
    except VariabilityFailed:
        return None
    marks = workshop.products.events.list_marks(candidate.id)
    told: dict[str, Any] = {
        "source": candidate.source_id,
        "state": candidate.state.value,
        "score": round(candidate.score, 1),
        **{
            name: value
            for name, value in known_values(candidate.parameters)
            if name in ("threshold", "template", "depth", "width_days")
        },
        "marks": ", ".join(f"{m.mark.value} by {m.by}" for m in marks) or "none",
        "searched up to day": candidate.searched_day,
        "run": candidate.run_id or "the command line",
    }
    if candidate.added_list is not None:
        from contimg_resources.variability.added import added_path

        root = workshop.settings.layout.added_light_curves
        return SelfTold(CARD, told, (added_path(root, candidate.added_list),))
    return SelfTold(CARD, told, _points_up_to(workshop, candidate.searched_day))


def _points_up_to(workshop: Workshop, day_mjd: int, days: float | None = None) -> tuple[Path, ...]:
    from contimg_resources.variability.points import days_between, points_path

    root = workshop.settings.layout.light_curves
    span = workshop.settings.variability.days if days is None else days
    return tuple(
        points_path(root, day) for day in days_between(root, day_mjd + 1 - span, day_mjd + 1)
    )
