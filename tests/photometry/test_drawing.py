"""Pictures are drawn of whatever there is: bad epochs, a single one, no number at all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contimg_resources.photometry.drawing import draw_epoch, draw_light_curve
from contimg_resources.photometry.epoch import check_epoch
from contimg_resources.photometry.light_curves import LightCurve, light_curve
from contimg_resources.photometry.model import SourceList
from contimg_resources.settings import PhotometrySettings
from tests.photometry.epochs import write
from tests.photometry.skies import BEAM
from tests.photometry.test_epoch import catalogue, observed


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def drawn_epoch(path: Path, sources: SourceList, **changed: Any) -> Any:
    raw = observed(sources, **changed)
    draw_epoch(path, raw, sources, check_epoch(raw, sources, PhotometrySettings()), BEAM, "61041")
    return pixels(path)


@pytest.mark.parametrize(
    ("n", "changed"),
    [
        (80, {}),
        (80, {"factor": 0.5}),
        (4, {}),
        (0, {}),
        (5, {"flux_jy": np.full(5, np.nan), "error_jy": np.full(5, np.nan)}),
        (5, {"east_arcsec": np.full(5, np.nan), "north_arcsec": np.full(5, np.nan)}),
    ],
)
def test_an_epoch_is_drawn(tmp_path: Path, n: int, changed: dict[str, Any]) -> None:
    shown = drawn_epoch(tmp_path / "epoch.png", catalogue(n), **changed)
    assert shown.shape == (460, 1500, 3)
    assert shown.min() < 50 < 200 < shown.max()


def test_an_epoch_that_is_not_published_looks_different(tmp_path: Path) -> None:
    sources = catalogue(40)
    raw = observed(sources)
    scale = check_epoch(raw, sources, PhotometrySettings())
    titles = []
    for told in (scale, replace(scale, ok=False, reason="the flux scale of 40 $\\ource{$ is 0.7")):
        draw_epoch(tmp_path / "epoch.png", raw, sources, told, BEAM, "61041.5+54.0")
        titles.append(pixels(tmp_path / "epoch.png")[:30])
    dark = [(t < 128).sum() for t in titles]
    assert dark[1] > 2 * dark[0]


def curve(tmp_path: Path, flux: Any, bad: tuple[int, ...] = ()) -> LightCurve:
    for i, value in enumerate(flux):
        write(tmp_path, 61_041.0 + i, (value,), ("s",), ok=i not in bad)
    return light_curve(tmp_path, "s")


def has(shown: Any, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(shown.astype(int) - colour).max(axis=2) < 12).sum() > 10)


BLUE, GREY = (31, 119, 180), (178, 178, 178)


def test_a_light_curve_is_drawn_with_its_bad_epochs_in_grey(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    draw_light_curve(path, curve(tmp_path, [0.1, 0.12, 0.001, np.nan, 0.11], bad=(1,)))
    shown = pixels(path)
    assert has(shown, BLUE)
    assert has(shown, GREY)


@pytest.mark.parametrize(
    ("flux", "bad", "blue"),
    [([0.1], (), True), ([-0.001], (), True), ([0.1], (0,), False), ([np.nan] * 3, (), False)],
)
def test_the_shortest_light_curves_are_drawn(
    tmp_path: Path, flux: list[float], bad: tuple[int, ...], blue: bool
) -> None:
    path = tmp_path / "curve.png"
    draw_light_curve(path, curve(tmp_path, flux, bad))
    assert has(pixels(path), BLUE) == blue


@pytest.mark.parametrize("name", ["$\\frac{$", "a_b^c$d$", "J1331 <&>", "\u03b1 Cen's"])
def test_any_name_can_stand_above(tmp_path: Path, name: str) -> None:
    path = tmp_path / "curve.png"
    draw_light_curve(path, replace(curve(tmp_path, [0.1, 0.2]), source_id=name))
    assert has(pixels(path), BLUE)


def test_a_light_curve_of_nothing_is_drawn(tmp_path: Path) -> None:
    whole = curve(tmp_path, [0.1])
    none = {n: getattr(whole, n)[:0] for n in whole.__dataclass_fields__ if n != "source_id"}
    draw_light_curve(tmp_path / "none.png", LightCurve("s", **none))
    assert not has(pixels(tmp_path / "none.png"), BLUE)
