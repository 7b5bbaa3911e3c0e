"""``contimg images``: image the MS of a directory, without a running Dagster.

Belongs here: arguments, the order of work, output. Doesn't: the steps, which the assets call too.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.casa import Progress
from contimg_resources.cli.arguments import (
    AsJson,
    MsDirectory,
    ProductsAddress,
    RegistryAddress,
    SubBandDirectory,
    setting_help,
)
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import ConfigurationError, in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contimg_resources.steps.adding_images import AddedImages
    from contimg_resources.steps.arriving import Arrived
    from contimg_resources.steps.starting import Open
    from contimg_resources.steps.watching import ScanCursor, ScanResult
    from contimg_resources.steps.watching_sub_bands import SubBandCursor, SubBandScanResult
    from contimg_resources.steps.workshop import Workshop

app = typer.Typer(
    help="5-minute images of the MS, or of the correlator's sub-band files, in a directory."
)

#: Seconds between the two passes of a scan: an MS without a done-marker must be the same in both.
_BETWEEN_LOOKS_S = 1.0

_OUTCOMES = {
    "new": "added",
    "same": "known",
    "duplicate": "known, from another file",
    "moved": "made again",
    "replaced": "replaced",
}

OutDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Output directory for images/, calibrated/, caltables/ and logs/. Default: the state "
        "directory.",
    ),
]
Solve = Annotated[
    bool, typer.Option("--solve", help="Also solve and register calibrator observations.")
]


@app.command()
def scan(
    ms_dir: MsDirectory = None,
    uvh5_dir: SubBandDirectory = None,
    out_dir: OutDir = None,
    db: RegistryAddress = None,
    products_db: ProductsAddress = None,
    solve: Solve = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate and image every complete observation once, then stop.

    An MS is complete when its done-marker exists, or when it hasn't changed for
    `arrival.settle_age_s`; sub-band files in `--uvh5-dir` likewise (`uvh5.settle_age_s`), and their
    MS is made first. An observation without a valid caltable set waits for the next scan. The
    command lists MS that it doesn't process, with the reason. Exit code 1 when any step failed.

    Example: `contimg images scan --ms-dir /data/ms/5min --out-dir /data/images/5min --registry-db
    pipeline/cal_registry.sqlite3 --products-db pipeline/products.sqlite3`
    """
    from contimg_resources.observations.scanning import say_passed_over
    from contimg_resources.steps.watching import ScanCursor
    from contimg_resources.steps.watching_sub_bands import SubBandCursor

    workshop = _workshop(ms_dir, uvh5_dir, out_dir, db, products_db)
    with progress("images scan") as say:
        say(f"scanning {workshop.settings.incoming_dir}", None)
        seen = _look(workshop, ScanCursor())
        remark(seen.words)
        rejected = seen.rejected
        if seen.growing:
            time.sleep(_BETWEEN_LOOKS_S)
            seen = _look(workshop, seen.memory)
            remark(seen.words)
            rejected += seen.rejected
        for name, reason in seen.growing.items():
            remark(f"{name} is left for the next scan: {reason}")
        for line in say_passed_over(seen.passed_over):
            remark(f"skipped: {line}")
        bands = _look_for_sub_bands(workshop, SubBandCursor())
        for name, reason in bands.waiting.items():
            remark(f"{name} is left for the next scan: {reason}")
        failed = _work_off(workshop, solve, say, set())
    not_taken = {
        "rejected": {one.path.name: one.reason for one in (*rejected, *bands.rejected)},
        "growing": {**seen.growing, **bands.waiting},
        "passed_over": seen.passed_over,
    }
    _report(workshop, failed, not_taken, as_json)


