"""Convert the sub-bands of an observation to a MeasurementSet. Runs in a CASA process.

Belongs here: writing visibilities, flags and weights into the tiles of the columns.
Doesn't: what differs between UVH5 and MS (`contimg_resources.correlator.plan`), tables
(`contimg_resources.correlator.tables`), reading (`contimg_resources.correlator.reading`), grouping
(`contimg_resources.correlator.arrival`).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from contimg_resources.calibration.ms.large_columns import NewColumn, write_flags
from contimg_resources.compiling import n_cores
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.progress import report_progress
from contimg_resources.correlator.model import Conversion, ConversionRequest
from contimg_resources.correlator.plan import Plan, check_enough, plan_observation
from contimg_resources.correlator.reading import Rooms, SubBandData, reading
from contimg_resources.correlator.tables import create_ms, fill_rows, write_weights
from contimg_resources.correlator.uvh5 import Ints
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS


def convert_sub_bands(request: ConversionRequest) -> Conversion:
    """Convert sub-band files of one observation to an MS, completely or not at all.

    Parameters
    ----------
    request : ConversionRequest
        The request.

    Raises
    ------
    UnreadableObservation
        If too few sub-bands are usable; the message names each reason.
    ConfigurationError
        If the MS exists and may not be replaced, or no declination is known.
    """
    if request.ms.exists() and not request.overwrite:
        raise ConfigurationError(
            f"{request.ms} is already there; it is replaced only when asked to"
        )
    rejected: dict[str, str] = {}
    plan = plan_observation(request, rejected)
    done: list[int] = []
    with whole_directory(request.ms) as partial:
        flag, lost = _write(partial, request, plan, rejected, done)
        check_enough(request, len(done), rejected)
    return conversion_of(request, plan, done, rejected, flag, lost)


def conversion_of(
    request: ConversionRequest,
    plan: Plan,
    done: Sequence[int],
    rejected: dict[str, str],
    flagged_fraction: float,
    losses: dict[str, tuple[int, int]],
) -> Conversion:
    """Describe a conversion.

    Parameters
    ----------
    request : ConversionRequest
        The request.
    plan : Plan
        Plan of the observation.
    done : sequence of int
        Numbers of the sub-bands that were read.
    rejected : dict of str to str
        Why files weren't used, by path.
    flagged_fraction : float
        Flagged fraction of all visibilities.
    losses : dict of str to (int, int)
        Number of visibilities that aren't finite, and that have no samples, by file.
    """
    head = plan.parts[0].header
    return Conversion(
        ms=request.ms,
        begin_mjd=head.begin_mjd,
        end_mjd=head.end_mjd,
        declination_deg=plan.declination_deg,
        n_rows=plan.tables.n_rows,
        sub_bands=tuple(sorted(done)),
        missing=tuple(sorted(set(range(N_SPECTRAL_WINDOWS)) - set(done))),
        rejected=rejected,
        flagged_fraction=flagged_fraction,
        notes=_notes(plan, losses),
    )


def _write(
    ms: Path, request: ConversionRequest, plan: Plan, rejected: dict[str, str], done: list[int]
) -> tuple[float, dict[str, tuple[int, int]]]:
    """Write the MS; return the flagged fraction and what was lost in each file."""
    losses: dict[str, tuple[int, int]] = {}
    every = np.ones(plan.shape[2], np.bool_)
    with ThreadPoolExecutor(n_cores()) as pool, reading(plan, every, rejected) as sub_bands:
        report_progress(f"{request.ms.name}: writing subtables", 0.0)
        create_ms(ms, plan.tables)
        data, spectrum = (NewColumn(ms, name) for name in ("DATA", "WEIGHT_SPECTRUM"))
        rows = pool.submit(fill_rows, ms, plan.tables)
        # What isn't written below is missing.
        flag = np.ones((*plan.shape, *plan.cell), np.bool_)
        weight = np.zeros((*plan.shape, plan.cell[1]), np.float32)
        cells = (plan.shape[2], *plan.cell)
        rooms = Rooms((cells, np.complex64), (cells, np.float32))
        for n, sub_band in enumerate(sub_bands):
            number = sub_band.part.header.number
            report_progress(f"{request.ms.name}: sub-band {number}", n / len(plan.parts))

            def turn(k: int, sub_band: SubBandData = sub_band, number: int = number) -> Ints:
                turned, weights = rooms.mine
                counts = sub_band.turn(k, turned, flag[k, number], weights, weight[k, number])
                first = (k * plan.shape[1] + number) * plan.shape[2]
                data.put(first, turned)
                spectrum.put(first, weights)
                return np.asarray(counts.sum(axis=0))

            lost = np.sum(list(pool.map(turn, range(plan.shape[0]))), axis=0)[:2]
            done.append(number)
            if lost.any():
                losses[sub_band.part.header.path.name] = (int(lost[0]), int(lost[1]))
        rows.result()
    report_progress(f"{request.ms.name}: writing flags", 1.0)
    for column in (data, spectrum):
        column.array()
    write_flags(ms, flag.reshape(-1, *plan.cell))
    write_weights(ms, weight.reshape(-1, plan.cell[1]))
    return float(np.count_nonzero(flag) / flag.size), losses


def _notes(plan: Plan, losses: dict[str, tuple[int, int]]) -> tuple[str, ...]:
    found = []
    for name, (n_infinite, n_empty) in losses.items():
        if n_infinite:
            found.append(f"{name}: {n_infinite} visibilities are NaN or infinite, and flagged")
        if n_empty:
            found.append(f"{name}: {n_empty} visibilities have no samples, and are flagged")
    if plan.parts[0].layout.renamed:
        found.append("antennas are named from 0 in the files; they are named as stations, from 1")
    if plan.predicted:
        found.append("the IERS tables don't reach its date: UT1 is the nearest known")
    return tuple(found)
