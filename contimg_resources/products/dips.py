"""The fitted dip of a candidate and the evidence for it, as the products store holds them.

Belongs here: their values and how stored ones are read. Doesn't: fitting (see
`contimg_resources.variability.vetting`), SQL, formats of exports.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

from contimg_resources.database.values import LIST, Count, Number, Text


@dataclass(frozen=True)
class FittedDip:
    """The fitted dip of a candidate; NaN where a number isn't known.

    Parameters
    ----------
    depth, depth_error : float
        Depth as a fraction of the baseline, and its error.
    width_days, width_error_days : float
        Full width at half depth, and its error.
    mid_error_days : float
        Error of the epoch of minimum.
    baseline_jy, baseline_error_jy : float
        Baseline at the epoch of minimum, Jy, and its error.
    template : str
        Name of the fitted shape; empty if not known.
    threshold : float
        Minimum score of the search.
    reduced_chi2 : float
        Reduced chi2 of the measurements within two widths.
    n_in_dip : int or None
        Measurements within half a width; None if not known.
    template_mjd, template_jy : tuple of float
        The fitted curve: MJD in days, and Jy.
    """

    depth: Number = math.nan
    depth_error: Number = math.nan
    width_days: Number = math.nan
    width_error_days: Number = math.nan
    mid_error_days: Number = math.nan
    baseline_jy: Number = math.nan
    baseline_error_jy: Number = math.nan
    template: Text = ""
    threshold: Number = math.nan
    reduced_chi2: Number = math.nan
    n_in_dip: Count = None
    template_mjd: Annotated[tuple[Number, ...], LIST] = ()
    template_jy: Annotated[tuple[Number, ...], LIST] = ()


@dataclass(frozen=True)
class DipEvidence:
    """The evidence for an event; NaN where a number isn't known.

    Parameters
    ----------
    neighbours : tuple of str
        Ids of the neighbours that are bright enough to show the dip, the nearest first.
    separations_deg : tuple of float
        Their distances.
    neighbour_depth, neighbour_depth_error : float
        Median depth of the same dip in them, and its error.
    over_walk, over_walk_without_maxima : float
        Evidence for the fitted dip over intrinsic variability alone, and the same without the
        maxima beside the dip (see `contimg_resources.variability.changes.Evidence`).
    n_bands : int or None
        Sub-bands with enough remaining flux density; None without usable sub-bands.
    band_depths : tuple of tuple of float
        Frequency in Hz, depth and its error in each usable sub-band.
    spectral_change, spectral_change_error : float
        Spectral index at the minimum less that of the baseline, and its error.
    spectral_note : str
        Reasons for unreadable sub-bands; empty without any.
    withdrawn : str
        Reason that the latest search doesn't find it any more; empty if it does.
    added_list : str or None
        List of the added light curve; None: the platform measured the source.
    added_from : str
        Files of that list.
    """

    neighbours: Annotated[tuple[str, ...], LIST] = ()
    separations_deg: Annotated[tuple[Number, ...], LIST] = ()
    neighbour_depth: Number = math.nan
    neighbour_depth_error: Number = math.nan
    over_walk: Number = math.nan
    over_walk_without_maxima: Number = math.nan
    n_bands: Count = None
    band_depths: Annotated[tuple[tuple[Number, Number, Number], ...], LIST] = ()
    spectral_change: Number = math.nan
    spectral_change_error: Number = math.nan
    spectral_note: Text = ""
    withdrawn: Text = ""
    added_list: str | None = None
    added_from: Text = ""


def known_values(of: FittedDip | DipEvidence) -> Iterator[tuple[str, float | int | str]]:
    """Yield the names and values that are known, without the lists."""
    for name, value in asdict(of).items():
        if isinstance(value, str | int | float) and value != "" and value == value:
            yield name, value
