"""The tutorial does what it says: every command of it is run, in its order, as it stands there."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

import contimg_resources as contimg

DOCS = Path(__file__).parents[1] / "docs"

#: What casaplotms draws is no part of it; coarse images have the same sources.
FASTER = {
    "CONTIMG_CALIBRATION__PLOTMS": "false",
    "CONTIMG_IMAGING__CELL_ARCSEC": "12",
    "CONTIMG_IMAGING__IMAGE_SIZE": "960",
    "CONTIMG_IMAGING__SUB_BANDS": "0",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def blocks(language: str) -> list[str]:
    """Return the blocks of the tutorial in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "tutorial.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Follow the tutorial; return its state directory and what its commands printed."""
    root = tmp_path_factory.mktemp("tutorial")
    script = "".join(blocks("bash")).replace("/tmp/contimg-tutorial", str(root / "state"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        script = script.replace("8421", str(free.getsockname()[1]))
    (root / "python.py").write_text("".join(blocks("python")))
    script += f"python3 {root / 'python.py'}\n"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CONTIMG_")}
    followed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=root,
        env={**environment, **FASTER, "PATH": path, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert followed.returncode == 0, f"{followed.stdout}\n{followed.stderr}"
    return root / "state", followed.stdout


def test_it_ends_in_a_candidate_that_somebody_marked(done: tuple[Path, str]) -> None:
    state, printed = done
    with contimg.open_state(state) as opened:
        assert list(opened.observations()["state"]) == ["imaged"] * 2
        images = opened.products.images()
        assert len(images) == 2
        for record in images.values():
            assert record.n_sources is not None
            assert record.n_sources > 5
            assert record.rms_mjy is not None
            assert record.expected_rms_mjy is not None
            assert record.rms_mjy < 3 * record.expected_rms_mjy
        candidates = opened.candidates()
        assert "follow up" in set(candidates["mark"])
        assert str(candidates["id"][0]) in printed
    assert "epochs, faintest" in printed
    # What pyvo found: mosaics at the candidate, and its light curve with units.
    found = re.search(r"(\d+) mosaics, (\d+) measurements in mJy", printed)
    assert found
    assert int(found[1]) > 80
    assert int(found[2]) > 80


def test_the_ids_in_it_are_those_of_its_night(done: tuple[Path, str]) -> None:
    state, _ = done
    with contimg.open_state(state) as opened:
        assert "60954.35417+33.2" in set(opened.mosaics()["key"])


def test_the_notebook_runs_on_it(done: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    state, _ = done
    monkeypatch.setenv("CONTIMG_STATE", str(state))
    notebook = json.loads((DOCS / "notebooks" / "state.ipynb").read_text())
    names: dict[str, Any] = {}
    with mpl.rc_context({"backend": "agg"}):
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    assert names["image"].pixels.shape[0] > 100
    assert len(names["mjd"]) > 80
    assert len(names["variable"]) >= 2
