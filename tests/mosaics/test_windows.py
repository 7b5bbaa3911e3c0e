"""Which mosaics there should be: by observing time alone, whatever the order of arrival."""

from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg_resources.core.errors import ConfigurationError, InvalidName
from contimg_resources.core.keys import mosaic_key, parse_mosaic_key
from contimg_resources.mosaics.windows import (
    PlannedMosaic,
    WindowGrid,
    end_of_last_gap,
    plan_mosaics,
)
from contimg_resources.settings import CalibrationSettings, MosaicSettings

GRID = WindowGrid()
planned_mosaics = partial(
    plan_mosaics, strip_tolerance_deg=CalibrationSettings().strip_tolerance_deg
)
HOUR = 1 / 24


@dataclass(frozen=True)
class Seen:
    mid_mjd: float
    declination_deg: float = 54.6

    @property
    def key(self) -> str:
        return f"{self.mid_mjd:.5f}"


def night(n: int, start_mjd: float = 61_041.0, declination_deg: float = 54.6) -> list[Seen]:
    return [Seen(start_mjd + (i + 0.5) * 309.24 / 86_400, declination_deg) for i in range(n)]


def by_key(planned: tuple[PlannedMosaic, ...]) -> dict[str, tuple[str, ...]]:
    return {p.key: p.observations for p in planned}


def test_an_hour_every_half_hour() -> None:
    planned = planned_mosaics(night(30), GRID)
    assert [p.key for p in planned[:3]] == [
        "61041.00000+54.6",
        "61041.02083+54.6",
        "61041.04167+54.6",
    ]
    assert {round(p.end_mjd - p.start_mjd, 9) for p in planned} == {round(HOUR, 9)}
    # 309 s fit eleven or twelve times into an hour.
    assert {len(p.observations) for p in planned[1:4]} <= {11, 12}


@given(st.permutations(night(40)))
def test_the_order_of_arrival_doesn_t_matter(observations: list[Seen]) -> None:
    expected = planned_mosaics(night(40), GRID)
    assert planned_mosaics(observations, GRID) == expected
    assert planned_mosaics([*observations, *observations[:7]], GRID) == expected


@given(
    st.floats(61_000, 61_100),
    st.integers(1, 6).flatmap(lambda step: st.tuples(st.just(step), st.integers(max(step, 2), 24))),
)
def test_every_observation_is_in_each_window_that_holds_it(
    mjd: float, step_and_width: tuple[int, int]
) -> None:
    step, width = step_and_width
    grid = WindowGrid(MosaicSettings(step=step, width=width))
    numbers = grid.windows_of(mjd)
    assert width // step <= len(numbers) <= -(-width // step)
    slot = 1 / grid.slots_per_day
    for number in range(numbers.start - 2, numbers.stop + 2):
        start, end = grid.bounds_mjd(number)
        if number in numbers:
            assert start - 1e-9 <= mjd <= end + 1e-9
        else:
            assert not start + 1e-9 * slot < mjd < end - 1e-9 * slot


def test_midnight_is_no_border_and_holes_are_no_trouble() -> None:
    around = night(12, 61_040.98)
    del around[5:7]
    planned = by_key(planned_mosaics(around, GRID))
    assert planned["61041.00000+54.6"] == tuple(o.key for o in around if o.mid_mjd < 61_041.0208)
    assert {int(float(key)) for key in planned["61041.00000+54.6"]} == {61_040, 61_041}


def test_another_strip_is_another_mosaic() -> None:
    observations = [*night(4), *night(4, 61_041.02, 56.1)]
    planned = planned_mosaics(observations, GRID)
    assert {"61041.02083+54.6", "61041.02083+56.1"} <= {p.key for p in planned}
    assert all(len(set(p.observations)) == 4 for p in planned)


def test_a_wobble_of_declination_is_the_same_strip() -> None:
    observations = [
        Seen(o.mid_mjd, 54.6 + 0.3 * (i % 2)) for i, o in enumerate(night(10, 61_041.001))
    ]
    (key,) = {p.key for p in planned_mosaics(observations, GRID) if p.mid_mjd < 61_041.021} - {
        "61041.00000+54.8"
    }
    assert key.startswith("61041.02083")


def test_a_mosaic_keeps_its_name_when_a_late_observation_shifts_the_median() -> None:
    early = [Seen(61_041.010, 54.64), Seen(61_041.014, 54.64)]
    late = [Seen(61_041.017, 54.9), Seen(61_041.021, 54.9), Seen(61_041.024, 54.9)]
    (before,) = [p for p in planned_mosaics(early, GRID) if p.mid_mjd > 61_041.01]
    assert before.key == "61041.02083+54.6"
    existing = {before.key: set(before.observations)}
    after = planned_mosaics([*early, *late], GRID, existing=existing)
    assert [p.key for p in after if len(p.observations) == 5 and p.mid_mjd < 61_041.03] == [
        "61041.02083+54.6"
    ]
    anew = planned_mosaics([*early, *late], GRID)
    assert "61041.02083+54.9" in by_key(anew)


@given(st.floats(50_000, 70_000), st.floats(-30, 90))
def test_keys_are_read_back(mjd: float, declination_deg: float) -> None:
    key = mosaic_key(mjd, declination_deg)
    read_mjd, read_deg = parse_mosaic_key(key)
    assert abs(read_mjd - mjd) <= 0.6e-5
    assert abs(read_deg - declination_deg) <= 0.051
    assert "-00.0" not in key


@pytest.mark.parametrize(
    "key", ["", "61041.02083", "61041.0208+54.6", "61041.02083+95.0", "../61041.02083+54.6", "x"]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidName):
        parse_mosaic_key(key)


def test_windows_without_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a whole number"):
        WindowGrid(MosaicSettings(slot_s=309.24))
    with pytest.raises(ConfigurationError, match="leave gaps"):
        WindowGrid(MosaicSettings(width=4, step=6))


def test_the_last_gap_of_a_window() -> None:
    start, end = 61_041.0, 61_041.0 + HOUR
    whole = [o.mid_mjd for o in night(12) if start <= o.mid_mjd < end]

    def last_gap(mids: list[float]) -> float | None:
        return end_of_last_gap(mids, start, end, 300.0)

    assert last_gap(whole) is None
    assert last_gap(whole[:5] + whole[6:]) == whole[6]
    assert last_gap(whole[:2] + whole[3:8] + whole[9:]) == whole[9]
    assert last_gap(whole[2:]) == whole[2]
    assert last_gap(whole[:-2]) == end
    assert last_gap([]) == end
    # Another observation fits after the last one, or it doesn't.
    assert last_gap([m - 1.01 * 300 / 86_400 - (whole[-1] - end) for m in whole]) == end
    assert last_gap([m - 0.99 * 300 / 86_400 - (whole[-1] - end) for m in whole]) is None
    # Gaps of 100 s hold no observation.
    assert last_gap([whole[0] - 100 / 86_400, *whole[1:]]) is None
