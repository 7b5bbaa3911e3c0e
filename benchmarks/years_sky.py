"""Sources, candidates and images in a state as after years of observing.

Belongs here: what the dashboard shows and the stores of `.years` lack: light curves, variability
metrics, candidates with their pictures, people's notes, antennas, images of the latest
observations and mosaics. Doesn't: timing (see `.dashboard`).
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from PIL import Image

from benchmarks.years import Filled
from contimg_resources.calibration.antenna_health import AntennaEvidence
from contimg_resources.core.keys import mosaic_key
from contimg_resources.core.times import mjd_day
from contimg_resources.cutouts.places import cutout_path, png_beside
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.instrument.dsa110 import CASA_TELESCOPE, active_stations
from contimg_resources.mosaics.model import MosaicFiles, MosaicGrid
from contimg_resources.products.annotations import Annotation
from contimg_resources.products.events import AnnotationKind, Mark, MarkRecord, Subject
from contimg_resources.products.model import ArtefactKind
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.model import LightCurves, Structure
from contimg_resources.variability.points import DayPoints, write_points
from contimg_resources.variability.tables import variability_path, write_variability
from tests.export import made_up

#: Number of sources of which one is variable.
_VARIABLE_EVERY = 97
#: Kinds of images that the page of an observation shows.
_IMAGES = (ArtefactKind.IMAGE, ArtefactKind.IMAGE_PBCOR, ArtefactKind.PRIMARY_BEAM)
_PEOPLE = ("ada", "ben", "cleo")
_NOISE_JY = 6e-4
_CELL_ARCSEC = 5.0
_STRIP_DEG = 16.3
#: Share of the pixels that are sources.
_BRIGHT_SHARE = 1e-4


@dataclass(frozen=True)
class SkySize:
    """Numbers of what is filled in."""

    sources: int = 10_000  #: Sources with light curves.
    days: int = 365  #: Measurements of each.
    candidates: int = 300  #: Candidates; each has a card, and a mark if its number is odd.
    cutouts: int = 20  #: Cutouts of each candidate.
    annotations: int = 500  #: Sources with a tag and a comment.
    images: int = 300  #: Latest observations and mosaics with images.
    side: int = 2400  #: Pixels a side of the image of an observation.
    mosaic: tuple[int, int] = (7000, 2580)  #: Columns and rows of a mosaic.


def fill_sky(workshop: Workshop, filled: Filled, size: SkySize) -> LightCurves:
    """Add sources, candidates and images to a filled state; return the light curves."""
    points = _light_curves(workshop, filled, size)
    _candidates(workshop, points, size)
    _notes(workshop, points, size)
    _antennas(workshop, filled)
    _images(workshop, filled, size)
    return points


def _light_curves(workshop: Workshop, filled: Filled, size: SkySize) -> LightCurves:
    """Write light curves until the last observation, and their metrics."""
    layout, today = workshop.settings.layout, mjd_day(float(filled.keys[-1]))
    made = made_up.light_curves(size.sources, size.days)
    mid_mjd = made.mid_mjd - made_up.MJD + today
    keys = np.array([mosaic_key(mjd, _STRIP_DEG) for mjd in mid_mjd[: size.days]], np.str_)
    points = replace(made, mid_mjd=mid_mjd, epoch=np.tile(keys, size.sources))
    for i in range(size.days):
        # Each source is measured once a day.
        day = slice(i, None, size.days)
        columns = {
            "source_id": points.source_id,
            "ra_deg": points.ra_deg,
            "dec_deg": points.dec_deg,
            "transit_mjd": points.mid_mjd[day],
            "mid_mjd": points.mid_mjd[day],
            "flux_jy": points.flux_jy[day],
            "error_jy": points.error_jy[day],
            "integrated_flux_jy": points.integrated_jy[day],
            "integrated_error_jy": points.integrated_error_jy[day],
            "flags": points.flags[day],
            "is_reference": points.is_reference[day],
            "n_mosaics": np.ones(size.sources, np.int32),
            "epoch": points.epoch[day],
        }
        day_mjd = mjd_day(points.mid_mjd[i])
        write_points(layout.light_curves, DayPoints(day_mjd, columns, size.sources, (keys[i],)))
    metrics = made_up.variability(points, range(0, size.sources, _VARIABLE_EVERY))
    write_variability(variability_path(layout.variability, today - 1), metrics, Structure.empty())
    return points


def _candidates(workshop: Workshop, points: LightCurves, size: SkySize) -> None:
    """Record candidates at all times, with cards and cutouts; every second one has a mark."""
    layout, events = workshop.settings.layout, workshop.products.events
    layout.candidates.mkdir(parents=True, exist_ok=True)
    epochs = points.epoch[: size.days]
    random = np.random.default_rng(3)
    made = []
    for i in range(size.candidates):
        at = i * size.days // size.candidates
        mid_mjd = float(points.mid_mjd[at])
        one = made_up.candidate(
            points, i, start_mjd=mid_mjd - 10.0, mid_mjd=mid_mjd, end_mjd=mid_mjd + 10.0
        )
        made.append(one)
        # Each another picture: the same ones would be one file of an export.
        _picture(layout.candidates / f"{one.id}.png", random, 600)
        for epoch in epochs[max(0, at - size.cutouts // 2) :][: size.cutouts]:
            fits_path = cutout_path(layout.cutouts, one.source_id, str(epoch))
            fits_path.parent.mkdir(parents=True, exist_ok=True)
            fits_path.write_bytes(b"")
            _picture(png_beside(fits_path), random, 48)
    events.put_candidates(made)
    for i, one in enumerate(made[1::2]):
        events.put_mark(MarkRecord(one.id, list(Mark)[i % len(Mark)], "", _PEOPLE[i % 3]))


def _notes(workshop: Workshop, points: LightCurves, size: SkySize) -> None:
    for i, name in enumerate(points.source_id[: size.annotations].tolist()):
        for kind, text in ((AnnotationKind.TAG, f"list {i % 9}"), (AnnotationKind.COMMENT, "odd")):
            by = _PEOPLE[i % 3]
            workshop.products.annotations.put(Annotation(Subject.SOURCE, name, kind, text, by))


def _antennas(workshop: Workshop, filled: Filled) -> None:
    """Record evidence about antennas for the days of which it counts."""
    good = AntennaEvidence(
        0.9, gain=1.0, gain_error=0.02, coherence=0.98, coherence_error=0.01, kept=0.97,
        kept_error=0.01,
    )  # fmt: skip
    evidence = {station.name: good for station in active_stations()}
    first_mjd = float(filled.keys[-1]) - workshop.settings.antennas.days
    for key in filled.keys:
        if (mid_mjd := float(key)) >= first_mjd:
            workshop.products.antennas.put(key, CASA_TELESCOPE, mid_mjd, evidence, {})


def _images(workshop: Workshop, filled: Filled, size: SkySize) -> None:
    """Write an image and a mosaic; all of the latest have the same one, as another name."""
    layout = workshop.settings.layout
    scratch = layout.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    image, mosaic = scratch / "image.fits", scratch / "mosaic.fits"
    _field(image, size.side, size.side)
    _field(mosaic, *size.mosaic)
    for key in filled.keys[-size.images :]:
        directory = layout.image_dir(key)
        directory.mkdir(parents=True)
        for kind in _IMAGES:
            os.link(image, directory / kind.value)
    for record in workshop.products.mosaics.list()[-size.images :]:
        record.directory.mkdir(parents=True)
        files = MosaicFiles.in_directory(record.directory, record.key)
        for path in (files.image, files.sigma, files.coverage):
            os.link(mosaic, path)


def _field(path: Path, columns: int, rows: int) -> None:
    """Write an image of noise and point sources of one pixel."""
    random = np.random.default_rng(4)
    pixels = random.normal(0.0, _NOISE_JY, (rows, columns)).astype(np.float32)
    n = int(_BRIGHT_SHARE * pixels.size)
    pixels[random.integers(0, rows, n), random.integers(0, columns, n)] = 0.1
    header = celestial_wcs(MosaicGrid(columns, rows, _CELL_ARCSEC, 20.0, _STRIP_DEG)).to_header()
    header["BUNIT"] = "Jy/beam"
    fits.writeto(path, pixels, header)


def _picture(path: Path, random: np.random.Generator, side: int) -> None:
    grey = random.integers(0, 255, (side // 4, side // 4), np.uint8)
    Image.fromarray(grey).resize((side, side)).save(path)
