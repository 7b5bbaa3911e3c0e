"""Images of other writers have their sky, brightness, beam, frequency and time as these meant."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from numpy.typing import NDArray

from contimg_resources.core.errors import UnreadableImage
from contimg_resources.images.reading import SkyImage, opened_image
from contimg_resources.photometry.measuring import RawMeasurements, measure
from contimg_resources.photometry.model import SourceList
from contimg_resources.photometry.reading import read_mosaic
from tests.images.writers import (
    AIPS,
    ASKAPSOFT,
    BEAM,
    CASA,
    MID_MJD,
    SIZE,
    START,
    WSCLEAN,
    Sky,
    axes,
    frequency_axis,
    header_of,
    paint,
    sky,
    stokes_axis,
    write,
)

SKY = sky()


def measured(path: Path, on: Sky = SKY) -> RawMeasurements:
    """Measure the sky on an image by forced photometry."""
    names = [f"s{i}" for i in range(len(on.flux_jy))]
    listed = SourceList.of(names, on.places.ra.deg, on.places.dec.deg, on.flux_jy)
    return measure(read_mosaic(path, None, epoch="e"), listed)


def assert_sky(path: Path, on: Sky = SKY) -> None:
    """Every source is within 0.1 arcsec of its place and 1 % of its flux density."""
    found = measured(path, on)
    assert set(found.flags) == {0}
    np.testing.assert_allclose(found.flux_jy / on.flux_jy, 1.0, atol=0.01)
    assert np.hypot(found.east_arcsec, found.north_arcsec).max() < 0.1


def painted(path: Path, cards: dict[str, Any] = WSCLEAN, **changes: Any) -> Path:
    header = header_of(cards, **changes)
    return write(path, header, paint(header, SKY))


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.float64]:
    """The sky on WSClean's axes; tests of headers alone need no other."""
    return paint(header_of(WSCLEAN), SKY)


Reader = Callable[..., SkyImage]


@pytest.fixture
def read(tmp_path: Path, pixels: NDArray[np.float64]) -> Reader:
    """Write the pixels under a header and return what is read."""

    def written(cards: dict[str, Any] = WSCLEAN, more: Any = (), **changes: Any) -> SkyImage:
        path = write(tmp_path / "x.fits", header_of(cards, **changes), pixels, more=more)
        with opened_image(path) as image:
            return image

    return written


@pytest.mark.parametrize("writer", ["wsclean", "casa", "askapsoft", "aips"])
def test_images_of_other_programs_keep_their_sky(tmp_path: Path, writer: str) -> None:
    cards = {"wsclean": WSCLEAN, "casa": CASA, "askapsoft": ASKAPSOFT, "aips": AIPS}[writer]
    path = painted(tmp_path / "x.fits", cards)
    assert_sky(path)
    with opened_image(path) as image:
        assert image.frequency_hz == 1.4e9
        assert image.beam.major_arcsec == pytest.approx(60.0, rel=1e-4)
        assert image.beam.minor_arcsec == pytest.approx(42.0, rel=1e-4)
        # The north of B1950 isn't that of ICRS.
        assert image.beam.angle_deg == pytest.approx(30.0, abs=0.5 if writer == "aips" else 1e-3)


@pytest.mark.parametrize("projection", ["SIN", "TAN", "ZEA", "SFL", "ARC", "NCP", "GLS"])
def test_a_projection_keeps_its_sky(tmp_path: Path, projection: str) -> None:
    shape = "SFL" if projection == "GLS" else projection
    cards = {**WSCLEAN, "EQUINOX": None, **axes(shape)}
    for n in (1, 2):
        cards[f"CTYPE{n}"] = cards[f"CTYPE{n}"].replace(shape, projection)
    assert_sky(painted(tmp_path / "x.fits", cards))


@pytest.mark.parametrize(
    ("frame", "projection"),
    [
        ("fk5", "SIN"),
        ("fk4", "SIN"),
        ("fk4", "SFL"),
        ("galactic", "SIN"),
        ("galactic", "ZEA"),
        ("galactic", "SFL"),
    ],
)
def test_a_frame_is_turned_into_icrs(tmp_path: Path, frame: str, projection: str) -> None:
    assert_sky(
        painted(tmp_path / "x.fits", {**WSCLEAN, "EQUINOX": None, **axes(projection, frame)})
    )


