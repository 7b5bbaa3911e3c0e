"""Ask, right before a product gets its final name, whether its run may still make it.

Belongs here: the question, in the process of a run and in its CASA process. Doesn't: the answer,
which the products store has; the rename (see `directories`).

A run whose host was cut off for a while may have been given up, and another run repeats it. The
store refuses its records; with this question it leaves the files of the other run alone as well.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contimg_resources.core.progress import ask

#: Environment variable of a CASA process: directory of the answer to its question.
VARIABLE = "CONTIMG_FENCE"
_ANSWER = "may-rename"
_POLL_S = 0.005

_checks: list[Callable[[], object]] = []


@contextmanager
def fenced(check: Callable[[], object]) -> Iterator[None]:
    """Let every rename in this process, and in its CASA processes, call `check` before.

    The exception that `check` raises prevents the rename.
    """
    _checks.append(check)
    try:
        yield
    finally:
        _checks.remove(check)


def is_fenced() -> bool:
    """Return whether there is a check."""
    return bool(_checks)


def may_rename() -> None:
    """Return if a product may get its final name.

    A CASA process waits for the answer of the process that started it, which ends it instead if
    the answer is no.
    """
    for check in tuple(_checks):
        check()
    if place := os.environ.get(VARIABLE):
        answer = Path(place) / _ANSWER
        ask()
        while not answer.exists():
            time.sleep(_POLL_S)
        answer.unlink()


def answer(place: Path) -> None:
    """Answer the question of a CASA process, in a directory; the exception of a check is raised."""
    for check in tuple(_checks):
        check()
    (place / _ANSWER).touch()
