"""Write a MeasurementSet in the form of DSA-110's, through casatools.

Belongs here: tables, rows and columns. Every function here runs in a CASA process.
Doesn't: computing the visibilities.

CASA's simulator makes the subtables and the UVW of the first spectral window; the rows of the other
windows share that UVW, so they are added through the table tool, integration after integration.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Complexes, Floats
from contimg_resources.core.errors import CasaError
from contimg_resources.core.times import casa_seconds_from_mjd
from contimg_resources.instrument.dsa110 import (
    CASA_TELESCOPE,
    DISH_DIAMETER_M,
    HEIGHT_M,
    INTEGRATION_S,
    LATITUDE_DEG,
    LONGITUDE_DEG,
    N_SPECTRAL_WINDOWS,
    stations,
)
from contimg_resources.simulation.predict import Baselines
from contimg_resources.simulation.spec import DeadStyle, SimulationSpec, window_order

#: Rows of a tile of WEIGHT_SPECTRUM.
_TILE_ROWS = 1024
_SAME_TIME_S = 1e-3


def field_name(integration: int) -> str:
    """Return the name of the field of one integration."""
    return f"meridian_icrs_t{integration}"


def write_skeleton(ms: Path, spec: SimulationSpec, pointings_deg: Floats) -> Floats:
    """Write an MS with all its rows but without data; return the UVW of each antenna.

    `pointings_deg` holds ICRS RA and Dec of each integration's field, shape (integrations, 2). UVW,
    shape (integrations, antennas, 3), are in metres; a row's UVW is its first antenna's minus its
    second's.
    """
    _observe(ms, spec, pointings_deg)
    uvw_m = _read_uvw(ms, spec)
    _lay_out_rows(ms, spec, uvw_m)
    _finish_subtables(ms, spec)
    return _antenna_uvw(uvw_m, len(spec.antennas), spec.autocorrelations)


def fill(
    ms: Path,
    spec: SimulationSpec,
    window_data: Callable[[int, int], Complexes],
    done: Callable[[int], None],
) -> None:
    """Write DATA, FLAG and optionally WEIGHT_SPECTRUM of all rows, one integration at a time.

    The MS is that of `write_skeleton`. `window_data` returns, for an integration and a spectral
    window id, the visibilities of shape (baselines, frequencies, 2); `done` is called with the
    number of integrations written.
    """
    import casatools

    baselines = Baselines.of(len(spec.antennas), spec.autocorrelations)
    n, channels = baselines.first.size, spec.channels_per_window
    dead_ids = [i for i, name in enumerate(spec.antennas) if name in spec.dead_antennas]
    dead = np.isin(baselines.first, dead_ids) | np.isin(baselines.second, dead_ids)
    rows = n * N_SPECTRAL_WINDOWS
    flag = np.zeros((2, channels, rows), dtype=bool)
    if spec.dead_style is DeadStyle.FLAGGED:
        flag[:, :, np.tile(dead, N_SPECTRAL_WINDOWS)] = True
    data = np.empty((2, channels, rows), dtype=np.complex64, order="F")
    weight = np.full(flag.shape, spec.weight, np.float32)
    with _opened(casatools.table(), ms) as table:
        for integration in range(spec.n_integrations):
            for window in range(N_SPECTRAL_WINDOWS):
                block = window_data(integration, window)
                if spec.dead_style is DeadStyle.ZERO:
                    block[dead] = 0
                data[:, :, window * n : (window + 1) * n] = block.T
            table.putcol("DATA", data, integration * rows, rows)
            table.putcol("FLAG", flag, integration * rows, rows)
            if spec.weight_spectrum:
                table.putcol("WEIGHT_SPECTRUM", weight, integration * rows, rows)
            done(integration + 1)


def _observe(ms: Path, spec: SimulationSpec, pointings_deg: Floats) -> None:
    """Make the subtables and the rows of the first window with CASA's simulator."""
    import casatools

    simulator, measures = casatools.simulator(), casatools.measures()
    pads = {s.name: s for s in stations()}
    array = [pads[name] for name in spec.antennas]
    site = measures.position("WGS84", f"{LONGITUDE_DEG}deg", f"{LATITUDE_DEG}deg", f"{HEIGHT_M}m")
    order = window_order(spec.seed)
    simulator.open(str(ms))
    try:
        simulator.setconfig(
            telescopename=CASA_TELESCOPE,
            x=[s.east_m for s in array],
            y=[s.north_m for s in array],
            z=[s.up_m for s in array],
            dishdiameter=[DISH_DIAMETER_M] * len(array),
            mount=["ALT-AZ"] * len(array),
            antname=[s.name for s in array],
            padname=[s.name for s in array],
            coordsystem="local",
            referencelocation=site,
        )
        for window, frequencies_hz in enumerate(spec.window_frequencies_hz):
            simulator.setspwindow(
                spwname=_window_name(int(order[window])),
                freq=f"{frequencies_hz[0]:.6f}Hz",
                deltafreq=f"{spec.channel_width_hz:.6f}Hz",
                freqresolution=f"{spec.channel_width_hz:.6f}Hz",
                nchannels=spec.channels_per_window,
                stokes="XX YY",
                refcode="TOPO",
            )
        simulator.setfeed(mode="perfect X Y")
        simulator.setlimits(shadowlimit=0.999, elevationlimit="1deg")
        simulator.setauto(1.0 if spec.autocorrelations else 0.0)
        # Given a UTC epoch the simulator writes TAI into a column labelled UTC, and computes UVW
        # for that: 37 s late. UTC values labelled TAI give the right result in both.
        start_s = casa_seconds_from_mjd(spec.start_mjd)
        simulator.settimes(
            integrationtime=f"{INTEGRATION_S}s",
            usehourangle=False,
            referencetime=measures.epoch("TAI", f"{start_s:.6f}s"),
        )
        for integration, (ra_deg, dec_deg) in enumerate(pointings_deg):
            direction = measures.direction("J2000", f"{ra_deg:.12f}deg", f"{dec_deg:.12f}deg")
            simulator.setfield(sourcename=field_name(integration), sourcedirection=direction)
        for integration in range(spec.n_integrations):
            simulator.observe(
                sourcename=field_name(integration),
                spwname=_window_name(int(order[0])),
                starttime=f"{INTEGRATION_S * integration:.6f}s",
                stoptime=f"{INTEGRATION_S * (integration + 1):.6f}s",
            )
    finally:
        simulator.done()


