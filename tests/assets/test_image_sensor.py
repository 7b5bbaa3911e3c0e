"""Images made elsewhere are materialized in Dagster, and their sources are measured."""

from pathlib import Path

import dagster as dg

from contimg_assets.image_sensor import build_image_sensor
from contimg_assets.mosaic_sensor import build_mosaic_sensor
from contimg_resources.images.standard_form import ForeignFiles
from contimg_resources.settings import CatalogueSettings, MosaicSettings, SensorSettings
from contimg_resources.steps.adding_images import add_images
from contimg_resources.steps.workshop import Workshop
from tests.assets.parts import parts_of
from tests.steps.test_adding_images import catalogue_of, image_file, made_workshop


def tick(
    instance: dg.DagsterInstance, workshop: Workshop, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(
        instance=instance, resources=parts_of(workshop), cursor=cursor
    )
    return build_image_sensor(SensorSettings())(context)  # type: ignore[return-value]


def test_each_added_image_is_told_once_and_its_hour_becomes_a_mosaic(tmp_path: Path) -> None:
    workshop = made_workshop(
        tmp_path,
        catalogue=CatalogueSettings(reference="sky", default_spectral_index=0.0),
        mosaics=MosaicSettings(wait_min=0.0),
    )
    catalogue_of(workshop, tmp_path / "sky.csv")
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(instance, workshop), dg.SkipReason)
        first = image_file(tmp_path / "0.fits")
        second = image_file(tmp_path / "1.fits", 0, **{"DATE-OBS": "2025-10-06T12:35:00"})
        found = add_images(workshop, [ForeignFiles(first), ForeignFiles(second)])
        keys = [a.record.key for a in found.added]
        told = tick(instance, workshop)
        assert isinstance(told, dg.SensorResult)
        assert [(e.asset_key.to_user_string(), e.partition) for e in told.asset_events] == [
            ("image_5min", key) for key in keys
        ]
        assert [r.partition_key for r in told.run_requests or ()] == keys
        (added,) = told.dynamic_partitions_requests or ()
        assert list(added.partition_keys) == keys
        assert isinstance(tick(instance, workshop, told.cursor), dg.SkipReason)
        # The next tick looks at later events alone, also in a store that was restored.
        newest = workshop.products.last_event_id()
        assert workshop.products.images_made_elsewhere.added_after(10**9) == ((), newest)
        # Made again, it is told and measured again.
        image_file(first, seed=5)
        add_images(workshop, [ForeignFiles(first), ForeignFiles(second)])
        again = tick(instance, workshop, told.cursor)
        assert isinstance(again, dg.SensorResult)
        assert [e.partition for e in again.asset_events] == keys[:1]
        assert (again.run_requests or ())[0].run_key != (told.run_requests or ())[0].run_key
        context = dg.build_sensor_context(instance=instance, resources=parts_of(workshop))
        mosaics = build_mosaic_sensor(SensorSettings())(context)
        assert isinstance(mosaics, dg.SensorResult)
        assert len(mosaics.run_requests or ()) == 2
