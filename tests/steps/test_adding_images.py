"""An image made elsewhere becomes an observation like others: once, whole, if it is sane."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from contimg_resources.casa import Casa
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import ProductsError, UnreadableObservation
from contimg_resources.images.standard_form import ForeignFiles
from contimg_resources.imaging.make import load_image_result
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.photometry.light_curves import light_curve
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.products.model import ArrivalOutcome, ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import (
    CatalogueSettings,
    MosaicSettings,
    Settings,
    VariabilitySettings,
)
from contimg_resources.steps.adding_images import AddedImage, add_image, add_images
from contimg_resources.steps.cutouts import cut_source
from contimg_resources.steps.imaging import image_observation
from contimg_resources.steps.mosaicking import mosaic_observations, open_mosaics
from contimg_resources.steps.photometry import Measured, measure_image, measure_mosaic
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.reprocessing import Which, choose_observations
from contimg_resources.steps.starting import record_failure
from contimg_resources.steps.variability import measure_day, update_light_curves
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import read_points
from tests.images.writers import SIZE, WSCLEAN, Sky, axes, header_of, paint, sky, sky_axes, write
from tests.products.conftest import make_observation

SKY = sky(16)
RMS_JY = 5e-4
KEY = "60954.52257"
EXPOSED = {**WSCLEAN, "EXPTIME": 300.0}


def made_workshop(root: Path, **settings: Any) -> Workshop:
    made = Settings(state=root / "state", **settings)
    made.state.mkdir(parents=True)
    return Workshop(
        settings=made,
        registry=CalibrationRegistry(made.registry_address),
        products=ProductsStore(made.products_address),
        casa=Casa(root / "scratch", root / "logs"),
        calibrators=CalibratorList(),
    )


def catalogue_of(workshop: Workshop, path: Path) -> None:
    lines = [
        f"s{i},{place.ra.deg},{place.dec.deg},{flux},1.4"
        for i, (place, flux) in enumerate(zip(SKY.places, SKY.flux_jy, strict=True))
    ]
    path.write_text("name,ra_deg,dec_deg,flux_jy,reference_ghz\n" + "\n".join(lines) + "\n")
    workshop.catalogues.add("sky", path)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return made_workshop(tmp_path)


def image_file(path: Path, seed: int = 0, **changes: Any) -> Path:
    header = header_of(EXPOSED, **changes)
    return write(path, header, paint(header, SKY, rms_jy=RMS_JY, seed=seed))


def added(workshop: Workshop, path: Path, **files: Any) -> AddedImage:
    return add_image(workshop, ForeignFiles(path, **files))


def pixels_of(workshop: Workshop, key: str, name: str) -> Any:
    files = ImageFiles.in_directory(workshop.settings.layout.image_dir(key), key)
    return fits.getdata(getattr(files, name))[0, 0]


def test_an_added_image_is_an_observation_with_its_products(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = image_file(tmp_path / "x.fits")
    before = source.read_bytes()
    found = added(workshop, source)
    record = workshop.products.get(KEY)
    assert (found.outcome, found.record) == (ArrivalOutcome.NEW, record)
    assert (record.state, record.origin) == (ObservationState.IMAGED, ObservationOrigin.IMAGE)
    assert record.declination_deg == pytest.approx(54.0, abs=1e-4)
    assert 1440 * (record.end_mjd - record.start_mjd) == pytest.approx(5.0, abs=1e-3)
    made = {a.kind: a for a in workshop.products.artefacts(KEY)}
    assert set(made) == {
        *(ArtefactKind.IMAGE, ArtefactKind.IMAGE_PBCOR, ArtefactKind.RESIDUAL),
        *(ArtefactKind.PRIMARY_BEAM, ArtefactKind.PNG, ArtefactKind.STATISTICS),
    }
    assert made[ArtefactKind.IMAGE].parameters["image checksum"] == content_checksum(source)
    assert made[ArtefactKind.IMAGE].parameters["origin"] == "made elsewhere"
    assert source.read_bytes() == before
    # SIN pixels are copied, not interpolated.
    np.testing.assert_array_equal(pixels_of(workshop, KEY, "pbcor"), fits.getdata(source)[0, 0])
    result = load_image_result(workshop.settings.layout.image_dir(KEY), KEY)
    assert result.statistics.residual_rms_jy == pytest.approx(RMS_JY, rel=0.15)
    assert result.statistics.n_sources == 16
    header = fits.getheader(made[ArtefactKind.IMAGE].path)
    assert "response = noise measured in the image" in list(header["HISTORY"])


def test_the_same_image_again_changes_nothing(workshop: Workshop, tmp_path: Path) -> None:
    source = image_file(tmp_path / "x.fits")
    added(workshop, source)
    history = workshop.products.history(KEY)
    assert added(workshop, source).outcome is ArrivalOutcome.SAME
    copy = tmp_path / "copy.fits"
    copy.write_bytes(source.read_bytes())
    assert added(workshop, copy).outcome is ArrivalOutcome.DUPLICATE
    assert workshop.products.history(KEY) == history
    assert len(workshop.products.list_observations()) == 1
    # What was removed meanwhile is made again.
    ImageFiles.in_directory(workshop.settings.layout.image_dir(KEY), KEY).pbcor.unlink()
    added(workshop, source)
    assert verify_products(workshop).problems == ()
    assert workshop.products.history(KEY)[-1].message == "made again"


def test_new_content_replaces_and_another_image_only_when_asked(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = image_file(tmp_path / "x.fits")
    first = added(workshop, source).record
    image_file(source, seed=1)
    again = added(workshop, source)
    assert again.outcome is ArrivalOutcome.REPLACED
    assert again.record.signature != first.signature
    other = image_file(tmp_path / "y.fits", seed=2)
    with pytest.raises(ProductsError, match=r"y\.fits and .*x\.fits are two different images"):
        added(workshop, other)
    assert workshop.products.get(KEY) == again.record
    replaced = add_image(workshop, ForeignFiles(other), replace_known=True)
    assert replaced.record.path == other
    assert "as asked" in workshop.products.history(KEY)[-1].message
    assert verify_products(workshop).problems == ()
    assert len(workshop.products.list_observations()) == 1


def test_an_image_never_takes_the_place_of_a_measurement_set(
    workshop: Workshop, tmp_path: Path
) -> None:
    ms = make_observation(tmp_path / "a.ms", float(KEY))
    workshop.products.arrive(ms)
    source = image_file(tmp_path / "x.fits")
    for replace in (False, True):
        with pytest.raises(ProductsError, match=r"have the same mid-MJD 60954\.52257"):
            add_image(workshop, ForeignFiles(source), replace_known=replace)
    assert workshop.products.get(KEY).path == ms.path
    assert not workshop.settings.layout.image_dir(KEY).exists()


def test_one_bad_image_does_not_stop_the_others(workshop: Workshop, tmp_path: Path) -> None:
    good = image_file(tmp_path / "good.fits")
    bad = image_file(tmp_path / "bad.fits", BUNIT="K", CRVAL4=4.0, TIMESYS="LOCAL")
    gone = tmp_path / "gone.fits"
    found = add_images(workshop, [ForeignFiles(p) for p in (bad, gone, good)])
    assert [a.path for a in found.added] == [good]
    assert set(found.failed) == {str(bad), str(gone)}
    for said in ("BUNIT = 'K'", "Stokes V", "TIMESYS = 'LOCAL'"):
        assert said in found.failed[str(bad)]
    assert "gone.fits" in found.failed[str(gone)]
    assert len(workshop.products.list_observations()) == 1


def response() -> Any:
    y, x = np.indices((SIZE, SIZE)) - SIZE // 2
    return np.exp(-4 * np.log(2) * (np.hypot(x, y) / 150.0) ** 2)


@pytest.mark.parametrize("given", ["primary_beam", "rms", "nothing"])
def test_the_noise_is_flat_after_the_response(
    workshop: Workshop, tmp_path: Path, given: str
) -> None:
    header = header_of(EXPOSED)
    seen = response()
    source = write(tmp_path / "x.fits", header, paint(header, SKY, rms_jy=RMS_JY, response=seen))
    files = {}
    if given == "primary_beam":
        files[given] = write(tmp_path / "pb.fits", header_of(EXPOSED, BUNIT=None), seen)
    if given == "rms":
        noise = header_of(EXPOSED, BUNIT="mJy/beam")
        files[given] = write(tmp_path / "rms.fits", noise, 1e3 * RMS_JY / seen)
    added(workshop, source, **files)
    found = pixels_of(workshop, KEY, "primary_beam")
    # Only what was observed has pixels.
    half = len(found) // 2
    kept = slice(SIZE // 2 - half, SIZE // 2 + half)
    seen = seen[kept, kept]
    # Down to the cut, and nothing beyond it.
    inside = seen > 0.25
    share = found[inside] / seen[inside]
    if given == "primary_beam":
        np.testing.assert_array_equal(np.isfinite(found), seen >= 0.2)
        np.testing.assert_allclose(share, 1.0, rtol=1e-5)
    elif given == "rms":
        np.testing.assert_allclose(share / np.median(share), 1.0, rtol=0.06)
    else:
        assert np.std(np.log(share[np.isfinite(share)])) < 0.15
        assert np.isfinite(share).mean() > 0.95
    # Whatever the response, fluxes are those of the corrected image.
    image = pixels_of(workshop, KEY, "image")
    corrected = fits.getdata(source)[0, 0][kept, kept]
    good = np.isfinite(found)
    np.testing.assert_allclose(image[good] / found[good], corrected[good], rtol=1e-4, atol=1e-7)
    assert (image[~good] == 0).all()


def test_a_companion_of_other_pixels_is_refused_by_name(workshop: Workshop, tmp_path: Path) -> None:
    source = image_file(tmp_path / "x.fits")
    seen = response()
    for name, header, pixels, said in (
        ("shifted", header_of(EXPOSED, BUNIT="", CRPIX1=100.0), seen, "aren't those of"),
        ("small", header_of(EXPOSED, BUNIT=""), seen[:200], r"\(200, 240\) pixels"),
        ("kelvin", header_of(EXPOSED, BUNIT="K"), seen, "BUNIT = 'K': a primary beam has no"),
        ("percents", header_of(EXPOSED, BUNIT=""), 100 * seen, "peak is 100"),
    ):
        beam = write(tmp_path / f"{name}.fits", header, pixels)
        found = add_images(workshop, [ForeignFiles(source, beam)])
        (reason,) = found.failed.values()
        assert re.search(said, reason)
        assert f"{name}.fits" in reason
    percent = write(tmp_path / "p.fits", header_of(EXPOSED, BUNIT="%"), 100 * seen)
    added(workshop, source, primary_beam=percent)
    assert np.nanmax(pixels_of(workshop, KEY, "primary_beam")) == pytest.approx(1.0)
    assert workshop.products.list_observations() != []


def test_what_needs_a_measurement_set_says_that_there_is_none(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = image_file(tmp_path / "x.fits")
    added(workshop, source)
    with pytest.raises(UnreadableObservation, match=r"x\.fits: it is an image .* made elsewhere"):
        workshop.unchanged(KEY)
    with pytest.raises(UnreadableObservation, match=r"x\.fits: it is an image .* made elsewhere"):
        image_observation(workshop, KEY)
    (chosen,) = choose_observations(workshop, Which.ALL)
    assert "image made elsewhere" in chosen.hindrance
    # Whoever tries leaves the image as good as it was.
    record_failure(workshop, KEY, step="image_5min", reason="no MS", run_id="r")
    assert workshop.products.get(KEY).state is ObservationState.IMAGED
    assert "from   " + str(source) in workshop.products.explain(KEY)
    assert provenance_of(workshop, source).kind == "image_made_elsewhere"


def assert_fluxes(measured: Measured) -> None:
    """Every source has its flux density within 1 % and its noise."""
    columns = read_measurements(measured.record.path)[0]
    known = SKY.flux_jy[[int(str(name).rsplit("s", 1)[1]) for name in columns["source_id"]]]
    good = np.isfinite(columns["flux_jy"])
    assert good.sum() >= 14
    error = 0.01 * known + 3 * columns["flux_error_jy"]
    assert (np.abs(columns["flux_jy"] - known) < error)[good].all()
    assert np.median((columns["flux_jy"] / known)[good]) == pytest.approx(1.0, abs=0.01)


def peaks_at(path: Path) -> Any:
    """Return the brightness of an image at the sources' places, Jy/beam; NaN outside."""
    from scipy.ndimage import map_coordinates

    x, y = sky_axes(fits.getheader(path)).world_to_pixel(SKY.places)
    pixels = np.squeeze(fits.getdata(path)).astype(float)
    sampled = map_coordinates(np.nan_to_num(pixels), [y, x], order=5)
    # Outside of the image, nothing is.
    finite = map_coordinates(np.isfinite(pixels).astype(float), [y, x], order=0, cval=0.0)
    seen = finite > 0
    return np.where(seen, sampled, np.nan)


