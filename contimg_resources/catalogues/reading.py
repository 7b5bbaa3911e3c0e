"""Read a file with a catalogue of any known survey or described columns.

Belongs here: selecting the rows that are sources, their names, ids, and the reasons of rejection.
Doesn't: formats (see `contimg_resources.tables`), columns (see `columns`, `rows`), storing it.
"""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.columns import Given
from contimg_resources.catalogues.model import NUMBERS, CatalogueSources
from contimg_resources.catalogues.rows import SourceRows, read_rows
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import CatalogueError, ConfigurationError
from contimg_resources.core.naming import plain_name
from contimg_resources.observations.calibrators import Calibrator, refuse_variable
from contimg_resources.observations.flux_model import FluxModel


@dataclass(frozen=True)
class ReadCatalogue:
    """The content of a catalogue file."""

    sources: CatalogueSources  #: The sources.
    #: The survey's dialect; ``columns`` where columns were given or found by their UCDs.
    survey: str
    notes: tuple[str, ...]  #: Rejected rows and the reasons, and other remarks for the user.


def read_catalogue(
    path: Path, name: str, survey: str = "auto", given: Given | None = None
) -> ReadCatalogue:
    """Read a file with a catalogue, in any format of `contimg_resources.tables.reading.read_table`.

    The sources' ids begin with `name`. Rows without a position, a frequency or a flux density above
    zero are rejected, and the notes report them. See `read_rows` for `survey` and `given`.

    Raises
    ------
    CatalogueError
        If its columns can't be used (the message names every problem), or more rows are wrong
        than right.
    """
    command = f"contimg catalogue add {name} {shlex.quote(str(path))}"
    rows = read_rows(path, survey, given, command, name=name)
    kept, notes = _kept(rows)
    names = rows.name.copy()
    if (unnamed := names == "").any():
        made = _iau_names(rows.ra_deg[unnamed], rows.dec_deg[unnamed])
        names = names.astype(np.promote_types(names.dtype, made.dtype))
        names[unnamed] = made
    sources = CatalogueSources(
        source_id=np.array([f"{name}-{plain_name(n)}" for n in names], dtype=np.str_),
        name=names,
        variable=_known_to_vary(names, rows, kept),
        **{column: getattr(rows, column) for column in NUMBERS},
    ).select(kept)
    return ReadCatalogue(_with_unique_ids(sources), rows.survey, notes)


def _kept(rows: SourceRows) -> tuple[Bools, tuple[str, ...]]:
    """Return which rows are sources, and the reasons why others are rejected.

    Raises
    ------
    CatalogueError
        If no row is valid, or more rows are wrong than right: a column was probably misidentified.
    """
    path = rows.table.path
    kept = np.ones(len(rows), bool)
    notes = list(rows.notes)
    reasons: list[str] = []
    n_wrong = 0

    def reject(which: Bools, reason: str) -> None:
        nonlocal kept
        which = which & kept
        if which.any():
            kept &= ~which
            first = int(np.flatnonzero(which)[0])
            reasons.append(f"{int(which.sum())} {reason} (first: row {first + 1})")

    for role, what in (
        ("position", "position on the sky"),
        ("flux", "flux density"),
        ("frequency", "frequency of a radio telescope"),
    ):
        wrong = rows.wrong.get(role, np.zeros(len(rows), bool))
        if wrong.any():
            n_wrong = max(n_wrong, int(wrong.sum()))
            value = rows.value(role, int(np.flatnonzero(wrong)[0]))
            reject(wrong, f"whose {rows.label(role)} is no {what}, such as {value!r}")
    reject(~np.isfinite(rows.ra_deg), "without a position")
    reject(~np.isfinite(rows.flux_jy), "without a flux density")
    with np.errstate(invalid="ignore"):
        reject(~(rows.flux_jy > 0), "whose flux density isn't above zero")
        reject(~np.isfinite(rows.reference_ghz), "without a frequency")
        reject(rows.duplicate > 1, "that the survey lists a second time")
        reject(
            np.isfinite(rows.quality) & (rows.quality != 0),
            "that the survey doesn't recommend",
        )
    told = "; ".join(reasons)
    if not kept.any():
        raise CatalogueError(
            f"{path} holds no source with a position and a flux density: {told}", path=str(path)
        )
    if n_wrong > kept.sum():
        raise CatalogueError(
            f"{path}: more rows are wrong than right, so a column was probably misread: "
            f"{told}. --column ROLE=COLUMN:UNIT gives the right one",
            path=str(path),
        )
    if reasons:
        notes.append(f"rejected {int((~kept).sum())} of {len(rows)} rows: {told}")
    notes += [
        f"the service cut its answer off: {c}" for c in rows.table.comments if "OVERFLOW" in c
    ]
    return kept, tuple(notes)


def _iau_names(ra_deg: Floats, dec_deg: Floats) -> NDArray[np.str_]:
    """Return names such as J123456.78+123456.7: digits are truncated, not rounded."""
    # In hundredths of a second of time and tenths of an arcsecond.
    ra = np.floor(np.nan_to_num(ra_deg) % 360 / 15 * 360_000 + 1e-6).astype(np.int64)
    dec = np.floor(np.abs(np.nan_to_num(dec_deg)) * 36_000 + 1e-6).astype(np.int64)
    sign = np.where(dec_deg < 0, "-", "+")
    return np.array(
        [
            f"J{r // 360_000:02d}{r // 6000 % 60:02d}{r // 100 % 60:02d}.{r % 100:02d}"
            f"{s}{d // 36_000:02d}{d // 600 % 60:02d}{d // 10 % 60:02d}.{d % 10}"
            for r, s, d in zip(ra, sign, dec, strict=True)
        ],
        dtype=np.str_,
    )


def _known_to_vary(names: NDArray[np.str_], rows: SourceRows, kept: Bools) -> Bools:
    """Return which sources must never set a flux scale."""
    found = np.zeros(len(rows), bool)
    with np.errstate(invalid="ignore"):
        # The blazars that matter are much brighter.
        bright = kept & (rows.flux_jy > 0.5)
    for i in np.flatnonzero(bright):
        model = FluxModel.power_law(float(rows.flux_jy[i]), 1.4, -0.7, "catalogue")
        try:
            refuse_variable(
                Calibrator(str(names[i]), (), float(rows.ra_deg[i]), float(rows.dec_deg[i]), model)
            )
        except ConfigurationError:
            found[i] = True
    return found


def _with_unique_ids(sources: CatalogueSources) -> CatalogueSources:
    """Distinguish sources of one name by their positions, whatever their order in the file.

    A generated name never equals the name of another source.
    """
    ids = sources.source_id
    names, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    if not repeated.size:
        return sources
    unique = [str(i) for i in ids]
    taken = {str(n) for n in names}
    seen: set[str] = set()
    order = np.lexsort((sources.dec_deg[repeated], sources.ra_deg[repeated], ids[repeated]))
    for i in repeated[order]:
        own = str(ids[i])
        if own in seen:
            n = 2
            while f"{own}_{n}" in taken:
                n += 1
            unique[i] = f"{own}_{n}"
            taken.add(unique[i])
        seen.add(own)
    return replace(sources, source_id=np.array(unique, dtype=np.str_))
