"""Dagster's databases with a cache in memory of repeatedly read data.

Belongs here: the cache and its invalidation; the location of the databases; holding back a run's
last event until Dagster has set the run's status. Doesn't: any other table.

To show the state of one asset Dagster reads the whole list of its partition keys three times; after
a season this is most of the loading time of the lineage page. It opens its databases again for
every tick of a sensor, reads all its migrations each time to find the newest, and compiles each
statement every time that it executes it.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.exc import IntegrityError

from contimg_resources.database.observing import CommitObserver
from contimg_resources.database.reopening import kept_engine, revisions

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


for _module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
    vars(_module).update(
        create_db_conn_string=_address_of,
        check_alembic_revision=revisions,
        create_engine=kept_engine,
    )


@dataclass(frozen=True)
class _Keys:
    """Keys of one definition, and the version of the database that they were read from."""

    version: int
    in_order: tuple[str, ...]
    all_of_them: frozenset[str]


class EventLog(SqliteEventLogStorage):
    """Dagster's event log, in which partition keys are read again only after a change.

    Parameters
    ----------
    base_dir : str
        Directory of the databases.
    inst_data : ConfigurableClassData, optional
        How it was configured.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
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
        except IntegrityError:
            super().add_dynamic_partitions(partitions_def_name, partition_keys)

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: dg.DagsterEventType | set[dg.DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, dg.EventLogEntry]:
        """Return events by number, up to the first that ends a run not yet marked as ended.

        Dagster stores the failure of a run, and marks the run a moment later. Its daemon, which
        starts interrupted runs again, reads these events; it would take an unmarked run for one in
        progress, and never check it again.
        """
        found = super().get_logs_for_all_runs_by_log_id(after_cursor, dagster_event_type, limit)
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
    """Dagster's SQLite storage with that event log.

    Parameters
    ----------
    base_dir : str
        The state directory.
    inst_data : ConfigurableClassData, optional
        How it was configured.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Return the storage that ``dagster.yaml`` describes."""
        return cls.from_local(inst_data=inst_data, **config_value)


def _ends_its_run(event: dg.EventLogEntry) -> bool:
    return event.is_dagster_event and event.get_dagster_event().event_type in _ENDS


def _keys_of(version: int, keys: Iterable[str]) -> _Keys:
    in_order = tuple(keys)
    return _Keys(version, in_order, frozenset(in_order))
