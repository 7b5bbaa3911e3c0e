"""The life of observations against a model: what arrives, runs, dies, is retired and made again.

The real watching of a directory, stores, steps and sensors' decisions on an ephemeral instance of
Dagster, without its processes: the machine starts and ends runs, as the daemon would.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contimg_assets import runs, sensors
from contimg_resources.core.errors import ContimgError
from contimg_resources.products.model import (
    Artefact,
    ArtefactKind,
    ImageRecord,
)
from contimg_resources.steps import watching
from contimg_resources.steps.calibrating import calibrate_observation
from contimg_resources.steps.reprocessing import Which, choose_observations
from contimg_resources.steps.staleness import stale_observations
from contimg_resources.steps.starting import open_observations, record_failure, tell_waiting
from tests.assets.parts import parts_of
from tests.assets.test_lost_runs import begin, lose
from tests.fuzz.made_up_site import (
    BEFORE_IMAGE,
    KEYS,
    Delivered,
    MadeUpSite,
    S,
    Seen,
)
from tests.fuzz.mangling import fuzzed


class Life(MadeUpSite):
    """Rules for what happens at a site, to the platform and to the model."""

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.stack.close()

    # The sensors -----------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self._ask()

    def _ask(self) -> int:
        """Look and ask for runs, as the two sensors do; return how many there are."""
        self._model_arrivals()
        found = watching.scan_directory(self.workshop, self.memory, budget_s=600.0)
        self.memory = watching.ScanCursor.from_text(found.memory.to_text())
        undone = open_observations(self.workshop)
        tell_waiting(self.workshop, undone, solving=True)
        self._model_waiting()
        waiting = [o for o in open_observations(self.workshop) if o.waits]
        requests = (
            *sensors._solve_requests(self.instance, undone),
            *sensors._image_requests(self.instance, [o for o in undone if not o.waits]),
        )
        for request in requests:
            self._submit(request)
        later = sensors._image_requests(self.instance, waiting)
        for request in later:
            self._submit(request)
        return len(requests) + len(later)

    def _submit(self, request: dg.RunRequest) -> None:
        assert request.run_key not in self.requested, "Dagster never accepts a run key twice"
        self.requested.add(str(request.run_key))
        observation = self.seen[str(request.partition_key)]
        assert not observation.superseded, "its MS holds another observation"
        self._start(
            str(request.job_name or "image_observation"),
            {"dagster/run_key": str(request.run_key)},
            str(request.partition_key),
            frozenset(request.asset_selection) if request.asset_selection else None,
        )

    def _start(
        self, job: str, tags: dict[str, str], key: str, selection: Any = None
    ) -> dg.DagsterRun:
        run = dg.DagsterRun(
            job_name=job,
            status=dg.DagsterRunStatus.STARTING,
            asset_selection=selection,
            tags={**tags, "dagster/partition": key},
        )
        self.instance.add_run(run)
        return run

    def _model_arrivals(self) -> None:
        current = {o.path: o.signature for o in self.seen.values() if not o.superseded}
        new = [p for p in sorted(self.there) if p not in current]
        changed = [p for p in sorted(self.there) if p in current and current[p] != self._digest(p)]
        for path in (*new, *changed):
            if self.there[path].readable:
                self._model_arrival(path, self.there[path])

    def _digest(self, path: Path) -> str:
        return self.there[path].signature

    def _model_arrival(self, path: Path, ms: Delivered) -> None:
        key = KEYS[ms.slot]
        known = self.seen.get(key)
        replaces = known is None or known.superseded
        if known is not None and not known.superseded:
            stands = known.path in self.there
            if known.path == path:
                replaces = known.signature != ms.signature
            elif known.signature == ms.signature:
                if not stands:
                    known.path = path
            elif stands and not (known.unusable and not ms.unusable):
                # Two different MS of one time: neither is touched.
                return
            else:
                replaces = True
        for other_key, other in self.seen.items():
            if other_key != key and other.path == path and not other.superseded:
                other.superseded = True
                if other.state in BEFORE_IMAGE:
                    other.state = S.FAILED
        if replaces:
            made = known.made if known else {}
            self.seen[key] = Seen(
                path, ms.signature, ms.calibrator, ms.unusable, S.ARRIVED, made=made
            )
        now = self.seen[key]
        if now.state is S.ARRIVED:
            if now.unusable:
                now.state = S.FAILED
            elif not now.calibrator and self._set_for(key) is None:
                now.state = S.WAITING

    def _model_waiting(self) -> None:
        for key, one in self.seen.items():
            if one.superseded or self._set_for(key) is not None:
                continue
            first = one.state in (S.ARRIVED, S.INTERRUPTED)
            if (first and not one.calibrator) or one.state in (S.SOLVED, S.CALIBRATED):
                one.state = S.WAITING

    # Runs ------------------------------------------------------------------------------------

    def _open_runs(self) -> list[dg.DagsterRun]:
        records = self.instance.get_run_records(dg.RunsFilter(statuses=runs.UNFINISHED))
        return [r.dagster_run for r in sorted(records, key=lambda r: r.storage_id)]

    @precondition(lambda self: self._open_runs())
    @rule(
        data=st.data(),
        end=st.sampled_from(
            ("good", "good", "good", "step fails", "dies", "dies later", "is lost", "cancelled")
        ),
    )
    def a_run(self, data: st.DataObject, end: str) -> None:
        opened = self._open_runs()
        self._run(opened[data.draw(st.integers(0, len(opened) - 1))], end)

    def _run(self, run: dg.DagsterRun, end: str) -> None:
        key = run.tags["dagster/partition"]
        solving = run.job_name == "solve_calibration"
        step = "caltable_set" if solving else "calibrated_ms"
        if end == "is lost":
            lose(self.instance, run)
            self._tell_failure(run, step, begun=False)
            return
        begin(self.instance, run, step)
        if end == "cancelled":
            self.instance.report_run_canceled(run)
            self._tell_cancellation(run, key, solving)
            return
        if end == "dies" or (end == "dies later" and solving):
            self.instance.report_run_failed(run, "the worker ended with exit code -9")
            self._tell_failure(run, step, begun=True)
            return
        if solving:
            self._solve(run, key, end == "good")
        else:
            self._image(run, key, end)

    def _solve(self, run: dg.DagsterRun, key: str, good: bool) -> None:
        one = self.seen[key]
        reason = "" if good else "SNR 1"
        try:
            self.workshop.unchanged(key).refuse_unusable()
        except ContimgError as error:
            reason = error.message
        usable = not one.unusable and self._is_unchanged(one)
        assert (reason == "") == (usable and good)
        if reason:
            self._step_failed(run, key, "caltable_set", reason)
            if one.state in (S.ARRIVED, S.INTERRUPTED, S.WAITING, S.FAILED):
                one.state = S.WAITING
            return
        self._register(f"solved{KEYS.index(key)}", KEYS.index(key))
        self.workshop.products.set_state(
            key, S.SOLVED, step="caltable_set", reason="registered", run_id=run.run_id
        )
        one.state = S.SOLVED
        self._succeed(run)

    def _is_unchanged(self, one: Seen) -> bool:
        there = self.there.get(one.path)
        return there is not None and there.readable and there.signature == one.signature

    def _image(self, run: dg.DagsterRun, key: str, end: str) -> None:
        one = self.seen[key]
        expected = self._set_for(key)
        allowed = not one.unusable and self._is_unchanged(one)
        try:
            calibrated = calibrate_observation(self.workshop, key, run_id=run.run_id)
        except ContimgError as error:
            assert not (allowed and expected)
            self._step_failed(run, key, "calibrated_ms", error.message)
            one.state = S.WAITING if allowed else S.FAILED
            return
        applied = (calibrated.active.set.name, calibrated.active.set.version)
        assert allowed
        assert applied == expected
        one.state = S.CALIBRATED
        one.made["calibrated_ms"] = applied
        begin(self.instance, run, "image_5min")
        if end == "dies later":
            self.instance.report_run_failed(run, "the worker ended with exit code -9")
            self._tell_failure(run, "image_5min", begun=True)
        elif end == "step fails":
            self._step_failed(run, key, "image_5min", "it diverged")
            one.state = S.FAILED
        else:
            image = Artefact(
                ArtefactKind.IMAGE, self.root / f"{key}.fits", set_name=applied[0],
                set_version=applied[1], run_id=run.run_id,
            )  # fmt: skip
            self.workshop.products.put_artefacts(key, [image], image=ImageRecord(1.0))
            self.workshop.products.set_state(key, S.IMAGED, step="image_5min", run_id=run.run_id)
            one.state = S.IMAGED
            one.made["image"] = applied
            self._succeed(run)

    def _succeed(self, run: dg.DagsterRun) -> None:
        self.instance.report_dagster_event(
            dg.DagsterEvent(
                event_type_value=dg.DagsterEventType.PIPELINE_SUCCESS.value, job_name=run.job_name
            ),
            run_id=run.run_id,
        )

    def _step_failed(self, run: dg.DagsterRun, key: str, step: str, reason: str) -> None:
        """End a run of which a step failed: Dagster doesn't try it again; the sensor tells."""
        self.instance.report_run_failed(run, "a step failed")
        self.instance.add_run_tags(run.run_id, {runs.WILL_RETRY_TAG: "false"})
        record_failure(self.workshop, key, step=step, reason=reason, run_id=run.run_id)

    def _tell_failure(self, run: dg.DagsterRun, step: str, *, begun: bool) -> None:
        """Let the sensor tell of a run that was cut off; change the model alike."""
        one = self.seen[run.tags["dagster/partition"]]
        record = self.instance.get_run_record_by_id(run.run_id)
        assert record is not None
        again = runs.fate_of(record) is not runs.Fate.OVER
        (entry,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        sensors.run_failures(
            dg.build_run_status_sensor_context(
                sensor_name="run_failures",
                dagster_event=entry.get_dagster_event(),
                dagster_instance=self.instance,
                dagster_run=record.dagster_run,
                resources=parts_of(self.workshop),
            ).for_run_failure()
        )
        if again:
            one.state = S.INTERRUPTED if begun else one.state
        elif step == "caltable_set":
            if one.state in (S.ARRIVED, S.INTERRUPTED, S.WAITING, S.FAILED):
                one.state = S.WAITING
        else:
            one.state = S.FAILED

    def _tell_cancellation(self, run: dg.DagsterRun, key: str, solving: bool) -> None:
        (entry,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_CANCELED)
        stored = self.instance.get_run_by_id(run.run_id)
        assert stored is not None
        sensors.run_cancellations(
            dg.build_run_status_sensor_context(
                sensor_name="run_cancellations",
                dagster_event=entry.get_dagster_event(),
                dagster_instance=self.instance,
                dagster_run=stored,
                resources=parts_of(self.workshop),
            )
        )
        one = self.seen[key]
        if one.state in (S.IMAGED, S.FAILED):
            return
        if not solving:
            one.state = S.FAILED
        elif one.state in (S.ARRIVED, S.INTERRUPTED, S.WAITING):
            one.state = S.WAITING

    @rule()
    def dagster_starts_again_what_was_interrupted(self) -> None:
        self._retry()

    def _retry(self) -> int:
        failed = self.instance.get_run_records(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        )
        found = [r.dagster_run for r in failed if r.dagster_run.is_complete_and_waiting_to_retry]
        for run in found:
            tags = {k: v for k, v in run.tags.items() if k != runs.WILL_RETRY_TAG}
            root = run.root_run_id or run.run_id
            n = int(tags.get("dagster/retry_number", 0)) + 1
            again = dg.DagsterRun(
                job_name=run.job_name,
                status=dg.DagsterRunStatus.STARTING,
                asset_selection=run.asset_selection,
                root_run_id=root,
                parent_run_id=run.run_id,
                tags={**tags, "dagster/retry_number": str(n), "dagster/root_run_id": root,
                      "dagster/parent_run_id": run.run_id},
            )  # fmt: skip
            self.instance.add_run(again)
            self.instance.add_run_tags(run.run_id, {runs.RETRY_ID_TAG: again.run_id})
        return len(found)

    # By hand ---------------------------------------------------------------------------------

    @rule(which=st.sampled_from(list(Which)))
    def reprocess(self, which: Which) -> None:
        busy = runs.keys_in_progress(self.instance)
        chosen = choose_observations(self.workshop, which, busy=busy)
        wanted = {
            key
            for key, one in self.seen.items()
            if not one.superseded
            and {
                Which.ALL: True,
                Which.FAILED: one.state is S.FAILED,
                Which.MISSING: one.state is not S.FAILED and "image" not in one.made,
                Which.STALE: self._is_stale(key, one),
            }[which]
        }
        assert {c.key for c in chosen} == wanted
        for one in chosen:
            ms = self.seen[one.key]
            can = one.key not in busy and ms.path in self.there and self._set_for(one.key)
            assert bool(one.hindrance) != bool(can), one
            if not one.hindrance:
                selection = frozenset({dg.AssetKey("calibrated_ms"), dg.AssetKey("image_5min")})
                self._start("__ASSET_JOB", {}, one.key, selection)

    def _is_stale(self, key: str, one: Seen) -> bool:
        return any(applied != self._set_for(key) for applied in one.made.values())

    # What holds ------------------------------------------------------------------------------

    @invariant()
    def the_store_says_what_the_model_does(self) -> None:
        records = self.workshop.products.list_observations()
        found = {r.key: (r.path, r.signature, r.state, bool(r.superseded_by)) for r in records}
        assert found == {
            k: (o.path, o.signature, o.state, o.superseded) for k, o in self.seen.items()
        }
        for record in records:
            if record.state in (S.WAITING, S.FAILED):
                assert record.reason
            events = self.workshop.products.history(record.key)
            assert events[-1].state == record.state
        assert self.workshop.products.counts() == {
            state: sum(o.state is state for o in self.seen.values()) for state in S
        }

    @invariant()
    def stale_is_what_would_get_another_set_now(self) -> None:
        found = {s.key for s in stale_observations(self.workshop)}
        assert found == {
            k for k, o in self.seen.items() if not o.superseded and self._is_stale(k, o)
        }

    def settle(self) -> None:
        """End all faults: what can be imaged must be, without a hand."""
        for _ in range(30):
            n = self._ask() + self._retry()
            opened = self._open_runs()
            for run in opened:
                self._run(run, "good")
            if not n and not opened:
                break
        else:
            pytest.fail("it never settles")
        self.the_store_says_what_the_model_does()
        for key, one in self.seen.items():
            if one.superseded:
                continue
            assert one.state in (S.IMAGED, S.FAILED, S.WAITING), (key, one)
            if one.state is S.WAITING:
                assert self._set_for(key) is None, f"{key} waits for {self._set_for(key)}"
        for path, ms in self.there.items():
            if not ms.readable:
                continue
            holder = self.seen[KEYS[ms.slot]]
            # Only another MS of the same time, that is still there, keeps one out.
            assert holder.path == path or holder.path in self.there, f"{path} is left out"


@pytest.fixture
def life() -> Iterator[Life]:
    machine = Life()
    yield machine
    machine.teardown()


@pytest.mark.parametrize("twice", [False, True])
def test_an_ms_that_another_kept_out_is_taken_when_that_is_gone(life: Life, twice: bool) -> None:
    life.deliver("a", 0, False, 0)
    life.tick()
    if twice:
        life.copy("a", "b")
    else:
        life.deliver("b", 0, False, 0)
    life.tick()
    life.take_away("a")
    life.tick()
    assert life.workshop.products.get(KEYS[0]).path == life.incoming / "b.ms"


def test_what_an_ms_held_before_is_not_started(life: Life) -> None:
    life.register(0)
    life.deliver("a", 0, True, 0)
    life.tick()
    (solve,) = life._open_runs()
    life._run(solve, "good")
    life.deliver("a", 1, False, 0)
    life.tick()
    assert [r.tags["dagster/partition"] for r in life._open_runs()] == [KEYS[1]]


def test_observations_live_as_in_the_model() -> None:
    run_state_machine_as_test(Life, settings=fuzzed(4))
