"""What else is in the beam with the calibrator: other sources in MODEL_DATA. Needs CASA.

Belongs here: choosing them from a list, and adding them to the model of a drift scan.
Doesn't: the calibrator itself (see `.skymodel`).

A solve explains whatever its model lacks by antenna gains, as far as their freedom goes: with N
antennas about 2/N of it, most in a bandpass with its own solution in every channel. An image made
of the same observation then shows the other sources fainter by that share: 5 % with 40 antennas.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.health import channel_frequencies_hz
from contimg_resources.calibration.phasing import FieldDirections
from contimg_resources.calibration.skymodel import parallel_hands
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import Calibrator, separation_deg
from contimg_resources.point_sources import direction_cosines, point_source_visibilities

Floats = NDArray[np.float64]

#: Sources that seem fainter than this share of the calibrator do nothing to its gains.
_FAINTEST_SHARE = 1e-4
#: A listed source this near to the calibrator is the calibrator.
_SAME_SOURCE_DEG = 0.02
#: Beyond the second null of the beam nothing is seen.
_REACH_DEG = 7.0
_BAND_MIDDLE_HZ = 1.4e9


def sources_about(listed: Iterable[Calibrator], calibrator: Calibrator) -> tuple[Calibrator, ...]:
    """Return the listed sources that could be in one beam with a calibrator; not itself."""
    return tuple(
        source
        for source in listed
        if _SAME_SOURCE_DEG < _apart_deg(source, calibrator) < _REACH_DEG
    )


def background_sources(
    listed: Iterable[Calibrator], calibrator: Calibrator, fields: FieldDirections
) -> tuple[Calibrator, ...]:
    """Return the listed sources that matter in the field of a calibrator.

    Parameters
    ----------
    listed : iterable of Calibrator
        Known sources (see `sources_about`).
    calibrator : Calibrator
        The calibrator.
    fields : FieldDirections
        Where the telescope pointed.

    Returns
    -------
    tuple of Calibrator
        Those that somewhere on the drift are above 1e-4 of the calibrator's apparent flux density.
    """
    faintest = _FAINTEST_SHARE * _most_apparent_jy(calibrator, fields)
    return tuple(source for source in listed if _most_apparent_jy(source, fields) > faintest)


def add_background(
    ms: Path,
    sources: tuple[Calibrator, ...],
    fields: FieldDirections,
    row_fields: NDArray[np.int64],
    phase_center_deg: tuple[float, float],
) -> None:
    """Add sources to MODEL_DATA of a working copy with one phase centre.

    Parameters
    ----------
    ms : Path
        Working copy with its model.
    sources : tuple of Calibrator
        What to add, each seen through the primary beam of each integration.
    fields : FieldDirections
        Where the telescope pointed.
    row_fields : ndarray of int, shape (n_rows,)
        Which of `fields` each row is of.
    phase_center_deg : (float, float)
        The phase centre, ICRS degrees.
    """
    from casatools import table

    if not sources:
        return
    ra_deg = np.array([s.ra_deg for s in sources])
    dec_deg = np.array([s.dec_deg for s in sources])
    cosines = np.stack(direction_cosines(ra_deg, dec_deg, *phase_center_deg))
    hands = parallel_hands(ms)
    frequencies = channel_frequencies_hz(ms)
    # All windows see the same baselines at a time, mostly.
    antennas_m: dict[tuple[float, bytes, bytes], Floats] = {}
    tb: Any = table()
    tb.open(str(ms), nomodify=False)
    try:
        dd_ids = np.asarray(tb.getcol("DATA_DESC_ID"))
        for dd in np.unique(dd_ids):
            hz = frequencies[int(dd)]
            flux_jy = np.array([s.flux_jy(hz) for s in sources]).T
            rows: Any = tb.query(f"DATA_DESC_ID == {int(dd)}")
            model = np.asarray(rows.getcol("MODEL_DATA"))
            times = np.asarray(rows.getcol("TIME"))
            pairs = np.asarray(rows.getcol("ANTENNA1")), np.asarray(rows.getcol("ANTENNA2"))
            uvw_m = np.asarray(rows.getcol("UVW")).T
            pointed = row_fields[dd_ids == dd]
            for moment in np.unique(times):
                now = np.flatnonzero(times == moment)
                field = int(pointed[now[0]])
                away_deg = separation_deg(
                    ra_deg,
                    dec_deg,
                    np.degrees(fields.ra_rad[field]),
                    np.degrees(fields.dec_rad[field]),
                )
                power = airy_power(np.radians(away_deg)[None, :], hz[:, None])
                first, second = pairs[0][now], pairs[1][now]
                known = float(moment), first.tobytes(), second.tobytes()
                if known not in antennas_m:
                    antennas_m[known] = _antenna_uvw_m(first, second, uvw_m[now])
                seen = point_source_visibilities(flux_jy * power, cosines, antennas_m[known], hz)
                model[np.ix_(hands, np.arange(hz.size), now)] += seen[:, first, second]
            rows.putcol("MODEL_DATA", model)
            rows.close()
    finally:
        tb.close()


def _most_apparent_jy(source: Calibrator, fields: FieldDirections) -> float:
    away_rad = fields.separations_rad(source.ra_deg, source.dec_deg).min()
    return float(source.flux_jy(_BAND_MIDDLE_HZ)) * float(airy_power(away_rad, _BAND_MIDDLE_HZ))


def _apart_deg(one: Calibrator, other: Calibrator) -> float:
    return float(separation_deg(one.ra_deg, one.dec_deg, other.ra_deg, other.dec_deg))


def _antenna_uvw_m(first: NDArray[np.int64], second: NDArray[np.int64], uvw_m: Floats) -> Floats:
    """Return the UVW of each antenna up to one constant, from those of the baselines."""
    pairs = np.zeros((first.size, int(max(first.max(), second.max())) + 1))
    row = np.arange(first.size)
    pairs[row, first] += 1.0
    pairs[row, second] -= 1.0
    return np.asarray(np.linalg.lstsq(pairs, uvw_m)[0])
