"""The report of ``contimg bench-real``: tables and a page.

Belongs here: its record, statistics over the observations of a night, goals, formatting.
Doesn't: measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.real_chains import TCLEAN, WITH, WITHOUT, WSCLEAN, Observed
from benchmarks.real_flaggers import FLAGGER_HEADINGS, Flagged, flagger_rows
from benchmarks.real_outside import OUTSIDE_HEADINGS, Outside, outside_rows
from benchmarks.real_quality import scatter
from benchmarks.report import markdown_table
from contimg_resources.core.statistics import STD_OF_MAD

CHAINS = (WITHOUT, WITH, TCLEAN, WSCLEAN)
RMS_GOAL, RMS_SHARE = 1.3, 0.9
MEDIAN_GOAL, SCATTER_GOAL, INTEGRATED_GOAL = 0.01, 0.03, 0.05
COMPLETE_GOAL, FALSE_GOAL, OFFSET_GOAL_ARCSEC = 0.95, 0.01, 0.5
PATH_GOAL_S, FASTER_GOAL = 30.0, 8.0


@dataclass(frozen=True)
class RealReport:
    """Results of one run of the benchmark."""

    machine: str  #: Processor architecture and cores.
    software: dict[str, str]  #: Versions.
    observed: tuple[Observed, ...]  #: Observations, each through each chain.
    outside: tuple[Outside, ...] = ()  #: What sources outside of an image add to it.
    flagged: tuple[Flagged, ...] = ()  #: Flaggers on the same interference.

    @property
    def nights(self) -> tuple[str, ...]:
        """Return the names of the nights."""
        return tuple(dict.fromkeys(o.night for o in self.observed))

    def of(self, night: str, chain: str, *, targets: bool = True) -> tuple[Observed, ...]:
        """Return the observations of a night through a chain, by default without calibrators."""
        return tuple(
            o
            for o in self.observed
            if (o.night, o.chain) == (night, chain) and not (targets and o.calibrator)
        )


@dataclass(frozen=True)
class Summary:
    """Statistics over observations of a night through one chain; NaN without any source."""

    rms_ratio: float  #: Median rms over thermal noise and confusion together.
    good_rms: float  #: Share of observations with a ratio of at most 1.3.
    n_points: int  #: Number of bright, isolated points.
    flux_ratio: float  #: Median of their measured over true flux densities.
    scatter: float  #: Scatter of these ratios beyond noise.
    n_extended: int  #: Number of bright, isolated doubles and other extended sources.
    integrated_ratio: float  #: Median of their integrated over true flux densities.
    ratio_error: float  #: Error of their median ratio, by noise and the scatter.
    offset_arcsec: float  #: Median offset of the points, arcsec.
    least_arcsec: float  #: Their median offset by noise alone, arcsec.
    complete: float  #: Share of the isolated points above 7 sigma that were found.
    possible: float  #: Share that would be found with the least possible noise.
    false: float  #: Share of detections that are false.
    seconds: float  #: Median time, seconds.

    @classmethod
    def over(cls, observed: Sequence[Observed]) -> "Summary":
        """Return the statistics over some observations, at least one."""
        each = [o.quality for o in observed]
        compared = [c for q in each for c in q.compared]
        points = [c for c in compared if not c.extended]
        extended = [c.ratio for c in compared if c.extended]
        ratios = [q.rms_ratio for q in each]
        return cls(
            rms_ratio=_median(ratios),
            good_rms=float(np.mean(np.array(ratios) <= RMS_GOAL)),
            n_points=len(points),
            flux_ratio=_median([c.ratio for c in points]),
            scatter=scatter(points),
            n_extended=len(extended),
            integrated_ratio=_median(extended),
            ratio_error=_of_median([c.ratio for c in points]),
            offset_arcsec=_median([c.offset_arcsec for c in points]),
            least_arcsec=_median([c.least_arcsec for c in points]),
            complete=_share(sum(q.n_matched for q in each), sum(q.n_expected for q in each)),
            possible=_share(sum(q.n_possible for q in each), sum(q.n_expected for q in each)),
            false=_share(sum(q.n_false for q in each), sum(q.n_found for q in each)),
            seconds=_median([o.seconds for o in observed]),
        )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def _of_median(values: Sequence[float]) -> float:
    """Return the error of a median: sqrt(pi / 2) times that of a mean."""
    if not values:
        return float("nan")
    spread = STD_OF_MAD * np.median(np.abs(np.array(values) - np.median(values)))
    return float(spread * np.sqrt(np.pi / 2 / len(values)))


def _share(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")


OBSERVED_HEADINGS = (
    *("night", "observation", "chain", "rms (mJy)", "thermal", "confusion", "ratio"),
    *("found", "false", "7 sigma: found", "of"),
)


def observed_rows(observed: Sequence[Observed]) -> list[tuple[str, ...]]:
    """Return one row for each observation and chain, under `OBSERVED_HEADINGS`."""
    return [
        (
            o.night,
            o.observation[-11:].removesuffix(".ms") + (" (calibrator)" if o.calibrator else ""),
            o.chain,
            *(f"{1e3 * v:.2f}" for v in (q.rms_jy, q.thermal_jy, q.confusion_jy)),
            f"{q.rms_ratio:.2f}",
            *(str(n) for n in (q.n_found, q.n_false, q.n_matched, q.n_expected)),
        )
        for o in observed
        for q in (o.quality,)
    ]


SUMMARY_HEADINGS = (
    *("night", "chain", "targets", "rms ratio", "points", "flux / truth", "scatter"),
    *("extended", "integrated / truth", "offset (arcsec)", "complete", "false", "time (s)"),
)


def summary_rows(report: RealReport) -> list[tuple[str, ...]]:
    """Return one row for each night and chain, over its targets, under `SUMMARY_HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for night in report.nights:
        for chain in CHAINS:
            observed = report.of(night, chain)
            if not observed:
                continue
            s = Summary.over(observed)
            rows.append(
                (
                    *(night, chain, str(len(observed)), f"{s.rms_ratio:.2f}"),
                    *(str(s.n_points), f"{s.flux_ratio:.3f}", f"{100 * s.scatter:.1f} %"),
                    str(s.n_extended),
                    f"{s.integrated_ratio:.3f}" if s.n_extended else "",
                    f"{s.offset_arcsec:.2f}",
                    *(f"{100 * s.complete:.1f} %", f"{100 * s.false:.1f} %"),
                    f"{s.seconds:.0f}" if np.isfinite(s.seconds) else "",
                )
            )
    return rows


GOAL_HEADINGS = ("night", "goal", "measured", "met")


def goal_rows(report: RealReport) -> list[tuple[str, ...]]:
    """Return the goals for the targets of each night, under `GOAL_HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for night in report.nights:
        observed = report.of(night, WITH)
        if not observed:
            continue
        s = Summary.over(observed)
        measures = [
            (
                f"rms at most {RMS_GOAL} times thermal noise and confusion in 9 of 10",
                f"{100 * s.good_rms:.0f} % of {len(observed)}; median {s.rms_ratio:.2f}",
                s.good_rms >= RMS_SHARE,
            ),
            (
                "flux / truth of isolated points within 1 % in the median",
                f"{s.flux_ratio:.3f} +- {s.ratio_error:.3f} ({s.n_points})",
                abs(s.flux_ratio - 1) <= MEDIAN_GOAL,
            ),
            (
                "their scatter beyond noise at most 3 %",
                f"{100 * s.scatter:.1f} %",
                s.scatter <= SCATTER_GOAL,
            ),
            (
                "integrated flux of extended sources within 5 %",
                f"{s.integrated_ratio:.3f} ({s.n_extended})",
                abs(s.integrated_ratio - 1) <= INTEGRATED_GOAL,
            ),
            (
                "astrometry: 0.5 arcsec in the median",
                f"{s.offset_arcsec:.2f} arcsec (by noise alone {s.least_arcsec:.2f})",
                s.offset_arcsec <= OFFSET_GOAL_ARCSEC,
            ),
            (
                "95 % complete at 7 sigma",
                f"{100 * s.complete:.1f} % (by noise alone {100 * s.possible:.1f} %)",
                s.complete >= COMPLETE_GOAL,
            ),
            (
                "at most 1 in 100 false above 6 sigma",
                f"{100 * s.false:.1f} %",
                s.false <= FALSE_GOAL,
            ),
        ]
        if np.isfinite(s.seconds):
            told = f"{s.seconds:.0f} s"
            measures.append(("path below 30 s on two cores", told, s.seconds < PATH_GOAL_S))
        if np.isfinite(s.seconds) and (plain := report.of(night, TCLEAN)):
            factor = Summary.over(plain).seconds / s.seconds
            measures.append(
                (
                    "at least 8 times faster than applycal, flagdata, tclean",
                    f"{factor:.1f} times",
                    factor >= FASTER_GOAL,
                )
            )
        rows += [
            (night, goal, told, "yes" if met else "**no**")
            for goal, told, met in measures
            # A kind sky has no extended sources.
            if not told.startswith("nan")
        ]
    return rows


