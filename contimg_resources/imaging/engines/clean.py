"""CLEAN in the image plane: the mask, the minor cycle, and restoring.

Belongs here: pixels. Doesn't: visibilities (see `gridding`) or the sequence of steps (see `fast`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread
from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging.geometry import BeamForm

Singles = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Maximum number of pixels in a minor cycle.
_MOST_PIXELS = 40_000
#: A minor cycle stops when the residual's peak falls by less than 2 % in 200 iterations.
_PATIENCE = 200
_PROGRESS = 0.98
#: A restored component is cut off where its beam is below this.
_FAINTEST = 1e-7


@dataclass(frozen=True)
class MinorCycle:
    """Result of a minor cycle."""

    #: `rows`, `columns`: Pixels with components. Shape (n,).
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    flux_jy: Singles  #: Flux of each, Jy. Shape (n,).
    n_iterations: int  #: Number of iterations.


def highest_sidelobe(psf: Singles, main_lobe_pixels: float) -> float:
    """Return the largest abs(psf) outside the main lobe of this radius.

    Raises
    ------
    ImagingFailed
        If the image is no larger than the main lobe.
    """
    half = len(psf) // 2
    reach = min(half, int(40 * main_lobe_pixels))
    near = np.abs(psf[half - reach : half + reach, half - reach : half + reach])
    row, column = np.mgrid[-reach:reach, -reach:reach]
    outside = near[np.hypot(row, column) > main_lobe_pixels]
    if not outside.size:
        raise ImagingFailed(
            f"an image of this size lies within its own beam, of {2 * main_lobe_pixels:.0f} pixels "
            "across: ask for a larger one, or leave imaging.image_size unset"
        )
    return float(outside.max())


@compiled()
def mark_around(
    mask: Mask, rows: NDArray[np.int64], columns: NDArray[np.int64], pixels: int
) -> None:
    """Mark pixels and their surroundings in a mask, in place.

    Parameters
    ----------
    mask : ndarray of bool, shape (size, size)
        The mask.
    rows, columns : ndarray of int, shape (n,)
        The pixels; a small number.
    pixels : int
        Distance to mark around each, in rows and in columns.
    """
    size = len(mask)
    for k in range(len(rows)):
        first, last = max(0, columns[k] - pixels), min(size, columns[k] + pixels + 1)
        for r in range(max(0, rows[k] - pixels), min(size, rows[k] + pixels + 1)):
            mask[r, first:last] = True


def minor_cycle(
    residual: Singles,
    psf: Singles,
    mask: Mask,
    *,
    gain: float,
    down_to_jy: float,
    most_iterations: int,
) -> MinorCycle:
    """Find components inside a mask (Clark 1980, with the whole point-spread function).

    Parameters
    ----------
    residual : ndarray of float32, shape (size, size)
        Residual image, Jy/beam.
    psf : ndarray of float32, shape (extent, extent)
        Point-spread function with its peak at (extent/2, extent/2); zero outside.
    mask : ndarray of bool, shape (size, size)
        Pixels that may have components.
    gain : float
        Loop gain.
    down_to_jy : float
        Stop when no pixel in the mask is above this, Jy/beam.
    most_iterations : int
        Maximum number of iterations.

    Notes
    -----
    It also stops when the peak of the residual no longer decreases: the residual then doesn't
    resemble sources, and CLEAN would add components of both signs without end.

    Only the pixels inside the mask are updated, because only they can become components. The
    residual image itself is unchanged.
    """
    rows, columns = (axis.astype(np.int32) for axis in np.nonzero(mask))
    values = residual[rows, columns]
    if len(values) > _MOST_PIXELS:
        limit = np.partition(np.abs(values), -_MOST_PIXELS)[-_MOST_PIXELS]
        kept = np.abs(values) >= limit
        rows, columns, values = rows[kept], columns[kept], values[kept]
        down_to_jy = max(down_to_jy, float(limit))
    flux = np.zeros(len(values), np.float32)
    n = _clean(rows, columns, values, psf, flux, gain, down_to_jy, most_iterations)
    used = flux != 0
    return MinorCycle(rows[used], columns[used], flux[used], n)


@compiled()
def _clean(
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: Singles,
    psf: Singles,
    flux: Singles,
    gain: float,
    down_to_jy: float,
    most_iterations: int,
) -> int:
    if not len(values):
        return 0
    size, half = len(psf), len(psf) // 2
    # Where it reaches from each pixel to each other one, indices needn't be checked.
    reaches = max(np.ptp(rows), np.ptp(columns)) < half
    places, flat = rows * np.int32(size) + columns, psf.ravel()
    highest = _highest(values)
    lowest, last_progress = highest, 0
    for iteration in range(most_iterations):
        if highest < _PROGRESS * lowest:
            lowest, last_progress = highest, iteration
        if highest == 0 or highest < down_to_jy or iteration - last_progress > _PATIENCE:
            return iteration
        best = 0
        while best < len(values) - 1 and abs(values[best]) != highest:
            best += 1
        step = np.float32(gain * values[best])
        flux[best] += step
        row, column = half - rows[best], half - columns[best]
        if reaches:
            _subtract_flat(values, places, flat, np.int32(row * size + column), step)
        else:
            for i in range(len(values)):
                r, c = rows[i] + row, columns[i] + column
                if 0 <= r < size and 0 <= c < size:
                    values[i] -= step * psf[r, c]
        highest = _highest(values)
    return most_iterations


@compiled()
def _highest(values: Singles) -> Any:
    """Return the largest absolute value: a loop without its place is vectorised."""
    highest = np.float32(0.0)
    for i in range(len(values)):
        x = abs(values[i])
        highest = x if x > highest else highest
    return highest


@compiled()
def _subtract_flat(
    values: Singles, places: NDArray[np.int32], flat: Singles, shift: Any, step: Any
) -> None:
    for i in range(len(values)):
        values[i] -= step * flat[places[i] + shift]


@compiled()
def _subtract(row: Singles, psf: Singles, flux_jy: float) -> None:
    for c in range(row.size):
        row[c] -= flux_jy * psf[c]


@compiled(parallel=True)
def take_components_out(
    residual: Singles,
    psf: Singles,
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    flux_jy: Singles,
) -> None:
    """Subtract components from a residual image, in place."""
    size, extent, half = len(residual), len(psf), len(psf) // 2
    for r in spread(size):
        for k in range(len(rows)):
            row = r - rows[k] + half
            if 0 <= row < extent:
                shift = half - columns[k]
                first, last = max(0, -shift), min(size, extent - shift)
                _subtract(
                    residual[r, first:last], psf[row, first + shift : last + shift], flux_jy[k]
                )


def restore(
    image: Singles,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    peaks_jy: NDArray[np.float64],
    form: BeamForm,
) -> None:
    """Add Gaussians to an image, in place.

    Parameters
    ----------
    image : ndarray of float32, shape (size, size)
        Image, Jy/beam.
    rows, columns : ndarray, shape (n,)
        Their centres, pixels; may be fractional.
    peaks_jy : ndarray, shape (n,)
        Their peaks, Jy/beam.
    form : BeamForm
        Their shape, the restoring beam.
    """
    reach = int(np.ceil(np.sqrt(-np.log(_FAINTEST) / form.widths.min())))
    _add(image, rows, columns, peaks_jy, form.xx, form.xy, form.yy, reach)


@compiled()
def _add(
    image: Singles,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    peaks_jy: NDArray[np.float64],
    xx: float,
    xy: float,
    yy: float,
    reach: int,
) -> None:
    size = len(image)
    for k in range(len(rows)):
        r0, c0 = round(rows[k]), round(columns[k])
        for r in range(max(0, r0 - reach), min(size, r0 + reach + 1)):
            y = r - rows[k]
            for c in range(max(0, c0 - reach), min(size, c0 + reach + 1)):
                x = c - columns[k]
                image[r, c] += peaks_jy[k] * np.exp(-(xx * x * x + xy * x * y + yy * y * y))
