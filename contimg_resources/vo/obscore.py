"""Images and mosaics as rows of the IVOA's ObsCore data model.

Belongs here: the columns, and the geometry of an image as its file's header has it. Doesn't:
selecting rows (see `images`, `tap`).

Listed are images that passed their checks and whose files are there.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import Wcsprm
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.export.tables import About
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.epochs import MosaicRecord, MosaicState
from contimg_resources.products.model import (
    Artefact,
    ArtefactKind,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.store import ProductsStore

LIGHT_SPEED_M_S = 299_792_458.0
COLLECTION = "contimg"
IMAGE, MOSAIC = "image", "mosaic"
FITS_TYPE = "application/fits"

_CHAR = "obscore:Char."
_PLACE = f"{_CHAR}SpatialAxis.Coverage.Location.Coord.Position2D.Value2."

#: The columns of ``ivoa.obscore``, in the order of ObsCore 1.1, table 1.
OBSCORE = {
    "dataproduct_type": About("Kind of the data", ucd="meta.code.class",
                              utype="obscore:ObsDataset.dataProductType"),
    "calib_level": About("Level of calibration: 2 images, 3 mosaics", ucd="meta.code;obs.calib",
                         utype="obscore:ObsDataset.calibLevel"),
    "obs_collection": About("Collection", ucd="meta.id", utype="obscore:DataID.collection"),
    "obs_id": About("Partition key of the observation or mosaic", ucd="meta.id",
                    utype="obscore:DataID.observationID"),
    "obs_publisher_did": About("Identifier of the image", ucd="meta.ref.ivoid;meta.main",
                               utype="obscore:Curation.publisherDID"),
    "access_url": About("Address of the FITS file", ucd="meta.ref.url",
                        utype="obscore:Access.reference"),
    "access_format": About("Its media type", ucd="meta.code.mime", utype="obscore:Access.format"),
    "access_estsize": About("Its size", "kbyte", "phys.size;meta.file",
                            utype="obscore:Access.size"),
    "target_name": About("Name of the observed object", ucd="meta.id;src",
                         utype="obscore:Target.name"),
    "s_ra": About("Right ascension of the centre, ICRS", "deg", "pos.eq.ra", utype=f"{_PLACE}C1"),
    "s_dec": About("Declination of the centre, ICRS", "deg", "pos.eq.dec", utype=f"{_PLACE}C2"),
    "s_fov": About("Longer side", "deg", "phys.angSize;instr.fov",
                   utype=f"{_CHAR}SpatialAxis.Coverage.Bounds.Extent.diameter"),
    "s_region": About("Outline of the pixels, ICRS", "deg", "pos.outline;obs.field",
                      utype=f"{_CHAR}SpatialAxis.Coverage.Support.Area", xtype="adql:REGION"),
    "s_resolution": About("Geometric mean of the beam's axes, FWHM", "arcsec", "pos.angResolution",
                          utype=f"{_CHAR}SpatialAxis.Resolution.Refval.value"),
    "s_xel1": About("Columns", ucd="meta.number", utype=f"{_CHAR}SpatialAxis.numBins1"),
    "s_xel2": About("Rows", ucd="meta.number", utype=f"{_CHAR}SpatialAxis.numBins2"),
    "t_min": About("Start of the data, MJD, UTC", "d", "time.start;obs.exposure",
                   utype=f"{_CHAR}TimeAxis.Coverage.Bounds.Limits.StartTime"),
    "t_max": About("End of the data, MJD, UTC", "d", "time.end;obs.exposure",
                   utype=f"{_CHAR}TimeAxis.Coverage.Bounds.Limits.StopTime"),
    "t_exptime": About("Time between start and end", "s", "time.duration;obs.exposure",
                       utype=f"{_CHAR}TimeAxis.Coverage.Support.Extent"),
    "t_resolution": About("Resolution in time", "s", "time.resolution",
                          utype=f"{_CHAR}TimeAxis.Resolution.Refval.value"),
    "t_xel": About("Elements in time", ucd="meta.number", utype=f"{_CHAR}TimeAxis.numBins"),
    "em_min": About("Shortest wavelength", "m", "em.wl;stat.min",
                    utype=f"{_CHAR}SpectralAxis.Coverage.Bounds.Limits.LoLimit"),
    "em_max": About("Longest wavelength", "m", "em.wl;stat.max",
                    utype=f"{_CHAR}SpectralAxis.Coverage.Bounds.Limits.HiLimit"),
    "em_res_power": About("Frequency over bandwidth", ucd="spect.resolution",
                          utype=f"{_CHAR}SpectralAxis.Resolution.ResolPower.refVal"),
    "em_xel": About("Elements in frequency", ucd="meta.number",
                    utype=f"{_CHAR}SpectralAxis.numBins"),
    "o_ucd": About("Quantity of the pixels", ucd="meta.ucd", utype=f"{_CHAR}ObservableAxis.ucd"),
    "pol_states": About("Polarization states", ucd="meta.code;phys.polarization",
                        utype=f"{_CHAR}PolarizationAxis.stateList"),
    "pol_xel": About("Elements in polarization", ucd="meta.number",
                     utype=f"{_CHAR}PolarizationAxis.numBins"),
    "facility_name": About("Telescope", ucd="meta.id;instr.tel",
                           utype="obscore:Provenance.ObsConfig.Facility.name"),
    "instrument_name": About("Instrument", ucd="meta.id;instr",
                             utype="obscore:Provenance.ObsConfig.Instrument.name"),
}  # fmt: skip

_TEXTS = frozenset(
    (
        *("dataproduct_type", "obs_collection", "obs_id", "obs_publisher_did", "access_url"),
        *("access_format", "target_name", "s_region", "o_ucd", "pol_states", "facility_name"),
        "instrument_name",
    )
)
_COUNTS = frozenset(["calib_level", "s_xel1", "s_xel2", "t_xel", "em_xel", "pol_xel"])
_KEPT_FRAMES = 200_000
_BLOCK_BYTES, _CARD_BYTES = 2880, 80
_CARDS = {
    name.ljust(8).encode(): name
    for name in (
        *("NAXIS1", "NAXIS2", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"),
        *("CDELT1", "CDELT2", "CRVAL3", "CDELT3", "BMAJ", "BMIN", "OBJECT", "TELESCOP"),
    )
}


@dataclass(frozen=True)
class Frame:
    """What the header of an image says about its place on the sky."""

    #: `ra_deg`, `dec_deg`: Centre, ICRS, degrees.
    ra_deg: float
    dec_deg: float
    #: Corners from south-east, counterclockwise as seen in the sky, shape (4, 2), degrees.
    corners_deg: Floats
    columns: int  #: Number of columns.
    rows: int  #: Number of rows.
    side_deg: float  #: Longer side, degrees.
    resolution_arcsec: float  #: Geometric mean of the beam's axes, arcsec; NaN if unknown.
    frequency_hz: float  #: Frequency, Hz; NaN if unknown.
    bandwidth_hz: float  #: Width of the band, Hz; NaN if unknown.
    target: str  #: Observed object; empty if unknown.
    telescope: str  #: Telescope; empty if unknown.


class ObsCore:
    """The rows of the images and mosaics of a products store."""

    def __init__(self, store: ProductsStore, authority: str) -> None:
        self._store = store
        self._authority = authority
        self._frames: dict[tuple[Path, str], Frame | None] = {}
        self._known: tuple[Any, tuple[dict[str, NDArray[Any]], Floats]] | None = None

    def did(self, kind: str, key: str) -> str:
        """Return the publisher's identifier of an image or mosaic."""
        return f"{self._authority}?{kind}/{key}"

    def parse_did(self, text: str) -> tuple[str, str] | None:
        """Return kind and key of an identifier; None if it isn't ours."""
        start = f"{self._authority}?"
        if text[: len(start)].lower() != start.lower():
            return None
        kind, slash, key = text[len(start) :].partition("/")
        return (kind, key) if slash and kind in (IMAGE, MOSAIC) else None

    def rows(self, address: str) -> tuple[dict[str, NDArray[Any]], Floats]:
        """Return the columns of `OBSCORE` by time, and the corners, shape (n, 4, 2), degrees.

        `address` is that of the dashboard's programs, which serve the files.
        """
        # Before the rows are read: a later change is found at the next call.
        stamp = (address, self._store.image_stamp())
        if self._known is None or self._known[0] != stamp:
            self._known = stamp, self._read(address)
        return self._known[1]

    def _read(self, address: str) -> tuple[dict[str, NDArray[Any]], Floats]:
        found = sorted(self._found(address), key=lambda row: (row[0]["t_min"], row[0]["obs_id"]))
        columns = {
            name: np.array([row[name] for row, _ in found], type_of(name)) for name in OBSCORE
        }
        corners = np.array([corners for _, corners in found], np.float64).reshape(-1, 4, 2)
        return columns, corners

    def _found(self, address: str) -> Iterator[tuple[dict[str, Any], Floats]]:
        observations = {
            o.key: o for o in self._store.list_observations(state=ObservationState.IMAGED)
        }
        for key, artefact in best_images(self._store.list_images()):
            record = observations.get(key)
            if record is None or record.superseded_by:
                continue
            if (frame := self._frame(artefact.path, artefact.checksum)) is not None:
                url = f"{address}observations/{key}/{artefact.kind}.fits"
                yield self._row(IMAGE, record, frame, url, artefact.size_bytes), frame.corners_deg
        for mosaic in self._store.mosaics.list():
            if mosaic.state is not MosaicState.MADE:
                continue
            path = MosaicFiles.in_directory(mosaic.directory, mosaic.key).image
            frame = self._frame(path, mosaic.checksum)
            if frame is not None:
                url = f"{address}vo/mosaics/{mosaic.key}.fits"
                yield self._row(MOSAIC, mosaic, frame, url, mosaic.size_bytes), frame.corners_deg

    def _row(
        self,
        kind: str,
        record: ObservationRecord | MosaicRecord,
        frame: Frame,
        url: str,
        size_bytes: int,
    ) -> dict[str, Any]:
        duration_s = (record.end_mjd - record.start_mjd) * SECONDS_PER_DAY
        half_hz = 0.5 * frame.bandwidth_hz if math.isfinite(frame.bandwidth_hz) else 0.0
        return {
            "dataproduct_type": "image",
            "calib_level": 2 if kind == IMAGE else 3,
            "obs_collection": COLLECTION,
            "obs_id": record.key,
            "obs_publisher_did": self.did(kind, record.key),
            "access_url": url,
            "access_format": FITS_TYPE,
            "access_estsize": size_bytes // 1000,
            "target_name": frame.target,
            "s_ra": frame.ra_deg,
            "s_dec": frame.dec_deg,
            "s_fov": frame.side_deg,
            "s_region": "POLYGON ICRS " + " ".join(f"{v:.6f}" for v in frame.corners_deg.ravel()),
            "s_resolution": frame.resolution_arcsec,
            "s_xel1": frame.columns,
            "s_xel2": frame.rows,
            "t_min": record.start_mjd,
            "t_max": record.end_mjd,
            "t_exptime": duration_s,
            "t_resolution": duration_s,
            "t_xel": 1,
            "em_min": LIGHT_SPEED_M_S / (frame.frequency_hz + half_hz),
            "em_max": LIGHT_SPEED_M_S / (frame.frequency_hz - half_hz),
            "em_res_power": frame.frequency_hz / frame.bandwidth_hz,
            "em_xel": 1,
            "o_ucd": "phot.flux.density;em.radio",
            "pol_states": "/I/",
            "pol_xel": 1,
            "facility_name": frame.telescope,
            "instrument_name": frame.telescope,
        }

    def _frame(self, path: Path, checksum: str) -> Frame | None:
        """Return what a file says; None if it can't be read. It is read once."""
        name = (path, checksum)
        if name not in self._frames:
            if len(self._frames) >= _KEPT_FRAMES:
                self._frames.clear()
            try:
                self._frames[name] = read_frame(path)
            except (OSError, ValueError, KeyError, TypeError):
                # It may be there again later.
                return None
        return self._frames[name]


