"""Claims about what values of visibility columns mean."""

import numpy as np
import pytest

from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.observations.meaning import (
    flux_scale,
    jansky_in,
    raw_scale,
    spectrum_column,
    weights_of_channels,
    weights_of_rows,
)

NAN = np.nan


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ("Jy", 1.0),
        ("", 1.0),
        ("uncalib", 1.0),
        ("UNCALIB", 1.0),
        ("mJy", 1e-3),
        ("W.m-2.Hz-1", 1e26),
        (["Jy"], 1.0),
        ("K", None),
        ("m/s", None),
    ],
)
def test_a_unit_of_flux_density_is_turned_into_jy(unit: str, scale: float | None) -> None:
    assert jansky_in(unit) == (None if scale is None else pytest.approx(scale))


def test_data_in_another_unit_are_no_calibrated_visibilities_and_may_be_calibrated() -> None:
    with pytest.raises(UnreadableObservation, match=r"a\.ms: its column DATA is in K"):
        flux_scale({"QuantumUnits": ["K"]}, "a.ms")
    assert flux_scale({"QuantumUnits": np.array(["mJy"])}, "a.ms") == pytest.approx(1e-3)
    assert raw_scale({"QuantumUnits": ["K"]}) == 1.0
    assert flux_scale({}, "a.ms") == 1.0


def test_weight_counts_where_sigma_says_nothing() -> None:
    weight = np.array([4.0, 4.0, 4.0, 4.0, 4.0])
    sigma = np.array([0.25, 0.0, -1.0, NAN, np.inf])
    assert weights_of_rows(weight, sigma).tolist() == [16.0, 4.0, 4.0, 4.0, 4.0]


def test_a_weight_that_is_none_wins_over_any_sigma() -> None:
    weight = np.array([0.0, -3.0, NAN, np.inf])
    assert weights_of_rows(weight, np.full(4, 0.5)).tolist() == [0.0] * 4


def test_weights_of_channels_are_used_as_they_are() -> None:
    cells = np.array([[[1.0, 0.0], [-2.0, NAN], [np.inf, 5.0]]])
    expected = [[[1.0, 0.0], [0.0, 0.0], [0.0, 5.0]]]
    assert weights_of_channels("WEIGHT_SPECTRUM", cells).tolist() == expected
    sigma = np.array([[[0.5, 0.0], [-1.0, NAN]]])
    assert weights_of_channels("SIGMA_SPECTRUM", sigma).tolist() == [[[4.0, 0.0], [0.0, 0.0]]]


def test_beside_corrected_data_the_spectrum_of_weights_is_of_those() -> None:
    assert spectrum_column(["DATA", "WEIGHT_SPECTRUM", "SIGMA_SPECTRUM"]) == "WEIGHT_SPECTRUM"
    assert spectrum_column(["DATA", "SIGMA_SPECTRUM"]) == "SIGMA_SPECTRUM"
    corrected = ["DATA", "CORRECTED_DATA", "WEIGHT_SPECTRUM"]
    assert spectrum_column(corrected) is None
    assert spectrum_column([*corrected, "SIGMA_SPECTRUM"]) == "SIGMA_SPECTRUM"
    assert spectrum_column(["DATA"]) is None
