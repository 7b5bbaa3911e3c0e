"""Light curves that users add: lists of sources, one Parquet file for each list.

Belongs here: combining the measurements of several files into one list; writing, reading and
removing its file. Doesn't: the content of the added files (see `foreign`), metrics.

The ids of a list's sources begin with its name and a colon, so they never equal catalogue ids.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.errors import InvalidName, VariabilityFailed
from contimg_resources.core.naming import StateLayout, check_name, plain_name
from contimg_resources.core.parquet import ParquetFormat, arrays_of
from contimg_resources.photometry.light_curves import LightCurve, light_curve
from contimg_resources.photometry.model import Kind
from contimg_resources.variability.foreign import ForeignRows, RejectedRows
from contimg_resources.variability.model import LightCurves

#: Separates the name of a list from that of a source in it.
SEPARATOR = ":"

_FORMAT = ParquetFormat(
    lack="holds no light curves",
    version=1,
    columns={
        "source_id": ("string", "name of the list, a colon, and the source"),
        "ra_deg": ("double", "ICRS, degrees; null if the file has no position"),
        "dec_deg": ("double", "ICRS, degrees; null if the file has no position"),
        "mid_mjd": ("double", "MJD in days, UTC"),
        "flux_jy": ("double", "flux density, Jy"),
        "error_jy": ("double", "its uncertainty, Jy"),
    },
)
_SUFFIX = ".parquet"
#: Times closer than this, in days, count as the same time.
_SAME_TIME_DAYS = 1e-8
_LONGEST_SOURCE = 60
_MOST_REJECTED = 3000


@dataclass(frozen=True)
class AddedFile:
    """A file that a list was read from."""

    path: str  #: Its path when it was read.
    checksum: str  #: Checksum of its content.
    n_rows: int  #: Number of its rows.
    read_as: dict[str, str]  #: How each quantity was read.


@dataclass(frozen=True)
class AddedFacts:
    """Metadata of a list of light curves."""

    name: str  #: Name of the list.
    added_mjd: float  #: Time of adding, MJD in days.
    n_sources: int  #: Number of sources.
    n_points: int  #: Number of measurements.
    first_mjd: float  #: Time of the first measurement, MJD in days.
    last_mjd: float  #: Time of the last measurement, MJD in days.
    files: tuple[AddedFile, ...]  #: Files that the list was read from.
    rejected: tuple[RejectedRows, ...]  #: Rejected rows.
    software: dict[str, str]  #: Software versions.


def added_path(root: Path, name: str) -> Path:
    """Return the path of a list's file.

    Raises
    ------
    InvalidName
        If the name is invalid or contains a colon.
    """
    if SEPARATOR in name:
        raise InvalidName(f"{name!r} is not a valid name of a list: it contains a colon")
    return root / f"{check_name(name, 'name of a list')}{_SUFFIX}"


def added_names(root: Path) -> tuple[str, ...]:
    """Return the names of all lists, sorted."""
    return tuple(sorted(p.stem for p in root.glob(f"[!.]*{_SUFFIX}")))


def list_of(root: Path, source_id: str) -> str | None:
    """Return the list that a source belongs to; None if there is no such list."""
    name, separator, _ = source_id.partition(SEPARATOR)
    return name if separator and name in added_names(root) else None


def as_light_curves(
    name: str, parts: Sequence[ForeignRows]
) -> tuple[LightCurves, tuple[RejectedRows, ...]]:
    """Combine the measurements of files into light curves; return these and the rejected rows.

    Of several measurements of a source at one time, the one with the smallest error is used; of
    equal errors, the first.
    """
    texts = np.concatenate([p.source for p in parts])
    file = np.repeat(np.arange(len(parts)), [len(p.source) for p in parts])
    columns = {
        column: np.concatenate([getattr(p, column) for p in parts])
        for column in ("ra_deg", "dec_deg", "mjd", "flux_jy", "error_jy", "row")
    }
    names, place = np.unique(texts, return_inverse=True)
    ids = np.array(_ids(name, names.tolist()))
    rank = np.empty(len(ids), np.int64)
    rank[np.argsort(ids)] = np.arange(len(ids))
    source = rank[place]
    order = np.lexsort((columns["error_jy"], columns["mjd"], source))
    # Times that differ only by rounding are one time; within it, rows are sorted by error.
    mjd = columns["mjd"][order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (np.diff(source[order]) != 0) | (np.diff(mjd) > _SAME_TIME_DAYS)
    group = np.cumsum(begins)
    order = order[
        np.lexsort((columns["row"][order], file[order], columns["error_jy"][order], group))
    ]
    kept = order[np.flatnonzero(begins)]
    best = np.repeat(kept, np.diff(np.append(np.flatnonzero(begins), len(order))))
    again = order != best
    same = (columns["flux_jy"][order] == columns["flux_jy"][best]) & (
        columns["error_jy"][order] == columns["error_jy"][best]
    )
    rejected = [r for p in parts for r in p.rejected]
    for reason, which in (
        ("repeats another row", again & same),
        ("another measurement at the same time has no larger error", again & ~same),
    ):
        rejected += _rejected(parts, texts, file, columns["row"], order[which], reason)
    n = np.bincount(source[kept], minlength=len(ids))
    offsets = np.concatenate([[0], np.cumsum(n)]).astype(np.int64)
    ra_deg, dec_deg = _positions(columns["ra_deg"], columns["dec_deg"], source, len(ids))
    n_points = len(kept)
    curves = LightCurves(
        source_id=np.sort(ids),
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        offsets=offsets,
        mid_mjd=columns["mjd"][kept],
        flux_jy=columns["flux_jy"][kept],
        error_jy=columns["error_jy"][kept],
        flags=np.zeros(n_points, np.int64),
        is_reference=np.zeros(n_points, np.bool_),
        epoch=np.full(n_points, ""),
    )
    return curves, tuple(rejected)


def _ids(name: str, sources: Sequence[str]) -> list[str]:
    """Return distinct ids that are safe as file names; the same sources get the same ids."""
    plain = [plain_name(s)[:_LONGEST_SOURCE].replace("..", "_") for s in sources]
    taken = {p for p, s in zip(plain, sources, strict=True) if p == s}
    ids = []
    for text, source in zip(plain, sources, strict=True):
        ours = text
        if text != source:
            # Replacing a blank loses nothing, unless another source has that name.
            lossless = text == source.replace(" ", "_") and text not in taken
            if not lossless:
                ours = f"{text}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
        ids.append(f"{name}{SEPARATOR}{ours}")
    return ids


def _positions(ra_deg: Floats, dec_deg: Floats, source: Ints, n: int) -> tuple[Floats, Floats]:
    """Return the first position of each source; NaN where it has none."""
    found_ra, found_dec = np.full(n, np.nan), np.full(n, np.nan)
    there = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg))
    number, first = np.unique(source[there], return_index=True)
    found_ra[number], found_dec[number] = ra_deg[there[first]], dec_deg[there[first]]
    return found_ra, found_dec


def _rejected(
    parts: Sequence[ForeignRows],
    texts: NDArray[np.str_],
    file: Ints,
    row: Ints,
    which: Ints,
    reason: str,
) -> list[RejectedRows]:
    groups: dict[tuple[int, str], list[int]] = {}
    for i in np.sort(which).tolist():
        groups.setdefault((int(file[i]), str(texts[i])), []).append(int(row[i]))
    return [
        RejectedRows(source, reason, len(rows), tuple(rows[:3]), parts[number].file)
        for (number, source), rows in groups.items()
    ]


def shortened(rejected: Sequence[RejectedRows]) -> tuple[RejectedRows, ...]:
    """Return as many rejections as a file's metadata may hold, and the rest summed by reason."""
    kept, rest = tuple(rejected[:_MOST_REJECTED]), rejected[_MOST_REJECTED:]
    n: dict[str, int] = {}
    for r in rest:
        n[r.reason] = n.get(r.reason, 0) + r.n
    return kept + tuple(RejectedRows("other sources", why, k, (), "") for why, k in n.items())


