"""FITS images of others, with damaged cards and bytes."""

import gzip
import io
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from contimg_resources.core.errors import ContimgError, UnreadableImage
from contimg_resources.images.reading import opened_image, read_map, read_raw
from contimg_resources.images.standard_form import ForeignFiles
from contimg_resources.products.model import ArrivalOutcome
from contimg_resources.steps.adding_images import add_images
from contimg_resources.steps.workshop import Workshop
from tests.fuzz.mangling import BYTE_EDITS, Edit, check_message, fuzzed, mangled, only_ours
from tests.images.writers import AIPS, ASKAPSOFT, CASA, WSCLEAN, Sky, header_of, paint, places
from tests.steps.test_adding_images import made_workshop

SIZE = 48
CARD, BLOCK = 80, 2880
KEYWORDS = (
    *("BMAJ", "BMIN", "BPA", "BUNIT", "BTYPE", "DATE-OBS", "DATE-END", "DATE-AVG", "MJD-OBS"),
    *("TIMESYS", "TIME-OBS", "EXPTIME", "TELAPSE", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4"),
    *("BITPIX", "BSCALE", "BZERO", "BLANK", "SIMPLE", "EXTEND", "WCSAXES", "CTYPE1", "CTYPE2"),
    *("CTYPE3", "CTYPE4", "CRVAL1", "CRVAL2", "CRVAL3", "CDELT1", "CDELT2", "CDELT3", "CRPIX1"),
    *("CRPIX2", "CRPIX3", "CUNIT1", "CUNIT2", "CUNIT3", "CROTA2", "PC1_1", "PC1_2", "PC2_1"),
    *("CD1_1", "CD1_2", "CD2_2", "PV2_1", "PV1_1", "LONPOLE", "LATPOLE", "RADESYS", "EQUINOX"),
    *("EPOCH", "RESTFRQ", "SPECSYS", "VELREF", "ALTRVAL", "A_ORDER", "A_0_2", "CPDIS1", "DP1"),
    *("TELESCOP", "OBJECT", "HISTORY", "COMMENT", "CONTINUE", "GROUPS", "PCOUNT", "GCOUNT"),
)
VALUES = st.one_of(
    st.sampled_from(
        (
            *("T", "F", "0", "1", "-1", "2", "3", "999", "48", "1E400", "-1E400", "NaN", "INF", ""),
            *("1D5", "(1.0, 2.0)", "1 2", "0.0", "-0.0", "1e-400", "360.0", "-90.0", "1e30", "-32"),
            *("''", "'", "'deg'", "'Jy/beam'", "'JY/BEAM'", "'mJy/beam'", "'K'", "'FK4'", "'FK5'"),
            *("'ICRS'", "'GALACTIC'", "'RA---SIN'", "'DEC--SIN'", "'RA---TAN'", "'DEC--TAN-SIP'"),
            *(
                "'GLON-CAR'",
                "'GLAT-CAR'",
                "'FREQ'",
                "'VRAD'",
                "'VOPT-F2W'",
                "'STOKES'",
                "'RA---ZPN'",
            ),
            *("'HPX'", "'RA---HPX'", "'DEC--HPX'", "'2025-10-06'", "'06/10/95'", "'31/02/99'"),
            *("'2025-10-06T24:30:00'", "'2016-12-31T23:59:60'", "'0000-00-00T00:00:00'", "'TDB'"),
            *(
                "'GPS'",
                "'LOCAL'",
                "'12:30'",
                "'1858-11-17T00:00:00'",
                "/ only a comment",
                "'\x1b[31m'",
            ),
            *(
                "'a' 'b'",
                "'[arcsec]' / [arcmin] x",
                "5.0 / [arcsec]",
                "9" * 70,
                "'&'",
                "1.0.0",
                "60954.5",
            ),
        )
    ),
    st.floats().map(lambda v: repr(v).upper()),
    st.integers(-5, 100).map(str),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20).map(repr),
)


def _header(content: bytes) -> list[bytes] | None:
    cards = []
    for at in range(0, len(content) - CARD + 1, CARD):
        cards.append(content[at : at + CARD])
        if cards[-1].startswith(b"END     "):
            return cards
    return None


