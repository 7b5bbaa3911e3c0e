"""Calibrate an observation in memory while it is read.

Belongs here: the correction of each visibility, its new phase centre, and whether that is possible
here. Doesn't: the factors (see `.jones`), reading (see `.memory`), the loops (see
`contimg_resources.calibration.ms.visibility_loops`).
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.calibration.apply.incoming import Incoming, take_incoming
from contimg_resources.calibration.apply.jones import (
    Jones,
    TableSolutions,
    combine,
    has_channels,
    read_table,
    same_channels,
)
from contimg_resources.calibration.apply.memory import Change, Observed, read_observed
from contimg_resources.calibration.flagging.rfi import FlagCount
from contimg_resources.calibration.ms.callib import Band, TableToApply, map_windows
from contimg_resources.calibration.ms.layout import (
    bands_of,
    bands_with_solutions,
    channels_of_windows_hz,
    phase_centers_rad,
    read_receptors,
    used_descriptions,
)
from contimg_resources.calibration.ms.visibility_loops import (
    any_good,
    correct,
    count_flagged,
    scale_weights,
    turn_baselines,
)
from contimg_resources.casa.tables import opened
from contimg_resources.compiling import n_cores
from contimg_resources.core.errors import UnreadableObservation

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def why_not(ms: Path, tables: Sequence[TableToApply]) -> str:
    """Return why an MS can't be calibrated in memory; empty when it can. Needs CASA."""
    if any(table.gain_field for table in tables):
        return "a table is applied field by field"
    used = used_descriptions(ms)
    receptors = read_receptors(ms, used)
    if len({len(receptors[number]) for number in used}) > 1:
        return "its windows differ in their correlations"
    windows, channels_hz = _window_ids(ms), channels_of_windows_hz(ms)
    ours = {int(windows[number]): channels_hz[int(windows[number])] for number in used}
    if len({channels.size for channels in ours.values()}) > 1:
        return "its windows differ in their channels"
    if not all(np.allclose(np.diff(c), np.diff(c)[:1], rtol=1e-6) for c in ours.values()):
        return "its channels aren't evenly spaced"
    bands = bands_of(ms, used)
    return next(filter(None, (_why_not_table(bands, ours, table) for table in tables)), "")


def _why_not_table(
    bands: Sequence[Band], ours_hz: Mapping[int, Floats], table: TableToApply
) -> str:
    if not has_channels(table.path):
        return ""
    if not table.interpolation_frequency.endswith("flag"):
        return f"flagged channels of {table.path.name} are filled in"
    theirs_hz = channels_of_windows_hz(table.path)
    spwmap = map_windows(bands, bands_with_solutions(table.path), table.path)
    if all(same_channels(theirs_hz[spwmap[w]], channels) for w, channels in ours_hz.items()):
        return ""
    return f"{table.path.name} has other channels"


@dataclass(frozen=True)
class Arrived:
    """The data and flags of an MS before and after calibration."""

    observed: Observed  #: The data after calibration.
    good: Bools  #: Whether a row had any unflagged, finite, non-zero visibility. Shape (n_rows,).
    #: Number of flagged visibilities of each row before calibration. Shape (n_rows,).
    flagged: Ints

    def working_antenna_ids(self) -> frozenset[int]:
        """Return the antennas with any good row."""
        both = (self.observed.first[self.good], self.observed.second[self.good])
        return frozenset(int(i) for antennas in both for i in np.flatnonzero(np.bincount(antennas)))

    def counted(self, antenna_ids: Collection[int]) -> FlagCount:
        """Count the original flags on baselines between the antennas `antenna_ids`."""
        return self.observed.summed(self.flagged, antenna_ids)


def read_calibrated(
    ms: Path,
    field_ids: Collection[int],
    tables: Sequence[TableToApply],
    maps: Sequence[Sequence[int]],
    center_rad: tuple[float, float] | None,
    output: Path | None = None,
    incoming: Incoming | None = None,
) -> Arrived:
    """Read an observation, apply tables and shift all fields to one phase centre. Needs CASA.

    Parameters
    ----------
    ms : Path
        The incoming MS.
    field_ids : collection of int
        Rows of its FIELD table to read.
    tables : sequence of TableToApply
        The tables to apply.
    maps : sequence of sequence of int
        For each table, the window that applies to each spectral window of the MS.
    center_rad : (float, float), optional
        The new phase centre, in the frame of the fields; None: unchanged.
    output : Path, optional
        A new MS for the calibrated data; see `.memory`.
    incoming : Incoming, optional
        The visibilities, where `ms` holds none; needs `output`, and all fields.

    Raises
    ------
    UnreadableObservation
        If the shape of the data differs from the subtables.
    CasaError
        If a table can't be read or has other channels, a correlation isn't a pair of receptors, or
        the new MS can't be written.
    RuntimeError
        If the MS can't be read.
    """
    good = np.zeros(0, np.bool_)
    flagged = np.zeros(0, np.int64)

    def prepare(observed: Observed) -> Change:
        nonlocal good, flagged
        good = np.zeros(observed.rows.size, np.bool_)
        flagged = count_flagged(observed.flag)
        correction = _Correction.of(observed, tables, maps, center_rad)

        def change(part: slice, data: NDArray[np.complex64]) -> None:
            good[part] = any_good(data, observed.flag[part])
            correction.apply(part, data, observed.flag[part])

        return change

    if incoming is not None and output is not None:
        observed, flagged = take_incoming(incoming, prepare, output)
    else:
        observed = read_observed(ms, field_ids, prepare, output)
    return Arrived(observed, good, flagged)


