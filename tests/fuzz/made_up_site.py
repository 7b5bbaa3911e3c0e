"""A site whose observations and caltables are made up, for the model of observations' lives.

Belongs here: stores, deliveries and caltable sets, as they are and as the model knows them.
Doesn't: sensors and runs (see `test_life_model`).
"""

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
)

from contimg_assets import runs
from contimg_resources.calibration.apply.model import ApplyResult
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.core.keys import partition_key
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import Antenna, Observation, SpectralWindow
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.model import (
    ObservationState,
)
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps import watching
from contimg_resources.steps.workshop import Workshop
from tests.fuzz.mangling import counted
from tests.products.conftest import TRANSIT, make_observation
from tests.registry.conftest import LAYOUT, read_made_up_tables, write_table

S = ObservationState
MJD = 61_041.0
SLOTS = 4
#: A set serves what is this near, days: its neighbours.
REACH = 0.15
KEYS = [partition_key(MJD + 0.125 * slot) for slot in range(SLOTS)]
MIDS = [MJD + 0.125 * slot for slot in range(SLOTS)]
NAMES = st.sampled_from(("a", "b", "c", "d"))
SLOT = st.integers(0, SLOTS - 1)
MAX_STARTS = 3
BEFORE_IMAGE = (S.ARRIVED, S.WAITING, S.INTERRUPTED)


class MadeUpWorkshop(Workshop):
    """Reads made-up MS: a directory with a file that says what it is."""

    def read(self, path: Path) -> Observation:
        try:
            about = json.loads((path / "about.json").read_text())
        except OSError as error:
            raise UnreadableObservation(f"{path} is no MeasurementSet") from error
        return make_observation(
            path,
            MIDS[about["slot"]],
            signature=content_signature(path).digest,
            calibrators=(TRANSIT,) if about["calibrator"] else (),
            unusable="wholly flagged" if about["unusable"] else "",
            antennas=tuple(Antenna(i, n, True, 0.0) for i, n in enumerate(LAYOUT.antenna_names)),
            spectral_windows=tuple(
                SpectralWindow(i, first, last, (last - first) / (n - 1), n)
                for i, (first, last, n) in enumerate(LAYOUT.spectral_windows_hz)
            ),
        )


class MadeUpCasa:
    """Applies nothing, and writes a directory."""

    def open(self, _: Any) -> None: ...

    def run_timed(self, _: Any, request: Any, **__: Any) -> Any:
        request.output.mkdir(parents=True, exist_ok=True)
        (request.output / "table.dat").write_bytes(b"rows")
        result = ApplyResult(request.output, None, request.working_antennas, 1, 0.0, 0.0, 0.0)
        return type("Timed", (), {"value": result, "seconds": 0.0})()


@dataclass
class Seen:
    """An observation as the model knows it."""

    path: Path
    signature: str
    calibrator: bool
    unusable: bool
    state: ObservationState
    superseded: bool = False
    #: Sets that the products carry, by kind.
    made: dict[str, tuple[str, int]] = field(default_factory=dict)


@dataclass
class Delivered:
    """What lies in a directory of the incoming ones."""

    slot: int
    calibrator: bool
    unusable: bool
    signature: str
    readable: bool


