"""MeasurementSets as other programs write them, made of a usual one with python-casacore."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Edit = Callable[[Path], None]


def opened(path: Path) -> Any:
    """Open a table for writing."""
    from casacore import tables

    return tables.table(str(path), readonly=False, ack=False)


def add_column(table: Any, name: str, like: Any, n_axes: int = 0) -> None:
    """Add a column of scalars, or of arrays that are empty at first."""
    from casacore import tables

    if n_axes:
        table.addcols(tables.makearrcoldesc(name, like, ndim=n_axes, valuetype="float"))
    else:
        table.addcols(tables.makescacoldesc(name, like))


def changed(column: str, change: Callable[[Any], Any], subtable: str = "") -> Edit:
    """Return what puts `change` of a column into its place."""

    def edit(ms: Path) -> None:
        with opened(ms / subtable) as table:
            table.putcol(column, change(table.getcol(column)))

    return edit


def all_rows_twice(ms: Path) -> None:
    _append(ms, lambda time_s: np.arange(time_s.size))


def one_integration_twice(ms: Path) -> None:
    _append(ms, lambda time_s: np.flatnonzero(time_s == np.unique(time_s)[1]))


def _append(ms: Path, which: Callable[[Any], Any]) -> None:
    with opened(ms) as table:
        rows = which(table.getcol("TIME"))
        table.selectrows(rows).copyrows(table)


def unused_window(ms: Path) -> None:
    """Add a window outside of the band that no data refer to, and an empty one."""
    with opened(ms / "SPECTRAL_WINDOW") as table:
        first = table.nrows()
        table.addrows(2)
        table.putcell("CHAN_FREQ", first, 1.6e9 + 1e6 * np.arange(4))
        for name in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
            table.putcell(name, first, np.full(4, 1e6))
        table.putcell("NUM_CHAN", first, 4)


def overlapping_windows(ms: Path) -> None:
    """Let the second window lie within the first, which is ten times as wide."""
    with opened(ms / "SPECTRAL_WINDOW") as table:
        wide, narrow = table.getcell("CHAN_FREQ", 0), table.getcell("CHAN_FREQ", 1)
        table.putcell("CHAN_FREQ", 0, wide[0] + 10 * (wide - wide[0]))
        table.putcell("CHAN_WIDTH", 0, 10 * table.getcell("CHAN_WIDTH", 0))
        table.putcell("CHAN_FREQ", 1, wide[0] + 1e6 + narrow - narrow.min())


def padded_antennas(ms: Path) -> None:
    """Pad with nameless antennas, before and behind those with data, as pyuvdata does."""
    with opened(ms / "ANTENNA") as table:
        n_before = table.nrows()
        table.addrows(8)
        for name in table.colnames():
            cells = [table.getcell(name, i) for i in range(n_before)]
            for i, cell in enumerate(cells):
                table.putcell(name, i + 4, cell)
            for i in (*range(4), *range(n_before + 4, n_before + 8)):
                table.putcell(name, i, "" if name in ("NAME", "STATION") else cells[0])
    for column in ("ANTENNA1", "ANTENNA2"):
        changed(column, lambda ids: ids + 4)(ms)


def twins_without_data(ms: Path) -> None:
    """Name antennas without data as those with data, before and behind them."""
    padded_antennas(ms)
    with opened(ms / "ANTENNA") as table:
        for row in (0, 1, 13):
            table.putcell("NAME", row, "104")


def lost_row_count(ms: Path) -> None:
    """Leave a DATA_DESCRIPTION whose rows only its lock file knew, without that file."""
    full = (ms / "DATA_DESCRIPTION").rename(ms / "full")
    with opened(full) as table:
        table.copy(str(ms / "DATA_DESCRIPTION"), deep=True, valuecopy=True, copynorows=True).close()
    shutil.rmtree(full)
    (ms / "DATA_DESCRIPTION" / "table.lock").unlink(missing_ok=True)


def nameless_antenna(ms: Path) -> None:
    with opened(ms / "ANTENNA") as table:
        table.putcell("NAME", 3, " ")


def few_subtables(ms: Path) -> None:
    for name in ("PROCESSOR", "STATE", "FEED", "POINTING", "SOURCE", "HISTORY", "FLAG_CMD"):
        shutil.rmtree(ms / name, ignore_errors=True)


def of_1989(ms: Path) -> None:
    changed("TIME", lambda time_s: time_s - time_s.min() + 47_663.125 * 86_400)(ms)


def some_weights_of_channels(ms: Path) -> None:
    """Fill WEIGHT_SPECTRUM in every other row, there with no weight in two of the channels."""
    with opened(ms) as table:
        # Beside corrected data, these weights would be theirs.
        table.removecols([n for n in ("CORRECTED_DATA", "MODEL_DATA") if n in table.colnames()])
        add_column(table, "WEIGHT_SPECTRUM", 0.0, n_axes=2)
        weight = np.ones(np.shape(table.getcell("DATA", 0)), np.float32)
        weight[1], weight[2] = 0.0, np.nan
        for row in range(0, table.nrows(), 2):
            table.putcell("WEIGHT_SPECTRUM", row, weight)


def cross_hands_only(ms: Path) -> None:
    changed("CORR_TYPE", lambda codes: codes * 0 + np.array([10, 11]), "POLARIZATION")(ms)


def autocorrelations_only(ms: Path) -> None:
    for column in ("ANTENNA1", "ANTENNA2"):
        changed(column, lambda ids: ids * 0)(ms)


def uneven_weights(ms: Path) -> None:
    """Leave some cells of WEIGHT without a value."""
    with opened(ms) as table:
        weight = table.getcol("WEIGHT")
        table.removecols("WEIGHT")
        add_column(table, "WEIGHT", 0.0, n_axes=1)
        table.putcol("WEIGHT", weight[:-5], 0, len(weight) - 5)


def text_for_times(ms: Path) -> None:
    with opened(ms) as table:
        table.renamecol("TIME", "OLD_TIME")
        add_column(table, "TIME", "")


def other_directions(ms: Path) -> None:
    """Swap the antennas of every other row, with the complex conjugate of its data."""
    with opened(ms) as table:
        first, second = table.getcol("ANTENNA1"), table.getcol("ANTENNA2")
        first[::2], second[::2] = second[::2].copy(), first[::2].copy()
        table.putcol("ANTENNA1", first)
        table.putcol("ANTENNA2", second)
        for column, change in (("UVW", np.negative), ("DATA", np.conj)):
            values = table.getcol(column)
            values[::2] = change(values[::2])
            table.putcol(column, values)


def shuffled(ms: Path) -> None:
    """Put the rows into another order."""
    with opened(ms) as table:
        order = np.random.default_rng(1).permutation(table.nrows())
        columns = [c for c in table.colnames() if table.iscelldefined(c, 0)]
        for column in columns:
            table.putcol(column, table.getcol(column)[order])


def right_ascension_of_one_turn_less(ms: Path) -> None:
    changed("PHASE_DIR", lambda cells: cells - np.array([2 * np.pi, 0.0]), "FIELD")(ms)


def nan_where_flagged(ms: Path) -> None:
    with opened(ms) as table:
        data, flag = table.getcol("DATA"), table.getcol("FLAG")
        data[flag] = np.nan
        table.putcol("DATA", data)


def descending_widths(ms: Path) -> None:
    changed("CHAN_WIDTH", lambda width: -np.abs(width), "SPECTRAL_WINDOW")(ms)


def written_by_pyuvdata(ms: Path) -> None:
    """Write three integrations of four antennas, of numbers 3 to 103, as pyuvdata does it."""
    from astropy import units
    from astropy.coordinates import EarthLocation
    from astropy.coordinates.sites import SiteRegistry
    from astropy.utils import iers
    from pyuvdata import Telescope, UVData

    # No name of an observatory is looked up on the network.
    EarthLocation._site_registry = SiteRegistry()
    iers.conf.auto_download = False
    numbers = np.array([3, 20, 24, 103])
    site = EarthLocation.from_geodetic(-118.2830 * units.deg, 37.2339 * units.deg, 1188 * units.m)
    telescope = Telescope.new(
        name="OVRO_MMA",
        location=site,
        instrument="DSA",
        mount_type="fixed",
        antenna_positions=np.array([[0.0, 10.0 * k, 3.0 * k * k] for k in range(4)]),
        antenna_names=[str(n) for n in numbers],
        antenna_numbers=numbers,
        antenna_diameters=np.full(4, 4.65),
        x_orientation="east",
        feeds=["x", "y"],
    )
    first, second = np.triu_indices(4, 1)
    data = UVData.new(
        freq_array=np.concatenate([1.45e9 + 1e6 * np.arange(4), 1.40e9 - 1e6 * np.arange(4)]),
        channel_width=np.full(8, 1e6),
        polarization_array=[-5, -6],
        telescope=telescope,
        times=2_460_954.85 + np.arange(3) * 12.884902 / 86_400,
        integration_time=12.884902,
        antpairs=np.stack([numbers[first], numbers[second]], 1),
        do_blt_outer=True,
        time_axis_faster_than_bls=False,
        spw_array=np.arange(2),
        flex_spw_id_array=np.repeat(np.arange(2), 4),
        empty=True,
    )
    data.data_array[:] = 1 + 1j
    data.nsample_array[:] = 1
    # What the writer didn't measure: one channel, and one integration with an absurd number.
    data.nsample_array[:, 0] = 0
    data.nsample_array[:6] = -1.2e12
    data.write_ms(str(ms), force_phase=True)
