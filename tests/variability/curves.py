"""Light curves made by hand."""

from collections.abc import Sequence

import numpy as np

from contimg_resources.steps.candidates import Searched, candidates_to_draw, find_candidates
from contimg_resources.steps.cards import draw_cards
from contimg_resources.steps.variability import measure_day
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.model import LightCurves

#: Of each source the values of its epochs.
Rows = Sequence[Sequence[float] | np.ndarray] | np.ndarray


def light_curves(
    fluxes: Rows,
    error: float | Rows = 0.01,
    *,
    reference: Sequence[int] | np.ndarray = (),
    start_mjd: float = 61_000.3,
) -> LightCurves:
    """One row a source, daily."""
    n = [len(row) for row in fluxes]
    errors = [np.broadcast_to(e, k) for e, k in zip(_rows(error, len(n)), n, strict=True)]
    mjd = [start_mjd + np.arange(k) for k in n]
    return LightCurves(
        source_id=np.array([f"s{i:03d}" for i in range(len(n))]),
        ra_deg=200.0 + 0.1 * np.arange(len(n), dtype=np.float64),
        dec_deg=np.full(len(n), 54.6),
        offsets=np.concatenate([[0], np.cumsum(n)]).astype(np.int64),
        mid_mjd=np.concatenate(mjd),
        flux_jy=np.concatenate([np.asarray(row, float) for row in fluxes]),
        error_jy=np.concatenate([np.asarray(e, float) for e in errors]),
        flags=np.zeros(sum(n), np.int64),
        is_reference=np.repeat(np.isin(np.arange(len(n)), reference), n),
        epoch=np.concatenate([[f"{t:.5f}+54.6" for t in times] for times in mjd]),
    )


def _rows(error: float | Rows, n: int) -> list[float | Sequence[float] | np.ndarray]:
    return [error] * n if isinstance(error, float) else list(error)


def search(workshop: Workshop, day_mjd: int) -> Searched:
    """Measure a day, search for events and draw cards, as the platform does every night."""
    measure_day(workshop, day_mjd)
    found = find_candidates(workshop, day_mjd)
    draw_cards(workshop, candidates_to_draw(workshop))
    return found
