"""``contimg calibrate`` and ``contimg apply``: solve a calibrator observation, or calibrate an MS.

Belongs here: arguments and output. Doesn't: solving, checking, registering, choosing the set (the
registry), applying.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson, Borrow, RegistryAddress
from contimg_resources.cli.console import jsonable, print_json, print_lines, progress, remark
from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import CalibrationFailed, CalibratorNotFound, ConfigurationError
from contimg_resources.core.naming import is_observation_name, without_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contimg_resources.calibration.ms.callib import TableToApply
    from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
    from contimg_resources.instrument.caltables import CaltableType
    from contimg_resources.observations.model import Observation
    from contimg_resources.steps.workshop import Workshop

#: Largest separation between a tracked field and its calibrator, degrees.
_FIELD_RADIUS_DEG = 0.05


def calibrate(
    ms: Annotated[Path, typer.Option(help="Calibrator observation; it isn't changed.")],
    field: Annotated[
        str | None,
        typer.Option(
            help="Name of the calibrator. Default: the brightest known calibrator that crossed "
            "the beam. With --tracking: name of its field in the MS."
        ),
    ] = None,
    refant: Annotated[
        str,
        typer.Option(
            help="Name of the reference antenna; auto: a good antenna of the preferred list."
        ),
    ] = "auto",
    prefix: Annotated[
        Path | None,
        typer.Option(help="Prefix of the tables: PREFIX_kcal, ... Default: solves/ beside the MS."),
    ] = None,
    tracking: Annotated[
        bool,
        typer.Option(
            "--tracking", help="The antennas tracked the field: no drift, no primary beam."
        ),
    ] = False,
    transfer_field: Annotated[
        list[str] | None,
        typer.Option(help="With --tracking: a field whose flux density is derived (FLUX)."),
    ] = None,
    register: Annotated[
        bool,
        typer.Option("--register", help="Register the set immediately, as the platform does."),
    ] = False,
    db: RegistryAddress = None,
    as_json: AsJson = False,
) -> None:
    """Solve K, BA, BP, GA, GP and 2G on a calibrator and print the tables, in apply order.

    Exit code 1 when the solve isn't good: the message names the tables and the limits they missed.

    Example: `contimg calibrate --ms /data/ms/2025-10-06_J1234+5678.ms --field J1234+5678
    --refant 104`
    """
    from contimg_resources.steps.arriving import arrive
    from contimg_resources.steps.solving import solve_observation
    from contimg_resources.steps.workshop import Workshop

    workshop = Workshop.from_settings(given_settings(registry=db))
    if register:
        if tracking or prefix is not None:
            raise ConfigurationError(
                "--register writes the tables to the platform's directory and solves drift scans "
                "only, so it excludes --prefix and --tracking: without it, use `contimg registry "
                "register-prefix` afterwards"
            )
        with progress(ms.name) as say:
            say("reading", None)
            arrived = arrive(workshop, ms)
            solved = solve_observation(
                workshop,
                arrived.observation.key,
                progress=say,
                refant=refant,
                calibrator_name=field,
            )
        remark(f"registered {solved.set.name} v{solved.set.version}")
        _print(solved.result, as_json)
        return
    where = (prefix or ms.absolute().parent / "solves" / without_ms(ms.name)).absolute()
    with progress(ms.name) as say:
        say("reading", None)
        observation = workshop.read(ms)
        observation.refuse_unusable()
        request = (
            _tracking_request(workshop, observation, field, where, refant, transfer_field or ())
            if tracking
            else _drift_request(workshop, observation, field, where, refant)
        )
        from contimg_resources.steps.in_casa import solve

        where.parent.mkdir(parents=True, exist_ok=True)
        result = workshop.casa.run(solve, request, label=f"{where.name}-solve", progress=say)
    if result.failed:
        raise CalibrationFailed(
            f"the solve of {ms} on {result.calibrator} is not good and must not be applied: "
            f"{'; '.join(result.reasons)}",
            reasons=list(result.reasons),
            tables=[str(t.path) for t in result.tables],
        )
    _print(result, as_json)


def _drift_request(
    workshop: "Workshop", observation: "Observation", field: str | None, prefix: Path, refant: str
) -> "SolveRequest":
    from contimg_resources.steps.solving import calibrator_of, solve_request

    calibrator = calibrator_of(workshop, observation, field)
    return solve_request(workshop, observation, calibrator, prefix, refant=refant)


def _tracking_request(
    workshop: "Workshop",
    observation: "Observation",
    field: str | None,
    prefix: Path,
    refant: str,
    transfer_fields: "list[str] | tuple[str, ...]",
) -> "SolveRequest":
    from contimg_resources.calibration.solve.model import Pointing, SolveRecipe, SolveRequest

    names = {f.name: f for f in observation.fields}
    for wanted in (field, *transfer_fields):
        if wanted not in names:
            raise CalibratorNotFound(
                f"{observation.path} has no field {wanted!r}; it has {', '.join(names)}"
            )
    chosen = names[str(field)]
    calibrator = workshop.calibrators.nearest(chosen.ra_deg, chosen.dec_deg, _FIELD_RADIUS_DEG)
    return SolveRequest(
        ms=observation.path,
        calibrator=calibrator,
        prefix=prefix,
        pointing=Pointing.TRACKING,
        refant=refant,
        calibrator_fields=(chosen.name,),
        transfer_fields=tuple(transfer_fields),
        settings=workshop.settings.calibration,
        # A scan is too short for short-interval gains to differ from the long-interval ones.
        recipe=SolveRecipe(short_gains=False),
    )


def _print(result: "SolveResult", as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    remark(f"{result.calibrator}, reference antenna {result.refant} ({result.refant_reason})")
    for note in result.notes:
        remark(note)
    for flux in result.flux:
        remark(f"{flux.field}: {flux.flux_jy:.5f} +- {flux.error_jy:.5f} Jy")
    print_lines([table.path for table in result.tables])


def apply(
    ms: Annotated[Path, typer.Option(help="The observation; it isn't changed.")],
    table: Annotated[
        list[Path] | None,
        typer.Option(
            help="A caltable, recognised by its ending; repeatable. Default: the set that is valid "
            "for the observation in the registry."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The calibrated MS; an earlier product is replaced, an observation isn't. "
            "Default: MS_cal.ms beside the MS."
        ),
    ] = None,
    db: RegistryAddress = None,
    borrow: Borrow = None,
    keep_fields: Annotated[
        bool, typer.Option("--keep-fields", help="Keep the phase centre of each field.")
    ] = False,
    flag_rfi: Annotated[bool, typer.Option(help="Flag RFI after calibration.")] = True,
    as_json: AsJson = False,
) -> None:
    """Apply caltables to an observation, write a new MS with one phase centre, and print its path.

    The tables are applied in the order K, BA, BP, GA or FLUX, GP, 2G, whatever the order of the
    options. Exit code 1 when the registry has no valid set.

    Example: `contimg apply --ms /data/ms/5min/2025-10-06T12:36:09.ms --db
    pipeline/cal_registry.sqlite3`
    """
    from contimg_resources.calibration.apply.model import ApplyRequest
    from contimg_resources.imaging.averaged_visibilities import calibrate_for_imaging
    from contimg_resources.steps.calibrating import origin_of, tables_to_apply
    from contimg_resources.steps.workshop import Workshop

    settings = given_settings(registry=db, calibration={"borrow": borrow})
    workshop = Workshop.from_settings(settings)
    written = (output or ms.with_name(without_ms(ms.name) + "_cal.ms")).absolute()
    if written.exists() and is_observation_name(written.name):
        raise ConfigurationError(
            f"{written} exists, and its name is that of an observation: only an earlier product, "
            "such as *_cal.ms, is replaced"
        )
    with progress(ms.name) as say:
        say("reading", None)
        observation = workshop.read(ms)
        observation.refuse_unusable()
        if table:
            tables = recognised(table, settings.calibration.caltable_endings)
            origin = {"observation": observation.key}
        else:
            active = workshop.active_caltables(observation)
            tables, origin = tables_to_apply(active), origin_of(active, observation)
            remark(
                f"{active.set.name} v{active.set.version}, {active.age_h:+.2f} h from its "
                "calibrator" + (", BORROWED: outside its window" if active.borrowed else "")
            )
        request = ApplyRequest(
            ms=observation.path,
            tables=tables,
            output=written,
            working_antennas=tuple(a.name for a in observation.working_antennas),
            shift=not keep_fields,
            flag_rfi=flag_rfi,
            provenance=origin,
            settings=settings.calibration,
            imaging=settings.imaging,
        )
        result = workshop.casa.run(
            calibrate_for_imaging, request, label=f"{observation.key}-apply", progress=say
        )
    if as_json:
        print_json({**jsonable(result), "tables": [t.path for t in tables], "origin": origin})
        return
    remark(
        f"flagged: {result.input_flagged_fraction:.1%} on arrival, "
        f"{result.applied_flagged_fraction:.1%} after applying, "
        f"{result.flagged_fraction:.1%} after RFI flagging (of working antennas)"
    )
    print_lines([result.ms])


def recognised(
    paths: list[Path], other_endings: "Mapping[CaltableType, Sequence[str]]"
) -> "tuple[TableToApply, ...]":
    """Return caltables with their types, recognised by their endings, in apply order.

    Raises
    ------
    ConfigurationError
        If an ending isn't known, two are of one type, or GA is given together with FLUX.
    """
    from contimg_resources.calibration.ms.callib import TableToApply
    from contimg_resources.instrument.caltables import CaltableType, known_endings, split_ending

    found: dict[CaltableType, Path] = {}
    for path in paths:
        # A trailing slash, as a shell completes it, is no part of the name.
        split = split_ending(path.name, other_endings)
        if split is None:
            endings = ", ".join(known_endings(other_endings))
            raise ConfigurationError(f"{path} has none of the endings of a caltable: {endings}")
        kind = split[1]
        if kind in found:
            raise ConfigurationError(f"two {kind} tables were given: {found[kind]} and {path}")
        found[kind] = path.absolute()
    if CaltableType.FLUX in found and CaltableType.GA in found:
        raise ConfigurationError(
            f"{found[CaltableType.GA]} and {found[CaltableType.FLUX]} hold the same gain: "
            "FLUX replaces GA, give one of them"
        )
    tables = (TableToApply(path, kind, kind.apply_order) for kind, path in found.items())
    return tuple(sorted(tables, key=lambda t: t.order))
