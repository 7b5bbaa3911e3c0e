"""What a run of the benchmark tells, and what it keeps of an earlier one."""

from dataclasses import replace

from benchmarks.measure import Measured, Result
from benchmarks.overhead import Overhead
from benchmarks.report import BenchReport, Growth, Stage, page, table_rows


def _result(name: str, ours_s: tuple[float, ...], peers_s: tuple[float, ...]) -> Result:
    return Result(
        name,
        f"peer of {name}",
        10,
        tuple(Measured(s, 1.0) for s in ours_s),
        tuple(Measured(s, 2.0) for s in peers_s),
    )


BEFORE = BenchReport(
    size="full",
    n_visibilities=168_000_000,
    machine="2 cores",
    software={"contimg": "0.1.0"},
    results=(_result("path", (20.0,), (100.0,)), _result("solve", (50.0,), (600.0,))),
    overhead=Overhead((10.0, 12.0), (7.0, 8.0)),
    stages=(Stage("apply", "reading", 3.0),),
    growth=(Growth("antennas", 96, 168_000_000, 8.0, 9.0),),
    notes=(),
)


def test_medians_decide_and_a_missed_goal_is_told() -> None:
    (row,) = table_rows((_result("path", (9.0, 30.0, 10.0), (101.0, 99.0, 100.0)),))
    assert row == ("path", "10.0", "peer of path", "100.0", "10.0", "10", "1.00", "3")
    assert table_rows(BEFORE.results)[0][5] == "10 (missed)"


def test_what_is_not_measured_again_stays() -> None:
    now = replace(
        BEFORE, results=(_result("path", (10.0, 11.0), (120.0, 121.0)),), overhead=None, growth=()
    )
    both = now.completed(BEFORE)
    assert [(r.name, len(r.ours)) for r in both.results] == [("path", 2), ("solve", 1)]
    assert (both.overhead, both.growth) == (BEFORE.overhead, BEFORE.growth)
    told = page(both, "x.png")
    assert "| path | 10.5 | peer of path | 120.5 | 11.5 | 10 | 1.00 | 2 |" in told
    assert "adds 3.5 s" in told


def test_another_machine_or_software_adds_nothing() -> None:
    now = replace(BEFORE, results=(), overhead=None)
    for changed in ({"machine": "4 cores"}, {"software": {"contimg": "0.2.0"}}, {"size": "tiny"}):
        assert now.completed(replace(BEFORE, **changed)) == now
