"""A light curve holds every epoch once, whatever copies there are and whatever changed since."""

import time
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import PhotometryFailed, UnreadableMeasurements
from contimg_resources.core.trees import remove_tree
from contimg_resources.photometry import copies, long_copies
from contimg_resources.photometry.copies import PERIOD_DAYS, copy_by_source, epoch_files
from contimg_resources.photometry.light_curves import LightCurve, light_curve, read_history
from contimg_resources.photometry.long_copies import PERIODS
from tests.photometry.epochs import sources, write

#: The first day of a period.
FIRST = PERIOD_DAYS * 1_907 + 0.25
#: Epochs of two periods, several a day.
MJDS = [FIRST + d + h / 24 for d in (0, 1, 2, PERIOD_DAYS, PERIOD_DAYS + 3) for h in (0, 1)]


def night(root: Path, kind: str = "mosaic") -> None:
    for i, mjd in enumerate(MJDS):
        write(root, mjd, (0.3 + i / 100, np.nan if i == 2 else 0.1, 0.2), kind=kind)  # type: ignore[arg-type]


def copied(root: Path) -> tuple[Path, ...]:
    """Make copies when all days are older than a clock tick."""
    time.sleep(0.06)
    return copy_by_source(root, "mosaic")


def same(one: LightCurve, other: LightCurve) -> None:
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_it_is_in_the_order_of_time(tmp_path: Path) -> None:
    for i in (3, 0, 2, 1):
        write(tmp_path, MJDS[i], (0.3 + i / 100, 0.1, 0.2), ok=i != 2)
    curve = light_curve(tmp_path, "s2")
    assert len(curve) == 4
    assert curve.source_id == "s2"
    np.testing.assert_array_equal(curve.mid_mjd, MJDS[:4])
    np.testing.assert_allclose(curve.flux_jy, [0.3, 0.31, 0.32, 0.33])
    np.testing.assert_allclose(curve.flux_error_jy, 2e-3)
    assert curve.epoch_ok.tolist() == [True, True, False, True]
    assert curve.epoch_ok.dtype == bool
    assert curve.epoch.tolist() == [f"{m:.5f}+54.0" for m in MJDS[:4]]
    assert curve.epoch.dtype.kind == curve.kind.dtype.kind == "U"
    assert set(curve.kind) == {"mosaic"}


def test_what_has_no_flux_is_nan(tmp_path: Path) -> None:
    night(tmp_path)
    curve = light_curve(tmp_path, "s0")
    assert np.flatnonzero(np.isnan(curve.flux_jy)).tolist() == [2]
    assert len(curve) == len(MJDS)


def test_copies_answer_the_same(tmp_path: Path) -> None:
    night(tmp_path)
    before = {name: light_curve(tmp_path, name) for name in ("s0", "s1", "s2")}
    assert len(copied(tmp_path)) == 2
    assert len(epoch_files(tmp_path, "mosaic", None, None)) == 2
    for name, curve in before.items():
        same(light_curve(tmp_path, name), curve)
    start, end = MJDS[1], MJDS[7]
    part = light_curve(tmp_path, "s1", start_mjd=start, end_mjd=end)
    np.testing.assert_array_equal(part.mid_mjd, MJDS[1:7])
    # Nothing to do when nothing changed.
    assert copied(tmp_path) == ()


def test_an_epoch_that_was_measured_anew_counts_once(tmp_path: Path) -> None:
    night(tmp_path)
    copied(tmp_path)
    write(tmp_path, MJDS[3], (9.0, 9.0, 9.0))
    for _ in range(2):
        curve = light_curve(tmp_path, "s2")
        np.testing.assert_array_equal(curve.mid_mjd, MJDS)
        assert np.flatnonzero(curve.flux_jy == 9.0).tolist() == [3]
        assert len(copied(tmp_path)) == (1 if _ == 0 else 0)


