"""The content signatures of known MS, by path.

Belongs here: querying them, and their cache in the memory of a process. Doesn't: scanning
directories (see `contimg_resources.steps.watching`).

A sensor queries the MS of a whole directory, tens of thousands of them, at each tick. Every change
of an observation's path, signature or successor adds an event in the same transaction, and writers
run one after another. So the answers that a process has as of one event stay correct for all
observations without a later event; only the others are queried again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from contimg_resources.database import PartOfStore
from contimg_resources.products.sub_bands import PATHS_PER_QUERY
from contimg_resources.products.tables import observation_events, observations

#: Id, key and time of an event, which no other event of any store has.
_Event = tuple[int, str, float]


@dataclass(frozen=True)
class _Cached:
    """Known MS as of an event."""

    event: _Event | None = None  #: The last event in the store; None: there was none.
    #: Partition key and signature, by path.
    known: dict[str, tuple[str, str]] = field(default_factory=dict)


_cached: dict[str, _Cached] = {}


class KnownSignatures(PartOfStore):
    """The content signatures of the MS in the products store."""

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the signatures of those MS that are known, by their absolute paths."""
        asked = set(paths)
        before = _cached.get(self._database.address, _Cached())
        # Read before all else: what changes from now on is queried again next time.
        last = self._last_event()
        changed = self._keys_changed(before.event)
        known = (
            {}
            if changed is None
            else {
                path: (key, signature)
                for path, (key, signature) in before.known.items()
                if path in asked and key not in changed
            }
        )
        known |= self._query(sorted(asked - known.keys()))
        _cached[self._database.address] = _Cached(last, known)
        return {path: signature for path, (_, signature) in known.items()}

    def _query(self, paths: list[str]) -> dict[str, tuple[str, str]]:
        mine = observations.c
        query = sa.select(mine.path, mine.key, mine.signature).where(mine.superseded_by == "")
        found: dict[str, tuple[str, str]] = {}
        for start in range(0, len(paths), PATHS_PER_QUERY):
            some = query.where(mine.path.in_(paths[start : start + PATHS_PER_QUERY]))
            found |= self._database.all(some, lambda row: (str(row.path), (row.key, row.signature)))
        return found

    def _last_event(self) -> _Event | None:
        mine = observation_events.c
        query = sa.select(mine.id, mine.key, mine.at_mjd).order_by(mine.id.desc())
        return self._database.first(query, lambda row: (row.id, row.key, row.at_mjd))

    def _keys_changed(self, since: _Event | None) -> set[str] | None:
        """Return the observations with an event after this one.

        None if the store doesn't hold this event: it was restored or emptied since.
        """
        if since is None:
            return None
        mine = observation_events.c
        query = sa.select(mine.id, mine.key, mine.at_mjd).where(mine.id >= since[0])
        events = self._database.all(query.order_by(mine.id), tuple)
        if not events or events[0] != since:
            return None
        return {key for _, key, _ in events[1:]}
