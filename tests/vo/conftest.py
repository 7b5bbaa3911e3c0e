"""A state with images, light curves and a candidate, served as `contimg dashboard` serves it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg_resources.cutouts.places import cutout_path, png_beside
from contimg_resources.dashboard.programs import open_programs
from contimg_resources.dashboard.serving import DashboardServer
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.model import Beam, ImageGrid
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.epochs import MosaicRecord, MosaicState
from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.settings import Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.added import AddedFacts, write_added
from contimg_resources.variability.model import LightCurves
from tests.alerts.conftest import make_candidate
from tests.products.conftest import MJD, make_observation

N_SOURCES, N_POINTS = 40, 25
RA_DEG, DEC_DEG = 24.4, 33.2
#: Right ascensions of the centres of the images: the second lies across 0 h.
CENTRES_DEG = (RA_DEG, 359.9)
SIZE, CELL_ARCSEC = 96, 60.0
EPOCH = "60954.35417+33.2"
HOSTILE = "<b>&\"'"


@dataclass(frozen=True)
class Served:
    """A running server, and what its state holds."""

    address: str
    state: Path
    curves: LightCurves
    keys: tuple[str, ...]

    @property
    def vo(self) -> str:
        return f"{self.address}api/vo/"


def write_image(path: Path, ra_deg: float, start_mjd: float) -> None:
    facts = HeaderFacts(
        grid=ImageGrid(SIZE, CELL_ARCSEC, ra_deg, DEC_DEG),
        beam=Beam(40.0, 22.5, 10.0),
        frequency_hz=1.4e9,
        bandwidth_hz=1e8,
        telescope="DSA-110",
        object_name=HOSTILE,
        start_mjd=start_mjd,
        end_mjd=start_mjd + 300 / 86400,
        cards={},
        provenance={},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_fits(path, np.ones((SIZE, SIZE), np.float32), "Intensity", "Jy/beam", facts)


def light_curves() -> LightCurves:
    """Return curves of sources around the first image; the last one has no position."""
    random = np.random.default_rng(5)
    n = N_SOURCES * N_POINTS
    ra_deg = RA_DEG + random.uniform(-0.5, 0.5, N_SOURCES)
    ra_deg[-1] = np.nan
    return LightCurves(
        source_id=np.array([f"field:S{i:03d}" for i in range(N_SOURCES)]),
        ra_deg=ra_deg,
        dec_deg=DEC_DEG + random.uniform(-0.5, 0.5, N_SOURCES),
        offsets=np.arange(0, n + 1, N_POINTS),
        mid_mjd=np.tile(60_000.25 + np.arange(N_POINTS), N_SOURCES),
        flux_jy=random.uniform(0.01, 1.0, n),
        error_jy=np.full(n, 0.001),
        flags=np.zeros(n, np.int64),
        is_reference=np.zeros(n, np.bool_),
        epoch=np.full(n, ""),
    )


def fill(workshop: Workshop, root: Path) -> tuple[LightCurves, tuple[str, ...]]:
    """Put all of it into a state."""
    products, layout = workshop.products, workshop.settings.layout
    keys = []
    for number, ra_deg in enumerate(CENTRES_DEG):
        observation = make_observation(
            root / f"{number}.ms", MJD + number, signature=f"s{number}", declination_deg=DEC_DEG
        )
        key = products.arrive(observation).record.key
        path = root / f"{number}.pbcor.fits"
        write_image(path, ra_deg, observation.start_mjd)
        size = path.stat().st_size
        made = Artefact(
            ArtefactKind.IMAGE_PBCOR, path, checksum=f"sha256:{number}", size_bytes=size
        )
        products.put_artefacts(key, [made])
        products.set_state(key, ObservationState.IMAGED, step="image_5min")
        keys.append(key)
    mid_mjd = 60_954.35417
    directory = layout.mosaic_dir(EPOCH, mid_mjd)
    files = MosaicFiles.in_directory(directory, EPOCH)
    write_image(files.image, RA_DEG, mid_mjd - 0.02)
    products.mosaics.put(
        MosaicRecord(
            key=EPOCH,
            start_mjd=mid_mjd - 0.02,
            mid_mjd=mid_mjd,
            end_mjd=mid_mjd + 0.02,
            declination_deg=DEC_DEG,
            state=MosaicState.MADE,
            reason="",
            tiles={keys[0]: "sha256:0"},
            directory=directory,
            checksum="sha256:m",
        )
    )
    curves = light_curves()
    facts = AddedFacts("field", MJD, len(curves), len(curves.mid_mjd), 0.0, 1.0, (), (), {})
    write_added(layout.added_light_curves, curves, facts)
    source = str(curves.source_id[3])
    placed = {"ra_deg": float(curves.ra_deg[3]), "dec_deg": float(curves.dec_deg[3])}
    products.events.put_candidates([make_candidate(id="ese-1", source_id=source, **placed)])
    cutout = cutout_path(layout.cutouts, source, EPOCH)
    cutout.parent.mkdir(parents=True)
    fits.writeto(cutout, np.ones((4, 4), np.float32))
    png_beside(cutout).write_bytes(b"\x89PNG")
    layout.candidates.mkdir(parents=True, exist_ok=True)
    layout.card("ese-1").write_bytes(b"\x89PNG")
    return curves, tuple(keys)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("vo")
    workshop = Workshop.from_settings(Settings(state=root / "state"))
    curves, keys = fill(workshop, root)
    export_dashboard(workshop)
    # No test asks the network.
    quiet = workshop.settings.dashboard.model_copy(update={"sesame_url": ""})
    settings = workshop.settings.model_copy(update={"dashboard": quiet})
    programs = open_programs(settings, "127.0.0.1", marks=False, dagster=lambda: None)
    with DashboardServer(settings.export_dir, "127.0.0.1", 0, programs) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Served(f"http://127.0.0.1:{server.port}/", settings.state, curves, keys)
        server.stop()
        thread.join()
