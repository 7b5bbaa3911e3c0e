"""The visibilities of a calibrated MS in memory: Stokes I, averaged as far as that does no harm.

Belongs here: reading them, once, and the noise in them. Doesn't: weighting schemes, images.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.errors import ImagingFailed, UnreadableObservation
from contimg_resources.imaging.averaging import Parts, average, parts_of_rows
from contimg_resources.imaging.layout import Layout, Setup
from contimg_resources.times import mjd_from_casa_seconds

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

#: Visibilities that are read at once.
_CHUNK = 16_000_000
#: Rows from which the noise is measured, about.
_NOISE_ROWS = 40_000


@dataclass(frozen=True)
class Visibilities:
    """The selected visibilities of a calibrated MS as points in the uv plane.

    Parameters
    ----------
    uvw : ndarray, shape (n, 3)
        Baselines, wavelengths.
    values : ndarray of complex64, shape (n,)
        Stokes I, Jy.
    weight : ndarray of float32, shape (n,)
        Natural weight: sum over the averaged channels of the mean weight of the parallel hands
        (1/Jy^2 as the MS has it).
    variance : ndarray of float32, shape (n,)
        Variance of the real or imaginary part according to the weights, Jy^2.
    field_ids : ndarray of int16, shape (n,)
        Row of the FIELD table.
    channel_ids : ndarray of int16, shape (n,)
        Channel nearest to the point's mean frequency, an index of `channels_hz`.
    channels_hz : ndarray, shape (n_channels,)
        Centres of all selected channels, Hz.
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

    uvw: Floats
    values: NDArray[np.complex64]
    weight: Singles
    variance: Singles
    field_ids: NDArray[np.int16]
    channel_ids: NDArray[np.int16]
    channels_hz: Floats
    bandwidth_hz: float
    noise_scale: float
    telescope: str
    phase_center_deg: tuple[float, float]
    pointings_deg: Floats
    start_mjd: float
    end_mjd: float
    origin: dict[str, Any]

    @property
    def w_extent_wavelengths(self) -> float:
        """Largest abs(w), wavelengths."""
        return float(np.abs(self.uvw[:, 2]).max())

    @property
    def shortest_fringe_rad(self) -> float:
        """Fringe of the largest abs(u) or abs(v), radians."""
        return 1.0 / max(1.0, float(np.abs(self.uvw[:, :2]).max()))


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
        uvw_m = np.ascontiguousarray(table.getcol("UVW").T[layout.rows])
        n_parts = parts_of_rows(layout, uvw_m, half_width_rad)
        found = _Found(layout, uvw_m, n_parts)
        # CASA reads with one core; the other one averages what was read before.
        with ThreadPoolExecutor(max_workers=1) as other:
            waiting: Future[None] | None = None
            for setups, rows in _alike(layout):
                for chosen in _chunks(rows, setups[0]):
                    cells = _Cells.read(table, layout.rows[chosen])
                    if waiting is not None:
                        waiting.result()
                    waiting = other.submit(found.add, cells, setups, chosen)
            if waiting is not None:
                waiting.result()
    finally:
        table.close()
    if found.n_not_finite:
        raise ImagingFailed(
            f"{layout.ms}: {found.n_not_finite} of its unflagged values are not finite",
            path=str(layout.ms),
        )
    points = found.points()
    if not len(points.weight):
        raise ImagingFailed(f"{layout.ms}: all selected data are flagged", path=str(layout.ms))
    edges_hz = np.concatenate(
        [np.concatenate([s.channels_hz - s.widths_hz / 2, s.channels_hz + s.widths_hz / 2])
         for s in layout.setups]
    )  # fmt: skip
    return Visibilities(
        uvw=points.uvw,
        values=points.values,
        weight=points.weight,
        variance=points.variance,
        field_ids=points.field_ids,
        channel_ids=points.channel_ids,
        channels_hz=layout.channels_hz,
        bandwidth_hz=float(np.ptp(edges_hz)),
        noise_scale=found.noise_scale(),
        telescope=layout.telescope,
        phase_center_deg=layout.phase_center_deg,
        pointings_deg=layout.pointings_deg,
        start_mjd=mjd_from_casa_seconds(found.first_s),
        end_mjd=mjd_from_casa_seconds(found.last_s),
        origin=layout.origin,
    )


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


class _Found:
    """Gathers points chunk by chunk."""

    def __init__(self, layout: Layout, uvw_m: Floats, n_parts: Integers) -> None:
        self.layout = layout
        self.uvw_m = uvw_m
        self.n_parts = n_parts
        self.first_s, self.last_s = np.inf, -np.inf
        self.n_not_finite = 0
        self._parts: list[Parts] = []
        self._deviations: list[Floats] = []
        counts = [len(s.channels_hz) for s in layout.setups]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._start = {s.id: int(i) for s, i in zip(layout.setups, starts, strict=True)}

    def add(self, cells: "_Cells", setups: list[Setup], places: Integers) -> None:
        """Average the rows at these places of the selection."""
        setup = setups[0]
        parts, not_finite, seen = average(
            data=cells.data,
            flag=cells.flag,
            flag_row=cells.flag_row,
            weight=cells.weight,
            uvw_m=self.uvw_m[places],
            field_ids=self.layout.field_ids[places],
            n_parts=self.n_parts[places],
            window=np.searchsorted([s.id for s in setups], self.layout.setup_ids[places]),
            channels_hz=np.array([s.channels_hz for s in setups]),
            first_channel=np.array([self._start[s.id] for s in setups]),
            channels=setup.channels,
            hands=np.array(setup.hands),
        )
        self._parts.append(parts)
        self.n_not_finite += not_finite
        if not seen.any():
            return
        time_s, half_s = cells.time_s[seen], 0.5 * cells.interval_s[seen]
        self.first_s = min(self.first_s, float((time_s - half_s).min()))
        self.last_s = max(self.last_s, float((time_s + half_s).max()))
        some = np.flatnonzero(seen)[:: max(1, len(self.layout.rows) // _NOISE_ROWS)]
        weight = cells.weight[some]
        self._deviations.append(
            _deviations(
                cells.data[some][:, setup.channels][:, :, setup.hands],
                cells.flag[some][:, setup.channels][:, :, setup.hands],
                (weight if weight.shape[1] == 1 else weight[:, setup.channels])[:, :, setup.hands],
            )
        )

    def points(self) -> Parts:
        """Return all points that have weight."""
        return Parts.together(self._parts)

    def noise_scale(self) -> float:
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
class _Cells:
    """Columns of some rows of an open table; arrays have the row first."""

    data: NDArray[np.complex64]
    flag: NDArray[np.bool_]
    flag_row: NDArray[np.bool_]
    weight: Singles
    time_s: Floats
    interval_s: Floats

    @classmethod
    def read(cls, table: Any, rows: Integers) -> "_Cells":
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
