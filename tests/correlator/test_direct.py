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
from contimg_resources.core.errors import NoValidCaltables, UnreadableObservation
from contimg_resources.correlator.model import (
    CalibratedSubBands,
    Conversion,
    ConversionRequest,
    SubBandsToCalibrate,
)
from contimg_resources.imaging.averaged_visibilities import NAME as AVERAGED
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.instrument.caltables import (
    ArrayLayout,
    CaltableField,
    CaltableInfo,
    CaltableType,
)
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import ImagingSettings, Settings, SubBandSettings
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.spec import FileFormat, RfiSpec, SimulationSpec, Size
from contimg_resources.steps.calibrating import calibrate_observation
from contimg_resources.steps.converting import make_measurement_set
from contimg_resources.steps.in_casa import calibrate, calibrate_directly, convert, image
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.watching_sub_bands import SubBandCursor, scan_uvh5_directory
from contimg_resources.steps.workshop import Workshop
from tests.calibration.apply_steps import Corruption, write_tables
from tests.correlator.files import columns
from tests.registry.conftest import GOOD

SPEC = replace(
    SimulationSpec.of_size(Size.TINY, 60954.6, 33.0, seed=4),
    n_integrations=3,
    autocorrelations=True,
    rfi=RfiSpec(),
)
IMAGING = ImagingSettings(image_size=400, cell_arcsec=20.0, niter=200, sub_bands=0)


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


def made_up_info(table: TableToApply, mid_mjd: float, layout: ArrayLayout) -> CaltableInfo:
    return CaltableInfo(
        path=table.path,
        casa_subtype=table.type.casa_subtypes[0],
        quality=GOOD,
        identity_fraction=0.25,
        layout=layout,
        start_mjd=mid_mjd - 0.001,
        end_mjd=mid_mjd + 0.001,
        fields=(CaltableField("3C48", 33.0),),
        source_ms="x.ms",
        refant="104",
    )


def test_an_observation_whose_set_is_known_needs_no_ms(
    casa: Casa, given: Given, tmp_path: Path
) -> None:
    incoming = tmp_path / "correlator"
    incoming.mkdir()
    for path in given.files:
        shutil.copy(path, incoming)
    settings = Settings(
        state=tmp_path / "state",
        uvh5_dir=incoming,
        uvh5=SubBandSettings(settle_age_s=0),
        imaging=IMAGING,
    )
    workshop = replace(Workshop.from_settings(settings), casa=casa)
    (arrived,) = scan_uvh5_directory(workshop, SubBandCursor()).arrivals
    key, observation = arrived.observation.key, arrived.observation
    assert not observation.calibrators
    with pytest.raises(NoValidCaltables):
        calibrate_observation(workshop, key)
    assert workshop.products.get(key).state is ObservationState.WAITING
    # The tables are made up, and would not pass the quality gates.
    layout = observation.layout
    infos = {t.path: made_up_info(t, observation.mid_mjd, layout) for t in given.tables}
    registry = CalibrationRegistry(
        settings.registry_address, inspect=lambda paths: [infos[p] for p in paths]
    )
    registry.register(
        NewCaltableSet(
            name="known",
            calibrator="3C48",
            refant="104",
            mid_mjd=observation.mid_mjd,
            start_mjd=observation.mid_mjd - 1,
            end_mjd=observation.mid_mjd + 1,
            declination_deg=observation.declination_deg,
            layout=layout,
            tables=tuple(NewCaltable(t.type, t.path) for t in given.tables),
        )
    )
    made = make_measurement_set(workshop, key)
    assert (made.made, made.conversion) == (None, None)
    assert "calibrated directly" in made.verdict.words
    done = calibrate_observation(workshop, key)
    assert done.conversion is not None
    assert done.conversion.sub_bands == tuple(range(16))
    assert not observation.path.exists()
    (product,) = workshop.products.artefacts(key)
    assert product.kind == ArtefactKind.CALIBRATED_MS
    assert set(product.parameters["inputs"].values()) == {
        str(incoming / p.name) for p in given.files
    }
    found = provenance_of(workshop, product.path)
    assert found.made_from == tuple(f.path for f in observation.sub_bands)
    assert found.why_stale == ""
    known = workshop.products.observation(key)
    assert known.flagged_fraction == done.result.input_flagged_fraction
    assert {a.name for a in known.working_antennas} == set(done.result.working_antennas)
    # With uvh5.keep_ms the MS is made as well.
    keeping = replace(
        workshop,
        settings=settings.model_copy(
            update={"uvh5": SubBandSettings(settle_age_s=0, keep_ms=True)}
        ),
    )
    assert make_measurement_set(keeping, key).made is not None
    assert calibrate_observation(keeping, key).conversion is None
    for artefact in workshop.products.artefacts(key):
        workshop.products.forget_artefact(key, artefact, step="test", reason="made again")
    (incoming / given.files[3].name).touch()
    with pytest.raises(UnreadableObservation, match="have changed since they arrived"):
        calibrate_observation(workshop, key)
