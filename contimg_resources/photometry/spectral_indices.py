"""Spectral index and curvature of sources in each epoch, from flux densities in sub-bands.

Belongs here: the fit of a spectrum, and the files of spectra. Doesn't: flux densities in sub-bands
(see `subbands`), changes during a dip (see `contimg_resources.variability.spectra`).

There is one file for each epoch, ``spectra/<day>/<mosaic key>.parquet``, beside the directories of
images and mosaics.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.keys import day_name
from contimg_resources.core.naming import check_name
from contimg_resources.core.parquet import ParquetFormat, arrays_of
from contimg_resources.photometry.copies import as_patterns, epoch_files, query

_SPECTRA = "spectra"
#: Minimum S/N of all sub-bands together.
_MIN_SNR = 10.0
#: Iterations of a fit, maximum step of a parameter, and limits of ln S, the index and the
#: curvature.
_ITERATIONS, _MAX_STEP, _LIMITS = 25, 1.0, (50.0, 100.0, 3000.0)
#: Rounding errors of a fit are smaller than this fraction of a parameter's error.
_CONVERGED = 1e-3

#: Type and description of each column.
COLUMNS: dict[str, tuple[str, str]] = {
    "source_id": ("string", "stable name, as in the catalogue"),
    "epoch": ("string", "partition key of the mosaic"),
    "mid_mjd": ("double", "mid-time of the data, MJD in days, UTC"),
    "ra_deg": ("double", "catalogue position, ICRS, degrees"),
    "dec_deg": ("double", "catalogue position, ICRS, degrees"),
    "n_bands": ("int32", "number of sub-bands with a flux density"),
    "reference_hz": ("double", "frequency of flux_jy, Hz"),
    "flux_jy": ("double", "flux density of the fitted power law at reference_hz, Jy"),
    "flux_error_jy": ("double", "its uncertainty, Jy"),
    "spectral_index": ("double", "S ~ nu^spectral_index; null if not measured"),
    "spectral_index_error": ("double", "its uncertainty"),
    "curvature": ("double", "c in ln S = a + b x + c x^2, x = ln(nu / reference_hz); or null"),
    "curvature_error": ("double", "its uncertainty"),
    "chi2": ("float", "squared residuals of the power law in units of the errors"),
    "catalogue_index": ("double", "spectral index in the catalogue; null if it has none"),
}
FORMAT = ParquetFormat(lack="holds no spectra of contimg", version=1, columns=COLUMNS)


@dataclass(frozen=True)
class Spectra:
    """Fitted spectra of sources; NaN where there are too few data.

    Arrays have the shape (n_sources,).
    """

    n_bands: Ints  #: Number of sub-bands with a flux density.
    flux_jy: Floats  #: Flux density of the power law at the reference frequency, Jy.
    flux_error_jy: Floats  #: Its uncertainty, Jy.
    spectral_index: Floats  #: ``S ~ nu^spectral_index``.
    spectral_index_error: Floats  #: Its uncertainty.
    curvature: Floats  #: c in ``ln S = a + b x + c x^2``, x = ln(nu / reference).
    curvature_error: Floats  #: Its uncertainty.
    chi2: Floats  #: Squared residuals of the power law in units of the errors.


def fit_spectra(
    frequency_hz: Floats, flux_jy: Floats, error_jy: Floats, reference_hz: float
) -> Spectra:
    """Fit the spectra of sources; two sub-bands are needed, three for the curvature.

    `frequency_hz`, shape (n_bands,), are those of the flux densities and errors in Jy, shape
    (n_bands, n_sources); NaN where there is none.

    Notes
    -----
    The fit of ``ln S`` on ``x = ln(nu / reference)`` is weighted and iterated: with the model m of
    the last step the data are ``ln m + (S - m) / m`` with errors ``sigma / m`` (McCullagh & Nelder
    1989, Generalized Linear Models, section 2.5). So a faint source has no bias, unlike with
    logarithms of noisy flux densities. The curvature is from a second fit, with one more parameter.
    """
    there = np.isfinite(flux_jy) & np.isfinite(error_jy) & (error_jy > 0)
    flux = np.where(there, flux_jy, 0.0)
    precision = np.where(there, 1.0 / np.where(there, error_jy, 1.0), 0.0)
    n_bands = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weighted = (flux * precision**2).sum(axis=0) / (precision**2).sum(axis=0)
        bright = weighted * np.sqrt((precision**2).sum(axis=0)) >= _MIN_SNR
    x = np.log(frequency_hz / reference_hz)
    line = _fitted(x, flux, precision, weighted, bright & (n_bands >= 2), 2)
    curve = _fitted(x, flux, precision, weighted, bright & (n_bands >= 3), 3)
    level = np.exp(line.value[0])
    return Spectra(
        n_bands=n_bands,
        flux_jy=level,
        flux_error_jy=level * line.error[0],
        spectral_index=line.value[1],
        spectral_index_error=line.error[1],
        curvature=curve.value[2],
        curvature_error=curve.error[2],
        chi2=line.chi2,
    )


@dataclass(frozen=True)
class _Fit:
    value: Floats
    error: Floats
    chi2: Floats


def _fitted(
    x: Floats, flux: Floats, precision: Floats, level: Floats, which: Any, n_terms: int
) -> _Fit:
    """Fit polynomials in x to ln S; value and error have the shape (n_terms, n_sources)."""
    n = flux.shape[1]
    value, error = np.full((n_terms, n), np.nan), np.full((n_terms, n), np.nan)
    chi2 = np.full(n, np.nan)
    terms = np.vander(x, n_terms, increasing=True)
    # Bands of one frequency determine no slope.
    if np.linalg.matrix_rank(terms) < n_terms or not which.any():
        return _Fit(value, error, chi2)
    s, w = flux[:, which], precision[:, which]
    p = np.zeros((n_terms, s.shape[1]))
    p[0] = np.log(level[which])
    limits = np.array(_LIMITS[:n_terms])[:, None]
    scale = np.array([1.0, 1.0 / max(np.abs(x).max(), 1e-9), 1.0 / max((x**2).max(), 1e-9)])
    for _ in range(_ITERATIONS):
        model = np.exp(terms @ p)
        root = model * w
        square = np.einsum("bi,bs,bj->sij", terms, root**2, terms)
        target = np.einsum("bi,bs->si", terms, root * w * (s - model))
        covariance = np.linalg.pinv(square, hermitian=True)
        step = np.einsum("sij,sj->is", covariance, target)
        most = _MAX_STEP * scale[:n_terms, None]
        p = np.clip(p + np.clip(step, -most, most), -limits, limits)
    sigma = np.sqrt(np.einsum("sii->is", covariance))
    good = (sigma > 0).all(axis=0) & (np.abs(step) <= _CONVERGED * sigma).all(axis=0)
    good &= (np.abs(p) < limits).all(axis=0)
    value[:, which] = np.where(good, p, np.nan)
    error[:, which] = np.where(good, sigma, np.nan)
    chi2[which] = np.where(good, np.sum((w * (s - np.exp(terms @ p))) ** 2, axis=0), np.nan)
    return _Fit(value, error, chi2)


def spectra_path(root: Path, day_mjd: int, mosaic_key: str) -> Path:
    """Return the file of an epoch's spectra in the directory with measurements.

    `day_mjd` is the UTC day of the middle of the mosaic's window, integer MJD.

    Raises
    ------
    InvalidName
        If the key isn't safe.
    """
    name = check_name(mosaic_key, "mosaic key")
    return root / _SPECTRA / day_name(day_mjd) / f"{name}.parquet"


@dataclass(frozen=True)
class SpectraOfSource:
    """Spectral indices of a source in the order of time.

    Arrays have the shape (n,).
    """

    epoch: NDArray[np.str_]  #: Partition keys of mosaics.
    mid_mjd: Floats  #: MJD in days.
    spectral_index: Floats  #: ``S ~ nu^spectral_index``.
    spectral_index_error: Floats  #: Its uncertainty.
    curvature: Floats  #: See `Spectra`; NaN where it isn't known.
    curvature_error: Floats  #: Its uncertainty.

    def by_epoch(self) -> dict[str, dict[str, float]]:
        """Return the index and the curvature, each with its error, by epoch."""
        names = ("spectral_index", "spectral_index_error", "curvature", "curvature_error")
        rows = zip(*(getattr(self, name).tolist() for name in names), strict=True)
        return {
            str(epoch): dict(zip(names, row, strict=True))
            for epoch, row in zip(self.epoch, rows, strict=True)
        }


def spectra_of(root: Path, source_id: str) -> SpectraOfSource:
    """Return the measured spectral indices of a source; its id may be any text.

    Raises
    ------
    UnreadableMeasurements
        If a file is damaged.
    """
    files = epoch_files(root, _SPECTRA, None, None)
    names = [name for name in SpectraOfSource.__annotations__ if name != "epoch"]
    if not files:
        return SpectraOfSource(np.empty(0, np.str_), *(np.empty(0) for _ in names))
    with query(root / _SPECTRA) as cursor:
        found = cursor.execute(
            f"SELECT epoch, {', '.join(names)} FROM read_parquet($files) "
            "WHERE source_id = $source AND spectral_index IS NOT NULL ORDER BY mid_mjd, epoch",
            {"files": as_patterns(files), "source": source_id},
        ).fetchnumpy()
    # Null is masked.
    columns = (np.ma.filled(np.ma.asarray(found[n], np.float64), np.nan) for n in names)
    return SpectraOfSource(np.asarray(found["epoch"], np.str_), *columns)


def mean_indices(root: Path, start_mjd: float, end_mjd: float) -> dict[str, tuple[float, float]]:
    """Return the mean spectral index of each source in [start, end), MJD in days, and its error.

    Raises
    ------
    UnreadableMeasurements
        If a file is damaged.

    Notes
    -----
    Weighted with the inverse variances. Rolling mosaics share half of their data, so the error is
    that of half as many epochs.
    """
    files = epoch_files(root, _SPECTRA, start_mjd, end_mjd)
    if not files:
        return {}
    with query(root / _SPECTRA) as cursor:
        rows = cursor.execute(
            "SELECT source_id, sum(spectral_index * w) / sum(w), sqrt(2.0 / sum(w)) FROM ("
            "SELECT *, 1.0 / spectral_index_error ** 2 AS w FROM read_parquet($files) "
            "WHERE spectral_index IS NOT NULL AND spectral_index_error > 0 "
            "AND mid_mjd >= $start AND mid_mjd < $end) GROUP BY source_id",
            {"files": as_patterns(files), "start": start_mjd, "end": end_mjd},
        ).fetchall()
    return {source: (index, error) for source, index, error in rows}


def read_spectra(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file of spectra; return its columns, null as NaN, and its facts.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    table, facts = FORMAT.read(path)
    with FORMAT.refusing(path):
        return arrays_of(table), facts
