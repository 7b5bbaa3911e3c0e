"""Verify that products are still as recorded.

Belongs here: comparing files with their checksums, and the stores with each other.
Doesn't: caltables (the registry verifies them), or repairing anything.
"""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum, content_size_bytes
from contimg_resources.database.store import RESTORE
from contimg_resources.products.model import Artefact
from contimg_resources.steps.beyond import epoch_artefact, mosaic_artefact
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class ProductProblem:
    """A product that differs from its record.

    Parameters
    ----------
    key : str
        Partition key of its observation or mosaic.
    kind : str
        Kind of the product.
    path : Path
        Recorded path.
    problem : str
        The difference.
    """

    key: str
    kind: str
    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.key}: {self.kind} {self.path} {self.problem}"


@dataclass(frozen=True)
class Verified:
    """The result of a comparison.

    Parameters
    ----------
    n_products : int
        Number of products compared.
    problems : tuple of ProductProblem
        Products that differ.
    """

    n_products: int
    problems: tuple[ProductProblem, ...]


def verify_products(
    workshop: Workshop,
    *,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    progress: Progress = no_progress,
) -> Verified:
    """Compare every byte of the products with their checksums.

    A calibrated MS is too large for a checksum: only its size is compared.

    Parameters
    ----------
    workshop : Workshop
        Products store.
    start_mjd, end_mjd : float, optional
        Only products of observations whose mid-MJD is in [start, end), days.
    progress : callable
        Receives progress messages.
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
        *((m.key, mosaic_artefact(m)) for m in mosaics if m.checksum),
        *((e.epoch, epoch_artefact(e)) for e in epochs),
    ]
    for key, artefact in others:
        n_products += 1
        if problem := problem_of(artefact):
            problems.append(ProductProblem(key, artefact.kind, artefact.path, problem))
    return Verified(n_products, tuple(problems))


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


def problem_of(artefact: Artefact) -> str:
    """Return how a product differs from its record; empty when it doesn't."""
    try:
        size_bytes = content_size_bytes(artefact.path)
        if size_bytes != artefact.size_bytes:
            return f"has {size_bytes} bytes, {artefact.size_bytes} were recorded"
        if artefact.checksum and content_checksum(artefact.path) != artefact.checksum:
            return "differs in content from its record"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return ""
