"""Bright sources outside of the image are subtracted; the field stays as it is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.real_outside import Drift
from contimg_resources.core.arrays import Reals
from contimg_resources.imaging.engines.gridding import ROUGH, Gridder
from contimg_resources.imaging.model import OutsideSources, ReferenceSource
from contimg_resources.imaging.outside import subtract_outside
from contimg_resources.imaging.visibilities import Visibilities
from contimg_resources.observations.bright_sky import Outlier
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.simulation.meridian import apparent_direction_deg, next_transit_mjd
from contimg_resources.simulation.outliers import FarSidelobes, above_horizon
from contimg_resources.simulation.predict import noise, true_visibilities
from contimg_resources.simulation.sky import sources_near
from contimg_resources.simulation.spec import OutlierSpec, SimulationSpec, Size, SkySpec

DISH_M = (4.65, 0.4064)
CYG_RA, DEC = 299.87, 33.16
SKY = SkySpec(minimum_jy=0.1, maximum_jy=3.0, calibrators=False)


@pytest.fixture(scope="module")
def drift() -> Drift:
    """A tiny array while Cyg A transits 7.6 deg north."""
    transit = next_transit_mjd(CYG_RA, DEC, 60_954.0)
    _, declination = apparent_direction_deg(CYG_RA, DEC, transit)
    spec = SimulationSpec.of_size(Size.TINY, transit - 155 / 86_400, declination, 3)
    return Drift.of(replace(spec, sky=SKY))


@pytest.fixture(scope="module")
def field(drift: Drift) -> tuple[Visibilities, tuple[ReferenceSource, ...]]:
    """The field with noise, and a catalogue that is off by 3 %."""
    sources = sources_near(SKY, 3, drift.pointings[:, 0], drift.pointings[:, 1])
    rng, n_pairs = np.random.default_rng(7), 24 * 23 // 2
    first, second = np.triu_indices(24, 1)
    blocks = []
    for block, rows in zip(drift.seen.blocks, drift.rows, strict=True):
        values = noise(rng, block.values.shape, 1.0)
        values *= np.sqrt(0.5 / np.maximum(block.weight, 1e-9))
        for t, pointing in enumerate(drift.pointings):
            its = np.flatnonzero(rows // n_pairs == t)
            ra, dec = (float(v) for v in pointing)
            true = true_visibilities(sources, ra, dec, drift.pointed_m[t], block.channels_hz)
            turned = true[:, first, second].T * drift.turning(t, block.channels_hz)
            values[its] += turned[rows[its] % n_pairs]
        values[block.weight <= 0] = 0
        blocks.append(replace(block, values=values))
    known = tuple(
        ReferenceSource(
            s.name, s.ra_deg, s.dec_deg, 1.03 * float(s.model.flux_jy(1.405e9)), 1.405, -0.7
        )
        for s in sources
    )
    return replace(drift.seen, blocks=tuple(blocks)), known


def without(
    drift: Drift,
    field: tuple[Visibilities, tuple[ReferenceSource, ...]],
    parts: Sequence[Outlier],
    listed: tuple[ReferenceSource, ...] = (),
) -> tuple[OutsideSources, float, Reals]:
    """Return the outcome with a source outside, the rms it adds, and the image of what is left.

    Both are in units of the thermal noise; the field itself isn't in them.
    """
    clean, known = field
    far = drift.visibilities(parts, FarSidelobes.of(OutlierSpec(), 3, drift.spec.antennas))
    blocks = tuple(
        replace(b, values=b.values + f.values * (b.weight > 0))
        for b, f in zip(clean.blocks, far.blocks, strict=True)
    )
    got, outcome = subtract_outside(replace(clean, blocks=blocks), listed, known, DISH_M)
    grid, weighting = drift.weighted()
    gridder = Gridder(clean.blocks, weighting.weight, together=True)
    gridder.accuracy = ROUGH
    before, after = (
        gridder.dirty([v - c for v, c in zip(values, clean.values, strict=True)], grid)
        for values in ([b.values for b in blocks], got.values)
    )
    return outcome, float(before.std() / weighting.noise_jy), after / weighting.noise_jy


def test_cyg_a_in_a_sidelobe_is_removed_and_the_field_stays(
    drift: Drift, field: tuple[Visibilities, tuple[ReferenceSource, ...]]
) -> None:
    parts = [s for s in above_horizon(OutlierSpec(), drift.spec.mid_mjd) if s.name == "Cyg A"]
    outcome, added, left = without(drift, field, parts)
    assert "without Cyg A (7.6 deg away" in outcome.why
    (source,) = outcome.sources
    assert source.subtracted
    assert source.gains == "antennas"
    # The Airy pattern at 7.6 deg, averaged over the band, sees some Jy of 1579.
    assert 2 < source.apparent_jy < 6
    assert added > 5
    # Gains follow some noise, too: 24 of them from 276 baselines.
    assert left.std() < 0.6
    # No source of the field changes by more than the noise, wherever it is.
    assert np.abs(left).max() < 4


def test_a_bright_source_of_the_catalogue_5_deg_away_is_removed_and_the_field_stays(
    drift: Drift, field: tuple[Visibilities, tuple[ReferenceSource, ...]]
) -> None:
    place = CYG_RA, DEC - 5
    model = FluxModel.power_law(50.0, 1.4, -0.8, "catalogue")
    parts = [Outlier("3C1", *place, model, 0.0)]
    outcome, added, left = without(
        drift, field, parts, (ReferenceSource("3C1", *place, 50.0, 1.4, -0.8),)
    )
    assert [s.name for s in outcome.sources if s.subtracted] == ["3C1"]
    assert added > 1
    assert left.std() < 0.4 * added
    assert np.abs(left).max() < 4


def test_what_is_not_there_is_not_subtracted(
    drift: Drift, field: tuple[Visibilities, tuple[ReferenceSource, ...]]
) -> None:
    clean, known = field
    pointing = drift.pointings[12]
    beside = ReferenceSource("3C0", pointing[0] + 6, pointing[1], 20.0, 1.4, -0.7)
    inside = ReferenceSource("3C1", pointing[0] + 1, pointing[1], 20.0, 1.4, -0.7)
    assert separation_deg(beside.ra_deg, beside.dec_deg, *pointing) > 4
    got, outcome = subtract_outside(clean, (beside, inside), known, DISH_M)
    assert {s.name for s in outcome.sources} == {"3C0", "Cyg A"}
    assert not any(s.subtracted for s in outcome.sources)
    assert "no improvement without" in outcome.why
    assert got is clean


def test_without_known_sources_in_the_field_nothing_is_subtracted(
    drift: Drift, field: tuple[Visibilities, tuple[ReferenceSource, ...]]
) -> None:
    clean, _ = field
    pointing = drift.pointings[12]
    beside = ReferenceSource("3C0", pointing[0] + 6, pointing[1], 20.0, 1.4, -0.7)
    got, outcome = subtract_outside(clean, (beside,), (), DISH_M)
    assert "without known sources in the field" in outcome.why
    assert got is clean


def test_a_short_observation_is_left_alone(
    field: tuple[Visibilities, tuple[ReferenceSource, ...]],
) -> None:
    clean, known = field
    some = []
    for block in clean.blocks:
        rows = block.field_ids == 12
        row_arrays = (
            "uvw_m",
            "field_ids",
            "values",
            "weight",
            "variance",
            "first",
            "second",
            "time_s",
        )
        some.append(replace(block, **{name: getattr(block, name)[rows] for name in row_arrays}))
    got, outcome = subtract_outside(replace(clean, blocks=tuple(some)), (), known, DISH_M)
    assert "too few integrations" in outcome.why
    assert got.blocks == tuple(some)
