"""``contimg images add`` as somebody types it."""

from pathlib import Path

from tests.cli.conftest import Contimg
from tests.steps.test_adding_images import KEY, image_file


def test_images_are_added_and_what_is_wrong_is_told(contimg: Contimg, tmp_path: Path) -> None:
    good = image_file(tmp_path / "good #1.fits")
    bad = image_file(tmp_path / "bad.fits", BUNIT="Jy/pixel", CRVAL4=3.0)
    told = contimg("images", "add", bad, good)
    assert told.code == 1
    assert KEY in told.out
    assert "good #1.fits" in told.out
    assert "bad.fits: BUNIT = 'Jy/pixel'" in told.err
    assert "Stokes U" in told.err
    again = contimg("images", "add", good, "--json")
    assert again.code == 0
    (added,) = again.json["added"]
    assert (added["outcome"], added["record"]["origin"]) == ("same", "image")
    assert contimg("verify").code == 0
    why = contimg("why", good)
    assert why.out.startswith("image_made_elsewhere: ")
    uneven = contimg("images", "add", good, good, good, "--pb", good, "--pb", good)
    assert uneven.code == 2
    assert "--pb was given 2 times for 3 images" in uneven.err
