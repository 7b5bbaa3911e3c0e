"""The search with sub-bands beside the search with the whole band alone.

Belongs here: sub-bands of simulated light curves, both searches on the same, a plot. Doesn't: the
population (see `skies`), cells of depth, width and cadence (see `events`).

Run it with `python -m benchmarks.colour --events 200 --png docs/images/colour.png`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.skies import AGN_LIKE, Sky, any_shape, with_lenses
from contimg_resources.core.arrays import Floats
from contimg_resources.photometry.subbands import BandFluxes
from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import Event, Watch
from contimg_resources.variability.candidates import Found, search_candidates
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.spectra import colour_of
from contimg_resources.variability.vetting import REACH_WIDTHS, DipFit

#: Middles of the platform's four sub-bands, Hz.
BANDS_HZ = np.array([1.335e9, 1.382e9, 1.428e9, 1.475e9])
MIDDLE_HZ = 1.405e9
#: Relative errors of a sub-band that aren't included in its uncertainty, and don't affect others.
_BAND_SCATTER = 0.005
DAY = 61_040
DEPTHS, WIDTHS_DAYS = (0.15, 0.2, 0.3, 0.5), (20.0, 60.0)


@dataclass(frozen=True)
class ColourCell:
    """One kind of event in both searches."""

    kind: str  #: ``lens``, or ``grey`` for a dip equal at all frequencies.
    depth: float  #: Depth in the whole band.
    width_days: float  #: Full width at half depth.
    n: int  #: Events.
    n_whole: int  #: Events that the search with the whole band alone found.
    n_joint: int  #: Events that the search with sub-bands found.


@dataclass(frozen=True)
class ColourReport:
    """Results of one run."""

    error: float  #: Relative error of a measurement in the whole band.
    threshold: float  #: Minimum score of a dip, in both searches.
    source_years: float  #: Total observed time of the sources without events, years.
    #: `n_whole`, `n_joint`: False alarms of both searches on these.
    n_whole: int
    n_joint: int
    cells: tuple[ColourCell, ...]  #: Events.


def sub_bands(
    curves: LightCurves,
    events: dict[int, Event],
    random: np.random.Generator,
    error: float,
    *,
    grey: bool,
) -> Callable[[str, DipFit], float]:
    """Split light curves into sub-bands; return the evidence that the search takes.

    The mean of the sub-bands is the light curve of the whole band; their errors are twice as large.
    Without `grey` the events are lenses.
    """
    number = {str(name): i for i, name in enumerate(curves.source_id)}
    n_bands = len(BANDS_HZ)
    noise = error * np.sqrt(n_bands) * random.standard_normal((n_bands, len(curves.mid_mjd)))
    noise -= noise.mean(axis=0)
    noise += _BAND_SCATTER * random.standard_normal(noise.shape)
    ratio: Floats = np.ones_like(noise)
    for index, event in {} if grey else events.items():
        own = curves.of(index)
        u = (curves.mid_mjd[own] - event.mid_mjd) / event.width_days
        whole = 1.0 + event.depth * event.shape.at(u)
        convergence = 1.0 / whole - 1.0
        magnified = 1.0 + convergence * np.square(MIDDLE_HZ / BANDS_HZ)[:, None]
        ratio[:, own] = 1.0 / np.maximum(magnified, 0.05) / whole

    def evidence(source_id: str, fit: DipFit) -> float:
        own = curves.of(number[source_id])
        mjd = curves.mid_mjd[own]
        near = np.abs(mjd - fit.mid_mjd) <= REACH_WIDTHS * fit.width_days
        level = float(np.median(curves.flux_jy[own]))
        shown = [
            BandFluxes(
                f"{hz:.0f}",
                float(hz),
                float(curves.ra_deg[number[source_id]]),
                mjd[near],
                (curves.flux_jy[own] * ratio[i, own] + level * noise[i, own])[near],
                np.full(int(near.sum()), level * error * np.sqrt(n_bands)),
            )
            for i, hz in enumerate(BANDS_HZ)
        ]
        colour = colour_of(fit, fit.shape, fit.depth, shown)
        return 0.0 if colour is None else colour.lens_over_grey

    return evidence


def measure_colour(
    n_events: int, n_alone: int, random: np.random.Generator, error: float = 0.02
) -> ColourReport:
    """Search sources like real AGN, with and without events, with and without sub-bands."""
    settings = EseSettings()
    sky = Sky(AGN_LIKE, Watch(n_days=730, error=error))
    alone, _ = sky.light_curves(n_alone, random)
    whole = search_candidates(alone, settings, DAY)
    joint = search_candidates(
        alone,
        settings,
        DAY,
        threshold=whole.threshold,
        colour=sub_bands(alone, {}, random, error, grey=True),
    )
    cells = []
    for kind in ("lens", "grey"):
        for depth in DEPTHS:
            for width_days in WIDTHS_DAYS:
                curves, _ = sky.light_curves(2 * n_events, random)
                first, last = curves.mid_mjd[0], curves.mid_mjd[-1]
                events = {
                    i: Event(
                        any_shape(random),
                        random.uniform(first + width_days, last - width_days / 2),
                        width_days,
                        depth,
                    )
                    for i in range(n_events)
                }
                curves = with_lenses(curves, events)
                colour = sub_bands(curves, events, random, error, grey=kind == "grey")
                both = [
                    search_candidates(
                        curves, settings, DAY, threshold=whole.threshold, colour=using
                    )
                    for using in (None, colour)
                ]
                n_found = [_n_found(found, curves, events) for found in both]
                cells.append(ColourCell(kind, depth, width_days, n_events, *n_found))
    return ColourReport(
        error,
        whole.threshold,
        whole.source_years,
        len(whole.candidates),
        len(joint.candidates),
        tuple(cells),
    )


def _n_found(found: Found, curves: LightCurves, events: dict[int, Event]) -> int:
    number = {str(name): i for i, name in enumerate(curves.source_id)}
    seen = set()
    for candidate in found.candidates:
        index = number[candidate.source_id]
        event = events.get(index)
        if event and abs(candidate.mid_mjd - event.mid_mjd) <= event.width_days:
            seen.add(index)
    return len(seen)


def draw_colour(report: ColourReport, path: Path) -> None:
    """Plot the found fractions of both searches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("lens", "grey"), strict=True):
        for width_days, color in zip(WIDTHS_DAYS, ("tab:blue", "tab:orange"), strict=True):
            cells = [c for c in report.cells if (c.kind, c.width_days) == (kind, width_days)]
            x = [100 * c.depth for c in cells]
            for name, style in (("n_whole", "--"), ("n_joint", "-")):
                y = [100 * getattr(c, name) / c.n for c in cells]
                label = f"{width_days:g} d, {'whole band' if name == 'n_whole' else 'sub-bands'}"
                axes.plot(x, y, style, marker="o", ms=3, color=color, label=label)
        axes.set_title("lenses" if kind == "lens" else "dips equal at all frequencies")
        axes.set_xlabel("depth (%)")
    figure.axes[0].set_ylabel("found (%)")
    figure.axes[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def in_words(report: ColourReport) -> str:
    """Return the results as a table, Markdown."""
    per_1000 = 1000.0 / report.source_years
    lines = [
        f"False alarms in 1000 source-years: {per_1000 * report.n_whole:.1f} with the whole band, "
        f"{per_1000 * report.n_joint:.1f} with sub-bands ({report.source_years:.0f} source-years, "
        f"threshold {report.threshold:.1f}, error {100 * report.error:g} %).",
        "",
        "| dip | depth (%) | width (d) | whole band (%) | with sub-bands (%) |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.kind} | {100 * c.depth:.0f} | {c.width_days:g} | {100 * c.n_whole / c.n:.1f} | "
        f"{100 * c.n_joint / c.n:.1f} |"
        for c in report.cells
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write the plot."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--alone", type=int, default=2000)
    parser.add_argument("--error", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--png", type=Path)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    report = measure_colour(given.events, given.alone, random, given.error)
    print(in_words(report))
    if given.png:
        draw_colour(report, given.png)


if __name__ == "__main__":
    main()
