"""A products store and made-up observations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.observations.model import (
    Antenna,
    CalibratorTransit,
    Observation,
    ObservedField,
    SpectralWindow,
)
from contimg_resources.products.store import ProductsStore

MJD = 61_041.00347


def make_observation(path: Path, mid_mjd: float = MJD, **changes: Any) -> Observation:
    path.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "path": path,
        "telescope": "OVRO_MMA",
        "start_mjd": mid_mjd - 0.0018,
        "end_mjd": mid_mjd + 0.0018,
        "mid_mjd": mid_mjd,
        "fields": (ObservedField(0, "meridian_icrs_t0", 10.0, 16.3, mid_mjd),),
        "declination_deg": 16.3,
        "antennas": (Antenna(0, "1", True, 0.1), Antenna(1, "104", False, 1.0)),
        "spectral_windows": (SpectralWindow(3, 1.3e9, 1.31e9, 244140.625, 48),),
        "correlations": ("XX", "YY"),
        "integration_s": 12.884902,
        "n_integrations": 24,
        "n_rows": 24,
        "flagged_fraction": 0.1,
        "calibrators": (),
        "signature": "s1",
    }
    return Observation(**{**values, **changes})


TRANSIT = CalibratorTransit("3C286", 202.78, 30.5, 0.1, MJD, 15.0, 14.2)


@pytest.fixture
def store(address: str) -> Iterator[ProductsStore]:
    store = ProductsStore(address)
    yield store
    store.close()
