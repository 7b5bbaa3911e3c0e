"""Combine the visibilities of all windows into averaged Stokes I visibilities.

Belongs here: which rows belong together, averaging them chunk by chunk, and measuring their noise.
Doesn't: the source of the visibilities (see `reading` and `averaged_visibilities`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.core.times import mjd_from_casa_seconds
from contimg_resources.imaging.averaging import average, plan_averaging
from contimg_resources.imaging.layout import Layout, Setup
from contimg_resources.imaging.visibilities import Block, Visibilities

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

#: Approximate number of rows from which the noise is measured.
_NOISE_ROWS = 40_000
#: Tolerance between windows for the same baseline, metres.
_SAME_M = 1e-3


#: Function that makes an array of zeros from a name, a shape and a type.
Make = Callable[[str, tuple[int, ...], Any], NDArray[Any]]


def in_memory(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Make an array of zeros; the name is unused."""
    return np.zeros(shape, dtype)


@dataclass(frozen=True)
class Moments:
    """Rows of an MS that are the same integration of the same baseline, in different windows."""

    row: Integers  #: For each selected row of the MS, its row here. Shape (n,).
    uvw_m: Floats  #: Baselines, metres. Shape (n_rows, 3).
    field_ids: NDArray[np.int16]  #: Fields. Shape (n_rows,).
    #: `first`, `second`: Antennas. Shape (n_rows,).
    first: NDArray[np.int16]
    second: NDArray[np.int16]
    time_s: Floats  #: Times, seconds. Shape (n_rows,).

    @classmethod
    def of(
        cls, time_s: Floats, first: Integers, second: Integers, uvw_m: Floats, layout: Layout
    ) -> "Moments":
        """Group the rows; where windows disagree on a baseline every row stays separate.

        Parameters
        ----------
        time_s : ndarray, shape (n,)
            Times of the selected rows, seconds.
        first, second : ndarray of int, shape (n,)
            Antennas of the rows.
        uvw_m : ndarray, shape (n, 3)
            Baselines, metres.
        layout : Layout
            Setups and fields of the rows.
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
        return cls(
            row=row,
            uvw_m=uvw_m[place],
            field_ids=fields[place].astype(np.int16),
            first=first[place].astype(np.int16),
            second=second[place].astype(np.int16),
            time_s=time_s[place],
        )


@dataclass(frozen=True)
class Cells:
    """Some rows of an MS."""

    #: `data`, `flag`: Visibilities, Jy, and their flags. Shape (n, n_channels, n_correlations).
    data: NDArray[np.complex64]
    flag: NDArray[np.bool_]
    flag_row: NDArray[np.bool_]  #: Flags of whole rows. Shape (n,).
    weight: Singles  #: Weights. Shape (n, 1 or n_channels, n_correlations).
    #: `time_s`, `interval_s`: Middle (MJD in seconds) and length of the integrations. Shape (n,).
    time_s: Floats
    interval_s: Floats


class Gathering:
    """Gathers visibilities chunk by chunk.

    Parameters
    ----------
    layout : Layout
        The selected part of the MS.
    moments : Moments
        The destination of its rows.
    half_width_rad : float
        See `contimg_resources.imaging.reading.read_visibilities`.
    make : callable
        Makes the large arrays of zeros, from a name, a shape and a type.
    """

    def __init__(
        self, layout: Layout, moments: Moments, half_width_rad: float, make: Make = in_memory
    ) -> None:
        self.layout = layout
        self.moments = moments
        self._plans = plan_averaging(layout, moments.uvw_m, half_width_rad)
        self._block = np.empty(len(moments.uvw_m), np.int64)
        self._place = np.empty(len(moments.uvw_m), np.int64)
        for number, plan in enumerate(self._plans):
            self._block[plan.rows] = number
            self._place[plan.rows] = np.arange(len(plan.rows))
        shapes = [(len(plan.rows), len(plan.columns_hz)) for plan in self._plans]
        self._values = [make(f"values{n}", s, np.complex64) for n, s in enumerate(shapes)]
        self._unlike = [make(f"unlike{n}", s, np.complex64) for n, s in enumerate(shapes)]
        self._weight = [make(f"weight{n}", s, np.float32) for n, s in enumerate(shapes)]
        self._spread = np.zeros((len(moments.uvw_m), 2))
        self._first_s, self._last_s = np.inf, -np.inf
        self._n_not_finite = 0
        self._deviations: list[Floats] = []
        self._setup = np.searchsorted([s.id for s in layout.setups], layout.setup_ids)

    def add(self, cells: Cells, setup: Setup, places: Integers) -> None:
        """Average the rows at these positions of the selection, all of setups like this one."""
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
                self._unlike[number],
                self._weight[number],
                sums,
                not_finite,
            )
        seen = sums[:, 1] > 0
        for column in (0, 1):
            self._spread[:, column] += np.bincount(rows, sums[:, column], len(self._spread))
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
        """Return the combined visibilities.

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
            raise ImagingFailed(
                f"{layout.ms}: all selected data are flagged or have no weight above zero",
                path=str(layout.ms),
            )
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
                    unlike=unlike if all(len(s.hands) == 2 for s in layout.setups) else None,
                    weight=weight,
                    variance=variance[plan.rows],
                    first=self.moments.first[plan.rows],
                    second=self.moments.second[plan.rows],
                    time_s=self.moments.time_s[plan.rows],
                )
                for plan, values, unlike, weight in zip(
                    self._plans, self._values, self._unlike, self._weight, strict=True
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
            antenna_names=layout.antenna_names,
        )

    def _noise_scale(self) -> float:
        """Return the ratio of the noise to that implied by the weights."""
        scale = 1.4826 * float(np.median(np.abs(np.concatenate(self._deviations))))
        if not np.isfinite(scale) or scale <= 0:
            raise ImagingFailed(
                f"{self.layout.ms}: the noise of its unflagged data can't be measured (it comes "
                f"out as {scale}): values are not finite or identical",
                path=str(self.layout.ms),
            )
        return scale


def _deviations(data: NDArray[np.complex64], flag: NDArray[np.bool_], weight: Singles) -> Floats:
    """Return noise samples relative to the weights; shapes (n_rows, n_channels, 1 or 2).

    Differences of the two parallel hands remove the unpolarised sky; differences of neighbouring
    channels remove signals that vary slowly. Both are used where the data allow it.
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
