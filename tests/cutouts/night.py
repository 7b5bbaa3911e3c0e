"""A state with mosaics that sources were measured on."""

from collections.abc import Sequence
from pathlib import Path

from contimg_resources.casa import Casa
from contimg_resources.core.checksums import content_checksum
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.products.epochs import MosaicRecord, MosaicState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import CutoutSettings, Settings
from contimg_resources.steps.workshop import Workshop
from tests.cutouts.mosaics import MID_MJD, grid, sky, write
from tests.photometry import epochs
from tests.registry.conftest import read_made_up_tables

#: Where `epochs.write` puts the first of its sources.
RA_DEG, DEC_DEG = 180.0, 54.0


def make_workshop(root: Path, *, max_gb: float = 10.0) -> Workshop:
    settings = Settings(
        state=root / "state", cutouts=CutoutSettings(size_arcmin=4.0, max_gb=max_gb)
    )
    settings.state.mkdir(parents=True, exist_ok=True)
    return Workshop(
        settings=settings,
        registry=CalibrationRegistry(settings.registry_address, inspect=read_made_up_tables),
        products=ProductsStore(settings.products_address),
        casa=Casa(root / "scratch", root / "logs"),
        calibrators=CalibratorList(),
    )


def add_mosaic(
    workshop: Workshop,
    number: float,
    *,
    seed: int = 0,
    state: MosaicState = MosaicState.MADE,
    names: Sequence[str] = ("s0",),
    side: int = 80,
    flux_jy: float = 0.05,
) -> str:
    """Make a mosaic, record it, and measure it; return its key."""
    mid_mjd = round(MID_MJD + number, 5)
    key = f"{mid_mjd:.5f}+54.0"
    layout = workshop.settings.layout
    directory = layout.mosaic_dir(key, mid_mjd)
    on = grid(side=side)
    image = MosaicFiles.in_directory(directory, key).image
    pixels = sky(on, [(RA_DEG, DEC_DEG, flux_jy)], seed=seed)
    write(image, on, pixels, mid_mjd=mid_mjd)
    workshop.products.mosaics.put(
        MosaicRecord(
            key=key,
            start_mjd=mid_mjd - 0.02,
            mid_mjd=mid_mjd,
            end_mjd=mid_mjd + 0.02,
            declination_deg=54.0,
            state=state,
            reason="" if state is MosaicState.MADE else "a seam",
            tiles={},
            directory=directory,
            checksum=content_checksum(image),
        )
    )
    epochs.write(layout.photometry, mid_mjd, [flux_jy] * len(names), names)
    return key