@dataclass(frozen=True, eq=False)
class _Correction:
    """The correction of an observation's visibilities; see `visibility_loops.correct`."""

    first: Ints
    second: Ints
    time: Ints
    window: Ints
    path_s: Floats
    channels_hz: Floats
    receptors: Ints
    inverse: NDArray[np.complex64]
    missing: Bools

    @classmethod
    def of(
        cls,
        observed: Observed,
        tables: Sequence[TableToApply],
        maps: Sequence[Sequence[int]],
        center_rad: tuple[float, float] | None,
    ) -> "_Correction":
        """Return the correction of an observation, whose weights and UVW are corrected at once."""
        read = [read_table(table) for table in tables]
        used = [observed.first, observed.second, *(t.solutions.antennas for t in read)]
        n_antennas = 1 + max(int(antennas.max(initial=-1)) for antennas in used)
        times_s, when = observed.moments
        numbers = list(observed.channels_hz)
        windows_of, receptors = _window_ids(observed.ms), read_receptors(observed.ms, numbers)

        def combined(number: int) -> Jones:
            served: list[tuple[TableSolutions, int]] = [
                (table, spwmap[windows_of[number]])
                for table, spwmap in zip(read, maps, strict=True)
            ]
            return combine(served, n_antennas, times_s, observed.channels_hz[number])

        n_channels, n_correlations = observed.flag.shape[1:]
        shape = (len(numbers), times_s.size, n_antennas, 2, n_channels)
        inverse, missing = np.empty(shape, np.complex64), np.empty(shape, np.bool_)
        window = np.empty(observed.rows.size, np.int64)
        power = np.empty(shape[:4], np.float32)
        with ThreadPoolExecutor(n_cores()) as pool:
            products = pool.map(combined, numbers)
            for i, (number, jones) in enumerate(zip(numbers, products, strict=True)):
                pairs = receptors[number]
                if len(pairs) != n_correlations:
                    raise UnreadableObservation(
                        f"{observed.ms}: data description {number} has {len(pairs)} correlations, "
                        f"its data {n_correlations}",
                        path=str(observed.ms),
                    )
                inverse[i], missing[i], power[i] = 1 / jones.factor, jones.flag, jones.weight
                window[observed.rows_of(number)] = i
        receptors_of = np.array([receptors[n] for n in numbers], np.int64).reshape(
            -1, n_correlations, 2
        )
        rows = (observed.first, observed.second, when.astype(np.int64, copy=False), window)
        scale_weights(observed.weight, *rows, receptors_of, power)
        return cls(
            *rows,
            path_s=_turn(observed, center_rad),
            channels_hz=np.array(list(observed.channels_hz.values())).reshape(-1, n_channels),
            receptors=receptors_of,
            inverse=inverse,
            missing=missing,
        )

    def apply(self, part: slice, data: NDArray[np.complex64], flag: Bools) -> None:
        """Calibrate and phase-rotate some rows, and add to their flags, in place."""
        correct(
            data,
            flag,
            self.first[part],
            self.second[part],
            self.time[part],
            self.window[part],
            self.path_s[part],
            self.channels_hz,
            self.receptors,
            self.inverse,
            self.missing,
        )


def _turn(observed: Observed, center_rad: tuple[float, float] | None) -> Floats:
    """Rotate the baselines; return the increase of the path to the phase centre, seconds."""
    path_s = np.zeros(observed.rows.size)
    if center_rad is not None:
        directions_rad = phase_centers_rad(observed.ms)
        turns = np.array([rotation((ra, dec), center_rad) for ra, dec in directions_rad.tolist()])
        turn_baselines(observed.uvw_m, observed.field, turns, path_s)
        path_s /= speed_of_light
    return path_s


def _window_ids(ms: Path) -> Ints:
    with opened(ms / "DATA_DESCRIPTION") as tb:
        return np.asarray(tb.getcol("SPECTRAL_WINDOW_ID"), np.int64)


def _axes(ra_rad: float, dec_rad: float) -> Floats:
    """Return the unit vectors of u, v and w for a phase centre, as rows, shape (3, 3)."""
    sin_ra, cos_ra = np.sin(ra_rad), np.cos(ra_rad)
    sin_dec, cos_dec = np.sin(dec_rad), np.cos(dec_rad)
    return np.array(
        [
            [-sin_ra, cos_ra, 0.0],
            [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec],
            [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec],
        ]
    )


def rotation(old_rad: tuple[float, float], new_rad: tuple[float, float]) -> Floats:
    """Return the matrix that rotates baselines from one phase centre to another, shape (3, 3).

    Parameters
    ----------
    old_rad, new_rad : (float, float)
        Right ascension and declination of the two centres, radians, in one frame.

    Notes
    -----
    The baseline b stays, the axes rotate: ``uvw = R b``. About the centre s0 a source at s has the
    phase ``2 pi nu / c (b.s - b.s0)``, and b.s0 is w (Thompson, Moran & Swenson, 3rd ed., 3.1): so
    visibilities are multiplied by ``exp(2 pi i nu path / c)``, with path the old minus the new w.
    """
    return _axes(*new_rad) @ _axes(*old_rad).T