@pytest.mark.parametrize(
    ("changes", "frame"),
    [
        ({"EQUINOX": 2000.0}, "FK5 J2000"),
        ({"EQUINOX": 1950.0}, "FK4 B1950"),
        ({"EQUINOX": None, "EPOCH": 1950.0}, "FK4 B1950"),
        ({"EQUINOX": None}, "ICRS"),
        ({"EQUINOX": 2000.0, "RADESYS": "ICRS"}, "ICRS"),
        ({"RADESYS": "fk5", "EQUINOX": None}, "FK5 J2000"),
        ({"RADECSYS": "FK4", "EQUINOX": 1950.0}, "FK4 B1950"),
        ({"RADESYS": "FK4-NO-E", "EQUINOX": 1950.0}, "FK4-NO-E B1950"),
        ({"RADESYS": "FK5", "EQUINOX": 1975.0}, "FK5 J1975"),
        # Of galactic axes RADESYS says nothing.
        ({**axes(frame="galactic"), "RADESYS": "FK5"}, "galactic"),
    ],
)
def test_the_frame_is_what_the_standard_says(
    read: Reader, changes: dict[str, Any], frame: str
) -> None:
    assert read(**changes).frame == frame


@pytest.mark.parametrize(
    "changes",
    [
        axes(shift=(30.3, -61.7)),
        {"CROTA2": 25.0},
        {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
        {"CD1_1": -0.003, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0036, "CDELT1": None}
        | {"CDELT2": None},
        {"PV2_1": 0.05, "PV2_2": -0.1},
        {"CDELT1": 12 / 3600},
        {"CUNIT1": "DEGREE", "CUNIT2": "degrees"},
        # Its reference lies far outside.
        axes(shift=(2000.5, 0.0)) | {"CRVAL1": 150.0 + 2000.5 * 12 / 3600 / np.cos(np.radians(54))},
    ],
    ids=["CRPIX", "CROTA2", "PC", "CD", "slant", "mirrored", "units", "outside"],
)
def test_the_axes_are_read_in_full(tmp_path: Path, changes: dict[str, Any]) -> None:
    header = header_of({**WSCLEAN, "EQUINOX": None, **changes})
    with fits.conf.set_temp("enable_record_valued_keyword_cards", True):
        image = paint(header, inside := on_pixels(header))
    assert_sky(write(tmp_path / "x.fits", header, image), inside)


def on_pixels(header: fits.Header) -> Sky:
    """Return sources on a lattice of pixels, wherever on the sky these are."""
    from astropy.coordinates import SkyCoord

    from tests.images.writers import sky_axes

    x, y = (v.ravel() for v in np.meshgrid([50.3, 120.1, 190.4], [50.2, 120.4, 190.3]))
    ra, dec = sky_axes(header).wcs_pix2world(np.column_stack([x, y]), 0).T
    return Sky(SkyCoord(ra, dec, unit="deg"), SKY.flux_jy)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("JY/BEAM", 1.0),
        ("Jy/beam", 1.0),
        ("Jy / beam", 1.0),
        ("beam-1 Jy", 1.0),
        ("Jy beam^-1", 1.0),
        ("Jy.beam-1", 1.0),
        ("mJy/beam", 1e-3),
        ("mJy/BEAM", 1e-3),
        ("uJy/beam", 1e-6),
        ("UJY/BEAM", 1e-6),
        ("10**-3 Jy/beam", 1e-3),
    ],
)
def test_the_brightness_is_in_the_unit_that_is_stated(
    read: Reader, tmp_path: Path, pixels: NDArray[np.float64], unit: str, factor: float
) -> None:
    path = write(tmp_path / "u.fits", header_of(WSCLEAN, BUNIT=unit), pixels / factor)
    with opened_image(path) as image:
        np.testing.assert_allclose(image.pixels(), pixels, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("K", "BUNIT = 'K' is no flux density per beam"),
        ("Jy/pixel", "BUNIT = 'Jy/pixel' is no"),
        ("MJy/sr", "BUNIT = 'MJy/sr' is no"),
        ("Jy", "BUNIT = 'Jy' is no"),
        ("Jy/beam.km/s", "BUNIT = 'Jy/beam.km/s' is no"),
        ("MJY/BEAM", "may mean a milli- or a megajansky"),
        ("", "no unit"),
    ],
)
def test_another_unit_is_refused_by_name(read: Reader, unit: str, said: str) -> None:
    with pytest.raises(UnreadableImage, match=said.replace("(", r"\(")):
        read(BUNIT=unit)


#: The rest frequency of H I, which CASA writes by default.
HI_HZ = 1.420405752e9


