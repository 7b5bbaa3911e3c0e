"""Map caltables to the spectral windows of another MS.

Belongs here: the window map by frequency and CASA's text for it (the "cal library").
Doesn't: opening tables, applying them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import CasaError
from contimg_resources.instrument.caltables import CaltableType


@dataclass(frozen=True)
class TableToApply:
    """One caltable and how it is interpolated."""

    path: Path  #: The table's directory.
    type: CaltableType  #: Its type.
    order: int  #: Position in the apply list; see `CaltableType.apply_order`.
    interpolation_time: str = "linear"  #: CASA's ``tinterp``: ``linear`` or ``nearest``.
    #: CASA's ``finterp``, used by tables with channels; ``...flag`` flags data in channels with
    #: flagged solutions instead of interpolating the solutions.
    interpolation_frequency: str = "linearflag"
    #: Name of the field whose solutions are used, or ``nearest`` on the sky; empty: all.
    gain_field: str = ""


@dataclass(frozen=True)
class Band:
    """The frequencies that one spectral window covers."""

    id: int  #: Its row in the SPECTRAL_WINDOW table.
    low_hz: float  #: Lower edge of the lowest channel, Hz.
    high_hz: float  #: Upper edge of the highest channel, Hz.

    @property
    def center_hz(self) -> float:
        """Return the middle, Hz."""
        return 0.5 * (self.low_hz + self.high_hz)


def map_windows(target: Sequence[Band], table: Sequence[Band], path: Path) -> list[int]:
    """Return for each spectral window of an MS the window of a caltable that applies to it.

    CASA maps them by their number, but DSA-110 writes windows in a scrambled order that may differ
    between two observations, so the map is made by frequency. It is CASA's ``spwmap``: for each
    window of the MS by id the id of the caltable's nearest window among those that cover its
    middle. Entries of windows without data have no meaning. `target` holds the windows that data
    refer to, `table` those that have solutions.

    Raises
    ------
    CasaError
        If a window has no solutions at its frequency.
    """
    found = {}
    for window in target:
        serving = [b for b in table if b.low_hz <= window.center_hz <= b.high_hz]
        if not serving:
            there = ", ".join(
                f"{b.low_hz / 1e6:.3f}-{b.high_hz / 1e6:.3f}"
                for b in sorted(table, key=lambda b: b.low_hz)
            )
            raise CasaError(
                f"caltable {path} has no solutions at {window.center_hz / 1e6:.3f} MHz, the middle "
                f"of spectral window {window.id}; it has solutions for "
                f"{there or 'no window at all'} MHz",
                path=str(path),
                frequency_hz=window.center_hz,
            )
        found[window.id] = min(serving, key=lambda b: abs(b.center_hz - window.center_hz)).id
    # CASA requires a number for each.
    anyone = next(iter(found.values()), 0)
    return [found.get(i, anyone) for i in range(1 + max(found, default=-1))]


def callib_text(tables: Sequence[tuple[TableToApply, list[int]]]) -> str:
    """Write the cal library for tables with their window maps, in apply order.

    Weights are scaled by the amplitudes of every table (``calwt``), so that an antenna that needed
    a large gain has the low weight that its noise requires.
    """
    lines = []
    for table, spwmap in sorted(tables, key=lambda pair: pair[0].order):
        field = f" fldmap={_quoted(table.gain_field)}" if table.gain_field else ""
        lines.append(
            f"caltable={_quoted(str(table.path))} calwt=True "
            f"tinterp={_quoted(table.interpolation_time)} "
            f"finterp={_quoted(table.interpolation_frequency)}{field} "
            f"spwmap={spwmap}"
        )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if "'" in text or "\n" in text:
        raise CasaError(f"{text!r} can't be written into a CASA cal library: it has a quote in it")
    return f"'{text}'"
