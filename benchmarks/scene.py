"""The benchmark's data: a simulated calibrator transit, a target, and the solved caltables.

Belongs here: making them once, in a directory that later runs use again.
Doesn't: measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa, Progress
from contimg_resources.correlator.convert import convert_sub_bands
from contimg_resources.correlator.model import ConversionRequest
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import ImagingSettings
from contimg_resources.simulation.night import NightSpec, plan_night
from contimg_resources.simulation.observation import (
    SimulationRequest,
    observation_name,
    simulate_observation,
)
from contimg_resources.simulation.spec import FileFormat, RfiSpec, SimulationSpec, Size
from contimg_resources.simulation.sub_bands import sub_band_names

CALIBRATOR = "3C48"
#: Pixels per side, and pixel size (arcsec), of the benchmark's image.
GRIDS = {Size.TINY: (640, 12.0), Size.SMALL: (1600, 8.0), Size.FULL: (2400, 6.0)}


@dataclass(frozen=True)
class Scene:
    """A calibrator observation, a target and a caltable set."""

    size: Size  #: Size of the simulation.
    directory: Path  #: Directory of all files.
    calibrator: Path  #: The MS of the calibrator.
    target: Path  #: The MS of the target.
    spec: SimulationSpec  #: Specification of the target.
    tables: tuple[TableToApply, ...]  #: Solved from the calibrator.
    refant: str  #: Reference antenna of the solve.
    #: The target as the correlator's files, by number; none until `with_sub_bands` writes them.
    sub_bands: tuple[Path, ...] = ()
    converted: Path | None = None  #: The MS of these files; none until `with_converted`.
    #: Solved from the calibrator's files; none until `with_converted`.
    tables_of_sub_bands: tuple[TableToApply, ...] = ()

    @property
    def n_visibilities(self) -> int:
        """Visibilities of one observation, both polarisations."""
        n = len(self.spec.antennas)
        channels = self.spec.window_frequencies_hz.size
        return n * (n - 1) // 2 * self.spec.n_integrations * channels * 2

    def solve_request(self, prefix: Path) -> SolveRequest:
        """Return the request to solve the calibrator with default settings."""
        return SolveRequest(self.calibrator, CalibratorList().find(CALIBRATOR), prefix)

    def image_request(self, ms: Path, directory: Path) -> ImageRequest:
        """Return the request for an image on this size's grid."""
        size, cell_arcsec = GRIDS[self.size]
        settings = ImagingSettings(image_size=size, cell_arcsec=cell_arcsec)
        return ImageRequest(ms, directory, "bench", settings)


def make_scene(
    size: Size,
    directory: Path,
    casa: Casa,
    progress: Progress,
    *,
    antennas: Sequence[str] | None = None,
    channels_per_window: int | None = None,
    rfi: bool = True,
    weight_spectrum: bool = True,
) -> Scene:
    """Simulate and solve the data that don't exist yet.

    `antennas` and `channels_per_window` replace those of the size. With `weight_spectrum` the MS
    have a WEIGHT_SPECTRUM, as the instrument's converter writes it.
    """
    night = NightSpec(
        size=size,
        calibrator=CALIBRATOR,
        n_targets=1,
        rfi=RfiSpec() if rfi else None,
        weight_spectrum=weight_spectrum,
    )
    made = []
    for planned in plan_night(night):
        spec = replace(
            planned.spec,
            antennas=tuple(antennas or planned.spec.antennas),
            channels_per_window=channels_per_window or planned.spec.channels_per_window,
        )
        ms = directory / f"{observation_name(spec.start_mjd)}.ms"
        if not ms.exists():
            progress(f"simulating {ms.name}", None)
            request = SimulationRequest(spec, directory)
            casa.run(simulate_observation, request, label="bench-simulate", progress=progress)
        made.append((ms, spec))
    (calibrator, _), (target, spec) = made
    scene = Scene(size, directory, calibrator, target, spec, (), "")
    solved = _solved(scene, casa, progress)
    tables = tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables)
    return replace(scene, tables=tables, refant=solved.refant)


def with_sub_bands(scene: Scene, casa: Casa, progress: Progress) -> Scene:
    """Return the scene with the target's sub-band files, which are written if they don't exist.

    Parameters
    ----------
    scene : Scene
        The scene.
    casa : Casa
        The interface to CASA.
    progress : callable
        Called with progress messages.
    """
    return replace(scene, sub_bands=_sub_bands(scene, "target", scene.spec, casa, progress))


def with_converted(scene: Scene, casa: Casa, progress: Progress) -> Scene:
    """Return the scene with the MS of its sub-bands, and caltables solved from such files.

    Parameters
    ----------
    scene : Scene
        The scene of `with_sub_bands`.
    casa : Casa
        The interface to CASA.
    progress : callable
        Called with progress messages.
    """
    night = NightSpec(size=scene.size, calibrator=CALIBRATOR, n_targets=1, rfi=scene.spec.rfi)
    first = next(o.spec for o in plan_night(night) if o.kind == "calibrator")
    calibrator = replace(scene.spec, start_mjd=first.start_mjd)
    made = []
    for spec, kind in ((calibrator, "calibrator"), (scene.spec, "target")):
        files = _sub_bands(scene, kind, spec, casa, progress)
        ms = scene.directory / f"{kind}-of-sub-bands.ms"
        if not ms.exists():
            request = ConversionRequest(files, ms)
            casa.run(convert_sub_bands, request, label="bench-convert", progress=progress)
        made.append(ms)
    solved = _solved(replace(scene, calibrator=made[0]), casa, progress, "sub-bands-solved")
    tables = tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables)
    return replace(scene, converted=made[1], tables_of_sub_bands=tables)


def _sub_bands(
    scene: Scene, kind: str, spec: SimulationSpec, casa: Casa, progress: Progress
) -> tuple[Path, ...]:
    directory = scene.directory / f"{kind}-sub-bands"
    files = tuple(directory / name for name in sub_band_names(spec))
    if not all(file.exists() for file in files):
        # The correlator also writes autocorrelations.
        spec = replace(spec, autocorrelations=True)
        request = SimulationRequest(spec, directory, overwrite=True, file_format=FileFormat.UVH5)
        casa.run(simulate_observation, request, label="bench-simulate", progress=progress)
    return files


def _solved(scene: Scene, casa: Casa, progress: Progress, name: str = "solved") -> SolveResult:
    """Solve the scene's caltables, or return the earlier solve."""
    known = scene.directory / f"{name}.json"
    as_json = TypeAdapter(SolveResult)
    if known.exists():
        return as_json.validate_json(known.read_bytes())
    progress("solving a caltable set", None)
    request = scene.solve_request(scene.directory / f"tables-{name}" / "bench")
    request.prefix.parent.mkdir(exist_ok=True)
    solved = casa.run(solve_caltables, request, label="bench-solve", progress=progress)
    known.write_bytes(as_json.dump_json(solved))
    return solved
