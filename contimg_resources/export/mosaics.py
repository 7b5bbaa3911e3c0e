"""The document of mosaics and their photometry.

Belongs here: its elements. Doesn't: making mosaics, measuring on them.
"""

from collections.abc import Iterator

import numpy as np

from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY
from contimg_resources.export.model import MosaicItem
from contimg_resources.export.numbers import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    decimals,
    finite,
    rounded,
)
from contimg_resources.export.observations import LONGEST_TEXT
from contimg_resources.export.pages import Item, Paged, element, elements
from contimg_resources.export.pointing import meridian_ra_deg
from contimg_resources.export.state import PlatformState
from contimg_resources.products.epochs import MosaicRecord


def mosaics_document(state: PlatformState) -> Paged:
    """Return the mosaics by time."""
    return elements("mosaics", "mosaics", _items(state))


def _items(state: PlatformState) -> Iterator[Item]:
    mid_mjd = np.array([m.mid_mjd for m in state.mosaics], np.float64)
    dec_deg = np.array([m.declination_deg for m in state.mosaics], np.float64)
    ra_deg = decimals(meridian_ra_deg(dec_deg, mid_mjd), DEG_DECIMALS)
    elsewhere = state.elsewhere_ra_deg
    for record, ra in zip(state.mosaics, ra_deg, strict=True):
        epoch = state.epochs.get(record.key)
        item = MosaicItem(
            key=record.key,
            start_mjd=rounded(record.start_mjd, MJD_DECIMALS),
            mid_mjd=rounded(record.mid_mjd, MJD_DECIMALS),
            end_mjd=rounded(record.end_mjd, MJD_DECIMALS),
            ra_deg=rounded(_middle_ra_deg(record, elsewhere, ra), DEG_DECIMALS),
            dec_deg=rounded(record.declination_deg, DEG_DECIMALS),
            state=record.state.value,
            reason=record.reason[:LONGEST_TEXT],
            n_tiles=len(record.tiles),
            rms_mjy=finite(record.statistics.get("rms_mjy")),
            expected_rms_mjy=finite(record.statistics.get("expected_rms_mjy")),
            observed_deg2=finite(record.statistics.get("observed_deg2")),
            n_sources=epoch.n_sources if epoch else None,
            n_measured=epoch.n_measured if epoch else None,
            flux_scale=finite(epoch.scale) if epoch else None,
            epoch_ok=epoch.epoch_ok if epoch else None,
        )
        yield element(record.key, item.mid_mjd, item)


def _middle_ra_deg(record: MosaicRecord, elsewhere: dict[str, float], on_meridian: float) -> float:
    """Return the right ascension of a mosaic's middle, degrees: see `mosaics.grid.window_grid`."""
    there = [
        elsewhere[key] + (record.mid_mjd - float(key)) * SIDEREAL_DEG_PER_DAY
        for key in record.tiles
        if key in elsewhere
    ]
    if not there:
        return on_meridian
    angles = np.radians(there)
    return float(np.degrees(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360)
