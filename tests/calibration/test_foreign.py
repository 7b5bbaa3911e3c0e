"""An MS written by pyuvdata goes through the engines in memory, whatever is odd about it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.ms.layout import read_origin
from contimg_resources.calibration.ms.visibility_loops import average
from contimg_resources.calibration.solve.model import SolveRequest, SolveResult
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.core.checksums import stat_signature
from contimg_resources.core.errors import ImagingFailed, UnreadableObservation
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.instrument.caltables import names_fit
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import CalibrationSettings, ImagingSettings
from tests.calibration import foreign
from tests.calibration.engine_steps import Pair, difference
from tests.calibration.foreign_steps import Handed, hand_on_and_compare, mean_amplitude_jy
from tests.conftest import TinyNight

#: 9 antennas, 2 windows, 6 integrations.
N_ROWS = 36 * 2 * 6
#: Weights that rise along the channels of a window, and differ between its correlations.
SLOPE = np.linspace(0.3, 2, 4)[:, None] * np.array([1.0, 3.0])


@pytest.fixture(scope="module")
def written(tiny_night: TinyNight, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the part of the calibrator's transit that pyuvdata wrote; only read."""
    path: Path = tmp_path_factory.mktemp("pyuvdata") / "2025-10-06T08:28:42.ms"
    foreign.write_by_pyuvdata(tiny_night.calibrator, path)
    return path


@pytest.fixture(scope="module")
def solved(casa: Casa, written: Path, tmp_path_factory: pytest.TempPathFactory) -> SolveResult:
    prefix = tmp_path_factory.mktemp("set") / "3C48"
    request = SolveRequest(written, CalibratorList().find("3C48"), prefix)
    return casa.run(solve_caltables, request, label="solve")


@pytest.fixture
def ms(written: Path, tmp_path: Path) -> Path:
    """Give a copy that a test may change."""
    copy: Path = shutil.copytree(written, tmp_path / "in" / written.name)
    return copy


Apply = Callable[..., ApplyResult]


@pytest.fixture
def apply(casa: Casa, solved: SolveResult, tmp_path: Path) -> Apply:
    def applied(ms: Path, engine: str = "fast") -> ApplyResult:
        tables = tuple(TableToApply(t.path, t.type, t.type.apply_order) for t in solved.tables)
        output = tmp_path / f"{ms.parent.name}_{engine}.ms"
        request = ApplyRequest(
            ms, tables, output, flag_rfi=False, settings=CalibrationSettings(engine=engine)
        )
        result = casa.run(write_calibrated_ms, request, label="apply")
        assert casa.run(read_origin, output, label="origin")["engine"] == engine
        return result

    return applied


def columns(ms: Path, *names: str) -> tuple[Any, ...]:
    with foreign.opened(ms) as table:
        return tuple(table.getcol(name) for name in names)


def test_it_is_solved_in_memory_and_left_alone(written: Path, solved: SolveResult) -> None:
    # What makes it odd is there: these rows are known to the lock files alone.
    rows = foreign.rows_in_table_dat(written)
    assert (rows["DATA_DESCRIPTION"], rows["POLARIZATION"], rows["PROCESSOR"]) == (0, 0, 0)
    assert solved.parameters["engine"] == "fast"
    assert solved.reasons == ()
    assert len(solved.layout.antenna_names) == foreign.N_ANTENNAS
    assert len(solved.layout.spectral_windows_hz) == 2


def test_what_is_written_is_whole_without_lock_files_and_in_jy(
    written: Path, solved: SolveResult, apply: Apply
) -> None:
    before = stat_signature(written)
    made = apply(written)
    assert stat_signature(written) == before
    rows = foreign.rows_in_table_dat(made.ms)
    assert (rows["DATA_DESCRIPTION"], rows["POLARIZATION"], rows["ANTENNA"]) == (2, 1, 24)
    with foreign.opened(made.ms) as table:
        assert table.getcolkeyword("DATA", "QuantumUnits") == ["Jy"]
        assert table.nrows() == N_ROWS
    assert solved.tables
    for caltable in solved.tables:
        locked = {p.parent.name: p.stat().st_size for p in caltable.path.glob("*/table.lock")}
        assert foreign.rows_in_table_dat(caltable.path)["SPECTRAL_WINDOW"] == 2, locked


