"""The health of antennas around the image of an observation.

Belongs here: what is known before it is made, recording what it shows. Doesn't: evidence (see
`contimg_resources.imaging.in_field.evidence`), rules (see
`contimg_resources.calibration.antenna_record`).
"""

from contimg_resources.calibration.antenna_record import (
    AntennaMark,
    KnownAntennas,
    ObservedAntennas,
)
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.imaging.model import ImageResult
from contimg_resources.observations.model import Observation
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import AntennaSettings


def known_antennas(
    products: ProductsStore, observation: Observation, settings: AntennaSettings
) -> KnownAntennas:
    """Return what is known about the antennas before an observation is imaged."""
    report = products.antennas.before(
        observation.mid_mjd, settings.days, telescope=observation.telescope
    )
    bad = report.marked(AntennaMark.BAD)
    if not settings.leave_out:
        return KnownAntennas(bad=bad, by_evidence=False)
    return KnownAntennas(bad, report.suspected, report.marked(AntennaMark.GOOD))


def record_antennas(
    products: ProductsStore, observation: Observation, result: ImageResult, run_id: str
) -> ObservedAntennas:
    """Record what an observation shows about its antennas, in place of an earlier record."""
    found = result.in_field
    return products.antennas.put(
        observation.key,
        observation.telescope,
        observation.mid_mjd,
        found.antennas if found else {},
        found.left_out if found else {},
        run_id=run_id,
    )


def check_antennas(observed: ObservedAntennas, known: KnownAntennas) -> Verdict:
    """Check whether antennas are at fault that no person has marked as bad."""
    new = {name: why for name, why in observed.faults.items() if name not in known.bad}
    n_examined = observed.n_antennas - len(observed.unexamined)
    told = "; ".join(f"antenna {name}: {why}" for name, why in new.items())
    return Verdict(
        name="antennas",
        passed=not new,
        words=told or f"none of {n_examined} antennas is at fault"
        if observed.n_antennas
        else "not evaluated: the antennas weren't examined",
        evaluated=n_examined > 0,
        measures={
            "n_faulty": len(observed.faults),
            "n_left_out": len(observed.left_out),
            "n_examined": n_examined,
        },
    )
