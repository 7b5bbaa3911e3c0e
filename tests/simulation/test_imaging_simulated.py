"""A simulated drift scan, imaged by CASA alone: is every source where and as bright as it is?"""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from contimg_resources.casa import Casa
from contimg_resources.simulation.night import NightSpec, plan_night
from contimg_resources.simulation.spec import GainSpec
from contimg_resources.simulation.truth import TrueSource, Truth
from tests.simulation import casa_side
from tests.simulation.conftest import Simulate

HALF = 4
Floats = NDArray[np.float64]


def fitted(
    image: Floats, wcs: WCS, beam_sigma_pixels: Floats, angle: float, source: TrueSource
) -> tuple[float, float] | None:
    """Fit a restoring beam: peak in Jy/beam and offset in pixels."""
    x, y = (float(v) for v in wcs.all_world2pix(source.ra_deg, source.dec_deg, 0))
    xi, yi = round(x), round(y)
    if not (HALF < xi < image.shape[1] - HALF and HALF < yi < image.shape[0] - HALF):
        return None
    stamp = image[yi - HALF : yi + HALF + 1, xi - HALF : xi + HALF + 1]
    rows, columns = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]

    def beam(_: Floats, peak: float, x0: float, y0: float) -> Floats:
        along = (columns - x0) * np.cos(angle) + (rows - y0) * np.sin(angle)
        across = -(columns - x0) * np.sin(angle) + (rows - y0) * np.cos(angle)
        major, minor = beam_sigma_pixels
        form: Floats = np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))
        return (peak * form).ravel()

    (peak, x0, y0), _ = curve_fit(
        beam, np.zeros(1), stamp.ravel(), p0=[stamp.max(), x - xi, y - yi]
    )
    return peak, np.hypot(xi + x0 - x, yi + y0 - y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_sources_lie_where_they_are_with_flux_times_drift_averaged_beam(
    simulate: Simulate, casa: Casa, tmp_path: Path
) -> None:
    target = plan_night(NightSpec(gains=GainSpec.perfect(), n_targets=1))[-1]
    made = simulate(target.spec)
    truth = Truth.load(made.ms)
    center = np.mean([truth.record.field_ra_deg, truth.record.field_dec_deg], axis=1)
    request = casa_side.ImageRequest(made.ms, tmp_path / "image.fits", *map(float, center))
    path = casa.run(casa_side.image, request, label="image")
    with fits.open(path) as opened:
        image, header = opened[0].data.astype(float), opened[0].header
    pixel = abs(header["CDELT1"])
    sigma = np.array([header["BMAJ"], header["BMIN"]]) / pixel / np.sqrt(8 * np.log(2))
    # Pixels run west; position angles run north through east.
    angle = np.radians(90.0 + header["BPA"])
    wcs = WCS(header)
    rms = 1.4826 * np.median(np.abs(image - np.median(image)))
    ratios, offsets = [], []
    for source in truth.sources:
        if source.apparent_flux_jy > 25 * rms and source.mean_beam > 0.2:
            found = fitted(image, wcs, sigma, angle, source)
            if found is not None:
                ratios.append(found[0] / source.apparent_flux_jy)
                offsets.append(found[1] * pixel / header["BMIN"])
                assert abs(found[0] - source.apparent_flux_jy) < 6 * rms
    assert len(ratios) >= 8
    assert np.median(ratios) == pytest.approx(1.0, abs=0.02)
    assert np.median(offsets) < 0.05
    assert max(offsets) < 0.1
    assert rms < 3 * truth.record.expected_rms_jy
