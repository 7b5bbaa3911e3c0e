"""Steps that the tests of applying run in CASA processes."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest


@dataclass(frozen=True)
class Corruption:
    """Tables with a delay (ns) and a gain for each window and antenna, and what they should do."""

    calibrator_ms: Path
    directory: Path


def write_tables(request: Corruption) -> list[Path]:
    """Write a K and a G table with known solutions; they are kept beside as ``known.npz``."""
    import casatasks
    import casatools

    rng = np.random.default_rng(4)
    request.directory.mkdir()
    table = casatools.table()
    table.open(str(request.calibrator_ms / "ANTENNA"))
    names = [str(n) for n in table.getcol("NAME")]
    table.close()
    table.open(str(request.calibrator_ms / "SPECTRAL_WINDOW"))
    centers = np.array([table.getcell("CHAN_FREQ", i).mean() for i in range(table.nrows())])
    table.close()
    delays = rng.uniform(-5, 5, (len(centers), len(names)))
    gains = rng.uniform(0.85, 1.15, delays.shape) * np.exp(
        1j * rng.uniform(-np.pi, np.pi, delays.shape)
    )
    k, g = request.directory / "x_kcal", request.directory / "x_gacal"
    everything = {"spw": ",".join(map(str, range(len(centers)))), "antenna": ",".join(names)}
    casatasks.gencal(
        str(request.calibrator_ms), str(k), caltype="sbd", parameter=delays.ravel(), **everything
    )
    casatasks.gencal(
        str(request.calibrator_ms),
        str(g),
        caltype="amp",
        parameter=[1.0] * delays.size,
        **everything,
    )
    table.open(str(g), nomodify=False)
    values = table.getcol("CPARAM")
    window, antenna = table.getcol("SPECTRAL_WINDOW_ID"), table.getcol("ANTENNA1")
    values[:, 0, :] = gains[window, antenna]
    table.putcol("CPARAM", values)
    table.close()
    np.savez(request.directory / "known.npz", centers=centers, delays=delays, gains=gains)
    return [k, g]


@dataclass(frozen=True)
class Difference:
    data: float
    weight: float
    windows: int


@dataclass(frozen=True)
class Pair:
    raw: Path
    calibrated: Path
    known: Path


def worst_difference(pair: Pair) -> Difference:
    """Return the largest relative error of data and weights against the known solutions."""
    import casatools

    known = np.load(pair.known)
    raw, calibrated, windows = casatools.table(), casatools.table(), casatools.table()
    windows.open(str(pair.raw / "SPECTRAL_WINDOW"))
    raw.open(str(pair.raw))
    calibrated.open(str(pair.calibrated))
    worst_data = worst_weight = 0.0
    n = windows.nrows()
    for window in range(n):
        frequency = windows.getcell("CHAN_FREQ", window)
        at = int(np.argmin(np.abs(known["centers"] - frequency.mean())))
        gain, delay, center = known["gains"][at], known["delays"][at], known["centers"][at]
        order = {"query": f"DATA_DESC_ID=={window} && ANTENNA1!=ANTENNA2"}
        order["sortlist"] = "TIME,ANTENNA1,ANTENNA2"
        before, after = raw.query(**order), calibrated.query(**order)
        a, b = before.getcol("ANTENNA1"), before.getcol("ANTENNA2")
        turn = np.outer(frequency - center, (delay[a] - delay[b]) * 1e-9)
        expected = before.getcol("DATA") / (gain[a] * gain[b].conj() * np.exp(2j * np.pi * turn))
        seen = np.abs(expected) > 0
        error = np.abs(after.getcol("DATA") - expected)[seen] / np.abs(expected[seen])
        scale = np.abs(gain[a] * gain[b]) ** 2
        ratio = after.getcol("WEIGHT") / (before.getcol("WEIGHT") * scale)
        worst_data = max(worst_data, float(error.max()))
        worst_weight = max(worst_weight, float(np.abs(ratio - 1).max()))
    for table in (raw, calibrated, windows):
        table.close()
    return Difference(worst_data, worst_weight, n)


@dataclass(frozen=True)
class Spoil:
    ms: Path
    copy: Path
    how: str


def spoil(request: Spoil) -> Path:
    """Copy an MS and spoil it: all flagged, NaN in one integration, or interference."""
    import casatools

    shutil.copytree(request.ms, request.copy)
    table = casatools.table()
    table.open(str(request.copy), nomodify=False)
    for window in np.unique(table.getcol("DATA_DESC_ID")):
        rows = table.query(f"DATA_DESC_ID=={window}")
        if request.how == "flagged":
            rows.putcol("FLAG", np.ones_like(rows.getcol("FLAG")))
        else:
            data = rows.getcol("DATA")
            field = rows.getcol("FIELD_ID")
            bad = np.zeros(data.shape, dtype=bool)
            if request.how == "nan":
                bad[:, :, field == field.min()] = True
                data[bad] = np.nan
            else:
                bad[:, 1, :] = window == 3
                bad[:, :, field == 11] = True
                bad &= data != 0
                rng = np.random.default_rng([7, window])
                turned = np.exp(2j * np.pi * rng.random(int(bad.sum())))
                data[bad] += 30 * np.abs(data).mean() * turned
            rows.putcol("DATA", data)
        rows.close()
    table.close()
    return request.copy


@dataclass(frozen=True)
class Facts:
    columns: list[str]
    phase_spread_arcsec: float
    pointing_spread_deg: float
    n_fields: int
    hit: float
    lost: float
    origin: dict[str, Any]


def describe(ms: Path) -> Facts:
    """Say what is in a calibrated MS; `hit` and `lost` are of `spoil`'s interference."""
    import casatools

    from contimg_resources.calibration.ms.layout import field_directions, read_origin

    table = casatools.table()
    table.open(str(ms))
    window, field = table.getcol("DATA_DESC_ID"), table.getcol("FIELD_ID")
    flags = table.getcol("FLAG")
    bad = np.zeros(flags.shape, dtype=bool)
    bad[:, 1, window == 3] = True
    bad[:, :, field == 11] = True
    alive = ~flags.all(axis=(0, 1)) | (field == 11)
    facts = Facts(
        columns=list(table.colnames()),
        phase_spread_arcsec=float(np.ptp(field_directions(ms), axis=0).max() * 3600),
        pointing_spread_deg=float(np.ptp(field_directions(ms, "REFERENCE_DIR")[:, 0])),
        n_fields=len(np.unique(field)),
        hit=float(flags[bad & alive].mean()),
        lost=float(flags[~bad & alive].mean()),
        origin=read_origin(ms),
    )
    table.close()
    return facts


def apply_with_a_task_that_does_nothing(request: ApplyRequest) -> int:
    """Apply while mstransform only copies; CASA has reported success after no less."""
    import casatasks

    def only_copies(vis: str, outputvis: str, **_: Any) -> bool:
        shutil.copytree(vis, outputvis)
        return True

    casatasks.mstransform = only_copies
    write_calibrated_ms(request)
    return 0
