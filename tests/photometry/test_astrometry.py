"""A list that is off the image as a whole is noticed, with what it costs, and moved when asked."""

import numpy as np
import pytest

from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.astrometry import ListOffset, measure_moved
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import SourceList
from tests.photometry.hand_made import HandMade

#: A tenth of the beam's minor axis, of 60 arcsec.
OFF_ARCSEC = (4.0, -4.47)


def test_an_offset_of_a_tenth_of_a_beam_is_measured_with_its_error() -> None:
    pulls = []
    for seed in range(12):
        made = HandMade(seed, snr=(0.0, 5.0, 12.0, 40.0))
        sources = made.sources(OFF_ARCSEC)
        offset = ListOffset.of(measure(made.image(made.pixels_jy()), sources), sources)
        assert offset.significant
        assert not offset.elsewhere
        assert offset.arcsec / 60 == pytest.approx(0.1, abs=0.025)
        # The image lies on the other side of the list.
        pulls.append((offset.east_arcsec + OFF_ARCSEC[0]) / offset.east_error_arcsec)
        pulls.append((offset.north_arcsec + OFF_ARCSEC[1]) / offset.north_error_arcsec)
    assert abs(np.mean(pulls)) < 0.7
    assert np.std(pulls) == pytest.approx(1.0, abs=0.4)


def test_a_list_in_place_has_no_significant_offset() -> None:
    told = []
    for seed in range(8):
        made = HandMade(seed)
        told.append(ListOffset.of(made.measured(), made.sources()).significant)
    assert sum(told) <= 1


def test_what_an_offset_costs_is_what_it_is_said_to_cost_and_moving_brings_it_back() -> None:
    made = HandMade(1, snr=(500.0,))
    image, listed = made.image(made.pixels_jy()), made.sources((6.0, -10.0))
    raw = measure(image, listed)
    offset = ListOffset.of(raw, listed)
    lost = offset.lost(Beam(*made.beam))
    assert lost == pytest.approx(0.043, abs=0.004)
    truth = made.flux_jy()
    assert np.nanmedian(raw.flux_jy / truth) == pytest.approx(1 - lost, abs=2e-3)
    moved = measure_moved(image, listed, (offset.east_arcsec, offset.north_arcsec))
    assert np.nanmedian(moved.flux_jy / truth) == pytest.approx(1.0, abs=1e-3)
    # Beside the list's own places, which stay what they are.
    assert np.nanmedian(moved.east_arcsec) == pytest.approx(-6.0, abs=0.1)
    assert np.nanmedian(moved.north_arcsec) == pytest.approx(10.0, abs=0.1)


def test_a_list_that_is_off_by_a_whole_beam_is_noticed_too() -> None:
    made = HandMade(2, snr=(100.0,))
    listed = made.sources((0.0, 110.0))
    offset = ListOffset.of(measure(made.image(made.pixels_jy()), listed), listed)
    assert offset.n_expected > 50
    assert offset.elsewhere


def test_without_a_bright_source_there_is_no_offset() -> None:
    made = HandMade(3, snr=(2.0,))
    offset = ListOffset.of(made.measured(), made.sources())
    assert offset.n_positions == 0
    assert np.isnan(offset.arcsec)
    assert not offset.significant
    none = SourceList.of([], np.array([]), np.array([]))
    empty = ListOffset.of(measure(made.image(made.pixels_jy()), none), none)
    assert (empty.n_positions, empty.n_expected, empty.elsewhere) == (0, 0, False)
