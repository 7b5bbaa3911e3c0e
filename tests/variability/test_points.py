"""One point a transit, a file a day; a day's update reads that day's measurements alone."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from contimg_resources.core.errors import UnreadableMeasurements
from contimg_resources.settings import VariabilitySettings
from contimg_resources.simulation.meridian import next_transit_mjd
from contimg_resources.variability.cards import draw_plane
from contimg_resources.variability.measuring import measure_variability
from contimg_resources.variability.model import Structure, joined_curves
from contimg_resources.variability.points import (
    gather_day,
    points_path,
    read_points,
    transit_mjd,
    transit_number,
    write_points,
)
from contimg_resources.variability.tables import (
    latest_variability,
    read_variability,
    variability_path,
    write_variability,
)
from tests.photometry import epochs
from tests.variability.curves import light_curves

RA = np.array([180.0, 181.0, 182.0])
DEC = 54.0


def transit_on(day: float) -> float:
    """When the first made-up source passes on a UTC day."""
    return next_transit_mjd(float(RA[0]), DEC, day)


def test_a_passage_is_when_the_source_is_on_the_meridian() -> None:
    for ra_deg in (0.01, 123.4, 359.99):
        for day in (60_676.0, 61_041.5, 64_000.2):
            exact = next_transit_mjd(ra_deg, DEC, day)
            ra = np.array([ra_deg])
            number = transit_number(np.array([exact]), ra)
            assert transit_mjd(number, ra)[0] == pytest.approx(exact, abs=3 / 1440)
            early, late = np.array([exact - 0.4]), np.array([exact + 0.4])
            assert transit_number(early, ra) == transit_number(late, ra) == number


def test_of_mosaics_that_share_a_passage_the_best_counts(tmp_path: Path) -> None:
    middle = transit_on(61_041)
    epochs.write(tmp_path, middle - 0.02, (0.31, 0.1, 0.2), error_jy=5e-3)
    epochs.write(tmp_path, middle, (0.30, 0.1, math.nan), error_jy=2e-3)
    epochs.write(tmp_path, middle + 0.02, (0.32, 0.1, 0.2), error_jy=4e-3)
    points = gather_day(tmp_path, math.floor(middle))
    told = points.columns
    assert told["source_id"].tolist() == ["s0", "s1", "s2"]
    assert told["flux_jy"].tolist() == [0.1, 0.2, 0.30]
    assert told["error_jy"].tolist() == [2e-3, 4e-3, 2e-3], "the middle one has no flux for s1"
    assert told["n_mosaics"].tolist() == [3, 2, 3]
    assert points.n_measurements == 8


def test_equal_errors_take_the_earlier(tmp_path: Path) -> None:
    middle = transit_on(61_041)
    epochs.write(tmp_path, middle + 0.01, (0.5, 0.5, 0.5))
    epochs.write(tmp_path, middle - 0.01, (0.3, 0.3, 0.3))
    assert set(gather_day(tmp_path, math.floor(middle)).columns["flux_jy"]) == {0.3}


def test_a_passage_at_midnight_is_one_point_on_one_day(tmp_path: Path) -> None:
    # The transit comes four minutes earlier every day: at some day it is at midnight.
    noons = (transit_on(d + 0.5) for d in range(61_041, 61_500))
    middle = next(m for m in noons if m % 1 > 0.997)
    day = math.floor(middle)
    epochs.write(tmp_path, middle - 0.01)
    epochs.write(tmp_path, middle + 0.01)
    assert math.floor(middle - 0.01) == day
    assert math.floor(middle + 0.01) == day + 1
    counts = {
        d: gather_day(tmp_path, d).columns["source_id"].tolist() for d in (day - 1, day, day + 1)
    }
    assert sorted(s for found in counts.values() for s in found) == ["s0", "s1", "s2"]


def test_bad_epochs_make_no_point_and_a_day_without_any_no_file(tmp_path: Path) -> None:
    middle = transit_on(61_041)
    day = math.floor(middle)
    epochs.write(tmp_path / "photometry", middle)
    root = tmp_path / "light_curves"
    assert write_points(root, gather_day(tmp_path / "photometry", day)) == points_path(root, day)
    epochs.write(tmp_path / "photometry", middle, ok=False)
    assert write_points(root, gather_day(tmp_path / "photometry", day)) is None
    assert not points_path(root, day).exists()
    assert len(gather_day(tmp_path / "nothing", day)) == 0


def test_day_by_day_equals_all_at_once_and_reads_no_other_day(tmp_path: Path) -> None:
    photometry, one_by_one, at_once = (tmp_path / n for n in ("photometry", "a", "b"))
    days = [math.floor(transit_on(d)) for d in range(61_041, 61_049)]
    random = np.random.default_rng(1)
    for day in days:
        # That of the day before is: a transit may be at midnight.
        old = [p for p in photometry.rglob("*.parquet") if int(p.parent.name) < day - 1]
        files = {p: p.read_bytes() for p in old}
        for path in files:
            path.write_bytes(b"another day's file must not be read")
        epochs.write(photometry, transit_on(day), random.uniform(0.1, 0.4, 3).tolist())
        write_points(one_by_one, gather_day(photometry, day))
        for path, content in files.items():
            path.write_bytes(content)
    for day in reversed(days):
        write_points(at_once, gather_day(photometry, day))
    a, b = read_points(one_by_one), read_points(at_once)
    settings = VariabilitySettings(min_epochs=3)
    for left, right in (
        (a, b),
        (measure_variability(a, settings, days[-1]), measure_variability(b, settings, days[-1])),
    ):
        for name in left.__dataclass_fields__:
            if name != "facts":
                np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    assert a.source_id.tolist() == ["s0", "s1", "s2"]
    assert a.of(1) == slice(8, 16)
    assert np.all(np.diff(a.mid_mjd[a.of(1)]) > 0)


def test_only_the_days_that_are_asked_for(tmp_path: Path) -> None:
    for day in (61_041, 61_042, 61_043):
        epochs.write(tmp_path / "p", transit_on(day))
        write_points(tmp_path / "l", gather_day(tmp_path / "p", math.floor(transit_on(day))))
    some = read_points(tmp_path / "l", start_mjd=61_042, end_mjd=61_043)
    assert {math.floor(t) for t in some.mid_mjd} == {61_042}
    assert len(read_points(tmp_path / "nothing")) == 0


def test_a_day_of_an_earlier_release_is_read_beside_others(tmp_path: Path) -> None:
    for day in (61_041, 61_042):
        epochs.write(tmp_path / "p", transit_on(day))
        write_points(tmp_path / "l", gather_day(tmp_path / "p", math.floor(transit_on(day))))
    now = read_points(tmp_path / "l")
    path = points_path(tmp_path / "l", 61_041)
    table = pq.read_table(path).drop_columns(["integrated_flux_jy", "integrated_error_jy"])
    told = {"schema_version": 1, "day_mjd": 61_041, "epochs": ["61041.02083+54.0"]}
    table = table.rename_columns(
        ["passage_mjd" if name == "transit_mjd" else name for name in table.column_names]
    ).replace_schema_metadata({b"contimg": json.dumps(told).encode()})
    pq.write_table(table, path)
    again = read_points(tmp_path / "l")
    assert again.mid_mjd.tolist() == now.mid_mjd.tolist()
    assert again.flux_jy.tolist() == now.flux_jy.tolist()


def test_damaged_and_newer_files_are_named(tmp_path: Path) -> None:
    epochs.write(tmp_path / "p", transit_on(61_041))
    path = write_points(tmp_path / "l", gather_day(tmp_path / "p", 61_041))
    assert path is not None
    table = pq.read_table(path)
    told = json.dumps({"schema_version": 99})
    pq.write_table(table.replace_schema_metadata({b"contimg": told.encode()}), path)
    with pytest.raises(UnreadableMeasurements, match=r"61041\.parquet was written by a newer"):
        read_points(tmp_path / "l")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableMeasurements, match=r"61041\.parquet holds no light curves"):
        read_points(tmp_path / "l")


def test_measures_come_back_as_they_were_written_and_are_drawn(tmp_path: Path) -> None:
    for day in range(61_041, 61_053):
        epochs.write(tmp_path / "p", transit_on(day))
        write_points(tmp_path / "l", gather_day(tmp_path / "p", math.floor(transit_on(day))))
    table = measure_variability(read_points(tmp_path / "l"), VariabilitySettings(), 61_052)
    assert latest_variability(tmp_path) is None
    write_variability(variability_path(tmp_path, 61_052), table, Structure.empty())
    write_variability(variability_path(tmp_path, 61_051), table, Structure.empty())
    path = latest_variability(tmp_path)
    assert path == tmp_path / "61052.parquet"
    again = read_variability(path)
    for name in table.__dataclass_fields__:
        if name != "facts":
            np.testing.assert_array_equal(getattr(again, name), getattr(table, name))
    assert again.facts.n_references == table.facts.n_references
    draw_plane(tmp_path / "plane.png", table)
    assert (tmp_path / "plane.png").stat().st_size > 10_000
    path.write_bytes(b"nothing")
    with pytest.raises(UnreadableMeasurements, match="holds no variability metrics"):
        read_variability(path)


def test_light_curves_of_several_lists_are_joined_by_source() -> None:
    one = light_curves([[1.0, 2.0], [3.0]])
    other = replace(light_curves([[9.0], [4.0, 5.0, 6.0]]), source_id=np.array(["a:x", "s001"]))
    joined = joined_curves([one, other])
    assert joined.source_id.tolist() == ["a:x", "s000", "s001"]
    assert joined.offsets.tolist() == [0, 1, 3, 4]
    assert joined.flux_jy.tolist() == [9.0, 1.0, 2.0, 3.0], "of s001 the first counts"
    assert joined.ra_deg[0] == other.ra_deg[0]
    assert joined_curves([one]) is one
