"""The visibilities of a calibrated MS in memory: Stokes I, averaged as far as that does no harm.

Belongs here: reading them, once, and the noise in them. Doesn't: weighting schemes, images.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.errors import ImagingFailed, UnreadableObservation
from contimg_resources.imaging.averaging import average, plan_averaging
from contimg_resources.imaging.layout import Layout, Setup
from contimg_resources.times import mjd_from_casa_seconds

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

#: Visibilities that are read at once.
_CHUNK = 16_000_000
#: Rows from which the noise is measured, about.
_NOISE_ROWS = 40_000
#: Windows agree on a baseline to this, metres.
_SAME_M = 1e-3


@dataclass(frozen=True)
class Block:
    """Visibilities of some baselines, all at the same frequencies.

    Parameters
    ----------
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres: one for each moment and pair of antennas.
    field_ids : ndarray of int16, shape (n_rows,)
        Row of the FIELD table.
    channels_hz : ndarray, shape (n_columns,)
        Mean frequencies of averaged channels, Hz, ascending.
    values : ndarray of complex64, shape (n_rows, n_columns)
        Stokes I, Jy; 0 without weight.
    weight : ndarray of float32, shape (n_rows, n_columns)
        Natural weight: sum over the averaged channels of the mean weight of the parallel hands
        (1/Jy^2 as the MS has it); 0: there are no data.
    variance : ndarray of float32, shape (n_rows,)
        Variance of the real or imaginary part times weight, according to the weights: 1/2 for two
        hands of equal weight.
    """

    uvw_m: Floats
    field_ids: NDArray[np.int16]
    channels_hz: Floats
    values: NDArray[np.complex64]
    weight: Singles
    variance: Singles


@dataclass(frozen=True)
class Visibilities:
    """The selected visibilities of a calibrated MS in memory.

    Parameters
    ----------
    blocks : tuple of Block
        Long and short baselines, which are averaged over less and more channels.
    bandwidth_hz : float
        From the lower edge of the lowest channel to the upper edge of the highest, Hz.
    noise_scale : float
        Noise measured in the data over the noise that the weights claim: 1 when they are true.
    telescope : str
        Telescope name.
    phase_center_deg : (float, float)
        The one phase centre, ICRS degrees.
    pointings_deg : ndarray, shape (n_fields, 2)
        Where the telescope pointed in each field, ICRS degrees.
    start_mjd, end_mjd : float
        Begin of the first and end of the last integration with unflagged data, MJD in days.
    origin : dict
        What the calibrated MS says about its origin.
    """

    blocks: tuple[Block, ...]
    bandwidth_hz: float
    noise_scale: float
    telescope: str
    phase_center_deg: tuple[float, float]
    pointings_deg: Floats
    start_mjd: float
    end_mjd: float
    origin: dict[str, Any]

    @property
    def values(self) -> tuple[NDArray[np.complex64], ...]:
        """Stokes I of each block, Jy."""
        return tuple(b.values for b in self.blocks)

    @property
    def channels_hz(self) -> Floats:
        """Frequencies of all blocks, one after the other, Hz."""
        return np.concatenate([b.channels_hz for b in self.blocks])

    @property
    def w_extent_wavelengths(self) -> float:
        """Largest abs(w), wavelengths."""
        return (
            max(float(np.abs(b.uvw_m[:, 2]).max() * b.channels_hz.max()) for b in self.blocks)
            / speed_of_light
        )

    @property
    def shortest_fringe_rad(self) -> float:
        """Fringe of the largest abs(u) or abs(v), radians."""
        longest = max(
            float(np.abs(b.uvw_m[:, :2]).max() * b.channels_hz.max()) for b in self.blocks
        )
        return 1.0 / max(1.0, longest / speed_of_light)


def read_visibilities(layout: Layout, half_width_rad: float) -> Visibilities:
    """Read and average the visibilities; runs in a CASA process.

    Parameters
    ----------
    layout : Layout
        What is selected.
    half_width_rad : float
        Sources up to so far from the phase centre keep 99 % of their peak, radians.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    ImagingFailed
        If everything is flagged, or unflagged values are not finite.
    """
    try:
        return _read(layout, half_width_rad)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{layout.ms} can't be read: {said}", path=str(layout.ms)
        ) from error


def _read(layout: Layout, half_width_rad: float) -> Visibilities:
    import casatools

    table = casatools.table()
    table.open(str(layout.ms))
    try:
        found = Gathering(layout, Moments.read(table, layout), half_width_rad)
        # CASA reads with one core; the other one averages what was read before.
        with ThreadPoolExecutor(max_workers=1) as other:
            waiting: Future[None] | None = None
            for setups, rows in _alike(layout):
                for chosen in _chunks(rows, setups[0]):
                    cells = Cells.read(table, layout.rows[chosen])
                    if waiting is not None:
                        waiting.result()
                    waiting = other.submit(found.add, cells, setups[0], chosen)
            if waiting is not None:
                waiting.result()
    finally:
        table.close()
    return found.visibilities()


def _alike(layout: Layout) -> Iterator[tuple[list[Setup], Integers]]:
    """Give setups whose cells have one shape, with the places of their rows in the selection."""
    groups: dict[tuple[Any, ...], list[Setup]] = {}
    for setup in layout.setups:
        key = (setup.n_window_channels, setup.hands, tuple(setup.channels))
        groups.setdefault(key, []).append(setup)
    for setups in groups.values():
        yield setups, np.flatnonzero(np.isin(layout.setup_ids, [s.id for s in setups]))


def _chunks(rows: Integers, setup: Setup) -> list[Integers]:
    size = max(1, _CHUNK // (setup.n_window_channels * len(setup.hands)))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True)
class Moments:
    """Which rows of an MS are the same moment of the same baseline, in different windows.

    Parameters
    ----------
    row : ndarray of int, shape (n,)
        For each selected row of the MS, in which row here it goes.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    field_ids : ndarray of int16, shape (n_rows,)
        Fields.
    """

    row: Integers
    uvw_m: Floats
    field_ids: NDArray[np.int16]

    @classmethod
    def read(cls, table: Any, layout: Layout) -> "Moments":
        """Read them from an open MS."""
        time_s, first, second = (
            table.getcol(name)[layout.rows] for name in ("TIME", "ANTENNA1", "ANTENNA2")
        )
        uvw_m = np.ascontiguousarray(table.getcol("UVW").T[layout.rows])
        return cls.of(time_s, first, second, uvw_m, layout)

    @classmethod
    def of(
        cls, time_s: Floats, first: Integers, second: Integers, uvw_m: Floats, layout: Layout
    ) -> "Moments":
        """Find them; where windows disagree on a baseline every row stays for itself.

        Parameters
        ----------
        time_s : ndarray, shape (n,)
            Of each selected row, seconds.
        first, second : ndarray of int, shape (n,)
            Antennas.
        uvw_m : ndarray, shape (n, 3)
            Baselines, metres.
        layout : Layout
            Their setups and fields.
        """
        n, fields = len(time_s), layout.field_ids
        parts = [np.flatnonzero(layout.setup_ids == s.id) for s in layout.setups]
        row = np.empty(n, np.int64)
        if all(
            len(part) == len(parts[0])
            and all(np.array_equal(c[part], c[parts[0]]) for c in (time_s, first, second, fields))
            for part in parts[1:]
        ):
            for part in parts:
                row[part] = np.arange(len(part))
            place = parts[0]
        else:
            keys = np.column_stack([time_s, first, second, fields])
            _, place, row = np.unique(keys, axis=0, return_index=True, return_inverse=True)
            row = row.ravel()
        once = all(np.bincount(row[part]).max(initial=0) <= 1 for part in parts)
        if not once or not np.allclose(uvw_m, uvw_m[place][row], rtol=0, atol=_SAME_M):
            row = place = np.arange(n)
        return cls(row, uvw_m[place], fields[place].astype(np.int16))


class Gathering:
    """Gathers visibilities chunk by chunk.

    Parameters
    ----------
    layout : Layout
        What is selected.
    moments : Moments
        Where its rows go.
    half_width_rad : float
        See `read_visibilities`.
    """

    def __init__(self, layout: Layout, moments: Moments, half_width_rad: float) -> None:
        self.layout = layout
        self.moments = moments
        self._plans = plan_averaging(layout, moments.uvw_m, half_width_rad)
        self._block = np.empty(len(moments.uvw_m), np.int64)
        self._place = np.empty(len(moments.uvw_m), np.int64)
        for number, plan in enumerate(self._plans):
            self._block[plan.rows] = number
            self._place[plan.rows] = np.arange(len(plan.rows))
        shapes = [(len(plan.rows), len(plan.columns_hz)) for plan in self._plans]
        self._values = [np.zeros(shape, np.complex64) for shape in shapes]
        self._weight = [np.zeros(shape, np.float32) for shape in shapes]
        self._spread = np.zeros((len(moments.uvw_m), 2))
        self._first_s, self._last_s = np.inf, -np.inf
        self._n_not_finite = 0
        self._deviations: list[Floats] = []
        self._setup = np.searchsorted([s.id for s in layout.setups], layout.setup_ids)

    def add(self, cells: "Cells", setup: Setup, places: Integers) -> None:
        """Average the rows at these places of the selection, all of setups like this one."""
        rows = self.moments.row[places]
        sums = np.zeros((len(rows), 2))
        not_finite = np.zeros(len(rows), np.int64)
        for number, plan in enumerate(self._plans):
            average(
                np.flatnonzero(self._block[rows] == number),
                self._place[rows],
                self._setup[places],
                cells.data,
                cells.flag,
                cells.flag_row,
                cells.weight,
                setup.channels,
                np.array(setup.hands),
                plan.parts,
                plan.columns,
                self._values[number],
                self._weight[number],
                sums,
                not_finite,
            )
        seen = sums[:, 1] > 0
        np.add.at(self._spread, rows, sums)
        self._n_not_finite += int(not_finite.sum())
        if not seen.any():
            return
        time_s, half_s = cells.time_s[seen], 0.5 * cells.interval_s[seen]
        self._first_s = min(self._first_s, float((time_s - half_s).min()))
        self._last_s = max(self._last_s, float((time_s + half_s).max()))
        some = np.flatnonzero(seen)[:: max(1, len(self.layout.rows) // _NOISE_ROWS)]
        weight = cells.weight[some]
        self._deviations.append(
            _deviations(
                cells.data[some][:, setup.channels][:, :, setup.hands],
                cells.flag[some][:, setup.channels][:, :, setup.hands],
                (weight if weight.shape[1] == 1 else weight[:, setup.channels])[:, :, setup.hands],
            )
        )

    def visibilities(self) -> Visibilities:
        """Return what was gathered.

        Raises
        ------
        ImagingFailed
            If everything is flagged, unflagged values are not finite, or their noise can't be
            measured.
        """
        layout = self.layout
        if self._n_not_finite:
            raise ImagingFailed(
                f"{layout.ms}: {self._n_not_finite} of its unflagged values are not finite",
                path=str(layout.ms),
            )
        known = self._spread[:, 1] > 0
        if not known.any():
            raise ImagingFailed(f"{layout.ms}: all selected data are flagged", path=str(layout.ms))
        variance = np.zeros(len(known), np.float32)
        variance[known] = self._spread[known, 0] / self._spread[known, 1]
        edges_hz = np.concatenate(
            [
                np.concatenate([s.channels_hz - s.widths_hz / 2, s.channels_hz + s.widths_hz / 2])
                for s in layout.setups
            ]
        )
        return Visibilities(
            blocks=tuple(
                Block(
                    uvw_m=self.moments.uvw_m[plan.rows],
                    field_ids=self.moments.field_ids[plan.rows],
                    channels_hz=plan.columns_hz,
                    values=values,
                    weight=weight,
                    variance=variance[plan.rows],
                )
                for plan, values, weight in zip(
                    self._plans, self._values, self._weight, strict=True
                )
            ),
            bandwidth_hz=float(np.ptp(edges_hz)),
            noise_scale=self._noise_scale(),
            telescope=layout.telescope,
            phase_center_deg=layout.phase_center_deg,
            pointings_deg=layout.pointings_deg,
            start_mjd=mjd_from_casa_seconds(self._first_s),
            end_mjd=mjd_from_casa_seconds(self._last_s),
            origin=layout.origin,
        )

    def _noise_scale(self) -> float:
        """Return the noise over what the weights claim."""
        scale = 1.4826 * float(np.median(np.abs(np.concatenate(self._deviations))))
        if not np.isfinite(scale) or scale <= 0:
            raise ImagingFailed(
                f"{self.layout.ms}: the noise of its unflagged data can't be measured (it comes "
                f"out as {scale}): values are not finite or identical",
                path=str(self.layout.ms),
            )
        return scale


@dataclass(frozen=True)
class Cells:
    """Some rows of an MS.

    Parameters
    ----------
    data, flag : ndarray, shape (n, n_channels, n_correlations)
        Visibilities, Jy, and their flags.
    flag_row : ndarray of bool, shape (n,)
        Flags of whole rows.
    weight : ndarray of float32, shape (n, 1 or n_channels, n_correlations)
        Weights.
    time_s, interval_s : ndarray, shape (n,)
        Middle (MJD in seconds) and length.
    """

    data: NDArray[np.complex64]
    flag: NDArray[np.bool_]
    flag_row: NDArray[np.bool_]
    weight: Singles
    time_s: Floats
    interval_s: Floats

    @classmethod
    def read(cls, table: Any, rows: Integers) -> "Cells":
        """Read some rows of an open table."""
        contiguous = bool(rows[-1] - rows[0] + 1 == len(rows))
        part = table if contiguous else table.selectrows(rows.tolist())
        first, n = (int(rows[0]), len(rows)) if contiguous else (0, -1)

        def get(column: str) -> NDArray[Any]:
            return np.asarray(part.getcol(column, first, n).T)

        names = part.colnames()
        if "WEIGHT_SPECTRUM" in names and part.iscelldefined("WEIGHT_SPECTRUM", first):
            weight = get("WEIGHT_SPECTRUM")
        else:
            weight = get("WEIGHT")[:, None, :]
        cells = cls(
            data=get("DATA"),
            flag=get("FLAG"),
            flag_row=get("FLAG_ROW"),
            weight=weight.astype(np.float32, copy=False),
            time_s=get("TIME"),
            interval_s=get("INTERVAL"),
        )
        if not contiguous:
            part.close()
        return cells


def _deviations(data: NDArray[np.complex64], flag: NDArray[np.bool_], weight: Singles) -> Floats:
    """Return noise samples in units of what the weights claim; shapes (n_rows, n_channels, 1 or 2).

    Differences of the two parallel hands contain no unpolarised sky; differences of neighbouring
    channels contain no slow one. Both are taken where the data allow it.
    """
    good: Any = ~flag
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.broadcast_to(1.0 / np.where(weight > 0, weight, np.nan), data.shape)
    if data.shape[2] == 2:
        data, variance = data[..., 0] - data[..., 1], variance.sum(axis=2)
        good = good.all(axis=2)
    else:
        data, variance, good = data[..., 0], variance[..., 0], good[..., 0]
    if data.shape[1] > 1:
        data = data[:, 1:] - data[:, :-1]
        variance = variance[:, 1:] + variance[:, :-1]
        good = good[:, 1:] & good[:, :-1]
    good = np.asarray(good & np.isfinite(variance) & np.isfinite(data))
    scaled = data[good] / np.sqrt(variance[good])
    return np.concatenate([scaled.real, scaled.imag]).astype(np.float64)