def real_page(report: RealReport) -> str:
    """Return the page of the documentation, Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report.software.items())
    outcomes = [
        f"- {o.night}, {o.observation}: {o.in_field}." for o in report.observed if o.in_field
    ]
    lines = [
        "# Quality on a realistic sky",
        "",
        f"`make bench-real` wrote this page on {report.machine}; {versions}. Simulated nights with "
        "the preset `realistic` (faint sources, blends, doubles, pointing errors, refraction, "
        "drifts, faults, RFI) and `kind` (isolated points, equal dishes) go through the platform, "
        "without and with [in-field calibration](concepts.md), and the first targets of each "
        "night through a plain chain: the same caltable set by applycal, flagdata (tfcrop and "
        "rflag), tclean with the standard gridder, or WSClean. Other observations with their "
        "truth are added by `--given`.",
        "",
        "- The catalogue has the errors of NVSS: 3 % and 0.5 mJy in flux density, 0.5 arcsec and "
        "more in position, no spectral index, nothing below 2.5 mJy; it lists sizes of 15 arcsec "
        "and more of sources above 20 mJy.",
        "- *Ratio*: rms of the residual over thermal noise and confusion, added in quadrature.",
        "- Flux densities and positions are those of isolated sources with an S/N of 20 or more "
        "(no other source above 5 % within two beams); *scatter* is that beyond noise. The flux "
        "density of an extended source is integrated, over all detections within a beam.",
        "- *Complete*: share of the isolated points with 7 times thermal noise and confusion that "
        "were found. *False*: share of the detections above 6 sigma with less than 40 % of their "
        "flux density on the true sky within a beam, and of extended sources within a beam plus "
        "their major axis. All chains have the platform's finder.",
        "- *By noise alone*: offsets of the beam's width over twice the S/N, and the share of the "
        "expected sources that exceed 6 sigma of thermal noise and confusion.",
        "- *Time*: from the MS that arrived to the list of sources, without the solve.",
        "",
        "## Goals",
        "",
        *markdown_table(GOAL_HEADINGS, goal_rows(report)),
        "",
        "## Targets of each night",
        "",
        *markdown_table(SUMMARY_HEADINGS, summary_rows(report)),
        "",
        "## Observations",
        "",
        *markdown_table(OBSERVED_HEADINGS, observed_rows(report.observed)),
        "",
        "In-field calibration:",
        "",
        *outcomes,
        *_outside_section(report.outside),
        *_flagger_section(report.flagged),
    ]
    return "\n".join(lines) + "\n"


def _outside_section(outside: Sequence[Outside]) -> list[str]:
    if not outside:
        return []
    return [
        "",
        "## Bright sources outside of the image",
        "",
        "Each source alone, through the sidelobes of 96 dishes (the Airy pattern, and 40 dB below "
        "the main beam signals with phases of their own in each antenna and polarisation), smeared "
        "over integrations and averaged channels, in an image without noise. *Apparent*: flux "
        "density on a baseline of length zero; the Sun is a disc of 32 arcmin. The last column is "
        "what is left after the platform has [subtracted](concepts.md) the source.",
        "",
        *markdown_table(OUTSIDE_HEADINGS, outside_rows(outside)),
    ]


def _flagger_section(flagged: Sequence[Flagged]) -> list[str]:
    if not flagged:
        return []
    return [
        "",
        "## Flaggers",
        "",
        "The interference of `realistic` (persistent bands, bursts, a satellite, spikes) over the "
        "brightest sources, 39 antennas, channels of 0.24 MHz, calibrated, at one phase centre. "
        "*Found*: share of the visibilities with interference above the noise that are flagged. "
        "*Left*: rms of the interference in what isn't flagged, over the noise. *Good data lost*: "
        "share of the visibilities with interference below a tenth of the noise that are flagged. "
        "AOFlagger (PyPI `aoflagger`, its strategy for any telescope, one baseline at a time) is "
        "measured where it is installed.",
        "",
        *markdown_table(FLAGGER_HEADINGS, flagger_rows(flagged)),
    ]
