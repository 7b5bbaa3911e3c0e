"""Mosaics and measurements as products with provenance.

Belongs here: their records from the products store, in the form that products of single
observations have. Doesn't: printing, comparing contents.
"""

from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.epochs import EpochRecord, MosaicRecord
from contimg_resources.products.model import Artefact

#: Kinds of these products.
MOSAIC, MEASUREMENTS = "mosaic", "measurements"


def mosaic_artefact(mosaic: MosaicRecord) -> Artefact:
    """Return a mosaic's image as a product."""
    return Artefact(
        kind=MOSAIC,
        path=MosaicFiles.in_directory(mosaic.directory, mosaic.key).image,
        checksum=mosaic.checksum,
        size_bytes=mosaic.size_bytes,
        parameters={
            "images": ", ".join(f"{k} {v}" for k, v in sorted(mosaic.tiles.items())),
            **mosaic.statistics,
        },
        run_id=mosaic.run_id,
        created_mjd=mosaic.created_mjd,
    )


def epoch_artefact(epoch: EpochRecord) -> Artefact:
    """Return an epoch's file of measurements as a product."""
    return Artefact(
        kind=MEASUREMENTS,
        path=epoch.path,
        checksum=epoch.checksum,
        size_bytes=epoch.size_bytes,
        parameters={
            f"{epoch.kind.value}": f"{epoch.epoch} {epoch.measured_from}",
            "catalogue": epoch.catalogue,
            **epoch.statistics,
        },
        run_id=epoch.run_id,
        created_mjd=epoch.created_mjd,
    )
