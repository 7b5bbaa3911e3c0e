"""A simulated season of mosaics, measured as real ones are.

Belongs here: writing a season into a state directory, as input of light curves, the event search
and cutouts; pixels and FITS files of each epoch: a known sky in noise correlated by the beam.
Doesn't: drawing the sky (see `season_sky`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources
from contimg_resources.catalogues.store import FORMAT
from contimg_resources.core.arrays import Singles
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import ConfigurationError, PhotometryFailed
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.measuring import measure
from contimg_resources.mosaics.model import MosaicFiles, MosaicGrid, MosaicStatistics
from contimg_resources.mosaics.windows import WindowGrid
from contimg_resources.products.epochs import MosaicRecord, MosaicState
from contimg_resources.simulation.season_sky import (
    draw_epochs,
    draw_sources,
    season_grid,
    true_season,
)
from contimg_resources.simulation.season_spec import (
    SeasonSpec,
    SeasonTruth,
    TrueEpoch,
    season_truth_path,
)
from contimg_resources.simulation.sky import REFERENCE_GHZ
from contimg_resources.simulation.tiles import beam_shape, correlated_noise
from contimg_resources.steps.mosaicking import quality_of
from contimg_resources.steps.photometry import Unmeasured, measure_mosaic
from contimg_resources.steps.workshop import Workshop


def write_season(
    workshop: Workshop, spec: SeasonSpec, progress: Progress = no_progress
) -> SeasonTruth:
    """Write a season's mosaics and measure them, in order of time.

    Each mosaic is recorded as made of no tile, so nothing requests its images or makes it again.
    The truth is also stored in the state (see `season_spec.season_truth_path`).

    Raises
    ------
    ConfigurationError
        If the state already holds a season, or a catalogue of its name.
    PhotometryFailed
        If a mosaic can't be measured.
    """
    layout = workshop.settings.layout
    told = season_truth_path(layout.root)
    if told.exists():
        raise ConfigurationError(
            f"{layout.root} holds a season already ({told.name}): give another state directory",
            path=str(told),
        )
    if spec.name in workshop.catalogues.names():
        raise ConfigurationError(
            f"{layout.root} holds a catalogue {spec.name!r} already: give the season another name"
        )
    sources = draw_sources(spec)
    truth = true_season(spec, sources, draw_epochs(spec, WindowGrid(workshop.settings.mosaics)))
    # First of all, so that the remains of an interrupted season aren't taken for part of another.
    truth.save(told)
    workshop.catalogues.put(sources, _facts(spec, sources))
    catalogue = workshop.catalogues.open(spec.name)
    shapes = FieldShapes.of(spec, sources)
    flux_jy = np.array([truth.flux_jy[str(s)] for s in sources.source_id], np.float32)
    for number, epoch in enumerate(truth.epochs):
        progress(f"mosaic {epoch.key}", number / len(truth.epochs))
        directory = layout.mosaic_dir(epoch.key, epoch.mid_mjd)
        statistics = write_mosaic(directory, shapes, epoch, number, flux_jy[:, number])
        workshop.products.mosaics.put(_record(workshop, spec, epoch, statistics))
        measured = measure_mosaic(workshop, epoch.key, catalogue=catalogue, draw=False)
        if isinstance(measured, Unmeasured):
            raise PhotometryFailed(f"mosaic {epoch.key}: {measured.reason}", key=epoch.key)
    return truth


def _record(
    workshop: Workshop, spec: SeasonSpec, epoch: TrueEpoch, told: MosaicStatistics
) -> MosaicRecord:
    directory = workshop.settings.layout.mosaic_dir(epoch.key, epoch.mid_mjd)
    image = MosaicFiles.in_directory(directory, epoch.key).image
    return MosaicRecord(
        key=epoch.key,
        start_mjd=epoch.start_mjd,
        mid_mjd=epoch.mid_mjd,
        end_mjd=epoch.end_mjd,
        declination_deg=spec.dec_deg,
        state=MosaicState.MADE,
        reason="",
        tiles={},
        directory=directory,
        checksum=content_checksum(image),
        size_bytes=image.stat().st_size,
        statistics=quality_of(told, spec.beam),
    )


def _facts(spec: SeasonSpec, sources: CatalogueSources) -> CatalogueFacts:
    # No file was read: the season's specification takes its place.
    described = json.dumps(asdict(spec), sort_keys=True).encode()
    return CatalogueFacts(
        name=spec.name,
        survey="list",
        origin=f"simulated season, seed {spec.seed}",
        checksum=f"sha256:{hashlib.sha256(described).hexdigest()}",
        n_sources=len(sources),
        schema_version=FORMAT.version,
    )


_BANDWIDTH_HZ = 1.87e8
#: Number of epochs with independent noise.
_SEEDS = 1_000_000


@dataclass(frozen=True)
class FieldShapes:
    """Properties shared by all epochs of a field."""

    spec: SeasonSpec  #: The season.
    grid: MosaicGrid  #: Pixels of the mosaic.
    of_source: Singles  #: Image of each source at 1 Jy. Shape (n_sources, rows, columns).

    @classmethod
    def of(cls, spec: SeasonSpec, sources: CatalogueSources) -> "FieldShapes":
        """Draw each source once; the beam's position angle is from local north, as in mosaics."""
        grid = season_grid(spec)
        rows, columns = np.mgrid[: grid.rows, : grid.columns]
        ra, dec = celestial_wcs(grid).all_pix2world(columns.ravel(), rows.ravel(), 0)
        shapes = np.empty((len(sources), grid.rows, grid.columns), np.float32)
        for i in range(len(sources)):
            east, north, _ = direction_cosines(
                ra, dec, float(sources.ra_deg[i]), float(sources.dec_deg[i])
            )
            shape = beam_shape(3600 * np.degrees(east), 3600 * np.degrees(north), spec.beam)
            shapes[i] = shape.reshape(rows.shape)
        return cls(spec, grid, shapes)


