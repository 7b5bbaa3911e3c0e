"""Reading of light curves and variability metrics for the documents.

Belongs here: reading them for all documents. Doesn't: the format of the files.
"""

from dataclasses import replace

from contimg_resources.core.errors import ContimgError, rejecting
from contimg_resources.core.naming import StateLayout
from contimg_resources.variability.model import (
    LightCurves,
    Variability,
    VariabilityFacts,
    joined_curves,
    joined_metrics,
)


def read_measures(
    layout: StateLayout,
) -> tuple[LightCurves, Variability | None, tuple[str, ...]]:
    """Read all light curves, and the metrics of the last day (None if there are none).

    The third value holds the reasons for unreadable files, which don't stop the others.
    """
    # Imported here: these load pyarrow.
    from contimg_resources.variability.points import (
        read_points,
    )
    from contimg_resources.variability.tables import (
        latest_variability,
        read_variability,
    )

    latest = latest_variability(layout.variability)
    damaged: dict[str, str] = {}
    points = read_points(layout.light_curves, damaged=damaged)
    measures = None
    if latest is not None:
        with rejecting(damaged, latest.name):
            measures = read_variability(latest)
    return points, measures, tuple(damaged.values())


def with_added(
    layout: StateLayout,
    points: LightCurves,
    variability: Variability | None,
    unreadable: tuple[str, ...] = (),
) -> tuple[LightCurves, Variability | None, tuple[str, ...]]:
    """Add the light curves and metrics of the users' lists to those of the platform.

    The result holds the combined data, and the reasons for unreadable files, which don't stop the
    others; those given as `unreadable` precede those of lists.
    """
    from contimg_resources.variability.added import added_names, read_added
    from contimg_resources.variability.tables import added_variability_path, read_variability

    curves, tables = [points], [] if variability is None else [variability]
    damaged = list(unreadable)
    for name in added_names(layout.added_light_curves):
        try:
            curves.append(read_added(layout.added_light_curves, name)[0])
            path = added_variability_path(layout.variability, name)
            if path.is_file():
                tables.append(read_variability(path))
        except ContimgError as error:
            damaged.append(error.message)
    facts = VariabilityFacts() if variability is None else variability.facts
    metrics = replace(joined_metrics(tables), facts=facts) if tables else None
    return joined_curves(curves), metrics, tuple(damaged)
