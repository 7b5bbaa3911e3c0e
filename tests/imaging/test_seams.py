"""An observation across midnight and across 0 h of right ascension is one as any other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.times import mjd_day, utc_day
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.matching import match_image
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.reading import read_observation
from contimg_resources.settings import ArrivalSettings, ImagingSettings
from contimg_resources.simulation.meridian import sidereal_time_deg
from tests.imaging.conftest import SPEC, observed

#: The midnight (UTC) at which the meridian is nearest to 0 h.
MIDNIGHT = min(
    range(61_050, 61_080), key=lambda mjd: abs((sidereal_time_deg(mjd) + 180) % 360 - 180)
)


def test_an_observation_across_both_seams(casa: Casa, tmp_path: Path) -> None:
    # So that the middle falls two minutes before midnight.
    spec = replace(SPEC, start_mjd=MIDNIGHT - 0.0015)
    sky = observed(casa, spec, tmp_path)
    observation = read_observation(
        next(p for p in tmp_path.glob("*.ms") if "_cal" not in p.name),
        casa=casa,
        calibrators=CalibratorList(),
        settings=ArrivalSettings(),
    )
    assert (mjd_day(observation.start_mjd), mjd_day(observation.end_mjd)) == (
        MIDNIGHT - 1,
        MIDNIGHT,
    )
    # It belongs to the day of its middle.
    assert mjd_day(float(observation.key)) == mjd_day(observation.mid_mjd)
    assert utc_day(observation.start_mjd) < utc_day(observation.end_mjd)
    right_ascensions = np.array([f.ra_deg for f in observation.fields])
    assert right_ascensions.min() < 1.0
    assert right_ascensions.max() > 359.0

    request = ImageRequest(
        sky.ms, tmp_path / "image", "seams", settings=ImagingSettings(sub_bands=0)
    )
    result = casa.run(make_image, request, label="seams")
    center = (result.grid.ra_deg + 180.0) % 360.0 - 180.0
    assert abs(center) < 1.0
    assert result.start_mjd < MIDNIGHT < result.end_mjd
    report = match_image(result, sky.references, min_snr=10.0)
    assert report.n_expected > 20
    assert report.missed == ()
    assert report.median_flux_ratio == pytest.approx(1.0, abs=0.02)
    sides = [m.source.ra_deg for m in report.matches]
    assert min(sides) < 2.0
    assert max(sides) > 358.0
