"""Dagster's files below the state directory: its databases, and the output of steps.

Belongs here: the two classes that ``dagster.yaml`` names; a cache in memory of repeatedly read
data and its invalidation; holding back a run's last event until Dagster has set the run's status.
Doesn't: any other table; any private name of Dagster outside of this module.

To show the state of one asset Dagster reads the whole list of its partition keys three times; after
a season this is most of the loading time of the lineage page. It opens its databases again for
every tick of a sensor, reads all its migrations each time to find the newest, and compiles each
statement every time that it executes it.

This module alone uses private names of Dagster, because Dagster has no public ones for them:

==========================  ======================================================================
name                        purpose, and what remains without it
==========================  ======================================================================
`DagsterSqliteStorage`,     The classes behind ``dagster.yaml``, to derive from. Without them
`LocalComputeLogManager`    ``dagster.yaml`` must name Dagster's own: the error says how.
`SqliteEventLogStorage`     Cached partition keys and held-back ends of runs. Without it the lineage
                            page is slow after a season, and a run whose worker died at the wrong
                            moment is not started again.
`create_db_conn_string`     Paths with ``?`` or ``#``. Without it such a state directory fails.
`check_alembic_revision`,   Databases are reopened at little cost. Without them ticks are slower.
`create_engine`
==========================  ======================================================================

Where a later Dagster lacks one of the last four, the log says so and Dagster's own remains.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import dagster as dg

from contimg_resources.database.reopening import CommitObserver, RowExists, kept_engine, revisions

try:
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
    from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
except ImportError as error:
    raise ImportError(
        f"this Dagster ({dg.__version__}) keeps its storage elsewhere ({error}). In dagster.yaml "
        "write `storage: {sqlite: {base_dir: {env: CONTIMG_STATE}}}` and remove `compute_logs`"
    ) from error

_log = logging.getLogger(__name__)

try:
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
except ImportError:
    # `Storage` notices that it can't be made.
    SqliteEventLogStorage = object  # type: ignore[assignment, misc]

#: Events that end a run.
_ENDS = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)
#: Below this number, keys are looked up one by one, in an index.
_FEW = 100


def _address_of(base_dir: str, db_name: str) -> str:
    """Return the URL of a database of Dagster's, also when its path holds a ``?`` or a ``#``.

    Dagster writes the path into the URL without quoting, and so would read its end as options.
    """
    path = Path(base_dir).absolute() / f"{db_name}.db"
    return f"sqlite:///file:{quote(str(path))}?uri=true"


def _replace_functions() -> None:
    """Replace the functions by which Dagster's storage opens its databases, where they exist."""
    for place in (
        "event_log.sqlite.sqlite_event_log",
        "runs.sqlite.sqlite_run_storage",
        "schedules.sqlite.sqlite_schedule_storage",
    ):
        try:
            module = import_module(f"dagster._core.storage.{place}")
        except ImportError as error:
            _warn(str(error), "databases are opened in Dagster's way")
            continue
        for name, ours, without in (
            ("create_db_conn_string", _address_of, "a state directory with ? or # fails"),
            ("check_alembic_revision", revisions, "ticks of sensors are slower"),
            ("create_engine", kept_engine, "ticks of sensors are slower"),
        ):
            if hasattr(module, name):
                setattr(module, name, ours)
            else:
                _warn(f"{module.__name__} has no {name}", without)


def _warn(reason: str, without: str) -> None:
    _log.warning("Dagster %s differs: %s; %s", dg.__version__, reason, without)


_replace_functions()


@dataclass(frozen=True)
class _Keys:
    """Keys of one definition, and the version of the database that they were read from."""

    version: int
    in_order: tuple[str, ...]
    all_of_them: frozenset[str]


