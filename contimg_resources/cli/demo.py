"""``contimg demo``: a real observation, a simulated night and a season through the platform.

Belongs here: the order of the acts, the output, the end. Doesn't: the acts
(`contimg_resources.demo`).
"""

import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.casa import Progress
from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import environment_of, given_settings
from contimg_resources.cli.season_act import (
    dashboard_of,
    failures_of,
    play_season,
    print_season,
)
from contimg_resources.core.errors import ConfigurationError, ContimgError, PlatformError
from contimg_resources.core.trees import remove_tree

if TYPE_CHECKING:
    from contimg_resources.cli.platform import Platform
    from contimg_resources.demo.foreign import MeasuredImage
    from contimg_resources.demo.hour import HourRow
    from contimg_resources.demo.night import NightRow
    from contimg_resources.demo.real import RealDataResult
    from contimg_resources.demo.season import SeasonResult
    from contimg_resources.settings import Settings
    from contimg_resources.steps.workshop import Workshop

#: Marks a state directory that a demo made and the next demo may delete.
_MARKER = ".contimg-demo"
_LOOK_S = 1.0


def demo(
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of the demo; that of an earlier demo is deleted first. Default: "
            "contimg-demo beside the state directory.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the web interface. Default: a free port."),
    ] = None,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="Time limit of the night, seconds.")
    ] = 1800.0,
    as_json: AsJson = False,
) -> None:
    """Show the platform at work: real VLA data, a simulated DSA-110 night, a simulated season.

    First, NGC5921 from casadata is imported, solved, registered, looked up, applied and imaged, and
    compared with the observatory's published values. Then a night of the correlator's sub-band
    files is simulated into the watched directory of a fresh platform, with the conditions of
    `contimg simulate --preset realistic`, until every observation is imaged, the hour is mosaicked
    and every source in the mosaic is measured. Last, a season of mosaics of one field is simulated,
    and the platform searches its light curves for Extreme Scattering Events. On a terminal the
    platform and the dashboard run until Ctrl-C; otherwise everything is stopped. Exit code 1 when a
    step failed.

    Example: `contimg demo --port 3000`
    """
    began = time.monotonic()
    directory = _fresh_directory(state or given_settings().state.with_name("contimg-demo"))
    settings = _settings_of_a_demo(directory)
    from contimg_resources.cli.platform import Platform
    from contimg_resources.demo.night import DEMO_NIGHT, write_known_sources
    from contimg_resources.steps.workshop import Workshop

    workshop = Workshop.from_settings(settings)
    write_known_sources(DEMO_NIGHT, _known_sources(directory))
    workshop.catalogues.add("simulated", _known_sources(directory))
    platform = Platform(directory, port=port, environment=environment_of(settings))
    with platform:
        reals = _real(workshop, directory / "ngc5921")
        foreign = _foreign(workshop, directory / "ngc5921", reals)
        if not as_json:
            _print_real(reals, foreign)
        rows = _night(workshop, platform, timeout_s)
        workshop.casa.close()
        hours = _hours(workshop, platform, timeout_s)
        season = _season(workshop, platform, timeout_s)
        took_s = time.monotonic() - began
        failures = [
            *(words for name, real in reals.items() for words in _disagreements(name, real)),
            *_disagreement_of(foreign, reals),
            *_failures(rows),
            *_bad_hours(hours),
            *(failures_of(season) if season else ()),
        ]
        _print_night(
            reals, foreign, rows, hours, season, failures, platform.address, took_s, as_json
        )
        if sys.stdin.isatty() and sys.stdout.isatty() and not as_json:
            _serve(workshop, platform)
    if failures:
        raise typer.Exit(1)


def _fresh_directory(directory: Path) -> Path:
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        if not (directory / _MARKER).is_file():
            raise ConfigurationError(
                f"{directory} is not empty and not from a demo: name another with --state"
            )
        from contimg_resources.cli.platform import running_address

        if address := running_address(directory):
            raise PlatformError(f"a demo is running in {directory} already, {address}")
        remove_tree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _MARKER).touch()
    return directory


def _known_sources(directory: Path) -> Path:
    return directory / "known_sources.csv"


