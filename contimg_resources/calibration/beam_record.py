"""The record of the measured primary beam over observations.

Belongs here: what one observation measured, combining observations, the rule by which images use
the result. Doesn't: measuring the beam (see `contimg_resources.imaging.measured_beam`), storing
anything.

The record is derived from the observations of the days before alone, as that of antennas is (see
`.antenna_record`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape

#: Name of the fit to the image of the whole band; others have the names of their sub-bands.
WHOLE_BAND = "whole band"
#: Sources that an observation measures are within this angle of its middle, degrees: observations
#: nearer to each other measure the same ones, with the same errors of the catalogue.
_REACH_DEG = 2.0
#: Observations are divided by right ascension into blocks of this width, degrees, that have few
#: sources in common.
_BLOCK_DEG = 15.0
_STEP_DEG = 0.5
#: Errors of each block that no number of sources reduces: width, offsets (degrees), ellipticity.
_FLOOR = np.array([0.003, 0.01, 0.01, 0.003])
#: An observation that differs from the median by this many errors is left out.
_OUTLIER_SIGMA = 5.0
#: What the difference from the model needs in order to be significant: blocks, observations,
#: distinct sources, and decrease of chi squared of blocks that the estimate wasn't made from.
LEAST_BLOCKS, LEAST_OBSERVATIONS, LEAST_SOURCES, LEAST_IMPROVEMENT = 3, 12, 100, 30.0
#: Observations are combined whose declinations differ by at most this, degrees: dishes bend.
STRIP_DEG = 1.0


@dataclass(frozen=True)
class BeamFit:
    """The shape of the beam that the sources of one image show."""

    name: str  #: `WHOLE_BAND`, or the name of a sub-band.
    frequency_hz: float  #: Effective frequency of the image, Hz.
    shape: BeamShape  #: The shape.
    #: Covariance of width, east, north, ellipticity (offsets in degrees). Shape (4, 4).
    covariance: tuple[tuple[float, ...], ...]
    scale: float  #: Flux scale of the image over that of the catalogue.
    scatter: float  #: Relative scatter of the flux densities besides the noise.
    n_sources: int  #: Number of sources that the fit uses.
    n_rejected: int  #: Number of sources that disagree with it, and are left out.


@dataclass(frozen=True)
class BeamMeasurement:
    """The primary beam that one observation shows."""

    fits: tuple[BeamFit, ...] = ()  #: That of the whole band first, then sub-bands by frequency.
    why: str = ""  #: Why there is none, or none of some sub-bands.
    #: Shape with which the image was corrected; the fits are relative to the model all the same.
    used: BeamShape = MODEL_SHAPE


@dataclass(frozen=True)
class ObservedBeam:
    """The primary beam that one observation shows, with its place in time and on the sky."""

    key: str  #: Key of the observation.
    telescope: str  #: Name of its telescope.
    mid_mjd: float  #: Its middle, MJD in days.
    ra_deg: float  #: Right ascension of its middle, ICRS degrees.
    declination_deg: float  #: Declination of its strip, ICRS degrees.
    measured: BeamMeasurement  #: The beam.

    def fit(self, name: str = WHOLE_BAND) -> BeamFit | None:
        """Return the fit of that name; None: there is none."""
        return next((fit for fit in self.measured.fits if fit.name == name), None)


@dataclass(frozen=True)
class BeamEstimate:
    """The shape of the beam that observations show together."""

    name: str  #: As in `BeamFit`.
    frequency_hz: float  #: Mean of the effective frequencies, Hz.
    shape: BeamShape  #: The shape.
    errors: BeamShape  #: Standard errors of its numbers.
    n_observations: int  #: Number of observations that it is made from.
    n_left_out: int  #: Number of observations that disagree with the others.
    n_sources: int  #: Number of distinct sources, about.
    n_blocks: int  #: Number of blocks of right ascension that have few sources in common.
    #: Decrease of chi squared beside the model, of each block with the estimate of the others.
    improvement: float

    @property
    def is_enough(self) -> bool:
        """Whether there are enough observations for a comparison with the model."""
        return (
            self.n_blocks >= LEAST_BLOCKS
            and self.n_observations >= LEAST_OBSERVATIONS
            and self.n_sources >= LEAST_SOURCES
        )

    @property
    def is_significant(self) -> bool:
        """Whether it differs from the model significantly."""
        return self.is_enough and self.improvement >= LEAST_IMPROVEMENT

    def in_words(self) -> str:
        """Return the shape beside the model in words."""
        shape, errors = self.shape, self.errors
        return (
            f"width {100 * (shape.width - 1):+.1f} +- {100 * errors.width:.1f} %, centre "
            f"{shape.east_deg:+.3f} +- {errors.east_deg:.3f} deg east and {shape.north_deg:+.3f} "
            f"+- {errors.north_deg:.3f} deg north, ellipticity {100 * shape.ellipticity:+.1f} +- "
            f"{100 * errors.ellipticity:.1f} %"
        )


@dataclass(frozen=True)
class BeamReport:
    """The primary beam of a telescope at a moment."""

    telescope: str  #: Name of the telescope; empty: nothing was observed.
    observed: tuple[ObservedBeam, ...]  #: The observations that it follows from, by time.

    @cached_property
    def estimate(self) -> BeamEstimate | None:
        """The estimate of the whole band; None: there is none."""
        return combined(self.observed, WHOLE_BAND)

    @cached_property
    def by_frequency(self) -> tuple[BeamEstimate, ...]:
        """Those of sub-bands, in order of frequency."""
        names = {fit.name for one in self.observed for fit in one.measured.fits} - {WHOLE_BAND}
        found = [e for name in names if (e := combined(self.observed, name)) is not None]
        return tuple(sorted(found, key=lambda estimate: estimate.frequency_hz))

    @property
    def better(self) -> BeamShape | None:
        """The shape that images are better corrected with than with the model; None: the model."""
        if self.estimate is None or not self.estimate.is_significant:
            return None
        return self.estimate.shape

    def in_words(self) -> str:
        """Return the comparison with the model in words."""
        one = self.estimate
        if one is None:
            return "no observation has measured the primary beam"
        told = f"{one.in_words()} ({one.n_observations} observations, {one.n_sources} sources)"
        if not one.is_enough:
            return (
                f"{told}: too few for a comparison with the model, which needs "
                f"{LEAST_OBSERVATIONS} observations, {LEAST_SOURCES} sources and {LEAST_BLOCKS} "
                "hours of right ascension"
            )
        return (
            f"{told}: {'differs' if one.is_significant else 'does not differ'} significantly from "
            f"the model (chi squared of independent sources improves by {one.improvement:.0f}; the "
            f"limit is {LEAST_IMPROVEMENT:g})"
        )


def combined(observed: Sequence[ObservedBeam], name: str) -> BeamEstimate | None:
    """Combine the fits of one name; None: there is none.

    Notes
    -----
    Night after night the same sources cross the beam at the same places, and neighbouring
    observations share most of theirs: their errors are those of the catalogue, which no number of
    observations reduces. So the covariance of a block is that of independent observations times
    the number of observations of each piece of the sky. Blocks are combined with the inverse of
    their covariances; if they scatter by more, the errors grow accordingly. The improvement
    compares each block with the model and with the estimate of all other blocks: without a
    difference from the model it is negative on average.
    """
    pairs = [(one, fit) for one in observed if (fit := one.fit(name)) is not None]
    if not pairs:
        return None
    values = np.array([fit.shape.parameters for _, fit in pairs])
    covariances = np.array([fit.covariance for _, fit in pairs])
    kept = _agreeing(values, covariances)
    ra_deg = np.array([one.ra_deg for one, _ in pairs])[kept] % 360
    reach_deg = _REACH_DEG / max(0.1, float(np.cos(np.radians(pairs[-1][0].declination_deg))))
    n_each = np.array([fit.n_sources for _, fit in pairs])[kept]
    block = (ra_deg // _BLOCK_DEG).astype(int)
    inverses, weighted, n_sources = [], [], 0.0
    for which in np.unique(block):
        its = block == which
        repeats = _repeats(ra_deg[its], reach_deg)
        own = np.linalg.inv(covariances[kept][its])
        covariance = repeats * np.linalg.inv(own.sum(axis=0))
        mean = np.linalg.solve(own.sum(axis=0), np.einsum("ijk,ik->j", own, values[kept][its]))
        inverse = np.linalg.inv(covariance + np.diag(_FLOOR**2))
        inverses.append(inverse)
        weighted.append(mean)
        n_sources += float(n_each[its].sum()) / repeats
    shape, covariance, improvement = _together(np.array(weighted), np.array(inverses))
    return BeamEstimate(
        name=name,
        frequency_hz=float(np.mean([fit.frequency_hz for _, fit in pairs])),
        shape=BeamShape(*shape.tolist()),
        errors=BeamShape(*np.sqrt(np.diag(covariance)).tolist()),
        n_observations=int(kept.sum()),
        n_left_out=int((~kept).sum()),
        n_sources=round(n_sources),
        n_blocks=len(weighted),
        improvement=improvement,
    )


def _agreeing(values: Floats, covariances: Floats) -> Any:
    """Return which observations agree with the median of all; shape (n_observations,)."""
    middle = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - middle), axis=0)
    errors = np.hypot(np.sqrt(np.einsum("ijj->ij", covariances)), np.maximum(spread, _FLOOR))
    return (np.abs(values - middle) < _OUTLIER_SIGMA * errors).all(axis=1)


def _repeats(ra_deg: Floats, reach_deg: float) -> float:
    """Return how many observations measure each piece of the sky, on average."""
    steps = np.arange(0.0, 360.0, _STEP_DEG)
    apart = np.abs((steps - ra_deg[:, None] + 180.0) % 360.0 - 180.0)
    times = (apart <= reach_deg).sum(axis=0)
    return float(times.sum() / max(1, np.count_nonzero(times)))


def _together(values: Floats, inverses: Floats) -> tuple[Floats, Floats, float]:
    """Return mean, covariance and improvement of blocks, by the inverses of their covariances."""
    total, pulled = inverses.sum(axis=0), np.einsum("ijk,ik->ij", inverses, values)
    mean = np.linalg.solve(total, pulled.sum(axis=0))
    freedom = max(1, values.size - len(mean))
    excess = max(1.0, _chi2(values - mean, inverses) / freedom)
    covariance = excess * np.linalg.inv(total)
    if len(values) == 1:
        return mean, covariance, 0.0
    others = np.array(
        [
            np.linalg.solve(total - one, pulled.sum(axis=0) - pull)
            for one, pull in zip(inverses, pulled, strict=True)
        ]
    )
    gained = _chi2(values - MODEL_SHAPE.parameters, inverses) - _chi2(values - others, inverses)
    return mean, covariance, gained / excess


def _chi2(differences: Floats, inverses: Floats) -> float:
    return float(np.einsum("ij,ijk,ik", differences, inverses, differences))
