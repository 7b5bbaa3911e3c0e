"""Find the sources of a mosaic, measure how complete and reliable the list is, and record it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.derived import DerivedKind, InputKind, Product
from contimg_resources.steps.origin import software
from contimg_resources.steps.photometry import circle_around, sources_about
from contimg_resources.steps.recording import finished
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.photometry.completeness import Completeness, Reliability
    from contimg_resources.photometry.finding import Found

# Finding loads astropy and numba: imported in the functions that find.

#: Maximum number of found sources, as a multiple of that expected from counts and with four
#: standard deviations more; maximum share of false ones above `_JUDGED_SNR`.
_MOST_TIMES, _SIGMAS = 2.0, 4.0
_MOST_FALSE, _JUDGED_SNR = 0.01, 6.0
#: Of the catalogue's sources above this expected S/N, if there are enough, at least this share is
#: found.
_EXPECTED_SNR, _LEAST_COMPARED, _LEAST_FOUND = 10.0, 10, 0.9
#: Maximum distance between a catalogue source and a found source, in beams (major axis), for the
#: catalogue source to be found, and to be listed beside it.
_SAME_BEAMS, _LISTED_BEAMS = 0.5, 1.0


@dataclass(frozen=True)
class FoundInMosaic:
    """The list of found sources of a mosaic."""

    product: Product  #: Its record in the store.
    n_sources: int  #: Number of sources.
    n_rejected: int  #: Number of rejected detections.
    n_extended: int  #: Number of sources wider than the beam.
    n_blended: int  #: Number of sources that share an island with others.
    n_catalogued: int  #: Number of sources with a catalogue source near.
    min_snr: float  #: S/N that a source needs in this mosaic.
    n_expected: float  #: Number expected from source counts.
    completeness: "Completeness"  #: Share of injected sources that were found.
    reliability: "Reliability"  #: False detections.
    verdict: Verdict  #: Check of number, reliability and of the catalogue's sources.

    @property
    def path(self) -> Path:
        """The Parquet file."""
        return self.product.path


def find_in_mosaic(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> FoundInMosaic:
    """Find the sources of a mosaic without a catalogue.

    Raises
    ------
    InvalidName
        If the key isn't a mosaic key.
    ProductsError
        If there is no such mosaic.
    UnreadableImage
        If its files are damaged.
    PhotometryFailed
        If it couldn't be made, or has no sky for measuring its noise.
    CatalogueError
        If the reference catalogue is missing or damaged.
    """
    from contimg_resources.photometry.completeness import (
        depth_of,
        expected_sources,
        measure_completeness,
        measure_reliability,
    )
    from contimg_resources.photometry.finding import find_sources
    from contimg_resources.photometry.found import FoundFiles, write_found
    from contimg_resources.photometry.model import Flag
    from contimg_resources.photometry.new_sources import single_share
    from contimg_resources.photometry.reading import read_mosaic

    parse_mosaic_key(key)
    record = workshop.products.mosaics.get(key)
    if not record.checksum:
        raise PhotometryFailed(f"mosaic {key} couldn't be made: {record.reason}", key=key)
    limits = workshop.settings.finding
    progress("reading the mosaic", 0.0)
    mosaic = MosaicFiles.in_directory(record.directory, key)
    image = read_mosaic(mosaic.image, mosaic.sigma, epoch=key)
    progress("finding sources", 0.1)
    found = find_sources(image, limits, workshop.settings.photometry)
    progress("injecting sources", 0.6)
    completeness = measure_completeness(found, limits.injections)
    reliability = measure_reliability(found)
    progress("comparing and writing", 0.9)
    catalogue = workshop.reference_catalogue()
    names, away, is_isolated, recovered = _catalogued(workshop, found)
    depth = depth_of(found.finder)
    n_expected = expected_sources(found, depth.sampled_rms_jy, depth.area_deg2)
    verdict = check_found(found, reliability, n_expected, recovered)
    parameters = {
        "catalogue": catalogue.facts.release if catalogue else "",
        "settings": limits.model_dump(),
        "n_sources": len(found.sources),
        "n_rejected": found.n_rejected,
        "min_snr": found.min_snr,
        "n_expected": n_expected,
        "check": verdict.words,
        "new_snr": reliability.limit(limits.new_false_alarms),
        "single_snr": reliability.limit(single_share(limits.new_false_alarms)),
        "place": circle_around(image),
    }
    files = FoundFiles.of(workshop.settings.layout.photometry, key)
    store, kind = workshop.products.derived, DerivedKind.FOUND_SOURCES
    store.forget([(kind, key)])
    write_found(
        files,
        image,
        found.sources,
        names,
        away,
        is_isolated,
        {
            **parameters,
            "measured_from": record.checksum,
            "beam_arcsec": [image.beam.major_arcsec, image.beam.minor_arcsec],
            "beam_angle_deg": image.beam.angle_deg,
            "completeness": _facts_of(completeness),
            "reliability": _facts_of(reliability),
            "depth": {"order": depth.order, "pixel": depth.pixel, "rms_jy": depth.rms_jy},
            **software(),
        },
    )
    product = finished(
        kind,
        key,
        files.table,
        mid_mjd=record.mid_mjd,
        inputs={InputKind.MOSAIC: {key: record.checksum}},
        parameters=parameters,
        companions=(files.votable,),
        run_id=run_id,
    )
    store.put([product])
    return FoundInMosaic(
        product=product,
        n_sources=len(found.sources),
        n_rejected=found.n_rejected,
        n_extended=int(np.count_nonzero(found.sources.flags & int(Flag.EXTENDED))),
        n_blended=int(np.count_nonzero(found.sources.flags & int(Flag.BLEND))),
        n_catalogued=int(np.count_nonzero(names != "")),
        min_snr=found.min_snr,
        n_expected=n_expected,
        completeness=completeness,
        reliability=reliability,
        verdict=verdict,
    )


def _catalogued(workshop: Workshop, found: "Found") -> tuple[Any, Any, Any, tuple[int, int] | None]:
    """Compare found sources with the reference catalogue.

    Returns
    -------
    tuple
        Id of the nearest catalogue source, empty where none is near, and its distance, arcsec;
        which sources are isolated; and how many bright and lonely sources of the catalogue are
        expected and found, None without a catalogue.
    """
    from contimg_resources.catalogues.model import blended, nearest_sources
    from contimg_resources.photometry.beams import pixel_of_sky
    from contimg_resources.photometry.new_sources import isolated

    sources, finder = found.sources, found.finder
    n, image = len(sources), finder.image
    names, away = np.full(n, "", np.str_), np.full(n, np.nan)
    catalogue = workshop.reference_catalogue()
    if catalogue is None:
        return names, away, np.zeros(n, bool), None
    known = sources_about(image, catalogue, 0.0)
    expected_jy = known.flux_at(
        image.frequency_hz, workshop.settings.catalogue.default_spectral_index
    )
    alone = isolated(
        sources,
        image.beam.major_arcsec,
        known.ra_deg,
        known.dec_deg,
        expected_jy,
        known.major_arcsec,
    )
    if not len(known):
        return names, away, alone, (0, 0)
    arcsec, which = nearest_sources(sources.ra_deg, sources.dec_deg, known.ra_deg, known.dec_deg)
    near = arcsec < _LISTED_BEAMS * image.beam.major_arcsec
    names = np.where(near, known.source_id[which], "")
    rows, columns = pixel_of_sky(image, known.ra_deg, known.dec_deg)
    inside = np.isfinite(finder.value_at(rows, columns))
    rms = np.full(len(known), np.nan)
    rms[inside] = finder.surroundings_at(rows[inside], columns[inside])[1]
    with np.errstate(invalid="ignore"):
        wide = known.major_arcsec > _SAME_BEAMS * image.beam.major_arcsec
        bright = expected_jy > _EXPECTED_SNR * rms
    judged = bright & ~wide & ~known.variable
    judged &= ~blended(known.ra_deg, known.dec_deg, image.beam.major_arcsec)
    there = nearest_sources(
        known.ra_deg[judged], known.dec_deg[judged], sources.ra_deg, sources.dec_deg
    )[0]
    n_there = int(np.count_nonzero(there < _SAME_BEAMS * image.beam.major_arcsec))
    return names, np.where(near, arcsec, np.nan), alone, (int(judged.sum()), n_there)


def check_found(
    found: "Found",
    reliability: "Reliability",
    n_expected: float,
    recovered: tuple[int, int] | None,
) -> Verdict:
    """Check a list of found sources: their number, false ones, and the catalogue's sources.

    `n_expected` is the number expected from source counts: more than twice as many (and four
    standard deviations more) are artefacts. Fewer don't fail the check: the catalogue's bright
    sources, of which `recovered` are expected and found, show what is lost.
    """
    n = len(found.sources)
    level = int(np.searchsorted(reliability.snr, _JUDGED_SNR))
    n_above, n_negative = (int(v[level]) for v in (reliability.n_found, reliability.n_negative))
    most = _MOST_TIMES * n_expected + _SIGMAS * math.sqrt(max(n_expected, 1.0))
    # A single negative peak is no share.
    passed = n <= most and n_negative <= max(1.0, _MOST_FALSE * n_above)
    words = (
        f"{n} sources above {found.min_snr:.2f} sigma, {n_expected:.0f} expected from source "
        f"counts and at most {most:.0f} allowed; {n_negative} negative peaks beside {n_above} "
        f"sources above {_JUDGED_SNR:g} sigma, at most 1 % is allowed; {found.n_rejected} "
        "detections rejected as possible artefacts"
    )
    measures = {
        "n_sources": float(n),
        "n_expected": n_expected,
        "n_negative": float(n_negative),
        "n_rejected": float(found.n_rejected),
        "detection_snr": found.min_snr,
    }
    if recovered is not None and recovered[0] >= _LEAST_COMPARED:
        share = recovered[1] / recovered[0]
        passed &= share >= _LEAST_FOUND
        words += (
            f"; {recovered[1]} of {recovered[0]} catalogue sources above {_EXPECTED_SNR:g} sigma "
            f"found, at least {100 * _LEAST_FOUND:.0f} % are required"
        )
        measures["catalogue_found"] = share
    return Verdict("found_sources", passed, words, measures=measures)


def _facts_of(curve: "Completeness | Reliability") -> dict[str, Any]:
    """Return a curve as JSON: numbers that aren't finite are null."""
    told: dict[str, Any] = {}
    for name, value in vars(curve).items():
        values = np.atleast_1d(value).tolist()
        listed = [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
        told[name] = listed if isinstance(value, np.ndarray) else listed[0]
    return told
