"""Compile loops over visibilities with numba.

Belongs here: the compiler options and the cache. Doesn't: any loop.

A compiled function is cached beside its source (``__pycache__``), so that the new process of each
step doesn't compile again; if several processes need it at once, one compiles and the others
wait. If neither the installation nor the user's cache can be written, the cache is in the scratch
space of the state directory, and if that can't be written either, nothing is cached.
"""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

from contimg_resources.core.errors import ConfigurationError

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: All functions decorated with `compiled`.
_FUNCTIONS: list[Any] = []

#: Held while this process compiles, which one thread does at a time.
_COMPILING = threading.RLock()
#: Longest wait for a function that another process compiles, seconds: the largest takes ten.
_LONGEST_WAIT_S = 120.0
_POLL_S = 0.05

#: ``for i in spread(n)``: a loop that runs on all cores, in functions with ``parallel=True``.
spread: Any = numba.prange


def n_cores() -> int:
    """Return the number of cores for compiled loops (``NUMBA_NUM_THREADS`` limits it)."""
    return int(numba.get_num_threads())


@contextmanager
def on_one_core() -> Iterator[None]:
    """Run the compiled loops of this thread on one core: a short one takes less than its start."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def compiled(*, parallel: bool = False) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Compile a function when it is first called.

    Parameters
    ----------
    parallel : bool
        Run loops over `spread` on all cores.

    Returns
    -------
    callable
        A decorator; it keeps the function's type.

    Notes
    -----
    Sums may be reordered and multiply-adds fused, but NaN and infinity keep their meaning: flags
    depend on them. A division by 0 gives infinity or NaN, as in numpy: a check of every divisor
    would prevent the vectorisation of loops.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "parallel": parallel,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    }

    def kept(function: Callable[_P, _R]) -> Callable[_P, _R]:
        made = _made(function, options)
        made.compile = _by_one_process(made)
        _FUNCTIONS.append(made)
        return made  # type: ignore[no-any-return]

    return kept


def _made(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    njit: Any = numba.njit
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError as error:
        # numba's message if none of its cache directories can be written.
        if "cannot cache" not in str(error):
            raise
    config: Any = numba.config
    if (place := _place_in_state()) is not None and str(place) != config.CACHE_DIR:
        config.CACHE_DIR = str(place)
        return _made(function, options)
    return njit(**options)(function)


def _by_one_process(made: Any) -> Callable[[Any], Any]:
    """Wrap the function's ``compile`` so that it waits for a process that already compiles it."""
    compile_here = made.compile

    def compile_once(signature: Any) -> Any:
        with _COMPILING, _alone(made):
            return compile_here(signature)

    return compile_once


@contextmanager
def _alone(made: Any) -> Iterator[None]:
    """Lock a function against compilation by other processes; best effort, like the cache."""
    place = made.stats.cache_path
    try:
        Path(place).mkdir(parents=True, exist_ok=True)
        lock = (Path(place) / f"{made.__module__}.{made.__qualname__}.lock").open("w")
    except (OSError, TypeError):
        yield
        return
    with lock:
        deadline_s = time.monotonic() + _LONGEST_WAIT_S
        while time.monotonic() < deadline_s:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(_POLL_S)
        yield


def _place_in_state() -> Path | None:
    """Return the cache directory in the state directory; None if it can't be written."""
    from contimg_resources.core.surroundings import is_writable
    from contimg_resources.settings import load_settings

    try:
        place = load_settings().layout.scratch / "compiled"
        place.mkdir(parents=True, exist_ok=True)
    except (ConfigurationError, OSError):
        return None
    return place if is_writable(place) else None


def load_compiled() -> Iterator[None]:
    """Load the cached versions of all compiled functions whose modules are imported.

    Yields
    ------
    None
        After each function.

    Notes
    -----
    The first call of a function would load it as well. The argument types that a function was
    compiled for are only in the index of its cache, which is not part of numba's public interface:
    if it isn't found as expected, nothing is loaded.
    """
    for function in _FUNCTIONS:
        try:
            cache = function._cache
            index = cache._cache_file._load_index()
            own = function.targetctx.codegen()
            signatures = [key[0] for key in index if cache._index_key(key[0], own) == key]
        except (AttributeError, TypeError, IndexError, OSError):
            return
        for signature in signatures:
            function.compile(signature)
        yield
