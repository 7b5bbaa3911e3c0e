"""Claims about MeasurementSets that other programs write: each is read as its writer meant it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.apply import calibrated_ms as apply
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.health import measure_health
from contimg_resources.calibration.ms.orderly import orderly
from contimg_resources.casa import Casa
from contimg_resources.core.errors import CalibrationFailed
from contimg_resources.observations.model import Observation
from tests.observations import foreign

START_MJD = 61041.25
Read = Callable[[Path], Observation]
Variant = Callable[[foreign.Edit], Observation]


@pytest.fixture
def variant(read: Read, tiny: Path, tmp_path: Path) -> Variant:
    """Give what a changed copy of the tiny MS is read as."""

    def call(edit: foreign.Edit) -> Observation:
        path = tmp_path / "variant.ms"
        shutil.copytree(tiny, path)
        edit(path)
        return read(path)

    return call


@pytest.mark.parametrize(
    ("edit", "n_repeated", "told"),
    [
        (foreign.all_rows_twice, 168, "168 of 336 rows occur twice or more, in 4 of 4"),
        (foreign.one_integration_twice, 42, "42 of 210 rows occur twice or more, in 1 of 4"),
    ],
)
def test_rows_that_stand_twice_are_told_and_counted_once(
    variant: Variant, observation: Observation, edit: foreign.Edit, n_repeated: int, told: str
) -> None:
    found = variant(edit)
    assert found.n_repeated_rows == n_repeated
    assert (found.n_rows, found.n_integrations) == (168, 4)
    assert found.flagged_fraction == pytest.approx(observation.flagged_fraction)
    assert any(told in note for note in found.notes)
    assert (observation.n_repeated_rows, observation.notes) == (0, ())


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_weight_counts_whatever_stands_in_sigma(
    variant: Variant, observation: Observation, value: float
) -> None:
    found = variant(foreign.changed("SIGMA", lambda sigma: sigma * 0 + value))
    assert found.flagged_fraction == pytest.approx(observation.flagged_fraction)
    assert (found.antennas, found.unusable, found.notes) == (observation.antennas, "", ())


def test_a_weight_of_zero_below_zero_or_nan_flags(
    variant: Variant, observation: Observation
) -> None:
    def edit(weight: np.ndarray) -> np.ndarray:
        weight[:, 0] = 1.0
        for first, bad in enumerate((0.0, -1.2e12, np.nan)):
            weight[first::4, 1] = bad
        return weight

    # Of the second correlation three of four rows have no weight; of the rest 1/8 is flagged.
    found = variant(foreign.changed("WEIGHT", edit))
    assert found.flagged_fraction == pytest.approx(1 - (1 + 0.25) / 2 * 7 / 8, abs=0.02)
    assert any("count as flagged" in note for note in found.notes)


def test_weights_of_channels_count_where_they_are_filled(variant: Variant) -> None:
    # Half of the rows lose 3 of 8 channels (one of them by its flag), the others one.
    found = variant(foreign.some_weights_of_channels)
    assert found.flagged_fraction == pytest.approx(0.5 * 3 / 8 + 0.5 * 1 / 8, abs=0.01)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (foreign.changed("FLAG", lambda f: f | True), "all its cross-correlations are flagged"),
        (foreign.changed("FLAG_ROW", lambda f: f | True), "all its cross-correlations are flagged"),
        (foreign.changed("WEIGHT", lambda w: w * 0), "have a weight of zero, below zero or NaN"),
        (foreign.changed("DATA", lambda d: d * 0), "are zero or not finite"),
        (foreign.cross_hands_only, "it has no parallel hands: its correlations are XY/YX"),
        (foreign.autocorrelations_only, "it has no cross-correlations"),
    ],
)
def test_what_nothing_can_be_made_of_says_why(
    variant: Variant, edit: foreign.Edit, reason: str
) -> None:
    assert reason in variant(edit).unusable


def test_a_window_that_no_data_refer_to_plays_no_part(
    variant: Variant, observation: Observation
) -> None:
    found = variant(foreign.unused_window)
    assert found.spectral_windows == observation.spectral_windows
    assert found.band_hz == observation.band_hz == pytest.approx((1.398125e9, 1.451875e9))
    assert not observation.layout.differences(found.layout)
    assert found.notes == ("no data refer to 2 of 4 rows of SPECTRAL_WINDOW",)


def test_the_band_is_the_union_of_overlapping_windows(variant: Variant) -> None:
    found = variant(foreign.overlapping_windows)
    # The last by its middle isn't the one that reaches highest.
    assert found.band_hz == pytest.approx((1.44875e9, 1.46875e9))
    assert 0.5 * sum(found.band_hz) == pytest.approx(1.45875e9)


def test_padded_nameless_antennas_play_no_part(variant: Variant, observation: Observation) -> None:
    found = variant(foreign.padded_antennas)
    assert [a.name for a in found.antennas] == [a.name for a in observation.antennas]
    assert [a.id for a in found.antennas] == [4, 5, 6, 7, 8, 9]
    assert found.flagged_fraction == pytest.approx(observation.flagged_fraction)
    assert found.layout.antenna_names == ("", "", "", "", "1", "2", "24", "103", "104", "117")
    assert found.notes == ()


def test_names_may_be_repeated_by_antennas_without_data(
    read: Read, casa: Casa, tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "twins.ms"
    shutil.copytree(tiny, path)
    foreign.twins_without_data(path)
    found = read(path)
    assert {a.name: a.id for a in found.working_antennas} == {
        **{"1": 4, "2": 5, "103": 7, "104": 8, "117": 9}
    }
    # Whoever applies caltables looks for the ids of these names: of those with data.
    names, _ = casa.run(apply._look, ApplyRequest(path, (), tmp_path / "out.ms"), label="look")
    assert names.index("104") == 8
    assert names.count("104") == 1


def test_layouts_that_differ_in_their_padding_alone_fit(observation: Observation) -> None:
    layout = observation.layout
    longer = type(layout)((*layout.antenna_names, "118", ""), layout.spectral_windows_hz)
    with_a_hole = type(layout)(("1", "", "24", "103", "104", "117"), layout.spectral_windows_hz)
    for other in (longer, with_a_hole):
        assert layout.differences(other) == other.differences(layout) == ()
    swapped = type(layout)(("2", "1", "24", "103", "104", "117"), layout.spectral_windows_hz)
    assert layout.differences(swapped)


def test_an_antenna_with_data_must_have_a_name(
    read: Read, tiny: Path, tmp_path: Path, refusal: Callable[[Path], str]
) -> None:
    path = tmp_path / "nameless.ms"
    shutil.copytree(tiny, path)
    foreign.nameless_antenna(path)
    assert "antenna 3 (by row) has data but no NAME" in refusal(path)


def test_subtables_that_reading_needs_not_may_be_missing(
    variant: Variant, observation: Observation
) -> None:
    found = variant(foreign.few_subtables)
    assert found.antennas == observation.antennas
    assert found.key == observation.key


def test_an_observation_of_1989_is_read(variant: Variant) -> None:
    assert variant(foreign.of_1989).key == "47663.12522"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (foreign.uneven_weights, "column WEIGHT has no value in row 16"),
        (foreign.text_for_times, "column TIME doesn't hold one number in each row"),
        (foreign.lost_row_count, "has 0 rows, but DATA_DESC_ID goes from 0 to 1; its table.lock"),
    ],
)
def test_a_column_that_is_whole_is_never_called_truncated(
    tiny: Path, tmp_path: Path, refusal: Callable[[Path], str], edit: foreign.Edit, reason: str
) -> None:
    path = tmp_path / "odd.ms"
    shutil.copytree(tiny, path)
    edit(path)
    message = refusal(path)
    assert reason in message
    assert "truncated" not in message


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (foreign.changed("WEIGHT", lambda w: w * 0), "or without a weight above zero"),
        (foreign.cross_hands_only, "has no parallel hands: its correlations are XY/YX"),
        (foreign.autocorrelations_only, "has no cross-correlations"),
    ],
)
def test_a_solve_says_why_there_is_nothing_to_solve_of_the_users_file(
    casa: Casa, tiny: Path, tmp_path: Path, edit: foreign.Edit, reason: str
) -> None:
    path = tmp_path / "work.ms"
    shutil.copytree(tiny, path)
    edit(path)
    with pytest.raises(CalibrationFailed, match=reason) as refused:
        casa.run(health_of_a_copy, path, label="health")
    assert "/data/night.ms" in refused.value.message
    assert "work.ms" not in refused.value.message


def health_of_a_copy(path: Path) -> None:
    measure_health(orderly(path, path.parent), copy_of=Path("/data/night.ms"))


def test_a_solve_reads_past_windows_without_data_and_counts_weights(
    casa: Casa, tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "odd.ms"
    shutil.copytree(tiny, path)
    foreign.unused_window(path)
    foreign.some_weights_of_channels(path)
    flagged, windows = casa.run(flags_and_windows, path, label="health")
    # As `test_weights_of_channels_count_where_they_are_filled`; the dead antenna counts here.
    assert flagged == pytest.approx(0.5 * 3 / 8 + 0.5 * 1 / 8, abs=0.01)
    assert windows == 2


def flags_and_windows(path: Path) -> tuple[float, int]:
    health = measure_health(orderly(path, path.parent))
    return health.flagged_fraction, len(health.windows)


@pytest.mark.parametrize(
    "edit",
    [
        foreign.other_directions,
        foreign.shuffled,
        foreign.right_ascension_of_one_turn_less,
        foreign.nan_where_flagged,
        foreign.descending_widths,
        foreign.changed("CORR_TYPE", lambda codes: codes[:, ::-1].copy(), "POLARIZATION"),
    ],
)
def test_what_is_only_written_differently_is_read_alike(
    variant: Variant, observation: Observation, edit: foreign.Edit
) -> None:
    found = variant(edit)
    for field in ("antennas", "n_rows", "n_integrations", "spectral_windows", "notes", "unusable"):
        assert getattr(found, field) == getattr(observation, field), field
    assert found.flagged_fraction == pytest.approx(observation.flagged_fraction)
    assert [f.ra_deg for f in found.fields] == pytest.approx([f.ra_deg for f in observation.fields])
    assert sorted(found.correlations) == ["XX", "YY"]


def test_an_ms_of_pyuvdata_is_described_as_it_was_written(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "by pyuvdata.MS"
    foreign.written_by_pyuvdata(path)
    found = read(path)
    assert [(a.id, a.name) for a in found.antennas] == [
        *((3, "3"), (20, "20"), (24, "24"), (103, "103"))
    ]
    assert len(found.working_antennas) == 4
    assert (found.n_integrations, found.n_rows, found.n_repeated_rows) == (3, 36, 0)
    assert found.band_hz == pytest.approx((1.3965e9, 1.4535e9))
    assert found.correlations == ("XX", "YY")
    # One of three integrations, and of the others one of eight channels.
    assert found.flagged_fraction == pytest.approx(1 - 2 / 3 * 7 / 8)
    assert found.unusable == ""
    assert found.start_mjd == pytest.approx(60_954.35 - 0.5 * 12.884902 / 86_400, abs=1e-8)
