"""Calibrate an observation by the known sources in its own field.

Belongs here: choosing the model's sources, leaving antennas out, applying the solutions to
visibilities in memory, recording the outcome. Doesn't: solving (see `solving`), evidence about
antennas (see `evidence`), the catalogue.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.calibration.antenna_health import Evidence, told
from contimg_resources.calibration.antenna_record import NOTHING_KNOWN, KnownAntennas
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.progress import report_progress
from contimg_resources.imaging.in_field.adopting import Adopted
from contimg_resources.imaging.in_field.evidence import antenna_evidence
from contimg_resources.imaging.in_field.gain_loops import divide
from contimg_resources.imaging.in_field.hands import align_hands
from contimg_resources.imaging.in_field.refraction import Refraction, measure_refraction
from contimg_resources.imaging.in_field.solving import FieldGains, solve_field
from contimg_resources.imaging.in_field.sums import FieldSums, brightest_sources, field_sums
from contimg_resources.imaging.model import InFieldCalibration, InFieldSolution, ReferenceSource
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.instrument.primary_beam import airy_voltage

#: Error of a source's position in a survey, of the two coordinates together: 0.8 arcsec.
_POSITION_ERROR_RAD = float(np.radians(0.8 / 3600))
#: If evidence speaks against more than this share of the antennas, the model is wrong.
_MOST_USELESS = 0.2
#: Pointing error of an antenna along each axis, and the step with which the slope of the beam is
#: computed, out to where it would be infinite.
_POINTING_RAD, _STEP_RAD = float(np.radians(0.1)), 1e-4
_SLOPE_LIMIT_RAD = float(np.radians(2.5))
_UNITS = {
    "hands": "{:.1f} deg",
    "delays": "{:.2f} ns",
    "phases": "{:.1f} deg",
    "amplitudes": "{:.3f}",
    "refraction": "{:.2f} arcsec",
    "refraction in time": "{:.2f} arcsec",
}


def calibrate_in_field(
    seen: Visibilities,
    sources: Sequence[ReferenceSource],
    dish_m: tuple[float, float],
    known: KnownAntennas = NOTHING_KNOWN,
) -> tuple[Visibilities, InFieldCalibration]:
    """Return visibilities with better gains and without bad antennas, and the outcome.

    Parameters
    ----------
    seen : Visibilities
        The visibilities, Stokes I.
    sources : sequence of ReferenceSource
        Known sources about the field.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    known : KnownAntennas
        What is known about antennas before. Their data are examined all the same.

    Notes
    -----
    Stokes I is the mean of both parallel hands, which are aligned first; the other gains are those
    that both hands of an antenna have in common.
    """
    seen, hands = align_hands(seen)
    model, apparent_jy = brightest_sources(seen, sources, dish_m)
    if not model:
        return uncalibrated(seen, "no known source is in the beam", known, hands)
    report_progress(f"calibrating with {len(model)} sources of the field", 0.1)
    sums = field_sums(seen, model, dish_m)
    if isinstance(sums, str):
        return uncalibrated(seen, f"not calibrated in the field: {sums}", known, hands)
    squares = apparent_jy**2
    error_rad = _POSITION_ERROR_RAD * float(np.sqrt(np.sum(squares**2)) / squares.sum())
    imitated = _imitated_amplitude(seen, model, apparent_jy, dish_m)
    gains = solve_field(sums, error_rad, imitated)
    evidence = antenna_evidence(sums, gains, seen.antenna_names)
    left_out = _left_out(evidence, known)
    if left_out:
        # Their data spoil the gains of the others.
        sums = _without(sums, left_out, seen.antenna_names)
        gains = solve_field(sums, error_rad, imitated)
        seen = seen.without(left_out)
    refraction = measure_refraction(seen, model, dish_m, sums, gains)
    tried = (hands, *gains.tried, refraction.constant, refraction.varying)
    gains = replace(gains, tried=tried)
    outcome = replace(
        _outcome(gains, seen.antenna_names, len(model), float(apparent_jy.sum())),
        antennas=evidence,
        left_out=left_out,
    )
    if not gains.any:
        return seen, outcome
    gains = replace(gains, gain=gains.gain * _shifts(refraction, sums))
    blocks = tuple(_corrected(b, gains, refraction, sums.times_s) for b in seen.blocks)
    return replace(seen, blocks=blocks), outcome


def uncalibrated(
    seen: Visibilities, why: str, known: KnownAntennas, hands: Adopted | None = None
) -> tuple[Visibilities, InFieldCalibration]:
    """Return visibilities without antennas that are bad, where no evidence can be measured.

    `hands` is the outcome of aligning the hands, if that was tried.
    """
    judged = known.suspected | known.bad
    left_out = {name: why for name, why in judged.items() if name in seen.antenna_names}
    aligned = hands is not None and hands.adopted
    outcome = InFieldCalibration(
        aligned,
        f"the hands were aligned; {why}" if aligned else why,
        solutions=() if hands is None else (_recorded(hands),),
        left_out=left_out,
    )
    return seen.without(left_out), outcome


def _left_out(evidence: Evidence, known: KnownAntennas) -> dict[str, str]:
    """Return the antennas that the image is better without, with the reasons.

    An antenna that earlier observations found bad has to show that it is useful; all others have to
    show that they aren't.
    """
    if not known.by_evidence:
        return {name: why for name, why in known.bad.items() if name in evidence}
    suspected = {
        name: why
        for name, why in known.suspected.items()
        if name not in evidence or evidence[name].may_be_useless
    }
    now = {name: told(one) for name, one in evidence.items() if one.is_useless}
    if len(now.keys() | suspected.keys()) > max(1, _MOST_USELESS * len(evidence)):
        now = {}
    found = {name: why for name, why in (now | suspected).items() if name not in known.good}
    return {name: why for name, why in (found | known.bad).items() if name in evidence}


def _without(sums: FieldSums, antennas: Collection[str], names: Sequence[str]) -> FieldSums:
    """Return the sums without some antennas."""
    there = np.array([name not in antennas for name in names[: sums.weight.shape[1]]])
    pairs = there[:, None] & there
    return replace(
        sums,
        product=sums.product * pairs,
        power=sums.power * pairs,
        weight=sums.weight * pairs,
        signal=sums.signal * there,
        n_values=sums.n_values * there,
    )


def _shifts(refraction: Refraction, sums: FieldSums) -> NDArray[np.complex128]:
    """Return the phases of the antennas by shifts, shape (integrations, antennas)."""
    metres = np.einsum("tai,ti->ta", sums.antennas_m[..., :2], refraction.terms[..., 0])
    return np.asarray(np.exp(2j * np.pi * sums.parts_hz.mean() / speed_of_light * metres))


def _imitated_amplitude(
    seen: Visibilities,
    model: Sequence[ReferenceSource],
    apparent_jy: NDArray[np.float64],
    dish_m: tuple[float, float],
) -> float:
    """Return the spread of the amplitudes that pointing errors of the antennas imitate.

    A pointing error changes the amplitude of a source by its scalar product with the slope of the
    beam there. Amplitudes are the mean over the sources, weighted with squared flux densities.
    """
    ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in model]).T
    middle_hz = float(np.mean(seen.channels_hz))
    weight = apparent_jy**2 / np.sum(apparent_jy**2)
    slope = np.zeros(2)
    for pointing in seen.pointings_deg:
        toward = np.stack(direction_cosines(ra, dec, *pointing)[:2])
        away = np.arcsin(np.minimum(np.hypot(*toward), 1.0))
        inside = away < _SLOPE_LIMIT_RAD
        near, far = (
            np.log(np.abs(airy_voltage(away + step, middle_hz, *dish_m)))
            for step in (-_STEP_RAD, _STEP_RAD)
        )
        each = np.where(inside, (far - near) / (2 * _STEP_RAD), 0.0) / np.maximum(away, 1e-9)
        slope += (weight * each * toward).sum(axis=1) / len(seen.pointings_deg)
    return float(_POINTING_RAD * np.hypot(*slope))


def _recorded(tried: Adopted) -> InFieldSolution:
    return InFieldSolution(
        tried.kind, tried.adopted, tried.n_intervals, tried.improvement, tried.rms
    )


def _corrected(
    block: Block, gains: FieldGains, refraction: Refraction, times_s: NDArray[np.float64]
) -> Block:
    """Divide a block by the gains, and straighten its sky (see `refraction`).

    Weights follow, and are zero without a signal.
    """
    when = np.searchsorted(times_s, block.time_s)
    one, other = (when, block.first), (when, block.second)
    factor = (gains.gain[one] * gains.gain[other].conj()).astype(np.complex64)
    factor[gains.lost[one] | gains.lost[other]] = 0
    values, weight = np.empty_like(block.values), np.empty_like(block.weight)
    apart_s = gains.delay_s[one] - gains.delay_s[other]
    away_hz = block.channels_hz - gains.reference_hz
    divide(block.values, block.weight, factor, apart_s, away_hz, values, weight)
    uvw_m = block.uvw_m.copy()
    uvw_m[:, :2] += np.einsum("ri,rik->rk", block.uvw_m[:, :2], refraction.terms[when, :, 1:])
    return replace(block, values=values, weight=weight, uvw_m=uvw_m)


def _outcome(
    gains: FieldGains, names: Sequence[str], n_sources: int, apparent_jy: float
) -> InFieldCalibration:
    lost = {names[i]: float(share) for i, share in enumerate(gains.lost.mean(axis=0)) if share > 0}
    said = [
        f"{t.kind} in {t.n_intervals} interval{'s' * (t.n_intervals > 1)} "
        f"(rms {_UNITS[t.kind].format(t.rms)})"
        for t in gains.tried
        if t.adopted
    ]
    before, after = gains.explained
    why = (
        f"independent data improve by {', '.join(said)}; the model explains {before:.1%} of the "
        f"signal before and {after:.1%} after"
        if said
        else "no solution that matters improves independent data; the model explains "
        f"{after:.1%} of the signal"
    )
    if lost:
        why += "; without signal for a part: " + ", ".join(
            f"antenna {name} ({100 * share:.0f} %)" for name, share in lost.items()
        )
    moved = gains.gain != 1
    turned = [i for i in range(gains.gain.shape[1]) if moved[:, i].any()]
    return InFieldCalibration(
        applied=gains.any,
        why=why,
        n_sources=n_sources,
        apparent_jy=apparent_jy,
        explained=gains.explained,
        solutions=tuple(_recorded(t) for t in gains.tried),
        lost=lost,
        phase_rms_deg={
            names[i]: float(np.degrees(np.sqrt(np.mean(np.angle(gains.gain[:, i]) ** 2))))
            for i in turned
        },
        amplitudes={names[i]: float(np.abs(gains.gain[:, i]).mean()) for i in turned},
    )