def test_weights_that_vary_along_the_channels_are_kept(
    casa: Casa, written: Path, ms: Path, apply: Apply
) -> None:
    plain = apply(written)
    foreign.put_spectrum(ms, SLOPE)
    made = apply(ms)
    grown = columns(plain.ms, "WEIGHT")[0] / columns(written, "WEIGHT")[0]
    spectrum, weight, sigma = columns(made.ms, "WEIGHT_SPECTRUM", "WEIGHT", "SIGMA")
    expected = columns(ms, "WEIGHT_SPECTRUM")[0] * grown[:, None, :]
    assert spectrum == pytest.approx(expected, rel=1e-5)
    assert weight == pytest.approx(expected.mean(axis=1), rel=1e-5)
    assert sigma == pytest.approx(expected.mean(axis=1) ** -0.5, rel=1e-5)
    # Averaged while they are in memory, or read again: the same weights.
    found: Handed = casa.run(hand_on_and_compare, made.ms, label="compare")
    assert found.most < 1e-5
    hands = np.mean(expected, axis=2)
    assert found.sum_of_weights == pytest.approx(hands.sum(), rel=1e-4)


def test_weights_that_are_the_same_along_the_channels_stand_in_weight(
    written: Path, apply: Apply
) -> None:
    with foreign.opened(apply(written).ms) as table:
        assert "WEIGHT_SPECTRUM" not in table.colnames()


def test_a_solver_averages_with_the_weights_of_channels() -> None:
    data = np.array([[[1 + 0j], [5 + 0j]]], np.complex64)
    sums, weights = np.zeros((1, 1, 1, 1), np.complex128), np.zeros((1, 1, 1, 1))
    one = np.zeros(1, np.int64)
    average(
        data,
        np.zeros(data.shape, bool),
        np.array([[[1.0], [3.0]]], np.float32),
        one,
        np.array([0, 1]),
        one,
        one,
        one,
        one,
        one,
        np.zeros(2, np.int64),
        np.zeros((1, 2), np.int64),
        np.ones((1, 1, 2, 2), np.complex64),
        np.zeros((1, 1, 2, 2), bool),
        np.ones((1, 1, 2), np.float32),
        np.ones((1, 2), np.float32),
        np.zeros((0, 0), np.complex64),
        sums,
        np.zeros((0, 0, 0, 0), np.complex128),
        weights,
    )
    assert weights.ravel().tolist() == [4.0]
    assert sums.ravel().tolist() == [1 * 1 + 3 * 5]


def test_of_rows_that_repeat_the_first_counts_that_is_not_flagged(
    written: Path, ms: Path, apply: Apply
) -> None:
    foreign.repeat_rows(ms, np.arange(N_ROWS))
    flag, data = columns(ms, "FLAG", "DATA")
    # Of some the first copy is flagged altogether, of others the second holds something else.
    flag[:100] = True
    data[N_ROWS + 100 :] *= 7
    foreign.put(ms, FLAG=flag, DATA=data)
    made, plain = apply(ms), apply(written)
    assert made.n_rows == N_ROWS
    assert made.flagged_fraction == 0
    order = np.argsort(np.r_[np.arange(100) + N_ROWS, np.arange(100, N_ROWS)])
    assert columns(made.ms, "DATA")[0] == pytest.approx(columns(plain.ms, "DATA")[0][order])


def test_weight_counts_beside_a_sigma_that_says_nothing(
    written: Path, ms: Path, apply: Apply
) -> None:
    foreign.without_spectrum(ms)
    sigma, weight = columns(ms, "SIGMA", "WEIGHT")
    sigma[::3], sigma[1::3], sigma[2::3] = -1, 0, np.nan
    weight[5], weight[7], weight[9, 0] = 0, np.nan, -3
    foreign.put(ms, SIGMA=sigma, WEIGHT=weight)
    made = apply(ms)
    assert made.input_flagged_fraction == pytest.approx(2.5 / N_ROWS)
    expected = columns(apply(written).ms, "WEIGHT")[0]
    found, flag = columns(made.ms, "WEIGHT", "FLAG")
    expected[5], expected[7], expected[9, 0] = 0, 0, 0
    assert found == pytest.approx(expected, rel=1e-5)
    assert (flag.all(axis=1) == (expected == 0)).all()


