"""Find the sources of a mosaic without a catalogue, and measure them.

Belongs here: from an image to a list of components: peaks, joint fits, shapes, blends, artefacts.
Doesn't: loops over pixels (see `finding_loops`), completeness (see `injecting`), files (see
`found`).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import on_one_core
from contimg_resources.core.arrays import Bools, Floats, Ints, Singles
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.imaging.reliability import Peaks, stand_out
from contimg_resources.imaging.sources import close_groups
from contimg_resources.photometry.background import Surroundings
from contimg_resources.photometry.beams import axes_in_pixels, quadratic_forms
from contimg_resources.photometry.component_shapes import ComponentShapes, beam_covariance
from contimg_resources.photometry.correlation import NoiseCorrelation, noise_of
from contimg_resources.photometry.finding_loops import (
    add_components,
    fit_components,
    local_maxima,
)
from contimg_resources.photometry.found import FoundSources
from contimg_resources.photometry.measuring import (
    middle_axes,
    nearest_pixels,
    noise_and_pixels,
    sky_between,
    smearing_of,
)
from contimg_resources.photometry.model import Flag, MeasurableImage
from contimg_resources.photometry.shapes import WidthAllowance
from contimg_resources.settings import FindingSettings, PhotometrySettings

#: A point source between pixels has a lower peak, so pixels below the limit are considered too.
_PIXEL_LOSS = 0.85
#: Negative peaks above this multiple of the limit, of which noise has next to none, are artefacts
#: that sources must exceed; those above a share of it are counted, to measure the tail of their
#: distribution.
_ARTEFACT, _COUNTED_SHARE = 1.15, 0.8
#: Distances in widths (FWHM) of the beam: peaks of one component; components of one fit; the
#: largest shift of a fitted position from its peak; neighbours in one island.
_SAME, _NEAR, _FARTHEST = 0.5, 2.0, 1.0
_ISLAND = 3.0
_LARGEST_GROUP = 8
#: Fits use pixels where a point source is above 0.6 of its peak, and one of free shape above 0.4.
#: In noise with the shape of the beam the error of a point source's peak is then 1.1 times that of
#: a pixel; wings would increase it, to 1.4 with a filter of the whole beam.
_POINT_LIMIT, _FREE_LIMIT = -float(np.log(0.6)), -float(np.log(0.4))
_TURNS = 25
#: Shapes are fitted above this S/N; a source is extended if its width exceeds the tolerance by this
#: many errors.
_SHAPE_SNR, _SIGNIFICANT = 7.0, 4.0
#: A peak that stands out of the ridge to a higher one by less than this S/N may be noise on a wide
#: source.
_PROMINENT_SNR = 2.5
#: A peak that is left beside a component is another one above this share of it.
_COMPANION = 0.1
_ROUNDS = 2
#: Components are one island if the image between them stays above this S/N.
_RIDGE_SNR, _RIDGE_STEPS = 4.0, 9


@dataclass(frozen=True)
class Found:
    """The sources of an image, and what was left out."""

    sources: FoundSources  #: The accepted sources.
    finder: "Finder"  #: The image with its noise.
    residual: Singles  #: The image without all components, also rejected ones.
    min_snr: float  #: S/N that a source needs in this image.
    n_rejected: int  #: Number of rejected detections: they may be artefacts.
    #: S/N, above zero, of the negative peaks above 0.8 times the limit that pass the tests of a
    #: source. Shape (n_negative,).
    negative_snr: Floats


def find_sources(
    image: MeasurableImage, limits: FindingSettings, photometry: PhotometrySettings | None = None
) -> Found:
    """Find the sources of an image that is corrected for the primary beam.

    `photometry` contains the tolerance of a point source's width.

    Raises
    ------
    PhotometryFailed
        If the image has no sky for measuring its noise, or no noise.

    Notes
    -----
    Peaks are fitted with the local restoring beam, jointly where they are closer than two beams; a
    source's S/N is its fitted peak over the uncertainty of the fit. Where a Gaussian of free shape
    is significantly wider than the beam (as in forced photometry), it replaces the point source.
    Peaks that are left after subtraction are further components if they exceed a tenth of their
    neighbours. Detections that don't stand out from the negative peaks around are left out (see
    `contimg_resources.imaging.reliability`).
    """
    finder = Finder.of(image)
    # Many short loops.
    with on_one_core():
        return _found(finder, limits, photometry or PhotometrySettings())


def _found(finder: "Finder", limits: FindingSettings, photometry: PhotometrySettings) -> Found:
    found, snr, residual, extended, poor = finder.components(limits.min_snr, photometry)
    dips, dip_snr = finder.negative_peaks(_COUNTED_SHARE * limits.min_snr)
    negative = Peaks(dips[:, 1:3], dips[:, 0], dip_snr)
    real = Peaks(found[:, 1:3], found[:, 0], snr)
    beam = float(np.sqrt(np.prod(finder.beam_pixels)))
    kept, passed, limit = stand_out(
        real, negative, beam, limits.min_snr, _ARTEFACT * limits.min_snr
    )
    kept &= snr >= limits.min_snr
    kept &= np.isfinite(finder.value_at(found[:, 2], found[:, 1]))
    order = np.flatnonzero(kept)[np.argsort(-found[kept, 0], kind="stable")]
    sources = finder.measured(found[order], extended[order], poor[order], residual)
    return Found(
        sources,
        finder,
        residual,
        limit,
        int(np.count_nonzero((snr >= limits.min_snr) & ~kept)),
        negative.snr[passed],
    )


@dataclass(frozen=True)
class Finder:
    """An image with its background and noise, for finding components."""

    image: MeasurableImage  #: The image.
    pixels: Singles  #: Its pixels, NaN where its noise is undefined, Jy/beam.
    weights: Singles  #: Expected noise, (1, 1) if it is the same everywhere.
    around: Surroundings  #: Background and noise.
    correlation: NoiseCorrelation  #: Correlation of the noise.
    beam_pixels: tuple[float, float]  #: Axes (FWHM) of the restoring beam, pixels.

    @classmethod
    def of(cls, image: MeasurableImage) -> "Finder":
        """Measure the noise of an image.

        Raises
        ------
        PhotometryFailed
            If there is too little sky, or no noise.
        """
        axes = middle_axes(image)
        cell_arcsec = 1.0 / np.sqrt(abs(np.linalg.det(axes)))
        major = image.beam.major_arcsec / cell_arcsec
        minor = image.beam.minor_arcsec / cell_arcsec
        weights, pixels = noise_and_pixels(image)
        if not np.isfinite(pixels).any():
            raise PhotometryFailed(f"{image.epoch}: the image has no finite pixel")
        # At most twice the extent of the pixels of one fit.
        reach = int(np.ceil(2 * major)) + 1
        try:
            rough = Surroundings.of(pixels, weights, major, minor)
            noise = float(rough.noise.min())
            at = local_maxima(pixels, weights, 5.0 * noise).astype(np.float64)
            forms = _forms(image, at[:, 0], at[:, 1])
            sky = sky_between(pixels, weights, at[:, 0], at[:, 1], forms)
            around, correlation = noise_of(sky, weights, major, minor, reach)
        except PhotometryFailed as failure:
            raise PhotometryFailed(f"{image.epoch}: {failure.message}") from failure
        return cls(image, pixels, weights, around, correlation, (major, minor))

    def surroundings_at(self, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
        """Return background and noise of a pixel at positions in pixels, Jy/beam."""
        level, noise = self.around.at(np.asarray(rows, float), np.asarray(columns, float))
        return level, noise * nearest_pixels(self.weights, rows, columns)

    def peaks(self, pixels: Singles, min_snr: float) -> Floats:
        """Return the peaks of an image, as point sources on its pixels, shape (n, 6).

        See `contimg_resources.photometry.finding_loops.add_components`. Peaks within half a beam of
        a higher one, and those that stand out little of the ridge to a higher one, are left out.
        """
        least_snr = _PIXEL_LOSS * min_snr
        # Background is small beside a peak's limit; the exact test follows.
        lowest = 0.8 * least_snr * float(self.around.noise.min())
        at = local_maxima(pixels, self.weights, lowest)
        rows, columns = at.T.astype(np.float64)
        level, rms = self.surroundings_at(rows, columns)
        height = pixels[at[:, 0], at[:, 1]] - level
        high = height > least_snr * rms
        order = np.flatnonzero(high)[np.argsort(-height[high], kind="stable")]
        found = np.column_stack([height, columns, rows])[order]
        found = found[_highest(self._in_beams(found[:, 1:3]), _SAME)]
        pairs = self._pairs(found, _NEAR)
        lower = pairs.max(axis=1)
        least = found[lower, 0] - _PROMINENT_SNR * self._rms_of(found[lower])
        with np.errstate(invalid="ignore"):
            joined = self._ridges(pixels, found, pairs).min(axis=0) > least
        found = np.delete(found, lower[joined], axis=0)
        return np.column_stack([found, _forms(self.image, found[:, 2], found[:, 1])])

    def fit(
        self, residual: Singles, starts: Floats, free: Bools, turns: int = _TURNS
    ) -> tuple[Floats, Floats, Bools, Bools]:
        """Fit components; see `contimg_resources.photometry.finding_loops.fit_components`.

        `residual` is the image without them; they have any order.
        """
        groups = close_groups(self._in_beams(starts[:, 1:3]), _NEAR, _LARGEST_GROUP)
        order = np.array([i for group in groups for i in group], np.int64)
        ends = np.cumsum([len(group) for group in groups], dtype=np.int64)
        first = np.column_stack([ends - [len(g) for g in groups], ends]).astype(np.int64)
        planes = self.around.planes_at(
            starts[order][first[:, 0], 2], starts[order][first[:, 0], 1], 0.5 * self.beam_pixels[0]
        )[0]
        fitted = fit_components(
            residual,
            np.ascontiguousarray(starts[order]),
            np.ascontiguousarray(free[order]),
            first.reshape(-1, 2),
            planes,
            self.correlation.by_lag,
            _POINT_LIMIT,
            _FREE_LIMIT,
            turns,
        )
        back = np.argsort(order)
        found, covariance, converged, whole = fitted
        return found[back], covariance[back], converged[back], whole[back]

    def components(
        self, min_snr: float, photometry: PhotometrySettings
    ) -> tuple[Floats, Floats, Singles, Bools, Bools]:
        """Find and fit all components.

        Returns
        -------
        tuple
            Components, shape (n, 6), above `min_snr` times 0.85, and their S/N; the image without
            them; which are extended; which have a poor fit.
        """
        found = self.peaks(self.pixels, min_snr)
        snr = np.zeros(len(found))
        extended, poor = np.zeros((2, len(found)), bool)
        residual = self.pixels.copy()
        add_components(residual, found, -1.0)
        for last in range(_ROUNDS + 1):
            if not len(found):
                break
            found, snr, poor = self._refit(residual, found, extended)
            wide = self._wider(residual, found, extended, photometry)
            if (wide & ~extended).any():
                extended = extended | wide
                # Twice: the pixels of the second fit follow the shape of the first one.
                for _ in range(2):
                    found, snr, poor = self._refit(residual, found, extended)
            strong = snr >= _PIXEL_LOSS * min_snr
            add_components(residual, found[~strong], 1.0)
            found, snr = found[strong], snr[strong]
            extended, poor = extended[strong], poor[strong]
            more = self._left_over(residual, found, min_snr) if last < _ROUNDS else found[:0]
            if not len(more):
                break
            add_components(residual, more, -1.0)
            found = np.concatenate([found, more])
            none = np.zeros(len(more), bool)
            extended, poor = np.concatenate([extended, none]), np.concatenate([poor, none])
        return found, snr, residual, extended, poor

    def _refit(
        self, residual: Singles, starts: Floats, free: Bools
    ) -> tuple[Floats, Floats, Bools]:
        """Fit components, and replace them in the residual; those without a fit stay.

        Returns
        -------
        tuple
            Components, shape (n, 6), their S/N, and which have a poor fit.
        """
        found, covariance, converged, _ = self.fit(residual, starts, free)
        moved = self._in_beams(found[:, 1:3] - starts[:, 1:3])
        with np.errstate(invalid="ignore"):
            good = np.isfinite(found).all(axis=1) & (np.hypot(*moved.T) < _FARTHEST)
        found = np.where(good[:, None], found, starts)
        add_components(residual, starts[good], 1.0)
        add_components(residual, found[good], -1.0)
        rms = self._rms_of(found)
        factor = np.where(good, np.sqrt(covariance[:, 0, 0]), self.point_error)
        return found, found[:, 0] / (factor * rms), ~(good & converged)

    @cached_property
    def point_error(self) -> float:
        """Error of a lone point source's peak over the noise of a pixel."""
        at = np.array([[0.0, 0.0], [0.5, 0.5], [0.25, 0.5], [0.5, 0.0]])
        reach = int(np.ceil(2 * self.beam_pixels[0]))
        form = quadratic_forms(self.image.beam, middle_axes(self.image)[None])[0]
        errors = [
            fit_components(
                np.zeros((2 * reach + 1, 2 * reach + 1), np.float32),
                np.array([[1.0, reach + x, reach + y, *form]]),
                np.zeros(1, np.bool_),
                np.array([[0, 1]]),
                np.zeros((1, 3)),
                self.correlation.by_lag,
                _POINT_LIMIT,
                _FREE_LIMIT,
                1,
            )[1][0, 0, 0]
            for x, y in at
        ]
        return float(np.sqrt(np.nanmean(errors)))

    def _wider(
        self, residual: Singles, found: Floats, extended: Bools, photometry: PhotometrySettings
    ) -> Bools:
        """Return which components are wider than a point source."""
        rms = self._rms_of(found)
        free = extended | (found[:, 0] >= _SHAPE_SNR * rms)
        trial, fitted = residual, found
        # The pixels of the second fit follow the shape of the first one.
        for last in (False, True):
            before = fitted
            fitted, covariance, _, whole = self.fit(trial, before, free)
            moved = self._in_beams(fitted[:, 1:3] - found[:, 1:3])
            with np.errstate(invalid="ignore"):
                good = free & np.isfinite(fitted).all(axis=1) & (np.hypot(*moved.T) < _FARTHEST)
            if not last:
                fitted = np.where(good[:, None], fitted, before)
                free = good
                trial = residual.copy()
                add_components(trial, before[good], 1.0)
                add_components(trial, fitted[good], -1.0)
        good &= whole
        wide = extended.copy()
        if not good.any():
            return wide
        ra, dec = self.image.wcs.all_pix2world(*fitted[good, 1:3].T, 0)
        allowance = WidthAllowance(
            photometry.point_width_tolerance, smearing_of(self.image, ra, dec, photometry)
        )
        shapes = ComponentShapes.of(self.image, fitted[good], covariance[good], rms[good])
        limit = allowance.squared(self.image.beam.minor_arcsec)
        significant = shapes.squares[:, 1] - 1 > limit + _SIGNIFICANT * shapes.square_error
        wide[good] |= significant & (shapes.area > 1)
        return wide

    def _left_over(self, residual: Singles, found: Floats, min_snr: float) -> Floats:
        """Return peaks of the residual that are further components."""
        from scipy.spatial import cKDTree

        more = self.peaks(residual, min_snr)
        if not len(more):
            return more
        tree = cKDTree(self._in_beams(found[:, 1:3]))
        near = tree.query_ball_point(self._in_beams(more[:, 1:3]), _NEAR)
        beside = np.array([found[n, 0].max() if n else 0.0 for n in near])
        apart = tree.query(self._in_beams(more[:, 1:3]))[0] > _SAME
        return np.asarray(more[apart & (more[:, 0] > _COMPANION * beside)])

    def negative_peaks(self, min_snr: float) -> tuple[Floats, Floats]:
        """Return the negative peaks, as point sources of positive peak, shape (n, 6), and S/N."""
        return replace(self, around=self.around.negative).detected(-self.pixels, min_snr)

    def measured(
        self, found: Floats, extended: Bools, poor: Bools, residual: Singles
    ) -> FoundSources:
        """Return components with their errors, sizes and blends."""
        again, covariance, _, whole = self.fit(residual, found, extended, turns=1)
        level, rms = self.surroundings_at(found[:, 2], found[:, 1])
        # The errors are those of the last fit; without one, of a point source alone.
        lone = ~np.isfinite(again).all(axis=1)
        covariance[lone] = np.diag([1.0, 0, 0, 0, 1.0, 1.0]) * self.point_error**2
        shapes = ComponentShapes.of(self.image, found, covariance, rms)
        ra, dec = self.image.wcs.all_pix2world(found[:, 1], found[:, 2], 0)
        island = self._islands(found)
        n_components = np.bincount(island, minlength=1)[island] if len(found) else island
        flags = np.where(extended, int(Flag.EXTENDED), 0)
        flags |= np.where(n_components > 1, int(Flag.BLEND), 0)
        flags |= np.where(whole, 0, int(Flag.EDGE))
        flags |= np.where(poor | lone, int(Flag.POOR_FIT), 0)
        peak, peak_error = found[:, 0], np.sqrt(covariance[:, 0, 0]) * rms
        sizes = [
            np.where(extended, v, np.nan) for v in shapes.deconvolved(beam_covariance(self.image))
        ]
        return FoundSources(
            ra_deg=np.asarray(ra % 360),
            dec_deg=np.asarray(dec),
            east_error_arcsec=shapes.move_error_arcsec[:, 0],
            north_error_arcsec=shapes.move_error_arcsec[:, 1],
            peak_jy=peak,
            peak_error_jy=peak_error,
            integrated_jy=np.where(extended, shapes.area * peak, peak),
            integrated_error_jy=np.where(extended, shapes.integrated_error_jy, peak_error),
            major_arcsec=sizes[0],
            major_error_arcsec=sizes[1],
            minor_arcsec=sizes[2],
            minor_error_arcsec=sizes[3],
            angle_deg=sizes[4],
            background_jy=level,
            rms_jy=rms,
            snr=peak / peak_error,
            island=island,
            n_components=n_components,
            flags=flags,
        )

    def detected(self, pixels: Singles, min_snr: float) -> tuple[Floats, Floats]:
        """Return the point sources, shape (n, 6), of another image with this noise, and S/N."""
        starts = self.peaks(pixels, min_snr)
        residual = pixels.copy()
        add_components(residual, starts, -1.0)
        found, snr, _ = self._refit(residual, starts, np.zeros(len(starts), bool))
        return found[snr >= min_snr], snr[snr >= min_snr]

    def nearest(self, found: Floats, to: Floats) -> tuple[Floats, NDArray[np.intp]]:
        """Return the distance, in beams, of components `to` from the nearest of others, and it."""
        from scipy.spatial import cKDTree

        tree = cKDTree(self._in_beams(found[:, 1:3]))
        away, which = tree.query(self._in_beams(to[:, 1:3]))
        return np.asarray(away), np.asarray(which)

    def value_at(self, rows: Floats, columns: Floats) -> Floats:
        """Return the pixels nearest to positions; NaN outside the observed sky."""
        return nearest_pixels(self.pixels, rows, columns)

    def _islands(self, found: Floats) -> Ints:
        """Return the number of each component's island: a ridge above 4 sigma joins components."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = len(found)
        if not n:
            return np.empty(0, np.int64)
        pairs = self._pairs(found, _ISLAND)
        least = _RIDGE_SNR * self._rms_of(found)[pairs].max(axis=1)
        with np.errstate(invalid="ignore"):
            joined = pairs[(self._ridges(self.pixels, found, pairs) > least).all(axis=0)]
        links = coo_array((np.ones(len(joined)), joined.T), shape=(n, n))
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def _pairs(self, found: Floats, radius: float) -> NDArray[np.intp]:
        """Return the pairs of components within a number of beams, shape (n_pairs, 2)."""
        from scipy.spatial import cKDTree

        if len(found) < 2:
            return np.empty((0, 2), np.intp)
        tree = cKDTree(self._in_beams(found[:, 1:3]))
        return np.asarray(tree.query_pairs(radius, output_type="ndarray"), np.intp)

    def _ridges(self, pixels: Singles, found: Floats, pairs: NDArray[np.intp]) -> Floats:
        """Return the image on the lines between pairs, Jy/beam, shape (n_steps, n_pairs)."""
        t = np.linspace(0, 1, _RIDGE_STEPS)[:, None]
        columns, rows = (
            (found[pairs[:, 0], k] * (1 - t) + found[pairs[:, 1], k] * t).ravel() for k in (1, 2)
        )
        between = nearest_pixels(pixels, rows, columns) - self.surroundings_at(rows, columns)[0]
        return np.asarray(between.reshape(_RIDGE_STEPS, len(pairs)))

    def _rms_of(self, found: Floats) -> Floats:
        return self.surroundings_at(found[:, 2], found[:, 1])[1]

    def _in_beams(self, at: Floats) -> Floats:
        """Return positions (column, row) in units of the beam's widths (FWHM) at the middle."""
        a, b, c = quadratic_forms(self.image.beam, middle_axes(self.image)[None])[0]
        root = np.linalg.cholesky(np.array([[a, b], [b, c]]) / (4 * np.log(2.0)))
        return np.asarray(at @ root)


def _forms(image: MeasurableImage, rows: Floats, columns: Floats) -> Floats:
    """Return the restoring beam at positions in pixels."""
    if not len(rows):
        return np.empty((0, 3))
    ra, dec = image.wcs.all_pix2world(columns, rows, 0)
    return quadratic_forms(image.beam, axes_in_pixels(image, ra, dec))


def _highest(at: Floats, radius: float) -> NDArray[np.intp]:
    """Return the positions, in order, that have none of those before them within a radius."""
    from scipy.spatial import cKDTree

    if len(at) < 2:
        return np.arange(len(at))
    kept = np.ones(len(at), bool)
    pairs = cKDTree(at).query_pairs(radius, output_type="ndarray")
    for i, j in sorted((min(p), max(p)) for p in pairs.tolist()):
        if kept[i]:
            kept[j] = False
    return np.flatnonzero(kept)
