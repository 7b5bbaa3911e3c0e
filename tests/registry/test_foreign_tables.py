"""Caltables of other hands pass the gates of a solve, or are refused for what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import RegistrationRefused
from contimg_resources.registry.store import CalibrationRegistry
from tests.registry.made_caltables import WINDOWS_HZ, bandpass, write_caltable


@pytest.fixture
def registry(casa: Casa, tmp_path: Path) -> CalibrationRegistry:
    return CalibrationRegistry.with_casa(str(tmp_path / "r.sqlite3"), casa)


def gone(values: Any, *, antennas: int = 0, receptors: bool = False) -> Any:
    """Flags of which the last antennas, or the second receptor of all, are set."""
    flags = np.zeros(values.shape, bool)
    flags[len(flags) - antennas :] = True
    flags[:, 1] |= receptors
    return flags


def test_a_real_kind_of_set_is_registered_with_what_was_measured(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    """117 antennas of which 21 are absent, and a bandpass with an SNR of 9.5 in each channel."""
    prefix = tmp_path / "3c48 #1?" / "night"
    prefix.parent.mkdir()
    names = ["1c", *(str(i) for i in range(2, 118))]
    passes, gains = bandpass(117, 9.5), bandpass(117, 30, 1)
    common: dict[str, Any] = {"names": names}
    write_caltable(
        prefix.with_name("night.b"),
        "B Jones",
        passes,
        flags=gone(passes, antennas=21),
        snr=9.5,
        **common,
    )
    write_caltable(
        prefix.with_name("night.g"), "G Jones", gains, flags=gone(gains, antennas=21), **common
    )
    delays = np.random.default_rng(1).normal(size=(117, 2, 1))
    write_caltable(
        prefix.with_name("night.k"), "K Jones", delays, flags=gone(delays, antennas=21), **common
    )
    found = registry.register_prefix(prefix, "night")
    assert [t.type.value for t in found.tables] == ["K", "BP", "GP"]
    assert found.declination_deg == pytest.approx(16.3, abs=1e-4)
    assert found.refant == "3"
    assert found.quality["working_antennas"] == 96
    measured = found.quality["tables"]["BP"]
    assert (measured["flagged_fraction"], measured["n_antennas"]) == (0.0, 117)
    assert measured["median_snr"] == 9.5
    assert measured["phase_scatter_deg"] == pytest.approx(4.3, rel=0.1)
    assert measured["amplitude_scatter"] == pytest.approx(0.075, rel=0.1)
    # A window that nothing refers to is none of the set's.
    assert found.layout.spectral_windows_hz == tuple((hz[0], hz[-1], 48) for hz in WINDOWS_HZ)
    assert found.origin["source_ms"] == ["night.ms"]


def _half_dead(path: Path) -> None:
    values = bandpass(20, 30)
    write_caltable(path, "B Jones", values, flags=gone(values, receptors=True))


def _few_antennas(path: Path) -> None:
    values = bandpass(117, 30)
    write_caltable(path, "B Jones", values, flags=gone(values, antennas=95))


def _mostly_flagged(path: Path) -> None:
    values = bandpass(20, 30)
    flags = gone(values)
    flags[:, :, :34] = True
    write_caltable(path, "B Jones", values, flags=flags)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (_half_dead, "50% of the solutions .* 0% and 100% by receptor"),
        (_few_antennas, "only 22 of 117 antennas"),
        (_mostly_flagged, "71% of the solutions"),
        (
            lambda path: write_caltable(path, "B Jones", bandpass(20, 0), snr=0.5),
            r"median SNR per channel 0\.5 .*phases scatter by [89]\d\.\d deg",
        ),
        (
            lambda path: write_caltable(path, "G Jones", bandpass(20, 30, 1)),
            "holds 'G Jones' solutions, not B Jones",
        ),
        (
            lambda path: write_caltable(path, "K Jones", np.ones((20, 2, 1)) * 3.0),
            "holds 'K Jones' solutions, not B Jones",
        ),
        (
            lambda path: write_caltable(path, "B Jones", bandpass(20, 30), info_subtype="G Jones"),
            "VisCal is 'B Jones', its table.info 'G Jones'",
        ),
        (
            lambda path: write_caltable(path, "B Jones", bandpass(20, 30), frame="AZEL"),
            "no position of field 3C48: .*frame AZEL.*--dec-deg",
        ),
    ],
)
def test_a_bad_table_is_refused_for_what_is_wrong_with_it(
    registry: CalibrationRegistry, tmp_path: Path, write: Any, reason: str
) -> None:
    write(tmp_path / "n.b")
    with pytest.raises(RegistrationRefused, match=reason) as refused:
        registry.register_prefix(tmp_path / "n", "night")
    assert str(tmp_path / "n") in refused.value.message
    assert registry.list_sets() == []


def test_the_strip_is_brought_to_icrs_from_the_frame_of_the_table(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    write_caltable(tmp_path / "n.b", "B Jones", bandpass(20, 30), frame="B1950")
    found = registry.register_prefix(tmp_path / "n", "night")
    # RA 24.4 deg: precession moves the declination by 20.04 arcsec a year times cos(RA).
    assert found.declination_deg == pytest.approx(16.3 + 0.2535, abs=0.002)


def test_rows_that_only_fill_up_the_antenna_table_do_not_count(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    values = bandpass(60, 30)
    names = [str(i) if i < 12 else "" for i in range(60)]
    write_caltable(
        tmp_path / "n.b", "B Jones", values, flags=gone(values, antennas=48), names=names
    )
    found = registry.register_prefix(tmp_path / "n", "night")
    assert found.quality["tables"]["BP"]["n_antennas"] == 12
