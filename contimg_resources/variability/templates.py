"""Shapes of Extreme Scattering Events.

Belongs here: the flux density of a source behind a lens, and the bank of shapes for the search.
Doesn't: searching.

References: Fiedler et al. 1994, ApJ 430, 581 (a scattering lens); Clegg, Fey & Lazio 1998, ApJ
496, 253 (a refracting Gaussian plasma lens).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from contimg_resources.core.arrays import Floats

Family = Literal["fiedler", "clegg"]

#: Maximum width of a dip as a fraction of the observed time: its baseline is as long.
MOST_OF_SPAN = 0.5
#: Minimum number of measurements in the window of a fit.
MIN_POINTS = 8
#: Shapes are tabulated to this many widths from the epoch of minimum; farther out they are 0.
REACH = 4.0
#: Number of steps of the tables of shapes.
N_STEPS = 1601
#: Times of the tables from the epoch of minimum, in widths.
U = np.linspace(-REACH, REACH, N_STEPS)

#: Lens and scattering widths, in full widths of the source, of the shapes of Fiedler's family: from
#: a smooth dip to a flat one between high shoulders.
FIEDLER_SHAPES = ((1.0, 4.0), (2.0, 4.0), (3.0, 8.0), (5.0, 15.0))
#: Strength, and the source's full width in lens widths, of the shapes of Clegg's family.
CLEGG_SHAPES = ((1.0, 0.6), (4.0, 0.8), (15.0, 1.2))
#: Parameters of a finer bank: for dips that fit no shape of the search, whose sources are bright
#: enough to distinguish lenses.
FINE_FIEDLER_SHAPES = tuple(
    (tl, tb) for tl in (1.0, 1.8, 3.0, 4.5) for tb in (3.0, 4.5, 7.0, 10.0, 15.0)
)
FINE_CLEGG_SHAPES = tuple(
    (alpha, source) for alpha in (0.8, 1.5, 3.0, 6.0, 12.0) for source in (0.5, 0.8, 1.1, 1.4)
)
#: Rays of the lens are traced to this distance, in lens widths.
_RAYS_TO = 40.0
_FWHM_OF_STD = float(np.sqrt(8.0 * np.log(2.0)))


@dataclass(frozen=True)
class Shape:
    """A normalised shape: minimum -1 at u = 0, full width 1 at half its depth."""

    name: str  #: Family and parameters.
    #: Values at u from -`REACH` to `REACH`, evenly; u is time from the minimum over the width.
    #: Shape (N_STEPS,).
    table: Floats

    def at(self, u: Floats) -> Floats:
        """Return the shape at `u`, 0 outside its table."""
        return np.asarray(np.interp(u, U, self.table, left=0.0, right=0.0))


def fiedler(d: Floats, lens: float, scattering: float, fraction: float = 1.0) -> Floats:
    """Return the relative flux density behind a scattering lens.

    ``F = f {P[c(d - tl/2)/q, c(d + tl/2)/q] + P[c(tl/2 - d), inf] + P[-inf, -c(tl/2 + d)]} + 1 -
    f`` with ``P(a, b) = [erf(b/sqrt2) - erf(a/sqrt2)]/2``, ``q = sqrt(1 + tb^2)``, ``c = sqrt(8 ln
    2)`` (Fiedler et al. 1994, ApJ 430, 581). `d` is the offset of the source from the lens's centre
    in full widths of the source; `lens` and `scattering` are tl and tb in the same unit; `fraction`
    is f, the lensed fraction of the flux density.
    """
    from scipy.special import ndtr

    c, q = _FWHM_OF_STD, np.hypot(1.0, scattering)
    scattered = ndtr(c * (d + lens / 2) / q) - ndtr(c * (d - lens / 2) / q)
    beside = ndtr(c * (d - lens / 2)) + ndtr(-c * (d + lens / 2))
    return np.asarray(fraction * (scattered + beside) + 1.0 - fraction)


def clegg(d: Floats, strength: float, source: float) -> Floats:
    """Return the relative flux density behind a refracting Gaussian plasma lens.

    A ray that passes at u (in lens widths) arrives at ``u (1 + alpha exp(-u^2))``; the density of
    arriving rays, over the source's Gaussian, is the flux density (Clegg et al. 1998, eqs 14, 18).
    Rays are counted, so caustics need no special treatment. `d` is the offset from the lens's
    centre, evenly spaced, and `source` the full width of the source, both in lens widths;
    `strength` is alpha.
    """
    from scipy.ndimage import gaussian_filter1d

    fine = min(float(d[1] - d[0]) / 2, source / 100)
    n_bins, per_bin = round(2 * _RAYS_TO / fine), 16
    u = -_RAYS_TO + (np.arange(n_bins * per_bin) + 0.5) * fine / per_bin
    arriving = u * (1.0 + strength * np.exp(-np.square(u)))
    counts, edges = np.histogram(arriving, n_bins, (-_RAYS_TO, _RAYS_TO))
    density = gaussian_filter1d(counts / per_bin, source / _FWHM_OF_STD / fine)
    return np.asarray(np.interp(d, 0.5 * (edges[1:] + edges[:-1]), density))


@cache
def bank(families: tuple[Family, ...]) -> tuple[Shape, ...]:
    """Return the normalised shapes of some families for the search."""
    coarse = {"fiedler": FIEDLER_SHAPES, "clegg": CLEGG_SHAPES}
    return tuple(shape for family in families for shape in _shapes(family, coarse[family]))


@cache
def fine_bank() -> tuple[Shape, ...]:
    """Return more shapes of both families, for the vetting of bright and deep dips."""
    return _shapes("fiedler", FINE_FIEDLER_SHAPES) + _shapes("clegg", FINE_CLEGG_SHAPES)


def _shapes(family: Family, parameters: Iterable[tuple[float, float]]) -> tuple[Shape, ...]:
    if family == "fiedler":
        d = np.linspace(-30.0, 30.0, 60_001)
        return tuple(
            normalised(f"Fiedler, lens {tl:g}, scattering {tb:g}", d, fiedler(d, tl, tb))
            for tl, tb in parameters
        )
    d = np.linspace(-15.0, 15.0, 3_001)
    return tuple(
        normalised(f"Clegg, strength {alpha:g}, source {source:g}", d, clegg(d, alpha, source))
        for alpha, source in parameters
    )


def normalised(name: str, d: Floats, flux: Floats) -> Shape:
    """Normalise a relative flux density to a shape of depth 1 and width 1.

    Offsets are evenly spaced, with zero in the middle; the flux density is symmetric and 1 far
    away. Both have the shape (n,).
    """
    middle = len(d) // 2
    relative = (flux - 1.0) / (1.0 - flux.min())
    half = d[middle:][np.argmax(relative[middle:] > -0.5)]
    return Shape(name, np.interp(U * 2 * half, d, relative))
