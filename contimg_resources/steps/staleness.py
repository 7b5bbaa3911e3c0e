"""Which products were made with another caltable set than their observation would get now.

Belongs here: comparing what was applied with what the registry answers today, at each asking.
Doesn't: making anything again, or keeping the answer: both stores know all of it.

A set that was added, replaced or retired changes the answer for some observations, and for no
others: those, and only those, are found.
"""

from dataclasses import dataclass

from contimg_resources.products.model import AppliedSet
from contimg_resources.registry.snapshot import ActiveSet
from contimg_resources.steps.looking_up import look_up_all
from contimg_resources.steps.workshop import Workshop

#: What the registry answers now: the set and whether it is borrowed; None: no set is valid.
Answer = tuple[ActiveSet, bool] | None


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
    asked = workshop.products.applied_sets(start_mjd=start_mjd, end_mjd=end_mjd)
    # The set that was applied fits the observation's layout. When it is the nearest of all
    # layouts, it is the nearest of that one, and the layout needn't be read.
    of_any = look_up_all(workshop, ((a.mid_mjd, a.declination_deg, None) for a in asked))
    suspects = [a for a, now in zip(asked, of_any, strict=True) if not _is_the_same(a, now)]
    # A table that was damaged is no new answer; `verify` finds it.
    answers = look_up_all(
        workshop,
        (
            (a.mid_mjd, a.declination_deg, workshop.products.observation(a.key).layout)
            for a in suspects
        ),
    )
    fates: dict[tuple[str, int], str] = {}
    return tuple(
        Stale(
            key=applied.key,
            products=applied.products,
            applied=_in_words(applied.set_name, applied.set_version, applied.borrowed),
            now=None if now is None else _in_words(now[0].name, now[0].version, now[1]),
            why=_why(workshop, applied, now, fates),
        )
        for applied, now in zip(suspects, answers, strict=True)
        if not _is_the_same(applied, now)
    )


def _is_the_same(applied: AppliedSet, now: Answer) -> bool:
    return now is not None and (applied.set_name, applied.set_version, applied.borrowed) == (
        now[0].name,
        now[0].version,
        now[1],
    )


def _why(
    workshop: Workshop, applied: AppliedSet, now: Answer, fates: dict[tuple[str, int], str]
) -> str:
    """Say what happened to the set that was applied; `fates` keeps what is asked once a set."""
    name, version = applied.set_name, applied.set_version
    if (name, version) not in fates:
        retired = [
            e
            for e in workshop.registry.events(name=name)
            if e.version == version and e.event == "retired"
        ]
        fates[name, version] = (
            f"{name} v{version} was retired: {retired[-1].reason}" if retired else ""
        )
    if fates[name, version]:
        return fates[name, version]
    if now is None:
        return "no set is valid for it any more, by the settings of today"
    nearest, borrowed = now
    if borrowed != applied.borrowed:
        return "it is within a window now" if applied.borrowed else "no window holds it any more"
    age_h = 24.0 * (applied.mid_mjd - nearest.mid_mjd)
    return f"{nearest.name} v{nearest.version} is nearer, {age_h:+.2f} h"


def _in_words(name: str, version: int, borrowed: bool) -> str:
    return f"{name} v{version}" + (" (borrowed)" if borrowed else "")
