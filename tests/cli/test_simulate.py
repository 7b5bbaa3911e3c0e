"""``contimg simulate`` writes observations with their truth, the same for the same seed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa import Casa
from contimg_resources.simulation.truth import Truth

Contimg = Callable[..., Any]


def digest_data(ms: Path) -> str:
    """Return the SHA-256 of the visibilities, which aren't all the same."""
    from casatools import table

    tb = table()
    tb.open(str(ms))
    data = tb.getcol("DATA")
    tb.close()
    assert np.ptp(np.abs(data)) > 0
    return hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()


@dataclass(frozen=True)
class Weights:
    weight: float
    spectrum: list[float]
    """Of the channels, when they have weights of their own."""


def weights(ms: Path) -> Weights:
    """Return the weights of a correlation in the last row."""
    from casatools import table

    tb = table()
    tb.open(str(ms))
    last = tb.nrows() - 1
    weight = float(tb.getcell("WEIGHT", last)[0])
    cell = tb.getcell("WEIGHT_SPECTRUM", last)[0] if "WEIGHT_SPECTRUM" in tb.colnames() else []
    tb.close()
    return Weights(weight, [float(w) for w in cell])


def test_a_night_lies_complete_with_its_truth_and_is_the_same_again(
    contimg: Contimg, casa: Casa, tmp_path: Path
) -> None:
    simulate = ("simulate", "--size", "tiny", "--targets", "0", "--dead", "104", "--json")
    first = contimg(*simulate, "--out-dir", tmp_path / "a", "--seed", "5")
    assert first.code == 0, first.err
    (made,) = first.json
    ms = Path(made["ms"])
    assert (made["kind"], made["slot"]) == ("calibrator", 0)
    assert ms.is_dir()
    assert made["truth"] == str(ms.with_name(f"{ms.stem}.truth.json"))
    assert made["gains"] == str(ms.with_name(f"{ms.stem}.gains.npz"))
    assert sorted(p.name for p in ms.parent.iterdir()) == sorted(
        (f"{ms.stem}.gains.npz", ms.name, f"{ms.name}.done", f"{ms.stem}.truth.json")
    )
    truth = Truth.load(ms)
    assert truth.spec.dead_antennas == ("104",)
    assert f"{truth.mid_mjd:.6f}" == f"{made['mid_mjd']:.6f}"

    again = contimg(*simulate, "--out-dir", tmp_path / "b", "--seed", "5")
    data = casa.run(digest_data, ms, label="read")
    assert casa.run(digest_data, Path(again.json[0]["ms"]), label="read") == data

    other = (*simulate, "--out-dir", tmp_path / "a", "--seed", "6")
    refused = contimg(*other)
    assert refused.code == 2
    assert refused.out == ""
    assert refused.err.count(f"{ms} is already there; it is replaced only when asked to") == 1
    assert "Traceback" not in refused.err
    assert casa.run(digest_data, ms, label="read") == data
    assert casa.run(weights, ms, label="read").spectrum == []
    replaced = contimg(*other, "--overwrite", "--weight-spectrum")
    assert replaced.code == 0
    assert replaced.json[0]["ms"] == made["ms"]
    assert casa.run(digest_data, ms, label="read") != data
    written = casa.run(weights, ms, label="read")
    assert written.spectrum == [written.weight] * 4


def test_a_night_in_the_files_of_the_correlator(contimg: Contimg, tmp_path: Path) -> None:
    out = tmp_path / "night"
    simulate = ("simulate", "--format", "uvh5", "--targets", "0", "--out-dir", out)
    made = contimg(*simulate, "--json")
    assert made.code == 0, made.err
    (one,) = made.json
    files = [Path(p) for p in one["sub_bands"]]
    assert [p.name[19:] for p in files] == [f"_sb{n:02d}.hdf5" for n in range(16)]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        (*(p.name for p in files), Path(one["truth"]).name, Path(one["gains"]).name)
    )
    shown = contimg("uvh5", "show", *files, "--json")
    assert shown.code == 0
    assert [s["number"] for s in shown.json["sub_bands"]] == list(range(16))
    assert {s["n_integrations"] for s in shown.json["sub_bands"]} == {24}
    refused = contimg(*simulate)
    assert refused.code == 2
    assert f"{files[0]} is already there" in refused.err
