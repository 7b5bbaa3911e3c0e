"""Claims about a user's own list of calibrators."""

from pathlib import Path

import pytest
from astropy.coordinates import SkyCoord

from contimg_resources.catalogues.calibrator_lists import load_calibrators, read_calibrator_list
from contimg_resources.core.errors import ConfigurationError

HEADER = "name,ra_deg,dec_deg,flux_jy,reference_ghz,spectral_index\n"


def written(tmp_path: Path, text: str, name: str = "mine.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_csv_adds_to_the_flux_scale(tmp_path: Path) -> None:
    path = written(tmp_path, "# mine\n" + HEADER + "J0834+555,128.7287,55.5725,8.8,1.4,-0.3\n")
    catalogue = load_calibrators(path)
    assert catalogue.find("3C48").name == "3C48"
    mine = catalogue.find("j0834+555")
    assert mine.flux_jy(1.4e9) == pytest.approx(8.8)
    assert mine.flux_jy(2.8e9) == pytest.approx(8.8 * 2**-0.3)
    assert mine.model.scale == "mine.csv"


def test_units_of_an_ecsv_are_converted(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: name, datatype: string}\n"
        "# - {name: ra_deg, unit: deg, datatype: float64}\n"
        "# - {name: dec_deg, unit: deg, datatype: float64}\n"
        "# - {name: flux_jy, unit: mJy, datatype: float64}\n"
        "# - {name: reference_ghz, unit: MHz, datatype: float64}\n"
        "# - {name: spectral_index, datatype: float64}\n"
        "name ra_deg dec_deg flux_jy reference_ghz spectral_index\nA 10 20 2500 1400 0\n",
        "mine.ecsv",
    )
    (calibrator,) = read_calibrator_list(path)
    assert calibrator.flux_jy(1.4e9) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("B,10,20,,1.4,-0.7", "flux_jy", "it is empty, and there are no defaults"),
        ("B,10,20,bright,1.4,-0.7", "flux_jy", "bright is no number"),
        ("B,10,20,0,1.4,-0.7", "flux_jy", "0 is not between"),
        ("B,10,20,nan,1.4,-0.7", "flux_jy", "nan is not between"),
        ("B,10,95,1,1.4,-0.7", "dec_deg", "95 is not between -90 and 90 deg"),
        ("B,10,20,1,1400,-0.7", "reference_ghz", "1400 is not between"),
        ("B,10,20,1,1.4,inf", "spectral_index", "inf is not between"),
        (",10,20,1,1.4,0", "name", "it is empty"),
        ("a,10,20,1,1.4,0", "name", "'a' is already in row 1"),
        ("3C454.3,343.49,16.148,10,1.4,0", "name", "blazar"),
    ],
)
def test_a_malformed_row_is_named_with_its_column(
    tmp_path: Path, row: str, column: str, reason: str
) -> None:
    path = written(tmp_path, HEADER + "A,1,2,3,1.4,-0.7\n" + row + "\n")
    with pytest.raises(ConfigurationError) as raised:
        read_calibrator_list(path)
    assert f"{path}, row 2, column {column}: " in raised.value.message
    assert reason in raised.value.message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "name,ra_deg,dec_deg,flux_jy,spectral_index\nA,1,2,3,0\n")
    with pytest.raises(ConfigurationError, match="frequency of the flux densities; it has name"):
        read_calibrator_list(path)


@pytest.mark.parametrize("text", ["", HEADER + "A,1,2\n", HEADER + "A,1,2,3,4,5,6,7\n"])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mine\.csv"):
        read_calibrator_list(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv: no such file"):
        load_calibrators(tmp_path / "none.csv")


def test_units_frames_and_hours_are_those_that_the_file_states(tmp_path: Path) -> None:
    text = (
        HEADER.replace("name,", "name,aliases,") + "A,B0134+329;X,01:37:41.3,-33:09:36,3,1400,0\n"
    )
    units = "# Equinox : 1950.0\n" + text.replace("reference_ghz", "reference_ghz [MHz]", 1)
    (mine,) = read_calibrator_list(written(tmp_path, units.replace("flux_jy", "flux_jy [mJy]", 1)))
    where = SkyCoord("01h37m41.3s -33d09m36s", frame="fk4").icrs
    assert (mine.ra_deg, mine.dec_deg) == pytest.approx((where.ra.deg, where.dec.deg))
    assert mine.flux_jy(1.4e9) == pytest.approx(0.003)
    assert mine.aliases == ("B0134+329", "X")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "A,1,95,3,1.4,x\nB,1,2,,1.4,0\nA,1,2,3,1.4,0\n")
    with pytest.raises(ConfigurationError) as raised:
        read_calibrator_list(path)
    assert raised.value.message == (
        f"calibrator list {path}, row 1, column dec_deg: 95 is not between -90 and 90 deg; "
        "row 1, column spectral_index: x is no number; "
        "row 2, column flux_jy: it is empty, and there are no defaults; "
        "row 3, column name: 'A' is already in row 1"
    )
