"""A caltable set is registered whole, or not at all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.core.errors import (
    InvalidName,
    NoValidCaltables,
    RegistrationRefused,
    RegistryError,
    SetNotFound,
)
from contimg_resources.instrument.caltables import ArrayLayout, CaltableField, CaltableType
from contimg_resources.registry.checks import RegistrationLimits
from contimg_resources.registry.model import NewCaltable, SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import CalibrationSettings
from tests.registry.conftest import (
    LAYOUT,
    MJD,
    Maker,
    flagged,
    quality,
    read_made_up_tables,
    write_table,
)


def types_of(found: object) -> list[str]:
    return [t.type.value for t in found.tables]  # type: ignore[attr-defined]


def test_the_tables_come_back_in_apply_order(registry: CalibrationRegistry, new_set: Maker) -> None:
    new = new_set(types=[CaltableType.G2, CaltableType.BP, CaltableType.K, CaltableType.GP])
    registered = registry.register(new)
    assert types_of(registered) == ["K", "BP", "GP", "2G"]
    assert [t.apply_order for t in registered.tables] == [10, 30, 50, 60]
    assert registered.version == 1
    assert registered.status is SetStatus.ACTIVE
    assert registry.get("cal") == registered


def test_flux_stands_in_for_the_amplitude_that_it_rescales(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    assert types_of(registry.register(new_set(types=list(CaltableType)))) == [
        *("K", "BA", "BP", "GP", "2G", "FLUX")
    ]


def test_a_name_registered_again_becomes_a_new_version_and_history_stays(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    first = new_set()
    registry.register(first)
    again = registry.register(first)
    assert again.version == 2
    assert registry.next_version("cal") == 3
    old = registry.get("cal", 1)
    assert (old.status, old.reasons) == (SetStatus.RETIRED, ("replaced by version 2",))
    assert registry.get("cal").version == 2
    assert [(e.version, e.event) for e in registry.events(name="cal")] == [
        *((1, "registered"), (1, "retired"), (2, "registered"))
    ]
    last = registry.events(name="cal")[-1]
    assert last.host
    assert last.pid > 0
    assert last.at_mjd > MJD - 1000
    assert registry.events(after_id=last.id) == []
    assert registry.last_event_id() == last.id


def test_quality_and_origin_are_kept_and_what_is_not_finite_was_not_measured(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    quality = {"snr": np.float32(12.5), "phase": float("nan"), "per": np.array([1, 2])}
    origin = {"path": Path("/a/b.ms"), "types": {CaltableType.K}}
    registered = registry.register(replace(new_set(), quality=quality, origin=origin))
    assert registered.quality == {"snr": 12.5, "phase": None, "per": [1, 2]}
    assert registered.origin == {"path": "/a/b.ms", "types": ["K"]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"casa_subtype": "D Jones"}, "holds 'D Jones' solutions"),
        ({"quality": quality(n_solutions=0)}, "no solutions"),
        ({"quality": flagged(0.31)}, "31% of the solutions of working antennas"),
        ({"quality": flagged(float("nan"))}, "nan% of the solutions"),
        ({"quality": quality(median_snr=2.9)}, r"median SNR.* 2.9 \(at least"),
        ({"quality": quality(median_snr=float("nan"))}, r"median SNR.* nan \(at least"),
        ({"quality": quality(phase_scatter_deg=95.0)}, "phases scatter by 95.0 deg"),
        ({"quality": quality(n_antennas_solved=22, n_antennas=117)}, "only 22 of 117 antennas"),
        ({"identity_fraction": 1.0}, "nothing was solved"),
        ({"start_mjd": 57_000.0, "end_mjd": 57_000.1}, "more than 1 d from"),
        ({"start_mjd": float("nan"), "end_mjd": float("nan")}, "more than 1 d from"),
        ({"layout": ArrayLayout(("2", "1", "3", "104"), LAYOUT.spectral_windows_hz)}, "antennas"),
        (
            {"layout": ArrayLayout(LAYOUT.antenna_names, ((8e9, 8.1e9, 48),))},
            "do not lie within",
        ),
    ],
)
def test_a_table_that_is_not_what_it_should_be_is_refused(
    registry: CalibrationRegistry, new_set: Maker, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RegistrationRefused, match=reason) as refused:
        registry.register(new_set(**changes))
    assert "_kcal" in str(refused.value) or "tables1" in str(refused.value)
    assert registry.list_sets() == []
    assert registry.events() == []


def test_the_reference_antenna_may_be_exactly_one(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    assert registry.register(new_set(identity_fraction=0.5)).version == 1


def test_a_delay_solved_over_all_windows_together_fits(
    registry: CalibrationRegistry, new_set: Maker, tmp_path: Path
) -> None:
    whole = (LAYOUT.spectral_windows_hz[0][0], LAYOUT.spectral_windows_hz[-1][1], 1)
    combined = ArrayLayout(LAYOUT.antenna_names, (whole,))
    delay = write_table(tmp_path / "c_kcal", CaltableType.K, layout=combined)
    new = new_set(types=[CaltableType.BP], layout=None)
    new = replace(new, tables=(*new.tables, NewCaltable(CaltableType.K, delay)))
    registered = registry.register(new)
    assert registered.layout == LAYOUT
    assert types_of(registered) == ["K", "BP"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "../x"}, "no valid caltable set name"),
        ({"start_mjd": MJD + 0.1}, "does not hold its own mid-MJD"),
        ({"end_mjd": float("inf")}, "end_mjd"),
        ({"mid_mjd": 5.2e9}, "mid_mjd"),
        ({"tables": ()}, "no tables"),
        ({"declination_deg": 99.0}, "outside -90 to 90"),
        ({"declination_deg": float("nan")}, "outside -90 to 90"),
        ({"refant": "104\n"}, "no reference antenna"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused_before_a_table_is_opened(
    registry: CalibrationRegistry, new_set: Maker, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(RegistrationRefused, match=reason):
        registry.register(replace(new_set(), **changes))  # type: ignore[arg-type]
    assert registry.list_sets() == []


def test_two_tables_of_one_type_and_one_table_of_two_types_are_refused(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    new = new_set(types=[CaltableType.K])
    path = new.tables[0].path
    twice = (*new.tables, NewCaltable(CaltableType.K, path.with_name("other")))
    with pytest.raises(RegistrationRefused, match="2 tables of type K"):
        registry.register(replace(new, tables=twice))
    both = (*new.tables, NewCaltable(CaltableType.BP, path))
    with pytest.raises(RegistrationRefused, match="given for 2 types"):
        registry.register(replace(new, tables=both))


def test_missing_empty_and_plain_files_are_no_tables(
    registry: CalibrationRegistry, new_set: Maker, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    new = replace(
        new_set(),
        tables=(
            NewCaltable(CaltableType.K, tmp_path / "gone"),
            NewCaltable(CaltableType.BA, tmp_path / "empty"),
            NewCaltable(CaltableType.BP, tmp_path / "file"),
        ),
    )
    with pytest.raises(RegistrationRefused) as refused:
        registry.register(new)
    assert refused.value.details["reasons"] == [
        f"{tmp_path}/gone does not exist",
        f"{tmp_path}/empty is an empty directory",
        f"{tmp_path}/file is no directory, so no caltable",
    ]


def test_without_an_inspector_nothing_can_be_registered(tmp_path: Path, new_set: Maker) -> None:
    with pytest.raises(RegistryError, match="look-ups only"):
        CalibrationRegistry(str(tmp_path / "r.sqlite3")).register(new_set())


def test_a_failed_solve_is_kept_with_its_reasons_and_the_good_version_stays(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set())
    failed = registry.register_failed(new_set(quality=flagged(1.0)), ["median SNR 1.2 below 10"])
    assert (failed.version, failed.status) == (2, SetStatus.FAILED)
    assert failed.reasons == ("median SNR 1.2 below 10",)
    assert registry.active(MJD).set.version == 1
    none = registry.register_failed(replace(new_set(), tables=(), layout=None), ["no solutions"])
    assert none.tables == ()
    assert [s.version for s in registry.list_sets(status=SetStatus.FAILED)] == [3, 2]
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.register_failed(new_set(), [" "])


def test_retiring_gives_a_reason_and_is_done_once(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set())
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.retire("cal", " ")
    retired = registry.retire("cal", "wind-stowed antennas")
    assert (retired.status, retired.reasons) == (SetStatus.RETIRED, ("wind-stowed antennas",))
    with pytest.raises(RegistryError, match="is not active but retired: wind-stowed"):
        registry.retire("cal", "again")
    with pytest.raises(SetNotFound, match="has no version 7; it has 1"):
        registry.retire("cal", "x", version=7)


def test_an_unknown_name_is_answered_with_the_names_near_it(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("3C286_20251006"))
    with pytest.raises(SetNotFound, match="near it: 3C286_20251006"):
        registry.get("3C286_20251007")


class TestPrefix:
    """Tables beside a prefix."""

    def test_type_window_field_and_refant_come_from_the_tables(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        for t in CaltableType:
            write_table(tmp_path / f"night{t.suffixes[-1]}", t)
        (tmp_path / "night_2kcal").mkdir()  # a kind that isn't ours is left alone
        registered = registry.register_prefix(tmp_path / "night", "cal")
        assert types_of(registered) == ["K", "BA", "BP", "GP", "2G", "FLUX"]
        assert registered.mid_mjd == pytest.approx(MJD, abs=1e-9)
        assert registered.start_mjd == pytest.approx(MJD - 1.001)
        assert registered.end_mjd == pytest.approx(MJD + 1.001)
        assert (registered.calibrator, registered.refant) == ("3C286", "104")
        assert registered.layout == LAYOUT
        assert registered.origin["source_ms"] == ["2025-10-06T12:36:09.ms"]

    def test_what_the_user_says_goes_first(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        both = (CaltableField("a", 16.3), CaltableField("b", 16.4))
        write_table(tmp_path / "n_gpcal", CaltableType.GP, fields=both)
        with pytest.raises(RegistrationRefused, match="solutions for a, b: name the calibrator"):
            registry.register_prefix(tmp_path / "n", "cal")
        registered = registry.register_prefix(
            tmp_path / "n",
            "cal",
            cal_field="b",
            refant="105",
            valid_start_mjd=MJD - 0.25,
            valid_end_mjd=MJD + 3,
        )
        assert (registered.calibrator, registered.refant) == ("b", "105")
        assert (registered.start_mjd, registered.end_mjd) == (MJD - 0.25, MJD + 3)

    def test_nothing_there_is_answered_with_the_prefixes_near(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        write_table(tmp_path / "n_gpcal", CaltableType.GP)
        with pytest.raises(RegistrationRefused, match=r"_kcal.*prefixes in .*: n$"):
            registry.register_prefix(tmp_path / "m", "cal")
        with pytest.raises(RegistrationRefused, match="there is no directory"):
            registry.register_prefix(tmp_path / "no" / "m", "cal")

    @pytest.mark.parametrize("prefix", ["../x", "/a/../b", "/", "a\0b"])
    def test_a_prefix_that_climbs_is_refused(
        self, registry: CalibrationRegistry, prefix: str
    ) -> None:
        with pytest.raises(InvalidName):
            registry.register_prefix(Path(prefix), "cal")

    def test_two_flux_tables_are_ambiguous(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        for suffix in CaltableType.FLUX.suffixes:
            write_table(tmp_path / f"n{suffix}", CaltableType.FLUX)
        with pytest.raises(
            RegistrationRefused, match=r"two FLUX tables .* n_flux.cal and n_fluxcal"
        ):
            registry.register_prefix(tmp_path / "n", "cal")

    @pytest.mark.parametrize(
        ("endings", "types"),
        [
            ((".k", ".b", ".g", ".2g"), ["K", "BP", "GP", "2G"]),
            ((".K", ".B", ".G"), ["K", "BP", "GP"]),
            ((".kcal", ".bcal", ".gcal"), ["K", "BP", "GP"]),
            ((".K0", ".B0", ".G1"), ["K", "BP", "GP"]),
            ((".B0", ".G0"), ["BP", "GP"]),
            (("_kcal", ".b", "_gacal", "_gpcal"), ["K", "BP", "GA", "GP"]),
        ],
    )
    def test_the_endings_that_observers_use_are_known(
        self,
        registry: CalibrationRegistry,
        tmp_path: Path,
        endings: tuple[str, ...],
        types: list[str],
    ) -> None:
        for ending, kind in zip(endings, types, strict=True):
            write_table(tmp_path / f"3c48.ms{ending}", CaltableType(kind))
        assert types_of(registry.register_prefix(tmp_path / "3c48.ms", "cal")) == types

    def test_two_endings_of_one_type_are_refused_and_both_named(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        for ending in (".G0", ".G1"):
            write_table(tmp_path / f"n{ending}", CaltableType.GP)
        with pytest.raises(RegistrationRefused, match=r"two GP tables or more: n\.G0 and n\.G1"):
            registry.register_prefix(tmp_path / "n", "cal")

    def test_which_ending_counts_is_a_setting(self, tmp_path: Path) -> None:
        gates = CalibrationSettings(caltable_endings={CaltableType.GP: (".final",)})
        registry = CalibrationRegistry(
            str(tmp_path / "r.sqlite3"),
            inspect=read_made_up_tables,
            limits=RegistrationLimits(gates),
        )
        write_table(tmp_path / "n.G1", CaltableType.GP)
        write_table(tmp_path / "n.final", CaltableType.GP)
        write_table(tmp_path / "n.b", CaltableType.BP)
        registered = registry.register_prefix(tmp_path / "n", "cal")
        assert [t.path.name for t in registered.tables] == ["n.b", "n.final"]
        assert list(registered.origin["not_taken"]) == ["n.G1"]

    def test_an_ending_of_two_types_is_no_setting(self) -> None:
        with pytest.raises(ValueError, match=r"'\.b' stands for both BP and GP"):
            CalibrationSettings(caltable_endings={CaltableType.GP: (".b",)})

    def test_what_lies_there_and_is_not_taken_is_named_with_the_reason(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        write_table(tmp_path / "n.b", CaltableType.BP)
        (tmp_path / "n.png").touch()
        (tmp_path / "n_notes").mkdir()
        (tmp_path / "n.gone").symlink_to(tmp_path / "nowhere")
        for name, kind, subtype in (
            *(("n.ms", "Measurement Set", ""), ("n.D0", "Calibration", "Df Jones")),
            ("n2_kcal", "Calibration", "K Jones"),
        ):
            table = write_table(tmp_path / name, CaltableType.K)
            (table / "table.info").write_text(f"Type = {kind}\nSubType = {subtype}\n")
        assert registry.register_prefix(tmp_path / "n", "cal").origin["not_taken"] == {
            "n.D0": "holds 'Df Jones' solutions, and its ending '.D0' stands for no type "
            "(calibration.caltable_endings)",
            "n.gone": "is a broken link",
            "n.ms": "is a CASA table of type 'Measurement Set', not a caltable",
            "n.png": "is a file, no table",
            "n2_kcal": "is a K table of another prefix, n2",
            "n_notes": "is a directory, but no CASA table",
        }

    def test_the_strip_is_that_of_the_tables_and_look_ups_honour_it(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        write_table(tmp_path / "n.b", CaltableType.BP, fields=(CaltableField("3C286", 30.5),))
        assert registry.register_prefix(tmp_path / "n", "cal").declination_deg == 30.5
        assert registry.active(MJD, declination_deg=30.9).set.name == "cal"
        with pytest.raises(NoValidCaltables, match=r"it is of declination 30\.50 deg"):
            registry.active(MJD, declination_deg=54.6)

    def test_of_a_drift_scans_fields_the_strip_is_the_mean(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        fields = (CaltableField("t0", 16.2), CaltableField("t1", 16.4))
        write_table(tmp_path / "n.b", CaltableType.BP, fields=fields)
        registered = registry.register_prefix(tmp_path / "n", "cal", cal_field="3C286")
        assert registered.declination_deg == pytest.approx(16.3)

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ((CaltableField("a", 16.3), CaltableField("b", 50.5)), "more than one strip"),
            ((CaltableField("a", None, "frame AZEL"),), "no position of field a: frame AZEL"),
            ((), "no field with a position"),
        ],
    )
    def test_without_one_strip_the_user_must_say_it(
        self,
        registry: CalibrationRegistry,
        tmp_path: Path,
        fields: tuple[CaltableField, ...],
        reason: str,
    ) -> None:
        write_table(tmp_path / "n.b", CaltableType.BP, fields=fields)
        with pytest.raises(RegistrationRefused, match=f"{reason}.*--dec-deg"):
            registry.register_prefix(tmp_path / "n", "cal", cal_field="c")
        said = registry.register_prefix(
            tmp_path / "n", "cal", cal_field="c", declination_deg=-5.0, refant="1"
        )
        assert said.declination_deg == -5.0
        free = registry.register_prefix(
            tmp_path / "n", "cal", cal_field="c", any_declination=True, refant="1"
        )
        assert free.declination_deg is None

    def test_a_complex_gain_beside_the_one_on_the_flux_scale_would_be_applied_twice(
        self, registry: CalibrationRegistry, tmp_path: Path
    ) -> None:
        both = quality(holds_amplitude=True)
        write_table(tmp_path / "n.G1", CaltableType.GP, quality=both)
        write_table(tmp_path / "n.fluxscale1", CaltableType.FLUX, quality=both)
        with pytest.raises(RegistrationRefused, match=r"n\.fluxscale1 .*n\.G1 .* twice"):
            registry.register_prefix(tmp_path / "n", "cal")
