"""Steps that the calibration tests run in CASA processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ApplyRequest:
    ms: Path
    tables: list[Path]
    field: str
    channels: list[int]


@dataclass(frozen=True)
class MeanVisibility:
    real_jy: float
    imaginary_jy: float


def apply_and_average(request: ApplyRequest) -> MeanVisibility:
    """Apply tables to a copy and return the mean visibility of one field (a point at centre)."""
    import shutil

    from casatasks import applycal
    from casatools import table

    shutil.copytree(request.ms, "copy.ms")
    applycal(
        vis="copy.ms",
        field=request.field,
        gaintable=[str(t) for t in request.tables],
        interp=["nearest"] * len(request.tables),
        flagbackup=False,
    )
    tb: Any = table()
    tb.open("copy.ms/FIELD")
    field_id = list(tb.getcol("NAME")).index(request.field)
    tb.close()
    tb.open("copy.ms")
    rows = tb.query(f"FIELD_ID == {field_id} && ANTENNA1 != ANTENNA2")
    first, last = request.channels
    data = np.asarray(rows.getcol("CORRECTED_DATA"))[:, first : last + 1]
    flag = np.asarray(rows.getcol("FLAG"))[:, first : last + 1]
    rows.close()
    tb.close()
    mean = data[~flag].mean()
    return MeanVisibility(float(mean.real), float(mean.imag))


@dataclass(frozen=True)
class RecoveryRequest:
    """A simulated MS and choices of the tables that should undo its gains."""

    ms: Path
    choices: list[list[Path]]


@dataclass(frozen=True)
class Recovery:
    """How much of the corrupting gains is left when the tables are applied to them.

    ``left`` is g_i conj(g_j) divided by the applied tables, for every baseline, integration and
    channel: 1 when each effect was applied exactly once.
    """

    amplitude_bias: float
    """Median of |left| minus 1."""
    amplitude_scatter: float
    """Standard deviation of |left|."""
    phase_scatter_deg: float
    """Standard deviation of the phase of left."""
    worst: float
    """99.9th percentile of |left - 1|."""
    flagged_fraction: float
    """Share of the baselines of working antennas that the tables flag."""


def measure_recovery(request: RecoveryRequest) -> list[Recovery]:
    """Put the true gains alone into a copy, apply the tables, and see what is left."""
    import shutil

    from casatasks import applycal
    from casatools import table

    from contimg_resources.core.times import SECONDS_PER_DAY
    from contimg_resources.simulation.truth import Truth

    truth = Truth.load(request.ms)
    shutil.copytree(request.ms, "gains.ms")
    tb: Any = table()
    tb.open("gains.ms", nomodify=False)
    flat_time = np.asarray(tb.getcol("TIME"))
    windows = np.asarray(tb.getcol("DATA_DESC_ID"))
    a1, a2 = np.asarray(tb.getcol("ANTENNA1")), np.asarray(tb.getcol("ANTENNA2"))
    data = np.zeros(np.shape(tb.getcol("DATA")), np.complex64)
    n = len(truth.antenna_names)
    for time in np.unique(flat_time):
        for window, hz in enumerate(truth.record.window_frequencies_hz):
            rows = (flat_time == time) & (windows == window)
            gains = truth.total_gain(range(n), hz, time / SECONDS_PER_DAY)
            product = gains[a1[rows]] * gains[a2[rows]].conj()
            data[:, :, rows] = np.moveaxis(product, 0, -1)
    tb.putcol("DATA", data)
    tb.close()
    dead = [truth.antenna_id(name) for name in truth.spec.dead_antennas]
    works = ~(np.isin(a1, dead) | np.isin(a2, dead))
    found = []
    for tables in request.choices:
        tb.open("gains.ms", nomodify=False)
        tb.putcol("FLAG", np.zeros(data.shape, bool))
        tb.putcol("FLAG_ROW", np.zeros(flat_time.size, bool))
        tb.close()
        applycal(
            vis="gains.ms",
            gaintable=[str(t) for t in tables],
            interp=[_interpolation(t) for t in tables],
            flagbackup=False,
        )
        tb.open("gains.ms")
        left = np.asarray(tb.getcol("CORRECTED_DATA"))[..., works]
        flag = np.asarray(tb.getcol("FLAG"))[..., works]
        tb.close()
        good = left[~flag]
        found.append(
            Recovery(
                amplitude_bias=float(np.median(np.abs(good)) - 1),
                amplitude_scatter=float(np.abs(good).std()),
                phase_scatter_deg=float(np.degrees(np.angle(good)).std()),
                worst=float(np.percentile(np.abs(good - 1), 99.9)),
                flagged_fraction=float(flag.mean()),
            )
        )
    return found


def _interpolation(path: Path) -> str:
    if path.name.endswith(("_bacal", "_bpcal")):
        return "nearest,nearestflag"
    return "linear" if path.name.endswith("_2gcal") else "nearest"


@dataclass(frozen=True)
class DumpRequest:
    tables: dict[str, Path]
    npz: Path


def dump_solutions(request: DumpRequest) -> Path:
    """Write the solutions of tables as arrays ``<key>_values``, ``_flags``, ... for the test."""
    from contimg_resources.calibration.solutions import read_solutions

    arrays = {}
    for key, path in request.tables.items():
        for name, value in vars(read_solutions(path)).items():
            arrays[f"{key}_{name}"] = value
    np.savez(request.npz, **arrays)
    return request.npz


@dataclass(frozen=True)
class SpoilRequest:
    ms: Path
    copy: Path


def spoil_with_nan(request: SpoilRequest) -> Path:
    """Copy an MS and put NaN into all its data."""
    import shutil

    from casatools import table

    shutil.copytree(request.ms, request.copy)
    tb: Any = table()
    tb.open(str(request.copy), nomodify=False)
    tb.putcol("DATA", np.full(np.shape(tb.getcol("DATA")), np.nan, np.complex64))
    tb.close()
    return request.copy


@dataclass(frozen=True)
class NamesRequest:
    """An MS whose first antennas get these names."""

    ms: Path
    names: tuple[str, ...]


def select_antennas(request: NamesRequest) -> list[list[int]]:
    """Rename antennas and return the ids that CASA selects by each name, as a refant's is given."""
    from casatools import ms, table

    from contimg_resources.calibration.solve.chain import RefantChoice

    tb = table()
    tb.open(str(request.ms / "ANTENNA"), nomodify=False)
    names = [str(name) for name in tb.getcol("NAME")]
    names = [f"Z{i}" for i in range(len(names))]
    names[: len(request.names)] = request.names
    tb.putcol("NAME", names)
    tb.close()
    return [
        ms()
        .msseltoindex(str(request.ms), baseline=RefantChoice(i, name, "").in_casa)["antenna1"]
        .tolist()
        for i, name in enumerate(request.names)
    ]
