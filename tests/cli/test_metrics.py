"""What Prometheus reads of a platform, as its own parser understands it."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contimg_resources.cli.metrics import MetricsServer, PlatformMetrics
from contimg_resources.cli.webserver import DagsterRun
from contimg_resources.core.errors import ConfigurationError, PlatformError
from contimg_resources.settings import Settings
from tests.steps.conftest import Made, made

__all__ = ["made"]


def runs(limit: int) -> tuple[DagsterRun, ...]:
    done = [DagsterRun(str(s), "image", "SUCCESS", "", (), s) for s in (4.0, 6.0, 11.0)]
    return (DagsterRun("q", "image", "QUEUED", "", (), None), *done)[:limit]


def read(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


def test_the_state_and_the_runs_are_measured(made: Made) -> None:
    metrics = PlatformMetrics(made.workshop.settings, runs, lambda: {"dagster-daemon": 2})
    (last,) = made.workshop.products.list_observations(limit=1)
    made.workshop.products.rejections.update(Path("/ms"), {"a.ms": "no rows"})
    with MetricsServer(metrics, 0) as server:
        found = read(server.port)
        counts = made.workshop.products.counts()
        assert {s.value: found["contimg_observations", s.value] for s in counts} == {
            s.value: n for s, n in counts.items()
        }
        assert found["contimg_caltable_sets", "active"] == 1
        assert found["contimg_rejected_deliveries",] == 1
        end_s = (last.end_mjd - 40_587) * 86_400
        assert found["contimg_last_end_timestamp_seconds", "observation"] == pytest.approx(end_s)
        assert found["contimg_runs", "QUEUED"] == 1
        assert found["contimg_runs", "SUCCESS"] == 3
        assert found["contimg_run_duration_seconds", "image"] == 6.0
        assert found["contimg_process_restarts", "dagster-daemon"] == 2
        assert found["contimg_disk_free_bytes",] > 1e6
        assert {found["contimg_up", p] for p in ("products", "registry", "dagster")} == {1.0}


def test_what_cannot_be_read_is_zero_and_harms_nothing_else(tmp_path: Path) -> None:
    def down(limit: int) -> Any:
        raise PlatformError("the webserver doesn't answer")

    settings = Settings(state=tmp_path)
    with MetricsServer(PlatformMetrics(settings, down), 0) as server:
        found = read(server.port)
        assert {found["contimg_up", p] for p in ("products", "registry", "dagster")} == {0.0}
        assert not list(tmp_path.iterdir()), "asking makes no store"
        with pytest.raises(ConfigurationError, match=f"port {server.port} .* can't be used"):
            MetricsServer(PlatformMetrics(settings, down), server.port)