def _with_header(content: bytes, cards: list[bytes], n_before: int) -> bytes:
    rest = content[-(-n_before * CARD // BLOCK) * BLOCK :]
    header = b"".join(cards)
    return header + b" " * (-len(header) % BLOCK) + rest


def _card_changed(where: float, keyword: str, value: str, how: str) -> Edit:
    card = f"{keyword:<8}= {value:>20}".encode("ascii", "replace")[:CARD].ljust(CARD)

    def edit(content: bytes) -> bytes:
        cards = _header(content)
        if cards is None:
            return content
        n = len(cards)
        of_keyword = [i for i, c in enumerate(cards) if c.startswith(f"{keyword:<8}=".encode())]
        at = min(int(where * n), n - 1)
        if how == "set" and of_keyword:
            cards[of_keyword[0]] = card
        elif how == "drop":
            del cards[of_keyword[0] if of_keyword else at]
        elif how == "copy":
            cards.insert(at, cards[min(int(where * 7 * n) % n, n - 1)])
        else:
            cards.insert(min(max(at, 4), n - 1), card)
        return _with_header(content, cards, n)

    return edit


CARD_EDITS = st.builds(
    _card_changed,
    st.floats(0, 1, width=32),
    st.sampled_from(KEYWORDS),
    VALUES,
    st.sampled_from(("set", "set", "set", "add", "drop", "copy")),
)


@cache
def images() -> dict[str, bytes]:
    """Return small images as several programs write them."""
    found = {}
    for name, cards in (("wsclean", WSCLEAN), ("casa", CASA), ("askap", ASKAPSOFT), ("aips", AIPS)):
        shift = SIZE // 2 + 1.0
        header = header_of(cards, CRPIX1=shift, CRPIX2=shift)
        pixels = paint(header, Sky(places(1, 0.0), np.array([0.3])), size=SIZE)
        found[f"{name}.fits"] = _bytes_of(header, pixels)
        if name == "wsclean":
            flat = header_of(cards, CRPIX1=shift, CRPIX2=shift, EXPTIME=300.0)
            found["packed.fits.gz"] = gzip.compress(found["wsclean.fits"])
            found["compressed.fits"] = _bytes_of(flat, pixels, compressed=True)
    return found


def _bytes_of(header: fits.Header, pixels: Any, *, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    data = pixels.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if compressed:
            hdus = [fits.PrimaryHDU(), fits.CompImageHDU(data, header)]
        else:
            described = max((int(k[5:]) for k in header if k.startswith("CTYPE")), default=2)
            hdus = [fits.PrimaryHDU(data.reshape((1,) * (described - 2) + data.shape), header)]
        fits.HDUList(hdus).writeto(stream)
    return stream.getvalue()


File = tuple[str, bytes]
DAMAGED = st.deferred(
    lambda: mangled(images(), st.one_of(CARD_EDITS, CARD_EDITS, CARD_EDITS, BYTE_EDITS), 5)
)


@fuzzed(40)
@given(DAMAGED, st.booleans())
def test_an_image_is_on_the_sky_or_refused(tmp_path: Path, file: File, response: bool) -> None:
    path, good = tmp_path / file[0], tmp_path / "good.fits"
    path.write_bytes(file[1])
    if not good.exists():
        good.write_bytes(images()["wsclean.fits"])
    with only_ours(path, ours=UnreadableImage), opened_image(path) as image:
        assert image.factor > 0
        assert np.isfinite(image.factor)
        assert image.observed.start_mjd <= image.observed.mid_mjd <= image.observed.end_mjd
        assert 0 < image.beam.minor_arcsec <= image.beam.major_arcsec < np.inf
        assert 0 < image.frequency_hz < np.inf
        assert image.pixels().shape == image.shape
    with only_ours(path, ours=UnreadableImage):
        read_raw(path)
    with opened_image(good) as image, only_ours(path, ours=UnreadableImage):
        found = read_map(path, image, response=response)
        assert (found[np.isfinite(found)] > 0).all()


def test_a_compressed_image_that_lost_a_byte_is_refused_by_name(tmp_path: Path) -> None:
    path, content = tmp_path / "compressed.fits", images()["compressed.fits"]
    at = 3 * len(content) // 4
    path.write_bytes(content[:at] + content[at + 1 :])
    with pytest.raises(UnreadableImage, match=re.escape(f"{path} can't be read")):
        read_raw(path)


def test_an_axis_whose_kind_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    path, content = tmp_path / "aips.fits", images()["aips.fits"]
    for keyword in ("BMAJ", "CTYPE1"):
        content = _card_changed(0.0, keyword, "T", "set")(content)
    path.write_bytes(content)
    with only_ours(path, ours=UnreadableImage), opened_image(path):
        pytest.fail("it was taken")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return made_workshop(tmp_path)


@fuzzed(3)
@given(DAMAGED, st.booleans())
def test_one_of_several_images_is_added_or_refused_alone(
    workshop: Workshop, tmp_path: Path, file: File, again: bool
) -> None:
    bad, good = tmp_path / file[0], tmp_path / "good.fits"
    bad.write_bytes(file[1])
    good.write_bytes(images()["wsclean.fits"])
    with only_ours(ours=ContimgError):
        done = add_images(workshop, [ForeignFiles(bad), ForeignFiles(good)], replace_known=again)
        assert len(done.added) + len(done.failed) == 2
        for path, reason in done.failed.items():
            check_message(reason, path)
        for added in done.added:
            assert added.outcome in ArrivalOutcome
            assert workshop.products.image(added.record.key) is not None
