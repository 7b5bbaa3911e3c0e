"""Light curves as VOTable time series and as CSV.

Belongs here: their columns, units and metadata. Doesn't: reading them (see
`contimg_resources.variability.added`).
"""

import csv
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.export.tables import About
from contimg_resources.photometry.light_curves import LightCurve
from contimg_resources.vo.votables import results

_FLUX = "phot.flux.density;em.radio"
#: Columns of a light curve.
CURVE = {
    "mid_mjd": About("Mid-time of the data, MJD, UTC", "d", "time.epoch;meta.main"),
    "flux_mjy": About("Flux density on the scale of the reference sources", "mJy", _FLUX),
    "error_mjy": About("Its error", "mJy", f"stat.error;{_FLUX}"),
    "integrated_mjy": About("Integrated flux density, of a source wider than the beam", "mJy",
                            "phot.flux.density;em.radio;arith.sum"),
    "integrated_error_mjy": About("Its error", "mJy", f"stat.error;{_FLUX};arith.sum"),
    "raw_mjy": About("Flux density as measured", "mJy", _FLUX),
    "rms_mjy": About("Local noise", "mJy/beam", "instr.det.noise"),
    "frequency_hz": About("Frequency", "Hz", "em.freq"),
    "flags": About("Flags, see docs/photometry.md; 0: none", ucd="meta.code.qual"),
    "epoch_ok": About("1: flux scale and astrometry of the epoch passed their checks",
                      ucd="meta.code.qual"),
    "epoch": About("Partition key of the mosaic; empty for an added light curve", ucd="meta.id"),
}  # fmt: skip


def curve_columns(curve: LightCurve) -> dict[str, NDArray[Any]]:
    """Return the columns of `CURVE`."""
    return {
        "mid_mjd": curve.mid_mjd,
        "flux_mjy": 1e3 * curve.flux_jy,
        "error_mjy": 1e3 * curve.flux_error_jy,
        "integrated_mjy": 1e3 * curve.integrated_flux_jy,
        "integrated_error_mjy": 1e3 * curve.integrated_error_jy,
        "raw_mjy": 1e3 * curve.raw_flux_jy,
        "rms_mjy": 1e3 * curve.rms_jy,
        "frequency_hz": curve.frequency_hz,
        "flags": curve.flags.astype(np.int32),
        "epoch_ok": curve.epoch_ok.astype(np.int16),
        "epoch": curve.epoch.astype(np.str_),
    }


def curve_votable(curve: LightCurve) -> bytes:
    """Return a light curve as VOTable, with position and time system."""
    place = [
        ("source_id", curve.source_id, About("", ucd="meta.id;src")),
        *(
            (name, float(column[0]), About("", "deg", ucd))
            for name, column, ucd in (
                ("ra_deg", curve.ra_deg, "pos.eq.ra"),
                ("dec_deg", curve.dec_deg, "pos.eq.dec"),
            )
            if len(column) and math.isfinite(column[0])
        ),
    ]
    # Columns that added light curves lack are left out.
    columns = curve_columns(curve)
    known = {n: c for n, c in columns.items() if c.dtype.kind != "f" or np.isfinite(c).any()}
    kept = {n: a for n, a in CURVE.items() if n in known or n in ("flux_mjy", "error_mjy")}
    return results(
        "light_curve",
        kept,
        {name: columns[name] for name in kept},
        params=place,
        infos={"productType": "timeseries"},
    )


def curve_csv(curve: LightCurve) -> bytes:
    """Return a light curve as CSV; unknown numbers are empty."""
    columns = curve_columns(curve)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CURVE)
    for row in zip(*(columns[name].tolist() for name in CURVE), strict=True):
        writer.writerow(["" if v != v else v for v in row])
    return text.getvalue().encode()