@pytest.mark.parametrize(
    ("changes", "hz"),
    [
        ({"RESTFRQ": HI_HZ}, 1.4e9),
        ({**frequency_axis(3, 1.4, 0.18), "CUNIT3": "GHz"}, 1.4e9),
        ({**frequency_axis(3, 1400.0, 180.0), "CUNIT3": "MHz"}, 1.4e9),
        ({"CRPIX3": 2.0, "CDELT3": 1e8}, 1.3e9),
        ({**frequency_axis(4), **stokes_axis(3)}, 1.4e9),
        ({"CDELT3": 0.0, "CDELT4": 0.0}, 1.4e9),
        ({"CTYPE3": None, "RESTFRQ": 1.35e9}, 1.35e9),
        ({"CTYPE3": None, "RESTFREQ": 1.35e9}, 1.35e9),
        ({"CTYPE3": "SPECLNMF"}, 1.4e9),
        (
            {"CTYPE3": "VRAD", "CRVAL3": 3e6, "CDELT3": 1e3, "CUNIT3": "m/s", "RESTFRQ": HI_HZ},
            HI_HZ * (1 - 3e6 / 299_792_458),
        ),
        (
            {"CTYPE3": "VOPT", "CRVAL3": 3e3, "CDELT3": 1.0, "CUNIT3": "km/s", "RESTFRQ": HI_HZ},
            HI_HZ / (1 + 3e6 / 299_792_458),
        ),
        (
            {"CTYPE3": "VELO-LSR", "CRVAL3": 3e6, "CDELT3": 1e3, "CUNIT3": "m/s", "VELREF": 257}
            | {"RESTFRQ": HI_HZ},
            HI_HZ * (1 - 3e6 / 299_792_458),
        ),
    ],
)
def test_the_frequency_is_that_of_its_axis(
    read: Reader, changes: dict[str, Any], hz: float
) -> None:
    assert read(**changes).frequency_hz == pytest.approx(hz, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CTYPE3": "VRAD", "CUNIT3": "m/s"}, "VRAD gives no frequency: its RESTFRQ is missing"),
        ({"CTYPE3": "VELOCITY", "CUNIT3": "m/s", "RESTFRQ": HI_HZ}, "VELOCITY gives no frequency"),
        ({"CTYPE3": None}, "no frequency"),
        ({"CRVAL4": 4.0}, "Stokes V"),
        ({"CRVAL4": -5.0}, "Stokes XX"),
        ({"RADESYS": "GAPPT"}, "'GAPPT' is no frame"),
        ({"CTYPE1": "ELON-SIN", "CTYPE2": "ELAT-SIN"}, "sky axes are ELON-SIN and ELAT-SIN"),
        ({"CTYPE1": "RA", "CTYPE2": "DEC"}, "no sky axes|sky axes are"),
        ({"BMAJ": None}, "no restoring beam"),
        ({"BPA": None}, "BPA = None"),
        ({"DATE-OBS": None}, "no time of observation"),
        ({"DATE-OBS": "yesterday"}, "DATE-OBS = 'yesterday'"),
        ({"DATE-OBS": "2025-13-06T12:00:00"}, "DATE-OBS = '2025-13-06T12:00:00' is no date"),
        ({"TIMESYS": "LOCAL"}, "TIMESYS = 'LOCAL'"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(
    read: Reader, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnreadableImage, match=said) as refused:
        read(**changes)
    assert "x.fits" in str(refused.value)


def test_a_cube_is_refused_and_one_plane_of_it_is_not(tmp_path: Path) -> None:
    header = header_of(WSCLEAN)
    image = paint(header, SKY, rms_jy=1e-3)
    fits.PrimaryHDU(np.stack([image] * 3)[None], header).writeto(tmp_path / "cube.fits")
    with (
        pytest.raises(UnreadableImage, match="cube of 3 planes along FREQ: one plane"),
        opened_image(tmp_path / "cube.fits"),
    ):
        pass
    fits.PrimaryHDU(image[None, None, None], header).writeto(tmp_path / "one.fits")
    with opened_image(tmp_path / "one.fits") as found:
        np.testing.assert_allclose(found.pixels(), image, rtol=1e-6)


BEAMS = Table({"BMAJ": [60.0], "BMIN": [42.0], "BPA": [30.0], "CHAN": [0], "POL": [0]})


def beams_table(major: float = 60.0, unit: u.UnitBase = u.arcsec) -> fits.BinTableHDU:
    table = BEAMS.copy()
    table["BMAJ"] = [(major * u.arcsec).to_value(unit)]
    table["BMIN"] = [(42.0 * u.arcsec).to_value(unit)]
    table["BMAJ"].unit = table["BMIN"].unit = unit
    table["BPA"].unit = u.deg
    hdu = fits.table_to_hdu(table)
    hdu.name = "BEAMS"
    return hdu


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"BMAJ": None, "CASAMBM": True, "more": [beams_table()]},
        {"BMAJ": None, "CASAMBM": True, "more": [beams_table(unit=u.deg)]},
        {"BMAJ": None, "HISTORY": AIPS["HISTORY"]},
        {"BMAJ": None, "HISTORY": ["> restoration: 60.0 by 42.0 (arcsec)", "   at pa 30.0 (deg)"]},
        {"BMAJ": None, "CLEANBMJ": 60 / 3600, "CLEANBMN": 42 / 3600, "CLEANBPA": 30.0},
        {"BMAJ": (60.0, "[arcsec] major axis"), "BMIN": (42.0, "[arcsec] minor axis")},
    ],
    ids=["keywords", "table", "degrees", "AIPS", "CASA", "CLEAN", "arcsec"],
)
def test_the_beam_is_found_where_its_writer_put_it(read: Reader, changes: dict[str, Any]) -> None:
    beam = read(**changes).beam
    assert (beam.major_arcsec, beam.minor_arcsec) == pytest.approx((60.0, 42.0), rel=1e-4)
    assert beam.angle_deg == pytest.approx(30.0, abs=1e-3)


