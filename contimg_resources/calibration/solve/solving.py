"""Solve a caltable set from one calibrator observation. Runs in a CASA process.

Belongs here: the sequence of steps, and CASA's fluxscale. Each other step is a separate module:
`.working_memory` or `.working` (the engines, which prepare the data), `.chain`, `.editing`,
`contimg_resources.calibration.quality`, `.plots`.

The chain, each table solved with all before it applied:

1. K, a delay for each antenna, receptor and spectral window;
2. short-interval phases, discarded afterwards, so that the bandpass is not decorrelated;
3. one bandpass, normalised to unit amplitude, split into BA and BP;
4. one complex gain, split into GA and GP;
5. 2G, the change of the gain within the observation, on top of GA and GP;
6. FLUX, where a second calibrator was observed: the gain amplitudes on one flux scale.

A table that can't be solved ends the solve: nothing replaces it.
"""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.apply.correcting import why_not
from contimg_resources.calibration.inspection import describe_caltables
from contimg_resources.calibration.ms.health import DataHealth, antenna_names, telescope_name
from contimg_resources.calibration.ms.layout import used_descriptions
from contimg_resources.calibration.quality import check_quality
from contimg_resources.calibration.solutions import read_solutions
from contimg_resources.calibration.solve.chain import AUTO, Chain, RefantChoice, choose_refant
from contimg_resources.calibration.solve.editing import (
    place_tables,
    rewrite_gains,
    split_amplitude_phase,
    state_source,
)
from contimg_resources.calibration.solve.model import (
    FluxTransfer,
    Pointing,
    SolvedCaltable,
    SolveRequest,
    SolveResult,
)
from contimg_resources.calibration.solve.phasing import read_fields
from contimg_resources.calibration.solve.plots import PlotContext, plot_summary, plot_table
from contimg_resources.calibration.solve.skymodel import ModelOfField, background_sources
from contimg_resources.calibration.solve.solver_pool import SolverPool
from contimg_resources.calibration.solve.working import WorkingData, copy_observation
from contimg_resources.calibration.solve.working_memory import read_into_memory
from contimg_resources.compiling import n_cores
from contimg_resources.core.errors import (
    CalibrationFailed,
    ConfigurationError,
    UnreadableObservation,
)
from contimg_resources.core.progress import report_progress
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.core.trees import remove_tree
from contimg_resources.instrument.caltables import CaltableType, check_prefix
from contimg_resources.instrument.dsa110 import TELESCOPE_NAMES
from contimg_resources.observations.calibrators import Calibrator

#: The engines that prepare the data, by name.
_ENGINES: dict[str, Callable[[SolveRequest, Path], WorkingData]] = {
    "casa": copy_observation,
    "fast": read_into_memory,
}


def solve_caltables(request: SolveRequest) -> SolveResult:
    """Solve a caltable set; call through `contimg_resources.casa.Casa.run`.

    The input is only read: all work is done on a copy in the process's scratch directory, and the
    tables are put in place when all of them are there. If `SolveResult.failed`, a quality limit was
    missed: such tables are kept for inspection, never to be applied.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    CalibrationFailed
        If there is no usable reference antenna, calibrator or data, or a table can't be solved;
        ``details["reasons"]`` lists the reasons.
    """
    _check(request)
    report_progress("reading the observation", 0.0)
    with _readable(request.ms):
        engine = _engine(request)
        request, modelled = _with_chosen_background(request)
        # A part has at least one window.
        n_parts = min(n_cores(), len(used_descriptions(request.ms))) if engine == "fast" else 1
    with SolverPool(n_parts) as solvers:
        with _readable(request.ms):
            data = _ENGINES[engine](request, Path.cwd())
        health = data.health
        refant = choose_refant(health.antennas, request.refant, request.settings.refants)
        tables, flux = _solve(request, data, solvers, refant)
    report_progress("checking the tables", 0.9)
    for path in tables.values():
        state_source(path, request.ms, data.declination_deg)
    placed = place_tables(tables, request.prefix)
    infos = describe_caltables(list(placed.values()), health.working_antennas)
    solved = [
        SolvedCaltable(kind, info.path, info.quality)
        for kind, info in zip(placed, infos, strict=True)
    ]
    reasons = [r for t in solved for r in check_quality(t.type, t.quality, request.settings)]
    notes, plots = _plots(request, solved, health, refant)
    if modelled is not None:
        notes = (modelled.words(request.calibrator.name, health.n_working), *notes)
    return SolveResult(
        calibrator=request.calibrator.name,
        refant=refant.name,
        refant_reason=refant.reason,
        tables=tuple(solved),
        start_mjd=health.start_mjd,
        end_mjd=health.end_mjd,
        mid_mjd=0.5 * (health.start_mjd + health.end_mjd),
        declination_deg=data.declination_deg,
        layout=health.layout,
        flagged_fraction=health.flagged_fraction,
        working_antennas=health.n_working,
        reasons=tuple(reasons),
        flux=flux,
        plots=plots,
        notes=notes,
        parameters={
            "engine": engine,
            "pointing": request.pointing.value,
            "refant_requested": request.refant,
            "recipe": asdict(request.recipe),
            "settings": request.settings.model_dump(mode="json"),
            "calibrator": asdict(request.calibrator),
            "other_sources": None if modelled is None else asdict(modelled),
            "fields": list(request.calibrator_fields),
            "transfer_fields": list(request.transfer_fields),
        },
        versions=_versions(),
    )


