"""Write the calibrated MS: caltables applied on the fly, one phase centre, interference flagged.

Belongs here: the one step from an MS that arrived to a calibrated MS of our own.
Doesn't: choosing the caltables (see the registry), solving, imaging.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.callib import Band, TableToApply, callib_text, map_windows
from contimg_resources.calibration.interference import flag_shared_interference
from contimg_resources.calibration.rfi import (
    FlagCount,
    clip_nonsense,
    count_flags,
    flag_interference,
    working_antenna_ids,
)
from contimg_resources.casa.progress import report_progress
from contimg_resources.casa.tasks import call_task
from contimg_resources.checksums import stat_signature
from contimg_resources.directories import whole_directory
from contimg_resources.errors import CasaError, ConfigurationError, UnreadableObservation

#: Keyword of the calibrated MS that holds its origin as JSON.
ORIGIN_KEYWORD = "CONTIMG_ORIGIN"


@dataclass(frozen=True)
class ApplyRequest:
    """What to calibrate, with what, and where to put it.

    Parameters
    ----------
    ms : Path
        The MS that arrived; only read.
    tables : tuple of TableToApply
        The caltables; applied in the order of their ``order``.
    output : Path
        The calibrated MS to write; replaced when it exists.
    working_antennas : tuple of str
        Names of the antennas over which flags are counted; empty: those with data in `ms`.
    field_selection : str
        CASA field selection; empty: all fields.
    shift : bool
        Bring all fields to one phase centre; without, they stay where they are.
    phase_center_deg : (float, float), optional
        Right ascension and declination of it, ICRS degrees; None: the middle of the fields, which
        for a drift scan is the meridian in the middle of the observation.
    flag_rfi : bool
        Flag radio interference after calibrating.
    max_flagged_fraction : float
        More flags than this on working antennas is an error.
    provenance : dict of str to str
        Noted in the calibrated MS.
    """

    ms: Path
    tables: tuple[TableToApply, ...]
    output: Path
    working_antennas: tuple[str, ...] = ()
    field_selection: str = ""
    shift: bool = True
    phase_center_deg: tuple[float, float] | None = None
    flag_rfi: bool = True
    max_flagged_fraction: float = 1.0
    provenance: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ApplyResult:
    """A calibrated MS.

    Parameters
    ----------
    ms : Path
        It.
    phase_center_deg : (float, float), optional
        Its one phase centre, ICRS degrees; None when the fields were left where they are.
    working_antennas : tuple of str
        Names of the antennas over which flags were counted.
    n_rows : int
        Rows of it; autocorrelations are left behind.
    input_flagged_fraction : float
        Flags that came with the data.
    applied_flagged_fraction : float
        After applying: with zeros, values that aren't finite, and antennas without solutions.
    flagged_fraction : float
        After flagging interference. All three are of cross-correlations of working antennas.
    """

    ms: Path
    phase_center_deg: tuple[float, float] | None
    working_antennas: tuple[str, ...]
    n_rows: int
    input_flagged_fraction: float
    applied_flagged_fraction: float
    flagged_fraction: float

    @property
    def rfi_flagged_fraction(self) -> float:
        """What flagging interference added."""
        return self.flagged_fraction - self.applied_flagged_fraction


def write_calibrated_ms(request: ApplyRequest) -> ApplyResult:
    """Write a calibrated MS; call through `contimg_resources.casa.Casa.run`.

    Parameters
    ----------
    request : ApplyRequest
        What to do.

    Returns
    -------
    ApplyResult
        The MS and its flags. It is whole, or an exception was raised and nothing is there (or
        what was there before).

    Raises
    ------
    ConfigurationError
        If there are no tables: data are never passed on as calibrated without any.
    UnreadableObservation
        If the MS can't be read, or has no unflagged data.
    CasaError
        If a table is missing or doesn't fit, CASA failed, the product shows that nothing was
        applied, or too much of it is flagged.
    """
    _check(request)
    report_progress(f"reading {request.ms.name}", 0.0)
    names, fields = _look(request)
    before = stat_signature(request.ms)
    ids = _working(request, names, fields)
    arrived = count_flags(request.ms, ids, fields)
    if arrived.total == arrived.flagged:
        raise UnreadableObservation(
            f"{request.ms}: all data of its {len(ids)} working antennas are flagged; there is "
            "nothing to calibrate",
            path=str(request.ms),
        )
    with whole_directory(request.output) as partial:
        center = _transform(request, partial)
        applied, final = _flag(request, partial, ids)
        _note_origin(partial, request, center)
        n_rows = _n_rows(partial)
        if stat_signature(request.ms) != before:
            raise CasaError(
                f"{request.ms} changed while it was read; its calibrated MS was thrown away",
                path=str(request.ms),
            )
        report_progress(f"putting {request.output.name} in its place", 0.98)
    return ApplyResult(
        ms=request.output,
        phase_center_deg=center,
        working_antennas=tuple(names[i] for i in sorted(ids)),
        n_rows=n_rows,
        input_flagged_fraction=arrived.fraction,
        applied_flagged_fraction=applied.fraction,
        flagged_fraction=final.fraction,
    )


def read_origin(ms: Path) -> dict[str, Any]:
    """Return what `write_calibrated_ms` noted in an MS; empty for any other. Needs CASA."""
    import casatools

    table = casatools.table()
    table.open(str(ms))
    try:
        known = ORIGIN_KEYWORD in table.keywordnames()
        return dict(json.loads(table.getkeyword(ORIGIN_KEYWORD))) if known else {}
    finally:
        table.close()


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
    """Return the antenna names by id and the ids of the selected fields."""
    import casatools

    table, selection = casatools.table(), casatools.ms()
    try:
        table.open(str(request.ms))
        columns = table.colnames()
        table.close()
        if "DATA" not in columns:
            raise UnreadableObservation(f"{request.ms} has no column DATA", path=str(request.ms))
        table.open(str(request.ms / "ANTENNA"))
        names = [str(name) for name in table.getcol("NAME")]
        table.close()
        table.open(str(request.ms / "FIELD"))
        fields = list(range(table.nrows()))
        table.close()
        if request.field_selection:
            chosen = selection.msseltoindex(str(request.ms), field=request.field_selection)
            fields = [int(i) for i in chosen["field"]]
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UnreadableObservation(
            f"{request.ms} can't be read: {said}", path=str(request.ms)
        ) from error
    return names, fields


def _working(request: ApplyRequest, names: Sequence[str], fields: Sequence[int]) -> set[int]:
    unknown = sorted(set(request.working_antennas) - set(names))
    if unknown:
        raise ConfigurationError(
            f"{request.ms} has no antennas named {', '.join(unknown)}; it has {', '.join(names)}"
        )
    if request.working_antennas:
        return {names.index(name) for name in request.working_antennas}
    found = working_antenna_ids(request.ms, fields)
    if not found:
        raise UnreadableObservation(
            f"{request.ms} has no unflagged data that aren't zero on any baseline",
            path=str(request.ms),
        )
    return found


def _transform(request: ApplyRequest, partial: Path) -> tuple[float, float] | None:
    import casatasks

    report_progress(f"applying {len(request.tables)} caltables to {request.ms.name}", 0.05)
    windows = read_bands(request.ms)
    for table in request.tables:
        _check_antennas(request.ms, table.path)
    maps = [
        (t, map_windows(windows, _bands_with_solutions(t.path), t.path)) for t in request.tables
    ]
    callib = Path("callib.txt").resolve()
    callib.write_text(callib_text(maps))
    applied = partial.with_name(partial.name + ".unshifted") if request.shift else partial
    call_task(
        casatasks.mstransform,
        product=applied / "table.dat",
        vis=str(request.ms),
        outputvis=str(applied),
        field=request.field_selection,
        antenna="*&",
        datacolumn="corrected",
        docallib=True,
        callib=str(callib),
    )
    _check_applied(request, applied)
    if not request.shift:
        return None
    report_progress("bringing the fields to one phase centre", 0.35)
    ra_deg, dec_deg = request.phase_center_deg or middle_of_fields(applied)
    call_task(
        casatasks.phaseshift,
        product=partial / "table.dat",
        vis=str(applied),
        outputvis=str(partial),
        phasecenter=f"ICRS {ra_deg:.10f}deg {dec_deg:.10f}deg",
        datacolumn="data",
    )
    if _n_rows(partial) != _n_rows(applied):
        raise CasaError(
            f"phaseshift kept {_n_rows(partial)} of {_n_rows(applied)} rows of {request.ms}"
        )
    shutil.rmtree(applied)
    return (ra_deg, dec_deg)


def _flag(request: ApplyRequest, partial: Path, ids: set[int]) -> tuple[FlagCount, FlagCount]:
    report_progress("flagging zeros", 0.5)
    clip_nonsense(partial)
    applied = final = count_flags(partial, ids)
    _check_flags(request, applied, "after applying the caltables")
    if request.flag_rfi:
        report_progress(f"flagging interference, {applied.fraction:.1%} is flagged before", 0.6)
        # First what all baselines see at once: to tfcrop and rflag it looks like the sky.
        flag_shared_interference(partial)
        flag_interference(partial, one_direction=request.shift)
        final = count_flags(partial, ids)
        report_progress(f"{final.fraction:.1%} of the data of working antennas is flagged", 0.95)
        _check_flags(request, final, "after flagging interference")
    return applied, final


def _check_flags(request: ApplyRequest, count: FlagCount, when: str) -> None:
    if count.flagged == count.total or count.fraction > request.max_flagged_fraction:
        raise CasaError(
            f"{request.ms}: {count.fraction:.1%} of the data of working antennas is flagged {when};"
            f" at most {request.max_flagged_fraction:.1%} is allowed, and some must be left",
            path=str(request.ms),
            flagged_fraction=count.fraction,
        )


def _check_applied(request: ApplyRequest, applied: Path) -> None:
    """Compare one integration with its input: CASA reports success when nothing was applied."""
    import casatools

    if not _n_rows(applied):
        raise CasaError(f"mstransform kept no row of {request.ms}")
    samples = []
    table = casatools.table()
    table.open(str(applied))
    moment = float(table.getcell("TIME", table.nrows() // 2))
    table.close()
    for ms in (request.ms, applied):
        table.open(str(ms))
        rows = table.query(
            f"ANTENNA1 != ANTENNA2 && abs(TIME - {moment!r}) < 1e-3",
            sortlist="DATA_DESC_ID,ANTENNA1,ANTENNA2",
            columns="DATA,FLAG",
        )
        samples.append([(rows.getcell("DATA", i), rows.getcell("FLAG", i)) for i in _some(rows)])
        rows.close()
        table.close()
    untouched = compared = 0
    for (raw, _), (calibrated, flags) in zip(*samples, strict=True):
        good = ~flags & (raw != 0)
        compared += int(good.sum())
        untouched += int((raw == calibrated)[good].sum())
    if compared and untouched == compared:
        raise CasaError(
            f"mstransform returned but applied none of {len(request.tables)} caltables to "
            f"{request.ms}: its data are unchanged",
            path=str(request.ms),
        )


def _some(rows: Any) -> list[int]:
    n = int(rows.nrows())
    return [int(i) for i in np.unique(np.linspace(0, n - 1, min(n, 400)).astype(int))]


def _n_rows(ms: Path) -> int:
    import casatools

    table = casatools.table()
    table.open(str(ms))
    try:
        return int(table.nrows())
    finally:
        table.close()


def read_bands(table_path: Path) -> list[Band]:
    """Return the spectral windows of an MS or caltable by id. Needs CASA."""
    import casatools

    table = casatools.table()
    table.open(str(table_path / "SPECTRAL_WINDOW"))
    bands = []
    try:
        for i in range(table.nrows()):
            center = table.getcell("CHAN_FREQ", i)
            half = 0.5 * np.abs(table.getcell("CHAN_WIDTH", i))
            bands.append(Band(i, float((center - half).min()), float((center + half).max())))
    finally:
        table.close()
    return bands


def _check_antennas(ms: Path, caltable: Path) -> None:
    # CASA matches antennas by number, so another list of names means other antennas' gains.
    ours, theirs = _antenna_names(ms), _antenna_names(caltable)
    if ours != theirs:
        differing = sorted(set(ours) ^ set(theirs))
        raise CasaError(
            f"caltable {caltable} is of other antennas than {ms}: {len(theirs)} against "
            f"{len(ours)}, not in both: {', '.join(differing[:12]) or 'none, only their order'}",
            path=str(caltable),
        )


def _antenna_names(table_path: Path) -> list[str]:
    import casatools

    table = casatools.table()
    try:
        table.open(str(table_path / "ANTENNA"))
        names = [str(name) for name in table.getcol("NAME")]
        table.close()
        return names
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"{table_path} can't be read: {said}", path=str(table_path)) from error


def _bands_with_solutions(caltable: Path) -> list[Band]:
    import casatools

    table = casatools.table()
    try:
        table.open(str(caltable))
        used = {int(i) for i in np.unique(table.getcol("SPECTRAL_WINDOW_ID"))}
        table.close()
        return [band for band in read_bands(caltable) if band.id in used]
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"caltable {caltable} can't be read: {said}") from error


def field_directions(ms: Path, column: str = "PHASE_DIR") -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the directions of the fields of an MS. Needs CASA.

    Parameters
    ----------
    ms : Path
        The MS.
    column : str
        ``PHASE_DIR``, or ``REFERENCE_DIR``, which still says where the telescope pointed after
        the phase centres were moved.

    Returns
    -------
    ndarray of float, shape (n_fields, 2)
        Right ascension and declination, ICRS degrees.
    """
    import casatools

    table, measures = casatools.table(), casatools.measures()
    table.open(str(ms / "FIELD"))
    try:
        frame = table.getcolkeyword(column, "MEASINFO")["Ref"]
        cells = [table.getcell(column, i)[:, 0] for i in range(table.nrows())]
    finally:
        table.close()
    found = []
    for ra, dec in ((float(a), float(d)) for a, d in cells):
        there = measures.direction(frame, f"{ra!r}rad", f"{dec!r}rad")
        icrs = measures.measure(there, "ICRS")
        found.append((np.rad2deg(icrs["m0"]["value"]) % 360, np.rad2deg(icrs["m1"]["value"])))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def middle_of_fields(ms: Path) -> tuple[float, float]:
    """Return the middle of the phase centres of an MS that have data, ICRS degrees. Needs CASA."""
    import casatools

    table = casatools.table()
    table.open(str(ms))
    try:
        used = np.unique(table.getcol("FIELD_ID"))
    finally:
        table.close()
    ra, dec = np.deg2rad(field_directions(ms)[used]).T
    # Mean of the unit vectors: right ascension wraps.
    x, y, z = (np.cos(dec) * np.cos(ra)).mean(), (np.cos(dec) * np.sin(ra)).mean(), np.sin(dec)
    right_ascension = float(np.rad2deg(np.arctan2(y, x)) % 360)
    return right_ascension, float(np.rad2deg(np.arctan2(z.mean(), np.hypot(x, y))))


def _note_origin(ms: Path, request: ApplyRequest, center: tuple[float, float] | None) -> None:
    import casatools

    table = casatools.table()
    table.open(str(ms), nomodify=False)
    origin = {
        **request.provenance,
        "input_ms": str(request.ms),
        "caltables": [str(t.path) for t in sorted(request.tables, key=lambda t: t.order)],
        "phase_center_deg": center,
        "flag_rfi": request.flag_rfi,
    }
    table.putkeyword(ORIGIN_KEYWORD, json.dumps(origin))
    table.close()
