"""Copies of a store in Postgres, by Postgres's own programs.

Belongs here: `pg_dump` and `pg_restore` of one store's tables, which may share a database with
others. Doesn't: choosing what belongs to a backup, SQLite.
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
    """Replace the tables of a copy by what it holds, in one transaction.

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