def test_images_become_epochs_and_a_mosaic(tmp_path: Path) -> None:
    workshop = made_workshop(
        tmp_path,
        catalogue=CatalogueSettings(reference="sky", default_spectral_index=0.0),
        mosaics=MosaicSettings(wait_min=0.0),
    )
    catalogue_of(workshop, tmp_path / "sky.csv")
    # A drift scan: the middle of each is where the meridian was; one is in B1950, one galactic.
    frames = ("icrs", "fk4", "galactic")
    paths = []
    for n, frame in enumerate(frames):
        cards = {**axes("ZEA" if n else "SIN", frame), "EQUINOX": None}
        if frame == "fk4":
            cards["EQUINOX"] = 1950.0
        date = f"2025-10-06T12:{30 + 5 * n}:00"
        changes = {**cards, "DATE-OBS": date}
        paths.append(image_file(tmp_path / f"{n}.fits", seed=n, **changes))
    found = add_images(workshop, [ForeignFiles(p) for p in paths])
    assert found.failed == {}
    assert len(found.added) == len(frames)
    assert all(a.verdicts for a in found.added)
    assert all(v.passed for a in found.added for v in a.verdicts)
    for one in found.added:
        assert one.image is not None
        assert one.image.flux_ratio == pytest.approx(1.0, abs=0.01)
        assert one.image.offset_arcsec == pytest.approx(0.0, abs=0.4)
        measured = measure_image(workshop, one.record.key)
        assert isinstance(measured, Measured)
        assert measured.record.epoch_ok
        assert_fluxes(measured)
    curve = light_curve(workshop.settings.layout.photometry, "sky-s3", "image")
    np.testing.assert_allclose(curve.flux_jy, SKY.flux_jy[3], rtol=0.02)
    assert [str(e) for e in curve.epoch] == [a.record.key for a in found.added]
    (open_,) = open_mosaics(workshop)[:1]
    mosaic = mosaic_observations(workshop, open_.key)
    assert mosaic.result.refused == {}
    assert len(mosaic.result.tiles) >= 2
    found = peaks_at(mosaic.result.files.image)
    assert np.isfinite(found).sum() >= 12
    np.testing.assert_allclose(np.nanmedian(found / SKY.flux_jy), 1.0, atol=0.02)
    assert verify_products(workshop).problems == ()