def best_images(made: Iterable[tuple[str, Artefact]]) -> Iterator[tuple[str, Artefact]]:
    """Return one image of each observation, where possible corrected for the primary beam."""
    found: dict[str, Artefact] = {}
    for key, artefact in made:
        if artefact.kind == ArtefactKind.IMAGE_PBCOR or key not in found:
            found[key] = artefact
    yield from found.items()


def read_frame(path: Path) -> Frame:
    """Read the place of an image on the sky from its header.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If the file is no image with coordinates.
    """
    header = _cards(path)
    columns, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
    sky = Wcsprm(naxis=2)
    sky.ctype = [header["CTYPE1"], header["CTYPE2"]]
    sky.crval = [float(header["CRVAL1"]), float(header["CRVAL2"])]
    sky.crpix = [float(header["CRPIX1"]), float(header["CRPIX2"])]
    sky.cdelt = [float(header["CDELT1"]), float(header["CDELT2"])]
    x = np.array([0.5, columns + 0.5, columns + 0.5, 0.5, 0.5 * (columns + 1)])
    y = np.array([0.5, 0.5, rows + 0.5, rows + 0.5, 0.5 * (rows + 1)])
    places = sky.p2s(np.stack([x, y], axis=-1), 1)["world"]
    if not np.isfinite(places).all():
        raise ValueError(f"the corners of {path} aren't on the sky")
    places[:, 0] %= 360.0

    def number(name: str) -> float:
        return float(header.get(name, math.nan))

    width_hz = number("CDELT3")
    return Frame(
        ra_deg=float(places[4, 0]),
        dec_deg=float(places[4, 1]),
        corners_deg=places[:4],
        columns=columns,
        rows=rows,
        side_deg=float(np.max(np.abs(sky.cdelt) * (columns, rows))),
        resolution_arcsec=3600.0 * math.sqrt(number("BMAJ") * number("BMIN")),
        frequency_hz=number("CRVAL3"),
        # 1 Hz stands for an unknown width.
        bandwidth_hz=abs(width_hz) if abs(width_hz) > 1.0 else math.nan,
        target=str(header.get("OBJECT", "")),
        telescope=str(header.get("TELESCOP", "")),
    )


def _cards(path: Path) -> dict[str, Any]:
    """Return the cards of a header that a frame is made of, by keyword.

    Astropy's `Header` takes ten times as long, which counts with all images of a state directory.
    """
    found: dict[str, Any] = {}
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            for start in range(0, len(block), _CARD_BYTES):
                name = block[start : start + 8]
                if name in _CARDS:
                    found.setdefault(_CARDS[name], _value(block[start : start + _CARD_BYTES]))
                elif name == b"END     ":
                    return found
    raise ValueError(f"the header of {path} has no end")


@lru_cache(maxsize=4096)
def _value(card: bytes) -> Any:
    """Return the value of a card; most cards are the same in many images."""
    return fits.Card.fromstring(card).value


def type_of(name: str) -> type[np.generic]:
    """Return the type of a column of `OBSCORE`."""
    if name in _TEXTS:
        return np.str_
    if name == "access_estsize":
        return np.int64
    return np.int32 if name in _COUNTS else np.float64
