"""What runs inside the CASA process to read one MeasurementSet.

Belongs here: reading the main table and its sub-tables through casatools, read-only.
Doesn't: checks that need no CASA, and calibrators (see `contimg_resources.observations.reading`);
phase centres (`contimg_resources.observations.phase_centres`); what antennas and flags amount to
(`contimg_resources.observations.flag_counts`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.casa.progress import report_progress
from contimg_resources.errors import UnreadableObservation
from contimg_resources.observations.casa_table import OpenTable
from contimg_resources.observations.flag_counts import FlagCounts, MainColumns, count_flags
from contimg_resources.observations.model import Antenna, ObservedField, SpectralWindow
from contimg_resources.observations.phase_centres import observed_fields, utc_mjd
from contimg_resources.times import SECONDS_PER_DAY

Floats = NDArray[np.float64]

SUBTABLES = (
    "ANTENNA",
    "FIELD",
    "SPECTRAL_WINDOW",
    "POLARIZATION",
    "DATA_DESCRIPTION",
    "OBSERVATION",
)

#: Columns of the main table that reading, solving and imaging need.
COLUMNS = (
    *("TIME", "INTERVAL", "ANTENNA1", "ANTENNA2", "FIELD_ID", "DATA_DESC_ID"),
    *("UVW", "FLAG_ROW", "FLAG", "WEIGHT", "SIGMA", "DATA"),
)

#: Names of the correlation codes of the MeasurementSet definition (casacore's Stokes types).
_CORRELATIONS = dict(
    enumerate(("I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY"), start=1)
)


@dataclass(frozen=True)
class ReadRequest:
    """What to read.

    Parameters
    ----------
    path : Path
        The MS, absolute.
    sampled_integrations : int
        How many integrations are searched at most for data of an antenna (see
        `contimg_resources.observations.flag_counts`).
    chunk_bytes : int
        Visibility columns are read in pieces of about this size, bytes.
    """

    path: Path
    sampled_integrations: int = 6
    chunk_bytes: int = 64_000_000


@dataclass(frozen=True)
class MeasurementSetContent:
    """What a MeasurementSet says; see `contimg_resources.observations.model.Observation`.

    Parameters
    ----------
    telescope : str
        Telescope name.
    dish_diameter_m : float
        Median dish diameter of the ANTENNA table, metres; 0 where the MS doesn't say.
    start_mjd, end_mjd : float
        Begin of the first and end of the last integration, MJD in days (UTC).
    integration_s : float
        Median of INTERVAL, seconds.
    n_integrations, n_rows : int
        Distinct times, and rows of the main table.
    fields : tuple of ObservedField
        Those with data, by time.
    antennas : tuple of Antenna
        All rows of ANTENNA.
    spectral_windows : tuple of SpectralWindow
        All rows of SPECTRAL_WINDOW, as a caltable has them, by frequency.
    correlations : tuple of str
        Such as ``("XX", "YY")``.
    flagged_fraction : float
        Over the cross-correlations of working antennas; 1 when none works.
    """

    telescope: str
    dish_diameter_m: float
    start_mjd: float
    end_mjd: float
    integration_s: float
    n_integrations: int
    n_rows: int
    fields: tuple[ObservedField, ...]
    antennas: tuple[Antenna, ...]
    spectral_windows: tuple[SpectralWindow, ...]
    correlations: tuple[str, ...]
    flagged_fraction: float


@dataclass(frozen=True)
class _Setup:
    windows: tuple[SpectralWindow, ...]
    correlations: tuple[str, ...]
    shapes: NDArray[np.int64]


def read_measurement_set(request: ReadRequest) -> MeasurementSetContent:
    """Read one MeasurementSet; runs in a CASA process, opens everything read-only.

    Times come from TIME and INTERVAL alone. FLAG and FLAG_ROW are read whole, in chunks; DATA is
    sampled (see `contimg_resources.observations.flag_counts.count_flags`), and the last cells of
    all columns are read because CASA opens a truncated file without complaint.

    Raises
    ------
    UnreadableObservation
        Naming path, column or sub-table, and reason.
    """
    path = request.path
    with OpenTable(path, path) as main:
        missing = [c for c in COLUMNS if c not in main.columns]
        if missing:
            raise main.unreadable(f"has no column {', '.join(missing)} in its main table")
        subtables = [s for s in SUBTABLES if not (path / s / "table.dat").is_file()]
        if subtables:
            raise main.unreadable(f"has no sub-table {', '.join(subtables)}")
        if main.n_rows == 0:
            raise main.unreadable("has no rows: no data were written")
        columns = _main_columns(main)
        clock_offset_s = _offset_to_utc_s(main, columns.time_s)
        setup = _spectral_setup(path, columns)
        _read_last_cells(main, columns, setup.shapes)
        names, dish_diameter_m = _antennas(path, columns)
        telescope = _telescope(path)
        fields = observed_fields(path, columns, clock_offset_s)
        report_progress("reading FLAG and DATA", 0.3)
        counts = count_flags(
            main,
            columns,
            setup.shapes,
            len(names),
            sampled_integrations=request.sampled_integrations,
            chunk_bytes=request.chunk_bytes,
        )
    start_s = float(np.min(columns.time_s - 0.5 * columns.interval_s)) + clock_offset_s
    end_s = float(np.max(columns.time_s + 0.5 * columns.interval_s)) + clock_offset_s
    return MeasurementSetContent(
        telescope=telescope,
        dish_diameter_m=dish_diameter_m,
        start_mjd=utc_mjd(path, start_s),
        end_mjd=utc_mjd(path, end_s),
        integration_s=float(np.median(columns.interval_s)),
        n_integrations=columns.n_integrations,
        n_rows=columns.time_s.size,
        fields=fields,
        antennas=_judged(names, counts),
        spectral_windows=setup.windows,
        correlations=setup.correlations,
        flagged_fraction=counts.flagged_fraction,
    )


def _judged(names: tuple[str, ...], counts: FlagCounts) -> tuple[Antenna, ...]:
    return tuple(
        Antenna(
            id=i,
            name=name,
            working=bool(counts.working[i]),
            flagged_fraction=float(counts.antenna_flagged_fraction[i]),
        )
        for i, name in enumerate(names)
    )


def _main_columns(main: OpenTable) -> MainColumns:
    time_s, interval_s = main.column("TIME"), main.column("INTERVAL")
    for name, values in (("TIME", time_s), ("INTERVAL", interval_s)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise main.unreadable(
                f"column {name} is NaN or infinite in {bad.size} of {values.size} rows, "
                f"first in row {bad[0]}"
            )
    if not interval_s.min() > 0:
        raise main.unreadable("column INTERVAL holds integrations of no length")
    for extreme in (time_s.min(), time_s.max()):
        utc_mjd(main.path, float(extreme))
    return MainColumns(
        time_s=time_s,
        interval_s=interval_s,
        antenna1=main.column("ANTENNA1"),
        antenna2=main.column("ANTENNA2"),
        field_id=main.column("FIELD_ID"),
        data_desc_id=main.column("DATA_DESC_ID"),
        flag_row=main.column("FLAG_ROW").astype(bool),
    )


def _offset_to_utc_s(main: OpenTable, time_s: Floats) -> float:
    """Return what to add to TIME for UTC, s; AIPS-born MS count in TAI."""
    from casatools import measures

    frame = str(main.keywords("TIME").get("MEASINFO", {}).get("Ref", "UTC"))
    if frame == "UTC":
        return 0.0
    me = measures()
    middle_s = float(np.median(time_s))
    try:
        epoch = me.measure(me.epoch(frame, f"{middle_s!r}s"), "UTC")
        return float(epoch["m0"]["value"]) * SECONDS_PER_DAY - middle_s
    except (RuntimeError, KeyError, TypeError) as error:
        raise main.unreadable(
            f"column TIME counts in {frame}, which can't be turned into UTC"
        ) from error


def _spectral_setup(path: Path, columns: MainColumns) -> _Setup:
    with OpenTable(path / "DATA_DESCRIPTION", path) as table:
        window_ids = table.column("SPECTRAL_WINDOW_ID")
        polarization_ids = table.column("POLARIZATION_ID")
        table.check_ids("DATA_DESC_ID", columns.data_desc_id)
    with OpenTable(path / "SPECTRAL_WINDOW", path) as table:
        table.check_ids("SPECTRAL_WINDOW_ID", window_ids)
        windows = [_window(table, i) for i in range(table.n_rows)]
    with OpenTable(path / "POLARIZATION", path) as table:
        table.check_ids("POLARIZATION_ID", polarization_ids)
        products = [
            tuple(_CORRELATIONS.get(int(c), str(c)) for c in table.cell("CORR_TYPE", i))
            for i in range(table.n_rows)
        ]
    used = np.unique(columns.data_desc_id)
    correlations = {products[polarization_ids[i]] for i in used}
    if len(correlations) != 1:
        raise UnreadableObservation(
            f"{path} mixes polarisation products {sorted(correlations)}; one set was expected",
            path=str(path),
        )
    shapes = np.array(
        [
            (len(products[p]), windows[w].n_channels)
            for p, w in zip(polarization_ids, window_ids, strict=True)
        ]
    )
    by_frequency = sorted(windows, key=lambda w: (w.first_hz + w.last_hz, w.id))
    return _Setup(tuple(by_frequency), correlations.pop(), shapes)


def _window(table: OpenTable, row: int) -> SpectralWindow:
    centres_hz = np.atleast_1d(table.cell("CHAN_FREQ", row))
    widths_hz = np.abs(np.atleast_1d(table.cell("CHAN_WIDTH", row)))
    steps = np.sign(np.diff(centres_hz))
    sane = (
        centres_hz.size > 0
        and np.all(np.isfinite(centres_hz) & (centres_hz > 0))
        and np.all(np.isfinite(widths_hz) & (widths_hz > 0))
        and (np.all(steps > 0) or np.all(steps < 0))
    )
    if not sane:
        raise table.unreadable(
            f"spectral window {row} has channel frequencies that are missing, not positive or "
            "not in order"
        )
    return SpectralWindow(
        id=row,
        first_hz=float(centres_hz.min()),
        last_hz=float(centres_hz.max()),
        channel_width_hz=float(np.median(widths_hz)),
        n_channels=int(centres_hz.size),
    )


def _read_last_cells(main: OpenTable, columns: MainColumns, shapes: NDArray[np.int64]) -> None:
    """Read the last cell of each kind: CASA opens a truncated column without complaint."""
    for data_desc_id in np.unique(columns.data_desc_id):
        last = int(np.flatnonzero(columns.data_desc_id == data_desc_id)[-1])
        expected = tuple(int(n) for n in shapes[data_desc_id])
        for name in ("DATA", "FLAG"):
            found = np.shape(main.cell(name, last))
            if found != expected:
                raise main.unreadable(
                    f"column {name} has cells of shape {found} in row {last}, where its "
                    f"sub-tables promise {expected} (correlations, channels)"
                )
        for name in ("UVW", "WEIGHT", "SIGMA"):
            main.cell(name, last)


def _antennas(path: Path, columns: MainColumns) -> tuple[tuple[str, ...], float]:
    with OpenTable(path / "ANTENNA", path) as table:
        table.check_ids("ANTENNA1", columns.antenna1)
        table.check_ids("ANTENNA2", columns.antenna2)
        names = tuple(str(n).strip() for n in table.column("NAME"))
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise table.unreadable(
                f"several antennas have the name {', '.join(map(repr, repeated))}; "
                "antennas are told apart by name"
            )
        diameters = np.asarray(table.column("DISH_DIAMETER"), np.float64)
    diameters = diameters[np.isfinite(diameters) & (diameters > 0)]
    return names, float(np.median(diameters)) if diameters.size else 0.0


def _telescope(path: Path) -> str:
    with OpenTable(path / "OBSERVATION", path) as table:
        names = [str(n).strip() for n in table.column("TELESCOPE_NAME")] if table.n_rows else []
        if not names or not names[0]:
            raise table.unreadable("no telescope is named")
        return names[0]