def test_light_curves_variability_and_cutouts_of_added_images(tmp_path: Path) -> None:
    """Of sources whose flux densities are those that were painted, one brighter on one day."""
    workshop = made_workshop(
        tmp_path,
        catalogue=CatalogueSettings(reference="sky", default_spectral_index=0.0),
        mosaics=MosaicSettings(wait_min=0.0, min_tiles=1),
        variability=VariabilitySettings(min_epochs=3),
    )
    catalogue_of(workshop, tmp_path / "sky.csv")
    brighter = (1.0, 1.5, 1.0)
    days = range(60_954, 60_954 + len(brighter))
    for day, factor in zip(days, brighter, strict=True):
        flux_jy = SKY.flux_jy.copy()
        flux_jy[3] *= factor
        header = header_of(EXPOSED, **{"DATE-OBS": f"2025-10-{day - 60_948:02d}T12:30:00"})
        pixels = paint(header, Sky(SKY.places, flux_jy), rms_jy=RMS_JY, seed=day)
        added(workshop, write(tmp_path / f"{day}.fits", header, pixels))
    # Mosaics roll: each day has two that hold its image.
    for key in [one.key for one in open_mosaics(workshop)][::2]:
        mosaic_observations(workshop, key)
        measured = measure_mosaic(workshop, key)
        assert isinstance(measured, Measured)
        assert measured.record.epoch_ok
    for day in days:
        assert update_light_curves(workshop, day).n_points == 16
    points = read_points(workshop.settings.layout.light_curves)
    known = SKY.flux_jy[[int(name.rsplit("s", 1)[1]) for name in points.source_id]]
    flux_jy = points.flux_jy.reshape(16, len(brighter))
    varies = points.source_id == "sky-s3"
    np.testing.assert_allclose(flux_jy[~varies] / known[~varies, None], 1.0, atol=0.03)
    np.testing.assert_allclose(flux_jy[varies][0] / known[varies], brighter, atol=0.03)
    table = measure_day(workshop, days[-1]).table
    assert table.n_epochs.tolist() == [len(brighter)] * 16
    v = table.v[table.source_id == "sky-s3"]
    assert v == pytest.approx(np.std(brighter, ddof=1) / np.mean(brighter), rel=0.1)
    assert table.eta[table.source_id != "sky-s3"].max() < 10 < table.eta[varies][0]
    cut = cut_source(workshop, "sky-s3")
    assert len(cut.made) == len(brighter)
    peaks_jy = [peaks_at(cut.directory / f"{key}.fits")[3] for key in cut.made]
    np.testing.assert_allclose(peaks_jy / SKY.flux_jy[3], brighter, atol=0.03)
