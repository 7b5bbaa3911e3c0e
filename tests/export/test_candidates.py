from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.export.candidates import MAX_CUTOUTS, candidates_document
from contimg_resources.export.model import CandidateItem, Candidates
from contimg_resources.export.pages import split
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import Mark, MarkRecord
from tests.export.made_up import MJD, candidate, light_curves, platform_state


def cards(put: Any = str, **changes: Any) -> list[CandidateItem]:
    pages = split(candidates_document(platform_state(**changes), {"nvss-000000+000000": 3}, put))
    return [c for p in pages for c in Candidates.model_validate_json(p.data).candidates]


def test_a_card_holds_the_fit_and_the_neighbours() -> None:
    points = light_curves(12, 60)
    (card,) = cards(points=points)
    assert (card.depth, card.depth_error, card.baseline_mjy) == (0.4, None, 50.0)
    assert (card.template_mjd, card.template_mjy) == ((MJD - 40, MJD - 30), (50.0, 30.0))
    assert card.light_curve_page == 3
    (neighbour,) = card.neighbours
    assert neighbour.source_id == points.source_id[1]
    # 1.5 times the event's length on either side, and no point is older than 60 days.
    assert (neighbour.mid_mjd[0], neighbour.mid_mjd[-1]) == (MJD - 59.75, MJD - 0.75)
    flux_jy = points.flux_jy[points.of(1)]
    assert neighbour.ratio[0] == pytest.approx(flux_jy[0] / flux_jy.mean(), rel=1e-5)
    assert neighbour.separation_deg is not None


def test_the_last_mark_holds() -> None:
    said = [MarkRecord("ese-0", m, "n", "me", MJD) for m in (Mark.REAL, Mark.FOLLOW_UP)]
    (card,) = cards(marks=(*said, MarkRecord("other", Mark.REAL, "", "me", MJD)))
    assert card.mark is not None
    assert (card.mark.mark, card.mark.utc) == ("follow up", "2026-01-01T00:00:00.000Z")
    assert [m.mark for m in card.earlier_marks] == ["real"]


def test_candidates_come_by_time() -> None:
    points = light_curves(12, 60)
    found = (candidate(points, 0, mid_mjd=MJD), candidate(points, 1), candidate(points, 2))
    assert [c.id for c in cards(points=points, candidates=found)] == ["ese-1", "ese-2", "ese-0"]


def test_pictures_are_taken_along_within_bounds() -> None:
    asked: list[str] = []

    def cutouts_of(source_id: str) -> tuple[tuple[str, float, Path, Path], ...]:
        asked.append(source_id)
        return tuple(
            (f"e{i}", MJD - 200 + i, Path(f"/cut/{i}.png"), Path("x.fits")) for i in range(300)
        )

    def put(path: Path) -> str | None:
        return None if path.name == "130.png" else f"pictures/{path.name}"

    (card,) = cards(put, cards=Path("/cards"), cutouts_of=cutouts_of)
    assert asked == ["nvss-000000+000000"]
    assert card.card_png == "pictures/ese-0.png"
    # From 30 days before the event to 30 days after it; the first is gone.
    assert len(card.cutouts) == MAX_CUTOUTS - 1
    assert card.cutouts[-1].mid_mjd == MJD + 10
    assert card.cutouts[0].mid_mjd - (MJD - 70) in (2.0, 3.0)
    mids = [c.mid_mjd for c in card.cutouts]
    assert max(b - a for a, b in pairwise(mids)) <= 5


def test_a_card_with_all_that_there_may_be_fits_into_a_page() -> None:
    n = 40
    points = light_curves(n, 3000)
    huge = candidate(
        points,
        start_mjd=MJD - 2000,
        evidence=DipEvidence(neighbours=tuple(points.source_id.tolist())),
        parameters=FittedDip(
            template_mjd=tuple(MJD + i / 7 for i in range(9000)),
            template_jy=tuple(1 / (i + 1) for i in range(9000)),
        ),
    )
    marks = tuple(MarkRecord("ese-0", Mark.REAL, "\x01" * 9000, "me", MJD) for _ in range(200))
    (card,) = cards(points=points, candidates=(huge,), marks=marks)
    assert len(card.template_mjd) == 1000
    assert len(card.neighbours) == 20
    assert len(card.earlier_marks) == 49
