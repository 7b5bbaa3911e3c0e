"""Derive flux densities of secondary calibrators. Runs in a CASA process.

Belongs here: CASA's fluxscale on a gain table, and the FLUX table that it makes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.solve.model import FluxTransfer
from contimg_resources.calibration.solve.split import rewrite_gains
from contimg_resources.core.errors import CalibrationFailed
from contimg_resources.core.trees import remove_tree
from contimg_resources.observations.calibrators import Calibrator


def transfer_flux(
    ms: Path,
    gains: Path,
    flux_table: Path,
    calibrator: Calibrator,
    reference_fields: tuple[int, ...],
    transfer_fields: tuple[tuple[int, str], ...],
) -> tuple[FluxTransfer, ...]:
    """Scale gains of fields of unknown flux density to those of the flux calibrator.

    Antenna gains do not depend on the source, so the ratio of the gains solved with a model of 1 Jy
    to those of the flux calibrator is the square root of the flux density. `gains` has solutions of
    all fields; the FLUX table, which is written, holds the amplitudes of the scaled gains.
    `transfer_fields` are field ids and names of the secondary calibrators, which the result
    follows.

    Raises
    ------
    CalibrationFailed
        If a flux density could not be derived.
    """
    from casatasks import fluxscale

    task: Any = fluxscale
    remove_tree(flux_table, ignore_errors=True)
    answer = task(
        vis=str(ms),
        caltable=str(gains),
        fluxtable=str(flux_table),
        reference=[str(f) for f in reference_fields],
        transfer=[str(f) for f, _ in transfer_fields],
    )
    if not isinstance(answer, dict) or not flux_table.is_dir():
        raise CalibrationFailed(
            f"no flux density could be transferred from {calibrator.name}: fluxscale left no table",
            reasons=["flux transfer failed"],
        )
    found = []
    for field_id, name in transfer_fields:
        record = answer.get(str(field_id))
        if record is None:
            raise CalibrationFailed(
                f"no flux density was found for field {name}", reasons=["flux transfer failed"]
            )
        found.append(_weighted(name, record, np.asarray(answer["freq"]), calibrator))
    rewrite_gains(flux_table, "amplitude")
    return tuple(found)


def _weighted(
    name: str, record: dict[str, Any], frequencies_hz: Any, calibrator: Calibrator
) -> FluxTransfer:
    windows = [int(k) for k in record if str(k).isdigit()]
    flux = np.array([record[str(w)]["fluxd"][0] for w in windows], np.float64)
    error = np.array([record[str(w)]["fluxdErr"][0] for w in windows], np.float64)
    count = np.array([record[str(w)]["numSol"][0] for w in windows], np.float64)
    hz = np.array([frequencies_hz[w] for w in windows], np.float64)
    good = (flux > 0) & (count > 0)
    if not good.any():
        raise CalibrationFailed(
            f"no flux density was found for field {name}", reasons=["flux transfer failed"]
        )
    flux, error, count, hz = (v[good] for v in (flux, error, count, hz))
    weight = 1 / np.maximum(error, 1e-6 * flux) ** 2
    mean_hz = float(np.average(hz, weights=weight))
    ratios = flux / calibrator.flux_jy(hz)
    return FluxTransfer(
        field=name,
        flux_jy=float(np.average(flux, weights=weight)),
        error_jy=float(1 / np.sqrt(weight.sum())),
        ratio=float(np.average(ratios, weights=weight)),
        ratio_error=float(1 / np.sqrt((weight * (flux / ratios) ** 2).sum())),
        frequency_hz=mean_hz,
        n_solutions=int(count.sum()),
    )
