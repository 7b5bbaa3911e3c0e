"""Keys are fixed in width, parsed before use, and each is the only one of its content."""

import math
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from astropy.time import Time
from hypothesis import example, given
from hypothesis import strategies as st

from contimg_resources.core import keys, times
from contimg_resources.core.errors import InvalidName

observing_mjds = st.floats(times.MJD_MIN_DAYS + 1, times.MJD_MAX_DAYS - 1)
declinations = st.floats(-90, 90)
days = st.integers(int(times.MJD_MIN_DAYS), int(times.MJD_MAX_DAYS))

#: How each kind of key is parsed, and made from what was parsed.
KINDS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    "observation": (keys.parse_partition_key, keys.partition_key),
    "mosaic": (keys.parse_mosaic_key, lambda parsed: keys.mosaic_key(*parsed)),
    "day": (keys.parse_day_key, keys.day_key),
    "day on disk": (keys.parse_day_name, keys.day_name),
}
#: Texts that are, or nearly are, keys.
texts = (
    st.text(max_size=24)
    | st.from_regex(r"\d{5}\.\d{5}", fullmatch=True)
    | st.from_regex(r"\d{5}\.\d{5}[+-]\d\d\.\d", fullmatch=True)
    | st.from_regex(r"\d{4}-\d\d-\d\d", fullmatch=True)
    | st.from_regex(r"\d{5}", fullmatch=True)
)


@given(observing_mjds)
def test_a_key_gives_back_its_mjd_within_half_its_resolution(mjd: float) -> None:
    back = keys.parse_partition_key(keys.partition_key(mjd))
    assert abs(back - mjd) <= 0.5 * keys.KEY_RESOLUTION_DAYS * 1.001


@given(observing_mjds, observing_mjds)
def test_keys_sort_as_their_times_do(a: float, b: float) -> None:
    one, other = keys.partition_key(a), keys.partition_key(b)
    assert len(one) == len(other) == 11
    if abs(a - b) > keys.KEY_RESOLUTION_DAYS:
        assert (one < other) == (a < b)


@pytest.mark.parametrize(
    "key",
    [
        "61041.0034",
        "61041.003471",
        " 61041.00347",
        "61041.00347\n",
        "../../61041.00347",
        "\uff161041.00347",
        "00000.00000",
        "nan",
        "",
    ],
)
def test_what_is_no_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidName) as refusal:
        keys.parse_partition_key(key)
    assert refusal.value.exit_code == 2


@given(observing_mjds, declinations)
@example(61_041.0, -0.04)
@example(61_041.0, 90.0)
def test_a_mosaic_key_gives_back_its_time_and_strip(mjd: float, declination_deg: float) -> None:
    key = keys.mosaic_key(mjd, declination_deg)
    back_mjd, strip_deg = keys.parse_mosaic_key(key)
    assert abs(back_mjd - mjd) <= 0.5 * keys.KEY_RESOLUTION_DAYS * 1.001
    assert abs(strip_deg - declination_deg) <= 0.05 + 1e-9
    assert keys.mosaic_key(back_mjd, strip_deg) == key
    assert keys.epoch_mjd(key) == back_mjd
    assert not keys.is_partition_key(key)


@given(observing_mjds)
def test_the_time_of_an_epoch_is_that_of_its_observation(mjd: float) -> None:
    key = keys.partition_key(mjd)
    assert keys.epoch_mjd(key) == keys.parse_partition_key(key)


@given(days)
def test_a_day_gives_back_its_integer_mjd(day_mjd: int) -> None:
    assert keys.parse_day_key(keys.day_key(day_mjd)) == day_mjd
    assert keys.parse_day_name(keys.day_name(day_mjd)) == day_mjd
    assert keys.day_key(day_mjd) == Time(day_mjd, format="mjd").strftime("%Y-%m-%d")


@given(texts)
@example("00001")
def test_what_is_listed_as_a_day_can_be_parsed(text: str) -> None:
    if keys.is_day_name(text):
        assert keys.day_name(keys.parse_day_name(text)) == text
    else:
        with pytest.raises(InvalidName):
            keys.parse_day_name(text)


@given(observing_mjds)
def test_a_day_is_that_of_any_moment_in_it(mjd: float) -> None:
    assert keys.parse_day_key(keys.day_key(mjd)) == times.mjd_day(mjd)
    assert keys.parse_day_name(keys.day_name(mjd)) == times.mjd_day(mjd)


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts)
@example(text="61041.02083-00.0")
@example(text="61041.02083+90.1")
@example(text="2025-02-30")
@example(text="1858-11-17")
@example(text="00001")
@example(text="61041\n")
@example(text="\u0661\u0662\u0663\u0664\u0665")
def test_a_text_is_the_key_of_its_content_or_refused_by_name(kind: str, text: str) -> None:
    parse, made = KINDS[kind]
    try:
        content = parse(text)
    except InvalidName:
        return
    assert made(content) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_names_the_text(kind: str) -> None:
    with pytest.raises(InvalidName, match=r"'\.\./61041' is no"):
        KINDS[kind][0]("../61041")


@given(texts)
def test_no_text_is_the_key_of_two_kinds(text: str) -> None:
    found = []
    for kind, (parse, _) in KINDS.items():
        try:
            parse(text)
        except InvalidName:
            continue
        found.append(kind)
    assert len(found) <= 1


@pytest.mark.parametrize("declination_deg", [math.nan, math.inf, 90.1, -91.0])
def test_no_mosaic_is_of_a_strip_off_the_sky(declination_deg: float) -> None:
    with pytest.raises(InvalidName, match="no declination"):
        keys.mosaic_key(61_041.0, declination_deg)


def test_an_observation_of_1989_has_a_key() -> None:
    mjd = Time("1989-05-17T03:00:00", scale="utc").mjd
    assert keys.partition_key(mjd) == "47663.12500"
    assert keys.parse_partition_key("47663.12500") == pytest.approx(mjd)
    assert date.fromisoformat(keys.day_key(mjd)) == date(1989, 5, 17)


@pytest.mark.parametrize("mjd", [float("nan"), float("inf"), 0.0, 5.3e9, 97_000.0])
def test_a_time_of_another_epoch_or_unit_has_no_key(mjd: float) -> None:
    for made in (keys.partition_key, keys.day_key, keys.day_name):
        with pytest.raises(InvalidName, match="no observing date"):
            made(mjd)


@given(st.text(min_size=1), observing_mjds, st.integers(0, 10**9 - 1))
def test_a_set_gives_back_its_version_and_observation(
    calibrator: str, mjd: float, version: int
) -> None:
    key = keys.partition_key(mjd)
    name = keys.set_name(calibrator, key)
    assert keys.observation_of_set(name) == key
    assert keys.parse_set_key(keys.set_key(name, version)) == (name, version)


@pytest.mark.parametrize("name", ["61041.00347", "3C286", "3C286_61041.0034", ""])
def test_a_set_may_name_no_observation(name: str) -> None:
    assert keys.observation_of_set(name) is None


@given(st.text() | st.from_regex(r"\w*\.v\d+", fullmatch=True))
@example("3C286")
@example(".v2")
@example("3C286.v02")
@example("3C286.v")
def test_a_text_is_the_key_of_a_set_or_refused(text: str) -> None:
    try:
        name, version = keys.parse_set_key(text)
    except InvalidName:
        return
    assert keys.set_key(name, version) == text


def test_what_is_no_version_of_a_set_is_named() -> None:
    with pytest.raises(InvalidName, match=r"'3C286\.v02' is no version"):
        keys.parse_set_key("3C286.v02")
