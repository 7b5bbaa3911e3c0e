"""The environment of a process, which may be unusable: threads, text encoding, home directory.

Belongs here: correcting it before libraries use it, and the environment of child processes.
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

#: Environment variables that set the number of threads of libraries.
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
#: More threads than this on a core are a mistake; many libraries crash with them.
_MOST_PER_CORE = 16
_LEAST_LIMIT = 256

_UTF8_VARIABLE = "PYTHONUTF8"


def ignore_impossible_threads(environment: MutableMapping[str, str]) -> tuple[str, ...]:
    """Remove impossible numbers of threads from an environment, with one warning.

    The environment, changed in place, is that of this process before the libraries are imported.
    Removed variables are returned as ``NAME=value``. Libraries handle ``0``, ``-1``, ``abc`` or
    ``10000`` differently: some crash, some start that many threads. Without the variable each uses
    its default.
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
    # OpenMP also accepts a list, a number for each level of nesting.
    numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
    if name == "OMP_THREAD_LIMIT" and value.strip().isdecimal():
        return int(value) >= 1
    return all(
        n.strip().isascii() and n.strip().isdecimal() and 1 <= int(n) <= limit for n in numbers
    )


def restart_in_utf8(command: Sequence[str] | None = None) -> None:
    """Restart this program in UTF-8 mode if its locale can't represent all characters.

    With ``LC_ALL=C`` and ``PYTHONUTF8=0`` Python would read and write files, and name them, in
    ASCII. Otherwise it does nothing and returns. `command` holds the arguments after the
    interpreter, by default those of this process.
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
    """Return the user's home; None when there is none, as for a container's unnamed user."""
    with suppress(RuntimeError, OSError):
        home = Path.home()
        if home.is_absolute():
            return home
    return None


def is_writable(directory: Path) -> bool:
    """Return whether new files can be made in a directory, or in its nearest existing parent.

    Tested by making a file: permissions don't show whether a file system is read-only.
    """
    there = next((p for p in (directory, *directory.parents) if p.exists()), None)
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def environment_of_children(home: Path) -> dict[str, str]:
    """Return environment variables that give a child process UTF-8 text and a writable home.

    These are set in addition to this process's own. `home` is made, and replaces the user's home
    where that can't be written: CASA, matplotlib, astropy and numba keep configuration and caches
    there.
    """
    found = {_UTF8_VARIABLE: "1"}
    own = home_directory()
    if own is None or not is_writable(own):
        home.mkdir(parents=True, exist_ok=True)
        own = home
    # Also where it wasn't set: not every library reads the password file.
    found["HOME"] = str(own)
    for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        place = os.environ.get(variable)
        if place and not is_writable(Path(place)):
            found[variable] = str(home / variable.lower())
            Path(found[variable]).mkdir(parents=True, exist_ok=True)
    return found


def keep_private(umask: str) -> None:
    """Set the permissions of files that this process and its children write.

    `umask` is octal, such as ``077``.
    """
    os.umask(int(umask, 8))


@contextmanager
def published() -> Iterator[None]:
    """Make files that are written within readable by everybody."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)
