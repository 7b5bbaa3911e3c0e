"""The message about falling image quality.

Belongs here: comparing the noise of the last images with that of the weeks before.
Doesn't: judging a single image (see `contimg_resources.imaging.acceptance`).

The key is the UTC day on which the spell began: it is found from the images themselves, so a spell
that goes on over midnight keeps its key. It ends with the first image at which the ratio isn't
above the limit. Times at which too few images tell end nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.times import utc_day
from contimg_resources.products.events import AlertRecord
from contimg_resources.products.model import ImageNoise

KIND = "quality"
#: The last so many images, but not fewer, within so many days.
N_LAST, MIN_LAST, LAST_DAYS = 12, 6, 2.0
#: Are compared with the images of so many days before, but not fewer.
BEFORE_DAYS, MIN_BEFORE = 30.0, 24
#: The images needed: after so long a spell what was before is as bad, and the spell is over.
HISTORY_DAYS = 2 * BEFORE_DAYS + 2 * LAST_DAYS


@dataclass(frozen=True)
class Fall:
    """How much the noise has grown.

    Parameters
    ----------
    ratio : float
        Median of the last images over that of those before.
    last, before : float
        Both medians.
    relative : bool
        Whether they are of rms over expected rms; else of the rms, mJy/beam.
    n_last, n_before : int
        Of so many images.
    """

    ratio: float
    last: float
    before: float
    relative: bool
    n_last: int
    n_before: int


class NoiseSeries:
    """The noise of good images over time.

    Parameters
    ----------
    images : sequence of ImageNoise
        In the order of time.
    """

    def __init__(self, images: Sequence[ImageNoise]) -> None:
        self._mid_mjd = np.array([image.mid_mjd for image in images])
        self._rms_mjy = np.array([image.rms_mjy for image in images])
        # None becomes NaN.
        expected_mjy = np.array([image.expected_rms_mjy for image in images], dtype=float)
        self._relative = self._rms_mjy / np.where(expected_mjy > 0, expected_mjy, np.nan)

    def fall_at(self, at: int, *, start_mjd: float = 0.0) -> Fall | None:
        """Return how the last images up to one compare with those before; None: too few.

        Parameters
        ----------
        at : int
            The place of that image.
        start_mjd : float
            Those before aren't among the last, MJD in days.
        """
        mids = self._mid_mjd
        earliest_mjd = max(mids[at] - LAST_DAYS, start_mjd)
        first = max(at + 1 - N_LAST, int(np.searchsorted(mids, earliest_mjd)), 0)
        if first > at:
            return None
        begin = int(np.searchsorted(mids, mids[first] - BEFORE_DAYS))
        # Where there are enough, beside what was expected: strips and flagged antennas differ.
        for values, relative in ((self._relative, True), (self._rms_mjy, False)):
            last, before = _finite(values[first : at + 1]), _finite(values[begin:first])
            if len(last) >= MIN_LAST and len(before) >= MIN_BEFORE:
                new, old = float(np.median(last)), float(np.median(before))
                return Fall(new / old, new, old, relative, len(last), len(before))
        return None

    def present_fall(self, *, rms_factor: float, now_mjd: float) -> Fall | None:
        """Return how much the noise has grown at present, when that exceeds the limit.

        Parameters
        ----------
        rms_factor : float
            The ratio's limit.
        now_mjd : float
            The present, MJD in days; images of more than two days before are no news.
        """
        if not len(self._mid_mjd):
            return None
        fall = self.fall_at(len(self._mid_mjd) - 1, start_mjd=now_mjd - LAST_DAYS)
        return fall if fall is not None and fall.ratio > rms_factor else None

    def spell_start(self, rms_factor: float) -> int:
        """Return the place of the image with which the spell began that goes on at the last.

        Parameters
        ----------
        rms_factor : float
            The ratio's limit.
        """
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
    """Return the message, when the quality has fallen; else nothing.

    Parameters
    ----------
    images : sequence of ImageNoise
        Good images of the last `HISTORY_DAYS`, in the order of time.
    rms_factor : float
        The median may grow by this factor.
    now_mjd : float
        The present, MJD in days.
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
            key=f"{KIND}:{utc_day(first.mid_mjd)}",
            kind=KIND,
            subject=f"Image noise is {fall.ratio:.1f} times that of the weeks before",
            text=f"Median rms of the last {fall.n_last} images: {fall.last:.2f} {unit}; of the "
            f"{fall.n_before} images of the {BEFORE_DAYS:.0f} days before: {fall.before:.2f}. "
            f"The limit is a factor of {rms_factor:g}.\n"
            f"It began with {first.key}; the latest is {up_to_now[-1].key}.",
        ),
    )


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
