"""``contimg uvh5``: the correlator's sub-band files, without a running Dagster.

Belongs here: arguments, the order of work, output. Doesn't: reading, grouping, converting.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.casa import Progress
from contimg_resources.cli.arguments import AsJson, setting_help
from contimg_resources.cli.console import (
    jsonable,
    print_json,
    print_lines,
    print_table,
    progress,
    remark,
)
from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import ConfigurationError, ContimgError, in_words
from contimg_resources.core.times import isot_from_mjd

if TYPE_CHECKING:
    from contimg_resources.correlator.arrival import SubBandGroup, SubBandScan
    from contimg_resources.correlator.sub_band import SubBand

app = typer.Typer(
    help="Sub-band files of the correlator (UVH5): contents, observations, conversion to MS."
)

MinSubbands = Annotated[
    int | None, typer.Option(min=1, max=16, help=setting_help("uvh5.min_subbands"))
]


@app.command()
def show(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sub-band files.")],
    as_json: AsJson = False,
) -> None:
    """Read the headers of sub-band files and describe them; nothing is changed.

    Exit code 1 when a file can't be read; the others are described.

    Example: `contimg uvh5 show /data/incoming/2025-10-06T12:36:09_sb00.hdf5 --json`
    """
    from contimg_resources.correlator.sub_band import read_sub_band

    found: list[SubBand] = []
    refused: dict[str, str] = {}
    for path in files:
        try:
            found.append(read_sub_band(path))
        except Exception as error:
            refused[str(path)] = in_words(error)
    if as_json:
        print_json({"sub_bands": [described(s) for s in found], "rejected": refused})
    else:
        for s in found:
            print_lines(lines_of(s))
        for reason in refused.values():
            remark(reason)
    if refused:
        raise typer.Exit(1)


@app.command()
def group(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of the sub-band files.")
    ],
    as_json: AsJson = False,
) -> None:
    """List the observations that the sub-band files of a directory form.

    Files are grouped by the times that they hold, not by their names. Headers are read once: a
    cache in the scratch space keeps them until a file changes. Files that are still being written
    (`*_incomplete.hdf5`, open in another process, or changed within `uvh5.settle_age_s`) aren't
    touched.

    Example: `contimg uvh5 group /data/incoming`
    """
    with progress("uvh5 group") as say:
        scan = _scanned(directory, say)
    if as_json:
        print_json(
            {
                "observations": [_summary(g) for g in scan.groups],
                "rejected": scan.rejected,
                "unsettled": scan.unsettled,
            }
        )
        return
    print_table(
        ("observation", "mid-MJD", "dec", "sub-bands", "missing", "antennas"),
        [
            (
                g.name,
                f"{g.mid_mjd:.5f}",
                f"{g.sub_bands[0].declination_deg:+.2f}",
                len(g.sub_bands),
                ", ".join(map(str, g.missing)) or None,
                g.sub_bands[0].n_antennas,
            )
            for g in scan.groups
        ],
    )
    _tell_left(scan)


@app.command()
def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...|DIR", help="Sub-band files, or one directory of them."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the MS.")],
    min_subbands: MinSubbands = None,
    dec: Annotated[
        float | None,
        typer.Option(
            min=-90,
            max=90,
            help="Apparent declination of the dishes, degrees, where the headers don't state it.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing MS.")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert sub-band files to a MeasurementSet for each observation.

    Each integration gets its own phase centre on the meridian (`meridian_icrs_t0` and so on, ICRS).
    The MS is named by the start of the observation, `2025-10-06T12:36:09.ms`; an existing one is
    left alone. The command prints each MS when it is complete, and names each file that it doesn't
    use. Exit code 1 when an observation can't be converted, or a file can't be read.

    Example: `contimg uvh5 convert /data/incoming --out /data/ms/5min`
    """
    from contimg_resources.correlator.arrival import read_group_of
    from contimg_resources.correlator.convert import convert_sub_bands
    from contimg_resources.correlator.model import ConversionRequest
    from contimg_resources.steps.workshop import open_casa

    settings = given_settings(uvh5={"min_subbands": min_subbands})
    casa = open_casa(settings)
    converted, failed, kept = [], {}, []
    with progress("uvh5 convert") as say:
        directories = [s for s in sources if s.is_dir()]
        if directories and len(sources) > 1:
            raise ConfigurationError("give either sub-band files or one directory of them")
        scan = _scanned(sources[0], say) if directories else read_group_of(sources)
        for found in scan.groups:
            ms = out.absolute() / f"{found.name}.ms"
            if ms.exists() and not overwrite:
                kept.append(ms)
                continue
            request = ConversionRequest(
                files=tuple(p.absolute() for p in found.files),
                ms=ms,
                settings=settings.uvh5,
                declination_deg=dec,
                overwrite=overwrite,
            )
            try:
                done = casa.run(convert_sub_bands, request, label="uvh5-convert", progress=say)
            except Exception as error:
                if isinstance(error, ContimgError) and error.of_surroundings:
                    raise
                failed[found.name] = in_words(error)
                remark(f"{found.name} failed: {failed[found.name]}")
                continue
            converted.append(done)
            if not as_json:
                print_lines([done.ms])
                _tell(done.ms.name, done.missing, done.notes, done.rejected)
    if not scan.groups:
        waiting = len(scan.unsettled)
        remark("no observation was found" + (f" yet: {waiting} files wait" if waiting else ""))
    for ms in kept:
        remark(f"{ms} is already there")
    _tell_left(scan)
    if as_json:
        print_json(
            {
                "converted": converted,
                "failed": failed,
                "already_there": kept,
                "rejected": scan.rejected,
                "unsettled": scan.unsettled,
            }
        )
    if failed or scan.rejected or any(done.rejected for done in converted):
        raise typer.Exit(1)


