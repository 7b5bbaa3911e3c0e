"""The engine that is WSClean against the fast one, on the same visibilities."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from contimg_resources.casa import Casa
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import ConfigurationError, ImagingFailed
from contimg_resources.images.standard_form import ForeignFiles
from contimg_resources.imaging.engines.base import engine_named
from contimg_resources.imaging.make import load_image_result, make_image
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.products.model import ObservationState
from contimg_resources.settings import ImagingSettings
from contimg_resources.steps.adding_images import add_images
from tests.imaging.imaging_steps import Sky, import_3c273
from tests.imaging.pairs import assert_beams_agree, pairs, with_settings
from tests.steps.test_adding_images import made_workshop

Test = Callable[..., None]


def needs_wsclean(test: Test) -> Test:
    """Mark a test that runs WSClean; skipped where it is not."""
    absent = shutil.which("wsclean") is None
    missing = pytest.mark.skipif(absent, reason="the program wsclean is not installed")
    marked: Test = pytest.mark.wsclean(missing(test))
    return marked


@pytest.fixture(scope="module")
def tracked(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> ImageRequest:
    """A tracked field, observed with the VLA in 1989: one source of 30 Jy and its jet."""
    place = tmp_path_factory.mktemp("3c273")
    ms = casa.run(import_3c273, place / "3c273.ms", label="import")
    settings = ImagingSettings(image_size=512, cell_arcsec=0.7, engine="wsclean", sub_bands=0)
    return ImageRequest(ms, place / "x", "x", settings)


@pytest.mark.slow
@needs_wsclean
def test_wsclean_makes_the_same_image_of_a_drift_scan(casa: Casa, sky: Sky, tmp_path: Path) -> None:
    # The middle of the beam only: each of the 16 windows has FFTs of its own.
    request = ImageRequest(
        sky.ms, tmp_path / "fast", "x", ImagingSettings(image_size=800, sub_bands=0)
    )
    fast = casa.run(make_image, request, label="fast")
    by_wsclean = casa.run(
        make_image,
        with_settings(request, tmp_path / "wsclean", engine="wsclean"),
        label="wsclean",
    )
    assert (by_wsclean.engine, fast.engine) == ("wsclean", "fast")
    assert by_wsclean.grid == fast.grid
    # Its weights make the beam 1 % wider than CASA's do.
    assert_beams_agree(fast, by_wsclean, share=0.02)
    assert by_wsclean.n_iterations > 0
    # Sources outside of these pixels leave sidelobes in WSClean's image.
    ratio = by_wsclean.statistics.residual_rms_jy / fast.statistics.residual_rms_jy
    assert 0.95 < ratio < 2
    found = pairs(by_wsclean, fast, 10.0)
    assert len(found) > 8
    assert np.median([p.flux_ratio for p in found]) == pytest.approx(1.0, abs=0.02)
    for p in found:
        assert p.flux_ratio == pytest.approx(1.0, abs=0.01 + 2.0 / p.one.snr)
        assert p.offset_arcsec < 0.15 * fast.statistics.beam.minor_arcsec


@needs_wsclean
@pytest.mark.parametrize(
    "selection",
    [{}, {"spw_selection": "0", "field_selection": "0"}],
    ids=["everything", "a selection"],
)
def test_wsclean_images_what_is_selected_of_a_tracked_field(
    casa: Casa, tracked: ImageRequest, tmp_path: Path, selection: dict[str, Any]
) -> None:
    before = content_checksum(tracked.ms)
    uvrange = ">20klambda" if selection else ""
    request = replace(with_settings(tracked, tmp_path / "wsclean", uvrange=uvrange), **selection)
    made = casa.run(make_image, request, label="wsclean")
    assert content_checksum(tracked.ms) == before
    fast = casa.run(
        make_image, with_settings(request, tmp_path / "fast", engine="fast"), label="fast"
    )
    assert_beams_agree(fast, made, share=0.03, angle_deg=3)
    found = pairs(fast, made, 100.0)
    for p in found:
        assert p.flux_ratio == pytest.approx(1.0, abs=0.02)
        assert p.offset_arcsec < fast.statistics.beam.minor_arcsec / 50
    assert found[0].one.peak_jy > 20
    assert made.statistics.residual_rms_jy < 1.5 * fast.statistics.residual_rms_jy


@needs_wsclean
def test_wsclean_makes_a_dirty_image_too(casa: Casa, tracked: ImageRequest, tmp_path: Path) -> None:
    dirty = casa.run(make_image, with_settings(tracked, tmp_path / "x", niter=0), label="dirty")
    assert dirty.n_iterations == 0
    assert dirty.statistics.peak_jy == pytest.approx(30, abs=1)
    assert dirty.statistics.residual_rms_jy > 0.1


@needs_wsclean
def test_what_wsclean_writes_becomes_an_observation(sky: Sky, tmp_path: Path) -> None:
    command = ["wsclean", "-name", str(tmp_path / "w"), "-size", "800", "800", "-scale", "8asec"]
    command += ["-weight", "briggs", "0.5", "-niter", "200", "-reorder"]
    command += ["-no-update-model-required"]
    subprocess.run([*command, str(sky.ms)], check=True, capture_output=True, timeout=300)
    workshop = made_workshop(tmp_path)
    (made,) = add_images(workshop, [ForeignFiles(tmp_path / "w-image.fits")]).added
    assert made.record.state is ObservationState.IMAGED
    # The header says when the data began.
    assert abs(made.record.start_mjd - sky.truth.record.field_mjd[0]) < 1 / 86_400
    directory = workshop.settings.layout.image_dir(made.record.key)
    result = load_image_result(directory, made.record.key)
    header = fits.getheader(tmp_path / "w-image.fits")
    assert result.frequency_hz == header["CRVAL3"]
    assert result.statistics.beam.major_arcsec == pytest.approx(3600 * header["BMAJ"])
    turned = (result.statistics.beam.angle_deg - header["BPA"]) % 180
    assert min(turned, 180 - turned) < 1e-3
    pixels = fits.getdata(tmp_path / "w-image.fits")[0, 0]
    np.testing.assert_array_equal(fits.getdata(result.files.pbcor)[0, 0], pixels)
    # The brightest source is where astropy sees WSClean's peak, to a quarter of a pixel.
    row, column = np.unravel_index(int(np.argmax(pixels)), pixels.shape)
    there = WCS(header).celestial.pixel_to_world(column, row).icrs
    brightest = result.sources[0]
    found = SkyCoord(brightest.ra_deg, brightest.dec_deg, unit="deg")
    assert there.separation(found).arcsec < 15
    assert brightest.flux_jy == pytest.approx(float(pixels.max()), rel=0.1)


def test_a_missing_wsclean_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"needs the program wsclean.*Debian package"):
        engine_named("wsclean")


def stand_in(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program that does something else before WSClean in PATH."""
    program = directory / "wsclean"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo; echo no room on the disk >&2; exit 3", "ended with status 3.*no room on the disk"),
        ("kill -9 $$", "died of SIGKILL.*nothing"),
        ("exit 0", "left no readable wsclean-psf.fits"),
    ],
)
def test_a_failing_wsclean_is_said(
    casa_afresh: Casa,
    tracked: ImageRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    said: str,
) -> None:
    stand_in(tmp_path, script, monkeypatch)
    request = replace(tracked, directory=tmp_path / "image")
    with pytest.raises(ImagingFailed, match=said):
        casa_afresh.run(make_image, request, label="wsclean")
    assert not request.directory.exists()


def test_wsclean_ends_with_its_step(
    casa_afresh: Casa, tracked: ImageRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    script = f"echo $$ > {pid_file}; echo 'Initial peak: 1.5 Jy at 1,1'; exec sleep 600"
    stand_in(tmp_path, script, monkeypatch)

    def stop(message: str, fraction: float | None) -> None:
        if "1.5 Jy/beam" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        casa_afresh.run(make_image, tracked, label="wsclean", progress=stop)
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 120
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
