"""``contimg calibrate``: solve a calibrator observation.

Belongs here: arguments and output. Doesn't: solving, checking, registering.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson, RegistryAddress
from contimg_resources.cli.console import print_json, print_lines, progress, remark
from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import CalibrationFailed, CalibratorNotFound, ConfigurationError
from contimg_resources.core.naming import without_ms

if TYPE_CHECKING:
    from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
    from contimg_resources.observations.model import Observation
    from contimg_resources.steps import Workshop

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
    from contimg_resources import steps

    workshop = steps.Workshop.from_settings(given_settings(registry=db))
    if register:
        if tracking or prefix is not None:
            raise ConfigurationError(
                "--register writes the tables to the platform's directory and solves drift scans "
                "only, so it excludes --prefix and --tracking: without it, use `contimg registry "
                "register-prefix` afterwards"
            )
        with progress(ms.name) as say:
            say("reading", None)
            arrived = steps.arrive(workshop, ms)
            solved = steps.solve_observation(
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
