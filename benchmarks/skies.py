"""Populations of sources with known noise, and skies of them that are watched in some way.

Belongs here: light curves with known covariance, events in them. Doesn't: searching, the ideal
observer (see `ideal`), counting (see `events`).
"""

from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.simulation.light_curves import Event, Watch, steady_light_curves
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import AGN, Noises
from contimg_resources.variability.templates import Shape, clegg, fiedler, normalised

_YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Kind:
    """The noise of ln S of a kind of sources, beside the errors."""

    walks: tuple[tuple[float, float], ...] = ()  #: Sigma and tau (days) of damped random walks.
    jitter: float = 0.0  #: Standard deviation of each measurement.
    annual: float = 0.0  #: Amplitude of an annual wave of random phase.
    #: Flares at random: number a year, mean amplitude of ln S, decay time (days).
    flares: tuple[float, float, float] | None = None

    def drawn(self, mjd: Floats, n: int, random: np.random.Generator) -> Floats:
        """Return ln S of `n` sources at times in MJD, shape (n, n_points)."""
        values = self.jitter * random.standard_normal((n, len(mjd)))
        values += random.standard_normal((n, len(mjd))) @ _root(self._of_walks(mjd)).T
        if self.annual:
            phase = random.uniform(0, 2 * np.pi, (n, 1))
            values += self.annual * np.cos(2 * np.pi * mjd / _YEAR_DAYS + phase)
        if self.flares is not None:
            rate, amplitude, decay_days = self.flares
            first = mjd[0] - 10 * decay_days
            for number in range(n):
                for start in random.uniform(
                    first, mjd[-1], random.poisson(rate * (mjd[-1] - first) / _YEAR_DAYS)
                ):
                    since = np.maximum(mjd - start, 0.0)
                    values[number] += (
                        (mjd >= start) * random.exponential(amplitude) * np.exp(-since / decay_days)
                    )
        return values

    def covariance(self, mjd: Floats) -> Floats:
        """Return the covariance of ln S, shape (n_points, n_points).

        That of flares is the covariance of a shot noise (Rice 1954, section 1.5).
        """
        covariance = self._of_walks(mjd) + self.jitter**2 * np.eye(len(mjd))
        apart = mjd[:, None] - mjd[None, :]
        if self.annual:
            covariance += 0.5 * self.annual**2 * np.cos(2 * np.pi * apart / _YEAR_DAYS)
        if self.flares is not None:
            rate, amplitude, decay_days = self.flares
            variance = rate / _YEAR_DAYS * 2 * amplitude**2 * decay_days / 2
            covariance += variance * np.exp(-np.abs(apart) / decay_days)
        return np.asarray(covariance)

    def _of_walks(self, mjd: Floats) -> Floats:
        apart = np.abs(mjd[:, None] - mjd[None, :])
        zero = np.zeros_like(apart)
        return np.asarray(sum((s**2 * np.exp(-apart / tau) for s, tau in self.walks), zero))


def _root(covariance: Floats) -> Floats:
    if not covariance.any():
        return covariance
    return np.asarray(np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance))))


@dataclass(frozen=True)
class Population:
    """Kinds of sources, in equal numbers."""

    name: str  #: Its name.
    kinds: tuple[Kind, ...]  #: The kinds.


STEADY = Population("steady", (Kind(),))
#: A steady source and real AGN.
AGN_LIKE = Population(
    "like real AGN", (Kind(), *(Kind(((s, tau),), jitter) for s, tau, jitter in AGN))
)
TWO_WALKS = Population(
    "two walks each",
    tuple(
        Kind(((fast, fast_days), (slow, slow_days)))
        for fast, fast_days in ((0.04, 3.0), (0.06, 8.0))
        for slow, slow_days in ((0.08, 60.0), (0.15, 300.0), (0.3, 800.0))
    ),
)
FLARING = Population(
    "flares", (Kind(), Kind(flares=(2.0, 0.3, 10.0)), Kind(flares=(2.0, 0.3, 30.0)))
)
ANNUAL = Population(
    "annual waves", (Kind(), *(Kind(AGN_LIKE.kinds[i].walks, 0.0, 0.05) for i in (1, 5, 6)))
)


@dataclass(frozen=True)
class Sky:
    """A population and how it is watched."""

    population: Population  #: The population.
    watch: Watch  #: Cadence, errors, span.

    def light_curves(self, n: int, random: np.random.Generator) -> tuple[LightCurves, Ints]:
        """Simulate light curves of `n` sources, and return the number of each one's kind."""
        curves = steady_light_curves(n, self.watch, random)
        mjd = curves.mid_mjd[curves.of(0)]
        which = random.permutation(np.arange(n) % len(self.population.kinds))
        values = np.empty((n, len(mjd)))
        for number, kind in enumerate(self.population.kinds):
            values[which == number] = kind.drawn(mjd, int(np.sum(which == number)), random)
        return replace(curves, flux_jy=curves.flux_jy * np.exp(values.ravel())), which

    def covariance(self, kind: int, mjd: Floats) -> Floats:
        """Return the covariance of ln S, errors included, of a kind of sources by number."""
        watch = self.watch
        drift = Kind(((watch.epoch_scatter, max(watch.epoch_days, 1e-9)),))
        errors = (watch.error**2 + watch.own_scatter**2) * np.eye(len(mjd))
        return self.population.kinds[kind].covariance(mjd) + drift.covariance(mjd) + errors

    def noises(self) -> Noises | None:
        """Return the distribution of the noises of its sources in the terms of the search.

        None if they aren't all one walk with jitter, or none varies.
        """
        watch, kinds = self.watch, self.population.kinds
        if watch.epoch_days or not any(kind.walks for kind in kinds):
            return None
        if any(len(kind.walks) > 1 or kind.annual or kind.flares for kind in kinds):
            return None
        # What the errors of the measurements don't include; see `steady_light_curves`.
        unknown = watch.own_scatter**2 + 0.75 * watch.epoch_scatter**2
        rows = [
            (*(kind.walks or ((0.0, 1.0),))[0], np.sqrt(kind.jitter**2 + unknown)) for kind in kinds
        ]
        return Noises(np.full(len(rows), -np.log(len(rows))), np.array(rows))


def with_lenses(curves: LightCurves, events: dict[int, Event]) -> LightCurves:
    """Return the light curves with lenses, which multiply the intrinsic variability."""
    flux_jy = curves.flux_jy.copy()
    for index, event in events.items():
        own = curves.of(index)
        u = (curves.mid_mjd[own] - event.mid_mjd) / event.width_days
        flux_jy[own] *= 1.0 + event.depth * event.shape.at(u)
    return replace(curves, flux_jy=flux_jy)


def any_shape(random: np.random.Generator) -> Shape:
    """Return a shape that isn't in the template bank: a random lens of either kind."""
    while True:
        if random.random() < 0.7:
            d = np.linspace(-40.0, 40.0, 16_001)
            flux = fiedler(d, random.uniform(0.8, 5.0), random.uniform(3.0, 15.0))
        else:
            d = np.linspace(-15.0, 15.0, 1_501)
            flux = clegg(d, random.uniform(0.7, 10.0), random.uniform(0.5, 1.5))
        # Some lenses are bright at the centre: their width isn't that of a dip.
        if flux[len(d) // 2] < flux.min() + 0.05 * (1 - flux.min()):
            return normalised("drawn", d, flux)
