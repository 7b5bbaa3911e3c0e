"""The door to numba: loops over visibilities, compiled.

Belongs here: how this project compiles. Doesn't: any loop.

A compiled function is kept beside its source (``__pycache__``), so that processes which start anew
for every step don't compile again; of several that need it at once, one compiles and the others
wait. Where neither the installation nor the user's cache can be written it is kept in the state's
scratch space, and where that can't either it isn't kept.
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

#: Every function that `compiled` was asked for.
_FUNCTIONS: list[Any] = []

#: Held while this process compiles, which one thread does at a time.
_COMPILING = threading.RLock()
#: How long a function that another process compiles is waited for, seconds: the largest takes ten.
_LONGEST_WAIT_S = 120.0
_POLL_S = 0.05

#: ``for i in spread(n)``: a loop whose turns run on all cores, in functions with ``parallel=True``.
spread: Any = numba.prange


def n_cores() -> int:
    """Return how many cores compiled loops run on (``NUMBA_NUM_THREADS`` limits them)."""
    return int(numba.get_num_threads())


def compiled(*, parallel: bool = False) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Compile a function when it is first called.

    Parameters
    ----------
    parallel : bool
        Run the turns of `spread` on all cores.

    Returns
    -------
    callable
        A decorator; it keeps the function's type.

    Notes
    -----
    Sums may be reordered and multiply-adds fused, but NaN and infinity keep their meaning: flags
    depend on them. A division by 0 gives infinity or NaN, as in numpy: a check of every divisor
    would keep loops from being vectorised.
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
        # numba's own words when none of its places can be written.
        if "cannot cache" not in str(error):
            raise
    config: Any = numba.config
    if (place := _place_in_state()) is not None and str(place) != config.CACHE_DIR:
        config.CACHE_DIR = str(place)
        return _made(function, options)
    return njit(**options)(function)


def _by_one_process(made: Any) -> Callable[[Any], Any]:
    """Return the function's own ``compile``, which loads what another process compiles now."""
    compile_here = made.compile

    def compile_once(signature: Any) -> Any:
        with _COMPILING, _alone(made):
            return compile_here(signature)

    return compile_once


@contextmanager
def _alone(made: Any) -> Iterator[None]:
    """Keep other processes from compiling a function; best effort, as is keeping it at all."""
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
    """Return where compiled functions are kept under the state, None where that can't be."""
    from contimg_resources.core.surroundings import is_writable
    from contimg_resources.settings import load_settings

    try:
        place = load_settings().layout.scratch / "compiled"
        place.mkdir(parents=True, exist_ok=True)
    except (ConfigurationError, OSError):
        return None
    return place if is_writable(place) else None


def load_compiled() -> Iterator[None]:
    """Load what was compiled before, of all functions whose modules are imported.

    Yields
    ------
    None
        After each function.

    Notes
    -----
    The first call of a function would load it as well. Which argument types a function was
    compiled for is only known to the index of its cache, and numba has no public name for that:
    where it isn't found as expected, nothing is loaded.
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
