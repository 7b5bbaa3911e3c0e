"""Plan the MS of an observation from the headers of its sub-band files.

Belongs here: which files belong together, the order of rows, and what differs between UVH5 and MS:
signs, orders, missing parts. Doesn't: writing tables (`contimg_resources.correlator.tables`),
directions (`contimg_resources.correlator.phasing`), reading visibilities
(`contimg_resources.correlator.reading`).

Each integration gets a phase centre of its own, where the dishes pointed at that time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import erfa  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import (
    ConfigurationError,
    UnreadableObservation,
    UnreadableSubBand,
)
from contimg_resources.core.times import casa_seconds_from_mjd
from contimg_resources.correlator.agreement import agreeing
from contimg_resources.correlator.layout import Layout, layout_of
from contimg_resources.correlator.model import ConversionRequest
from contimg_resources.correlator.phasing import Sky
from contimg_resources.correlator.sub_band import SUB_BAND_HZ, SubBand, header_of
from contimg_resources.correlator.tables import CODES, MsPlan
from contimg_resources.correlator.uvh5 import Floats, Ints, opened_sub_band
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS


@dataclass(frozen=True)
class Part:
    """A usable sub-band."""

    header: SubBand  #: Its header.
    layout: Layout  #: Its rows and antennas.
    #: Rows of the file, in the order of the observation's baselines. Shape (integrations,
    #: baselines).
    rows: Ints


@dataclass(frozen=True)
class Signs:
    """How the baselines of UVH5 become those of the MS, as pyuvdata writes them.

    UVH5's phase has the sign opposite to that of an MS. If the first antenna is always the one with
    the lower number, the conjugates are written. If it is always the higher one, nothing changes.
    If both occur, antennas are exchanged until it is always the higher one.
    """

    #: `conjugated`, `exchanged`: Whether the MS holds the conjugate of a baseline, and its antennas
    #: in the other order. Shape (baselines,).
    conjugated: NDArray[np.bool_]
    exchanged: NDArray[np.bool_]

    @classmethod
    def of(cls, first: Ints, second: Ints) -> "Signs":
        """Return the signs of baselines between these antennas."""
        ascending = first < second
        every = bool(np.all(first <= second))
        if bool(ascending.any()) == every:
            same = np.full(first.shape, every)
            return cls(same, np.zeros_like(same))
        return cls(ascending, ascending)


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of an observation's MS."""

    parts: tuple[Part, ...]  #: The usable sub-bands; the first gives the order of the baselines.
    tables: MsPlan  #: Contents of the tables.
    w_m: Floats  #: w of each baseline as UVH5 counts it, metres. Shape (integrations, baselines).
    signs: Signs  #: What is conjugated.
    declination_deg: float  #: Apparent declination of the dishes, degrees.
    predicted: bool  #: Whether the IERS tables don't reach its date.

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of integrations, windows and baselines: the MS has these rows in this order."""
        return (self.w_m.shape[0], N_SPECTRAL_WINDOWS, self.w_m.shape[1])

    @property
    def cell(self) -> tuple[int, int]:
        """Numbers of channels and of polarisations of a row."""
        return (self.tables.frequencies_hz.shape[1], len(self.tables.polarisations))


def plan_observation(request: ConversionRequest, rejected: dict[str, str]) -> Plan:
    """Plan the MS of an observation.

    Parameters
    ----------
    request : ConversionRequest
        The request.
    rejected : dict of str to str
        Receives why files aren't used, by path.

    Raises
    ------
    UnreadableObservation
        If too few sub-bands are usable; the message names each reason.
    ConfigurationError
        If no declination is known.
    """
    parts = _parts(request, rejected)
    check_enough(request, len(parts), rejected)
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
    return _plan(parts, sky, declination_deg)


def _parts(request: ConversionRequest, rejected: dict[str, str]) -> list[Part]:
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
        parts.append(Part(header, layout, rows))
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


def check_enough(request: ConversionRequest, n_usable: int, rejected: dict[str, str]) -> None:
    """Refuse an observation with too few usable sub-bands.

    Raises
    ------
    UnreadableObservation
        If there are too few; the message names each reason.
    """
    if n_usable < request.settings.min_subbands or not n_usable:
        reasons = "; ".join(rejected.values()) or "no other files were given"
        raise UnreadableObservation(
            f"{request.ms.name}: {n_usable} of {N_SPECTRAL_WINDOWS} sub-bands are usable, "
            f"at least {request.settings.min_subbands} are required: {reasons}",
            path=str(request.ms),
        )


def _plan(parts: Sequence[Part], sky: Sky, declination_deg: float) -> Plan:
    header, layout = parts[0].header, parts[0].layout
    ra_rad, dec_rad = sky.meridian_rad(float(np.radians(declination_deg)))
    antennas_m = sky.antenna_uvw_m(ra_rad, dec_rad, layout.positions_m)
    first, second = (np.searchsorted(layout.numbers, a) for a in (layout.first, layout.second))
    uvw_m = antennas_m[:, second] - antennas_m[:, first]
    signs = Signs.of(layout.first, layout.second)
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
    tables = MsPlan(
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
    return Plan(
        parts=tuple(parts),
        tables=tables,
        w_m=np.ascontiguousarray(uvw_m[:, :, 2]),
        signs=signs,
        declination_deg=declination_deg,
        predicted=sky.predicted,
    )


def _frequencies_hz(parts: Sequence[Part]) -> Floats:
    """Return ascending channel centres of all windows; missing ones lie beside the others."""
    known = {p.header.number: np.sort(p.layout.frequencies_hz) for p in parts}
    low, high = min(known), max(known)
    step_hz = (known[high] - known[low]) / (high - low) if high > low else -SUB_BAND_HZ
    rows = []
    for number in range(N_SPECTRAL_WINDOWS):
        near = min(known, key=lambda k: abs(k - number))
        rows.append(known[near] + (number - near) * step_hz)
    return np.array(rows)
