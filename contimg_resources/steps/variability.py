"""Light curves and variability of a UTC day."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.directories import whole_file
from contimg_resources.database import mjd_from_unix_s, now_mjd
from contimg_resources.products.epochs import EpochKind
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.model import Variability

# What computes is imported where it is used: whoever only asks what there is to do needn't load it.


#: The middle of a mosaic is at most so far from the passages in it that matter for another day.
_BESIDE_DAYS = 0.05


@dataclass(frozen=True)
class DayOfPoints:
    """The light curves' points of one day.

    Parameters
    ----------
    day_mjd : int
        The UTC day, integer MJD.
    path : Path or None
        Their file; None when there is no point.
    checksum : str
        Of the file; empty without one.
    n_points : int
        Points, which is sources that passed and were measured.
    n_measurements : int
        Good measurements that they were chosen from.
    n_mosaics : int
        Mosaics of these.
    """

    day_mjd: int
    path: Path | None
    checksum: str
    n_points: int
    n_measurements: int
    n_mosaics: int


@dataclass(frozen=True)
class DayOfVariability:
    """Variability up to the end of one day.

    Parameters
    ----------
    day_mjd : int
        The UTC day, integer MJD.
    path, png : Path
        Measures, and the plane of eta and V, drawn.
    checksum : str
        Of the measures.
    table : Variability
        The measures.
    n_points : int
        Points that they are of.
    """

    day_mjd: int
    path: Path
    png: Path
    checksum: str
    table: "Variability"
    n_points: int


def update_light_curves(
    workshop: Workshop, day_mjd: int, *, progress: Progress = no_progress
) -> DayOfPoints:
    """Make the points of a day from the measurements of its mosaics, and of no others.

    A mosaic whose measurements can't be read is left out; `progress` is told the reason.
    """
    from contimg_resources.variability.passages import gather_day
    from contimg_resources.variability.points import write_points

    layout = workshop.settings.layout
    progress("choosing the points of the day", 0.0)
    points = gather_day(layout.photometry, day_mjd)
    for why in points.damaged.values():
        progress(f"without a mosaic's measurements: {why}", None)
    path = write_points(layout.light_curves, points, {"software": software()})
    return DayOfPoints(
        day_mjd=day_mjd,
        path=path,
        checksum="" if path is None else content_checksum(path),
        n_points=len(points),
        n_measurements=points.n_measurements,
        n_mosaics=len(points.epochs),
    )


def changed_days(workshop: Workshop) -> tuple[int, ...]:
    """Return the days that have points, or should, but whose mosaics were measured again since.

    Only of the days that measures are of; integer MJD, rising.
    """
    from contimg_resources.variability.points import points_path

    last_change: dict[int, float] = {}
    good: set[int] = set()
    first_mjd, today = now_mjd() - workshop.settings.variability.days, math.floor(now_mjd())
    for epoch in workshop.products.mosaics.list_epochs(EpochKind.MOSAIC, start_mjd=first_mjd):
        # A passage of the day may be in a mosaic whose middle is in the next, and the other way.
        for day in {math.floor(epoch.mid_mjd + off) for off in (-_BESIDE_DAYS, 0.0, _BESIDE_DAYS)}:
            last_change[day] = max(last_change.get(day, 0.0), epoch.created_mjd)
        if epoch.epoch_ok:
            good.add(math.floor(epoch.mid_mjd))
    root = workshop.settings.layout.light_curves
    changed = []
    for day, change_mjd in sorted(last_change.items()):
        path = points_path(root, day)
        if path.is_file():
            if mjd_from_unix_s(path.stat().st_mtime) < change_mjd:
                changed.append(day)
        elif day in good and day < today:
            changed.append(day)
    return tuple(changed)


def measure_day(
    workshop: Workshop, day_mjd: int, *, progress: Progress = no_progress
) -> DayOfVariability:
    """Measure the variability of every source up to the end of a day.

    A day whose file of points can't be read is left out; ``facts["unreadable_days"]`` of the table
    has the reason. Once the file is removed, the next run makes it again.
    """
    from contimg_resources.variability.drawing import draw_plane
    from contimg_resources.variability.measuring import measure_variability
    from contimg_resources.variability.points import read_points
    from contimg_resources.variability.tables import variability_path, write_variability

    layout, settings = workshop.settings.layout, workshop.settings.variability
    progress("reading light curves", 0.0)
    damaged: dict[str, str] = {}
    curves = read_points(
        layout.light_curves,
        start_mjd=day_mjd + 1 - settings.days,
        end_mjd=day_mjd + 1,
        damaged=damaged,
    )
    progress(f"measuring {len(curves)} sources", 0.3)
    table = measure_variability(curves, settings, day_mjd)
    table.facts.update(
        n_points=len(curves.mid_mjd), settings=settings.model_dump(), software=software()
    )
    if damaged:
        table.facts["unreadable_days"] = damaged
    path = variability_path(layout.variability, day_mjd)
    write_variability(path, table)
    png = path.with_suffix(".png")
    progress("drawing", 0.8)
    whole_file(png, lambda partial: draw_plane(partial, table))
    return DayOfVariability(
        day_mjd=day_mjd,
        path=path,
        png=png,
        checksum=content_checksum(path),
        table=table,
        n_points=len(curves.mid_mjd),
    )
