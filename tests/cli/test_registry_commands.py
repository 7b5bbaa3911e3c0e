"""The registry by hand: what the original quick start does, on made-up tables."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.instrument.caltables import (
    ArrayLayout,
    CaltableField,
    CaltableInfo,
    CaltableType,
    TableQuality,
)
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry

MJD = 60_295.3
WINDOWS = ((1.3e9, 1.4e9, 48),)


def made_up(paths: Sequence[Path]) -> list[CaltableInfo]:
    types = [next(t for t in CaltableType if p.name.endswith(t.suffixes)) for p in paths]
    return [
        CaltableInfo(
            path=path,
            casa_subtype=t.casa_subtypes[0],
            quality=TableQuality(
                n_solutions=192,
                flagged_fraction=0.02,
                flagged_by_receptor=(0.0, 0.04),
                median_snr=None if t is CaltableType.K else 9.5,
                amplitude_scatter=0.05 if t is CaltableType.BA else None,
                phase_scatter_deg=7.0 if t is CaltableType.BP else None,
                holds_amplitude=t is CaltableType.BA,
                minimum=0.5,
                maximum=2.0,
                n_dead_antennas=0,
                n_antennas_solved=2,
                n_antennas=2,
            ),
            identity_fraction=0.1,
            layout=ArrayLayout(("1", "2"), WINDOWS),
            start_mjd=MJD - 0.001,
            end_mjd=MJD + 0.001,
            fields=(CaltableField("J1234+5678", 56.781),),
            source_ms="2025-10-06_J1234+5678.ms",
            refant="104",
        )
        for path, t in zip(paths, types, strict=True)
    ]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A registry with one set of K, BA and BP, valid for a day around MJD."""
    prefix = tmp_path / "solves" / "night"
    for table_type in (CaltableType.K, CaltableType.BA, CaltableType.BP):
        table = prefix.with_name(prefix.name + table_type.suffix)
        table.mkdir(parents=True)
        (table / "table.dat").write_bytes(b"made up")
    path = tmp_path / "registry.sqlite3"
    CalibrationRegistry(str(path), inspect=made_up).register_prefix(prefix, "night")
    return path


