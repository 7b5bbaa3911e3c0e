"""What bright sources outside of an image add to it: Cas A, Cyg A, Tau A, Vir A, Sun, Moon, 3C48.

Belongs here: their visibilities for the whole array, smeared as in the platform's images, and the
images of these alone. Doesn't: imaging a sky (see `real_chains`).

Imaging is linear up to CLEAN, and CLEAN leaves sources outside of its image alone, so each source
is imaged without noise and without the field.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.constants import speed_of_light

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.smearing import smeared
from contimg_resources.core.statistics import inner_half
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.imaging.averaging import plan_averaging
from contimg_resources.imaging.engines.gridding import ROUGH, Gridder
from contimg_resources.imaging.model import ImageGrid, ReferenceSource
from contimg_resources.imaging.outside import subtract_outside
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.imaging.weighting import Weighting, briggs
from contimg_resources.instrument.dsa110 import (
    BLOCKAGE_DIAMETER_M,
    DISH_DIAMETER_M,
    INTEGRATION_S,
    LATITUDE_DEG,
    stations,
)
from contimg_resources.observations.bright_sky import Outlier
from contimg_resources.observations.calibrators import CalibratorList, separation_deg
from contimg_resources.simulation.meridian import (
    apparent_direction_deg,
    next_transit_mjd,
    sidereal_time_deg,
)
from contimg_resources.simulation.observation import pointings_deg
from contimg_resources.simulation.outliers import (
    FarSidelobes,
    above_horizon,
    outlier_visibilities,
)
from contimg_resources.simulation.spec import Conditions, OutlierSpec, Preset, SimulationSpec, Size

#: Pixels of the image, arcsec, and their number a side: 2 deg, about the full width of the beam.
_CELL_ARCSEC, _PIXELS = 8.0, 1024
_ROBUST = 0.5
_DISH_M = (DISH_DIAMETER_M, BLOCKAGE_DIAMETER_M)
#: Angle up to which averaging preserves sources, see `plan_averaging`.
_HALF_WIDTH_RAD = float(np.radians(2.0))


@dataclass(frozen=True)
class Outside:
    """A source outside of an image, and what it adds to it."""

    case: str  #: The observation.
    source: str  #: Its name.
    away_deg: float  #: Distance from the pointing, degrees.
    apparent_jy: float  #: Flux density on a baseline of length zero, Jy.
    baseline_jy: float  #: Rms over the averaged visibilities, Jy.
    rms_jy: float  #: Rms of the image of this source alone, inner half, Jy/beam.
    peak_jy: float  #: Largest absolute value of the image, Jy/beam.
    thermal_jy: float  #: Thermal noise of the image, Jy/beam.
    left_jy: float  #: Rms of the image after the platform subtracted the source, Jy/beam.


@dataclass(frozen=True)
class Drift:
    """The baselines of an observation, and their weights in an image."""

    spec: SimulationSpec  #: The observation.
    pointings: Floats  #: Pointing of each integration, ICRS degrees. Shape (integrations, 2).
    #: `pointed_m`, `centered_m`: Coordinates of the antennas for each integration's pointing, and
    #: for the phase centre, metres. Shape (integrations, antennas, 3).
    pointed_m: Floats
    centered_m: Floats
    seen: Visibilities  #: Blocks with weights and without values.
    widths_hz: tuple[float, ...]  #: Width of the averaged channels of each block.
    rows: tuple[Ints, ...]  #: For each block its rows among all integrations and baselines.

    @classmethod
    def of(cls, spec: SimulationSpec) -> "Drift":
        """Lay out the observation, without channels that interference takes."""
        pointings = pointings_deg(spec)
        declination = np.radians(spec.apparent_declination_deg)
        lst = np.radians([sidereal_time_deg(float(t)) for t in spec.integration_mjd])
        middle = spec.n_integrations // 2
        pointed, centered = (
            np.stack([_uvw_m(spec, h, declination) for h in hours])
            for hours in (np.zeros_like(lst), lst - lst[middle])
        )
        first, second = np.triu_indices(len(spec.antennas), 1)
        uvw_m = (centered[:, first] - centered[:, second]).reshape(-1, 3)
        hz = np.sort(spec.window_frequencies_hz.ravel())
        windows = hz.reshape(16, -1)
        layout: Any = SimpleNamespace(
            setups=[SimpleNamespace(channels_hz=w, even=True) for w in windows]
        )
        lost = np.zeros(hz.size, bool)
        for low, high in (Conditions.of(Preset.REALISTIC).rfi or _NO_LINES).lines_mhz:
            lost |= (hz > low * 1e6) & (hz < high * 1e6)
        blocks, widths, rows = [], [], []
        for averaging in plan_averaging(layout, uvw_m, _HALF_WIDTH_RAD):
            n = averaging.columns_hz.size
            good = 1 - lost.reshape(n, -1).mean(axis=1)
            widths.append((hz[-1] - hz[0]) / (hz.size - 1) * hz.size / n)
            weight = 2 * 0.5 * spec.weight * hz.size / n * good
            which = averaging.rows
            rows.append(which)
            blocks.append(
                Block(
                    uvw_m[which],
                    (which // first.size).astype(np.int16),
                    averaging.columns_hz,
                    np.zeros((which.size, n), np.complex64),
                    np.broadcast_to(weight.astype(np.float32), (which.size, n)).copy(),
                    np.full(which.size, 0.5, np.float32),
                    first[which % first.size].astype(np.int16),
                    second[which % first.size].astype(np.int16),
                    spec.integration_mjd[which // first.size] * SECONDS_PER_DAY,
                )
            )
        seen = Visibilities(
            tuple(blocks),
            bandwidth_hz=hz[-1] - hz[0],
            noise_scale=1.0,
            telescope="OVRO_MMA",
            phase_center_deg=(float(pointings[middle, 0]), float(pointings[middle, 1])),
            pointings_deg=pointings,
            start_mjd=spec.start_mjd,
            end_mjd=spec.start_mjd,
            origin={},
            antenna_names=spec.antennas,
        )
        return cls(spec, pointings, pointed, centered, seen, tuple(widths), tuple(rows))

    def weighted(self) -> tuple[ImageGrid, Weighting]:
        """Return the pixels of the image and the weights."""
        width_rad = float(np.radians(_PIXELS * _CELL_ARCSEC / 3600))
        grid = ImageGrid(_PIXELS, _CELL_ARCSEC, *self.seen.phase_center_deg)
        return grid, briggs(self.seen, _ROBUST, width_rad, _PIXELS)

    def visibilities(self, parts: Sequence[Outlier], sidelobes: FarSidelobes) -> Visibilities:
        """Return Stokes I of sources, averaged over the integration and the averaged channels."""
        first, _ = np.triu_indices(len(self.spec.antennas), 1)
        blocks = []
        for block, width_hz, rows in zip(self.seen.blocks, self.widths_hz, self.rows, strict=True):
            values = np.zeros_like(block.values)
            for t in range(self.spec.n_integrations):
                its = np.flatnonzero(rows // first.size == t)
                pair = rows[its] % first.size
                values[its] = self._at(t, parts, sidelobes, block.channels_hz, width_hz)[pair]
            blocks.append(replace(block, values=values))
        return replace(self.seen, blocks=tuple(blocks))

    def turning(self, t: int, channels_hz: Floats) -> Any:
        """Return what moves an integration's phase centre to that of all, (pairs, channels)."""
        first, second = np.triu_indices(len(self.spec.antennas), 1)
        moved_m = (self.pointed_m[t] - self.centered_m[t])[:, 2]
        turns = (moved_m[first] - moved_m[second])[:, None] * channels_hz / speed_of_light
        return np.exp(2j * np.pi * turns).astype(np.complex64)

    def _at(
        self,
        t: int,
        parts: Sequence[Outlier],
        sidelobes: FarSidelobes,
        channels_hz: Floats,
        width_hz: float,
    ) -> Any:
        """Return the visibilities of one integration, shape (pairs, channels)."""
        ra, dec = self.pointings[t]
        first, second = np.triu_indices(len(self.spec.antennas), 1)
        seen = np.zeros((first.size, channels_hz.size), np.complex64)
        between_m = self.centered_m[t][first] - self.centered_m[t][second]
        turning = self.turning(t, channels_hz)
        for part in parts:
            each = outlier_visibilities(
                [part], sidelobes, (ra, dec), self.pointed_m[t], channels_hz, 0.0
            ).mean(axis=0)
            left = smeared(
                between_m,
                (part.ra_deg, part.dec_deg),
                self.seen.phase_center_deg,
                (ra, dec),
                channels_hz,
                width_hz,
                0.0,
            )
            seen += each[:, first, second].T * turning * left
        return seen


