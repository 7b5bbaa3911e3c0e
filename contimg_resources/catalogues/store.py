"""Catalogues as Parquet files sorted by sky position.

Belongs here: a file's columns, selecting a region of sky, writing and replacing whole files.
Doesn't: reading files of others (see `reading`).

Rows are sorted by their HEALPix pixel (nested, so that neighbours on the sky are neighbours in the
file), in row groups of some thousand: a cone search reads only the groups that it touches.
"""

from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from contimg_resources.catalogues.columns import Given
from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources, unit_vectors
from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import CatalogueError, in_words_of_reader
from contimg_resources.core.naming import check_name
from contimg_resources.core.parquet import ParquetFormat, arrays_of

FORMAT = ParquetFormat(
    lack="is no catalogue of contimg",
    version=1,
    columns={
        "source_id": ("string", "stable name, unique in the catalogue"),
        "name": ("string", "name as in the catalogue"),
        "ra_deg": ("double", "right ascension, ICRS, degrees"),
        "dec_deg": ("double", "declination, ICRS, degrees"),
        "flux_jy": ("double", "flux density at reference_ghz, Jy"),
        "flux_error_jy": ("double", "its uncertainty, Jy; NaN: unknown"),
        "reference_ghz": ("double", "frequency of flux_jy, GHz"),
        "spectral_index": ("double", "S ~ nu^spectral_index; NaN: unknown"),
        "major_arcsec": ("double", "major axis, FWHM, arcsec; NaN: unknown or a limit"),
        "minor_arcsec": ("double", "minor axis, FWHM, arcsec; NaN: unknown or a limit"),
        "angle_deg": (
            "double",
            "position angle, north through east, -90 to 90 degrees; NaN: unknown",
        ),
        "variable": ("bool", "known to vary"),
        "healpix": ("int64", "HEALPix pixel of order 10, nested"),
    },
    has_nulls=False,
    error=CatalogueError,
    remedy="add the catalogue again",
)
_ORDER = 10
_ROWS_IN_GROUP = 4096


def write_catalogue(path: Path, sources: CatalogueSources, facts: CatalogueFacts) -> None:
    """Write a catalogue, whole or not at all; one of the same name is replaced.

    Raises
    ------
    CatalogueError
        If two sources share an id.
    """
    unique, counts = np.unique(sources.source_id, return_counts=True)
    if unique.size < len(sources):
        raise CatalogueError(f"{facts.name}: source {unique[counts > 1][0]} occurs twice")
    pixels = _healpix().lonlat_to_healpix(*_angles(sources.ra_deg, sources.dec_deg))
    order = np.lexsort((sources.source_id, pixels))
    ordered = sources.select(order)
    values = {
        name: pixels[order] if name == "healpix" else getattr(ordered, name)
        for name in FORMAT.columns
    }
    FORMAT.write(path, values, asdict(facts), row_group_size=_ROWS_IN_GROUP, compression="lz4")


