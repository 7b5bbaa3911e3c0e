"""Headers of sub-band files: what they state, and what is refused."""

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from contimg_resources.core.errors import ObservationNotSettled, UnreadableSubBand
from contimg_resources.correlator.layout import layout_of
from contimg_resources.correlator.sub_band import SubBand, read_sub_band
from contimg_resources.correlator.uvh5 import opened_sub_band
from tests.correlator.files import START, Written, write
from tests.foreign.drift_scan import INTEGRATION_S

Observation = tuple[Written, list[Path]]


def read_all(path: Path) -> SubBand:
    found = read_sub_band(path)
    with opened_sub_band(path) as file:
        layout_of(file, path)
    return found


def test_a_header_of_the_correlator_is_described(observation: Observation) -> None:
    _, paths = observation
    found = read_sub_band(paths[4])
    assert found.number == 4
    assert found.begin_mjd == pytest.approx(60954.847152778, abs=1e-8)
    assert (found.end_mjd - found.begin_mjd) * 86400 == pytest.approx(3 * INTEGRATION_S, abs=1e-4)
    assert (found.n_integrations, found.n_baselines, found.n_antennas) == (3, 36, 9)
    assert found.n_channels == 4
    assert found.high_hz - found.low_hz == pytest.approx(0.75 * 11.71875e6)
    assert found.high_hz == pytest.approx(1498.7500703e6 - 4.125 * 11.71875e6, abs=1e3)
    assert found.polarisations == ("XX", "YY")
    assert found.declination_deg == pytest.approx(30.4)
    assert found.telescope == "OVRO_MMA"
    assert START[:10] == "2025-10-06"


def test_headers_of_both_writers_state_the_same(observation: Observation, tmp_path: Path) -> None:
    how, paths = observation
    (other,) = write(tmp_path, replace(how, sub_bands=(4,)))
    mine = replace(read_sub_band(paths[4]), path=other)
    theirs = read_sub_band(other)
    assert mine == replace(theirs, declination_deg=mine.declination_deg)
    assert theirs.declination_deg == pytest.approx(mine.declination_deg, abs=1e-12)


def _set(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        dtype = file[name].dtype
        del file[name]
        file[name] = np.asarray(value, dtype if np.asarray(value).dtype.kind in "iuf" else None)

    return change


def _cell(name: str, place: object, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][place] = value

    return change


def _delete(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def _elsewhere(file: h5py.File) -> None:
    shape = file["Data/visdata"].shape
    del file["Data/visdata"]
    file.create_dataset(
        "Data/visdata", shape, np.complex64, external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
    )


def _linked(file: h5py.File) -> None:
    other = Path(file.filename).with_name("other.hdf5")
    with h5py.File(other, "w") as stranger:
        file.copy("Data/visdata", stranger)
    del file["Data/visdata"]
    file["Data/visdata"] = h5py.ExternalLink(str(other), "visdata")


def _filtered(file: h5py.File) -> None:
    """Name a filter of nobody: HDF5 leaves out an optional one when it writes."""
    values = file["Data/flags"][()]
    del file["Data/flags"]
    stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    stored.set_chunk(values.shape)
    stored.set_filter(511, h5py.h5z.FLAG_OPTIONAL, ())
    space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
    made = h5py.h5d.create(file["Data"].id, b"flags", kind, space, dcpl=stored)
    h5py.Dataset(made)[...] = values


REFUSED = {
    "no header": (_delete("Header"), "lacks the group Header or Data"),
    "no visibilities": (_delete("Data/visdata"), "lacks /Data/visdata"),
    "no frequencies": (_delete("Header/freq_array"), "lacks /Header/freq_array"),
    "NaN time": (_cell("Header/time_array", 7, np.nan), "NaN or infinite .* time_array"),
    "NaN position": (_cell("Header/antenna_positions", (0, 0), np.nan), "antenna_positions"),
    "time of another epoch": (_set("Header/time_array", np.full(108, 60954.8)), "implausible time"),
    "no integrations": (_set("Header/Ntimes", 0), "Ntimes is 0"),
    "absurd number of rows": (_set("Header/Nblts", 10**15), "Nblts is 10+"),
    "absurd number of channels": (_set("Header/Nfreqs", 10**9), "Nfreqs is 10+"),
    "other rows than stated": (_set("Header/Nbls", 35), "108 rows, but 3 integrations of 35"),
    "other shape": (_set("Header/Npols", 1), "visdata of shape"),
    "other antenna count": (_set("Header/Nants_data", 96), "states 96 antennas .* data of 9"),
    "unknown antenna": (_cell("Header/ant_2_array", np.s_[35::36], 116), "describe: 116"),
    "absolute positions": (_cell("Header/antenna_positions", 0, -2.4e6), "relative to the centre"),
    "no name": (_cell("Header/antenna_names", 1, b""), "without a name, numbers 1"),
    "a name twice": (_cell("Header/antenna_names", 1, b"1"), "several antennas with the same name"),
    "phased": (_set("Header/phase_type", np.bytes_("phased")), r"a phase centre \(phased\)"),
    "declination": (_set("Header/phase_center_app_dec", 30.4), "implausible declination"),
    "another band": (_set("Header/freq_array", [[1e9, 1.003e9, 1.006e9, 1.009e9]]), "none of the"),
    "jumbled channels": (
        _set("Header/freq_array", [[1.4e9, 1.403e9, 1.401e9, 1.404e9]]),
        "aren't in order",
    ),
    "integration of no length": (_cell("Header/integration_time", 0, 0.0), "integration_time of 0"),
    "another baseline order": (_cell("Header/ant_1_array", 60, 0), "other baselines"),
    "uneven integrations": (
        _cell("Header/time_array", 107, 2460955.34),
        "its time_array holds 4 of 1 to 36",
    ),
    "polarisations": (_set("Header/polarization_array", [-5, -5]), "implausible polarisations"),
    "data of another file": (_elsewhere, "in another file"),
    "a link to another file": (_linked, "in another file"),
    "an unknown filter": (_filtered, r"/Data/flags compressed with the filter .* \(number 511\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_implausible_file_is_refused_by_name(
    name: str, observation: Observation, tmp_path: Path
) -> None:
    path = Path(shutil.copy(observation[1][2], tmp_path / "x.hdf5"))
    change, reason = REFUSED[name]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(UnreadableSubBand, match=reason) as caught:
        read_all(path)
    assert str(path) in caught.value.message
    assert caught.value.details == {"path": str(path)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"SIMPLE  =   T" * 100, "is no HDF5 file"), (None, "is truncated")],
)
def test_a_file_that_is_not_whole_hdf5_is_refused(
    content: bytes | None, reason: str, observation: Observation, tmp_path: Path
) -> None:
    path = tmp_path / "x.hdf5"
    path.write_bytes(observation[1][2].read_bytes()[:-100] if content is None else content)
    with pytest.raises(UnreadableSubBand, match=reason):
        read_sub_band(path)
    with pytest.raises(UnreadableSubBand, match="does not exist"):
        read_sub_band(tmp_path / "none.hdf5")
    with pytest.raises(UnreadableSubBand, match="is a directory"):
        read_sub_band(tmp_path)


def test_a_file_that_is_open_for_writing_is_not_settled(
    observation: Observation, tmp_path: Path
) -> None:
    path = Path(shutil.copy(observation[1][2], tmp_path / "x.hdf5"))
    with path.open("r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(ObservationNotSettled, match="open for writing in another process"):
            read_sub_band(path)
    assert read_sub_band(path).number == 2
