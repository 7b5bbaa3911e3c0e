"""Nights with a known sky for ``contimg bench-real``, and the catalogue that a survey has of it.

Belongs here: simulated nights, observations of another simulator, the truth as whole sources.
Doesn't: calibrating, imaging, comparing (see `real_chains`, `real_quality`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa import Casa, Progress
from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import BenchFailed
from contimg_resources.observations.calibrators import CalibratorList, separation_deg
from contimg_resources.simulation.night import NightSpec, plan_night
from contimg_resources.simulation.observation import (
    SimulationRequest,
    observation_name,
    simulate_observation,
)
from contimg_resources.simulation.sky import REFERENCE_GHZ
from contimg_resources.simulation.spec import Conditions, Preset, Size
from contimg_resources.simulation.truth import TrueSource, Truth

CALIBRATOR = "3C48"
#: A survey like NVSS (Condon et al. 1998, AJ 115, 1693) lists sources above 2.5 mJy, with errors of
#: 3 % and 0.5 mJy in flux density and of 0.5 arcsec plus 4 arcsec / (S / 2.5 mJy) in each
#: coordinate, without spectral indices; it lists a double within its beam as one source.
_LISTED_JY, _FLUX_SHARE, _FLUX_JY = 2.5e-3, 0.03, 0.5e-3
_POSITION_ARCSEC, _FAINT_ARCSEC = 0.5, 4.0
_SURVEY_BEAM_DEG = 45 / 3600
#: It lists the size, with an error of 5 %, of a source above 15 arcsec and 20 mJy.
_RESOLVED_ARCSEC, _RESOLVED_JY, _SIZE_SHARE = 15.0, 20e-3, 0.05


#: FWHM of the Gaussian with the second moment of two points, over their distance.
_OF_DOUBLE = float(np.sqrt(2 * np.log(2)))


@dataclass(frozen=True)
class TrueSky:
    """Whole sources of a sky, one array per column, shape (n,)."""

    ra_deg: Floats  #: Positions, ICRS degrees; of a double, its middle.
    dec_deg: Floats  #: Positions, ICRS degrees.
    flux_jy: Floats  #: Flux densities at 1.405 GHz, Jy.
    spectral_index: Floats  #: ``S ~ nu^spectral_index``.
    extended: Bools  #: Whether it is no point.
    #: `major_arcsec`, `minor_arcsec`, `angle_deg`: Axes (FWHM) and position angle of the Gaussian
    #: that has the same second moments; 0: unknown, or a point.
    major_arcsec: Floats
    minor_arcsec: Floats
    angle_deg: Floats

    def flux_at(self, frequency_hz: float) -> Floats:
        """Return the flux densities at a frequency (Hz), Jy."""
        ratio = frequency_hz / (1e9 * REFERENCE_GHZ)
        return np.asarray(self.flux_jy * ratio**self.spectral_index)

    def listed(self, name: str) -> tuple[CatalogueSources, CatalogueFacts]:
        """Return the catalogue `name` that a survey makes of this sky, with its errors."""
        rng = np.random.default_rng(len(self.ra_deg))
        normal = rng.normal(size=(3, len(self.ra_deg)))
        flux_jy = self.flux_jy * (1 + _FLUX_SHARE * normal[0]) + _FLUX_JY * rng.normal(
            size=len(self.ra_deg)
        )
        known = flux_jy > _LISTED_JY
        flux_jy = flux_jy[known]
        apart_deg = (_POSITION_ARCSEC + _FAINT_ARCSEC * _LISTED_JY / flux_jy) / 3600
        dec_deg = self.dec_deg[known]
        unknown = np.full(len(flux_jy), np.nan)
        sizes = np.stack([self.major_arcsec, self.minor_arcsec, self.angle_deg])[:, known]
        wide = (sizes[0] > _RESOLVED_ARCSEC) & (flux_jy > _RESOLVED_JY)
        sizes = np.where(wide, sizes, np.nan)
        sizes[:2] *= 1 + _SIZE_SHARE * rng.normal(size=len(flux_jy))
        names = np.array([f"s{k:05d}" for k in range(len(flux_jy))])
        sources = CatalogueSources(
            source_id=np.array([f"{name}-{n}" for n in names]),
            name=names,
            ra_deg=self.ra_deg[known] + apart_deg * normal[1, known] / np.cos(np.radians(dec_deg)),
            dec_deg=dec_deg + apart_deg * normal[2, known],
            flux_jy=flux_jy,
            flux_error_jy=np.hypot(_FLUX_SHARE * flux_jy, _FLUX_JY),
            reference_ghz=np.full(len(flux_jy), REFERENCE_GHZ),
            spectral_index=unknown,
            major_arcsec=sizes[0],
            minor_arcsec=sizes[1],
            angle_deg=sizes[2],
            variable=np.zeros(len(flux_jy), bool),
        )
        return sources, CatalogueFacts(name, "nvss", "", "", len(sources), 1)


@dataclass(frozen=True)
class Night:
    """Observations of one sky."""

    name: str  #: Its name in the report.
    calibrator: Path  #: The MS of its calibrator.
    targets: tuple[Path, ...]  #: The MS of targets.
    sky: TrueSky  #: The truth.


def simulated_night(
    preset: Preset,
    size: Size,
    n_targets: int,
    seed: int,
    directory: Path,
    casa: Casa,
    progress: Progress,
) -> Night:
    """Simulate a night; observations that are there already are used again.

    Parameters
    ----------
    preset : Preset
        How unkind the sky and the array are.
    size : Size
        Size of each observation.
    n_targets : int
        Number of observations beside the calibrator's.
    seed : int
        Random seed.
    directory : Path
        Directory of the MS.
    casa : Casa
        The interface to CASA.
    progress : callable
        Called with progress messages.
    """
    conditions = Conditions.of(preset)
    values = {f.name: getattr(conditions, f.name) for f in fields(conditions)}
    plan = NightSpec(
        size=size,
        seed=seed,
        calibrator=CALIBRATOR,
        n_targets=n_targets,
        weight_spectrum=True,
        **values,
    )
    made: list[tuple[str, Path]] = []
    truths: list[TrueSource] = []
    for planned in plan_night(plan):
        ms = directory / f"{observation_name(planned.spec.start_mjd)}.ms"
        if not ms.exists():
            progress(f"simulating {ms.name} ({preset}, {size})", None)
            request = SimulationRequest(planned.spec, directory, overwrite=True)
            casa.run(simulate_observation, request, label="bench-simulate", progress=progress)
        made.append((planned.kind, ms))
        truths += Truth.load(ms).sources
    return Night(
        f"{preset}, {size}",
        next(ms for kind, ms in made if kind == "calibrator"),
        tuple(ms for kind, ms in made if kind == "target"),
        _whole(truths),
    )


def given_night(directory: Path) -> Night:
    """Return a night that another program simulated.

    The directory holds MS in order of time, the first one of the calibrator, and ``truth.npz`` with
    ``ra``, ``dec`` (ICRS degrees), ``flux_jy`` (at 1.405 GHz), ``spectral_index`` and ``is_double``
    of the sources beside the calibrator.

    Raises
    ------
    BenchFailed
        If a part is missing.
    """
    observed = sorted(directory.glob("*.ms"))
    try:
        with np.load(directory / "truth.npz") as file:
            columns = [
                file[name] for name in ("ra", "dec", "flux_jy", "spectral_index", "is_double")
            ]
    except (OSError, ValueError, KeyError) as error:
        raise BenchFailed(f"{directory / 'truth.npz'} has no truth: {error}") from error
    if len(observed) < 2:
        raise BenchFailed(f"{directory} has {len(observed)} MS: a calibrator and a target are two")
    one = CalibratorList().find(CALIBRATOR)
    level, above = (float(one.model.flux_jy(REFERENCE_GHZ * hz)) for hz in (1e9, 1.01e9))
    its = (one.ra_deg, one.dec_deg, level, np.log(above / level) / np.log(1.01), False)
    columns = [np.append(c, new) for c, new in zip(columns, its, strict=True)]
    sky = TrueSky(*columns, *np.zeros((3, len(columns[0]))))
    return Night(directory.name, observed[0], tuple(observed[1:]), sky)


def _whole(sources: Iterable[TrueSource]) -> TrueSky:
    """Return sources of several observations, each once, doubles as a survey sees them."""
    parts: dict[str, dict[str, TrueSource]] = {}
    for source in sources:
        parts.setdefault(source.part_of or source.name, {})[source.name] = source
    rows = []
    for of_one in parts.values():
        rows += _rows(list(of_one.values()))
    return TrueSky(*(np.array(c) for c in zip(*rows, strict=True)))


def _rows(parts: Sequence[TrueSource]) -> list[tuple[Any, ...]]:
    one, *others = parts
    apart_deg = (
        float(separation_deg(one.ra_deg, one.dec_deg, others[0].ra_deg, others[0].dec_deg))
        if others
        else np.inf
    )
    if apart_deg < _SURVEY_BEAM_DEG:
        east = (others[0].ra_deg - one.ra_deg + 180) % 360 - 180
        middle = replace(
            one,
            ra_deg=(one.ra_deg + 0.5 * east) % 360,
            dec_deg=0.5 * (one.dec_deg + others[0].dec_deg),
            flux_jy=one.flux_jy + others[0].flux_jy,
        )
        north = others[0].dec_deg - one.dec_deg
        angle_deg = np.degrees(np.arctan2(east * np.cos(np.radians(one.dec_deg)), north)) % 180
        return [(*_numbers(middle), True, _OF_DOUBLE * 3600 * apart_deg, 0.0, angle_deg)]
    return [(*_numbers(p), p.fwhm_arcsec > 0, p.fwhm_arcsec, p.fwhm_arcsec, 0.0) for p in parts]


def _numbers(source: TrueSource) -> tuple[float, float, float, float]:
    return source.ra_deg, source.dec_deg, source.flux_jy, source.spectral_index
