"""``contimg mosaic``, ``photometry`` and ``lightcurve`` as somebody types them."""

import json
from pathlib import Path

import pytest

from contimg_resources.cli.main import run
from tests.steps.sky import Sky, make_sky

KEY = "61041.02083+54.0"


@pytest.fixture
def sky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sky:
    monkeypatch.setenv("CONTIMG_CATALOGUE__REFERENCE", "simulated")
    monkeypatch.setenv("CONTIMG_CATALOGUE__DEFAULT_SPECTRAL_INDEX", "0")
    monkeypatch.setenv("CONTIMG_MOSAICS__WAIT_MIN", "0")
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    return make_sky(tmp_path)


def test_an_hour_from_images_to_a_light_curve(
    sky: Sky, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in range(4):
        sky.image(number)
    assert run(["mosaic"]) == 0
    assert "can be made" in capsys.readouterr().out
    assert run(["mosaic", "--all", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert KEY in {m["key"] for m in made}
    assert {m["state"] for m in made} == {"made"}
    assert run(["mosaic", "--all"]) == 0
    assert "no mosaic can be made now" in capsys.readouterr().err

    assert run(["photometry", KEY]) == 0
    told = capsys.readouterr().err
    assert "sources measured" in told
    assert "good: flux scale 1.0" in told
    assert run(["photometry", sky.keys[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "image"
    assert run(["photometry"]) == 0
    assert KEY in capsys.readouterr().out

    brightest = max(range(len(sky.sources)), key=lambda i: _near(sky, i) * sky.sources[i][2])
    source, png = f"simulated-s{brightest}", tmp_path / "curve.png"
    assert run(["lightcurve", source, "--plot", str(png)]) == 0
    assert KEY in capsys.readouterr().out
    assert png.read_bytes().startswith(b"\x89PNG")
    assert run(["lightcurve", source, "--kind", "radio"]) == 2
    assert run(["why", str(next((tmp_path / "state").glob("mosaics/*/*/*.png")))]) == 0
    assert "61041.00" in capsys.readouterr().out


def _near(sky: Sky, i: int) -> bool:
    ra, dec, _ = sky.sources[i]
    return abs(ra - 182.0) < 1.0 and abs(dec - 54.0) < 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["mosaic", "61050.02083+54.0"], 1, "no images for a mosaic"),
        (["mosaic", "../../etc"], 2, "is not a mosaic key"),
        (["photometry", "61050.02083+54.0"], 1, "there is no mosaic"),
        (["photometry", "61050.00347"], 1, "there is no observation"),
        (["lightcurve", "nobody"], 1, "no mosaic was measured yet"),
    ],
)
def test_what_isn_t_there_is_told(
    sky: Sky, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert run(arguments) == code
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_without_a_catalogue_that_is_told(
    sky: Sky, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sky.image(0)
    monkeypatch.delenv("CONTIMG_CATALOGUE__REFERENCE")
    assert run(["photometry", sky.keys[0]]) == 2
    assert "the settings name no catalogue" in capsys.readouterr().err
    monkeypatch.setenv("CONTIMG_CATALOGUE__REFERENCE", "nvss")
    assert run(["photometry", sky.keys[0]]) == 1
    assert "there are: simulated" in capsys.readouterr().err