class Catalogue:
    """A stored catalogue.

    Raises
    ------
    CatalogueError
        If the file is damaged, was written by a newer contimg, or isn't a catalogue.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, told = FORMAT.open(path, memory_map=True)
        with FORMAT.refusing(path):
            self.facts = TypeAdapter(CatalogueFacts).validate_python(told)

    def __len__(self) -> int:
        return self.facts.n_sources

    def cone(
        self, ra_deg: float, dec_deg: float, radius_deg: float, min_flux_jy: float = 0.0
    ) -> CatalogueSources:
        """Return the sources within an angle of a direction, ICRS degrees."""
        if not (abs(dec_deg) <= 90 and 0 <= radius_deg <= 180 and np.isfinite(ra_deg)):
            raise CatalogueError(
                f"there is no cone of {radius_deg} deg about RA {ra_deg}, Dec {dec_deg}"
            )
        from astropy import units as u

        # One pixel more: the search uses the pixels' centres.
        pixels = _healpix(_ORDER - 5).cone_search_lonlat(
            ra_deg * u.deg, dec_deg * u.deg, (radius_deg + 2.0) * u.deg
        )
        found = self._read(self._groups_of(pixels))
        middle = unit_vectors(np.array([ra_deg]), np.array([dec_deg]))[0]
        away = np.linalg.norm(unit_vectors(found.ra_deg, found.dec_deg) - middle, axis=-1)
        near = away <= 2 * np.sin(0.5 * np.radians(radius_deg)) * (1 + 1e-12)
        return found.select(near & (found.flux_jy >= min_flux_jy))

    def named(self, name: str) -> CatalogueSources:
        """Return the sources of a name or id, ignoring case and blanks."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = "".join(name.split()).lower()
        groups = []
        for group in range(self._file.num_row_groups):
            try:
                names = self._file.read_row_group(group, columns=["source_id", "name"])
            except Exception as error:  # pyarrow raises many kinds of exception
                raise self._damaged(error) from error
            plain = [pc.utf8_lower(pc.replace_substring(c, " ", "")) for c in names.columns]
            if any(pc.any(pc.equal(column, pa.scalar(wanted))).as_py() for column in plain):
                groups.append(group)
        found = self._read(groups)
        both = zip(found.source_id.tolist(), found.name.tolist(), strict=True)
        return found.select(
            np.array(
                [wanted in ("".join(n.split()).lower() for n in names) for names in both], bool
            )
        )

    def strip(
        self,
        dec_min_deg: float,
        dec_max_deg: float,
        ra_min_deg: float = 0.0,
        ra_max_deg: float = 360.0,
        min_flux_jy: float = 0.0,
    ) -> CatalogueSources:
        """Return the sources between declinations and, eastwards, between right ascensions.

        Directions are ICRS degrees; where `ra_max_deg` is smaller than `ra_min_deg`, the strip
        includes 0 h. Fainter sources than `min_flux_jy` are left out.
        """
        span_deg = 360.0 if ra_max_deg - ra_min_deg >= 360 else (ra_max_deg - ra_min_deg) % 360
        found = self._read(
            g
            for g, box in enumerate(self._boxes)
            if box[1] >= dec_min_deg
            and box[0] <= dec_max_deg
            and _overlap(box[2], box[3], ra_min_deg, span_deg)
        )
        inside = (found.dec_deg >= dec_min_deg) & (found.dec_deg <= dec_max_deg)
        inside &= (found.ra_deg - ra_min_deg) % 360 <= span_deg
        return found.select(inside & (found.flux_jy >= min_flux_jy))

    def all(self) -> CatalogueSources:
        """Return all sources."""
        return self._read(range(self._file.num_row_groups))

    @cached_property
    def _ranges(self) -> Ints:
        """Return the first and last pixel of each row group, shape (n_groups, 2)."""
        return np.array([self._limits(g, "healpix") for g in range(self._file.num_row_groups)])

    @cached_property
    def _boxes(self) -> list[tuple[float, float, float, float]]:
        return [
            (*self._limits(g, "dec_deg"), *self._limits(g, "ra_deg"))
            for g in range(self._file.num_row_groups)
        ]

    def _limits(self, group: int, column: str) -> tuple[Any, Any]:
        try:
            statistics = (
                self._file.metadata.row_group(group)
                .column(list(FORMAT.columns).index(column))
                .statistics
            )
            return statistics.min, statistics.max
        except Exception as error:
            raise self._damaged(error) from error

    def _groups_of(self, pixels: Ints) -> list[int]:
        """Return the row groups that hold any of the pixels, which are of a lower order."""
        coarse = self._ranges >> 10
        first = np.searchsorted(np.sort(pixels), coarse[:, 0])
        last = np.searchsorted(np.sort(pixels), coarse[:, 1], side="right")
        return [int(g) for g in np.flatnonzero(last > first)]

    def _read(self, groups: Iterable[int]) -> CatalogueSources:
        names = [n for n in FORMAT.columns if n != "healpix"]
        try:
            table = self._file.read_row_groups(list(groups), columns=names)
            return CatalogueSources(**arrays_of(table.select(names)))
        except Exception as error:  # pyarrow raises many kinds of exception
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CatalogueError:
        return CatalogueError(
            f"{self.path} is damaged: {in_words_of_reader(error)}", path=str(self.path)
        )


def _healpix(order: int = _ORDER) -> Any:
    from astropy_healpix import HEALPix

    return HEALPix(nside=2**order, order="nested")


def _angles(ra_deg: Floats, dec_deg: Floats) -> tuple[Any, Any]:
    from astropy import units as u

    return ra_deg * u.deg, dec_deg * u.deg


def _overlap(low: float, high: float, ra_min_deg: float, span_deg: float) -> bool:
    """Return whether two ranges of right ascension overlap; the first doesn't include 0 h."""
    return (
        span_deg >= 360
        or (ra_min_deg - low) % 360 <= high - low
        or (low - ra_min_deg) % 360 <= span_deg
    )


_SUFFIX = ".parquet"


class CatalogueStore:
    """The catalogues in one directory, which is created with the first catalogue."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Return the names of the catalogues."""
        return tuple(sorted(p.stem for p in self.root.glob(f"[!.]*{_SUFFIX}")))

    def open(self, name: str) -> Catalogue:
        """Open a catalogue.

        Raises
        ------
        CatalogueError
            If there is none of this name; the message lists the existing ones.
        """
        path = self._path(name)
        if not path.is_file():
            there = ", ".join(self.names())
            raise CatalogueError(
                f"there is no catalogue {name!r} in {self.root}; "
                + (f"there are: {there}" if there else "`contimg catalogue` adds one"),
                name=name,
            )
        return Catalogue(path)

    def add(
        self,
        name: str,
        file: Path,
        survey: str = "auto",
        origin: str = "",
        given: Given | None = None,
    ) -> CatalogueFacts:
        """Read a file and store it as a catalogue; one of the same name is replaced.

        The file may be FITS, VOTable, Parquet, or text of many kinds, also gzipped; an empty
        `origin` means the file itself. See `read_catalogue` for the others.

        Raises
        ------
        CatalogueError
            If the file isn't a catalogue.
        """
        read = read_catalogue(file, check_name(name, "catalogue name"), survey, given)
        facts = CatalogueFacts(
            name=name,
            survey=read.survey,
            origin=origin or str(file),
            checksum=content_checksum(file),
            n_sources=len(read.sources),
            schema_version=FORMAT.version,
            notes=read.notes,
        )
        self.put(read.sources, facts)
        return facts

    def put(self, sources: CatalogueSources, facts: CatalogueFacts) -> None:
        """Store sources as a catalogue, completely or not at all."""
        write_catalogue(self._path(facts.name), sources, facts)

    def remove(self, name: str) -> None:
        """Remove a catalogue.

        Raises
        ------
        CatalogueError
            If there is none of this name.
        """
        self.open(name).path.unlink()

    def _path(self, name: str) -> Path:
        return self.root / f"{check_name(name, 'catalogue name')}{_SUFFIX}"
