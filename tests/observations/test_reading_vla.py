"""Claims about a real observation: NGC5921 with the VLA, 1995-04-13."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.casa.siteconfig import casadata_dir
from contimg_resources.observations.model import Observation

pytestmark = pytest.mark.realdata

Read = Callable[[Path], Observation]


def import_uvfits(root: Path) -> Path:
    """Import the observation; runs in a CASA process."""
    from casatasks import importuvfits

    path = root / "ngc5921.ms"
    importuvfits(fitsfile=str(casadata_dir() / "demo" / "NGC5921.fits"), vis=str(path))
    return path


@pytest.fixture(scope="module")
def ngc5921(casa: Casa, read: Read, tmp_path_factory: pytest.TempPathFactory) -> Observation:
    root = tmp_path_factory.mktemp("vla")
    return read(casa.run(import_uvfits, root, label="import-ngc5921"))


def test_the_vla_observed_three_fields_on_that_night(ngc5921: Observation) -> None:
    assert ngc5921.telescope == "VLA"
    assert [f.name.split("_")[0] for f in ngc5921.fields] == [
        "1331+30500002",
        "1445+09900002",
        "N5921",
    ]
    assert ngc5921.mid_mjd == pytest.approx(49820.4184, abs=1e-4)
    assert ngc5921.n_rows == 22_653


def test_its_atomic_times_became_utc(ngc5921: Observation) -> None:
    # The first integration begins at 09:18:45 TAI, 29 s ahead of UTC in 1995.
    assert ngc5921.start_mjd % 1 * 86400 == pytest.approx(9 * 3600 + 18 * 60 + 45 - 29, abs=0.01)


def test_its_flux_calibrator_is_3c286(ngc5921: Observation) -> None:
    (transit,) = ngc5921.calibrators
    assert transit.name == "3C286"
    assert transit.separation_deg < 1e-4
    assert transit.mid_mjd == ngc5921.fields[0].mid_mjd
    assert transit.apparent_flux_jy == pytest.approx(15.012, abs=1e-3)


def test_its_63_channels_are_one_window_of_two_circular_hands(ngc5921: Observation) -> None:
    (window,) = ngc5921.spectral_windows
    assert window.n_channels == 63
    assert window.first_hz == pytest.approx(1.412665e9, abs=1e3)
    assert ngc5921.correlations == ("RR", "LL")


def test_its_absent_antenna_is_not_counted(ngc5921: Observation) -> None:
    # The ANTENNA table has 28 rows; no data are of the antenna "23".
    assert len(ngc5921.antennas) == len(ngc5921.working_antennas) == 27
    assert "23" not in [a.name for a in ngc5921.antennas]
    assert ngc5921.layout.antenna_names.count("") == 1
    assert ngc5921.notes == ("there are no data of 1 antennas of the ANTENNA table: 23",)
    assert ngc5921.flagged_fraction < 0.01
