"""A calibrated MS is a new, whole MS in which every effect was taken out once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.calibration.apply.by_casa import named_plainly
from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.calibration.ms.callib import Band, TableToApply, callib_text, map_windows
from contimg_resources.casa import Casa
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import CasaError, ConfigurationError, UnreadableObservation
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.settings import CalibrationSettings, ImagingSettings
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import GainSpec, SimulationSpec, Size, SkySpec
from tests.calibration.apply_steps import (
    Corruption,
    Pair,
    Spoil,
    apply_with_a_task_that_does_nothing,
    describe,
    spoil,
    worst_difference,
    write_tables,
)

START_MJD = 60954.6


def spec(seed: int, **changes: Any) -> SimulationSpec:
    made = SimulationSpec.of_size(Size.TINY, START_MJD, 33.0, seed=seed)
    return replace(made, gains=GainSpec.perfect(), sky=SkySpec(calibrators=False), **changes)


@pytest.fixture(scope="module")
def ms(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    request = SimulationRequest(
        spec(1, autocorrelations=True, dead_antennas=("20",)), tmp_path_factory.mktemp("a target")
    )
    return casa.run(simulate_observation, request, label="simulate").ms


@pytest.fixture(scope="module")
def tables(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> tuple[TableToApply, ...]:
    """Tables of another observation, whose windows come in another order."""
    root = tmp_path_factory.mktemp("calibrator")
    request = SimulationRequest(spec(2, n_integrations=2), root)
    calibrator = casa.run(simulate_observation, request, label="simulate").ms
    k, g = casa.run(write_tables, Corruption(calibrator, root / "tables"), label="tables")
    # Given in the wrong order: `order` decides.
    return (TableToApply(g, CaltableType.GA, 40), TableToApply(k, CaltableType.K, 10))


@pytest.fixture(scope="module")
def applied(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ApplyResult, str]:
    before = content_checksum(ms)
    output = tmp_path_factory.mktemp("calibrated") / "day" / "x_cal.ms"
    request = ApplyRequest(ms=ms, tables=tables, output=output, provenance={"caltable_set": "x"})
    return casa.run(write_calibrated_ms, request, label="apply"), before


@pytest.mark.parametrize("engine", ["fast", "casa"])
def test_delays_and_gains_are_taken_out_window_by_window_in_frequency(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path, engine: str
) -> None:
    request = ApplyRequest(
        ms,
        tables,
        tmp_path / "x_cal.ms",
        shift=False,
        flag_rfi=False,
        settings=CalibrationSettings(engine=engine),
    )
    result = casa.run(write_calibrated_ms, request, label="apply")
    known = tables[0].path.parent / "known.npz"
    worst = casa.run(worst_difference, Pair(ms, result.ms, known), label="compare")
    assert worst.windows == 16
    assert worst.data < 1e-5
    assert worst.weight < 1e-5, "an antenna that needed a large gain counts for less"
    assert result.phase_center_deg is None


def test_the_input_is_untouched(applied: tuple[ApplyResult, str], ms: Path) -> None:
    _, before = applied
    assert content_checksum(ms) == before


def test_the_fields_share_one_phase_centre_and_remember_where_they_pointed(
    casa: Casa, applied: tuple[ApplyResult, str]
) -> None:
    result, _ = applied
    facts = casa.run(describe, result.ms, label="describe")
    assert facts.n_fields == 24, "flagging across fields leaves them as they were"
    assert facts.phase_spread_arcsec < 1e-3
    assert facts.pointing_spread_deg == pytest.approx(23 * 12.884902 / 3600 * 15.041, rel=1e-3)
    assert "CORRECTED_DATA" not in facts.columns
    assert facts.origin["caltable_set"] == "x"
    assert [Path(t).name for t in facts.origin["caltables"]] == ["x_kcal", "x_gacal"]


def test_flags_are_counted_over_working_antennas(applied: tuple[ApplyResult, str]) -> None:
    result, _ = applied
    assert "20" not in result.working_antennas
    assert len(result.working_antennas) == 23
    assert result.n_rows == 276 * 24 * 16, "autocorrelations stay behind"
    assert result.applied_flagged_fraction == 0, "the dead antenna's zeros don't count"
    assert result.flagged_fraction < 0.005, "noise and sources are not interference"


@pytest.mark.parametrize("engine", ["fast", "casa"])
def test_interference_goes_and_little_else(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path, engine: str
) -> None:
    dirty = casa.run(spoil, Spoil(ms, tmp_path / "dirty.ms", "interference"), label="spoil")
    request = ApplyRequest(
        dirty, tables, tmp_path / "x_cal.ms", settings=CalibrationSettings(engine=engine)
    )
    result = casa.run(write_calibrated_ms, request, label="apply")
    facts = casa.run(describe, result.ms, label="describe")
    assert facts.hit > 0.95
    assert facts.lost < 0.02
    assert 0.04 < result.rfi_flagged_fraction < 0.09


def test_values_that_are_no_numbers_are_flagged(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    spoiled = casa.run(spoil, Spoil(ms, tmp_path / "nan.ms", "nan"), label="spoil")
    request = ApplyRequest(spoiled, tables, tmp_path / "x_cal.ms", flag_rfi=False)
    result = casa.run(write_calibrated_ms, request, label="apply")
    assert result.applied_flagged_fraction == pytest.approx(1 / 24, rel=1e-3)


def test_too_many_flags_are_an_error_and_leave_nothing(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    spoiled = casa.run(spoil, Spoil(ms, tmp_path / "nan.ms", "nan"), label="spoil")
    output = tmp_path / "out" / "x_cal.ms"
    request = ApplyRequest(
        spoiled, tables, output, imaging=ImagingSettings(max_flagged_fraction=0.03)
    )
    with pytest.raises(CasaError, match=r"4\.2% of the data of working antennas is flagged"):
        casa.run(write_calibrated_ms, request, label="apply")
    assert list(output.parent.iterdir()) == []


def test_an_ms_that_is_all_flagged_is_refused(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    spoiled = casa.run(spoil, Spoil(ms, tmp_path / "flagged.ms", "flagged"), label="spoil")
    request = ApplyRequest(spoiled, tables, tmp_path / "x_cal.ms")
    with pytest.raises(UnreadableObservation, match="no unflagged data"):
        casa.run(write_calibrated_ms, request, label="apply")


def test_data_are_never_passed_on_as_calibrated_without_tables(
    casa: Casa, ms: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="no caltables"):
        casa.run(write_calibrated_ms, ApplyRequest(ms, (), tmp_path / "x_cal.ms"), label="apply")


def test_a_task_that_only_pretends_is_found_out_and_the_old_product_stays(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    output = tmp_path / "x_cal.ms"
    output.mkdir()
    (output / "older").touch()
    with pytest.raises(CasaError, match="applied none of 2 caltables"):
        casa.run(
            apply_with_a_task_that_does_nothing,
            ApplyRequest(ms, tables, output, settings=CalibrationSettings(engine="casa")),
            label="apply",
        )
    assert [p.name for p in tmp_path.iterdir()] == ["x_cal.ms"]
    assert (output / "older").exists()


def test_a_missing_table_is_named(
    casa: Casa, ms: Path, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    gone = replace(tables[0], path=tmp_path / "gone_gacal")
    with pytest.raises(CasaError, match="gone_gacal is not there"):
        casa.run(write_calibrated_ms, ApplyRequest(ms, (gone,), tmp_path / "y.ms"), label="apply")


def test_a_table_of_other_antennas_is_refused(
    casa: Casa, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    other = spec(1, n_integrations=2)
    other = replace(other, antennas=(*other.antennas[1:], "50"))
    simulated = casa.run(simulate_observation, SimulationRequest(other, tmp_path), label="simulate")
    request = ApplyRequest(simulated.ms, tables, tmp_path / "x_cal.ms")
    with pytest.raises(CasaError, match="other antennas"):
        casa.run(write_calibrated_ms, request, label="apply")


def test_something_that_is_no_ms_is_refused(
    casa: Casa, tables: tuple[TableToApply, ...], tmp_path: Path
) -> None:
    request = ApplyRequest(tmp_path, tables, tmp_path / "x_cal.ms")
    with pytest.raises(UnreadableObservation, match="no MeasurementSet"):
        casa.run(write_calibrated_ms, request, label="apply")


def test_windows_meet_by_frequency_whatever_their_order() -> None:
    target = [Band(0, 1.40e9, 1.41e9), Band(1, 1.38e9, 1.39e9), Band(2, 1.39e9, 1.40e9)]
    table = [Band(0, 1.39e9, 1.40e9), Band(1, 1.40e9, 1.41e9), Band(2, 1.38e9, 1.39e9)]
    assert map_windows(target, table, Path("t")) == [1, 2, 0]


def test_a_window_without_solutions_is_named_by_its_frequency() -> None:
    with pytest.raises(CasaError, match=r"no solutions at 1405\.000 MHz.*1380\.000-1390\.000"):
        map_windows([Band(0, 1.40e9, 1.41e9)], [Band(0, 1.38e9, 1.39e9)], Path("t"))


def test_the_library_is_in_apply_order_and_refuses_a_quote_in_a_path() -> None:
    k = TableToApply(Path("/c/x_kcal"), CaltableType.K, 10)
    g = TableToApply(Path("/c/x_gacal"), CaltableType.GA, 40, gain_field="3C48")
    first, second = callib_text([(g, [0]), (k, [0])]).splitlines()
    assert first.startswith("caltable='/c/x_kcal' calwt=True tinterp='linear'")
    assert second.endswith("fldmap='3C48' spwmap=[0]")
    with pytest.raises(CasaError, match="quote"):
        callib_text([(TableToApply(Path("/it's"), CaltableType.K, 10), [0])])


def test_a_path_that_a_library_can_not_hold_is_replaced_by_a_copy(tmp_path: Path) -> None:
    tables = []
    for name in ("plain#?.b", "John's, and a blank.k"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.dat").write_text(name)
        tables.append(TableToApply(tmp_path / name, CaltableType.K, 10))
    with named_plainly(tables) as (plain, copied):
        assert plain == tables[0]
        assert not set(str(copied.path)) & set(" ,'")
        assert (copied.path / "table.dat").read_text() == "John's, and a blank.k"
    assert not copied.path.exists()
