"""A Postgres server of the tests' own, from Debian's package `postgresql`.

Belongs here: starting, stopping and reaching it, and a new database for a test. Doesn't: what
contimg does with it.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

#: Of the server's superuser, for connections over TCP.
PASSWORD = "right horse"
#: A server won't run as root.
_USER = "postgres" if os.geteuid() == 0 else None


def programs() -> Path | None:
    """Return the directory of the newest server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return Path(path).parent if path else None


def _version(program: Path) -> float:
    with suppress(ValueError):
        return float(program.parts[-3])
    return 0.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    root: Path  #: Directory of its data and its socket.
    port: int
    programs: Path

    def url(self, database: str) -> str:
        """Return the address of a database through the socket."""
        return (
            f"postgresql+psycopg2://postgres@/{database}?host={quote(str(self.root))}"
            f"&port={self.port}"
        )

    def tcp_url(self, database: str, password: str = PASSWORD) -> str:
        """Return the address of a database on the loopback interface, with a password."""
        return f"postgresql+psycopg2://postgres:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Execute one statement outside a transaction."""
        import psycopg2

        connection = psycopg2.connect(
            host=str(self.root), port=self.port, user="postgres", dbname=database
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._control("start", "-l", str(self.root / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` is a crash of the server."""
        self._control("stop", "-m", mode)

    def use_tls(self, directory: Path) -> None:
        """Let it be reached over TCP with TLS, with a certificate in a new directory."""
        certificate(directory)
        for name in ("cert.pem", "key.pem"):
            shutil.copy(directory / name, self.root / "data" / name)
            (self.root / "data" / name).chmod(0o600)
            if _USER is not None:
                shutil.chown(self.root / "data" / name, _USER)
        with (self.root / "data" / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_cert_file = 'cert.pem'\nssl_key_file = 'key.pem'\n")
        self.stop()
        self.start()

    def _control(self, *command: str) -> None:
        subprocess.run(
            [str(self.programs / "pg_ctl"), "-D", str(self.root / "data"), "-w", *command],
            check=True,
            cwd="/",
            user=_USER,
            stdout=subprocess.DEVNULL,
        )


def certificate(directory: Path) -> None:
    """Make a key and a certificate of 127.0.0.1, which signs itself."""
    directory.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def running(network: str = "") -> Iterator[Server]:
    """Provide a new server; it's gone afterwards.

    Hosts of `network` may reach it too, by every address of this machine.
    """
    found = programs()
    assert found is not None
    # A socket's path is at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as directory:
        root = Path(directory)
        if _USER is not None:
            shutil.chown(root, _USER)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        # Its password is read from a file only.
        secret = root / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [
                *(str(found / "initdb"), "-D", str(root / "data"), "-U", "postgres", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256"),
                *("--pwfile", str(secret), "--no-sync"),
            ],
            check=True,
            cwd="/",
            user=_USER,
            stdout=subprocess.DEVNULL,
        )
        with (root / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {port}\nlisten_addresses = '{'*' if network else '127.0.0.1'}'\n"
                f"unix_socket_directories = '{root}'\nfsync = off\nfull_page_writes = off\n"
                "max_connections = 200\n"
            )
        if network:
            with (root / "data" / "pg_hba.conf").open("a") as allowed:
                allowed.write(f"host all all {network} scram-sha-256\n")
        server = Server(root, port, found)
        server.start()
        try:
            yield server
        finally:
            # A test may have stopped it.
            with suppress(subprocess.CalledProcessError):
                server.stop("immediate")
