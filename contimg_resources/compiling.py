"""The door to numba: loops over visibilities, compiled.

Belongs here: how this project compiles. Doesn't: any loop.

A compiled function is kept beside its source (``__pycache__``), so that processes which start anew
for every step don't compile again.
"""

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import numba

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Every function that `compiled` was asked for.
_FUNCTIONS: list[Any] = []

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
    decorate: Any = numba.njit(
        cache=True,
        nogil=True,
        parallel=parallel,
        error_model="numpy",
        fastmath={"reassoc", "contract", "nsz", "arcp"},
    )

    def kept(function: Callable[_P, _R]) -> Callable[_P, _R]:
        made = decorate(function)
        _FUNCTIONS.append(made)
        return made  # type: ignore[no-any-return]

    return kept


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
