"""A registry whose inspector reads made-up tables: a directory with an `info` file."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.instrument.caltables import (
    ArrayLayout,
    CaltableField,
    CaltableInfo,
    CaltableType,
    TableQuality,
)
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry

MJD = 61_041.0
WINDOWS = tuple(
    (1.3114e9 + i * 1.172e7, 1.3114e9 + i * 1.172e7 + 47 * 244140.625, 48) for i in range(4)
)
LAYOUT = ArrayLayout(("1", "2", "3", "104"), WINDOWS)
GAIN_WINDOWS = tuple((0.5 * (a + b), 0.5 * (a + b), 1) for a, b, _ in WINDOWS)


GOOD = TableQuality(
    n_solutions=1536,
    flagged_fraction=0.05,
    flagged_by_receptor=(0.05, 0.05),
    median_snr=50.0,
    amplitude_scatter=0.02,
    phase_scatter_deg=1.0,
    holds_amplitude=False,
    minimum=0.5,
    maximum=2.0,
    n_dead_antennas=0,
    n_antennas_solved=4,
    n_antennas=4,
)


def quality(**changes: Any) -> TableQuality:
    return replace(GOOD, **changes)


def flagged(fraction: float) -> TableQuality:
    return quality(flagged_fraction=fraction, flagged_by_receptor=(fraction, fraction))


def read_made_up_tables(paths: Sequence[Path]) -> list[CaltableInfo]:
    return [pickle.loads((p / "info").read_bytes()) for p in paths]


def write_table(path: Path, table_type: CaltableType, mid_mjd: float = MJD, **changes: Any) -> Path:
    per_channel = table_type in (CaltableType.BA, CaltableType.BP)
    windows = WINDOWS if per_channel else GAIN_WINDOWS
    info: dict[str, Any] = {
        "path": path,
        "casa_subtype": table_type.casa_subtypes[0],
        "quality": GOOD,
        "identity_fraction": 0.25,
        "layout": ArrayLayout(LAYOUT.antenna_names, windows),
        "start_mjd": mid_mjd - 0.001,
        "end_mjd": mid_mjd + 0.001,
        "fields": (CaltableField("3C286", 16.3),),
        "source_ms": "2025-10-06T12:36:09.ms",
        "refant": "104",
    }
    path.mkdir(parents=True)
    (path / "info").write_bytes(pickle.dumps(CaltableInfo(**{**info, **changes})))
    (path / "table.dat").write_bytes(str(path).encode())
    (path / "table.lock").write_bytes(b"")
    return path


ALL_BUT_FLUX = tuple(t for t in CaltableType if t is not CaltableType.FLUX)


@dataclass
class Maker:
    """Writes made-up caltables and says what set they make."""

    root: Path
    count: int = 0
    shared: dict[tuple[CaltableType, ...], tuple[NewCaltable, ...]] = field(default_factory=dict)

    def __call__(
        self,
        name: str = "cal",
        mid_mjd: float = MJD,
        *,
        types: Sequence[CaltableType] = ALL_BUT_FLUX,
        before: float = 1.0,
        after: float = 1.0,
        declination_deg: float | None = 16.3,
        layout: ArrayLayout | None = LAYOUT,
        **changes: Any,
    ) -> NewCaltableSet:
        self.count += 1
        folder = self.root / f"tables{self.count}"
        tables = tuple(
            NewCaltable(t, write_table(folder / f"x{t.suffix}", t, mid_mjd, **changes))
            for t in types
        )
        return NewCaltableSet(
            name=name,
            calibrator="3C286",
            refant="104",
            mid_mjd=mid_mjd,
            start_mjd=mid_mjd - before,
            end_mjd=mid_mjd + after,
            declination_deg=declination_deg,
            layout=layout,
            tables=tables,
            origin={"ms": "2025-10-06T12:36:09.ms"},
        )


@pytest.fixture
def new_set(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def registry(address: str) -> Iterator[CalibrationRegistry]:
    registry = CalibrationRegistry(address, inspect=read_made_up_tables)
    yield registry
    registry.close()


@pytest.fixture
def open_registry(address: str) -> Callable[[], CalibrationRegistry]:
    return lambda: CalibrationRegistry(address, inspect=read_made_up_tables)
