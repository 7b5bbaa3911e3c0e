"""Write the calibrated MS: caltables applied on the fly, one phase centre, interference flagged.

Belongs here: the one step from an incoming MS to our calibrated MS.
Doesn't: choosing the caltables (see the registry), solving, imaging.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from contimg_resources.calibration.apply.by_casa import apply_with_casa
from contimg_resources.calibration.apply.correcting import why_not
from contimg_resources.calibration.apply.in_memory import apply_in_memory
from contimg_resources.calibration.apply.incoming import Incoming
from contimg_resources.calibration.apply.memory import Also
from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult, Written
from contimg_resources.calibration.ms.layout import antenna_names_of, check_antennas, write_origin
from contimg_resources.casa.tables import opened
from contimg_resources.core.checksums import stat_signature
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import CasaError, ConfigurationError, UnreadableObservation
from contimg_resources.core.progress import report_progress
from contimg_resources.observations.counting import distinct

Engine = Callable[[ApplyRequest, Path, Sequence[int], frozenset[int], Also | None], Written]

#: The engines that can write the calibrated MS, by name.
ENGINES: dict[str, Engine] = {"casa": apply_with_casa, "fast": apply_in_memory}


def write_calibrated_ms(
    request: ApplyRequest, *, also: Also | None = None, incoming: Incoming | None = None
) -> ApplyResult:
    """Write a calibrated MS; call through `contimg_resources.casa.Casa.run`.

    Parameters
    ----------
    request : ApplyRequest
        The request.
    also : callable, optional
        Further processing of the data, by engines that have them in memory.
    incoming : Incoming, optional
        The visibilities, where the MS holds none; `why_not_in_memory` must be empty.

    Returns
    -------
    ApplyResult
        The MS and its flags. It is complete, or an exception was raised and nothing was written
        (the previous MS remains).

    Raises
    ------
    ConfigurationError
        If there are no tables: data are never accepted as calibrated without any.
    UnreadableObservation
        If the MS can't be read, or has no unflagged data.
    CasaError
        If a table is missing or doesn't match, CASA failed, the product shows that nothing was
        applied, or too much of it is flagged.
    """
    _check(request)
    report_progress(f"inspecting {request.ms.name}", 0.0)
    names, fields = _look(request)
    for table in request.tables:
        check_antennas(request.ms, names, table.path)
    before = stat_signature(request.ms)
    named = _named(request, names)
    with whole_directory(request.output) as partial:
        engine = "fast" if incoming is not None else _engine(request)
        if incoming is not None:
            written = apply_in_memory(request, partial, fields, named, also, incoming)
        else:
            written = ENGINES[engine](request, partial, fields, named, also)
        _note_origin(partial, request, engine, written.phase_center_deg)
        if written.rest is not None:
            written.rest()
        if stat_signature(request.ms) != before:
            raise CasaError(
                f"{request.ms} changed while it was read; its calibrated MS was discarded",
                path=str(request.ms),
            )
        report_progress(f"moving {request.output.name} into place", 0.98)
    return ApplyResult(
        ms=request.output,
        phase_center_deg=written.phase_center_deg,
        working_antennas=tuple(names[i] for i in sorted(written.working)),
        n_rows=written.n_rows,
        input_flagged_fraction=written.arrived.fraction,
        applied_flagged_fraction=written.applied.fraction,
        flagged_fraction=written.final.fraction,
    )


def _check(request: ApplyRequest) -> None:
    if not request.tables:
        raise ConfigurationError(
            f"no caltables were given for {request.ms}; data are not passed on as calibrated "
            "without any"
        )
    for table in request.tables:
        if not (table.path / "table.dat").is_file():
            raise CasaError(f"caltable {table.path} is not there", path=str(table.path))
    if not (request.ms / "table.dat").is_file():
        raise UnreadableObservation(
            f"{request.ms} is no MeasurementSet: it has no table.dat", path=str(request.ms)
        )
    if request.output.resolve() == request.ms.resolve():
        raise ConfigurationError(f"{request.ms} is input and output at once; input is only read")


def _look(request: ApplyRequest) -> tuple[list[str], list[int]]:
    """Return the names by id of the antennas with data, and the ids of the selected fields."""
    import casatools

    try:
        with opened(request.ms) as table:
            columns = table.colnames()
            used = distinct(*(table.getcol(name) for name in ("ANTENNA1", "ANTENNA2")))
        if "DATA" not in columns:
            raise UnreadableObservation(f"{request.ms} has no column DATA", path=str(request.ms))
        # An antenna without data may share its name with another, or have none.
        every = antenna_names_of(request.ms)
        names = [name if i in used else "" for i, name in enumerate(every)]
        with opened(request.ms / "FIELD") as table:
            fields = list(range(table.nrows()))
        if request.field_selection:
            selection = casatools.ms()
            chosen = selection.msseltoindex(str(request.ms), field=request.field_selection)
            fields = [int(i) for i in chosen["field"]]
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{request.ms} can't be read: {said}", path=str(request.ms)
        ) from error
    return names, fields


def _named(request: ApplyRequest, names: Sequence[str]) -> frozenset[int]:
    unknown = sorted(set(request.working_antennas) - set(names))
    if unknown:
        raise ConfigurationError(
            f"{request.ms} has no antennas named {', '.join(unknown)}; it has "
            f"{', '.join(filter(None, names))}"
        )
    return frozenset(names.index(name) for name in request.working_antennas)


def _engine(request: ApplyRequest) -> str:
    """Return the engine to use: "fast" falls back to CASA where it can't be used."""
    if request.settings.engine != "fast":
        return request.settings.engine
    if reason := why_not_in_memory(request):
        report_progress(f"{reason}: CASA applies the caltables", 0.01)
        return "casa"
    return "fast"


def why_not_in_memory(request: ApplyRequest) -> str:
    """Return why an observation can't be calibrated in memory; empty when it can.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    """
    try:
        return why_not(request.ms, request.tables)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{request.ms} can't be read: {said}", path=str(request.ms)
        ) from error


def _note_origin(
    ms: Path, request: ApplyRequest, engine: str, center: tuple[float, float] | None
) -> None:
    write_origin(
        ms,
        {
            "input_ms": str(request.ms),
            **request.provenance,
            "caltables": [str(t.path) for t in sorted(request.tables, key=lambda t: t.order)],
            "phase_center_deg": center,
            "flag_rfi": request.flag_rfi,
            "engine": engine,
        },
    )
