"""Without a catalogue the model of a solve takes its field's sources from a first image."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contimg_resources.calibration.solve.model import Pointing, SolveRequest, SolveResult
from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging import field_of_calibrator
from contimg_resources.imaging.field_of_calibrator import shown_sources, solve_with_field
from contimg_resources.imaging.model import Source
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import CalibrationSettings, CatalogueSettings

CALIBRATOR = CalibratorList().find("3C48")


def shown(north_deg: float, flux_jy: float) -> Source:
    ra_deg, dec_deg = CALIBRATOR.ra_deg, CALIBRATOR.dec_deg + north_deg
    return Source(ra_deg, dec_deg, 0.5 * flux_jy, flux_jy, 1e-3, flux_jy, 9.0, 1e-3, 0.5, 40, 30, 0)


IMAGE: Any = SimpleNamespace(
    sources=(shown(0.0, 16.0), shown(0.5, 0.2), shown(-0.4, 0.1)), frequency_hz=1.4e9
)


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SolveRequest:
    monkeypatch.chdir(tmp_path)
    settings = CalibrationSettings(model_from_image=True)
    return SolveRequest(tmp_path / "a.ms", CALIBRATOR, tmp_path / "set" / "3C48", settings=settings)


@pytest.fixture
def solves(monkeypatch: pytest.MonkeyPatch) -> list[SolveRequest]:
    """Stand in for solving, applying and imaging; what solves are asked for is listed."""
    asked: list[SolveRequest] = []

    def solved(request: SolveRequest) -> SolveResult:
        asked.append(request)
        return result_of()

    monkeypatch.setattr(field_of_calibrator, "solve_caltables", solved)
    monkeypatch.setattr(
        field_of_calibrator, "calibrate_for_imaging", lambda r: SimpleNamespace(ms=r.output)
    )
    monkeypatch.setattr(field_of_calibrator, "make_image", lambda _: IMAGE)
    return asked


def result_of(*reasons: str) -> SolveResult:
    """Return a result that holds nothing but what is asked of it here."""
    nothing: dict[str, Any] = dict.fromkeys(SolveResult.__dataclass_fields__)
    return SolveResult(**{**nothing, "tables": (), "notes": (), "reasons": reasons})


def test_the_second_solve_has_the_sources_of_the_image_but_the_calibrator(
    request_: SolveRequest, solves: list[SolveRequest]
) -> None:
    solve_with_field(replace(request_, catalogue=CatalogueSettings(default_spectral_index=-0.8)))
    first, second = solves
    assert first.background == ()
    assert first.prefix != second.prefix == request_.prefix
    assert [float(s.flux_jy(1.4e9)) for s in second.background] == pytest.approx([0.2, 0.1])
    at_low = float(second.background[0].flux_jy(0.7e9))
    assert at_low == pytest.approx(0.2 * 0.5**-0.8), "the index is that of the settings"
    assert second.background_origin == "a first image of the same observation"
    assert list(Path.cwd().iterdir()) == [], "nothing of the first turn is left"


@pytest.mark.parametrize(
    "changed",
    [
        {"background_origin": "the catalogue nvss@1234"},
        {"pointing": Pointing.TRACKING, "calibrator_fields": ("3C48",)},
        {"settings": CalibrationSettings(model_from_image=False)},
    ],
    ids=["with a catalogue", "tracking", "switched off"],
)
def test_there_is_one_solve_as_it_is_asked_for(
    request_: SolveRequest, solves: list[SolveRequest], changed: dict[str, Any]
) -> None:
    wanted = replace(request_, **changed)
    solve_with_field(wanted)
    assert solves == [wanted]


@pytest.mark.parametrize("what", ["the solve", "the image"])
def test_without_an_image_the_calibrator_is_alone_and_a_note_says_why(
    request_: SolveRequest,
    solves: list[SolveRequest],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    def fails(request: Any) -> Any:
        raise ImagingFailed("it is empty")

    def poor(request: SolveRequest) -> SolveResult:
        solves.append(request)
        return result_of(*(["noise"] if request.prefix != request_.prefix else []))

    fail: Callable[[Any], Any]
    name, fail = ("solve_caltables", poor) if what == "the solve" else ("make_image", fails)
    monkeypatch.setattr(field_of_calibrator, name, fail)
    result = solve_with_field(request_)
    assert solves[-1] == request_
    why = "noise" if what == "the solve" else "it is empty"
    assert result.notes[0] == f"no first image shows the sources about 3C48: {why}"


def test_a_source_without_a_flux_density_is_none_of_a_model() -> None:
    image: Any = SimpleNamespace(sources=(shown(0.3, np.nan), shown(0.4, -1.0)), frequency_hz=1e9)
    assert shown_sources(image, -0.7) == ()
