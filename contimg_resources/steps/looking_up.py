"""Look up the caltable set of an observation with this site's settings.

Belongs here: passing strip tolerance and borrowing to the look-up, the same for every step.
Doesn't: the look-up itself (see `contimg_resources.registry`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.products.model import AppliedSet, ObservationRecord
from contimg_resources.registry.lookup import ActiveSet, Wanted
from contimg_resources.registry.model import ActiveCaltables

if TYPE_CHECKING:
    from contimg_resources.steps.workshop import Workshop

#: The registry's present answer: the set and whether it is borrowed; None: no set is valid.
Answer = tuple[ActiveSet, bool] | None


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


def look_up_records(
    workshop: "Workshop",
    records: Sequence[ObservationRecord | AppliedSet],
    depends: Callable[[Any, Answer], bool],
) -> list[Answer]:
    """Look up the sets of many observations, tables unread, and the layouts that matter.

    A layout is the largest part of an observation's row, so first any layout fits. `depends`
    returns for a record and that answer whether its layout may change it. The answers are the set
    and whether it is borrowed; None where no set is valid.
    """
    if not records:
        return []
    calibration = workshop.settings.calibration
    mids_mjd = [record.mid_mjd for record in records]
    span = (min(mids_mjd), max(mids_mjd))

    def look_up_all(some: Iterable[Any], layout_of: Callable[[str], Any]) -> Iterator[Answer]:
        wanted = (
            Wanted(r.mid_mjd, layout_of(r.key), r.declination_deg, calibration.strip_tolerance_deg)
            for r in some
        )
        return workshop.registry.active_for_all(wanted, borrow=calibration.borrow, span=span)

    answers = list(look_up_all(records, lambda _: None))
    unsure = [i for i, record in enumerate(records) if depends(record, answers[i])]
    if not unsure:
        return answers
    found = look_up_all(
        (records[i] for i in unsure), lambda key: workshop.products.observation(key).layout
    )
    for i, answer in zip(unsure, found, strict=True):
        answers[i] = answer
    return answers
