"""What imaging needs to know of the visibilities besides their values.

Belongs here: reading uvw, weights, times, pointings and the noise of a calibrated MS, once.
Doesn't: weighting schemes, images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.calibration.apply import field_directions, read_origin
from contimg_resources.errors import ImagingFailed, UnreadableObservation
from contimg_resources.times import mjd_from_casa_seconds

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_CHUNK_ROWS = 50_000
#: Codes of CORR_TYPE whose mean is Stokes I: XX YY, RR LL, I itself.
_PARALLEL = ((9, 12), (5, 8), (1,))
#: Rows of each spectral window from which the noise is measured.
_NOISE_ROWS = 3_000


@dataclass(frozen=True)
class Block:
    """The Stokes I visibilities of one spectral window, without their values.

    Parameters
    ----------
    channels_hz : ndarray, shape (n_channels,)
        Channel centres, Hz.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    field_ids : ndarray of int, shape (n_rows,)
        Row of the FIELD table.
    weight : ndarray of float32, shape (n_rows, n_channels)
        Mean weight of the parallel hands (1/Jy^2 as the MS has it), 0 where one is flagged.
    variance : ndarray of float32, shape (n_rows, 1 or n_channels)
        Variance of the real or imaginary part of their mean according to the weights, Jy^2.
    """

    channels_hz: Floats
    uvw_m: Floats
    field_ids: NDArray[np.int64]
    weight: Singles
    variance: Singles


@dataclass(frozen=True)
class Visibilities:
    """All selected visibilities of a calibrated MS, without their values.

    Parameters
    ----------
    blocks : tuple of Block
        One a spectral window.
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
        return max(
            float(np.abs(b.uvw_m[:, 2]).max() * b.channels_hz.max()) / speed_of_light
            for b in self.blocks
        )


def read_visibilities(
    ms: Path, field_selection: str = "", spw_selection: str = "", uvrange: str = ""
) -> Visibilities:
    """Read what imaging needs besides the data; runs in a CASA process.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    ImagingFailed
        If the selection is empty, everything is flagged or not finite, or its fields have several
        phase centres.
    """
    if not (ms / "table.dat").is_file():
        raise UnreadableObservation(f"{ms} is no MeasurementSet", path=str(ms))
    try:
        return _read(ms, field_selection, spw_selection, uvrange)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(f"{ms} can't be read: {said}", path=str(ms)) from error


def _read(ms: Path, field: str, spw: str, uvrange: str) -> Visibilities:
    import casatools

    rows, channels = _select(ms, field, spw, uvrange)
    table = casatools.table()
    table.open(str(ms))
    try:
        description = table.getcol("DATA_DESC_ID")[rows]
        windows, setups = _column(ms, "DATA_DESCRIPTION", "SPECTRAL_WINDOW_ID", "POLARIZATION_ID")
        blocks, deviations, times = [], [], []
        for number in np.unique(description):
            window = int(windows[number])
            hands = _parallel_hands(ms, int(setups[number]))
            block, deviation, seen = _read_block(
                table, rows[description == number], ms, window, channels.get(window), hands
            )
            if block is not None:
                blocks.append(block)
                deviations.append(deviation)
                times.append(seen)
    finally:
        table.close()
    if not blocks:
        raise ImagingFailed(f"{ms}: all selected data are flagged", path=str(ms))
    noise_scale = 1.4826 * float(np.median(np.abs(np.concatenate(deviations))))
    if not np.isfinite(noise_scale) or noise_scale <= 0:
        raise ImagingFailed(
            f"{ms}: the noise of its unflagged data can't be measured (it comes out as "
            f"{noise_scale}): values are not finite or identical",
            path=str(ms),
        )
    used = np.unique(np.concatenate([b.field_ids for b in blocks]))
    telescopes = sorted({str(t) for t in _column(ms, "OBSERVATION", "TELESCOPE_NAME")[0]})
    if len(telescopes) != 1:
        raise ImagingFailed(
            f"{ms} was observed by {', '.join(telescopes) or 'no named telescope'}: one primary "
            "beam was expected",
            path=str(ms),
        )
    return Visibilities(
        blocks=tuple(blocks),
        noise_scale=noise_scale,
        telescope=telescopes[0],
        phase_center_deg=_one_center(ms, used),
        pointings_deg=field_directions(ms, "REFERENCE_DIR"),
        start_mjd=mjd_from_casa_seconds(min(t[0] for t in times)),
        end_mjd=mjd_from_casa_seconds(max(t[1] for t in times)),
        origin=read_origin(ms),
    )


