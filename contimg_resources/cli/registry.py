"""``contimg registry``: the calibration registry on the command line.

Belongs here: arguments and output. Doesn't: the rules of the registry.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, Borrow, DryRun, RegistryAddress
from contimg_resources.cli.console import print_json, print_lines, print_table, remark
from contimg_resources.cli.given import given_settings, rehearsed
from contimg_resources.core.times import isot_from_mjd

if TYPE_CHECKING:
    from contimg_resources.registry.model import CaltableSet
    from contimg_resources.registry.store import CalibrationRegistry

app = typer.Typer(help="Caltable sets, and the observations that they apply to.")

#: A difference in declination from the tables that is larger than this is shown, degrees.
_NOTABLE_DEG = 0.5

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the set.")]
Version = Annotated[
    int | None,
    typer.Option("--version", min=1, help="Default: the active version, else the newest."),
]
Mjd = Annotated[float, typer.Option("--mjd", help="Mid-MJD of the observation, days (UTC).")]


def open_registry(address: str | None, *, create: bool = False) -> "CalibrationRegistry":
    """Return the registry at an address, by default that of the settings, for look-ups."""
    from contimg_resources.registry.store import CalibrationRegistry

    return CalibrationRegistry(given_settings(registry=address).registry_address, create=create)


@app.command()
def init(db: RegistryAddress = None, as_json: AsJson = False) -> None:
    """Make an empty registry; an existing registry isn't changed.

    Example: `contimg registry init --db pipeline/cal_registry.sqlite3`
    """
    registry = open_registry(db, create=True)
    if as_json:
        print_json({"registry": registry.address})
    else:
        print_lines([registry.address])


@app.command("register-prefix")
def register_prefix(
    set_name: Annotated[
        str,
        typer.Option(
            "--set-name", "--name", help="Name of the set; an existing name gets a new version."
        ),
    ],
    prefix: Annotated[
        Path,
        typer.Option(
            help="Prefix of the tables: PREFIX_kcal, _bacal, _bpcal, _gacal, _gpcal, _2gcal, "
            "_flux.cal, or the endings of `calibration.caltable_endings` (.k .b .g .2g and others)."
        ),
    ],
    db: RegistryAddress = None,
    cal_field: Annotated[
        str | None, typer.Option(help="Calibrator field. Default: from the tables.")
    ] = None,
    refant: Annotated[
        str | None, typer.Option(help="Reference antenna. Default: from the tables.")
    ] = None,
    valid_start: Annotated[
        float | None, typer.Option(help="Start of the validity window, MJD in days.")
    ] = None,
    valid_end: Annotated[
        float | None, typer.Option(help="End of the validity window, MJD.")
    ] = None,
    dec_deg: Annotated[
        float | None,
        typer.Option(help="Declination strip, ICRS degrees. Default: from the tables' fields."),
    ] = None,
    any_dec: Annotated[
        bool, typer.Option("--any-dec", help="The set applies to any strip: the array tracked.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register all caltables with a prefix as a set, or none of them.

    Each table must have the type of its ending, and pass the same limits as a solve
    (`calibration.min_median_snr`, `min_channel_snr`, `max_flagged_fraction` and the like). Without
    a validity window the set is valid from `calibration.valid_before_h` before its first solution
    to `valid_after_h` after its last.

    Example: `contimg registry register-prefix --db pipeline/cal_registry.sqlite3 --set-name
    2025-10-06_J1234+5678 --prefix /data/ms/solves/2025-10-06_J1234+5678`
    """
    from contimg_resources.steps import workshop

    if any_dec and dec_deg is not None:
        raise typer.BadParameter("--dec-deg and --any-dec exclude each other")
    settings = given_settings(registry=db)
    # There must be one, also when another is used.
    open_registry(db).close()
    with rehearsed(settings, dry_run) as where:
        registry = workshop.open_registry(
            settings,
            workshop.open_casa(settings),
            address=where.registry_address,
            create=dry_run,
        )
        registered = registry.register_prefix(
            prefix,
            set_name,
            cal_field=cal_field,
            refant=refant,
            valid_start_mjd=valid_start,
            valid_end_mjd=valid_end,
            declination_deg=dec_deg,
            any_declination=any_dec,
        )
    _print_set(registered, as_json=as_json)


