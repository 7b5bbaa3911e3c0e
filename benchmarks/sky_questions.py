"""Timed queries of a year of measurements and of a large catalogue.

Belongs here: filling both in bulk, querying them in a separate process. Doesn't: goals.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.fresh import timed_alone
from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources
from contimg_resources.catalogues.store import FORMAT as CATALOGUE_FORMAT
from contimg_resources.catalogues.store import Catalogue, CatalogueStore
from contimg_resources.core.errors import CatalogueError, PhotometryFailed
from contimg_resources.core.keys import mosaic_key
from contimg_resources.photometry.light_curves import copy_by_source, light_curve
from contimg_resources.photometry.measurements import FORMAT

_FIRST_DAY = 61_041
_REPEATS = 15
_CATALOGUE = "made-up"
#: Seconds: a copy leaves out days that changed less than this ago.
_SETTLING_S = 0.2


@dataclass(frozen=True)
class Asked:
    """Time of a query."""

    first_s: float  #: Time of the first query in its process, seconds.
    #: Median time of the next queries, each for another source or position, seconds.
    median_s: float
    peak_gb: float  #: Peak memory of the process, GB.
    n_found: float  #: Rows in an answer, median.


@dataclass(frozen=True)
class Year:
    """Measurements to simulate."""

    root: Path  #: Their directory.
    n_days: int  #: Files, one per day.
    n_sources: int  #: Rows of a file.
    full_days: int | None = None  #: Number of days with all sources, the last ones; None: all.
    every: int = 1  #: Earlier days have one of this many sources, evenly spread.


def fill_year(year: Year) -> None:
    """Write a file of measurements for each day."""
    rng = np.random.default_rng(3)
    first_full = 0 if year.full_days is None else year.n_days - year.full_days
    for number in range(year.n_days):
        names = _names(year.n_sources, year.every if number < first_full else 1)
        n = len(names)
        texts = {"source_id": names, "kind": ["mosaic"] * n}
        mid_mjd = _FIRST_DAY + number + 0.5
        epoch = mosaic_key(mid_mjd, 54.0)
        columns = texts | {"epoch": [epoch] * n}
        values: dict[str, Any] = {}
        for name, (kind, _) in FORMAT.columns.items():
            if kind == "string":
                values[name] = columns[name]
            elif name == "mid_mjd":
                values[name] = np.full(n, mid_mjd)
            elif kind == "bool":
                values[name] = np.ones(n, bool)
            elif kind == "int32":
                values[name] = np.zeros(n, np.int32)
            else:
                # Random digits, as in a real file.
                values[name] = rng.standard_normal(n)
        day = year.root / "mosaic" / str(int(mid_mjd))
        FORMAT.write(day / f"{epoch}.parquet", values, {})


def sort_year(year: Year) -> float:
    """Make the copies that are sorted by source; return the time in seconds.

    Raises
    ------
    PhotometryFailed
        If no copies were made.
    """
    time.sleep(_SETTLING_S)
    made, took = timed_alone(lambda: copy_by_source(year.root, "mosaic"))
    if not made:
        raise PhotometryFailed(f"no copies were made of the measurements in {year.root}")
    return took.seconds


def ask_light_curves(year: Year) -> Asked:
    """Time the light curves of several sources.

    Raises
    ------
    PhotometryFailed
        If a light curve doesn't have every day.
    """
    names = _names(year.n_sources, year.every)
    chosen = np.random.default_rng(5).integers(0, len(names), _REPEATS)
    asked = _asked([_light_curve_of(year.root, names[i]) for i in chosen])
    if asked.n_found != year.n_days:
        raise PhotometryFailed(
            f"light curves in {year.root} have {asked.n_found:g} epochs of {year.n_days}"
        )
    return asked


@dataclass(frozen=True)
class Sky:
    """A catalogue to simulate."""

    root: Path  #: Directory of the store.
    n_sources: int  #: Sources, evenly spread north of Dec -40 deg as those of NVSS are.


def fill_catalogue(sky: Sky) -> float:
    """Add the catalogue to the store; return the time of sorting and writing in seconds."""
    n = sky.n_sources
    rng = np.random.default_rng(7)
    names = np.array([f"J{i:08d}" for i in range(n)])
    unknown = np.full(n, np.nan)
    sources = CatalogueSources(
        source_id=np.char.add(f"{_CATALOGUE}-", names),
        name=names,
        ra_deg=rng.uniform(0, 360, n),
        dec_deg=np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(-40)), 1, n))),
        flux_jy=0.0025 * rng.random(n) ** (-1 / 1.5),
        flux_error_jy=np.full(n, 5e-4),
        reference_ghz=np.full(n, 1.4),
        spectral_index=unknown,
        major_arcsec=unknown,
        minor_arcsec=unknown,
        angle_deg=unknown,
        variable=np.zeros(n, bool),
    )
    facts = CatalogueFacts(
        _CATALOGUE, "made-up", "made up", "sha256:0", n, CATALOGUE_FORMAT.version
    )
    return timed_alone(lambda: CatalogueStore(sky.root).put(sources, facts))[1].seconds


def ask_cones(sky: Sky) -> Asked:
    """Time cones of 2 deg, anywhere in the catalogue; the first includes opening it."""
    return _ask_catalogue(sky, lambda it, ra, dec: it.cone(ra, dec, 2.0))


def ask_strips(sky: Sky) -> Asked:
    """Time strips of 20 x 4 deg, anywhere in the catalogue; the first includes opening it."""
    return _ask_catalogue(sky, lambda it, ra, dec: it.strip(dec - 2, dec + 2, ra, ra + 20))


def _ask_catalogue(
    sky: Sky, question: Callable[[Catalogue, float, float], CatalogueSources]
) -> Asked:
    store = CatalogueStore(sky.root)
    opened: list[Catalogue] = []

    def ask(ra_deg: float, dec_deg: float) -> CatalogueSources:
        if not opened:
            opened.append(store.open(_CATALOGUE))
        return question(opened[0], ra_deg, dec_deg)

    asked = _asked([_at(ask, ra, dec) for ra, dec in _places()])
    if not asked.n_found:
        raise CatalogueError(f"{_CATALOGUE}: a region holds none of {sky.n_sources} sources")
    return asked


def _places() -> Iterator[tuple[float, float]]:
    rng = np.random.default_rng(9)
    for _ in range(_REPEATS):
        yield float(rng.uniform(0, 360)), float(rng.uniform(-35, 75))


def _asked(questions: list[Callable[[], Any]]) -> Asked:
    """Run the queries one after the other."""
    answers = [timed_alone(question) for question in questions]
    seconds = [took.seconds for _, took in answers]
    return Asked(
        first_s=seconds[0],
        median_s=median(seconds[1:]),
        peak_gb=answers[-1][1].peak_gb,
        n_found=median(len(found) for found, _ in answers),
    )


def _light_curve_of(root: Path, source: str) -> Callable[[], Any]:
    return lambda: light_curve(root, source, "mosaic")


def _at(ask: Callable[[float, float], Any], ra_deg: float, dec_deg: float) -> Callable[[], Any]:
    return lambda: ask(ra_deg, dec_deg)


@cache
def _names(n_sources: int, every: int) -> list[str]:
    return [f"{_CATALOGUE}-J{number:08d}" for number in range(0, n_sources, every)]
