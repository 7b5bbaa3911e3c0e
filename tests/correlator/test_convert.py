"""An MS of sub-bands is the one that pyuvdata makes of them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import ConfigurationError, UnreadableObservation
from contimg_resources.correlator.model import Conversion, ConversionRequest
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.reading import read_observation
from contimg_resources.settings import ArrivalSettings, SubBandSettings
from tests.correlator.files import (
    NAMES,
    Written,
    as_the_correlator,
    columns,
    judged_ms,
    meridian,
    write,
)

Convert = Callable[[ConversionRequest], Conversion]

#: Some sub-bands are enough where the band doesn't matter.
FEW = Written(sub_bands=(2, 3, 11))
VARIANTS = {
    "YY before XX": (replace(FEW, polarisations=(-6, -5)), True),
    "four polarisations, mixed baselines": (
        replace(FEW, polarisations=(-5, -7, -8, -6), order="mixed"),
        False,
    ),
    "the higher antenna first": (replace(FEW, order="descending"), True),
    "autocorrelations": (replace(FEW, autocorrelations=True), True),
    "a leap second": (replace(FEW, start="2016-12-31T23:59:40"), False),
    "midnight": (replace(FEW, start="2025-10-06T23:59:41"), True),
    # Local sidereal time passes 24 h.
    "RA 0 h": (replace(FEW, start="2025-10-07T06:50:24", n_integrations=4), True),
    "north of the zenith": (replace(FEW, declination_deg=65.7), True),
    "one sub-band": (replace(FEW, sub_bands=(15,), n_channels=1), False),
}


def compare(how: Written, paths: list[Path], ms: Path, judged: Path) -> None:
    """Compare all rows that have data, column by column."""
    field = columns(ms, "FIELD")
    direction = field["PHASE_DIR"][:, 0]
    judged_ms(paths, judged, direction[:, 0], direction[:, 1])
    mine, other = columns(ms), columns(judged)
    rows = np.isin(mine["DATA_DESC_ID"], how.sub_bands)
    numbers = sorted(how.sub_bands)
    # pyuvdata's rows follow one another by scan, window, baseline, as here.
    assert _keys(mine, rows) == _keys(other, slice(None), numbers)
    for name in ("FIELD_ID", "FLAG", "FLAG_ROW", "WEIGHT", "WEIGHT_SPECTRUM"):
        np.testing.assert_array_equal(mine[name][rows], other[name], err_msg=name)
    for name in ("TIME", "TIME_CENTROID", "INTERVAL", "EXPOSURE"):
        np.testing.assert_allclose(mine[name][rows], other[name], rtol=0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(mine["SIGMA"][rows], other["SIGMA"], rtol=1e-6)
    np.testing.assert_allclose(mine["UVW"][rows], other["UVW"], rtol=0, atol=1e-4)
    scale = np.sqrt(np.mean(np.abs(other["DATA"]) ** 2))
    worst = np.abs(mine["DATA"][rows] - other["DATA"]).max()
    assert worst < 1e-6 * scale
    assert np.all(mine["SCAN_NUMBER"] == 1)
    judged_field = columns(judged, "FIELD")
    assert field["NAME"].tolist() == judged_field["NAME"].tolist()
    np.testing.assert_array_equal(field["PHASE_DIR"], judged_field["PHASE_DIR"])
    window, judged_window = columns(ms, "SPECTRAL_WINDOW"), columns(judged, "SPECTRAL_WINDOW")
    for name in ("CHAN_FREQ", "CHAN_WIDTH", "TOTAL_BANDWIDTH", "NUM_CHAN"):
        np.testing.assert_allclose(window[name][numbers], judged_window[name], rtol=1e-12)
    antenna, judged_antenna = columns(ms, "ANTENNA"), columns(judged, "ANTENNA")
    assert antenna["NAME"].tolist() == judged_antenna["NAME"].tolist()
    named = antenna["NAME"] != ""
    np.testing.assert_allclose(
        antenna["POSITION"][named], judged_antenna["POSITION"][named], rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(
        columns(ms, "POLARIZATION")["CORR_TYPE"], columns(judged, "POLARIZATION")["CORR_TYPE"]
    )


def _keys(found: dict[str, Any], rows: Any, numbers: list[int] | None = None) -> list[Any]:
    windows = found["DATA_DESC_ID"][rows]
    if numbers is not None:
        windows = np.array(numbers)[windows]
    named = [found[n][rows] for n in ("TIME", "ANTENNA1", "ANTENNA2")]
    return list(zip(*named, windows, strict=True))


def test_sixteen_files_of_the_correlator(
    observation: tuple[Written, list[Path]], convert: Convert, tmp_path: Path
) -> None:
    how, paths = observation
    done = convert(ConversionRequest(tuple(reversed(paths)), tmp_path / "a.ms"))
    assert done.sub_bands == tuple(range(16))
    assert (done.missing, done.rejected, done.notes) == ((), {}, ())
    assert done.n_rows == 16 * 3 * 36
    compare(how, paths, done.ms, tmp_path / "judged.ms")
    # Every integration has its own direction, where the dishes point on the meridian.
    field = columns(done.ms, "FIELD")
    expected = meridian(field["TIME"] / 86400, how.declination_deg)
    ra, dec = field["PHASE_DIR"][:, 0].T
    np.testing.assert_allclose(ra, expected.ra.rad, rtol=0, atol=5e-9)
    np.testing.assert_allclose(dec, expected.dec.rad, rtol=0, atol=5e-9)
    # Apparent declinations aren't those of ICRS.
    assert 0.05 < np.abs(np.degrees(dec) - how.declination_deg).max() < 0.2


def test_the_platform_reads_what_was_converted(
    observation: tuple[Written, list[Path]], convert: Convert, casa: Casa, tmp_path: Path
) -> None:
    _, paths = observation
    done = convert(ConversionRequest(tuple(paths[:14]), tmp_path / "a.ms"))
    read = read_observation(
        done.ms, casa=casa, calibrators=CalibratorList(), settings=ArrivalSettings()
    )
    assert [f.name for f in read.fields] == [f"meridian_icrs_t{k}" for k in range(3)]
    assert [w.id for w in read.spectral_windows] == list(range(15, -1, -1))
    assert {a.name for a in read.antennas} == set(NAMES)
    assert len(read.working_antennas) == len(NAMES)
    assert read.correlations == ("XX", "YY")
    assert read.start_mjd == pytest.approx(done.begin_mjd, abs=1e-9)
    assert read.end_mjd == pytest.approx(done.end_mjd, abs=1e-9)
    assert read.unusable == ""
    assert read.flagged_fraction == pytest.approx(done.flagged_fraction, abs=1e-6)
    assert done.missing == (14, 15)
    assert "C286" in "".join(c.name for c in read.calibrators)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_converted_as_pyuvdata_does(
    name: str, convert: Convert, tmp_path: Path
) -> None:
    how, by_correlator = VARIANTS[name]
    paths = write(tmp_path / "in", how)
    if by_correlator:
        for path in paths:
            as_the_correlator(path, how.declination_deg)
    done = convert(
        ConversionRequest(tuple(paths), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=1))
    )
    assert done.sub_bands == how.sub_bands
    compare(how, paths, done.ms, tmp_path / "judged.ms")
    # The windows of missing sub-bands are there, where they belong, and flagged.
    mine, window = columns(done.ms), columns(done.ms, "SPECTRAL_WINDOW")
    lacking = ~np.isin(mine["DATA_DESC_ID"], how.sub_bands)
    assert np.all(mine["FLAG"][lacking])
    assert not np.any(mine["WEIGHT"][lacking])
    assert not np.any(mine["DATA"][lacking])
    np.testing.assert_allclose(np.diff(window["CHAN_FREQ"][:, 0]), -11.71875e6, rtol=0, atol=1)
    assert np.all(np.diff(window["CHAN_FREQ"], axis=1) > 0)


def test_each_unlike_file_is_named_and_the_others_go_on(
    observation: tuple[Written, list[Path]], convert: Convert, tmp_path: Path
) -> None:
    """Also files whose chunks are damaged, which shows only when the data are read."""
    how, paths = observation
    files = [Path(shutil.copy(p, tmp_path)) for p in paths]
    files[3].write_bytes(files[3].read_bytes()[:-5000])
    with h5py.File(files[5], "r+") as file:
        file["Header/time_array"][...] += 20.0 / 86400
    with h5py.File(files[7], "r+") as file:
        file["Header/antenna_positions"][0] += 1.0
    repeated = shutil.copy(files[0], tmp_path / "zz.hdf5")
    done = convert(
        ConversionRequest(
            (*files, Path(repeated)), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=12)
        )
    )
    reasons = {Path(path).name: reason for path, reason in done.rejected.items()}
    assert "is truncated" in reasons[files[3].name]
    assert "in its time grid; 15 others" in reasons[files[5].name]
    assert "other times, baselines or antennas" in reasons[files[7].name]
    assert "repeats sub-band 0" in reasons["zz.hdf5"]
    assert done.missing == (3, 5, 7)
    kept = [f for k, f in enumerate(files) if k not in (3, 5, 7)]
    numbers = tuple(k for k in range(16) if k not in (3, 5, 7))
    compare(replace(how, sub_bands=numbers), kept, done.ms, tmp_path / "judged.ms")


def test_nan_and_visibilities_without_samples_are_flagged(
    observation: tuple[Written, list[Path]], convert: Convert, tmp_path: Path
) -> None:
    _, paths = observation
    files = [Path(shutil.copy(p, tmp_path)) for p in paths[:2]]
    with h5py.File(files[1], "r+") as file:
        data = file["Data"]
        data["flags"][:4] = False
        data["nsamples"][:4] = 1.0
        data["visdata"][0, 0, 0, 0] = complex(float("nan"), 0)
        data["nsamples"][1, 0, 1, 1] = 0
        data["nsamples"][2, 0, :, 0] = -1.2e12
        data["nsamples"][3, 0, 2, 0] = float("nan")
    done = convert(
        ConversionRequest(tuple(files), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=2))
    )
    assert done.notes == (
        f"{files[1].name}: 1 visibilities are NaN or infinite, and flagged",
        f"{files[1].name}: 6 visibilities have no samples, and are flagged",
    )
    mine = columns(done.ms)
    first = np.flatnonzero(mine["DATA_DESC_ID"] == 1)[:4]
    # The file's channels descend.
    flag, weight = mine["FLAG"][first], mine["WEIGHT_SPECTRUM"][first]
    assert flag[0, 3, 0]
    assert mine["DATA"][first][0, 3, 0] == 0
    assert flag[1, 2, 1]
    assert flag[2, :, 0].all()
    assert flag[3, 1, 0]
    assert np.count_nonzero(flag) == 7
    assert weight[1, 2, 1] == 0
    assert not weight[2, :, 0].any()
    assert mine["WEIGHT"][first][2].tolist() == [0.0, 1.0]
    assert np.isfinite(mine["DATA"]).all()
    assert np.isfinite(mine["WEIGHT_SPECTRUM"]).all()


def test_too_few_sub_bands_leave_nothing(
    observation: tuple[Written, list[Path]], convert: Convert, tmp_path: Path
) -> None:
    _, paths = observation
    bad = tmp_path / "bad.hdf5"
    bad.write_bytes(b"nothing")
    ms = tmp_path / "out" / "a.ms"
    with pytest.raises(UnreadableObservation, match=r"11 of 16 .* 12 are required.*no HDF5 file"):
        convert(ConversionRequest((*paths[:11], bad), ms))
    assert not ms.parent.exists() or list(ms.parent.iterdir()) == []


def test_an_ms_is_replaced_only_on_request(
    observation: tuple[Written, list[Path]], convert: Convert, tmp_path: Path
) -> None:
    _, paths = observation
    ms = tmp_path / "a.ms"
    ms.mkdir()
    with pytest.raises(ConfigurationError, match="is already there"):
        convert(ConversionRequest(tuple(paths[:1]), ms, settings=SubBandSettings(min_subbands=1)))
    done = convert(
        ConversionRequest(
            tuple(paths[:1]), ms, settings=SubBandSettings(min_subbands=1), overwrite=True
        )
    )
    assert done.sub_bands == (0,)
    assert (ms / "table.dat").is_file()


def test_antennas_named_from_0_are_named_as_stations(convert: Convert, tmp_path: Path) -> None:
    how = replace(FEW, sub_bands=(4,))
    (path,) = write(tmp_path / "in", how)
    as_the_correlator(path, how.declination_deg)
    with h5py.File(path, "r+") as file:
        names = file["Header/antenna_names"]
        names[...] = [str(int(n) - 1).encode() for n in names[()]]
    done = convert(
        ConversionRequest((path,), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=1))
    )
    assert done.notes == (
        "antennas are named from 0 in the files; they are named as stations, from 1",
    )
    names = columns(done.ms, "ANTENNA")["NAME"].tolist()
    assert [n for n in names if n] == list(NAMES)
    assert names[0] == "1"


def test_the_declination_is_stated_where_the_header_has_none(
    convert: Convert, tmp_path: Path
) -> None:
    how = replace(FEW, sub_bands=(4,))
    (path,) = write(tmp_path / "in", how)
    with h5py.File(path, "r+") as file:
        del file["Header/extra_keywords/phase_center_dec"]
    request = ConversionRequest(
        (path,), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=1)
    )
    with pytest.raises(ConfigurationError, match="doesn't state where the dishes pointed"):
        convert(request)
    done = convert(replace(request, declination_deg=how.declination_deg))
    compare(how, [path], done.ms, tmp_path / "judged.ms")


@pytest.mark.parametrize("how", [hdf5plugin.Bitshuffle(cname="lz4"), hdf5plugin.Zstd()])
def test_compressed_files_are_read(how: Any, convert: Convert, tmp_path: Path) -> None:
    written = replace(FEW, sub_bands=(4,))
    (path,) = write(tmp_path / "in", written)
    as_the_correlator(path, written.declination_deg)
    with h5py.File(path, "r+") as file:
        for name in ("visdata", "flags", "nsamples"):
            values = file["Data"][name][()]
            del file["Data"][name]
            file["Data"].create_dataset(name, data=values, chunks=(16, 1, 2, 1), compression=how)
    done = convert(
        ConversionRequest((path,), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=1))
    )
    compare(written, [path], done.ms, tmp_path / "judged.ms")


@pytest.mark.parametrize("kind", [np.dtype([("r", "<i4"), ("i", "<i4")]), np.dtype("c16")])
def test_visibilities_of_other_types_are_read(
    kind: "np.dtype[Any]", convert: Convert, tmp_path: Path
) -> None:
    how = replace(FEW, sub_bands=(4,))
    (path,) = write(tmp_path / "in", how)
    with h5py.File(path, "r+") as file:
        values = np.round(1000 * file["Data/visdata"][()])
        del file["Data/visdata"]
        other = values.astype(np.complex128)
        if kind.names:
            other = np.empty(values.shape, kind)
            other["r"], other["i"] = values.real, values.imag
        file["Data/visdata"] = other
    done = convert(
        ConversionRequest((path,), tmp_path / "a.ms", settings=SubBandSettings(min_subbands=1))
    )
    compare(how, [path], done.ms, tmp_path / "judged.ms")
