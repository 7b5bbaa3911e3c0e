"""`contimg lightcurves`: what others measured, from a file to candidates and the export."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from contimg_resources.alerts.candidates import is_told
from contimg_resources.cli.main import run
from contimg_resources.products.events import CandidateState
from contimg_resources.settings import Settings
from contimg_resources.simulation.light_curves import (
    Event,
    Watch,
    steady_light_curves,
    with_events,
    write_light_curves,
)
from contimg_resources.steps.candidates import watched_sources
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.templates import bank
from tests.variability.curves import search

START = 44_300.0
MIDDLE = START + 300.0
WIDTH_DAYS = 60.0
DEPTH = 0.45
SIX = (58_000.0, 58_050.0, 58_130.0, 58_200.0, 58_280.0, 58_400.0)
SIX_MJY = (310.0, 295.0, 400.0, 280.0, 305.0, 330.0)
SIX_ERRORS_MJY = (5.0, 6.0, 5.0, 7.0, 5.0, 6.0)


def plain_event(days: np.ndarray) -> np.ndarray:
    """Return the relative flux density of a dip between two maxima, by a formula of its own."""
    u = np.abs(days - MIDDLE) / WIDTH_DAYS
    dip = DEPTH / (1 + (2 * u) ** 8)
    maxima = 0.08 * np.exp(-0.5 * ((u - 0.8) / 0.15) ** 2)
    return np.asarray(1 - dip + maxima)


def write_archive(path: Path, *, with_dip: bool = True) -> Path:
    """Write a long table: a source of 1980 with a dip, a steady one, six epochs, bad ones."""
    random = np.random.default_rng(8)
    # A year and a half of nights with a gap of two months.
    days = START + np.sort(random.choice(550, 400, replace=False)) + 0.3
    days = days[(days < START + 420) | (days > START + 480)]
    lines = ["source,ra,dec,mjd,flux_mJy,e_flux"]
    for name, place in (("0954+658", "149.697,65.565"), ("steady one", ",")):
        dips = plain_event(days) if with_dip and place != "," else np.ones(len(days))
        flux = 800.0 * dips + 25.0 * random.standard_normal(len(days))
        rows = [f"{name},{place},{t:.5f},{f:.3f},25" for t, f in zip(days, flux, strict=True)]
        lines += [rows[i] for i in random.permutation(len(rows))]
    lines += [f"six,,,{t},{f},{e}" for t, f, e in zip(SIX, SIX_MJY, SIX_ERRORS_MJY, strict=True)]
    lines += [
        "six,,,58500,nan,5",
        "constant,,,58000,7,0",
        "two,,,58000,-0.5,1",
        "two,,,58001,0.6,1",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state that an archive was added to."""
    root = tmp_path_factory.mktemp("lightcurves")
    archive = write_archive(root / "archive.csv")
    assert run(["lightcurves", "add", str(archive), "--state", str(root / "state")]) == 0
    return root / "state"


def told(capsys: Any, *arguments: str) -> Any:
    capsys.readouterr()
    assert run(list(arguments)) == 0
    return json.loads(capsys.readouterr().out)


def test_a_list_can_be_tried_before_it_is_added(state: Path, tmp_path: Path, capsys: Any) -> None:
    file, options = write_archive(tmp_path / "tried.csv"), ("--state", str(state))
    tried = told(capsys, "lightcurves", "add", str(file), "--dry-run", "--json", *options)
    assert len(tried["candidates"]) == 1
    assert tried["path"] is None
    listed = told(capsys, "lightcurves", "list", "--json", *options)
    assert [one["name"] for one in listed] == ["archive"]
    assert len(told(capsys, "candidates", "list", "--json", *options)) == 1


