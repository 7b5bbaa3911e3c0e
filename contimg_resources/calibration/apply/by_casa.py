"""Calibrate an observation with CASA's tasks: mstransform, phaseshift, flagdata.

Belongs here: the engine ``casa`` of `.calibrated_ms`. Doesn't: what all engines share.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.apply.memory import Also
from contimg_resources.calibration.apply.model import (
    ApplyRequest,
    Written,
    refuse_flagged,
    refuse_useless,
)
from contimg_resources.calibration.flagging.interference import flag_shared_interference
from contimg_resources.calibration.flagging.rfi import (
    FlagCount,
    clip_nonsense,
    count_flags,
    flag_interference,
    working_antenna_ids,
)
from contimg_resources.calibration.ms.callib import TableToApply, callib_text, map_windows
from contimg_resources.calibration.ms.layout import (
    bands_of,
    bands_with_solutions,
    count_rows,
    middle_of_fields,
    used_descriptions,
)
from contimg_resources.calibration.ms.orderly import named_as, orderly
from contimg_resources.casa.tables import opened
from contimg_resources.casa.tasks import call_task
from contimg_resources.core.errors import CasaError
from contimg_resources.core.progress import report_progress
from contimg_resources.core.trees import remove_tree

#: The cal library, in the working directory.
_CALLIB = "callib.txt"
_BREAKS_LINES = re.compile(r"[\s,'\"]")


def apply_with_casa(
    request: ApplyRequest,
    partial: Path,
    field_ids: Sequence[int],
    named: frozenset[int],
    also: Also | None = None,
) -> Written:
    """Write the calibrated MS to `partial`.

    Parameters
    ----------
    request : ApplyRequest
        The request.
    partial : Path
        Path of the MS to write.
    field_ids : sequence of int
        Ids of the selected fields.
    named : frozenset of int
        Antennas over which flags are counted; empty: those with data.
    also : callable, optional
        Not called: nothing is in memory here.

    Raises
    ------
    UnreadableObservation, CasaError
        See `contimg_resources.calibration.apply.calibrated_ms.write_calibrated_ms`.
    """
    ms = orderly(request.ms, Path.cwd())
    try:
        with named_as(request.ms, ms):
            working = named or frozenset(working_antenna_ids(ms, field_ids))
            arrived = count_flags(ms, working, field_ids)
            refuse_useless(request, working, arrived)
            center = _transform(replace(request, ms=ms), partial)
    finally:
        if ms != request.ms:
            remove_tree(ms, ignore_errors=True)
    applied, final = _flag(request, partial, working)
    return Written(center, working, count_rows(partial), arrived, applied, final)


def _transform(request: ApplyRequest, partial: Path) -> tuple[float, float] | None:
    import casatasks

    report_progress(f"applying {len(request.tables)} caltables to {request.ms.name}", 0.05)
    windows = bands_of(request.ms, used_descriptions(request.ms))
    n_windows = count_rows(request.ms / "SPECTRAL_WINDOW")
    maps = []
    for table in request.tables:
        spwmap = map_windows(windows, bands_with_solutions(table.path), table.path)
        # Entries of windows without data have no effect, but CASA requires them.
        maps.append((table, spwmap + spwmap[:1] * (n_windows - len(spwmap))))
    applied = partial.with_name(partial.name + ".unshifted") if request.shift else partial
    with named_plainly([table for table, _ in maps]) as tables:
        pairs = zip(tables, (windows_of for _, windows_of in maps), strict=True)
        Path(_CALLIB).write_text(callib_text(list(pairs)))
        call_task(
            casatasks.mstransform,
            product=applied / "table.dat",
            vis=str(request.ms),
            outputvis=str(applied),
            field=request.field_selection,
            antenna="*&",
            datacolumn="corrected",
            docallib=True,
            callib=_CALLIB,
        )
    _check_applied(request, applied)
    if not request.shift:
        return None
    report_progress("shifting the fields to one phase centre", 0.35)
    ra_deg, dec_deg = request.phase_center_deg or middle_of_fields(applied)
    call_task(
        casatasks.phaseshift,
        product=partial / "table.dat",
        vis=str(applied),
        outputvis=str(partial),
        phasecenter=f"ICRS {ra_deg:.10f}deg {dec_deg:.10f}deg",
        datacolumn="data",
    )
    if count_rows(partial) != count_rows(applied):
        raise CasaError(
            f"phaseshift kept {count_rows(partial)} of {count_rows(applied)} rows of {request.ms}"
        )
    remove_tree(applied)
    return (ra_deg, dec_deg)


@contextmanager
def named_plainly(tables: Sequence[TableToApply]) -> Iterator[list[TableToApply]]:
    """Yield tables with paths that a cal library can hold, copying those where it can't.

    CASA splits the lines of a cal library at blanks and commas, even within quotes, and follows
    links.
    """
    with tempfile.TemporaryDirectory(prefix="contimg-caltables-") as place:
        found = []
        for number, table in enumerate(tables):
            path = table.path.resolve()
            if _BREAKS_LINES.search(str(path)):
                path = Path(place) / str(number)
                shutil.copytree(table.path, path)
            found.append(replace(table, path=path))
        yield found


def _flag(request: ApplyRequest, partial: Path, ids: frozenset[int]) -> tuple[FlagCount, FlagCount]:
    report_progress("flagging zeros", 0.5)
    clip_nonsense(partial)
    applied = final = count_flags(partial, ids)
    refuse_flagged(request, applied, "after applying the caltables")
    if request.flag_rfi:
        report_progress(f"flagging interference, {applied.fraction:.1%} is already flagged", 0.6)
        # Interference common to all baselines first: to tfcrop and rflag it looks like the sky.
        flag_shared_interference(partial)
        flag_interference(partial, one_direction=request.shift)
        final = count_flags(partial, ids)
        report_progress(f"{final.fraction:.1%} of the data of working antennas is flagged", 0.95)
        refuse_flagged(request, final, "after flagging interference")
    return applied, final


def _check_applied(request: ApplyRequest, applied: Path) -> None:
    """Compare one integration with its input: CASA reports success even if nothing was applied."""
    if not count_rows(applied):
        raise CasaError(f"mstransform kept no row of {request.ms}")
    samples = []
    with opened(applied) as table:
        moment = float(table.getcell("TIME", table.nrows() // 2))
    for ms in (request.ms, applied):
        with opened(ms) as table:
            rows = table.query(
                f"ANTENNA1 != ANTENNA2 && abs(TIME - {moment!r}) < 1e-3",
                sortlist="DATA_DESC_ID,ANTENNA1,ANTENNA2",
            )
            samples.append(
                [(rows.getcell("DATA", i), rows.getcell("FLAG", i)) for i in _some(rows)]
            )
            rows.close()
    untouched = compared = 0
    for (raw, _), (calibrated, flags) in zip(*samples, strict=True):
        good = ~flags & (raw != 0)
        compared += int(good.sum())
        untouched += int((raw == calibrated)[good].sum())
    if compared and untouched == compared:
        raise CasaError(
            f"mstransform returned but applied none of {len(request.tables)} caltables to "
            f"{request.ms}: its data are unchanged",
            path=str(request.ms),
        )


def _some(rows: Any) -> list[int]:
    n = int(rows.nrows())
    return [int(i) for i in np.unique(np.linspace(0, n - 1, min(n, 400)).astype(int))]
