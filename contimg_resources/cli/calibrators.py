"""``contimg calibrators``: known calibrators, and importing lists.

Belongs here: arguments and output. Doesn't: reading lists, or defining calibrators.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import (
    AsJson,
    ColumnOption,
    DryRun,
    FrameOption,
    FrequencyOption,
    TableOption,
)
from contimg_resources.cli.console import print_json, print_table, remark
from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import ConfigurationError

app = typer.Typer(help="Calibrators: list the known ones, and import lists.")

_SHOWN = 40
_LIST = "calibrators.csv"


@app.command("import")
def import_list(
    file: Annotated[
        Path,
        typer.Argument(help="The VLA calibrator manual's list as text, or a table in any format."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="The list to write. Default: in the state directory."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing list.")] = False,
    configuration: Annotated[
        str, typer.Option(help="VLA configuration whose L-band quality code of a source is used.")
    ] = "C",
    spectral_index: Annotated[
        float | None, typer.Option(help="Spectral index of sources without one in the file.")
    ] = None,
    column: ColumnOption = None,
    frequency: FrequencyOption = None,
    frame: FrameOption = "",
    table: TableOption = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import a list of calibrators as your own list.

    For the VLA's list, the flux density at 1.4 GHz is that at L band, or is interpolated between
    the bands on both sides; sources without either are left out, and reported. Flux densities are
    as of the date of the list: many of its sources are variable.

    Example: `contimg calibrators import csource.txt`, or
    `contimg calibrators import mine.vot --column flux=S1400:mJy --frequency 1400MHz`
    """
    from contimg_resources.catalogues.calibrator_lists import (
        read_calibrator_list,
        write_calibrator_list,
    )
    from contimg_resources.catalogues.columns import Given
    from contimg_resources.catalogues.vla_calibrators import (
        ImportedCalibrators,
        is_vla_list,
        vla_calibrators,
    )
    from contimg_resources.core.directories import whole_file
    from contimg_resources.observations.calibrators import CalibratorList

    given = Given.parse(column or (), frequency, frame, table)
    place = output or given_settings().state / _LIST
    place = place.absolute()
    if place.exists() and not replace:
        raise ConfigurationError(
            f"{place} exists: --replace replaces it, --output names another", path=str(place)
        )
    if is_vla_list(file):
        found = vla_calibrators(file, configuration=configuration, spectral_index=spectral_index)
    else:
        found = ImportedCalibrators(
            read_calibrator_list(file, given, assumed_spectral_index=spectral_index)
        )
    if not found.calibrators:
        reasons = "; ".join(f"{n}: {r}" for n, r in list(found.refused.items())[:5])
        raise ConfigurationError(f"{file} has no calibrator for our band: {reasons}")
    # Refuses clashing names before anything is written.
    CalibratorList(found.calibrators)
    if not dry_run:
        place.parent.mkdir(parents=True, exist_ok=True)
        origin = f"Imported from {file.name} by contimg calibrators import"
        whole_file(place, lambda part: write_calibrator_list(part, found.calibrators, origin))
    if as_json:
        print_json(
            {
                "list": place,
                "calibrators": [c.name for c in found.calibrators],
                "refused": found.refused,
            }
        )
        return
    remark(f"{len(found.calibrators)} calibrators in {place}")
    for name, reason in list(found.refused.items())[:_SHOWN]:
        remark(f"  left out {name}: {reason}")
    if len(found.refused) > _SHOWN:
        remark(f"  and {len(found.refused) - _SHOWN} more (--json lists all)")
    if not dry_run:
        remark(f"to use it, set CONTIMG_ARRIVAL__CALIBRATOR_LIST={place}")


@app.command("list")
def list_calibrators(as_json: AsJson = False) -> None:
    """List the known calibrators: those of the flux scale and those of your own list.

    Example: `contimg calibrators list`
    """
    from contimg_resources.catalogues.calibrator_lists import load_calibrators

    known = load_calibrators(given_settings().arrival.calibrator_list).calibrators
    rows = [
        {
            "name": c.name,
            "aliases": list(c.aliases),
            "ra_deg": c.ra_deg,
            "dec_deg": c.dec_deg,
            "flux_jy": float(c.flux_jy(1.4e9)),
            "scale": c.model.scale,
        }
        for c in known
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "other names", "RA (deg)", "Dec (deg)", "flux at 1.4 GHz (Jy)", "from"),
        [
            (
                *(c.name, ", ".join(c.aliases), f"{c.ra_deg:.5f}", f"{c.dec_deg:+.5f}"),
                *(f"{float(c.flux_jy(1.4e9)):.3f}", c.model.scale),
            )
            for c in known
        ],
    )
