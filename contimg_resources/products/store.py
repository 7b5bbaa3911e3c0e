"""The products store.

Belongs here: recording the state and the products of each observation.
Doesn't: making anything, deleting files, and which caltable set applies (see the registry).
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError, ProductsUnavailable
from contimg_resources.core.keys import parse_partition_key
from contimg_resources.database import Database, DatabaseStore, now_mjd
from contimg_resources.observations.model import Observation
from contimg_resources.products import history
from contimg_resources.products.arriving import read_description, record_arrival
from contimg_resources.products.derived import DerivedProducts
from contimg_resources.products.event_store import EventProducts
from contimg_resources.products.foreign_images import ImageProducts
from contimg_resources.products.model import (
    AppliedSet,
    Arrival,
    Artefact,
    ArtefactKind,
    ImageNoise,
    ImageRecord,
    Made,
    ObservationEvent,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.mosaics import MosaicProducts
from contimg_resources.products.queries import (
    load_applied_sets,
    load_arrivals,
    load_made_before,
    load_noise,
    select_records,
)
from contimg_resources.products.recording import (
    add_event,
    events_of,
    find_record,
    last_event,
    paths_of,
    product_rows,
    replace_products,
)
from contimg_resources.products.rows import (
    RECORD_COLUMNS,
    as_artefact,
    as_image,
    as_record,
)
from contimg_resources.products.sub_bands import (
    SubBandProducts,
)
from contimg_resources.products.tables import artefacts, images, observation_events, observations

_MIGRATIONS = Path(__file__).with_name("migrations")
_NEAR = 3
#: Rows that are never removed: history entries, candidates and marks.
_SIZE_SQL = (
    "SELECT (SELECT coalesce(max(id), 0) FROM observation_events) "
    "+ (SELECT count(*) FROM candidates) + (SELECT count(*) FROM marks)"
)


class ProductsStore(DatabaseStore):
    """The products store in one database; safe with many processes at once.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, or the path of a SQLite file; made if missing.
    create : bool
        Whether to make a missing store; False: a `ProductsError`.
    read_only : bool
        Whether nothing is ever written.

    Raises
    ------
    SchemaMismatch
        If the database was written by a newer contimg or isn't a products store.
    """

    def __init__(self, url: str, *, create: bool = True, read_only: bool = False) -> None:
        super().__init__(
            Database(
                url,
                what="products store",
                migrations=_MIGRATIONS,
                error=ProductsError,
                create=create,
                read_only=read_only,
                unavailable=ProductsUnavailable,
                size_sql=_SIZE_SQL,
            )
        )

    @property
    def mosaics(self) -> MosaicProducts:
        """Mosaics and epochs of measurements."""
        return MosaicProducts(self._database)

    @property
    def derived(self) -> DerivedProducts:
        """Light curves, variability metrics, cards, cutouts, exports."""
        return DerivedProducts(self._database)

    @property
    def images_made_elsewhere(self) -> ImageProducts:
        """Observations that are images made elsewhere."""
        return ImageProducts(self._database)

    @property
    def sub_bands(self) -> SubBandProducts:
        """Observations that arrived as sub-band files."""
        return SubBandProducts(self._database)

    @property
    def events(self) -> EventProducts:
        """Candidates, marks and alerts."""
        return EventProducts(self._database)

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
        with self._database.write() as connection:
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
        with self._database.write() as connection:
            known = self._found(connection, key)
            last = last_event(connection, key)
            # Each run that fails or succeeds counts; a repeated scan of a sensor doesn't.
            same_run = last is not None and last.run_id == (run_id or "")
            if same_run and (known.state, known.step, known.reason) == (state, step, reason):
                return known
            connection.execute(
                sa.update(observations)
                .where(observations.c.key == key)
                .values(state=state.value, step=step, reason=reason, updated_mjd=now_mjd())
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
        with self._database.read() as connection:
            return self._found(connection, key)

    def observation(self, key: str) -> Observation:
        """Return an observation as it was read from its MS on arrival."""
        with self._database.read() as connection:
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
        query = select_records(
            state=state, day=day, start_mjd=start_mjd, end_mjd=end_mjd, limit=limit
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [as_record(row) for row in reversed(rows)]

    def waiting(self) -> list[ObservationRecord]:
        """Return the observations that wait for a caltable set, in order of time."""
        return self.list_observations(state=ObservationState.WAITING)

    def find_by_path(self, path: Path) -> ObservationRecord | None:
        """Return the observation that an MS holds now; None if it isn't known."""
        return self._first(
            observations.c.path == str(path.absolute()), observations.c.superseded_by == ""
        )

    def find_by_signature(self, signature: str) -> ObservationRecord | None:
        """Return the observation of a content signature."""
        return self._first(observations.c.signature == signature)

    def known_signatures(self) -> dict[str, str]:
        """Return the content signature of every known MS, by its absolute path."""
        columns = observations.c
        query = sa.select(columns.path, columns.signature).where(columns.superseded_by == "")
        with self._database.read() as connection:
            return {row.path: row.signature for row in connection.execute(query)}

    def arrivals_after(self, event_id: int | None, *, limit: int) -> list[ObservationEvent]:
        """Return the first arrivals after an event, or the latest ones (None), oldest first."""
        with self._database.read() as connection:
            return load_arrivals(connection, event_id, limit)

    def counts(self, *, day: int | None = None) -> dict[ObservationState, int]:
        """Return the number of observations in each state, on one UTC day or in total."""
        columns = observations.c
        query = sa.select(columns.state, sa.func.count()).group_by(columns.state)
        if day is not None:
            query = query.where(columns.mid_mjd >= day, columns.mid_mjd < day + 1)
        with self._database.read() as connection:
            found = {str(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state.value, 0) for state in ObservationState}

    # Products --------------------------------------------------------------------------------

    def put_artefacts(
        self, key: str, made: Sequence[Artefact], *, image: ImageRecord | None = None
    ) -> list[Path]:
        """Record products of an observation, replacing those of the same kind and version.

        Parameters
        ----------
        key : str
            Partition key of the observation.
        made : sequence of Artefact
            All artefacts of the step: recorded together, or not at all.
        image : ImageRecord, optional
            Statistics of the image among them.

        Returns
        -------
        list of Path
            Paths that no artefact of this observation uses any more: the caller may delete them.
        """
        rows, numbers = product_rows(key, made, image)
        with self._database.write() as connection:
            self._found(connection, key)
            before = paths_of(connection, key)
            replace_products(connection, key, rows, numbers)
            return sorted(before - paths_of(connection, key))

    def artefacts(self, key: str) -> list[Artefact]:
        """Return the products of an observation, by kind and version."""
        query = (
            sa.select(artefacts)
            .where(artefacts.c.key == key)
            .order_by(artefacts.c.kind, artefacts.c.version)
        )
        with self._database.read() as connection:
            self._found(connection, key)
            return [as_artefact(row) for row in connection.execute(query)]

    def made_before(self, created_mjd: float, kinds: Sequence[ArtefactKind]) -> list[Made]:
        """Return the artefacts of some kinds that were made before a time, oldest first.

        Parameters
        ----------
        created_mjd : float
            The time, MJD in days.
        kinds : sequence of ArtefactKind
            The kinds.
        """
        with self._database.read() as connection:
            return load_made_before(connection, created_mjd, kinds)

    def known_paths(self, kind: ArtefactKind) -> frozenset[Path]:
        """Return the paths of all artefacts of a kind."""
        query = sa.select(artefacts.c.path).where(artefacts.c.kind == kind)
        with self._database.read() as connection:
            return frozenset(Path(path) for path in connection.scalars(query))

    def forget_artefact(self, key: str, made: Artefact, *, step: str, reason: str) -> bool:
        """Delete the record of an artefact before its files; the history records the reason.

        Parameters
        ----------
        key : str
            Partition key of its observation.
        made : Artefact
            The artefact, as it was when its removal was decided.
        step : str
            The step that removes it.
        reason : str
            Why it is removed.

        Returns
        -------
        bool
            False if it was remade since, or is gone: then nothing changes.
        """
        columns = artefacts.c
        same = (
            columns.key == key,
            columns.kind == made.kind,
            columns.version == made.version,
            columns.path == str(made.path),
            columns.created_mjd == made.created_mjd,
        )
        with self._database.write() as connection:
            record = self._found(connection, key)
            if connection.execute(sa.delete(artefacts).where(*same)).rowcount == 0:
                return False
            message = f"{made.kind} removed: {reason}"
            add_event(connection, key, record.state, step, message, "")
            return True

    def find_artefact(self, path: Path) -> tuple[str, Artefact] | None:
        """Return the artefact of a path, with the partition key of its observation."""
        query = sa.select(artefacts).where(artefacts.c.path == str(path.absolute()))
        with self._database.read() as connection:
            row = connection.execute(query.order_by(artefacts.c.created_mjd.desc())).first()
        return None if row is None else (row.key, as_artefact(row))

    def applied_sets(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> list[AppliedSet]:
        """Return the caltable sets applied to the products of each observation, in order of time.

        An observation whose products were made with different sets has one entry for each. An
        observation whose MS now holds another one is left out: it can't be reprocessed.

        Parameters
        ----------
        start_mjd, end_mjd : float, optional
            Only observations whose mid-MJD is in [start, end), days.
        """
        with self._database.read() as connection:
            return load_applied_sets(connection, start_mjd=start_mjd, end_mjd=end_mjd)

    def image(self, key: str, version: int = 1) -> ImageRecord | None:
        """Return the statistics of an observation's image; None if there is none."""
        query = sa.select(images).where(images.c.key == key, images.c.version == version)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else as_image(row)

    def images(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None, version: int = 1
    ) -> dict[str, ImageRecord]:
        """Return image statistics by partition key, in order of time."""
        mid = observations.c.mid_mjd
        query = sa.select(images).join(observations).where(images.c.version == version)
        if start_mjd is not None:
            query = query.where(mid >= start_mjd)
        if end_mjd is not None:
            query = query.where(mid < end_mjd)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(mid)).all()
        return {row.key: as_image(row) for row in rows}

    def image_noise(self, *, start_mjd: float, end_mjd: float) -> list[ImageNoise]:
        """Return the noise of the images that passed their checks, in order of time.

        Parameters
        ----------
        start_mjd, end_mjd : float
            Only observations whose mid-MJD is in [start, end), days.
        """
        with self._database.read() as connection:
            return load_noise(connection, start_mjd=start_mjd, end_mjd=end_mjd)

    # History ---------------------------------------------------------------------------------

    def history(self, key: str) -> list[ObservationEvent]:
        """Return the history of an observation, oldest entry first."""
        with self._database.read() as connection:
            self._found(connection, key)
            return events_of(connection, key)

    def last_event_id(self) -> int:
        """Return the id of the latest event, 0 if there is none; it grows with every change."""
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.max(observation_events.c.id))) or 0)

    def explain(self, key: str) -> str:
        """Describe an observation and its history in words."""
        return history.explain(
            self.get(key),
            self.history(key),
            self.artefacts(key),
            self.image(key),
            self.observation(key),
        )

    # Private ---------------------------------------------------------------------------------

    def _first(self, *conditions: sa.ColumnElement[bool]) -> ObservationRecord | None:
        query = sa.select(*RECORD_COLUMNS).where(*conditions)
        with self._database.read() as connection:
            row = connection.execute(query.order_by(observations.c.updated_mjd.desc())).first()
        return None if row is None else as_record(row)

    def _found(self, connection: sa.Connection, key: str) -> ObservationRecord:
        found = find_record(connection, key)
        if found is None:
            mjd = parse_partition_key(key)
            keys = connection.scalars(
                sa.select(observations.c.key)
                .order_by(sa.func.abs(observations.c.mid_mjd - mjd))
                .limit(_NEAR)
            ).all()
            raise ProductsError(
                f"there is no observation {key} in {self.address}; "
                + (f"nearest: {', '.join(sorted(keys))}" if keys else "it holds none"),
                key=key,
                near=sorted(keys),
            )
        return found
