"""Documents of observations, image quality, mosaics and caltable sets.

Belongs here: their elements; the pointing of the telescope; observed times without a valid set.
Doesn't: making or measuring products, nor the rule for the validity of a set.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.keys import parse_partition_key
from contimg_resources.core.times import MJD_ZERO_JD, SIDEREAL_DEG_PER_DAY, TT_MINUS_UTC_DAYS
from contimg_resources.export.model import (
    CaltableSetItem,
    Gap,
    ImageQuality,
    MosaicItem,
    ObservationItem,
)
from contimg_resources.export.pages import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    Item,
    Paged,
    columns,
    decimals,
    element,
    elements,
    finite,
    rounded,
)
from contimg_resources.export.state import PlatformState
from contimg_resources.instrument.dsa110 import LONGITUDE_DEG
from contimg_resources.products.epochs import MosaicRecord
from contimg_resources.products.model import ImageRecord, ObservationRecord
from contimg_resources.registry.lookup import ActiveSet
from contimg_resources.registry.model import CaltableSet

#: Longer reasons are truncated.
LONGEST_TEXT = 1000


def observations_document(state: PlatformState) -> Paged:
    """Return the document of observations by time."""
    return elements("observations", "observations", _observations(state))


def _observations(state: PlatformState) -> Iterator[Item]:
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
            missing_sub_bands=state.missing_sub_bands.get(record.key, ()),
        )
        yield element(record.key, item.mid_mjd, item)


_MEASURES = tuple(name for name in ImageQuality.model_fields if name in ImageRecord.__annotations__)
_COUNTS = ("n_sources",)


def quality_document(state: PlatformState) -> Paged:
    """Return the document of image quality by time."""
    imaged = [o for o in state.observations if o.key in state.images]
    keys = [o.key for o in imaged]
    mids_mjd = [rounded(o.mid_mjd, MJD_DECIMALS) for o in imaged]
    measures = {
        name: [
            value if name in _COUNTS else finite(value)
            for value in (getattr(state.images[key], name) for key in keys)
        ]
        for name in _MEASURES
    }
    return columns("image_quality", {"key": keys, "mid_mjd": mids_mjd, **measures}, keys, mids_mjd)


def mosaics_document(state: PlatformState) -> Paged:
    """Return the document of mosaics by time."""
    return elements("mosaics", "mosaics", _mosaics(state))


def _mosaics(state: PlatformState) -> Iterator[Item]:
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
            rms_mjy=finite(record.statistics.rms_mjy),
            expected_rms_mjy=finite(record.statistics.expected_rms_mjy),
            observed_deg2=finite(record.statistics.observed_deg2),
            n_sources=epoch.n_sources if epoch else None,
            n_measured=epoch.n_measured if epoch else None,
            flux_scale=finite(epoch.scale) if epoch else None,
            epoch_ok=epoch.epoch_ok if epoch else None,
        )
        yield element(record.key, item.mid_mjd, item)


def _middle_ra_deg(record: MosaicRecord, elsewhere: dict[str, float], on_meridian: float) -> float:
    """Return the right ascension of a mosaic's centre, deg: see `mosaics.grid.window_grid`."""
    there = [
        elsewhere[key] + (record.mid_mjd - parse_partition_key(key)) * SIDEREAL_DEG_PER_DAY
        for key in record.tiles
        if key in elsewhere
    ]
    if not there:
        return on_meridian
    angles = np.radians(there)
    return float(np.degrees(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360)


#: A longer pause between two observations ends a gap: that time wasn't observed.
_LONGEST_PAUSE_DAYS = 0.5 / 24
#: Maximum number of gaps, the last ones; they are in one page.
_MAX_GAPS = 2000


def calibration_document(state: PlatformState) -> Paged:
    """Return the document of caltable sets by time, with the gaps in the first page."""
    gaps = find_gaps(state.observations, state.answers)[-_MAX_GAPS:]
    items = [
        _caltable_set(s) for s in sorted(state.sets, key=lambda s: (s.mid_mjd, s.name, s.version))
    ]
    return elements("calibration", "sets", items, first={"gaps": gaps})


def find_gaps(
    observations: Sequence[ObservationRecord], answers: Sequence[ActiveSet | None]
) -> list[Gap]:
    """Return the spans of observed time without a valid set, by time.

    `answers` holds for each observation the set whose window contains it.
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
        # An observation with a valid set ends a gap.
        before = record if answer is None else None
    return [
        Gap(
            start_mjd=rounded(records[0].start_mjd, MJD_DECIMALS),
            end_mjd=rounded(max(r.end_mjd for r in records), MJD_DECIMALS),
            n_observations=len(records),
        )
        for records in found
    ]


def _caltable_set(one: CaltableSet) -> Item:
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


def meridian_ra_deg(dec_deg: Floats, mjd: Floats) -> Floats:
    """Return the ICRS right ascension on the meridian, degrees.

    Declinations are those of the strips, times are MJD in days (UTC); all have the shape (n,).

    Notes
    -----
    Precession, nutation and aberration are those of the middle of each day: within a day they
    change by less than an arcsecond. `contimg_resources.simulation.meridian` calculates one
    direction at a time, with full accuracy.
    """
    if not len(mjd):
        return np.empty(0)
    import erfa  # type: ignore[import-untyped]

    days, day = np.unique(np.floor(mjd), return_inverse=True)
    of_days, _ = erfa.apci13(MJD_ZERO_JD, days + 0.5 + TT_MINUS_UTC_DAYS)
    on_meridian_rad = erfa.era00(MJD_ZERO_JD, mjd) + np.radians(LONGITUDE_DEG)
    ra_rad, _ = erfa.aticq(on_meridian_rad, np.radians(dec_deg), of_days[day])
    return np.asarray(np.degrees(ra_rad) % 360.0, np.float64)
