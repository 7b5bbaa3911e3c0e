"""Verify that products are still as recorded.

Belongs here: comparing files with their checksums, and the stores with each other; files without a
record. Doesn't: caltables (the registry verifies them), or repairing anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum, content_size_bytes
from contimg_resources.database.store import RESTORE
from contimg_resources.products.derived import DerivedKind, Product, ProductFile
from contimg_resources.products.model import Artefact
from contimg_resources.steps.recording import cutout_name, epoch_product, mosaic_product
from contimg_resources.steps.workshop import Workshop

_RECORDED_BY = {
    DerivedKind.LIGHT_CURVES: "`contimg variability DAY --from DAY`",
    DerivedKind.ADDED_LIGHT_CURVES: "the next search of the list",
    DerivedKind.VARIABILITY: "`contimg variability DAY`",
    DerivedKind.ADDED_VARIABILITY: "the next search of the list",
    DerivedKind.SPECTRA: "`contimg photometry MOSAIC`",
    DerivedKind.FOUND_SOURCES: "`contimg found MOSAIC`",
    DerivedKind.CANDIDATE: "the next search that finds the candidate",
    DerivedKind.CUTOUT: "`contimg cutout SOURCE`",
    DerivedKind.CUTOUT_STACK: "`contimg cutout SOURCE --stack`",
    DerivedKind.CUTOUT_ANIMATION: "`contimg cutout SOURCE --animate`",
    DerivedKind.EXPORT: "`contimg export`",
}


@dataclass(frozen=True)
class ProductProblem:
    """A product that differs from its record."""

    #: Partition key of its observation or mosaic; for other products, the key of their record.
    key: str
    kind: str  #: Kind of the product.
    path: Path  #: Recorded path.
    problem: str  #: The difference.

    def __str__(self) -> str:
        return f"{self.key}: {self.kind} {self.path} {self.problem}"


@dataclass(frozen=True)
class Verified:
    """The result of a comparison."""

    n_products: int  #: Number of products, and of their further files, that were compared.
    problems: tuple[ProductProblem, ...]  #: Products that differ.


def verify_products(
    workshop: Workshop,
    *,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    progress: Progress = no_progress,
) -> Verified:
    """Compare every byte of the products with their checksums.

    A calibrated MS is too large for a checksum: only its size is compared. Mid-MJDs of observations
    are in [start, end), days.
    """
    records = workshop.products.list_observations(start_mjd=start_mjd, end_mjd=end_mjd)
    problems, n_products = [], 0
    for number, record in enumerate(records):
        progress(f"comparing the products of {record.key}", number / len(records))
        for artefact in workshop.products.artefacts(record.key):
            n_products += 1
            if problem := problem_of(artefact):
                problems.append(ProductProblem(record.key, artefact.kind, artefact.path, problem))
    progress("comparing mosaics and measurements", None)
    made = workshop.products.mosaics
    mosaics = made.list(start_mjd=start_mjd, end_mjd=end_mjd)
    epochs = made.list_epochs(start_mjd=start_mjd, end_mjd=end_mjd)
    others = [
        *(mosaic_product(m) for m in mosaics if m.checksum),
        *(epoch_product(e) for e in epochs),
    ]
    for product in others:
        n_products += 1
        if problem := problem_of(product):
            problems.append(ProductProblem(product.key, product.kind, product.path, problem))
    derived = workshop.products.derived.files(start_mjd=start_mjd, end_mjd=end_mjd)
    for number, (kind, key, file) in enumerate(derived):
        progress(f"comparing {kind} {key}", number / len(derived))
        n_products += 1
        if problem := _problem_now(workshop, kind, key, file):
            problems.append(ProductProblem(key, kind, file.path, problem))
    return Verified(n_products, tuple(problems))


def _problem_now(workshop: Workshop, kind: str, key: str, file: ProductFile) -> str:
    """Return how a file differs from its record, which may have been replaced meanwhile."""
    if not (problem := problem_of(file)):
        return ""
    now = workshop.products.derived.get(kind, key)
    latest = [f for f in now.files if f.path == file.path] if now is not None else []
    if not latest:
        return ""
    return problem if latest == [file] else problem_of(latest[0])


def unrecorded_files(workshop: Workshop) -> dict[DerivedKind, tuple[Path, ...]]:
    """Return the files of products, by kind, that the products store doesn't record.

    An earlier contimg made them, or a step was killed before it recorded them: they are recorded
    when they are made again. Exports are left out: they remove their old files themselves.
    """
    known = {file.path for _, _, file in workshop.products.derived.files()}
    found: dict[DerivedKind, list[Path]] = {}
    for kind, path in _files_of_products(workshop):
        if path not in known:
            found.setdefault(kind, []).append(path)
    return {kind: tuple(paths) for kind, paths in found.items()}


def _files_of_products(workshop: Workshop) -> Iterator[tuple[DerivedKind, Path]]:
    layout = workshop.settings.layout
    for kind, root, pattern in (
        (DerivedKind.LIGHT_CURVES, layout.light_curves, "*.parquet"),
        (DerivedKind.ADDED_LIGHT_CURVES, layout.added_light_curves, "*.parquet"),
        (DerivedKind.VARIABILITY, layout.variability, "*.parquet"),
        (DerivedKind.VARIABILITY, layout.variability, "*.png"),
        (DerivedKind.VARIABILITY, layout.variability / "structure", "*.parquet"),
        (DerivedKind.ADDED_VARIABILITY, layout.variability / "added", "*.parquet"),
        (DerivedKind.ADDED_VARIABILITY, layout.variability / "added/structure", "*.parquet"),
        (DerivedKind.CANDIDATE, layout.candidates, "*.png"),
        (DerivedKind.CANDIDATE, layout.candidates / "follow_up", "*"),
    ):
        yield from ((kind, path) for path in sorted(root.glob(f"[!.]{pattern}")))
    spectra = layout.photometry / "spectra"
    yield from ((DerivedKind.SPECTRA, path) for path in sorted(spectra.glob("*/[!.]*.parquet")))
    found = layout.photometry / "found"
    yield from ((DerivedKind.FOUND_SOURCES, path) for path in sorted(found.glob("*/[!.]*.*")))
    for path in sorted(layout.cutouts.glob("*/[!.]*")):
        if name := cutout_name(path):
            yield name[0], path


def unrecorded_kind(workshop: Workshop, path: Path) -> DerivedKind | None:
    """Return the kind of a product's file that has no record; None for other files."""
    place = path.resolve()
    for kind, file in _files_of_products(workshop):
        if file.name == place.name and file.resolve() == place:
            return kind
    return None


