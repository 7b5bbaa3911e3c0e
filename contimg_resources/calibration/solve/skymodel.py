"""Model visibilities of a calibrator and of other sources in the beam. Needs CASA for MODEL_DATA.

Belongs here: a point source at the phase centre; choosing other sources from a catalogue or a list,
their visibilities in a drift scan; adding both to MODEL_DATA.
Doesn't: flux densities (see `contimg_resources.observations.calibrators`), the beam itself (see
`contimg_resources.instrument.primary_beam`), choosing the catalogue (see the steps).

A solve absorbs everything missing from its model into antenna gains, as far as their freedom
allows: with N antennas about 2/N of it, most in a bandpass with a solution per channel. An image
of the same observation then shows the other sources fainter by that share: 5 % with 40 antennas.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.ms.health import channel_frequencies_hz
from contimg_resources.calibration.solve.phasing import FieldDirections
from contimg_resources.core.arrays import Bools, Complexes, Floats, Ints
from contimg_resources.core.point_sources import direction_cosines, point_source_visibilities
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import Calibrator, separation_deg

_ROWS_AT_ONCE = 20_000
#: Stokes enumeration of casacore: I, RR, LL, XX, YY. Other hands of an unpolarised source are 0.
_PARALLEL_HANDS = (1, 5, 8, 9, 12)


def write_point_model(
    ms: Path,
    calibrator: Calibrator,
    *,
    separations_rad: Floats | None = None,
    field_ids: tuple[int, ...] = (),
) -> None:
    """Write MODEL_DATA of an unpolarised point source at the phase centre.

    The model of a row is ``S(nu) A(theta, nu)`` in both parallel hands, where A is the power of the
    primary beam at the angle theta of the source from the pointing centre of that row; it is real,
    because the source is at the phase centre. `separations_rad` is that angle, shape (n_rows,);
    None: A = 1. `field_ids` are the fields that hold the calibrator; other fields get 1 Jy, the
    convention by which a flux transfer measures them. Empty: all fields.
    """
    from casatools import calibrater, table

    cb: Any = calibrater()
    cb.open(str(ms), compress=False, addcorr=False, addmodel=True)
    cb.close()
    hands = parallel_hands(ms)
    tb: Any = table()
    frequencies = channel_frequencies_hz(ms)
    tb.open(str(ms), nomodify=False)
    try:
        dd_ids = np.asarray(tb.getcol("DATA_DESC_ID"))
        fields = np.asarray(tb.getcol("FIELD_ID"))
        for dd in np.unique(dd_ids):
            hz = frequencies[int(dd)]
            flux_jy = calibrator.flux_jy(hz)
            numbers = np.flatnonzero(dd_ids == dd)
            rows: Any = tb.query(f"DATA_DESC_ID == {int(dd)}")
            for first in range(0, numbers.size, _ROWS_AT_ONCE):
                chunk = numbers[first : first + _ROWS_AT_ONCE]
                model = np.repeat(flux_jy[:, None], chunk.size, axis=1)
                if separations_rad is not None:
                    model *= beam_power(separations_rad[chunk], hz)
                if field_ids:
                    model[:, ~np.isin(fields[chunk], field_ids)] = 1.0
                cells = hands[:, None, None] * model[None, :, :]
                rows.putcol("MODEL_DATA", cells.astype(np.complex64), first, chunk.size)
            rows.close()
    finally:
        tb.close()


def parallel_hands(ms: Path) -> Bools:
    """Return which correlations of an MS see an unpolarised source, shape (n_correlations,)."""
    from casatools import table

    tb: Any = table()
    tb.open(str(ms / "POLARIZATION"), nomodify=True)
    try:
        return np.isin(np.asarray(tb.getcell("CORR_TYPE", 0)).ravel(), _PARALLEL_HANDS)
    finally:
        tb.close()


def beam_power(separations_rad: Floats, hz: Floats) -> Floats:
    """Return the power of the primary beam, shape (channels, angles)."""
    # Few pointings, many baselines: evaluate the beam once for each distinct angle.
    angles, which = np.unique(separations_rad, return_inverse=True)
    return airy_power(angles[None, :], hz[:, None])[:, which]


#: Sources with less apparent flux than this share of the calibrator don't affect its gains ...
_FAINTEST_SHARE = 1e-4
#: ... nor do those below the noise of the observation's own image, where none of them is measured.
_FAINTEST_JY = 1e-3
#: A listed source this close to the calibrator is the calibrator: within the resolution of the
#: coarsest surveys at 1.4 GHz, whose position may be off by a fraction of that.
_SAME_SOURCE_DEG = 0.02
#: Sources farther than this from the calibrator don't matter: they are outside the second null of
#: the beam.
REACH_DEG = 7.0
_BAND_MIDDLE_HZ = 1.4e9


def sources_about(listed: Iterable[Calibrator], calibrator: Calibrator) -> tuple[Calibrator, ...]:
    """Return the listed sources that could be in one beam with a calibrator, without itself."""
    listed = tuple(listed)
    apart_deg = separation_deg(*_positions_deg(listed), calibrator.ra_deg, calibrator.dec_deg)
    near = (apart_deg > _SAME_SOURCE_DEG) & (apart_deg < REACH_DEG)
    return tuple(listed[i] for i in np.flatnonzero(near))


def background_sources(
    listed: Iterable[Calibrator], calibrator: Calibrator, fields: FieldDirections
) -> tuple[Calibrator, ...]:
    """Return the listed sources that matter in the field of a calibrator.

    These are sources (see `sources_about`) that somewhere on the drift exceed 1e-4 of the
    calibrator's apparent flux density, and 1 mJy; never the calibrator.
    """
    near = sources_about(listed, calibrator)
    if not near:
        return ()
    faintest_jy = max(
        _FAINTEST_JY, _FAINTEST_SHARE * float(most_apparent_jy((calibrator,), fields)[0])
    )
    return tuple(near[i] for i in np.flatnonzero(most_apparent_jy(near, fields) > faintest_jy))


@dataclass(frozen=True)
class ModelOfField:
    """The sources in a solve's model besides its calibrator."""

    origin: str  #: The catalogue or list from which they were chosen; empty: there was none.
    n_sources: int  #: Number of sources in the model.
    #: Sum of their flux densities, each multiplied by its highest primary-beam response during the
    #: drift, at 1.4 GHz, Jy.
    apparent_jy: float
    faintest_jy: float  #: The lowest of those flux densities, Jy; 0 without sources.

    @classmethod
    def of(
        cls, sources: tuple[Calibrator, ...], fields: FieldDirections, origin: str
    ) -> "ModelOfField":
        """Summarise sources returned by `background_sources`."""
        apparent_jy = most_apparent_jy(sources, fields)
        return cls(
            origin,
            len(sources),
            float(apparent_jy.sum()),
            float(apparent_jy.min()) if len(sources) else 0.0,
        )

    def words(self, calibrator: str, n_antennas: int) -> str:
        """Describe the model and its consequences."""
        if self.n_sources:
            return (
                f"the model is {calibrator} and {self.n_sources} sources of {self.origin}, "
                f"{self.apparent_jy:.3g} Jy together as seen through the beam"
            )
        why = (
            f"{self.origin} has no other significant source in its beam"
            if self.origin
            else f"no catalogue is set (catalogue.reference). The gains of {n_antennas} antennas "
            f"absorb about {2 / max(n_antennas, 2):.0%} of the flux density of other sources in "
            "the image of this observation only"
        )
        return f"the model is {calibrator} alone: {why}"


