"""A stack recovers the flux and lowers the noise; an animation shows every epoch."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from contimg_resources.core.errors import CutoutFailed
from contimg_resources.cutouts.cutting import CutoutOf, cut
from contimg_resources.cutouts.places import cutout_path
from contimg_resources.cutouts.stacking import FluxThen, animate, chosen, stack
from contimg_resources.imaging.model import Beam
from tests.cutouts.mosaics import BEAM, RMS_JY, grid, sky, write

RA_DEG, DEC_DEG, FLUX_JY = 0.003, 54.03, 0.02


def cutouts(
    root: Path,
    n: int,
    *,
    source_id: str = "s",
    beams: tuple[Beam, ...] = (BEAM,),
    rms_jy: tuple[float, ...] = (RMS_JY,),
) -> list[Path]:
    """Epochs whose pixels lie differently on the sky each."""
    made = []
    for i in range(n):
        epoch = f"{61_041 + i}.02083+54.0"
        on = grid((RA_DEG + 0.013 * i) % 360, 54.0 + 0.0037 * i)
        beam = beams[i % len(beams)]
        pixels = sky(
            on, [(RA_DEG, DEC_DEG, FLUX_JY)], beam=beam, rms_jy=rms_jy[i % len(rms_jy)], seed=i
        )
        image = write(root / "m" / f"{i}.fits", on, pixels, beam=beam, mid_mjd=61_041.02083 + i)
        place = cutout_path(root, source_id, epoch)
        cut(image, RA_DEG, DEC_DEG, 6.0, place, CutoutOf(source_id, epoch, "sha256:0"))
        made.append(place)
    return made


def test_flux_is_recovered_and_noise_falls(tmp_path: Path) -> None:
    paths = cutouts(tmp_path, 16)
    rms_jy = []
    for n in (1, 4, 16):
        made = stack(paths[:n], tmp_path / "stack.fits")
        assert made.n_epochs == n
        rms_jy.append(made.rms_jy)
        pixels = fits.getdata(made.fits)
        middle = pixels.shape[0] // 2
        assert pixels[middle, middle] == pytest.approx(FLUX_JY, abs=4 * RMS_JY / np.sqrt(n))
        assert np.unravel_index(np.nanargmax(pixels), pixels.shape) == (middle, middle)
    np.testing.assert_allclose(rms_jy * np.sqrt([1, 4, 16]), RMS_JY, rtol=0.15)
    header = fits.getheader(made.fits)
    x, y = WCS(header).all_world2pix(RA_DEG, DEC_DEG, 0)
    np.testing.assert_allclose((x, y), middle, atol=0.01)
    assert (header["NSTACK"], header["BEAMDIFF"]) == (16, False)
    assert made.png.read_bytes().startswith(b"\x89PNG")


def test_noisy_epochs_count_less(tmp_path: Path) -> None:
    paths = cutouts(tmp_path, 8, rms_jy=(RMS_JY, 20 * RMS_JY))
    made = stack(paths, tmp_path / "stack.fits")
    assert made.rms_jy == pytest.approx(RMS_JY / 2, rel=0.2)


def test_other_beams_are_told(tmp_path: Path) -> None:
    paths = cutouts(tmp_path, 3, beams=(BEAM, BEAM, Beam(80.0, 30.0, 25.0)))
    made = stack(paths, tmp_path / "stack.fits")
    assert made.n_epochs == 3
    assert made.other_beams == ("61043.02083+54.0",)
    header = fits.getheader(made.fits)
    assert (header["BEAMDIFF"], header["NBEAMDIF"]) == (True, 1)
    assert header["BMAJ"] * 3600 == pytest.approx(BEAM.major_arcsec)
    assert [line for line in header["HISTORY"] if "61043" in line and "differs" in line]


def test_a_damaged_cutout_is_left_out(tmp_path: Path) -> None:
    paths = cutouts(tmp_path, 3)
    paths[1].write_bytes(b"nothing")
    made = stack(paths, tmp_path / "stack.fits")
    assert made.n_epochs == 2
    assert str(paths[1]) in made.unreadable[0]
    with pytest.raises(CutoutFailed, match="can't be read"):
        stack(paths[1:2], tmp_path / "stack.fits")
    with pytest.raises(CutoutFailed, match="no cutouts"):
        stack([], tmp_path / "stack.fits")


def test_two_sources_are_no_stack(tmp_path: Path) -> None:
    paths = cutouts(tmp_path, 1) + cutouts(tmp_path, 1, source_id="other")
    with pytest.raises(CutoutFailed, match="one source"):
        stack(paths, tmp_path / "stack.fits")


def test_every_epoch_is_a_frame(tmp_path: Path) -> None:
    paths = cutouts(tmp_path, 5)
    fluxes = {paths[0].name.removesuffix(".fits"): FluxThen(0.02, 0.001)}
    place = tmp_path / "a.gif"
    assert animate(paths, place, fluxes) == 5
    with Image.open(place) as gif:
        assert getattr(gif, "n_frames", 1) == 5
        frames = []
        for i in range(5):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    assert all((frames[0] != frame).any() for frame in frames[1:])
    assert animate(paths, place, most_frames=3) == 3
    with Image.open(place) as gif:
        assert getattr(gif, "n_frames", 1) == 3
    assert animate(paths[:1], place) == 1


def test_frames_are_evenly_chosen_with_both_ends() -> None:
    paths = [Path(str(i)) for i in range(1000)]
    some = [int(p.name) for p in chosen(paths, 120)]
    assert len(some) == len(set(some)) == 120
    assert (some[0], some[-1]) == (0, 999)
    assert set(np.diff(some)) <= {8, 9}
    assert chosen(paths[:120], 120) == paths[:120]
