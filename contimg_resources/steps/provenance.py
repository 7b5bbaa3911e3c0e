"""The provenance of a file, collected from both stores.

Belongs here: finding the product that a file belongs to, and its records. Doesn't: printing, or
comparing contents (see `.verifying`).
"""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import ProductsError, SetNotFound
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import Artefact, ObservationRecord
from contimg_resources.registry.model import CaltableSet
from contimg_resources.steps.beyond import MEASUREMENTS, MOSAIC, epoch_artefact, mosaic_artefact
from contimg_resources.steps.provenance_beyond import SelfTold, self_told
from contimg_resources.steps.staleness import Stale, stale_observations
from contimg_resources.steps.workshop import Workshop

#: A millisecond: observations are hundreds of seconds apart.
_MOMENT_DAYS = 1e-8


@dataclass(frozen=True)
class Provenance:
    """The provenance of a file.

    Parameters
    ----------
    path : Path
        The recorded file or directory: the given one, or one that contains it.
    kind : str
        Its kind: an `ArtefactKind`, ``mosaic``, ``measurements``, ``measurement_set``,
        ``image_made_elsewhere``, ``caltable``, or the kind of a `SelfTold`.
    observation : ObservationRecord or None
        The observation that it belongs to, or was made from; None for products of several.
    artefact : Artefact or None
        Its record in the products store: checksum, parameters, software, run.
    sets : tuple of CaltableSet
        The caltable set that was applied; for a caltable, the sets that contain it.
    stale : tuple of Stale
        Reasons why it is stale.
    told : SelfTold or None
        Provenance from the file itself, of cutouts, light curves, variability metrics and cards.
    """

    path: Path
    kind: str
    observation: ObservationRecord | None = None
    artefact: Artefact | None = None
    sets: tuple[CaltableSet, ...] = ()
    stale: tuple[Stale, ...] = ()
    told: SelfTold | None = None


def provenance_of(workshop: Workshop, path: Path) -> Provenance:
    """Return the provenance of a product, of a file inside one, of an MS or of a caltable.

    Parameters
    ----------
    workshop : Workshop
        Stores.
    path : Path
        The file.

    Raises
    ------
    ProductsError
        If neither store records it, and the file holds no provenance.
    CutoutFailed, UnreadableMeasurements
        If a file that holds its provenance is damaged.
    """
    if path.is_file() and (told := self_told(workshop, path)) is not None:
        return Provenance(path.absolute(), told.kind, told=told)
    for known in (path.absolute(), *path.absolute().parents):
        found = (
            _of_artefact(workshop, known)
            or _of_ms(workshop, known)
            or _of_table(workshop, known)
            or _of_hours(workshop, known)
        )
        if found is not None:
            return found
    raise ProductsError(
        f"neither {workshop.products.address} nor {workshop.registry.address} records {path}: it "
        "is not a product, an MS that arrived or a caltable of a registered set, or it was moved",
        path=str(path),
    )


def _of_artefact(workshop: Workshop, path: Path) -> Provenance | None:
    found = workshop.products.find_artefact(path)
    if found is None:
        return None
    key, artefact = found
    record = workshop.products.get(key)
    stale = stale_observations(
        workshop, start_mjd=record.mid_mjd, end_mjd=record.mid_mjd + _MOMENT_DAYS
    )
    return Provenance(
        path=path,
        kind=artefact.kind,
        observation=record,
        artefact=artefact,
        sets=_applied(workshop, artefact),
        stale=tuple(s for s in stale if s.key == key and artefact.kind in s.products),
    )


def _of_hours(workshop: Workshop, path: Path) -> Provenance | None:
    """Find a path among mosaics and measurements."""
    if (mosaic := workshop.products.mosaics.find_by_directory(path)) is not None:
        return Provenance(path, MOSAIC, artefact=mosaic_artefact(mosaic))
    if (epoch := workshop.products.mosaics.find_epoch_by_path(path)) is not None:
        return Provenance(path, MEASUREMENTS, artefact=epoch_artefact(epoch))
    return None


def _applied(workshop: Workshop, artefact: Artefact) -> tuple[CaltableSet, ...]:
    if not artefact.set_name:
        return ()
    try:
        return (workshop.registry.get(artefact.set_name, artefact.set_version),)
    except SetNotFound:
        # The set is of another registry, or was given by hand.
        return ()


def _of_ms(workshop: Workshop, path: Path) -> Provenance | None:
    record = workshop.products.find_by_path(path)
    return None if record is None else Provenance(path, _kind_of(record), observation=record)


def _kind_of(record: ObservationRecord) -> str:
    elsewhere = record.origin is ObservationOrigin.IMAGE
    return "image_made_elsewhere" if elsewhere else "measurement_set"


def _of_table(workshop: Workshop, path: Path) -> Provenance | None:
    sets = workshop.registry.sets_with(path)
    return Provenance(path, "caltable", sets=tuple(sets)) if sets else None