def _select(
    ms: Path, field: str, spw: str, uvrange: str
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """Return row numbers, and for each window the channels when only some are selected."""
    import casatools

    tool = casatools.ms()
    tool.open(str(ms))
    try:
        wanted = {"field": field, "spw": spw, "uvdist": uvrange, "baseline": "*&"}
        if not tool.msselect({name: text for name, text in wanted.items() if text}):
            raise RuntimeError("no data match")
        rows = np.sort(np.asarray(tool.range(["rows"])["rows"], dtype=np.int64))
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise ImagingFailed(
            f"{ms}: nothing is selected by field {field!r}, spw {spw!r}, uvrange {uvrange!r}: "
            f"{said}",
            path=str(ms),
        ) from error
    finally:
        tool.close()
    channels: dict[int, list[NDArray[np.int64]]] = {}
    if ":" in spw:
        for window, first, last, step in tool.msseltoindex(str(ms), spw=spw)["channel"]:
            channels.setdefault(int(window), []).append(np.arange(first, last + 1, step))
    return rows, {window: np.concatenate(parts) for window, parts in channels.items()}


def _column(ms: Path, subtable: str, *names: str) -> list[NDArray[Any]]:
    import casatools

    table = casatools.table()
    table.open(str(ms / subtable))
    try:
        return [table.getcol(name) for name in names]
    finally:
        table.close()


def _parallel_hands(ms: Path, setup: int) -> list[int]:
    import casatools

    table = casatools.table()
    table.open(str(ms / "POLARIZATION"))
    try:
        codes = [int(c) for c in table.getcell("CORR_TYPE", setup)]
    finally:
        table.close()
    for wanted in _PARALLEL:
        found = [codes.index(code) for code in wanted if code in codes]
        if found:
            return found
    raise ImagingFailed(f"{ms}: its correlations (codes {codes}) don't make Stokes I")


def _read_block(
    table: Any,
    rows: NDArray[np.int64],
    ms: Path,
    window: int,
    channels: NDArray[np.int64] | None,
    hands: list[int],
) -> tuple[Block | None, Floats, tuple[float, float]]:
    frequencies = _channels_hz(ms, window)
    chosen = slice(None) if channels is None else channels
    parts: list[tuple[Any, ...]] = []
    first, last = np.inf, -np.inf
    for part in _chunks(table, rows):
        weights = _weights(part)[hands]
        flags = part.getcol("FLAG")[hands][:, chosen].any(axis=0) | part.getcol("FLAG_ROW")[None]
        usable: NDArray[np.bool_] = np.asarray((np.isfinite(weights) & (weights > 0)).all(axis=0))
        safe = np.where(usable, weights, 1.0)
        if safe.shape[1] > 1:
            safe, usable = safe[:, chosen], usable[chosen]
        weight = np.where(~flags & usable, safe.mean(axis=0), 0.0).T.astype(np.float32)
        variance = ((1.0 / safe).sum(axis=0) / len(hands) ** 2).T.astype(np.float32)
        seen = weight.any(axis=1)
        time, half = part.getcol("TIME")[seen], 0.5 * part.getcol("INTERVAL")[seen]
        first = min(first, (time - half).min(initial=np.inf))
        last = max(last, (time + half).max(initial=-np.inf))
        parts.append(
            (
                part.getcol("UVW").T[seen],
                part.getcol("FIELD_ID")[seen].astype(np.int64),
                weight[seen],
                variance[seen],
            )
        )
    uvw, fields, weight, variance = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(uvw):
        return None, np.empty(0), (first, last)
    block = Block(frequencies[chosen], uvw, fields, weight, variance)
    return block, _deviations(table, rows, chosen, hands), (float(first), float(last))


def _channels_hz(ms: Path, window: int) -> Floats:
    import casatools

    table = casatools.table()
    table.open(str(ms / "SPECTRAL_WINDOW"))
    try:
        return np.asarray(table.getcell("CHAN_FREQ", window), dtype=np.float64)
    finally:
        table.close()


def _chunks(table: Any, rows: NDArray[np.int64]) -> Iterator[Any]:
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = table.selectrows(rows[start : start + _CHUNK_ROWS].tolist())
        yield part
        part.close()


def _weights(part: Any) -> Floats:
    """Return weights, shape (n_correlations, 1 or n_channels, n_rows)."""
    if "WEIGHT_SPECTRUM" in part.colnames() and part.iscelldefined("WEIGHT_SPECTRUM", 0):
        return np.asarray(part.getcol("WEIGHT_SPECTRUM"), dtype=np.float64)
    return np.asarray(part.getcol("WEIGHT"), dtype=np.float64)[:, None, :]


def _deviations(table: Any, rows: NDArray[np.int64], chosen: Any, hands: Sequence[int]) -> Floats:
    """Return noise samples in units of what the weights claim.

    Differences of the two parallel hands contain no unpolarised sky; differences of neighbouring
    channels contain no slow one. Both are taken where the data allow it.
    """
    picked = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _NOISE_ROWS)).astype(int))]
    part = table.selectrows(picked.tolist())
    try:
        data = part.getcol("DATA")[list(hands)][:, chosen]
        good = ~part.getcol("FLAG")[list(hands)][:, chosen] & np.isfinite(data)
        weights = _weights(part)[list(hands)]
    finally:
        part.close()
    if weights.shape[1] > 1:
        weights = weights[:, chosen]
    variance = np.broadcast_to(1.0 / np.where(weights > 0, weights, np.nan), data.shape)
    if len(hands) == 2:
        data, variance, good = data[0] - data[1], variance[0] + variance[1], good.all(axis=0)
    else:
        data, variance, good = data[0], variance[0], good[0]
    if data.shape[0] > 1:
        data = data[1:] - data[:-1]
        variance = variance[1:] + variance[:-1]
        good = good[1:] & good[:-1]
    scaled = (data / np.sqrt(variance))[good & np.isfinite(variance)]
    return np.concatenate([scaled.real, scaled.imag]).astype(np.float64)


def _one_center(ms: Path, used: NDArray[np.int64]) -> tuple[float, float]:
    ra, dec = field_directions(ms)[used].T
    east = (ra - ra[0] + 180) % 360 - 180
    spread_arcsec = 3600 * max(np.ptp(east) * np.cos(np.deg2rad(dec[0])), np.ptp(dec))
    if spread_arcsec > 0.1:
        raise ImagingFailed(
            f"{ms}: its {len(used)} fields have phase centres {spread_arcsec / 3600:.3f} deg "
            "apart; they must be brought to one before imaging",
            path=str(ms),
        )
    return float(ra[0]), float(dec[0])