class MarkedEnds:
    """An event log that holds back the end of a run until the run is marked as ended.

    Dagster stores the failure of a run, and marks the run a moment later. Its daemon, which starts
    interrupted runs again, reads these events; it would take an unmarked run for one in progress,
    and never check it again.
    """

    has_instance: bool
    _instance: dg.DagsterInstance

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: dg.DagsterEventType | set[dg.DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, dg.EventLogEntry]:
        """Return events by number, up to the first that ends a run not yet marked as ended."""
        own: Any = super()
        found: Mapping[int, dg.EventLogEntry] = own.get_logs_for_all_runs_by_log_id(
            after_cursor, dagster_event_type, limit
        )
        ends = {e.run_id for e in found.values() if _ends_its_run(e)}
        if not ends or not self.has_instance:
            return found
        runs = self._instance.get_runs(dg.RunsFilter(run_ids=list(ends)))
        unmarked = {run.run_id for run in runs if not run.is_finished}
        return dict(
            takewhile(
                lambda numbered: (
                    numbered[1].run_id not in unmarked or not _ends_its_run(numbered[1])
                ),
                found.items(),
            )
        )


class EventLog(MarkedEnds, SqliteEventLogStorage):
    """Dagster's event log, in which partition keys are read again only after a change.

    Parameters
    ----------
    base_dir : str
        Directory of the databases.
    inst_data : object, optional
        How it was configured.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._known: dict[str, _Keys] = {}
        self._observer = CommitObserver(Path(self.path_for_shard("index")))

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a definition in the order in which they were added."""
        return list(self._keys(partitions_def_name).in_order)

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> Set[str]:
        """Return those of the keys that exist."""
        if len(partition_keys) < _FEW:
            return super().get_existing_dynamic_partitions(partitions_def_name, partition_keys)
        return self._keys(partitions_def_name).all_of_them.intersection(partition_keys)

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add those of the keys that are missing.

        Dagster reads first and writes afterwards: when a sensor and somebody at the web interface
        add one key at once, the second fails. Then the first has committed, and it's tried again.
        """
        try:
            super().add_dynamic_partitions(partitions_def_name, partition_keys)
        except RowExists:
            super().add_dynamic_partitions(partitions_def_name, partition_keys)

    def dispose(self) -> None:
        """Close the connections."""
        self._observer.close()
        super().dispose()

    def _keys(self, name: str) -> _Keys:
        # The version first: after a change in between, the next call reads again.
        version = self._observer.version()
        known = self._known.get(name)
        if known is None or known.version != version:
            known = _keys_of(version, super().get_dynamic_partitions(name))
            self._known[name] = known
        return known


class Storage(DagsterSqliteStorage):
    """Dagster's SQLite storage with that event log, or with Dagster's own.

    Parameters
    ----------
    base_dir : str
        The state directory.
    inst_data : object, optional
        How it was configured.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        try:
            self._event_log_storage = EventLog(self._event_log_storage._base_dir)
        except (AttributeError, TypeError) as error:
            _warn(
                f"its event log can't be derived from ({error})",
                "the lineage page is slow, and the failure of a run may be overlooked",
            )

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return the storage that ``dagster.yaml`` describes."""
        return cls.from_local(inst_data=inst_data, **config_value)


class ComputeLogs(LocalComputeLogManager):
    """Dagster's local compute logs, in ``compute_logs`` below its base directory.

    ``dagster.yaml`` can name the state directory, which comes from the environment, but nothing
    below it: without this, each run would have its own directory beside the databases.
    """

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return the manager that ``dagster.yaml`` describes."""
        below = str(Path(config_value["base_dir"]) / "compute_logs")
        return cls(inst_data=inst_data, **{**config_value, "base_dir": below})


def _ends_its_run(event: dg.EventLogEntry) -> bool:
    return event.is_dagster_event and event.get_dagster_event().event_type in _ENDS


def _keys_of(version: int, keys: Iterable[str]) -> _Keys:
    in_order = tuple(keys)
    return _Keys(version, in_order, frozenset(in_order))
