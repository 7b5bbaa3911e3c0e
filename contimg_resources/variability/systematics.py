"""Annual and daily patterns in light curves: measured on the flux references, and removed.

Belongs here: a source's place in the mosaic, the day of the year and the time of day as causes of a
common pattern. Doesn't: the flux scale of an epoch, which removes what all of its sources share
(see `contimg_resources.photometry`); errors without a pattern (see `measuring`).

Each source transits 3.9 minutes earlier every day, so its place in the mosaics moves and jumps back
every week; the hour of its transit moves through the day within a year. Errors of the primary beam
and its pointing, which depend on place, temperature and time of day, then look like variability.
What depends on place remains after the flux scale; so the patterns of year and day have a term that
is common to an epoch's sources and one that is proportional to their distance from the strip.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.errors import InvalidName
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY
from contimg_resources.instrument.dsa110 import LONGITUDE_DEG
from contimg_resources.variability.measuring import reference_sources
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import log_curves, relative
from contimg_resources.variability.points import transit_mjd, transit_number

#: Fewer references, or fewer epochs, measure no pattern; of more references as many are used.
MIN_REFERENCES, MIN_EPOCHS, _MOST_REFERENCES = 10, 60, 150
#: A pattern is removed if its variance is this many standard deviations above that of its error.
LEAST_SIGMA = 4.0
#: Nodes of the patterns: over hour angle and declination, over the year, over the day.
_HOUR_ANGLES, _DECLINATIONS, _YEAR, _DAY = 7, 3, 12, 8
#: A residual counts for at most this many standard deviations of its source: an event isn't common.
_MOST_SIGMA = 4.0
_DAYS_OF_YEAR = 365.2422
_BINS = 24
_TURN = 500_000


class Where(NamedTuple):
    """Where and when measurements were made, shape (n_points,); NaN if not known."""

    hour_angle_deg: Floats  #: Hour angle of the source at the mid-time, degrees.
    declination_deg: Floats  #: Declination less that of the strip, degrees.
    year: Floats  #: Phase in the tropical year, 0 to 1.
    day: Floats  #: Mean solar time at the telescope, 0 to 1 from midnight.


def where_of(curves: LightCurves) -> Where:
    """Return where and when the measurements were made."""
    counts = np.diff(curves.offsets)
    ra_deg, dec_deg = np.repeat(curves.ra_deg, counts), np.repeat(curves.dec_deg, counts)
    strip_deg = _strips_deg(curves.epoch)
    known = np.where(np.isfinite(ra_deg), ra_deg, 0.0)
    transit = transit_mjd(transit_number(curves.mid_mjd, known), known)
    hour_angle = (curves.mid_mjd - transit) * SIDEREAL_DEG_PER_DAY
    return Where(
        np.where(np.isfinite(ra_deg + strip_deg), hour_angle, np.nan),
        dec_deg - strip_deg,
        (curves.mid_mjd / _DAYS_OF_YEAR) % 1.0,
        (curves.mid_mjd + LONGITUDE_DEG / 360.0) % 1.0,
    )


def _strips_deg(epochs: NDArray[np.str_]) -> Floats:
    """Return the declination in each key of a mosaic, degrees; NaN for other keys."""
    import pyarrow as pa

    # Faster than sorting: keys are few, and measurements are many.
    coded = pa.array(epochs, pa.string()).dictionary_encode()
    strips = [np.nan]
    for epoch in coded.dictionary.to_pylist():
        try:
            strips.append(parse_mosaic_key(epoch)[1])
        except InvalidName:
            strips.append(np.nan)
    return np.asarray(np.array(strips)[coded.indices.to_numpy() + 1])


@dataclass(frozen=True)
class Ranges:
    """Range of the places of the reference sources; beyond it the value at its end counts."""

    hour_angle_deg: tuple[float, float]  #: Lowest and highest hour angle, degrees.
    declination_deg: float  #: Largest distance from the strip, degrees.


def _place(where: Where, ranges: Ranges) -> Any:
    return _product(
        _hats(where.hour_angle_deg, *ranges.hour_angle_deg, _HOUR_ANGLES),
        _hats(
            where.declination_deg, -ranges.declination_deg, ranges.declination_deg, _DECLINATIONS
        ),
    )


def _year(where: Where, ranges: Ranges) -> Any:
    return _with_slope(_cycle(where.year, _YEAR), where, ranges)


def _day(where: Where, ranges: Ranges) -> Any:
    return _with_slope(_cycle(where.day, _DAY), where, ranges)


@dataclass(frozen=True)
class _Cause:
    #: Name, and its coordinate with the unit.
    name: str
    label: str
    design: Callable[[Where, Ranges], Any]
    along: Callable[[Where], Floats]
    #: Light curves that are shorter than this don't show the pattern, days.
    min_days: float


_CAUSES = (
    _Cause("place", "hour angle (deg)", _place, lambda where: where.hour_angle_deg, 0.0),
    _Cause(
        "year", "day of the year", _year, lambda where: _DAYS_OF_YEAR * where.year, _DAYS_OF_YEAR
    ),
    _Cause("day", "mean solar time (h)", _day, lambda where: 24.0 * where.day, _DAYS_OF_YEAR),
)


def _sparse(columns: Ints, values: Floats, n_columns: int) -> Any:
    """Return a matrix from the columns and values of each row, shapes (n, k)."""
    from scipy.sparse import csr_array

    rows, k = columns.shape
    return csr_array(
        (values.ravel(), columns.ravel(), k * np.arange(rows + 1)), shape=(rows, n_columns)
    )


def _between(at: Floats, n: int, *, is_cycle: bool) -> tuple[Ints, Floats]:
    """Return the nodes beside positions in units of nodes, and their weights; 0 for NaN."""
    known = np.isfinite(at)
    at = np.where(known, at, 0.0)
    low = np.floor(at).astype(np.int64) if is_cycle else np.clip(at.astype(np.int64), 0, n - 2)
    weight = np.stack([1.0 - (at - low), at - low], axis=1) * known[:, None]
    return np.stack([low, low + 1], axis=1) % n, weight


def _hats(x: Floats, low: float, high: float, n: int) -> tuple[Ints, Floats, int]:
    at = (np.clip(x, low, high) - low) / max(high - low, 1e-9) * (n - 1)
    return *_between(at, n, is_cycle=False), n


def _cycle(phase: Floats, n: int) -> tuple[Ints, Floats, int]:
    return *_between(phase * n, n, is_cycle=True), n


def _product(one: tuple[Ints, Floats, int], other: tuple[Ints, Floats, int]) -> Any:
    columns = one[0][:, :, None] * other[2] + other[0][:, None, :]
    values = one[1][:, :, None] * other[1][:, None, :]
    return _sparse(
        columns.reshape(len(columns), -1), values.reshape(len(columns), -1), one[2] * other[2]
    )


def _with_slope(cycle: tuple[Ints, Floats, int], where: Where, ranges: Ranges) -> Any:
    """Return a cycle, and beside it one that is proportional to the distance from the strip."""
    columns, values, n = cycle
    across = np.clip(
        np.nan_to_num(where.declination_deg / max(ranges.declination_deg, 1e-9)), -1, 1
    )
    return _sparse(
        np.concatenate([columns, columns + n], axis=1),
        np.concatenate([values, values * across[:, None]], axis=1),
        2 * n,
    )


@dataclass(frozen=True)
class Pattern:
    """A measured pattern of ln S."""

    name: str  #: Its cause: ``place``, ``year`` or ``day``.
    label: str  #: Its main coordinate, with the unit.
    amplitude: float  #: Its rms over the references, without its error's; 0 if that is larger.
    error: float  #: The rms error of the fitted pattern.
    sigma: float  #: Variance over that of the error, less 1, in standard deviations of that.
    is_removed: bool  #: Whether it is removed: `sigma` is at least `LEAST_SIGMA`.
    coefficients: Floats  #: Values at its nodes, shrunk. Shape (n_nodes,).
    #: The same without one of the references, by its number.
    without: dict[int, Floats]
    #: Means of the references' ln S less their levels, by the main coordinate: coordinate, mean,
    #: its error, and the fitted pattern. Shape (n_bins, 4).
    binned: Floats


@dataclass(frozen=True)
class Systematics:
    """The patterns of a set of light curves."""

    patterns: tuple[Pattern, ...]  #: In the order of their measurement; empty: not measured.
    ranges: Ranges | None  #: Places of the references; None: not measured.
    n_references: int  #: Number of the references that they were measured on.
    n_epochs: int  #: Number of their epochs.

    @property
    def facts(self) -> dict[str, dict[str, float | bool]]:
        """The measured patterns by name, JSON-able."""
        return {
            p.name: {
                "amplitude": round(p.amplitude, 6),
                "error": round(p.error, 6),
                "sigma": round(p.sigma, 2),
                "is_removed": p.is_removed,
            }
            for p in self.patterns
        }

    def removed_from(self, curves: LightCurves) -> LightCurves:
        """Return light curves, those that were measured, without the significant patterns.

        From a reference, the pattern is removed that the others have. The error of the pattern is
        added to those of the measurements.
        """
        chosen = [p for p in self.patterns if p.is_removed]
        if not chosen or self.ranges is None:
            return curves
        designs = {cause.name: cause.design for cause in _CAUSES}
        where = where_of(curves)
        shift = np.zeros(len(curves.mid_mjd))
        for first in range(0, len(shift), _TURN):
            some = slice(first, first + _TURN)
            there = Where(*(column[some] for column in where))
            for p in chosen:
                shift[some] += designs[p.name](there, self.ranges) @ p.coefficients
        for index in chosen[0].without:
            own = curves.of(index)
            there = Where(*(column[own] for column in where))
            shift[own] = sum(designs[p.name](there, self.ranges) @ p.without[index] for p in chosen)
        factor = np.exp(-shift)
        error = np.sqrt(sum(p.error**2 for p in chosen))
        return replace(
            curves,
            flux_jy=curves.flux_jy * factor,
            error_jy=np.hypot(curves.error_jy, error * np.abs(curves.flux_jy)) * factor,
            integrated_jy=curves.integrated_jy * factor,
            integrated_error_jy=curves.integrated_error_jy * factor,
        )


def measure_systematics(curves: LightCurves, min_epochs: int) -> Systematics:
    """Measure the patterns on the flux references, each after the one before is subtracted.

    A pattern is a weighted least-squares fit to ln S of the references, whose levels are free; all
    references have similar weights, and outliers are clipped, so no source makes a pattern. Its
    error has the scatter between sources and that between epochs (two-way clusters: Cameron,
    Gelbach & Miller 2011, J. Bus. Econ. Stat. 29, 238), since errors of one source, and of one
    epoch, are correlated. The coefficients are multiplied by the fraction of their variance that
    isn't error.

    Parameters
    ----------
    curves : LightCurves
        All light curves of the platform.
    min_epochs : int
        Minimum number of measurements of a reference.
    """
    which = np.flatnonzero(reference_sources(curves, min_epochs) & curves.sound())
    if len(which) > _MOST_REFERENCES:
        which = which[np.linspace(0, len(which) - 1, _MOST_REFERENCES).astype(np.int64)]
    which = which[_usable(curves.only(np.isin(np.arange(len(curves)), which)))]
    some = curves.only(np.isin(np.arange(len(curves)), which))
    _, epoch = np.unique(some.epoch, return_inverse=True)
    n_epochs = int(epoch.max()) + 1 if len(epoch) else 0
    if len(some) < MIN_REFERENCES or n_epochs < MIN_EPOCHS:
        return Systematics((), None, len(some), n_epochs)
    where = where_of(some)
    _, flux, error = relative(some)
    logs = log_curves(some.offsets, some.mid_mjd, flux, error)
    fit = _Fit(np.diff(some.offsets), epoch, logs.error, which)
    ranges = Ranges(
        (float(where.hour_angle_deg.min()), float(where.hour_angle_deg.max())),
        float(np.abs(where.declination_deg).max()),
    )
    left, patterns = fit.clipped(logs.values), []
    for cause in _CAUSES:
        if np.ptp(some.mid_mjd) < cause.min_days:
            continue
        design = cause.design(where, ranges).toarray()
        pattern, fitted = fit.pattern(cause, design, left, cause.along(where))
        patterns.append(pattern)
        if pattern.is_removed:
            left = left - fitted
    return Systematics(tuple(patterns), ranges, len(some), n_epochs)


def _usable(curves: LightCurves) -> Bools:
    """Return which sources have known places at all measurements and a median above zero."""
    known = np.isfinite(sum(where_of(curves)))
    own = (curves.of(i) for i in range(len(curves)))
    return np.array([known[o].all() and np.median(curves.flux_jy[o]) > 0 for o in own], np.bool_)


@dataclass(frozen=True)
class _Fit:
    counts: Ints
    epoch: Ints
    error: Floats
    which: Ints

    @property
    def _starts(self) -> Ints:
        return np.cumsum(self.counts) - self.counts

    def _spread(self, of_sources: Floats) -> Floats:
        return np.repeat(of_sources, self.counts, axis=0)

    def _scatter(self, values: Floats) -> Floats:
        parts = np.split(values, self._starts[1:])
        return STD_OF_MAD * np.array([np.median(np.abs(v - np.median(v))) for v in parts])

    def clipped(self, values: Floats) -> Floats:
        """Return ln S less the level of each source, outliers clipped."""
        parts = np.split(values, self._starts[1:])
        off = values - self._spread(np.array([np.median(v) for v in parts]))
        most = self._spread(_MOST_SIGMA * np.maximum(self._scatter(off), 1e-9))
        return np.asarray(np.clip(off, -most, most))

    def _weight(self, values: Floats) -> Floats:
        scatter = self._scatter(values)
        # No source has more weight than the median one.
        least = max(float(np.median(scatter)), 1e-9)
        return 1.0 / np.square(np.maximum(self.error, self._spread(np.maximum(scatter, least))))

    def _centred(self, values: Floats, weight: Floats) -> Floats:
        """Subtract the weighted mean of each source."""
        total = np.add.reduceat(weight, self._starts)
        each = weight.reshape(-1, *(1,) * (values.ndim - 1))
        mean = np.add.reduceat(values * each, self._starts, axis=0)
        return values - self._spread(mean / total.reshape(-1, *(1,) * (values.ndim - 1)))

    def pattern(
        self, cause: _Cause, design: Floats, left: Floats, along: Floats
    ) -> tuple[Pattern, Floats]:
        """Fit a pattern to what is left; return it and its values at the measurements."""
        weight = self._weight(left)
        x, y = self._centred(design, weight), self._centred(left, weight)
        weighted = x * weight[:, None]
        pieces = zip(
            np.split(x, self._starts[1:]),
            np.split(weighted, self._starts[1:]),
            np.split(y, self._starts[1:]),
            strict=True,
        )
        normal, right = (
            np.array(part) for part in zip(*((w.T @ a, w.T @ b) for a, w, b in pieces), strict=True)
        )
        inverse = _inverse(normal.sum(axis=0))
        coefficients = inverse @ right.sum(axis=0)
        scores = weighted * (y - x @ coefficients)[:, None]
        by_source = np.add.reduceat(scores, self._starts, axis=0)
        order = np.argsort(self.epoch, kind="stable")
        first = np.flatnonzero(np.diff(self.epoch[order], prepend=-1))
        by_epoch = np.add.reduceat(scores[order], first, axis=0)
        alone = scores.T @ scores
        meat = _clusters(by_source) + _clusters(by_epoch) - alone
        spread = x.T @ x / len(x)
        variance = max(float(np.sum((inverse @ m @ inverse) * spread)) for m in (meat, alone))
        square = float(coefficients @ spread @ coefficients)
        rank = int(np.linalg.matrix_rank(spread, hermitian=True, rtol=1e-9))
        sigma = (square / variance - 1.0) / np.sqrt(2.0 / max(rank, 1)) if variance > 0 else 0.0
        shrunk = max(square - variance, 0.0) / square if square > 0 else 0.0
        without = {
            int(number): shrunk * (_inverse(normal.sum(axis=0) - a) @ (right.sum(axis=0) - b))
            for number, a, b in zip(self.which, normal, right, strict=True)
        }
        fitted = shrunk * (x @ coefficients)
        return Pattern(
            name=cause.name,
            label=cause.label,
            amplitude=float(np.sqrt(max(square - variance, 0.0))),
            error=float(np.sqrt(variance)),
            sigma=float(sigma),
            is_removed=bool(sigma >= LEAST_SIGMA),
            coefficients=shrunk * coefficients,
            without=without,
            binned=_binned(along, y, weight, fitted),
        ), fitted


def _inverse(normal: Floats) -> Floats:
    return np.asarray(np.linalg.pinv(normal, rcond=1e-9, hermitian=True))


def _clusters(scores: Floats) -> Floats:
    n = len(scores)
    return np.asarray(scores.T @ scores * (n / max(n - 1, 1)))


def _binned(along: Floats, values: Floats, weight: Floats, fitted: Floats) -> Floats:
    edges = np.linspace(along.min(), along.max(), _BINS + 1)
    number = np.clip(np.searchsorted(edges, along, side="right") - 1, 0, _BINS - 1)
    rows = []
    for one in np.unique(number):
        own = number == one
        total = float(weight[own].sum())
        mean = float(weight[own] @ values[own]) / total
        error = float(np.sqrt(np.square(weight[own]) @ np.square(values[own] - mean))) / total
        at, model = (float(weight[own] @ column[own]) / total for column in (along, fitted))
        rows.append((at, mean, error, model))
    return np.array(rows)


def draw_systematics(path: Path, systematics: Systematics) -> None:
    """Draw the patterns: means of the references with their errors, and the fitted patterns."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 8.0), dpi=100, layout="constrained")
    figure.suptitle(
        f"Annual and daily patterns of {systematics.n_references} flux references in "
        f"{systematics.n_epochs} epochs",
        fontsize=11,
    )
    if not systematics.patterns:
        figure.text(
            0.5,
            0.5,
            f"not measured: that needs {MIN_REFERENCES} references and {MIN_EPOCHS} epochs",
            ha="center",
        )
    rows = (
        figure.subplots(len(systematics.patterns), 1, squeeze=False)[:, 0]
        if (systematics.patterns)
        else ()
    )
    for axes, pattern in zip(rows, systematics.patterns, strict=True):
        at, mean, error, fitted = pattern.binned.T
        axes.errorbar(at, 100 * mean, 100 * error, fmt="o", ms=4, lw=0.9, color="tab:blue")
        axes.plot(at, 100 * fitted, color="tab:red" if pattern.is_removed else "0.6", lw=1.8)
        axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        axes.set(xlabel=pattern.label, ylabel="ln S less level (%)")
        axes.set_title(
            f"{pattern.name}: amplitude {100 * pattern.amplitude:.2f} %, error "
            f"{100 * pattern.error:.2f} %, {pattern.sigma:.1f} sigma: "
            f"{'removed' if pattern.is_removed else 'not significant, not removed'}",
            fontsize=10,
        )
    figure.savefig(path, format="png")
