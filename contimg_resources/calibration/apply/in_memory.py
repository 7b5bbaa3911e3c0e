"""Calibrate an observation in memory.

Belongs here: the engine ``fast`` of `.calibrated_ms`: the sequence of steps.
Doesn't: code that all engines share, or the steps (see `.memory`).
"""

from collections.abc import Sequence
from pathlib import Path

from contimg_resources.calibration.apply.correcting import read_calibrated
from contimg_resources.calibration.apply.incoming import Incoming
from contimg_resources.calibration.apply.memory import (
    Also,
    flag_rfi_in_memory,
    write_center,
    write_observed,
)
from contimg_resources.calibration.apply.model import (
    ApplyRequest,
    Written,
    refuse_flagged,
    refuse_useless,
)
from contimg_resources.calibration.ms.callib import map_windows
from contimg_resources.calibration.ms.layout import (
    bands_of,
    bands_with_solutions,
    middle_of_fields,
    to_frame_of_fields,
    used_descriptions,
)
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.core.progress import report_progress


def apply_in_memory(
    request: ApplyRequest,
    partial: Path,
    field_ids: Sequence[int],
    named: frozenset[int],
    also: Also | None = None,
    incoming: Incoming | None = None,
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
        Further processing of the data.
    incoming : Incoming, optional
        The visibilities, where the MS holds none.

    Raises
    ------
    UnreadableObservation, CasaError
        See `contimg_resources.calibration.apply.calibrated_ms.write_calibrated_ms`.
    """
    windows = bands_of(request.ms, used_descriptions(request.ms))
    maps = []
    for table in request.tables:
        maps.append(map_windows(windows, bands_with_solutions(table.path), table.path))
    center = new_center = None
    if request.shift:
        center = request.phase_center_deg or middle_of_fields(request.ms, field_ids)
        new_center = to_frame_of_fields(request.ms, center)
    report_progress(
        f"reading {request.ms.name} and applying {len(request.tables)} caltables to it", 0.05
    )
    try:
        before = read_calibrated(
            request.ms, field_ids, request.tables, maps, new_center, partial, incoming
        )
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{request.ms} can't be read: {said}", path=str(request.ms)
        ) from error
    observed, working = before.observed, named or before.working_antenna_ids()
    arrived = before.counted(working)
    refuse_useless(request, working, arrived)
    applied = final = observed.counted(working)
    refuse_flagged(request, applied, "after applying the caltables")
    if request.flag_rfi:
        report_progress(f"flagging interference, {applied.fraction:.1%} is already flagged", 0.45)
        flag_rfi_in_memory(observed)
        final = observed.counted(working)
        refuse_flagged(request, final, "after flagging interference")
    report_progress(f"{final.fraction:.1%} of the data of working antennas is flagged", 0.6)
    report_progress("writing the calibrated MS", 0.65)
    if new_center is not None:
        write_center(partial, new_center)
    rest = None if also is None else also(observed, partial)
    write_observed(observed, partial)
    return Written(center, working, observed.rows.size, arrived, applied, final, rest)
