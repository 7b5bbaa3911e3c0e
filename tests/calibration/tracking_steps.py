"""A tracking observation of two calibrators, made out of a simulated drift scan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.simulation.truth import Truth


@dataclass(frozen=True)
class TrackingRequest:
    """Which simulated MS becomes a tracking observation, in place.

    Parameters
    ----------
    ms : Path
        A drift scan without sources and noise; its truth stays beside it.
    calibrators : list of Calibrator
        Each is tracked in its own field, at the phase centre, in turns.
    scan_length : int
        Integrations of a turn.
    noise_jy : float
        Noise of the real and of the imaginary part, Jy.
    """

    ms: Path
    calibrators: list[Calibrator]
    scan_length: int
    noise_jy: float


def track(request: TrackingRequest) -> None:
    """Put the calibrators, seen through the true gains, and noise into the MS."""
    from casatools import table

    truth = Truth.load(request.ms)
    rng = np.random.default_rng(11)
    tb: Any = table()
    tb.open(str(request.ms), nomodify=False)
    times, turn = np.unique(np.asarray(tb.getcol("TIME")), return_inverse=True)
    scan = turn // request.scan_length
    field = scan % len(request.calibrators)
    windows = np.asarray(tb.getcol("DATA_DESC_ID"))
    first, second = np.asarray(tb.getcol("ANTENNA1")), np.asarray(tb.getcol("ANTENNA2"))
    shape = np.shape(tb.getcol("DATA"))
    data = request.noise_jy * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
    antennas = range(len(truth.antenna_names))
    for i, time in enumerate(times):
        for window, hz in enumerate(truth.record.window_frequencies_hz):
            rows = np.flatnonzero((turn == i) & (windows == window))
            gains = truth.total_gain(antennas, np.asarray(hz), time / SECONDS_PER_DAY)
            seen = gains[first[rows]] * gains[second[rows]].conj()
            flux_jy = request.calibrators[field[rows[0]]].flux_jy(np.asarray(hz))
            data[:, :, rows] += np.moveaxis(seen, 0, -1) * flux_jy[None, :, None]
    dead = [truth.antenna_id(name) for name in truth.spec.dead_antennas]
    data[:, :, np.isin(first, dead) | np.isin(second, dead)] = 0
    tb.putcol("DATA", data.astype(np.complex64))
    tb.putcol("FIELD_ID", field.astype(np.int32))
    tb.putcol("SCAN_NUMBER", (scan + 1).astype(np.int32))
    tb.close()
    tb.open(str(request.ms / "FIELD"), nomodify=False)
    for i, calibrator in enumerate(request.calibrators):
        tb.putcell("NAME", i, calibrator.name)
    tb.close()
