"""Add, measure and search light curves that users supply.

Belongs here: combining the science code with the stores. Doesn't: reading the files (see
`contimg_resources.variability.foreign`), the platform's own light curves.

Each list is measured and searched separately, over all of its days: its errors, cadence and
instrument differ from the platform's, and so do its systematic error floor, its population, its
neighbours and its threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import VariabilityFailed, rejecting
from contimg_resources.core.times import isot_from_mjd, mjd_day
from contimg_resources.database import now_mjd
from contimg_resources.products.derived import DerivedKind, InputKind
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.steps.cards import draw_cards
from contimg_resources.steps.origin import software
from contimg_resources.steps.recording import finished, inputs_from
from contimg_resources.steps.variability import metrics_parameters
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.variability.added import AddedFacts
    from contimg_resources.variability.candidates import Found
    from contimg_resources.variability.foreign_columns import GivenColumn
    from contimg_resources.variability.model import Variability


@dataclass(frozen=True)
class AddedSearch:
    """The variability metrics of a list, and the result of the search in it."""

    facts: "AddedFacts"  #: The list.
    table: "Variability"  #: Metrics of its sources.
    found: "Found"  #: Candidates with their ids, rejected dips, sources that can't be searched.
    #: `new`, `withdrawn`: Ids of candidates found for the first time, and of earlier ones that this
    #: search does not find.
    new: tuple[str, ...]
    withdrawn: tuple[str, ...]

    @property
    def words(self) -> str:
        """Summary on one line."""
        return f"list {self.facts.name}: {self.found.words()}"


@dataclass(frozen=True)
class Added:
    """The outcome of adding a list."""

    path: Path  #: File of the list.
    replaced: bool  #: Whether it replaced a list of the same name.
    searched: AddedSearch  #: Metrics and candidates.
    refused: dict[str, str]  #: Files that couldn't be read, each with its reason.


def add_light_curves(
    workshop: Workshop,
    name: str,
    files: Sequence[Path],
    columns: "Mapping[str, GivenColumn] | None" = None,
    *,
    source: str = "",
    error: str = "",
    table: str = "",
    progress: Progress = no_progress,
) -> Added:
    """Read files with light curves, store them as a list, and measure and search it.

    A list of the same name is replaced, but only after all files are read. A file that can't be
    read doesn't stop the others. `columns` are those that the user named, by role; for `source`,
    `error` and `table` see `contimg_resources.variability.foreign.read_rows`.

    Raises
    ------
    VariabilityFailed
        If no file could be read; with the reason for each.
    InvalidName
        If `name` is not a valid name.
    """
    from contimg_resources.variability.added import (
        AddedFacts,
        AddedFile,
        added_path,
        as_light_curves,
        shortened,
        write_added,
    )
    from contimg_resources.variability.foreign import ForeignRows, read_rows

    root = workshop.settings.layout.added_light_curves
    replaced = added_path(root, name).is_file()
    parts: list[ForeignRows] = []
    read: list[AddedFile] = []
    refused: dict[str, str] = {}
    for number, file in enumerate(files):
        progress(f"reading {file.name}", 0.3 * number / len(files))
        with rejecting(refused, str(file)):
            rows = read_rows(file.absolute(), columns, source=source, error=error, table=table)
            read.append(AddedFile(rows.file, content_checksum(file), rows.n_rows, rows.read_as))
            parts.append(rows)
    if not parts:
        raise VariabilityFailed("; ".join(refused.values()), refused=refused)
    curves, rejected = as_light_curves(name, parts)
    facts = AddedFacts(
        name=name,
        added_mjd=now_mjd(),
        n_sources=len(curves),
        n_points=len(curves.mid_mjd),
        first_mjd=float(curves.mid_mjd.min()),
        last_mjd=float(curves.mid_mjd.max()),
        files=tuple(read),
        rejected=shortened(rejected),
        software=software(),
    )
    workshop.products.derived.forget([(DerivedKind.ADDED_LIGHT_CURVES, name)])
    path = write_added(root, curves, facts)
    _record_list(workshop, path, facts)
    searched = search_added(
        workshop, name, progress=lambda say, done: progress(say, 0.3 + 0.65 * (done or 0.0))
    )
    progress("drawing cards", 0.95)
    draw_cards(workshop, searched.found.candidates)
    return Added(path, replaced, searched, refused)


def search_added(
    workshop: Workshop, name: str, *, run_id: str = "", progress: Progress = no_progress
) -> AddedSearch:
    """Measure and search one list, and record its candidates.

    Raises
    ------
    VariabilityFailed
        If there is no such list.
    UnreadableMeasurements
        If its file is damaged.
    """
    from contimg_resources.variability.added import added_path, read_added, read_added_facts
    from contimg_resources.variability.candidates import search_candidates, settled
    from contimg_resources.variability.intrinsic import with_intrinsic
    from contimg_resources.variability.measuring import measure_added
    from contimg_resources.variability.tables import added_variability_path, write_variability

    settings, events = workshop.settings, workshop.products.events
    today = mjd_day(now_mjd())
    store, lists = workshop.products.derived, DerivedKind.ADDED_LIGHT_CURVES
    root = settings.layout.added_light_curves
    if store.get(lists, name) is None:
        # An earlier contimg added it, or it comes from a backup.
        _record_list(workshop, added_path(root, name), read_added_facts(root, name))
    inputs = inputs_from(workshop, lists, [name])
    curves, facts = read_added(root, name)
    progress(f"measuring {len(curves)} sources of {name}", 0.1)
    table = measure_added(curves, settings.variability, today)
    table, structure = with_intrinsic(table, curves, settings.variability.min_epochs)
    about = replace(
        table.facts,
        added_list=name,
        n_points=len(curves.mid_mjd),
        settings=settings.variability.model_dump(),
        software=software(),
    )
    table = replace(table, facts=about)
    known = _candidates_of(workshop, name)
    found = search_candidates(curves, settings.ese, today, known=known, progress=progress)
    named, withdrawn = settled(found, known, run_id)
    files = ", ".join(Path(f.path).name for f in facts.files[:3])
    named = tuple(
        replace(c, evidence=replace(c.evidence, added_list=name, added_from=files)) for c in named
    )
    events.put_candidates([*named, *withdrawn])
    path = added_variability_path(settings.layout.variability, name)
    store.forget([(DerivedKind.ADDED_VARIABILITY, name)])
    beside = write_variability(path, table, structure)
    store.put(
        [
            finished(
                DerivedKind.ADDED_VARIABILITY,
                name,
                path,
                inputs=inputs,
                parameters=metrics_parameters(table),
                companions=[beside],
                run_id=run_id,
            )
        ]
    )
    known_ids = {c.id for c in known}
    return AddedSearch(
        facts=facts,
        table=table,
        found=replace(found, candidates=named),
        new=tuple(c.id for c in named if c.id not in known_ids),
        withdrawn=tuple(c.id for c in withdrawn),
    )


def search_all_added(
    workshop: Workshop, *, run_id: str = "", progress: Progress = no_progress
) -> tuple[tuple[AddedSearch, ...], dict[str, str]]:
    """Measure and search every list; a list that fails doesn't stop the others.

    Returns
    -------
    tuple of (tuple of AddedSearch, dict of str to str)
        Results, and lists that failed with the reason for each.
    """
    from contimg_resources.variability.added import added_names

    done: list[AddedSearch] = []
    failed: dict[str, str] = {}
    for name in added_names(workshop.settings.layout.added_light_curves):
        with rejecting(failed, name):
            done.append(search_added(workshop, name, run_id=run_id, progress=progress))
    return tuple(done), failed


def remove_light_curves(workshop: Workshop, name: str, *, dry_run: bool = False) -> tuple[str, ...]:
    """Remove a list and its metrics; withdraw its candidates but keep their marks.

    Returns the ids of the candidates; a dry run doesn't do more than that.

    Raises
    ------
    VariabilityFailed
        If there is no such list.
    """
    from contimg_resources.variability.added import remove_added
    from contimg_resources.variability.tables import added_variability_path, structure_path

    layout = workshop.settings.layout
    standing = [
        c for c in _candidates_of(workshop, name) if c.state is not CandidateState.WITHDRAWN
    ]
    if not dry_run:
        workshop.products.derived.forget(
            [(DerivedKind.ADDED_LIGHT_CURVES, name), (DerivedKind.ADDED_VARIABILITY, name)]
        )
    remove_added(layout.added_light_curves, name, dry_run=dry_run)
    if dry_run:
        return tuple(c.id for c in standing)
    metrics = added_variability_path(layout.variability, name)
    for path in (metrics, structure_path(metrics)):
        path.unlink(missing_ok=True)
    from contimg_resources.variability.candidates import withdraw

    today = mjd_day(now_mjd())
    gone = [withdraw(c, today, "", "its list was removed") for c in standing]
    workshop.products.events.put_candidates(gone)
    return tuple(c.id for c in standing)


def _record_list(workshop: Workshop, path: Path, facts: "AddedFacts") -> None:
    made = finished(
        DerivedKind.ADDED_LIGHT_CURVES,
        facts.name,
        path,
        inputs={InputKind.FILE: {f.path: f.checksum for f in facts.files}},
        parameters={
            "list": facts.name,
            "added": isot_from_mjd(facts.added_mjd),
            "sources": facts.n_sources,
            "measurements": facts.n_points,
            "files": {f.path: f.checksum for f in facts.files},
            "read_as": {f.path: f.read_as for f in facts.files},
        },
    )
    # It may have been added with earlier software.
    workshop.products.derived.put([replace(made, software=facts.software)])


def _candidates_of(workshop: Workshop, name: str) -> tuple[CandidateRecord, ...]:
    known = workshop.products.events.list_candidates()
    return tuple(c for c in known if c.added_list == name)
