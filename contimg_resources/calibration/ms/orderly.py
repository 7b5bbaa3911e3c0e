"""Prepare an MS as CASA's tasks expect it. Runs in a CASA process.

Belongs here: the corrections that in-memory engines make while reading, as a copy of the MS for
engines that pass it to CASA's tasks. Doesn't: the rules (see
`contimg_resources.observations.counting` and `.meaning`).
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.ms.main_table import Weights, rows_once
from contimg_resources.calibration.ms.new import (
    SUBTABLES,
    fill_windows,
    supply_feeds,
    supply_subtables,
)
from contimg_resources.casa.tables import copy_table, opened
from contimg_resources.core.arrays import Floats, Ints, Singles
from contimg_resources.core.errors import ContimgError
from contimg_resources.core.progress import report_progress
from contimg_resources.core.trees import remove_tree
from contimg_resources.observations.meaning import raw_scale, stated_unit

#: Number of visibilities changed at once.
_CHUNK = 8_000_000


def orderly(ms: Path, directory: Path) -> Path:
    """Return an MS with the same data that CASA's tasks interpret correctly.

    It is `ms` itself, which is only read; or a copy in `directory` where rows repeat one another,
    weights are missing or not in the columns that CASA uses, DATA is in a unit that CASA doesn't
    know or not in Jy, or subtables are missing.
    """
    if not _disorders(ms):
        return ms
    copy = directory / f"orderly-{ms.name}"
    report_progress(f"copying {ms.name} for CASA: {', '.join(_disorders(ms))}", 0.02)
    copy_orderly(ms, copy)
    return copy


def copy_orderly(ms: Path, copy: Path) -> None:
    """Copy an MS, correcting everything that `orderly` lists."""
    missing = [name for name in SUBTABLES if not (ms / name / "table.dat").is_file()]
    if missing:
        view = Path(tempfile.mkdtemp(dir=".")).resolve()
        try:
            # casacore can't copy an MS whose registered subtables are missing.
            for there in ms.resolve().iterdir():
                (view / there.name).symlink_to(there)
            supply_subtables(view, missing)
            _copy_rows(view, copy)
        finally:
            remove_tree(view)
        _name_subtables(copy)
    else:
        _copy_rows(ms, copy)
    supply_feeds(copy)
    fill_windows(copy)
    _put_right(copy)


@contextmanager
def named_as(ms: Path, copy: Path) -> Iterator[None]:
    """Replace the copy's name in errors by that of the incoming MS."""
    try:
        yield
    except ContimgError as error:
        if ms == copy or str(copy) not in error.message + str(error.details):
            raise
        details = {
            name: value.replace(str(copy), str(ms)) if isinstance(value, str) else value
            for name, value in error.details.items()
        }
        raise type(error)(error.message.replace(str(copy), str(ms)), **details) from error
    except RuntimeError as error:
        if ms == copy or str(copy) not in str(error):
            raise
        raise RuntimeError(str(error).replace(str(copy), str(ms))) from error


def _disorders(ms: Path) -> list[str]:
    found = [f"it has no {name} table" for name in _lacking(ms)]
    with opened(ms / "SPECTRAL_WINDOW") as table:
        if not all(table.iscelldefined("CHAN_FREQ", row) for row in range(table.nrows())):
            found.append("a spectral window has no channels")
    with opened(ms) as table:
        unit = stated_unit(table.getcolkeywords("DATA"))
        if not _known(unit) or raw_scale({"QuantumUnits": unit}) != 1:
            found.append(f"its data are in {unit!r}")
        if not rows_once(table).all():
            found.append("rows repeat one another")
        for rows, weights in _weights(table, ms):
            if not _as_casa_sees(table, rows, weights):
                found.append("weights are missing, or not where CASA looks for them")
                break
    return found


def _known(unit: str) -> bool:
    import casatools

    return not unit or bool(casatools.quanta().check(unit))


def _lacking(ms: Path) -> list[str]:
    """Return the subtables that an MS lacks, and FEED when it is empty."""
    lacking = [name for name in SUBTABLES if not (ms / name / "table.dat").is_file()]
    if "FEED" not in lacking:
        with opened(ms / "FEED") as table:
            lacking += [] if table.nrows() else ["FEED"]
    return lacking


