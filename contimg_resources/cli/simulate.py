"""``contimg simulate``: a night of DSA-110 observations whose truth is known.

Belongs here: arguments and output. Doesn't: simulating.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import jsonable, print_json, print_lines, progress, remark
from contimg_resources.cli.given import given_settings
from contimg_resources.simulation.spec import RfiSpec, Size


def simulate(
    out_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the MS and their truth go. Default: where the platform expects MS.",
        ),
    ] = None,
    size: Annotated[Size, typer.Option(help="How large each observation is.")] = Size.TINY,
    calibrator: Annotated[
        str, typer.Option(help="Flux-scale source that transits in the first observation.")
    ] = "3C48",
    targets: Annotated[int, typer.Option(min=0, help="Observations after the calibrator's.")] = 4,
    targets_before: Annotated[
        int, typer.Option(min=0, help="Observations before it, which have to wait for it.")
    ] = 0,
    after_mjd: Annotated[
        float | None, typer.Option(help="The first transit after this MJD is taken.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything random.")] = 1,
    rfi: Annotated[bool, typer.Option("--rfi", help="Add interference.")] = False,
    dead: Annotated[
        list[str] | None, typer.Option(help="Name of an antenna without signal; once for each.")
    ] = None,
    weight_spectrum: Annotated[
        bool,
        typer.Option(
            "--weight-spectrum", help="Write WEIGHT_SPECTRUM, as the instrument's converter does."
        ),
    ] = False,
    sky_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the sources of the sky (CSV), for `contimg catalogue add`."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace MS that are there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a calibrator transit and target observations of one drifting instrument.

    Beside each MS lie its truth (`.truth.json`: sky, noise; `.gains.npz`: gains) and a
    done-marker. The same seed gives the same night. Prints the MS as they are finished.

    Example: `contimg simulate --out-dir /tmp/night --size tiny --targets 2 --seed 7`
    """
    from contimg_resources.casa import Casa
    from contimg_resources.simulation.night import NightSpec, simulate_night, write_sky_list

    settings = given_settings()
    night = NightSpec(
        size=size,
        seed=seed,
        calibrator=calibrator,
        n_targets=targets,
        n_targets_before=targets_before,
        rfi=RfiSpec() if rfi else None,
        dead_antennas=tuple(dead or ()),
        weight_spectrum=weight_spectrum,
    )
    if after_mjd is not None:
        night = replace(night, after_mjd=after_mjd)
    casa = Casa(
        settings.layout.scratch,
        settings.layout.logs,
        timeout_s=settings.casa.step_timeout_s,
        threads=settings.casa.threads,
    )
    made = []
    place = out_dir or settings.incoming_dir
    with progress("simulate") as say:
        for planned, written in simulate_night(
            night, place.absolute(), casa, progress=say, overwrite=overwrite
        ):
            if as_json:
                made.append({"kind": planned.kind, "slot": planned.slot, **jsonable(written)})
            else:
                print_lines([written.ms])
    if sky_list is not None:
        write_sky_list(night, sky_list)
        remark(f"the sky: {sky_list}")
    if as_json:
        print_json(made)
