"""Mosaics, photometry, light curves and catalogues measured from beginning to end.

Belongs here: the list and order of measurements, and the goals. Doesn't: the measured work, the
command line.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from math import nan
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks import sky_mosaics, sky_photometry, sky_questions
from benchmarks.fresh import in_fresh_process
from benchmarks.measure import Measured, make_ready
from benchmarks.report import describe_machine
from benchmarks.sky_report import Row, SkyReport
from contimg_resources.casa import Progress

A = TypeVar("A")
R = TypeVar("R")

MOSAIC_GOAL_S = 60.0
LATE_TILE_GOAL_S = 10.0
PHOTOMETRY_GOAL_S = 5.0
LIGHT_CURVE_GOAL_S = 0.05
#: Number of sources for the time of a fit by photutils.
_PEER_SOURCES = 1000
#: Turns of the photometry; each takes seconds.
_PHOTOMETRY_TURNS = 3
#: Load below which a machine counts as idle.
_QUIET_LOAD = 0.5
_MS = 1e3


@dataclass(frozen=True)
class SkySize:
    """Size of the benchmark."""

    tiles: int = 12  #: 5-minute images in the mosaic.
    size: int = sky_mosaics.FULL_SIZE  #: Pixels per side of each.
    sources: int = 10_000  #: Sources to measure, and rows of a file of measurements.
    days: int = 365  #: Files of measurements.
    catalogue: int = 1_770_000  #: Sources in the catalogue.
    rounds: int = 2  #: Turns of the mosaic and its peer.


def run_sky_bench(size: SkySize, directory: Path, progress: Progress) -> SkyReport:
    """Simulate the data in an empty directory and measure."""
    bench = _Bench(size, directory, progress, [_load_in_words(os.getloadavg()[0])])
    rows = [*bench.mosaics_and_photometry(), *bench.light_curves(), *bench.catalogue()]
    return SkyReport(
        n_tiles=size.tiles,
        size=size.size,
        n_sources=size.sources,
        n_days=size.days,
        n_catalogue=size.catalogue,
        machine=describe_machine(len(os.sched_getaffinity(0))),
        software={
            name: version(name)
            for name in ("contimg", "reproject", "photutils", "racs-tools", "duckdb", "pyarrow")
        },
        rows=tuple(rows),
        notes=tuple(bench.notes),
    )


@dataclass(frozen=True)
class _Bench:
    size: SkySize
    directory: Path
    progress: Progress
    notes: list[str]

    def mosaics_and_photometry(self) -> Iterator[Row]:
        n = self.size.tiles
        sky = self._do(
            f"simulating {n} tiles",
            sky_mosaics.make_tiles,
            sky_mosaics.TilesToMake(self.directory / "tiles", n, self.size.size, self.size.sources),
        )
        late = self.directory / "late"
        self._do(f"mosaic of {n - 1} tiles", sky_mosaics.mosaic, sky.request(late, n - 1))
        added = self._timed("adding a tile", sky_mosaics.add_last_tile, sky.request(late))
        ours: list[Measured] = []
        peers: list[Measured] = []
        for turn in range(self.size.rounds):
            said = f"turn {turn + 1} of {self.size.rounds}"
            # In a new directory: an existing mosaic would only be extended.
            result, took = self._timed(
                f"mosaic, {said}", sky_mosaics.mosaic, sky.request(self.directory / f"turn-{turn}")
            )
            ours.append(took)
            task = sky_mosaics.PlainTask(result, sky.tiles, self.directory / "plain.fits")
            peers.append(
                self._timed(f"mosaic by reproject, {said}", sky_mosaics.reproject_coadds, task)
            )
        grid = result.grid
        self.notes.append(
            f"The mosaic has {grid.columns} x {grid.rows} pixels. Ours measures the noise of the "
            "tiles at the common beam and also writes a noise map, the coverage, running "
            "sums and pictures; reproject gets the common beam, the pixel grid and the tiles' "
            f"noise, and writes only the image. Its peak memory: {_peak_gb(peers):.2f} GB."
        )
        yield Row(
            f"mosaic of {n} tiles of {self.size.size} x {self.size.size} pixels",
            _median_s(ours),
            MOSAIC_GOAL_S,
            _peak_gb(ours),
            "convolved, `reproject_and_coadd` (`reproject_interp`, bicubic)",
            _median_s(peers),
        )
        yield Row(
            f"adding tile {n} to the mosaic of {n - 1}",
            added.seconds,
            LATE_TILE_GOAL_S,
            added.peak_gb,
            "the same: all tiles again",
            _median_s(peers),
        )
        yield from self._photometry(sky_photometry.PhotometryTask(result, sky.sources))

    def _photometry(self, task: sky_photometry.PhotometryTask) -> Iterator[Row]:
        # So that the measured process finds all functions compiled.
        self._do("photometry, compiling", sky_photometry.our_photometry, task)
        n = len(task.sources)
        fit_ratio = nan
        turns: list[sky_photometry.Photometry] = []
        sums: list[Measured] = []
        fits: list[Measured] = []
        for _ in range(_PHOTOMETRY_TURNS):
            ours = self._timed("photometry", sky_photometry.our_photometry, task)
            turns.append(ours)
            sums.append(self._timed("photometry by apertures", sky_photometry.photutils_sums, task))
            chosen = ours.good[:_PEER_SOURCES]
            fitted, fit_ratio = self._timed(
                "photometry by photutils",
                sky_photometry.photutils_fits,
                replace(task, sources=[task.sources[i] for i in chosen]),
            )
            fits.append(fitted)
        cold, warm = [t.cold for t in turns], [t.warm for t in turns]
        self.notes.append(
            f"Forced photometry found {ours.n_measured} of the {n} sources on the mosaic. Measured "
            f"over true flux density, median of sources without a flag: {ours.ratio:.4f}; by "
            f"photutils' fit, of {len(chosen)} of them: {fit_ratio:.4f}. The fit leaves out "
            "background, neighbours and positions, which ours measures; its time is that of "
            f"{len(chosen)} sources scaled to {n}. The sums in ellipses are no fit: neighbours "
            "and background aren't separated."
        )
        name = f"forced photometry of {n} sources"
        for peer, peer_s in (
            (
                f"`PSFPhotometry`, positions fixed (on {len(chosen)}, scaled)",
                _median_s(fits) * n / max(1, len(chosen)),
            ),
            ("`aperture_photometry`, ellipses", _median_s(sums)),
        ):
            yield Row(
                f"{name}, first in its process",
                _median_s(cold),
                PHOTOMETRY_GOAL_S,
                _peak_gb(cold),
                peer,
                peer_s,
            )
        yield Row(f"{name}, again", _median_s(warm), PHOTOMETRY_GOAL_S, _peak_gb(warm))

    def light_curves(self) -> Iterator[Row]:
        days, n = self.size.days, self.size.sources
        year = sky_questions.Year(self.directory / "measurements", days, n)
        self._do(f"simulating {days} days of measurements", sky_questions.fill_year, year)
        plain = self._timed("light curves", sky_questions.ask_light_curves, year)
        sorted_s = self._timed("sorting by source", sky_questions.sort_year, year)
        copied = self._timed("light curves of copies", sky_questions.ask_light_curves, year)
        name = f"light curve of one of {n} sources over {days} days"
        yield _row(f"{name}, copies by source", copied, LIGHT_CURVE_GOAL_S)
        yield _row(f"{name}, one file per day", plain, None)
        self.notes.append(
            f"Making all copies sorted by source took {sorted_s:.1f} s. "
            + _first("light curve", copied)
        )

    def catalogue(self) -> Iterator[Row]:
        sky = sky_questions.Sky(self.directory / "catalogues", self.size.catalogue)
        put_s = self._do("simulating a catalogue", sky_questions.fill_catalogue, sky)
        ask: Callable[..., sky_questions.Asked] = partial(self._timed, "querying the catalogue")
        cones, strips = ask(sky_questions.ask_cones, sky), ask(sky_questions.ask_strips, sky)
        of = f"of a catalogue of {self.size.catalogue} sources"
        yield _row(f"cone of 2 deg {of} ({cones.n_found:.0f} in it)", cones, None)
        yield _row(f"strip of 4 x 20 deg {of} ({strips.n_found:.0f} in it)", strips, None)
        self.notes.append(
            f"Sorting and writing the catalogue took {put_s:.1f} s. {_first('cone', cones)} "
            + _first("strip", strips)
        )

    def _do(self, what: str, function: Callable[[A], R], argument: A) -> R:
        self.progress(what, None)
        return in_fresh_process(function, argument)

    def _timed(self, what: str, function: Callable[[A], R], argument: A) -> R:
        if self.size.size >= sky_mosaics.FULL_SIZE:
            make_ready()
        return self._do(what, function, argument)


def _load_in_words(load: float) -> str:
    uncertain = "; times and ratios are then uncertain by a factor of two or three"
    told = "" if load < _QUIET_LOAD else uncertain
    return f"Load average (one minute) of the machine at the start: {load:.1f}{told}."


def _row(name: str, asked: sky_questions.Asked, goal_s: float | None) -> Row:
    return Row(name, asked.median_s, goal_s, asked.peak_gb)


def _first(what: str, asked: sky_questions.Asked) -> str:
    return f"The first {what} of a process took {_MS * asked.first_s:.0f} ms."


def _median_s(turns: list[Measured]) -> float:
    return median(m.seconds for m in turns)


def _peak_gb(turns: list[Measured]) -> float:
    return max(m.peak_gb for m in turns)
