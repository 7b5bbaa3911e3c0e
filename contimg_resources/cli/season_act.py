"""The demo's fourth act: a simulated season through the platform, and its dashboard.

Belongs here: waiting for the platform, printing. Doesn't: the season and its truth (see
`contimg_resources.demo.season`), the other acts (see `demo`).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contimg_resources.cli.console import print_table, progress
from contimg_resources.cli.launching import launch_job
from contimg_resources.core.errors import PlatformError

if TYPE_CHECKING:
    from contimg_resources.casa import Progress
    from contimg_resources.cli.platform import Platform
    from contimg_resources.demo.season import FinishedSeason, SeasonResult
    from contimg_resources.simulation.season_spec import SeasonTruth
    from contimg_resources.steps.workshop import Workshop

_LOOK_S = 1.0


def play_season(workshop: "Workshop", platform: "Platform", timeout_s: float) -> "SeasonResult":
    """Write the season, let the platform search it, and compare with the truth.

    Raises
    ------
    PlatformError
        If a run fails, the platform ends, or the time limit is reached.
    """
    from contimg_resources.core.keys import day_key
    from contimg_resources.demo.season import look_at_season, run_season

    deadline = time.monotonic() + timeout_s

    def finish(
        workshop: "Workshop", truth: "SeasonTruth", day_mjd: int, say: "Progress"
    ) -> "FinishedSeason":
        first, last = day_key(min(truth.days_mjd)), day_key(day_mjd)
        say(f"light curves of {len(truth.days_mjd)} days, one run", 0.0)
        _follow(
            platform,
            launch_job(
                platform.graphql,
                "daily_variability",
                partitions=(first, last),
                assets=["light_curves"],
            ),
            deadline,
        )
        say("variability, events and cutouts, one run", 0.4)
        _follow(
            platform, launch_job(platform.graphql, "daily_variability", partition=last), deadline
        )
        say("documents for the dashboard", 0.9)
        _follow(platform, launch_job(platform.graphql, "export_dashboard"), deadline)
        return look_at_season(workshop, truth, day_mjd)

    with progress("season") as say:
        return run_season(workshop, say, finish=finish)


def failures_of(season: "SeasonResult") -> list[str]:
    """Return messages about missed events and variables, false candidates, bad published epochs.

    A few steady sources are flagged as variable: few sources make an uncertain population.
    """
    found = [
        f"the event of {e.event.source_id} at MJD {e.event.mid_mjd:.0f} wasn't found"
        for e in season.events
        if not e.found
    ]
    found += [
        f"{c.id} is a false candidate: it matches no injected event"
        for c in season.false_candidates
    ]
    found += [f"variable {name} wasn't flagged" for name in season.variables_missed]
    found += [f"bad epoch {key} was published" for key in season.bad_published]
    return found


def print_season(season: "SeasonResult") -> None:
    """Print the recovered events beside the injected ones."""
    print_table(
        ("event", "state", "minimum off by (d)", "width, truth (d)", "depth, truth (%)", "score"),
        [
            (
                e.event.source_id,
                e.candidate.state.value if e.candidate else "not found",
                f"{e.mid_offset_days:+.1f}" if e.mid_offset_days is not None else None,
                f"{e.candidate.parameters.width_days:.1f}, {e.event.width_days:.1f}"
                if e.candidate
                else None,
                f"{100 * e.candidate.parameters.depth:.0f}, {100 * e.event.depth:.0f}"
                if e.candidate
                else None,
                f"{e.candidate.score:.0f}" if e.candidate else None,
            )
            for e in season.events
        ],
        title="Fourth act: a simulated season, searched for Extreme Scattering Events",
    )
    varying = len(season.variables_found) + len(season.variables_missed)
    print_table(
        ("season", "value"),
        [
            ("epochs published, refused", f"{season.n_published}, {season.n_refused}"),
            ("light curve measurements", season.n_points),
            ("variables found", f"{len(season.variables_found)} of {varying}"),
            ("steady sources flagged as variable", len(season.false_variables)),
            ("false candidates", len(season.false_candidates)),
        ],
    )


@contextmanager
def dashboard_of(workshop: "Workshop") -> Iterator[str]:
    """Serve the dashboard of the export, and yield its address."""
    from contimg_resources.cli.platform import running_address
    from contimg_resources.cli.reprocess import day_launcher
    from contimg_resources.dashboard.programs import open_programs
    from contimg_resources.dashboard.serving import DashboardServer

    settings, host = workshop.settings, "127.0.0.1"
    programs = open_programs(
        settings,
        host,
        dagster=lambda: running_address(settings.state),
        launcher=day_launcher(settings),
    )
    port = urlsplit(settings.alerts.dashboard_url or "").port or 0
    with DashboardServer(settings.export_dir, host, port, programs) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.port}/"
        finally:
            server.stop()
            serving.join()


def _follow(platform: "Platform", run_id: str, deadline: float) -> None:
    while True:
        platform.check_alive()
        (run,) = [r for r in platform.runs() if r.run_id == run_id]
        if run.over:
            break
        if time.monotonic() > deadline:
            raise PlatformError(f"run {run_id} isn't done in time; logs in {platform.logs}")
        time.sleep(_LOOK_S)
    if run.status != "SUCCESS":
        raise PlatformError(
            f"run {run_id} of {run.job} ended with {run.status}; {platform.address}/runs/{run_id}"
        )