def test_a_beam_is_turned_with_its_frame(read: Reader) -> None:
    # Galactic north stands at 293 deg there, 67 deg west of north.
    beam = read(**{**axes(frame="galactic"), "EQUINOX": None}).beam
    assert beam.angle_deg == pytest.approx(-36.8, abs=0.1)
    assert beam.major_arcsec == pytest.approx(BEAM.major_arcsec)


@pytest.mark.parametrize(
    ("changes", "minutes"),
    [
        ({}, (0.0, 0.0, 0.0)),
        ({"EXPTIME": 300.0}, (0.0, 2.5, 5.0)),
        ({"EXPOSURE": (5.0, "[min] on source")}, (0.0, 2.5, 5.0)),
        ({"DATE-END": "2025-10-06T12:35:00"}, (0.0, 2.5, 5.0)),
        ({"DATE-BEG": "2025-10-06T12:31:00", "DATE-END": "2025-10-06T12:35:00"}, (1.0, 3.0, 5.0)),
        ({"DATE-OBS": None, "MJD-OBS": MID_MJD, "TELAPSE": 120.0}, (2.5, 3.5, 4.5)),
        ({"DATE-OBS": None, "DATE-AVG": "2025-10-06T12:32:30"}, (2.5, 2.5, 2.5)),
        # A day alone: another keyword has the time.
        ({"DATE-OBS": "2025-10-06", "TIME-OBS": "12:30:00"}, (0.0, 0.0, 0.0)),
        ({"DATE-OBS": "2025-10-06", "MJD-OBS": MID_MJD}, (2.5, 2.5, 2.5)),
        ({"DATE-OBS": "2025-10-06T12:30:37", "TIMESYS": "TAI"}, (0.0, 0.0, 0.0)),
        ({"DATE-OBS": "2025-10-06T12:31:09.184", "TIMESYS": "TT"}, (0.0, 0.0, 0.0)),
        ({"DATE-OBS": "2025-10-06T12:30:18", "TIMESYS": "GPS"}, (0.0, 0.0, 0.0)),
        ({"DATE-OBS": "2025-10-06T12:30:00Z", "TIMESYS": "utc"}, (0.0, 0.0, 0.0)),
    ],
)
def test_the_time_is_the_headers_in_utc(
    read: Reader, changes: dict[str, Any], minutes: tuple[float, float, float]
) -> None:
    observed = read(**changes).observed
    found = (observed.start_mjd, observed.mid_mjd, observed.end_mjd)
    begin = Time(START, scale="utc").mjd
    assert [1440 * (mjd - begin) for mjd in found] == pytest.approx(minutes, abs=1e-4)


def test_a_date_without_a_time_is_its_midnight_and_that_is_noted(read: Reader) -> None:
    observed = read(**{"DATE-OBS": "2025-10-06"}).observed
    assert observed.mid_mjd == 60_954.0
    assert "no time of day" in observed.notes[0]


def test_an_old_date_is_of_the_last_century(read: Reader) -> None:
    assert read(AIPS).observed.mid_mjd == pytest.approx(Time("1995-10-06T12:30:00").mjd)