def write_added(root: Path, curves: LightCurves, facts: AddedFacts) -> Path:
    """Write a list, replacing one of the same name; the file is written whole or not at all."""
    path = added_path(root, facts.name)
    n_points = np.diff(curves.offsets)
    values = {
        "source_id": np.repeat(curves.source_id, n_points),
        "ra_deg": np.repeat(curves.ra_deg, n_points),
        "dec_deg": np.repeat(curves.dec_deg, n_points),
        **{name: getattr(curves, name) for name in ("mid_mjd", "flux_jy", "error_jy")},
    }
    _FORMAT.write(path, values, asdict(facts))
    return path


def read_added(root: Path, name: str) -> tuple[LightCurves, AddedFacts]:
    """Read a list.

    Raises
    ------
    VariabilityFailed
        If there is no list of this name; the message names the existing lists.
    UnreadableMeasurements
        If its file is damaged or was written by a newer contimg.
    """
    path = _existing(root, name)
    table, told = _FORMAT.read(path)
    with _FORMAT.refusing(path):
        facts = _facts(told)
        columns = arrays_of(table)
    # The file is sorted by source and time.
    names, first = np.unique(columns["source_id"], return_index=True)
    n_points = table.num_rows
    return (
        LightCurves(
            source_id=names,
            ra_deg=columns["ra_deg"][first],
            dec_deg=columns["dec_deg"][first],
            offsets=np.append(first, n_points).astype(np.int64),
            mid_mjd=columns["mid_mjd"],
            flux_jy=columns["flux_jy"],
            error_jy=columns["error_jy"],
            flags=np.zeros(n_points, np.int64),
            is_reference=np.zeros(n_points, np.bool_),
            epoch=np.full(n_points, ""),
        ),
        facts,
    )


