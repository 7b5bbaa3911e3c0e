"""What a process is given by whoever starts it, and may be unusable: threads, text, a home.

Belongs here: one handling of each, before a library meets it, and what children are given instead.
Doesn't: settings of contimg itself (see `contimg_resources.settings`).

Imports nothing but the standard library: it runs before numpy, numba and ducc0 are loaded.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

#: Environment variables by which libraries are told how many threads to run.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "DUCC0_NUM_THREADS",
)
#: More threads than this on a core are a mistake; many libraries die of them.
_MOST_PER_CORE = 16
_LEAST_LIMIT = 256

_UTF8_VARIABLE = "PYTHONUTF8"


def ignore_impossible_threads(environment: MutableMapping[str, str]) -> tuple[str, ...]:
    """Take numbers of threads that no machine has out of an environment, with one warning.

    Libraries treat ``0``, ``-1``, ``abc`` or ``10000`` each in its own way: some crash, some start
    as many threads. Without the variable each takes its default.

    Parameters
    ----------
    environment : mutable mapping of str to str
        Changed in place: that of this process, before the libraries are imported.

    Returns
    -------
    tuple of str
        What was taken out, as ``NAME=value``.
    """
    limit = max(_LEAST_LIMIT, _MOST_PER_CORE * (os.cpu_count() or 1))
    ignored = []
    for name in THREAD_VARIABLES:
        value = environment.get(name)
        if value is not None and not _is_thread_count(name, value, limit):
            ignored.append(f"{name}={value}")
            del environment[name]
    if ignored:
        warnings.warn(
            f"ignored {', '.join(ignored)}: a number of threads from 1 to {limit} was expected",
            stacklevel=2,
        )
    return tuple(ignored)


def _is_thread_count(name: str, value: str, limit: int) -> bool:
    # OpenMP takes a list too, a number for each level of nesting.
    numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
    if name == "OMP_THREAD_LIMIT" and value.strip().isdecimal():
        return int(value) >= 1
    return all(
        n.strip().isascii() and n.strip().isdecimal() and 1 <= int(n) <= limit for n in numbers
    )


def restart_in_utf8(command: Sequence[str] | None = None) -> None:
    """Start this program once more, in UTF-8 mode, when its locale can't write all characters.

    With ``LC_ALL=C`` and ``PYTHONUTF8=0`` Python would read and write files, and name them, in
    ASCII. Does nothing otherwise; returns only then.

    Parameters
    ----------
    command : sequence of str, optional
        Arguments after the interpreter; None: those of this process.
    """
    if sys.flags.utf8_mode or (_is_utf8(sys.getfilesystemencoding()) and _is_utf8(_of_files())):
        return
    arguments = list(sys.orig_argv[1:] if command is None else command)
    environment = {**os.environ, _UTF8_VARIABLE: "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *arguments], environment)


def _of_files() -> str:
    import locale

    return locale.getpreferredencoding(False)


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "") == "utf8"


def home_directory() -> Path | None:
    """Return the user's home; None when there is none, as for a container's nameless user."""
    with suppress(RuntimeError, OSError):
        home = Path.home()
        if home.is_absolute():
            return home
    return None


def is_writable(directory: Path) -> bool:
    """Tell whether a directory, or the nearest of its parents that exists, takes new files.

    Asked by making one: permissions tell nothing of a read-only file system.
    """
    there = next((p for p in (directory, *directory.parents) if p.exists()), None)
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def environment_of_children(home: Path) -> dict[str, str]:
    """Return variables by which a child process reads and writes text, and has a home.

    Parameters
    ----------
    home : Path
        Made, and takes the place of the user's home, where that can't be written: CASA, matplotlib,
        astropy and numba keep configuration and caches there.

    Returns
    -------
    dict of str to str
        To be set over this process's own.
    """
    found = {_UTF8_VARIABLE: "1"}
    own = home_directory()
    if own is None or not is_writable(own):
        home.mkdir(parents=True, exist_ok=True)
        own = home
    # Also where nobody set it: not every library asks the password file.
    found["HOME"] = str(own)
    for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        place = os.environ.get(variable)
        if place and not is_writable(Path(place)):
            found[variable] = str(home / variable.lower())
            Path(found[variable]).mkdir(parents=True, exist_ok=True)
    return found


def keep_private(umask: str) -> None:
    """Let what this process and its children write be readable as far as a setting says.

    Parameters
    ----------
    umask : str
        Octal, such as ``077``.
    """
    os.umask(int(umask, 8))


@contextmanager
def published() -> Iterator[None]:
    """Let everybody read what is written within."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)
