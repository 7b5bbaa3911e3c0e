"""``contimg antennas``: the health of antennas over days, and marks by persons.

Belongs here: arguments and output. Doesn't: rules, evidence.
"""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_lines, print_table, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.errors import InvalidName

if TYPE_CHECKING:
    from contimg_resources.products.antennas import AntennaProducts

app = typer.Typer(
    help="Health of antennas: which are bad, since when and why; marks by persons.\n\n"
    "Example: `contimg antennas` or `contimg antennas mark 24 bad --note 'on the ground'`",
)

_SHOWN = 40

Days = Annotated[
    float | None,
    typer.Option(min=0.01, help="Number of days that count. Default: from the settings."),
]


@app.callback(invoke_without_command=True)
def antennas(context: typer.Context, days: Days = None, as_json: AsJson = False) -> None:
    """List the antennas that are bad, those that recovered, and the marks that count.

    Example: `contimg antennas --days 10`
    """
    if context.invoked_subcommand is None:
        list_antennas(days=days, as_json=as_json)


@app.command("list")
def list_antennas(days: Days = None, as_json: AsJson = False) -> None:
    """List the antennas that are bad, those that recovered, and the marks that count.

    Example: `contimg antennas list --json`
    """
    from contimg_resources.core.times import isot_from_mjd

    settings = given_settings()
    products = opened_workshop(settings).products
    report = products.antennas.present(settings.antennas.days if days is None else days)
    last = report.observed[-1] if report.observed else None
    if as_json:
        print_json(
            {
                "telescope": report.telescope,
                "last": last,
                "n_observations": len(report.observed),
                "bad": report.bad,
                "spells": report.spells,
                "marks": report.marks,
            }
        )
        return

    def utc(mjd: float | None) -> str | None:
        return None if mjd is None else isot_from_mjd(mjd)[:16]

    if last is None:
        remark("no observation has examined the antennas yet")
    else:
        remark(
            f"{report.telescope}: {len(report.bad)} of {last.n_antennas} antennas are bad; "
            f"{len(report.observed)} observations up to {last.key}"
        )
    if report.spells:
        print_table(
            ("antenna", "state", "from (UTC)", "to (UTC)", "observations", "why"),
            [
                (
                    s.antenna,
                    "bad" if s.end_mjd is None else "recovered",
                    utc(s.start_mjd),
                    utc(s.end_mjd),
                    s.n_faulty,
                    s.fault,
                )
                for s in sorted(report.spells, key=lambda s: s.end_mjd is not None)
            ],
        )
    if report.marks:
        print_table(
            ("antenna", "mark", "from (UTC)", "by", "note"),
            [
                (m.antenna, m.mark.value, utc(m.from_mjd), m.by, m.note)
                for m in report.marks.values()
            ],
        )


@app.command("show")
def show(
    antenna: Annotated[str, typer.Argument(help="Name of the antenna.")],
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Show what the last observations say about one antenna, and all its marks.

    Example: `contimg antennas show 24`
    """
    from contimg_resources.core.times import isot_from_mjd

    settings = given_settings()
    products = opened_workshop(settings).products.antennas
    start_mjd = _start_mjd(products, settings.antennas.days if days is None else days)
    found = [
        (key, one[antenna])
        for key, one in products.evidence(start_mjd=start_mjd).items()
        if antenna in one
    ]
    marks = [m for m in products.marks() if m.antenna == antenna]
    if not found and not marks:
        raise InvalidName(f"no observation of these days has an antenna {antenna!r}")
    if as_json:
        print_json({"antenna": antenna, "evidence": dict(found), "marks": marks})
        return
    print_table(
        ("observation", "fault", "data", "gain", "coherence", "kept", "delay (ns)", "evidence"),
        [
            (
                key,
                e.fault,
                f"{e.data:.0%}",
                *(None if v is None else f"{v:.2f}" for v in (e.gain, e.coherence, e.kept)),
                f"{e.delay_ns:+.1f}",
                e.in_words(),
            )
            for key, e in found[-_SHOWN:]
        ],
        title=f"Antenna {antenna}, the last {min(_SHOWN, len(found))} of {len(found)} observations",
    )
    print_lines(
        [f"from {isot_from_mjd(m.from_mjd)[:16]} UTC {m.in_words()}" for m in marks],
    )


@app.command("mark")
def mark(
    antenna: Annotated[str, typer.Argument(help="Name of the antenna.")],
    judgement: Annotated[
        str,
        typer.Argument(
            help="`bad`: left out of images whatever its data show; `good`: never left out for its "
            "evidence; `automatic`: the evidence decides again."
        ),
    ],
    note: Annotated[str, typer.Option(help="The reason.")],
    by: Annotated[
        str | None, typer.Option(help="Your name. Default: the name of your account.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help="The first observations that it is for: a UTC date or time, or an MJD. Default: "
            "from now on.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mark an antenna as bad or good, or leave it to the evidence; all marks are kept.

    Example: `contimg antennas mark 24 bad --note 'being repaired' --by Ada --from 2026-01-02`
    """
    from contimg_resources.calibration.antenna_record import AntennaMark, MarkedAntenna
    from contimg_resources.core.times import parse_span
    from contimg_resources.database import now_mjd

    if judgement not in tuple(AntennaMark):
        known = ", ".join(AntennaMark)
        raise typer.BadParameter(f"{judgement!r} is none of {known}", param_hint="JUDGEMENT")
    products = opened_workshop(given_settings()).products.antennas
    start_mjd, _ = parse_span(since, None)
    _check_known(products, antenna)
    made = products.mark(
        MarkedAntenna(
            antenna=antenna,
            mark=AntennaMark(judgement),
            from_mjd=now_mjd() if start_mjd is None else start_mjd,
            note=note,
            by=by or getpass.getuser(),
        )
    )
    if as_json:
        print_json(made)
        return
    remark(f"antenna {antenna}: {made.in_words()}")


def _start_mjd(products: "AntennaProducts", days: float) -> float | None:
    last = products.last()
    return None if last is None else last.mid_mjd - days


def _check_known(products: "AntennaProducts", antenna: str) -> None:
    """Refuse an antenna that the latest observation doesn't have.

    Raises
    ------
    InvalidName
        Naming those that it has.
    """
    last = products.last()
    known = {} if last is None else products.evidence_of(last.key)
    if known and antenna not in known:
        raise InvalidName(
            f"observation {last.key if last else ''} has no antenna {antenna!r}; it has "
            f"{', '.join(known)}"
        )
