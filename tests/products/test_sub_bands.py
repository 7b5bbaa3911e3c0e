"""Observations that arrive as sub-band files of the correlator."""

from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.core.errors import ProductsError
from contimg_resources.observations.model import Observation, ObservationOrigin, SubBandFile
from contimg_resources.products.model import ArrivalOutcome, ObservationState
from contimg_resources.products.store import ProductsStore
from tests.products.conftest import make_observation

KEY = "61041.00347"


def of_sub_bands(state: Path, directory: Path, *numbers: int) -> Observation:
    return replace(
        make_observation(state / "measurement_sets" / f"{KEY}.ms"),
        origin=ObservationOrigin.SUB_BANDS,
        signature=f"of {numbers}",
        sub_bands=tuple(
            SubBandFile(n, directory / f"a_sb{n:02d}.hdf5", 1000 + n, 5 * n) for n in numbers
        ),
    )


def test_files_are_kept_with_the_observation(store: ProductsStore, tmp_path: Path) -> None:
    observation = of_sub_bands(tmp_path, Path("/correlator"), *range(2, 16))
    assert store.arrive(observation).outcome is ArrivalOutcome.NEW
    assert store.observation(KEY) == observation
    assert store.observation(KEY).missing_sub_bands == (0, 1)
    assert store.sub_bands.files(KEY) == observation.sub_bands
    assert store.sub_bands.known(end_mjd=observation.mid_mjd) == {}
    assert store.sub_bands.known() == {KEY: (observation.signature, "/correlator/a_sb02.hdf5")}
    found = store.sub_bands.find(Path("/correlator/a_sb05.hdf5"))
    assert found is not None
    assert found.key == KEY
    assert store.sub_bands.find(Path("/correlator/a_sb01.hdf5")) is None
    assert store.arrive(observation).outcome is ArrivalOutcome.SAME
    assert store.history(KEY)[0].message == "arrived as 14 sub-band files in /correlator"


def test_late_sub_bands_start_an_observation_again(store: ProductsStore, tmp_path: Path) -> None:
    store.arrive(of_sub_bands(tmp_path, Path("/correlator"), *range(2, 16)))
    store.set_state(KEY, ObservationState.IMAGED, step="image_5min")
    whole = of_sub_bands(tmp_path, Path("/correlator"), *range(16))
    arrival = store.arrive(whole)
    assert arrival.outcome is ArrivalOutcome.REPLACED
    assert arrival.record.state is ObservationState.ARRIVED
    assert store.history(KEY)[-1].message == "late sub-bands: 0, 1; now 16 of 16 are there"
    assert store.sub_bands.files(KEY) == whole.sub_bands


def test_moved_sub_bands_keep_the_state(store: ProductsStore, tmp_path: Path) -> None:
    observation = of_sub_bands(tmp_path, Path("/correlator"), *range(16))
    store.arrive(observation)
    store.sub_bands.describe(replace(observation, flagged_fraction=0.25))
    store.set_state(KEY, ObservationState.IMAGED, step="image_5min")
    arrival = store.arrive(of_sub_bands(tmp_path, Path("/archive"), *range(16)))
    # As it was read from its MS.
    assert store.observation(KEY).flagged_fraction == 0.25
    assert arrival.outcome is ArrivalOutcome.MOVED
    assert arrival.record.state is ObservationState.IMAGED
    assert store.sub_bands.files(KEY)[0].path == Path("/archive/a_sb00.hdf5")


def test_an_ms_and_sub_bands_of_one_time_are_refused(store: ProductsStore, tmp_path: Path) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    with pytest.raises(ProductsError, match=r"correlator's sub-band files.*a MeasurementSet"):
        store.arrive(of_sub_bands(tmp_path, Path("/correlator"), *range(16)))


def test_a_description_is_of_the_files_that_were_read(store: ProductsStore, tmp_path: Path) -> None:
    observation = of_sub_bands(tmp_path, Path("/correlator"), *range(2, 16))
    store.arrive(observation)
    store.sub_bands.describe(replace(observation, flagged_fraction=0.25))
    assert store.observation(KEY) == replace(observation, flagged_fraction=0.25)
    store.arrive(of_sub_bands(tmp_path, Path("/correlator"), *range(16)))
    with pytest.raises(ProductsError, match="have arrived meanwhile"):
        store.sub_bands.describe(replace(observation, flagged_fraction=0.5))