def write_mosaic(
    directory: Path, shapes: FieldShapes, epoch: TrueEpoch, number: int, flux_jy: Singles
) -> MosaicStatistics:
    """Write image and expected noise of an epoch, as the mosaic of its window, without tiles.

    The directory is replaced as a whole. `number` is that of the epoch in the season: its noise is
    independent of others. True flux densities are in Jy, shape (n_sources,).
    """
    spec, grid = shapes.spec, shapes.grid
    noise = correlated_noise(grid.columns, grid.cell_arcsec, spec.beam, spec.seed * _SEEDS + number)
    sky = np.tensordot(flux_jy, shapes.of_source, 1)
    # Gain errors affect noise and sources alike.
    image = (epoch.scale * (sky + spec.rms_jy * noise)).astype(np.float32)
    sigma = np.full(image.shape, epoch.scale * spec.rms_jy, np.float32)
    told = measure(image, sigma, np.ones(image.shape, np.float32), grid, spec.beam, 0)
    facts = HeaderFacts(
        grid=grid,
        beam=spec.beam,
        frequency_hz=1e9 * REFERENCE_GHZ,
        bandwidth_hz=_BANDWIDTH_HZ,
        telescope="DSA110",
        object_name=epoch.key,
        start_mjd=epoch.start_mjd,
        end_mjd=epoch.end_mjd,
        cards={
            "NTILES": (0, "images in the mosaic"),
            "RMS": (told.rms_jy, "[Jy/beam] in the deepest quarter"),
            "EXPRMS": (told.expected_rms_jy, "[Jy/beam] expected there"),
            "WINSTART": (epoch.start_mjd, "[d] begin of the window"),
            "WINEND": (epoch.end_mjd, "[d] end of the window"),
        },
        provenance={"mosaic": epoch.key, "simulated": f"{spec.name}, seed {spec.seed}"},
    )
    with whole_directory(directory) as partial:
        partial.mkdir()
        files = MosaicFiles.in_directory(partial, epoch.key)
        write_fits(files.image, image, "Intensity", "Jy/beam", facts)
        write_fits(files.sigma, sigma, "Sigma", "Jy/beam", facts)
    return told
