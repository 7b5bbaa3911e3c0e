"""Annual and daily patterns: one that is put in is taken out, and nothing else is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.keys import mosaic_key
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.points import transit_mjd, transit_number
from contimg_resources.variability.systematics import (
    Where,
    draw_systematics,
    measure_systematics,
    where_of,
)
from contimg_resources.variability.templates import bank

N, DAYS, ERROR, STRIP_DEG = 30, 500, 0.03, 54.6
SHAPE = bank(("fiedler",))[1]
EVENTFUL, MIDDLE, WIDTH_DAYS, DEPTH = 4, 61_250.0, 40.0, 0.4
#: Patterns of ln S of some per cent.
PATTERNS = {
    "place": lambda w: 0.06 * np.sin(w.hour_angle_deg) * (1 + 0.5 * w.declination_deg),
    "year": lambda w: 0.06 * w.declination_deg * np.cos(2 * np.pi * w.year),
    "day": lambda w: 0.06 * w.declination_deg * np.cos(2 * np.pi * w.day - 1),
}


def sky(seed: int) -> LightCurves:
    """Simulate steady references that transit daily through mosaics every half hour."""
    random = np.random.default_rng(seed)
    ra_deg = random.uniform(0, 360, N)
    number = transit_number(np.full(N, 61_000.2), ra_deg)[:, None] + np.arange(DAYS)
    mid_mjd = np.round(transit_mjd(number, ra_deg[:, None]) * 48) / 48
    windows, window = np.unique(mid_mjd, return_inverse=True)
    # What remains of an epoch's flux scale.
    flux = np.exp(0.01 * random.standard_normal(len(windows)))[window.reshape(mid_mjd.shape)]
    flux = flux * (1 + ERROR * random.standard_normal(mid_mjd.shape))
    keys = np.array([mosaic_key(float(t), STRIP_DEG) for t in windows])
    return LightCurves(
        source_id=np.array([f"s{i:03d}" for i in range(N)]),
        ra_deg=ra_deg,
        dec_deg=STRIP_DEG + random.uniform(-1.3, 1.3, N),
        offsets=DAYS * np.arange(N + 1),
        mid_mjd=mid_mjd.ravel(),
        flux_jy=flux.ravel(),
        error_jy=np.full(N * DAYS, ERROR),
        flags=np.zeros(N * DAYS, np.int64),
        is_reference=np.ones(N * DAYS, np.bool_),
        epoch=keys[window].ravel(),
    )


def with_event(curves: LightCurves) -> LightCurves:
    own, flux = curves.of(EVENTFUL), curves.flux_jy.copy()
    flux[own] *= 1 + DEPTH * SHAPE.at((curves.mid_mjd[own] - MIDDLE) / WIDTH_DAYS)
    return replace(curves, flux_jy=flux)


def less_levels(values: np.ndarray) -> np.ndarray:
    return np.asarray((values.reshape(N, -1) - values.reshape(N, -1).mean(axis=1)[:, None]).ravel())


def test_where_a_source_is_when_it_is_measured() -> None:
    curves = sky(1)
    where = where_of(curves)
    # Mosaics are half an hour apart: a quarter of an hour on either side.
    assert np.abs(where.hour_angle_deg).max() == pytest.approx(3.76, abs=0.1)
    assert np.abs(where.declination_deg).max() < 1.3
    day = np.diff(where.day[:10]) % 1.0
    assert np.median(np.minimum(day, 1 - day)) < 2 / 48
    elsewhere = where_of(replace(curves, epoch=np.full(len(curves.epoch), "")))
    assert np.isnan(elsewhere.hour_angle_deg).all()


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_recovered_and_removed_and_an_event_keeps_its_depth(name: str) -> None:
    curves = with_event(sky(2))
    pattern = PATTERNS[name](where_of(curves))
    spoiled = replace(
        curves,
        flux_jy=curves.flux_jy * np.exp(pattern),
        error_jy=curves.error_jy * np.exp(pattern),
    )
    found = measure_systematics(spoiled, 10)
    assert [p.name for p in found.patterns if p.is_removed] == [name]
    (one,) = (p for p in found.patterns if p.is_removed)
    true = less_levels(pattern)
    assert one.amplitude == pytest.approx(true.std(), rel=0.15)
    cleaned = found.removed_from(spoiled)
    left = less_levels(np.log(cleaned.flux_jy / curves.flux_jy))
    assert left.std() < 0.2 * true.std()
    own = curves.of(EVENTFUL)
    shape = SHAPE.at((curves.mid_mjd[own] - MIDDLE) / WIDTH_DAYS)
    design = np.stack([np.ones(DAYS), shape], axis=1)
    for which, least in ((cleaned, 0.01), (curves, 0.01)):
        (base, amount), *_ = np.linalg.lstsq(design, which.flux_jy[own], rcond=None)
        assert amount / base == pytest.approx(DEPTH, abs=2 * least)
    assert (cleaned.error_jy / cleaned.flux_jy > 0.99 * spoiled.error_jy / spoiled.flux_jy).all()


def test_without_a_pattern_nothing_changes() -> None:
    for seed in range(3, 9):
        curves = with_event(sky(seed))
        found = measure_systematics(curves, 10)
        assert len(found.patterns) == 3
        assert found.removed_from(curves) is curves, found.facts


def test_too_few_references_measure_nothing(tmp_path: Path) -> None:
    curves = sky(1)
    few = replace(curves, is_reference=np.repeat(np.arange(N) < 9, DAYS))
    for found in (
        measure_systematics(few, 10),
        measure_systematics(curves.only(np.zeros(N, np.bool_)), 10),
        measure_systematics(replace(curves, epoch=np.full(N * DAYS, "")), 10),
    ):
        assert found.patterns == ()
        assert found.removed_from(curves) is curves
    draw_systematics(tmp_path / "none.png", found)
    draw_systematics(tmp_path / "some.png", measure_systematics(curves, 10))
    assert (tmp_path / "some.png").stat().st_size > (tmp_path / "none.png").stat().st_size > 1000


def test_a_source_beyond_the_references_has_the_value_at_their_edge() -> None:
    curves = sky(2)
    spoiled = replace(curves, flux_jy=curves.flux_jy * np.exp(PATTERNS["place"](where_of(curves))))
    found = measure_systematics(spoiled, 10)
    far = replace(spoiled, dec_deg=spoiled.dec_deg + 30.0)
    changed = found.removed_from(far)
    assert np.isfinite(changed.flux_jy).all()
    assert np.abs(np.log(changed.flux_jy / far.flux_jy)).max() < 0.2
    assert isinstance(where_of(far), Where)
