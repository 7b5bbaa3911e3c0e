"""The benchmark from beginning to end.

Belongs here: the comparisons, their goals, and the order of measuring.
Doesn't: the command line, the measured work.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from benchmarks import converting, ours, peers
from benchmarks.fresh import in_fresh_process
from benchmarks.measure import Contest, Measured, make_ready, take_turns
from benchmarks.overhead import measure_overhead
from benchmarks.report import BenchReport, Growth, Stage, describe_machine
from benchmarks.scene import CALIBRATOR, GRIDS, Scene, make_scene, with_converted, with_sub_bands
from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.casa import Casa, Progress
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.trees import remove_tree
from contimg_resources.correlator.model import ConversionRequest, SubBandsToCalibrate
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageResult
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import CalibrationSettings
from contimg_resources.simulation.spec import PRESETS, Size

A = TypeVar("A")

#: Names of the comparisons.
CONTESTS = ("path", "flagging", "wsclean", "solve", "uvh5", "direct")
#: Name of the platform's overhead.
OVERHEAD = "overhead"
_OF_SUB_BANDS = {"uvh5", "direct"}


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark."""

    casa: Casa  #: The interface to CASA; both sides get its number of threads.
    directory: Path  #: Directory of all files.
    scene: Scene  #: The data.

    @cached_property
    def calibrated(self) -> ApplyResult:
        """The target, calibrated, without RFI flags."""
        unflagged = replace(_way(self.scene, self.directory).apply, flag_rfi=False)
        request = replace(unflagged, output=self.directory / "unflagged_cal.ms")
        return self.casa.run(write_calibrated_ms, request, label="bench")

    @cached_property
    def image(self) -> ImageResult:
        """Its image."""
        request = self.scene.image_request(self.calibrated.ms, self.directory / "image")
        return self.casa.run(make_image, request, label="bench")

    def contest(self, name: str) -> Contest:
        """Return a comparison of `CONTESTS`."""
        return {
            "path": self._path,
            "flagging": self._flagging,
            "wsclean": self._wsclean,
            "solve": self._solve,
            "uvh5": self._uvh5,
            "direct": self._direct,
        }[name]()

    def _path(self) -> Contest:
        return Contest(
            "MS to image",
            "applycal + tclean (standard gridder)",
            12,
            self._our_way,
            lambda: self._plain(peers.casa_applies_and_images, self._peer_image()),
        )

    def _wsclean(self) -> Contest:
        return Contest(
            "MS to image",
            "applycal + WSClean",
            8,
            self._our_way,
            lambda: self._plain(peers.casa_applies_and_wsclean_images, self._peer_image()),
        )

    def _flagging(self) -> Contest:
        return Contest(
            "RFI flagging",
            "flagdata tfcrop + rflag",
            10,
            lambda: self._timed(ours.flag_in_memory, self.calibrated.ms),
            lambda: self._plain(peers.casa_flags, self.calibrated.ms),
        )

    def _solve(self) -> Contest:
        calibrator = CalibratorList().find(CALIBRATOR)
        plain = peers.PeerSolve(
            self.scene.calibrator,
            CALIBRATOR,
            calibrator.ra_deg,
            calibrator.dec_deg,
            self.scene.refant,
            CalibrationSettings().short_interval_s,
        )
        (self.directory / "solve").mkdir(exist_ok=True)
        return Contest(
            "caltable set",
            "gaincal, bandpass",
            8,
            lambda: self._timed(
                ours.solve, self.scene.solve_request(self.directory / "solve" / "bench")
            ),
            lambda: self._plain(peers.casa_solves, plain),
        )

    def _uvh5(self) -> Contest:
        files = self.scene.sub_bands
        converted = self.directory / "converted"
        converted.mkdir(exist_ok=True)
        request = ConversionRequest(files, converted / "ours.ms")
        declination_deg = self.scene.spec.apparent_declination_deg
        plain = converting.PeerConversion(files, converted / "peers.ms", declination_deg)

        def convert() -> Measured:
            # Removing the MS of an earlier turn doesn't count.
            remove_tree(request.ms, ignore_errors=True)
            make_ready(files[0].parent)
            return self.casa.run(converting.convert, request, label="bench")

        def pyuvdata_converts() -> Measured:
            remove_tree(plain.ms, ignore_errors=True)
            make_ready(files[0].parent)
            return in_fresh_process(converting.pyuvdata_converts, plain)

        return Contest(
            "sub-bands to MS", "pyuvdata: read, phase, write_ms", 8, convert, pyuvdata_converts
        )

    def _direct(self) -> Contest:
        through, direct = ways_of_sub_bands(self.scene, self.directory)

        def time(function: Callable[[A], Measured], way: A, *arrived: Path) -> Measured:
            for product in (through.apply.output, direct.calibrate.apply.output):
                remove_tree(product, ignore_errors=True)
            make_ready(*arrived)
            return self.casa.run(function, way, label="bench")

        files = self.scene.sub_bands[0].parent
        return Contest(
            "sub-bands to image",
            "MS to image, the MS being there",
            0.8,
            lambda: time(ours.calibrate_directly_and_image, direct, files),
            lambda: time(ours.apply_and_image, through, through.apply.ms),
        )

    def _our_way(self) -> Measured:
        way = _way(self.scene, self.directory)
        # Removing the products of an earlier turn doesn't count.
        for product in (way.apply.output, way.image.directory):
            remove_tree(product, ignore_errors=True)
        return self._timed(ours.apply_and_image, way)

    def _peer_image(self) -> peers.PeerImage:
        size, cell_arcsec = GRIDS[self.scene.size]
        grid = self.image.grid
        return peers.PeerImage(
            ms=self.scene.target,
            one_center=self.calibrated.ms,
            tables=tuple(t.path for t in self.scene.tables),
            size=size,
            cell_arcsec=cell_arcsec,
            phase_center_deg=(grid.ra_deg, grid.dec_deg),
            noise_jy=self.image.statistics.expected_rms_jy,
        )

    def _timed(self, function: Callable[[A], Measured], argument: A) -> Measured:
        make_ready(self.scene.calibrator, self.scene.target)
        return self.casa.run(function, argument, label="bench")

    def _plain(self, function: Callable[[A], Measured], argument: A) -> Measured:
        """Time a peer as it runs without this platform."""
        make_ready(self.scene.calibrator, self.scene.target)
        casa = Casa(
            self.casa.scratch,
            self.casa.logs,
            self.casa.settings,
            keeps_memory=False,
        )
        return casa.run(function, argument, label="bench")


