"""Export the documents for dashboards from one consistent state of the stores.

Belongs here: querying both stores and combining the registry's answers with the export. Doesn't:
the content of the documents (see `contimg_resources.export`).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import ExportFailed
from contimg_resources.core.surroundings import published
from contimg_resources.database import now_mjd as present_mjd
from contimg_resources.export.directory import INDEX, ExportDirectory, opened
from contimg_resources.export.state import (
    CutoutsOf,
    PlatformState,
    read_indices,
    read_measures,
    read_structures,
    with_added,
)
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.derived import DerivedKind, Inputs
from contimg_resources.products.epochs import EpochKind
from contimg_resources.products.model import ObservationRecord, ObservationState
from contimg_resources.registry.lookup import ActiveSet
from contimg_resources.registry.model import CaltableSet
from contimg_resources.steps.disk_space import shortage, unwritable
from contimg_resources.steps.looking_up import Answer, look_up_records
from contimg_resources.steps.origin import software
from contimg_resources.steps.recording import finished
from contimg_resources.steps.staleness import stale_among
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.export.writing import Written

#: Sets solved at most this long before the first observation are exported, and all that apply.
_SETS_BEFORE_DAYS = 7.0


@dataclass(frozen=True)
class Exported:
    """The exported documents."""

    directory: Path  #: Directory of the documents.
    index: Path  #: The index document, which is read first.
    n_pages: int  #: Number of pages of all documents.
    n_written: int  #: Number of files written; the others were up to date.
    size_bytes: int  #: Size of all pages, bytes.
    counts: dict[str, int]  #: Number of items by document.


def export_dashboard(
    workshop: Workshop,
    *,
    run_id: str = "",
    original: Path | None = None,
    progress: Progress = no_progress,
    now_mjd: float | None = None,
) -> Exported:
    """Write the documents for dashboards; unchanged pages stay as they are.

    With `original`, the state's own export directory, they are a copy for somebody else: it opens
    without a server, and shows the maps of the sky as they are there; the products store doesn't
    record it. `now_mjd` is MJD in days.

    Raises
    ------
    ExportFailed
        If the directory holds something else, can't be written, or another export doesn't end.
    UnreadableMeasurements
        If the light curves or variability metrics are damaged.
    """
    # They load a web server, and pyarrow, which callers that only read don't need.
    from contimg_resources.dashboard.from_files import copy_maps
    from contimg_resources.dashboard.serving import install_dashboard
    from contimg_resources.export.writing import write_documents

    directory = workshop.settings.export_dir
    with published(), opened(directory) as held:
        progress("reading the stores", 0.0)
        # Before they are read: what is made again meanwhile makes the documents stale.
        inputs = _inputs(workshop)
        state = read_state(workshop)
        if original is None:
            workshop.products.derived.forget([(DerivedKind.EXPORT, INDEX)])
        try:
            written = write_documents(
                held,
                state,
                now_mjd=present_mjd() if now_mjd is None else now_mjd,
                software=software(),
                run_id=run_id,
                progress=progress,
            )
            # The dashboard goes beside them: any web server can serve the directory.
            install_dashboard(directory, from_files=original is not None)
            if original is None:
                _record(workshop, held, written, inputs, run_id)
            else:
                copy_maps(original, directory)
        except OSError as error:
            raise ExportFailed(
                f"documents can't be written into {directory}: {error.strerror or error}; the "
                "last ones are still there",
                path=str(directory),
            ) from error
    pages = [page for found in written.pages.values() for page in found]
    return Exported(
        directory=directory,
        index=written.index,
        n_pages=len(pages),
        n_written=held.n_written,
        size_bytes=sum(page.size_bytes for page in pages),
        counts={name: sum(p.n_items for p in found) for name, found in written.pages.items()},
    )


def _inputs(workshop: Workshop) -> Inputs:
    """Return the files that the documents are made from; candidates' cards name their cutouts."""
    store, kinds = workshop.products.derived, DerivedKind
    metrics = store.checksums(kinds.VARIABILITY)
    last = max(metrics, key=int, default="")
    found = {
        kinds.LIGHT_CURVES: store.checksums(kinds.LIGHT_CURVES),
        kinds.VARIABILITY: {last: metrics[last]} if last else {},
        kinds.ADDED_LIGHT_CURVES: store.checksums(kinds.ADDED_LIGHT_CURVES),
        kinds.ADDED_VARIABILITY: store.checksums(kinds.ADDED_VARIABILITY),
        kinds.CANDIDATE: store.checksums(kinds.CANDIDATE),
    }
    return {kind: checksums for kind, checksums in found.items() if checksums}


