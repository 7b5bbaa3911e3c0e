"""MeasurementSets by other hands, from the sensor to the image, by the platform's own jobs."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from astropy.io import fits

from contimg_assets.definitions import build_defs
from contimg_assets.sensors import build_observation_sensor, build_waiting_sensor
from contimg_resources.casa import Casa
from contimg_resources.imaging.make import load_image_result
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import (
    ArrivalSettings,
    CalibrationSettings,
    ImagingSettings,
    SensorSettings,
    Settings,
)
from contimg_resources.steps.watching import ScanCursor
from contimg_resources.steps.workshop import Workshop
from tests.assets.parts import parts_of
from tests.calibration import foreign
from tests.conftest import TinyNight

KEY = "60954.35505"
#: Thirty-six years in sidereal days: the sky is where it was.
YEARS_S = 13_185 * 86_164.0905


@dataclass
class Site:
    """A platform in this process: a sensor that is asked, and jobs that are executed.

    Parameters
    ----------
    workshop : Workshop
        Stores and tools.
    instance : DagsterInstance
        Of Dagster.
    cursor : str, optional
        What the sensor remembers.
    """

    workshop: Workshop
    instance: dg.DagsterInstance
    cursor: str | None = None

    def deliver(self, ms: Path, name: str, change: Callable[[Path], None] | None = None) -> Path:
        place = self.workshop.settings.incoming_dir / name
        shutil.copytree(ms, place)
        if change is not None:
            change(place)
        place.with_name(f"{name}.done").touch()
        return place

    def tick(self) -> list[dg.RunRequest]:
        """Ask the sensors of observations; return the runs that they want."""
        context = dg.build_sensor_context(
            instance=self.instance, resources=parts_of(self.workshop), cursor=self.cursor
        )
        told: Any = build_observation_sensor(SensorSettings())(context)
        self.cursor = context.cursor
        waiting: Any = build_waiting_sensor(SensorSettings())(context)
        found = []
        for result in (told, waiting):
            if isinstance(result, dg.SkipReason):
                continue
            for partitions in result.dynamic_partitions_requests or ():
                self.instance.add_dynamic_partitions(
                    partitions.partitions_def_name, list(partitions.partition_keys)
                )
            found += list(result.run_requests or ())
        return found

    def execute(self, request: dg.RunRequest) -> None:
        definitions = build_defs(parts_of(self.workshop))
        found = definitions.resolve_job_def(str(request.job_name)).execute_in_process(
            partition_key=request.partition_key, instance=self.instance
        )
        assert found.success
        self.instance.add_run_tags(found.run_id, {"dagster/run_key": str(request.run_key)})

    def image(self) -> tuple[str, Any]:
        """Let the observation through; return its key and the pixels of its image."""
        for job in ("solve_calibration", "image_observation"):
            (request,) = self.tick()
            assert request.job_name == job
            self.execute(request)
        key = str(request.partition_key)
        assert self.workshop.products.get(key).state is ObservationState.IMAGED
        (image,) = (
            a.path for a in self.workshop.products.artefacts(key) if a.kind == ArtefactKind.IMAGE
        )
        return key, fits.getdata(image)[0, 0]


@pytest.fixture(scope="module")
def written(tiny_night: TinyNight) -> Path:
    """Give the calibrator's transit; only read."""
    return tiny_night.calibrator


@pytest.fixture(scope="module")
def make_site(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    instances = []

    def make() -> Site:
        settings = Settings(
            state=tmp_path_factory.mktemp("site") / "state",
            arrival=ArrivalSettings(settle_age_s=0),
            calibration=CalibrationSettings(plotms=False, model_from_image=False),
            # The calibrator is all that is looked at.
            imaging=ImagingSettings(image_size=512, cell_arcsec=12.0, niter=200, sub_bands=0),
        )
        settings.incoming_dir.mkdir(parents=True)
        workshop = Workshop(
            settings=settings,
            registry=CalibrationRegistry.with_casa(settings.registry_address, casa),
            products=ProductsStore(settings.products_address),
            casa=casa,
            calibrators=CalibratorList(),
        )
        instances.append(dg.DagsterInstance.ephemeral())
        return Site(workshop, instances[-1])

    yield make
    for instance in instances:
        instance.dispose()


def moved(ms: Path, by_s: float) -> None:
    """Move all times of an MS."""
    for part, names in {
        "": ("TIME", "TIME_CENTROID"),
        "FIELD": ("TIME",),
        "OBSERVATION": ("TIME_RANGE",),
    }.items():
        with foreign.opened(ms / part, write=True) as table:
            for name in names:
                table.putcol(name, table.getcol(name) + by_s)


def flag_all(ms: Path) -> None:
    foreign.put(ms, FLAG=True)


@pytest.fixture(scope="module")
def single(written: Path, make_site: Any) -> Any:
    """The image of the MS as it was written."""
    site = make_site()
    site.deliver(written, "single.ms")
    key, pixels = site.image()
    assert key == KEY
    return pixels


def assert_same(image: Any, other: Any) -> None:
    assert other.max() > 10
    np.testing.assert_allclose(image, other, atol=1e-4 * other.max())


def test_rows_that_stand_twice_make_the_image_that_they_make_once(
    written: Path, make_site: Any, single: Any
) -> None:
    site = make_site()

    def twice(ms: Path) -> None:
        with foreign.opened(ms) as table:
            rows = np.arange(table.nrows())
        foreign.repeat_rows(ms, rows)

    site.deliver(written, "twice.ms", twice)
    key, pixels = site.image()
    assert key == KEY
    assert_same(pixels, single)
    observation = site.workshop.products.observation(KEY)
    assert any("twice" in note for note in observation.notes), observation.notes


def test_an_observation_of_1989_makes_the_same_image(
    written: Path, make_site: Any, single: Any
) -> None:
    site = make_site()
    site.deliver(written, "1989.ms", lambda ms: moved(ms, -YEARS_S))
    key, pixels = site.image()
    assert float(key) == pytest.approx(float(KEY) - YEARS_S / 86_400, abs=1.1e-5)
    assert_same(pixels, single)
    result = load_image_result(site.workshop.settings.layout.image_dir(key), key)
    assert result.mid_mjd == pytest.approx(float(key), abs=1e-5)
    assert fits.getheader(result.files.image)["DATE-OBS"].startswith("1989-")


def test_a_flagged_ms_has_failed_with_its_reason_and_gives_way_to_a_good_one(
    written: Path, make_site: Any
) -> None:
    site = make_site()
    bad = site.deliver(written, "flagged.ms", flag_all)
    assert site.tick() == []
    record = site.workshop.products.get(KEY)
    assert record.state is ObservationState.FAILED
    assert str(bad) in (record.reason or "")
    assert "all its cross-correlations are flagged" in (record.reason or "")
    assert site.tick() == [], "it is no work for any later tick"
    good = site.deliver(written, "good.ms")
    (request,) = site.tick()
    assert (request.job_name, request.partition_key) == ("solve_calibration", KEY)
    assert site.workshop.products.get(KEY).path == good
    # It stays where it is, and is named with the reason.
    site.tick()
    assert "nothing can be made of" in ScanCursor.from_text(site.cursor).reasons["flagged.ms"]