def _with_chosen_background(request: SolveRequest) -> tuple[SolveRequest, ModelOfField | None]:
    """Keep in a drift scan's model the sources that matter; summarise them. None when tracking."""
    if request.pointing is Pointing.TRACKING:
        return request, None
    fields = read_fields(request.ms)
    chosen = background_sources(request.background, request.calibrator, fields)
    modelled = ModelOfField.of(chosen, fields, request.background_origin)
    return replace(request, background=chosen), modelled


def _check(request: SolveRequest) -> None:
    """Refuse an invalid request before anything is copied."""
    check_prefix(request.prefix)
    tracking = request.pointing is Pointing.TRACKING
    if tracking and not request.calibrator_fields:
        raise ConfigurationError("a tracking solve needs the names of the calibrator's fields")
    if not tracking and (request.transfer_fields or request.calibrator_fields):
        raise ConfigurationError("a drift scan has no calibrator or transfer fields to name")
    if not (request.ms / "table.dat").is_file():
        raise UnreadableObservation(f"{request.ms} is no MeasurementSet", path=str(request.ms))
    telescope = telescope_name(request.ms)
    if not tracking and telescope not in TELESCOPE_NAMES:
        raise ConfigurationError(
            f"{request.ms.name} was observed by {telescope}: the model of a drift scan carries the "
            f"primary beam of {' or '.join(TELESCOPE_NAMES)}; solve it as a tracking observation"
        )
    names = antenna_names(request.ms)
    if request.refant not in (AUTO, *names):
        near = difflib.get_close_matches(request.refant, names, n=3, cutoff=0.5)
        told = f"; of like names {', '.join(near)}" if near else ""
        preferred = [n for n in request.settings.refants if n in names][:3]
        told += f"; preferred are {', '.join(preferred)}" if preferred else ""
        raise CalibrationFailed(
            f"reference antenna {request.refant!r} is none of the {len(names)} antennas in "
            f"{request.ms.name}{told}",
            reasons=[f"reference antenna {request.refant} is absent"],
        )


@contextmanager
def _readable(ms: Path) -> Iterator[None]:
    """Report CASA's errors as an observation that can't be read."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{ms} can't be read to its end: {reason}", path=str(ms)
        ) from error


def _engine(request: SolveRequest) -> str:
    """Return the engine that solves: the requested one, where possible."""
    if request.settings.engine == "fast":
        tracking = request.pointing is Pointing.TRACKING
        if not tracking and not request.recipe.gain_channels and not why_not(request.ms, ()):
            return "fast"
    return "casa"


def _solve(
    request: SolveRequest, data: WorkingData, solvers: SolverPool, refant: RefantChoice
) -> tuple[dict[CaltableType, Path], tuple[FluxTransfer, ...]]:
    recipe = request.recipe
    chain = Chain(data, solvers, refant, request.settings)
    transfer = read_fields(data.ms).ids(request.transfer_fields)
    drift = request.pointing is Pointing.DRIFT
    scratch = data.directory
    tables: dict[CaltableType, Path] = {}
    bandpass: Path | None = None
    if recipe.delays:
        report_progress("solving delays", 0.25)
        tables[CaltableType.K] = chain.delays()
    if recipe.bandpass and not recipe.gains_first:
        report_progress("solving the bandpass", 0.35)
        bandpass = chain.bandpass(through_short_phases=True)
    report_progress("solving gains", 0.6)
    gains = chain.gains(
        fields=(*data.fields, *transfer),
        combine="scan" if drift else "",
        channels=recipe.gain_channels,
    )
    if recipe.bandpass and recipe.gains_first:
        report_progress("solving the bandpass", 0.7)
        bandpass = chain.bandpass(through_short_phases=False)
    if bandpass is not None:
        tables[CaltableType.BA], tables[CaltableType.BP] = scratch / "ba", scratch / "bp"
        split_amplitude_phase(bandpass, scratch / "ba", scratch / "bp")
    tables[CaltableType.GA], tables[CaltableType.GP] = scratch / "ga", scratch / "gp"
    split_amplitude_phase(gains, scratch / "ga", scratch / "gp")
    if recipe.short_gains:
        report_progress("solving short-interval gains", 0.8)
        tables[CaltableType.G2] = chain.short_gains()
    flux: tuple[FluxTransfer, ...] = ()
    if transfer:
        tables[CaltableType.FLUX] = scratch / "flux"
        named = tuple(zip(transfer, request.transfer_fields, strict=True))
        flux = transfer_flux(
            data.ms, gains, scratch / "flux", request.calibrator, data.fields, named
        )
    ordered = sorted(tables, key=lambda kind: kind.apply_order)
    return {kind: tables[kind] for kind in ordered}, flux


def _plots(
    request: SolveRequest, solved: list[SolvedCaltable], health: DataHealth, refant: RefantChoice
) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Draw the tables; return notes and plots. A plot that fails is a note, not a failed solve."""
    if request.plots is None:
        return (), ()
    report_progress("drawing the solutions", 0.95)
    moment = isot_from_mjd(0.5 * (health.start_mjd + health.end_mjd))[:19]
    context = PlotContext(
        title=f"{request.calibrator.name}   {moment} UTC   reference antenna {refant.name}",
        antenna_names=health.layout.antenna_names,
        frequencies_hz=health.frequencies_hz,
        receptors=health.receptors,
    )
    name = request.prefix.name
    try:
        tables = {t.type: read_solutions(t.path) for t in solved}
        drawn = [plot_summary(tables, context, request.plots / f"{name}_summary.png")]
        for kind, solutions in tables.items():
            png = request.plots / f"{name}{kind.suffix}.png"
            drawn.append(plot_table(kind, solutions, context, png))
    except Exception as error:
        return (f"no plots of the solutions: {type(error).__name__}: {error}",), ()
    return (), tuple(drawn)


