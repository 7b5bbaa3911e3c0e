"""Lists of found sources, as Parquet and VOTable: one file for each mosaic.

Belongs here: the record of sources, the columns, names of files and sources, writing and reading.
Doesn't: finding (see `finding`).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.keys import day_name, parse_mosaic_key
from contimg_resources.core.parquet import ParquetFormat, arrays_of
from contimg_resources.photometry.model import MeasurableImage

#: Type and description of each column.
COLUMNS: dict[str, tuple[str, str]] = {
    "name": ("string", "name from the position in this mosaic, J2000: JHHMMSS.s+DDMMSS"),
    "epoch": ("string", "partition key of the mosaic"),
    "mid_mjd": ("double", "mid-time of the data, MJD in days, UTC"),
    "frequency_hz": ("double", "effective frequency, Hz"),
    "ra_deg": ("double", "right ascension, ICRS, degrees"),
    "dec_deg": ("double", "declination, ICRS, degrees"),
    "east_error_arcsec": ("float", "uncertainty of the position towards east, arcsec"),
    "north_error_arcsec": ("float", "uncertainty of the position towards north, arcsec"),
    "peak_jy": ("double", "peak flux density on the mosaic's own scale, Jy/beam"),
    "peak_error_jy": ("double", "its uncertainty, Jy/beam"),
    "integrated_jy": ("double", "integrated flux density, Jy; that of a point source is its peak"),
    "integrated_error_jy": ("double", "its uncertainty, Jy"),
    "major_arcsec": ("float", "size (FWHM) without the beam, arcsec; null for a point source"),
    "major_error_arcsec": ("float", "its uncertainty, arcsec"),
    "minor_arcsec": ("float", "size along the minor axis, arcsec; 0 if not resolved along it"),
    "minor_error_arcsec": ("float", "its uncertainty, arcsec; null if not resolved along it"),
    "angle_deg": ("float", "position angle of the major axis, north through east, degrees"),
    "background_jy": ("float", "local background, Jy/beam"),
    "rms_jy": ("float", "local noise of a pixel, Jy/beam"),
    "snr": ("float", "peak over its uncertainty"),
    "island": ("int32", "number of its island: components of one share it"),
    "n_components": ("int32", "number of components of its island"),
    "flags": ("int32", "sum of contimg_resources.photometry.model.Flag; 0 if there are none"),
    "catalogue_id": (
        "string",
        "source of the reference catalogue within a beam (major axis); empty if none",
    ),
    "catalogue_arcsec": ("float", "its distance, arcsec; null if there is none"),
    "is_isolated": (
        "bool",
        "whether it is a point source that can't be a component or a sidelobe of another source",
    ),
}
FORMAT = ParquetFormat(
    lack="holds no found sources of contimg", version=1, columns=COLUMNS, later=("is_isolated",)
)

#: Directory of the lists in the directory of measurements.
FOUND = "found"

_UNITS = {"deg": "deg", "arcsec": "arcsec", "jy": "Jy", "hz": "Hz", "mjd": "d"}
_UCDS = {
    "name": "meta.id;meta.main",
    "ra_deg": "pos.eq.ra;meta.main",
    "dec_deg": "pos.eq.dec;meta.main",
    "peak_jy": "phot.flux.density;em.radio;stat.max",
    "integrated_jy": "phot.flux.density;em.radio",
    "snr": "stat.snr",
    "flags": "meta.code",
}


@dataclass(frozen=True)
class FoundSources:
    """Components that were found in an image, by decreasing peak.

    Arrays have the shape (n,). Errors are those of the fit in noise with the image's measured
    autocorrelation.
    """

    ra_deg: Floats  #: Position, ICRS degrees.
    dec_deg: Floats  #: Position, ICRS degrees.
    east_error_arcsec: Floats  #: Uncertainty of the position towards east, arcsec.
    north_error_arcsec: Floats  #: Uncertainty of the position towards north, arcsec.
    peak_jy: Floats  #: Peak flux density, Jy/beam.
    peak_error_jy: Floats  #: Its uncertainty, Jy/beam.
    integrated_jy: Floats  #: Integrated flux density, Jy; that of a point source is its peak.
    integrated_error_jy: Floats  #: Its uncertainty, Jy.
    major_arcsec: Floats  #: Size (FWHM) without the beam, arcsec; NaN for a point source.
    major_error_arcsec: Floats  #: Its uncertainty, arcsec.
    minor_arcsec: Floats  #: Likewise along the minor axis; 0 if it isn't resolved along it.
    minor_error_arcsec: Floats  #: Its uncertainty, arcsec; NaN if it isn't resolved along it.
    angle_deg: Floats  #: Position angle of the major axis, north through east, in [0, 180) degrees.
    background_jy: Floats  #: Background around it, Jy/beam.
    rms_jy: Floats  #: Noise of a pixel around it, Jy/beam.
    snr: Floats  #: Peak over its uncertainty.
    island: Ints  #: Number of its island: components of one share it.
    n_components: Ints  #: Number of components of its island.
    flags: Ints  #: Sums of `contimg_resources.photometry.model.Flag`.

    def __len__(self) -> int:
        return len(self.ra_deg)

    def select(self, which: Bools | NDArray[np.intp]) -> "FoundSources":
        """Return some of the sources, given by a mask or by indices in order."""
        return FoundSources(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True)
class FoundFiles:
    """The files of the list of a mosaic."""

    table: Path  #: Parquet.
    votable: Path  #: The same as VOTable.

    @classmethod
    def of(cls, root: Path, key: str) -> "FoundFiles":
        """Return the files of a mosaic in the directory of measurements.

        Raises
        ------
        InvalidName
            If the key isn't a mosaic key.
        """
        directory = root / FOUND / day_name(parse_mosaic_key(key)[0])
        return cls(directory / f"{key}.parquet", directory / f"{key}.vot")


def names_of(ra_deg: Floats, dec_deg: Floats) -> NDArray[np.str_]:
    """Return names from positions, ``J013741.3+330935``: truncated, as the IAU recommends."""
    # A millionth of a second more, so that rounding errors don't show.
    tenths = np.floor(np.mod(ra_deg, 360) * 2400 + 1e-5).astype(np.int64) % 864_000
    seconds = np.floor(np.abs(dec_deg) * 3600 + 1e-5).astype(np.int64)
    return np.array(
        [
            f"J{t // 36000:02d}{t // 600 % 60:02d}{t // 10 % 60:02d}.{t % 10}"
            f"{'-' if dec < 0 else '+'}{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}"
            for t, s, dec in zip(tenths.tolist(), seconds.tolist(), dec_deg.tolist(), strict=True)
        ],
        dtype=np.str_,
    )


def write_found(
    files: FoundFiles,
    image: MeasurableImage,
    sources: FoundSources,
    catalogue_id: NDArray[np.str_],
    catalogue_arcsec: Floats,
    is_isolated: Bools,
    facts: dict[str, Any],
) -> None:
    """Write the list of a mosaic in both formats, each whole or not at all.

    `catalogue_id` and `catalogue_arcsec`, shape (n,), are the nearest sources of the catalogue;
    `is_isolated`, shape (n,), is that of `contimg_resources.photometry.new_sources.isolated`;
    `facts` is JSON-able: completeness, reliability, provenance.
    """
    n = len(sources)
    values: dict[str, Any] = {
        **vars(sources),
        "name": names_of(sources.ra_deg, sources.dec_deg),
        "epoch": np.full(n, image.epoch),
        "mid_mjd": np.full(n, image.mid_mjd),
        "frequency_hz": np.full(n, image.frequency_hz),
        "catalogue_id": catalogue_id,
        "catalogue_arcsec": catalogue_arcsec,
        "is_isolated": is_isolated,
    }
    FORMAT.write(files.table, values, {"epoch": image.epoch, **facts})
    _write_votable(files.votable, values)


def _write_votable(path: Path, values: dict[str, Any]) -> None:
    from astropy.io.votable import from_table, writeto
    from astropy.io.votable.tree import CooSys
    from astropy.table import Column, Table

    from contimg_resources.core.directories import whole_file

    table = Table(
        [
            Column(
                # Texts of no rows have no width.
                values[name] if len(values[name]) or kind != "string" else np.empty(0, "U1"),
                name=name,
                unit=_UNITS.get(name.rpartition("_")[2]),
                description=meaning,
                meta={"ucd": _UCDS[name]} if name in _UCDS else None,
            )
            for name, (kind, meaning) in COLUMNS.items()
        ]
    )
    votable = from_table(table, table_id="found_sources")
    votable.resources[0].coordinate_systems.append(CooSys(ID="icrs", system="ICRS"))
    for field in votable.resources[0].tables[0].fields:
        if field.ucd and field.ucd.startswith("pos.eq"):
            field.ref = "icrs"
    whole_file(path, lambda partial: writeto(votable, str(partial)))


def read_found(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the list of a mosaic: columns, null as NaN, and the facts in the file.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    table, facts = FORMAT.read(path)
    with FORMAT.refusing(path):
        return arrays_of(table), facts
