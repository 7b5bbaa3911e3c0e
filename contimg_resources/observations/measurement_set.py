"""Read one MeasurementSet inside the CASA process.

Belongs here: reading the main table and its sub-tables through casatools, read-only.
Doesn't: checks that need no CASA, and calibrators (see `contimg_resources.observations.reading`);
phase centres (`contimg_resources.observations.phase_centres`); counting flags and working
antennas (`contimg_resources.observations.flag_counts`).
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.core.progress import report_progress
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.observations.casa_table import OpenTable
from contimg_resources.observations.flag_counts import FlagCounts, MainColumns, count_flags
from contimg_resources.observations.model import Antenna, ObservedField, SpectralWindow
from contimg_resources.observations.phase_centres import observed_fields, utc_mjd

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
CORRELATIONS = dict(
    enumerate(("I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY"), start=1)
)

#: Maximum number of antennas named in a note.
_NAMED = 10

#: Correlations of a receptor with the same receptor, or their sum: images are made from these.
PARALLEL_HANDS = frozenset(("I", "RR", "LL", "XX", "YY"))


@dataclass(frozen=True)
class ReadRequest:
    """A request to read an MS."""

    path: Path  #: The MS, absolute.
    #: Maximum number of integrations searched for data of an antenna (see
    #: `contimg_resources.observations.flag_counts`).
    sampled_integrations: int = 6
    #: Approximate size of the pieces in which visibility columns are read, bytes.
    chunk_bytes: int = 64_000_000


@dataclass(frozen=True)
class MeasurementSetContent:
    """Content of a MeasurementSet; see `contimg_resources.observations.model.Observation`."""

    telescope: str  #: Telescope name.
    #: Median dish diameter of the ANTENNA table, metres; 0 where the MS doesn't state it.
    dish_diameter_m: float
    start_mjd: float  #: Start of the first integration, MJD in days (UTC).
    end_mjd: float  #: End of the last integration, MJD in days (UTC).
    integration_s: float  #: Median of INTERVAL, seconds.
    #: `n_integrations`, `n_rows`: Numbers of distinct times, and of rows of the main table that
    #: repeat no other.
    n_integrations: int
    n_rows: int
    fields: tuple[ObservedField, ...]  #: Fields with data, by time.
    antennas: tuple[Antenna, ...]  #: Antennas with data, by id.
    spectral_windows: tuple[SpectralWindow, ...]  #: Spectral windows with data, by frequency.
    correlations: tuple[str, ...]  #: Names of the correlations, such as ``("XX", "YY")``.
    #: Flagged share of the cross-correlations of working antennas; 1 when none works.
    flagged_fraction: float
    n_repeated_rows: int  #: Number of rows that repeat another.
    unusable: str  #: Why the data can't be used; empty where they can.
    notes: tuple[str, ...]  #: Oddities that don't prevent its use.


@dataclass(frozen=True)
class _Setup:
    windows: tuple[SpectralWindow, ...]
    n_windows: int
    correlations: tuple[str, ...]
    shapes: Ints


def read_measurement_set(request: ReadRequest) -> MeasurementSetContent:
    """Read one MeasurementSet in a CASA process; open everything read-only.

    Times come from TIME and INTERVAL alone. FLAG, FLAG_ROW and the weights are read completely, in
    chunks; DATA is sampled (see `contimg_resources.observations.flag_counts.count_flags`), and the
    last cells of all columns are read because CASA opens a truncated file without complaint.

    Raises
    ------
    UnreadableObservation
        If it can't be read; the message names path, column or sub-table, and reason.
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
        array = _antennas(path, columns)
        telescope = _telescope(path)
        fields = observed_fields(path, columns, clock_offset_s)
        report_progress("reading FLAG and DATA", 0.3)
        counts = count_flags(
            main,
            columns,
            setup.shapes,
            array.n_rows,
            sampled_integrations=request.sampled_integrations,
            chunk_bytes=request.chunk_bytes,
        )
    start_s = float(np.min(columns.time_s - 0.5 * columns.interval_s)) + clock_offset_s
    end_s = float(np.max(columns.time_s + 0.5 * columns.interval_s)) + clock_offset_s
    n_repeated = int(np.count_nonzero(counts.repeated))
    return MeasurementSetContent(
        telescope=telescope,
        dish_diameter_m=array.dish_diameter_m,
        start_mjd=utc_mjd(path, start_s),
        end_mjd=utc_mjd(path, end_s),
        integration_s=float(np.median(columns.interval_s)),
        n_integrations=columns.n_integrations,
        n_rows=columns.time_s.size - n_repeated,
        fields=fields,
        antennas=tuple(
            Antenna(
                id=i,
                name=name,
                working=bool(counts.working[i]),
                flagged_fraction=float(counts.antenna_flagged_fraction[i]),
            )
            for i, name in array.names.items()
        ),
        spectral_windows=setup.windows,
        correlations=setup.correlations,
        flagged_fraction=counts.flagged_fraction,
        n_repeated_rows=n_repeated,
        unusable=_unusable(columns, setup, counts),
        notes=_notes(columns, setup, array, counts),
    )


