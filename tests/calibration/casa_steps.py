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