_NO_LINES = SimpleNamespace(lines_mhz=())


def _pads_m(spec: SimulationSpec) -> Floats:
    pads = {s.name: (s.east_m, s.north_m, s.up_m) for s in stations()}
    return np.array([pads[name] for name in spec.antennas])


def _uvw_m(spec: SimulationSpec, hour: float, declination: float) -> Floats:
    """Return u, v, w of the antennas toward an hour angle and declination (radians), metres."""
    latitude = np.radians(LATITUDE_DEG)
    east, north, up = _pads_m(spec).T
    x = up * np.cos(latitude) - north * np.sin(latitude)
    z = up * np.sin(latitude) + north * np.cos(latitude)
    across = x * np.cos(hour) - east * np.sin(hour)
    return np.column_stack(
        [
            x * np.sin(hour) + east * np.cos(hour),
            z * np.cos(declination) - across * np.sin(declination),
            across * np.cos(declination) + z * np.sin(declination),
        ]
    )


def cases() -> Iterator[tuple[str, SimulationSpec, tuple[str, ...]]]:
    """Yield observations with the sources to measure in each."""
    after = 60_954.0

    def at(ra_deg: float, dec_deg: float, later_h: float, mjd: float = after) -> SimulationSpec:
        transit = next_transit_mjd(ra_deg, dec_deg, mjd)
        _, declination = apparent_direction_deg(ra_deg, dec_deg, transit)
        start = transit + later_h / 24 - 0.5 * 24 * INTEGRATION_S / SECONDS_PER_DAY
        return SimulationSpec.of_size(Size.FULL, start, declination)

    yield "night, 3C48's strip", at(24.42, 33.16, 0.43), ("Cas A", "Moon", "3C48")
    yield "Cyg A transits 7.6 deg north", at(299.87, 33.16, 0.0), ("Cyg A",)
    yield "Cas A transits 4.2 deg north", at(350.85, 54.6, 0.0), ("Cas A",)
    yield "Vir A transits 3.9 deg south", at(187.7, 16.3, 0.0), ("Vir A",)
    yield "noon, December", at(255.0, 33.16, 0.0, 61_010.0), ("Sun",)
    yield "noon, June", at(90.0, 33.16, 0.0, 61_212.0), ("Sun",)


