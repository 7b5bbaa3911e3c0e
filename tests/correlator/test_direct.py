"""Calibrating sub-bands directly gives what calibrating their MS gives."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits

from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.casa import Casa
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.correlator.model import (
    CalibratedSubBands,
    Conversion,
    ConversionRequest,
    SubBandsToCalibrate,
)
from contimg_resources.imaging.averaged_visibilities import NAME as AVERAGED
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.settings import ImagingSettings
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import FileFormat, RfiSpec, SimulationSpec, Size
from contimg_resources.steps.in_casa import calibrate, calibrate_directly, convert, image
from tests.calibration.apply_steps import Corruption, write_tables
from tests.correlator.files import columns

SPEC = replace(
    SimulationSpec.of_size(Size.TINY, 60954.6, 33.0, seed=4),
    n_integrations=3,
    autocorrelations=True,
    rfi=RfiSpec(),
)
IMAGING = ImagingSettings(image_size=400, cell_arcsec=20.0, niter=200)


@dataclass(frozen=True)
class Given:
    """Sub-bands of an observation, the MS of them, and caltables."""

    files: tuple[Path, ...]
    ms: Path
    tables: tuple[TableToApply, ...]


@pytest.fixture(scope="module")
def given(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Given:
    root = tmp_path_factory.mktemp("direct")
    request = SimulationRequest(SPEC, root, file_format=FileFormat.UVH5)
    files = casa.run(simulate_observation, request, label="simulate").sub_bands
    ms = casa.run(convert, ConversionRequest(files, root / "x.ms"), label="convert").ms
    k, g = casa.run(write_tables, Corruption(ms, root / "tables"), label="tables")
    tables = (TableToApply(k, CaltableType.K, 10), TableToApply(g, CaltableType.GA, 40))
    return Given(files, ms, tables)


def both(
    casa: Casa, given: Given, place: Path, **changes: Any
) -> tuple[Conversion, ApplyResult, CalibratedSubBands]:
    """Calibrate through an MS, and directly."""
    ms = place / "x.ms"
    conversion = casa.run(convert, ConversionRequest(given.files, ms), label="convert")
    apply = ApplyRequest(ms, given.tables, place / "through_cal.ms", imaging=IMAGING, **changes)
    through = casa.run(calibrate, apply, label="calibrate")
    shutil.rmtree(ms)
    request = SubBandsToCalibrate(
        ConversionRequest(given.files, ms), replace(apply, output=place / "direct_cal.ms")
    )
    direct = casa.run(calibrate_directly, request, label="calibrate")
    assert not ms.exists()
    return conversion, through, direct


def assert_same(through: ApplyResult, direct: ApplyResult) -> None:
    assert replace(direct, ms=through.ms) == through
    for table in ("", "FIELD", "ANTENNA", "SPECTRAL_WINDOW", "POLARIZATION", "FEED"):
        mine, other = columns(direct.ms, table), columns(through.ms, table)
        assert mine.keys() == other.keys()
        for name, values in other.items():
            np.testing.assert_array_equal(mine[name], values, err_msg=f"{table} {name}")
    averages = sorted(p.name for p in (through.ms / AVERAGED).glob("*.npy"))
    assert averages == sorted(p.name for p in (direct.ms / AVERAGED).glob("*.npy"))
    for name in averages:
        np.testing.assert_array_equal(
            np.load(direct.ms / AVERAGED / name), np.load(through.ms / AVERAGED / name)
        )


def test_the_calibrated_ms_and_the_image_are_the_same(
    casa: Casa, given: Given, tmp_path: Path
) -> None:
    conversion, through, direct = both(casa, given, tmp_path)
    assert 0 < through.rfi_flagged_fraction < 0.5
    assert_same(through, direct.applied)
    assert replace(direct.conversion, flagged_fraction=conversion.flagged_fraction) == conversion
    pixels = []
    for result in (through, direct.applied):
        request = ImageRequest(result.ms, tmp_path / f"{result.ms.stem}-image", "x", IMAGING)
        made = casa.run(image, request, label="image")
        pixels.append(fits.getdata(made.files.image))
    np.testing.assert_allclose(pixels[1], pixels[0], rtol=0, atol=1e-6 * np.abs(pixels[0]).max())


def test_missing_damaged_and_varying_data_are_the_same(
    casa: Casa, given: Given, tmp_path: Path
) -> None:
    files = [Path(shutil.copy(p, tmp_path)) for p in given.files]
    files[4].unlink()
    files[9].write_bytes(files[9].read_bytes()[:-5000])
    with h5py.File(files[11], "r+") as file:
        data = file["Data"]
        data["visdata"][7, 0, 1, 0] = complex(float("nan"), 0)
        data["nsamples"][30:60, 0, 2, 1] = 0.25
        data["nsamples"][8, 0, 3, 0] = 0
        data["flags"][100:140] = True
    spoiled = replace(given, files=tuple(f for k, f in enumerate(files) if k != 4))
    conversion, through, direct = both(casa, spoiled, tmp_path / "made")
    assert conversion.missing == (4, 9)
    assert_same(through, direct.applied)
    assert replace(direct.conversion, flagged_fraction=conversion.flagged_fraction) == conversion
    assert direct.conversion.notes
    # Missing windows are 2 of 16, and few other data are flagged.
    assert direct.conversion.flagged_fraction == pytest.approx(2 / 16, abs=0.01)


def test_an_ms_is_written_where_one_is_needed_and_removed(
    casa: Casa, given: Given, tmp_path: Path
) -> None:
    _, through, direct = both(casa, given, tmp_path, field_selection="1", flag_rfi=False)
    assert direct.applied.n_rows == 16 * 24 * 23 // 2
    assert_same(through, direct.applied)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["direct_cal.ms", "through_cal.ms"]


def test_too_few_sub_bands_leave_nothing(casa: Casa, given: Given, tmp_path: Path) -> None:
    ms, output = tmp_path / "x.ms", tmp_path / "out" / "x_cal.ms"
    request = SubBandsToCalibrate(
        ConversionRequest(given.files[:11], ms), ApplyRequest(ms, given.tables, output)
    )
    with pytest.raises(UnreadableObservation, match=r"x\.ms: 11 of 16 .* 12 are required"):
        casa.run(calibrate_directly, request, label="calibrate")
    assert not output.parent.exists() or not list(output.parent.iterdir())
