"""Calibrate an observation straight from its sub-bands, without its MS. Runs in a CASA process.

Belongs here: the sub-bands as a source for `contimg_resources.calibration.apply`, and what is done
where that needs an MS. Doesn't: calibrating, converting (`contimg_resources.correlator.convert`).

The visibilities are those that the MS would hold, so the calibrated MS is the same.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from contimg_resources.calibration.apply.calibrated_ms import (
    why_not_in_memory,
    write_calibrated_ms,
)
from contimg_resources.calibration.apply.incoming import Cells, Incoming, Receive
from contimg_resources.calibration.apply.memory import Also
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.orderly import named_as
from contimg_resources.compiling import n_cores
from contimg_resources.core.errors import UnreadableSubBand
from contimg_resources.core.progress import report_progress
from contimg_resources.core.trees import remove_tree
from contimg_resources.correlator.convert import conversion_of, convert_sub_bands
from contimg_resources.correlator.model import (
    CalibratedSubBands,
    Conversion,
    SubBandsToCalibrate,
)
from contimg_resources.correlator.plan import Plan, check_enough, plan_observation
from contimg_resources.correlator.reading import Rooms, SubBandData, reading
from contimg_resources.correlator.tables import columns_of_rows, create_headers
from contimg_resources.correlator.uvh5 import Ints


def calibrate_sub_bands(
    request: SubBandsToCalibrate, *, also: Also | None = None
) -> CalibratedSubBands:
    """Write a calibrated MS from sub-band files.

    Parameters
    ----------
    request : SubBandsToCalibrate
        The request.
    also : callable, optional
        Further processing of the data; see
        `contimg_resources.calibration.apply.calibrated_ms.write_calibrated_ms`.

    Raises
    ------
    UnreadableObservation
        If too few sub-bands are usable, they have no unflagged data, or a file changed meanwhile.
    ConfigurationError
        If there are no caltables, or no declination is known.
    CasaError
        See `write_calibrated_ms`.

    Notes
    -----
    Where the caltables can't be applied in memory, or only some fields are selected, a temporary MS
    is written in the directory of the process.
    """
    rejected: dict[str, str] = {}
    plan = plan_observation(request.conversion, rejected)
    # Names what it stands for.
    apply = replace(
        request.apply,
        provenance={"input_ms": str(request.apply.ms), **request.apply.provenance},
    )
    # Of the same name, which progress messages show.
    headers = _empty_directory("headers") / apply.ms.name
    create_headers(headers, plan.tables)
    try:
        with named_as(apply.ms, headers):
            given = replace(apply, ms=headers)
            if reason := _why_an_ms(given):
                report_progress(f"{reason}: an MS is written for it", 0.01)
                return _through_ms(request, apply, also)
            source = _Source(request, plan, rejected)
            applied = write_calibrated_ms(given, also=also, incoming=source.incoming(headers))
    finally:
        remove_tree(headers.parent, ignore_errors=True)
    return CalibratedSubBands(source.conversion(), applied)


def _why_an_ms(given: ApplyRequest) -> str:
    if given.settings.engine != "fast":
        return "CASA applies the caltables"
    if given.field_selection:
        return "some fields are selected"
    return why_not_in_memory(given) if given.tables else ""


def _through_ms(
    request: SubBandsToCalibrate, apply: ApplyRequest, also: Also | None
) -> CalibratedSubBands:
    ms = _empty_directory("converted") / apply.ms.name
    try:
        conversion = convert_sub_bands(replace(request.conversion, ms=ms, overwrite=True))
        with named_as(apply.ms, ms):
            applied = write_calibrated_ms(replace(apply, ms=ms), also=also)
    finally:
        remove_tree(ms.parent, ignore_errors=True)
    return CalibratedSubBands(replace(conversion, ms=request.conversion.ms), applied)


def _empty_directory(name: str) -> Path:
    directory = Path(name).resolve()
    remove_tree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


class _Source:
    """The cross-correlations of an observation's sub-bands, in the order of its MS."""

    def __init__(self, request: SubBandsToCalibrate, plan: Plan, rejected: dict[str, str]) -> None:
        self._request, self._plan, self._rejected = request.conversion, plan, rejected
        self._crossed = plan.tables.first != plan.tables.second
        self._losses: dict[str, tuple[int, int]] = {}
        self._done: list[int] = []
        self._n_flagged = 0
        self._before = self._state()

    def incoming(self, headers: Path) -> Incoming:
        """Return the observation as calibration takes it."""
        tables, crossed = self._plan.tables, np.flatnonzero(self._crossed)
        n_times, n_windows, _ = self._plan.shape
        shape = (n_times, n_windows, crossed.size)
        time, window, place = (i.ravel() for i in np.indices(shape, np.int32))
        columns = columns_of_rows(tables, time, window, crossed[place])
        uvw_m = np.broadcast_to(tables.uvw_m[:, None, crossed], (*shape, 3)).reshape(-1, 3)
        return Incoming(headers, columns | {"UVW": uvw_m}, self._plan.cell, self._read)

    def conversion(self) -> Conversion:
        """Describe what was read, as a conversion to the MS that wasn't written."""
        n_cells = np.prod(self._plan.shape[:2]) * self._crossed.sum() * np.prod(self._plan.cell)
        n_missing = self._plan.shape[1] - len(self._done)
        flagged = self._n_flagged / n_cells + n_missing / self._plan.shape[1]
        return conversion_of(
            self._request, self._plan, self._done, self._rejected, float(flagged), self._losses
        )

    def _read(self, receive: Receive) -> None:
        self._losses, self._done, self._n_flagged = {}, [], 0
        n_times, n_windows, _ = self._plan.shape
        n = int(self._crossed.sum())
        cells = (n, *self._plan.cell)
        rooms = Rooms(
            (cells, np.complex64),
            (cells, np.bool_),
            (cells, np.float32),
            ((n, self._plan.cell[1]), np.float32),
        )
        with (
            ThreadPoolExecutor(n_cores()) as pool,
            reading(self._plan, self._crossed, self._rejected) as sub_bands,
        ):
            for sub_band in sub_bands:
                number = sub_band.part.header.number

                def take(k: int, sub_band: SubBandData = sub_band, number: int = number) -> Ints:
                    data, flag, spectrum, weight = rooms.mine
                    counts = sub_band.turn(k, data, flag, spectrum, weight)
                    first = (k * n_windows + number) * n
                    vary = bool(counts[:, 3].any())
                    receive(
                        slice(first, first + n),
                        Cells(data, flag, spectrum if vary else weight[:, None], counts[:, 2]),
                    )
                    return np.asarray(counts.sum(axis=0))

                counts = np.sum(list(pool.map(take, range(n_times))), axis=0)
                self._n_flagged += int(counts[2])
                self._done.append(number)
                if counts[:2].any():
                    name = sub_band.part.header.path.name
                    self._losses[name] = (int(counts[0]), int(counts[1]))
        check_enough(self._request, len(self._done), self._rejected)
        for path, state in self._state().items():
            if state != self._before[path]:
                raise UnreadableSubBand(f"{path} changed while it was read", path=str(path))

    def _state(self) -> dict[Path, tuple[int, int] | None]:
        found: dict[Path, tuple[int, int] | None] = {}
        for part in self._plan.parts:
            path = part.header.path
            try:
                status = path.stat()
            except OSError:
                found[path] = None
            else:
                found[path] = status.st_size, status.st_mtime_ns
        return found
