"""Background and noise around positions in an image.

Belongs here: smooth surfaces through blocks of sky, and the noise about them. Doesn't: sources, the
correlation of neighbouring pixels (see `correlation`).

photutils' `Background2D` interpolates a map for every pixel, which takes longer than measuring ten
thousand sources; here both are evaluated only at the positions of sources.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.core.arrays import Bools, Floats, Ints, Singles
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.photometry.background_loops import compare_levels, fit_blocks, surfaces_at

#: Side of a block in beams (major axis): about a hundred independent numbers. If structure remains,
#: blocks of half that side are used.
_BLOCK_BEAMS, _FINE_BEAMS = 16.0, 8.0
#: Pixels this many beams (square root of the area) apart are enough: nearer ones are correlated.
_STEP_BEAMS = 0.7
#: Numbers of terms of a constant and of a quadratic surface.
_FLAT, _CURVED = 1, 6
#: A block with fewer pixels of sky also uses pixels around it.
_LEAST_PIXELS = 90
#: Finer blocks must exceed the improvement expected from noise by a tenth, and by this many
#: standard deviations; using them without need costs little.
_EXCESS, _SIGNIFICANT = 1.1, 2.0


@dataclass(frozen=True)
class Surroundings:
    """Background and noise of blocks of pixels."""

    row_edges: Ints  #: Edges of the blocks, pixels. Shape (n_down + 1,).
    column_edges: Ints  #: Edges of the blocks, pixels. Shape (n_across + 1,).
    #: Background of each block, see `contimg_resources.photometry.background_loops.fit_blocks`.
    #: Shape (n_down, n_across, 6).
    surfaces: Floats
    #: 1.4826 times the median absolute deviation from the background, sources clipped. Shape
    #: (n_down, n_across).
    noise: Floats
    #: 1 for a block with its own surface, nearly 0 for one with its neighbour's. Shape (n_down,
    #: n_across).
    known: Floats
    counts: Ints  #: Number of pixels in the fit. Shape (n_down, n_across).
    step: int  #: Spacing of these pixels in rows and columns.
    #: Number of terms of the polynomial: 1 is a constant, 3 a plane, 6 a quadratic surface.
    n_terms: int
    share: Floats | None = None  #: Weight of `finer` in each block. Shape (n_down, n_across).
    #: Smaller blocks, used where these leave structure; on the grid of `share`.
    finer: "Surroundings | None" = None

    @classmethod
    def of(
        cls,
        sky: Singles,
        weights: Singles,
        beam_major_pixels: float,
        beam_minor_pixels: float,
        beams: float = _BLOCK_BEAMS,
        n_terms: int = _CURVED,
    ) -> "Surroundings":
        """Measure an image in blocks.

        Parameters
        ----------
        sky : ndarray of float32, shape (n_rows, n_columns)
            The image; NaN where nothing was observed, and where known sources are.
        weights : ndarray of float32, shape (n_rows, n_columns) or (1, 1)
            Expected noise of each pixel; (1, 1) if it is the same everywhere.
        beam_major_pixels, beam_minor_pixels : float
            Restoring beam, pixels.
        beams : float
            Side of a block in beams.
        n_terms : int
            Number of terms of the polynomial in each block.

        Raises
        ------
        PhotometryFailed
            If no block has enough sky, or all noise is zero.
        """
        step = max(1, round(_STEP_BEAMS * np.sqrt(beam_major_pixels * beam_minor_pixels)))
        side = beams * beam_major_pixels
        row_edges, column_edges = (
            np.linspace(0, n, max(1, round(n / side)) + 1).astype(np.int64) for n in sky.shape
        )
        surfaces, noise, counts = fit_blocks(
            sky, weights, row_edges, column_edges, step, n_terms, _LEAST_PIXELS
        )
        known = noise > 0
        if not known.any():
            raise PhotometryFailed("no part of the image has enough sky to measure the noise")
        return cls(
            row_edges,
            column_edges,
            _filled(surfaces, known),
            _filled(noise, known),
            np.where(known, 1.0, 1e-9),
            counts,
            step,
            n_terms,
        )

    @classmethod
    def fitting(
        cls,
        sky: Singles,
        weights: Singles,
        beam_major_pixels: float,
        beam_minor_pixels: float,
        alike: Callable[["Surroundings"], float],
    ) -> "Surroundings":
        """Measure an image with surfaces as flexible as its background requires.

        `alike` returns the number of correlated pixels, given surfaces that leave only noise; for
        the others see `of`.

        Notes
        -----
        The choice between constants and quadratic surfaces is made for the whole image, and then
        that of the places with smaller blocks. For pure noise, each additional term lowers
        ``n log(variance)`` of n independent numbers by 1 on average, with the scatter of a chi2; an
        excess of two standard deviations is structure. Surfaces that are more flexible than needed
        increase the uncertainty by one or two per cent, and surfaces that are too stiff cause a
        bias: planes aren't tried.
        """
        beam = (beam_major_pixels, beam_minor_pixels)
        flat, curved = (cls.of(sky, weights, *beam, n_terms=n) for n in (_FLAT, _CURVED))
        pixels = alike(curved)
        curved = curved._debiased(pixels)
        gain, blocks = flat._gain(curved, sky, weights, pixels)
        needed = _is_structure(gain.sum(), blocks.sum() * (_CURVED - _FLAT))
        # A weak slope within blocks isn't noise, even if none across them requires a surface.
        chosen = curved if needed else replace(flat, noise=curved.noise)
        finer = cls.of(sky, weights, *beam, beams=_FINE_BEAMS)._debiased(pixels)
        return chosen._refined(finer, *chosen._gain(finer, sky, weights, pixels))

    def _gain(
        self, other: "Surroundings", sky: Singles, weights: Singles, alike: float
    ) -> tuple[Floats, Floats]:
        """Return the reduction of n log(variance) in each block of another, and which have sky."""
        ratio, counts = compare_levels(
            self._left(sky, weights),
            other._left(sky, weights),
            other.row_edges,
            other.column_edges,
            other.noise,
            other.step,
        )
        return ratio * counts / max(1.0, alike / other.step**2), np.asarray(counts > 0, np.float64)

    def _refined(self, finer: "Surroundings", gain: Floats, blocks: Floats) -> "Surroundings":
        from scipy.ndimage import maximum_filter, uniform_filter

        # Summed over three by three blocks, to detect structure that is weak in a single one.
        there, around = (9 * uniform_filter(v, 3, mode="constant") for v in (gain, blocks))
        structure = _is_structure(there, finer.n_terms * np.maximum(around, 0.0))
        if not structure.any():
            return self
        return replace(self, share=maximum_filter(structure * 1.0, 3), finer=finer)

    def _debiased(self, alike: float) -> "Surroundings":
        """Restore the noise that the surfaces have absorbed."""
        share = np.minimum(self.n_terms / np.maximum(self._independent(alike), 1e-9), 0.5)
        return replace(self, noise=self.noise / np.sqrt(1.0 - share))

    @property
    def negative(self) -> "Surroundings":
        """The surroundings of the image with the opposite sign."""
        finer = None if self.finer is None else self.finer.negative
        return replace(self, surfaces=-self.surfaces, finer=finer)

    def followed(self, alike: float) -> float:
        """Return the average fraction of the noise's variance that the surfaces absorb.

        `alike` is the number of correlated pixels.
        """
        own = self._independent(alike)[self.known == 1].mean()
        return min(0.5, float(self.n_terms / own))

    def at(self, row: Floats, column: Floats) -> tuple[Floats, Floats]:
        """Return background and noise at positions in pixels, interpolated between blocks."""
        level, noise = self._own(row, column, self.noise)
        if self.finer is None or self.share is None:
            return level, noise
        finer, finer_noise = self.finer.at(row, column)
        share = self.finer._own(row, column, self.share, flat=True)[1]
        return level + share * (finer - level), noise + share * (finer_noise - noise)

    def planes_at(self, row: Floats, column: Floats, reach: float) -> tuple[Floats, Floats]:
        """Return the background around positions as planes, and the noise.

        Positions are in pixels, shape (n,); the slope is measured over twice `reach` pixels. The
        planes, shape (n, 3), hold the background, and its change per row and per column.
        """
        level, noise = self.at(row, column)
        slopes = [
            (self.at(row + down, column + right)[0] - self.at(row - down, column - right)[0])
            / (2 * reach)
            for down, right in ((reach, 0.0), (0.0, reach))
        ]
        return np.stack([level, *slopes], axis=1), noise

    def _own(
        self, row: Floats, column: Floats, values: Floats, *, flat: bool = False
    ) -> tuple[Floats, Floats]:
        known = np.ones_like(self.known) if flat else self.known
        return surfaces_at(
            row, column, self.row_edges, self.column_edges, self.surfaces, values, known
        )

    def _left(self, sky: Singles, weights: Singles) -> Floats:
        """Return a subset of pixels, less the background, over their expected noise."""
        some = (slice(None, None, self.step), slice(None, None, self.step))
        rows, columns = np.mgrid[: sky.shape[0] : self.step, : sky.shape[1] : self.step].astype(
            np.float64
        )
        level = self.at(rows.ravel(), columns.ravel())[0].reshape(rows.shape)
        expected = weights if weights.size == 1 else weights[some]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((sky[some] - level) / expected)

    def _independent(self, alike: float) -> Floats:
        """Return the number of independent numbers in each block."""
        return np.asarray(self.counts / max(1.0, alike / self.step**2))

    def normalized(self, sky: Singles, weights: Singles, part: tuple[slice, slice]) -> Floats:
        """Return a section of the image less its background, over its noise.

        `part` holds rows and columns, with a start and a stop; for the others see `of`.
        """
        rows, columns = np.mgrid[part].astype(np.float64)
        level, noise = (v.reshape(rows.shape) for v in self.at(rows.ravel(), columns.ravel()))
        expected = weights if weights.size == 1 else weights[part]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((sky[part] - level) / (noise * expected))


def _is_structure(gain: Floats, terms: Floats) -> Bools:
    """Return whether an improvement justifies the additional terms."""
    return np.asarray(gain > _EXCESS * terms + _SIGNIFICANT * np.sqrt(2 * terms))


def _filled(blocks: Floats, known: Bools) -> Floats:
    """Fill blocks without sky with the nearest block; only the constant term of its surface."""
    from scipy.ndimage import distance_transform_edt

    if known.all():
        return blocks
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = np.asarray(blocks[tuple(nearest)])
    if filled.ndim == 3:
        filled[~known, 1:] = 0.0
    return filled