def test_what_no_data_refer_to_plays_no_part(written: Path, ms: Path, apply: Apply) -> None:
    foreign.add_unused_window(ms)
    foreign.add_blank_antennas(ms, 2)
    made, plain = apply(ms), apply(written)
    for name in ("DATA", "FLAG", "WEIGHT"):
        assert np.array_equal(columns(made.ms, name)[0], columns(plain.ms, name)[0])


def test_data_in_mjy_are_turned_into_jy(written: Path, ms: Path, apply: Apply) -> None:
    foreign.put(ms, DATA=1e3 * columns(ms, "DATA")[0])
    foreign.put_spectrum(ms, 1e-6)
    foreign.state_unit(ms, "mJy")
    made, plain = apply(ms), apply(written)
    for name in ("DATA", "WEIGHT"):
        assert columns(made.ms, name)[0] == pytest.approx(columns(plain.ms, name)[0], rel=1e-5)


def test_an_image_takes_calibrated_data_in_the_unit_that_they_state(
    casa: Casa, written: Path, apply: Apply, tmp_path: Path
) -> None:
    made = apply(written).ms
    in_jy = casa.run(mean_amplitude_jy, made, label="read")
    foreign.state_unit(made, "mJy")
    assert casa.run(mean_amplitude_jy, made, label="read") == pytest.approx(1e-3 * in_jy)
    request = ImageRequest(
        made, tmp_path / "image", "t", ImagingSettings(engine="casa", sub_bands=0)
    )
    with pytest.raises(
        ImagingFailed, match=r"DATA is in mJy, which the engine 'casa' assumes to be in Jy"
    ):
        casa.run(make_image, request, label="image")
    foreign.state_unit(made, "K")
    with pytest.raises(UnreadableObservation, match=r"DATA is in K; visibilities in Jy"):
        casa.run(mean_amplitude_jy, made, label="read")


def make_a_mess(ms: Path) -> None:
    foreign.put_spectrum(ms, SLOPE * 1e-6)
    foreign.put(ms, DATA=1e3 * columns(ms, "DATA")[0], SIGMA=-1)
    spectrum = columns(ms, "WEIGHT_SPECTRUM")[0]
    spectrum[20:30, 1] = 0
    foreign.put(ms, WEIGHT_SPECTRUM=spectrum)
    foreign.state_unit(ms, "mJy")
    foreign.repeat_rows(ms, np.arange(50, 90))
    foreign.add_unused_window(ms)
    foreign.remove_subtables(ms, "PROCESSOR", "STATE", "FEED", "POINTING", "SOURCE")


def test_casas_tasks_do_the_same_with_all_of_it_at_once(casa: Casa, ms: Path, apply: Apply) -> None:
    make_a_mess(ms)
    fast, by_casa = apply(ms), apply(ms, "casa")
    assert fast.n_rows == by_casa.n_rows == N_ROWS
    found = casa.run(difference, Pair(fast.ms, by_casa.ms), label="compare")
    assert (found.n_flagged, found.n_flags_differ) == (20, 0)
    assert found.data < 1e-5


def test_it_is_solved_without_feeds_and_with_all_of_it_at_once(
    casa: Casa, ms: Path, solved: SolveResult, tmp_path: Path
) -> None:
    make_a_mess(ms)
    request = SolveRequest(ms, CalibratorList().find("3C48"), tmp_path / "x")
    made = casa.run(solve_caltables, request, label="solve")
    assert made.parameters["engine"] == "fast"
    assert made.reasons == ()
    assert made.layout == solved.layout


def test_an_error_names_the_ms_that_arrived(ms: Path, apply: Apply) -> None:
    foreign.put(ms, FLAG=True)
    with pytest.raises(UnreadableObservation) as raised:
        apply(ms, "casa")
    assert raised.value.message.startswith(f"{ms} has no unflagged data on any baseline")


def test_antennas_without_a_name_fit_any() -> None:
    assert names_fit(["1", "2", "3"], ["1", "", "3", ""])
    assert names_fit(["1", "2"], ["1", "2", "", "9"])
    assert not names_fit(["1", "2", "3"], ["1", "3", "2"])
    assert not names_fit(["1", "2"], ["3", "4"])
