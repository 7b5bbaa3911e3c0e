"""Products made from other products, as the products store records them.

Belongs here: describing a finished file as a product, the keys of its kinds, and mosaics and
measurements in the same form. Doesn't: making files, products of one observation.

The record of a product is deleted before its files change, and written when they are complete: an
interrupt between the two leaves files without a record, never a record of other files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from contimg_resources.core.checksums import content_checksum
from contimg_resources.database.values import known_values
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.derived import (
    DerivedKind,
    InputKind,
    Inputs,
    Product,
    ProductFile,
)
from contimg_resources.products.epochs import EpochRecord, MosaicRecord
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop


def finished(
    kind: DerivedKind,
    key: str,
    path: Path,
    *,
    inputs: Inputs,
    parameters: dict[str, Any],
    mid_mjd: float | None = None,
    companions: Sequence[Path] = (),
    run_id: str = "",
) -> Product:
    """Describe finished files as a product of this software, for `DerivedProducts.put`.

    Parameters
    ----------
    kind : DerivedKind
        Its kind.
    key : str
        Its key.
    path : Path
        Its main file.
    inputs : dict of str to dict of str to str
        Checksums of the products and files that it was made from, by kind and key.
    parameters : dict
        JSON-able parameters and results of the step.
    mid_mjd : float, optional
        Its time, MJD in days; None: it belongs to no time.
    companions : sequence of Path
        Its further files.
    run_id : str
        The run that made it; empty on the command line.

    Raises
    ------
    OSError
        If a file is missing or can't be read.
    """
    main = file_now(path)
    return Product(
        kind=kind,
        key=key,
        path=path,
        checksum=main.checksum,
        size_bytes=main.size_bytes,
        mid_mjd=mid_mjd,
        inputs=inputs,
        parameters=parameters,
        software=software(),
        run_id=run_id,
        companions=tuple(file_now(companion) for companion in companions),
    )


def file_now(path: Path) -> ProductFile:
    """Return a file with its present checksum and size."""
    return ProductFile(path, content_checksum(path), path.stat().st_size)


def inputs_from(workshop: Workshop, kind: DerivedKind, keys: Iterable[object]) -> Inputs:
    """Return products of a kind as inputs; products without a record have no checksum."""
    wanted = [str(key) for key in keys]
    known = workshop.products.derived.checksums(kind, wanted)
    return {kind: {key: known.get(key, "") for key in wanted}}


def cutout_name(path: Path) -> tuple[DerivedKind, str] | None:
    """Return kind and key of the product of a file among the cutouts; None for other files."""
    from contimg_resources.cutouts.places import animation_path, epoch_of, stack_path

    source = path.parent.name
    if named := epoch_of(path.name):
        return DerivedKind.CUTOUT, f"{source}/{named[0]}"
    # The names are the same for every source.
    if path.stem == stack_path(Path(), source).stem:
        return DerivedKind.CUTOUT_STACK, source
    if path.name == animation_path(Path(), source).name:
        return DerivedKind.CUTOUT_ANIMATION, source
    return None


def mosaic_product(mosaic: MosaicRecord) -> Product:
    """Return a mosaic's image as a product."""
    return Product(
        kind=InputKind.MOSAIC,
        key=mosaic.key,
        path=MosaicFiles.in_directory(mosaic.directory, mosaic.key).image,
        **_recorded(mosaic),
        inputs={InputKind.IMAGE_PBCOR: mosaic.tiles},
        parameters={
            "images": ", ".join(f"{k} {v}" for k, v in sorted(mosaic.tiles.items())),
            **dict(known_values(mosaic.statistics)),
        },
    )


def _recorded(record: MosaicRecord | EpochRecord) -> dict[str, Any]:
    """Return what the records of all kinds of products have in common."""
    common = ("checksum", "size_bytes", "mid_mjd", "software", "run_id", "created_mjd")
    return {name: getattr(record, name) for name in common}


def epoch_product(epoch: EpochRecord) -> Product:
    """Return an epoch's file of measurements as a product."""
    return Product(
        kind=InputKind.MEASUREMENTS,
        key=epoch.epoch,
        path=epoch.path,
        **_recorded(epoch),
        inputs={epoch.kind.value: {epoch.epoch: epoch.measured_from}},
        parameters={
            epoch.kind.value: f"{epoch.epoch} {epoch.measured_from}",
            "catalogue": epoch.catalogue,
            **dict(known_values(epoch.statistics)),
        },
    )
