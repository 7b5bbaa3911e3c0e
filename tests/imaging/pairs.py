"""The sources that two images of the same visibilities have in common."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.imaging.beam import separation_rad
from contimg_resources.imaging.model import ImageRequest, ImageResult, Source


@dataclass(frozen=True)
class Pair:
    """A source in both images."""

    one: Source
    other: Source

    @property
    def flux_ratio(self) -> float:
        return self.other.peak_jy / self.one.peak_jy

    @property
    def offset_arcsec(self) -> float:
        there = np.array([self.other.ra_deg]), np.array([self.other.dec_deg])
        apart = separation_rad(self.one.ra_deg, self.one.dec_deg, *there)
        return float(np.rad2deg(apart[0])) * 3600


def with_settings(request: ImageRequest, directory: Path, **changed: Any) -> ImageRequest:
    """Return a request for the same image in another directory, with other settings."""
    return replace(request, directory=directory, settings=request.settings.changed(**changed))


def pairs(one: ImageResult, other: ImageResult, least_snr: float) -> list[Pair]:
    """Match the sources of two images; every one of the first is in the second."""
    found = []
    for source in one.sources:
        if source.snr > least_snr:
            nearest = min((Pair(source, s) for s in other.sources), key=lambda p: p.offset_arcsec)
            assert nearest.offset_arcsec < 0.5 * one.statistics.beam.minor_arcsec
            found.append(nearest)
    return found


def assert_beams_agree(
    one: ImageResult, other: ImageResult, *, share: float = 0.01, angle_deg: float = 1.0
) -> None:
    ours, theirs = other.statistics.beam, one.statistics.beam
    assert ours.major_arcsec == pytest.approx(theirs.major_arcsec, rel=share)
    assert ours.minor_arcsec == pytest.approx(theirs.minor_arcsec, rel=share)
    assert ours.angle_deg == pytest.approx(theirs.angle_deg, abs=angle_deg)
