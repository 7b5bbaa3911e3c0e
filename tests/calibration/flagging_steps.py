"""The step that the tests of flagging in memory run in a CASA process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from tests.imaging.imaging_steps import bring_to_one_centre


@dataclass(frozen=True)
class Pair:
    """Two observations of perfect antennas that differ in one thing."""

    clean: SimulationRequest
    dirty: SimulationRequest


def dump_pair(pair: Pair) -> list[Path]:
    """Simulate both, bring them to one phase centre and keep their windows as arrays."""
    return [
        _dump_windows(bring_to_one_centre(simulate_observation(request).ms))
        for request in (pair.clean, pair.dirty)
    ]


def _dump_windows(ms: Path) -> Path:
    """Keep the windows of an MS as arrays (time, baseline, channel, correlation) beside it."""
    import casatools

    table: Any = casatools.table()
    table.open(str(ms / "SPECTRAL_WINDOW"))
    frequencies_hz = [table.getcell("CHAN_FREQ", i) for i in range(table.nrows())]
    table.close()
    table.open(str(ms))
    n_times = np.unique(table.getcol("TIME")).size
    data = []
    for window in range(len(frequencies_hz)):
        rows = table.query(f"DATA_DESC_ID == {window}", sortlist="TIME,ANTENNA1,ANTENNA2")
        values = rows.getcol("DATA").T.astype(np.complex64)
        data.append(values.reshape(n_times, -1, *values.shape[1:]))
        uvw_m = rows.getcol("UVW").T
        rows.close()
    table.close()
    kept = ms.with_suffix(".npz")
    np.savez(kept, data=data, uvw_m=uvw_m, frequencies_hz=frequencies_hz)
    return kept
