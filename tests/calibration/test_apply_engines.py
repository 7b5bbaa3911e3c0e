"""Applied in memory or by CASA, the tables give the same flags, weights and values."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.ms.layout import read_origin
from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.demo.ngc5921 import import_ngc5921, ngc5921_request
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import CalibrationSettings
from tests.calibration.corner_steps import (
    Shift,
    corner_tables,
    shift_channels,
    weights_of_corrected_data,
)
from tests.calibration.engine_steps import Difference, Pair, difference, spoil_tables
from tests.conftest import TinyNight

Tables = tuple[TableToApply, ...]


def tables_of(request: SolveRequest, casa: Casa) -> Tables:
    solved = casa.run(solve_caltables, request, label="solve")
    return tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables)


@pytest.fixture(scope="module")
def tables(casa: Casa, tiny_night: TinyNight, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """A whole set, with windows in another order than those of the targets."""
    prefix = tmp_path_factory.mktemp("set") / "3C48"
    calibrator = CalibratorList().find("3C48")
    return tables_of(SolveRequest(tiny_night.calibrator, calibrator, prefix), casa)


def compare(casa: Casa, request: ApplyRequest) -> Difference:
    """Apply with both engines, and compare."""
    outputs = {}
    for engine in ("fast", "casa"):
        output = request.output.with_name(f"{engine}_{request.output.name}")
        casa.run(
            write_calibrated_ms,
            replace(request, settings=CalibrationSettings(engine=engine), output=output),
            label=engine,
        )
        outputs[engine] = output
    return casa.run(difference, Pair(outputs["fast"], outputs["casa"]), label="compare")


def assert_equal(found: Difference) -> None:
    assert found.n_rows > 1000
    assert found.n_flags_differ == 0
    assert found.data < 1e-5
    assert found.weight < 1e-5
    assert found.uvw_m < 1e-6


def test_a_whole_set_at_one_phase_centre(
    casa: Casa, tiny_night: TinyNight, tables: Tables, tmp_path: Path
) -> None:
    # The calibrator's own observation: its times lie between those of the short gains.
    request = ApplyRequest(tiny_night.calibrator, tables, tmp_path / "x.ms", flag_rfi=False)
    assert_equal(compare(casa, request))


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_flagged_solutions_of_every_kind(
    casa: Casa, tiny_night: TinyNight, tables: Tables, tmp_path: Path, interpolation: str
) -> None:
    copies = []
    for table in tables:
        path = tmp_path / table.path.name
        shutil.copytree(table.path, path)
        copies.append(replace(table, path=path, interpolation_time=interpolation))
    casa.run(spoil_tables, [t.path for t in copies], label="spoil")
    request = ApplyRequest(
        tiny_night.calibrator, tuple(copies), tmp_path / "x.ms", flag_rfi=False, shift=False
    )
    found = compare(casa, request)
    assert found.n_flagged > 10_000
    assert_equal(found)


@pytest.fixture
def copies(tables: Tables, tmp_path: Path) -> Tables:
    """Copies that a test may spoil."""
    for table in tables:
        shutil.copytree(table.path, tmp_path / table.path.name)
    return tuple(replace(t, path=tmp_path / t.path.name) for t in tables)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_missing_rows_zeros_amplitudes_and_old_weights(
    casa: Casa, tiny_night: TinyNight, copies: Tables, tmp_path: Path, interpolation: str
) -> None:
    casa.run(corner_tables, [t.path for t in copies], label="spoil")
    ms = tmp_path / "weights.ms"
    shutil.copytree(tiny_night.calibrator, ms)
    casa.run(weights_of_corrected_data, ms, label="spoil")
    spoiled = tuple(replace(t, interpolation_time=interpolation) for t in copies)
    for engine in ("fast", "casa"):
        request = ApplyRequest(
            ms,
            spoiled,
            tmp_path / f"{engine}.ms",
            flag_rfi=False,
            shift=False,
            settings=CalibrationSettings(engine=engine),
        )
        casa.run(write_calibrated_ms, request, label=engine)
    assert casa.run(read_origin, tmp_path / "fast.ms", label="origin")["engine"] == "fast"
    found = casa.run(difference, Pair(tmp_path / "fast.ms", tmp_path / "casa.ms"), label="compare")
    assert found.n_flagged > 50_000
    assert found.n_flags_differ == 0
    assert found.data < 1e-5
    assert found.weight < 1e-5


@pytest.mark.parametrize("why", ["channels are filled in", "other channels"])
def test_what_memory_cannot_do_is_done_by_casa_and_said(
    casa: Casa, tiny_night: TinyNight, copies: Tables, tmp_path: Path, why: str
) -> None:
    (bandpass,) = (t for t in copies if t.path.name.endswith("_bacal"))
    if why == "other channels":
        casa.run(shift_channels, Shift(bandpass.path, 5e5), label="spoil")
    else:
        bandpass = replace(bandpass, interpolation_frequency="linear")
    request = ApplyRequest(
        tiny_night.calibrator, (bandpass,), tmp_path / "x.ms", flag_rfi=False, shift=False
    )
    casa.run(write_calibrated_ms, request, label="apply")
    assert casa.run(read_origin, tmp_path / "x.ms", label="origin")["engine"] == "casa"


@pytest.mark.realdata
def test_real_data_of_the_vla(casa: Casa, tmp_path: Path) -> None:
    ms = casa.run(import_ngc5921, tmp_path / "NGC5921.ms", label="import")
    solve = ngc5921_request(ms, tmp_path / "tables" / "ngc5921")
    tables = tuple(t for t in tables_of(solve, casa) if t.type is not CaltableType.GA)
    request = ApplyRequest(ms, tables, tmp_path / "x.ms", flag_rfi=False, shift=False)
    assert_equal(compare(casa, request))
