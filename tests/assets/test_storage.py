"""Partition keys are remembered, and forgotten at once when anybody changes them."""

import ast
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from dagster import AssetKey, DagsterEventType, instance_for_test, job, op
from sqlalchemy import event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import Engine

from contimg_assets.storage import EventLog, Storage


@op
def _work() -> None:
    """Do nothing."""


@job
def _some_job() -> None:
    _work()


ROOT = Path(__file__).parents[2]
NAME = "observation_mjd"
KEYS = [f"{61000 + 0.01 * i:.5f}" for i in range(300)]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = Storage.from_local(str(tmp_path))
    made.event_log_storage.add_dynamic_partitions(NAME, KEYS)
    yield made
    made.dispose()


def test_what_was_read_is_not_read_again(storage: Storage) -> None:
    log = storage.event_log_storage
    assert log.get_dynamic_partitions(NAME) == KEYS
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert log.get_dynamic_partitions(NAME) == KEYS
        assert log.get_existing_dynamic_partitions(NAME, [*KEYS, "61."]) == set(KEYS)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert asked == []


def test_two_that_add_one_key_at_once_both_succeed(storage: Storage, tmp_path: Path) -> None:
    other = Storage.from_local(str(tmp_path))
    added = [f"{62000 + 0.01 * i:.5f}" for i in range(50)]
    at_once = threading.Barrier(2)
    failed: list[BaseException] = []

    def add(log: EventLog) -> None:
        for key in added:
            at_once.wait()
            try:
                log.add_dynamic_partitions(NAME, [key])
            except Exception as error:
                failed.append(error)

    logs = (storage.event_log_storage, other.event_log_storage)
    threads = [threading.Thread(target=add, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for log in logs:
        assert log.get_dynamic_partitions(NAME) == [*KEYS, *added]
    other.dispose()


def test_the_answer_is_the_caller_s_own(storage: Storage) -> None:
    log = storage.event_log_storage
    keys = log.get_dynamic_partitions(NAME)
    assert isinstance(keys, list)
    keys.clear()
    assert log.get_dynamic_partitions(NAME) == KEYS


def test_a_change_is_seen_whoever_made_it(storage: Storage, tmp_path: Path) -> None:
    log = storage.event_log_storage
    other = Storage.from_local(str(tmp_path)).event_log_storage
    for mine, theirs in ((log, other), (other, log)):
        assert mine.get_dynamic_partitions(NAME)[-1] == theirs.get_dynamic_partitions(NAME)[-1]
        # SQLite gives the row of the new key the number of the one that went.
        last = mine.get_dynamic_partitions(NAME)[-1]
        mine.delete_dynamic_partition(NAME, last)
        mine.add_dynamic_partitions(NAME, [f"{last}1"])
        for asked in (mine, theirs):
            assert asked.get_dynamic_partitions(NAME)[-1] == f"{last}1"
            assert last not in asked.get_existing_dynamic_partitions(NAME, [*KEYS, last])
    code = (
        "import sys; from contimg_assets.storage import Storage;"
        "log = Storage.from_local(sys.argv[1]).event_log_storage;"
        f"log.add_dynamic_partitions({NAME!r}, ['61999.00000'])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert log.get_dynamic_partitions(NAME)[-1] == "61999.00000"


def test_definitions_don_t_mix(storage: Storage) -> None:
    log = storage.event_log_storage
    log.add_dynamic_partitions("calibration_mjd", KEYS[:2])
    assert log.get_dynamic_partitions(NAME) == KEYS
    assert log.get_dynamic_partitions("calibration_mjd") == KEYS[:2]
    assert log.get_existing_dynamic_partitions("calibration_mjd", KEYS) == set(KEYS[:2])


def test_threads_see_every_key_that_was_added_before_they_asked(storage: Storage) -> None:
    log = storage.event_log_storage
    wrong: list[str] = []

    def add_and_ask(number: int) -> None:
        for i in range(20):
            key = f"{62000 + number + 0.001 * i:.5f}"
            log.add_dynamic_partitions(NAME, [key])
            if key not in log.get_dynamic_partitions(NAME):
                wrong.append(key)

    threads = [threading.Thread(target=add_and_ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # A thread that died would have found nothing wrong.
    assert len(log.get_dynamic_partitions(NAME)) == len(KEYS) + 4 * 20


def test_a_process_reads_the_migrations_and_compiles_a_statement_once(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert storage.run_storage.get_runs_count() == 0
    key = AssetKey("image_5min")
    assert storage.event_log_storage.get_latest_materialization_events([key]) == {}

    def never(*_: object, **__: object) -> None:
        raise AssertionError("once more")

    monkeypatch.setattr(ScriptDirectory, "from_config", never)
    # Of the same databases, as each tick of a sensor opens them.
    again = Storage.from_local(str(tmp_path))
    monkeypatch.setattr(SQLiteCompiler, "__init__", never)
    assert again.run_storage.get_runs_count() == 0
    assert again.event_log_storage.get_latest_materialization_events([key]) == {}
    again.dispose()


def test_what_another_process_wrote_is_read(storage: Storage, tmp_path: Path) -> None:
    """Statements are kept, not connections: nobody sees a database as it was."""
    assert storage.run_storage.get_runs_count() == 0
    code = (
        "import sys; from dagster import DagsterRun; from contimg_assets.storage import Storage;"
        "Storage.from_local(sys.argv[1]).run_storage.add_run(DagsterRun('job'))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert storage.run_storage.get_runs_count() == 1


def test_the_failure_of_a_run_is_told_once_the_run_is_marked_as_failed(tmp_path: Path) -> None:
    """Dagster's daemon looks once: what it takes for a run that goes on is never started again."""
    config = {"module": "contimg_assets.storage", "class": "Storage"}
    storage = {"custom": {**config, "config": {"base_dir": str(tmp_path)}}}
    with instance_for_test(overrides={"storage": storage}) as instance:
        runs = [instance.create_run_for_job(_some_job) for _ in range(2)]
        log = instance.event_log_storage

        def told() -> list[str]:
            found = log.get_logs_for_all_runs_by_log_id(
                dagster_event_type=DagsterEventType.RUN_FAILURE
            )
            return [entry.run_id for entry in found.values()]

        mark = instance.run_storage.handle_run_event
        marked: list[tuple[Any, ...]] = []
        with pytest.MonkeyPatch.context() as between:
            between.setattr(instance.run_storage, "handle_run_event", lambda *a: marked.append(a))
            instance.report_run_failed(runs[0])
        instance.report_run_failed(runs[1])
        assert told() == [], "also what comes after it, for its number would be passed over"
        for event in marked:
            mark(*event)
        assert told() == [run.run_id for run in runs]


#: Hides private names, as another Dagster may lack them, and uses the storage.
ANOTHER_DAGSTER = """
import importlib, logging, sys, types

logging.basicConfig(level=logging.WARNING)
state, hidden = sys.argv[1], sys.argv[2]
if hidden.endswith("functions"):
    # Dagster itself goes on with them.
    load = importlib.import_module
    importlib.import_module = lambda name, package=None: (
        types.ModuleType(name) if name.startswith("dagster._core.storage.") else load(name, package)
    )
else:
    module, _, name = hidden.rpartition(".")
    import dagster._core.storage.sqlite_storage
    delattr(importlib.import_module(module), name)

import dagster as dg
from contimg_assets.storage import EventLog, Storage

storage = Storage.from_local(state)
log = storage.event_log_storage
log.add_dynamic_partitions("observation_mjd", ["61041.00347", "61041.00706"])
print(type(log).__name__, log.get_dynamic_partitions("observation_mjd"))
storage.run_storage.add_run(dg.DagsterRun("job"))
print(storage.run_storage.get_runs_count())
"""
_PRIVATE = "dagster._core.storage"


def _with_another_dagster(state: Path, hidden: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", ANOTHER_DAGSTER, str(state), hidden],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    ("hidden", "log", "said"),
    [
        (
            f"{_PRIVATE}.event_log.sqlite.sqlite_event_log.SqliteEventLogStorage",
            "SqliteEventLogStorage",
            ["its event log can't be derived from"],
        ),
        (
            "the functions",
            "EventLog",
            [
                "has no create_db_conn_string",
                "has no check_alembic_revision",
                "has no create_engine",
            ],
        ),
    ],
)
def test_without_a_private_name_of_dagster_s_the_storage_works_and_says_what_is_missing(
    tmp_path: Path, hidden: str, log: str, said: list[str]
) -> None:
    result = _with_another_dagster(tmp_path, hidden)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{log} ['61041.00347', '61041.00706']", "1"]
    for words in said:
        assert words in result.stderr
    kept = Storage.from_local(str(tmp_path))
    assert kept.run_storage.get_runs_count() == 1
    kept.dispose()


def test_without_dagster_s_own_storage_the_error_says_what_to_write(tmp_path: Path) -> None:
    hidden = f"{_PRIVATE}.local_compute_log_manager.LocalComputeLogManager"
    result = _with_another_dagster(tmp_path, hidden)
    assert result.returncode != 0
    assert "write `storage: {sqlite: {base_dir: {env: CONTIMG_STATE}}}`" in result.stderr


def test_private_names_of_dagster_s_are_used_by_the_storage_alone() -> None:
    using = set()
    for package in ("contimg_assets", "contimg_resources"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = (
                    [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                if any(n.startswith("dagster._") for n in names):
                    using.add(path.relative_to(ROOT).as_posix())
    assert using == {"contimg_assets/storage.py"}
    assert "dagster._" not in (ROOT / "dagster.yaml").read_text()
