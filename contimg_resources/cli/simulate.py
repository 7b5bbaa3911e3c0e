"""``contimg simulate`` and ``contimg simulate-season``: observations or mosaics with a known truth.

Belongs here: arguments and output. Doesn't: simulating.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import (
    jsonable,
    print_json,
    print_lines,
    print_table,
    progress,
    remark,
)
from contimg_resources.cli.given import given_settings
from contimg_resources.simulation.spec import (
    Conditions,
    FileFormat,
    Preset,
    RfiSpec,
    Size,
)


def simulate(
    out_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of the MS and their truth. Default: the platform's MS directory.",
        ),
    ] = None,
    file_format: Annotated[
        FileFormat,
        typer.Option(
            "--format",
            help="`ms`: a MeasurementSet for each observation; `uvh5`: the correlator's 16 "
            "sub-band files, for `contimg uvh5`.",
        ),
    ] = FileFormat.MS,
    size: Annotated[Size, typer.Option(help="Size of each observation.")] = Size.TINY,
    calibrator: Annotated[
        str, typer.Option(help="Flux-scale source that transits in the first observation.")
    ] = "3C48",
    targets: Annotated[
        int, typer.Option(min=0, help="Observations after the calibrator observation.")
    ] = 4,
    targets_before: Annotated[
        int,
        typer.Option(
            min=0, help="Observations before the calibrator observation, which wait for it."
        ),
    ] = 0,
    after_mjd: Annotated[
        float | None, typer.Option(help="Simulate the first transit after this MJD.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    preset: Annotated[
        Preset,
        typer.Option(
            help="`kind`: isolated points, equal dishes; `realistic`: blends, doubles and faint "
            "sources, pointing errors, refraction, faults, faster drifts and RFI."
        ),
    ] = Preset.KIND,
    rfi: Annotated[bool, typer.Option("--rfi", help="Add RFI to the preset `kind`.")] = False,
    dead: Annotated[
        list[str] | None, typer.Option(help="Name of an antenna without signal; repeatable.")
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a calibrator transit and target observations of a drift scan.

    The truth (`.truth.json`: sky, noise; `.gains.npz`: gains) and a done-marker are written beside
    each MS; sub-band files have the truth, but no marker. The same seed gives the same night. The
    command prints each file when it is complete.

    Example: `contimg simulate --out-dir /tmp/night --size tiny --targets 2 --seed 7`
    """
    from contimg_resources.simulation.night import NightSpec, simulate_night, write_sky_list
    from contimg_resources.steps.workshop import open_casa

    settings = given_settings()
    conditions = Conditions.of(preset)
    night = NightSpec(
        size=size,
        seed=seed,
        calibrator=calibrator,
        n_targets=targets,
        n_targets_before=targets_before,
        sky=conditions.sky,
        gains=conditions.gains,
        rfi=RfiSpec() if rfi and conditions.rfi is None else conditions.rfi,
        effects=conditions.effects,
        dead_antennas=tuple(dead or ()),
        weight_spectrum=weight_spectrum,
    )
    if after_mjd is not None:
        night = replace(night, after_mjd=after_mjd)
    casa = open_casa(settings)
    made = []
    place = out_dir or settings.incoming_dir
    with progress("simulate") as say:
        for planned, written in simulate_night(
            night,
            place.absolute(),
            casa,
            progress=say,
            overwrite=overwrite,
            file_format=file_format,
        ):
            if as_json:
                made.append({"kind": planned.kind, "slot": planned.slot, **jsonable(written)})
            else:
                print_lines(written.sub_bands or [written.ms])
    if sky_list is not None:
        write_sky_list(night, sky_list)
        remark(f"source list: {sky_list}")
    if as_json:
        print_json(made)


def simulate_season(
    days: Annotated[int, typer.Option(min=1, help="Length of the season, UTC days.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate a season of one field: a mosaic a day, measured by forced photometry.

    Two sources have Extreme Scattering Events, two flare, two vary slowly; some epochs are bad,
    some are lost. The truth is in `season.truth.json` in the state directory, the sources are in
    the catalogue `season`. The same seed gives the same season. A state directory that already
    holds a season is refused.

    Example: `contimg simulate-season --state /tmp/season --days 240 --seed 7`
    """
    from contimg_resources.simulation.season import write_season
    from contimg_resources.simulation.season_spec import SeasonSpec, season_truth_path
    from contimg_resources.steps.workshop import Workshop

    workshop = Workshop.from_settings(given_settings())
    with progress("season") as say:
        truth = write_season(workshop, SeasonSpec(n_days=days, seed=seed), say)
    path = season_truth_path(workshop.settings.state)
    if as_json:
        print_json(
            {
                "truth": path,
                "epochs": truth.epochs,
                "events": truth.events,
                "flaring": truth.flaring,
                "slow": truth.slow,
                "n_sources": truth.spec.n_sources,
            }
        )
        return
    print_table(
        ("source", "variability", "minimum (MJD)", "width (days)", "depth"),
        [
            *(
                (
                    e.source_id,
                    "event, in progress" if e.in_progress else "event",
                    f"{e.mid_mjd:.1f}",
                    f"{e.width_days:.0f}",
                    f"{e.depth:.2f}",
                )
                for e in truth.events
            ),
            *((name, "flares", None, None, None) for name in truth.flaring),
            *((name, "varies slowly", None, None, None) for name in truth.slow),
        ],
    )
    n_bad = sum(e.bad for e in truth.epochs)
    remark(
        f"{len(truth.epochs)} mosaics of {truth.spec.n_sources} sources, {n_bad} of them bad; "
        f"UTC days {truth.spec.start_day_mjd} to {truth.spec.last_day_mjd}; truth: {path}"
    )