def _unusable(columns: MainColumns, setup: _Setup, counts: FlagCounts) -> str:
    """Return why the data can't be calibrated or imaged, basic causes first; empty if they can."""
    found = "/".join(setup.correlations)
    if not set(setup.correlations) & PARALLEL_HANDS:
        return f"it has no parallel hands: its correlations are {found}"
    if not columns.cross.any():
        return "it has no cross-correlations, only autocorrelations"
    if counts.unflagged_fraction == 0:
        return "all its cross-correlations are flagged"
    if counts.weighted_fraction == 0:
        return "all its unflagged cross-correlations have a weight of zero, below zero or NaN"
    if not counts.working.any():
        return "all its unflagged cross-correlations are zero or not finite"
    return ""


def _notes(
    columns: MainColumns, setup: _Setup, array: "_Array", counts: FlagCounts
) -> tuple[str, ...]:
    found = []
    if n_repeated := int(np.count_nonzero(counts.repeated)):
        times = np.unique(columns.integration[counts.repeated]).size
        found.append(
            f"{n_repeated} of {columns.time_s.size} rows occur twice or more, in {times} of "
            f"{columns.n_integrations} integrations; each visibility counts once"
        )
    weightless = counts.unflagged_fraction - counts.weighted_fraction
    if weightless > 0:
        found.append(
            f"{weightless:.1%} of the cross-correlations have a weight of zero, below zero or "
            "NaN, and count as flagged"
        )
    if n_unused := setup.n_windows - len(setup.windows):
        found.append(f"no data refer to {n_unused} of {setup.n_windows} rows of SPECTRAL_WINDOW")
    if array.without_data:
        more = len(array.without_data) - _NAMED
        found.append(
            f"there are no data of {len(array.without_data)} antennas of the ANTENNA table: "
            + ", ".join(array.without_data[:_NAMED])
            + (f" and {more} more" if more > 0 else "")
        )
    return tuple(found)


def _main_columns(main: OpenTable) -> MainColumns:
    time_s, interval_s = main.numbers("TIME"), main.numbers("INTERVAL")
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
        antenna1=main.numbers("ANTENNA1"),
        antenna2=main.numbers("ANTENNA2"),
        field_id=main.numbers("FIELD_ID"),
        data_desc_id=main.numbers("DATA_DESC_ID"),
        flag_row=main.numbers("FLAG_ROW").astype(bool),
        feed1=main.numbers("FEED1") if "FEED1" in main.columns else None,
        feed2=main.numbers("FEED2") if "FEED2" in main.columns else None,
    )


def _offset_to_utc_s(main: OpenTable, time_s: Floats) -> float:
    """Return the offset from TIME to UTC, s; AIPS-born MS count in TAI."""
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
            f"column TIME is in {frame}, which can't be converted to UTC"
        ) from error


