"""Simulated sub-band files hold what the simulated MS of the same seed holds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pyuvdata import UVData

from contimg_resources.casa import Casa
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.correlator.convert import convert_sub_bands
from contimg_resources.correlator.model import ConversionRequest
from contimg_resources.correlator.phasing import Sky
from contimg_resources.correlator.sub_band import read_sub_band
from contimg_resources.simulation.observation import (
    SimulatedObservation,
    SimulationRequest,
    simulate_observation,
)
from contimg_resources.simulation.spec import DeadStyle, FileFormat, SimulationSpec
from tests.correlator.files import columns

SPEC = SimulationSpec(
    start_mjd=60954.52510417,
    apparent_declination_deg=33.2,
    antennas=("1", "9", "30", "51", "70", "88", "102", "104", "116"),
    channels_per_window=4,
    seed=11,
    n_integrations=2,
    dead_antennas=("30",),
    dead_style=DeadStyle.FLAGGED,
)


@pytest.fixture(scope="module")
def written(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> SimulatedObservation:
    request = SimulationRequest(
        SPEC, tmp_path_factory.mktemp("sub-bands"), file_format=FileFormat.UVH5
    )
    return casa.run(simulate_observation, request, label="simulate")


def test_sixteen_files_have_the_correlators_layout(written: SimulatedObservation) -> None:
    assert len(written.sub_bands) == 16
    assert not written.ms.exists()
    assert written.truth.is_file()
    assert written.gains.is_file()
    assert len({path.name[:19] for path in written.sub_bands}) == 2
    found = [read_sub_band(path) for path in written.sub_bands]
    assert [s.number for s in found] == list(range(16))
    assert {s.n_antennas for s in found} == {9}
    assert found[0].begin_mjd == pytest.approx(SPEC.start_mjd, abs=1e-9)
    assert found[0].declination_deg == pytest.approx(33.2)
    with h5py.File(written.sub_bands[3]) as file:
        header, data = file["Header"], file["Data"]
        assert header["phase_type"][()] == b"drift"
        assert header["Nants_telescope"][()] == 117
        assert header["freq_array"].shape == (1, 4)
        assert np.all(np.diff(header["freq_array"][0]) < 0)
        assert header["uvw_array"].dtype == np.float32
        assert set(header["extra_keywords"]) == {
            *("phase_center_dec", "ha_phase_center", "phase_center_epoch")
        }
        assert data["visdata"].shape == (2 * 36, 1, 4, 2)
        assert data["visdata"].chunks is not None
        assert data["nsamples"][()].min() == 1


def test_pyuvdata_reads_them(written: SimulatedObservation) -> None:
    read = UVData.from_file(str(written.sub_bands[5]), file_type="uvh5", run_check=False)
    assert (read.Nblts, read.Nfreqs, read.Npols) == (72, 4, 2)
    assert read.telescope.antenna_names[8] == "9"
    assert {c["cat_type"] for c in read.phase_center_catalog.values()} == {"unprojected"}


def test_the_ms_made_of_them_is_the_simulated_one(
    written: SimulatedObservation, casa: Casa, tmp_path: Path
) -> None:
    request = ConversionRequest(written.sub_bands, tmp_path / "converted.ms")
    done = casa.run(convert_sub_bands, request, label="convert")
    direct = casa.run(
        simulate_observation, SimulationRequest(SPEC, tmp_path / "direct"), label="simulate"
    )
    assert direct.ms.name == written.ms.name
    mine, ours = columns(done.ms), columns(direct.ms)
    assert mine["TIME"].size == ours["TIME"].size
    # Windows have other ids: they are paired by frequency, antennas by name.
    a, b = (_order(ms, found) for ms, found in ((done.ms, mine), (direct.ms, ours)))
    np.testing.assert_allclose(mine["TIME"][a], ours["TIME"][b], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(mine["FIELD_ID"][a], ours["FIELD_ID"][b])
    np.testing.assert_array_equal(mine["FLAG"][a], ours["FLAG"][b])
    windows, others = columns(done.ms, "SPECTRAL_WINDOW"), columns(direct.ms, "SPECTRAL_WINDOW")
    hz = windows["CHAN_FREQ"][mine["DATA_DESC_ID"][a]]
    np.testing.assert_allclose(hz, others["CHAN_FREQ"][ours["DATA_DESC_ID"][b]], rtol=0, atol=10)
    # The simulator takes UT1 for UTC, so its phase centres are up to seconds of arc away. Turned
    # there, the visibilities are the same.
    fields, centres = columns(done.ms, "FIELD"), columns(direct.ms, "FIELD")
    here, there = fields["PHASE_DIR"][:, 0], centres["PHASE_DIR"][:, 0]
    away = np.degrees(np.hypot((here - there)[:, 0] * np.cos(here[:, 1]), (here - there)[:, 1]))
    assert away.max() * 3600 < 14
    np.testing.assert_allclose(mine["UVW"][a], ours["UVW"][b], rtol=0, atol=0.2)
    antenna, other = columns(done.ms, "ANTENNA"), columns(direct.ms, "ANTENNA")
    assert antenna["NAME"].tolist() == [str(n + 1) for n in range(117)]
    same = [antenna["NAME"].tolist().index(name) for name in other["NAME"]]
    np.testing.assert_allclose(antenna["POSITION"][same], other["POSITION"], rtol=0, atol=1e-3)
    positions_m = antenna["POSITION"] - antenna["POSITION"].mean(axis=0)
    sky = Sky.at(SPEC.integration_mjd + 2400000.5, (-118.2830, 37.2334051, 1188.05))
    w_m = [sky.antenna_uvw_m(d[:, 0], d[:, 1], positions_m)[:, :, 2] for d in (here, there)]
    first, second, field = (mine[n][a] for n in ("ANTENNA1", "ANTENNA2", "FIELD_ID"))
    here_m, there_m = (w[field, first] - w[field, second] for w in w_m)
    # CASA's UVW and ours differ by less than an arcsec.
    np.testing.assert_allclose(there_m, ours["UVW"][b][:, 2], rtol=0, atol=0.01)
    turn = np.exp(2j * np.pi / 299792458.0 * (here_m - there_m)[:, None] * hz)
    expected = ours["DATA"][b]
    scale = np.abs(expected).max()
    turned = mine["DATA"][a] * turn[:, :, None]
    assert np.abs(turned - expected).max() < 1e-5 * scale
    assert np.abs(mine["DATA"][a] - expected).max() > 1e-4 * scale


def _order(ms: Path, found: dict[str, Any]) -> Any:
    names = columns(ms, "ANTENNA")["NAME"]
    hz = columns(ms, "SPECTRAL_WINDOW")["CHAN_FREQ"].mean(axis=1)
    numbers = np.array([int(n) if n else 0 for n in names])
    keys = (
        numbers[found["ANTENNA2"]],
        numbers[found["ANTENNA1"]],
        np.round(hz[found["DATA_DESC_ID"]], -6),
        np.round(found["TIME"], 1),
    )
    return np.lexsort(keys)


def test_existing_files_are_replaced_only_on_request(
    written: SimulatedObservation, casa: Casa
) -> None:
    request = SimulationRequest(SPEC, written.ms.parent, file_format=FileFormat.UVH5)
    with pytest.raises(ConfigurationError, match=r"sb00\.hdf5 is already there"):
        casa.run(simulate_observation, request, label="simulate")
    before = written.sub_bands[0].read_bytes()
    again = casa.run(simulate_observation, replace(request, overwrite=True), label="simulate")
    assert again.sub_bands == written.sub_bands
    with h5py.File(written.sub_bands[0]) as file:
        assert file["Data/visdata"].shape == (72, 1, 4, 2)
    assert len(before) == written.sub_bands[0].stat().st_size
