"""Solve a calibrator observation and register the caltable set."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.calibration.solve.model import Pointing, SolveRequest, SolveResult
from contimg_resources.calibration.solve.skymodel import REACH_DEG, sources_about
from contimg_resources.casa import Progress, no_progress
from contimg_resources.casa.plotms import PlotmsPlot, PlotmsRequest, draw_plotms
from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.core.errors import (
    CalibrationFailed,
    CalibratorNotFound,
    CasaError,
    PlotUnavailable,
)
from contimg_resources.core.keys import set_name
from contimg_resources.core.naming import check_name, plain_name
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.observations.model import Observation
from contimg_resources.products.model import ObservationState
from contimg_resources.registry.model import CaltableSet, NewCaltable, NewCaltableSet
from contimg_resources.steps.disk_space import wait_for_disk_space
from contimg_resources.steps.in_casa import load_solver, solve
from contimg_resources.steps.workshop import Workshop

STEP = "caltable_set"

#: A plotter that hangs must not delay a run for longer, seconds.
_PLOTS_TIMEOUT_S = 180.0

#: What casaplotms draws of each table: x and y.
_PLOTMS_AXES = {
    CaltableType.K: (("antenna1", "delay"),),
    CaltableType.BA: (("freq", "amp"),),
    CaltableType.BP: (("freq", "phase"),),
    CaltableType.GA: (("antenna1", "amp"),),
    CaltableType.GP: (("antenna1", "phase"),),
    CaltableType.G2: (("time", "amp"), ("time", "phase")),
    CaltableType.FLUX: (("antenna1", "amp"),),
}


@dataclass(frozen=True)
class Solved:
    """A caltable set that was solved and registered."""

    observation: Observation  #: The calibrator observation.
    set: CaltableSet  #: The registered set.
    result: SolveResult  #: Result of the solve.
    diagnostics: tuple[Path, ...]  #: Plots by casaplotms, PNG.
    notes: tuple[str, ...]  #: Notes for the operator, such as why there are no plots by casaplotms.
    engine_s: float  #: Solving time in the CASA process, without its start-up, seconds.


def calibrator_of(workshop: Workshop, observation: Observation, name: str | None) -> Calibrator:
    """Return the calibrator to solve on: the named one, or the brightest that crossed the beam.

    Raises
    ------
    CalibratorNotFound
        If no calibrator has that name, or none crossed the beam.
    """
    if name is not None:
        return workshop.calibrators.find(name)
    if not observation.calibrators:
        raise CalibratorNotFound(
            f"no known calibrator crossed the beam in {observation.path} (declination "
            f"{observation.declination_deg:+.2f} deg); name one, or add it to the list of "
            "calibrators",
            path=str(observation.path),
        )
    return workshop.calibrators.find(observation.calibrators[0].name)


def solve_request(
    workshop: Workshop,
    observation: Observation,
    calibrator: Calibrator,
    prefix: Path,
    *,
    refant: str = "auto",
    plots: Path | None = None,
) -> SolveRequest:
    """Return the request to solve a drift scan on one calibrator, with this site's settings.

    Raises
    ------
    CatalogueError
        If the catalogue named in the settings is missing or damaged, or the list named in
        `calibration.sky_model` is malformed.
    """
    background, origin = _background(workshop, calibrator)
    return SolveRequest(
        ms=observation.path,
        calibrator=calibrator,
        prefix=prefix,
        pointing=Pointing.DRIFT,
        refant=refant,
        settings=workshop.settings.calibration,
        background=background,
        background_origin=origin,
        catalogue=workshop.settings.catalogue,
        plots=plots,
    )


def _background(workshop: Workshop, calibrator: Calibrator) -> tuple[tuple[Calibrator, ...], str]:
    """Return the known sources around a calibrator, and where they are from.

    A list that an operator made takes precedence over the reference catalogue. Sources known to
    vary have no flux density to put into a model.
    """
    listed = workshop.settings.calibration.sky_model
    index = workshop.settings.catalogue.default_spectral_index
    if listed is not None:
        near, release, kind = read_catalogue(listed, "sky_model").sources, str(listed), "list"
    else:
        catalogue = workshop.reference_catalogue()
        if catalogue is None:
            return (), ""
        near = catalogue.cone(calibrator.ra_deg, calibrator.dec_deg, REACH_DEG)
        release, kind = catalogue.facts.release, "catalogue"
    known = tuple(
        Calibrator(
            s.name,
            (),
            s.ra_deg,
            s.dec_deg,
            FluxModel.power_law(s.flux_jy, s.reference_ghz, s.spectral_index, release),
        )
        for s in near.reference_sources(index)
        if s.flux_jy > 0
    )
    n_assumed = int(np.isnan(near.spectral_index[~near.variable]).sum())
    assumed = f", spectral index {index:g} where it has none" if n_assumed else ""
    return sources_about(known, calibrator), f"the {kind} {release}{assumed}"


def solve_observation(
    workshop: Workshop,
    key: str,
    *,
    run_id: str = "",
    progress: Progress = no_progress,
    refant: str = "auto",
    calibrator_name: str | None = None,
) -> Solved:
    """Solve a calibrator observation and register the set, as active or as failed.

    `refant` is a name or ``auto``; the default calibrator is the brightest that crossed the beam.

    Raises
    ------
    DiskShort
        If too little disk space is free to begin.
    CalibrationFailed
        If the solve fails its checks; the set is in the registry as failed, with the reasons.
    CalibratorNotFound
        If there is no calibrator to solve on.
    UnreadableObservation
        If the MS is missing or changed, or its data can't be used.
    """
    wait_for_disk_space(workshop.settings, progress)
    # The registry reads the new tables in the process that solved them.
    workshop.casa.open(load_solver)
    observation = workshop.unchanged(key)
    observation.refuse_unusable()
    calibrator = calibrator_of(workshop, observation, calibrator_name)
    # A user's list may call a calibrator "NVSS J1234+56", which can't name a directory.
    name = check_name(set_name(plain_name(calibrator.name), key), "caltable set name")
    directory = _own_directory(workshop, name)
    request = solve_request(
        workshop, observation, calibrator, directory / name, refant=refant, plots=directory
    )
    try:
        timed = workshop.casa.run_timed(solve, request, label=f"{key}-solve", progress=progress)
    except CalibrationFailed as failure:
        reasons = [str(r) for r in failure.details.get("reasons") or [failure.message]]
        workshop.registry.register_failed(
            _new_set(workshop, name, observation, calibrator, None, run_id), reasons
        )
        raise
    finally:
        # Removes the directory only if it is empty, without any table.
        with suppress(OSError):
            directory.rmdir()
    result = timed.value
    # The registry may be another database, which doesn't know.
    workshop.products.refuse_superseded()
    new = _new_set(workshop, name, observation, calibrator, result, run_id)
    if result.failed:
        failed = workshop.registry.register_failed(new, result.reasons)
        raise CalibrationFailed(
            f"the solve of {observation.path.name} on {calibrator.name} is not good: "
            f"{'; '.join(result.reasons)}; registered as failed: {name} version {failed.version}",
            reasons=list(result.reasons),
            set=name,
            version=failed.version,
        )
    registered = workshop.registry.register(new)
    workshop.products.set_state(
        key,
        ObservationState.SOLVED,
        step=STEP,
        reason=f"registered {registered.name} version {registered.version}",
        run_id=run_id,
    )
    # Last: observations that wait for the set need not wait for its plots.
    diagnostics, notes = _diagnostics(workshop, result, directory, label=f"{key}-plotms")
    notes = (*result.notes, *notes)
    return Solved(observation, registered, result, diagnostics, notes, timed.seconds)


def _diagnostics(
    workshop: Workshop, result: SolveResult, directory: Path, label: str
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Draw plots with casaplotms where it works; the set is valid without them."""
    if not workshop.settings.calibration.plotms:
        return (), ("no plots by casaplotms: switched off by calibration.plotms",)
    wanted = caltable_plots({t.type: t.path for t in result.tables}, directory)
    try:
        drawn = workshop.casa.run(
            draw_plotms, PlotmsRequest(wanted), label=label, timeout_s=_PLOTS_TIMEOUT_S
        )
    except (PlotUnavailable, CasaError) as error:
        return (), (f"no plots by casaplotms: {error.message}",)
    return tuple(drawn), ()


