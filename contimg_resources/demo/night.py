"""Second act: a simulated night through the real platform.

Belongs here: the night, its list of known sources, waiting until the stores have all its images,
and comparing images with the truth.
Doesn't: starting the platform, printing.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contimg_resources.core.keys import KEY_RESOLUTION_DAYS
from contimg_resources.demo.ngc5921 import (
    PHASE_CALIBRATOR,
    PHASE_CALIBRATOR_DEG,
    PUBLISHED_FLUX_PT99_JY,
)
from contimg_resources.imaging.make import load_image_result
from contimg_resources.imaging.matching import MatchReport, match_image
from contimg_resources.imaging.model import ImageResult
from contimg_resources.products.model import ArtefactKind, ObservationRecord, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.simulation.night import (
    NightSpec,
    listed_sources,
    plan_night,
    write_sky_list,
)
from contimg_resources.simulation.observation import observation_name
from contimg_resources.simulation.sky import REFERENCE_GHZ
from contimg_resources.simulation.spec import PRESETS, Conditions, Preset, Size

#: Minimum S/N (of the rms) of sources that must be recovered.
RECOVERED_SNR = 10.0

_CONDITIONS = Conditions.of(Preset.REALISTIC)

#: One observation before the calibrator's transit, which has to wait for it, and one after, under
#: the conditions of `Preset.REALISTIC`, but without sources between 1 and 2.5 mJy: they are nearly
#: half of all, and would add 0.06 mJy/beam to a thermal noise of 0.58 with this small array.
DEMO_NIGHT = NightSpec(
    size=Size.SMALL,
    seed=1,
    n_targets=1,
    n_targets_before=1,
    dead_antennas=(PRESETS[Size.SMALL][0][3],),
    sky=replace(_CONDITIONS.sky, faintest_jy=2.5e-3),
    gains=_CONDITIONS.gains,
    rfi=_CONDITIONS.rfi,
    effects=_CONDITIONS.effects,
)


@dataclass(frozen=True)
class NightRow:
    """The outcome of one observation of the night."""

    name: str  #: Its start in UTC, which names its truth.
    #: The observation in the products store; None when it never arrived.
    record: ObservationRecord | None
    caltables: str  #: The applied set and its version; empty when no set was applied.
    image: ImageResult | None  #: Its image, if any.
    recovered: MatchReport | None  #: Comparison of its sources with the truth.

    @property
    def imaged(self) -> bool:
        """Whether the observation was imaged."""
        return self.record is not None and self.record.state is ObservationState.IMAGED


def expected_names(night: NightSpec) -> tuple[str, ...]:
    """Return the names of the observations of a night, their starts in UTC, by time."""
    return tuple(observation_name(o.spec.start_mjd) for o in plan_night(night))


def write_known_sources(night: NightSpec, path: Path) -> None:
    """Write the night's sky and 1445+099 as a list of known sources, for models and checks."""
    write_sky_list(night, path)
    with path.open("a", newline="") as stream:
        place = PHASE_CALIBRATOR_DEG
        csv.writer(stream).writerow(
            (PHASE_CALIBRATOR, *place, PUBLISHED_FLUX_PT99_JY, REFERENCE_GHZ, 0.0)
        )


def look_back(products: ProductsStore, night: NightSpec) -> tuple[NightRow, ...]:
    """Return the outcome of each observation of a night so far, by time.

    Sources are compared with those that a survey lists of the simulated sky, without errors: an
    image can't separate close doubles either.
    """
    records = _by_name(products.list_observations(), night)
    return tuple(_row(products, name, records.get(name), night) for name in expected_names(night))


def of_the_night(
    records: Sequence[ObservationRecord], night: NightSpec
) -> tuple[ObservationRecord, ...]:
    """Return only the observations of a night, without the image of the first act."""
    return tuple(_by_name(records, night).values())


def _by_name(
    records: Sequence[ObservationRecord], night: NightSpec
) -> dict[str, ObservationRecord]:
    """Return the observations of a night by name: those of the planned times."""
    names = {o.spec.mid_mjd: observation_name(o.spec.start_mjd) for o in plan_night(night)}
    return {
        name: record
        for record in records
        for mid_mjd, name in names.items()
        if abs(record.mid_mjd - mid_mjd) < KEY_RESOLUTION_DAYS
    }


def is_over(records: Sequence[ObservationRecord], night: NightSpec) -> bool:
    """Return whether every observation of a night is imaged or has failed."""
    ended = (ObservationState.IMAGED, ObservationState.FAILED)
    done = [r for r in of_the_night(records, night) if r.state in ended]
    return len(done) == len(expected_names(night))


def _row(
    products: ProductsStore, name: str, record: ObservationRecord | None, night: NightSpec
) -> NightRow:
    made = {} if record is None else {a.kind: a for a in products.artefacts(record.key)}
    # An image that failed its checks is included, and its statistics show why.
    if ArtefactKind.STATISTICS not in made:
        return NightRow(name, record, "", None, None)
    summary = made[ArtefactKind.STATISTICS].path
    image = load_image_result(summary.parent, summary.name.removesuffix(".json"))
    applied = made[ArtefactKind.CALIBRATED_MS]
    return NightRow(
        name=name,
        record=record,
        caltables=f"{applied.set_name} v{applied.set_version}",
        image=image,
        recovered=match_image(image, listed_sources(night), min_snr=RECOVERED_SNR),
    )