class Background:
    """The visibilities of other sources in a drift scan shifted to one phase centre.

    Each is attenuated by the primary beam of each integration; the phase centre is in ICRS degrees.
    """

    def __init__(
        self,
        sources: tuple[Calibrator, ...],
        fields: FieldDirections,
        phase_center_deg: tuple[float, float],
    ) -> None:
        self._sources = sources
        self._fields = fields
        self._ra_deg = np.array([s.ra_deg for s in sources])
        self._dec_deg = np.array([s.dec_deg for s in sources])
        self._cosines = np.stack(direction_cosines(self._ra_deg, self._dec_deg, *phase_center_deg))
        self._flux_jy: dict[bytes, Floats] = {}
        # At a given time all windows have mostly the same baselines.
        self._antennas_m: dict[tuple[float, bytes, bytes], Floats] = {}

    def seen(
        self, time_s: float, field: int, first: Ints, second: Ints, uvw_m: Floats, hz: Floats
    ) -> Complexes:
        """Return the visibilities of one integration, Jy, shape (n_channels, n_rows).

        Parameters
        ----------
        time_s : float
            Time of the integration.
        field : int
            Index of its field.
        first, second : ndarray of int, shape (n_rows,)
            Antennas of its rows.
        uvw_m : ndarray of float, shape (n_rows, 3)
            UVW about the phase centre, metres.
        hz : ndarray of float, shape (n_channels,)
            Channel centres, Hz.
        """
        away_deg = separation_deg(
            self._ra_deg,
            self._dec_deg,
            np.degrees(self._fields.ra_rad[field]),
            np.degrees(self._fields.dec_rad[field]),
        )
        if hz.tobytes() not in self._flux_jy:
            self._flux_jy[hz.tobytes()] = np.array([s.flux_jy(hz) for s in self._sources]).T
        flux_jy = self._flux_jy[hz.tobytes()]
        apparent_jy = flux_jy * airy_power(np.radians(away_deg)[None, :], hz[:, None])
        known = time_s, first.tobytes(), second.tobytes()
        if known not in self._antennas_m:
            self._antennas_m[known] = _antenna_uvw_m(first, second, uvw_m)
        seen = point_source_visibilities(apparent_jy, self._cosines, self._antennas_m[known], hz)
        return np.asarray(seen[:, first, second])


