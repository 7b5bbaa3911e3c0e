"""The provenance of a file, collected from both stores.

Belongs here: finding the product that a file belongs to, and its records. Doesn't: printing, or
comparing contents (see `.verifying`).
"""

from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.core.errors import ProductsError, SetNotFound, VariabilityFailed
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.derived import DerivedKind, InputKind, Product, ProductFile
from contimg_resources.products.epochs import EpochKind
from contimg_resources.products.model import Artefact, ObservationRecord, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.model import CaltableSet
from contimg_resources.steps.recording import epoch_product, mosaic_product
from contimg_resources.steps.staleness import Lineage, Stale, stale_observations
from contimg_resources.steps.verifying import how_to_record, unrecorded_kind
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
        Its kind: an `ArtefactKind`, a `DerivedKind`, ``mosaic``, ``measurements``,
        ``measurement_set``, ``sub_band``, ``image_made_elsewhere`` or ``caltable``.
    observation : ObservationRecord or None
        The observation that it belongs to, or was made from; None for products of several.
    product : Artefact or Product or None
        Its record in the products store: checksum, inputs, parameters, software, run.
    sets : tuple of CaltableSet
        The caltable set that was applied; for a caltable, the sets that contain it.
    made_from : tuple of Path
        Files of its inputs, for a product made from other products.
    stale : tuple of Stale
        Why a product of an observation is stale: another caltable set applies now.
    why_stale : str
        Why a product made from other products is stale; empty when it isn't.
    companion : ProductFile or None
        The record of the file itself, when it isn't the main file of its product.
    marks : dict of str to str
        The present state of a candidate and its marks; empty for other products.
    """

    path: Path
    kind: str
    observation: ObservationRecord | None = None
    product: Artefact | Product | None = None
    sets: tuple[CaltableSet, ...] = ()
    made_from: tuple[Path, ...] = ()
    stale: tuple[Stale, ...] = ()
    why_stale: str = ""
    companion: ProductFile | None = None
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def borrowed(self) -> bool:
        """Whether the caltable set was applied outside its window."""
        return isinstance(self.product, Artefact) and self.product.borrowed

    @property
    def applied_elsewhere(self) -> str:
        """The applied caltable set if this registry doesn't have it; else empty."""
        if self.sets or not isinstance(self.product, Artefact) or not self.product.set_name:
            return ""
        return f"{self.product.set_name} v{self.product.set_version}"


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
        If neither store records it.
    """
    given, real = path.absolute(), path.resolve()
    # Also through a link, or with `..` in it.
    for known in dict.fromkeys((given, *given.parents, real, *real.parents)):
        found = (
            _of_artefact(workshop, known)
            or _of_ms(workshop, known)
            or _of_table(workshop, known)
            or _of_product(workshop, known)
        )
        if found is not None:
            return found
    if (kind := unrecorded_kind(workshop, path)) is not None:
        raise ProductsError(
            f"{workshop.products.address} doesn't record {path} ({kind}): an earlier contimg made "
            f"it, a step was killed before it recorded it, or it was put there; "
            f"{how_to_record(kind)}",
            path=str(path),
        )
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
    store = workshop.products
    record = store.get(key)
    stale = stale_observations(
        workshop, start_mjd=record.mid_mjd, end_mjd=record.mid_mjd + _MOMENT_DAYS
    )
    return Provenance(
        path=path,
        kind=artefact.kind,
        observation=record,
        product=artefact,
        sets=_applied(workshop, artefact),
        made_from=tuple(f.path for f in store.sub_bands.files(key)),
        why_stale=_why_stale(workshop, record, artefact),
        stale=tuple(s for s in stale if s.key == key and artefact.kind in s.products),
    )


def _why_stale(workshop: Workshop, record: ObservationRecord, artefact: Artefact) -> str:
    """Return why products of sub-band files are stale: others have arrived since."""
    if record.origin is not ObservationOrigin.SUB_BANDS:
        return ""
    last = [
        e
        for e in workshop.products.history(record.key)
        if e.step == "arrival" and e.state is ObservationState.ARRIVED
    ]
    if not last or artefact.created_mjd > last[-1].at_mjd:
        return ""
    return f"made before the present sub-band files came ({last[-1].message})"


def _of_product(workshop: Workshop, path: Path) -> Provenance | None:
    """Find a path among mosaics, measurements and the products made from them."""
    store = workshop.products
    if (mosaic := store.mosaics.find_by_directory(path)) is not None:
        product = mosaic_product(mosaic)
    elif (epoch := store.mosaics.find_epoch_by_path(path)) is not None:
        product = epoch_product(epoch)
    elif (found := store.derived.find(path)) is not None:
        product = found
    else:
        return None
    name = (product.kind, product.key)
    return Provenance(
        path,
        product.kind,
        product=product,
        made_from=_files_of(workshop, product),
        why_stale=Lineage(workshop, [name]).why_stale(name),
        companion=next((f for f in product.companions if f.path == path), None),
        marks=_marks(workshop, product.key) if product.kind == DerivedKind.CANDIDATE else {},
    )


def _files_of(workshop: Workshop, product: Product) -> tuple[Path, ...]:
    """Return the files that a product was made from; those whose record is gone are left out."""
    found: list[Path | None] = []
    for kind, checksums in product.inputs.items():
        if kind in set(InputKind):
            found += [_file_of(workshop.products, kind, key) for key in checksums]
        else:
            paths = workshop.products.derived.paths(kind)
            found += [paths.get(key) for key in checksums]
    return tuple(path for path in found if path is not None)


def _file_of(store: ProductsStore, kind: str, key: str) -> Path | None:
    if kind == InputKind.FILE:
        return Path(key)
    if kind == InputKind.MOSAIC:
        record = store.mosaics.find(key)
        return None if record is None else MosaicFiles.in_directory(record.directory, key).image
    if kind == InputKind.MEASUREMENTS:
        # The keys of images and mosaics differ.
        epochs = (store.mosaics.find_epoch(key, of) for of in EpochKind)
        return next((e.path for e in epochs if e is not None), None)
    try:
        return next((a.path for a in store.artefacts(key) if a.kind == kind), None)
    except ProductsError:
        return None


def _marks(workshop: Workshop, candidate_id: str) -> dict[str, str]:
    events = workshop.products.events
    try:
        candidate = events.candidate(candidate_id)
    except VariabilityFailed:
        return {}
    marks = ", ".join(f"{m.mark.value} by {m.by}" for m in events.list_marks(candidate_id))
    return {"state": candidate.state.value, "marks": marks or "none"}


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
    if record is None and (record := workshop.products.sub_bands.find(path)) is not None:
        return Provenance(path, "sub_band", observation=record)
    return None if record is None else Provenance(path, _kind_of(record), observation=record)


def _kind_of(record: ObservationRecord) -> str:
    elsewhere = record.origin is ObservationOrigin.IMAGE
    return "image_made_elsewhere" if elsewhere else "measurement_set"


def _of_table(workshop: Workshop, path: Path) -> Provenance | None:
    sets = workshop.registry.sets_with(path)
    return Provenance(path, "caltable", sets=tuple(sets)) if sets else None
