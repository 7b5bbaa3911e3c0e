"""Make the MS of an observation from sub-bands: subtables, and all columns but the visibilities.

Belongs here: the tables. Runs in a CASA process. Doesn't: visibilities, flags and weights.

Rows are ordered by integration, window and baseline. A window's id is the number of its sub-band;
its channels ascend in frequency.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.ms.new import add_rows, create_like
from contimg_resources.core.trees import remove_tree
from contimg_resources.correlator.uvh5 import Floats, Ints
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS

#: Rows of a tile: a tile of 48 channels and 2 correlations is 0.8 MB.
_TILE_ROWS = 1024
#: MS codes of the polarisations.
CODES = {"RR": 5, "RL": 6, "LR": 7, "LL": 8, "XX": 9, "XY": 10, "YX": 11, "YY": 12}
_TOPOCENTRIC = 5


@dataclass(frozen=True)
class MsPlan:
    """What the tables of the MS hold."""

    telescope: str  #: Telescope name.
    #: Name of each row of ANTENNA; empty for numbers that no antenna has.
    antenna_names: tuple[str, ...]
    antenna_positions_m: Floats  #: ITRF positions, metres. Shape (antennas, 3).
    diameters_m: Floats  #: Dish diameters, metres. Shape (antennas,).
    field_names: tuple[str, ...]  #: Name of the field of each integration.
    #: `field_ra_rad`, `field_dec_rad`: ICRS phase centres, radians. Shape (integrations,).
    field_ra_rad: Floats
    field_dec_rad: Floats
    #: `time_s`, `interval_s`: TIME and INTERVAL of the integrations, seconds. Shape
    #: (integrations,).
    time_s: Floats
    interval_s: Floats
    #: Channel centres of all windows, ascending in each, Hz. Shape (windows, channels).
    frequencies_hz: Floats
    channel_width_hz: float  #: Width of a channel, Hz.
    polarisations: tuple[str, ...]  #: Names of the correlations.
    #: `first`, `second`: ANTENNA1 and ANTENNA2 of the baselines. Shape (baselines,).
    first: Ints
    second: Ints
    uvw_m: Floats  #: UVW, metres. Shape (integrations, baselines, 3).
    unit: str  #: Unit of the visibilities; empty if unknown.
    origin: str  #: Line of the HISTORY.

    @property
    def n_rows(self) -> int:
        """Number of rows of the main table."""
        return int(self.time_s.size * N_SPECTRAL_WINDOWS * self.first.size)


def create_ms(ms: Path, plan: MsPlan) -> None:
    """Make an MS with all rows, which are still to be filled.

    Parameters
    ----------
    ms : Path
        Path of the MS; must not exist.
    plan : MsPlan
        Its contents.
    """
    import casatools

    blank = Path("blank.ms").resolve()
    remove_tree(blank, ignore_errors=True)
    _make_subtables(blank, plan)
    table = casatools.table()
    table.open(str(blank))
    n_channels, n_products = plan.frequencies_hz.shape[1], len(plan.polarisations)
    large = [n_products, n_channels, _TILE_ROWS]
    small = [n_products, _TILE_ROWS * n_channels]
    tiles = {"DATA": large, "FLAG": large, "WEIGHT_SPECTRUM": large}
    tiles |= {"WEIGHT": small, "SIGMA": small, "UVW": [3, _TILE_ROWS * n_channels]}
    try:
        create_like(table, ms, tiles)
    finally:
        table.close()
    remove_tree(blank, ignore_errors=True)
    add_rows(ms, plan.n_rows, ("DATA", "WEIGHT_SPECTRUM"))


def create_headers(ms: Path, plan: MsPlan) -> None:
    """Make the subtables of an MS, and a few rows: with each antenna, integration and window.

    Parameters
    ----------
    ms : Path
        Path of the MS, which holds no visibilities; must not exist.
    plan : MsPlan
        Its contents.
    """
    _make_subtables(ms, plan)
    n_times, n_baselines = plan.time_s.size, plan.first.size
    n = np.arange(max(n_times * N_SPECTRAL_WINDOWS, n_baselines))
    index = n % n_times, n // n_times % N_SPECTRAL_WINDOWS, n % n_baselines
    columns = columns_of_rows(plan, *index)
    _put(ms, n.size, columns | {"UVW": plan.uvw_m[index[0], index[2]].T})
    _state_unit(ms, plan.unit)


def columns_of_rows(plan: MsPlan, time: Ints, window: Ints, baseline: Ints) -> dict[str, Any]:
    """Return the columns of rows that hold one number in each.

    Parameters
    ----------
    plan : MsPlan
        Contents of the tables.
    time, window, baseline : ndarray of int, shape (rows,)
        Integration, window and baseline of each row.
    """
    time_s, interval_s = plan.time_s[time], plan.interval_s[time]
    columns: dict[str, Any] = {
        "TIME": time_s,
        "TIME_CENTROID": time_s,
        "INTERVAL": interval_s,
        "EXPOSURE": interval_s,
        "ANTENNA1": plan.first[baseline].astype(np.int32),
        "ANTENNA2": plan.second[baseline].astype(np.int32),
        "DATA_DESC_ID": window.astype(np.int32),
        "FIELD_ID": time.astype(np.int32),
        # One scan, so that a solution over the scan is one over the observation.
        "SCAN_NUMBER": np.ones(time.size, np.int32),
    }
    none = np.zeros(time.size, np.int32)
    columns |= dict.fromkeys(("FEED1", "FEED2", "ARRAY_ID", "OBSERVATION_ID"), none)
    return columns | dict.fromkeys(("PROCESSOR_ID", "STATE_ID"), none - 1)


def write_weights(ms: Path, weight: np.ndarray[Any, Any]) -> None:
    """Write WEIGHT and SIGMA.

    Parameters
    ----------
    ms : Path
        The MS of `create_ms`.
    weight : ndarray of float32, shape (rows, polarisations)
        Weights of the rows; 0 without data.
    """
    sigma = np.zeros_like(weight)
    np.power(weight, -0.5, out=sigma, where=weight > 0)
    _put(ms, 0, {"WEIGHT": weight.T, "SIGMA": sigma.T})


def fill_rows(ms: Path, plan: MsPlan) -> None:
    """Write all columns but visibilities, flags and weights, which others may write meanwhile.

    Parameters
    ----------
    ms : Path
        The MS of `create_ms`.
    plan : MsPlan
        Its contents.
    """
    shape = (plan.time_s.size, N_SPECTRAL_WINDOWS, plan.first.size)
    time, window, baseline = (i.ravel() for i in np.indices(shape, np.int32))
    uvw_m = np.broadcast_to(plan.uvw_m[:, None], (*shape, 3)).reshape(-1, 3)
    _put(ms, 0, columns_of_rows(plan, time, window, baseline) | {"UVW": uvw_m.T})
    _state_unit(ms, plan.unit)


def _state_unit(ms: Path, unit: str) -> None:
    import casatools

    table, units = casatools.table(), casatools.quanta()
    table.open(str(ms), nomodify=False)
    try:
        if unit and units.check(unit):
            table.putcolkeyword("DATA", "QuantumUnits", [unit])
        elif "QuantumUnits" in table.getcolkeywords("DATA"):
            table.removecolkeyword("DATA", "QuantumUnits")
    finally:
        table.close()


def _make_subtables(ms: Path, plan: MsPlan) -> None:
    import casatools

    simulator = casatools.simulator()
    # The simulator knows best how to make an MS.
    simulator.open(str(ms))
    simulator.close()
    _fill_subtables(ms, plan)


def _fill_subtables(ms: Path, plan: MsPlan) -> None:
    n_antennas, n_fields = len(plan.antenna_names), len(plan.field_names)
    n_windows, n_channels = plan.frequencies_hz.shape
    n_products = len(plan.polarisations)
    names = np.array(plan.antenna_names)
    _put(
        ms / "ANTENNA",
        n_antennas,
        {
            "NAME": names,
            "STATION": names,
            "TYPE": np.array(["GROUND-BASED"] * n_antennas),
            "MOUNT": np.array(["ALT-AZ"] * n_antennas),
            "POSITION": plan.antenna_positions_m.T,
            "OFFSET": np.zeros((3, n_antennas)),
            "DISH_DIAMETER": plan.diameters_m,
        },
    )
    direction = np.stack([plan.field_ra_rad, plan.field_dec_rad])
    fields = dict.fromkeys(("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"), direction[:, None])
    _put(
        ms / "FIELD",
        n_fields,
        {
            **fields,
            "NAME": np.array(plan.field_names),
            "NUM_POLY": np.zeros(n_fields, np.int32),
            "SOURCE_ID": np.arange(n_fields, dtype=np.int32),
            "TIME": plan.time_s,
        },
        frames=tuple(fields),
    )
    _put(
        ms / "SOURCE",
        n_fields,
        {
            "SOURCE_ID": np.arange(n_fields, dtype=np.int32),
            "NAME": np.array(plan.field_names),
            "DIRECTION": direction,
            "PROPER_MOTION": np.zeros((2, n_fields)),
            "SPECTRAL_WINDOW_ID": np.full(n_fields, -1, np.int32),
            "TIME": plan.time_s,
            "INTERVAL": np.full(n_fields, np.finfo(np.float32).max, np.float64),
        },
        frames=("DIRECTION",),
    )
    width_hz = np.full((n_channels, n_windows), plan.channel_width_hz)
    _put(
        ms / "SPECTRAL_WINDOW",
        n_windows,
        {
            "NUM_CHAN": np.full(n_windows, n_channels, np.int32),
            "NAME": np.array([f"sb{number:02d}" for number in range(n_windows)]),
            "CHAN_FREQ": plan.frequencies_hz.T,
            **dict.fromkeys(("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"), width_hz),
            "REF_FREQUENCY": plan.frequencies_hz[:, 0],
            "TOTAL_BANDWIDTH": width_hz.sum(axis=0),
            "MEAS_FREQ_REF": np.full(n_windows, _TOPOCENTRIC, np.int32),
            "NET_SIDEBAND": np.ones(n_windows, np.int32),
        },
    )
    windows = np.arange(n_windows, dtype=np.int32)
    _put(
        ms / "DATA_DESCRIPTION",
        n_windows,
        {"SPECTRAL_WINDOW_ID": windows, "POLARIZATION_ID": np.zeros(n_windows, np.int32)},
    )
    receptors = {"X": 0, "R": 0, "Y": 1, "L": 1}
    products = np.array([[receptors[r] for r in name] for name in plan.polarisations], np.int32)
    _put(
        ms / "POLARIZATION",
        1,
        {
            "NUM_CORR": np.array([n_products], np.int32),
            "CORR_TYPE": np.array([[CODES[name]] for name in plan.polarisations], np.int32),
            "CORR_PRODUCT": products.T[:, :, None],
        },
    )
    begin_s = plan.time_s[0] - 0.5 * plan.interval_s[0]
    end_s = plan.time_s[-1] + 0.5 * plan.interval_s[-1]
    _put(
        ms / "OBSERVATION",
        1,
        {
            "TELESCOPE_NAME": np.array([plan.telescope]),
            "OBSERVER": np.array(["contimg"]),
            "TIME_RANGE": np.array([[begin_s], [end_s]]),
        },
    )
    _put(
        ms / "HISTORY",
        1,
        {
            "TIME": np.array([end_s]),
            "APPLICATION": np.array(["contimg"]),
            "MESSAGE": np.array([plan.origin]),
            "PRIORITY": np.array(["INFO"]),
        },
    )


def _put(path: Path, n_new: int, columns: dict[str, Any], frames: tuple[str, ...] = ()) -> None:
    """Put columns into a table, after adding rows; directions of `frames` are in ICRS."""
    import casatools

    table = casatools.table()
    table.open(str(path), nomodify=False)
    try:
        table.addrows(n_new)
        for name in frames:
            measure = table.getcolkeyword(name, "MEASINFO")
            table.putcolkeyword(name, "MEASINFO", measure | {"Ref": "ICRS"})
        for name, values in columns.items():
            table.putcol(name, values)
    finally:
        table.close()
