"""Dagster's databases, with the lists of partition keys kept in memory while nothing changes.

Belongs here: remembering what was read, and noticing that it changed. Doesn't: any other table.

To show the state of one asset Dagster reads the whole list of its partition keys three times; after
a season that is most of what the lineage page waits for.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from contimg_resources.database.observing import CommitObserver

#: Fewer keys are looked up one by one, by an index.
_FEW = 100


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

    def dispose(self) -> None:
        """Close what is open."""
        self._observer.close()
        super().dispose()

    def _keys(self, name: str) -> _Keys:
        # The version first: a change in between makes the next question read again.
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


def _keys_of(version: int, keys: Iterable[str]) -> _Keys:
    in_order = tuple(keys)
    return _Keys(version, in_order, frozenset(in_order))
