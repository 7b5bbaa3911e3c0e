"""What CASA itself exports is read as it was meant."""

from pathlib import Path

import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import UnreadableImage
from contimg_resources.images.reading import opened_image
from tests.images.casa_steps import export_with_casa
from tests.images.test_foreign_images import SKY, assert_sky
from tests.images.writers import WSCLEAN, header_of, paint, write


def test_every_way_of_exporting_keeps_the_sky(casa: Casa, tmp_path: Path) -> None:
    header = header_of(WSCLEAN, RESTFRQ=1.420405752e9)
    pixels = paint(header, SKY)
    source = write(tmp_path / "x.fits", header, pixels)
    exported = casa.run(export_with_casa, source, label="export")
    assert len(exported) == 5
    for path in exported:
        if path.stem == "without_degenerate_axes":
            # With the axis its frequency is lost.
            with pytest.raises(UnreadableImage, match="no frequency"), opened_image(path):
                pass
            continue
        with opened_image(path) as image:
            assert image.frequency_hz == pytest.approx(1.4e9, rel=1e-6), path
            assert (image.beam.major_arcsec, image.beam.minor_arcsec) == pytest.approx((60, 42))
            assert image.beam.angle_deg == pytest.approx(30.0, abs=1e-3)
            np.testing.assert_allclose(image.pixels(), pixels, atol=1e-5, err_msg=str(path))
        if path.stem in ("default", "velocity"):
            assert_sky(path)