def test_an_epoch_that_was_removed_is_gone(tmp_path: Path) -> None:
    night(tmp_path)
    copied(tmp_path)
    (gone,) = (tmp_path / "mosaic").rglob(f"{MJDS[2]:.5f}*")
    gone.unlink()
    left = [m for m in MJDS if m != MJDS[2]]
    for _ in range(2):
        np.testing.assert_array_equal(light_curve(tmp_path, "s1").mid_mjd, left)
        copied(tmp_path)
    # And a whole day with its directory.
    (last,) = (tmp_path / "mosaic" / f"{int(MJDS[2])}").iterdir()
    last.unlink()
    last.parent.rmdir()
    np.testing.assert_array_equal(light_curve(tmp_path, "s1").mid_mjd, left[:2] + left[3:])


def test_a_period_that_is_gone_leaves_no_copy(tmp_path: Path) -> None:
    write(tmp_path, MJDS[0])
    write(tmp_path, MJDS[-1])
    assert len(copied(tmp_path)) == 2
    (gone,) = (tmp_path / "mosaic" / f"{int(MJDS[0])}").iterdir()
    gone.unlink()
    gone.parent.rmdir()
    copied(tmp_path)
    assert len(list((tmp_path / "by_source" / "mosaic").iterdir())) == 1


def test_an_epoch_that_came_late_is_there(tmp_path: Path) -> None:
    night(tmp_path)
    copied(tmp_path)
    # On a day that has others, and on one of its own.
    late = [MJDS[0] + 0.2, FIRST + 5]
    for mjd in late:
        write(tmp_path, mjd)
    for _ in range(2):
        np.testing.assert_array_equal(light_curve(tmp_path, "s1").mid_mjd, sorted(MJDS + late))
        copied(tmp_path)


