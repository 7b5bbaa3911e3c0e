"""A simulated night: a calibrator transit and target observations of one drifting instrument.

Belongs here: planning the observations, making them one after the other, and their sky as a list.
Doesn't: one observation (see `contimg_resources.simulation.observation`).
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from contimg_resources.casa import Casa, Progress, no_progress
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.times import SECONDS_PER_DAY, check_mjd
from contimg_resources.imaging.model import ReferenceSource
from contimg_resources.instrument.dsa110 import (
    FREQUENCY_MAX_HZ,
    FREQUENCY_MIN_HZ,
    INTEGRATION_S,
    N_INTEGRATIONS,
)
from contimg_resources.observations.calibrators import CalibratorList, separation_deg
from contimg_resources.simulation.meridian import (
    apparent_direction_deg,
    meridian_direction_deg,
    next_transit_mjd,
)
from contimg_resources.simulation.observation import (
    SimulatedObservation,
    SimulationRequest,
    pointings_deg,
    simulate_observation,
)
from contimg_resources.simulation.sky import REFERENCE_GHZ, Source, sources_near
from contimg_resources.simulation.spec import (
    DeadStyle,
    EffectsSpec,
    FileFormat,
    GainSpec,
    RfiSpec,
    SimulationSpec,
    Size,
    SkySpec,
)

#: Length of one observation, days: 309.24 s.
SLOT_DAYS = N_INTEGRATIONS * INTEGRATION_S / SECONDS_PER_DAY

#: Frequency range over which a source's spectral slope is measured.
_BAND_HZ = np.array([FREQUENCY_MIN_HZ, FREQUENCY_MAX_HZ])


@dataclass(frozen=True)
class NightSpec:
    """A night on the declination strip of a calibrator.

    Notes
    -----
    Targets begin in the first slot whose pointings are all more than ``sky.radius_deg`` from the
    calibrator: within a few degrees of 16 Jy an image is limited by its dynamic range, not by its
    noise. This leaves a gap of some slots between calibrator and targets.
    """

    size: Size = Size.TINY  #: Size of each observation.
    seed: int = 1  #: Random seed.
    #: Name of a flux-scale source; it transits at the middle of its observation.
    calibrator: str = "3C48"
    #: The night starts with the first transit after this, MJD in days. The default with 3C48 is a
    #: transit at local midnight, 2025-10-06.
    after_mjd: float = 60_954.0
    n_targets: int = 4  #: Observations after the calibrator's, in successive slots of 309.24 s.
    n_targets_before: int = 0  #: Observations before it, which have to wait for its calibration.
    sky: SkySpec = field(default_factory=SkySpec)  #: Contents of the sky.
    gains: GainSpec = field(default_factory=GainSpec)  #: The antennas' imperfections.
    rfi: RfiSpec | None = None  #: Interference; None: none.
    effects: EffectsSpec = field(default_factory=EffectsSpec)  #: Effects that spoil real images.
    dead_antennas: tuple[str, ...] = ()  #: Names of antennas without signal.
    dead_style: DeadStyle = DeadStyle.ZERO  #: Their data in the MS.
    sefd_jy: float | None = None  #: See `SimulationSpec`; None: the instrument's.
    weight_spectrum: bool = False  #: See `SimulationSpec`.

    def __post_init__(self) -> None:
        check_mjd(self.after_mjd)
        if self.n_targets < 0 or self.n_targets_before < 0:
            raise ConfigurationError("a night can't have fewer than no targets")


@dataclass(frozen=True)
class NightObservation:
    """One planned observation of a night."""

    kind: str  #: ``calibrator`` or ``target``.
    slot: int  #: Number of slots of 309.24 s after the calibrator's observation, which is slot 0.
    spec: SimulationSpec  #: The observation.


def plan_night(night: NightSpec) -> tuple[NightObservation, ...]:
    """Return the observations of a night in order of time.

    Raises
    ------
    CalibratorNotFound
        If the calibrator isn't one of the flux scale.
    """
    calibrator = CalibratorList().find(night.calibrator)
    transit = next_transit_mjd(calibrator.ra_deg, calibrator.dec_deg, night.after_mjd)
    _, declination = apparent_direction_deg(calibrator.ra_deg, calibrator.dec_deg, transit)
    first = SimulationSpec.of_size(night.size, transit - 0.5 * SLOT_DAYS, declination, night.seed)
    first = replace(
        first,
        sky=night.sky,
        gains=night.gains,
        rfi=night.rfi,
        effects=night.effects,
        dead_antennas=night.dead_antennas,
        dead_style=night.dead_style,
        weight_spectrum=night.weight_spectrum,
        sefd_jy=first.sefd_jy if night.sefd_jy is None else night.sefd_jy,
    )

    def clear(slot: int) -> bool:
        nearest = transit + (slot - 0.5 * np.sign(slot)) * SLOT_DAYS
        ra, dec = meridian_direction_deg(declination, float(nearest))
        away = separation_deg(ra, dec, calibrator.ra_deg, calibrator.dec_deg)
        return bool(away > night.sky.radius_deg)

    gap = next((n for n in range(1, 100) if clear(n) and clear(-n)), None)
    if gap is None:
        raise ConfigurationError(
            f"no pointing at declination {declination:.2f} deg is clear of {calibrator.name}"
        )
    slots = [
        *range(-gap - night.n_targets_before + 1, -gap + 1),
        0,
        *range(gap, gap + night.n_targets),
    ]
    return tuple(
        NightObservation(
            kind="target" if slot else "calibrator",
            slot=slot,
            spec=replace(first, start_mjd=first.start_mjd + slot * SLOT_DAYS),
        )
        for slot in slots
    )


def simulate_night(
    night: NightSpec,
    directory: Path,
    casa: Casa,
    *,
    progress: Progress = no_progress,
    done_markers: bool = True,
    overwrite: bool = False,
    file_format: FileFormat = FileFormat.MS,
    selected: Callable[[NightObservation], bool] = lambda _: True,
) -> Iterator[tuple[NightObservation, SimulatedObservation]]:
    """Make the observations of a night, yielding each as soon as it is complete, by time.

    `done_markers`: ``<stem>.ms.done`` marks a complete MS; sub-band files have none. `overwrite`:
    existing MS or sub-band files are replaced. `selected` chooses the planned observations to make;
    all by default. `progress` is called with (message, fraction of the night).
    """
    planned = [o for o in plan_night(night) if selected(o)]
    for number, planned_one in enumerate(planned):

        def relay(message: str, fraction: float | None, number: int = number) -> None:
            progress(message, (number + (fraction or 0.0)) / len(planned))

        request = SimulationRequest(
            planned_one.spec, directory, done_markers, overwrite, file_format
        )
        yield (
            planned_one,
            casa.run(simulate_observation, request, label="simulate", progress=relay),
        )


#: A survey with a beam of 45 arcsec (NVSS) lists sources down to this, Jy, and lists the lobes of
#: a double that are farther apart than its beam.
_LISTED_JY, _SURVEY_BEAM_DEG = 2.5e-3, 45 / 3600


@lru_cache(1)
def listed_sources(night: NightSpec) -> tuple[ReferenceSource, ...]:
    """Return the sources of a night as a survey lists them, by name.

    A double narrower than 45 arcsec is one source at its middle; sources below 2.5 mJy are left
    out. Spectral indices are those over the band.
    """
    known: dict[str, dict[str, Source]] = {}
    for planned in plan_night(night):
        pointings = pointings_deg(planned.spec)
        for source in sources_near(planned.spec.sky, night.seed, pointings[:, 0], pointings[:, 1]):
            known.setdefault(source.part_of or source.name, {})[source.name] = source
    listed = []
    for name, source in sorted(_as_listed(known)):
        ends_jy = source.model.flux_jy(_BAND_HZ)
        flux_jy = float(source.model.flux_jy(REFERENCE_GHZ * 1e9))
        index = math.log(ends_jy[1] / ends_jy[0]) / math.log(_BAND_HZ[1] / _BAND_HZ[0])
        if flux_jy >= _LISTED_JY:
            place = (source.ra_deg, source.dec_deg)
            listed.append(ReferenceSource(name, *place, flux_jy, REFERENCE_GHZ, index))
    return tuple(listed)


def write_sky_list(night: NightSpec, path: Path) -> None:
    """Write `listed_sources` of a night (CSV), for ``contimg catalogue add``.

    The columns are name, position (ICRS, degrees), flux density (Jy) at a frequency (GHz) and
    spectral index.
    """
    columns = ("name", "ra_deg", "dec_deg", "flux_jy", "reference_ghz", "spectral_index")
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(columns)
        rows.writerows([getattr(s, c) for c in columns] for s in listed_sources(night))


def _as_listed(known: Mapping[str, Mapping[str, Source]]) -> Iterator[tuple[str, Source]]:
    """Yield sources with their names, from their components by name."""
    for name, parts in known.items():
        one, *others = parts.values()
        if not one.part_of:
            yield name, one
            continue
        # One lobe of a double at the edge of the sky isn't the source.
        for other in others:
            apart = separation_deg(one.ra_deg, one.dec_deg, other.ra_deg, other.dec_deg)
            if apart > _SURVEY_BEAM_DEG:
                yield from parts.items()
                continue
            level, *slopes = one.model.coefficients
            east = (other.ra_deg - one.ra_deg + 180) % 360 - 180
            yield (
                name,
                replace(
                    one,
                    ra_deg=(one.ra_deg + 0.5 * east) % 360,
                    dec_deg=0.5 * (one.dec_deg + other.dec_deg),
                    model=replace(one.model, coefficients=(level + math.log10(2), *slopes)),
                ),
            )
