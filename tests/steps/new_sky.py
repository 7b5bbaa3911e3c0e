"""Epochs of a field with sources that its catalogue lacks, put into the mosaics' pixels.

The shapes are those of astropy's models, not of contimg's finder or simulator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.modeling.models import Gaussian2D
from astropy.wcs import WCS

from contimg_resources.core.checksums import content_checksum
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.settings import CatalogueSettings, FindingSettings, Settings
from contimg_resources.simulation.season import write_season
from contimg_resources.simulation.season_spec import SeasonSpec, SeasonTruth
from contimg_resources.steps.finding import find_in_mosaic
from contimg_resources.steps.new_sources import NewInMosaic, find_new
from contimg_resources.steps.photometry import measure_mosaic
from contimg_resources.steps.workshop import Workshop

RMS_JY = 3e-4
SPEC = SeasonSpec(
    name="field",
    n_days=5,
    size_deg=0.5,
    # The finder fits pixels above 0.6 of a peak: the minor axis needs three pixels.
    cell_arcsec=6.0,
    rms_jy=RMS_JY,
    n_sources=16,
    flux_jy=(0.02, 1.0),
    events=(),
    flares=(),
    walks=(),
    event_walks=(),
    scale_error=0.02,
    n_bad=0,
    lost_share=0.0,
    maintenance_days=0,
)


@dataclass
class NewSky:
    """A workshop with epochs of a field.

    Parameters
    ----------
    workshop : Workshop
        Stores and settings.
    truth : SeasonTruth
        The catalogue's sources and the epochs.
    """

    workshop: Workshop
    truth: SeasonTruth

    @property
    def keys(self) -> tuple[str, ...]:
        """Partition keys of the mosaics, in the order of time."""
        return tuple(e.key for e in self.truth.epochs)

    def known(self) -> np.ndarray:
        """RA, Dec and flux density of the catalogue's sources."""
        found = self.workshop.catalogues.open(SPEC.name).all()
        return np.column_stack([found.ra_deg, found.dec_deg, found.flux_jy])

    def plant(self, key: str, sources: Sequence[tuple[float, float, float]]) -> None:
        """Add point sources (RA, Dec in degrees, Jy) to the pixels of a mosaic, and measure it."""
        mosaics = self.workshop.products.mosaics
        record = mosaics.get(key)
        path = MosaicFiles.in_directory(record.directory, key).image
        with fits.open(path, mode="update", memmap=False) as hdus:
            header = hdus[0].header
            wcs = WCS(header).celestial
            y, x = np.mgrid[: header["NAXIS2"], : header["NAXIS1"]]
            per_deg = 1 / abs(header["CDELT2"]) / np.sqrt(8 * np.log(2))
            for ra, dec, jy in sources:
                column, row = wcs.all_world2pix(ra, dec, 0)
                shape = Gaussian2D(
                    jy,
                    column,
                    row,
                    header["BMAJ"] * per_deg,
                    header["BMIN"] * per_deg,
                    np.radians(90 + header["BPA"]),
                )
                hdus[0].data[..., :, :] += shape(x, y).astype(np.float32)
        size = path.stat().st_size
        mosaics.put(replace(record, checksum=content_checksum(path), size_bytes=size))
        self.find(key)

    def find(self, key: str) -> None:
        """Measure a mosaic, and find its sources."""
        measure_mosaic(self.workshop, key, draw=False)
        find_in_mosaic(self.workshop, key)

    def search(self, key: str) -> NewInMosaic:
        """Search a mosaic for new sources."""
        found = find_new(self.workshop, key, run_id="r")
        assert isinstance(found, NewInMosaic)
        return found

    def empty_place(self, number: int, least_arcmin: float = 2.5) -> tuple[float, float]:
        """Return a position far from the catalogue's sources and from other empty places."""
        rng = np.random.default_rng(17)
        ra0, dec0 = SPEC.ra_deg, SPEC.dec_deg
        taken = self.known()[:, :2].tolist()
        half = 0.45 * SPEC.size_deg
        for _ in range(10_000):
            off = rng.uniform(-half, half, 2)
            ra, dec = ra0 + off[0] / np.cos(np.radians(dec0)), dec0 + off[1]
            away = [np.hypot((ra - r) * np.cos(np.radians(dec)), dec - d) for r, d in taken]
            if min(away) * 60 > least_arcmin:
                taken.append([ra, dec])
                if len(taken) - len(self.known()) > number:
                    return float(ra), float(dec)
        raise AssertionError("the field is too full")


def make_new_sky(root: Path, spec: SeasonSpec = SPEC) -> NewSky:
    """Write the epochs of the field, without any source that the catalogue lacks."""
    settings = Settings(
        state=root / "state",
        catalogue=CatalogueSettings(reference=spec.name),
        finding=FindingSettings(injections=60),
    )
    workshop = Workshop.from_settings(settings)
    return NewSky(workshop, write_season(workshop, spec))
