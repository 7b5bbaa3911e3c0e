"""The measured primary beam over days: recorded, kept per strip, used when significant."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa

from contimg_resources.calibration.beam_record import WHOLE_BAND, BeamFit, BeamMeasurement
from contimg_resources.cli.main import run
from contimg_resources.core.errors import ProductsError
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape
from contimg_resources.products.store import ProductsStore
from contimg_resources.products.tables import primary_beams
from contimg_resources.settings import PrimaryBeamSettings
from contimg_resources.steps.primary_beam import (
    beam_shape,
    check_primary_beam,
    known_beam,
    record_beam,
)
from tests.alerts.conftest import make_workshop
from tests.products.conftest import MJD, make_observation

WIDE = BeamShape(1.03, 0.08, -0.06, 0.02)
ERRORS = np.array([0.008, 0.012, 0.012, 0.008])


def measured(shape: BeamShape, rng: np.random.Generator) -> BeamMeasurement:
    """Return what an observation measures of a beam, in the whole band and a sub-band."""
    covariance = tuple(tuple(row) for row in np.diag(ERRORS**2).tolist())

    def fit(name: str, hz: float) -> BeamFit:
        seen = BeamShape(*(shape.parameters + rng.normal(0, ERRORS)).tolist())
        return BeamFit(name, hz, seen, covariance, 1.0, 0.03, 60, 2)

    return BeamMeasurement((fit(WHOLE_BAND, 1.4e9), fit("1335MHz", 1.335e9)))


def observe(store: ProductsStore, root: Path, number: int, found: BeamMeasurement | None) -> None:
    """Record what an observation of 12 hours before `MJD` shows; each is a quarter of an hour."""
    mid_mjd = MJD - 0.5 + number / 96
    one = make_observation(root / f"{number}.ms", mid_mjd, signature=str(number))
    store.arrive(one)
    grid = SimpleNamespace(ra_deg=number * 3.75)
    record_beam(store, one, cast(Any, SimpleNamespace(primary_beam=found, grid=grid)), "")


@pytest.fixture
def store(tmp_path: Path) -> ProductsStore:
    products = make_workshop(tmp_path).products
    rng = np.random.default_rng(1)
    for number in range(16):
        observe(products, tmp_path, number, measured(WIDE, rng))
    return products


def test_a_beam_that_differs_is_used_from_the_next_day_on(
    store: ProductsStore, tmp_path: Path
) -> None:
    settings = PrimaryBeamSettings()
    today = make_observation(tmp_path / "t.ms", MJD - 0.1)
    tomorrow = replace(today, mid_mjd=MJD + 1.1)
    report = known_beam(store, tomorrow, settings)
    shape = beam_shape(report, settings)
    assert report.estimate is not None
    pulls = (shape.parameters - WIDE.parameters) / report.estimate.errors.parameters
    assert (np.abs(pulls) < 3.5).all()
    verdict = check_primary_beam(report, shape)
    assert (verdict.passed, verdict.evaluated) == (False, True)
    assert verdict.words.endswith("the image is corrected for the measured beam")
    assert [e.name for e in report.by_frequency] == ["1335MHz"]
    # A person's choice, another strip, another telescope, and the days before.
    off = PrimaryBeamSettings(use=False)
    assert beam_shape(report, off) == MODEL_SHAPE
    assert check_primary_beam(report, MODEL_SHAPE).words.endswith("corrected for the model")
    for other in (
        replace(tomorrow, declination_deg=tomorrow.declination_deg + 2),
        replace(tomorrow, telescope="VLA"),
        replace(tomorrow, mid_mjd=MJD - 0.6),
    ):
        nothing = known_beam(store, other, settings)
        assert beam_shape(nothing, settings) == MODEL_SHAPE
        verdict = check_primary_beam(nothing, MODEL_SHAPE)
        assert (verdict.passed, verdict.evaluated) == (True, False)


def test_a_repetition_replaces_what_was_measured(store: ProductsStore, tmp_path: Path) -> None:
    n = len(store.primary_beams.present(7).observed)
    observe(store, tmp_path, 3, measured(MODEL_SHAPE, np.random.default_rng(2)))
    assert len(store.primary_beams.present(7).observed) == n
    observe(store, tmp_path, 3, None)
    assert len(store.primary_beams.present(7).observed) == n - 1


def test_damaged_measurements_are_one_error_that_names_the_observation(
    store: ProductsStore,
) -> None:
    with store.write() as connection:
        connection.execute(sa.update(primary_beams).values(measured={"fits": [1]}))
    with pytest.raises(ProductsError, match=r"primary_beam '.*' in the products store is damaged"):
        store.primary_beams.present(7)


@pytest.mark.usefixtures("store")
def test_an_operator_sees_the_beam_beside_the_model(tmp_path: Path, capsys: Any) -> None:
    state = ["--state", str(tmp_path / "state")]
    assert run(["beam", *state, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_used"] is told["is_significant"] is True
    assert told["estimate"]["shape"]["width"] == pytest.approx(1.03, abs=0.01)
    assert run(["beam", *state]) == 0
    shown = capsys.readouterr()
    assert "images of the next UTC day are corrected for the measured beam" in shown.err
    assert "1335MHz" in shown.out
