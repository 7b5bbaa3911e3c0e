"""casaplotms draws without a display, names what it lacks, and leaves no plotter running."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contimg_resources.casa import Casa
from contimg_resources.casa.plotms import (
    PlotmsPlot,
    PlotmsRequest,
    default_cache,
    draw_plotms,
    missing_libraries,
    unpack_plotter,
)
from contimg_resources.core.errors import PlotUnavailable
from contimg_resources.demo.ngc5921 import import_ngc5921
from contimg_resources.settings import CalibrationSettings, Settings
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.solving import solve_observation
from contimg_resources.steps.workshop import Workshop
from tests.conftest import TinyNight


@pytest.fixture(scope="module")
def plotter() -> Path:
    application = unpack_plotter(default_cache())
    if missing := missing_libraries(application):
        pytest.skip(f"casaplotms needs system libraries: {', '.join(missing)}")
    return application


@pytest.fixture(scope="module")
def ms(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return casa.run(import_ngc5921, tmp_path_factory.mktemp("plotms") / "n.ms", label="import")


def running_plotters(application: Path, casa: Casa) -> list[str]:
    """Plotters that write into this session's logs; other sessions may run their own."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(application / "usr/bin/casaplotms") in command and str(casa.logs) in command:
            found.append(entry.name)
    return found


def coloured_pixels(png: Path) -> int:
    """Count what only points can have drawn: canvas, axes and letters are grey."""
    with Image.open(png) as image:
        rgb = np.asarray(image.convert("RGB"), np.int16)
    return int((np.ptp(rgb, axis=2) > 60).sum())


@pytest.mark.slow
@pytest.mark.plotms
def test_a_solve_draws_its_caltables(
    tiny_night: TinyNight, plotter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    calibration = CalibrationSettings(model_from_image=False)
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state", calibration=calibration))
    key = arrive(workshop, tiny_night.calibrator).observation.key
    solved = solve_observation(workshop, key)
    assert not [note for note in solved.notes if "casaplotms" in note]
    kinds = (
        *("kcal_delay", "bacal_amp", "bpcal_phase", "gacal_amp", "gpcal_phase"),
        *("2gcal_amp", "2gcal_phase"),
    )
    assert [p.name for p in solved.diagnostics] == [
        f"plotms_{solved.set.name}_{kind}.png" for kind in kinds
    ]
    for png in solved.diagnostics:
        with Image.open(png) as image:
            assert min(image.size) > 300
        assert coloured_pixels(png) > 1000, png.name


@pytest.mark.plotms
@pytest.mark.realdata
def test_an_observation_is_drawn_without_a_display(
    casa_afresh: Casa, ms: Path, plotter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    plots = (
        PlotmsPlot(ms, tmp_path / "uv.png", "uvdist", "amp", {"field": "0", "avgchannel": "63"}),
        PlotmsPlot(ms, tmp_path / "band.png", "freq", "amp", {"field": "0", "avgtime": "1e8"}),
    )
    assert casa_afresh.run(draw_plotms, PlotmsRequest(plots), label="plotms") == [
        p.png for p in plots
    ]
    for plot in plots:
        with Image.open(plot.png) as image:
            assert min(image.size) > 300
        assert coloured_pixels(plot.png) > 1000, plot.png.name
    assert running_plotters(plotter, casa_afresh) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["band.png", "uv.png"]


@pytest.mark.plotms
def test_a_plot_of_nothing_is_unavailable_and_leaves_no_plotter(
    casa: Casa, plotter: Path, tmp_path: Path
) -> None:
    plot = PlotmsPlot(tmp_path / "absent.ms", tmp_path / "a.png", "time", "amp")
    with pytest.raises(PlotUnavailable, match=r"a\.png"):
        casa.run(draw_plotms, PlotmsRequest((plot,)), label="plotms")
    assert running_plotters(plotter, casa) == []
    assert not (tmp_path / "a.png").exists()


def test_missing_system_libraries_are_named_with_their_debian_packages(
    casa_afresh: Casa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "bin" / "ldd"
    listing.parent.mkdir()
    listing.write_text("#!/bin/sh\necho '\tlibEGL.so.1 => not found'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{listing.parent}{os.pathsep}{os.environ['PATH']}")
    plot = PlotmsPlot(tmp_path / "a.ms", tmp_path / "a.png", "time", "amp")
    with pytest.raises(PlotUnavailable, match=r"libEGL\.so\.1 missing .*libegl1") as unavailable:
        casa_afresh.run(draw_plotms, PlotmsRequest((plot,)), label="plotms")
    assert unavailable.value.details["missing"] == ["libEGL.so.1"]
