"""MeasurementSets as others write them: a small drift scan by pyuvdata, and what may be odd of it.

Belongs here: python-casacore and pyuvdata, in the process of the tests. Doesn't: CASA.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

N_ANTENNAS = 9


@contextmanager
def opened(path: Path, *, write: bool = False) -> Iterator[Any]:
    from casacore.tables import table

    found = table(str(path), readonly=not write, ack=False)
    try:
        yield found
    finally:
        found.close()


def write_by_pyuvdata(source: Path, output: Path) -> None:
    """Write part of a simulated observation with pyuvdata: 9 antennas, 2 windows, 6 integrations.

    As the instrument's converter does: DATA has the unit ``uncalib``, there is a WEIGHT_SPECTRUM,
    PROCESSOR and STATE are empty, and only the lock files know how many rows there are in
    DATA_DESCRIPTION and POLARIZATION.
    """
    from astropy.coordinates import EarthLocation
    from astropy.coordinates.sites import SiteRegistry
    from astropy.utils import iers
    from pyuvdata import UVData

    # Names of observatories would be looked up on the network.
    sites = SiteRegistry()
    sites.add_site(["nowhere"], EarthLocation.from_geodetic(0, 0, 0))
    EarthLocation._site_registry = sites
    iers.conf.auto_download = False
    seen = UVData.from_file(str(source), file_type="ms")
    windows = np.isin(seen.flex_spw_id_array, seen.spw_array[[3, 4]])
    seen.select(
        antenna_nums=np.unique(seen.ant_1_array)[:N_ANTENNAS],
        freq_chans=np.flatnonzero(windows),
        times=np.unique(seen.time_array)[9:15],
        run_check=False,
    )
    seen.select(ant_str="cross", run_check=False)
    seen.write_ms(str(output))


def put_spectrum(ms: Path, factor: "np.ndarray[Any, Any] | float") -> None:
    """Multiply WEIGHT_SPECTRUM, shape (n_rows, n_channels, n_correlations), by what broadcasts."""
    with opened(ms, write=True) as table:
        cells = table.getcol("WEIGHT_SPECTRUM") * factor
        table.putcol("WEIGHT_SPECTRUM", cells.astype(np.float32))


def without_spectrum(ms: Path) -> None:
    with opened(ms, write=True) as table:
        table.removecols(["WEIGHT_SPECTRUM"])


def put(ms: Path, **columns: Any) -> None:
    """Write columns, or one value into all of their cells."""
    with opened(ms, write=True) as table:
        for name, value in columns.items():
            known = table.getcol(name)
            table.putcol(name, np.broadcast_to(value, known.shape).astype(known.dtype))


def repeat_rows(ms: Path, rows: "np.ndarray[Any, Any]") -> None:
    """Write some rows a second time, as a writer that was restarted."""
    with opened(ms, write=True) as table:
        again = table.selectrows(rows.tolist())
        first = table.nrows()
        table.addrows(rows.size)
        for name in table.colnames():
            if name != "FLAG_CATEGORY":
                table.putcol(name, again.getcol(name), first, rows.size)
        again.close()


def state_unit(ms: Path, unit: str) -> None:
    with opened(ms, write=True) as table:
        table.putcolkeyword("DATA", "QuantumUnits", [unit])


def add_unused_window(ms: Path) -> None:
    """Describe a window of other channels that no row is of, and one without any channels."""
    with opened(ms / "SPECTRAL_WINDOW", write=True) as table:
        n = table.nrows()
        table.addrows(2)
        for name in table.colnames():
            if name not in ("CHAN_FREQ", "CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
                for row in (n, n + 1):
                    table.putcell(name, row, table.getcell(name, 0))
        for name in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
            table.putcell(name, n, np.full(3, 1e6))
        table.putcell("CHAN_FREQ", n, 1.6e9 + 1e6 * np.arange(3))
        table.putcell("NUM_CHAN", n, 3)
        table.putcell("NUM_CHAN", n + 1, 0)
    with opened(ms / "DATA_DESCRIPTION", write=True) as table:
        table.addrows(1)
        table.putcell("SPECTRAL_WINDOW_ID", table.nrows() - 1, n)


def add_blank_antennas(ms: Path, n: int) -> None:
    with opened(ms / "ANTENNA", write=True) as table:
        first = table.nrows()
        table.addrows(n)
        for row in range(first, first + n):
            for name in table.colnames():
                value = table.getcell(name, 0)
                table.putcell(name, row, "" if name in ("NAME", "STATION") else value)


def remove_subtables(ms: Path, *names: str) -> None:
    """Remove subtables, and of the last one also its name."""
    for name in names:
        shutil.rmtree(ms / name)
    with opened(ms, write=True) as table:
        table.removekeyword(names[-1])


def rows_in_table_dat(ms: Path) -> dict[str, int]:
    """Return how many rows the subtables of an MS have when its lock files are gone."""
    copy = ms.with_name(f"unlocked-{ms.name}")
    shutil.copytree(ms, copy, ignore=shutil.ignore_patterns("table.lock"))
    found = {}
    for subtable in sorted(p.parent.name for p in copy.glob("*/table.dat")):
        with opened(copy / subtable) as table:
            found[subtable] = table.nrows()
    shutil.rmtree(copy)
    return found
