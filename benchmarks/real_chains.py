"""The ways from an MS that arrived to a list of sources: the platform's, and a plain chain.

Belongs here: running them on one night. Doesn't: the sky (see `real_sky`), comparing with it.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.peers import PeerImage
from benchmarks.real_quality import Detections, Quality, quality
from benchmarks.real_sky import Night, given_night, simulated_night
from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.flagging.rfi import flag_interference
from contimg_resources.casa import Casa, Progress
from contimg_resources.core.errors import ContimgError
from contimg_resources.core.statistics import LocalNoise, inner_half, mad_rms
from contimg_resources.imaging.model import Beam, ImageGrid, ImageResult
from contimg_resources.imaging.reliability import real_sources
from contimg_resources.settings import CasaSettings, CatalogueSettings, ImagingSettings, Settings
from contimg_resources.simulation.spec import Preset, Size
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.calibrating import (
    Calibrated,
    calibrate_observation,
    tables_to_apply,
)
from contimg_resources.steps.imaging import image_observation
from contimg_resources.steps.solving import solve_observation
from contimg_resources.steps.workshop import Workshop

#: The chains, in the order of the report.
WITHOUT, WITH, TCLEAN, WSCLEAN = (
    "contimg, without in-field calibration",
    "contimg",
    "applycal, flagdata, tclean",
    "applycal, flagdata, WSClean",
)
_CATALOGUE = "survey"
#: Maximum number of CLEAN iterations of the plain chain: a real sky has thousands of sources.
_N_ITERATIONS = 20_000
#: S/N of a detection, as in the platform.
_MIN_SNR = 6.0
_TIMEOUT_S = 7200.0


@dataclass(frozen=True)
class Observed:
    """An observation through one chain."""

    night: str  #: Name of the night.
    observation: str  #: Name of the MS.
    calibrator: bool  #: Whether it is the calibrator's.
    chain: str  #: Name of the chain.
    seconds: float  #: From the MS that arrived to the list of sources, seconds.
    quality: Quality  #: Quality of the image.
    in_field: str = ""  #: Outcome of in-field calibration.


def run_real_bench(
    sizes: Sequence[Size],
    n_targets: int,
    seed: int,
    given: Sequence[Path],
    n_plain: int,
    directory: Path,
    progress: Progress,
) -> Iterator[Observed]:
    """Simulate nights and image their observations, and yield each result.

    Parameters
    ----------
    sizes : sequence of Size
        Sizes of realistic nights; the last is also that of a kind night.
    n_targets : int
        Number of targets of each night.
    seed : int
        Random seed of the nights.
    given : sequence of Path
        Directories of nights that another program simulated, see `given_night`.
    n_plain : int
        Number of targets of each night that go through the plain chain, too.
    directory : Path
        Directory of simulated MS, which are used again; and of the rest, which is removed.
    progress : callable
        Called with progress messages.
    """
    nights = [*((Preset.REALISTIC, size) for size in sizes), (Preset.KIND, sizes[-1])]
    casa = Casa(directory / "scratch", directory / "logs", CasaSettings(step_timeout_s=_TIMEOUT_S))
    # A directory without truth is refused before hours of work.
    others = [given_night(place) for place in given]
    directory.mkdir(parents=True, exist_ok=True)

    def nights_in_turn() -> Iterator[Night]:
        for preset, size in nights:
            place = directory / f"{preset}-{size}-{seed}"
            yield simulated_night(preset, size, n_targets, seed, place, casa, progress)
        yield from others

    for night in nights_in_turn():
        with TemporaryDirectory(dir=directory, prefix="state-") as state:
            yield from through_chains(night, Path(state), n_plain, progress)


def through_chains(
    night: Night, place: Path, n_plain: int, progress: Progress
) -> Iterator[Observed]:
    """Image the observations of a night, and yield each result.

    Parameters
    ----------
    night : Night
        The night.
    place : Path
        Directory of the platform's state, which is made here.
    n_plain : int
        Number of targets that go through the plain chain, too.
    progress : callable
        Called with progress messages.
    """
    settings = Settings(
        state=place,
        catalogue=CatalogueSettings(reference=_CATALOGUE),
        casa=CasaSettings(step_timeout_s=_TIMEOUT_S),
    )
    workshop = Workshop.from_settings(settings)
    workshop.catalogues.put(*night.sky.listed(_CATALOGUE))
    progress(f"{night.name}: solving", None)
    first = arrive(workshop, night.calibrator).observation
    solve_observation(workshop, first.key, progress=progress)
    for number, ms in enumerate((night.calibrator, *night.targets)):
        key = arrive(workshop, ms).observation.key
        progress(f"{night.name}: {ms.name}", None)
        calibrated = calibrate_observation(workshop, key, progress=progress)
        for chain, in_field in ((WITHOUT, False), (WITH, True)):
            changed = replace(
                workshop,
                settings=settings.model_copy(
                    update={"imaging": settings.imaging.changed(in_field=in_field)}
                ),
            )
            made = image_observation(changed, key, progress=progress)
            ours = made.result
            found = Detections(
                ours.statistics.residual_rms_jy,
                ours.statistics.beam,
                ours.frequency_hz,
                ours.sources,
            )
            yield Observed(
                night.name,
                ms.name,
                number == 0,
                chain,
                calibrated.engine_s + made.engine_s,
                quality(found, ours, night.sky),
                ours.in_field.why if ours.in_field else "",
            )
        if 0 < number <= n_plain:
            progress(f"{night.name}: {ms.name} through the plain chain", None)
            try:
                plain = _plain(workshop, calibrated, ms, ours, progress)
            except ContimgError as error:
                progress(f"{night.name}: {ms.name}: the plain chain failed: {error}", None)
                continue
            for chain, images in ((TCLEAN, plain.tclean), (WSCLEAN, plain.wsclean)):
                if images is not None:
                    seconds = plain.before_s + images.seconds
                    its = quality(images.found, ours, night.sky)
                    yield Observed(night.name, ms.name, False, chain, seconds, its)


@dataclass(frozen=True)
class PlainTask:
    """The request of a plain chain."""

    image: PeerImage  #: The MS and the images; `one_center` is changed.
    primary_beam: Path  #: Primary beam of our image, which has the same pixels.
    frequency_hz: float  #: Frequency of our image, Hz.


@dataclass(frozen=True)
class PlainImage:
    """An image of a plain chain."""

    seconds: float  #: Time of the imager, seconds.
    found: Detections  #: The sources that our finder finds in it.


@dataclass(frozen=True)
class PlainImages:
    """The images of a plain chain."""

    before_s: float  #: Time of applycal and flagdata, seconds.
    tclean: PlainImage  #: By tclean, standard gridder.
    wsclean: PlainImage | None  #: By WSClean; None: it isn't installed.


def _plain(
    workshop: Workshop, calibrated: Calibrated, ms: Path, ours: ImageResult, progress: Progress
) -> PlainImages:
    """Run the plain chain with the tables of the platform."""
    tables = tables_to_apply(calibrated.active)
    grid = ours.grid
    one_center = workshop.settings.state / "plain.ms"
    request = ApplyRequest(ms, tables, one_center, flag_rfi=False)
    workshop.casa.run(write_calibrated_ms, request, label="bench", progress=progress)
    task = PlainTask(
        PeerImage(
            ms,
            one_center,
            tuple(t.path for t in tables),
            grid.size,
            grid.cell_arcsec,
            (grid.ra_deg, grid.dec_deg),
            ours.statistics.expected_rms_jy,
            _N_ITERATIONS,
        ),
        ours.files.primary_beam,
        ours.frequency_hz,
    )
    return workshop.casa.run(plain_chain, task, label="bench", progress=progress)


def plain_chain(task: PlainTask) -> PlainImages:
    """Run applycal, flagdata, tclean and WSClean; call through `Casa.run`.

    Notes
    -----
    The MS that applycal writes has a phase centre for each integration, with which tclean's
    standard gridder misplaces sources, and which WSClean doesn't read. So the imagers get the same
    data at one phase centre, and flagdata works on these, as it follows time within a field.
    """
    import casatasks

    run: Any = casatasks
    copy = peers.copied(task.image.ms)
    clock = _Clock()
    peers.applycal(copy, task.image.tables)
    flag_interference(task.image.one_center, one_direction=True)
    before_s = clock.read()
    peers.tclean(task.image.one_center, task.image, "data")
    tclean_s = clock.read()
    for name in ("image", "residual"):
        run.exportfits(f"peer.{name}", f"tclean-{name}.fits")
    clock.read()
    wsclean = None
    if shutil.which("wsclean") is not None:
        peers.wsclean(task.image)
        wsclean_s = clock.read()
        wsclean = PlainImage(wsclean_s, _found(task, "peer"))
    return PlainImages(before_s, PlainImage(tclean_s, _found(task, "tclean")), wsclean)


def _found(task: PlainTask, name: str) -> Detections:
    """Find the sources of an image, ``NAME-image.fits``, as the platform does."""
    from astropy.io import fits

    image, residual = f"{name}-image.fits", f"{name}-residual.fits"
    pixels, left = (np.squeeze(fits.getdata(p)).astype(np.float32) for p in (image, residual))
    header = fits.getheader(image)
    beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"])
    of_task = task.image
    grid = ImageGrid(of_task.size, of_task.cell_arcsec, *of_task.phase_center_deg)
    response = np.squeeze(fits.getdata(task.primary_beam))
    response = np.where(response >= ImagingSettings().beam_cut, response, np.nan)
    noise = LocalNoise.of(left, beam.area_pixels(grid.cell_arcsec))
    found = real_sources(pixels, noise, response, beam, grid, _MIN_SNR)
    return Detections(mad_rms(inner_half(left)), beam, task.frequency_hz, found.sources)


class _Clock:
    """Returns the time since it was read last, seconds."""

    def __init__(self) -> None:
        self._last_s = time.perf_counter()

    def read(self) -> float:
        last_s, self._last_s = self._last_s, time.perf_counter()
        return self._last_s - last_s
