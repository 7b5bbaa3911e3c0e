"""Measuring and judging solved tables: pure arithmetic on their solutions.

Belongs here: the measures and the gates. Doesn't: reading tables (see `.inspection`).
"""

from collections.abc import Iterator

import numpy as np
from astropy.stats import mad_std
from numpy.typing import NDArray

from contimg_resources.calibration.inspection import Solutions
from contimg_resources.calibration.model import TableQuality
from contimg_resources.calibration.tables import CaltableType
from contimg_resources.settings import CalibrationSettings

_PHASE_TYPES = (CaltableType.BP, CaltableType.GP)
_BANDPASS_TYPES = (CaltableType.BA, CaltableType.BP)


def measure_quality(
    solutions: Solutions,
    table_type: CaltableType,
    working: NDArray[np.bool_],
    window_width_hz: float = 0.0,
) -> TableQuality:
    """Measure one caltable over working receptors.

    Parameters
    ----------
    solutions : Solutions
        Its solutions.
    table_type : CaltableType
        Its type.
    working : ndarray of bool, shape (n_antennas, n_receptors)
        Receptors with unflagged data. A working receptor that the solver dropped counts as
        flagged; an absent one does not count.
    window_width_hz : float
        Width of a spectral window, Hz; delays only.

    Notes
    -----
    The scatter about the smooth trend is the robust standard deviation of the differences of
    neighbouring solutions over sqrt(2): it sees noise and jumps, not slow change. That of delays
    is the robust deviation of the windows of a receptor from their median, given as the phase
    ``360 deg x deviation x half the window's width`` that it means at a window's edge: CASA's
    delay solver writes no SNR.
    """
    counted = working[solutions.antennas].T[:, None, :] & np.ones_like(solutions.flags)
    flags = solutions.flags[counted]
    good = counted & ~solutions.flags
    values = solutions.values[good]
    amplitude, phase_deg = _scatters(solutions, table_type, good)
    snr: float | None = float(np.median(solutions.snr[good])) if values.size else 0.0
    if table_type is CaltableType.K:
        snr = None
        phase_deg = _delay_scatter_ns(solutions, good) * 1e-9 * window_width_hz / 2 * 360
        shown = values.real
    elif table_type in _PHASE_TYPES:
        shown = np.degrees(np.angle(values))
    else:
        shown = np.abs(values)
    answered = set(solutions.working_antennas().tolist())
    dead = [a for a in np.flatnonzero(working.any(axis=1)).tolist() if a not in answered]
    return TableQuality(
        n_solutions=int(flags.size),
        flagged_fraction=float(flags.mean()) if flags.size else 1.0,
        median_snr=snr,
        amplitude_scatter=amplitude,
        phase_scatter_deg=phase_deg,
        minimum=float(shown.min()) if shown.size else 0.0,
        maximum=float(shown.max()) if shown.size else 0.0,
        n_dead_antennas=len(dead),
    )


def judge(
    table_type: CaltableType, quality: TableQuality, settings: CalibrationSettings
) -> tuple[str, ...]:
    """Return the reasons for which a table must not be applied; none when it is good."""
    name = table_type.value
    if quality.n_solutions == 0:
        return (f"{name}: no solutions",)
    found = []
    if quality.flagged_fraction > settings.max_flagged_fraction:
        found.append(
            f"{name}: {quality.flagged_fraction:.0%} of the solutions of working receptors are "
            f"flagged (at most {settings.max_flagged_fraction:.0%})"
        )
    if quality.median_snr is not None and quality.median_snr < settings.min_median_snr:
        found.append(
            f"{name}: median SNR {quality.median_snr:.1f} (at least {settings.min_median_snr:g})"
        )
    amplitude, phase = quality.amplitude_scatter, quality.phase_scatter_deg
    if amplitude is not None and amplitude > settings.max_amplitude_scatter:
        found.append(
            f"{name}: amplitudes scatter by {amplitude:.0%} "
            f"(at most {settings.max_amplitude_scatter:.0%})"
        )
    if phase is not None and phase > settings.max_phase_scatter_deg:
        found.append(
            f"{name}: phases scatter by {phase:.1f} deg "
            f"(at most {settings.max_phase_scatter_deg:g} deg)"
        )
    return tuple(found)


def _scatters(
    solutions: Solutions, table_type: CaltableType, good: NDArray[np.bool_]
) -> tuple[float | None, float | None]:
    if table_type is CaltableType.K:
        return None, None
    ratios = [
        right[both] / left[both]
        for left, right, both in _neighbours(solutions, table_type, good)
        if both.any()
    ]
    if not ratios:
        return None, None
    ratio = np.concatenate([r.ravel() for r in ratios])
    amplitude = _robust_sigma(np.log(np.abs(ratio))) / np.sqrt(2)
    phase_deg = _robust_sigma(np.degrees(np.angle(ratio))) / np.sqrt(2)
    if table_type in _PHASE_TYPES:
        return None, phase_deg
    if table_type is CaltableType.G2:
        return amplitude, phase_deg
    return amplitude, None


def _neighbours(
    solutions: Solutions, table_type: CaltableType, good: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.bool_]]]:
    if table_type in _BANDPASS_TYPES:
        values = solutions.values
        yield values[:, :-1], values[:, 1:], good[:, :-1] & good[:, 1:]
        return
    order = np.lexsort((solutions.times_s, solutions.windows, solutions.antennas))
    values, ok = solutions.values[..., order], good[..., order]
    antennas, windows = solutions.antennas[order], solutions.windows[order]
    same = (antennas[1:] == antennas[:-1]) & (windows[1:] == windows[:-1])
    yield values[..., :-1], values[..., 1:], ok[..., :-1] & ok[..., 1:] & same


def _delay_scatter_ns(solutions: Solutions, good: NDArray[np.bool_]) -> float:
    """Return the robust deviation of delays from the median of their receptor, ns."""
    deviations = []
    for antenna in np.unique(solutions.antennas):
        rows = solutions.antennas == antenna
        for receptor in range(good.shape[0]):
            delays = solutions.values[receptor][:, rows][good[receptor][:, rows]]
            if delays.size:
                deviations.append(delays - np.median(delays))
    return _robust_sigma(np.concatenate(deviations)) if deviations else 0.0


def _robust_sigma(values: NDArray[np.float64]) -> float:
    return float(mad_std(values))
