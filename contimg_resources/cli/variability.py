"""``contimg variability`` and ``contimg candidates``: variable sources and event candidates.

Belongs here: arguments and output. Doesn't: the steps, which the assets call too.
"""

import getpass
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.errors import ConfigurationError

if TYPE_CHECKING:
    from contimg_resources.products.annotations import Annotations
    from contimg_resources.products.events import CandidateRecord, Subject
    from contimg_resources.variability.model import Variability

candidates = typer.Typer(
    help="Candidates for Extreme Scattering Events, and new sources: list, show and mark them."
)

_SHOWN = 40
CandidateId = Annotated[str, typer.Argument(help="Id of a candidate (`contimg candidates list`).")]


def variability(
    day: Annotated[
        str | None,
        typer.Argument(help="UTC date or integer MJD. Default: the last day with measurements."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DATE", help="Update the light curves of all days from this day on."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Show the metrics of every source, not only of variable sources."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Update light curves, compute the variability metrics of each source, and search for events.

    The light curves of the day and of all days whose mosaics were measured again since are updated;
    metrics and candidates use all data up to the end of the day. Added lists of light curves
    (`contimg lightcurves`) are measured and searched as a whole. The platform does the same every
    night.

    Example: `contimg variability 2025-10-06 --from 2025-01-01`
    """
    from contimg_resources.steps.candidates import candidates_to_draw, find_candidates
    from contimg_resources.steps.cards import draw_cards
    from contimg_resources.steps.variability import changed_days, measure_day, update_light_curves

    workshop = opened_workshop(given_settings())
    last = _day_of(day) if day is not None else _last_day(workshop)
    first = _day_of(begin) if begin is not None else last
    days = sorted({*range(first, last + 1), *(d for d in changed_days(workshop) if d <= last)})
    with progress("variability") as say:
        for number, one in enumerate(days):
            say(f"light curves of MJD {one}", number / len(days))
            update_light_curves(workshop, one)
        measured = measure_day(workshop, last, progress=say)
        searched = find_candidates(workshop, last, progress=say)
        say("drawing cards", 0.95)
        drawn = draw_cards(workshop, candidates_to_draw(workshop))
    for name, why in drawn.failed.items():
        remark(f"no card of {name}: {why}")
    tables = (measured.table, *(one.table for one in searched.added))
    lines = [
        metrics_line(t, i) for t in tables for i in (range(len(t)) if every else _variables(t))
    ]
    if as_json:
        print_json(
            {
                "day_mjd": last,
                "n_points": measured.n_points,
                "facts": measured.table.facts,
                "sources" if every else "variables": lines,
                "threshold": searched.threshold,
                "threshold_check": searched.alarms.words() if searched.alarms else "",
                "warnings": searched.warnings,
                "candidates": searched.candidates,
                "not_searched": searched.unsearched,
            }
        )
        return
    table = measured.table
    annotations = workshop.products.annotations.present()
    floor = table.facts.systematic_floor
    n_sources = sum(map(len, tables))
    print_metrics(
        lines, "Sources" if every else f"Sources flagged as variable, of {n_sources}", annotations
    )
    remark(
        f"systematic error floor {floor:.3f} from {table.facts.n_references} reference sources"
        if math.isfinite(floor)
        else f"systematic error floor not measured: {table.facts.n_references} reference "
        "sources are too few"
    )
    remark(f"plot: {measured.png}")
    marks = workshop.products.events.last_marks()
    print_candidates(
        searched.candidates, {name: m.mark.value for name, m in marks.items()}, annotations
    )
    remark(searched.words)


@candidates.command("list")
def list_(
    every: Annotated[
        bool, typer.Option("--all", help="Include withdrawn candidates and artefacts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the candidates, the latest last.

    Example: `contimg candidates list --all`
    """
    from contimg_resources.products.events import CandidateState, Mark

    products = opened_workshop(given_settings()).products
    events = products.events
    marks, annotations = events.last_marks(), products.annotations.present()
    shown = [
        c
        for c in events.list_candidates()
        if every
        or (
            c.state is not CandidateState.WITHDRAWN
            and not (c.id in marks and marks[c.id].mark is Mark.ARTEFACT)
        )
    ]
    if as_json:
        print_json(
            [
                {"candidate": c, "mark": marks.get(c.id), **_of_candidate(annotations, c.id)}
                for c in shown
            ]
        )
        return
    print_candidates(shown, {name: mark.mark.value for name, mark in marks.items()}, annotations)


@candidates.command("show")
def show(candidate: CandidateId, as_json: AsJson = False) -> None:
    """Show the parameters, evidence, marks, tags, comments and card of a candidate.

    Example: `contimg candidates show ese-61041-nvss-013741+330935`
    """
    from contimg_resources.core.times import isot_from_mjd
    from contimg_resources.database.values import known_values
    from contimg_resources.products.events import CandidateKind, Subject
    from contimg_resources.steps.cards import card_path

    workshop = opened_workshop(given_settings())
    found = workshop.products.events.candidate(candidate)
    source = workshop.products.new_sources.find(found.source_id)
    marks = workshop.products.events.list_marks(candidate)
    annotations = workshop.products.annotations.present()
    if as_json:
        said = _of_candidate(annotations, candidate)
        appearance = {} if source is None else {"new_source": source}
        print_json({"candidate": found, **appearance, "marks": marks, **said})
        return
    parts: tuple[Any, ...] = (found.parameters, found.evidence)
    if source is not None:
        parts += (source.evidence,)
    told = {
        "kind": found.kind.value,
        "source": found.source_id,
        "position": f"{found.ra_deg:.5f} {found.dec_deg:+.5f} deg"
        if math.isfinite(found.ra_deg)
        else None,
        "state": found.state.value,
        ("epoch of minimum" if found.kind is CandidateKind.ESE else "brightest"): isot_from_mjd(
            found.mid_mjd
        ),
        "score": f"{found.score:.1f}",
        **{
            name: f"{value:.4g}" if isinstance(value, float) else value
            for part in parts
            for name, value in known_values(part)
        },
        "neighbours": ", ".join(found.evidence.neighbours) or None,
        "tags": tags_in_words(annotations, Subject.CANDIDATE, found.id),
        "tags of the source": tags_in_words(annotations, Subject.SOURCE, found.source_id),
        "card": card_path(workshop, found.id),
    }
    print_table(("parameter", "value"), list(told.items()), title=found.id)
    for mark in marks:
        remark(f"{isot_from_mjd(mark.created_mjd)}  {mark.mark.value} by {mark.by}: {mark.note}")
    for subject in ((Subject.CANDIDATE, found.id), (Subject.SOURCE, found.source_id)):
        for one in annotations[subject].comments if subject in annotations else ():
            remark(f"{isot_from_mjd(one.created_mjd)}  comment by {one.by}: {one.text}")


@candidates.command("mark")
def mark(
    candidate: CandidateId,
    mark: Annotated[str, typer.Argument(help="`real`, `artefact` or `follow-up`.")],
    note: Annotated[str, typer.Option(help="Reason, for other people.")] = "",
    by: Annotated[
        str | None, typer.Option(help="Name of the person. Default: the user who is logged in.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mark a candidate; later searches don't change the mark.

    A later mark replaces an earlier one, which is kept on record.

    Example: `contimg candidates mark ese-61041-nvss-013741+330935 real --note "seen at 3 GHz too"`
    """
    from contimg_resources.products.events import Mark
    from contimg_resources.steps.candidates import mark_candidate

    known = {m.value.replace(" ", "-"): m for m in Mark}
    wanted = mark.strip().lower().replace(" ", "-").replace("_", "-")
    if wanted not in known:
        raise ConfigurationError(f"{mark!r} is not a mark: {', '.join(known)}")
    workshop = opened_workshop(given_settings())
    made = mark_candidate(workshop, candidate, known[wanted], note, by or getpass.getuser())
    if as_json:
        print_json(made)
    else:
        remark(f"{candidate} is marked {made.mark.value} by {made.by}")


def _day_of(text: str) -> int:
    from contimg_resources.core.times import mjd_day, parse_span

    first, _ = parse_span(text, None)
    assert first is not None
    return mjd_day(first)


def _last_day(workshop: Any) -> int:
    from contimg_resources.core.times import mjd_day
    from contimg_resources.database import now_mjd
    from contimg_resources.products.epochs import EpochKind
    from contimg_resources.variability.added import added_names

    epochs = workshop.products.mosaics.list_epochs(EpochKind.MOSAIC)
    if not epochs and added_names(workshop.settings.layout.added_light_curves):
        return mjd_day(now_mjd())
    if not epochs:
        raise ConfigurationError(
            f"no mosaic was measured yet in {workshop.settings.state}: `contimg photometry MOSAIC` "
            "measures one"
        )
    return mjd_day(epochs[-1].mid_mjd)


def _variables(table: "Variability") -> list[int]:
    chosen = [int(i) for i in table.is_variable.nonzero()[0]]
    return sorted(chosen, key=lambda i: -float(table.eta[i]))


def print_metrics(
    lines: list[dict[str, Any]], title: str, annotations: "Annotations | None" = None
) -> None:
    """Write the metrics of the first sources as a table, with their tags."""
    from contimg_resources.products.events import Subject

    columns = {
        "source_id": "source",
        "n_epochs": "epochs",
        "mean_flux_mjy": "mean (mJy)",
        "eta": "eta",
        "v": "V",
        "modulation_index": "m_d",
        "p_value": "p",
        "pair_vs": "pair Vs",
        "pair_m": "pair m",
    }
    shown = lines[:_SHOWN]
    more = f": the first {len(shown)} of {len(lines)}" if len(lines) > len(shown) else ""
    print_table(
        (*columns.values(), "variable", *(["tags"] if annotations is not None else [])),
        [
            (
                *(line[name] for name in columns),
                _said_to_vary(line),
                *(
                    [tags_in_words(annotations, Subject.SOURCE, line["source_id"])]
                    if annotations is not None
                    else []
                ),
            )
            for line in shown
        ],
        title=title + more,
    )


def _said_to_vary(line: dict[str, Any]) -> str | None:
    said = [
        *(["eta and V"] if line["is_variable"] else []),
        *(["a pair"] if line["is_pair_variable"] else []),
    ]
    return ", ".join(said) or None


def metrics_line(table: "Variability", i: int) -> dict[str, Any]:
    """Return the metrics of source number `i` for display."""
    return {
        "source_id": str(table.source_id[i]),
        "n_epochs": int(table.n_epochs[i]),
        "mean_flux_mjy": _number(1e3 * table.mean_flux_jy[i]),
        **{
            name: _number(getattr(table, name)[i])
            for name in ("eta", "v", "modulation_index", "p_value", "pair_vs", "pair_m")
        },
        "is_variable": bool(table.is_variable[i]),
        "is_pair_variable": bool(table.is_pair_variable[i]),
    }


def _number(value: float) -> float | None:
    return float(f"{float(value):.4g}") if math.isfinite(value) else None


def tags_in_words(annotations: "Annotations", subject: "Subject", subject_id: str) -> str | None:
    """Return tags, and numbers of people whose favourite it is and of comments; None: nothing."""
    if (found := annotations.get((subject, subject_id))) is None:
        return None
    words = [
        ", ".join(tag.text for tag in found.tags),
        f"favourite of {len(found.favourites)}" if found.favourites else "",
        f"comments: {len(found.comments)}" if found.comments else "",
    ]
    return "; ".join(word for word in words if word) or None


def _of_candidate(annotations: "Annotations", candidate: str) -> dict[str, Any]:
    from contimg_resources.products.annotations import Annotated
    from contimg_resources.products.events import Subject

    return annotations.get((Subject.CANDIDATE, candidate), Annotated()).as_document()


def print_candidates(
    found: "Any", marks: dict[str, str], annotations: "Annotations | None" = None
) -> None:
    """Write candidates as a table, with their marks and tags."""
    from contimg_resources.core.times import utc_day
    from contimg_resources.products.events import CandidateKind, Subject

    def line(c: "CandidateRecord") -> tuple[Any, ...]:
        return (
            c.id,
            c.kind.value,
            c.state.value,
            str(utc_day(c.mid_mjd)),
            *(c.parameters.in_words() if c.kind is CandidateKind.ESE else (None, None)),
            f"{c.score:.0f}",
            marks.get(c.id),
            tags_in_words(annotations or {}, Subject.CANDIDATE, c.id),
        )

    print_table(
        (
            *("candidate", "kind", "state", "minimum or peak"),
            *("depth (%)", "width (d)", "score", "mark", "tags"),
        ),
        [line(c) for c in found],
        title="Candidates",
    )
    for warning in sorted({c.parameters.threshold_warning for c in found} - {""}):
        remark(f"warning: {warning}")