def _spectral_setup(path: Path, columns: MainColumns) -> _Setup:
    """Read the windows and correlations that data refer to; others are ignored."""
    with OpenTable(path / "DATA_DESCRIPTION", path) as table:
        table.check_ids("DATA_DESC_ID", columns.data_desc_id)
        used = np.unique(columns.data_desc_id)
        window_ids = table.numbers("SPECTRAL_WINDOW_ID")[used]
        polarization_ids = table.numbers("POLARIZATION_ID")[used]
        shapes = np.zeros((table.n_rows, 2), np.int64)
    with OpenTable(path / "SPECTRAL_WINDOW", path) as table:
        table.check_ids("SPECTRAL_WINDOW_ID", window_ids)
        windows = {int(i): _window(table, int(i)) for i in np.unique(window_ids)}
        n_windows = table.n_rows
    with OpenTable(path / "POLARIZATION", path) as table:
        table.check_ids("POLARIZATION_ID", polarization_ids)
        products = {
            int(i): tuple(
                CORRELATIONS.get(int(c), str(c)) for c in np.ravel(table.cell("CORR_TYPE", int(i)))
            )
            for i in np.unique(polarization_ids)
        }
    if len(set(products.values())) != 1:
        raise UnreadableObservation(
            f"{path} mixes polarisation products {sorted(set(products.values()))}; one set was "
            "expected",
            path=str(path),
        )
    shapes[used] = [
        (len(products[int(p)]), windows[int(w)].n_channels)
        for p, w in zip(polarization_ids, window_ids, strict=True)
    ]
    by_frequency = sorted(windows.values(), key=lambda w: (w.first_hz + w.last_hz, w.id))
    return _Setup(tuple(by_frequency), n_windows, next(iter(products.values())), shapes)


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


def _read_last_cells(main: OpenTable, columns: MainColumns, shapes: Ints) -> None:
    """Read the last cell of each kind: CASA opens a truncated column without complaint."""
    for data_desc_id in np.unique(columns.data_desc_id):
        last = int(np.flatnonzero(columns.data_desc_id == data_desc_id)[-1])
        expected = tuple(int(n) for n in shapes[data_desc_id])
        for name in ("DATA", "FLAG"):
            found = np.shape(main.cell(name, last))
            if found != expected:
                raise main.unreadable(
                    f"column {name} has cells of shape {found} in row {last}, where its "
                    f"sub-tables state {expected} (correlations, channels)"
                )
        found = np.shape(main.cell("WEIGHT", last))
        if found != expected[:1]:
            raise main.unreadable(
                f"column WEIGHT has cells of shape {found} in row {last}, where one weight for "
                f"each of {expected[0]} correlations was expected"
            )
        main.cell("UVW", last)


@dataclass(frozen=True)
class _Array:
    """Names of the antennas with data by id, and of the others; nameless rows are left out."""

    names: dict[int, str]
    without_data: tuple[str, ...]
    n_rows: int
    dish_diameter_m: float


def _antennas(path: Path, columns: MainColumns) -> _Array:
    """Read the antennas that data refer to: others may be blank, or share a name."""
    with OpenTable(path / "ANTENNA", path) as table:
        table.check_ids("ANTENNA1", columns.antenna1)
        table.check_ids("ANTENNA2", columns.antenna2)
        used = np.union1d(columns.antenna1, columns.antenna2)
        every = [str(name).strip() for name in table.column("NAME")]
        names = {int(i): every[int(i)] for i in used}
        others = tuple(name for i, name in enumerate(every) if name and i not in names)
        nameless = [i for i, name in names.items() if not name]
        if nameless:
            raise table.unreadable(
                f"antenna {', '.join(map(str, nameless[:5]))} (by row) has data but no NAME; "
                "antennas are distinguished by name"
            )
        repeated = sorted(n for n, times in Counter(names.values()).items() if times > 1)
        if repeated:
            raise table.unreadable(
                f"several antennas with data have the name {', '.join(map(repr, repeated))}; "
                "antennas are distinguished by name"
            )
        diameters = np.asarray(table.column("DISH_DIAMETER"), np.float64)[used]
        n_rows = table.n_rows
    diameters = diameters[np.isfinite(diameters) & (diameters > 0)]
    return _Array(names, others, n_rows, float(np.median(diameters)) if diameters.size else 0.0)


def _telescope(path: Path) -> str:
    with OpenTable(path / "OBSERVATION", path) as table:
        names = [str(n).strip() for n in table.column("TELESCOPE_NAME")] if table.n_rows else []
        if not names or not names[0]:
            raise table.unreadable("no telescope is named")
        return names[0]
