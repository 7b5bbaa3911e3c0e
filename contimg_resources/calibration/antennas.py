"""The solutions of each antenna of a caltable, summed up.

Belongs here: medians and flagged shares for each antenna and receptor. Runs in a CASA process.
Doesn't: limits (see `.quality`), drawing (see `.solve.plots`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.inspection import inspect_caltables
from contimg_resources.calibration.solutions import Solutions, read_solutions

#: Values of each antenna, and of each of its receptors; None where there is no solution.
PerReceptor = list[list[float | None]]


@dataclass(frozen=True)
class AntennaSolutions:
    """The solutions of one caltable by antenna."""

    antennas: list[str]  #: Names of the antennas in the table, by id.
    is_delay: bool  #: Whether it holds delays.
    #: Flagged share of the solutions; 1 for an antenna without any.
    flagged: PerReceptor
    snr: PerReceptor  #: Median signal-to-noise ratio, where the solver gives one.
    #: Median delay, ns; empty in a table of gains.
    delay_ns: PerReceptor
    #: `amplitude`, `phase_deg`: Median amplitude, and direction of the mean of unit vectors,
    #: degrees; empty in a table of delays.
    amplitude: PerReceptor
    phase_deg: PerReceptor

    def of(self, names: Collection[str]) -> "AntennaSolutions":
        """Return the solutions of some antennas, by name."""
        chosen = [i for i, name in enumerate(self.antennas) if name in names]

        def some(values: PerReceptor) -> PerReceptor:
            return [values[i] for i in chosen] if values else []

        return AntennaSolutions(
            antennas=[self.antennas[i] for i in chosen],
            is_delay=self.is_delay,
            flagged=some(self.flagged),
            snr=some(self.snr),
            delay_ns=some(self.delay_ns),
            amplitude=some(self.amplitude),
            phase_deg=some(self.phase_deg),
        )


def antenna_solutions(paths: list[Path]) -> list[AntennaSolutions]:
    """Sum up the solutions of caltables by antenna; call through `contimg_resources.casa.Casa.run`.

    Raises
    ------
    RegistrationRefused
        If a path isn't a caltable or can't be read completely.
    """
    return [
        by_antenna(read_solutions(info.path), info.casa_subtype, info.layout.antenna_names)
        for info in inspect_caltables(paths)
    ]


def by_antenna(solutions: Solutions, casa_subtype: str, names: tuple[str, ...]) -> AntennaSolutions:
    """Sum up solutions by antenna, over all times, channels and spectral windows.

    Parameters
    ----------
    solutions : Solutions
        The solutions of a caltable.
    casa_subtype : str
        Its ``VisCal`` keyword: ``K Jones`` are delays.
    names : tuple of str
        Names of the antennas by id; empty for padding of the table.
    """
    is_delay = casa_subtype.startswith("K")
    ids = [int(i) for i in np.unique(solutions.antennas) if names[i]]
    parts = [_of_antenna(solutions, i) for i in ids]

    def each(measure: Any, shown: bool = True) -> PerReceptor:
        return [[measure(*one) for one in part] for part in parts] if shown else []

    return AntennaSolutions(
        antennas=[names[i] for i in ids],
        is_delay=is_delay,
        flagged=each(lambda values, flags, snr: float(flags.mean()) if flags.size else 1.0),
        snr=each(lambda values, flags, snr: _median(snr[~flags]), not is_delay),
        delay_ns=each(lambda values, flags, snr: _median(values[~flags].real), is_delay),
        amplitude=each(lambda values, flags, snr: _median(np.abs(values[~flags])), not is_delay),
        phase_deg=each(lambda values, flags, snr: _direction_deg(values[~flags]), not is_delay),
    )


def _of_antenna(solutions: Solutions, antenna: int) -> list[tuple[NDArray[Any], ...]]:
    rows = solutions.antennas == antenna
    return [
        (solutions.values[r][:, rows], solutions.flags[r][:, rows], solutions.snr[r][:, rows])
        for r in range(solutions.values.shape[0])
    ]


def _median(values: NDArray[Any]) -> float | None:
    return float(np.median(values)) if values.size else None


def _direction_deg(values: NDArray[Any]) -> float | None:
    if not values.size:
        return None
    return float(np.degrees(np.angle(np.exp(1j * np.angle(values)).mean())))
