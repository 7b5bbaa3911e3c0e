"""Regions on the sky, and the footprints that they meet.

Belongs here: circles, ranges and polygons as DALI writes them, and geometry on the sphere. Doesn't:
the footprints of images (see `obscore`).

Sides of polygons and footprints are arcs of great circles, shorter than 180 degrees.
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.catalogues.model import unit_vectors
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import BadRequest
from contimg_resources.vo.parameters import as_number, number_within, shortened

_MOST_VERTICES = 500


@dataclass(frozen=True)
class Circle:
    """A circle; with radius 0 a point."""

    #: `ra_deg`, `dec_deg`, `radius_deg`: Centre, ICRS, and radius, degrees.
    ra_deg: float
    dec_deg: float
    radius_deg: float

    def holds(self, ra_deg: Floats, dec_deg: Floats) -> Bools:
        """Return which positions, of shape (n,), it holds."""
        return separations_deg(self.ra_deg, self.dec_deg, ra_deg, dec_deg) <= self.radius_deg

    def meets(self, footprints: Floats) -> Bools:
        """Return which footprints, corners of shape (n, 4, 2) in degrees, it meets."""
        centre = unit_vectors(np.array([self.ra_deg]), np.array([self.dec_deg]))
        quads = _vectors(footprints)
        found = _inside(centre, quads)[:, 0]
        away = _distance_deg(centre[0], quads, np.roll(quads, -1, axis=1)).min(axis=1, initial=180)
        return np.asarray(found | (away <= self.radius_deg))


@dataclass(frozen=True)
class Range:
    """A range in right ascension and declination; it may cross 0 h."""

    #: `ra_min_deg`, `ra_max_deg`, `dec_min_deg`, `dec_max_deg`: Its sides, ICRS, degrees.
    ra_min_deg: float
    ra_max_deg: float
    dec_min_deg: float
    dec_max_deg: float

    def holds(self, ra_deg: Floats, dec_deg: Floats) -> Bools:
        """Return which positions, of shape (n,), it holds."""
        width = min(self.ra_max_deg - self.ra_min_deg, 360.0)
        within = (dec_deg >= self.dec_min_deg) & (dec_deg <= self.dec_max_deg)
        return np.asarray(within & ((ra_deg - self.ra_min_deg) % 360.0 <= width))

    def meets(self, footprints: Floats) -> Bools:
        """Return which footprints it meets, by their own ranges in right ascension and declination.

        Footprints are corners of shape (n, 4, 2), degrees.
        """
        ra, dec = footprints[..., 0], footprints[..., 1]
        first = ra[:, :1] + (ra - ra[:, :1] + 180.0) % 360.0 - 180.0
        west, east = first.min(axis=1, initial=720), first.max(axis=1, initial=-720)
        width = min(self.ra_max_deg - self.ra_min_deg, 360.0)
        within = (dec.max(axis=1) >= self.dec_min_deg) & (dec.min(axis=1) <= self.dec_max_deg)
        starts = (west - self.ra_min_deg) % 360.0 <= width
        reaches = (self.ra_min_deg - west) % 360.0 <= east - west
        return np.asarray(within & (starts | reaches))


@dataclass(frozen=True)
class Polygon:
    """A polygon smaller than a hemisphere, convex or not."""

    vertices_deg: Floats  #: Right ascension and declination, ICRS, shape (m, 2), degrees.

    def holds(self, ra_deg: Floats, dec_deg: Floats) -> Bools:
        """Return which positions, of shape (n,), it holds."""
        mine = _vectors(self.vertices_deg[np.newaxis])
        return np.asarray(_inside(unit_vectors(ra_deg, dec_deg), mine)[0])

    def meets(self, footprints: Floats) -> Bools:
        """Return which footprints, corners of shape (n, 4, 2) in degrees, it meets."""
        mine, quads = _vectors(self.vertices_deg[np.newaxis]), _vectors(footprints)
        found = _inside(mine[0], quads).any(axis=1)
        found |= _inside(quads.reshape(-1, 3), mine).reshape(len(quads), 4).any(axis=1)
        for a, b in zip(mine[0], np.roll(mine[0], -1, axis=0), strict=True):
            found |= _cross(a, b, quads, np.roll(quads, -1, axis=1)).any(axis=1)
        return np.asarray(found)


Shape = Circle | Range | Polygon


def parse_shape(name: str, text: str) -> Shape:
    """Return a shape of DALI: ``CIRCLE``, ``RANGE`` or ``POLYGON`` with its numbers.

    Raises
    ------
    BadRequest
        If it is another one, or its numbers are impossible.
    """
    kind, *words = text.split()
    if kind.upper() == "RANGE":
        numbers = [as_number(name, word, infinite=True) for word in words]
        return _range(name, numbers)
    numbers = [as_number(name, word) for word in words]
    if kind.upper() == "CIRCLE":
        return circle(name, numbers)
    if kind.upper() == "POLYGON":
        return polygon(name, numbers)
    raise BadRequest(
        f"{name}: expected CIRCLE ra dec radius, RANGE ra1 ra2 dec1 dec2 or POLYGON ra1 dec1 ... "
        f"in degrees, not {shortened(text)!r}"
    )


def circle(name: str, numbers: list[float]) -> Circle:
    """Return a circle of three numbers.

    Raises
    ------
    BadRequest
        If they are impossible.
    """
    if len(numbers) != 3:
        raise BadRequest(f"{name}: a circle has three numbers, not {len(numbers)}")
    ra_deg, dec_deg, radius_deg = numbers
    _check(name, ra_deg, dec_deg)
    number_within(f"{name}, radius", repr(radius_deg), 0.0, 180.0)
    return Circle(ra_deg, dec_deg, radius_deg)


def polygon(name: str, numbers: list[float]) -> Polygon:
    """Return a polygon of pairs of numbers.

    Raises
    ------
    BadRequest
        If they are impossible.
    """
    if len(numbers) % 2 or not 6 <= len(numbers) <= 2 * _MOST_VERTICES:
        raise BadRequest(f"{name}: a polygon has 3 to {_MOST_VERTICES} pairs of numbers")
    vertices = np.array(numbers).reshape(-1, 2)
    for ra_deg, dec_deg in vertices.tolist():
        _check(name, ra_deg, dec_deg)
    vectors = _vectors(vertices)
    if np.any(vectors @ vectors.sum(axis=0) <= 0):
        raise BadRequest(f"{name}: the polygon is larger than a hemisphere")
    return Polygon(vertices)


def _range(name: str, numbers: list[float]) -> Range:
    if len(numbers) != 4 or numbers[0] > numbers[1] or numbers[2] > numbers[3]:
        raise BadRequest(f"{name}: a range has two intervals in ascending order")
    ra_min, ra_max = max(numbers[0], -360.0), min(numbers[1], 720.0)
    return Range(ra_min, ra_max, max(numbers[2], -90.0), min(numbers[3], 90.0))


def _check(name: str, ra_deg: float, dec_deg: float) -> None:
    if not (-360.0 <= ra_deg <= 720.0 and abs(dec_deg) <= 90.0):
        raise BadRequest(f"{name}: {ra_deg:g}, {dec_deg:g} is no position in degrees")


def separations_deg(ra_deg: float, dec_deg: float, ras_deg: Floats, decs_deg: Floats) -> Floats:
    """Return the separations of positions, of shape (n,), from one; degrees."""
    centre = unit_vectors(np.array([ra_deg]), np.array([dec_deg]))[0]
    chord = np.linalg.norm(unit_vectors(ras_deg, decs_deg) - centre, axis=-1)
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(0.5 * chord, 1.0))))


def _vectors(places_deg: Floats) -> Floats:
    return unit_vectors(places_deg[..., 0], places_deg[..., 1])


def _inside(points: Floats, polygons: Floats) -> Bools:
    """Return which of k points are inside which of n polygons of m vertices, shape (n, k).

    The vertices, seen from a point inside, go once around the horizon.
    """
    east = np.stack([-points[:, 1], points[:, 0], np.zeros(len(points))], axis=-1)
    # At a pole any direction is as good.
    east[np.hypot(points[:, 0], points[:, 1]) < 1e-12] = (0.0, 1.0, 0.0)
    north = np.cross(points, east)
    x = np.einsum("nmi,ki->nkm", polygons, east)
    y = np.einsum("nmi,ki->nkm", polygons, north)
    # East isn't a unit vector, and north is as long.
    angle = np.arctan2(y, x)
    turn = (np.roll(angle, -1, axis=-1) - angle + np.pi) % (2 * np.pi) - np.pi
    near = np.einsum("ni,ki->nk", polygons.sum(axis=1), points) > 0
    return np.asarray(near & (np.abs(turn.sum(axis=-1)) > np.pi))


def _distance_deg(point: Floats, begin: Floats, end: Floats) -> Floats:
    """Return the distance of a point from arcs, shape (n, m), degrees."""
    normal = np.cross(begin, end)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-300)
    beside = (np.cross(normal, begin) @ point >= 0) & (np.cross(normal, end) @ point <= 0)
    from_arc = np.abs(np.arcsin(np.clip(normal @ point, -1, 1)))
    ends = np.minimum(np.linalg.norm(begin - point, axis=-1), np.linalg.norm(end - point, axis=-1))
    from_ends = 2 * np.arcsin(np.minimum(0.5 * ends, 1.0))
    return np.asarray(np.degrees(np.where(beside, from_arc, from_ends)))


def _cross(a: Floats, b: Floats, c: Floats, d: Floats) -> Bools:
    """Return whether the arc from a to b crosses arcs from c to d, of shape (n, m, 3)."""
    one, other = np.cross(a, b), np.cross(c, d)
    return np.asarray(
        ((c @ one) * (d @ one) < 0)
        & ((other @ a) * (other @ b) < 0)
        & (np.einsum("nmi,i->nm", c + d, a + b) > 0)
    )