def _settings_of_a_demo(directory: Path) -> "Settings":
    """Set this process's environment to the demo's settings only, for its child processes too."""
    from contimg_resources.cli.platform import free_port
    from contimg_resources.core.times import utc_day
    from contimg_resources.demo.season import DEMO_SEASON

    for name in [n for n in os.environ if n.startswith("CONTIMG_") and n != "CONTIMG_DEBUG"]:
        del os.environ[name]
    os.environ |= {
        "CONTIMG_STATE": str(directory),
        "CONTIMG_SENSORS__INTERVAL_S": "5",
        "CONTIMG_CATALOGUE__REFERENCE": "simulated",
        "CONTIMG_CALIBRATION__PLOTMS": "false",
        # Files are renamed when they are complete.
        "CONTIMG_UVH5__SETTLE_AGE_S": "1",
        # No observation of this night is late, and its hour is one mosaic.
        "CONTIMG_MOSAICS__WAIT_MIN": "0",
        "CONTIMG_MOSAICS__STEP": "12",
        # Dagster's pages show pictures of the dashboard, and link to it.
        "CONTIMG_ALERTS__DASHBOARD_URL": f"http://127.0.0.1:{free_port()}/",
        # The first day of the season, and not that of the image of 1995.
        "CONTIMG_FIRST_DAY": utc_day(DEMO_SEASON.start_day_mjd).isoformat(),
        # Few large tiles.
        "CONTIMG_SKY__MAX_ORDER": "4",
    }
    return given_settings()


def _real(workshop: "Workshop", directory: Path) -> "dict[str, RealDataResult]":
    """Run the first act with the MS that CASA imports, and with the MS that pyuvdata rewrites."""
    from contimg_resources.demo.foreign import has_pyuvdata
    from contimg_resources.demo.real import run_ngc5921
    from contimg_resources.steps.in_casa import load_engines

    # One CASA process for all calls of this process instead of one each.
    workshop.casa.open(load_engines)
    with progress("NGC5921") as say:
        reals = {"imported by CASA": run_ngc5921(workshop, directory, say)}
    if has_pyuvdata():
        with progress("NGC5921, written by pyuvdata") as say:
            reals["written by pyuvdata"] = run_ngc5921(workshop, directory, say, by_pyuvdata=True)
    else:
        remark("pyuvdata isn't installed: the MS written by pyuvdata is left out")
    return reals


def _foreign(
    workshop: "Workshop", directory: Path, reals: "dict[str, RealDataResult]"
) -> "MeasuredImage":
    """Measure 1445+099 in an image that CASA makes and exports."""
    from contimg_resources.demo.foreign import measure_image_of_casa
    from contimg_resources.demo.real import CHANNELS

    real = next(iter(reals.values()))
    with progress("1445+099, imaged by CASA") as say:
        say("making, adding and measuring the FITS image", 0.0)
        return measure_image_of_casa(workshop, real.calibrated, directory, real.image, CHANNELS)


def _night(workshop: "Workshop", platform: "Platform", timeout_s: float) -> "tuple[NightRow, ...]":
    """Simulate the night as the correlator's files and follow it until it is over."""
    from contimg_resources.demo.night import (
        DEMO_NIGHT,
        expected_names,
        is_over,
        look_back,
        of_the_night,
    )

    expected = len(expected_names(DEMO_NIGHT))
    with progress("night") as say:
        say("waiting for Dagster", None)
        platform.wait_until_ready()
        platform.start_sensors()
        deadline = time.monotonic() + timeout_s
        with _simulating(workshop, say) as simulating:
            while True:
                platform.check_alive()
                if simulating.done():
                    simulating.result()
                records = of_the_night(workshop.products.list_observations(), DEMO_NIGHT)
                _say_where_it_is(records, expected, say, simulated=simulating.done())
                if is_over(records, DEMO_NIGHT):
                    break
                if time.monotonic() > deadline:
                    raise PlatformError(
                        f"the night isn't done after {timeout_s:.0f} s: "
                        + "; ".join(f"{r.key} {r.state} {r.reason}".strip() for r in records)
                        + f"; logs in {platform.logs}"
                    )
                time.sleep(_LOOK_S)
        say("comparing the images with the truth", None)
        return look_back(workshop.products, DEMO_NIGHT)


def _hours(workshop: "Workshop", platform: "Platform", timeout_s: float) -> "tuple[HourRow, ...]":
    """Follow the night's mosaics until they are made and measured."""
    from contimg_resources.demo.hour import look_at_mosaics, mosaics_are_over

    with progress("mosaics") as say:
        say("mosaicking the images and measuring the sources", None)
        deadline = time.monotonic() + timeout_s
        while not (mosaics_are_over(workshop) and all(r.over for r in platform.runs())):
            platform.check_alive()
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"the mosaics aren't done after {timeout_s:.0f} s; logs in {platform.logs}"
                )
            time.sleep(_LOOK_S)
        return look_at_mosaics(workshop)


