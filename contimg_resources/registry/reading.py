"""Reading the calibration registry.

Belongs here: looking up, listing and verifying caltable sets. Doesn't: changing any (see `store`),
how the nearest set is found (see `lookup`).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.errors import CaltableAltered
from contimg_resources.database import Database
from contimg_resources.database.records import between
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.registry import lookup
from contimg_resources.registry.checks import RegistrationLimits, TableChecker
from contimg_resources.registry.lookup import ActiveSet, ActiveSets, Wanted
from contimg_resources.registry.model import (
    ActiveCaltables,
    CaltableSet,
    SetEvent,
    SetStatus,
    TableProblem,
)
from contimg_resources.registry.recording import next_version
from contimg_resources.registry.rows import Loader
from contimg_resources.registry.tables import caltable_sets, caltables, set_events


class RegistryReader(Database):
    """The look-ups of a calibration registry.

    Parameters
    ----------
    url : str
        Its address, see `Database`.
    limits : RegistrationLimits
        Limits of this site.
    **how : Any
        Other arguments of `Database`.
    """

    def __init__(self, url: str, limits: RegistrationLimits, **how: Any) -> None:
        super().__init__(url, **how)
        self._limits = limits
        self._loader = Loader(self.address)
        self._sets: dict[int, CaltableSet] = {}
        self._checker = TableChecker()

    def active(
        self,
        mjd: float,
        *,
        layout: ArrayLayout | None = None,
        declination_deg: float | None = None,
        strip_tolerance_deg: float | None = None,
        borrow: bool = False,
        verify: bool = True,
    ) -> ActiveCaltables:
        """Return the set to apply to an observation, its tables in apply order.

        Among active sets whose window contains `mjd` (ends included) and whose strip and layout
        fit, it is the one whose mid-MJD is nearest; of two equally near, the one registered later.

        Parameters
        ----------
        mjd : float
            mid-MJD of the observation, days.
        layout : ArrayLayout, optional
            Its antennas and spectral windows; None: any fits.
        declination_deg : float, optional
            Its declination strip, degrees; None: any fits.
        strip_tolerance_deg : float, optional
            Maximum difference in declination, degrees; None: from the registry's settings.
        borrow : bool
            If no window contains `mjd`, return the nearest set outside its window, as borrowed.
        verify : bool
            Whether to compare the tables with their checksums (once, until a file changes).

        Raises
        ------
        NoValidCaltables
            Naming the MJD, the request, the nearest sets before and after and why they don't fit.
        CaltableAltered
            If a table of the set is missing or changed since its registration.
        """
        if strip_tolerance_deg is None:
            strip_tolerance_deg = self._limits.gates.strip_tolerance_deg
        wanted = lookup.Wanted(mjd, layout, declination_deg, strip_tolerance_deg)
        with self.read() as connection:
            fitting = None if layout is None else self._loader.fitting_layouts(connection, layout)
            found = lookup.nearest_id(connection, wanted, fitting, window=True)
            borrowed = False
            if found is None and borrow:
                found = lookup.nearest_id(connection, wanted, fitting, window=False)
                borrowed = found is not None
            if found is None:
                raise lookup.nothing_fits(connection, wanted)
            # A set found by this look-up is active, and nothing else in it ever changes.
            chosen = self._sets.get(found)
            if chosen is None:
                chosen = self._sets[found] = self._loader.load(connection, [found])[0]
        if verify and (problems := self._checker.problems(chosen, thorough=False)):
            raise CaltableAltered(
                f"the caltable set for {wanted} may not be applied: "
                + "; ".join(str(p) for p in problems),
                mjd=mjd,
                set=chosen.name,
                version=chosen.version,
                paths=[str(p.path) for p in problems],
            )
        return ActiveCaltables(
            mjd=mjd, set=chosen, age_h=24.0 * (mjd - chosen.mid_mjd), borrowed=borrowed
        )

    def active_for_all(
        self,
        wanted: Iterable[Wanted],
        *,
        borrow: bool = False,
        span: tuple[float, float] | None = None,
    ) -> Iterator[tuple[ActiveSet, bool] | None]:
        """Look up the sets of many observations, as `active` does, from one state of the registry.

        Parameters
        ----------
        wanted : iterable of Wanted
            The observations.
        borrow : bool
            As in `active`.
        span : tuple of (float, float), optional
            The first and the last of their mid-MJDs, days; with it, fewer sets are read.

        Yields
        ------
        (ActiveSet, bool) or None
            The set, and whether it is borrowed; None where no set is valid.
        """
        with self.read() as connection:
            # A borrowed set may be at any time.
            sets = ActiveSets(connection, None if borrow else span)
            fitting: dict[ArrayLayout, list[int]] = {}
            for one in wanted:
                if one.layout is not None and one.layout not in fitting:
                    fitting[one.layout] = self._loader.fitting_layouts(connection, one.layout)
                layout_ids = None if one.layout is None else fitting[one.layout]
                found = sets.nearest(one, layout_ids, window=True)
                if found is not None:
                    yield found, False
                    continue
                found = sets.nearest(one, layout_ids, window=False) if borrow else None
                yield None if found is None else (found, True)

    def get(self, name: str, version: int | None = None) -> CaltableSet:
        """Return a version of a set; None: the active one, else the newest.

        Raises
        ------
        SetNotFound
            Naming sets of similar names.
        """
        with self.read() as connection:
            return self._loader.find(connection, name, version)

    def sets_with(self, table: Path) -> list[CaltableSet]:
        """Return the sets that contain a caltable, oldest first; empty if there is none."""
        query = sa.select(caltables.c.set_id).where(caltables.c.path == table)
        with self.read() as connection:
            ids = connection.scalars(query.order_by(caltables.c.set_id)).all()
            return self._loader.load(connection, ids)

    def next_version(self, name: str) -> int:
        """Return the version of the next registration of a name, if no other comes first."""
        with self.read() as connection:
            return next_version(connection, name)

    def list_sets(
        self,
        *,
        status: SetStatus | None = None,
        name: str | None = None,
        start_mjd: float | None = None,
        end_mjd: float | None = None,
        limit: int | None = None,
    ) -> list[CaltableSet]:
        """Return sets, latest calibrator observation first.

        Parameters
        ----------
        status : SetStatus, optional
            Only sets of this status.
        name : str, optional
            Only versions of this name.
        start_mjd, end_mjd : float, optional
            Only sets whose calibrator observation is in this range, MJD in days, the end excluded.
        limit : int, optional
            Maximum number of sets.
        """
        columns = caltable_sets.c
        query = sa.select(columns.id).order_by(columns.mid_mjd.desc(), columns.id.desc())
        query = between(query, columns.mid_mjd, start_mjd, end_mjd)
        if status is not None:
            query = query.where(columns.status == status)
        if name is not None:
            query = query.where(columns.name == name)
        if limit is not None:
            query = query.limit(limit)
        with self.read() as connection:
            return self._loader.load(connection, connection.scalars(query).all())

    def counts(self) -> dict[SetStatus, int]:
        """Return the number of sets in each status."""
        columns = caltable_sets.c
        query = sa.select(columns.status, sa.func.count()).group_by(columns.status)
        return {**dict.fromkeys(SetStatus, 0), **dict(self.all(query, tuple))}

    def events(
        self, *, name: str | None = None, after_id: int = 0, limit: int = 1000
    ) -> list[SetEvent]:
        """Return the history of the sets, oldest entry first.

        Parameters
        ----------
        name : str, optional
            Only the history of this set.
        after_id : int
            Only after this event; a caller that keeps the last id sees each event once.
        limit : int
            Maximum number of events.
        """
        mine, sets = set_events.c, caltable_sets.c
        query = (
            sa.select(
                *(mine.id, sets.name, sets.version, mine.event, mine.at_mjd, mine.reason),
                *(mine.host, mine.pid, mine.user),
            )
            .join(caltable_sets, sets.id == mine.set_id)
            .where(mine.id > after_id)
            .order_by(mine.id)
            .limit(limit)
        )
        if name is not None:
            query = query.where(sets.name == name)
        return self.all(query, lambda row: SetEvent(*row))

    def windows_changed(self, after_id: int) -> list[tuple[float, float]]:
        """Return the windows of the sets with an event after this one, MJD in days."""
        mine, sets = set_events.c, caltable_sets.c
        query = sa.select(sets.start_mjd, sets.end_mjd).join(set_events, mine.set_id == sets.id)
        return self.all(query.where(mine.id > after_id).distinct(), tuple)

    def last_event_id(self) -> int:
        """Return the id of the latest event, 0 if there is none; it grows with every change."""
        with self.read() as connection:
            return int(connection.scalar(sa.select(sa.func.max(set_events.c.id))) or 0)

    def verify(self, name: str | None = None, version: int | None = None) -> list[TableProblem]:
        """Compare tables with their checksums, reading every byte.

        Parameters
        ----------
        name : str, optional
            The set; None: all active sets.
        version : int, optional
            Its version; None: the active one, else the newest.

        Returns
        -------
        list of TableProblem
            Empty if all tables are unchanged since their registration.
        """
        chosen = (
            self.list_sets(status=SetStatus.ACTIVE) if name is None else [self.get(name, version)]
        )
        return [p for one in chosen for p in self._checker.problems(one, thorough=True)]
