"""The VLA's own observation of NGC5921 gives the observatory's published figures."""

from pathlib import Path

import pytest

from contimg_resources.calibration.inspection import inspect_caltables
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.demo.ngc5921 import (
    PHASE_FIELD,
    PUBLISHED_RATIO,
    import_ngc5921,
    ngc5921_request,
)
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.observations.calibrators import CalibratorList
from tests.calibration.casa_steps import ApplyRequest, apply_and_average

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def ms(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return casa.run(
        import_ngc5921, tmp_path_factory.mktemp("ngc5921") / "NGC5921.ms", label="import"
    )


@pytest.fixture(scope="module")
def solved(casa: Casa, ms: Path) -> SolveResult:
    return casa.run(
        solve_caltables, ngc5921_request(ms, ms.parent / "tables" / "ngc5921"), label="solve"
    )


def test_the_flux_ratio_is_the_published_one(solved: SolveResult) -> None:
    (transfer,) = solved.flux
    assert transfer.field == PHASE_FIELD
    assert transfer.ratio == pytest.approx(PUBLISHED_RATIO, rel=1e-4)
    # 27 antennas, two polarisations.
    assert transfer.n_solutions == 54


def test_the_set_passes_its_gates_with_every_table_in_place(solved: SolveResult) -> None:
    assert not solved.failed, solved.reasons
    kinds = [t.type for t in solved.tables]
    assert kinds == [
        CaltableType.BA,
        CaltableType.BP,
        CaltableType.GA,
        CaltableType.GP,
        CaltableType.FLUX,
    ]
    assert all(t.path.is_dir() for t in solved.tables)
    leftovers = [p for p in solved.tables[0].path.parent.iterdir() if "writing" in p.name]
    assert leftovers == []
    assert solved.mid_mjd == pytest.approx(49820.39, abs=0.01)
    # The unused row 23 of the ANTENNA table is no dead antenna.
    assert solved.working_antennas == 27
    assert all(t.quality.n_dead_antennas == 0 for t in solved.tables)


def test_the_refant_named_15_is_the_antenna_of_that_name_not_of_that_id(
    casa: Casa, solved: SolveResult
) -> None:
    infos = casa.run(inspect_caltables, [t.path for t in solved.tables], label="inspect")
    assert {i.refant for i in infos} == {"15"}
    assert all(
        i.casa_subtype in t.type.casa_subtypes for i, t in zip(infos, solved.tables, strict=True)
    )


def test_the_applied_tables_put_1445_on_the_flux_scale_of_3c286(
    casa: Casa, ms: Path, solved: SolveResult
) -> None:
    applied = [t.path for t in solved.tables if t.type is not CaltableType.GA]
    mean = casa.run(
        apply_and_average,
        ApplyRequest(ms=ms, tables=applied, field=PHASE_FIELD, channels=[6, 56]),
        label="apply",
    )
    assert mean.real_jy == pytest.approx(solved.flux[0].flux_jy, rel=2e-3)
    assert abs(mean.imaginary_jy) < 2e-3 * mean.real_jy


def test_dsa110s_beam_is_never_put_on_another_telescope(casa: Casa, ms: Path) -> None:
    drift = SolveRequest(
        ms=ms, calibrator=CalibratorList().find("3C286"), prefix=ms.parent / "drift" / "x"
    )
    with pytest.raises(ConfigurationError, match="observed by VLA"):
        casa.run(solve_caltables, drift, label="solve")


def test_the_input_is_untouched(ms: Path, solved: SolveResult) -> None:
    newest = max(p.stat().st_mtime for p in ms.rglob("*") if p.name != "table.lock")
    assert newest < min(t.path.stat().st_mtime for t in solved.tables)