def test_a_dip_in_a_light_curve_of_others_is_a_candidate(state: Path, capsys: Any) -> None:
    (listed,) = told(capsys, "candidates", "list", "--json", "--state", str(state))
    candidate = listed["candidate"]
    assert candidate["source_id"] == "archive:0954+658"
    assert candidate["state"] == "complete"
    assert candidate["mid_mjd"] == pytest.approx(MIDDLE, abs=3)
    assert candidate["parameters"]["depth"] == pytest.approx(DEPTH, abs=0.06)
    assert candidate["parameters"]["width_days"] == pytest.approx(WIDTH_DAYS, rel=0.15)
    assert candidate["ra_deg"] == pytest.approx(149.697)
    assert candidate["evidence"]["added_list"] == "archive"
    assert candidate["evidence"]["added_from"] == "archive.csv"
    card = Settings(state=state).layout.candidates / f"{candidate['id']}.png"
    assert card.read_bytes().endswith(b"IEND\xaeB`\x82")


def test_metrics_are_those_of_the_published_formulas_for_six_epochs_too(
    state: Path, capsys: Any
) -> None:
    shown = told(capsys, "lightcurves", "show", "archive", "--json", "--state", str(state))
    six = next(s for s in shown["sources"] if s["source_id"] == "archive:six")
    flux, weight = np.array(SIX_MJY), 1 / np.square(SIX_ERRORS_MJY)
    mean = [np.mean(weight * flux**2), np.mean(weight * flux), np.mean(weight)]
    assert six["n_epochs"] == 6
    assert six["eta"] == pytest.approx(6 / 5 * (mean[0] - mean[1] ** 2 / mean[2]), rel=1e-3)
    assert six["v"] == pytest.approx(np.std(flux, ddof=1) / np.mean(flux), rel=1e-3)
    assert six["mean_flux_mjy"] == pytest.approx(mean[1] / mean[2], rel=1e-3)
    assert six["is_variable"], "eta of 86 with five degrees of freedom"
    steady = next(s for s in shown["sources"] if s["source_id"] == "archive:steady_one")
    assert not steady["is_variable"]
    assert steady["eta"] == pytest.approx(1.0, abs=0.25)


def test_each_rejected_row_and_source_is_named_with_its_reason(state: Path, capsys: Any) -> None:
    shown = told(capsys, "lightcurves", "show", "archive", "--json", "--state", str(state))
    rejected = {(r["source"], r["reason"]): r["n"] for r in shown["list"]["rejected"]}
    assert rejected == {("six", "no flux density"): 1, ("constant", "error is 0"): 1}
    searched = search(Workshop.from_settings(Settings(state=state)), 61_000)
    assert {u.source_id: u.reason for u in searched.unsearched} == {
        "archive:six": "fewer than 8 measurements",
        "archive:two": "fewer than 8 measurements",
    }


def test_the_nightly_search_has_them_whatever_its_day(state: Path, capsys: Any) -> None:
    found = told(capsys, "variability", "2026-01-31", "--json", "--state", str(state))
    assert [c["source_id"] for c in found["candidates"]] == ["archive:0954+658"]
    assert {v["source_id"] for v in found["variables"]} == {"archive:0954+658", "archive:six"}
    workshop = Workshop.from_settings(Settings(state=state))
    again = search(workshop, 59_000)
    assert (again.new, again.withdrawn) == ((), ())
    assert watched_sources(workshop) == frozenset(), "there are no images to cut"
    (candidate,) = again.candidates
    assert not is_told(candidate, None), "an event of 1981 is no news"
    assert is_told(replace(candidate, end_mjd=float(candidate.first_day)), None)


def test_without_any_mosaic_the_metrics_of_all_sources_are_shown(state: Path, capsys: Any) -> None:
    found = told(capsys, "variability", "--all", "--json", "--state", str(state))
    shown = {s["source_id"]: s["n_epochs"] for s in found["sources"]}
    assert shown["archive:six"] == 6
    assert shown["archive:two"] == 2
    assert len(shown) == 4