def _weights(table: Any, ms: Path) -> Iterator[tuple[Ints, Weights]]:
    """Yield the rows of each data description and their weights."""
    description = np.asarray(table.getcol("DATA_DESC_ID"))
    for number in np.unique(description):
        rows = np.flatnonzero(description == number)
        cell = np.shape(table.getcell("FLAG", int(rows[0])))
        yield rows, Weights(table, ms, rows, (int(cell[1]), int(cell[0])))


def _as_casa_sees(table: Any, rows: Ints, weights: Weights) -> bool:
    """Return whether SIGMA agrees with the weights that count."""
    if weights.vary:
        return False
    counting = weights.read()[:, 0]
    sigma = np.asarray(table.getcol("SIGMA")).T[rows].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool(np.allclose(sigma**-2 / counting, 1, rtol=1e-3))


def _copy_rows(ms: Path, copy: Path) -> None:
    with opened(ms) as table:
        once = rows_once(table)
        if not once.all():
            chosen = table.selectrows(np.flatnonzero(once).tolist())
            try:
                chosen.copy(str(copy), deep=True, valuecopy=True).close()
            finally:
                chosen.close()
            return
    copy_table(ms, copy)


def _name_subtables(copy: Path) -> None:
    """Register subtables in an MS that didn't name them."""
    import casatools

    table = casatools.table()
    table.open(str(copy), nomodify=False)
    try:
        unnamed = [name for name in SUBTABLES if name not in table.keywordnames()]
        supply_subtables(copy, [n for n in unnamed if not (copy / n / "table.dat").is_file()])
        for name in unnamed:
            table.putkeyword(name, f"Table: {copy.resolve() / name}")
    finally:
        table.close()


def _put_right(copy: Path) -> None:
    """Write the correct unit, weights and flags of a copy."""
    import casatools

    table = casatools.table()
    table.open(str(copy), nomodify=False)
    try:
        scale = raw_scale(table.getcolkeywords("DATA"))
        all_weights = list(_weights(table, copy))
        vary = any(weights.vary for _, weights in all_weights)
        table.putcolkeyword("DATA", "QuantumUnits", ["Jy"])
        spectra = {"WEIGHT_SPECTRUM", "SIGMA_SPECTRUM"}
        for name in spectra - set(table.colnames()) if vary else ():
            column = {"valueType": "float", "ndim": 2, "option": 0, "maxlen": 0, "comment": ""}
            table.addcols({name: column | {"dataManagerType": "TiledShapeStMan"}}, {})
        for rows, weights in all_weights:
            for places in _chunks(rows.size, weights.shape):
                _put_right_rows(table, rows[places], weights.read(places=places), scale, vary=vary)
        if not vary:
            # One value for all channels is stored in WEIGHT and SIGMA.
            table.removecols(sorted(spectra & set(table.colnames())))
    finally:
        table.close()


def _chunks(n_rows: int, shape: tuple[int, int]) -> list[Ints]:
    size = max(1, _CHUNK // (shape[0] * shape[1]))
    return [np.arange(first, min(first + size, n_rows)) for first in range(0, n_rows, size)]


def _put_right_rows(table: Any, rows: Ints, weight: Singles, scale: float, *, vary: bool) -> None:
    part = table.selectrows(rows.tolist())
    try:
        flag = np.asarray(part.getcol("FLAG")).T | (weight <= 0)
        if scale != 1:
            part.putcol("DATA", part.getcol("DATA") * scale)
        exact = weight.astype(np.float64) / scale**2
        known = (exact > 0).sum(axis=1)
        mean = exact.sum(axis=1) / np.maximum(known, 1)
        part.putcol("FLAG", flag.T)
        part.putcol("WEIGHT", mean.T)
        part.putcol("SIGMA", _sigma(mean).T)
        if vary:
            cells = np.broadcast_to(exact, flag.shape)
            part.putcol("WEIGHT_SPECTRUM", cells.T)
            part.putcol("SIGMA_SPECTRUM", _sigma(cells).T)
    finally:
        part.close()


def _sigma(weight: Floats) -> Floats:
    """Return the standard deviations of weights; 1 for flagged visibilities."""
    return 1 / np.sqrt(np.where(weight > 0, weight, 1))