def test_years_are_read_from_long_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In which each source is in one part; other queries read the copies of periods."""
    monkeypatch.setattr(long_copies, "ROWS_IN_PART", 10)
    monkeypatch.setattr(copies, "_ROWS_IN_GROUP", 4)
    night(tmp_path)
    later = [mjd + PERIOD_DAYS * PERIODS for mjd in MJDS[:3]]
    for mjd in later:
        write(tmp_path, mjd)
    names = ("s0", "s1", "s2")
    before = {name: light_curve(tmp_path, name) for name in names}
    (long,) = [place for place in copied(tmp_path) if place.is_dir()]
    parts = sorted(long.glob("*.parquet"))
    assert len(parts) > 1
    for name, curve in before.items():
        opened = [Path(file) for file in epoch_files(tmp_path, "mosaic", None, None, name)]
        assert [path.parent for path in opened] == [long, long.parent]
        same(light_curve(tmp_path, name), curve)
    assert len(epoch_files(tmp_path, "mosaic", None, None)) == 3
    assert epoch_files(tmp_path, "mosaic", later[0], None, "s1") == [str(opened[1])]
    with pytest.raises(PhotometryFailed, match="similar: s"):
        light_curve(tmp_path, "a source before all")
    assert copied(tmp_path) == ()
    # A late epoch, and then the long copy with it.
    write(tmp_path, FIRST + 5)
    for _ in range(2):
        mjds = sorted([*MJDS, FIRST + 5, *later])
        np.testing.assert_array_equal(light_curve(tmp_path, "s1").mid_mjd, mjds)
        made = copied(tmp_path)
    assert made == ()
    # A damaged part is made again.
    parts[-1].write_bytes(parts[-1].read_bytes()[:50])
    np.testing.assert_array_equal(light_curve(tmp_path, "s2").mid_mjd, mjds)
    assert copied(tmp_path) == (long,)
    # What is gone leaves nothing.
    for mjd in [*MJDS, FIRST + 5]:
        remove_tree(tmp_path / "mosaic" / f"{int(mjd)}", ignore_errors=True)
    copied(tmp_path)
    assert not long.exists()
    np.testing.assert_array_equal(light_curve(tmp_path, "s2").mid_mjd, later)


def test_it_says_what_it_sorts(tmp_path: Path) -> None:
    night(tmp_path)
    time.sleep(0.06)
    said: list[str] = []
    copy_by_source(tmp_path, "mosaic", lambda message, share: said.append(message))
    first = PERIOD_DAYS * (int(FIRST) // PERIOD_DAYS)
    assert said == [
        f"sorting mosaic epochs from MJD {first}",
        f"sorting mosaic epochs from MJD {first + PERIOD_DAYS}",
    ]


def test_a_day_that_still_changes_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_SETTLED_NS", 3600 * 10**9)
    night(tmp_path)
    assert copy_by_source(tmp_path, "mosaic") == ()
    assert len(light_curve(tmp_path, "s1")) == len(MJDS)


def test_a_damaged_copy_is_made_anew(tmp_path: Path) -> None:
    night(tmp_path)
    (first, _) = copied(tmp_path)
    first.write_bytes(first.read_bytes()[:100])
    assert len(light_curve(tmp_path, "s1")) == len(MJDS)
    assert copied(tmp_path) == (first,)
    assert len(light_curve(tmp_path, "s1")) == len(MJDS)


@pytest.mark.parametrize(
    "name",
    ["o'neill", '"; DROP TABLE x; --', "../../etc/passwd", "J1331+305 \u03b1", "a%_b", "$source"],
)
def test_any_text_is_a_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, MJDS[0], names=("plain", name, "other"))
    copied(tmp_path)
    curve = light_curve(tmp_path, name)
    assert curve.source_id == name
    np.testing.assert_allclose(curve.flux_jy, [0.1])
    history = read_history(tmp_path, sources((name,)), "mosaic", MJDS[0] + 1)
    assert history.n_epochs.tolist() == [1]


@pytest.mark.parametrize("name", ["with 'quotes' and spaces", "brackets [0-9]", "star *?"])
def test_any_directory_will_do(tmp_path: Path, name: str) -> None:
    night(tmp_path / name)
    assert len(light_curve(tmp_path / name, "s1")) == len(MJDS)
    copied(tmp_path / name)
    assert len(light_curve(tmp_path / name, "s1")) == len(MJDS)
    history = read_history(tmp_path / name, sources(), "mosaic", MJDS[5] + 0.01)
    assert history.n_epochs.max() == 6


def test_a_directory_whose_name_looks_like_a_pattern_is_itself_alone(tmp_path: Path) -> None:
    for name in ("night?", "night*", "night[12]", "night1"):
        write(tmp_path / name, MJDS[0])
        for with_copies in (False, True):
            assert len(light_curve(tmp_path / name, "s1")) == 1
            if not with_copies:
                copied(tmp_path / name)


def test_an_unknown_source_names_similar_ones(tmp_path: Path) -> None:
    write(tmp_path, MJDS[0], names=("J133108+303032", "J0137+3309", "J0542+4951"))
    with pytest.raises(PhotometryFailed, match=r"'J133108\+303023'.*similar: J133108\+303032"):
        light_curve(tmp_path, "J133108+303023")


def test_nothing_measured_yet(tmp_path: Path) -> None:
    with pytest.raises(PhotometryFailed, match="no mosaic was measured yet"):
        light_curve(tmp_path, "s1")
    write(tmp_path, MJDS[0], kind="image")
    with pytest.raises(PhotometryFailed, match="no mosaic was measured yet"):
        light_curve(tmp_path, "s1")


def test_nothing_in_the_time_that_was_asked_for(tmp_path: Path) -> None:
    night(tmp_path)
    for start in (MJDS[1] + 0.1, MJDS[-1] + 100):
        with pytest.raises(PhotometryFailed, match="between MJD"):
            light_curve(tmp_path, "s1", start_mjd=start, end_mjd=start + 0.01)


def test_images_and_mosaics_stay_apart(tmp_path: Path) -> None:
    night(tmp_path)
    write(tmp_path, MJDS[0], (7.0, 7.0, 7.0), kind="image")
    time.sleep(0.06)
    for kind in ("image", "mosaic"):
        copy_by_source(tmp_path, kind)
    assert light_curve(tmp_path, "s1", "image").flux_jy.tolist() == [7.0]
    assert set(light_curve(tmp_path, "s1", "image").kind) == {"image"}
    assert len(light_curve(tmp_path, "s1")) == len(MJDS)


def test_a_damaged_epoch_is_named(tmp_path: Path) -> None:
    night(tmp_path)
    (damaged,) = (tmp_path / "mosaic").rglob(f"{MJDS[2]:.5f}*")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(UnreadableMeasurements, match=damaged.name.replace("+", r"\+")):
        light_curve(tmp_path, "s1")
    with pytest.raises(UnreadableMeasurements, match=damaged.name.replace("+", r"\+")):
        read_history(tmp_path, sources(), "mosaic", MJDS[5])
    # Its days are read from their own files then; those of other periods are copied.
    period = int(MJDS[2] // PERIOD_DAYS * PERIOD_DAYS)
    assert f"{period}.parquet" not in [copy.name for copy in copied(tmp_path)]


def test_the_partial_file_of_a_writer_is_no_epoch(tmp_path: Path) -> None:
    write(tmp_path, MJDS[0])
    (tmp_path / "mosaic" / f"{int(MJDS[0])}" / ".x.parquet").write_bytes(b"half")
    (tmp_path / "mosaic" / f"{int(MJDS[0])}" / ".y.partial").write_bytes(b"half")
    (tmp_path / "mosaic" / "notes").mkdir()
    assert len(light_curve(tmp_path, "s1")) == 1


@pytest.mark.parametrize("with_copies", [False, True])
def test_history_is_what_numpy_says(tmp_path: Path, with_copies: bool) -> None:
    rng = np.random.default_rng(0)
    flux = 0.2 + 0.01 * rng.standard_normal((12, 3))
    flux[3, 1] = np.nan
    errors = rng.uniform(0.005, 0.02, 12)
    mjds = FIRST + np.arange(12) * 1.3
    for mjd, row, error in zip(mjds, flux, errors, strict=True):
        write(tmp_path, mjd, row, error_jy=error, ok=mjd != mjds[5])
    if with_copies:
        copied(tmp_path)
    asked = sources(("s1", "never", "s0", "s2"))
    told = read_history(tmp_path, asked, "mosaic", mjds[11], days=11.8)
    # The last one is the epoch itself, the first ones are too old, the sixth is bad.
    used = (mjds >= mjds[11] - 11.8) & (mjds < mjds[11]) & (mjds != mjds[5])
    assert used.sum() == 8
    for place, column in ((0, 2), (2, 1), (3, 0)):
        good = used & np.isfinite(flux[:, column])
        values, w = flux[good, column], 1 / errors[good] ** 2
        n = int(good.sum())
        assert told.n_epochs[place] == n
        assert told.median_flux_jy[place] == pytest.approx(np.median(values))
        mean = (w * values).sum() / w.sum()
        eta = (w * (values - mean) ** 2).sum() / (n - 1)
        assert told.eta[place] == pytest.approx(eta, rel=1e-6)
    assert (told.n_epochs[1], np.isnan(told.median_flux_jy[1])) == (0, True)


def test_without_history_there_is_none(tmp_path: Path) -> None:
    told = read_history(tmp_path, sources(), "mosaic", MJDS[0])
    assert told.n_epochs.tolist() == [0, 0, 0]
    assert np.isnan(told.median_flux_jy).all()
    assert np.isnan(told.eta).all()
    write(tmp_path, MJDS[0])
    told = read_history(tmp_path, sources(), "mosaic", MJDS[0] + 1)
    assert told.n_epochs.tolist() == [1, 1, 1]
    assert np.isnan(told.eta).all()