def _season(workshop: "Workshop", platform: "Platform", timeout_s: float) -> "SeasonResult | None":
    """Run the fourth act; a separate function, so that a test can leave it out."""
    return play_season(workshop, platform, timeout_s)


@contextmanager
def _simulating(workshop: "Workshop", say: Progress) -> "Iterator[Future[None]]":
    """Simulate in a thread, so that the platform works while observations still arrive.

    After Ctrl-C or a failure the current observation is the last.
    """
    from contimg_resources.demo.night import DEMO_NIGHT
    from contimg_resources.simulation.night import simulate_night
    from contimg_resources.simulation.spec import FileFormat

    stop = threading.Event()

    def simulate() -> None:
        for _ in simulate_night(
            DEMO_NIGHT,
            workshop.settings.incoming_uvh5_dir,
            workshop.casa,
            file_format=FileFormat.UVH5,
        ):
            if stop.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(simulate)
        finally:
            stop.set()


def _say_where_it_is(records: Any, expected: int, say: Progress, *, simulated: bool) -> None:
    counts: dict[str, int] = {}
    for record in records:
        counts[record.state] = counts.get(record.state, 0) + 1
    told = ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "none has arrived"
    telling = "" if simulated else " (still observing)"
    say(f"{expected} observations{telling}: {told}", counts.get("imaged", 0) / expected)


def _disagreements(name: str, real: "RealDataResult") -> list[str]:
    """Return where NGC5921 differs from the published values by more than their errors."""
    from contimg_resources.demo.ngc5921 import (
        PUBLISHED_FLUX_PT99_ERROR_JY,
        PUBLISHED_FLUX_PT99_JY,
        PUBLISHED_RATIO,
        PUBLISHED_RATIO_ERROR,
    )

    found = []
    if not abs(real.ratio - PUBLISHED_RATIO) <= PUBLISHED_RATIO_ERROR:
        found.append(
            f"NGC5921 {name}: flux ratio {real.ratio:.8f}, published {PUBLISHED_RATIO:.8f}"
        )
    if not abs(real.image_peak_pt99_jy - PUBLISHED_FLUX_PT99_JY) <= PUBLISHED_FLUX_PT99_ERROR_JY:
        found.append(
            f"NGC5921 {name}: image peak {real.image_peak_pt99_jy:.5f} Jy, published "
            f"{PUBLISHED_FLUX_PT99_JY:.5f} Jy"
        )
    return found


def _disagreement_of(foreign: "MeasuredImage", reals: "dict[str, RealDataResult]") -> list[str]:
    """Return a message if 1445+099 in CASA's image differs from the published value by 3 sigma."""
    from contimg_resources.demo.ngc5921 import (
        PUBLISHED_FLUX_PT99_ERROR_JY,
        PUBLISHED_FLUX_PT99_JY,
    )

    to_pt99 = next(iter(reals.values())).to_pt99
    error_jy = math.hypot(foreign.error_jy * to_pt99, PUBLISHED_FLUX_PT99_ERROR_JY)
    flux_jy = foreign.flux_jy * to_pt99
    if abs(flux_jy - PUBLISHED_FLUX_PT99_JY) <= 3 * error_jy:
        return []
    return [
        f"1445+099 in CASA's image: {flux_jy:.4f} Jy, published {PUBLISHED_FLUX_PT99_JY:.4f} Jy"
    ]


def _failures(rows: "tuple[NightRow, ...]") -> list[str]:
    found = []
    for row in rows:
        if row.record is None:
            found.append(f"{row.name} never arrived")
        elif not row.imaged:
            found.append(f"{row.record.key} {row.record.step} failed: {row.record.reason}")
    return found


def _bad_hours(hours: "tuple[HourRow, ...]") -> list[str]:
    found = [f"mosaic {h.mosaic.key}: {h.mosaic.reason}" for h in hours if h.mosaic.reason]
    if not hours:
        found.append("no mosaic was made")
    return found + [f"mosaic {h.mosaic.key} wasn't measured" for h in hours if h.epoch is None]


