"""How a set is refused.

Belongs here: one sentence that begins with the set and names every reason.
Doesn't: the reasons (see `checks`, `integrity`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from contimg_resources.core.errors import RegistrationRefused
from contimg_resources.registry.model import NewCaltableSet


@contextmanager
def of_set(name: str) -> Iterator[None]:
    """Let a refusal begin with the name of the set."""
    try:
        yield
    except RegistrationRefused as error:
        raise RegistrationRefused(
            f"caltable set {name} was not registered: {error.message}", set=name, **error.details
        ) from error


def refuse(new: NewCaltableSet, problems: Sequence[str]) -> None:
    """Refuse a set when there are problems.

    Raises
    ------
    RegistrationRefused
        Naming all of them.
    """
    if problems:
        raise RegistrationRefused(
            f"caltable set {new.name} was not registered: {'; '.join(problems)}",
            set=new.name,
            reasons=list(problems),
        )


def with_absolute_paths(new: NewCaltableSet) -> NewCaltableSet:
    """Return a set whose tables are found from any directory."""
    return replace(new, tables=tuple(replace(t, path=t.path.absolute()) for t in new.tables))
