"""Convert the sub-bands of an observation to a MeasurementSet. Runs in a CASA process.

Belongs here: the order of work, and what differs between UVH5 and MS: signs, orders, missing parts.
Doesn't: tables (`contimg_resources.correlator.tables`), directions
(`contimg_resources.correlator.phasing`), grouping (`contimg_resources.correlator.arrival`).

Each integration gets a phase centre of its own, where the dishes pointed at that time. One sub-band
is read while another is turned, and everything is written into the columns' tiles.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import erfa  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.ms.large_columns import NewColumn, write_flags
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import (
    ConfigurationError,
    UnreadableObservation,
    UnreadableSubBand,
)
from contimg_resources.core.progress import report_progress
from contimg_resources.core.times import casa_seconds_from_mjd
from contimg_resources.correlator.agreement import agreeing
from contimg_resources.correlator.chunks import FileBytes, read_dataset
from contimg_resources.correlator.layout import Layout, layout_of
from contimg_resources.correlator.loops import as_complex, turn_visibilities
from contimg_resources.correlator.model import Conversion, ConversionRequest
from contimg_resources.correlator.phasing import Sky
from contimg_resources.correlator.sub_band import SUB_BAND_HZ, SubBand, header_of
from contimg_resources.correlator.tables import CODES, MsPlan, create_ms, write_weights
from contimg_resources.correlator.uvh5 import Floats, Ints, opened_sub_band
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS

#: Visibilities, flags and numbers of samples of a sub-band, (rows, channels, polarisations) each.
_KINDS = {"visdata": np.complex64, "flags": np.bool_, "nsamples": np.float32}
_Data = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

#: Deviation of a channel from equal steps that doesn't show in a phase, Hz.
_EVEN_HZ = 0.01


@dataclass(frozen=True)
class _Part:
    """A usable sub-band, its rows in the order of the observation's baselines."""

    header: SubBand
    layout: Layout
    rows: Ints


@dataclass(frozen=True)
class _Signs:
    """How the baselines of UVH5 become those of the MS, as pyuvdata writes them.

    UVH5's phase has the sign opposite to that of an MS. If the first antenna is always the one with
    the lower number, the conjugates are written. If it is always the higher one, nothing changes.
    If both occur, antennas are exchanged until it is always the higher one.
    """

    conjugated: NDArray[np.bool_]
    exchanged: NDArray[np.bool_]

    @classmethod
    def of(cls, first: Ints, second: Ints) -> "_Signs":
        ascending = first < second
        every = bool(np.all(first <= second))
        if bool(ascending.any()) == every:
            same = np.full(first.shape, every)
            return cls(same, np.zeros_like(same))
        return cls(ascending, ascending)


def load_tables() -> None:
    """Load the tables of the Earth's orientation, which takes a second, before they are needed."""
    Sky.at(np.array([2_460_955.0]), (0.0, 0.0, 0.0))


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
    parts = _parts(request, rejected)
    _check_enough(request, parts, rejected)
    head = parts[0].header
    declination_deg = request.declination_deg
    declination_deg = head.declination_deg if declination_deg is None else declination_deg
    if not np.isfinite(declination_deg):
        raise ConfigurationError(
            f"{head.path} doesn't state where the dishes pointed (phase_center_app_dec, or "
            "phase_center_dec among its extra_keywords): state the apparent declination"
        )
    layout = parts[0].layout
    sky = Sky.at(layout.time_jd, layout.site)
    plan, w_m, signs = _plan(parts, sky, declination_deg)
    done: list[int] = []
    with whole_directory(request.ms) as partial:
        report_progress(f"{request.ms.name}: writing subtables", 0.0)
        create_ms(partial, plan)
        flag, lost = _write(partial, request, parts, plan, w_m, signs, rejected, done)
        _check_enough(request, [p for p in parts if p.header.number in done], rejected)
    return Conversion(
        ms=request.ms,
        begin_mjd=head.begin_mjd,
        end_mjd=head.end_mjd,
        declination_deg=declination_deg,
        n_rows=plan.n_rows,
        sub_bands=tuple(done),
        missing=tuple(sorted(set(range(N_SPECTRAL_WINDOWS)) - set(done))),
        rejected=rejected,
        flagged_fraction=flag,
        notes=_notes(parts, sky, lost),
    )


def _parts(request: ConversionRequest, rejected: dict[str, str]) -> list[_Part]:
    """Read the headers, and keep the files that belong together, by sub-band number."""
    headers: list[SubBand] = []
    layouts: dict[Path, Layout] = {}
    for path in request.files:
        try:
            with opened_sub_band(path) as file:
                header = header_of(file, path)
                layouts[path] = layout_of(file, path)
            headers.append(header)
        except UnreadableSubBand as error:
            rejected[str(path)] = error.message
    kept, unlike = agreeing(headers)
    rejected |= unlike
    if not kept:
        return []
    marks = [_mark(layouts[h.path]) for h in kept]
    usual = Counter(marks).most_common(1)[0][0]
    parts = []
    reference = layouts[kept[marks.index(usual)].path]
    order = np.argsort(_pairs(reference))
    for header, mark in zip(kept, marks, strict=True):
        layout = layouts[header.path]
        if mark != usual:
            rejected[str(header.path)] = (
                f"{header.path} has other times, baselines or antennas than most of its observation"
            )
            continue
        rows = np.empty_like(layout.rows)
        rows[:, order] = layout.rows[:, np.argsort(_pairs(layout))]
        parts.append(_Part(header, layout, rows))
    # The first one gives the order of the rows.
    parts.sort(key=lambda p: (p.layout is not reference, p.header.number))
    return parts


