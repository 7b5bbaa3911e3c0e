"""Sources, light curves, variables, and the tables for people's own tools."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.export import tables
from contimg_resources.export.model import Sources, Variables
from contimg_resources.export.pages import decimals, finite, significant, split
from contimg_resources.export.sources import (
    light_curves_document,
    sound_points,
    source_columns,
    sources_document,
    variables_document,
)
from contimg_resources.products.events import Mark, MarkRecord
from contimg_resources.variability.model import Structure
from tests.export.made_up import MJD, candidate, light_curves, variability


def test_sources_with_points_or_with_measures_are_all_there() -> None:
    points = light_curves(3, 4, names=["b", "c", "d"])
    measures = variability(light_curves(3, 4, names=["a", "b", "é"], seed=5), (1,))
    sources = source_columns(points, measures)
    (page,) = split(sources_document(sources, {"b": 0, "d": 7}, {"c": (-0.71, 0.2)}))
    found = Sources.model_validate_json(page.data)
    assert found.source_id == ("a", "b", "c", "d", "é")
    assert found.is_variable == (False, True, False, False, False)
    assert found.light_curve_page == (None, 0, None, 7, None)
    assert [e is None for e in found.eta] == [False, False, True, True, False]
    assert found.mean_flux_mjy[1] == round(1e3 * measures.mean_flux_jy[1], 4)
    # Not judged yet: the mean of its points.
    assert found.mean_flux_mjy[2] == pytest.approx(1e3 * points.flux_jy[4:8].mean(), abs=1e-4)
    assert found.spectral_index == (None, None, -0.71, None, None)
    assert found.spectral_index_error == (None, None, 0.2, None, None)
    assert page.labels == found.source_id


def test_variables_are_told_with_how_they_were_selected() -> None:
    measures = variability(light_curves(5, 4), (1, 3))
    (page,) = split(variables_document(measures))
    found = Variables.model_validate_json(page.data)
    assert [v.source_id for v in found.variables] == measures.source_id[[1, 3]].tolist()
    assert (found.day_mjd, found.systematic_floor, found.n_references) == (61_040, 0.02, 12)
    assert found.threshold_eta == (2.0, 3.0)
    (empty,) = split(variables_document(None))
    assert Variables.model_validate_json(empty.data) == Variables(variables=())


def test_points_that_are_sound_are_not_copied_and_others_are_dropped() -> None:
    points = light_curves(3, 2)
    assert sound_points(points) is points
    points.mid_mjd[0] = np.inf
    points.dec_deg[1] = np.nan
    sound = sound_points(points)
    # A light curve that was added may have no position.
    assert sound.source_id.tolist() == points.source_id.tolist()
    assert sound.offsets.tolist() == [0, 1, 3, 5]
    assert sound.flux_jy.tolist() == points.flux_jy[1:].tolist()


def test_a_source_without_points_has_no_curve() -> None:
    points = light_curves(2, 0)
    (page,) = split(light_curves_document(points, Structure.empty()))
    assert json.loads(page.data)["light_curves"] == []


def test_numbers_are_rounded_without_noise() -> None:
    assert decimals(np.array([0.1 + 0.2, 1e-9]), 4) == [0.3, 0.0]
    assert significant(np.array([123456.789, 1.23456789e-30, 0.0])) == [123457.0, 1.23457e-30, 0.0]
    assert [finite(v) for v in (1.23456789, np.float32(0.5), np.nan, None, True, "x")] == [
        1.23457,
        0.5,
        None,
        None,
        None,
        None,
    ]


HOSTILE = ["..", "</script>", "\"'", "ñ\U0001f600"]


def test_sources_come_back_from_votable_and_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    from astropy.io.votable import parse

    points = light_curves(4, 3, names=HOSTILE)
    measures = variability(points)
    measures.eta[1] = np.inf
    sources = source_columns(points, measures)
    tables.write_sources_votable(tmp_path / "s.vot", sources)
    tables.write_sources_parquet(tmp_path / "s.parquet", sources)
    votable = parse(str(tmp_path / "s.vot"), verify="exception")
    assert votable.version == "1.4"
    fields = {f.name: f for f in votable.get_first_table().fields}
    assert all(f.description for f in fields.values())
    assert (fields["ra_deg"].unit, fields["ra_deg"].ucd) == ("deg", "pos.eq.ra;meta.main")
    assert (fields["mean_flux_mjy"].unit, fields["ra_deg"].ref) == ("mJy", "icrs")
    assert all(f.ucd for f in fields.values())
    back = votable.get_first_table().to_table()
    assert [str(name) for name in back["source_id"]] == sorted(HOSTILE)
    np.testing.assert_array_equal(back["v"], measures.v)
    assert np.isnan(np.ma.filled(back["eta"], np.nan)[1])
    assert [bool(b) for b in back["is_variable"]] == measures.is_variable.tolist()
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.column_names == list(tables.SOURCES)
    assert table["source_id"].to_pylist() == sorted(HOSTILE)
    assert table["eta"].to_pylist()[1] is None
    assert table.schema.field("mean_flux_mjy").metadata[b"unit"] == b"mJy"


def test_points_come_back_from_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    points = light_curves(4, 3, names=HOSTILE)
    points.flux_jy[0] = np.nan
    tables.write_points_parquet(tmp_path / "p.parquet", points)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["source_id"].to_pylist() == [n for n in sorted(HOSTILE) for _ in range(3)]
    assert table["epoch"].to_pylist() == points.epoch.tolist()
    assert table["flux_mjy"].to_pylist() == [None, *(1e3 * points.flux_jy[1:]).tolist()]
    assert table["flags"].to_pylist() == points.flags.tolist()
    tables.write_points_parquet(tmp_path / "none.parquet", light_curves(0, 0))
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


@pytest.mark.parametrize("n", [0, 2])
def test_candidates_come_back_from_votable(tmp_path: Path, n: int) -> None:
    from astropy.io.votable import parse

    points = light_curves(4, 3, names=HOSTILE)
    found = [candidate(points, i, mid_mjd=MJD - i) for i in range(n)]
    said: list[Any] = [MarkRecord("ese-0", m, f"é {m}", "me") for m in (Mark.REAL, Mark.ARTEFACT)]
    tables.write_candidates_votable(tmp_path / "c.vot", found, said)
    votable = parse(str(tmp_path / "c.vot"), verify="exception")
    back = votable.get_first_table().to_table()
    assert [str(name) for name in back["id"]] == ["ese-1", "ese-0"][2 - n :]
    if n:
        assert [str(mark) for mark in back["mark"]] == ["", "artefact"]
        assert str(back["note"][1]) == "é artefact"
        assert [str(name) for name in back["source_id"]] == sorted(HOSTILE)[1::-1]
        assert back["baseline_mjy"].tolist() == [50.0, 50.0]
        fields = {f.name: f for f in votable.get_first_table().fields}
        assert (fields["mid_mjd"].unit, fields["mid_mjd"].ref) == ("d", "utc")