def _scanned(directory: Path, say: Progress) -> "SubBandScan":
    """Scan a directory with the cache that the scratch space keeps of it."""
    from contimg_resources.correlator.arrival import HeaderCache, scan_sub_bands
    from contimg_resources.steps.watching_sub_bands import cache_file

    settings = given_settings()
    directory = directory.absolute()
    file = cache_file(settings, directory)
    cache = HeaderCache.load(file, directory)
    scan = scan_sub_bands(
        directory,
        cache,
        now_s=time.time(),
        settle_age_s=settings.uvh5.settle_age_s,
        say=say,
    )
    if scan.n_read:
        # Without it the next scan reads the headers again.
        with suppress(OSError):
            cache.save(file)
    return scan


def _tell(
    name: str, missing: Sequence[int], notes: Sequence[str], rejected: dict[str, str]
) -> None:
    if missing:
        remark(f"{name}: flagged windows without a sub-band: {', '.join(map(str, missing))}")
    for line in (*notes, *rejected.values()):
        remark(f"{name}: {line}")


def _tell_left(scan: "SubBandScan") -> None:
    for reason in scan.rejected.values():
        remark(f"not used: {reason}")
    for path, reason in scan.unsettled.items():
        remark(f"not touched: {path} {reason}")


def _summary(found: "SubBandGroup") -> dict[str, Any]:
    first = found.sub_bands[0]
    return {
        "name": found.name,
        "begin_mjd": found.begin_mjd,
        "mid_mjd": found.mid_mjd,
        "declination_deg": first.declination_deg,
        "n_antennas": first.n_antennas,
        "n_integrations": first.n_integrations,
        "sub_bands": {str(s.number): str(s.path) for s in found.sub_bands},
        "missing": list(found.missing),
    }


def described(s: "SubBand") -> dict[str, Any]:
    """Return the header of a sub-band file for JSON."""
    return {**jsonable(s), "begin_mjd": s.begin_mjd, "end_mjd": s.end_mjd}


def lines_of(s: "SubBand") -> list[str]:
    """Describe the header of a sub-band file in lines."""
    return [
        f"sub-band {s.number}: {s.path}",
        f"  telescope: {s.telescope or 'not stated'}",
        f"  start: {isot_from_mjd(s.begin_mjd)}",
        f"  end: {isot_from_mjd(s.end_mjd)}",
        f"  integrations: {s.n_integrations} of {s.integration_s:.3f} s",
        f"  band: {s.low_hz / 1e6:.3f}-{s.high_hz / 1e6:.3f} MHz, {s.n_channels} channels, "
        f"{'/'.join(s.polarisations)}",
        f"  antennas: {s.n_antennas} with data, {s.n_baselines} baselines",
        f"  apparent declination: {s.declination_deg:+.3f} deg",
    ]