@app.command()
def active(
    mjd: Mjd,
    db: RegistryAddress = None,
    dec_deg: Annotated[
        float | None, typer.Option(help="Declination strip of the observation, degrees.")
    ] = None,
    borrow: Borrow = None,
    as_json: AsJson = False,
) -> None:
    """Print the caltables to apply to an observation, one path per line, in apply order.

    Exit code 1 when no set is valid for it; the message names the nearest before and after.

    Example: `contimg registry active --db pipeline/cal_registry.sqlite3 --mjd 60295.30000`
    """
    calibration = given_settings(calibration={"borrow": borrow}).calibration
    found = open_registry(db).active(
        mjd,
        declination_deg=dec_deg,
        strip_tolerance_deg=calibration.strip_tolerance_deg,
        borrow=calibration.borrow,
    )
    if as_json:
        print_json(found)
        return
    remark(
        f"{found.set.name} v{found.set.version}, {found.age_h:+.2f} h from its calibrator"
        + (", BORROWED: outside its window" if found.borrowed else "")
    )
    print_lines([table.path for table in found.set.tables])


@app.command("list")
def list_sets(
    db: RegistryAddress = None,
    status: Annotated[
        str | None,
        typer.Option(metavar="active|retired|failed", help="Only sets with this status."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only versions of this set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of entries.")] = None,
    as_json: AsJson = False,
) -> None:
    """List caltable sets, the latest calibrator observation first.

    Example: `contimg registry list --status failed --json`
    """
    from contimg_resources.registry.model import SetStatus

    if status is not None and status not in list(SetStatus):
        raise typer.BadParameter(
            f"{status!r} is none of {', '.join(SetStatus)}", param_hint="--status"
        )
    wanted = None if status is None else SetStatus(status)
    sets = open_registry(db).list_sets(status=wanted, name=name, limit=limit)
    if as_json:
        print_json(sets)
        return
    print_table(
        (
            *("set", "status", "calibrator", "mid-MJD", "valid from", "valid to", "dec"),
            *("flagged", "SNR", "tables", "from"),
        ),
        [
            (
                f"{s.name} v{s.version}",
                s.status,
                s.calibrator,
                f"{s.mid_mjd:.5f}",
                f"{s.start_mjd:.5f}",
                f"{s.end_mjd:.5f}",
                None if s.declination_deg is None else f"{s.declination_deg:+.2f}",
                _extreme(s, "flagged_fraction", max, "{:.0%}"),
                _extreme(s, "median_snr", min, "{:.1f}"),
                " ".join(t.type for t in s.tables),
                _solved_from(s),
            )
            for s in sets
        ],
    )


@app.command()
def show(
    name: Name, db: RegistryAddress = None, version: Version = None, as_json: AsJson = False
) -> None:
    """Show a set: validity window, tables, quality, origin, and history.

    Example: `contimg registry show 2025-10-06_J1234+5678`
    """
    registry = open_registry(db)
    _print_set(registry.get(name, version), as_json=as_json, events=registry.events(name=name))


@app.command()
def retire(
    name: Name,
    reason: Annotated[
        str, typer.Option(help="Reason; shown wherever the set would have been used.")
    ],
    db: RegistryAddress = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Default: the active version.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Retire a set: it is no longer applied, and stays on record.

    Example: `contimg registry retire 2025-10-06_J1234+5678 --reason "refant unstable"`
    """
    registry = open_registry(db)
    _print_set(registry.retire(name, reason, version, dry_run=dry_run), as_json=as_json)


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: all active sets.")
    ] = None,
    db: RegistryAddress = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Compare every byte of the tables with their checksums; exit code 1 when one differs.

    Example: `contimg registry verify --db pipeline/cal_registry.sqlite3`
    """
    problems = open_registry(db).verify(name, version)
    if as_json:
        print_json(problems)
    elif problems:
        print_lines(problems)
    else:
        remark("every table is as it was registered")
    if problems:
        raise typer.Exit(1)


def _print_set(chosen: "CaltableSet", *, as_json: bool, events: Any = ()) -> None:
    if as_json:
        print_json({"set": chosen, "events": events} if events else chosen)
        return
    facts = {
        "set": f"{chosen.name} v{chosen.version}",
        "status": f"{chosen.status}" + "".join(f"; {r}" for r in chosen.reasons),
        "calibrator": chosen.calibrator,
        "reference antenna": chosen.refant or "-",
        "mid-MJD": f"{chosen.mid_mjd:.5f}",
        "valid": f"{chosen.start_mjd:.5f} to {chosen.end_mjd:.5f}",
        "declination": _declination(chosen),
        "antennas": len(chosen.layout.antenna_names),
        "working antennas": chosen.quality.get("working_antennas") or "-",
        "spectral windows": len(chosen.layout.spectral_windows_hz),
        "solved from": _solved_from(chosen),
    }
    if prefix := chosen.origin.get("prefix"):
        facts["prefix"] = prefix
    print_lines([f"{what}: {value}" for what, value in facts.items()])
    qualities = chosen.quality.get("tables", {})
    for table in chosen.tables:
        print_lines([f"{table.type} {table.apply_order}: {table.path}"])
        if measures := _measures(qualities.get(table.type, {})):
            print_lines([f"  {measures}"])
    print_lines(
        [f"not taken: {name} {why}" for name, why in chosen.origin.get("not_taken", {}).items()]
    )
    print_lines(
        [
            f"{isot_from_mjd(e.at_mjd)[:19]} v{e.version} {e.event} by {e.user}@{e.host}"
            + (f": {e.reason}" if e.reason else "")
            for e in events
        ]
    )


def _solved_from(chosen: "CaltableSet") -> str:
    """Return the MS that a set was solved from; for a prefix, the MS that the tables name."""
    if ms := chosen.origin.get("ms"):
        return str(ms)
    return ", ".join(chosen.origin.get("source_ms", ())) or chosen.origin.get("prefix") or "-"


def _declination(chosen: "CaltableSet") -> str:
    """Return a set's strip, and that of its tables when it differs."""
    said = chosen.declination_deg
    words = "any" if said is None else f"{said:+.3f} deg"
    of_tables = [float(dec) for dec in chosen.origin.get("declination_of_tables_deg", ())]
    if of_tables and (said is None or any(abs(dec - said) > _NOTABLE_DEG for dec in of_tables)):
        span = sorted({f"{dec:+.3f}" for dec in (min(of_tables), max(of_tables))}, key=float)
        words += f" (the tables have {' to '.join(span)} deg)"
    return words


def _extreme(
    chosen: "CaltableSet", measure: str, of: Callable[[list[float]], float], form: str
) -> str | None:
    """Return the worst value of a metric over the tables of a set, or None."""
    tables = chosen.quality.get("tables", {}).values()
    found = [float(v) for t in tables if (v := t.get(measure)) is not None]
    return form.format(of(found)) if found else None


def _measures(quality: dict[str, Any]) -> str:
    """Return a table's quality in one line, without the metrics that it doesn't have."""
    formats = {
        "median_snr": "median SNR {:.3g}",
        "flagged_fraction": "{:.1%} flagged",
        "amplitude_scatter": "amplitude scatter {:.2%}",
        "phase_scatter_deg": "phase scatter {:.2f} deg",
        "n_antennas_solved": "{} antennas",
    }
    measured = {name: quality.get(name) for name in formats}
    return ", ".join(formats[name].format(v) for name, v in measured.items() if v is not None)
