"""Read a state directory in notebooks and scripts: tables, images, light curves.

Belongs here: reading the platform's products, with units. Doesn't: making or changing anything (see
`contimg_resources.steps` and the command line).

>>> import contimg_resources as contimg
>>> state = contimg.open_state("/data/contimg")
>>> state.observations()["key", "mid_mjd", "state"]
>>> image = state.image("60954.35417")
>>> curve = state.light_curve("nvss-013741+330935")
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from contimg_resources.core.arrays import Singles
from contimg_resources.core.errors import ConfigurationError, ContimgError
from contimg_resources.core.naming import StateLayout
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.variability.added import light_curve_of
from contimg_resources.variability.tables import (
    latest_variability,
    read_variability,
    variability_path,
)

#: Units by the ending of a column's name.
_UNITS = {"_jy": u.Jy, "_deg": u.deg, "_mjd": u.day, "_hz": u.Hz, "_arcsec": u.arcsec}

ImageKind = Literal["image", "pbcor", "residual", "psf", "primary_beam"]


@dataclass(frozen=True)
class SkyImage:
    """An image with its coordinates.

    Parameters
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        Declination increases with the row, right ascension decreases with the column; in units of
        the header's BUNIT.
    wcs : astropy.wcs.WCS
        The two celestial axes.
    header : astropy.io.fits.Header
        Beam, frequency, times and provenance.
    path : Path
        The FITS file.
    """

    pixels: Singles
    wcs: WCS
    header: fits.Header
    path: Path


def open_state(directory: str | Path, *, read_only: bool = True) -> "State":
    """Open the state directory of a platform; the platform may be running.

    Parameters
    ----------
    directory : str or Path
        The state directory.
    read_only : bool
        Whether the stores can't be changed; False is for tools that register or mark.

    Raises
    ------
    ConfigurationError
        If the directory is not a state directory.
    SchemaMismatch
        If a store was written by another release.
    """
    return State(Path(directory), read_only=read_only)


class State:
    """The contents of a state directory, as returned by `open_state`.

    Parameters
    ----------
    directory : Path
        The state directory.
    read_only : bool
        Whether the stores can't be changed.

    Attributes
    ----------
    layout : StateLayout
        Paths in the state directory.
    products : ProductsStore
        The products store, for queries without a method here.
    registry : CalibrationRegistry
        The calibration registry, likewise.
    """

    def __init__(self, directory: Path, *, read_only: bool = True) -> None:
        self.layout = StateLayout(directory.absolute())
        stores = {name: self.layout.root / f"{name}.sqlite3" for name in ("products", "registry")}
        for store in stores.values():
            if not store.is_file():
                raise ConfigurationError(
                    f"{directory} is no state directory: it has no {store.name}",
                    path=str(directory),
                )
        self.products = ProductsStore(str(stores["products"]), create=False, read_only=read_only)
        self.registry = CalibrationRegistry(
            str(stores["registry"]), create=False, read_only=read_only
        )

    def close(self) -> None:
        """Close the stores."""
        self.products.close()
        self.registry.close()

    def __enter__(self) -> "State":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def observations(self) -> QTable:
        """Return all observations in order of mid-MJD, one row each.

        Columns: `key`, `state`, `start_mjd`, `mid_mjd`, `end_mjd`, `declination_deg`, `calibrator`,
        `reason`, `path` and others of `contimg_resources.products.model.ObservationRecord`.
        """
        return _table(asdict(record) for record in self.products.list_observations())

    def caltable_sets(self) -> QTable:
        """Return all caltable sets, latest first: name, version, status, window, tables."""
        return _table(
            {
                "name": one.name,
                "version": one.version,
                "status": one.status,
                "calibrator": one.calibrator,
                "refant": one.refant,
                "start_mjd": one.start_mjd,
                "mid_mjd": one.mid_mjd,
                "end_mjd": one.end_mjd,
                "declination_deg": math.nan if one.declination_deg is None else one.declination_deg,
                "tables": ", ".join(table.type.value for table in one.tables),
            }
            for one in self.registry.list_sets()
        )

    def mosaics(self) -> QTable:
        """Return all mosaics in order of time."""
        return _table(asdict(record) for record in self.products.mosaics.list())

    def candidates(self) -> QTable:
        """Return the candidates: Extreme Scattering Events and new sources.

        Columns: `id`, `kind`, `source_id`, `ra_deg`, `dec_deg`, `state`, `start_mjd`, `mid_mjd`,
        `end_mjd`, `score` and others of `contimg_resources.products.events.CandidateRecord`; `mark`
        is the latest mark, or empty.
        """
        marks = self.products.events.last_marks()
        return _table(
            {**asdict(c), "mark": marks[c.id].mark.value if c.id in marks else ""}
            for c in self.products.events.list_candidates()
        )

    def new_sources(self) -> QTable:
        """Return the sources that the reference catalogue lacks, by name.

        Columns: those of `contimg_resources.products.new_sources.NewSourceRecord`, with the
        evidence (see `Appearance` there) in columns of its own.
        """
        return _table(
            {**{n: v for n, v in asdict(one).items() if n != "evidence"}, **asdict(one.evidence)}
            for one in self.products.new_sources.list()
        )

    def image(self, key: str, kind: ImageKind = "pbcor") -> SkyImage:
        """Return a 5-minute image.

        Parameters
        ----------
        key : str
            Key of its observation, such as ``"60954.35417"``.
        kind : str
            ``pbcor`` (corrected for the primary beam), ``image``, ``residual``, ``psf`` or
            ``primary_beam``.

        Raises
        ------
        ContimgError
            If there is no such image.
        """
        files = ImageFiles.in_directory(self.layout.image_dir(key), key)
        return _read_image(getattr(files, kind), f"observation {key} has no {kind}")

    def mosaic(self, key: str) -> SkyImage:
        """Return a mosaic by its key, such as ``"60954.35417+33.2"``.

        Raises
        ------
        ProductsError
            If no mosaic has this key.
        ContimgError
            If its file is gone.
        """
        record = self.products.mosaics.get(key)
        files = MosaicFiles.in_directory(record.directory, key)
        return _read_image(files.image, f"mosaic {key} has no image")

    def light_curve(self, source_id: str, kind: Literal["mosaic", "image"] = "mosaic") -> QTable:
        """Return the light curve of a source, in order of time.

        Columns: `mid_mjd` (days), `flux_jy`, `flux_error_jy`, `integrated_flux_jy`, `rms_jy`,
        `frequency_hz`, `flags`, `epoch_ok` and others of
        `contimg_resources.photometry.light_curves.LightCurve`.

        Parameters
        ----------
        source_id : str
            The source; for an added light curve, including the name of its list.
        kind : str
            ``mosaic``, or ``image`` for single 5-minute images.

        Raises
        ------
        PhotometryFailed
            If it was never measured.
        """
        curve = light_curve_of(self.layout, source_id, kind)
        columns = {name: value for name, value in vars(curve).items() if name != "source_id"}
        return _with_units(QTable({"source_id": np.full(len(curve), source_id), **columns}))

    def variability(self, day_mjd: int | None = None) -> QTable:
        """Return the variability metrics of all sources up to a UTC day.

        Parameters
        ----------
        day_mjd : int, optional
            MJD of the day; the latest by default.

        Raises
        ------
        ContimgError
            If none were computed.
        """
        root = self.layout.variability
        path = latest_variability(root) if day_mjd is None else variability_path(root, day_mjd)
        if path is None or not path.is_file():
            days = sorted(int(p.stem) for p in root.glob("[0-9]*.parquet"))
            there = f"available are days {days[0]} to {days[-1]}" if days else "there are none"
            raise ContimgError(f"no variability metrics of day {day_mjd or 'any'}: {there}")
        found = read_variability(path)
        return _with_units(QTable({n: v for n, v in vars(found).items() if n != "facts"}))

    def card(self, candidate_id: str) -> Path:
        """Return the card (PNG file) of a candidate.

        Raises
        ------
        ContimgError
            If it has no card.
        """
        path = self.layout.card(candidate_id)
        if not path.is_file():
            raise ContimgError(f"candidate {candidate_id} has no card: {path} is not there")
        return path


def _read_image(path: Path, missing: str) -> SkyImage:
    if not path.is_file():
        raise ContimgError(f"{missing}: {path} is not there", path=str(path))
    with fits.open(path) as hdus:
        header = hdus[0].header
        pixels = np.asarray(hdus[0].data, np.float32).reshape(hdus[0].data.shape[-2:])
    return SkyImage(pixels, WCS(header).celestial, header, path)


def _table(rows: Iterable[Mapping[str, Any]]) -> QTable:
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return _with_units(QTable(rows=plain)) if plain else QTable()


def _plain(value: Any) -> Any:
    """Return a value in a form that a column can hold: numbers unchanged, all else as text."""
    if isinstance(value, bool | int | float):
        return value
    return "" if value is None else str(value)


def _with_units(table: QTable) -> QTable:
    for name in table.colnames:
        unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)
        if unit is not None and table[name].dtype.kind == "f":
            table[name] = table[name] * unit
    return table