def _read_uvw(ms: Path, spec: SimulationSpec) -> Floats:
    """Return UVW of the simulator's rows, shape (integrations, baselines, 3), checked."""
    import casatools

    baselines = Baselines.of(len(spec.antennas), spec.autocorrelations)
    expected_s = np.repeat(spec.integration_mjd * 86_400.0, baselines.first.size)
    with _opened(casatools.table(), ms) as table:
        if table.nrows() != expected_s.size:
            raise CasaError(
                f"CASA's simulator wrote {table.nrows()} rows of {expected_s.size} into {ms}"
            )
        late_s = float(np.abs(table.getcol("TIME") - expected_s).max())
        same = np.array_equal(
            table.getcol("ANTENNA1"), np.tile(baselines.first, spec.n_integrations)
        ) and np.array_equal(
            table.getcol("ANTENNA2"), np.tile(baselines.second, spec.n_integrations)
        )
        if late_s > _SAME_TIME_S or not same:
            raise CasaError(
                f"CASA's simulator wrote other rows than asked into {ms}: times differ by up to "
                f"{late_s:.3f} s, baselines {'agree' if same else 'differ'}"
            )
        uvw_m = np.asarray(table.getcol("UVW"), np.float64)
    return uvw_m.T.reshape(spec.n_integrations, baselines.first.size, 3)


