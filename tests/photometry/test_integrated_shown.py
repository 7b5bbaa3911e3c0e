"""The integrated flux density of an extended source stands beside its peak wherever that is."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from contimg_resources.cli.main import run
from contimg_resources.export.model import LightCurves as Document
from contimg_resources.export.pages import split
from contimg_resources.export.sources import light_curves_document
from contimg_resources.export.tables import write_points_parquet
from contimg_resources.photometry.light_curves import light_curve
from contimg_resources.photometry.measurements import write_measurements
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import Flag
from contimg_resources.settings import Settings
from contimg_resources.simulation.meridian import next_transit_mjd
from contimg_resources.variability.model import LightCurves, Structure
from contimg_resources.variability.points import gather_day, points_path, read_points, write_points
from tests.photometry import epochs
from tests.photometry.hand_made import HandMade

WIDE, NARROW = "s60", "s61"
WIDTHS = (1.5, 1.2)


@dataclass(frozen=True)
class Measured:
    """A state with an epoch of sources that are 1.8 times as large as the beam, but for one."""

    state: Path
    truth_jy: float
    day: int

    def points(self) -> LightCurves:
        return read_points(Settings(state=self.state).layout.light_curves)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    state = tmp_path_factory.mktemp("integrated")
    layout = Settings(state=state).layout
    made = HandMade(5, snr=(200.0,), widths=WIDTHS, spacing=34)
    sources = made.sources()
    mjd = next_transit_mjd(180.0, 54.0, 61_041.0)
    image = replace(made.image(made.pixels_jy()), kind="mosaic", epoch="mosaic", mid_mjd=mjd)
    raw = measure(image, sources)
    assert raw.flags[60] & Flag.EXTENDED
    flags = raw.flags.copy()
    flags[61] = 0
    path = layout.photometry / "mosaic" / f"{int(mjd)}" / "mosaic.parquet"
    scale = epochs.scale(len(sources))
    write_measurements(path, image, sources, replace(raw, flags=flags), scale)
    write_points(layout.light_curves, gather_day(layout.photometry, math.floor(mjd)))
    return Measured(state, float(made.flux_jy()[60] * WIDTHS[0] * WIDTHS[1]), math.floor(mjd))


def test_in_a_light_curve(measured: Measured) -> None:
    curve = light_curve(Settings(state=measured.state).layout.photometry, WIDE)
    assert curve.integrated_flux_jy == pytest.approx(measured.truth_jy, rel=0.03)
    assert abs(curve.integrated_flux_jy[0] - measured.truth_jy) < 4 * curve.integrated_error_jy[0]
    assert curve.flux_jy[0] < 0.8 * measured.truth_jy, "the peak of a matched filter is lower"


def test_in_the_points_of_flagged_sources_alone(measured: Measured) -> None:
    points = measured.points()
    wide, narrow = (points.of(points.source_id.tolist().index(n)) for n in (WIDE, NARROW))
    assert len(points.integrated_jy[wide]) == len(points.integrated_jy[narrow]) > 0
    assert points.integrated_jy[wide] == pytest.approx(measured.truth_jy, rel=0.03)
    assert (points.integrated_error_jy[wide] > 0).all()
    assert np.isnan(points.integrated_jy[narrow]).all()


def test_in_the_document_and_the_table_of_the_export(measured: Measured, tmp_path: Path) -> None:
    points = measured.points()
    (page,) = split(light_curves_document(points, Structure.empty()))
    found = {c.source_id: c for c in Document.model_validate_json(page.data).light_curves}
    assert found[WIDE].integrated_mjy == pytest.approx((1e3 * measured.truth_jy,), rel=0.03)
    assert found[WIDE].integrated_error_mjy is not None
    assert found[NARROW].integrated_mjy is None
    assert b"integrated" not in page.data.partition(f'"{NARROW}"'.encode())[2].partition(b"}")[0]
    write_points_parquet(tmp_path / "points.parquet", points)
    table = pq.read_table(tmp_path / "points.parquet").to_pydict()
    by_id = dict(zip(table["source_id"], table["integrated_mjy"], strict=True))
    assert by_id[WIDE] == pytest.approx(1e3 * measured.truth_jy, rel=0.03)
    assert by_id[NARROW] is None


def test_on_the_command_line(measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(measured.state)]
    assert run(["lightcurve", WIDE, *state, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["integrated_flux_jy"] == pytest.approx(measured.truth_jy, rel=0.03)
    assert row["extended"] is True
    assert run(["lightcurve", WIDE, *state]) == 0
    shown = capsys.readouterr().out
    assert "integrated (mJy)" in shown
    assert f"{1e3 * row['integrated_flux_jy']:.2f}" in shown
    assert run(["lightcurve", NARROW, *state]) == 0
    assert "integrated" not in capsys.readouterr().out


def test_files_that_are_older_have_none(measured: Measured, tmp_path: Path) -> None:
    layout, older = (Settings(state=s).layout for s in (measured.state, tmp_path))
    for file in (
        *(layout.photometry / "mosaic").rglob("*.parquet"),
        points_path(layout.light_curves, measured.day),
    ):
        table = pq.read_table(file).drop_columns(["integrated_flux_jy", "integrated_error_jy"])
        place = tmp_path / file.relative_to(measured.state)
        place.parent.mkdir(parents=True)
        pq.write_table(table, place)
    curve = light_curve(older.photometry, WIDE)
    assert len(curve.integrated_flux_jy) == len(curve.flux_jy) > 0
    assert np.isnan(curve.integrated_flux_jy).all()
    assert (curve.flux_jy > 0).all()
    points = read_points(older.light_curves)
    assert len(points) > 61
    assert np.isnan(points.integrated_jy).all()
    again = gather_day(older.photometry, measured.day).columns
    assert len(again["integrated_flux_jy"]) > 61
    assert np.isnan(again["integrated_flux_jy"]).all()
