"""The sources by which an observation is calibrated in its own field."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources
from contimg_resources.catalogues.store import Catalogue, write_catalogue
from contimg_resources.observations.calibrators import Calibrator
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.steps.imaging import field_model

RA = np.array([359.5, 0.3, 0.9])


def catalogue(path: Path, survey: str = "nvss") -> Catalogue:
    names = np.array(["middle", "varies", "faint", "outside", "far"])
    n = len(names)
    nothing = np.full(n, np.nan)
    sources = CatalogueSources(
        source_id=names,
        name=names,
        ra_deg=np.array([0.2, 359.4, 0.5, 0.2, 90.0]),
        dec_deg=np.array([33.1, 32.5, 33.0, 36.5, 33.0]),
        flux_jy=np.array([0.5, 1.0, 0.0015, 0.03, 9.0]),
        flux_error_jy=nothing,
        reference_ghz=np.full(n, 1.4),
        spectral_index=np.array([np.nan, -0.2, -0.7, -0.7, -0.7]),
        major_arcsec=np.where(names == "middle", 60.0, np.nan),
        minor_arcsec=nothing,
        angle_deg=nothing,
        variable=names == "varies",
    )
    write_catalogue(path, sources, CatalogueFacts("c", survey, "here", "sha256:0", n, 1))
    return Catalogue(path)


def test_they_are_what_the_beam_shows_somewhere_in_the_drift_also_those_that_vary(
    tmp_path: Path,
) -> None:
    fields = [SimpleNamespace(ra_deg=ra, dec_deg=33.0) for ra in RA]
    observation = cast(Any, SimpleNamespace(fields=tuple(fields)))
    known = catalogue(tmp_path / "c.parquet")
    model = field_model(observation, known, -0.7, ())
    assert {s.name for s in model} == {"middle", "varies"}
    (middle,) = (s for s in model if s.name == "middle")
    assert middle.flux_at(1.4e9) == pytest.approx(0.5)
    assert middle.spectral_index == -0.7
    assert (middle.major_arcsec, middle.minor_arcsec) == (60.0, 0.0)
    assert all(s.major_arcsec == 0 for s in model if s.name != "middle")
    # Other surveys list sizes as seen by their beam.
    seen = field_model(observation, catalogue(tmp_path / "d.parquet", "tgss"), -0.7, ())
    assert all(s.major_arcsec == 0 for s in seen)
    assert field_model(cast(Any, SimpleNamespace(fields=())), known, -0.7, ()) == ()


def test_a_calibrator_has_the_position_of_its_own_list(tmp_path: Path) -> None:
    fields = [SimpleNamespace(ra_deg=ra, dec_deg=33.0) for ra in RA]
    observation = cast(Any, SimpleNamespace(fields=tuple(fields)))
    model = FluxModel.power_law(0.52, 1.4, -0.7, "a list")
    listed = (
        Calibrator("J0000+33", (), 0.2001, 33.1002, model),
        Calibrator("elsewhere", (), 120.0, 33.0, model),
    )
    known = catalogue(tmp_path / "c.parquet")
    middle, varies = field_model(observation, known, -0.7, listed)
    if middle.name != "middle":
        middle, varies = varies, middle
    assert (middle.ra_deg, middle.dec_deg) == (0.2001, 33.1002)
    assert (middle.flux_jy, middle.major_arcsec) == (0.5, 0.0)
    assert (varies.ra_deg, varies.dec_deg) == (359.4, 32.5)