@app.command()
def watch(
    ms_dir: MsDirectory = None,
    uvh5_dir: SubBandDirectory = None,
    out_dir: OutDir = None,
    db: RegistryAddress = None,
    products_db: ProductsAddress = None,
    solve: Solve = False,
    interval_s: Annotated[
        float | None,
        typer.Option(min=0.1, help=setting_help("sensors.interval_s")),
    ] = None,
) -> None:
    """Calibrate and image observations as they arrive, until Ctrl-C.

    A step that Ctrl-C or SIGTERM interrupts leaves no partial products; the next watch or scan
    starts it again. Exit codes 130 and 143.

    Example: `contimg images watch --ms-dir /data/ms/5min --out-dir /data/images/5min --solve`
    """
    from contimg_resources.observations.scanning import say_passed_over
    from contimg_resources.steps.watching import ScanCursor
    from contimg_resources.steps.watching_sub_bands import SubBandCursor

    workshop = _workshop(ms_dir, uvh5_dir, out_dir, db, products_db)
    memory, said, named, unsolved = ScanCursor(), "", set[str](), set[str]()
    of_sub_bands, said_of_sub_bands = SubBandCursor(), ""
    try:
        with progress("images watch") as say:
            say(f"scanning {workshop.settings.incoming_dir}", None)
            while True:
                seen = _look(workshop, memory)
                memory = seen.memory
                if seen.words != said:
                    # A watch runs for months: it logs only changes.
                    remark(seen.words)
                said = seen.words
                bands = _look_for_sub_bands(workshop, of_sub_bands, said_of_sub_bands)
                of_sub_bands, said_of_sub_bands = bands.memory, bands.words
                for line in say_passed_over(seen.passed_over):
                    if line not in named:
                        remark(f"skipped: {line}")
                        named.add(line)
                _work_off(workshop, solve, say, unsolved, tell_images=True)
                say(f"waiting for observations in {workshop.settings.incoming_dir}", None)
                time.sleep(interval_s or workshop.settings.sensors.interval_s)
    except (KeyboardInterrupt, SystemExit):
        remark("images watch: stopped")
        raise


