"""Known calibrators: their positions, flux densities, and which of them crossed the beam.

Belongs here: the flux scale's own sources, the lookup by name and by position.
Doesn't: a user's list as a file (see `contimg_resources.catalogues.calibrator_lists`),
models written to an MS (see `contimg_resources.calibration`).

There is no default flux density: a source of unknown flux density is no calibrator.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import CalibratorNotFound, ConfigurationError
from contimg_resources.instrument.dsa110 import BLOCKAGE_DIAMETER_M, DISH_DIAMETER_M
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.flux_model import PERLEY_BUTLER_2017, FluxModel
from contimg_resources.observations.model import CalibratorTransit, ObservedField

#: A variable source that must never set the flux scale; known by name and by position.
_VARIABLE_NAMES = ("3C454.3", "J2253+1608", "2251+158", "2253+161")
_VARIABLE_POSITION_DEG = (343.490616, 16.148211)
_VARIABLE_REASON = (
    "3C454.3 is a blazar whose flux density varies by factors within months; "
    "it never sets the flux scale"
)
_SAME_SOURCE_DEG = 0.01


@dataclass(frozen=True)
class Calibrator:
    """A compact source of known position and flux density."""

    name: str  #: Its common name.
    aliases: tuple[str, ...]  #: Other names.
    ra_deg: float  #: Position, ICRS (J2000), degrees.
    dec_deg: float  #: Position, ICRS (J2000), degrees.
    model: FluxModel  #: Flux density as a function of frequency.

    @property
    def names(self) -> tuple[str, ...]:
        """Return all its names, the common one first."""
        return (self.name, *self.aliases)

    def flux_jy(self, frequency_hz: Any) -> Floats:
        """Return the flux density in Jy at `frequency_hz` (see `FluxModel.flux_jy`)."""
        return self.model.flux_jy(frequency_hz)


def _hms(hours: int, minutes: int, seconds: float) -> float:
    return 15.0 * (hours + minutes / 60.0 + seconds / 3600.0)


def _dms(degrees: int, minutes: int, seconds: float) -> float:
    return degrees + minutes / 60.0 + seconds / 3600.0


def _perley_butler(*coefficients: float, low_ghz: float = 0.05) -> FluxModel:
    return FluxModel(coefficients, 1.0, PERLEY_BUTLER_2017, (low_ghz, 50.0))


#: Sources of the flux scale of Perley & Butler 2017 that crossed northern beams, with
#: positions from the VLA calibrator list.
FLUX_SCALE_SOURCES = (
    Calibrator(
        "3C286",
        ("1331+305", "J1331+3030", "1328+307"),
        _hms(13, 31, 8.288),
        _dms(30, 30, 32.96),
        _perley_butler(1.2481, -0.4507, -0.1798, 0.0357),
    ),
    Calibrator(
        "3C48",
        ("0137+331", "J0137+3309", "0134+329"),
        _hms(1, 37, 41.299431),
        _dms(33, 9, 35.132990),
        _perley_butler(1.3253, -0.7553, -0.1914, 0.0498),
    ),
    Calibrator(
        "3C147",
        ("0542+498", "J0542+4951", "0538+498"),
        _hms(5, 42, 36.137916),
        _dms(49, 51, 7.233560),
        _perley_butler(1.4516, -0.6961, -0.2007, 0.0640, -0.0464, 0.0289),
    ),
    Calibrator(
        "3C138",
        ("0521+166", "J0521+1638", "0518+165"),
        _hms(5, 21, 9.886021),
        _dms(16, 38, 22.051220),
        _perley_butler(1.0088, -0.4981, -0.1552, -0.0102, 0.0223, low_ghz=0.2),
    ),
)


def separation_deg(ra_deg: Any, dec_deg: Any, other_ra_deg: Any, other_dec_deg: Any) -> Floats:
    """Return angles between directions, degrees, accurate at all distances.

    All are in one frame, degrees, and broadcast together.
    """
    # Not at the top: the command line would wait for this import in every command.
    from astropy.coordinates import angular_separation

    angles = (np.radians(a) for a in (ra_deg, dec_deg, other_ra_deg, other_dec_deg))
    return np.asarray(np.degrees(angular_separation(*angles)), dtype=np.float64)


def refuse_variable(calibrator: Calibrator) -> Calibrator:
    """Return `calibrator` unless it is known to vary.

    Raises
    ------
    ConfigurationError
        If it has the name or the position of 3C454.3.
    """
    distance = separation_deg(calibrator.ra_deg, calibrator.dec_deg, *_VARIABLE_POSITION_DEG)
    if any(_is_variable(name) for name in calibrator.names) or distance < _SAME_SOURCE_DEG:
        raise ConfigurationError(f"calibrator {calibrator.name!r}: {_VARIABLE_REASON}")
    return calibrator


def _is_variable(name: str) -> bool:
    return _plain(name) in {_plain(known) for known in _VARIABLE_NAMES}


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()


class CalibratorList:
    """Calibrators by name and by position: those of the flux scale, and the user's own.

    Raises
    ------
    ConfigurationError
        If two calibrators share a name, or one of them is known to vary.
    """

    def __init__(self, extra: Iterable[Calibrator] = ()) -> None:
        self.calibrators: tuple[Calibrator, ...] = (
            *FLUX_SCALE_SOURCES,
            *(refuse_variable(c) for c in extra),
        )
        self._by_name: dict[str, Calibrator] = {}
        for calibrator in self.calibrators:
            for name in calibrator.names:
                taken = self._by_name.setdefault(_plain(name), calibrator)
                if taken is not calibrator:
                    raise ConfigurationError(
                        f"two calibrators are called {name!r}: {taken.name} ({taken.model.scale}) "
                        f"and {calibrator.name} ({calibrator.model.scale}); which flux holds must "
                        "not depend on their order"
                    )

    def find(self, name: str) -> Calibrator:
        """Return the calibrator of a name or alias, ignoring case and spaces.

        Raises
        ------
        CalibratorNotFound
            If there is none; the message names near matches, or why the source is refused.
        """
        found = self._by_name.get(_plain(name))
        if found is not None:
            return found
        if _is_variable(name):
            raise CalibratorNotFound(f"{name!r} is refused as a calibrator: {_VARIABLE_REASON}")
        near = difflib.get_close_matches(_plain(name), self._by_name, n=4, cutoff=0.6)
        names = list(dict.fromkeys(self._by_name[n].name for n in near))
        hint = (
            f"near matches: {', '.join(names)}"
            if names
            else f"known: {', '.join(c.name for c in self.calibrators)}"
        )
        raise CalibratorNotFound(f"no calibrator is called {name!r}; {hint}", near=names)

    def nearest(self, ra_deg: float, dec_deg: float, within_deg: float) -> Calibrator:
        """Return the calibrator nearest to a direction (ICRS), at most `within_deg` away.

        Raises
        ------
        CalibratorNotFound
            If none is that close; the message names the nearest and its distance.
        """
        distances = separation_deg(
            ra_deg,
            dec_deg,
            [c.ra_deg for c in self.calibrators],
            [c.dec_deg for c in self.calibrators],
        )
        index = int(np.argmin(distances))
        if not distances[index] <= within_deg:
            raise CalibratorNotFound(
                f"no calibrator within {within_deg:g} deg of RA {ra_deg:.5f} Dec {dec_deg:+.5f} "
                f"deg; the nearest is {self.calibrators[index].name}, {distances[index]:.3f} deg "
                "away",
                near=[self.calibrators[index].name],
            )
        return self.calibrators[index]

    def crossing(
        self,
        fields: Sequence[ObservedField],
        radius_deg: float,
        frequency_hz: float,
        *,
        dish_diameter_m: float = DISH_DIAMETER_M,
        blockage_diameter_m: float = BLOCKAGE_DIAMETER_M,
    ) -> tuple[CalibratorTransit, ...]:
        """Return the calibrators that crossed near a phase centre, brightest apparent flux first.

        Parameters
        ----------
        fields : sequence of ObservedField
            Phase centres of the observation.
        radius_deg : float
            Maximum distance at closest approach, degrees.
        frequency_hz : float
            Frequency at which the fluxes are compared, Hz.
        dish_diameter_m, blockage_diameter_m : float
            Diameters of the dish and of its central blockage, metres, for the primary beam.

        Notes
        -----
        A calibrator whose flux model isn't valid at `frequency_hz` is left out.
        """
        transits = []
        for calibrator in self.calibrators:
            if not fields:
                break
            distances = separation_deg(
                calibrator.ra_deg,
                calibrator.dec_deg,
                [f.ra_deg for f in fields],
                [f.dec_deg for f in fields],
            )
            index = int(np.argmin(distances))
            if not (distances[index] <= radius_deg and calibrator.model.holds_at(frequency_hz)):
                continue
            flux_jy = float(calibrator.flux_jy(frequency_hz))
            power = airy_power(
                np.radians(distances[index]), frequency_hz, dish_diameter_m, blockage_diameter_m
            )
            transits.append(
                CalibratorTransit(
                    name=calibrator.name,
                    ra_deg=calibrator.ra_deg,
                    dec_deg=calibrator.dec_deg,
                    separation_deg=float(distances[index]),
                    mid_mjd=fields[index].mid_mjd,
                    flux_jy=flux_jy,
                    apparent_flux_jy=flux_jy * float(power),
                )
            )
        return tuple(sorted(transits, key=lambda t: (-t.apparent_flux_jy, t.name)))
