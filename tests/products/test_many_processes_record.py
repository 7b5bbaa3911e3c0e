"""Many processes record at once: nothing is lost, nothing doubled."""

from pathlib import Path
from typing import Any

from contimg_resources.calibration.antenna_health import AntennaEvidence
from contimg_resources.products.model import Artefact, ImageRecord, ObservationState
from contimg_resources.products.store import ProductsStore
from tests.processes import APART
from tests.products.conftest import MJD, make_observation

PROCESSES = 8
EACH = 5


def _record(address: str, root: Path, number: int, barrier: Any, results: Any) -> None:
    try:
        barrier.wait(300)
        store = ProductsStore(address)
        shared = make_observation(root / "shared.ms")
        store.arrive(shared)
        for i in range(EACH):
            own = make_observation(
                root / f"{number}_{i}.ms", MJD + 1 + number + i / 100, signature=f"{number}.{i}"
            )
            store.arrive(own)
            store.put_artefacts(
                shared.key,
                [Artefact("image", root / f"{number}_{i}.fits"), Artefact("png", root / "x.png")],
                image=ImageRecord(rms_mjy=float(number * EACH + i)),
            )
            store.antennas.put(
                shared.key, "T", shared.mid_mjd, {"1": AntennaEvidence(i / EACH)}, {}
            )
            store.set_state(shared.key, ObservationState.IMAGED, step="i", run_id=f"{number}.{i}")
        results.put("")
    except Exception as error:
        results.put(repr(error))


def test_nothing_is_lost_and_nothing_doubled(address: str, tmp_path: Path) -> None:
    barrier, results = APART.Barrier(PROCESSES), APART.Queue()
    processes = [
        APART.Process(target=_record, args=(address, tmp_path, n, barrier, results), daemon=True)
        for n in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [""] * PROCESSES
    for process in processes:
        process.join()
    store = ProductsStore(address)
    assert len(store.list_observations()) == 1 + PROCESSES * EACH
    assert [one.n_antennas for one in store.antennas.observed()] == [1]
    shared = store.find_by_path(tmp_path / "shared.ms")
    assert shared is not None
    # One arrival and every run's word, each once.
    assert len(store.history(shared.key)) == 1 + PROCESSES * EACH
    image, png = store.artefacts(shared.key)
    numbers = store.image(shared.key)
    assert numbers is not None
    assert numbers.rms_mjy is not None
    # File and numbers are of the same run.
    number, i = divmod(int(numbers.rms_mjy), EACH)
    assert image.path.name == f"{number}_{i}.fits"
    assert png.path.name == "x.png"
