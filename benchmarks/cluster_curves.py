"""Light curves of ten years: one source's curve, a day's update, and compaction.

Belongs here: which of the measurements are simulated, and timing. Doesn't: the files (see
`sky_questions`).
"""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fresh import in_fresh_process
from benchmarks.sky_questions import Year, ask_light_curves, fill_year, sort_year
from contimg_resources.casa import Progress
from contimg_resources.photometry.copies import PERIOD_DAYS
from contimg_resources.photometry.long_copies import PERIODS, ROWS_IN_PART

#: Days with all sources, the last ones: those of a long copy. Ten years of all would be 150 GB.
FULL_DAYS = PERIODS * PERIOD_DAYS
#: Sources of earlier days: their long copies have one part, with as many rows as one of many.
EARLY_SOURCES = -(-ROWS_IN_PART // FULL_DAYS)


@dataclass(frozen=True)
class CurveCosts:
    """The cost of light curves."""

    n_sources: int  #: Sources.
    n_epochs: int  #: Epochs, one a day.
    size_gb: float  #: Size of the files, GB.
    compact_s: float  #: Time of the compaction of all epochs, seconds.
    update_s: float  #: Time of compaction after one more day, seconds.
    curve_s: float  #: Time of one source's light curve, median, seconds.
    first_curve_s: float  #: The same of the first one in its process, seconds.
    peak_gb: float  #: Peak memory of the process that compacts, or reads light curves, GB.


def measure_curves(
    directory: Path, n_sources: int, n_epochs: int, progress: Progress
) -> CurveCosts:
    """Return the cost of light curves with one epoch a day."""
    year = Year(
        directory / "photometry",
        n_epochs,
        n_sources,
        full_days=FULL_DAYS,
        every=max(1, n_sources // EARLY_SOURCES),
    )
    progress(f"simulating {n_epochs} epochs of {n_sources} sources", None)
    in_fresh_process(fill_year, year)
    progress("compacting", None)
    began_s = time.perf_counter()
    in_fresh_process(sort_year, year)
    compact_s = time.perf_counter() - began_s
    progress("updating", None)
    # The last day once more, as its measurements are replaced.
    last = max((year.root / "mosaic").iterdir(), key=lambda day: int(day.name))
    (file,) = last.iterdir()
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    update_s = in_fresh_process(sort_year, year)
    progress("reading light curves", None)
    asked = in_fresh_process(ask_light_curves, year)
    size = sum(p.stat().st_size for p in year.root.rglob("*") if p.is_file())
    return CurveCosts(
        n_sources=n_sources,
        n_epochs=n_epochs,
        size_gb=size / 1e9,
        compact_s=compact_s,
        update_s=update_s,
        curve_s=asked.median_s,
        first_curve_s=asked.first_s,
        peak_gb=asked.peak_gb,
    )
