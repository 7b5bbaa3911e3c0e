"""The alert about decreasing image quality.

Belongs here: comparing the noise of the last images with that of the weeks before.
Doesn't: the checks of a single image (see `contimg_resources.imaging.acceptance`).

The key is the UTC day on which the degradation began: it is derived from the images themselves, so
a degradation that continues over midnight keeps its key. It ends with the first image at which the
ratio isn't above the limit. Times with too few images don't end it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.keys import day_key
from contimg_resources.products.events import AlertRecord
from contimg_resources.products.model import ImageNoise

KIND = "quality"
#: Number of the last images, their minimum number, and their maximum age in days ...
N_LAST, MIN_LAST, LAST_DAYS = 12, 6, 2.0
#: ... and the days before them with which they are compared, and the minimum number of images.
BEFORE_DAYS, MIN_BEFORE = 30.0, 24
#: Days of images that are needed: after a longer degradation the reference is as bad, so it ends.
HISTORY_DAYS = 2 * BEFORE_DAYS + 2 * LAST_DAYS


@dataclass(frozen=True)
class Fall:
    """The increase of the noise."""

    ratio: float  #: Median of the last images over that of the earlier ones.
    last: float  #: Median of the last images.
    before: float  #: Median of the earlier images.
    relative: bool  #: Whether they are of rms over expected rms; otherwise of the rms, mJy/beam.
    n_last: int  #: Number of the last images.
    n_before: int  #: Number of the earlier images.


class NoiseSeries:
    """The noise of good images, in the order of time."""

    def __init__(self, images: Sequence[ImageNoise]) -> None:
        self._mid_mjd = np.array([image.mid_mjd for image in images])
        self._rms_mjy = np.array([image.rms_mjy for image in images])
        # None becomes NaN.
        expected_mjy = np.array([image.expected_rms_mjy for image in images], dtype=float)
        self._relative = self._rms_mjy / np.where(expected_mjy > 0, expected_mjy, np.nan)

    def fall_at(self, at: int, *, start_mjd: float = 0.0) -> Fall | None:
        """Compare the last images up to number `at` with earlier images; None if there are too few.

        Images before `start_mjd` (MJD in days) don't count among the last ones.
        """
        mids = self._mid_mjd
        earliest_mjd = max(mids[at] - LAST_DAYS, start_mjd)
        first = max(at + 1 - N_LAST, int(np.searchsorted(mids, earliest_mjd)), 0)
        if first > at:
            return None
        begin = int(np.searchsorted(mids, mids[first] - BEFORE_DAYS))
        # Relative to the expected noise if known: strips and flagged antennas differ.
        for values, relative in ((self._relative, True), (self._rms_mjy, False)):
            last, before = _finite(values[first : at + 1]), _finite(values[begin:first])
            if len(last) >= MIN_LAST and len(before) >= MIN_BEFORE:
                new, old = float(np.median(last)), float(np.median(before))
                return Fall(new / old, new, old, relative, len(last), len(before))
        return None

    def present_fall(self, *, rms_factor: float, now_mjd: float) -> Fall | None:
        """Return the present increase of the noise if it exceeds the factor `rms_factor`.

        Images older than two days at `now_mjd` (MJD in days) give no alert.
        """
        if not len(self._mid_mjd):
            return None
        fall = self.fall_at(len(self._mid_mjd) - 1, start_mjd=now_mjd - LAST_DAYS)
        return fall if fall is not None and fall.ratio > rms_factor else None

    def spell_start(self, rms_factor: float) -> int:
        """Return the index of the image at which the current degradation began."""
        start = len(self._mid_mjd) - 1
        for at in range(start, -1, -1):
            fall = self.fall_at(at)
            if fall is None:
                continue
            if fall.ratio <= rms_factor:
                break
            start = at
        return start


def quality_alerts(
    images: Sequence[ImageNoise], *, rms_factor: float, now_mjd: float
) -> tuple[AlertRecord, ...]:
    """Return the alert if the quality has decreased; otherwise nothing.

    The images are the good ones of the last `HISTORY_DAYS`, in the order of time; `rms_factor` is
    the maximum factor by which the median may grow; `now_mjd` is in days.
    """
    up_to_now = [image for image in images if image.mid_mjd <= now_mjd]
    series = NoiseSeries(up_to_now)
    fall = series.present_fall(rms_factor=rms_factor, now_mjd=now_mjd)
    if fall is None:
        return ()
    first = up_to_now[series.spell_start(rms_factor)]
    unit = "times the expected rms" if fall.relative else "mJy/beam"
    return (
        AlertRecord(
            key=f"{KIND}:{day_key(first.mid_mjd)}",
            kind=KIND,
            subject=f"Image noise is {fall.ratio:.1f} times that of the previous weeks",
            text=f"Median rms of the last {fall.n_last} images: {fall.last:.2f} {unit}; of the "
            f"{fall.n_before} images of the {BEFORE_DAYS:.0f} days before: {fall.before:.2f}. "
            f"The limit is a factor of {rms_factor:g}.\n"
            f"It began with {first.key}; the latest is {up_to_now[-1].key}.",
        ),
    )


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]
