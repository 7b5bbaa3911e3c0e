"""Fixtures that every folder of tests may use."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa


@pytest.fixture(scope="session")
def casa(tmp_path_factory: pytest.TempPathFactory) -> Casa:
    """Give the door to CASA with scratch space and logs of this session."""
    root: Path = tmp_path_factory.mktemp("casa")
    return Casa(root / "scratch", root / "logs", timeout_s=600)


def _refuse_skip(report: Any) -> None:
    """Turn a skip into a failure where everything that a test may need was installed."""
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure and os.environ.get("CONTIMG_REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"CONTIMG_REQUIRE_ALL is set, and this was skipped: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report
