from pathlib import Path

import numpy as np
import pytest

from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.demo.night import (
    DEMO_NIGHT,
    expected_names,
    is_over,
    look_back,
    of_the_night,
    write_known_sources,
)
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.products.store import ProductsStore
from contimg_resources.simulation.night import plan_night
from tests.products.conftest import make_observation


def test_the_list_of_known_sources_gives_each_its_flux_over_the_band(tmp_path: Path) -> None:
    write_known_sources(DEMO_NIGHT, tmp_path / "known.csv")
    sources = read_catalogue(tmp_path / "known.csv", "simulated").sources
    known = {s.name: s for s in sources.reference_sources(-0.7)}
    assert len(known) > 50
    truth = CalibratorList().find(DEMO_NIGHT.calibrator)
    for frequency_hz in (1.32e9, 1.405e9, 1.49e9):
        listed = known[truth.name].flux_at(frequency_hz)
        assert listed == pytest.approx(float(truth.flux_jy(np.array(frequency_hz))), rel=2e-3)


def test_one_observation_comes_before_the_calibrator_and_has_to_wait() -> None:
    kinds = [o.kind for o in plan_night(DEMO_NIGHT)]
    assert kinds == ["target", "calibrator", "target"]
    assert len(set(expected_names(DEMO_NIGHT))) == len(kinds)


def test_a_night_of_which_nothing_has_arrived_is_not_over(tmp_path: Path) -> None:
    products = ProductsStore(str(tmp_path / "products.sqlite3"))
    assert not is_over(products.list_observations(), DEMO_NIGHT)
    rows = look_back(products, DEMO_NIGHT)
    assert [r.name for r in rows] == list(expected_names(DEMO_NIGHT))
    assert not any(r.imaged for r in rows)


def test_the_image_of_the_first_act_is_no_observation_of_the_night(tmp_path: Path) -> None:
    products = ProductsStore(str(tmp_path / "products.sqlite3"))
    planned = [o.spec.mid_mjd for o in plan_night(DEMO_NIGHT)]
    for number, mid_mjd in enumerate((*planned, planned[-1] + 0.1)):
        ms = tmp_path / f"{number}.ms"
        # JD are exact to 40 microseconds.
        products.arrive(make_observation(ms, mid_mjd + 4e-10, signature=str(number)))
    found = of_the_night(products.list_observations(), DEMO_NIGHT)
    assert len(products.list_observations()) == len(found) + 1
    assert [r.path.stem for r in found] == ["0", "1", "2"]
    rows = look_back(products, DEMO_NIGHT)
    assert [r.record for r in rows] == list(found)
