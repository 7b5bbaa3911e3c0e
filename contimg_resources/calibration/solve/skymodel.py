"""Write the calibrator's model visibilities. Runs in a CASA process.

Belongs here: MODEL_DATA of a point source at the phase centre.
Doesn't: flux densities (see `contimg_resources.observations.calibrators`) and the beam itself
(see `contimg_resources.instrument.primary_beam`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.ms.health import channel_frequencies_hz
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import Calibrator

_ROWS_AT_ONCE = 20_000
#: Stokes enumeration of casacore: I, RR, LL, XX, YY. Other hands of an unpolarised source are 0.
_PARALLEL_HANDS = (1, 5, 8, 9, 12)


def write_point_model(
    ms: Path,
    calibrator: Calibrator,
    *,
    separations_rad: Floats | None = None,
    field_ids: tuple[int, ...] = (),
) -> None:
    """Write MODEL_DATA of an unpolarised point source at the phase centre.

    The model of a row is ``S(nu) A(theta, nu)`` in both parallel hands, where A is the power of the
    primary beam at the angle theta of the source from the pointing centre of that row; it is real,
    because the source is at the phase centre. `separations_rad` is that angle, shape (n_rows,);
    None: A = 1. `field_ids` are the fields that hold the calibrator; other fields get 1 Jy, the
    convention by which a flux transfer measures them. Empty: all fields.
    """
    from casatools import calibrater, table

    cb: Any = calibrater()
    cb.open(str(ms), compress=False, addcorr=False, addmodel=True)
    cb.close()
    hands = parallel_hands(ms)
    tb: Any = table()
    frequencies = channel_frequencies_hz(ms)
    tb.open(str(ms), nomodify=False)
    try:
        dd_ids = np.asarray(tb.getcol("DATA_DESC_ID"))
        fields = np.asarray(tb.getcol("FIELD_ID"))
        for dd in np.unique(dd_ids):
            hz = frequencies[int(dd)]
            flux_jy = calibrator.flux_jy(hz)
            numbers = np.flatnonzero(dd_ids == dd)
            rows: Any = tb.query(f"DATA_DESC_ID == {int(dd)}")
            for first in range(0, numbers.size, _ROWS_AT_ONCE):
                chunk = numbers[first : first + _ROWS_AT_ONCE]
                model = np.repeat(flux_jy[:, None], chunk.size, axis=1)
                if separations_rad is not None:
                    model *= beam_power(separations_rad[chunk], hz)
                if field_ids:
                    model[:, ~np.isin(fields[chunk], field_ids)] = 1.0
                cells = hands[:, None, None] * model[None, :, :]
                rows.putcol("MODEL_DATA", cells.astype(np.complex64), first, chunk.size)
            rows.close()
    finally:
        tb.close()


def parallel_hands(ms: Path) -> Bools:
    """Return which correlations of an MS see an unpolarised source, shape (n_correlations,)."""
    from casatools import table

    tb: Any = table()
    tb.open(str(ms / "POLARIZATION"), nomodify=True)
    try:
        return np.isin(np.asarray(tb.getcell("CORR_TYPE", 0)).ravel(), _PARALLEL_HANDS)
    finally:
        tb.close()


def beam_power(separations_rad: Floats, hz: Floats) -> Floats:
    """Return the power of the primary beam, shape (channels, angles)."""
    # Few pointings, many baselines: evaluate the beam once for each distinct angle.
    angles, which = np.unique(separations_rad, return_inverse=True)
    return airy_power(angles[None, :], hz[:, None])[:, which]