def _lay_out_rows(ms: Path, spec: SimulationSpec, uvw_m: Floats) -> None:
    """Order all rows by time, window, baseline and fill all columns but DATA and FLAG."""
    import casatools

    n_times, n_baselines, _ = uvw_m.shape
    baselines = Baselines.of(len(spec.antennas), spec.autocorrelations)
    per_time = N_SPECTRAL_WINDOWS * n_baselines
    rows = n_times * per_time
    time_s = np.repeat(spec.integration_mjd * 86_400.0, per_time)
    windows = np.tile(np.repeat(np.arange(N_SPECTRAL_WINDOWS), n_baselines), n_times)
    weight = np.full((2, rows), spec.weight, np.float32)
    columns: dict[str, Any] = {
        "TIME": time_s,
        "TIME_CENTROID": time_s,
        "INTERVAL": np.full(rows, INTEGRATION_S),
        "EXPOSURE": np.full(rows, INTEGRATION_S),
        "ANTENNA1": np.tile(baselines.first, n_times * N_SPECTRAL_WINDOWS).astype(np.int32),
        "ANTENNA2": np.tile(baselines.second, n_times * N_SPECTRAL_WINDOWS).astype(np.int32),
        "DATA_DESC_ID": windows.astype(np.int32),
        "FIELD_ID": np.repeat(np.arange(n_times), per_time).astype(np.int32),
        # One scan, so that a solution over the scan is one over the observation.
        "SCAN_NUMBER": np.ones(rows, np.int32),
        "FLAG_ROW": np.zeros(rows, bool),
        "SIGMA": weight**-0.5,
        "WEIGHT": weight,
        "UVW": np.tile(uvw_m, (1, N_SPECTRAL_WINDOWS, 1)).reshape(rows, 3).T,
    }
    for name in ("FEED1", "FEED2", "ARRAY_ID", "OBSERVATION_ID", "PROCESSOR_ID", "STATE_ID"):
        columns[name] = np.zeros(rows, np.int32)
    with _opened(casatools.table(), ms) as table:
        scratch = {"MODEL_DATA", "CORRECTED_DATA"} & set(table.colnames())
        if scratch:
            table.removecols(sorted(scratch))
        if spec.weight_spectrum:
            table.addcols(*_spectrum_column(spec.channels_per_window))
        table.addrows(rows - table.nrows())
        for name, values in columns.items():
            table.putcol(name, values)


def _spectrum_column(n_channels: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description of WEIGHT_SPECTRUM and its storage manager."""
    name, manager = "WEIGHT_SPECTRUM", "TiledWgtSpectrum"
    column = {"valueType": "float", "ndim": 2, "option": 0, "maxlen": 0, "comment": ""}
    storage = {"COLUMNS": [name], "NAME": manager, "TYPE": "TiledShapeStMan", "SEQNR": 0}
    storage["SPEC"] = {"DEFAULTTILESHAPE": [2, n_channels, _TILE_ROWS]}
    kind = {"dataManagerType": "TiledShapeStMan", "dataManagerGroup": manager}
    return {name: column | kind}, {"*1": storage}


def _finish_subtables(ms: Path, spec: SimulationSpec) -> None:
    import casatools

    with _opened(casatools.table(), ms / "OBSERVATION") as table:
        start_s = casa_seconds_from_mjd(spec.start_mjd)
        span = [[start_s], [start_s + spec.n_integrations * INTEGRATION_S]]
        table.putcol("TIME_RANGE", np.array(span))
        table.putcol("OBSERVER", np.array(["contimg"]))
        table.putcol("PROJECT", np.array(["contimg simulation"]))
    with _opened(casatools.table(), ms / "SOURCE") as table:
        # Each source was described for the first window only.
        table.putcol("SPECTRAL_WINDOW_ID", np.full(table.nrows(), -1, np.int32))


def _antenna_uvw(uvw_m: Floats, n_antennas: int, autocorrelations: bool) -> Floats:
    baselines = Baselines.of(n_antennas, autocorrelations)
    with_first = (baselines.first == 0) & (baselines.second > 0)
    per_antenna = np.zeros((len(uvw_m), n_antennas, 3))
    per_antenna[:, 1:] = -uvw_m[:, with_first]
    return per_antenna


def _window_name(place: int) -> str:
    # Sub-band 0 is the highest in frequency.
    return f"sb{N_SPECTRAL_WINDOWS - 1 - place:02d}"


class _opened:
    """Open a table for writing and close it in any case."""

    def __init__(self, table: Any, path: Path) -> None:
        self.table, self.path = table, path

    def __enter__(self) -> Any:
        self.table.open(str(self.path), nomodify=False)
        return self.table

    def __exit__(self, *_: object) -> None:
        self.table.close()
