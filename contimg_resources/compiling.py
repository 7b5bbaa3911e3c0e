"""The door to numba: loops over visibilities, compiled.

Belongs here: how this project compiles. Doesn't: any loop.

A compiled function is kept beside its source (``__pycache__``), so that processes which start anew
for every step don't compile again.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

_P = ParamSpec("_P")
_R = TypeVar("_R")

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
    decorator: Any = numba.njit(
        cache=True,
        nogil=True,
        parallel=parallel,
        error_model="numpy",
        fastmath={"reassoc", "contract", "nsz", "arcp"},
    )
    return decorator  # type: ignore[no-any-return]
