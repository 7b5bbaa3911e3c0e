"""Error messages for Dagster's databases that can't be read, naming the damaged file.

Belongs here: finding the damaged file. Doesn't: our own stores (see
`contimg_resources.database`), and restoring (``docs/restore.md``).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

#: Paths of Dagster's databases below the state directory, without those of single runs.
_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_PAGE = "docs/restore.md"
_LINK = "(Background on this error at"


def storage_trouble(state: Path | None, printed: str) -> str:
    """Return why Dagster's storage can't be opened, naming the damaged file.

    `printed` is the output of the process that tried to open it; `state` is None for storage in
    Postgres.
    """
    damaged = list(damaged_databases(state)) if state else []
    if damaged:
        files = "; ".join(f"{path} is damaged ({why})" for path, why in damaged)
        return (
            f"Dagster's storage can't be read: {files}. The observations, caltable sets and "
            f"products are in other files. {_PAGE} describes how to restore it, or how to start "
            "with an empty one"
        )
    lines = [line for line in printed.splitlines() if line.strip() and _LINK not in line]
    where = state or "Postgres"
    return f"Dagster's storage in {where} can't be made or read: {''.join(lines[-1:]).strip()}"


def damaged_databases(state: Path) -> Iterator[tuple[Path, str]]:
    """Yield Dagster's databases that exist and can't be read, each with the reason."""
    for name in _DATABASES:
        path = state / name
        if path.exists() and (why := _damage(path)):
            yield path, why


def _damage(path: Path) -> str:
    if not path.is_file():
        return "it is not a file"
    if path.stat().st_size == 0:
        return "it is empty"
    try:
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, timeout=5.0)) as found:
            (answer,) = found.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if answer == "ok" else str(answer)
