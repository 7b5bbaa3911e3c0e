"""``contimg simulate-season``: simulated months of measured mosaics with a known truth.

Belongs here: arguments and output. Doesn't: simulating.
"""

from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings


def simulate_season(
    days: Annotated[int, typer.Option(min=1, help="Length of the season, UTC days.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    state: StateDirectory = None,
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
    from contimg_resources.steps import Workshop

    workshop = Workshop.from_settings(given_settings(state=state))
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