def run_bench(
    size: Size,
    directory: Path,
    casa: Casa,
    progress: Progress,
    *,
    rounds: int,
    chosen: tuple[str, ...],
    growth: bool,
) -> BenchReport:
    """Make the data and measure.

    Simulated MS in the directory are used again. `chosen` holds names of `CONTESTS` and `OVERHEAD`.
    `growth`: measure the scaling of the cost, on a quarter, half and all of the size.
    """
    notes = []
    if "wsclean" in chosen and shutil.which("wsclean") is None:
        chosen = tuple(name for name in chosen if name != "wsclean")
        notes.append("WSClean is not installed here: that row is missing.")
    directory.mkdir(parents=True, exist_ok=True)
    # Once at a small size, so that no turn has to compile.
    warm = make_scene(Size.TINY, directory / "warm", casa, progress)
    way = _way(warm, directory / "warm")
    casa.run(ours.apply_and_image, way, label="bench-warm", progress=progress)
    scene = make_scene(size, directory / size.value, casa, progress)
    if _OF_SUB_BANDS & set(chosen):
        few = with_converted(with_sub_bands(warm, casa, progress), casa, progress)
        compiled = ConversionRequest(
            few.sub_bands, directory / "warm" / "converted.ms", overwrite=True
        )
        casa.run(converting.convert, compiled, label="bench-warm", progress=progress)
        _, direct = ways_of_sub_bands(few, directory / "warm")
        casa.run(ours.calibrate_directly_and_image, direct, label="bench-warm", progress=progress)
        scene = with_sub_bands(scene, casa, progress)
    if "direct" in chosen:
        scene = with_converted(scene, casa, progress)
    stages = [] if set(chosen) <= _OF_SUB_BANDS else list(_stages(scene, directory, casa, progress))
    bench = Bench(casa, directory, scene)
    contests = [bench.contest(name) for name in CONTESTS if name in chosen]
    results = take_turns(contests, rounds, progress)
    overhead = None
    if OVERHEAD in chosen:
        place = Path(tempfile.mkdtemp(prefix="overhead-", dir=directory))
        overhead = measure_overhead(place, casa, progress)
    return BenchReport(
        size=size.value,
        n_visibilities=scene.n_visibilities,
        machine=describe_machine(len(os.sched_getaffinity(0))),
        software={name: version(name) for name in ("contimg", "casatasks", "ducc0", "numba")},
        results=results,
        overhead=overhead,
        stages=tuple(stages),
        growth=tuple(_growth(size, directory, casa, progress)) if growth else (),
        notes=tuple(notes),
    )


