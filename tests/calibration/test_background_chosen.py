"""Which known sources go into the model of a solve, and what is said of them."""

import numpy as np
import pytest

from contimg_resources.calibration.solve.phasing import FieldDirections
from contimg_resources.calibration.solve.skymodel import (
    ModelOfField,
    background_sources,
    most_apparent_jy,
)
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import Calibrator, CalibratorList
from contimg_resources.observations.flux_model import FluxModel

CALIBRATOR = CalibratorList().find("3C48")
FIELDS = FieldDirections(
    tuple("abc"),
    np.radians(CALIBRATOR.ra_deg + np.array([-0.6, 0.0, 0.6])),
    np.radians(np.full(3, CALIBRATOR.dec_deg)),
    "ICRS",
)


def source(north_deg: float, flux_jy: float = 0.1, name: str = "s") -> Calibrator:
    model = FluxModel.power_law(flux_jy, 1.4, -0.7, "made")
    return Calibrator(name, (), CALIBRATOR.ra_deg, CALIBRATOR.dec_deg + north_deg, model)


def test_the_catalogues_entry_of_the_calibrator_is_not_put_in_beside_it() -> None:
    listed = [source(12 / 3600, 16.0, "3C 48"), source(100 / 3600, 0.1, "another")]
    chosen = background_sources(listed, CALIBRATOR, FIELDS)
    assert [s.name for s in chosen] == ["another"]


def test_sources_are_chosen_by_what_the_beam_leaves_of_them() -> None:
    # A ten-thousandth of 3C48 is 1.6 mJy.
    listed = [source(0.5, 3e-3, "in"), source(2.5, 3e-3, "dimmed"), source(2.5, 0.5, "bright")]
    chosen = background_sources([*listed, source(8.0, 900.0, "far")], CALIBRATOR, FIELDS)
    assert [s.name for s in chosen] == ["in", "bright"]
    expected = 0.5 * airy_power(np.radians(2.5), 1.4e9)
    assert most_apparent_jy(chosen, FIELDS)[1] == pytest.approx(float(expected), rel=1e-6)


def test_the_words_tell_the_catalogue_and_what_it_adds() -> None:
    chosen = background_sources([source(0.2), source(-0.3)], CALIBRATOR, FIELDS)
    found = ModelOfField.of(chosen, FIELDS, "the catalogue nvss@1234")
    assert found.n_sources == 2
    assert 0.18 < found.apparent_jy < 0.2
    assert found.words("3C48", 39) == (
        "the model is 3C48 and 2 sources of the catalogue nvss@1234, "
        f"{found.apparent_jy:.3g} Jy together as seen through the beam"
    )


def test_without_a_catalogue_the_words_tell_what_is_lost() -> None:
    words = ModelOfField.of((), FIELDS, "").words("3C48", 40)
    assert words.startswith("the model is 3C48 alone: no catalogue is set")
    assert "40 antennas absorb about 5% of the flux density of other sources" in words
