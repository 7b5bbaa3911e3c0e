"""``contimg calibrate --register`` does as the platform does, also with a user's own calibrator."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_a_calibrator_of_the_users_list_ends_in_a_registered_set(
    contimg: Callable[..., Any],
    state: Path,
    short_night: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = tmp_path / "calibrators.csv"
    # The position of 3C48, and a name that no directory may have.
    listed.write_text(
        "name,ra_deg,dec_deg,flux_jy,reference_ghz,spectral_index\n"
        "my 3C48,24.422081,33.159759,16.25,1.4,-0.85\n"
    )
    monkeypatch.setenv("CONTIMG_ARRIVAL__CALIBRATOR_LIST", str(listed))
    monkeypatch.setenv("CONTIMG_CALIBRATION__PLOTMS", "false")
    ms = tmp_path / short_night.calibrator.name
    shutil.copytree(short_night.calibrator, ms)
    solved = contimg("calibrate", "--ms", ms, "--field", "my 3c48", "--register")
    assert solved.code == 0, solved.err
    key = f"{short_night.calibrator_truth.mid_mjd:.5f}"
    name = f"my_3C48_{key}"
    directory = state / "caltables" / f"{name}.v1"
    tables = [
        str(directory / f"{name}_{kind}")
        for kind in ("kcal", "bacal", "bpcal", "gacal", "gpcal", "2gcal")
    ]
    assert solved.out.splitlines() == tables
    assert contimg("registry", "active", "--mjd", key).out.splitlines() == tables
    shown = contimg("registry", "show", name, "--json").json["set"]
    # There is no catalogue: the other sources of the model are those of a first image.
    model = shown["origin"]["parameters"]["other_sources"]
    assert model["origin"] == "a first image of the same observation"
    assert model["n_sources"] > 5
    assert (shown["calibrator"], shown["status"]) == ("my 3C48", "active")
    told = contimg("status", "--json").json
    assert told["observations"]["solved"] == 1
    assert told["caltable_sets"]["active"] == 1