def test_lists_and_the_platforms_own_light_curves_do_not_touch_each_other(
    state: Path, tmp_path: Path
) -> None:
    def platform(root: Path) -> Workshop:
        workshop = Workshop.from_settings(Settings(state=root))
        curves = steady_light_curves(6, Watch(n_days=150), np.random.default_rng(1))
        event = Event(bank(("fiedler",))[1], curves.mid_mjd[0] + 75, 25.0, 0.4)
        write_light_curves(workshop.settings.layout.light_curves, with_events(curves, {3: event}))
        return workshop

    alone = search(platform(tmp_path / "alone"), 60_900)
    together = platform(shutil.copytree(state, tmp_path / "state"))
    both = search(together, 60_900)
    assert both.threshold == alone.threshold
    assert {c.source_id for c in both.candidates} == {"steady-000003", "archive:0954+658"}
    (own,) = alone.candidates
    same = next(c for c in both.candidates if c.added_list is None)
    # A number that isn't known isn't equal to itself.
    same_evidence = repr(same.evidence) == repr(own.evidence)
    assert (same.id, same.score, same_evidence) == (own.id, own.score, True)
    # The next list withdraws nothing of the platform, nor the platform of a list.
    assert search(together, 60_900).withdrawn == ()


def test_events_of_agn_that_vary_by_themselves_are_found(tmp_path: Path, capsys: Any) -> None:
    # Standard deviation and memory (days) of the walk of ln S, and jitter: AGN at 2.25 GHz.
    agn = ((0.03, 36, 0.03), (0.13, 68, 0.03), (0.18, 134, 0.03))
    random = np.random.default_rng(4)
    lines = ["object JD S_Jy S_err"]
    for number, (sigma, memory_days, jitter) in enumerate(agn):
        days = START + np.sort(random.choice(730, 350, replace=False))
        walk = np.zeros(len(days))
        walk[0] = sigma * random.standard_normal()
        for i, gap in enumerate(np.diff(days), 1):
            kept = np.exp(-gap / memory_days)
            walk[i] = kept * walk[i - 1] + sigma * np.sqrt(1 - kept**2) * random.standard_normal()
        flux = np.exp(walk + jitter * random.standard_normal(len(days))) * plain_event(days)
        flux += 0.05 * random.standard_normal(len(days))
        lines += [
            f"agn{number} {t + 2_400_000.5} {f} 0.05" for t, f in zip(days, flux, strict=True)
        ]
    table = tmp_path / "agn.txt"
    table.write_text("\n".join(lines) + "\n")
    options = ["--state", str(tmp_path / "state")]
    found = told(capsys, "lightcurves", "add", str(table), "--json", *options)["candidates"]
    assert all(abs(c["mid_mjd"] - MIDDLE) < WIDTH_DAYS / 2 for c in found)
    assert len({c["source_id"] for c in found}) == 3


def test_a_list_that_cannot_be_read_does_not_stop_the_others(
    state: Path, tmp_path: Path, capsys: Any
) -> None:
    mine = shutil.copytree(state, tmp_path / "state")
    layout = Settings(state=mine).layout
    (layout.added_light_curves / "broken.parquet").write_bytes(b"PAR1 no")
    searched = search(Workshop.from_settings(Settings(state=mine)), 61_000)
    assert len(searched.candidates) == 1
    assert "broken.parquet holds no light curves" in searched.failed_lists["broken"]
    assert run(["lightcurves", "list", "--state", str(mine)]) == 1
    printed = capsys.readouterr()
    assert "archive" in printed.out
    assert "broken.parquet holds no light curves" in printed.err


