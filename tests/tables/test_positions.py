"""Directions and quantities: stated units and frames count, value by value."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import FK4, SkyCoord
from astropy.time import Time

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import Column, Frame, Table, column_of
from contimg_resources.tables.positions import directions, frame_of, parse_frame, sexagesimal_deg
from contimg_resources.tables.units import factor_of


def numbers_in(column: Column, wanted: str, given: str = "") -> Floats:
    return factor_of(column, wanted, given=given) * column.numbers()


ICRS = Frame("icrs")


def column(name: str, values: list[float] | list[str], unit: str = "") -> Column:
    return column_of(name, values, unit=unit)


def table(*columns: Column) -> Table:
    return Table(Path("t"), "csv", columns, len(columns[0]))


@pytest.mark.parametrize(
    ("text", "hours", "degrees"),
    [
        ("01:37:41.3", True, 24.42208333),
        ("01h37m41.3s", False, 24.42208333),
        ("01 37 41.3", True, 24.42208333),
        ("-17d27'11.781\"", True, -17.4532725),
        ("-00:30:00", False, -0.5),
        ("\u221200 30 00", False, -0.5),
        ("+33:09", False, 33.15),
        ("+33 09.5", False, 33.158333333),
        ("12:75:00", True, np.nan),
        ("25:00:00", True, np.nan),
        ("x", True, np.nan),
    ],
)
def test_sexagesimal_text(text: str, hours: bool, degrees: float) -> None:
    assert sexagesimal_deg(text, hours=hours) == pytest.approx(degrees, nan_ok=True)


def test_decimals_and_sexagesimals_are_told_apart_value_by_value() -> None:
    ra = column("ra", ["10.5", "00:50:00", "", "12h00m00s", "there"])
    dec = column("dec", ["+33.16", "+33:20:00", "1", "-00 30 00", "5"])
    found = directions(ra, dec, ICRS)
    assert found.ra_deg == pytest.approx([10.5, 12.5, np.nan, 180.0, np.nan], nan_ok=True)
    assert found.dec_deg[[0, 1, 3]] == pytest.approx([33.16, 33.0 + 1 / 3, -0.5])
    assert found.absent.tolist() == [False, False, True, False, False]
    assert found.wrong.tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("unit", "value", "degrees"),
    [
        ("hourangle", 1.628, 24.42),
        ("rad", 0.4262094, 24.42),
        ("deg", 24.42, 24.42),
        ('"h:m:s"', "01:37:40.8", 24.42),
        ("h", 1.628, 24.42),
        ("d:m:s", "24:25:12", 24.42),
        ("arcsec", 87912.0, 24.42),
    ],
)
def test_the_stated_unit_counts(unit: str, value: float | str, degrees: float) -> None:
    ra = column_of("ra_deg", [value], unit=unit)
    found = directions(ra, column("dec_deg", [33.0]), ICRS)
    assert found.ra_deg == pytest.approx([degrees], abs=1e-4)


def test_what_is_no_angle_is_refused() -> None:
    with pytest.raises(TableError, match="column ra is in Jy, which is no angle"):
        directions(column("ra", [1.0], "Jy"), column("dec", [1.0]), ICRS)


def test_fk4_is_half_a_degree_from_icrs_and_has_an_epoch() -> None:
    ra, dec = column("ra", [24.42]), column("dec", [33.16])
    expected = SkyCoord(24.42, 33.16, unit="deg", frame=FK4(equinox="B1950")).icrs
    found = directions(ra, dec, Frame("fk4", "B1950"))
    assert found.ra_deg == pytest.approx([expected.ra.deg])
    assert abs(found.ra_deg[0] - 24.42) > 0.5
    later = directions(ra, dec, Frame("fk4", "B1950", "J1980"))
    at = SkyCoord(24.42, 33.16, unit="deg", frame=FK4(equinox="B1950", obstime=Time("J1980")))
    assert later.dec_deg == pytest.approx([at.icrs.dec.deg], abs=1e-9)


def test_galactic_and_older_fk5_are_converted() -> None:
    x, y = column("x", [0.0]), column("y", [0.0])
    centre = directions(x, y, Frame("galactic"))
    assert (centre.ra_deg[0], centre.dec_deg[0]) == pytest.approx((266.405, -28.936), abs=1e-3)
    assert directions(x, y, Frame("fk5", "J1975")).ra_deg == pytest.approx([0.32], abs=0.01)


def test_the_frame_is_the_stated_one_else_that_of_the_names() -> None:
    x, y = column("RAB1950", [1.0]), column("DEB1950", [1.0])
    assert frame_of(table(x, y), x, y) == Frame("fk4", "B1950")
    assert frame_of(table(x, y), x, y, given="J2000") == Frame("fk5", "J2000")
    keywords = Table(Path("t"), "fits", (x, y), 1, (), {"RADESYS": "FK5", "EQUINOX": 2000.0})
    assert frame_of(keywords, x, y) == Frame("fk5", "J2000.0")
    remark = Table(Path("t"), "text", (x, y), 1, ("# Equinox : 1950.0",))
    assert frame_of(remark, x, y) == Frame("fk4", "B1950.0")
    lon, lat = column("GLON", [1.0]), column("GLAT", [1.0])
    assert frame_of(table(lon, lat), lon, lat) == Frame("galactic")
    ra, dec = column("ra_deg", [1.0]), column("dec_deg", [1.0])
    assert frame_of(table(ra, dec), ra, dec) == ICRS


def test_frames_that_can_t_be_converted_are_refused() -> None:
    ra = column_of("ra", [1.0], frame=Frame("geo_app"))
    dec = column_of("dec", [1.0], frame=Frame("geo_app"))
    with pytest.raises(TableError, match=r"columns ra and dec .* 'geo_app', which can't be"):
        frame_of(table(ra, dec), ra, dec)
    with pytest.raises(TableError, match="'ITRF' is no frame"):
        parse_frame("ITRF")
    other = column_of("dec", [1.0], frame=Frame("fk4", "B1950"))
    one = column_of("ra", [1.0], frame=Frame("fk5", "J2000"))
    with pytest.raises(TableError, match="ra is stated to be FK5 J2000, column dec FK4 B1950"):
        frame_of(table(one, other), one, other)


@pytest.mark.parametrize(
    ("unit", "jy"),
    [
        *(("mJy", 1e-3), ("MJY", 1e-3), ("mJy/beam", 1e-3), ("JY/BEAM", 1.0), ("beam-1 Jy", 1.0)),
        *(("Jy", 1.0), ("uJy", 1e-6), ("W/m2/Hz", 1e26), ("Jy beam^-1", 1.0), ("MJy", 1e6)),
    ],
)
def test_units_of_flux_density(unit: str, jy: float) -> None:
    assert numbers_in(column("flux_jy", [1.0], unit), "Jy") == pytest.approx([jy])


def test_other_units_are_refused_with_the_column_named() -> None:
    with pytest.raises(TableError, match="column S is in K, which isn't a flux density"):
        numbers_in(column("S", [1.0], "K"), "Jy")
    with pytest.raises(TableError, match="column S states no unit"):
        numbers_in(column("S", [1.0]), "Jy")
    assert numbers_in(column("freq", [1400.0], "MHz"), "GHz") == pytest.approx([1.4])
    assert numbers_in(column("t", [12.0], "h"), "d") == pytest.approx([0.5])
    assert numbers_in(column("S", [1.0], "Jy"), "Jy", given="mJy") == pytest.approx([1e-3])