def _pairs(layout: Layout) -> Ints:
    return layout.first * (1 << 20) + layout.second


def _mark(layout: Layout) -> tuple[object, ...]:
    """Return what must be the same in all sub-bands of an observation."""
    return (
        layout.time_jd.tobytes(),
        layout.interval_s.tobytes(),
        np.sort(_pairs(layout)).tobytes(),
        layout.numbers.tobytes(),
        layout.names,
        layout.positions_m.tobytes(),
        layout.site,
        layout.unit,
    )


def _check_enough(
    request: ConversionRequest, parts: Sequence[_Part], rejected: dict[str, str]
) -> None:
    if len(parts) < request.settings.min_subbands or not parts:
        reasons = "; ".join(rejected.values()) or "no other files were given"
        raise UnreadableObservation(
            f"{request.ms.name}: {len(parts)} of {N_SPECTRAL_WINDOWS} sub-bands are usable, "
            f"at least {request.settings.min_subbands} are required: {reasons}",
            path=str(request.ms),
        )


def _plan(
    parts: Sequence[_Part], sky: Sky, declination_deg: float
) -> tuple[MsPlan, Floats, _Signs]:
    """Return the tables of the MS, w as UVH5 counts it, (integrations, baselines), and signs."""
    header, layout = parts[0].header, parts[0].layout
    ra_rad, dec_rad = sky.meridian_rad(float(np.radians(declination_deg)))
    antennas_m = sky.antenna_uvw_m(ra_rad, dec_rad, layout.positions_m)
    first, second = (np.searchsorted(layout.numbers, a) for a in (layout.first, layout.second))
    uvw_m = antennas_m[:, second] - antennas_m[:, first]
    signs = _Signs.of(layout.first, layout.second)
    if signs.exchanged.any() and {p[::-1] for p in header.polarisations} != set(
        header.polarisations
    ):
        raise UnreadableObservation(
            f"{header.path} has baselines in both directions, and "
            f"{'/'.join(header.polarisations)} can't be exchanged",
            path=str(header.path),
        )
    n_antennas = int(layout.numbers.max()) + 1
    centre_m = np.asarray(erfa.gd2gc(1, *sky.site), np.float64)
    names, positions_m = [""] * n_antennas, np.tile(centre_m, (n_antennas, 1))
    positions_m[layout.numbers] += layout.positions_m
    diameters_m = np.full(n_antennas, np.median(layout.diameters_m))
    diameters_m[layout.numbers] = layout.diameters_m
    for number, name in zip(layout.numbers.tolist(), layout.names, strict=True):
        names[number] = name
    plan = MsPlan(
        telescope=header.telescope,
        antenna_names=tuple(names),
        antenna_positions_m=positions_m,
        diameters_m=diameters_m,
        field_names=tuple(f"meridian_icrs_t{k}" for k in range(ra_rad.size)),
        field_ra_rad=ra_rad,
        field_dec_rad=dec_rad,
        time_s=np.array([casa_seconds_from_mjd(float(t)) for t in layout.time_mjd]),
        interval_s=layout.interval_s,
        frequencies_hz=_frequencies_hz(parts),
        channel_width_hz=header.channel_width_hz,
        polarisations=tuple(sorted(header.polarisations, key=CODES.__getitem__)),
        first=np.where(signs.exchanged, layout.second, layout.first),
        second=np.where(signs.exchanged, layout.first, layout.second),
        uvw_m=np.where(signs.conjugated[:, None], -uvw_m, uvw_m),
        unit=layout.unit,
        origin="converted from " + ", ".join(p.header.path.name for p in parts),
    )
    return plan, uvw_m[:, :, 2], signs


def _frequencies_hz(parts: Sequence[_Part]) -> Floats:
    """Return ascending channel centres of all windows; missing ones lie beside the others."""
    known = {p.header.number: np.sort(p.layout.frequencies_hz) for p in parts}
    low, high = min(known), max(known)
    step_hz = (known[high] - known[low]) / (high - low) if high > low else -SUB_BAND_HZ
    rows = []
    for number in range(N_SPECTRAL_WINDOWS):
        near = min(known, key=lambda k: abs(k - number))
        rows.append(known[near] + (number - near) * step_hz)
    return np.array(rows)


