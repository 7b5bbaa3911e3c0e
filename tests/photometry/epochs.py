"""Measurements of made-up epochs, without an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS

from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.epoch import EpochScale
from contimg_resources.photometry.measurements import Written, write_measurements
from contimg_resources.photometry.measuring import RawMeasurements
from contimg_resources.photometry.model import Kind, MeasurableImage, SourceList

NAMES = ("s2", "s0", "s1")


def image(mid_mjd: float, kind: Kind = "mosaic", epoch: str | None = None) -> MeasurableImage:
    return MeasurableImage(
        kind=kind,
        epoch=epoch or f"{mid_mjd:.5f}+54.0",
        pixels=np.zeros((2, 2), np.float32),
        sigma_jy=None,
        primary_beam=None,
        wcs=WCS(naxis=2),
        beam=Beam(100.0, 60.0, 25.0),
        frequency_hz=1.405e9,
        start_mjd=mid_mjd - 0.02,
        mid_mjd=mid_mjd,
        end_mjd=mid_mjd + 0.02,
    )


def sources(names: Sequence[str] = NAMES) -> SourceList:
    n = len(names)
    return SourceList.of(names, 180.0 + np.arange(n), np.full(n, 54.0), 0.1 * (1 + np.arange(n)))


def raw(flux_jy: Any, **changed: Any) -> RawMeasurements:
    flux = np.asarray(flux_jy, float)
    n = len(flux)
    columns: dict[str, Any] = {
        name: np.full(n, 0.5) for name in RawMeasurements.__dataclass_fields__
    }
    columns |= {
        "flux_jy": flux,
        "error_jy": np.where(np.isfinite(flux), 2e-3, np.nan),
        "dof": np.full(n, 99),
        "flags": np.zeros(n, np.int64),
        "in_image": np.ones(n, bool),
    }
    return RawMeasurements(**{**columns, **changed})


def scale(n: int, of: float = 1.0, error: float = 0.0, *, ok: bool = True) -> EpochScale:
    nothing = np.full(n, np.nan)
    return EpochScale(
        ok=ok,
        reason="" if ok else "2 reference sources, at least 10 are needed",
        scale=of,
        error=error,
        scatter=0.02,
        n_references=30,
        gradient=(0.0, 0.0),
        at_source=np.full(n, of),
        error_at_source=np.full(n, error),
        is_reference=np.arange(n) == 0,
        ratio=nothing,
        east_arcsec=0.1,
        north_arcsec=-0.1,
        offset_scatter_arcsec=0.2,
        n_positions=3,
    )


def write(
    root: Path,
    mid_mjd: float,
    flux_jy: Sequence[float] = (0.3, 0.1, 0.2),
    names: Sequence[str] = NAMES,
    kind: Kind = "mosaic",
    *,
    ok: bool = True,
    error_jy: float = 2e-3,
) -> Written:
    """Write an epoch where light curves look for it."""
    shown = image(mid_mjd, kind)
    path = root / kind / f"{int(mid_mjd)}" / f"{shown.epoch}.parquet"
    measured = raw(flux_jy, error_jy=np.full(len(flux_jy), error_jy))
    return write_measurements(path, shown, sources(names), measured, scale(len(flux_jy), ok=ok))
