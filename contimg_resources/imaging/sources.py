"""Find sources in an image and fit each with Gaussians.

Belongs here: detection and fitting. Doesn't: rejecting artefacts (see `reliability`), comparing
with catalogues (see `matching`), or fluxes at known positions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.core.statistics import LocalNoise
from contimg_resources.imaging.beam import sky_of_sin
from contimg_resources.imaging.geometry import BeamForm, beam_of_form, form_of_beam
from contimg_resources.imaging.model import Beam, ImageGrid, Source

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

#: A point source between pixels has a lower peak, so pixels below the limit are considered too.
_PIXEL_LOSS = 0.85
#: Sources closer than this many major axes are fitted together, up to `_LARGEST_GROUP`.
_NEAR = 1.5
_LARGEST_GROUP = 6
#: A fitted position must lie within this many minor axes of its peak, a fitted amplitude between
#: zero and twice the pixel's.
_MAX_SHIFT = 0.7
#: The fit uses pixels where the beam is above this.
_STAMP_LEVEL = 0.4


def find_sources(
    image: Reals,
    noise: LocalNoise,
    primary_beam: Reals,
    beam: Beam,
    grid: ImageGrid,
    min_snr: float,
    *,
    shapes: bool = True,
) -> tuple[Source, ...]:
    """Find and fit the sources inside the primary beam's cut.

    Parameters
    ----------
    image : ndarray, shape (size, size)
        Restored image, not PB-corrected, Jy/beam.
    noise : LocalNoise
        Local noise, Jy/beam.
    primary_beam : ndarray, shape (size, size)
        Primary beam; NaN beyond its cut, where no sources are listed.
    beam : Beam
        Restoring beam.
    grid : ImageGrid
        Pixels of the image.
    min_snr : float
        Minimum fitted peak over local noise.
    shapes : bool
        Whether the shape of each source is fitted too; otherwise it is the beam's.

    Returns
    -------
    tuple of Source
        Sources by decreasing apparent flux.

    Notes
    -----
    Peak and position come from a fit of the restoring beam's shape (three parameters per source;
    with the correlated noise of an image its error is the local rms, Condon 1997), shape and
    integral from a second fit with free shape. Reading the brightest pixel instead would
    lose 3 % at 3 pixels per beam.
    """
    form = form_of_beam(beam, grid.cell_arcsec)
    peaks = _peaks(image, noise, primary_beam, beam, grid, min_snr)
    found = []
    for group in close_groups(peaks, _NEAR * beam.major_arcsec / grid.cell_arcsec, _LARGEST_GROUP):
        fitted = _fit_group(image, peaks[group], form)
        for i in range(len(fitted)):
            source = _source(i, fitted, image, noise, primary_beam, form, grid, shapes=shapes)
            if source is not None and source.snr >= min_snr:
                found.append(source)
    return tuple(sorted(found, key=lambda s: -s.peak_jy))


def _peaks(
    image: Reals,
    noise: LocalNoise,
    primary_beam: Reals,
    beam: Beam,
    grid: ImageGrid,
    min_snr: float,
) -> NDArray[np.int64]:
    radius = max(1, int(0.4 * beam.minor_arcsec / grid.cell_arcsec))
    least_snr = _PIXEL_LOSS * min_snr
    rows, columns = np.nonzero(image > least_snr * noise.least_jy)
    high = np.isfinite(primary_beam[rows, columns])
    high &= image[rows, columns] > least_snr * noise.at(rows, columns)
    # Few pixels are this high: compare each with its own surroundings.
    size = len(image)
    peaks = [
        (column, row)
        for row, column in zip(rows[high].tolist(), columns[high].tolist(), strict=True)
        if radius <= row < size - radius
        and radius <= column < size - radius
        and image[row, column]
        >= image[row - radius : row + radius + 1, column - radius : column + radius + 1].max()
    ]
    return np.array(peaks, dtype=np.int64).reshape(-1, 2)


def close_groups(peaks: NDArray[Any], radius: float, largest: int) -> list[list[int]]:
    """Group positions that are close to each other; groups above `largest` are split."""
    if not len(peaks):
        return []
    near: Any = cKDTree(peaks).query_ball_point(peaks, radius)
    left = set(range(len(peaks)))
    groups = []
    for start in range(len(peaks)):
        if start not in left:
            continue
        group: list[int] = []
        border = [start]
        while border and len(group) < largest:
            i = border.pop()
            if i in left:
                left.remove(i)
                group.append(i)
                border.extend(int(j) for j in near[i] if int(j) in left)
        groups.append(group)
    return groups


def _fit_group(image: Reals, peaks: NDArray[np.int64], form: BeamForm) -> Floats:
    """Fit amplitude, x and y of each peak with the beam's shape; shape (n_peaks, 3).

    A source stays near its peak and its amplitude near that pixel's: without bounds, two components
    in the sidelobes of a bright source diverge to thousands of Jy of opposite sign.
    """
    x, y = _stamp(image, peaks, form)
    values = image[y, x]
    start = np.column_stack([image[peaks[:, 1], peaks[:, 0]], peaks]).astype(np.float64)
    scale = np.abs(start[:, 0]).max()

    def misfit(p: Floats) -> Floats:
        model = sum(a * form(x - x0, y - y0) for a, x0, y0 in p.reshape(-1, 3))
        return np.asarray((model - values) / scale)

    def slopes(p: Floats) -> Floats:
        columns = []
        for a, x0, y0 in p.reshape(-1, 3):
            dx, dy = x - x0, y - y0
            shape = form(dx, dy)
            columns += [
                shape,
                a * shape * (2 * form.xx * dx + form.xy * dy),
                a * shape * (form.xy * dx + 2 * form.yy * dy),
            ]
        return np.asarray(np.column_stack(columns) / scale)

    reach = max(1.0, _MAX_SHIFT * 2.0 * np.sqrt(np.log(2) / form.widths[-1]))
    room = np.column_stack([start[:, 0], np.full((len(peaks), 2), reach)])
    fitted = _least_squares(
        misfit,
        slopes,
        start.ravel(),
        np.tile([scale, 1.0, 1.0], len(peaks)),
        ((start - room).ravel(), (start + room).ravel()),
    )
    return fitted.reshape(-1, 3)


def _least_squares(
    misfit: Callable[[Floats], Floats],
    slopes: Callable[[Floats], Floats],
    start: Floats,
    scale: Floats,
    bounds: tuple[Floats, Floats],
) -> Floats:
    """Fit within bounds: by MINPACK, which is fast but unbounded, if its result is within them."""
    with np.errstate(all="ignore"):
        if len(misfit(start)) >= start.size:
            found = least_squares(misfit, start, slopes, method="lm", x_scale=scale)
            if found.success and (bounds[0] <= found.x).all() and (found.x <= bounds[1]).all():
                return np.asarray(found.x)
        return np.asarray(least_squares(misfit, start, slopes, bounds, x_scale=scale).x)


def _stamp(
    image: Reals, peaks: NDArray[np.int64], form: BeamForm
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    reach = int(np.ceil(np.sqrt(-np.log(_STAMP_LEVEL) / form.widths[0])))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    near = form(dx, dy) >= _STAMP_LEVEL
    pixels = np.concatenate([np.column_stack([dx[near] + x, dy[near] + y]) for x, y in peaks])
    pixels = np.unique(pixels, axis=0)
    size = image.shape[0]
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    pixels = pixels[inside & np.isfinite(image[tuple((pixels % size).T[::-1])])]
    return pixels[:, 0], pixels[:, 1]


def _source(
    i: int,
    fitted: Floats,
    image: Reals,
    noise: LocalNoise,
    primary_beam: Reals,
    form: BeamForm,
    grid: ImageGrid,
    *,
    shapes: bool,
) -> Source | None:
    amplitude, x0, y0 = fitted[i]
    column, row = round(x0), round(y0)
    if not (0 <= column < grid.size and 0 <= row < grid.size) or amplitude <= 0:
        return None
    response = float(primary_beam[row, column])
    if not np.isfinite(response):
        return None
    noise_jy = float(noise.at(np.array([row]), np.array([column]))[0])
    others = np.delete(fitted, i, axis=0)
    if shapes:
        shape, ratio = _free_shape(image, fitted[i], others, form, grid)
    else:
        shape, ratio = _shape_of(form, grid), 1.0
    cell_rad = np.deg2rad(grid.cell_arcsec / 3600)
    half = grid.size // 2
    ra, dec = sky_of_sin(
        np.array(-(x0 - half) * cell_rad),
        np.array((y0 - half) * cell_rad),
        grid.ra_deg,
        grid.dec_deg,
    )
    return Source(
        ra_deg=float(ra),
        dec_deg=float(dec),
        peak_jy=float(amplitude),
        flux_jy=float(amplitude) / response,
        flux_error_jy=noise_jy / response,
        integrated_jy=float(amplitude) * ratio / response,
        snr=float(amplitude) / noise_jy,
        local_rms_jy=noise_jy,
        primary_beam=response,
        major_arcsec=shape.major_arcsec,
        minor_arcsec=shape.minor_arcsec,
        angle_deg=shape.angle_deg,
    )


def _free_shape(
    image: Reals, fitted: Floats, others: Floats, form: BeamForm, grid: ImageGrid
) -> tuple[Beam, float]:
    """Fit the shape too; return it, and its integral relative to a point source of this peak."""
    x, y = _stamp(image, np.rint(fitted[None, 1:]).astype(np.int64), form)
    values = image[y, x] - sum(a * form(x - x0, y - y0) for a, x0, y0 in others)
    amplitude, x0, y0 = fitted

    def misfit(p: Floats) -> Floats:
        return np.asarray(p[0] * BeamForm(*p[3:])(x - p[1], y - p[2]) - values / amplitude)

    def slopes(p: Floats) -> Floats:
        dx, dy = x - p[1], y - p[2]
        shape = BeamForm(*p[3:])(dx, dy)
        model = p[0] * shape
        return np.column_stack(
            [
                shape,
                model * (2 * p[3] * dx + p[4] * dy),
                model * (p[4] * dx + 2 * p[5] * dy),
                -model * dx**2,
                -model * dx * dy,
                -model * dy**2,
            ]
        )

    start = np.array([1.0, x0, y0, form.xx, form.xy, form.yy])
    scale = np.array([1.0, 1.0, 1.0, *[form.xx + form.yy] * 3])
    unbound = np.full(start.shape, np.inf)
    p = _least_squares(misfit, slopes, start, scale, (-unbound, unbound))
    try:
        shape = beam_of_form(p[3], p[4], p[5], cell_arcsec=grid.cell_arcsec)
    except ImagingFailed:
        # Noise made the form unbounded: the shape is known only to include the beam.
        return _shape_of(form, grid), 1.0
    area = np.sqrt((4 * form.xx * form.yy - form.xy**2) / (4 * p[3] * p[5] - p[4] ** 2))
    return shape, float(p[0] * area)


def _shape_of(form: BeamForm, grid: ImageGrid) -> Beam:
    return beam_of_form(form.xx, form.xy, form.yy, cell_arcsec=grid.cell_arcsec)
