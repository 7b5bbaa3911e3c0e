"""What is wider than the beam is flagged, with its integrated flux density; a point never is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.measuring import RawMeasurements, measure
from contimg_resources.photometry.model import Flag, words
from contimg_resources.photometry.shapes import smearing_arcsec
from contimg_resources.settings import PhotometrySettings
from tests.photometry.hand_made import HandMade


def extended(raw: RawMeasurements) -> Any:
    assert np.isfinite(raw.width).sum() > 40
    return ((raw.flags & Flag.EXTENDED) != 0)[np.isfinite(raw.width)]


@pytest.mark.parametrize("widths", [(1.05, 1.05), (1.05, 1.0), (1.0, 1.05)])
def test_a_source_five_per_cent_wider_at_snr_1000_is_extended(widths: Any) -> None:
    made = HandMade(1, snr=(1000.0,), widths=widths)
    raw = made.measured()
    assert extended(raw).all()
    told = np.isfinite(raw.width)
    assert np.median(raw.width[told]) == pytest.approx(1.05, abs=0.003)
    assert words(int(Flag.EXTENDED)) == ("wider than the beam; see its integrated flux density",)
    truth = made.flux_jy() * widths[0] * widths[1]
    pull = ((raw.integrated_jy - truth) / raw.integrated_error_jy)[told]
    assert abs(pull.mean()) < 4 / np.sqrt(told.sum())
    assert pull.std() == pytest.approx(1.0, abs=0.25)
    np.testing.assert_allclose((raw.integrated_jy / truth)[told], 1.0, rtol=0.01)
    # An error of 1 % would hide nothing: it is far smaller than the 5 or 10 % of the excess.
    assert (raw.integrated_error_jy / truth)[told].max() < 0.005


@pytest.mark.parametrize("widths", [(1.3, 1.3), (2.0, 1.0), (3.0, 2.0)])
def test_the_integrated_flux_of_a_large_source_is_that_which_was_put_in(widths: Any) -> None:
    made = HandMade(2, snr=(100.0,), widths=widths, spacing=46, size=400)
    raw = made.measured()
    assert extended(raw).all()
    told = np.isfinite(raw.width)
    truth = made.flux_jy() * widths[0] * widths[1]
    pull = ((raw.integrated_jy - truth) / raw.integrated_error_jy)[told]
    assert abs(pull.mean()) < 0.5
    assert pull.std() == pytest.approx(1.0, abs=0.3)
    assert np.median(raw.width[told]) == pytest.approx(max(widths), rel=0.02)
    if widths[0] != widths[1]:
        # Of two equal axes the larger one is that which noise made larger.
        pull = (raw.width - max(widths))[told] / raw.width_error[told]
        assert abs(np.median(pull)) < 0.5


def test_a_point_is_never_extended_at_any_snr() -> None:
    flagged, pulls = [], []
    for seed, snr in enumerate((10.0, 12.0, 16.0, 30.0, 100.0, 1000.0, 10_000.0)):
        made = HandMade(seed, snr=(snr,), size=400, spacing=20)
        raw = made.measured()
        flagged.append(extended(raw))
        told = np.isfinite(raw.width) & (snr > 20)
        pulls.append(((raw.integrated_jy - made.flux_jy()) / raw.integrated_error_jy)[told])
    assert sum(len(f) for f in flagged) > 2000
    assert np.concatenate(flagged).mean() < 0.003
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("beam", "off_arcsec"),
    [((99.0, 59.4, 25.0), (0.0, 0.0)), ((100.0, 60.0, 25.0), (12.0, -9.0))],
    ids=["the header's beam 1 % too small", "the list off by 0.2 beams"],
)
def test_what_is_wrong_with_the_beam_or_the_list_extends_no_point(
    beam: Any, off_arcsec: Any
) -> None:
    made = HandMade(3, snr=(2000.0,))
    image = replace(made.image(made.pixels_jy()), beam=Beam(*beam))
    assert not extended(measure(image, made.sources(off_arcsec))).any()


def test_smearing_extends_no_point() -> None:
    # 10 MHz and 60 s at 1.4 GHz, a degree away: boxes of 25.7 and 15.8 arcsec.
    told = smearing_arcsec(np.array([0.0, 1.0]), 1.4e9, 10e6, 60.0)
    np.testing.assert_allclose(told, [0.0, np.hypot(25.7, 15.75) * 0.6798], rtol=2e-3)
    made = HandMade(4, snr=(1000.0,), widths=(1.04, 1.04), rotation_deg=20.0)
    image = made.image(made.pixels_jy())
    assert extended(measure(image, made.sources())).all()
    # The same with channels that smear by as much half a degree away from the middle.
    away = np.hypot(*(v - 150 for v in made.places())) * 20 / 3600
    limits = PhotometrySettings(channel_mhz=20.0)
    raw = measure(image, made.sources(), limits)
    flagged = (raw.flags & Flag.EXTENDED) != 0
    assert (away < 0.1).any()
    assert (away > 0.5).any()
    assert flagged[away < 0.1].all()
    assert not flagged[away > 0.5].any()
