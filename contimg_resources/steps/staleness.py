"""Which products were made with another caltable set than their observation would get now.

Belongs here: comparing what was applied with what the registry answers today, at each asking.
Doesn't: making anything again, or keeping the answer: both stores know all of it.

A set that was added, replaced or retired changes the answer for some observations, and for no
others: those, and only those, are found.
"""

from dataclasses import dataclass
from functools import partial

from contimg_resources.errors import NoValidCaltables
from contimg_resources.products.model import AppliedSet
from contimg_resources.registry.model import ActiveCaltables
from contimg_resources.steps.looking_up import look_up
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class Stale:
    """An observation whose products are stale.

    Parameters
    ----------
    key : str
        Its partition key.
    products : tuple of str
        The kinds of its stale products.
    applied : str
        The set that they carry.
    now : str or None
        The set that the observation would get now; None when no set is valid for it.
    why : str
        What happened to the set that was applied.
    """

    key: str
    products: tuple[str, ...]
    applied: str
    now: str | None
    why: str


def stale_observations(
    workshop: Workshop, *, start_mjd: float | None = None, end_mjd: float | None = None
) -> tuple[Stale, ...]:
    """Return the observations whose look-up now answers otherwise, in the order of time.

    Parameters
    ----------
    workshop : Workshop
        Its stores and settings.
    start_mjd, end_mjd : float, optional
        Only those whose mid-MJD is in [start, end), days.
    """
    found = []
    for applied in workshop.products.applied_sets(start_mjd=start_mjd, end_mjd=end_mjd):
        now = _answer(workshop, applied)
        if now is not None and _is_the_same(applied, now):
            continue
        found.append(
            Stale(
                key=applied.key,
                products=applied.products,
                applied=_in_words(applied.set_name, applied.set_version, applied.borrowed),
                now=None if now is None else _in_words(now.set.name, now.set.version, now.borrowed),
                why=_why(workshop, applied, now),
            )
        )
    return tuple(found)


def _answer(workshop: Workshop, applied: AppliedSet) -> ActiveCaltables | None:
    # A table that was damaged is no new answer; `verify` finds it.
    asked = partial(look_up, workshop, applied.mid_mjd, applied.declination_deg, verify=False)
    try:
        # The set that was applied fits the observation's layout. When it is the nearest of all
        # layouts, it is the nearest of that one.
        anything = asked(None)
        if _is_the_same(applied, anything):
            return anything
        return asked(workshop.products.observation(applied.key).layout)
    except NoValidCaltables:
        return None


def _is_the_same(applied: AppliedSet, now: ActiveCaltables) -> bool:
    return (applied.set_name, applied.set_version, applied.borrowed) == (
        now.set.name,
        now.set.version,
        now.borrowed,
    )


def _why(workshop: Workshop, applied: AppliedSet, now: ActiveCaltables | None) -> str:
    events = workshop.registry.events(name=applied.set_name)
    ended = [e for e in events if e.version == applied.set_version and e.event == "retired"]
    if ended:
        return f"{applied.set_name} v{applied.set_version} was retired: {ended[-1].reason}"
    if now is None:
        return "no set is valid for it any more, by the settings of today"
    if now.borrowed != applied.borrowed:
        return "it is within a window now" if applied.borrowed else "no window holds it any more"
    return f"{now.set.name} v{now.set.version} is nearer, {now.age_h:+.2f} h"


def _in_words(name: str, version: int, borrowed: bool) -> str:
    return f"{name} v{version}" + (" (borrowed)" if borrowed else "")
