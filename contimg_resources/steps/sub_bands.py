"""Sub-bands of a mosaic: flux densities of the sources in each, and their spectra.

The platform's own sub-band images are combined for this step only: their mosaics aren't kept. A
sub-band mosaic that was made elsewhere is measured, too.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.catalogues.store import Catalogue
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import PhotometryFailed, ProductsError, rejecting
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.core.times import mjd_day
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.mosaics.model import MosaicFiles, MosaicRequest, TileFiles
from contimg_resources.products.derived import DerivedKind, InputKind
from contimg_resources.products.epochs import MosaicRecord
from contimg_resources.products.model import Artefact, ArtefactKind
from contimg_resources.steps.imaging import SUB_BAND
from contimg_resources.steps.origin import software
from contimg_resources.steps.photometry import (
    NO_CATALOGUE,
    Unmeasured,
    check_offsets,
    check_scale,
    on_scale,
)
from contimg_resources.steps.recording import finished
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.photometry.epoch import EpochScale
    from contimg_resources.photometry.measurements import Written
    from contimg_resources.photometry.model import MeasurableImage
    from contimg_resources.photometry.spectral_indices import Spectra

#: Limits of the check: median difference from the catalogue's indices, and spectral index of the
#: flux scales, both beyond three errors.
_MOST_OFF, _ERRORS = 0.3, 3.0
#: Minimum number of sources with an index in the catalogue, and maximum error of their indices.
_LEAST_COMPARED, _MOST_ERROR = 5, 1.0
_MEDIAN = 1.2533


@dataclass(frozen=True)
class MeasuredSubband:
    """An epoch of measurements in a sub-band."""

    band: str  #: Its name.
    written: "Written"  #: The file.
    frequency_hz: float  #: Effective frequency of the image, Hz.
    scale: "EpochScale"  #: Its flux scale and astrometry.
    verdicts: tuple[Verdict, ...]  #: Checks of flux scale and astrometry.


@dataclass(frozen=True)
class MeasuredSpectra:
    """The spectra of an epoch."""

    path: Path | None  #: Their file; None if fewer than two sub-bands were measured.
    bands: tuple[MeasuredSubband, ...]  #: The sub-bands in order of frequency.
    reasons: dict[str, str]  #: Sub-bands that weren't measured, with the reasons.
    n_spectra: int  #: Number of sources with a spectral index.
    verdict: Verdict  #: Check of the indices against those of the catalogue.


def measure_subband(
    workshop: Workshop,
    key: str,
    band: str,
    image_path: Path,
    sigma_path: Path | None = None,
    *,
    progress: Progress = no_progress,
) -> MeasuredSubband | Unmeasured:
    """Measure the catalogue's sources on a sub-band mosaic made elsewhere.

    `key` is that of the mosaic of the whole band. The image is in Jy/beam, corrected for the
    primary beam; so is its noise map: without it, the noise is assumed to vary slowly. The result
    isn't recorded in a store.

    Raises
    ------
    InvalidName
        If the key isn't a mosaic key, or the band's name isn't safe.
    ProductsError
        If there is no such mosaic.
    UnreadableImage
        If an image is damaged or its header lacks something.
    PhotometryFailed
        If the image is of another frequency, time or sky, or nothing can be measured on it.
    """
    from contimg_resources.photometry.reading import read_mosaic
    from contimg_resources.photometry.subbands import check_band, check_subband

    parse_mosaic_key(key)
    check_band(band)
    catalogue = workshop.reference_catalogue()
    record = workshop.products.mosaics.get(key)
    if catalogue is None:
        return Unmeasured(NO_CATALOGUE)
    if not record.checksum:
        raise PhotometryFailed(f"mosaic {key} couldn't be made: {record.reason}", key=key)
    progress("reading the image", 0.0)
    files = MosaicFiles.in_directory(record.directory, key)
    image = read_mosaic(image_path, sigma_path, epoch=key)
    root = workshop.settings.layout.photometry
    check_subband(root, band, image, read_mosaic(files.image, None, epoch=key))
    return _measured(workshop, band, image, catalogue, content_checksum(image_path), progress)


def _measured(
    workshop: Workshop,
    band: str,
    image: "MeasurableImage",
    catalogue: Catalogue,
    measured_from: str,
    progress: Progress,
) -> MeasuredSubband | Unmeasured:
    from contimg_resources.photometry.measurements import write_measurements
    from contimg_resources.photometry.subbands import band_path, bands_root

    root = workshop.settings.layout.photometry
    path = band_path(root, band, mjd_day(parse_mosaic_key(image.epoch)[0]), image.epoch)
    found = on_scale(workshop, image, catalogue, bands_root(root), band, progress)
    if isinstance(found, Unmeasured):
        return found
    sources, raw, scale = found
    told = {
        "catalogue": catalogue.facts.release,
        "measured_from": measured_from,
        "subband": band,
        "moved_arcsec": list(scale.moved_arcsec),
        **software(),
    }
    written = write_measurements(path, image, sources, raw, scale, told)
    verdicts = (check_scale(scale), check_offsets(scale, image, workshop))
    return MeasuredSubband(band, written, image.frequency_hz, scale, verdicts)


def measure_sub_bands(
    workshop: Workshop,
    key: str,
    *,
    run_id: str = "",
    progress: Progress = no_progress,
) -> MeasuredSpectra | Unmeasured:
    """Measure the sources of a mosaic in each sub-band of its images, and fit their spectra.

    A sub-band that fails has its reason in the result, and doesn't stop the others.

    Raises
    ------
    InvalidName
        If the key isn't a mosaic key.
    ProductsError
        If there is no such mosaic.
    CatalogueError
        If the catalogue is missing or damaged.
    """
    parse_mosaic_key(key)
    catalogue = workshop.reference_catalogue()
    record = workshop.products.mosaics.get(key)
    if catalogue is None:
        return Unmeasured(NO_CATALOGUE)
    tiles, checksums = _tiles_of(workshop, record)
    if not tiles:
        return Unmeasured("its images have no sub-bands (CONTIMG_IMAGING__SUB_BANDS)")
    store, kind = workshop.products.derived, DerivedKind.SPECTRA
    before = store.get(kind, key)
    store.forget([(kind, key)])
    bands: list[MeasuredSubband] = []
    reasons: dict[str, str] = {}
    for number, (band, files) in enumerate(sorted(tiles.items())):
        progress(f"sub-band {band}", number / len(tiles))
        with rejecting(reasons, band):
            made = _band_of(workshop, record, band, tuple(files), catalogue)
            if isinstance(made, Unmeasured):
                reasons[band] = made.reason
            else:
                bands.append(made)
    bands.sort(key=lambda b: b.frequency_hz)
    made_files = [b.written.path for b in bands]
    for old in before.companions if before else ():
        # Of a sub-band that the images no longer have.
        if old.path not in made_files:
            old.path.unlink(missing_ok=True)
    if len(bands) < 2:
        if before is not None:
            before.path.unlink(missing_ok=True)
        words = f"not evaluated: {len(bands)} sub-bands were measured"
        verdict = Verdict("spectral_indices", True, words, evaluated=False)
        return MeasuredSpectra(None, tuple(bands), reasons, 0, verdict)
    progress("fitting spectra", 0.95)
    path, n_spectra, verdict = _write_spectra(workshop, record, bands, catalogue, reasons)
    store.put(
        [
            finished(
                kind,
                key,
                path,
                mid_mjd=record.mid_mjd,
                inputs={InputKind.MOSAIC: {key: record.checksum}},
                parameters={
                    "catalogue": catalogue.facts.release,
                    "sub_bands_mhz": {b.band: round(b.frequency_hz / 1e6, 3) for b in bands},
                    "no_sub_bands": reasons,
                    "images": checksums,
                    "n_spectra": n_spectra,
                    "check": verdict.words,
                },
                companions=made_files,
                run_id=run_id,
            )
        ]
    )
    return MeasuredSpectra(path, tuple(bands), reasons, n_spectra, verdict)


def _tiles_of(
    workshop: Workshop, mosaic: MosaicRecord
) -> tuple[dict[str, list[TileFiles]], dict[str, dict[str, str]]]:
    """Return the images of each sub-band, and their checksums by sub-band and observation."""
    tiles: dict[str, list[TileFiles]] = defaultdict(list)
    checksums: dict[str, dict[str, str]] = defaultdict(dict)
    for key in sorted(mosaic.tiles):
        try:
            made = workshop.products.artefacts(key)
        except ProductsError:
            continue
        beams = {a.version: a for a in made if a.kind == ArtefactKind.SUB_BAND_PRIMARY_BEAM}
        for image in (a for a in made if a.kind == ArtefactKind.SUB_BAND_IMAGE):
            beam: Artefact | None = beams.get(image.version)
            if beam is None:
                continue
            band = str(image.parameters[SUB_BAND])
            # The noise is measured on the image: few of its pixels have sources.
            files = TileFiles(key, image.path, beam.path, image.path, checksum=image.checksum)
            tiles[band].append(files)
            checksums[band][key] = image.checksum
    return dict(tiles), dict(checksums)


def _band_of(
    workshop: Workshop,
    record: MosaicRecord,
    band: str,
    tiles: tuple[TileFiles, ...],
    catalogue: Catalogue,
) -> MeasuredSubband | Unmeasured:
    # It loads astropy, which callers that only list open mosaics don't need.
    from contimg_resources.mosaics.make import make_mosaic
    from contimg_resources.photometry.reading import read_mosaic

    scratch = workshop.settings.layout.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{record.key}-{band}-", dir=scratch) as place:
        made = make_mosaic(
            MosaicRequest(
                key=record.key,
                directory=Path(place) / "mosaic",
                start_mjd=record.start_mjd,
                end_mjd=record.end_mjd,
                declination_deg=record.declination_deg,
                tiles=tiles,
                imaging=workshop.settings.imaging,
                keep_sums=False,
                inspected=False,
            )
        )
        image = read_mosaic(made.files.image, made.files.sigma, epoch=record.key)
        measured_from = content_checksum(made.files.image)
        return _measured(workshop, band, image, catalogue, measured_from, no_progress)


def _write_spectra(
    workshop: Workshop,
    record: MosaicRecord,
    bands: list[MeasuredSubband],
    catalogue: Catalogue,
    reasons: dict[str, str],
) -> tuple[Path, int, Verdict]:
    from contimg_resources.photometry.measurements import read_measurements
    from contimg_resources.photometry.spectral_indices import FORMAT, fit_spectra, spectra_path

    columns = [read_measurements(b.written.path)[0] for b in bands]
    names = np.unique(np.concatenate([c["source_id"] for c in columns]))
    shape = (len(bands), len(names))
    flux, error = np.full(shape, np.nan), np.full(shape, np.nan)
    sky, mid_mjd = np.full((2, len(names)), np.nan), np.full(shape, np.nan)
    for number, column in enumerate(columns):
        place = np.searchsorted(names, column["source_id"])
        sky[:, place] = column["ra_deg"], column["dec_deg"]
        mid_mjd[number, place] = column["mid_mjd"]
        if bands[number].scale.ok:
            flux[number, place] = column["flux_jy"]
            error[number, place] = column["flux_error_jy"]
    frequency_hz = np.array([b.frequency_hz for b in bands])
    # Neither flux density nor index depend on each other's errors much at the middle of the band.
    reference_hz = float(np.exp(np.mean(np.log(frequency_hz))))
    spectra = fit_spectra(frequency_hz, flux, error, reference_hz)
    listed = _catalogue_indices(catalogue, names, sky)
    path = spectra_path(
        workshop.settings.layout.photometry, mjd_day(parse_mosaic_key(record.key)[0]), record.key
    )
    verdict = check_indices(spectra, listed, bands)
    FORMAT.write(
        path,
        {
            **vars(spectra),
            "source_id": names,
            "epoch": np.full(len(names), record.key),
            "mid_mjd": np.nanmean(mid_mjd, axis=0),
            "ra_deg": sky[0],
            "dec_deg": sky[1],
            "reference_hz": np.full(len(names), reference_hz),
            "catalogue_index": listed,
        },
        {
            "epoch": record.key,
            "catalogue": catalogue.facts.release,
            "measured_from": record.checksum,
            "subbands": [_facts_of(b) for b in bands],
            "no_subbands": reasons,
            **software(),
        },
    )
    return path, int(np.isfinite(spectra.spectral_index).sum()), verdict


def _facts_of(band: MeasuredSubband) -> dict[str, Any]:
    scale = band.scale
    known = np.isfinite([scale.scale, scale.error]).all()
    return {
        "name": band.band,
        "frequency_hz": band.frequency_hz,
        "ok": scale.ok,
        "reason": scale.reason,
        "scale": scale.scale if known else None,
        "scale_error": scale.error if known else None,
    }


def _catalogue_indices(catalogue: Catalogue, names: Any, sky: Any) -> Any:
    """Return the spectral indices of sources in the catalogue; NaN where it has none."""
    ra, dec = np.radians(sky)
    middle = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    mean = middle.mean(axis=1)
    mean /= np.linalg.norm(mean)
    radius_deg = float(np.degrees(np.arccos(np.clip(mean @ middle, -1, 1)).max())) + 0.01
    near = catalogue.cone(
        float(np.degrees(np.arctan2(mean[1], mean[0])) % 360),
        float(np.degrees(np.arcsin(mean[2]))),
        min(90.0, radius_deg),
    )
    known = dict(zip(near.source_id.tolist(), near.spectral_index.tolist(), strict=True))
    return np.array([known.get(str(name), np.nan) for name in names])


def check_indices(
    spectra: "Spectra", catalogue_index: Any, bands: list[MeasuredSubband]
) -> Verdict:
    """Compare measured spectral indices with those of the catalogue.

    Each sub-band has a flux scale from the reference sources. Therefore the sources' indices show
    whether the catalogue's are right, and the index of the scales, ``d ln g / d ln nu``, whether
    the bandpass and the primary beam are.
    """
    with np.errstate(invalid="ignore"):
        used = np.isfinite(catalogue_index) & (spectra.spectral_index_error < _MOST_ERROR)
    off = (spectra.spectral_index - catalogue_index)[used]
    scales = [b for b in bands if b.scale.ok]
    words, measures, passed = [], {}, True
    if len(scales) >= 2:
        slope, slope_error = _index_of_scales(scales)
        passed &= abs(slope) <= _MOST_OFF + _ERRORS * slope_error
        words.append(f"spectral index of the flux scales {slope:+.2f} +- {slope_error:.2f}")
        measures["scale_index"] = slope
    if len(off) >= _LEAST_COMPARED:
        # Compiled loops are beside it, and every run worker loads this module.
        from contimg_resources.core.statistics import STD_OF_MAD

        median = float(np.median(off))
        scatter = STD_OF_MAD * float(np.median(np.abs(off - median)))
        error = _MEDIAN * scatter / np.sqrt(len(off))
        passed &= abs(median) <= _MOST_OFF + _ERRORS * error
        words.append(
            f"spectral indices of {len(off)} sources differ from the catalogue's by {median:+.2f} "
            f"+- {error:.2f}, scatter {scatter:.2f}"
        )
        measures |= {"index_offset": median, "index_scatter": scatter}
    else:
        words.append(
            f"{len(off)} sources have an index in the catalogue and a measured one with an error "
            f"below {_MOST_ERROR:g}; {_LEAST_COMPARED} are needed for the comparison"
        )
    said = "; ".join(words) + f"; limits +-{_MOST_OFF:g} and {_ERRORS:g} errors"
    return Verdict("spectral_indices", bool(passed), said, bool(measures), measures)


def _index_of_scales(bands: list[MeasuredSubband]) -> tuple[float, float]:
    x = np.log([b.frequency_hz for b in bands])
    scale = np.array([b.scale.scale for b in bands])
    weight = (scale / np.array([b.scale.error for b in bands])) ** 2
    off = x - np.average(x, weights=weight)
    spread = float(np.sum(weight * off**2))
    return float(np.sum(weight * off * np.log(scale)) / spread), spread**-0.5
