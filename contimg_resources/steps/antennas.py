"""The health of antennas: what earlier observations say, and recording what a new one shows.

Belongs here: joining the products store, the marks of persons and the settings. Doesn't: evidence
(see `contimg_resources.imaging.in_field.evidence`), rules (see
`contimg_resources.calibration.antenna_record`).
"""

from dataclasses import dataclass

from contimg_resources.calibration.antenna_record import (
    AntennaMark,
    MarkedAntenna,
    ObservedAntennas,
    Spell,
    marks_at,
    spells,
)
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.imaging.model import ImageResult, KnownAntennas
from contimg_resources.observations.model import Observation
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import AntennaSettings


@dataclass(frozen=True)
class AntennaReport:
    """The state of the antennas of one telescope at a moment."""

    telescope: str  #: Name of the telescope; empty: nothing was observed.
    #: The latest observation that examined them; None: there is none.
    last: ObservedAntennas | None
    n_observations: int  #: Number of observations that it follows from.
    bad: dict[str, Spell]  #: Antennas that are bad by their evidence, by name.
    marks: dict[str, MarkedAntenna]  #: The marks that count, by antenna.
    recovered: tuple[Spell, ...]  #: Times that have ended, in the order of naming.

    @property
    def left_out(self) -> dict[str, str]:
        """Antennas that are to be left out of images, with the reasons."""
        return {**_reasons(self.bad, self.marks), **_marked(self.marks, AntennaMark.BAD)}


def antennas_at(
    products: ProductsStore,
    mjd: float,
    settings: AntennaSettings,
    *,
    telescope: str | None = None,
    days: float | None = None,
) -> AntennaReport:
    """Return the state of the antennas before a moment.

    Parameters
    ----------
    products : ProductsStore
        The products.
    mjd : float
        The moment, MJD in days; observations at it don't count.
    settings : AntennaSettings
        Their number of days.
    telescope : str, optional
        The telescope; None: that of the latest observation.
    days : float, optional
        Number of days before the moment; None: that of the settings.
    """
    start_mjd = mjd - (settings.days if days is None else days)
    observed = products.antennas.observed(telescope=telescope, start_mjd=start_mjd, end_mjd=mjd)
    if telescope is None and observed:
        telescope = observed[-1].telescope
        observed = [one for one in observed if one.telescope == telescope]
    found = spells(observed)
    return AntennaReport(
        telescope=telescope or "",
        last=observed[-1] if observed else None,
        n_observations=len(observed),
        bad={one.antenna: one for one in found if one.end_mjd is None},
        marks=marks_at(products.antennas.marks(), mjd),
        recovered=tuple(one for one in found if one.end_mjd is not None),
    )


def known_antennas(
    products: ProductsStore, observation: Observation, settings: AntennaSettings
) -> KnownAntennas:
    """Return what is known about the antennas before an observation is imaged."""
    report = antennas_at(products, observation.mid_mjd, settings, telescope=observation.telescope)
    return KnownAntennas(
        bad=_marked(report.marks, AntennaMark.BAD),
        suspected=_reasons(report.bad, report.marks) if settings.leave_out else {},
        good=_marked(report.marks, AntennaMark.GOOD)
        if settings.leave_out
        else {a.name: "antennas.leave_out is off" for a in observation.antennas},
    )


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


def _reasons(bad: dict[str, Spell], marks: dict[str, MarkedAntenna]) -> dict[str, str]:
    return {
        name: spell.in_words(f"{isot_from_mjd(spell.start_mjd)[:16]} UTC")
        for name, spell in bad.items()
        if name not in marks
    }


def _marked(marks: dict[str, MarkedAntenna], mark: AntennaMark) -> dict[str, str]:
    return {name: one.in_words() for name, one in marks.items() if one.mark is mark}
