"""Measurements as Parquet: one file for each image or mosaic.

Belongs here: the columns, writing and reading a file. Doesn't: queries over many (see
`light_curves`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.parquet import ParquetFormat, arrays_of
from contimg_resources.photometry.epoch import EpochScale, corrected, on_scale
from contimg_resources.photometry.measuring import RawMeasurements
from contimg_resources.photometry.model import MeasurableImage, SourceList

#: Type and description of each column.
COLUMNS: dict[str, tuple[str, str]] = {
    "source_id": ("string", "stable name, as in the catalogue"),
    "epoch": ("string", "partition key of the observation or mosaic"),
    "kind": ("string", "image or mosaic"),
    "mid_mjd": ("double", "mid-time of the data, MJD in days, UTC"),
    "frequency_hz": ("double", "effective frequency, Hz"),
    "ra_deg": ("double", "catalogue position, ICRS, degrees"),
    "dec_deg": ("double", "catalogue position, ICRS, degrees"),
    "expected_jy": ("double", "catalogue flux density at frequency_hz, Jy"),
    "flux_jy": ("double", "flux density on the scale of the reference sources, Jy; null if none"),
    "flux_error_jy": ("double", "its uncertainty with that of the scale, Jy"),
    "raw_flux_jy": ("double", "flux density as measured, Jy"),
    "raw_error_jy": ("double", "its uncertainty, Jy"),
    "background_jy": ("float", "local background, Jy/beam"),
    "rms_jy": ("float", "local noise of a pixel, Jy/beam"),
    "chi2": ("float", "squared residuals over the stamp, in units of the noise"),
    "dof": ("int32", "pixels of the stamp less one"),
    "flags": ("int32", "sum of contimg_resources.photometry.model.Flag; 0 if there are none"),
    "primary_beam": ("float", "primary beam at the source; 1 in a mosaic"),
    "east_arcsec": ("float", "measured less catalogue position, arcsec; null if not measured"),
    "north_arcsec": ("float", "measured less catalogue position, arcsec; null if not measured"),
    "integrated_flux_jy": ("double", "integrated, on the scale of flux_jy; null if not measured"),
    "integrated_error_jy": ("double", "its uncertainty with that of the scale, Jy"),
    "width": ("float", "largest width over that of the beam; null if not measured"),
    "width_error": ("float", "its uncertainty"),
    "scale": ("float", "flux scale that was divided out; null if none"),
    "scale_error": ("float", "its uncertainty"),
    "is_reference": ("bool", "whether the source was used as a flux reference"),
    "epoch_ok": ("bool", "whether the epoch passed its checks; if not, don't publish"),
}
FORMAT = ParquetFormat(
    lack="holds no measurements of contimg",
    version=1,
    columns=COLUMNS,
    later=("integrated_flux_jy", "integrated_error_jy", "width", "width_error"),
)


@dataclass(frozen=True)
class Written:
    """A file of measurements."""

    path: Path  #: The file.
    n_sources: int  #: Number of sources in the image.
    n_measured: int  #: Number of those with a flux density.


def write_measurements(
    path: Path,
    image: MeasurableImage,
    sources: SourceList,
    raw: RawMeasurements,
    scale: EpochScale,
    facts: dict[str, Any] | None = None,
) -> Written:
    """Write the measurements of one image, whole or not at all.

    `raw` has the order of the list; sources outside the image aren't written. `facts` is JSON-able
    provenance.
    """
    values = rows_of(image, sources, raw, scale)
    FORMAT.write(path, values, {"epoch": image.epoch, "kind": image.kind, **(facts or {})})
    return Written(path, len(values["flux_jy"]), int(np.isfinite(values["flux_jy"]).sum()))


def rows_of(
    image: MeasurableImage, sources: SourceList, raw: RawMeasurements, scale: EpochScale
) -> dict[str, NDArray[Any]]:
    """Return the columns of the measurements of an image, by source.

    `raw` has the order of the list; sources outside the image are left out.
    """
    flux, error = corrected(raw, scale)
    integrated, integrated_error = on_scale(raw.integrated_jy, raw.integrated_error_jy, scale)
    kept = np.flatnonzero(raw.in_image)
    kept = kept[np.argsort(sources.source_id[kept])]
    n = len(kept)
    columns: dict[str, Any] = {
        **{name: getattr(raw, name) for name in COLUMNS if hasattr(raw, name)},
        "source_id": sources.source_id,
        "ra_deg": sources.ra_deg,
        "dec_deg": sources.dec_deg,
        "expected_jy": sources.flux_jy,
        "flux_jy": flux,
        "flux_error_jy": error,
        "raw_flux_jy": raw.flux_jy,
        "raw_error_jy": raw.error_jy,
        "integrated_flux_jy": integrated,
        "integrated_error_jy": integrated_error,
        "scale": scale.at_source,
        "scale_error": scale.error_at_source,
        "is_reference": scale.is_reference,
    }
    same = {name: getattr(image, name) for name in ("epoch", "kind", "mid_mjd", "frequency_hz")}
    values = {name: column[kept] for name, column in columns.items()}
    values |= {name: np.full(n, value) for name, value in {**same, "epoch_ok": scale.ok}.items()}
    return values


def add_rows(path: Path, rows: Mapping[str, NDArray[Any]]) -> Written:
    """Add measurements of further sources to those of an image, whole or not at all.

    Rows of the same sources are replaced; `rows` are those of `rows_of`.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    known, facts = read_measurements(path)
    kept = ~np.isin(known["source_id"], rows["source_id"])
    values = {name: np.concatenate([known[name][kept], rows[name]]) for name in COLUMNS}
    order = np.argsort(values["source_id"])
    FORMAT.write(path, {name: column[order] for name, column in values.items()}, facts)
    return Written(path, len(order), int(np.isfinite(values["flux_jy"]).sum()))


def read_measurements(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the measurements of one image.

    Returns
    -------
    tuple of (dict of str to ndarray, dict)
        Columns, null as NaN; and the facts in the file.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    table, facts = FORMAT.read(path)
    with FORMAT.refusing(path):
        return arrays_of(table), facts
