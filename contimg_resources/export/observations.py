"""The document of observations.

Belongs here: its elements. Doesn't: their images' numbers (see `.quality`).
"""

from collections.abc import Iterator

import numpy as np

from contimg_resources.export.model import ObservationItem
from contimg_resources.export.numbers import DEG_DECIMALS, MJD_DECIMALS, decimals, rounded
from contimg_resources.export.pages import Item, Paged, element, elements
from contimg_resources.export.pointing import meridian_ra_deg
from contimg_resources.export.state import PlatformState

#: A reason that is longer is cut.
LONGEST_TEXT = 1000


def observations_document(state: PlatformState) -> Paged:
    """Return the observations by time."""
    return elements("observations", "observations", _items(state))


def _items(state: PlatformState) -> Iterator[Item]:
    mid_mjd = np.array([o.mid_mjd for o in state.observations], np.float64)
    dec_deg = np.array([o.declination_deg for o in state.observations], np.float64)
    ra_deg = decimals(meridian_ra_deg(dec_deg, mid_mjd), DEG_DECIMALS)
    for record, ra in zip(state.observations, ra_deg, strict=True):
        applied = state.applied.get(record.key)
        item = ObservationItem(
            key=record.key,
            start_mjd=rounded(record.start_mjd, MJD_DECIMALS),
            mid_mjd=rounded(record.mid_mjd, MJD_DECIMALS),
            end_mjd=rounded(record.end_mjd, MJD_DECIMALS),
            ra_deg=rounded(state.elsewhere_ra_deg.get(record.key, ra), DEG_DECIMALS),
            dec_deg=rounded(record.declination_deg, DEG_DECIMALS),
            calibrator=record.calibrator,
            state=record.state.value,
            reason=record.reason[:LONGEST_TEXT],
            set_name=applied.set_name if applied else None,
            set_version=applied.set_version if applied else None,
            borrowed=bool(applied and applied.borrowed),
            stale=record.key in state.stale,
        )
        yield element(record.key, item.mid_mjd, item)
