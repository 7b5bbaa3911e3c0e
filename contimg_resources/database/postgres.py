"""A store in Postgres: its connections, and its copies by Postgres's own programs.

Belongs here: time limits of a connection; `pg_dump` and `pg_restore` of one store's tables, which
may share a database with others. Doesn't: choosing what belongs to a backup, SQLite.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ConfigurationError, ContimgError

#: Ending of a copy's name.
DUMP = ".dump"

#: A host that stops or loses its network in a transaction would keep the lock of all writers: the
#: server ends a transaction without a statement for this long, and each side notices when the
#: other is gone.
_NEVER_IDLE = (
    "-c idle_in_transaction_session_timeout=60s -c tcp_keepalives_idle=30 "
    "-c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)
_KEEPALIVES = {
    **{"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3},
    "tcp_user_timeout": 60_000,
}


def engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    """Return an engine whose connections neither hang nor hold a lock for more than a minute."""
    given = url.query.get("options", "")
    words = (
        _NEVER_IDLE,
        *(["-c default_transaction_read_only=on"] if read_only else []),
        # Those of the user come last, and win.
        *([given] if isinstance(given, str) else given),
    )
    return sa.create_engine(
        url.difference_update_query(["options"]),
        pool_pre_ping=True,
        connect_args={**_KEEPALIVES, "options": " ".join(words)},
    )


def dump(url: sa.URL, tables: Iterable[str], target: Path) -> None:
    """Write the tables, as of one moment, to a file in the format of `pg_restore`.

    Raises
    ------
    ConfigurationError
        If there is no `pg_dump`.
    ContimgError
        With the message of `pg_dump`.
    """
    partial = target.with_name(f"{target.name}.writing")
    chosen = [f"--table={table}" for table in tables]
    try:
        _run("pg_dump", url, "--format=custom", *_PLAIN, *chosen, f"--file={partial}")
        contents(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def contents(copy: Path) -> set[str]:
    """Return the names of the tables whose rows a copy holds.

    Raises
    ------
    ContimgError
        If it isn't a copy, or is damaged.
    """
    lines = _run("pg_restore", None, "--list", str(copy)).splitlines()
    # 3456; 0 16391 TABLE DATA public candidates postgres
    return {line.split()[-2] for line in lines if " TABLE DATA " in line}


def restore(url: sa.URL, copy: Path) -> None:
    """Restore the tables of a backup in one transaction; existing ones are replaced.

    Raises
    ------
    ContimgError
        With the message of `pg_restore`; nothing is changed then.
    """
    _run("pg_restore", url, *_PLAIN, "--clean", "--if-exists", "--single-transaction", str(copy))


_PLAIN = ("--no-owner", "--no-privileges", "--no-password")


def _run(program: str, url: sa.URL | None, *arguments: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise ConfigurationError(
            f"a store in Postgres is backed up and restored by {program}, which isn't on the PATH "
            "(Debian: postgresql-client)"
        )
    environment, to = dict(os.environ), []
    if url is not None:
        # Everybody on the host can read a program's arguments.
        if url.password is not None:
            environment["PGPASSWORD"] = str(url.password)
        plain = sa.URL.create(
            "postgresql",
            username=url.username,
            host=url.host,
            port=url.port,
            database=url.database,
            query=url.query,
        )
        to = [f"--dbname={plain.render_as_string(hide_password=False)}"]
    done = subprocess.run(
        [found, *to, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ContimgError(f"{program} failed: {words}")
    return done.stdout
