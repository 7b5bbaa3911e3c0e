"""Stores, channels and made-up records."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.products.dips import FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import AlertSettings, Settings
from contimg_resources.steps.workshop import Workshop
from tests.alerts.servers import Hook, MailServer, serving
from tests.registry.conftest import read_made_up_tables

NOW = 61_041.6


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    with serving(server):
        yield server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    with serving(server):
        yield server


def make_workshop(root: Path, **alerts: Any) -> Workshop:
    # The made-up observations are few, with hours between them.
    alerts = {"silence_min": None} | alerts
    settings = Settings(state=root / "state", alerts=AlertSettings(**alerts))
    settings.state.mkdir(parents=True, exist_ok=True)
    return Workshop(
        settings=settings,
        registry=CalibrationRegistry(settings.registry_address, inspect=read_made_up_tables),
        products=ProductsStore(settings.products_address),
        casa=Casa(root / "scratch", root / "logs"),
        calibrators=CalibratorList(),
    )


def make_candidate(**changes: Any) -> CandidateRecord:
    values: dict[str, Any] = {
        "id": f"nvss-013741+330935-{uuid.uuid4().hex[:6]}",
        "source_id": "nvss-013741+330935",
        "ra_deg": 24.4221,
        "dec_deg": 33.1597,
        "state": CandidateState.IN_PROGRESS,
        "start_mjd": NOW - 20,
        "mid_mjd": NOW - 10,
        "end_mjd": NOW,
        "score": 41.25,
        "parameters": FittedDip(
            depth=0.35,
            depth_error=0.02,
            width_days=30.0,
            width_error_days=2.5,
            threshold=12.5,
        ),
    }
    return CandidateRecord(**{**values, **changes})