def test_init_makes_a_registry_and_prints_where(
    contimg: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "pipeline" / "registry.sqlite3"
    path.parent.mkdir()
    assert contimg("registry", "init", "--db", path).out == f"{path}\n"
    assert path.is_file()
    assert contimg("registry", "init", "--db", path, "--json").json == {"registry": str(path)}


def test_a_url_is_an_address_as_well_as_a_path(contimg: Callable[..., Any], db: Path) -> None:
    by_path = contimg("registry", "list", "--db", db, "--json").json
    by_url = contimg("registry", "list", "--db", f"sqlite:///{db}", "--json").json
    assert by_path == by_url
    assert [s["name"] for s in by_path] == ["night"]


def test_active_prints_the_tables_in_apply_order_and_nothing_else(
    contimg: Callable[..., Any], db: Path
) -> None:
    answer = contimg("registry", "active", "--db", db, "--mjd", MJD)
    assert answer.code == 0
    folder = db.parent / "solves"
    assert answer.out.splitlines() == [
        f"{folder}/night_kcal",
        f"{folder}/night_bacal",
        f"{folder}/night_bpcal",
    ]


def test_active_is_1_outside_every_window_and_names_the_nearest(
    contimg: Callable[..., Any], db: Path
) -> None:
    answer = contimg("registry", "active", "--db", db, "--mjd", MJD + 30)
    assert (answer.code, answer.out) == (1, "")
    assert "night" in answer.err
    borrowed = contimg("registry", "active", "--db", db, "--mjd", MJD + 30, "--borrow", "--json")
    assert borrowed.json["borrowed"] is True


def test_active_is_1_when_a_table_was_changed(contimg: Callable[..., Any], db: Path) -> None:
    (db.parent / "solves" / "night_bacal" / "table.dat").write_bytes(b"changed")
    answer = contimg("registry", "active", "--db", db, "--mjd", MJD)
    assert (answer.code, answer.out) == (1, "")
    assert "night_bacal" in answer.err


def test_looking_up_never_makes_a_registry(contimg: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite3"
    register = ("register-prefix", "--set-name", "night", "--prefix", tmp_path / "night")
    for command in (("active", "--mjd", MJD), register, (*register, "--dry-run")):
        answer = contimg("registry", *command, "--db", path)
        assert answer.code == 1
        assert str(path) in answer.err
        assert not path.exists()


def test_a_retired_set_is_shown_with_its_reason_and_not_applied(
    contimg: Callable[..., Any], db: Path
) -> None:
    retire = ("registry", "retire", "night", "--db", db, "--reason", "refant unstable", "--json")
    assert contimg(*retire, "--dry-run").json["status"] == "active"
    assert contimg("registry", "active", "--db", db, "--mjd", MJD).code == 0
    retired = contimg(*retire)
    assert retired.json["status"] == "retired"
    assert "refant unstable" in contimg("registry", "show", "night", "--db", db).out
    assert contimg("registry", "active", "--db", db, "--mjd", MJD).code == 1
    assert contimg("registry", "retire", "night", "--db", db, "--reason", "again").code == 1
    assert contimg(*retire, "--dry-run").code == 1


def test_verify_is_1_when_a_table_is_gone(contimg: Callable[..., Any], db: Path) -> None:
    assert contimg("registry", "verify", "--db", db).code == 0
    table = db.parent / "solves" / "night_kcal"
    table.rename(table.with_name("elsewhere"))
    answer = contimg("registry", "verify", "--db", db)
    assert answer.code == 1
    assert "night_kcal" in answer.out


def test_an_unknown_set_is_1_and_near_names_are_told(contimg: Callable[..., Any], db: Path) -> None:
    answer = contimg("registry", "show", "nigth", "--db", db)
    assert answer.code == 1
    assert "night" in answer.err


def test_show_tells_the_quality_of_each_table_and_where_it_was_solved(
    contimg: Callable[..., Any], tmp_path: Path, db: Path
) -> None:
    registry = CalibrationRegistry(str(db), inspect=made_up)
    folder = tmp_path / "solves"
    registry.register(
        NewCaltableSet(
            name="night",
            calibrator="J1234+5678",
            refant="104",
            mid_mjd=MJD,
            start_mjd=MJD - 1,
            end_mjd=MJD + 1,
            declination_deg=None,
            layout=None,
            tables=(NewCaltable(CaltableType.BA, folder / "night_bacal"),),
            quality={"tables": {"BA": {"median_snr": 122.9, "flagged_fraction": 0.02}}},
            origin={"ms": "/data/night.ms"},
        )
    )
    lines = contimg("registry", "show", "night", "--db", db).out.splitlines()
    assert "solved from: /data/night.ms" in lines
    after = lines.index(f"BA 20: {folder}/night_bacal") + 1
    assert lines[after] == "  median SNR 123, 2.0% flagged"
    assert " v2 registered by " in lines[-1]


def test_what_was_read_from_tables_is_said_in_words(contimg: Callable[..., Any], db: Path) -> None:
    (db.parent / "solves" / "night.png").touch()
    CalibrationRegistry(str(db), inspect=made_up).register_prefix(
        db.parent / "solves" / "night", "again", declination_deg=54.6
    )
    lines = contimg("registry", "show", "again", "--db", db).out.splitlines()
    assert "declination: +54.600 deg (the tables have +56.781 deg)" in lines
    assert "working antennas: 2" in lines
    assert "solved from: 2025-10-06_J1234+5678.ms" in lines
    assert f"prefix: {db.parent / 'solves' / 'night'}" in lines
    assert "not taken: night.png is a file, no table" in lines
    bandpass = lines.index(f"BP 30: {db.parent}/solves/night_bpcal")
    assert (
        lines[bandpass + 1] == "  median SNR 9.5, 2.0% flagged, phase scatter 7.00 deg, 2 antennas"
    )
    listed = contimg("registry", "list", "--name", "night", "--db", db).out
    assert "+56.78" in listed
    assert "2025-10-06_J1234+5678.ms" in listed
    assert " 9.5 " in listed
