"""The document of caltable sets and of the holes between their windows.

Belongs here: its elements; which observed times have no valid set. Doesn't: the rule by which a
set is valid; the registry has it.
"""

from collections.abc import Sequence

from contimg_resources.export.model import CaltableSetItem, Hole
from contimg_resources.export.numbers import MJD_DECIMALS, finite, rounded
from contimg_resources.export.observations import LONGEST_TEXT
from contimg_resources.export.pages import Item, Paged, element, elements
from contimg_resources.export.state import PlatformState
from contimg_resources.products.model import ObservationRecord
from contimg_resources.registry.model import CaltableSet
from contimg_resources.registry.snapshot import ActiveSet

#: A longer pause between two observations ends a hole: that time wasn't observed.
_LONGEST_PAUSE_DAYS = 0.5 / 24
#: The last so many; they are in one page.
_MAX_HOLES = 2000


def calibration_document(state: PlatformState) -> Paged:
    """Return the caltable sets by time, with the holes in the first page."""
    holes = find_holes(state.observations, state.answers)[-_MAX_HOLES:]
    items = [_item(s) for s in sorted(state.sets, key=lambda s: (s.mid_mjd, s.name, s.version))]
    return elements("calibration", "sets", items, first={"holes": holes})


def find_holes(
    observations: Sequence[ObservationRecord], answers: Sequence[ActiveSet | None]
) -> list[Hole]:
    """Return the spans of observed time for which no set is valid, by time.

    Parameters
    ----------
    observations : sequence of ObservationRecord
        By time.
    answers : sequence of ActiveSet or None
        The set whose window holds each of them.
    """
    found: list[list[ObservationRecord]] = []
    before: ObservationRecord | None = None
    for record, answer in zip(observations, answers, strict=True):
        if answer is None:
            goes_on = (
                before is not None and record.start_mjd - before.end_mjd <= _LONGEST_PAUSE_DAYS
            )
            if goes_on:
                found[-1].append(record)
            else:
                found.append([record])
        # An observation with a valid set ends a hole.
        before = record if answer is None else None
    return [
        Hole(
            start_mjd=rounded(records[0].start_mjd, MJD_DECIMALS),
            end_mjd=rounded(max(r.end_mjd for r in records), MJD_DECIMALS),
            n_observations=len(records),
        )
        for records in found
    ]


def _item(one: CaltableSet) -> Item:
    item = CaltableSetItem(
        name=one.name,
        version=one.version,
        calibrator=one.calibrator,
        status=one.status.value,
        reason="; ".join(one.reasons)[:LONGEST_TEXT],
        mid_mjd=rounded(one.mid_mjd, MJD_DECIMALS),
        start_mjd=rounded(one.start_mjd, MJD_DECIMALS),
        end_mjd=rounded(one.end_mjd, MJD_DECIMALS),
        dec_deg=finite(one.declination_deg),
        refant=one.refant,
        tables=tuple(t.type.value for t in one.tables),
        flag_fraction=finite(one.quality.get("flagged_fraction")),
    )
    return element(f"{one.name} v{one.version}", item.mid_mjd, item)