def how_to_record(kind: DerivedKind) -> str:
    """Return what makes and records a product of a kind, in words."""
    return f"{_RECORDED_BY[kind]} records it"


def store_problems(workshop: Workshop) -> list[str]:
    """Return contradictions within and between the stores.

    A store that holds fewer rows than before is an older copy; products made with sets that the
    registry doesn't have belong to another registry.
    """
    problems = []
    for what, store in (
        ("products store", workshop.products),
        ("calibration registry", workshop.registry),
    ):
        if (n_rows := store.size()) < store.n_known:
            problems.append(
                f"the {what} {store.address} holds {n_rows} rows, but held {store.n_known} before: "
                f"it is an older copy; {RESTORE}"
            )
    applied: dict[tuple[str, int], list[str]] = {}
    for one in workshop.products.applied_sets():
        applied.setdefault((one.set_name, one.set_version), []).append(one.key)
    known = {(s.name, s.version) for s in workshop.registry.list_sets()} if applied else set()
    problems += [
        f"the registry {workshop.registry.address} doesn't have {name} v{version}, which was "
        f"applied to {len(keys)} observations (first {keys[0]}); {RESTORE}"
        for (name, version), keys in applied.items()
        if (name, version) not in known
    ]
    return problems


def problem_of(recorded: Artefact | Product | ProductFile) -> str:
    """Return how a file or directory differs from its record; empty when it doesn't."""
    try:
        size_bytes = content_size_bytes(recorded.path)
        if size_bytes != recorded.size_bytes:
            return f"has {size_bytes} bytes, {recorded.size_bytes} were recorded"
        if recorded.checksum and content_checksum(recorded.path) != recorded.checksum:
            return "differs in content from its record"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return ""
