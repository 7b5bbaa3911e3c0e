"""Forced photometry of further sources on mosaics that are measured already.

Belongs here: measuring the sources on the mosaic of an epoch, and adding them to its measurements.
Doesn't: which sources and epochs (see `new_sources`), the measurements of the list (see
`photometry`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.store import Catalogue
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.epochs import EpochRecord
from contimg_resources.steps.photometry import listed_sources
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.photometry.model import MeasurableImage, SourceList

#: A source is measured on this part of the mosaic, in major axes of the beam to each side, which
#: has enough sky for background and noise; more sources than these on the whole mosaic at once.
_HALF_BEAMS, _MOST_PARTS = 20.0, 10

Rows = dict[str, NDArray[Any]]


def rows_at(
    workshop: Workshop, epoch: EpochRecord, targets: "SourceList", catalogue: Catalogue
) -> Rows:
    """Measure sources on the mosaic of an epoch, with the flux scale of its measurements.

    The rows are those of the epoch's file (see `contimg_resources.photometry.measurements`);
    sources outside the mosaic have none. The catalogue's sources around are solved jointly.

    Raises
    ------
    PhotometryFailed
        If the mosaic changed since it was measured, or has no sky for measuring its noise.
    ProductsError
        If there is no such mosaic.
    UnreadableImage
        If its files are damaged.
    UnreadableMeasurements
        If the epoch's measurements are damaged.
    """
    from contimg_resources.photometry.measurements import read_measurements
    from contimg_resources.photometry.reading import part_around, read_mosaic

    mosaic = workshop.products.mosaics.get(epoch.epoch)
    if mosaic.checksum != epoch.measured_from:
        raise PhotometryFailed(
            f"mosaic {epoch.epoch} was made again since it was measured", key=epoch.epoch
        )
    files = MosaicFiles.in_directory(mosaic.directory, epoch.epoch)
    image = read_mosaic(files.image, files.sigma, epoch=epoch.epoch)
    known, facts = read_measurements(epoch.path)
    moved = (float(facts["moved_arcsec"][0]), float(facts["moved_arcsec"][1]))
    n = len(targets)
    groups = [np.arange(n)] if n > _MOST_PARTS else [np.array([i]) for i in range(n)]
    found = []
    for group in groups:
        some = targets.select(group)
        part = image
        if n <= _MOST_PARTS:
            part = part_around(image, float(some.ra_deg[0]), float(some.dec_deg[0]), _HALF_BEAMS)
        found.append(
            _rows(workshop, part, some, catalogue, known, epoch_ok=epoch.epoch_ok, moved=moved)
        )
    return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}


def _rows(
    workshop: Workshop,
    image: "MeasurableImage",
    targets: "SourceList",
    catalogue: Catalogue,
    known: Rows,
    *,
    epoch_ok: bool,
    moved: tuple[float, float],
) -> Rows:
    """Return the rows of sources on an image; `known` are the epoch's measurements."""
    from contimg_resources.photometry.astrometry import measure_moved
    from contimg_resources.photometry.epoch import scale_beside
    from contimg_resources.photometry.measurements import rows_of

    listed = targets.with_others(listed_sources(workshop, image, catalogue))
    raw = measure_moved(image, listed, moved, workshop.settings.photometry)
    scale = scale_beside(known, listed, ok=epoch_ok, moved=moved)
    rows = rows_of(image, listed, raw, scale)
    mine = np.isin(rows["source_id"], targets.source_id)
    return {name: column[mine] for name, column in rows.items()}


def add_to_epoch(
    workshop: Workshop, epoch: EpochRecord, rows: Rows, run_id: str = ""
) -> EpochRecord:
    """Add the rows of further sources to the measurements of an epoch, and record it.

    Raises
    ------
    PhotometryFailed
        If the epoch was measured again meanwhile.
    UnreadableMeasurements
        If its measurements are damaged.
    """
    from contimg_resources.photometry.measurements import add_rows

    now = workshop.products.mosaics.find_epoch(epoch.epoch, epoch.kind)
    if now is None or now.checksum != epoch.checksum:
        raise PhotometryFailed(f"{epoch.epoch} was measured again meanwhile", key=epoch.epoch)
    written = add_rows(epoch.path, rows)
    return workshop.products.mosaics.put_epoch(
        replace(
            epoch,
            checksum=content_checksum(epoch.path),
            size_bytes=epoch.path.stat().st_size,
            n_sources=written.n_sources,
            n_measured=written.n_measured,
            run_id=run_id,
        )
    )
