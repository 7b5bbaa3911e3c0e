"""Reading a file with a catalogue: FITS, VOTable, CSV, ECSV, HEASARC's tdat; gzipped too.

Belongs here: formats, units, names, and refusing what makes no sense. Doesn't: keeping it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.model import CatalogueSources
from contimg_resources.catalogues.surveys import Survey, survey_of
from contimg_resources.catalogues.tdat import read_tdat
from contimg_resources.errors import CatalogueError, ConfigurationError
from contimg_resources.naming import plain_name
from contimg_resources.observations.calibrators import Calibrator, refuse_variable
from contimg_resources.observations.flux_model import FluxModel

Floats = NDArray[np.float64]

_FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".tdat": "tdat",
}


def read_catalogue(path: Path, name: str, survey: str = "auto") -> tuple[CatalogueSources, str]:
    """Read a file with a catalogue.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the catalogue, which the sources' ids begin with.
    survey : str
        Whose columns it has; see `contimg_resources.catalogues.surveys`.

    Returns
    -------
    tuple of (CatalogueSources, str)
        The sources, and the survey's name. Those without a flux density above zero are left out.

    Raises
    ------
    CatalogueError
        If it can't be read, has other columns, or a position makes no sense.
    """
    table = _open(path)
    columns = {str(c).lower(): table[c] for c in table.colnames}
    layout = survey_of(table.colnames, survey, str(path))
    ra_deg, dec_deg = _positions(path, columns, layout)
    factor = _flux_factor(path, columns[layout.flux.lower()], layout.flux_unit)
    flux_jy = factor * _numbers(path, columns, layout.flux)
    kept = np.isfinite(flux_jy) & (flux_jy > 0)
    if layout.duplicate and layout.duplicate.lower() in columns:
        kept &= ~(_numbers(path, columns, layout.duplicate) > 1)
    if layout.quality and layout.quality.lower() in columns:
        kept &= _numbers(path, columns, layout.quality) == 0
    if not kept.any():
        raise CatalogueError(f"{path} holds no source with a flux density", path=str(path))
    _check_positions(path, ra_deg[kept], dec_deg[kept])
    limit = _text(columns, layout.limit) if layout.limit.lower() in columns else None
    point = np.zeros(len(kept), bool) if limit is None else np.char.startswith(limit, "<")
    sizes = {
        key: np.where(point, np.nan, _numbers(path, columns, getattr(layout, key)))
        for key in ("major", "minor", "angle")
    }
    reference = (
        _numbers(path, columns, "reference_ghz")
        if layout.reference_ghz is None
        else np.full(len(kept), layout.reference_ghz)
    )
    if not (reference[kept] > 0).all():
        raise CatalogueError(f"{path}: a reference_ghz isn't above zero", path=str(path))
    names = _names(columns, layout, ra_deg, dec_deg)
    sources = CatalogueSources(
        source_id=np.array([f"{name}-{plain_name(n)}" for n in names], dtype=np.str_),
        name=names,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        flux_jy=flux_jy,
        flux_error_jy=factor * _numbers(path, columns, layout.flux_error),
        reference_ghz=reference,
        spectral_index=_numbers(path, columns, "spectral_index"),
        major_arcsec=sizes["major"],
        minor_arcsec=sizes["minor"],
        angle_deg=sizes["angle"],
        variable=_known_to_vary(names, ra_deg, dec_deg, flux_jy),
    ).select(kept)
    return _with_unique_ids(sources), layout.name


def _open(path: Path) -> Any:
    from astropy.table import Table

    suffixes = [s.lower() for s in path.suffixes]
    form = _FORMATS.get(
        suffixes[-2] if suffixes[-1:] == [".gz"] and suffixes[:-1] else (suffixes or [""])[-1]
    )
    if not path.is_file():
        raise CatalogueError(f"there is no catalogue file {path}", path=str(path))
    if form is None:
        raise CatalogueError(
            f"{path}: the format of a catalogue is known from its name, which should end in "
            f"{', '.join(_FORMATS)}, perhaps with .gz",
            path=str(path),
        )
    try:
        if form == "tdat":
            return read_tdat(path)
        options: dict[str, Any] = {"unit_parse_strict": "silent"} if form == "fits" else {}
        table = Table.read(path, format=form, **options)
    except CatalogueError:
        raise
    except Exception as error:  # astropy raises what its readers meet
        reason = " ".join(str(error).split())[:300]
        raise CatalogueError(f"{path} can't be read: {reason}", path=str(path)) from error
    if not len(table):
        raise CatalogueError(f"{path} holds no rows", path=str(path))
    return table


def _positions(path: Path, columns: dict[str, Any], layout: Survey) -> tuple[Floats, Floats]:
    ra, dec = columns[layout.ra.lower()], columns[layout.dec.lower()]
    if np.asarray(ra).dtype.kind in "SUO":
        from astropy.coordinates import SkyCoord

        try:
            found = SkyCoord(
                np.asarray(ra, dtype=np.str_), np.asarray(dec, dtype=np.str_), unit=("h", "deg")
            )
        except ValueError as error:
            raise CatalogueError(
                f"{path}: columns {layout.ra}, {layout.dec}: {' '.join(str(error).split())}",
                path=str(path),
            ) from error
        return np.asarray(found.ra.deg), np.asarray(found.dec.deg)
    return (
        np.asarray(_numbers(path, columns, layout.ra) % 360.0),
        _numbers(path, columns, layout.dec),
    )


def _check_positions(path: Path, ra_deg: Floats, dec_deg: Floats) -> None:
    with np.errstate(invalid="ignore"):
        bad = ~(np.isfinite(ra_deg) & (np.abs(dec_deg) <= 90))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise CatalogueError(
            f"{path}: {int(bad.sum())} sources have no position on the sky, the first "
            f"RA {ra_deg[row]}, Dec {dec_deg[row]}",
            path=str(path),
        )


def _numbers(path: Path, columns: dict[str, Any], column: str) -> Floats:
    """Return a column as numbers; NaN where there is none, or no such column."""
    if column.lower() not in columns:
        n = len(next(iter(columns.values())))
        return np.full(n, np.nan)
    values = columns[column.lower()]
    try:
        return np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
    except (TypeError, ValueError) as error:
        raise CatalogueError(f"{path}, column {column}: {error}", path=str(path)) from error


def _text(columns: dict[str, Any], column: str) -> NDArray[np.str_]:
    values = np.ma.filled(np.ma.asarray(columns[column.lower()]).astype(np.str_), "")
    return np.char.strip(values)


def _flux_factor(path: Path, column: Any, unit: str) -> float:
    """Return what turns a column into Jy."""
    from astropy import units

    stated = getattr(column, "unit", None) or units.Unit(unit)
    for known in (units.Jy, units.Jy / units.beam):
        try:
            return float(units.Unit(stated).to(known))
        except (units.UnitConversionError, TypeError, ValueError):
            continue
    raise CatalogueError(
        f"{path}: its flux densities are in {stated}, not in {unit}", path=str(path)
    )


def _names(
    columns: dict[str, Any], layout: Survey, ra_deg: Floats, dec_deg: Floats
) -> NDArray[np.str_]:
    made = _iau_names(ra_deg, dec_deg)
    if not layout.source:
        return made
    given = _text(columns, layout.source)
    return np.where(given == "", made, given)


def _iau_names(ra_deg: Floats, dec_deg: Floats) -> NDArray[np.str_]:
    """Return names such as J123456.78+123456.7: digits are cut off, not rounded."""
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


def _known_to_vary(
    names: NDArray[np.str_], ra_deg: Floats, dec_deg: Floats, flux_jy: Floats
) -> NDArray[np.bool_]:
    """Tell which sources must never set a flux scale."""
    found = np.zeros(len(names), bool)
    # Blazars that matter are brighter by far.
    for i in np.flatnonzero(flux_jy > 0.5):
        model = FluxModel.power_law(float(flux_jy[i]), 1.4, -0.7, "catalogue")
        try:
            refuse_variable(
                Calibrator(str(names[i]), (), float(ra_deg[i]), float(dec_deg[i]), model)
            )
        except ConfigurationError:
            found[i] = True
    return found


def _with_unique_ids(sources: CatalogueSources) -> CatalogueSources:
    """Tell sources of one name apart by their positions, whatever their order in the file."""
    ids = sources.source_id
    order = np.lexsort((sources.dec_deg, sources.ra_deg, ids))
    unique = [str(i) for i in ids]
    seen: dict[str, int] = {}
    for i in order:
        n = seen[unique[i]] = seen.get(str(ids[i]), 0) + 1
        if n > 1:
            unique[i] = f"{ids[i]}_{n}"
    return CatalogueSources(
        **{
            **{name: getattr(sources, name) for name in sources.__dataclass_fields__},
            "source_id": np.array(unique, dtype=np.str_),
        }
    )