def _way(scene: Scene, directory: Path) -> ours.Way:
    output = directory / "bench_cal.ms"
    return ours.Way(
        ApplyRequest(scene.target, scene.tables, output),
        scene.image_request(output, directory / "bench_image"),
    )


def ways_of_sub_bands(scene: Scene, directory: Path) -> tuple[ours.Way, ours.DirectWay]:
    """Return the ways to the image of a scene's sub-bands: through their MS, and without it."""
    if scene.converted is None:
        raise ConfigurationError("the scene has no MS of its sub-bands")
    output = directory / "through_cal.ms"
    apply = ApplyRequest(scene.converted, scene.tables_of_sub_bands, output)
    through = ours.Way(apply, scene.image_request(output, directory / "through_image"))
    output = directory / "direct_cal.ms"
    direct = ours.DirectWay(
        SubBandsToCalibrate(
            ConversionRequest(scene.sub_bands, scene.converted), replace(apply, output=output)
        ),
        scene.image_request(output, directory / "direct_image"),
    )
    return through, direct


def _stages(scene: Scene, directory: Path, casa: Casa, progress: Progress) -> Iterator[Stage]:
    way = _way(scene, directory)
    (directory / "solve").mkdir(exist_ok=True)
    request = scene.solve_request(directory / "solve" / "stages")
    for step, function, argument in (
        ("solve", ours.solve, request),
        ("apply", ours.apply_only, way.apply),
        ("image", ours.image_only, way.image),
    ):
        heard: list[tuple[str, float]] = []

        def listen(
            message: str, fraction: float | None, heard: list[tuple[str, float]] = heard
        ) -> None:
            heard.append((message, time.monotonic()))
            progress(message, fraction)

        run: Callable[..., Measured] = casa.run
        run(function, argument, label="bench", progress=listen)
        heard.append(("", time.monotonic()))
        for (message, began_s), (_, ended_s) in pairwise(heard):
            yield Stage(step, message, ended_s - began_s)


def _growth(size: Size, directory: Path, casa: Casa, progress: Progress) -> Iterator[Growth]:
    antennas, channels = PRESETS[size]
    # Every n-th antenna, so that the extent of the array stays.
    for step in (4, 2, 1):
        few = antennas[::step]
        yield _point("antennas", len(few), size, directory, casa, progress, few, channels)
    for step in (4, 2, 1):
        yield _point(
            "channels",
            channels // step,
            size,
            directory,
            casa,
            progress,
            antennas,
            channels // step,
        )
    pixels, _ = GRIDS[size]
    for side in (pixels // 2, pixels, 3 * pixels // 2):
        yield _point(
            "pixels a side", side, size, directory, casa, progress, antennas, channels, pixels=side
        )


def _point(
    along: str,
    value: int,
    size: Size,
    directory: Path,
    casa: Casa,
    progress: Progress,
    antennas: tuple[str, ...],
    channels: int,
    pixels: int | None = None,
) -> Growth:
    progress(f"scaling with {along}: {value}", None)
    scene = make_scene(
        size,
        directory / f"{size.value}-{len(antennas)}-{channels}",
        casa,
        progress,
        antennas=antennas,
        channels_per_window=channels,
    )
    way = _way(scene, directory)
    image = way.image
    if pixels is not None:
        image = replace(image, settings=image.settings.changed(image_size=pixels))
    applied = casa.run(ours.apply_only, way.apply, label="bench")
    imaged = casa.run(ours.image_only, image, label="bench")
    return Growth(along, value, scene.n_visibilities, applied.seconds, imaged.seconds)
