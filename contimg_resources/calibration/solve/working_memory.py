"""The engine ``fast``: the observation in memory, averages of it on disk. Runs in a CASA process.

Belongs here: reading, shifting and flagging a calibrator observation in memory, and averaging
it for each solver. Doesn't: the steps (see
`contimg_resources.calibration.apply.memory` and `contimg_resources.calibration.ms`).

The calibrator is a point source at the phase centre. Divided by its model and by the known gains,
each visibility is 1 except for the effects to be solved: averaging loses nothing, for a bandpass
over time and for a gain over its window. CASA's solvers then read a hundredth of the data.
Where other sources are known, their contribution to each average is its model.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from contimg_resources.calibration.apply.correcting import read_calibrated
from contimg_resources.calibration.apply.jones import Jones, combine, read_table
from contimg_resources.calibration.apply.memory import Observed, flag_rfi_in_memory
from contimg_resources.calibration.ms.averaged import Averaged, AveragedRows, write_averaged_ms
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.ms.health import About, DataHealth, read_about, sum_up
from contimg_resources.calibration.ms.layout import read_receptors, to_frame_of_fields
from contimg_resources.calibration.ms.visibility_loops import average
from contimg_resources.calibration.solve.editing import snapped
from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.calibration.solve.phasing import FieldDirections, check_in_beam, read_fields
from contimg_resources.calibration.solve.skymodel import Background, beam_power
from contimg_resources.calibration.solve.working import AppliedTable, Grain, SolverInput
from contimg_resources.compiling import n_cores
from contimg_resources.core.arrays import Complexes, Floats, Ints, Singles
from contimg_resources.core.errors import CalibrationFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.instrument.caltables import CaltableType


class WorkingMemory:
    """An observation in memory, flagged, with the calibrator at its phase centre.

    See `contimg_resources.calibration.solve.working.WorkingData`.

    Parameters
    ----------
    observed : Observed
        The data.
    model_jy : dict of int to ndarray of float32, shape (n_fields, n_channels)
        Flux density of the calibrator times primary beam, by data description id.
    others_jy : ndarray of complex64, shape (n_rows, n_channels)
        Contribution of other known sources; empty when there are none.
    name : str
        Name of the calibrator.
    center_rad : (float, float)
        The phase centre, in the frame of the fields.
    declination_deg : float
        Declination strip, ICRS degrees.
    directory : Path
        Directory for averages and tables.
    """

    fields = (0,)

    def __init__(
        self,
        observed: Observed,
        model_jy: dict[int, Singles],
        others_jy: Complexes,
        name: str,
        center_rad: tuple[float, float],
        declination_deg: float | None,
        directory: Path,
    ) -> None:
        self.ms = observed.ms
        self.declination_deg = declination_deg
        self.directory = directory
        self._observed = observed
        self._model_jy = model_jy
        self._others_jy = others_jy
        self._name = name
        self._center_rad = center_rad
        self._about = read_about(observed.ms)
        self._receptors = read_receptors(observed.ms, observed.channels_hz)
        lengths_s = observed.interval_s
        self.health = _health(observed, self._about, lengths_s)
        self._times_s, self._when = observed.moments
        self._length_s = float(np.median(lengths_s))
        self._n_antennas = len(self._about.names)
        keys = observed.first * self._n_antennas + observed.second
        known, self._which = np.unique(keys, return_inverse=True)
        self._first, self._second = np.divmod(known, self._n_antennas)
        self._n_written = 0

    def for_solver(self, applied: tuple[AppliedTable, ...], grain: Grain) -> SolverInput:
        """Write the data after applying tables and averaging as far as a solve allows."""
        interval = solution_intervals(self._times_s, self._length_s, grain.interval_s)
        n_intervals = int(interval[-1]) + 1
        counts = np.bincount(interval).astype(np.float64)
        since_s = np.bincount(interval, self._times_s - self._times_s[0]) / counts
        times_s = snapped(since_s + self._times_s[0], self._times_s)
        rows = AveragedRows(
            first=self._first,
            second=self._second,
            times_s=times_s,
            lengths_s=counts * self._length_s,
        )
        tables = [read_table(_as_applied(table)) for table in applied]
        windows = {}
        for number, channels_hz in self._observed.channels_hz.items():
            jones = combine(
                [(table, self._about.window_ids[number]) for table in tables],
                self._n_antennas,
                self._times_s,
                channels_hz,
            )
            windows[number] = self._average(number, jones, interval, n_intervals, grain.channels)
        return SolverInput(
            self._write(rows, windows),
            (),
            "inf" if grain.interval_s is None else "int",
            tuple(map(float, times_s)),
        )

    def _write(self, rows: AveragedRows, windows: dict[int, Averaged]) -> tuple[Path, ...]:
        parts = []
        for k in range(min(n_cores(), len(windows))):
            output = self.directory / f"averaged{self._n_written}.ms"
            self._n_written += 1
            mine = sorted(windows)[k :: n_cores()]
            write_averaged_ms(self.ms, output, rows, windows, mine, self._name, self._center_rad)
            parts.append(output)
        return tuple(parts)

    def _average(
        self, number: int, jones: Jones, interval: Ints, n_intervals: int, channels: bool
    ) -> Averaged:
        observed = self._observed
        channels_hz = observed.channels_hz[number]
        n_channels = channels_hz.size
        cell = np.arange(n_channels) if channels else np.zeros(n_channels, np.int64)
        mine = observed.rows_of(number)
        order = mine[np.argsort(self._which[mine], kind="stable")]
        starts = np.searchsorted(self._which[order], np.arange(self._first.size + 1))
        shape = (n_intervals, self._first.size, int(cell[-1]) + 1, observed.data.shape[2])
        sums, weights = np.zeros(shape, np.complex128), np.zeros(shape)
        other_sums = np.zeros(shape if self._others_jy.size else (0, 0, 0, 0), np.complex128)
        average(
            observed.data,
            observed.flag,
            observed.weight,
            order,
            starts,
            observed.first,
            observed.second,
            self._when,
            observed.field,
            interval,
            cell,
            self._receptors[number],
            (1 / jones.factor).astype(np.complex64),
            jones.flag,
            jones.weight,
            self._model_jy[number],
            self._others_jy,
            sums,
            other_sums,
            weights,
        )
        known = weights > 0
        sums[known] /= weights[known]
        model = None
        if self._others_jy.size:
            other_sums[known] /= weights[known]
            receptors = self._receptors[number]
            # The calibrator, divided by its model, is 1 in the parallel hands, and 0 in the others.
            model = other_sums.astype(np.complex64) + (receptors[:, 0] == receptors[:, 1])
        return Averaged(
            channels_hz=channels_hz if channels else channels_hz.mean(keepdims=True),
            widths_hz=np.full(cell[-1] + 1, _width_hz(channels_hz) * n_channels / (cell[-1] + 1)),
            data=sums.astype(np.complex64),
            weight=weights.astype(np.float32),
            model=model,
        )


def read_into_memory(request: SolveRequest, directory: Path) -> WorkingMemory:
    """Read a drift scan over the calibrator, shift it to the calibrator, flag it.

    Averages and tables are written to `directory`.

    Raises
    ------
    CalibrationFailed
        If the calibrator isn't in the beam, or there are no usable data.
    RuntimeError
        If the observation can't be read.
    """
    fields, calibrator = read_fields(request.ms), request.calibrator
    separations_rad = check_in_beam(request.ms, fields, calibrator)
    center_rad = to_frame_of_fields(request.ms, (calibrator.ra_deg, calibrator.dec_deg))
    observed = read_calibrated(request.ms, range(len(fields.names)), (), (), center_rad).observed
    if not observed.rows.size:
        raise CalibrationFailed(f"{request.ms} has no cross-correlations", reasons=["no data"])
    if request.recipe.flag_rfi:
        report_progress("flagging", 0.15)
        flag_rfi_in_memory(observed)
    model_jy = {
        number: (
            calibrator.flux_jy(channels_hz)[:, None] * beam_power(separations_rad, channels_hz)
        ).T.astype(np.float32)
        for number, channels_hz in observed.channels_hz.items()
    }
    return WorkingMemory(
        observed,
        model_jy,
        _others_jy(request, observed, fields),
        calibrator.name,
        center_rad,
        float(np.degrees(fields.dec_rad.mean())),
        directory,
    )


def _others_jy(request: SolveRequest, observed: Observed, fields: FieldDirections) -> Complexes:
    """Return the visibilities of the known sources besides the calibrator; empty without any."""
    others = request.background
    if not others:
        return np.zeros((0, 0), np.complex64)
    report_progress(f"adding {len(others)} other sources to the model", 0.2)
    center_deg = request.calibrator.ra_deg, request.calibrator.dec_deg
    background = Background(others, fields, center_deg)
    others_jy = np.empty(observed.data.shape[:2], np.complex64)

    def show(number: int) -> None:
        channels_hz, mine = observed.channels_hz[number], observed.rows_of(number)
        for moment in np.unique(observed.time_s[mine]):
            rows = mine[observed.time_s[mine] == moment]
            seen = background.seen(
                float(moment),
                int(observed.field[rows[0]]),
                observed.first[rows],
                observed.second[rows],
                observed.uvw_m[rows],
                channels_hz,
            )
            others_jy[rows] = seen.T

    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(show, observed.channels_hz))
    return others_jy


def solution_intervals(times_s: Floats, length_s: float, interval_s: float | None) -> Ints:
    """Return the index of the solution interval of each integration.

    `times_s` holds the middles of the integrations, ascending, shape (n_times,); `length_s` is
    their length. Without `interval_s` there is one interval. All in seconds.
    """
    if interval_s is None:
        return np.zeros(times_s.size, np.int64)
    begins = times_s - times_s[0]
    number = np.floor((begins + 1e-3 * length_s) / max(interval_s, length_s)).astype(np.int64)
    return np.unique(number, return_inverse=True)[1]


def _width_hz(channels_hz: Floats) -> float:
    """Return the width of a channel; 0 for a window with only one, where it is unknown."""
    return float(np.abs(np.diff(channels_hz[:2])).sum())


def _as_applied(table: AppliedTable) -> TableToApply:
    in_time, _, in_frequency = table.interpolation.partition(",")
    kind = CaltableType.BP if in_frequency else CaltableType.GP
    return TableToApply(table.path, kind, kind.apply_order, in_time, in_frequency)


def _health(observed: Observed, about: About, lengths_s: Floats) -> DataHealth:
    n = len(about.names)
    flagged = np.zeros((n, n, len(about.parallel)), np.int64)
    total = np.zeros_like(flagged)
    for number, channels_hz in observed.channels_hz.items():
        mine = observed.rows_of(number)
        baselines = observed.first[mine], observed.second[mine]
        np.add.at(flagged, baselines, observed.flag[mine].sum(axis=1)[:, about.parallel])
        np.add.at(total, baselines, channels_hz.size)
    span_s = (
        float((observed.time_s - lengths_s / 2).min()),
        float((observed.time_s + lengths_s / 2).max()),
    )
    return sum_up(
        about, flagged, total, span_s, [about.window_ids[d] for d in observed.channels_hz]
    )