def _write(
    ms: Path,
    request: ConversionRequest,
    parts: Sequence[_Part],
    plan: MsPlan,
    w_m: Floats,
    signs: _Signs,
    rejected: dict[str, str],
    done: list[int],
) -> tuple[float, dict[str, tuple[int, int]]]:
    """Write the visibilities; return the flagged fraction and what was lost in each file."""
    n_times, n_baselines = w_m.shape
    n_channels, n_products = plan.frequencies_hz.shape[1], len(plan.polarisations)
    shape = (n_times, N_SPECTRAL_WINDOWS, n_baselines)
    columns = [NewColumn(ms, name) for name in ("DATA", "WEIGHT_SPECTRUM")]
    data, spectrum = (c.place(slice(None)).reshape(*shape, n_channels, n_products) for c in columns)
    # What isn't written below is missing.
    flag = np.ones((*shape, n_channels, n_products), np.bool_)
    weight = np.zeros((*shape, n_products), np.float32)
    losses: dict[str, tuple[int, int]] = {}
    for n, (part, read) in enumerate(_read_ahead(parts)):
        number, names = part.header.number, part.header.polarisations
        report_progress(f"{request.ms.name}: sub-band {number}", n / len(parts))
        if isinstance(read, UnreadableSubBand):
            rejected[str(part.header.path)] = read.message
            continue
        descending = part.layout.frequencies_hz[0] > part.layout.frequencies_hz[-1]
        channels = np.arange(n_channels)[:: -1 if descending else 1].copy()
        products = np.array([names.index(name) for name in plan.polarisations])
        products_conjugated = products
        if signs.exchanged.any():
            products_conjugated = np.array([names.index(name[::-1]) for name in plan.polarisations])
        even = _are_even(plan.frequencies_hz[number])
        lost = np.zeros((n_baselines, 2), np.int64)
        total = np.zeros(2, np.int64)
        for k in range(n_times):
            turn_visibilities(
                *read,
                part.rows[k],
                w_m[k],
                signs.conjugated,
                channels,
                plan.frequencies_hz[number],
                even,
                products,
                products_conjugated,
                *(data[k, number], flag[k, number], spectrum[k, number], weight[k, number]),
                lost,
            )
            total += lost.sum(axis=0)
        done.append(number)
        if total.any():
            losses[part.header.path.name] = (int(total[0]), int(total[1]))
    done.sort()
    report_progress(f"{request.ms.name}: writing flags", 1.0)
    for column in columns:
        column.array()
    write_flags(ms, flag.reshape(-1, n_channels, n_products))
    write_weights(ms, weight.reshape(-1, n_products))
    return float(np.count_nonzero(flag) / flag.size), losses


def _are_even(frequencies_hz: Floats) -> bool:
    even_hz = np.linspace(frequencies_hz[0], frequencies_hz[-1], frequencies_hz.size)
    return bool(np.abs(frequencies_hz - even_hz).max() < _EVEN_HZ)


def _read_ahead(parts: Sequence[_Part]) -> Iterator[tuple[_Part, _Data | UnreadableSubBand]]:
    """Yield sub-bands with visibilities, flags and samples, while the next one is being read."""
    header = parts[0].header
    shape = (
        *(header.n_integrations * header.n_baselines, header.n_channels),
        len(header.polarisations),
    )
    # Memory is used again: new memory costs as much as reading into it.
    rooms: list[list[NDArray[Any]]] = [
        [np.empty(shape, kind) for kind in _KINDS.values()] for _ in range(2)
    ]
    content = FileBytes()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read, parts[0], rooms[0], content)
        for n, part in enumerate(parts):
            read = reading.result()
            if n + 1 < len(parts):
                reading = pool.submit(_read, parts[n + 1], rooms[(n + 1) % 2], content)
            yield part, read


def _read(
    part: _Part, room: Sequence[NDArray[Any]], content: FileBytes
) -> _Data | UnreadableSubBand:
    """Read whole datasets, each at once: then the size of HDF5's chunk cache doesn't matter."""
    found: list[NDArray[Any]] = []
    try:
        with opened_sub_band(part.header.path) as file:
            stored = content.read(part.header.path)
            for name, place in zip(_KINDS, room, strict=True):
                dataset = file["Data"][name]
                if read_dataset(dataset, stored, place):
                    found.append(place)
                elif dataset.dtype == place.dtype:
                    dataset.read_direct(place.reshape(dataset.shape))
                    found.append(place)
                else:
                    values = as_complex(dataset[()]) if name == "visdata" else dataset[()]
                    found.append(values.reshape(place.shape).astype(place.dtype))
    except UnreadableSubBand as error:
        return error
    visibilities, flags, samples = found
    return visibilities, flags, samples


def _notes(parts: Sequence[_Part], sky: Sky, losses: dict[str, tuple[int, int]]) -> tuple[str, ...]:
    found = []
    for name, (n_infinite, n_empty) in losses.items():
        if n_infinite:
            found.append(f"{name}: {n_infinite} visibilities are NaN or infinite, and flagged")
        if n_empty:
            found.append(f"{name}: {n_empty} visibilities have no samples, and are flagged")
    if parts[0].layout.renamed:
        found.append("antennas are named from 0 in the files; they are named as stations, from 1")
    if sky.predicted:
        found.append("the IERS tables don't reach its date: UT1 is the nearest known")
    return tuple(found)