def caltable_plots(tables: Mapping[CaltableType, Path], directory: Path) -> tuple[PlotmsPlot, ...]:
    """Return the plots of a set for `contimg_resources.casa.plotms.draw_plotms`.

    The PNG files are ``plotms_<table>_<axis>.png``.
    """
    return tuple(
        PlotmsPlot(
            vis=path,
            png=directory / f"plotms_{path.name}_{yaxis}.png",
            xaxis=xaxis,
            yaxis=yaxis,
            options={"coloraxis": "corr" if xaxis == "antenna1" else "antenna1"},
        )
        for kind, path in tables.items()
        for xaxis, yaxis in _PLOTMS_AXES[kind]
    )


def _own_directory(workshop: Workshop, name: str) -> Path:
    """Make a directory for the next free version, which no other solve of this name uses."""
    version = workshop.registry.next_version(name)
    while True:
        directory = workshop.settings.layout.caltable_set(name, version)
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            version += 1
        else:
            return directory


def _new_set(
    workshop: Workshop,
    name: str,
    observation: Observation,
    calibrator: Calibrator,
    result: SolveResult | None,
    run_id: str,
) -> NewCaltableSet:
    calibration = workshop.settings.calibration
    origin = {
        "ms": str(observation.path),
        "signature": observation.signature,
        "run_id": run_id,
        "flux_scale": calibrator.model.scale,
        "parameters": result.parameters if result else {},
        "software": result.versions if result else {},
        "plots": [str(plot) for plot in result.plots] if result else [],
        "notes": list(result.notes) if result else [],
    }
    return NewCaltableSet(
        name=name,
        calibrator=calibrator.name,
        refant=result.refant if result else "",
        mid_mjd=observation.mid_mjd,
        start_mjd=observation.mid_mjd - calibration.valid_before_h / 24,
        end_mjd=observation.mid_mjd + calibration.valid_after_h / 24,
        declination_deg=observation.declination_deg,
        layout=observation.layout,
        tables=tuple(NewCaltable(t.type, t.path) for t in result.tables) if result else (),
        quality=result.quality if result else {},
        origin=origin,
    )