def read_added_facts(root: Path, name: str) -> AddedFacts:
    """Read the metadata of a list without its measurements.

    Raises
    ------
    VariabilityFailed
        If there is no list of this name.
    UnreadableMeasurements
        If its file is damaged or was written by a newer contimg.
    """
    path = _existing(root, name)
    told = _FORMAT.read_facts(path)
    with _FORMAT.refusing(path):
        return _facts(told)


def light_curve_of(layout: StateLayout, source_id: str, kind: Kind = "mosaic") -> LightCurve:
    """Return the light curve of a source, which the platform measured or somebody added.

    The id of an added light curve contains the name of its list. `kind` is ``mosaic``, or ``image``
    for single 5-minute images; added light curves have one kind.

    Raises
    ------
    PhotometryFailed
        If the source was never measured.
    VariabilityFailed
        If its list doesn't have it.
    """
    if list_of(layout.added_light_curves, source_id) is not None:
        return added_light_curve(layout.added_light_curves, source_id)
    return light_curve(layout.photometry, source_id, kind)


def added_light_curve(root: Path, source_id: str) -> LightCurve:
    """Return the measurements of one source of a list.

    Raises
    ------
    VariabilityFailed
        If the list or the source doesn't exist; the message names similar sources.
    UnreadableMeasurements
        If its file is damaged.
    """
    name = source_id.partition(SEPARATOR)[0]
    curves, _ = read_added(root, name)
    index = int(np.searchsorted(curves.source_id, source_id))
    if index >= len(curves) or curves.source_id[index] != source_id:
        near = get_close_matches(source_id, curves.source_id.tolist(), 3)
        raise VariabilityFailed(
            f"the list {name} has no source {source_id!r}; "
            + (f"similar: {', '.join(near)}" if near else f"`contimg lightcurves show {name}`")
        )
    own = curves.of(index)
    n = own.stop - own.start
    return LightCurve(
        source_id=source_id,
        epoch=np.full(n, ""),
        kind=np.full(n, f"list {name}"),
        mid_mjd=curves.mid_mjd[own],
        frequency_hz=np.full(n, np.nan),
        flux_jy=curves.flux_jy[own],
        flux_error_jy=curves.error_jy[own],
        integrated_flux_jy=np.full(n, np.nan),
        integrated_error_jy=np.full(n, np.nan),
        raw_flux_jy=curves.flux_jy[own],
        raw_error_jy=curves.error_jy[own],
        rms_jy=np.full(n, np.nan),
        flags=curves.flags[own],
        epoch_ok=np.ones(n, np.bool_),
        ra_deg=np.full(n, curves.ra_deg[index]),
        dec_deg=np.full(n, curves.dec_deg[index]),
    )


def remove_added(root: Path, name: str, *, dry_run: bool = False) -> None:
    """Remove a list; a dry run only checks that it exists.

    Raises
    ------
    VariabilityFailed
        If there is no list of this name.
    """
    path = _existing(root, name)
    if not dry_run:
        path.unlink()


def _existing(root: Path, name: str) -> Path:
    path = added_path(root, name)
    if not path.is_file():
        there = added_names(root)
        raise VariabilityFailed(
            f"there is no list of light curves {name!r} in {root}; "
            + (
                f"existing lists: {', '.join(there)}"
                if there
                else "add one with `contimg lightcurves add`"
            ),
            path=str(path),
        )
    return path


def _facts(told: dict[str, Any]) -> AddedFacts:
    told = {name: value for name, value in told.items() if name != "schema_version"}
    files = tuple(AddedFile(**f) for f in told.pop("files"))
    rejected = tuple(RejectedRows(**{**r, "rows": tuple(r["rows"])}) for r in told.pop("rejected"))
    return AddedFacts(files=files, rejected=rejected, **told)
