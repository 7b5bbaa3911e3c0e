"""Find stale products: those made with another caltable set than now applies.

Belongs here: comparing the applied set with the registry's present answer, at each call.
Doesn't: remaking anything, or storing the answer, which both stores determine.

Adding, replacing or retiring a set changes the answer for some observations: exactly these are
found.
"""

from dataclasses import dataclass

from contimg_resources.products.model import AppliedSet
from contimg_resources.registry.snapshot import ActiveSet
from contimg_resources.steps.looking_up import look_up_all
from contimg_resources.steps.workshop import Workshop

#: The registry's present answer: the set and whether it is borrowed; None: no set is valid.
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
        The applied set.
    now : str or None
        The set that applies now; None when no set is valid.
    why : str
        Why the applied set no longer applies.
    """

    key: str
    products: tuple[str, ...]
    applied: str
    now: str | None
    why: str


def stale_observations(
    workshop: Workshop, *, start_mjd: float | None = None, end_mjd: float | None = None
) -> tuple[Stale, ...]:
    """Return the observations to which another set applies now, in order of time.

    Parameters
    ----------
    workshop : Workshop
        Stores and settings.
    start_mjd, end_mjd : float, optional
        Only those whose mid-MJD is in [start, end), days.
    """
    asked = workshop.products.applied_sets(start_mjd=start_mjd, end_mjd=end_mjd)
    # The applied set fits the observation's layout. When it is the nearest of all layouts, it is
    # the nearest of that one, and the layout needn't be read.
    of_any = look_up_all(workshop, ((a.mid_mjd, a.declination_deg, None) for a in asked))
    suspects = [a for a, now in zip(asked, of_any, strict=True) if not _is_the_same(a, now)]
    # A damaged table doesn't change the answer; `verify` finds it.
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
    """Return why the applied set no longer applies; `fates` caches the retirements by set."""
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
        return "no set is valid for it any more with the present settings"
    nearest, borrowed = now
    if borrowed != applied.borrowed:
        return "it is now within a window" if applied.borrowed else "no window contains it any more"
    age_h = 24.0 * (applied.mid_mjd - nearest.mid_mjd)
    return f"{nearest.name} v{nearest.version} is nearer, {age_h:+.2f} h"


def _in_words(name: str, version: int, borrowed: bool) -> str:
    return f"{name} v{version}" + (" (borrowed)" if borrowed else "")
