"""The fitted dip of a candidate and the evidence for it, as the products store holds them.

Belongs here: their values and how stored ones are read. Doesn't: fitting (see
`contimg_resources.variability.vetting`), SQL, formats of exports.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from contimg_resources.database.values import LIST, Count, Number, Text


@dataclass(frozen=True)
class FittedDip:
    """The fitted dip of a candidate; NaN where a number isn't known."""

    #: `depth`, `depth_error`: Depth as a fraction of the baseline, and its error.
    depth: Number = math.nan
    depth_error: Number = math.nan
    #: `width_days`, `width_error_days`: Full width at half depth, and its error.
    width_days: Number = math.nan
    width_error_days: Number = math.nan
    mid_error_days: Number = math.nan  #: Error of the epoch of minimum.
    #: `baseline_jy`, `baseline_error_jy`: Baseline at the epoch of minimum, Jy, and its error.
    baseline_jy: Number = math.nan
    baseline_error_jy: Number = math.nan
    template: Text = ""  #: Name of the fitted shape; empty if not known.
    threshold: Number = math.nan  #: Minimum score of the search.
    #: `threshold_check`, `threshold_warning`: Rates of false alarms at the threshold on the own
    #: light curves of the sources, and in what they are significantly larger than accepted; empty
    #: if unknown.
    threshold_check: Text = ""
    threshold_warning: Text = ""
    reduced_chi2: Number = math.nan  #: Reduced chi2 of the measurements within two widths.
    n_in_dip: Count = None  #: Measurements within half a width; None if not known.
    #: `template_mjd`, `template_jy`: The fitted curve: MJD in days, and Jy.
    template_mjd: Annotated[tuple[Number, ...], LIST] = ()
    template_jy: Annotated[tuple[Number, ...], LIST] = ()

    def in_words(self) -> tuple[str, str]:
        """Return the depth in per cent and the width in days, both with their errors."""
        return (
            _with_error(100 * self.depth, 100 * self.depth_error),
            _with_error(self.width_days, self.width_error_days),
        )


def _with_error(value: float, error: float) -> str:
    decimals = 1
    if math.isfinite(error) and error > 0:
        # A small error has one digit instead of being 0.0.
        decimals = min(max(1, -math.floor(math.log10(error))), 6)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


@dataclass(frozen=True)
class DipEvidence:
    """The evidence for an event; NaN where a number isn't known."""

    #: Ids of the neighbours that are bright enough to show the dip, the nearest first.
    neighbours: Annotated[tuple[str, ...], LIST] = ()
    separations_deg: Annotated[tuple[Number, ...], LIST] = ()  #: Their distances.
    #: `neighbour_depth`, `neighbour_depth_error`: Median depth of the same dip in them, and its
    #: error.
    neighbour_depth: Number = math.nan
    neighbour_depth_error: Number = math.nan
    #: Evidence for the fitted dip over intrinsic variability alone; see
    #: `contimg_resources.variability.noise.evidence_for`.
    over_walk: Number = math.nan
    #: Sub-bands with enough remaining flux density; None without usable sub-bands.
    n_bands: Count = None
    #: Frequency in Hz, depth and its error in each usable sub-band.
    band_depths: Annotated[tuple[tuple[Number, Number, Number], ...], LIST] = ()
    #: `spectral_change`, `spectral_change_error`: Spectral index at the minimum less that of the
    #: baseline, and its error.
    spectral_change: Number = math.nan
    spectral_change_error: Number = math.nan
    #: `lens_fraction`, `lens_fraction_error`, `lens_over_grey`: How much of a lens's colour the dip
    #: has, its error, and the evidence for a lens over a dip equal at all frequencies (see
    #: `contimg_resources.variability.spectra.Colour`).
    lens_fraction: Number = math.nan
    lens_fraction_error: Number = math.nan
    lens_over_grey: Number = math.nan
    spectral_note: Text = ""  #: Reasons for unreadable sub-bands; empty without any.
    #: Reason that the latest search doesn't find it any more; empty if it does.
    withdrawn: Text = ""
    #: List of the added light curve; None: the platform measured the source.
    added_list: str | None = None
    added_from: Text = ""  #: Files of that list.
