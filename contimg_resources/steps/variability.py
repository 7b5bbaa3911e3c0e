"""Light curves and variability of a UTC day."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_file
from contimg_resources.database import now_mjd
from contimg_resources.products.derived import DerivedKind, InputKind
from contimg_resources.products.epochs import EpochKind
from contimg_resources.steps.origin import software
from contimg_resources.steps.recording import finished
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.model import Variability

# Modules that compute are imported where they are used: callers that only list open work don't
# need them.


#: The middle of a mosaic of a day is at most this far outside it, days.
_NEAR_DAYS = 0.5
#: Largest distance between a mosaic's mid-time and a transit in it that falls on another day, days.
_BESIDE_DAYS = 0.05


@dataclass(frozen=True)
class DayOfPoints:
    """The light-curve measurements of one day."""

    day_mjd: int  #: The UTC day, integer MJD.
    path: Path | None  #: Their file; None when there are none.
    checksum: str  #: Checksum of the file; empty without a file.
    n_points: int  #: Number of light-curve measurements: one for each transit of a source.
    n_measurements: int  #: Number of good mosaic measurements that they were chosen from.
    n_mosaics: int  #: Number of mosaics with these.


@dataclass(frozen=True)
class DayOfVariability:
    """Variability up to the end of one day."""

    day_mjd: int  #: The UTC day, integer MJD.
    path: Path  #: Table of variability metrics.
    png: Path  #: Plot of the eta-V plane.
    patterns_png: Path  #: Plot of the annual and daily patterns of the references.
    checksum: str  #: Checksum of the table.
    table: "Variability"  #: The variability metrics.
    n_points: int  #: Number of measurements that they are computed from.


def update_light_curves(
    workshop: Workshop, day_mjd: int, *, run_id: str = "", progress: Progress = no_progress
) -> DayOfPoints:
    """Make the light-curve measurements of a day from its mosaics.

    A mosaic whose measurements can't be read is skipped; `progress` receives the reason.
    """
    from contimg_resources.variability.points import gather_day, write_points

    layout = workshop.settings.layout
    progress("choosing the measurements of the day", 0.0)
    known = {
        epoch.epoch: epoch.checksum
        for epoch in workshop.products.mosaics.list_epochs(
            EpochKind.MOSAIC, start_mjd=day_mjd - _NEAR_DAYS, end_mjd=day_mjd + 1 + _NEAR_DAYS
        )
    }
    points = gather_day(layout.photometry, day_mjd)
    for why in points.damaged.values():
        progress(f"skipped a mosaic's measurements: {why}", None)
    store, kind, key = workshop.products.derived, DerivedKind.LIGHT_CURVES, str(day_mjd)
    store.forget([(kind, key)])
    path = write_points(layout.light_curves, points, software())
    checksum = ""
    if path is not None:
        made = finished(
            kind,
            key,
            path,
            mid_mjd=day_mjd + 0.5,
            inputs={InputKind.MEASUREMENTS: {e: known.get(e, "") for e in points.epochs}},
            parameters={
                "day_mjd": day_mjd,
                "mosaics": list(points.epochs),
                "n_points": len(points),
                "n_measurements": points.n_measurements,
            },
            run_id=run_id,
        )
        store.put([made])
        checksum = made.checksum
    return DayOfPoints(
        day_mjd=day_mjd,
        path=path,
        checksum=checksum,
        n_points=len(points),
        n_measurements=points.n_measurements,
        n_mosaics=len(points.epochs),
    )


def changed_days(workshop: Workshop) -> tuple[int, ...]:
    """Return the days whose light curves are missing or older than their mosaics' measurements.

    Light curves without a record, which an earlier contimg made, count as older. Only days within
    the span of the variability metrics; integer MJD, ascending.
    """
    from contimg_resources.variability.points import points_path

    last_change: dict[int, float] = {}
    good: set[int] = set()
    first_mjd, today = now_mjd() - workshop.settings.variability.days, math.floor(now_mjd())
    for epoch in workshop.products.mosaics.list_epochs(EpochKind.MOSAIC, start_mjd=first_mjd):
        # A transit of one day may be in a mosaic whose mid-time is on the day before or after.
        for day in {math.floor(epoch.mid_mjd + off) for off in (-_BESIDE_DAYS, 0.0, _BESIDE_DAYS)}:
            last_change[day] = max(last_change.get(day, 0.0), epoch.created_mjd)
        if epoch.epoch_ok:
            good.add(math.floor(epoch.mid_mjd))
    root = workshop.settings.layout.light_curves
    made_mjd = workshop.products.derived.created(DerivedKind.LIGHT_CURVES)
    changed = []
    for day, change_mjd in sorted(last_change.items()):
        if points_path(root, day).is_file():
            if made_mjd.get(str(day), -math.inf) < change_mjd:
                changed.append(day)
        elif day in good and day < today:
            changed.append(day)
    return tuple(changed)


def measure_day(
    workshop: Workshop, day_mjd: int, *, run_id: str = "", progress: Progress = no_progress
) -> DayOfVariability:
    """Compute the variability metrics of every source up to the end of a day.

    A day whose file of measurements can't be read is skipped; `facts.unreadable_days` of the
    table has the reason. Once the file is removed, the next run remakes it.
    """
    from contimg_resources.variability.cards import draw_plane
    from contimg_resources.variability.intrinsic import with_intrinsic
    from contimg_resources.variability.measuring import measure_variability
    from contimg_resources.variability.points import days_between, points_path, read_points
    from contimg_resources.variability.systematics import draw_systematics, measure_systematics
    from contimg_resources.variability.tables import variability_path, write_variability

    layout, settings = workshop.settings.layout, workshop.settings.variability
    progress("reading light curves", 0.0)
    root, first_mjd = layout.light_curves, day_mjd + 1 - settings.days
    # Before they are read: a day that is made again meanwhile makes the metrics stale.
    known = workshop.products.derived.checksums(DerivedKind.LIGHT_CURVES)
    damaged: dict[str, str] = {}
    curves = read_points(root, start_mjd=first_mjd, end_mjd=day_mjd + 1, damaged=damaged)
    progress(f"measuring {len(curves)} sources", 0.3)
    table = measure_variability(curves, settings, day_mjd)
    progress("measuring annual and daily patterns", 0.4)
    systematics = measure_systematics(curves, settings.min_epochs)
    progress("fitting intrinsic variability", 0.5)
    table, structure = with_intrinsic(table, systematics.removed_from(curves), settings.min_epochs)
    facts = replace(
        table.facts,
        n_points=len(curves.mid_mjd),
        settings=settings.model_dump(),
        software=software(),
        systematics=systematics.facts,
        unreadable_days=damaged,
    )
    table = replace(table, facts=facts)
    path = variability_path(layout.variability, day_mjd)
    store, kind, key = workshop.products.derived, DerivedKind.VARIABILITY, str(day_mjd)
    store.forget([(kind, key)])
    beside = write_variability(path, table, structure)
    png = path.with_suffix(".png")
    progress("drawing", 0.8)
    whole_file(png, lambda partial: draw_plane(partial, table))
    patterns = path.with_name(f"{path.stem}.systematics.png")
    whole_file(patterns, lambda partial: draw_systematics(partial, systematics))
    days = days_between(root, first_mjd, day_mjd + 1)
    read = [str(day) for day in days if points_path(root, day).name not in damaged]
    made = finished(
        kind,
        key,
        path,
        mid_mjd=day_mjd + 0.5,
        inputs={DerivedKind.LIGHT_CURVES: {day: known.get(day, "") for day in read}},
        parameters=metrics_parameters(table),
        companions=[png, patterns, beside],
        run_id=run_id,
    )
    store.put([made])
    return DayOfVariability(
        day_mjd=day_mjd,
        path=path,
        png=png,
        patterns_png=patterns,
        checksum=made.checksum,
        table=table,
        n_points=len(curves.mid_mjd),
    )


def metrics_parameters(table: "Variability") -> dict[str, Any]:
    """Return the facts of variability metrics that their record shows: those that are known."""
    facts = table.facts
    floor = facts.systematic_floor
    shown = {
        "added_list": facts.added_list,
        "day_mjd": facts.day_mjd,
        "systematic_floor": floor if math.isfinite(floor) else None,
        "n_references": facts.n_references,
        "systematics": facts.systematics or None,
        "n_points": facts.n_points,
        "settings": facts.settings,
        "unreadable_days": facts.unreadable_days or None,
    }
    return {name: value for name, value in shown.items() if value is not None}
