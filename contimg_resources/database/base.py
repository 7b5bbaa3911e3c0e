"""The base class of contimg's stores.

Belongs here: address, backup, closing. Doesn't: connections (see `store`), any table.
"""

from pathlib import Path

from contimg_resources.database.store import Database


class DatabaseStore:
    """A store in one database, which has the newest schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def address(self) -> str:
        """Address of the store, without a password."""
        return self._database.address

    def back_up(self, target: Path) -> None:
        """Back up the store into a SQLite file, while others use it; completely or not at all.

        See `Database.back_up` for the errors.
        """
        self._database.back_up(target)

    @property
    def path(self) -> Path | None:
        """SQLite file of the store; None in Postgres."""
        return self._database.path

    def size(self) -> int:
        """Return the number of rows in the tables that only grow."""
        return self._database.size()

    @property
    def n_known(self) -> int:
        """Largest number of rows that it ever had, as counted by `size`."""
        return self._database.n_known

    def size_of_copy(self, copy: Path) -> int | None:
        """Return `size` of a copy in a SQLite file; None if that can't be read."""
        return self._database.size_of_copy(copy)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
