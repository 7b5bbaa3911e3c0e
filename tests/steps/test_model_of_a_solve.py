"""Where the sources come from that a solve has in its model beside the calibrator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources
from contimg_resources.catalogues.store import FORMAT
from contimg_resources.core.errors import CatalogueError
from contimg_resources.settings import CalibrationSettings, CatalogueSettings, Settings
from contimg_resources.steps.solving import solve_request
from contimg_resources.steps.workshop import Workshop
from tests.products.conftest import make_observation

CALIBRATOR_DEG = 24.4220808, 33.1597594


def known(workshop: Workshop) -> None:
    """Keep a catalogue: the calibrator, two sources near it, one that varies, one that is far."""
    n = 5
    ids = np.array(["calibrator", "indexed", "plain", "varies", "far"])
    unknown = np.full(n, np.nan)
    sources = CatalogueSources(
        source_id=ids,
        name=ids,
        ra_deg=CALIBRATOR_DEG[0] + np.array([1e-4, 0.5, -0.5, 0.7, 0.0]),
        dec_deg=CALIBRATOR_DEG[1] + np.array([0.0, 0.5, 0.2, 0.1, 12.0]),
        flux_jy=np.array([16.0, 0.2, 0.3, 1.0, 5.0]),
        flux_error_jy=unknown,
        reference_ghz=np.full(n, 0.9),
        spectral_index=np.array([np.nan, 0.4, np.nan, 0.0, 0.0]),
        major_arcsec=unknown,
        minor_arcsec=unknown,
        angle_deg=unknown,
        variable=ids == "varies",
    )
    facts = CatalogueFacts("sky", "list", "made", f"sha256:{'1' * 64}", n, FORMAT.version)
    workshop.catalogues.put(sources, facts)


def requested(workshop: Workshop, settings: Settings) -> SolveRequest:
    workshop = replace(workshop, settings=settings)
    observation = make_observation(settings.incoming_dir / "a.ms", 61_000.0, signature="s")
    calibrator = workshop.calibrators.find("3C48")
    return solve_request(workshop, observation, calibrator, settings.state / "prefix")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop.from_settings(Settings(state=tmp_path))
    known(made)
    return made


def test_the_reference_catalogue_gives_the_sources_about_the_calibrator(
    workshop: Workshop, tmp_path: Path
) -> None:
    catalogue = CatalogueSettings(reference="sky", default_spectral_index=-0.8)
    wanted = requested(workshop, Settings(state=tmp_path, catalogue=catalogue))
    by_name = {s.name: s for s in wanted.background}
    assert set(by_name) == {"indexed", "plain"}
    assert by_name["indexed"].flux_jy(1.4e9) == pytest.approx(0.2 * (1.4 / 0.9) ** 0.4)
    assert by_name["plain"].flux_jy(1.4e9) == pytest.approx(0.3 * (1.4 / 0.9) ** -0.8)
    assert wanted.background_origin == (
        "the catalogue sky@111111111111, spectral index -0.8 where it has none"
    )


def test_a_list_of_the_operators_comes_before_the_catalogue(
    workshop: Workshop, tmp_path: Path
) -> None:
    listed = tmp_path / "model.csv"
    listed.write_text(
        "name,ra_deg,dec_deg,flux_jy,reference_ghz,spectral_index\nmine,24.9,33.2,0.5,1.4,-0.7\n"
    )
    settings = Settings(
        state=tmp_path,
        calibration=CalibrationSettings(sky_model=listed),
        catalogue=CatalogueSettings(reference="sky"),
    )
    wanted = requested(workshop, settings)
    assert [s.name for s in wanted.background] == ["mine"]
    assert wanted.background_origin == f"the list {listed}"


def test_without_either_the_calibrator_is_alone(workshop: Workshop, tmp_path: Path) -> None:
    wanted = requested(workshop, Settings(state=tmp_path))
    assert (wanted.background, wanted.background_origin) == ((), "")


def test_a_catalogue_that_is_not_there_is_told_before_the_solve(
    workshop: Workshop, tmp_path: Path
) -> None:
    settings = Settings(state=tmp_path, catalogue=CatalogueSettings(reference="nvvs"))
    with pytest.raises(CatalogueError, match="there is no catalogue 'nvvs'"):
        requested(workshop, settings)
