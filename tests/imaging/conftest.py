"""One simulated observation of perfect antennas and its image, shared by the tests here."""

from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.settings import ImagingSettings
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import GainSpec, SimulationSpec, Size, SkySpec
from contimg_resources.simulation.truth import Truth
from tests.conftest import made_once
from tests.imaging.imaging_steps import Sky, bring_to_one_centre

SPEC = replace(
    SimulationSpec.of_size(Size.TINY, 60954.6, 33.0, seed=3),
    gains=GainSpec.perfect(),
    sky=SkySpec(calibrators=False),
)


@pytest.fixture(scope="session")
def sky(casa: Casa, of_all_workers: Path) -> Sky:
    """A simulated observation; made once even when several workers run."""

    def make(directory: Path) -> Path:
        return observed(casa, SPEC, directory).ms

    ms = made_once(of_all_workers / "sky", Path, make)
    return Sky(ms, Truth.load(as_it_came(ms)))


@pytest.fixture(scope="session")
def quiet_sky(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Sky:
    """The same sky through receivers with a tenth of the noise."""
    quiet = replace(SPEC, sefd_jy=SPEC.sefd_jy / 10)
    return observed(casa, quiet, tmp_path_factory.mktemp("quiet-sky"))


def observed(casa: Casa, spec: SimulationSpec, directory: Path) -> Sky:
    ms = casa.run(simulate_observation, SimulationRequest(spec, directory), label="simulate").ms
    return Sky(casa.run(bring_to_one_centre, ms, label="shift"), Truth.load(ms))


def as_it_came(ms: Path) -> Path:
    """Return the MS that `bring_to_one_centre` made this one of."""
    return ms.with_name(ms.name.replace("_cal.ms", ".ms"))


@pytest.fixture(scope="session")
def imaged(casa: Casa, sky: Sky, of_all_workers: Path) -> ImageResult:
    """The image with every default (about half a minute on an idle core), made once as well."""

    def make(directory: Path) -> ImageResult:
        place = directory / "61041.00347"
        place.mkdir(parents=True)
        (place / "left from before").touch()
        request = ImageRequest(
            ms=sky.ms,
            directory=place,
            stem="61041.00347",
            # The sources measure the primary beam, and calibrate nothing.
            settings=ImagingSettings(in_field=False),
            field_model=tuple(sky.references),
            provenance={
                "observation": "61041.00347",
                "caltable_set": "3C48",
                "caltable_version": "2",
            },
        )
        return casa.run(make_image, request, label="image")

    return made_once(of_all_workers / "images", ImageResult, make)
