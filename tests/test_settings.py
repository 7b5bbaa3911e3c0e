"""Settings come from the environment, then from a file, and say what is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contimg_resources.cli.given import given_settings
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.settings import ImagingSettings, load_settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("CONTIMG_"):
            monkeypatch.delenv(name)


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "contimg.toml"
    config.write_text(f'state = "{tmp_path}"\n[imaging]\nrobust = -1.0\nbeam_cut = 0.3\n')
    monkeypatch.setenv("CONTIMG_CONFIG", str(config))
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUST", "0.0")
    settings = load_settings()
    assert settings.imaging.robust == 0.0
    assert settings.imaging.beam_cut == 0.3
    assert settings.imaging.niter == 30_000
    assert settings.registry_address == f"{tmp_path}/registry.sqlite3"


def test_an_argument_of_a_command_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    monkeypatch.setenv("CONTIMG_CALIBRATION__BORROW", "true")
    monkeypatch.setenv("CONTIMG_CALIBRATION__MIN_SNR", "4")
    assert given_settings(calibration={"borrow": None}).calibration.borrow
    settings = given_settings(calibration={"borrow": False})
    assert not settings.calibration.borrow
    assert settings.calibration.min_snr == 4, "the others stay as they are"
    assert settings.state == tmp_path


def test_changed_settings_are_checked_like_those_that_are_read() -> None:
    settings = ImagingSettings(niter=5)
    assert settings.changed(robust=-1) == ImagingSettings(niter=5, robust=-1)
    with pytest.raises(ValidationError, match=r"robust\n.*less than or equal to 2"):
        settings.changed(robust=7)
    with pytest.raises(ValidationError, match=r"robusst\n.*not permitted"):
        settings.changed(robusst=0)


def test_a_wrong_setting_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_STATE", "/var/contimg")
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUST", "7")
    with pytest.raises(ConfigurationError, match=r"imaging\.robust: .*less than or equal to 2"):
        load_settings()


def test_a_misspelt_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "contimg.toml"
    config.write_text("[imaging]\nrobusst = 0\n")
    monkeypatch.setenv("CONTIMG_CONFIG", str(config))
    with pytest.raises(ConfigurationError, match="robusst"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STATE", "state"),
        ("MS_DIR", "incoming"),
        ("REGISTRY_URL", "pipeline/registry.sqlite3"),
        ("PRODUCTS_URL", "sqlite:///products.sqlite3"),
    ],
)
def test_a_path_that_each_process_would_take_for_another_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CONTIMG_{name}", value)
    with pytest.raises(ConfigurationError, match=f"{name.lower()}: .*absolute path"):
        load_settings()


@pytest.mark.parametrize(
    "value",
    [
        "/data/r.sqlite3",
        "sqlite:////data/r.sqlite3",
        "postgresql+psycopg2:///db",
        "postgresql://h/d",
    ],
)
def test_a_store_is_a_file_or_in_a_server(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_REGISTRY_URL", value)
    assert load_settings().registry_address == value


def test_no_uv_range_is_hidden_in_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_STATE", "/var/contimg")
    assert load_settings().imaging.uvrange == ""


def test_an_ending_of_a_caltable_is_set_for_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_CALIBRATION__CALTABLE_ENDINGS__GP", '[".final"]')
    endings = load_settings().calibration.caltable_endings
    assert endings[CaltableType.GP] == (".final",)
    assert ".b" in endings[CaltableType.BP]
