"""Compute and check the quality metrics of caltables from their solutions.

Belongs here: the metrics and the limits, the same for all ways of obtaining a table.
Doesn't: reading tables (see `.inspection`).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.solutions import Solutions
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.instrument.caltables import CaltableType, TableQuality
from contimg_resources.settings import CalibrationSettings

#: Amplitudes this close to 1, or phases (rad) this close to 0, everywhere: the table has none.
_TRIVIAL = 1e-5


def measure_quality(
    solutions: Solutions,
    casa_subtype: str,
    working: Bools,
    named: Bools | None = None,
    window_width_hz: float = 0.0,
) -> TableQuality:
    """Compute the quality metrics of one caltable over both receptors of the working antennas.

    Parameters
    ----------
    solutions : Solutions
        Its solutions.
    casa_subtype : str
        ``VisCal`` keyword: ``K Jones`` are delays, ``B Jones`` is followed along its channels, all
        others in time.
    working : ndarray of bool, shape (n_antennas,)
        Antennas with data. An antenna dropped by the solver counts as flagged, and so does a dead
        receptor; an absent antenna is ignored.
    named : ndarray of bool, shape (n_antennas,), optional
        Antennas that are not merely padding of the ANTENNA table; None: all.
    window_width_hz : float
        Width of a spectral window, Hz; delays only.

    Notes
    -----
    The scatter about the smooth trend is the robust standard deviation of the differences of
    neighbouring solutions over sqrt(2): it measures noise and jumps, not slow change. That of
    delays is the robust deviation of the windows of a receptor from their median, given as the
    corresponding phase at a window's edge, ``360 deg x deviation x half the window's width``:
    CASA's delay solver writes no SNR.
    """
    counted = working[solutions.antennas][None, None, :] & np.ones_like(solutions.flags)
    per_receptor = counted.sum(axis=(1, 2))
    flagged = (counted & solutions.flags).sum(axis=(1, 2))
    good = counted & ~solutions.flags
    values = solutions.values[good]
    snr: float | None = float(np.median(solutions.snr[good])) if values.size else 0.0
    amplitude: float | None
    phase_deg: float | None
    holds_amplitude = False
    if casa_subtype.startswith("K"):
        snr, amplitude, shown = None, None, values.real
        phase_deg = _delay_scatter_ns(solutions, good) * 1e-9 * window_width_hz / 2 * 360
    else:
        amplitude, phase_deg = _scatters(solutions, casa_subtype, good)
        # One complex table may hold both; a split one holds exactly 1, or exactly no phase.
        angle = np.angle(values)
        if np.all(np.abs(np.abs(values) - 1) < _TRIVIAL):
            amplitude, shown = None, np.degrees(angle)
        else:
            holds_amplitude, shown = True, np.abs(values)
            if np.all(np.abs(angle) < _TRIVIAL):
                phase_deg = None
    solved = np.zeros(working.shape, np.bool_)
    solved[solutions.working_antennas()] = True
    present = np.zeros(working.shape, np.bool_)
    present[solutions.antennas] = True
    if named is not None:
        present &= named
    total = int(per_receptor.sum())
    return TableQuality(
        n_solutions=total,
        flagged_fraction=float(flagged.sum() / total) if total else 1.0,
        flagged_by_receptor=tuple(
            float(bad / of) if of else 1.0 for bad, of in zip(flagged, per_receptor, strict=True)
        ),
        median_snr=snr,
        amplitude_scatter=amplitude,
        phase_scatter_deg=phase_deg,
        holds_amplitude=holds_amplitude,
        minimum=float(shown.min()) if shown.size else 0.0,
        maximum=float(shown.max()) if shown.size else 0.0,
        n_dead_antennas=int((working & ~solved).sum()),
        n_antennas_solved=int(solved.sum()),
        n_antennas=int(present.sum()),
    )


@dataclass(frozen=True)
class Figure:
    """A quality metric of a table with its limit."""

    name: str  #: Its name with its unit.
    value: float  #: Its value.
    limit: float  #: The limit.
    is_most: bool  #: Whether the limit is the largest allowed value; else the least.

    @property
    def is_good(self) -> bool:
        """Whether the limit is met; a value that is not finite fails."""
        return self.value <= self.limit if self.is_most else self.value >= self.limit


def figures(
    table_type: CaltableType, quality: Mapping[str, Any], settings: CalibrationSettings
) -> list[Figure]:
    """Return the metrics of a table with the limits of `check_quality`.

    `quality` are the fields of a `TableQuality` as the registry records them; those that it lacks
    are left out.
    """
    receptors = [v for v in quality.get("flagged_by_receptor") or () if v is not None]
    n_antennas = quality.get("n_antennas")
    least = settings.min_antenna_fraction * n_antennas if n_antennas else None
    found = [
        ("antennas with solutions", quality.get("n_antennas_solved"), least, False),
        (
            "flagged",
            max((*receptors, quality.get("flagged_fraction") or 0.0)) if receptors else None,
            settings.max_flagged_fraction,
            True,
        ),
        ("median SNR", quality.get("median_snr"), _least_snr(table_type, settings), False),
        (
            "scatter of amplitudes",
            quality.get("amplitude_scatter"),
            settings.max_amplitude_scatter,
            True,
        ),
        (
            "scatter of phases (deg)",
            quality.get("phase_scatter_deg"),
            settings.max_phase_scatter_deg,
            True,
        ),
    ]
    return [
        Figure(name, float(value), float(limit), is_most)
        for name, value, limit, is_most in found
        if value is not None and limit is not None
    ]


def _least_snr(table_type: CaltableType, settings: CalibrationSettings) -> float:
    per_channel = table_type in (CaltableType.BA, CaltableType.BP)
    return settings.min_channel_snr if per_channel else settings.min_median_snr


def check_quality(
    table_type: CaltableType, quality: TableQuality, settings: CalibrationSettings
) -> tuple[str, ...]:
    """Return the reasons for which a table must not be applied; empty when it is good.

    Used by a solve and by `register-prefix`. A metric that is not finite fails its limit.
    """
    name = table_type.value
    if quality.n_solutions == 0 or quality.n_antennas_solved == 0:
        return (f"{name}: no solutions",)
    found = []
    least = settings.min_antenna_fraction * quality.n_antennas
    if quality.n_antennas_solved < least:
        found.append(
            f"{name}: only {quality.n_antennas_solved} of {quality.n_antennas} antennas have "
            f"solutions (at least {int(np.ceil(least))})"
        )
    found += _flagged(name, quality, settings.max_flagged_fraction)
    per_channel = table_type in (CaltableType.BA, CaltableType.BP)
    limit = _least_snr(table_type, settings)
    if quality.median_snr is not None and not quality.median_snr >= limit:
        what = "median SNR per channel" if per_channel else "median SNR"
        found.append(f"{name}: {what} {quality.median_snr:.1f} (at least {limit:g})")
    amplitude, phase = quality.amplitude_scatter, quality.phase_scatter_deg
    if amplitude is not None and not amplitude <= settings.max_amplitude_scatter:
        found.append(
            f"{name}: amplitudes scatter by {amplitude:.0%} "
            f"(at most {settings.max_amplitude_scatter:.0%})"
        )
    if phase is not None and not phase <= settings.max_phase_scatter_deg:
        found.append(
            f"{name}: phases scatter by {phase:.1f} deg "
            f"(at most {settings.max_phase_scatter_deg:g} deg)"
        )
    return tuple(found)


def _flagged(name: str, quality: TableQuality, most: float) -> list[str]:
    worst = max(quality.flagged_by_receptor)
    if quality.flagged_fraction <= most and worst <= most:
        return []
    reason = (
        f"{name}: {quality.flagged_fraction:.0%} of the solutions of working antennas are flagged"
    )
    if len(quality.flagged_by_receptor) > 1:
        each = " and ".join(f"{share:.0%}" for share in quality.flagged_by_receptor)
        reason += f", {each} by receptor"
    return [f"{reason} (at most {most:.0%})"]


def _scatters(
    solutions: Solutions, casa_subtype: str, good: Bools
) -> tuple[float | None, float | None]:
    ratios = [
        right[both] / left[both]
        for left, right, both in _neighbours(solutions, casa_subtype, good)
        if both.any()
    ]
    if not ratios:
        return None, None
    ratio = np.concatenate([r.ravel() for r in ratios])
    with np.errstate(divide="ignore"):
        amplitude = _robust_sigma(np.log(np.abs(ratio))) / math.sqrt(2)
    phase_deg = _robust_sigma(np.degrees(np.angle(ratio))) / math.sqrt(2)
    return amplitude, phase_deg


def _neighbours(
    solutions: Solutions, casa_subtype: str, good: Bools
) -> Iterator[tuple[NDArray[np.complex128], NDArray[np.complex128], Bools]]:
    if casa_subtype.startswith("B"):
        values = solutions.values
        yield values[:, :-1], values[:, 1:], good[:, :-1] & good[:, 1:]
        return
    order = np.lexsort((solutions.times_s, solutions.windows, solutions.antennas))
    values, ok = solutions.values[..., order], good[..., order]
    antennas, windows = solutions.antennas[order], solutions.windows[order]
    same = (antennas[1:] == antennas[:-1]) & (windows[1:] == windows[:-1])
    yield values[..., :-1], values[..., 1:], ok[..., :-1] & ok[..., 1:] & same


def _delay_scatter_ns(solutions: Solutions, good: Bools) -> float:
    """Return the robust deviation of delays from the median of their receptor, ns."""
    deviations = []
    for antenna in np.unique(solutions.antennas):
        rows = solutions.antennas == antenna
        for receptor in range(good.shape[0]):
            delays = solutions.values[receptor][:, rows][good[receptor][:, rows]]
            if delays.size:
                deviations.append(delays - np.median(delays))
    return _robust_sigma(np.concatenate(deviations)) if deviations else 0.0


def _robust_sigma(values: Floats) -> float:
    # Not at the top: every run would wait for this import, and only the checks need it.
    from astropy.stats import mad_std

    return float(mad_std(values))
