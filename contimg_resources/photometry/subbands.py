"""Flux densities in parts of the band: the files, and the query for a source.

Belongs here: names and files of sub-bands, checking an image of a sub-band, the query for a source.
Doesn't: making images of sub-bands (the platform makes none), the analysis of spectra (see
`contimg_resources.variability.spectra`).

A sub-band's files have the columns of mosaics' (see `measurements`), one for each epoch, in
``subbands/<band>/<day>/<mosaic key>.parquet`` beside the directories of images and mosaics: they
aren't a kind of epoch, so no light curve shows them.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import InvalidName, PhotometryFailed, UnreadableMeasurements
from contimg_resources.core.keys import day_name
from contimg_resources.core.naming import check_name
from contimg_resources.instrument.dsa110 import FREQUENCY_MAX_HZ, FREQUENCY_MIN_HZ
from contimg_resources.photometry.copies import as_patterns, epoch_files, query
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.photometry.model import MeasurableImage

_SUBBANDS = "subbands"
#: Name of the directory of copies sorted by source.
_NO_BANDS = ("by_source",)
#: Flagging shifts the effective frequency of a band by at most this fraction.
_SAME_FREQUENCY = 0.01
#: Minimum fraction of an image's sky that its mosaic shares; number of sampled pixels per side.
_LEAST_SHARED = 0.5
_SKY_SAMPLES = 64
#: Maximum time between a mosaic's mid-time and that of its window, days.
_MARGIN_DAYS = 0.2


@dataclass(frozen=True)
class BandFluxes:
    """Flux densities of a source in one sub-band, in the order of time."""

    band: str  #: Its name.
    frequency_hz: float  #: Median effective frequency, Hz; NaN without a measurement.
    ra_deg: float  #: The source's right ascension, ICRS, degrees; NaN without a measurement.
    mid_mjd: Floats  #: MJD in days. Shape (n,).
    #: `flux_jy`, `error_jy`: On the scale of the reference sources in that band, Jy; finite, errors
    #: above 0. Shape (n,).
    flux_jy: Floats
    error_jy: Floats


def check_band(band: str) -> str:
    """Return the name of a sub-band if it is valid.

    Raises
    ------
    InvalidName
        If it isn't safe as a directory's name, or is reserved.
    """
    if check_name(band, "name of a sub-band") in _NO_BANDS:
        raise InvalidName(f"{band!r} is not a valid name of a sub-band: it is reserved for copies")
    return band


def bands_root(root: Path) -> Path:
    """Return the directory of all sub-bands in the directory with measurements."""
    return root / _SUBBANDS


def band_path(root: Path, band: str, day_mjd: int, mosaic_key: str) -> Path:
    """Return the file of a sub-band's epoch.

    `day_mjd` is the UTC day of the middle of the mosaic's window, integer MJD; the mosaic is that
    of the whole band.

    Raises
    ------
    InvalidName
        If a name isn't safe.
    """
    name = check_name(mosaic_key, "mosaic key")
    return bands_root(root) / check_band(band) / day_name(day_mjd) / f"{name}.parquet"


def list_bands(root: Path) -> list[str]:
    """Return the unchecked names of directories of sub-bands; none if there is no directory."""
    directory = bands_root(root)
    if not directory.is_dir():
        return []
    return sorted(
        entry.name
        for entry in directory.iterdir()
        if not entry.name.startswith(".") and entry.name not in _NO_BANDS and entry.is_dir()
    )


def band_fluxes(
    root: Path, band: str, source_id: str, start_mjd: float, end_mjd: float
) -> BandFluxes:
    """Return the flux densities of a source in a sub-band from good epochs.

    The source's id may be any text: it is never part of a query or a path. Data have mid-times in
    [start, end), MJD in days.

    Raises
    ------
    InvalidName
        If the band's name isn't safe.
    UnreadableMeasurements
        If a file is damaged.
    PhotometryFailed
        If the epochs are of different frequencies.
    """
    bands = bands_root(root)
    files = epoch_files(bands, check_band(band), start_mjd - _MARGIN_DAYS, end_mjd + _MARGIN_DAYS)
    nothing = np.empty(0)
    if not files:
        return BandFluxes(band, np.nan, np.nan, nothing, nothing, nothing)
    with query(bands / band) as cursor:
        found = cursor.execute(
            "SELECT ra_deg, frequency_hz, mid_mjd, flux_jy, flux_error_jy "
            "FROM read_parquet($files) WHERE source_id = $source AND epoch_ok "
            "AND isfinite(flux_jy) AND isfinite(flux_error_jy) AND flux_error_jy > 0 "
            "AND isfinite(frequency_hz) AND frequency_hz > 0 "
            "AND mid_mjd >= $start AND mid_mjd < $end ORDER BY mid_mjd, epoch",
            {
                "files": as_patterns(files),
                "source": source_id,
                "start": start_mjd,
                "end": end_mjd,
            },
        ).fetchnumpy()
    columns = {name: np.asarray(values, np.float64) for name, values in found.items()}
    frequency_hz = columns["frequency_hz"]
    if not len(frequency_hz):
        return BandFluxes(band, np.nan, np.nan, nothing, nothing, nothing)
    middle_hz = float(np.median(frequency_hz))
    if not _is_same(frequency_hz, middle_hz):
        raise PhotometryFailed(
            f"the epochs of sub-band {band} are of {1e-9 * frequency_hz.min():.4f} to "
            f"{1e-9 * frequency_hz.max():.4f} GHz: those are several sub-bands"
        )
    return BandFluxes(
        band=band,
        frequency_hz=middle_hz,
        ra_deg=float(columns["ra_deg"][-1]),
        mid_mjd=columns["mid_mjd"],
        flux_jy=columns["flux_jy"],
        error_jy=columns["flux_error_jy"],
    )


def check_subband(root: Path, band: str, image: MeasurableImage, mosaic: MeasurableImage) -> None:
    """Check that an image, made elsewhere, can be a sub-band of a mosaic of the whole band.

    The band's earlier epochs, below `root`, determine its frequency.

    Raises
    ------
    PhotometryFailed
        If its frequency, time or sky differs.
    """
    said = f"the image isn't sub-band {band} of mosaic {mosaic.epoch}:"
    if not FREQUENCY_MIN_HZ <= image.frequency_hz <= FREQUENCY_MAX_HZ:
        raise PhotometryFailed(
            f"{said} its {1e-9 * image.frequency_hz:.4f} GHz aren't between "
            f"{1e-9 * FREQUENCY_MIN_HZ:.4f} and {1e-9 * FREQUENCY_MAX_HZ:.4f} GHz"
        )
    earlier_hz = _frequency_of(bands_root(root) / check_band(band), mosaic.epoch)
    if not _is_same(np.array([image.frequency_hz]), earlier_hz):
        raise PhotometryFailed(
            f"{said} its {1e-9 * image.frequency_hz:.4f} GHz aren't the band's, whose last epoch "
            f"has {1e-9 * earlier_hz:.4f} GHz"
        )
    if not mosaic.start_mjd <= image.mid_mjd <= mosaic.end_mjd:
        raise PhotometryFailed(
            f"{said} its mid-time, MJD {image.mid_mjd:.5f}, isn't between "
            f"{mosaic.start_mjd:.5f} and {mosaic.end_mjd:.5f}"
        )
    shared = _shared_sky(image, mosaic)
    if np.isnan(shared):
        raise PhotometryFailed(f"{said} it has no observed pixels")
    if shared < _LEAST_SHARED:
        raise PhotometryFailed(
            f"{said} the mosaic contains {100 * shared:.0f} % of its sky, and at least "
            f"{100 * _LEAST_SHARED:.0f} % is required"
        )


def _shared_sky(image: MeasurableImage, mosaic: MeasurableImage) -> float:
    """Return the fraction of an image's sky that a mosaic shares; NaN without observed pixels."""
    steps = [max(1, n // _SKY_SAMPLES) for n in image.pixels.shape]
    shown = np.isfinite(image.pixels[:: steps[0], :: steps[1]])
    rows, columns = (step * index for step, index in zip(steps, np.nonzero(shown), strict=True))
    if not len(rows):
        return float("nan")
    sky = image.wcs.pixel_to_world_values(columns, rows)
    # Directions outside the projection have no pixel: -1 is outside.
    x, y = (
        np.nan_to_num(np.rint(v), nan=-1.0).astype(np.int64)
        for v in mosaic.wcs.world_to_pixel_values(*sky)
    )
    inside = (x >= 0) & (x < mosaic.pixels.shape[1]) & (y >= 0) & (y < mosaic.pixels.shape[0])
    there = np.isfinite(mosaic.pixels[y[inside], x[inside]])
    return float(there.sum() / len(rows))


def _is_same(frequency_hz: Floats, known_hz: float) -> bool:
    # NaN if the frequency isn't known.
    return not (np.abs(frequency_hz - known_hz) > _SAME_FREQUENCY * known_hz).any()


def _frequency_of(directory: Path, but: str) -> float:
    """Return the frequency of a band's last epoch other than `but`, Hz; NaN without any.

    The epoch to be replaced doesn't count, and damaged files mustn't prevent their own repair.
    """
    for path in sorted(directory.glob("[0-9]*/[!.]*.parquet"), reverse=True):
        if path.stem == but:
            continue
        with suppress(UnreadableMeasurements):
            frequency_hz = read_measurements(path)[0]["frequency_hz"]
            if len(frequency_hz):
                return float(frequency_hz[0])
    return float("nan")
