"""Sub-band files that arrive in the watched directory become observations, and an MS."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.cli.main import run
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import ObservationNotSettled, UnreadableObservation
from contimg_resources.correlator import description, layout
from contimg_resources.correlator.model import HeaderComparison
from contimg_resources.database import now_mjd
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import (
    ArrivalOutcome,
    Artefact,
    ArtefactKind,
    ObservationState,
)
from contimg_resources.settings import Settings, SubBandSettings
from contimg_resources.steps.converting import check_headers, make_measurement_set
from contimg_resources.steps.reprocessing import (
    Step,
    Which,
    choose_calibrators,
    choose_observations,
    steps_from,
)
from contimg_resources.steps.retention import choose_removals, remove
from contimg_resources.steps.watching_sub_bands import (
    SubBandCursor,
    SubBandScanResult,
    cache_file,
    scan_uvh5_directory,
)
from contimg_resources.steps.workshop import Workshop
from tests.correlator.files import Written, columns

Files = tuple[Written, list[Path]]


class Correlator:
    """A platform that watches a directory, and the files of one observation to put there."""

    def __init__(self, root: Path, files: list[Path], **settings: Any) -> None:
        self.files = {int(p.stem[-2:]): p for p in files}
        self.directory = root / "correlator"
        self.directory.mkdir(parents=True)
        uvh5 = SubBandSettings(settle_age_s=0, **settings)
        self.workshop = Workshop.from_settings(
            Settings(state=root / "state", uvh5_dir=self.directory, uvh5=uvh5)
        )
        self.memory = SubBandCursor()

    def put(self, *numbers: int) -> list[Path]:
        there = [self.directory / self.files[n].name for n in numbers]
        for number, path in zip(numbers, there, strict=True):
            shutil.copy(self.files[number], path)
        return there

    def scan(self, **options: Any) -> SubBandScanResult:
        found = scan_uvh5_directory(self.workshop, self.memory, **options)
        # As it travels in a sensor's cursor.
        self.memory = SubBandCursor.from_record(vars(found.memory))
        return found

    @property
    def key(self) -> str:
        (record,) = self.workshop.products.list_observations()
        return record.key


@pytest.fixture
def correlator(observation: Files, tmp_path: Path) -> Correlator:
    return Correlator(tmp_path, observation[1])


def test_sixteen_files_are_an_observation(correlator: Correlator) -> None:
    correlator.put(*range(16))
    found = correlator.scan()
    assert found.words == "sub-bands: 1 new"
    (arrived,) = found.arrivals
    known = correlator.workshop.products.observation(correlator.key)
    assert known == arrived.observation
    assert known.origin is ObservationOrigin.SUB_BANDS
    assert [f.number for f in known.sub_bands] == list(range(16))
    assert all(f.is_unchanged for f in known.sub_bands)
    assert known.path.is_relative_to(correlator.workshop.settings.layout.measurement_sets)
    # Nothing is registered or reported twice.
    again = correlator.scan()
    assert again.words == "sub-bands: 1 known"
    assert len(correlator.workshop.products.history(correlator.key)) == 1


def test_an_observation_that_lacks_sub_bands_waits_and_goes_on(correlator: Correlator) -> None:
    correlator.put(*range(13))
    found = correlator.scan()
    assert not found.arrivals
    assert "has 13 of 16 sub-bands; it waits 15 min" in next(iter(found.waiting.values()))
    (arrived,) = correlator.scan(now_s=time.time() + 901).arrivals
    assert arrived.observation.missing_sub_bands == (13, 14, 15)
    assert arrived.observation.flagged_fraction == pytest.approx(3 / 16)
    (note,) = arrived.observation.notes
    assert note.startswith("3 of 16 sub-bands are missing (13, 14, 15)")
    assert note in correlator.workshop.products.explain(correlator.key)
    # All windows are in the layout, as those of the MS will be.
    correlator.put(13)
    assert not correlator.scan().arrivals
    correlator.put(14, 15)
    busy = correlator.scan(busy=lambda: {correlator.key})
    assert "a run of observation" in next(iter(busy.waiting.values()))
    (late,) = correlator.scan().arrivals
    assert late.outcome is ArrivalOutcome.REPLACED
    for one, other in zip(
        late.observation.spectral_windows, arrived.observation.spectral_windows, strict=True
    ):
        assert vars(one) == pytest.approx(vars(other), rel=1e-9)


def test_too_few_sub_bands_are_rejected_until_others_come(correlator: Correlator) -> None:
    correlator.put(*range(5))
    late_s = time.time() + 901
    (rejected,) = correlator.scan(now_s=late_s).rejected
    assert "has 5 of 16 sub-bands, at least 12 are required" in rejected.reason
    again = correlator.scan(now_s=late_s)
    assert (again.rejected, list(again.refused.values())) == ((), [rejected.reason])
    assert again.not_taken[0].endswith(rejected.reason)
    correlator.put(*range(5, 16))
    assert len(correlator.scan().arrivals) == 1


def test_each_bad_file_has_one_reason_and_the_others_go_on(correlator: Correlator) -> None:
    paths = correlator.put(*range(16))
    shutil.copy(paths[3], correlator.directory / "zz-again.hdf5")
    with paths[5].open("r+b") as file:
        file.truncate(20_000)
    with h5py.File(paths[6], "r+") as file:
        file["Header/time_array"][0] = np.nan
    (correlator.directory / "now_incomplete.hdf5").write_bytes(b"")
    found = correlator.scan(now_s=time.time() + 901)
    reasons = {r.path.name: r.reason for r in found.rejected}
    assert set(reasons) == {"zz-again.hdf5", paths[5].name, paths[6].name}
    for name, words in (
        ("zz-again.hdf5", "repeats sub-band 3"),
        (paths[5].name, "truncated"),
        (paths[6].name, "time_array: nan is no observing date"),
    ):
        assert words in reasons[name]
        assert str(correlator.directory / name) in reasons[name]
    assert found.waiting == {
        "now_incomplete.hdf5": "is still being written: its name says so",
    }
    (arrived,) = found.arrivals
    assert arrived.observation.missing_sub_bands == (5, 6)
    assert correlator.scan().rejected == ()


def test_files_that_are_removed_change_nothing(correlator: Correlator, tmp_path: Path) -> None:
    paths = correlator.put(*range(16))
    correlator.scan()
    paths[0].unlink()
    found = correlator.scan(now_s=time.time() + 901)
    assert (found.n_known, found.arrivals) == (1, ())
    # The whole directory may be moved.
    shutil.copy2(correlator.files[0], paths[0])
    correlator.directory.rename(tmp_path / "archive")
    moved = replace(
        correlator.workshop,
        settings=correlator.workshop.settings.model_copy(update={"uvh5_dir": tmp_path / "archive"}),
    )
    os.utime(tmp_path / "archive" / paths[0].name, ns=_times(moved, correlator.key))
    (arrived,) = scan_uvh5_directory(moved, SubBandCursor()).arrivals
    assert arrived.outcome is ArrivalOutcome.MOVED
    assert moved.products.sub_bands.files(correlator.key)[0].path.parent == tmp_path / "archive"


def _times(workshop: Workshop, key: str) -> tuple[int, int]:
    first_ns = workshop.products.sub_bands.files(key)[0].modified_ns
    return first_ns, first_ns


def test_an_ms_of_the_same_time_keeps_sub_bands_out(correlator: Correlator) -> None:
    correlator.put(*range(16))
    (arrived,) = correlator.scan().arrivals
    other = Correlator(correlator.directory.parent / "site", list(correlator.files.values()))
    ms = replace(
        arrived.observation, origin=ObservationOrigin.MEASUREMENT_SET, sub_bands=(), notes=()
    )
    other.workshop.products.arrive(ms)
    other.put(*range(16))
    (rejected,) = other.scan().rejected
    assert f"came as the MeasurementSet {ms.path}" in rejected.reason
    assert other.scan().words == "sub-bands: 1 rejected"


def test_work_is_bounded_and_goes_on_in_the_next_scan(
    correlator: Correlator, monkeypatch: pytest.MonkeyPatch
) -> None:
    correlator.put(*range(16))
    none = correlator.scan(budget_s=-1.0)
    assert (none.n_left, none.arrivals) == (16, ())
    assert len(correlator.scan(max_arrivals=0).arrivals) == 0
    assert len(correlator.scan().arrivals) == 1


def test_a_missing_directory_is_an_error_only_if_it_is_named(tmp_path: Path) -> None:
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state"))
    assert workshop.settings.incoming_uvh5_dir == tmp_path / "state" / "incoming_uvh5"
    assert scan_uvh5_directory(workshop, SubBandCursor()).words == ""
    assert SubBandCursor.from_record(["x"]) == SubBandCursor()
    assert SubBandCursor.from_record({"reported": 3}) == SubBandCursor()


def test_the_ms_is_a_product_made_once(observation: Files, casa: Casa, tmp_path: Path) -> None:
    correlator = Correlator(tmp_path, observation[1])
    workshop = correlator.workshop = replace(correlator.workshop, casa=casa)
    correlator.put(*range(1, 16))
    correlator.scan(now_s=time.time() + 901)
    key = correlator.key
    with pytest.raises(UnreadableObservation, match="materialize measurement_set"):
        workshop.unchanged(key)
    done = make_measurement_set(workshop, key, run_id="r1")
    assert done.verdict.passed
    assert 0 <= done.verdict.measures["baseline_difference_m"] < 1e-3
    (made,) = [
        a for a in workshop.products.artefacts(key) if a.kind == ArtefactKind.MEASUREMENT_SET
    ]
    assert done.made == replace(made, created_mjd=0.0)
    assert made.checksum == content_checksum(made.path)
    assert set(made.parameters["inputs"]) == {str(n) for n in range(1, 16)}
    assert made.parameters["missing"] == [0]
    assert made.run_id == "r1"
    assert "casatools" in made.software
    known = workshop.unchanged(key)
    assert known.origin is ObservationOrigin.SUB_BANDS
    assert known.flagged_fraction > 1 / 16
    assert known.n_rows == columns(made.path)["TIME"].size
    assert any("sub-bands are missing (0)" in note for note in known.notes)
    # It is there: nothing is made again.
    assert make_measurement_set(workshop, key).conversion is None
    # A late sub-band starts it again.
    correlator.put(0)
    correlator.scan()
    assert workshop.products.get(key).state is ObservationState.ARRIVED
    assert workshop.products.get(key).step == "arrival"
    with pytest.raises(UnreadableObservation, match="not of the present sub-band files"):
        workshop.unchanged(key)
    again = make_measurement_set(workshop, key)
    assert again.conversion is not None
    assert again.conversion.missing == ()
    assert workshop.unchanged(key).notes == ()


def test_changed_files_are_not_converted(correlator: Correlator) -> None:
    paths = correlator.put(*range(16))
    correlator.scan()
    paths[4].unlink()
    with pytest.raises(UnreadableObservation, match="missing or have changed") as raised:
        make_measurement_set(correlator.workshop, correlator.key)
    assert str(paths[4]) in raised.value.message


def test_headers_that_differ_are_named() -> None:
    good = HeaderComparison(10, 10, 0, 0.0, 0.0, 1e-4)
    assert check_headers(good).passed
    assert check_headers(replace(good, length_m=float("nan"))).passed
    for change, words in (
        ({"n_rows": 9}, "9 rows"),
        ({"n_other_baselines": 2}, "2 baselines that only one"),
        ({"time_s": float("inf")}, "times differ"),
        ({"frequency_hz": 1e3}, "channels differ by 1e"),
        ({"length_m": 0.5}, "baselines differ by 0.5 m"),
    ):
        verdict = check_headers(replace(good, **change))
        assert not verdict.passed
        assert words in verdict.words


def test_headers_are_kept_for_the_next_process(
    correlator: Correlator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contimg_resources.steps import watching_sub_bands

    monkeypatch.setattr(watching_sub_bands, "_SAVED_AFTER_FILES", 1)
    correlator.put(*range(16))
    correlator.scan()
    assert cache_file(correlator.workshop.settings, correlator.directory).is_file()
    monkeypatch.setattr(watching_sub_bands, "_seen", {})
    monkeypatch.setattr(
        "contimg_resources.correlator.arrival.read_sub_band", lambda path: pytest.fail(str(path))
    )
    assert correlator.scan().words == "sub-bands: 1 known"


def test_sub_bands_are_removed_only_when_asked_and_long_after_their_image(
    correlator: Correlator, tmp_path: Path
) -> None:
    paths = correlator.put(*range(16))
    others = correlator.directory / "notes.txt"
    others.write_text("of a user")
    correlator.scan()
    products, key = correlator.workshop.products, correlator.key
    asked = replace(
        correlator.workshop,
        settings=correlator.workshop.settings.model_copy(
            update={"uvh5": SubBandSettings(retention_days=10)}
        ),
    )
    later_mjd = now_mjd() + 11

    def chosen(workshop: Workshop, at_mjd: float, *busy: str) -> set[Path]:
        found = choose_removals(workshop, busy=busy, at_mjd=at_mjd)
        return {r.path for r in found if r.path.suffix == ".hdf5"}

    # Not before there is an image.
    products.set_state(key, ObservationState.IMAGED, step="image_5min")
    assert chosen(asked, later_mjd) == set()
    image = correlator.workshop.settings.state / "image.fits"
    image.write_bytes(b"pixels")
    products.put_artefacts(key, [Artefact(ArtefactKind.IMAGE, image, size_bytes=6)])
    assert chosen(asked, later_mjd) == set(paths)
    assert chosen(asked, later_mjd, key) == set()
    assert chosen(asked, now_mjd() + 9) == set()
    assert chosen(correlator.workshop, later_mjd) == set()
    # Only as they arrived, in the watched directory, and no links.
    paths[1].write_bytes(b"another file")
    paths[2].rename(tmp_path / "elsewhere.hdf5")
    paths[2].symlink_to(tmp_path / "elsewhere.hdf5")
    assert chosen(asked, later_mjd) == {paths[0], *paths[3:]}
    image.unlink()
    assert chosen(asked, later_mjd) == set()
    image.write_bytes(b"pixels")
    removed = remove(asked, choose_removals(asked, at_mjd=later_mjd))
    assert len(removed) == 14
    assert {p.name for p in correlator.directory.iterdir()} == {
        "notes.txt", paths[1].name, paths[2].name
    }  # fmt: skip
    assert "14 sub-band files removed" in products.history(key)[-1].message
    assert products.get(key).state is ObservationState.IMAGED


def test_an_ms_of_sub_bands_goes_like_a_calibrated_one_while_it_can_be_made_again(
    correlator: Correlator,
) -> None:
    paths = correlator.put(*range(16))
    correlator.scan()
    workshop, key = correlator.workshop, correlator.key
    ms = workshop.settings.layout.measurement_set(key)
    ms.mkdir(parents=True)
    made = Artefact(ArtefactKind.MEASUREMENT_SET, ms, size_bytes=0)
    workshop.products.put_artefacts(key, [made])
    later_mjd = now_mjd() + 8

    def chosen() -> set[Path]:
        return {r.path for r in choose_removals(workshop, at_mjd=later_mjd) if r.made}

    assert chosen() == set()
    workshop.products.set_state(key, ObservationState.IMAGED, step="image_5min")
    assert chosen() == {ms}
    paths[7].unlink()
    assert chosen() == set()


def test_the_command_explains_a_sub_band(
    correlator: Correlator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, *_ = correlator.put(*range(1, 16))
    monkeypatch.setenv("CONTIMG_STATE", str(correlator.workshop.settings.state))
    assert run(["observation", "show", str(path)]) == 0
    assert "observation: none yet" in capsys.readouterr().out
    correlator.scan(now_s=time.time() + 901)
    assert run(["observation", "show", str(path)]) == 0
    told = capsys.readouterr().out
    assert "sub-band 1:" in told
    assert f"Observation {correlator.key}" in told
    assert "1 of 16 sub-bands are missing (0)" in told
    assert run(["why", str(path)]) == 0
    assert f"sub_band: {path}" in capsys.readouterr().out
    missing = correlator.workshop.products.sub_bands.missing(start_mjd=0)
    assert missing == {correlator.key: (0,)}


def test_what_is_made_again_begins_with_the_ms_where_that_is_gone(correlator: Correlator) -> None:
    paths = correlator.put(*range(16))
    correlator.scan()
    workshop = correlator.workshop
    (chosen,) = choose_observations(workshop, Which.ALL)
    assert chosen.needs_ms
    assert chosen.hindrance.startswith("no caltable set is valid")
    able = replace(chosen, hindrance="")
    assert steps_from(Step.CALIBRATED_MS, [able]) == (
        "measurement_set", "calibrated_ms", "image_5min"
    )  # fmt: skip
    assert steps_from(Step.CALIBRATED_MS, [chosen]) == ("calibrated_ms", "image_5min")
    assert steps_from(Step.IMAGE_5MIN, [able]) == ("image_5min",)
    (calibrator,) = choose_calibrators(workshop)
    assert "its MS is still to be made: `contimg reprocess --step measurement_set" in (
        calibrator.hindrance
    )
    paths[3].unlink()
    (chosen,) = choose_observations(workshop, Which.ALL)
    assert chosen.hindrance == f"1 of its sub-band files are gone, such as {paths[3]}"


def test_sub_bands_are_found_without_a_platform(
    correlator: Correlator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = correlator.put(*range(16))
    paths[0].write_bytes(b"no HDF5")
    monkeypatch.setenv("CONTIMG_UVH5__SETTLE_AGE_S", "0")
    monkeypatch.setenv("CONTIMG_UVH5__WAIT_MIN", "0")
    out = correlator.directory.parent / "out"
    asked = ["images", "scan", "--uvh5-dir", correlator.directory, "--out-dir", out, "--json"]
    assert run([str(a) for a in asked]) == 0
    told, said = capfd.readouterr()
    (observation,) = json.loads(told)["observations"]
    assert (observation["state"], observation["origin"]) == ("waiting", "sub_bands")
    assert list(json.loads(told)["rejected"]) == [paths[0].name]
    assert "arrived (15 sub-bands): calibrator 3C286" in said
    assert run(["images", "scan", "--uvh5-dir", str(out / "none"), "--out-dir", str(out)]) == 2


def test_an_observation_that_cannot_be_described_is_rejected_until_its_files_change(
    correlator: Correlator, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = correlator.put(*range(16))
    with h5py.File(paths[0], "r+") as file:
        file["Header/ant_1_array"][:3] = 60
    read: list[Path] = []
    layout_of = layout.layout_of

    def counted(file: h5py.File, path: Path) -> Any:
        read.append(path)
        return layout_of(file, path)

    monkeypatch.setattr(description, "layout_of", counted)
    (rejected,) = correlator.scan().rejected
    assert rejected.reason.startswith(f"{paths[0]} ")
    assert (correlator.scan().rejected, len(read)) == ((), 1)
    # A file that is locked for a moment isn't rejected.
    monkeypatch.setattr(description, "layout_of", lambda *_: _raise_unsettled())
    shutil.copy(correlator.files[0], paths[0])
    found = correlator.scan()
    assert list(found.waiting.values()) == ["is open"]
    monkeypatch.undo()
    assert len(correlator.scan().arrivals) == 1


def _raise_unsettled() -> None:
    raise ObservationNotSettled("is open")
