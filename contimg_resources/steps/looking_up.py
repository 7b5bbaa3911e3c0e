"""Look up the caltable set of an observation with this site's settings.

Belongs here: passing strip tolerance and borrowing to the look-up, the same for every step.
Doesn't: the look-up itself (see `contimg_resources.registry`).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.registry.lookup import ActiveSet, Wanted
from contimg_resources.registry.model import ActiveCaltables

if TYPE_CHECKING:
    from contimg_resources.steps.workshop import Workshop


def look_up(
    workshop: "Workshop",
    mid_mjd: float,
    declination_deg: float,
    layout: ArrayLayout | None,
    *,
    verify: bool = True,
) -> ActiveCaltables:
    """Return the caltable set that applies to a mid-MJD, strip and layout; None: any layout fits.

    If `verify`, the tables are compared with their checksums.

    Raises
    ------
    NoValidCaltables
        Naming the nearest sets before and after.
    CaltableAltered
        If a table of the set is missing or changed.
    """
    calibration = workshop.settings.calibration
    return workshop.registry.active(
        mid_mjd,
        layout=layout,
        declination_deg=declination_deg,
        strip_tolerance_deg=calibration.strip_tolerance_deg,
        borrow=calibration.borrow,
        verify=verify,
    )


def look_up_all(
    workshop: "Workshop", asked: Iterable[tuple[float, float, ArrayLayout | None]]
) -> Iterator[tuple[ActiveSet, bool] | None]:
    """Look up the sets of many observations from one state of the registry, tables unread.

    `asked` holds mid-MJD (days), declination strip (degrees) and layout (None: any fits) of each
    observation. Yields the set of each, and whether it is borrowed; None where no set is valid.
    """
    calibration = workshop.settings.calibration
    return workshop.registry.active_for_all(
        (
            Wanted(mid_mjd, layout, declination_deg, calibration.strip_tolerance_deg)
            for mid_mjd, declination_deg, layout in asked
        ),
        borrow=calibration.borrow,
    )
