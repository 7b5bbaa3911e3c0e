"""Mosaics and their photometry between both stores: what is to be made, and what comes of it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import InvalidName, MosaicFailed, PhotometryFailed, ProductsError
from contimg_resources.mosaics.due import OpenMosaic
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.photometry.light_curves import light_curve
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.products.epochs import EpochKind, MosaicState, TileSource
from contimg_resources.products.model import ObservationState
from contimg_resources.products.mosaics import MosaicProducts
from contimg_resources.steps.mosaicking import mosaic_observations, open_mosaics
from contimg_resources.steps.origin import software
from contimg_resources.steps.photometry import Measured, Unmeasured, measure_image, measure_mosaic
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.retention import choose_removals
from contimg_resources.steps.starting import record_failure
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from tests.products.conftest import make_observation
from tests.steps.sky import START, Sky, make_sky

KEY = "61041.02083+54.0"
LONG_AFTER = START + 400.0


@pytest.fixture
def sky(tmp_path: Path) -> Sky:
    return make_sky(tmp_path)


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    """An hour of images, put together and measured; nothing of it may be changed."""
    sky = make_sky(tmp_path_factory.mktemp("hour"))
    for number in range(12):
        sky.image(number)
    mosaic_observations(sky.workshop, KEY)
    return sky


def found(sky: Sky, at_mjd: float) -> dict[str, OpenMosaic]:
    return {m.key: m for m in open_mosaics(sky.workshop, at_mjd=at_mjd)}


def last_change(sky: Sky) -> float:
    """Return just after the last change of an observation, MJD in days."""
    sources = sky.workshop.products.mosaics.tile_sources()
    return max(s.updated_mjd for s in sources) + 1e-9


def test_a_window_waits_for_images_that_are_being_made_and_for_late_ones(sky: Sky) -> None:
    for number in range(6):
        sky.image(number)
    now = last_change(sky)
    assert found(sky, now)[KEY].waits_for == "a later observation, for at most 60 minutes"
    assert found(sky, now + 61 / 1440)[KEY].waits_for == ""
    late = sky.arrive(6)
    now = last_change(sky)
    assert found(sky, now + 0.5)[KEY].waits_for == f"1 images in progress, first {late}"
    # One that waits for caltables isn't waited for, unless more may follow soon.
    sky.workshop.products.set_state(
        late, ObservationState.WAITING, step="arrival", reason="no caltables"
    )
    now = last_change(sky)
    assert "to be unchanged for another 300 s" in found(sky, now)[KEY].waits_for
    assert found(sky, now + 0.5)[KEY].waits_for == ""


def test_a_gap_is_waited_for_until_a_later_observation_has_arrived(sky: Sky) -> None:
    for number in (0, 1, 3, 8):
        sky.image(number)
    # The last one leaves room for others, before it and after it.
    assert "a later observation" in found(sky, last_change(sky))[KEY].waits_for
    sky.workshop.products.set_state(
        sky.arrive(10), ObservationState.FAILED, step="image_5min", reason="rms"
    )
    assert "a later observation" in found(sky, last_change(sky))[KEY].waits_for
    sky.image(11)
    now = last_change(sky)
    assert found(sky, now)[KEY].waits_for.startswith("observations that may be late, for another ")
    # Those that failed hold nothing up.
    assert found(sky, now + 31 / 86_400)[KEY].waits_for == ""


def test_without_gaps_nothing_is_waited_for_and_late_images_join(hour: Sky, sky: Sky) -> None:
    # The mosaic half an hour later has the second half of the hour only.
    assert "a later observation" in found(hour, last_change(hour))["61041.04167+54.0"].waits_for
    assert KEY not in found(hour, last_change(hour)), "it was made"
    for number in range(4):
        sky.image(number)
    mosaic_observations(sky.workshop, KEY)
    sky.image(7)
    now = last_change(sky)
    assert "its images to be unchanged for another 300 s" in found(sky, now)[KEY].waits_for
    assert found(sky, now + 301 / 86_400)[KEY].waits_for == ""


def test_what_was_made_is_open_again_when_an_image_comes_or_is_made_again(sky: Sky) -> None:
    for number in range(5):
        sky.image(number)
    first = mosaic_observations(sky.workshop, KEY)
    assert first.record.state is MosaicState.MADE
    assert KEY not in found(sky, LONG_AFTER)
    sky.image(5)
    signature = found(sky, LONG_AFTER)[KEY].signature
    second = mosaic_observations(sky.workshop, KEY)
    assert (second.result.rebuilt, second.result.added) == (False, (sky.keys[5],))
    sky.image(5, seed=9)
    assert found(sky, LONG_AFTER)[KEY].signature != signature
    assert mosaic_observations(sky.workshop, KEY).result.rebuilt
    # An image that failed its checks is none.
    sky.workshop.products.set_state(
        sky.keys[5], ObservationState.FAILED, step="image_5min", reason="rms"
    )
    last = mosaic_observations(sky.workshop, KEY)
    assert sorted(last.record.tiles) == list(sky.keys[:5])
    assert KEY not in found(sky, LONG_AFTER)


def test_only_what_changed_lately_can_be_asked_for(sky: Sky) -> None:
    for number in range(12):
        sky.image(number)
    now = max(s.updated_mjd for s in sky.workshop.products.mosaics.tile_sources()) + 0.5
    all_of_them = open_mosaics(sky.workshop, at_mjd=now)
    assert open_mosaics(sky.workshop, at_mjd=now, changed_days=1.0) == all_of_them
    assert KEY in {m.key for m in all_of_them}
    assert open_mosaics(sky.workshop, at_mjd=now, changed_days=0.4) == ()


def test_a_change_years_ago_is_found_without_reading_the_years_between(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sky.workshop.products
    began, now = START - 3600, START + 0.01
    monkeypatch.setattr("contimg_resources.products.store.now_mjd", lambda: now)
    for days in range(0, 3600, 60):
        arrived = partial(float, began + days)
        monkeypatch.setattr("contimg_resources.products.recording.now_mjd", arrived)
        path = sky.workshop.settings.incoming_dir / f"{days}.ms"
        store.arrive(make_observation(path, began + days, signature=f"old{days}"))
    monkeypatch.setattr("contimg_resources.products.recording.now_mjd", lambda: now)
    for number in range(4):
        sky.image(number)
    store.set_state(f"{began + 600:.5f}", ObservationState.FAILED, step="image_5min", reason="rms")
    (old, new) = store.mosaics.changed_spans(START - 1.0, 0.1)
    assert old == pytest.approx((began + 599.9, began + 600.1))
    assert new == pytest.approx((START - 0.1, START + 0.1), abs=0.02)
    read, tile_sources = [], MosaicProducts.tile_sources

    def noted(products: MosaicProducts, **span: float) -> tuple[TileSource, ...]:
        read.append(tile_sources(products, **span))
        return read[-1]

    monkeypatch.setattr(MosaicProducts, "tile_sources", noted)
    found = open_mosaics(sky.workshop, at_mjd=START + 0.02, changed_days=1.0)
    assert KEY in {m.key for m in found}
    assert sorted(len(sources) for sources in read) == [1, 4]


def test_a_tile_that_can_t_be_used_isn_t_tried_over_and_over(sky: Sky) -> None:
    for number in range(4):
        sky.image(number)
    image = MosaicFiles.in_directory(Path(), "x").image
    assert image.name == "x.mosaic.fits"
    broken = sky.workshop.products.artefacts(sky.keys[1])[0].path.parent
    next(broken.glob("*.image.fits")).write_bytes(b"")
    made = mosaic_observations(sky.workshop, KEY)
    assert list(made.result.refused) == [sky.keys[1]]
    assert made.record.state is MosaicState.MADE
    assert KEY not in found(sky, LONG_AFTER)


def test_a_mosaic_of_nothing_is_told(sky: Sky) -> None:
    with pytest.raises(MosaicFailed, match=r"no images for a mosaic 61041\.02083\+54\.0"):
        mosaic_observations(sky.workshop, KEY)
    for number in range(2):
        key = sky.image(number)
        for file in sky.workshop.settings.layout.image_dir(key).iterdir():
            file.unlink()
    with pytest.raises(MosaicFailed, match="none of its 2 images can be used"):
        mosaic_observations(sky.workshop, KEY)
    record = sky.workshop.products.mosaics.get(KEY)
    assert (record.state, record.checksum) == (MosaicState.FAILED, "")
    assert "can't be read" in record.reason
    with pytest.raises(PhotometryFailed, match="couldn't be made"):
        measure_mosaic(sky.workshop, KEY)
    with pytest.raises(ProductsError, match="the latest: 61041"):
        measure_mosaic(sky.workshop, "61050.02083+54.0")
    with pytest.raises(InvalidName):
        mosaic_observations(sky.workshop, "../" + KEY)


def test_every_source_of_an_hour_is_measured(hour: Sky) -> None:
    record = hour.workshop.products.mosaics.get(KEY)
    assert record.statistics.n_tiles == 12
    measured = measure_mosaic(hour.workshop, KEY)
    assert isinstance(measured, Measured)
    assert measured.record.epoch_ok, measured.record.reason
    assert measured.scale.scale == pytest.approx(1.0, abs=0.02)
    assert measured.scale.n_references >= 10
    assert measured.png.stat().st_size > 10_000
    columns, facts = read_measurements(measured.record.path)
    assert facts["measured_from"] == record.checksum
    truth = {f"simulated-s{i}": s[2] for i, s in enumerate(hour.sources)}
    plain = (columns["flags"] == 0) & np.isfinite(columns["flux_jy"])
    assert plain.sum() > 80
    expected = np.array([truth[s] for s in columns["source_id"]])
    pull = (columns["raw_flux_jy"] - expected)[plain] / columns["raw_error_jy"][plain]
    assert abs(pull.mean()) < 4 / np.sqrt(plain.sum())
    assert 0.8 < pull.std() < 1.25
    stored = hour.workshop.products.mosaics.find_epoch(KEY, EpochKind.MOSAIC)
    assert stored == measured.record


def test_a_single_image_is_measured_too(hour: Sky) -> None:
    key = hour.keys[4]
    measured = measure_image(hour.workshop, key)
    assert isinstance(measured, Measured)
    columns, _ = read_measurements(measured.record.path)
    brightest = int(np.nanargmax(np.nan_to_num(columns["flux_jy"])))
    ratio = columns["raw_flux_jy"][brightest] / columns["expected_jy"][brightest]
    assert ratio == pytest.approx(1.0, abs=0.1)
    root = hour.workshop.settings.layout.photometry
    curve = light_curve(root, str(columns["source_id"][brightest]), "image")
    assert curve.epoch.tolist() == [key]


def test_a_wrong_flux_scale_marks_the_epoch(tmp_path: Path) -> None:
    sky = make_sky(tmp_path)
    for number in range(5):
        sky.image(number, scale=1.3)
    mosaic_observations(sky.workshop, KEY)
    measured = measure_mosaic(sky.workshop, KEY)
    assert isinstance(measured, Measured)
    assert not measured.record.epoch_ok
    assert "is 1.3" in measured.record.reason or "is 1.2" in measured.record.reason
    columns, _ = read_measurements(measured.record.path)
    assert not columns["epoch_ok"].any()
    assert np.isfinite(columns["flux_jy"]).any(), "kept to be looked at"


def test_a_list_that_is_off_by_a_tenth_of_a_beam_is_told_and_moved_only_when_asked(
    hour: Sky, tmp_path: Path
) -> None:
    listed = tmp_path / "off.csv"
    # Twelve arcsec north of where the image has them, with a minor axis of 120.
    rows = [
        f"s{i},{ra},{dec + 12 / 3600},{jy},1.405" for i, (ra, dec, jy) in enumerate(hour.sources)
    ]
    listed.write_text("\n".join(["name,ra_deg,dec_deg,flux_jy,reference_ghz", *rows, ""]))
    hour.workshop.catalogues.add("off", listed)
    ratios = []
    for moved in (False, True):
        settings = hour.workshop.settings.model_copy(
            update={
                "catalogue": hour.workshop.settings.catalogue.model_copy(
                    update={"reference": "off"}
                ),
                "photometry": hour.workshop.settings.photometry.model_copy(
                    update={"shift_positions": moved}
                ),
            }
        )
        told = measure_image(replace(hour.workshop, settings=settings), hour.keys[7])
        assert isinstance(told, Measured)
        verdict = next(v for v in told.verdicts if v.name == "positions")
        assert not verdict.passed
        assert verdict.measures["offset_beams"] == pytest.approx(0.1, abs=0.02)
        statistics = told.record.statistics
        assert statistics.north_arcsec == pytest.approx(-12.0, abs=3.0)
        assert 0 < statistics.north_error_arcsec < 3.0
        columns, facts = read_measurements(told.record.path)
        if moved:
            assert "measured at positions shifted by it" in verdict.words
            assert facts["moved_arcsec"][1] == pytest.approx(-12.0, abs=3.0)
        else:
            assert "% too low (CONTIMG_PHOTOMETRY__SHIFT_POSITIONS" in verdict.words
            assert facts["moved_arcsec"] == [0.0, 0.0]
        # The list's places stay in the file.
        assert set(columns["dec_deg"]) <= {dec + 12 / 3600 for _, dec, _ in hour.sources}
        good = (columns["flags"] == 0) & (columns["raw_flux_jy"] > 30 * columns["raw_error_jy"])
        ratios.append(np.median(columns["raw_flux_jy"][good] / columns["expected_jy"][good]))
    assert ratios[1] - ratios[0] == pytest.approx(1 - np.exp(-2 * np.log(2) * 0.07**2), abs=0.01)


def test_without_a_catalogue_nothing_is_measured(hour: Sky) -> None:
    settings = hour.workshop.settings
    bare = replace(
        hour.workshop,
        settings=settings.model_copy(
            update={"catalogue": settings.catalogue.model_copy(update={"reference": None})}
        ),
    )
    for told in (measure_mosaic(bare, KEY), measure_image(bare, hour.keys[0])):
        assert isinstance(told, Unmeasured)
        assert "name no catalogue" in told.reason


def test_a_catalogue_without_sources_there_is_nobody_s_fault(hour: Sky, tmp_path: Path) -> None:
    far = tmp_path / "far.csv"
    far.write_text("name,ra_deg,dec_deg,flux_jy,reference_ghz\nfar,10,-20,1,1.4\n")
    hour.workshop.catalogues.add("far", far)
    catalogue = hour.workshop.settings.catalogue.model_copy(update={"reference": "far"})
    settings = hour.workshop.settings.model_copy(update={"catalogue": catalogue})
    told = measure_image(replace(hour.workshop, settings=settings), hour.keys[0])
    assert isinstance(told, Unmeasured)
    assert "catalogue far has no source above 10 mJy there" in told.reason


def test_a_measurement_that_fails_leaves_the_image_as_good_as_it_was(sky: Sky) -> None:
    key = sky.image(0)
    record_failure(sky.workshop, key, step="image_photometry", reason="no sky", run_id="r")
    record = sky.workshop.products.get(key)
    assert (record.state, record.reason) == (ObservationState.IMAGED, "not measured: no sky")


def test_sums_are_kept_for_windows_with_holes_until_they_are_old(hour: Sky, sky: Sky) -> None:
    def sums(of: Sky) -> Path:
        record = of.workshop.products.mosaics.get(KEY)
        return MosaicFiles.in_directory(record.directory, KEY).sums

    assert not sums(hour).exists(), "nothing is missing there"
    for number in range(3):
        sky.image(number)
    mosaic_observations(sky.workshop, KEY)
    assert sums(sky).is_file()
    workshop: Workshop = sky.workshop
    assert sums(sky) not in {r.path for r in choose_removals(workshop)}
    old = workshop.settings.mosaics.model_copy(update={"sums_days": 1e-9})
    impatient = replace(workshop, settings=workshop.settings.model_copy(update={"mosaics": old}))
    assert sums(sky) in {r.path for r in choose_removals(impatient)}


def test_a_mosaic_and_its_measurements_tell_where_they_are_from(tmp_path: Path) -> None:
    sky = make_sky(tmp_path)
    for number in range(4):
        sky.image(number)
    made = mosaic_observations(sky.workshop, KEY)
    measured = measure_mosaic(sky.workshop, KEY)
    assert isinstance(measured, Measured)
    of_mosaic = provenance_of(sky.workshop, made.result.files.sigma)
    assert of_mosaic.kind == "mosaic"
    assert of_mosaic.product is not None
    assert all(key in of_mosaic.product.parameters["images"] for key in sky.keys[:4])
    of_file = provenance_of(sky.workshop, measured.record.path)
    assert of_file.product is not None
    assert of_file.made_from == (made.result.files.image,)
    assert of_mosaic.product.software == of_file.product.software == software()
    assert of_file.product.parameters["mosaic"] == f"{KEY} {made.record.checksum}"

    def wrong() -> set[str]:
        # The images' own checksums are made up.
        found = verify_products(sky.workshop).problems
        return {p.problem for p in found if p.kind in ("mosaic", "measurements")}

    assert wrong() == set()
    measured.record.path.write_bytes(b"other")
    made.result.files.image.unlink()
    assert wrong() == {"is gone", f"has 5 bytes, {measured.record.size_bytes} were recorded"}