def outside_effects(progress: Callable[[str], None] = print) -> Iterator[Outside]:
    """Yield what each source adds to an image, with far sidelobes of the preset `realistic`."""
    far = OutlierSpec()
    calibrator = CalibratorList().find("3C48")
    for case, spec, names in cases():
        drift = Drift.of(spec)
        grid, weighting = drift.weighted()
        gridder = Gridder(drift.seen.blocks, weighting.weight, together=True)
        gridder.accuracy = ROUGH
        sidelobes = FarSidelobes.of(far, spec.seed, spec.antennas)
        above = above_horizon(far, spec.mid_mjd)
        above += (Outlier("3C48", calibrator.ra_deg, calibrator.dec_deg, calibrator.model, 0.0),)
        for name in names:
            parts = [s for s in above if s.name == name]
            if not parts:
                continue
            progress(f"{case}: {name}")
            seen = drift.visibilities(parts, sidelobes)
            image = gridder.dirty(seen.values, grid)
            listed = [
                ReferenceSource(
                    p.name, p.ra_deg, p.dec_deg, float(p.model.flux_jy(1.4e9)), 1.4, -0.8
                )
                for p in parts
                if p.name == calibrator.name
            ]
            subtracted, _ = subtract_outside(seen, listed, (), _DISH_M)
            left = gridder.dirty(subtracted.values, grid)
            yield _measured(case, drift, parts, sidelobes, seen, (image, left), weighting.noise_jy)


def _measured(
    case: str,
    drift: Drift,
    parts: Sequence[Outlier],
    sidelobes: FarSidelobes,
    seen: Visibilities,
    images: tuple[Any, Any],
    thermal_jy: float,
) -> Outside:
    one, middle_hz = parts[0], np.array([1.405e9])
    pointing = seen.phase_center_deg
    where = np.array([one.ra_deg]), np.array([one.dec_deg])
    cosines = np.stack(direction_cosines(*where, *pointing))[:, 0]
    power = np.mean(np.abs(sidelobes.voltage(cosines[:, None], middle_hz)) ** 2)
    weight = [(b.weight > 0) for b in seen.blocks]
    square = sum((np.abs(b.values[w]) ** 2).sum() for b, w in zip(seen.blocks, weight, strict=True))
    middle, left = (inner_half(image) for image in images)
    return Outside(
        case,
        one.name,
        float(separation_deg(one.ra_deg, one.dec_deg, *pointing)),
        float(sum(p.model.flux_jy(1.405e9) for p in parts) * power),
        float(np.sqrt(square / sum(w.sum() for w in weight))),
        float(np.std(middle)),
        float(np.abs(middle).max()),
        thermal_jy,
        float(np.std(left)),
    )


OUTSIDE_HEADINGS = (
    *("observation", "source", "away (deg)", "apparent (Jy)", "rms (mJy)", "peak (mJy)"),
    *("thermal (mJy)", "rms after subtraction (mJy)"),
)


def outside_rows(found: Sequence[Outside]) -> list[tuple[str, ...]]:
    """Return one row for each source, under `OUTSIDE_HEADINGS`."""
    return [
        (
            *(o.case, o.source, f"{o.away_deg:.1f}", f"{o.apparent_jy:.3g}"),
            *(f"{1e3 * v:.3g}" for v in (o.rms_jy, o.peak_jy, o.thermal_jy, o.left_jy)),
        )
        for o in found
    ]


if __name__ == "__main__":
    for one in outside_effects():
        print(" | ".join(outside_rows([one])[0]), flush=True)