def test_adding_again_replaces_and_removing_withdraws(
    state: Path, tmp_path: Path, capsys: Any
) -> None:
    mine = shutil.copytree(state, tmp_path / "state")
    events = Workshop.from_settings(Settings(state=mine)).products.events
    (first,) = events.list_candidates()
    options = ["--state", str(mine)]
    archive = write_archive(tmp_path / "archive.csv")
    assert run(["lightcurves", "add", str(archive), *options]) == 0
    assert events.list_candidates()[0].id == first.id
    steady = write_archive(tmp_path / "steady.csv", with_dip=False)
    command = ["lightcurves", "add", str(steady), "--name", "archive"]
    replaced = told(capsys, *command, "--json", *options)
    assert replaced["replaced"]
    assert replaced["candidates"] == []
    assert [c.state for c in events.list_candidates()] == [CandidateState.WITHDRAWN]
    assert run(["lightcurves", "add", str(archive), *options]) == 0
    (back,) = events.list_candidates()
    assert (back.id, back.state) == (first.id, CandidateState.COMPLETE)
    capsys.readouterr()
    assert run(["lightcurves", "remove", "archive", "--dry-run", "--json", *options]) == 0
    tried = json.loads(capsys.readouterr().out)
    assert (tried["removed"], len(tried["withdrawn"])) == (False, 1)
    assert run(["lightcurves", "show", "archive", *options]) == 0
    assert run(["lightcurves", "remove", "archive", *options]) == 0
    assert [c.state for c in events.list_candidates()] == [CandidateState.WITHDRAWN]
    assert told(capsys, "lightcurves", "list", "--json", *options) == []
    assert run(["lightcurves", "remove", "archive", *options]) == 1
    assert "no list of light curves 'archive'" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_costs_itself_alone_and_none_leaves_nothing(
    tmp_path: Path, capsys: Any
) -> None:
    options = ["--state", str(tmp_path / "state")]
    curves = steady_light_curves(1, Watch(n_days=300), np.random.default_rng(2))
    shape = bank(("fiedler",))[1]
    curves = with_events(curves, {0: Event(shape, curves.mid_mjd[0] + 150, 40.0, DEPTH)})
    good = tmp_path / "3C 286.txt"
    rows = zip(curves.mid_mjd + 2_400_000.5, curves.flux_jy, curves.error_jy, strict=True)
    good.write_text("JD S_Jy S_err\n" + "".join(f"{t} {f} {e}\n" for t, f, e in rows))
    bad = tmp_path / "bad.csv"
    bad.write_text("mjd,flux,err\n58000,1,0.1\n")
    assert run(["lightcurves", "add", str(bad), *options]) == 1
    assert f"{bad}: column flux states no unit" in capsys.readouterr().err
    assert not Settings(state=tmp_path / "state").layout.added_light_curves.exists()
    command = ["lightcurves", "add", str(bad), str(good), "--name", "mine", *options]
    assert run(command) == 1
    printed = capsys.readouterr()
    assert f"not added: {bad}: column flux states no unit" in printed.err
    assert "mine:3C_286" in printed.out
    (listed,) = told(capsys, "candidates", "list", "--json", *options)
    assert listed["candidate"]["source_id"] == "mine:3C_286"
    assert listed["candidate"]["parameters"]["depth"] == pytest.approx(DEPTH, abs=0.05)
    assert listed["candidate"]["ra_deg"] is None
    assert run(["candidates", "show", listed["candidate"]["id"], *options]) == 0
    assert run(["lightcurves", "add", str(good), "--column", "flu=S", *options]) == 2
    assert "source, time, flux, error, ra, dec, frequency" in capsys.readouterr().err
    assert run(["lightcurves", "add", str(good), "--name", "../x", *options]) == 2


def test_why_says_where_a_list_and_its_card_are_from(state: Path, capsys: Any) -> None:
    layout = Settings(state=state).layout
    path = layout.added_light_curves / "archive.parquet"
    (card,) = layout.candidates.glob("*.png")
    assert run(["why", str(path), "--state", str(state)]) == 0
    assert "archive.csv" in capsys.readouterr().out
    assert run(["why", str(card), "--state", str(state)]) == 0
    assert f"made from: {path}" in capsys.readouterr().out