class MadeUpSite(RuleBasedStateMachine):
    """Rules for what people do at a site, to the platform and to the model."""

    def __init__(self) -> None:
        super().__init__()
        counted()
        self.stack = ExitStack()
        root = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(state=root / "state", arrival={"settle_age_s": 0.0})
        settings.incoming_dir.mkdir(parents=True)
        self.root, self.incoming = root, settings.incoming_dir
        self.instance = self.stack.enter_context(
            dg.DagsterInstance.ephemeral(
                settings={"run_retries": {"enabled": True, "max_retries": MAX_STARTS}}
            )
        )
        patched = self.stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr(runs, "PAUSE_S", 0.0)
        patched.setattr(watching, "RECHECK_S", 600.0)
        patched.setattr(
            "contimg_resources.steps.calibrating.wait_for_disk_space", lambda *_, **__: None
        )
        self.workshop = MadeUpWorkshop(
            settings=settings,
            registry=CalibrationRegistry(settings.registry_address, inspect=read_made_up_tables),
            products=ProductsStore(settings.products_address),
            casa=MadeUpCasa(),  # type: ignore[arg-type]
            calibrators=CalibratorList(),
        )
        self.stack.callback(self.workshop.products.close)
        self.stack.callback(self.workshop.registry.close)
        self.memory = watching.ScanCursor()
        self.numbers = count(1)
        self.there: dict[Path, Delivered] = {}
        self.seen: dict[str, Seen] = {}
        #: Name, version, slot, active.
        self.sets: list[tuple[str, int, int, bool]] = []
        self.requested: set[str] = set()

    # What arrives ----------------------------------------------------------------------------

    @rule(name=NAMES, slot=SLOT, calibrator=st.booleans(), unusable=st.sampled_from((0, 0, 0, 1)))
    def deliver(self, name: str, slot: int, calibrator: bool, unusable: int) -> None:
        path = self.incoming / f"{name}.ms"
        path.mkdir(exist_ok=True)
        about = {"slot": slot, "calibrator": calibrator, "unusable": bool(unusable)}
        (path / "about.json").write_text(json.dumps(about))
        self._stamp(path)
        signature = content_signature(path).digest
        self.there[path] = Delivered(slot, calibrator, bool(unusable), signature, True)

    def _stamp(self, path: Path) -> None:
        at_s = 1_700_000_000 + next(self.numbers)
        for file in path.iterdir():
            os.utime(file, (at_s, at_s))
        (path.parent / f"{path.name}.done").touch()

    @rule(name=NAMES)
    def deliver_what_cannot_be_read(self, name: str) -> None:
        path = self.incoming / f"{name}.ms"
        if path not in self.there:
            path.mkdir()
            (path / "table.dat").write_bytes(b"")
            self._stamp(path)
            self.there[path] = Delivered(0, False, False, "", False)

    @precondition(lambda self: any(d.readable for d in self.there.values()))
    @rule(name=NAMES, data=st.data())
    def deliver_a_second_time(self, name: str, data: st.DataObject) -> None:
        readable = sorted(p for p, d in self.there.items() if d.readable)
        self.copy(data.draw(st.sampled_from(readable)).stem, name)

    def copy(self, other: str, name: str) -> None:
        source, path = (self.incoming / f"{n}.ms" for n in (other, name))
        if path not in self.there:
            shutil.copytree(source, path)
            (path.parent / f"{path.name}.done").touch()
            self.there[path] = Delivered(**vars(self.there[source]))

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.take_away(data.draw(st.sampled_from(sorted(self.there))).stem)

    def take_away(self, name: str) -> None:
        path = self.incoming / f"{name}.ms"
        shutil.rmtree(path)
        (path.parent / f"{path.name}.done").unlink()
        del self.there[path]

    # The registry ----------------------------------------------------------------------------

    @rule(slot=SLOT)
    def register(self, slot: int) -> None:
        self._register(f"hand{slot}", slot)

    def _register(self, name: str, slot: int) -> None:
        table = self.root / f"t{next(self.numbers)}.gp"
        write_table(table, CaltableType.GP, MIDS[slot])
        found = self.workshop.registry.register(
            NewCaltableSet(
                name=name,
                calibrator="3C286",
                refant="104",
                mid_mjd=MIDS[slot],
                start_mjd=MIDS[slot] - REACH,
                end_mjd=MIDS[slot] + REACH,
                declination_deg=16.3,
                layout=LAYOUT,
                tables=(NewCaltable(CaltableType.GP, table),),
            )
        )
        self.sets = [(*s[:3], s[3] and s[0] != name) for s in self.sets]
        self.sets.append((name, found.version, slot, True))

    @precondition(lambda self: any(s[3] for s in self.sets))
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        name, version, *_ = data.draw(st.sampled_from([s for s in self.sets if s[3]]))
        self.workshop.registry.retire(name, "bad weather")
        self.sets = [(*s[:3], s[3] and s[:2] != (name, version)) for s in self.sets]

    def _set_for(self, key: str) -> tuple[str, int] | None:
        slot = KEYS.index(key)
        near = [
            (abs(s[2] - slot), -number, s[:2])
            for number, s in enumerate(self.sets)
            if s[3] and abs(s[2] - slot) <= 1
        ]
        return min(near)[2] if near else None
