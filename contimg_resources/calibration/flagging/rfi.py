"""Flag radio interference in our copy of an MS, and count flags.

Belongs here: CASA's flaggers on our own MS, and flagged fractions over working antennas.
Doesn't: an incoming MS (never written to), or checking a fraction against a limit.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.casa.tables import opened
from contimg_resources.casa.tasks import call_task

#: Rows read at once: 100,000 rows of 48 channels and 2 polarisations are 77 MB.
CHUNK_ROWS = 100_000

# These cuts flag less than 0.1 % of pure noise, and nothing of a 30 Jy source off the centre;
# CASA's defaults (4 and 3 for tfcrop) flag 1 to 7 % of noise.
_TFCROP: dict[str, Any] = {
    "mode": "tfcrop",
    "timecutoff": 5.0,
    "freqcutoff": 5.0,
    "timefit": "line",
    "freqfit": "poly",
    "maxnpieces": 5,
    "extendflags": False,
}
_RFLAG: dict[str, Any] = {
    "mode": "rflag",
    "timedevscale": 7.0,
    "freqdevscale": 7.0,
    "extendflags": False,
}


@dataclass(frozen=True)
class FlagCount:
    """Numbers of visibilities and of flagged ones."""

    #: `total`, `flagged`: Cross-correlations of working antennas; each channel and polarisation
    #: counts.
    total: int
    flagged: int

    @property
    def fraction(self) -> float:
        """Return the flagged share; 1 when there are no visibilities."""
        return self.flagged / self.total if self.total else 1.0


def clip_nonsense(ms: Path) -> None:
    """Flag zeros and values that are not finite in DATA."""
    import casatasks

    call_task(
        casatasks.flagdata,
        vis=str(ms),
        mode="clip",
        clipzeros=True,
        datacolumn="DATA",
        action="apply",
        flagbackup=False,
    )


def flag_interference(ms: Path, *, one_direction: bool) -> None:
    """Flag DATA with tfcrop and rflag.

    Parameters
    ----------
    ms : Path
        Our own MS: calibrated, or the working copy of a solve.
    one_direction : bool
        Whether all fields share one phase centre. Then time is followed across them: CASA
        processes one field at a time, which in a drift scan is one integration, and without
        neighbours in time it misses two thirds of the interference.
    """
    import casatasks

    with _one_scan(ms) if one_direction else _as_it_is():
        for how in (_TFCROP, _RFLAG):
            call_task(
                casatasks.flagdata,
                vis=str(ms),
                datacolumn="DATA",
                action="apply",
                flagbackup=False,
                combinescans=False,
                **how,
            )


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _one_scan(ms: Path) -> Iterator[None]:
    import casatools

    table = casatools.table()
    table.open(str(ms), nomodify=False)
    kept = {name: table.getcol(name) for name in ("FIELD_ID", "SCAN_NUMBER")}
    for name, values in kept.items():
        table.putcol(name, np.full_like(values, values.min(initial=0)))
    table.close()
    try:
        yield
    finally:
        table.open(str(ms), nomodify=False)
        for name, values in kept.items():
            table.putcol(name, values)
        table.close()


def working_antenna_ids(ms: Path, field_ids: Collection[int] | None = None) -> set[int]:
    """Return the ids of antennas with any unflagged, non-zero cross-correlation.

    Parameters
    ----------
    ms : Path
        MS to read.
    field_ids : collection of int, optional
        Only these fields are read.
    """
    found: set[int] = set()
    for rows in _chunks(ms, field_ids):
        good = ~rows.getcol("FLAG")
        data = rows.getcol("DATA")
        good &= (data != 0) & np.isfinite(data)
        first, second = rows.getcol("ANTENNA1"), rows.getcol("ANTENNA2")
        alive = good.any(axis=(0, 1)) & (first != second)
        found.update(int(a) for a in np.unique(np.concatenate([first[alive], second[alive]])))
    return found


def count_flags(
    ms: Path, antenna_ids: Collection[int], field_ids: Collection[int] | None = None
) -> FlagCount:
    """Count the flags on cross-correlations between the antennas `antenna_ids`."""
    wanted = np.fromiter(antenna_ids, dtype=np.int64)
    total = flagged = 0
    for rows in _chunks(ms, field_ids):
        first, second = rows.getcol("ANTENNA1"), rows.getcol("ANTENNA2")
        counted = np.isin(first, wanted) & np.isin(second, wanted) & (first != second)
        flags: NDArray[np.bool_] = rows.getcol("FLAG")
        flags |= rows.getcol("FLAG_ROW")[None, None, :]
        total += int(counted.sum()) * flags.shape[0] * flags.shape[1]
        flagged += int(flags[:, :, counted].sum())
    return FlagCount(total, flagged)


def _chunks(ms: Path, field_ids: Collection[int] | None) -> Iterator[Any]:
    with opened(ms) as table:
        description = np.asarray(table.getcol("DATA_DESC_ID"))
        wanted = np.ones(description.size, np.bool_)
        if field_ids is not None:
            wanted = np.isin(table.getcol("FIELD_ID"), sorted(field_ids))
        # One data description at a time: their rows have cells of one shape.
        for number in np.unique(description):
            numbers = np.flatnonzero(wanted & (description == number))
            for start in range(0, len(numbers), CHUNK_ROWS):
                chunk = table.selectrows(numbers[start : start + CHUNK_ROWS].tolist())
                yield chunk
                chunk.close()
