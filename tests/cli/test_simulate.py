"""``contimg simulate`` writes observations with their truth, the same for the same seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa import Casa
from contimg_resources.simulation.truth import Truth

Contimg = Callable[..., Any]


def read_data(ms: Path) -> float:
    """Return a number that any change of the visibilities would change."""
    from casatools import table

    tb = table()
    tb.open(str(ms))
    data = tb.getcol("DATA")
    tb.close()
    return float(np.abs(data * np.arange(1, data.size + 1).reshape(data.shape)).sum())


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
    assert sorted(p.name for p in ms.parent.iterdir()) == sorted(
        (f"{ms.stem}.gains.npz", ms.name, f"{ms.name}.done", f"{ms.stem}.truth.json")
    )
    truth = Truth.load(ms)
    assert truth.spec.dead_antennas == ("104",)
    assert f"{truth.mid_mjd:.6f}" == f"{made['mid_mjd']:.6f}"

    again = contimg(*simulate, "--out-dir", tmp_path / "b", "--seed", "5")
    other = contimg(*simulate, "--out-dir", tmp_path / "c", "--seed", "6")
    numbers = [
        casa.run(read_data, Path(answer.json[0]["ms"]), label="read")
        for answer in (first, again, other)
    ]
    assert numbers[0] == numbers[1] != numbers[2]

    refused = contimg(*simulate, "--out-dir", tmp_path / "a", "--seed", "6")
    assert refused.code == 2
    assert f"{ms} is already there; it is replaced only when asked to" in refused.err
    assert casa.run(read_data, ms, label="read") == numbers[0]
    replaced = contimg(*simulate, "--out-dir", tmp_path / "a", "--seed", "6", "--overwrite")
    assert replaced.code == 0
    assert casa.run(read_data, ms, label="read") == numbers[2]
