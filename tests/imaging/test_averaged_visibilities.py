"""A calibrated MS carries what imaging needs of it, and never more than it holds."""

import pytest

from contimg_resources.casa import Casa
from tests.imaging.handing_steps import Handed, hand_on_and_compare
from tests.imaging.imaging_steps import Sky


@pytest.fixture(scope="module")
def handed(casa: Casa, sky: Sky) -> Handed:
    return casa.run(hand_on_and_compare, sky.ms, label="hand-on")


def test_what_is_carried_is_what_would_be_read(handed: Handed) -> None:
    assert handed.carried
    assert handed.n_points > 100_000
    assert handed.most < 1e-6
    assert handed.facts_agree


def test_it_does_not_count_for_a_wider_image_whose_edge_it_would_smear(handed: Handed) -> None:
    assert not handed.carried_for_a_wider_image


def test_it_does_not_count_when_somebody_flagged_data_since(handed: Handed) -> None:
    assert not handed.carried_after_flagging


def test_it_does_not_count_when_it_is_not_whole(handed: Handed) -> None:
    assert not handed.carried_when_cut_short