def add_background(ms: Path, background: Background, row_fields: Ints) -> None:
    """Add sources to MODEL_DATA of a working copy with one phase centre.

    `row_fields` holds the index of the field of each row.
    """
    from casatools import table

    hands = parallel_hands(ms)
    frequencies = channel_frequencies_hz(ms)
    tb: Any = table()
    tb.open(str(ms), nomodify=False)
    try:
        dd_ids = np.asarray(tb.getcol("DATA_DESC_ID"))
        for dd in np.unique(dd_ids):
            hz = frequencies[int(dd)]
            rows: Any = tb.query(f"DATA_DESC_ID == {int(dd)}")
            model = np.asarray(rows.getcol("MODEL_DATA"))
            times = np.asarray(rows.getcol("TIME"))
            first, second = (np.asarray(rows.getcol(f"ANTENNA{i}"), np.int64) for i in (1, 2))
            uvw_m = np.asarray(rows.getcol("UVW")).T
            pointed = row_fields[dd_ids == dd]
            for moment in np.unique(times):
                now = np.flatnonzero(times == moment)
                seen = background.seen(
                    float(moment), int(pointed[now[0]]), first[now], second[now], uvw_m[now], hz
                )
                model[np.ix_(hands, np.arange(hz.size), now)] += seen
            rows.putcol("MODEL_DATA", model)
            rows.close()
    finally:
        tb.close()


def most_apparent_jy(sources: tuple[Calibrator, ...], fields: FieldDirections) -> Floats:
    """Return flux densities at the highest beam response during a drift, 1.4 GHz, Jy."""
    if not sources:
        return np.zeros(0)
    ra_deg, dec_deg = _positions_deg(sources)
    away_rad = fields.separations_rad(ra_deg[:, None], dec_deg[:, None]).min(axis=1)
    flux_jy = np.array([float(s.flux_jy(_BAND_MIDDLE_HZ)) for s in sources])
    return np.asarray(flux_jy * airy_power(away_rad, _BAND_MIDDLE_HZ))


def _positions_deg(sources: tuple[Calibrator, ...]) -> tuple[Floats, Floats]:
    return np.array([s.ra_deg for s in sources]), np.array([s.dec_deg for s in sources])


def _antenna_uvw_m(first: Ints, second: Ints, uvw_m: Floats) -> Floats:
    """Return the UVW of each antenna up to one constant, from those of the baselines."""
    pairs = np.zeros((first.size, int(max(first.max(), second.max())) + 1))
    row = np.arange(first.size)
    pairs[row, first] += 1.0
    pairs[row, second] -= 1.0
    return np.asarray(np.linalg.lstsq(pairs, uvw_m)[0])
