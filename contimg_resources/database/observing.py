"""Detect changes of a SQLite database.

Belongs here: detecting commits. Doesn't: what was changed.
"""

import os
import sqlite3
import threading
from pathlib import Path


class CommitObserver:
    """Detects whether anything was committed to a database since the last call.

    ``PRAGMA data_version`` changes, for one connection, with every commit of any other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._opened = 0

    def version(self) -> int:
        """Return a number that differs after every commit."""
        with self._lock:
            if self._connection is None or self._pid != os.getpid():
                # SQLite's connections don't survive a fork.
                self._connection = sqlite3.connect(self._path, check_same_thread=False)
                self._pid = os.getpid()
                self._opened += 1
            (seen,) = self._connection.execute("PRAGMA data_version").fetchone()
            # Another connection has its own count.
            return (self._opened << 32) + int(seen)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None
