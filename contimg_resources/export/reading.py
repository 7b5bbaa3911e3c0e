"""Points and measures of variability, as their own files hold them.

Belongs here: the one place where they are read for the documents. Doesn't: the files' form.
"""

from contimg_resources.naming import StateLayout
from contimg_resources.variability.model import LightCurves, Variability


def read_measures(layout: StateLayout) -> tuple[LightCurves, Variability | None]:
    """Return the points of all light curves, and the measures of the last day, None without any.

    Raises
    ------
    UnreadableMeasurements
        If a file is damaged or was written by a newer contimg.
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
    points = read_points(layout.light_curves)
    return points, None if latest is None else read_variability(latest)