def _record(
    workshop: Workshop, held: ExportDirectory, written: "Written", inputs: Inputs, run_id: str
) -> None:
    """Record the documents: the index, and all files that it names."""
    pages = {name: sum(p.n_items for p in found) for name, found in written.pages.items()}
    made = finished(
        DerivedKind.EXPORT,
        INDEX,
        written.index,
        inputs=inputs,
        parameters={"documents": pages},
        run_id=run_id,
    )
    # As they were written: an existing file of the same size isn't read.
    companions = tuple(file for _, file in sorted(held.files.items()))
    workshop.products.derived.put([replace(made, companions=companions)])


def read_state(workshop: Workshop) -> PlatformState:
    """Return all exported data: recent observations, and all measurements."""
    products, layout = workshop.products, workshop.settings.layout
    latest = products.list_observations(limit=1)
    start_mjd = (latest[0].mid_mjd if latest else 0.0) - workshop.settings.export.observation_days
    observations = tuple(products.list_observations(start_mjd=start_mjd))
    answers = _answers(workshop, observations)
    applied = products.applied_sets(start_mjd=start_mjd)
    epochs = products.mosaics.list_epochs(EpochKind.MOSAIC, start_mjd=start_mjd)
    points, variability, damaged = with_added(layout, *read_measures(layout))
    structure, unreadable = read_structures(layout)
    indices, no_indices = read_indices(layout, epochs[-1].mid_mjd + 1.0 if epochs else 0.0)
    return PlatformState(
        observations=observations,
        answers=answers,
        # Of several sets the last counts: the products were made in order of time.
        applied={a.key: a for a in applied},
        stale=frozenset(s.key for s in stale_among(workshop, applied)),
        images=products.images(start_mjd=start_mjd),
        sets=_sets(workshop, answers, start_mjd),
        mosaics=products.mosaics.list(start_mjd=start_mjd),
        epochs={e.epoch: e for e in epochs},
        points=points,
        variability=variability,
        structure=structure,
        candidates=products.events.list_candidates(),
        new_sources={n.name: n for n in products.new_sources.list()},
        marks=products.events.list_marks(),
        annotations=products.annotations.present(),
        cards=layout.candidates,
        cutouts_of=_cutouts_of(workshop),
        shortage=shortage(workshop.settings) or unwritable(workshop.settings),
        rejections=products.rejections.list(),
        silence_min=workshop.settings.alerts.silence_min,
        damaged=(*damaged, *unreadable, *no_indices),
        indices=indices,
        elsewhere_ra_deg={
            o.key: products.observation(o.key).fields[0].ra_deg
            for o in observations
            if o.origin is ObservationOrigin.IMAGE
        },
        missing_sub_bands=products.sub_bands.missing(start_mjd=start_mjd),
    )


def _answers(
    workshop: Workshop, observations: tuple[ObservationRecord, ...]
) -> tuple[ActiveSet | None, ...]:
    """Return the set whose window contains each observation; borrowed sets don't count."""

    def depends(record: ObservationRecord, found: Answer) -> bool:
        # An observation that waits although a set is valid may have other antennas.
        waits = record.state is ObservationState.WAITING
        return waits and found is not None and not found[1]

    answers = look_up_records(workshop, observations, depends)
    return tuple(None if found is None or found[1] else found[0] for found in answers)


def _sets(
    workshop: Workshop, answers: tuple[ActiveSet | None, ...], start_mjd: float
) -> tuple[CaltableSet, ...]:
    registry = workshop.registry
    found = registry.list_sets(start_mjd=start_mjd - _SETS_BEFORE_DAYS)
    known = {(s.name, s.version) for s in found}
    serving = {(a.name, a.version) for a in answers if a is not None}
    return (*found, *(registry.get(name, version) for name, version in sorted(serving - known)))


def _cutouts_of(workshop: Workshop) -> CutoutsOf:
    from contimg_resources.cutouts.places import cutouts_of

    root = workshop.settings.layout.cutouts
    return lambda source_id: tuple(cutouts_of(root, source_id))
