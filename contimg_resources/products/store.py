"""The products store.

Belongs here: observations with their states and history.
Doesn't: their products (see `artefact_store`), making anything, deleting files, and which caltable
set applies (see the registry).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError, ProductsUnavailable, RunSuperseded
from contimg_resources.core.times import mjd_day
from contimg_resources.database import now_mjd
from contimg_resources.database.records import between
from contimg_resources.observations.model import Observation
from contimg_resources.products import history, tables
from contimg_resources.products.annotations import AnnotationProducts
from contimg_resources.products.antennas import AntennaProducts
from contimg_resources.products.arrivals import MOVED, TWICE
from contimg_resources.products.artefact_store import ArtefactStore
from contimg_resources.products.derived import DerivedProducts
from contimg_resources.products.event_store import EventProducts
from contimg_resources.products.foreign_images import ImageProducts
from contimg_resources.products.known import KnownSignatures
from contimg_resources.products.model import (
    Arrival,
    ObservationEvent,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.mosaics import MosaicProducts
from contimg_resources.products.new_sources import NewSources
from contimg_resources.products.primary_beams import PrimaryBeams
from contimg_resources.products.recording import (
    add_event,
    events_of,
    last_event,
    read_description,
    record_arrival,
)
from contimg_resources.products.rejections import Rejections
from contimg_resources.products.rows import EVENTS, OBSERVATIONS
from contimg_resources.products.sub_bands import SubBandProducts
from contimg_resources.products.tables import (
    metadata,
    observation_events,
    observations,
    superseded_runs,
)

_MIGRATIONS = Path(__file__).with_name("migrations")
#: Rows that are never removed: history entries, candidates, new sources, marks and annotations.
_SIZE_SQL = (
    "SELECT (SELECT coalesce(max(id), 0) FROM observation_events) "
    "+ (SELECT count(*) FROM candidates) + (SELECT count(*) FROM marks) "
    "+ (SELECT count(*) FROM annotations) + (SELECT count(*) FROM antenna_marks) "
    "+ (SELECT count(*) FROM new_sources)"
)


class ProductsStore(ArtefactStore):
    """The products store in one database; safe with many processes at once.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, or the path of a SQLite file; made if missing.
    create : bool
        Whether to make a missing store; False: a `ProductsError`.
    read_only : bool
        Whether nothing is ever written.
    run_id : str
        The run that uses it; empty on the command line. Once the run is superseded, every write
        raises `RunSuperseded`.

    Raises
    ------
    SchemaMismatch
        If the database was written by a newer contimg or isn't a products store.
    """

    #: The run that uses it.
    run_id = ""

    def __init__(
        self, url: str, *, create: bool = True, read_only: bool = False, run_id: str = ""
    ) -> None:
        super().__init__(
            url,
            what="products store",
            migrations=_MIGRATIONS,
            error=ProductsError,
            create=create,
            read_only=read_only,
            unavailable=ProductsUnavailable,
            size_sql=_SIZE_SQL,
            tables=metadata,
        )
        self.run_id = run_id

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Provide the connection of the only writer, unless its run is superseded."""
        with super().write() as connection:
            # In the transaction itself: what was given up before it began is refused.
            self._refuse_superseded(connection)
            yield connection

    def supersede_run(self, run_id: str, reason: str) -> None:
        """Refuse all further writes of a run; doing so twice changes nothing.

        A write in progress is completed before.

        Parameters
        ----------
        run_id : str
            The run.
        reason : str
            The reason, for the run's own error message.
        """
        row = superseded_runs.c
        with self.write() as connection:
            if connection.scalar(sa.select(row.run_id).where(row.run_id == run_id)) is None:
                values = {"run_id": run_id, "at_mjd": now_mjd(), "reason": reason}
                connection.execute(sa.insert(superseded_runs).values(values))

    def refuse_superseded(self) -> None:
        """Raise `RunSuperseded` if the run that uses this store was given up."""
        with self.read() as connection:
            self._refuse_superseded(connection)

    def _refuse_superseded(self, connection: sa.Connection) -> None:
        if not self.run_id:
            return
        row = superseded_runs.c
        reason = connection.scalar(sa.select(row.reason).where(row.run_id == self.run_id))
        if reason is not None:
            raise RunSuperseded(
                f"run {self.run_id} was superseded ({reason}): its work isn't recorded",
                run_id=self.run_id,
            )

    @property
    def mosaics(self) -> MosaicProducts:
        """Mosaics and epochs of measurements."""
        return MosaicProducts(self)

    @property
    def derived(self) -> DerivedProducts:
        """Light curves, variability metrics, cards, cutouts, exports."""
        return DerivedProducts(self)

    @property
    def images_made_elsewhere(self) -> ImageProducts:
        """Observations that are images made elsewhere."""
        return ImageProducts(self)

    @property
    def sub_bands(self) -> SubBandProducts:
        """Observations that arrived as sub-band files."""
        return SubBandProducts(self)

    @property
    def events(self) -> EventProducts:
        """Candidates, marks and alerts."""
        return EventProducts(self)

    @property
    def antennas(self) -> AntennaProducts:
        """Evidence about antennas, and persons' marks of them."""
        return AntennaProducts(self)

    @property
    def primary_beams(self) -> PrimaryBeams:
        """Measured primary beams."""
        return PrimaryBeams(self)

    @property
    def new_sources(self) -> NewSources:
        """Sources that the reference catalogue lacks."""
        return NewSources(self)

    @property
    def annotations(self) -> AnnotationProducts:
        """Tags, comments and favourites of sources and candidates."""
        return AnnotationProducts(self)

    @property
    def rejections(self) -> Rejections:
        """Deliveries that can't be used."""
        return Rejections(self)

    # Observations ----------------------------------------------------------------------------

    def arrive(self, observation: Observation, *, run_id: str = "") -> Arrival:
        """Record the arrival of an observation; recording it twice changes nothing.

        Content that changed in place, or came under another path after the first MS was removed,
        replaces the observation: its state is ``arrived`` again, and its history records it.

        Raises
        ------
        ProductsError
            If another MS has the same mid-MJD but different content, unless only the data of that
            one can't be used.
        """
        with self.write() as connection:
            return record_arrival(connection, observation, run_id)

    def set_state(
        self,
        key: str,
        state: ObservationState,
        *,
        step: str,
        reason: str | None = None,
        run_id: str | None = None,
    ) -> ObservationRecord:
        """Set the state of an observation.

        Setting the same state again adds nothing to the history.

        Parameters
        ----------
        key : str
            Its partition key.
        state : ObservationState
            Its state.
        step : str
            The step that sets the state.
        reason : str, optional
            The reason; required for ``waiting`` and ``failed``.
        run_id : str, optional
            The run that sets the state.

        Raises
        ------
        ProductsError
            If there is no such observation, or a reason is missing.
        """
        state = ObservationState(state)
        reason = (reason or "").strip()
        if not reason and state in (ObservationState.WAITING, ObservationState.FAILED):
            raise ProductsError(f"observation {key}: the state {state} needs a reason", key=key)
        with self.write() as connection:
            known = self._found(connection, key)
            last = last_event(connection, key)
            # Each run that fails or succeeds counts; a repeated scan of a sensor doesn't.
            same_run = last is not None and last.run_id == (run_id or "")
            if same_run and (known.state, known.step, known.reason) == (state, step, reason):
                return known
            connection.execute(
                sa.update(observations)
                .where(observations.c.key == key)
                .values(state=state, step=step, reason=reason, updated_mjd=now_mjd())
            )
            add_event(connection, key, state, step, reason, run_id or "")
            return self._found(connection, key)

    def get(self, key: str) -> ObservationRecord:
        """Return the record of an observation.

        Raises
        ------
        ProductsError
            Naming the observations nearest in time, if none has this key.
        """
        with self.read() as connection:
            return self._found(connection, key)

    def observation(self, key: str) -> Observation:
        """Return an observation as it was read from its MS on arrival."""
        with self.read() as connection:
            self._found(connection, key)
            return read_description(connection, key)

    def list_observations(
        self,
        *,
        state: ObservationState | None = None,
        day: int | None = None,
        start_mjd: float | None = None,
        end_mjd: float | None = None,
        limit: int | None = None,
    ) -> list[ObservationRecord]:
        """Return observations in order of time.

        Parameters
        ----------
        state : ObservationState, optional
            Only those in this state.
        day : int, optional
            Only those of this UTC day, an integer MJD.
        start_mjd, end_mjd : float, optional
            Only those whose mid-MJD is in [start, end), days.
        limit : int, optional
            Maximum number of observations: the latest ones.
        """
        mid = observations.c.mid_mjd
        query = between(OBSERVATIONS.query, mid, start_mjd, end_mjd).order_by(mid.desc())
        if state is not None:
            query = query.where(observations.c.state == state)
        if day is not None:
            query = between(query, mid, day, day + 1)
        if limit is not None:
            query = query.limit(limit)
        return self.all(query, OBSERVATIONS.read)[::-1]

    def waiting(self) -> list[ObservationRecord]:
        """Return the observations that wait for a caltable set, in order of time."""
        return self.list_observations(state=ObservationState.WAITING)

    def find_by_path(self, path: Path) -> ObservationRecord | None:
        """Return the observation that an MS holds now; None if it isn't known."""
        columns = observations.c
        query = OBSERVATIONS.query.where(columns.path == path, columns.superseded_by == "")
        return self.first(query.order_by(columns.updated_mjd.desc()), OBSERVATIONS.read)

    def known_signatures(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the content signatures of those MS that are known, by their absolute paths."""
        return KnownSignatures(self).of(paths)

    def arrivals_after(self, event_id: int | None, *, limit: int) -> list[ObservationEvent]:
        """Return the first arrivals after an event, or the latest ones (None), oldest first.

        Second deliveries, which are not used, don't count.
        """
        mine = observation_events.c
        arrived = sa.and_(
            mine.state == ObservationState.ARRIVED, sa.not_(mine.message.startswith(TWICE))
        )
        query = EVENTS.query.where(
            mine.step == "arrival", sa.or_(arrived, mine.message.startswith(MOVED))
        ).limit(limit)
        if event_id is None:
            return self.all(query.order_by(mine.id.desc()), EVENTS.read)[::-1]
        return self.all(query.where(mine.id > event_id).order_by(mine.id), EVENTS.read)

    def counts(self, *, day: int | None = None) -> dict[ObservationState, int]:
        """Return the number of observations in each state, on one UTC day or in total."""
        columns = observations.c
        query = sa.select(columns.state, sa.func.count()).group_by(columns.state)
        if day is not None:
            query = query.where(columns.mid_mjd >= day, columns.mid_mjd < day + 1)
        return {**dict.fromkeys(ObservationState, 0), **dict(self.all(query, tuple))}

    # History ---------------------------------------------------------------------------------

    def history(self, key: str) -> list[ObservationEvent]:
        """Return the history of an observation, oldest entry first."""
        with self.read() as connection:
            self._found(connection, key)
            return events_of(connection, key)

    def last_event_id(self) -> int:
        """Return the id of the latest event, 0 if there is none; it grows with every change."""
        with self.read() as connection:
            return int(connection.scalar(sa.select(sa.func.max(observation_events.c.id))) or 0)

    def days_changed(self, after_id: int) -> set[int]:
        """Return the UTC days, integer MJD, of observations with an event after this one."""
        mid = observations.c.mid_mjd
        query = (
            sa.select(sa.func.min(mid), sa.func.max(mid))
            .join(observation_events, observation_events.c.key == observations.c.key)
            .where(observation_events.c.id > after_id)
            # Few, however many events there are.
            .group_by(sa.cast(mid, sa.Integer))
        )
        spans = self.all(query, tuple)
        return {day for first, last in spans for day in range(mjd_day(first), mjd_day(last) + 1)}

    def span(self) -> tuple[float, float] | None:
        """Return the first and the last mid-MJD of all observations, days; None without any."""
        with self.read() as connection:
            first, last = (
                connection.scalar(sa.select(end(observations.c.mid_mjd)))
                for end in (sa.func.min, sa.func.max)
            )
        return None if first is None else (first, last)

    def first_mjd(self) -> float | None:
        """Return the first mid-MJD (days) of all observations and mosaics; None without any."""
        with self.read() as connection:
            firsts = [
                connection.scalar(sa.select(sa.func.min(table.c.mid_mjd)))
                for table in (observations, tables.mosaics)
            ]
        return min((first for first in firsts if first is not None), default=None)

    def explain(self, key: str) -> str:
        """Describe an observation and its history in words."""
        return history.explain(
            self.get(key),
            self.history(key),
            self.artefacts(key),
            self.image(key),
            self.observation(key),
        )
