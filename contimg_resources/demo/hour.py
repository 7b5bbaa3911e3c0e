"""Third act: the night's images mosaicked, and every source measured.

Belongs here: waiting until the stores have mosaics and their photometry, and comparing with the
truth. Doesn't: making either (the platform does), printing.
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.statistics import mad_rms
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.products.epochs import EpochKind, EpochRecord, MosaicRecord
from contimg_resources.steps.mosaicking import open_mosaics
from contimg_resources.steps.workshop import Workshop

#: Minimum S/N of a source in the comparison.
_MIN_SNR = 10.0


@dataclass(frozen=True)
class HourRow:
    """The outcome of one mosaic."""

    mosaic: MosaicRecord  #: The mosaic in the products store.
    epoch: EpochRecord | None  #: Its photometry, if any.
    n_compared: int  #: Unflagged sources above ten sigma.
    median_ratio: float  #: Median of measured over true flux density of those; NaN without any.
    #: Robust spread of the differences in units of their errors, of all unflagged sources: 1 when
    #: the errors are right.
    pull: float


def mosaics_are_over(workshop: Workshop) -> bool:
    """Return whether every mosaic of the existing images is made and measured."""
    if open_mosaics(workshop):
        return False
    for mosaic in workshop.products.mosaics.list():
        epoch = workshop.products.mosaics.find_epoch(mosaic.key, EpochKind.MOSAIC)
        if not mosaic.reason and (epoch is None or epoch.measured_from != mosaic.checksum):
            return False
    return True


def look_at_mosaics(workshop: Workshop) -> tuple[HourRow, ...]:
    """Return the outcome of each mosaic, by time; the catalogue of the demo is the truth."""
    rows = []
    for mosaic in workshop.products.mosaics.list():
        epoch = workshop.products.mosaics.find_epoch(mosaic.key, EpochKind.MOSAIC)
        rows.append(HourRow(mosaic, epoch, *_compared(epoch)))
    return tuple(rows)


def _compared(epoch: EpochRecord | None) -> tuple[int, float, float]:
    if epoch is None:
        return 0, float("nan"), float("nan")
    columns, _ = read_measurements(epoch.path)
    plain = (columns["flags"] == 0) & np.isfinite(columns["raw_flux_jy"])
    flux, error = columns["raw_flux_jy"][plain], columns["raw_error_jy"][plain]
    truth = columns["expected_jy"][plain]
    bright = flux > _MIN_SNR * error
    if not bright.any():
        return 0, float("nan"), float("nan")
    spread = mad_rms((flux - truth) / error)
    return int(bright.sum()), float(np.median((flux / truth)[bright])), spread
