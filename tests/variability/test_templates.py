"""Shapes behind lenses against what is published of them."""

import numpy as np
import pytest

from contimg_resources.variability.templates import REACH, bank, clegg, fiedler


def test_fiedlers_lens_has_its_known_minimum_and_maxima() -> None:
    told = fiedler(np.array([0.0, 2.0, 50.0]), 2.0, 4.0)
    assert told == pytest.approx([0.451, 1.231, 1.0], abs=5e-4)


def test_half_of_the_flux_behind_the_lens_is_half_the_depth() -> None:
    d = np.linspace(-5, 5, 11)
    whole, half = fiedler(d, 2.0, 4.0), fiedler(d, 2.0, 4.0, fraction=0.5)
    assert half - 1 == pytest.approx(0.5 * (whole - 1))


def test_a_lens_neither_makes_nor_loses_flux() -> None:
    d = np.linspace(-60, 60, 24_001)
    assert np.mean(fiedler(d, 2.0, 4.0) - 1) * 120 == pytest.approx(0.0, abs=1e-6)
    near = np.linspace(-15, 15, 3_001)
    assert np.mean(clegg(near, 4.0, 0.8) - 1) * 30 == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("strength", [1.0, 4.0, 15.0])
def test_behind_the_middle_of_cleggs_lens_rays_are_spread_by_its_strength(strength: float) -> None:
    d = np.linspace(-10, 10, 4_001)
    assert clegg(d, strength, 0.02)[2000] == pytest.approx(1 / (1 + strength), rel=0.03)


@pytest.mark.parametrize("family", ["fiedler", "clegg"])
def test_shapes_have_depth_and_width_of_one_and_end_at_nothing(family: str) -> None:
    shapes = bank((family,))
    assert len(shapes) > 2
    for shape in shapes:
        middle = len(shape.table) // 2
        assert shape.table.min() == pytest.approx(-1, abs=0.02), shape.name
        assert shape.table[middle] == pytest.approx(-1, abs=0.02), shape.name
        assert shape.at(np.array([-0.5, 0.5])) == pytest.approx([-0.5, -0.5], abs=0.02), shape.name
        assert (np.abs(shape.at(np.array([-0.9 * REACH, 2 * REACH]))) < 0.15).all(), shape.name
        assert shape.table == pytest.approx(shape.table[::-1], abs=0.02), shape.name