def _versions() -> dict[str, str]:
    import casatools

    tools: Any = casatools
    try:
        own = version("contimg")
    except PackageNotFoundError:
        own = "not installed as a package"
    return {"contimg": own, "casatools": str(tools.version_string())}


def transfer_flux(
    ms: Path,
    gains: Path,
    flux_table: Path,
    calibrator: Calibrator,
    reference_fields: tuple[int, ...],
    transfer_fields: tuple[tuple[int, str], ...],
) -> tuple[FluxTransfer, ...]:
    """Scale gains of fields of unknown flux density to those of the flux calibrator.

    Antenna gains do not depend on the source, so the ratio of the gains solved with a model of 1 Jy
    to those of the flux calibrator is the square root of the flux density. `gains` has solutions of
    all fields; the FLUX table, which is written, holds the amplitudes of the scaled gains.
    `transfer_fields` are field ids and names of the secondary calibrators, which the result
    follows.

    Raises
    ------
    CalibrationFailed
        If a flux density could not be derived.
    """
    from casatasks import fluxscale

    task: Any = fluxscale
    remove_tree(flux_table, ignore_errors=True)
    answer = task(
        vis=str(ms),
        caltable=str(gains),
        fluxtable=str(flux_table),
        reference=[str(f) for f in reference_fields],
        transfer=[str(f) for f, _ in transfer_fields],
    )
    if not isinstance(answer, dict) or not flux_table.is_dir():
        raise CalibrationFailed(
            f"no flux density could be transferred from {calibrator.name}: fluxscale left no table",
            reasons=["flux transfer failed"],
        )
    found = []
    for field_id, name in transfer_fields:
        record = answer.get(str(field_id))
        if record is None:
            raise CalibrationFailed(
                f"no flux density was found for field {name}", reasons=["flux transfer failed"]
            )
        found.append(_weighted(name, record, np.asarray(answer["freq"]), calibrator))
    rewrite_gains(flux_table, "amplitude")
    return tuple(found)


def _weighted(
    name: str, record: dict[str, Any], frequencies_hz: Any, calibrator: Calibrator
) -> FluxTransfer:
    windows = [int(k) for k in record if str(k).isdigit()]
    flux = np.array([record[str(w)]["fluxd"][0] for w in windows], np.float64)
    error = np.array([record[str(w)]["fluxdErr"][0] for w in windows], np.float64)
    count = np.array([record[str(w)]["numSol"][0] for w in windows], np.float64)
    hz = np.array([frequencies_hz[w] for w in windows], np.float64)
    good = (flux > 0) & (count > 0)
    if not good.any():
        raise CalibrationFailed(
            f"no flux density was found for field {name}", reasons=["flux transfer failed"]
        )
    flux, error, count, hz = (v[good] for v in (flux, error, count, hz))
    weight = 1 / np.maximum(error, 1e-6 * flux) ** 2
    mean_hz = float(np.average(hz, weights=weight))
    ratios = flux / calibrator.flux_jy(hz)
    return FluxTransfer(
        field=name,
        flux_jy=float(np.average(flux, weights=weight)),
        error_jy=float(1 / np.sqrt(weight.sum())),
        ratio=float(np.average(ratios, weights=weight)),
        ratio_error=float(1 / np.sqrt((weight * (flux / ratios) ** 2).sum())),
        frequency_hz=mean_hz,
        n_solutions=int(count.sum()),
    )