def _print_real(reals: "dict[str, RealDataResult]", foreign: "MeasuredImage") -> None:
    from contimg_resources.demo.ngc5921 import (
        PUBLISHED_FLUX_PT99_ERROR_JY,
        PUBLISHED_FLUX_PT99_JY,
        PUBLISHED_RATIO,
        PUBLISHED_RATIO_ERROR,
    )

    to_pt99 = next(iter(reals.values())).to_pt99
    print_table(
        ("NGC5921 (VLA, 1995)", *(f"MS {name}" for name in reals), "published"),
        [
            (
                "flux ratio 1445+099 / 3C286",
                *(f"{real.ratio:.8f}" for real in reals.values()),
                f"{PUBLISHED_RATIO:.8f} +- {PUBLISHED_RATIO_ERROR:.8f}",
            ),
            (
                "image peak of 1445+099, scale of Perley & Taylor 1999 (Jy)",
                *(f"{real.image_peak_pt99_jy:.5f}" for real in reals.values()),
                f"{PUBLISHED_FLUX_PT99_JY:.5f} +- {PUBLISHED_FLUX_PT99_ERROR_JY:.5f}",
            ),
            (
                "the same, scale of Perley & Butler 2017 (Jy)",
                *(f"{real.image_peak_jy:.5f}" for real in reals.values()),
                None,
            ),
        ],
        title="First act: real data",
    )
    remark(
        f"1445+099 in an image that CASA made and exported, added as observation {foreign.key}: "
        f"{foreign.flux_jy * to_pt99:.4f} +- {foreign.error_jy * to_pt99:.4f} Jy by forced "
        "photometry (Perley & Taylor 1999)"
    )


def _print_night(
    reals: "dict[str, RealDataResult]",
    foreign: "MeasuredImage",
    rows: "tuple[NightRow, ...]",
    hours: "tuple[HourRow, ...]",
    season: "SeasonResult | None",
    failures: list[str],
    address: str,
    took_s: float,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "ngc5921": reals,
                "image_of_casa": foreign,
                "night": rows,
                "mosaics": hours,
                "season": season,
                "failures": failures,
                "address": address,
                "took_s": took_s,
            }
        )
        return
    # One column for each observation, to fit a terminal of 80 characters.
    headings = (
        "start (UTC)",
        "state",
        "caltable set",
        "rms, expected (mJy)",
        "beam (arcsec)",
        "sources > 10 sigma",
        "flux / truth",
        "offset (arcsec)",
    )
    keys, *lines = zip(*(_cells(row) for row in rows), strict=True)
    print_table(
        ("observation", *("-" if key is None else str(key) for key in keys)),
        [(heading, *line) for heading, line in zip(headings, lines, strict=True)],
        title="Second act: a simulated night",
    )
    print_table(
        (
            "mosaic",
            "images",
            "rms, expected (mJy)",
            "sources measured",
            "flux / truth",
            "spread (sigma)",
            "flux scale",
        ),
        [_hour_cells(hour) for hour in hours],
        title="Third act: the hour's mosaics, and forced photometry in them",
    )
    if season is not None:
        print_season(season)
    for failure in failures:
        remark(failure)
    remark(f"{took_s:.0f} s in all; the platform is at {address}")


def _cells(row: "NightRow") -> tuple[object, ...]:
    key = row.record.key if row.record else None
    state = row.record.state if row.record else "never arrived"
    # With a space, where the table can fold it.
    start = row.name.replace("T", " ")
    if row.image is None or row.recovered is None:
        return (key, start, state, None, None, None, None, None, None)
    statistics, found = row.image.statistics, row.recovered
    return (
        key,
        start,
        state,
        row.caltables,
        f"{1e3 * statistics.rms_jy:.2f}, {1e3 * statistics.expected_rms_jy:.2f}",
        f"{statistics.beam.major_arcsec:.1f} x {statistics.beam.minor_arcsec:.1f}",
        f"{found.n_matched} of {found.n_expected}",
        f"{found.median_flux_ratio:.3f}",
        f"{found.median_offset_arcsec:.2f}",
    )


def _hour_cells(hour: "HourRow") -> tuple[object, ...]:
    told = hour.mosaic.statistics
    epoch = hour.epoch
    return (
        hour.mosaic.key,
        told.n_tiles,
        f"{told.rms_mjy:.2f}, {told.expected_rms_mjy:.2f}" if told.n_tiles else None,
        None if epoch is None else f"{epoch.n_measured} of {epoch.n_sources}",
        f"{hour.median_ratio:.3f} ({hour.n_compared})",
        f"{hour.pull:.2f}",
        None
        if epoch is None or epoch.scale is None
        else f"{epoch.scale:.3f} +- {epoch.scale_error:.3f}",
    )


def _serve(workshop: "Workshop", platform: "Platform") -> None:
    exported = (workshop.settings.export_dir / "index.json").is_file()
    try:
        with dashboard_of(workshop) if exported else nullcontext("") as dashboard:
            if dashboard:
                remark(f"the dashboard is at {dashboard}")
            remark("serving until Ctrl-C")
            while True:
                platform.check_alive()
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        remark("stopping")
    except ContimgError as error:
        remark(error.message)
        raise