@pytest.mark.parametrize("outside", [np.nan, 0.0, np.inf])
def test_what_was_not_observed_is_nan(
    tmp_path: Path, pixels: NDArray[np.float64], outside: float
) -> None:
    y, x = np.indices(pixels.shape)
    seen = np.hypot(x - 120, y - 120) < 100
    path = write(tmp_path / "x.fits", header_of(WSCLEAN), np.where(seen, pixels, outside))
    with opened_image(path) as image:
        np.testing.assert_array_equal(np.isfinite(image.pixels()), seen)


def test_a_zero_in_the_noise_is_a_measurement(read: Reader, tmp_path: Path) -> None:
    coarse = np.round(paint(header_of(WSCLEAN), SKY) / 2.5e-5) * 2.5e-5
    assert (coarse == 0).mean() > 0.15
    with opened_image(write(tmp_path / "x.fits", header_of(WSCLEAN), coarse)) as image:
        assert np.isfinite(image.pixels()).all()


def test_compressed_scaled_and_moved_images_are_read(
    tmp_path: Path, pixels: NDArray[np.float64]
) -> None:
    header = header_of(WSCLEAN)
    data = pixels.astype(np.float32)[None, None]
    forms: dict[str, Any] = {
        "fpack": fits.CompImageHDU(data, header, compression_type="RICE_1", quantize_level=64),
        "gzip": fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0),
        "extension": fits.ImageHDU(data, header, name="SCI"),
    }
    for name, hdu in forms.items():
        path = tmp_path / f"{name}.fits.fz"
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
        with opened_image(path) as image:
            np.testing.assert_allclose(image.pixels(), pixels, atol=1e-6, err_msg=name)
    scaled = fits.PrimaryHDU(data, header)
    scaled.scale("int16", bscale=1e-5, bzero=0.1)
    holed = scaled.data.copy()
    holed[0, 0, :20] = -32768
    whole = fits.PrimaryHDU(holed, scaled.header)
    whole.header["BSCALE"], whole.header["BZERO"], whole.header["BLANK"] = 1e-5, 0.1, -32768
    whole.writeto(tmp_path / "scaled.fits.gz")
    with opened_image(tmp_path / "scaled.fits.gz") as image:
        found = image.pixels()
    assert np.isnan(found[:20]).all()
    np.testing.assert_allclose(found[20:], pixels[20:], atol=1e-5)


def test_axes_in_another_order_are_put_in_ours(tmp_path: Path, pixels: NDArray[np.float64]) -> None:
    cards = {**WSCLEAN, **frequency_axis(1), **stokes_axis(4)}
    for name in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
        # Frequency, declination, right ascension, Stokes.
        cards[f"{name}2"], cards[f"{name}3"] = WSCLEAN[f"{name}2"], WSCLEAN[f"{name}1"]
    data = pixels.T.reshape(1, SIZE, SIZE, 1).astype(np.float32)
    fits.PrimaryHDU(data, header_of(cards)).writeto(tmp_path / "x.fits")
    with opened_image(tmp_path / "x.fits") as image:
        np.testing.assert_allclose(image.pixels(), pixels, rtol=1e-6)
    assert_sky(tmp_path / "x.fits")


def test_two_images_in_a_file_are_refused_and_a_noise_map_beside_is_not(
    tmp_path: Path, pixels: NDArray[np.float64]
) -> None:
    header = header_of(WSCLEAN)
    for name, unit in (("two", "Jy/beam"), ("mask", "")):
        other = header.copy()
        other["BUNIT"] = unit
        path = write(
            tmp_path / f"{name}.fits",
            header,
            pixels,
            more=[fits.ImageHDU(pixels.astype(np.float32)[None, None], other, name="OTHER")],
        )
        if name == "two":
            with (
                pytest.raises(UnreadableImage, match=r"holds 2 images .*OTHER"),
                opened_image(path),
            ):
                pass
        else:
            with opened_image(path) as image:
                assert image.beam.major_arcsec == BEAM.major_arcsec


def test_a_header_may_describe_axes_that_the_pixels_have_no_more(
    tmp_path: Path, pixels: NDArray[np.float64]
) -> None:
    path = write(tmp_path / "x.fits", header_of(WSCLEAN, WCSAXES=4), pixels, n_axes=2)
    with opened_image(path) as image:
        assert image.frequency_hz == 1.4e9
        assert image.shape == (SIZE, SIZE)
