"""Steps that the tests of imaging run in CASA processes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.imaging.model import ReferenceSource
from contimg_resources.simulation.truth import Truth


@dataclass(frozen=True)
class Sky:
    """An MS ready to be imaged, and what is in it."""

    ms: Path
    truth: Truth

    @property
    def references(self) -> list[ReferenceSource]:
        return [
            ReferenceSource(
                s.name, s.ra_deg, s.dec_deg, s.flux_jy, s.reference_ghz, s.spectral_index
            )
            for s in self.truth.sources
        ]


def bring_to_one_centre(ms: Path) -> Path:
    """Write an MS of perfect antennas beside `ms` with one phase centre: nothing to calibrate."""
    import casatasks

    from contimg_resources.calibration.ms.layout import middle_of_fields

    ra_deg, dec_deg = middle_of_fields(ms)
    out = ms.with_name(f"{ms.stem}_cal.ms")
    center = f"ICRS {ra_deg}deg {dec_deg}deg"
    casatasks.phaseshift(str(ms), str(out), phasecenter=center, datacolumn="data")
    return out


@dataclass(frozen=True)
class Spoil:
    ms: Path
    copy: Path
    how: str


def spoil(request: Spoil) -> Path:
    """Copy an MS and flag all of it, or make its values no numbers."""
    import casatools

    shutil.copytree(request.ms, request.copy)
    table = casatools.table()
    table.open(str(request.copy), nomodify=False)
    if request.how == "flagged":
        table.putcol("FLAG", np.ones_like(table.getcol("FLAG")))
    else:
        table.putcol("DATA", np.full_like(table.getcol("DATA"), np.nan))
    table.close()
    return request.copy


def import_3c273(ms: Path) -> Path:
    """Import the observation of 3C273 that comes with casadata.

    It is put into a year that this project accepts, and what only one hand saw is flagged: tclean
    takes that for Stokes I, the fast engine doesn't.
    """
    import casatasks
    import casatools

    from contimg_resources.casa.siteconfig import casadata_dir

    casatasks.importuvfits(str(casadata_dir() / "demo" / "3C273XC1.fits"), str(ms))
    table = casatools.table()
    table.open(str(ms), nomodify=False)
    for name in ("TIME", "TIME_CENTROID"):
        table.putcol(name, table.getcol(name) + 3653 * 86_400.0)
    flags, weights = table.getcol("FLAG"), table.getcol("WEIGHT")
    hands = [0, -1]
    bad = flags[hands].any(axis=0) | (weights[hands] <= 0).any(axis=0)
    table.putcol("FLAG", np.broadcast_to(bad, flags.shape).copy())
    table.close()
    return ms
