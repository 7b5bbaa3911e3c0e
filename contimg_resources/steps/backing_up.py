"""Back up everything that can't be remade, and restore a backup, here or elsewhere.

Belongs here: which files belong together (stores, caltables, added light curves, settings),
earlier backups, when a backup may replace another.
Doesn't: copying one database (see `contimg_resources.database`); images and mosaics, which any tool
can copy and the platform can remake.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import BackupRefused, ConfigurationError, ContimgError
from contimg_resources.core.trees import remove_tree
from contimg_resources.database import Database
from contimg_resources.database.memory import memory_path
from contimg_resources.database.postgres import DUMP
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.model import SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.settings.whole import file_of
from contimg_resources.steps.workshop import Workshop

REGISTRY, PRODUCTS, LISTS = "registry", "products", "added_light_curves"
CALTABLES, SETTINGS = "caltables", "settings.toml"
EARLIER = "earlier"

#: Endings of copies of stores: of a file, of a dump of Postgres and its number of rows.
_ENDINGS = (".sqlite3", DUMP, f"{DUMP}.made")
#: Parts of a backup.
_PARTS = (
    *(f"{store}{ending}" for store in (PRODUCTS, REGISTRY) for ending in _ENDINGS),
    *(CALTABLES, LISTS, SETTINGS),
)
#: Dagster's own databases in the state directory.
_DAGSTER = ("history", "schedules", "runs.db", "runs.db-wal", "runs.db-shm")


@dataclass(frozen=True)
class Backup:
    """A completed backup."""

    products: Path  #: Copy of the products store.
    registry: Path  #: Copy of the registry.
    added_light_curves: tuple[Path, ...]  #: Copies of lists that users added.
    caltables: tuple[Path, ...]  #: Copies of the directories of caltable sets.
    settings: Path  #: Settings that differ from the defaults, TOML.
    outside: tuple[Path, ...]  #: Caltables of active sets outside the state directory: not copied.
    earlier: tuple[Path, ...]  #: Directories of earlier backups, newest first.


@dataclass(frozen=True)
class Restored:
    """A restored backup."""

    #: Restored files and directories, and addresses of stores in Postgres.
    restored: tuple[Path | str, ...]
    aside: Path | None  #: Directory that holds the previous files; None when there were none.
    n_rows: dict[str, int]  #: Rows of each restored store.


def back_up(
    workshop: Workshop,
    directory: Path,
    *,
    keep: int = 3,
    replace_fuller: bool = False,
    progress: Progress = no_progress,
) -> Backup:
    """Back up stores, caltables, added light curves and settings, while others use them.

    The backup is complete or not made at all. Caltables that the previous backup already holds are
    linked, not copied. `directory` holds the newest backup, and the earlier ones in ``earlier``;
    `keep` of them are kept, including the new one. `replace_fuller`: a backup may replace one that
    holds more rows.

    Raises
    ------
    BackupRefused
        If the existing backup holds more rows than the store.
    ConfigurationError
        If a store would be copied onto itself, or is in Postgres and there is no `pg_dump`.
    ContimgError
        If a store can't be read, or the directory can't be written.
    """
    # The registry last, so that it holds every set that the products name.
    stores: dict[str, Database] = {
        f"{name}{store.copy_ending}": store
        for name, store in ((PRODUCTS, workshop.products), (REGISTRY, workshop.registry))
    }
    for name, store in stores.items():
        if store.path is not None and _is_same(directory / name, store.path):
            raise ConfigurationError(f"{directory / name} can't be its own backup")
    layout = workshop.settings.layout
    lists = sorted(layout.added_light_curves.glob("[!.]*.parquet"))
    with _written(directory), _partial(directory) as new:
        for number, (name, store) in enumerate(stores.items()):
            progress(f"copying {name}", 0.4 * number)
            store.back_up(new / name)
            if not replace_fuller:
                _refuse_less(store, new / name, directory / name)
        progress("copying caltables", 0.6)
        _copy_caltables(layout.caltables, new / CALTABLES, directory / CALTABLES)
        (new / SETTINGS).write_text(workshop.settings.as_toml())
        progress("copying added light curves", 0.9)
        if lists:
            (new / LISTS).mkdir()
        for file in lists:
            shutil.copy2(file, new / LISTS / file.name)
        _put_aside(directory, keep)
        for name in _PARTS:
            if (new / name).exists():
                (new / name).rename(directory / name)
    active = workshop.registry.list_sets(status=SetStatus.ACTIVE)
    tables = [table.path for one in active for table in one.tables]
    products, registry = (directory / name for name in stores)
    return Backup(
        products,
        registry,
        tuple(directory / LISTS / file.name for file in lists),
        tuple(sorted((directory / CALTABLES).iterdir())),
        directory / SETTINGS,
        tuple(path for path in tables if not path.is_relative_to(layout.root)),
        _generations(directory),
    )


def restore(
    settings: Settings,
    directory: Path,
    *,
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> Restored:
    """Restore the stores from a backup; the present files are moved aside, not removed.

    `directory` is that of a backup, or of an earlier one in ``earlier``. Call it only while no
    platform runs on the state directory. Existing caltables, lists of light curves and settings
    stay. A dry run only checks the copies of the stores, and returns where they would go.

    Raises
    ------
    ConfigurationError
        If a store is in Postgres, and there is no `pg_restore`.
    BackupRefused
        If the directory holds no backup.
    ContimgError
        If a copy is damaged or can't be put in place; the stores are then unchanged.
    """
    addresses = {PRODUCTS: settings.products_address, REGISTRY: settings.registry_address}
    targets = [_target(name, address, directory) for name, address in addresses.items()]
    missing = [target.copy.name for target in targets if not target.copy.is_file()]
    if missing:
        near = ", ".join(str(p) for p in _generations(directory)) or "none"
        raise BackupRefused(
            f"{directory} holds no {' and no '.join(missing)}: it is not a backup; earlier backups "
            f"in it: {near}",
            path=str(directory),
        )
    aside = settings.state / "damaged" / f"{datetime.now(tz=UTC):%Y-%m-%dT%H-%M-%S}"
    places = tuple(target.place for target in targets)
    n_rows: dict[str, int] = {}
    try:
        with _written(settings.state):
            for target in targets:
                progress(f"checking {target.copy}", None)
                n_rows[target.copy.name] = target.check()
            if dry_run:
                some = any(target.exists() for target in targets)
                return Restored(places, aside if some else None, n_rows)
            for target in targets:
                progress(f"restoring {target.place}", None)
                target.replace(aside)
            others = [
                *_put_trees(directory / CALTABLES, settings.layout.caltables),
                *_put_files(directory / LISTS, "[!.]*.parquet", settings.layout.added_light_curves),
                *_put_files(directory, SETTINGS, settings.state),
            ]
    finally:
        for target in targets:
            target.clean()
    return Restored((*places, *others), aside if aside.is_dir() else None, n_rows)


def put_dagster_aside(settings: Settings, *, dry_run: bool = False) -> Path | None:
    """Move Dagster's databases aside, so that the next start of the platform makes new ones.

    Returns their new directory; None when there were none. A dry run only returns it. Call it only
    while no platform runs on the state directory. The stores record which work is done: nothing is
    made twice or forgotten.
    """
    aside = settings.state / "damaged" / f"{datetime.now(tz=UTC):%Y-%m-%dT%H-%M-%S}-dagster"
    there = [name for name in _DAGSTER if (settings.state / name).exists()]
    if there and not dry_run:
        with _written(settings.state):
            aside.mkdir(parents=True, exist_ok=True)
            for name in there:
                (settings.state / name).rename(aside / name)
    return aside if there else None


@contextmanager
def _partial(directory: Path) -> Iterator[Path]:
    new = Path(tempfile.mkdtemp(prefix=".backup.", suffix=".partial", dir=directory))
    try:
        yield new
    finally:
        remove_tree(new, ignore_errors=True)


@contextmanager
def _written(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ContimgError(
            f"{directory} can't be written: {error.filename or ''}: {error.strerror}",
            path=str(directory),
        ) from error


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _refuse_less(store: Database, new: Path, there: Path) -> None:
    """Refuse to replace a backup that holds more rows."""
    if not there.is_file():
        return
    before, now = store.size_of_copy(there), store.size_of_copy(new)
    if before is not None and (now is None or now < before):
        raise BackupRefused(
            f"the backup {there} holds {before} rows and {store.address} only {now or 0}: it isn't "
            "replaced. If the store was damaged, `contimg restore` restores the backup "
            "(docs/restore.md); if the store should hold fewer rows, give --replace-fuller, or "
            "another directory",
            path=str(there),
        )


def _put_aside(directory: Path, keep: int) -> None:
    """Move the existing backup to the earlier ones, and remove the oldest ones beyond `keep`."""
    present = [directory / n for n in _PARTS if (directory / n).exists()]
    if present and keep > 1:
        made_s = max(p.stat().st_mtime for p in present)
        stem = f"{datetime.fromtimestamp(made_s, tz=UTC):%Y-%m-%dT%H-%M-%S}"
        place, number = directory / EARLIER / stem, 1
        while place.exists():
            number += 1
            place = directory / EARLIER / f"{stem}_{number:03d}"
        place.mkdir(parents=True)
        for file in present:
            file.rename(place / file.name)
    else:
        for place in present:
            if place.is_dir():
                remove_tree(place)
    for old in _generations(directory)[keep - 1 :]:
        remove_tree(old, ignore_errors=True)


def _generations(directory: Path) -> tuple[Path, ...]:
    """Return the directories of earlier backups, newest first."""
    found = (directory / EARLIER).glob("[0-9]*")
    return tuple(sorted((p for p in found if any(p.glob(f"{PRODUCTS}.*"))), reverse=True))


class _File:
    """A store in a file, and the backup that is to replace it."""

    def __init__(self, name: str, place: Path, directory: Path) -> None:
        self.place = place
        self.copy = directory / f"{name}.sqlite3"
        self._kind = _KINDS[name]
        self._new = place.with_name(f".{self.copy.name}.restoring")

    def check(self) -> int:
        """Copy the backup beside the store, and return its number of rows."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        _forget(self._new)
        shutil.copyfile(self.copy, self._new)
        with closing(sqlite3.connect(self._new)) as connection:
            try:
                (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            except sqlite3.Error as error:
                said = str(error)
        if said != "ok":
            raise BackupRefused(
                f"the backup's {self.copy.name} is damaged: {said}", path=str(self._new)
            )
        with closing(self._kind(str(self._new), create=False)) as store:
            return store.size()

    def exists(self) -> bool:
        return self.place.exists()

    def replace(self, aside: Path) -> None:
        for file in (*_files_of(self.place), memory_path(self.place)):
            if file.exists():
                aside.mkdir(parents=True, exist_ok=True)
                file.rename(aside / file.name)
        self._new.replace(self.place)

    def clean(self) -> None:
        _forget(self._new)


class _InPostgres:
    """A store in Postgres, and the backup that is to replace it."""

    def __init__(self, name: str, address: str, directory: Path) -> None:
        self._address = address
        self.place = sa.make_url(address).render_as_string(hide_password=True)
        self.copy = directory / f"{name}{DUMP}"
        self._kind = _KINDS[name]

    def check(self) -> int:
        """Look into the backup, and return its number of rows."""
        with closing(self._kind(self._address)) as store:
            store.check_copy(self.copy)
            return store.size_of_copy(self.copy) or 0

    def exists(self) -> bool:
        with closing(self._kind(self._address)) as store:
            return store.size() > 0

    def replace(self, aside: Path) -> None:
        with closing(self._kind(self._address)) as store:
            if store.size():
                store.back_up(aside / self.copy.name)
            store.restore(self.copy)

    def clean(self) -> None:
        pass


_KINDS: dict[str, type[ProductsStore] | type[CalibrationRegistry]] = {
    PRODUCTS: ProductsStore,
    REGISTRY: CalibrationRegistry,
}


def _target(name: str, address: str, directory: Path) -> "_File | _InPostgres":
    file = file_of(address)
    if file is None:
        return _InPostgres(name, address, directory)
    return _File(name, file, directory)


def _copy_caltables(source: Path, target: Path, before: Path) -> None:
    """Copy the directories of all sets; link files that the previous backup holds."""

    def copy(file: str, place: str) -> None:
        earlier = before / Path(place).relative_to(target)
        with suppress(OSError):
            now, then = Path(file).stat(), earlier.stat()
            if (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns):
                os.link(earlier, place)
                return
        shutil.copy2(file, place)

    target.mkdir()
    for directory in sorted(source.glob("[!.]*")):
        if directory.is_dir():
            shutil.copytree(directory, target / directory.name, copy_function=copy)


def _put_trees(source: Path, target: Path) -> list[Path]:
    """Copy the missing directories, each of them completely, and return them."""
    put = []
    for directory in sorted(source.glob("[!.]*")):
        place = target / directory.name
        if not place.exists():
            with whole_directory(place) as partial:
                shutil.copytree(directory, partial)
            put.append(place)
    return put


def _put_files(source: Path, pattern: str, target: Path) -> list[Path]:
    """Copy the missing files, and return them."""
    put = []
    for file in sorted(source.glob(pattern)):
        place = target / file.name
        if not place.exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
            put.append(place)
    return put


def _files_of(store: Path) -> tuple[Path, ...]:
    return tuple(store.with_name(store.name + ending) for ending in ("", "-wal", "-shm"))


def _forget(store: Path) -> None:
    for file in (*_files_of(store), memory_path(store)):
        file.unlink(missing_ok=True)