@app.command()
def add(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="FITS...",
            help="Images corrected for the primary beam: WSClean's, CASA's, ASKAPsoft's, AIPS'.",
        ),
    ],
    pb: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FITS",
            help="Primary beam on the same pixels: once for all images, or once for each.",
        ),
    ] = None,
    rms: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FITS",
            help="Noise map, likewise. Without --pb and --rms the noise is measured.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another image of the same time.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add images that were made elsewhere as observations.

    Time, declination, frequency, beam, unit and frame come from the headers. The files aren't
    changed: contimg uses a copy in its standard form under the state directory. Adding the same
    image again changes nothing. Exit code 1 when an image can't be added or fails its checks.

    Example: `contimg images add night/*-image-pb.fits --state /data/contimg`, or
    `contimg images add field.pbcor.fits --pb field.pb.fits`
    """
    from contimg_resources.images.standard_form import ForeignFiles
    from contimg_resources.steps.adding_images import add_images
    from contimg_resources.steps.workshop import Workshop

    asked = [
        ForeignFiles(path, beam, noise)
        for path, beam, noise in zip(
            images,
            _one_each("--pb", pb, len(images)),
            _one_each("--rms", rms, len(images)),
            strict=True,
        )
    ]
    workshop = Workshop.from_settings(given_settings())
    with progress("images add") as say:
        found = add_images(workshop, asked, replace_known=replace, progress=say)
    if as_json:
        print_json(found)
    else:
        _tell_added(found)
    for path, reason in found.failed.items():
        # The reason usually names the file.
        remark(f"not added: {reason if path in reason else f'{path}: {reason}'}")
    refused = [a for a in found.added if any(not v.passed for v in a.verdicts)]
    for added in refused:
        remark(f"{added.record.key} failed its checks: {added.record.reason}")
    if found.failed or refused:
        raise typer.Exit(1)


def _one_each(name: str, given: list[Path] | None, n: int) -> list[Path | None]:
    if not given:
        return [None] * n
    if len(given) not in (1, n):
        raise ConfigurationError(
            f"{name} was given {len(given)} times for {n} images: give it once for all, or "
            "once for each"
        )
    return list(given if len(given) == n else given * n)


def _tell_added(found: "AddedImages") -> None:
    print_table(
        (
            "observation",
            "image",
            "",
            "state",
            "dec",
            "MHz",
            "rms (mJy)",
            "beam (arcsec)",
            "sources",
        ),
        [
            (
                a.record.key,
                a.path.name,
                _OUTCOMES[a.outcome.value],
                a.record.state,
                f"{a.record.declination_deg:+.2f}",
                None if a.image is None else f"{1e-6 * a.image.extra['frequency_hz']:.2f}",
                *_numbers(a.image),
            )
            for a in found.added
        ],
    )
    for added in found.added:
        for note in added.notes:
            remark(f"{added.record.key}: {note}")


def _workshop(
    ms_dir: Path | None,
    uvh5_dir: Path | None,
    out_dir: Path | None,
    registry: str | None,
    products: str | None,
) -> "Workshop":
    from contimg_resources.steps.workshop import Workshop

    for option, given in (("--ms-dir", ms_dir), ("--uvh5-dir", uvh5_dir)):
        if given is not None and not given.is_dir():
            raise ConfigurationError(f"{option}: {given} is not a directory", path=str(given))
    return Workshop.from_settings(
        given_settings(
            state=out_dir,
            ms_dir=ms_dir,
            uvh5_dir=uvh5_dir,
            registry=registry,
            products=products,
        )
    )


def _look(workshop: "Workshop", memory: "ScanCursor") -> "ScanResult":
    """Scan once, and report each new observation; the caller reports the counts."""
    from contimg_resources.steps.watching import scan_directory

    seen = scan_directory(workshop, memory, budget_s=float("inf"), max_arrivals=10**9)
    for aside in seen.rejected:
        remark(f"rejected: {aside.reason}")
    _tell_arrivals(seen.arrivals)
    return seen


def _look_for_sub_bands(
    workshop: "Workshop", memory: "SubBandCursor", said: str = ""
) -> "SubBandScanResult":
    """Scan once for sub-band files, and report each new observation, and the counts if new."""
    from contimg_resources.steps.watching_sub_bands import scan_uvh5_directory

    seen = scan_uvh5_directory(workshop, memory, budget_s=float("inf"), max_arrivals=10**9)
    if seen.words and seen.words != said:
        remark(seen.words)
    for aside in seen.rejected:
        remark(f"rejected: {aside.reason}")
    _tell_arrivals(seen.arrivals)
    return seen


def _tell_arrivals(arrivals: "Sequence[Arrived]") -> None:
    for arrived in arrivals:
        key, ms = arrived.observation.key, arrived.observation.path.name
        if files := arrived.observation.sub_bands:
            ms = f"{len(files)} sub-bands"
        for note in arrived.observation.notes:
            remark(f"{key} ({ms}): {note}")
        if not arrived.usable:
            remark(f"{key} arrived ({ms}): {arrived.reason}")
        elif arrived.is_calibrator:
            names = ", ".join(c.name for c in arrived.observation.calibrators)
            remark(f"{key} arrived ({ms}): calibrator {names}")
        elif arrived.ready:
            remark(f"{key} arrived ({ms}): caltable set {arrived.reason}")
        else:
            remark(f"{key} arrived ({ms}) and waits: {arrived.reason}")


def _work_off(
    workshop: "Workshop",
    solve: bool,
    say: Progress,
    unsolved: set[str],
    *,
    tell_images: bool = False,
) -> dict[str, str]:
    """Process the observations that can be processed now; return the failures with their reasons.

    Calibrators go first, then the order of time. A calibrator observation whose signature is in
    `unsolved` isn't solved; one whose solve fails now is added, since a solve that crashed leaves
    no record in the registry. With `tell_images`, each new image is reported immediately.
    """
    from contimg_resources.products.model import ObservationState
    from contimg_resources.steps.calibrating import calibrate_observation
    from contimg_resources.steps.imaging import image_observation
    from contimg_resources.steps.solving import solve_observation
    from contimg_resources.steps.starting import open_observations, tell_waiting

    failed: dict[str, str] = {}
    if solve:
        for observation in open_observations(workshop):
            signature, key = observation.signature, observation.key
            if not observation.is_calibrator or signature in unsolved:
                continue
            if not _is_solved(workshop, observation) and not (
                _has_ms(workshop, observation, say, failed)
                and _attempt(workshop, key, "caltable_set", solve_observation, say, failed)
            ):
                unsolved.add(signature)
    undone = open_observations(workshop)
    hint = "" if solve else "; its calibrator is not solved without --solve"
    tell_waiting(workshop, undone, solving=False, hint=hint)
    for observation in undone:
        key = observation.key
        if (
            observation.caltables is not None
            and _has_ms(workshop, observation, say, failed)
            and _attempt(workshop, key, "calibrated_ms", calibrate_observation, say, failed)
        ):
            _attempt(workshop, key, "image_5min", image_observation, say, failed)
            record = workshop.products.get(key)
            if tell_images and record.state is ObservationState.IMAGED:
                rms, beam, n_sources = _numbers(workshop.products.image(key))
                remark(f"{key} imaged: rms {rms} mJy, beam {beam} arcsec, {n_sources} sources")
            if record.state is ObservationState.FAILED and key not in failed:
                # The image exists, but failed a check and must not be used.
                remark(f"{key} image_5min failed its checks: {record.reason}")
                failed[key] = record.reason
    # The next work may come in hours: no process keeps its memory until then.
    workshop.casa.close()
    return failed


def _has_ms(
    workshop: "Workshop", observation: "Open", say: Progress, failed: dict[str, str]
) -> bool:
    """Return whether an observation has its MS, which is made here of sub-band files."""
    from contimg_resources.steps.converting import make_measurement_set

    return not observation.needs_ms or _attempt(
        workshop, observation.key, "measurement_set", make_measurement_set, say, failed
    )


def _is_solved(workshop: "Workshop", observation: "Open") -> bool:
    sets = workshop.registry.list_sets()
    return any(s.origin.get("signature") == observation.signature for s in sets)


def _attempt(
    workshop: "Workshop",
    key: str,
    step: str,
    function: Any,
    say: Progress,
    failed: dict[str, str],
) -> bool:
    from contimg_resources.steps.starting import record_failure

    def tell(message: str, fraction: float | None) -> None:
        say(f"{key} {step}: {message}", fraction)

    # However fast the steps follow one another, each has its line.
    say(f"{key} {step}", None)
    try:
        function(workshop, key, progress=tell)
    except Exception as error:
        reason = in_words(error)
        remark(f"{key} {step} failed: {reason}")
        record_failure(workshop, key, step=step, reason=reason, run_id="")
        failed[key] = reason
        return False
    except (KeyboardInterrupt, SystemExit):
        remark(f"{key} {step} was interrupted")
        raise
    return True


def _report(
    workshop: "Workshop", failed: dict[str, str], not_taken: dict[str, Any], as_json: bool
) -> None:
    from contimg_resources.products.model import ObservationState

    records = workshop.products.list_observations()
    images = {r.key: workshop.products.image(r.key) for r in records}
    if as_json:
        print_json(
            {
                "observations": records,
                "images": {k: i for k, i in images.items() if i is not None},
                "failed": failed,
                **not_taken,
            }
        )
    else:
        print_table(
            ("observation", "state", "rms (mJy)", "beam (arcsec)", "sources", "reason"),
            [
                (
                    r.key,
                    r.state,
                    *_numbers(images[r.key] if r.state is ObservationState.IMAGED else None),
                    r.reason if r.state is not ObservationState.IMAGED else "",
                )
                for r in records
            ],
        )
    if failed:
        raise typer.Exit(1)


def _numbers(image: Any) -> tuple[str | None, str | None, int | None]:
    if image is None:
        return None, None, None
    rms = None if image.rms_mjy is None else f"{image.rms_mjy:.2f}"
    beam = (
        None if image.bmaj_arcsec is None else f"{image.bmaj_arcsec:.1f} x {image.bmin_arcsec:.1f}"
    )
    return rms, beam, image.n_sources
