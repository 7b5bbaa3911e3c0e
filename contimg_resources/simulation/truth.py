"""The truth of a simulated MeasurementSet.

Belongs here: the simulated sky and gains, as files (JSON, and npz for the gains) and as an object.
Doesn't: comparing it with results.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import ContimgError, UnreadableObservation
from contimg_resources.core.naming import without_ms
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.simulation.effects import Effects
from contimg_resources.simulation.gains import GainModel
from contimg_resources.simulation.outliers import FarSidelobes, above_horizon
from contimg_resources.simulation.predict import apparent_flux_jy
from contimg_resources.simulation.sky import REFERENCE_GHZ, Source
from contimg_resources.simulation.spec import SimulationSpec


@dataclass(frozen=True)
class TrueSource:
    """A source on the simulated sky."""

    name: str  #: Its name.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    flux_jy: float  #: Flux density at `reference_ghz`, Jy, without the primary beam.
    reference_ghz: float  #: Reference frequency, GHz.
    spectral_index: float  #: Slope of log S against log nu at `reference_ghz`.
    #: Flux density times primary beam, averaged over integrations and channels with equal weight,
    #: Jy: the flux density in a naturally weighted image of perfect data, integrated.
    apparent_flux_jy: float
    mean_beam: float  #: Primary beam at the band's centre, averaged over the integrations.
    calibrator: bool  #: Whether it is a source of the flux scale.
    fwhm_arcsec: float = 0.0  #: FWHM of a circular Gaussian, arcsec; 0: a point.
    part_of: str = ""  #: Name of the source of which it is a component; empty: it is whole.


@dataclass(frozen=True)
class TrueOutlier:
    """A bright source far outside the field, or a part of it, in the middle of the observation."""

    name: str  #: Its name.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    flux_jy: float  #: Flux density at the middle of the band, Jy.
    #: Flux density through the far sidelobes, on a baseline of length zero, mean over antennas and
    #: polarisations, Jy.
    apparent_flux_jy: float
    diameter_arcmin: float  #: Diameter of its uniform disc, arcmin.


@dataclass(frozen=True)
class TruthRecord:
    """The content of the JSON file."""

    ms: str  #: Name of the MS.
    spec: SimulationSpec  #: The specification.
    mid_mjd: float  #: Middle of the observation, MJD in days.
    #: `field_ra_deg`, `field_dec_deg`, `field_mjd`: Pointing of each integration, ICRS degrees, and
    #: its middle, MJD in days.
    field_ra_deg: tuple[float, ...]
    field_dec_deg: tuple[float, ...]
    field_mjd: tuple[float, ...]
    #: Channel centres by spectral window id, Hz.
    window_frequencies_hz: tuple[tuple[float, ...], ...]
    #: Noise of the real and of the imaginary part of one visibility of one polarisation, Jy.
    noise_jy: float
    expected_rms_jy: float  #: Thermal noise of a naturally weighted Stokes I image, Jy/beam.
    sources: tuple[TrueSource, ...]  #: Sources by decreasing apparent flux.
    #: Bright sources above the horizon far outside the field.
    outliers: tuple[TrueOutlier, ...] = ()


@dataclass(frozen=True)
class Truth:
    """The truth of a simulated MS."""

    record: TruthRecord  #: Sky, pointings, frequencies, noise.
    gains: GainModel  #: The antennas' gains, by antenna id.
    effects: Effects | None = None  #: Further effects; None: none.

    @property
    def spec(self) -> SimulationSpec:
        """Return the specification."""
        return self.record.spec

    @property
    def sources(self) -> tuple[TrueSource, ...]:
        """Return the sky, by decreasing apparent flux."""
        return self.record.sources

    @property
    def mid_mjd(self) -> float:
        """Return the middle of the observation, MJD in days."""
        return self.record.mid_mjd

    @property
    def antenna_names(self) -> tuple[str, ...]:
        """Return the station names by antenna id."""
        return self.gains.antenna_names

    def antenna_id(self, name: str) -> int:
        """Return the id of the antenna of that name."""
        return self.antenna_names.index(name)

    def total_gain(
        self, antennas: Sequence[int], frequencies_hz: Any, mjd: float
    ) -> NDArray[np.complex128]:
        """Return the total corrupting gain, ``V_ij = g_i conj(g_j) V_true``.

        Receptors are X and Y, shape (antennas, 2, frequencies). Frequencies are in Hz, in any
        order; the time is MJD in days.
        """
        return np.asarray(self.gains.total(frequencies_hz, mjd)[np.asarray(antennas, dtype=int)])

    def save(self, json_path: Path, gains_path: Path) -> None:
        """Write both files."""
        frequencies = np.sort(np.ravel(self.record.window_frequencies_hz))
        json_path.write_bytes(TypeAdapter(TruthRecord).dump_json(self.record, indent=1))
        further = {} if self.effects is None else self.effects.arrays()
        self.gains.save(gains_path, frequencies, np.array(self.record.field_mjd), further)

    @classmethod
    def load(cls, path: Path) -> "Truth":
        """Read the truth of an MS, given the MS or its JSON file.

        Raises
        ------
        UnreadableObservation
            If a file is missing or wasn't written by `save`.
        """
        json_path, gains_path = truth_paths(path)
        try:
            record = TypeAdapter(TruthRecord).validate_json(json_path.read_bytes())
            return cls(record, GainModel.load(gains_path), Effects.load(gains_path))
        except (OSError, ValueError, KeyError, ValidationError, ContimgError) as error:
            raise UnreadableObservation(
                f"no truth of a simulation at {json_path} and {gains_path}: "
                f"{type(error).__name__}: {str(error).splitlines()[0]}",
                path=str(json_path),
            ) from error


def truth_paths(path: Path) -> tuple[Path, Path]:
    """Return the JSON and npz paths that belong to an MS or to its JSON file."""
    stem = without_ms(path.name).removesuffix(".truth.json")
    return path.with_name(f"{stem}.truth.json"), path.with_name(f"{stem}.gains.npz")


def describe_truth(
    ms_name: str,
    spec: SimulationSpec,
    pointings_deg: Floats,
    sources: Sequence[Source],
    gains: GainModel,
    effects: Effects | None = None,
) -> Truth:
    """Collect the truth of one observation.

    `pointings_deg` holds ICRS RA and Dec of each integration's pointing, shape (integrations, 2).
    """
    frequencies_hz = spec.window_frequencies_hz
    # The beam is smooth: the middle of each window represents the window.
    middles_hz = frequencies_hz.mean(axis=1)
    apparent = np.mean(
        [apparent_flux_jy(sources, ra, dec, middles_hz) for ra, dec in pointings_deg], axis=0
    )
    center_hz = np.array([REFERENCE_GHZ * 1e9])
    at_center = np.mean(
        [apparent_flux_jy(sources, ra, dec, center_hz) for ra, dec in pointings_deg], axis=0
    )
    listed = [
        TrueSource(
            name=s.name,
            ra_deg=s.ra_deg,
            dec_deg=s.dec_deg,
            flux_jy=float(s.model.flux_jy(center_hz)[0]),
            reference_ghz=REFERENCE_GHZ,
            spectral_index=_slope(s),
            apparent_flux_jy=float(apparent[:, i].sum() / N_SPECTRAL_WINDOWS),
            mean_beam=float(at_center[0, i] / s.model.flux_jy(center_hz)[0]),
            calibrator=s.calibrator,
            fwhm_arcsec=s.fwhm_arcsec,
            part_of=s.part_of,
        )
        for i, s in enumerate(sources)
    ]
    record = TruthRecord(
        ms=ms_name,
        spec=spec,
        mid_mjd=spec.mid_mjd,
        field_ra_deg=tuple(pointings_deg[:, 0].tolist()),
        field_dec_deg=tuple(pointings_deg[:, 1].tolist()),
        field_mjd=tuple(spec.integration_mjd.tolist()),
        window_frequencies_hz=tuple(tuple(w) for w in frequencies_hz.tolist()),
        noise_jy=spec.noise_jy,
        expected_rms_jy=spec.expected_rms_jy,
        sources=tuple(sorted(listed, key=lambda s: -s.apparent_flux_jy)),
        outliers=_true_outliers(spec, pointings_deg, effects),
    )
    return Truth(record, gains, effects)


def _true_outliers(
    spec: SimulationSpec, pointings_deg: Floats, effects: Effects | None
) -> tuple[TrueOutlier, ...]:
    if spec.sky.outliers is None:
        return ()
    sidelobes = FarSidelobes.of(spec.sky.outliers, spec.seed, spec.antennas)
    above = above_horizon(spec.sky.outliers, spec.mid_mjd)
    middle_hz = np.array([spec.window_frequencies_hz.mean()])
    where = np.array([(s.ra_deg, s.dec_deg) for s in above]).reshape(-1, 2)
    middle = pointings_deg[len(pointings_deg) // 2]
    cosines = np.stack(direction_cosines(where[:, 0], where[:, 1], *middle))
    power = np.abs(sidelobes.voltage(cosines, middle_hz, effects)) ** 2
    return tuple(
        TrueOutlier(
            s.name,
            s.ra_deg,
            s.dec_deg,
            float(flux_jy),
            float(flux_jy * power[..., i].mean()),
            s.diameter_arcmin,
        )
        for i, s in enumerate(above)
        for flux_jy in s.model.flux_jy(middle_hz)
    )


def _slope(source: Source) -> float:
    low, high = source.model.flux_jy(np.array([REFERENCE_GHZ * 0.99e9, REFERENCE_GHZ * 1.01e9]))
    return float(np.log(high / low) / np.log(1.01 / 0.99))
