"""What every store on a database of ours can do.

Belongs here: address, backup, closing. Doesn't: connections (see `store`), any table.
"""

from pathlib import Path

from contimg_resources.database.store import Database


class DatabaseStore:
    """A store in one database.

    Parameters
    ----------
    database : Database
        Its database, up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def address(self) -> str:
        """Where the store is, without a password."""
        return self._database.address

    def back_up(self, target: Path) -> None:
        """Copy it into a SQLite file, while others use it; whole, or not at all.

        See `Database.back_up` for the errors.
        """
        self._database.back_up(target)

    @property
    def path(self) -> Path | None:
        """Its SQLite file; None in Postgres."""
        return self._database.path

    def size(self) -> int:
        """Return how many rows it has, of the tables that only grow."""
        return self._database.size()

    @property
    def n_known(self) -> int:
        """The most rows that it was ever seen with, of those that `size` counts."""
        return self._database.n_known

    def size_of_copy(self, copy: Path) -> int | None:
        """Return `size` of a copy in a SQLite file; None when that can't be read."""
        return self._database.size_of_copy(copy)

    def close(self) -> None:
        """Close its connections."""
        self._database.close()
