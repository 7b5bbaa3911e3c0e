"""``contimg apply``: write a calibrated MS.

Belongs here: arguments and output. Doesn't: choosing the set (the registry), applying.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson, Borrow, RegistryAddress
from contimg_resources.cli.console import jsonable, print_json, print_lines, progress, remark
from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.naming import is_observation_name, without_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contimg_resources.calibration.ms.callib import TableToApply
    from contimg_resources.instrument.caltables import CaltableType


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
    from contimg_resources.steps import Workshop
    from contimg_resources.steps.calibrating import origin_of, tables_to_apply

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
    from contimg_resources.instrument.caltables import CaltableType, split_ending

    found: dict[CaltableType, Path] = {}
    for path in paths:
        # A trailing slash, as a shell completes it, is no part of the name.
        split = split_ending(path.name, other_endings)
        if split is None:
            endings = ", ".join(
                s for t in CaltableType for s in (*t.suffixes, *other_endings.get(t, ()))
            )
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
