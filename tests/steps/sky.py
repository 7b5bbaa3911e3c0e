"""A workshop whose observations were imaged: made-up images of a known sky."""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa import Casa
from contimg_resources.imaging.model import Beam, ImageFiles
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import CatalogueSettings, MosaicSettings, Settings
from contimg_resources.simulation.tiles import (
    MadeUpTile,
    drifting_tiles,
    random_sources,
    write_tile,
)
from contimg_resources.steps.workshop import Workshop
from tests.products.conftest import make_observation
from tests.registry.conftest import read_made_up_tables

START = 61_041.0
STRIP_DEG = 54.0
BEAM = Beam(200.0, 120.0, 25.0)
CELL_ARCSEC = 40.0
Sources = list[tuple[float, float, float]]


@dataclass
class Sky:
    """Stores, and the observations that can be imaged.

    Parameters
    ----------
    workshop : Workshop
        Stores and settings.
    keys : tuple of str
        Partition keys of the observations, by time.
    sources : list
        RA, Dec and flux density of what is on the sky.
    """

    workshop: Workshop
    keys: tuple[str, ...]
    sources: Sources

    def arrive(self, number: int) -> str:
        """Let an observation arrive."""
        tile = _tiles()[number]
        self.workshop.products.arrive(
            make_observation(
                self.workshop.settings.incoming_dir / f"{tile.key}.ms",
                tile.mid_mjd,
                signature=f"s{number}",
                declination_deg=STRIP_DEG,
            )
        )
        return tile.key

    def image(self, number: int, *, scale: float = 1.0, seed: int = 0) -> str:
        """Let an observation arrive, if it hasn't, and be imaged."""
        key = self.arrive(number)
        tile = _tiles(seed)[number]
        directory = self.workshop.settings.layout.image_dir(key)
        write_tile(tile, directory, [(ra, dec, scale * jy) for ra, dec, jy in self.sources])
        files = ImageFiles.in_directory(directory, key)
        files.pbcor.write_bytes(f"{number} {seed} {scale}".encode())
        self.workshop.products.put_artefacts(
            key,
            [
                Artefact(kind, path, checksum=f"sha256:{number}{seed}{scale}", set_name="3C48")
                for kind, path in (
                    (ArtefactKind.IMAGE, files.image),
                    (ArtefactKind.IMAGE_PBCOR, files.pbcor),
                    (ArtefactKind.RESIDUAL, files.residual),
                    (ArtefactKind.PRIMARY_BEAM, files.primary_beam),
                )
            ],
        )
        self.workshop.products.set_state(key, ObservationState.IMAGED, step="image_5min")
        return key


def _tiles(seed: int = 0) -> tuple[MadeUpTile, ...]:
    return drifting_tiles(
        12,
        size=260,
        cell_arcsec=CELL_ARCSEC,
        beam=BEAM,
        fwhm_deg=2.0,
        start_mjd=START,
        dec_deg=STRIP_DEG,
        seed=100 * seed,
    )


def make_sky(root: Path, *, wait_min: float = 60.0, n_sources: int = 500) -> Sky:
    """Make stores below a directory, with the sky as catalogue ``simulated``."""
    settings = Settings(
        state=root / "state",
        mosaics=MosaicSettings(wait_min=wait_min),
        catalogue=CatalogueSettings(reference="simulated", default_spectral_index=0.0),
    )
    settings.state.mkdir(parents=True)
    workshop = Workshop(
        settings=settings,
        registry=CalibrationRegistry(settings.registry_address, inspect=read_made_up_tables),
        products=ProductsStore(settings.products_address),
        casa=Casa(root / "scratch", root / "logs"),
        calibrators=CalibratorList(),
    )
    sources = random_sources(n_sources, (176.0, 199.0), (52.3, 55.7), 3)
    listed = root / "sky.csv"
    lines = [f"s{i},{ra},{dec},{jy},1.4" for i, (ra, dec, jy) in enumerate(sources)]
    listed.write_text("name,ra_deg,dec_deg,flux_jy,reference_ghz\n" + "\n".join(lines) + "\n")
    workshop.catalogues.add("simulated", listed)
    return Sky(workshop, tuple(t.key for t in _tiles()), sources)
