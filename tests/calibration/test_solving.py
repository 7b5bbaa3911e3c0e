"""A drift scan over 3C286 gives back the gains that corrupted it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.inspection import inspect_caltables
from contimg_resources.calibration.solve.model import SolveResult
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Casa
from contimg_resources.core.errors import (
    CalibrationFailed,
    ConfigurationError,
    UnreadableObservation,
)
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.simulation.spec import RfiSpec, SkySpec
from contimg_resources.simulation.truth import Truth
from tests.calibration.casa_steps import (
    DumpRequest,
    Recovery,
    RecoveryRequest,
    SpoilRequest,
    dump_solutions,
    measure_recovery,
    spoil_with_nan,
)
from tests.calibration.transit import TABLES, request, simulate, transit_spec


@pytest.fixture(scope="module")
def ms(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(casa, transit_spec(), tmp_path_factory.mktemp("transit"))


@pytest.fixture(scope="module")
def solved(casa: Casa, ms: Path) -> SolveResult:
    plots = ms.parent / "plots"
    return casa.run(solve_caltables, replace(request(ms), plots=plots), label="solve")


@pytest.fixture(scope="module")
def paths(solved: SolveResult) -> dict[str, Path]:
    return {t.type.value: t.path for t in solved.tables}


@pytest.fixture(scope="module")
def left(casa: Casa, ms: Path, paths: dict[str, Path]) -> dict[str, Recovery]:
    """What is left of the true gains after applying different choices of tables."""
    choices = {
        "all": TABLES,
        "without 2G": TABLES[:-1],
        "without K": ("BA", "BP", "GA", "GP"),
        "amplitudes": ("BA", "GA"),
        "phases": ("K", "BP", "GP"),
        "GA only": ("GA",),
        "without BP": ("K", "BA", "GA", "GP"),
    }
    lists = [[paths[kind] for kind in kinds] for kinds in choices.values()]
    found = casa.run(measure_recovery, RecoveryRequest(ms, lists), label="recovery")
    return dict(zip(choices, found, strict=True))


@pytest.fixture(scope="module")
def arrays(casa: Casa, ms: Path, paths: dict[str, Path]) -> dict[str, np.ndarray]:
    npz = casa.run(dump_solutions, DumpRequest(paths, ms.parent / "dump.npz"), label="dump")
    with np.load(npz) as stored:
        return dict(stored)


def noise(solved: SolveResult, *kinds: str) -> float:
    """Relative error of one component of a baseline's gain, from the tables' own SNR."""
    snr = {t.type.value: t.quality.median_snr for t in solved.tables}
    return float(np.sqrt(sum(1 / (snr[k] or np.inf) ** 2 for k in kinds)))


def test_the_set_is_good_and_complete(solved: SolveResult) -> None:
    assert not solved.failed, solved.reasons
    assert [t.type.value for t in solved.tables] == list(TABLES)
    assert all(t.quality.flagged_fraction < 0.01 for t in solved.tables)
    assert solved.working_antennas == 22
    assert all(t.quality.n_dead_antennas == 0 for t in solved.tables)
    # tfcrop and rflag leave clean noise alone.
    assert solved.flagged_fraction < 0.001


def test_the_tables_say_which_ms_they_are_of_and_where_the_telescope_pointed(
    casa: Casa, ms: Path, solved: SolveResult
) -> None:
    infos = casa.run(inspect_caltables, [t.path for t in solved.tables], label="inspect")
    assert {info.source_ms for info in infos} == {ms.name}
    # 3C286, to which the data were brought, lies elsewhere.
    declinations = {round(field.dec_deg or 0, 4) for info in infos for field in info.fields}
    assert declinations == {round(solved.declination_deg or 0, 4)}
    assert [info.quality for info in infos] == [t.quality for t in solved.tables]


def test_the_product_of_all_tables_is_the_corrupting_gain_within_the_noise(
    solved: SolveResult, left: dict[str, Recovery]
) -> None:
    expected = noise(solved, "BA", "2G")
    assert left["all"].amplitude_scatter < 1.2 * expected
    assert np.radians(left["all"].phase_scatter_deg) < 1.2 * expected
    assert left["all"].worst < 6 * expected
    # The flux scale: 3C286 times the primary beam was the model; the other sources in the field
    # are not in it and bias the amplitudes by a few parts in a thousand.
    assert abs(left["all"].amplitude_bias) < 0.004


def test_amplitudes_and_phases_are_each_applied_once(
    solved: SolveResult, left: dict[str, Recovery]
) -> None:
    expected = noise(solved, "BA", "GA")
    assert left["amplitudes"].amplitude_scatter < 1.2 * expected
    assert abs(left["amplitudes"].amplitude_bias) < 0.004
    # Random antenna phases are all still there...
    assert left["amplitudes"].phase_scatter_deg > 90
    # ...and the phase tables take them out and leave the amplitudes alone.
    assert left["phases"].phase_scatter_deg < 2
    assert left["phases"].amplitude_scatter > 0.2


def test_every_table_takes_out_its_own_effect(left: dict[str, Recovery]) -> None:
    assert left["without K"].phase_scatter_deg > 2 * left["without 2G"].phase_scatter_deg
    assert left["without BP"].phase_scatter_deg > 1.1 * left["without 2G"].phase_scatter_deg
    assert left["GA only"].amplitude_scatter > 1.2 * left["amplitudes"].amplitude_scatter
    assert left["all"].phase_scatter_deg < 0.7 * left["without 2G"].phase_scatter_deg


def test_delays_are_those_of_the_antennas(
    ms: Path, solved: SolveResult, arrays: dict[str, np.ndarray]
) -> None:
    truth = Truth.load(ms)
    delays_ns = truth.gains.delay_s * 1e9
    delays_ns -= delays_ns[truth.antenna_id(solved.refant)]
    values, flags = arrays["K_values"][:, 0], arrays["K_flags"][:, 0]
    n_solved = 0
    for antenna in range(len(truth.antenna_names)):
        rows = arrays["K_antennas"] == antenna
        for receptor in range(2):
            good = values[receptor, rows][~flags[receptor, rows]]
            if good.size:
                n_solved += 1
                # The slope of the bandpass phase within a window counts as delay: 8 deg of
                # ripple in three half turns over 187 MHz is 0.3 ns.
                assert np.median(good) == pytest.approx(delays_ns[antenna, receptor], abs=1.5)
    assert n_solved == 2 * solved.working_antennas


def test_bandpass_amplitude_and_gain_are_those_of_the_antennas(
    ms: Path, solved: SolveResult, arrays: dict[str, np.ndarray]
) -> None:
    truth = Truth.load(ms)
    gain = np.abs(truth.gains.gain(truth.mid_mjd))[..., 0]
    shapes: list[np.ndarray] = []
    levels: list[np.ndarray] = []
    for window, hz in enumerate(truth.record.window_frequencies_hz):
        band = np.abs(truth.gains.bandpass(hz))
        mean = band.mean(axis=-1, keepdims=True)
        for kind, true, into in (
            ("BA", band / mean, shapes),
            ("GA", (mean * gain[..., None]), levels),
        ):
            rows = arrays[f"{kind}_windows"] == window
            values = np.abs(arrays[f"{kind}_values"][..., rows])
            expected = np.moveaxis(true[arrays[f"{kind}_antennas"][rows]], 0, -1)
            good = ~arrays[f"{kind}_flags"][..., rows]
            into.append((values / expected)[good])
    shape, level = np.concatenate(shapes), np.concatenate(levels)
    assert shape.std() < 1.2 * noise(solved, "BA")
    assert abs(shape.mean() - 1) < 1e-3
    assert level.std() < 1.5 * noise(solved, "GA")
    assert abs(level.mean() - 1) < 3e-3


def test_the_short_interval_gains_are_the_change_within_the_observation(
    ms: Path, solved: SolveResult, arrays: dict[str, np.ndarray]
) -> None:
    truth = Truth.load(ms)
    times = arrays["2G_times_s"] / 86_400
    gains = truth.gains.gain(times)
    middle = truth.gains.gain(np.array(truth.record.field_mjd)).mean(axis=-1)
    antennas = arrays["2G_antennas"]
    rows = np.arange(antennas.size)
    change = gains[antennas, :, rows].T / middle[antennas].T
    refant = truth.antenna_id(solved.refant)
    change *= np.exp(-1j * np.angle(gains[refant, :, :] / middle[refant][:, None]))
    good = ~arrays["2G_flags"][:, 0]
    ratio = (arrays["2G_values"][:, 0] / change)[good]
    assert np.angle(ratio).std() < 1.3 * noise(solved, "2G", "2G")
    assert np.abs(ratio).std() < 1.3 * noise(solved, "2G")


def test_auto_skips_a_dead_antenna_and_refers_every_phase_to_the_next(
    ms: Path, solved: SolveResult, arrays: dict[str, np.ndarray]
) -> None:
    assert solved.refant == "105"
    assert "not: 104" in solved.refant_reason
    id_ = Truth.load(ms).antenna_id("105")
    for kind in ("BP", "GP"):
        of_refant = arrays[f"{kind}_values"][..., arrays[f"{kind}_antennas"] == id_]
        assert np.abs(np.angle(of_refant)).max() < 1e-5


def test_every_table_has_a_plot(solved: SolveResult) -> None:
    assert len(solved.notes) == 1
    assert "alone: no catalogue is set" in solved.notes[0]
    assert len(solved.plots) == 1 + len(TABLES)
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in solved.plots)


@pytest.mark.parametrize(
    ("refant", "word"), [("104", "flagged"), ("999", r"none of the \d+ antennas")]
)
def test_a_named_refant_that_is_dead_or_absent_fails_before_anything_is_written(
    casa: Casa, ms: Path, refant: str, word: str
) -> None:
    wanted = replace(request(ms), refant=refant, prefix=ms.parent / "other" / "x")
    with pytest.raises(CalibrationFailed, match=word):
        casa.run(solve_caltables, wanted, label="solve")
    assert not wanted.prefix.parent.exists()


def test_a_calibrator_outside_the_beam_fails_with_its_distance(casa: Casa, ms: Path) -> None:
    wanted = replace(request(ms), calibrator=CalibratorList().find("3C48"))
    with pytest.raises(CalibrationFailed, match=r"3C48 did not cross the beam .* deg away"):
        casa.run(solve_caltables, wanted, label="solve")


def test_what_is_no_observation_is_refused(casa: Casa, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ms"
    broken.mkdir()
    (broken / "table.dat").write_bytes(b"\x00" * 10)
    for path in (tmp_path / "absent.ms", broken):
        with pytest.raises(UnreadableObservation, match=path.name):
            casa.run(solve_caltables, request(path), label="solve")
    with pytest.raises(ConfigurationError, match="transfer"):
        casa.run(
            solve_caltables,
            replace(request(tmp_path), transfer_fields=("x",)),
            label="solve",
        )


def test_an_observation_of_nan_alone_fails_for_having_no_data(
    casa: Casa, ms: Path, tmp_path: Path
) -> None:
    spoilt = casa.run(spoil_with_nan, SpoilRequest(ms, tmp_path / "nan.ms"), label="spoil")
    with pytest.raises(CalibrationFailed, match=r"all cross-correlations .* are flagged"):
        casa.run(solve_caltables, request(spoilt), label="solve")
    assert not (tmp_path / "tables").exists()


def test_interference_is_flagged_and_the_rest_solved_as_well(casa: Casa, tmp_path: Path) -> None:
    noisy = simulate(casa, replace(transit_spec(), rfi=RfiSpec()), tmp_path)
    result = casa.run(solve_caltables, request(noisy), label="solve-rfi")
    assert not result.failed, result.reasons
    tables = [t.path for t in result.tables]
    (found,) = casa.run(measure_recovery, RecoveryRequest(noisy, [tables]), label="recovery")
    expected = noise(result, "BA", "2G")
    assert found.amplitude_scatter < 1.3 * expected
    assert np.radians(found.phase_scatter_deg) < 1.4 * expected
    # One window of 16 is an emitter throughout: no solution, so its data are flagged, not passed.
    assert found.flagged_fraction > 1 / 16


def test_a_field_without_the_calibrator_gives_a_failed_set_and_never_identities(
    casa: Casa, tmp_path: Path
) -> None:
    spec = replace(transit_spec(), sky=SkySpec(calibrators=False))
    empty = simulate(casa, spec, tmp_path)
    wanted = request(empty)
    reasons: list[str] = []
    try:
        reasons += casa.run(solve_caltables, wanted, label="solve-empty").reasons
    except CalibrationFailed as failed:
        reasons += failed.details["reasons"]
    assert reasons
