"""The definitions as Dagster sees them."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contimg_assets.definitions import build_defs
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import AlertSettings, Settings
from tests.products.conftest import make_observation

ROOT = Path(__file__).parents[2]

WITHOUT_CASA = """
import sys

class NoCasa:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"casatools", "casatasks", "casaplotms", "casaconfig"}:
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, NoCasa())
from contimg_assets.definitions import defs
import dagster as dg
dg.Definitions.validate_loadable(defs)
print(sorted(m for m in sys.modules if m.startswith("casa")))
"""


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs()


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {s.key.to_user_string(): s for s in definitions.resolve_all_asset_specs()}


def test_definitions_load_where_casa_is_absent() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_CASA],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_the_night_goes_from_arrival_to_log(definitions: dg.Definitions) -> None:
    found = specs(definitions)
    assert {name: s.group_name for name, s in found.items()} == {
        "incoming_ms": "arrival",
        "incoming_sub_bands": "arrival",
        "measurement_set": "arrival",
        "caltable_set": "calibration",
        "calibrated_ms": "calibration",
        "image_5min": "imaging",
        "image_photometry": "photometry",
        "mosaic_60min": "mosaics",
        "forced_photometry": "photometry",
        "found_sources": "photometry",
        "new_sources": "photometry",
        "light_curves": "variability",
        "variability": "variability",
        "ese_candidates": "variability",
        "cutouts": "variability",
        "candidate_cards": "variability",
        "dashboard_export": "export",
        "sky_map": "export",
        "observation_log": "log",
        "reprocessed_day": "reprocessing",
    }
    upstream = {n: {d.asset_key.to_user_string() for d in s.deps} for n, s in found.items()}
    assert upstream["incoming_ms"] == set()
    assert upstream["incoming_sub_bands"] == set()
    assert upstream["measurement_set"] == {"incoming_sub_bands"}
    # An MS arrives, or is made of sub-bands.
    assert upstream["caltable_set"] == {"incoming_ms", "measurement_set"}
    assert upstream["calibrated_ms"] == {"incoming_ms", "measurement_set", "caltable_set"}
    assert upstream["image_5min"] == {"calibrated_ms"}
    assert upstream["image_photometry"] == {"image_5min"}
    assert upstream["mosaic_60min"] == {"image_5min"}
    assert upstream["forced_photometry"] == {"mosaic_60min", "image_5min"}
    assert upstream["found_sources"] == {"mosaic_60min"}
    assert upstream["new_sources"] == {"found_sources", "forced_photometry"}
    assert upstream["light_curves"] == {"forced_photometry", "new_sources"}
    assert upstream["variability"] == {"light_curves"}
    assert upstream["ese_candidates"] == {"light_curves", "variability"}
    assert upstream["cutouts"] == {"ese_candidates", "mosaic_60min", "new_sources"}
    assert upstream["candidate_cards"] == {
        "light_curves",
        "ese_candidates",
        "new_sources",
        "cutouts",
    }
    assert upstream["dashboard_export"] == {
        "variability",
        "ese_candidates",
        "cutouts",
        "candidate_cards",
        "new_sources",
    }
    assert upstream["sky_map"] == {"mosaic_60min"}
    assert upstream["observation_log"] == {"incoming_ms", "incoming_sub_bands", "image_5min"}


def test_every_asset_tells_who_owns_it_and_what_it_is(definitions: dg.Definitions) -> None:
    for name, spec in specs(definitions).items():
        assert spec.owners, name
        assert all(owner.startswith("team:") for owner in spec.owners), name
        assert len(spec.description or "") > 60, name
        assert 1 <= len(spec.kinds) <= 3, name
        if not name.startswith("incoming_"):
            assert spec.code_version, name


def test_descriptions_lead_to_documentation_and_dashboard() -> None:
    def described(**settings: Any) -> dict[str, str]:
        specs = build_defs(settings=Settings(**settings)).resolve_all_asset_specs()
        return {spec.key.to_user_string(): str(spec.description) for spec in specs}

    plain = described()
    assert all("\n\nDocumentation: `" in text for text in plain.values())
    # Each page exists.
    pages = {text.split("`")[-2] for text in plain.values()}
    assert all((ROOT / "docs" / f"{page}.md").is_file() for page in pages)
    alerts = AlertSettings(dashboard_url="https://example.org/contimg/")
    linked = described(docs_url="https://example.org/docs/", alerts=alerts)
    assert linked["caltable_set"].endswith(
        "Documentation: [registry](https://example.org/docs/registry/); "
        "dashboard: [calibration](https://example.org/contimg/#/calibration)."
    )


def test_daily_partitions_begin_with_the_first_observation(tmp_path: Path) -> None:
    with closing(ProductsStore(str(tmp_path / "products.sqlite3"))) as store:
        store.arrive(make_observation(tmp_path / "early.ms", 60_369.5))
    code = "from contimg_assets.partitions import utc_day; print(utc_day.get_first_partition_key())"
    environment = {**os.environ, "CONTIMG_STATE": str(tmp_path)}
    del environment["CONTIMG_FIRST_DAY"]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2024-02-29\n"


def test_the_launchpad_explains_the_form_of_a_reprocessed_day(definitions: dg.Definitions) -> None:
    asset = definitions.resolve_assets_def("reprocessed_day")
    fields = asset.op.config_schema.config_type.fields  # type: ignore[union-attr]
    assert {n: (f.default_value, f.description) for n, f in fields.items()} == {
        "only": ("ALL", "Observations to reprocess: ALL, MISSING, FAILED, STALE."),
        "step": (
            "CALIBRATED_MS",
            "First step to repeat; all later steps follow: MEASUREMENT_SET, CALIBRATED_MS, "
            "IMAGE_5MIN.",
        ),
    }


def test_every_check_of_a_product_is_partitioned_and_blocking(definitions: dg.Definitions) -> None:
    checks = {
        check.name: check
        for asset in definitions.resolve_asset_graph().assets_defs
        for check in asset.check_specs
    }
    overall = checks.pop("caltables_current")
    # A bad epoch is marked, and kept to be looked at; candidates are valid beside a low threshold;
    # images are made without a bad antenna, and with the beam that was measured.
    warnings = ("threshold_holds", "flux_scale", "positions", "spectral_indices", "found_sources")
    for name in (*warnings, "antennas", "primary_beam"):
        assert not checks.pop(name).blocking
    assert (overall.asset_key.to_user_string(), overall.blocking) == ("caltable_set", False)
    assert set(checks) == {
        "matches_headers",
        "solve_quality",
        "image_rms",
        "beam_sane",
        "known_fluxes",
        "astrometry",
        "mosaic_noise",
        "mosaic_seams",
    }
    assert all(check.blocking for check in checks.values())
    keyed = {
        name: check.partitions_def.name
        for name, check in checks.items()
        if isinstance(check.partitions_def, dg.DynamicPartitionsDefinition)
    }
    assert keyed["solve_quality"] == "calibration_mjd"
    assert keyed["image_rms"] == "observation_mjd"
    assert keyed["mosaic_seams"] == "mosaic_mjd"


def test_a_backfill_of_observations_stays_one_run_an_observation(
    definitions: dg.Definitions,
) -> None:
    for asset in definitions.resolve_asset_graph().assets_defs:
        # A range of days is one run where a day's work is less than what it takes to start.
        daily = {k.to_user_string() for k in asset.keys} <= {
            "light_curves",
            "variability",
            "ese_candidates",
            "cutouts",
            "candidate_cards",
        }
        assert (asset.backfill_policy is not None) == (daily and bool(asset.keys))


def test_no_asset_has_a_retry_policy_that_would_restart_what_a_user_ended(
    definitions: dg.Definitions,
) -> None:
    assets = definitions.resolve_asset_graph().assets_defs
    policies = [asset.op.retry_policy for asset in assets if asset.is_executable]
    assert len(policies) > 10
    assert set(policies) == {None}


def test_every_sensor_and_schedule_run_from_the_start(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {s.name for s in repository.sensor_defs} == {
        "observation_sensor",
        "waiting_sensor",
        "mosaic_sensor",
        "image_sensor",
        "staleness_sensor",
        "alert_sensor",
        "run_failures",
        "run_cancellations",
    }
    assert all(s.default_status == dg.DefaultSensorStatus.RUNNING for s in repository.sensor_defs)
    assert {s.name for s in repository.schedule_defs} == {
        "nightly_log",
        "daily_housekeeping",
        "daily_variability",
        "dashboard_schedule",
    }
    assert all(
        s.default_status == dg.DefaultScheduleStatus.RUNNING for s in repository.schedule_defs
    )


def test_the_instance_keeps_its_state_outside_the_checkout(tmp_path: Path) -> None:
    before = set(ROOT.iterdir())
    script = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("observation_mjd", ["61041.00347"])
    print(instance.telemetry_enabled, instance.nux_enabled, instance.run_retries_enabled,
          instance.run_monitoring_enabled, instance.run_monitoring_max_runtime_seconds,
          instance.get_concurrency_config().run_queue_config.max_concurrent_runs,
          instance.get_concurrency_config().pool_config.default_pool_limit)
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "DAGSTER_HOME": str(ROOT), "CONTIMG_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["False", "False", "True", "True", "14400", "2", "2"]
    assert (tmp_path / "history").is_dir()
    # Other tests may be making caches meanwhile; Dagster's own directories must not appear.
    assert not {p.name for p in set(ROOT.iterdir()) - before} & {"history", "storage", "schedules"}