def test_documents_and_tables_show_them_with_and_without_positions(
    state: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(state, tmp_path / "state")
    layout = Settings(state=mine).layout
    (layout.added_light_curves / "broken.parquet").write_bytes(b"PAR1 no")
    assert run(["export", "--state", str(mine)]) == 0
    index = json.loads((layout.export / "index.json").read_text())
    pages = {
        name: [json.loads((layout.export / page["path"]).read_text()) for page in found]
        for name, found in index["pages"].items()
    }
    (sources,) = pages["sources"]
    assert sources["source_id"] == [
        f"archive:{n}" for n in ("0954+658", "six", "steady_one", "two")
    ]
    assert sources["ra_deg"] == [149.697, None, None, None]
    assert sources["n_epochs"][1] == 6
    assert sources["is_variable"] == [True, True, False, False]
    (variables,) = pages["variables"]
    assert [v["source_id"] for v in variables["variables"]] == ["archive:0954+658", "archive:six"]
    (curves,) = pages["light_curves"]
    six = curves["light_curves"][1]
    assert (six["mid_mjd"], six["flux_mjy"]) == (list(SIX), list(SIX_MJY))
    (card,) = pages["candidates"][0]["candidates"]
    assert (card["added_list"], card["cutouts"]) == ("archive", [])
    assert (layout.export / card["card_png"]).is_file()
    assert any("broken.parquet holds no light curves" in p for p in index["status"]["problems"])
    assert index["status"]["n_candidates_in_progress"] == 0
    table = Table.read(layout.export / "tables" / "candidates.vot")
    assert table["added_list"].tolist() == ["archive"]


def test_one_of_them_is_shown_and_drawn_and_has_no_cutouts(
    state: Path, tmp_path: Path, capsys: Any
) -> None:
    options = ["--state", str(state)]
    rows = told(capsys, "lightcurve", "archive:six", "--json", *options)
    assert [(r["mid_mjd"], r["flux_jy"]) for r in rows] == [
        (t, pytest.approx(1e-3 * f)) for t, f in zip(SIX, SIX_MJY, strict=True)
    ]
    drawn = tmp_path / "six.png"
    assert run(["lightcurve", "archive:six", "--plot", str(drawn), *options]) == 0
    assert drawn.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert run(["lightcurve", "archive:sixx", *options]) == 1
    assert "no source 'archive:sixx'; similar: archive:six" in capsys.readouterr().err
    assert run(["cutout", "archive:six", *options]) == 1
    assert "is an added light curve (list archive): it has no images" in capsys.readouterr().err


def test_bands_of_a_source_are_not_its_neighbours(tmp_path: Path, capsys: Any) -> None:
    random = np.random.default_rng(3)
    days = START + np.arange(150.0, 450.0, 3.0)
    lines = ["object,ra,dec,mjd,freq_GHz,S_Jy,S_err"]
    for ghz in (2.3, 4.8, 8.4, 15.0, 22.0):
        flux = plain_event(days) + 0.03 * random.standard_normal(len(days))
        lines += [
            f"0954+658,149.7,65.6,{t},{ghz},{f},0.03" for t, f in zip(days, flux, strict=True)
        ]
    table = tmp_path / "my bands (1).csv"
    table.write_text("\n".join(lines) + "\n")
    options = ["--state", str(tmp_path / "state")]
    found = told(capsys, "lightcurves", "add", str(table), "--json", *options)["candidates"]
    bands = ("2.3GHz", "4.8GHz", "8.4GHz", "15GHz", "22GHz")
    names = {f"my_bands__1:0954+658:{band}" for band in bands}
    assert {c["source_id"] for c in found} == names
    assert all(c["evidence"]["neighbours"] == [] for c in found)
    assert run(["lightcurves", "add", str(table), "--name", "a:b", *options]) == 2
    assert "'a:b' is not a valid name of a list: it contains a colon" in capsys.readouterr().err
