"""Stores in which four observations were imaged with the caltable set that was valid then."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.checksums import content_checksum
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import Antenna, SpectralWindow
from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.staleness import stale_observations
from contimg_resources.steps.workshop import Workshop
from tests.products.conftest import make_observation
from tests.registry.conftest import LAYOUT, Maker, read_made_up_tables

MJD = 61_041.0
#: Of the observations, days from the calibrator.
TIMES = (0.1, 0.3, 0.6, 1.2)


@dataclass
class Made:
    """Stores in which four observations were imaged with what was valid then."""

    workshop: Workshop
    new_set: Maker
    keys: tuple[str, ...]

    def stale(self, **limits: float) -> list[tuple[str, str, str | None]]:
        return [(s.key, s.applied, s.now) for s in stale_observations(self.workshop, **limits)]

    def remake(self, key: str) -> None:
        """Record products of an observation with the set that it gets now."""
        active = self.workshop.active_caltables(self.workshop.products.observation(key))
        directory = self.workshop.settings.state / key
        directory.mkdir(exist_ok=True)
        image, ms = directory / "image.fits", directory / "cal.ms"
        image.write_bytes(f"image of {key} with {active.set.name}".encode())
        ms.mkdir(exist_ok=True)
        (ms / "table.dat").write_bytes(b"rows")
        common: dict[str, Any] = {
            "set_name": active.set.name,
            "set_version": active.set.version,
            "borrowed": active.borrowed,
            "parameters": {"robust": 0.5},
            "software": {"casatasks": "6.7"},
            "run_id": "r1",
        }
        self.workshop.products.put_artefacts(
            key,
            [
                Artefact(ArtefactKind.CALIBRATED_MS, ms, size_bytes=4, **common),
                Artefact(
                    ArtefactKind.IMAGE,
                    image,
                    checksum=content_checksum(image),
                    size_bytes=image.stat().st_size,
                    **common,
                ),
            ],
        )
        self.workshop.products.set_state(key, ObservationState.IMAGED, step="image_5min")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_stores(tmp_path)


def make_stores(tmp_path: Path) -> Made:
    """Make them below a directory."""
    settings = Settings(state=tmp_path / "state")
    settings.state.mkdir()
    workshop = Workshop(
        settings=settings,
        registry=CalibrationRegistry(settings.registry_address, inspect=read_made_up_tables),
        products=ProductsStore(settings.products_address),
        casa=Casa(tmp_path / "scratch", tmp_path / "logs"),
        calibrators=CalibratorList(),
    )
    new_set = Maker(tmp_path)
    workshop.registry.register(new_set("first", MJD, before=0.5, after=2.0))
    keys = []
    for number, days in enumerate(TIMES):
        observation = make_observation(
            tmp_path / f"{number}.ms",
            MJD + days,
            signature=f"s{number}",
            antennas=tuple(Antenna(i, n, True, 0.0) for i, n in enumerate(LAYOUT.antenna_names)),
            spectral_windows=tuple(
                SpectralWindow(i, first, last, (last - first) / (n - 1), n)
                for i, (first, last, n) in enumerate(LAYOUT.spectral_windows_hz)
            ),
        )
        workshop.products.arrive(observation)
        keys.append(observation.key)
    found = Made(workshop, new_set, tuple(keys))
    for key in keys:
        found.remake(key)
    return found
