"""``contimg variability`` and ``contimg candidates``: what varies, and what may be an event.

Belongs here: arguments and output. Doesn't: the steps, which are the same that the assets call.
"""

import getpass
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.errors import ConfigurationError

if TYPE_CHECKING:
    from contimg_resources.products.events import CandidateRecord
    from contimg_resources.variability.model import Variability

candidates = typer.Typer(
    no_args_is_help=True, help="Candidates for Extreme Scattering Events: look at them, mark them."
)

_SHOWN = 40
CandidateId = Annotated[str, typer.Argument(help="Id of a candidate (`contimg candidates list`).")]


def variability(
    day: Annotated[
        str | None,
        typer.Argument(help="UTC date or integer MJD. Without: the last day with measurements."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DATE", help="Make the light curves of all days from this one on."
        ),
    ] = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Update light curves, measure how much each source varies, and search for events.

    The light curves of the day and of all days whose mosaics were measured again since are updated;
    measures and candidates are of everything up to the end of the day. The platform does the same
    every night.

    Example: `contimg variability 2025-10-06 --from 2025-01-01`
    """
    from contimg_resources.steps.candidates import find_candidates
    from contimg_resources.steps.variability import changed_days, measure_day, update_light_curves

    workshop = opened_workshop(given_settings(state=state))
    last = _day_of(day) if day is not None else _last_day(workshop)
    first = _day_of(begin) if begin is not None else last
    days = sorted({*range(first, last + 1), *(d for d in changed_days(workshop) if d <= last)})
    with progress("variability") as say:
        for number, one in enumerate(days):
            say(f"light curves of MJD {one}", number / len(days))
            update_light_curves(workshop, one)
        measured = measure_day(workshop, last, progress=say)
        searched = find_candidates(workshop, last, progress=say)
    if as_json:
        print_json(
            {
                "day_mjd": last,
                "n_points": measured.n_points,
                "facts": measured.table.facts,
                "variables": [_line(measured.table, i) for i in _variables(measured.table)],
                "candidates": searched.candidates,
            }
        )
        return
    table = measured.table
    floor = table.facts["systematic_floor"]
    print_table(
        ("source", "epochs", "mean (mJy)", "eta", "V", "m_d", "pair Vs", "pair m"),
        [tuple(_line(table, i).values()) for i in _variables(table)[:_SHOWN]],
        title=f"Sources that stand out, of {len(table)}",
    )
    remark(
        f"systematic floor {floor:.3f} of {table.facts['n_references']} reference sources"
        if math.isfinite(floor)
        else f"systematic floor not measured: {table.facts['n_references']} reference sources are "
        "too few"
    )
    remark(f"drawn: {measured.png}")
    marks = workshop.products.events.last_marks()
    _print_candidates(searched.candidates, {name: m.mark.value for name, m in marks.items()})
    remark(searched.words)


@candidates.command("list")
def list_(
    every: Annotated[
        bool, typer.Option("--all", help="Those that were withdrawn or are artefacts, too.")
    ] = False,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """List the candidates, the latest last.

    Example: `contimg candidates list --all`
    """
    from contimg_resources.products.events import CandidateState, Mark

    events = opened_workshop(given_settings(state=state)).products.events
    marks = events.last_marks()
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
        print_json([{"candidate": c, "mark": marks.get(c.id)} for c in shown])
        return
    _print_candidates(shown, {name: mark.mark.value for name, mark in marks.items()})


@candidates.command("show")
def show(candidate: CandidateId, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Show all that is known of a candidate, with its marks and its card.

    Example: `contimg candidates show ese-61041-nvss-013741+330935`
    """
    from contimg_resources.steps.candidates import card_path
    from contimg_resources.times import isot_from_mjd

    workshop = opened_workshop(given_settings(state=state))
    found = workshop.products.events.candidate(candidate)
    marks = workshop.products.events.list_marks(candidate)
    if as_json:
        print_json({"candidate": found, "marks": marks})
        return
    told = {
        "source": found.source_id,
        "position": f"{found.ra_deg:.5f} {found.dec_deg:+.5f} deg",
        "state": found.state.value,
        "middle": isot_from_mjd(found.mid_mjd),
        "score": f"{found.score:.1f}",
        **{
            k: f"{v:.4g}" if isinstance(v, float) else v
            for k, v in {**found.parameters, **found.evidence}.items()
            if not isinstance(v, list)
        },
        "neighbours": ", ".join(found.evidence.get("neighbours", [])) or None,
        "card": card_path(workshop, found.id),
    }
    print_table(("what", "value"), list(told.items()), title=found.id)
    for mark in marks:
        remark(f"{isot_from_mjd(mark.created_mjd)}  {mark.mark.value} by {mark.by}: {mark.note}")


@candidates.command("mark")
def mark(
    candidate: CandidateId,
    mark: Annotated[str, typer.Argument(help="`real`, `artefact` or `follow-up`.")],
    note: Annotated[str, typer.Option(help="Why, for those who come after.")] = "",
    by: Annotated[str | None, typer.Option(help="Who. Default: the user who is logged in.")] = None,
    state: StateDirectory = None,
) -> None:
    """Say what a candidate is; the mark stays whatever later searches find.

    A later mark holds instead of an earlier one, which is kept.

    Example: `contimg candidates mark ese-61041-nvss-013741+330935 real --note "seen at 3 GHz too"`
    """
    from contimg_resources.products.events import Mark
    from contimg_resources.steps.candidates import mark_candidate

    known = {m.value.replace(" ", "-"): m for m in Mark}
    wanted = mark.strip().lower().replace(" ", "-").replace("_", "-")
    if wanted not in known:
        raise ConfigurationError(f"{mark!r} is no mark: {', '.join(known)}")
    workshop = opened_workshop(given_settings(state=state))
    made = mark_candidate(workshop, candidate, known[wanted], note, by or getpass.getuser())
    remark(f"{candidate} is marked {made.mark.value} by {made.by}")


def _day_of(text: str) -> int:
    from contimg_resources.times import mjd_day, parse_span

    first, _ = parse_span(text, None)
    assert first is not None
    return mjd_day(first)


def _last_day(workshop: Any) -> int:
    from contimg_resources.products.epochs import EpochKind
    from contimg_resources.times import mjd_day

    epochs = workshop.products.mosaics.list_epochs(EpochKind.MOSAIC)
    if not epochs:
        raise ConfigurationError(
            f"no mosaic was measured yet in {workshop.settings.state}: `contimg photometry MOSAIC` "
            "measures one"
        )
    return mjd_day(epochs[-1].mid_mjd)


def _variables(table: "Variability") -> list[int]:
    chosen = [int(i) for i in table.is_variable.nonzero()[0]]
    return sorted(chosen, key=lambda i: -float(table.eta[i]))


def _line(table: "Variability", i: int) -> dict[str, Any]:
    return {
        "source_id": str(table.source_id[i]),
        "n_epochs": int(table.n_epochs[i]),
        "mean_flux_mjy": _number(1e3 * table.mean_flux_jy[i]),
        "eta": _number(table.eta[i]),
        "v": _number(table.v[i]),
        "modulation_index": _number(table.modulation_index[i]),
        "pair_vs": _number(table.pair_vs[i]),
        "pair_m": _number(table.pair_m[i]),
    }


def _number(value: float) -> float | None:
    return float(f"{float(value):.4g}") if math.isfinite(value) else None


def _print_candidates(found: "Any", marks: dict[str, str]) -> None:
    from contimg_resources.times import utc_day

    def line(c: "CandidateRecord") -> tuple[Any, ...]:
        told = c.parameters
        return (
            c.id,
            c.state.value,
            str(utc_day(c.mid_mjd)),
            f"{100 * told['depth']:.1f} ± {100 * told['depth_error']:.1f}",
            f"{told['width_days']:.1f} ± {told['width_error_days']:.1f}",
            f"{c.score:.0f}",
            marks.get(c.id),
        )

    print_table(
        ("candidate", "state", "middle", "depth (%)", "width (d)", "score", "mark"),
        [line(c) for c in found],
        title="Candidates for Extreme Scattering Events",
    )
