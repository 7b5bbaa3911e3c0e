"""Keys, names, times, units, frames and whatever else is typed or stands in a header: as text."""

import json
import math
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from contimg_resources.catalogues.columns import Given, frequency_ghz
from contimg_resources.core.errors import ContimgError, InvalidName, TableError, in_words
from contimg_resources.core.keys import (
    is_partition_key,
    mosaic_key,
    parse_mosaic_key,
    parse_partition_key,
    partition_key,
)
from contimg_resources.core.naming import (
    StateLayout,
    check_ms_name,
    check_name,
    is_observation_name,
    plain_name,
    without_ms,
)
from contimg_resources.core.plain_text import plain, plain_line
from contimg_resources.core.times import isot_from_mjd, mjd_day, mjd_from_datetime, parse_span
from contimg_resources.cutouts.places import cutout_path, directory_name, epoch_of
from contimg_resources.instrument.caltables import CaltableType, split_ending, type_of_ending
from contimg_resources.tables.positions import parse_frame, sexagesimal_deg
from contimg_resources.tables.units import factor_between, is_unit, parse_unit
from contimg_resources.variability.foreign_times import parse_meaning, time_meaning
from tests.fuzz.mangling import TEXT, WORD, fuzzed, only_ours

ROOT = Path("/state")
MJD = st.floats(36_934, 88_069)
#: Text that looks like a key but for a character or two.
KEY_LIKE = st.one_of(
    st.from_regex(r"\d{5}\.\d{5}"),
    st.from_regex(r"[0-9]{5}\.[0-9]{5}[-+][0-9]{2}\.[0-9]"),
    st.from_regex(r"[0-9]{4,6}[.,][0-9]{4,6}\s?", fullmatch=True),
)


@fuzzed(200)
@given(TEXT | KEY_LIKE)
@example("61041.00347\n")
@example("٦١٠٤١.00347")
def test_a_key_is_that_of_a_time_or_refused(text: str) -> None:
    with only_ours(ours=InvalidName):
        mjd = parse_partition_key(text)
        assert partition_key(mjd) == text
        assert is_partition_key(text)
        assert StateLayout(ROOT).image_dir(text) == ROOT / "images" / str(mjd_day(mjd)) / text
    with only_ours(ours=InvalidName):
        mid_mjd, dec_deg = parse_mosaic_key(text)
        assert abs(dec_deg) <= 90
        assert mosaic_key(mid_mjd, dec_deg) == text or text.endswith("-00.0")


@fuzzed(100)
@given(MJD)
def test_a_time_has_one_key(mjd: float) -> None:
    assert abs(parse_partition_key(partition_key(mjd)) - mjd) <= 0.51e-5
    assert abs(mjd_from_datetime(datetime.fromisoformat(isot_from_mjd(mjd))) - mjd) < 2e-8


@fuzzed(200)
@given(TEXT)
def test_a_name_is_one_component_of_a_path_or_refused(text: str) -> None:
    with only_ours(ours=InvalidName):
        check_name(text)
        assert (ROOT / text).resolve().parent == ROOT
        assert plain_name(text) == text
        assert StateLayout(ROOT).caltable_set(text, 1).parent == ROOT / "caltables"
    with only_ours(ours=InvalidName):
        check_ms_name(text)
        assert text.isprintable()
    if is_observation_name(text):
        assert without_ms(text)
    made = directory_name(text)
    assert (ROOT / check_name(made)).resolve().parent == ROOT
    with only_ours(ours=InvalidName):
        assert cutout_path(ROOT, text, text).is_relative_to(ROOT / made)
    found = epoch_of(text)
    assert found is None or math.isfinite(found[1])


DATE_LIKE = st.one_of(
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.dates().map(str),
    st.builds("{}{}{}".format, st.dates(), st.sampled_from("T tW_"), st.times()),
    st.floats().map(repr),
)


@fuzzed(200)
@given(st.none() | TEXT | DATE_LIKE, st.none() | TEXT | DATE_LIKE)
@example("0001-01-01T00:00:00+14:00", None)
@example("2025-W01", "9999-12-31")
@example(None, "88069")
def test_a_span_is_in_order_or_refused(begin: str | None, end: str | None) -> None:
    with only_ours(ours=InvalidName):
        first, last = parse_span(begin, end)
        if first is not None and last is not None:
            assert first < last


UNIT_LIKE = st.lists(
    st.sampled_from(
        (
            *(
                "Jy",
                "mJy",
                "MJY",
                "beam",
                "/",
                " ",
                "*",
                "**",
                "^",
                "-1",
                "(",
                ")",
                ".",
                "deg",
                "h",
            ),
            *("10", "uJy", "µJy", "%", "mag", "dex", "log(", "sqrt(", "'", '"', "arcsec", "1e3"),
            *("dB", "K", "Hz", "'h:m:s'", "J2000", "2", "3/2", "0", "[", "]", "_", "10**400", "e"),
        )
    ),
    max_size=7,
).map("".join)


@fuzzed(60)
@given(TEXT | UNIT_LIKE, st.sampled_from(("Jy", "deg", "GHz", "arcsec", "", "d")))
@example("1,5", "Jy")
@example("10**99999999", "Jy")
@example("1e-400", "Jy")
def test_a_unit_converts_or_is_refused(text: str, wanted: str) -> None:
    with only_ours(ours=TableError):
        parse_unit(text)
        assert is_unit(text)
    with only_ours(ours=TableError):
        assert not math.isnan(factor_between(text, wanted))


@fuzzed(300)
@given(TEXT | UNIT_LIKE)
@example("0HZ")
@example("1e400GHz")
def test_words_about_columns_are_understood_or_refused(text: str) -> None:
    with only_ours(ours=TableError):
        parse_frame(text)
    with only_ours(ours=TableError):
        parse_meaning(text)
    meaning = time_meaning(text)
    assert meaning is None or math.isfinite(meaning.offset_days)
    ghz = frequency_ghz(text)
    assert ghz is None or ghz > 0
    for hours in (True, False):
        assert isinstance(sexagesimal_deg(text, hours=hours), float)
    with only_ours():
        Given.parse([text], text, text)
    with only_ours():
        Given.parse([f"flux={text}", f"{text}=S"], None)


ENDINGS = {CaltableType.K: (".mine", "_delay")}


@fuzzed(100)
@given(TEXT | st.builds("{}{}{}".format, WORD, st.sampled_from("._"), WORD))
def test_an_ending_stands_for_one_type_of_caltable_or_none(text: str) -> None:
    kind = type_of_ending(text, ENDINGS)
    assert kind is None or kind in CaltableType
    split = split_ending(text, ENDINGS)
    assert split is None or text.startswith(split[0])


#: Categories of characters that change how others are shown.
OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@fuzzed(300)
@given(st.text() | TEXT)
def test_shown_text_obeys_nobody(text: str) -> None:
    shown = plain(text)
    assert not {unicodedata.category(c) for c in shown if c not in "\n\t"} & OBEYED
    assert plain(shown) == shown
    assert "\n" not in plain_line(text)
    shown.encode()
    error = ContimgError(text, name=text)
    assert ContimgError.from_dict(json.loads(json.dumps(error.as_dict()))).message == shown
    for other in (ValueError(text), OSError(5, text, text), error):
        in_words(other).encode()
